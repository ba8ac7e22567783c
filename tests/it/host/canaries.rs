//! Secrets are planted wherever there are any, everything goes its way, well and badly; then all that was written anywhere
//! is searched for them.

use serde_json::json;
use spwatch::devhost::{Notice, Reply};

use super::housekeeping::status;
use super::merging::merging;
use super::rig::*;
use crate::azurite::{Azurite, KEY};

/// By setting.
const PLANTED: [(&str, &str); 9] = [
    ("SOC_WEBHOOK_SECRET", SIGNING_KEY),
    ("CANARY_KEY", "C4NARYR0UTINGKEYC4NARYR0UTINGKEY"),
    ("CANARY_HEC", "C4NARYHEC-1111-2222-3333-444444444444"),
    ("CANARY_CLIENT", "C4NARY~CL1ENT.S3CRET"),
    ("IDENTITY_HEADER", "C4NARYIDENTITYHEADER"),
    (
        "CANARY_VAULT",
        "@Microsoft.KeyVault(SecretUri=https://v.example/secrets/C4NARYVAULT)",
    ),
    ("SPWATCH_HEARTBEAT_INSECURE", "true"),
    ("CANARY_BAD_SIGNING", "whsec_C4NARY not base64 at all!"),
    ("UNUSED", "C4NARYUNUSED"),
];
/// What must be found nowhere.
const CANARIES: [&str; 8] = [
    "C4NARY",
    "c4nary",
    "T0PSECRETPATH",
    "aG9zdC10ZXN0cy1zaWduaW5nLWtleS0w",
    "L1TERALSECRET",
    "eyJC4NARYACCESSTOKEN",
    "M1SPLACED~S3CRETVALUE",
    KEY,
];

fn sinks() -> String {
    let literal = "https://127.0.0.1:9/hooks/L1TERALSECRET";
    format!(
        r#"{SOC}
        [sinks.pager]
        type = "pagerduty"
        url = "env:CANARY_PAGER_URL"
        routing_key = "env:CANARY_KEY"
        insecure = true
        [sinks.splunk]
        type = "splunk"
        url = "env:CANARY_SPLUNK_URL"
        token = "env:CANARY_HEC"
        insecure = true
        [sinks.sentinel]
        type = "sentinel"
        endpoint = "env:CANARY_SENTINEL_URL"
        rule_id = "dcr-1"
        tenant_id = "11111111-2222-3333-4444-555555555555"
        client_id = "22222222-2222-3333-4444-555555555555"
        secret = "env:CANARY_CLIENT"
        authority = "env:CANARY_AUTHORITY"
        insecure = true
        [sinks.vault]
        type = "slack"
        url = "env:CANARY_VAULT"
        [sinks.literal]
        type = "webhook"
        url = "{literal}"
        [sinks.signing]
        type = "webhook"
        url = "env:SOC_WEBHOOK_URL"
        secret = "env:CANARY_BAD_SIGNING"
        insecure = true
        "#
    )
}

#[tokio::test]
async fn no_secret_is_written_anywhere() {
    let azurite = Azurite::start().await;
    azurite.create_container("spwatch-state").await;
    // An app whose secret stands where its place is asked for.
    let misplaced = "owner = \"someone\"\nsecret = \"M1SPLACED~S3CRETVALUE8Q~dEfGh1jKlM2nOpQr\"\n";
    let text = merging("2s", "max_alerts_per_hour = 2")
        .replace(SOC, &sinks())
        .replace(
            "severity  = \"critical\"\n",
            &format!("severity  = \"critical\"\n{misplaced}"),
        );
    let mut setup = Setup::new(Some(&text)).await.on(&azurite);
    for (name, value) in PLANTED {
        setup.settings.set(name, value);
    }
    for (name, path) in [
        ("CANARY_PAGER_URL", "/C4NARYPAGER"),
        ("CANARY_SPLUNK_URL", "/C4NARYSPLUNK"),
        ("CANARY_SENTINEL_URL", "/C4NARYSENTINEL"),
        ("CANARY_AUTHORITY", "/C4NARYAUTHORITY"),
        ("SPWATCH_HEARTBEAT_URL", "/C4NARYHEARTBEAT"),
    ] {
        let url = setup.receiver.url(path);
        setup.settings.set(name, url);
    }
    setup.settings.set("SPWATCH_LOG", "trace");
    setup.max_dequeue_count = Some(4);
    let rig = setup.start().await;
    // While all is still well, so that the heartbeat is called.
    rig.keep_house().await;
    let echo =
        json!({"access_token": "eyJC4NARYACCESSTOKEN", "expires_in": 3600, "said": CANARIES});
    let said = |code: u16| Reply::status(code).with_body(echo.to_string());
    // Every way that a delivery can go, each with a receiver that says secrets back.
    rig.receiver
        .then([200, 401, 500, 403, 429, 400, 302, 410].map(|code| {
            said(code).with_header("location", rig.receiver.url("/C4NARYLOCATION").as_str())
        }));
    rig.receiver.then([Reply::dropped(), said(200).cut_short()]);
    rig.receiver.always(said(200));
    let from = |number: u32| {
        let ip = format!("198.51.100.{}", number % 5);
        envelope(&[record(&number.to_string(), PAYROLL, &ip, number % 2)])
    };
    rig.judge(&(0..8).map(from).collect::<Vec<_>>()).await;
    rig.judge(&["rubbish".to_owned(), from(9)]).await;
    for _ in 0..3 {
        rig.keep_house().await;
        rig.drain().await;
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    }
    // A policy that is refused, at a line with a secret on it.
    let broken = text.replace(
        "url = \"https://127.0.0.1:9/hooks/L1TERALSECRET\"",
        "url = \"https://127.0.0.1:9/hooks/L1TERALSECRET\"\nnonsense = 1",
    );
    assert_ne!(broken, text);
    std::fs::write(rig.policy_file(), broken).unwrap();
    rig.keep_house().await;
    rig.drain().await;
    let (_, status) = status(&rig).await;
    let log = rig.log();
    assert!(
        log.contains("\"TRACE\"") && log.contains("policy refused"),
        "{log}"
    );

    // They were all in use.
    let received = rig.receiver.received();
    for path in ["PAGER", "SPLUNK", "SENTINEL", "AUTHORITY", "HEARTBEAT"] {
        let there = received.iter().any(|request| request.path.contains(path));
        assert!(there, "nobody called {path}: {log}");
    }
    let mut written = vec![
        ("status".to_owned(), status.to_string()),
        ("log".to_owned(), log),
    ];
    for notice in rig.journal.notices() {
        match notice {
            Notice::Answered { logs, failure, .. } => {
                written.push(("answer".to_owned(), format!("{logs:?} {failure:?}")));
            }
            Notice::Output {
                target, content, ..
            } => written.push((target, String::from_utf8_lossy(&content).into_owned())),
            _ => {}
        }
    }
    let account = azurite.account();
    for container in ["spwatch-state", "spwatch-undelivered", "spwatch-rejected"] {
        let blobs = account.blobs(container).await;
        assert!(!blobs.is_empty(), "{container}");
        written.extend(blobs);
    }
    assert!(
        written
            .iter()
            .any(|(name, _)| name.contains("accepted.json"))
    );
    assert!(written.iter().any(|(name, _)| name.contains("failures/")));
    for (name, text) in &written {
        for canary in CANARIES {
            let at = text.find(canary);
            let around = at.map(|at| {
                &text[text.floor_char_boundary(at.saturating_sub(300))
                    ..text.ceil_char_boundary(at + 80)]
            });
            assert!(around.is_none(), "{canary} in {name}: {around:?}");
        }
    }
}
