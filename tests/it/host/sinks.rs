//! Every kind of sink, from the queue through the real binary to a receiver: the request is the one
//! that the pure function makes, and no secret of it is in the logs.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use spwatch::config::resolve;
use spwatch::devhost::{Notice, Received, Reply, Settings};
use spwatch::policy::{SecretRef, Source, compile};
use spwatch::sign_in::Timestamp;
use spwatch::sink::{self, Destination, QueuedAlert, Secret};

use super::rig::*;
use crate::binary::Ran;

const WORKSPACE: &str = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/soc/providers/Microsoft.OperationalInsights/workspaces/soc";

/// Name, and keys beside `insecure`.
const SINKS: [(&str, &str); 9] = [
    (
        "plain",
        "type = \"webhook\"\nurl = \"env:URL_PLAIN\"\nsecret = \"env:SOC_WEBHOOK_SECRET\"",
    ),
    (
        "cloudevents",
        "type = \"webhook\"\nformat = \"cloudevents\"\nurl = \"env:URL_CLOUDEVENTS\"\nsecret = \"env:SOC_WEBHOOK_SECRET\"",
    ),
    (
        "ocsf",
        "type = \"webhook\"\nformat = \"ocsf\"\nurl = \"env:URL_OCSF\"",
    ),
    ("teams", "type = \"teams\"\nurl = \"env:URL_TEAMS\""),
    ("slack", "type = \"slack\"\nurl = \"env:URL_SLACK\""),
    (
        "pagerduty",
        "type = \"pagerduty\"\nurl = \"env:URL_PAGERDUTY\"\nrouting_key = \"env:ROUTING_KEY\"",
    ),
    (
        "splunk",
        "type = \"splunk\"\nurl = \"env:URL_SPLUNK\"\ntoken = \"env:HEC_TOKEN\"\nindex = \"security\"",
    ),
    (
        "sentinel",
        "type = \"sentinel\"\nendpoint = \"env:URL_SENTINEL\"\nrule_id = \"dcr-0123456789abcdef0123456789abcdef\"",
    ),
    (
        "incident",
        "type = \"sentinel-incident\"\nurl = \"env:URL_INCIDENT\"\nauthority = \"env:URL_AUTHORITY\"\ntenant_id = \"11111111-2222-3333-4444-555555555555\"\nclient_id = \"22222222-2222-3333-4444-555555555555\"\nsecret = \"env:CLIENT_SECRET\"",
    ),
];

const SECRETS: [(&str, &str); 4] = [
    ("ROUTING_KEY", "R0UTINGKEYR0UTINGKEYR0UTINGKEY00"),
    ("HEC_TOKEN", "HECT0KEN-1111-2222-3333-444444444444"),
    ("CLIENT_SECRET", "CL1ENT~S3CRET"),
    ("IDENTITY_HEADER", "1DENTITYHEADER"),
];
const ACCESS_TOKEN: &str = "eyJACCESST0KEN";

fn text() -> String {
    let sinks: String = SINKS
        .iter()
        .map(|(name, keys)| {
            let workspace = match *name {
                "incident" => format!("workspace = \"{WORKSPACE}\"\n"),
                _ => String::new(),
            };
            format!("[sinks.{name}]\n{keys}\n{workspace}insecure = true\n")
        })
        .collect();
    policy(&sinks)
}

/// The path of each sink's address is a secret too.
fn settings(setup: Setup) -> Setup {
    let mut setup = setup;
    for (name, _) in SINKS {
        let name = name.to_uppercase();
        let url = setup.receiver.url(&format!("/T0PSECRETPATH/{name}"));
        setup = setup.setting(&format!("URL_{name}"), &url);
    }
    let authority = setup.receiver.url("/authority");
    let identity = setup.receiver.url("/identity");
    setup = setup
        .setting("URL_AUTHORITY", &authority)
        .setting("IDENTITY_ENDPOINT", &identity);
    for (name, value) in SECRETS {
        setup = setup.setting(name, value);
    }
    setup
}

