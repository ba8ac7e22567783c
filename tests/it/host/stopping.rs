//! A signal ends the handler when its work has ended.

use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use spwatch::devhost::{Cloud, Host, Journal, Options, Reply, Target};

use super::rig::*;
use crate::binary::spwatch;

async fn ends_well(signal: &str) {
    let text = policy(SOC);
    let Setup {
        folder,
        settings,
        receiver,
        ..
    } = Setup::new(Some(&text)).await;
    // The signal arrives long before the receiver answers.
    receiver.always(Reply::status(200).after(Duration::from_millis(500)));
    let port = {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        listener.local_addr().unwrap().port()
    };
    let mut command = spwatch(folder.path());
    command
        .arg("serve")
        .envs(settings.iter())
        .env("FUNCTIONS_CUSTOMHANDLER_PORT", port.to_string())
        .env("FUNCTIONS_APP_ROOT_PATH", app_root())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut handler = tokio::process::Command::from(command)
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let deadline = std::time::Instant::now() + PATIENCE;
    while http
        .get(format!("http://127.0.0.1:{port}/"))
        .send()
        .await
        .is_err()
    {
        assert!(std::time::Instant::now() < deadline, "it does not listen");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let app = app(&settings, None);
    let cloud = Cloud::of(&app, 1);
    let journal = Journal::default();
    let options = Options {
        target: Target::Port(port),
        observer: journal.observer(),
        ..Options::default()
    };
    let host = Host::start(app, Arc::clone(&cloud), options).await.unwrap();
    let event = envelope(&[record("1", PAYROLL, AWAY, 1)]);
    host.send(0, [event.clone()]).unwrap();
    // The delivery is under way: the receiver has the request and has not answered.
    assert_eq!(receiver.wait_for(1, PATIENCE).await.len(), 1);
    let process = handler.id().unwrap().to_string();
    let killed = std::process::Command::new("kill")
        .args(["-s", signal, &process])
        .status()
        .unwrap();
    assert!(killed.success());
    let ended = tokio::time::timeout(PATIENCE, handler.wait()).await;
    assert_eq!(ended.unwrap().unwrap().code(), Some(0), "{signal}");
    host.drain(PATIENCE).await.unwrap();
    assert_eq!(journal.count(answered("Deliver", 200)), 1, "{signal}");
    assert!(cloud.queue("spwatch-alerts").is_empty());
    assert_eq!(ids(&receiver.received()), due(&text, &[event]));
    assert_eq!(receiver.received().len(), 1, "{signal}");
}

#[tokio::test]
async fn sigterm_lets_a_delivery_end() {
    ends_well("TERM").await;
}

#[tokio::test]
async fn sigint_lets_a_delivery_end() {
    ends_well("INT").await;
}

#[tokio::test]
async fn a_port_that_is_taken_is_an_error() {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let folder = tempfile::tempdir().unwrap();
    let output = tokio::task::spawn_blocking(move || {
        let mut command = spwatch(folder.path());
        command.args(["serve", "--port", &port]).output().unwrap()
    })
    .await
    .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("listen on 127.0.0.1"), "{stderr}");
}
