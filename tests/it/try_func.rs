//! `tools/try-func.sh`, with the stand-in host in place of `func`: that the script does what it says, so that on a
//! machine with the Core Tools it tells something about them and not about itself.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{Path as UrlPath, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use serde_json::{Value, json};
use spwatch::devhost::{App, Cloud, Host, Options, Request, Settings};
use tokio::net::TcpListener;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// What the script has `func start` in: its folder, and the settings as the host would see them.
struct Started {
    folder: PathBuf,
    settings: Settings,
}

/// A `func` that only notes how it was started, and ends as the real one does: by SIGINT alone.
fn stub(folder: &Path) {
    let note = folder.display();
    let script = format!(
        "#!/bin/sh\n[ \"$1 $2\" = \"start --port\" ] || exit 2\nenv -0 > '{note}/env'\n\
         pwd > '{note}/pwd.new'\nmv '{note}/pwd.new' '{note}/pwd'\n\
         trap '' TERM\ntrap 'touch {note}/interrupted; exit 130' INT\nwhile :; do sleep 1; done\n"
    );
    let file = folder.join("func");
    fs::write(&file, script).unwrap();
    fs::set_permissions(file, fs::Permissions::from_mode(0o755)).unwrap();
}

async fn started(folder: &Path) -> Started {
    let deadline = Instant::now() + Duration::from_secs(60);
    let at = folder.join("pwd");
    while !at.exists() {
        assert!(Instant::now() < deadline, "the script has not started func");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let app = PathBuf::from(fs::read_to_string(at).unwrap().trim());
    let mut settings = Settings::from_file(&app.join("local.settings.json")).unwrap();
    // The Core Tools take what the environment has before what the file says.
    let environment = fs::read(folder.join("env")).unwrap();
    for entry in environment.split(|byte| *byte == 0) {
        let entry = String::from_utf8_lossy(entry);
        if let Some((name, value)) = entry.split_once('=')
            && (settings.iter().any(|(known, _)| known == name) || name.starts_with("SPWATCH_"))
        {
            settings.set(name, value);
        }
    }
    Started {
        folder: app,
        settings,
    }
}

async fn admin(
    State(host): State<Arc<Host>>,
    UrlPath(function): UrlPath<String>,
    body: String,
) -> StatusCode {
    let input = serde_json::from_str::<Value>(&body).unwrap();
    let Some(input) = input["input"].as_str() else {
        return StatusCode::BAD_REQUEST;
    };
    if function != "SignIns" {
        return StatusCode::NOT_FOUND;
    }
    host.send(0, [input.to_owned()]).unwrap();
    StatusCode::ACCEPTED
}

async fn status(State(host): State<Arc<Host>>) -> impl IntoResponse {
    let request = json!({ "Data": { "req": { "Method": "GET" } }, "Metadata": {} });
    let exchange = host
        .invoke(Request::new("Status", request.to_string()))
        .await;
    let judged = exchange.unwrap().judged.unwrap();
    let res = judged.outputs[0].items[0].bytes().to_vec();
    let res: Value = serde_json::from_slice(&res).unwrap();
    let code = u16::try_from(res["statusCode"].as_u64().unwrap()).unwrap();
    let body = res["body"].as_str().unwrap().to_owned();
    (StatusCode::from_u16(code).unwrap(), body)
}

fn script(folder: &Path, port: u16) -> tokio::process::Command {
    let path = std::env::var("PATH").unwrap();
    let mut command = tokio::process::Command::new("tools/try-func.sh");
    command
        .current_dir(root())
        .env("PATH", format!("{}:{path}", folder.display()))
        .env("FUNC_PORT", port.to_string())
        .env("AZURITE", "running")
        .env("SPWATCH_EXECUTABLE", env!("CARGO_BIN_EXE_spwatch"))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

#[tokio::test]
async fn the_script_for_the_real_host_starts_sends_and_compares() {
    let notes = tempfile::tempdir().unwrap();
    stub(notes.path());
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let script = tokio::spawn(script(notes.path(), port).output());

    let Started { folder, settings } = started(notes.path()).await;
    let app = App::load(&folder, settings).unwrap();
    let cloud = Cloud::of(&app, 1);
    let options = Options {
        time_scale: Some(0.001),
        ..Options::default()
    };
    let host = Arc::new(Host::start(app, cloud, options).await.unwrap());
    let running = r#"{"id":"x","state":"Running","version":"4.0.0"}"#;
    let router = Router::new()
        .route("/admin/host/status", get(move || async move { running }))
        .route("/admin/functions/{name}", post(admin))
        .route("/api/Status", get(status))
        .with_state(host);
    let serving = tokio::spawn(async move { axum::serve(listener, router).await });

    let output = script.await.unwrap().unwrap();
    serving.abort();
    let (out, errors) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert_eq!(output.status.code(), Some(0), "{out}\n{errors}");
    assert!(out.contains("received the alerts that spwatch check raises:"));
    // Both alerts of the sample.
    let ids = out.lines().filter(|line| line.len() == 36);
    assert_eq!(ids.count(), 2, "{out}");
    assert!(out.contains("Status answers 200"), "{out}");
    assert!(!folder.exists(), "{} is left behind", folder.display());
    assert!(notes.path().join("interrupted").exists());
}

#[tokio::test]
async fn the_script_says_what_is_wrong_with_the_host() {
    let notes = tempfile::tempdir().unwrap();
    stub(notes.path());
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let running = r#"{"state": "Running"}"#;
    let router = Router::new().route("/admin/host/status", get(move || async move { running }));
    let serving = tokio::spawn(async move { axum::serve(listener, router).await });
    let output = script(notes.path(), port).output().await.unwrap();
    serving.abort();
    assert_eq!(output.status.code(), Some(1));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        errors.contains("the admin endpoint answered 404, expected 202"),
        "{errors}"
    );
}