fn is_token_request(request: &Received) -> bool {
    request.path.starts_with("/authority") || request.path.starts_with("/identity")
}

/// Two tokens are asked for before anything else of their sinks goes out, and any answer is one.
fn token_for_all() -> Reply {
    let answer = json!({"access_token": ACCESS_TOKEN, "expires_in": 3600, "token_type": "Bearer"});
    Reply::status(200).with_body(answer.to_string())
}

fn expected(settings: &Settings, message: &Value, at: Timestamp) -> (Destination, sink::Request) {
    let source = Source {
        name: "policy.toml".into(),
        text: text(),
    };
    let compilation = compile(&[source], None, &[]);
    let problems = compilation.diagnostics.render_text(false);
    let policy = compilation.policy.unwrap_or_else(|| panic!("{problems}"));
    let lookup = |name: &str| settings.lookup(name);
    let fetch =
        |reference: &SecretRef| resolve(reference, &lookup).map_err(|error| error.to_string());
    let sink = &policy.sinks[message["sink"].as_str().unwrap()];
    let destination = Destination::of(sink, &fetch, &lookup).unwrap();
    let json = message["alert"].to_string();
    let queued = QueuedAlert {
        id: message["alert"]["id"].as_str().unwrap(),
        json: &json,
    };
    let token = Secret::new(ACCESS_TOKEN.to_owned());
    let request = sink::request(&destination, queued, Some(&token), at).unwrap();
    (destination, request)
}

/// The body without what depends on the moment of sending.
fn timeless(body: &[u8]) -> Value {
    let mut body: Value = serde_json::from_slice(body).unwrap();
    if let Some(row) = body.get_mut(0).and_then(Value::as_object_mut) {
        row.remove("TimeGenerated").unwrap();
    }
    body
}

#[tokio::test]
async fn every_sink_gets_what_its_pure_function_makes() {
    let rig = settings(Setup::new(Some(&text())).await)
        .setting("SPWATCH_LOG", "trace")
        .start()
        .await;
    rig.receiver.always(token_for_all());
    let sign_in = record("1", PAYROLL, "198.51.100.1", 1);
    rig.judge(&[envelope(&[sign_in])]).await;
    let received = rig.receiver.received();
    let (tokens, delivered): (Vec<_>, Vec<_>) = received.into_iter().partition(is_token_request);
    assert_eq!(delivered.len(), SINKS.len(), "{}", rig.log());
    assert!(rig.undelivered().is_empty());

    let alert = delivered
        .iter()
        .find(|request| request.path.ends_with("PLAIN"));
    let alert = alert_of(alert.unwrap());
    let mut seen = BTreeMap::new();
    for (name, _) in SINKS {
        let upper = name.to_uppercase();
        let request = delivered
            .iter()
            .find(|request| request.path.contains(&format!("/T0PSECRETPATH/{upper}")));
        let request = request.unwrap_or_else(|| panic!("{name}"));
        let at = match request.header("webhook-timestamp") {
            Some(seconds) => chrono::DateTime::from_timestamp(seconds.parse().unwrap(), 0).unwrap(),
            None => request.time,
        };
        let message = json!({"sink": name, "alert": alert});
        let (_, expected) = expected(&rig.settings, &message, Timestamp::from(at));
        assert_eq!(request.method, expected.method.as_str(), "{name}");
        let url = rig.receiver.url(&request.path);
        assert_eq!(url, expected.url.reveal(), "{name}");
        for (header, value) in &expected.headers {
            // The alert's fields come in another order here, so that the signature is another one.
            if *header != "webhook-signature" {
                assert_eq!(request.header(header), Some(value.reveal()), "{name}");
            }
        }
        assert_eq!(timeless(&request.body), timeless(&expected.body), "{name}");
        seen.insert(name, request);
    }
    for name in ["plain", "cloudevents"] {
        let verifier = standardwebhooks::Webhook::new(SIGNING_KEY).unwrap();
        verifier
            .verify(&seen[name].body, &seen[name].headers)
            .unwrap();
    }

    // One token for each of the two, from where its sink says.
    let mut paths: Vec<&str> = tokens.iter().map(|request| request.path.as_str()).collect();
    paths.sort_unstable();
    assert_eq!(
        paths,
        [
            "/authority/11111111-2222-3333-4444-555555555555/oauth2/v2.0/token",
            "/identity?api-version=2019-08-01&resource=https%3A%2F%2Fmonitor.azure.com",
        ]
    );
    let header = |name| tokens.iter().find_map(|request| request.header(name));
    assert_eq!(header("x-identity-header"), Some("1DENTITYHEADER"));

    // A second alert uses the same tokens.
    rig.judge(&[envelope(&[record("2", PAYROLL, "198.51.100.2", 2)])])
        .await;
    let received = rig.receiver.received();
    assert_eq!(received.len(), 2 * SINKS.len() + 2);
    assert_eq!(
        received
            .iter()
            .filter(|request| is_token_request(request))
            .count(),
        2
    );

    let mut lines = rig.lines(None);
    for notice in rig.journal.notices() {
        if let Notice::Answered { logs, .. } = notice {
            lines.extend(logs);
        }
    }
    let mut secrets: Vec<&str> = SECRETS.iter().map(|(_, value)| *value).collect();
    secrets.extend(["T0PSECRETPATH", ACCESS_TOKEN, "198.51.100."]);
    for secret in secrets {
        let found: Vec<_> = lines.iter().filter(|line| line.contains(secret)).collect();
        assert!(found.is_empty(), "{secret}: {found:?}");
    }
}

