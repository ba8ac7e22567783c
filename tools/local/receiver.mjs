// A receiver for trying things out: takes every request on this machine's port, answers 200, and shows who called.
//
//   node tools/local/receiver.mjs [PORT] [FILE]     FILE: a line for each request, as JSON
import { appendFileSync } from "node:fs";
import { createServer } from "node:http";

const [port = "9000", file] = process.argv.slice(2);

const server = createServer(async (request, response) => {
  let body = "";
  for await (const chunk of request.setEncoding("utf8")) body += chunk;
  response.writeHead(200).end();
  const id = request.headers["webhook-id"] ?? null;
  let title = "";
  try {
    title = JSON.parse(body).title ?? "";
  } catch {
    title = "(no JSON)";
  }
  console.log(`${request.method} ${request.url} webhook-id ${id}\n  ${title}`);
  if (file) appendFileSync(file, `${JSON.stringify({ id, title })}\n`);
});
server.listen(Number(port), "127.0.0.1", () => {
  console.log(`listening on http://127.0.0.1:${server.address().port}/`);
});
