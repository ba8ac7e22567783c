// Sends each file as one event to the Event Hub of local.settings.json, or of the environment.
//
//   npm install --prefix target/local @azure/event-hubs@6
//   node tools/local/send.mjs samples/2-stolen-secret.json …
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const files = process.argv.slice(2);
if (files.length === 0) {
  console.error("send.mjs: name the files to send, such as samples/2-stolen-secret.json");
  process.exit(2);
}

let settings = {};
try {
  settings = JSON.parse(readFileSync("local.settings.json", "utf8")).Values;
} catch {
  // The environment may have it all.
}
const setting = (name) => {
  const value = process.env[name] ?? settings[name];
  if (!value) {
    console.error(`send.mjs: the setting ${name} is neither in the environment nor in local.settings.json`);
    process.exit(1);
  }
  return value;
};

let sdk;
try {
  sdk = createRequire(new URL("../../target/local/package.json", import.meta.url))("@azure/event-hubs");
} catch {
  console.error("send.mjs: the SDK is missing: npm install --prefix target/local @azure/event-hubs@6");
  process.exit(1);
}
const producer = new sdk.EventHubProducerClient(setting("SignInEventHub"), setting("SIGNIN_EVENT_HUB_NAME"));
try {
  for (const file of files) {
    // As Azure Monitor does: the body is JSON text, not a value of AMQP's own.
    await producer.sendBatch([{ body: readFileSync(file) }]);
    console.log(`sent ${file}`);
  }
} finally {
  await producer.close();
}