/// A sink that gets no token waits alone, and a token that is not accepted is asked for again.
#[tokio::test]
async fn without_a_token_one_sink_waits_alone() {
    let sinks = "[sinks.sentinel]\ntype = \"sentinel\"\nendpoint = \"env:URL_SENTINEL\"\nrule_id = \"dcr-1\"\ninsecure = true\n";
    let rig = settings(Setup::new(Some(&policy(&format!("{SOC}{sinks}")))).await)
        .setting("SOC_WEBHOOK_URL", "http://127.0.0.1:9/unused")
        .start()
        .await;
    let refused =
        json!({"error": "x", "error_description": "S3CRETWORDS", "error_codes": [7_000_215]});
    rig.receiver.then([
        Reply::status(401).with_body(refused.to_string()),
        Reply::status(200).with_body("no token"),
        token_for_all(),
        Reply::status(403),
        token_for_all(),
        Reply::status(204),
    ]);
    rig.host
        .send(0, [envelope(&[record("1", PAYROLL, "198.51.100.1", 1)])])
        .unwrap();
    let received = rig.receiver.wait_for(6, PATIENCE).await;
    let tokens: Vec<bool> = received.iter().map(is_token_request).collect();
    assert_eq!(tokens, [true, true, true, false, true, false]);
    rig.told(1, answered("Deliver", 200)).await;
    assert!(rig.undelivered().is_empty());
    let log = rig.log();
    assert!(
        log.contains("AADSTS7000215") && log.contains("role"),
        "{log}"
    );
    assert!(
        !log.contains("S3CRETWORDS") && !log.contains(ACCESS_TOKEN),
        "{log}"
    );
}

/// `send-test` for every kind of sink: the receiver gets a marked alert, and no secret is shown, not even where the
/// receiver says it back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_test_alert_is_sent_and_shown_without_its_secrets() {
    let setup = settings(Setup::new(Some(&text())).await);
    let mut secrets: Vec<&str> = SECRETS.iter().map(|(_, value)| *value).collect();
    let key = SIGNING_KEY.strip_prefix("whsec_").unwrap();
    secrets.extend(["T0PSECRETPATH", ACCESS_TOKEN, key]);
    // A token's answer, and everything that must not be shown.
    let mut echo: Value = json!({"access_token": ACCESS_TOKEN, "expires_in": 3600});
    echo["said"] = json!(secrets);
    echo["url"] = json!(setup.receiver.url("/T0PSECRETPATH/TEAMS"));
    setup
        .receiver
        .always(Reply::status(200).with_body(echo.to_string()));
    for (name, _) in SINKS {
        let before = setup.receiver.received().len();
        let ran = command(&setup, &["send-test", "--sink", name]).await;
        assert_eq!(ran.code, Some(0), "{name}: {}", ran.text());
        let received = setup.receiver.received();
        let sent = received[before..]
            .iter()
            .find(|request| !is_token_request(request))
            .unwrap();
        let body = String::from_utf8(sent.body.to_vec()).unwrap();
        assert!(body.contains("spwatch test"), "{name}: {body}");
        assert!(ran.stdout.contains("200 after"), "{}", ran.stdout);
        assert!(ran.stdout.contains("spwatch test"), "{}", ran.stdout);
        let text = ran.text();
        for secret in &secrets {
            // What the receiver says back of other sinks' secrets is not this one's to know.
            let own = body.contains(secret)
                || sent.path.contains(secret)
                || sent
                    .headers
                    .values()
                    .any(|value| value.to_str().is_ok_and(|text| text.contains(secret)));
            assert!(!own || !text.contains(secret), "{name}: {secret}: {text}");
        }
        assert!(!text.contains("T0PSECRETPATH"), "{name}: {text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_test_alert_that_is_not_taken_is_explained() {
    let setup = settings(Setup::new(Some(&text())).await);
    setup
        .receiver
        .always(Reply::status(404).with_body("no such hook"));
    let ran = command(&setup, &["send-test", "--sink", "slack"]).await;
    assert_eq!(ran.code, Some(1));
    assert!(
        ran.stdout.contains("404 after") && ran.stdout.contains("no such hook"),
        "{}",
        ran.text()
    );
    assert!(
        ran.stderr.contains("help: the address is mistyped"),
        "{}",
        ran.text()
    );
    let sent = setup.receiver.received().len();
    let dry = command(&setup, &["send-test", "--sink", "slack", "--dry-run"]).await;
    assert_eq!((dry.code, setup.receiver.received().len()), (Some(0), sent));
    let wrong = command(&setup, &["send-test", "--sink", "slak"]).await;
    assert_eq!(wrong.code, Some(1));
    assert!(
        wrong.stderr.contains("did you mean slack?"),
        "{}",
        wrong.stderr
    );
    let many = command(&setup, &["send-test"]).await;
    assert!(
        many.stderr.contains("name the sink with --sink"),
        "{}",
        many.stderr
    );
    let mut setup = setup;
    setup.settings.set(
        "URL_SLACK",
        "@Microsoft.KeyVault(SecretUri=https://v.example/secrets/T0P)",
    );
    let unresolved = command(&setup, &["send-test", "--sink", "slack"]).await;
    assert_eq!(unresolved.code, Some(1));
    assert!(
        unresolved.stderr.contains("URL_SLACK") && !unresolved.stderr.contains("T0P"),
        "{}",
        unresolved.stderr
    );
}

/// Kept alerts of a folder and of a container are sent, removed and noted; what is not taken stays.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kept_alerts_are_sent_again() {
    let azurite = crate::azurite::Azurite::start().await;
    azurite.create_container("spwatch-state").await;
    let text = policy(SOC);
    let rig = Setup::new(Some(&text)).await.on(&azurite).start().await;
    rig.receiver.always(Reply::status(400));
    let event = |number: u32| {
        let ip = format!("198.51.100.{number}");
        envelope(&[record(&number.to_string(), PAYROLL, &ip, number)])
    };
    let events: Vec<String> = (1..4).map(event).collect();
    rig.judge(&events).await;
    let account = azurite.account();
    let kept = account.blobs("spwatch-undelivered").await;
    assert_eq!(kept.len(), 3);
    rig.keep_house().await;
    let (_, before) = super::housekeeping::status(&rig).await;
    assert_eq!(before["housekeeping"]["undelivered"], 3);

    let run =
        async |arguments: &[&str]| spwatch_with(&rig.settings, &rig.policy_file(), arguments).await;
    let dry = run(&["redeliver", "--dry-run"]).await;
    assert_eq!(dry.code, Some(0), "{}", dry.text());
    assert!(
        dry.stdout.contains("3 alerts to be sent") && dry.stdout.contains("400 Bad Request"),
        "{}",
        dry.text()
    );
    let refused = run(&["redeliver"]).await;
    assert_eq!(refused.code, Some(1));
    assert!(
        refused.stdout.contains("0 alerts delivered, 3 left"),
        "{}",
        refused.text()
    );
    rig.receiver.always(Reply::status(200));
    let sent = run(&["redeliver"]).await;
    assert_eq!(sent.code, Some(0), "{}", sent.text());
    assert!(
        sent.stdout.contains("3 alerts delivered, 0 left"),
        "{}",
        sent.text()
    );
    assert!(account.blobs("spwatch-undelivered").await.is_empty());
    let taken: Vec<_> = rig
        .receiver
        .received()
        .into_iter()
        .filter(|request| request.status == Some(200))
        .collect();
    assert_eq!(ids(&taken), due(&text, &events));
    // The handler knows: a repeat is held back, and nothing counts as undelivered.
    rig.judge(&[event(1)]).await;
    let rig = rig.replace_host().await;
    rig.keep_house().await;
    let (_, after) = super::housekeeping::status(&rig).await;
    assert_eq!(after["housekeeping"]["undelivered"], 0);
    assert_eq!(
        rig.receiver
            .received()
            .iter()
            .filter(|request| request.status == Some(200))
            .count(),
        3
    );

    // From files: one that is none, and one for a sink that is no more.
    let folder = rig.folder.path().join("kept");
    std::fs::create_dir(&folder).unwrap();
    let mut renamed: Value = serde_json::from_str(&kept[0].1).unwrap();
    renamed["sink"] = json!("old-name");
    std::fs::write(folder.join("a.json"), renamed.to_string()).unwrap();
    std::fs::write(folder.join("b.json"), "{}").unwrap();
    let path = folder.display().to_string();
    let run =
        async |arguments: &[&str]| spwatch_with(&rig.settings, &rig.policy_file(), arguments).await;
    let left = run(&["redeliver", &path]).await;
    assert_eq!(left.code, Some(1));
    assert!(
        left.stdout
            .contains("0 alerts delivered, 1 left, 1 document that cannot be read"),
        "{}",
        left.text()
    );
    let sent = run(&["redeliver", &path, "--sink", "soc"]).await;
    assert!(
        sent.stdout
            .contains("1 alert delivered, 0 left, 1 document"),
        "{}",
        sent.text()
    );
    assert!(!folder.join("a.json").exists() && folder.join("b.json").exists());
}

async fn command(setup: &Setup, arguments: &[&str]) -> Ran {
    let policy = setup.folder.path().join("policy.toml");
    spwatch_with(&setup.settings, &policy, arguments).await
}

/// Runs the binary with those settings alone.
async fn spwatch_with(settings: &Settings, policy: &std::path::Path, arguments: &[&str]) -> Ran {
    let mut command = crate::binary::spwatch(std::path::Path::new("/"));
    command.args(arguments).arg("--policy").arg(policy);
    command.envs(settings.iter());
    let output = tokio::task::spawn_blocking(move || command.output().unwrap());
    Ran::of(output.await.unwrap())
}
