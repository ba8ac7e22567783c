use std::os::unix::fs::PermissionsExt as _;

use super::super::notice::Journal;
use super::*;

/// A supervised shell script, and a listener that answers the probes in its place.
struct Script {
    supervisor: Supervisor,
    journal: Journal,
    folder: tempfile::TempDir,
}

async fn script(text: &str, answered: bool) -> Script {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("handler");
    std::fs::write(&file, format!("#!/bin/sh\n{text}\n")).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    if answered {
        tokio::spawn(async { axum::serve(listener, axum::Router::new()).await });
    } else {
        drop(listener);
    }
    let environment = Environment {
        // Through `sh`, as a file that was just written may still be open in a forked child elsewhere.
        executable: "/bin/sh".into(),
        arguments: vec![file.display().to_string()],
        directory: folder.path().to_owned(),
        app_root: folder.path().to_owned(),
        settings: Settings::default().with("GREETING", "hello"),
        port,
        initialization_timeout: Duration::from_millis(300),
    };
    let journal = Journal::default();
    let client = Client::new(port).unwrap();
    let rules = RestartRules::default();
    Script {
        supervisor: Supervisor::start(environment, rules, client, journal.observer()),
        journal,
        folder,
    }
}

impl Script {
    async fn reaches(&self, fits: impl Fn(&Status) -> bool) -> Status {
        let mut status = self.supervisor.status();
        let wait = status.wait_for(|status| fits(status));
        let reached = tokio::time::timeout(Duration::from_secs(20), wait).await;
        reached.unwrap().unwrap().clone()
    }

    fn starts(&self) -> usize {
        self.journal
            .count(|notice| matches!(notice, Notice::Started { .. }))
    }
}

#[tokio::test]
async fn the_third_failure_stops_the_host() {
    let script = script("exit 7", true).await;
    script
        .reaches(|status| *status == Status::Stopped(Stopped::TooManyFailures(3)))
        .await;
    assert_eq!(script.starts(), 3);
    assert_eq!(
        script.supervisor.settled().await,
        Err(Stopped::TooManyFailures(3))
    );
}

#[tokio::test]
async fn an_exit_with_0_is_for_ever() {
    let script = script("exit 0", true).await;
    script.reaches(|status| *status == Status::Gone).await;
    assert_eq!(script.starts(), 1);
    assert_eq!(script.supervisor.settled().await, Ok(()));
}

#[tokio::test]
async fn an_exit_with_200_is_no_failure() {
    // Five restarts, then it stays.
    let text = "echo x >> count\n[ $(wc -l < count) -gt 5 ] && exec sleep 60\nexit 200";
    let script = script(text, true).await;
    script.reaches(|status| *status == Status::Ready(6)).await;
    assert_eq!(script.starts(), 6);
    assert!(script.folder.path().join("count").exists());
}

#[tokio::test]
async fn a_handler_that_never_answers_is_a_failure() {
    let script = script("exec sleep 60", false).await;
    script
        .reaches(|status| *status == Status::Stopped(Stopped::TooManyFailures(3)))
        .await;
    assert_eq!(script.starts(), 3);
}

#[tokio::test]
async fn a_killed_handler_is_started_again_twice() {
    let script = script("exec sleep 60", true).await;
    for start in [1, 2, 3] {
        script
            .reaches(|status| *status == Status::Ready(start))
            .await;
        script.supervisor.kill().await;
    }
    script
        .reaches(|status| matches!(status, Status::Stopped(_)))
        .await;
    let signals = script
        .journal
        .count(|notice| *notice == Notice::Exited { code: None });
    assert_eq!(signals, 3);
}

#[tokio::test]
async fn a_restart_is_no_failure_and_a_stop_is_final() {
    let script = script("exec sleep 60", true).await;
    for start in 1..6 {
        script
            .reaches(|status| *status == Status::Ready(start))
            .await;
        script.supervisor.restart().await;
    }
    script.supervisor.stop().await;
    assert_eq!(script.supervisor.stopped(), Some(Stopped::Asked));
}

#[tokio::test]
async fn lines_have_the_hosts_levels_and_the_environment_is_complete() {
    let text = "echo $GREETING $FUNCTIONS_CUSTOMHANDLER_PORT/$FUNCTIONS_HTTPWORKER_PORT $FUNCTIONS_APP_ROOT_PATH\n\
        [ $FUNCTIONS_CUSTOMHANDLER_WORKER_ID = $FUNCTIONS_HTTPWORKER_ID ] && echo same; pwd\n\
        echo 'a Warning' >&2; echo bad >&2; exit 0";
    let script = script(text, true).await;
    script.reaches(|status| *status == Status::Gone).await;
    let mut found = Vec::new();
    for notice in script.journal.notices() {
        match notice {
            Notice::Line { level, text } => found.push((level, text)),
            Notice::Started { port, .. } => {
                found.push((Level::Information, port.to_string()));
            }
            _ => {}
        }
    }
    let port = found[0].1.clone();
    let root = script.folder.path().display();
    for expected in [
        (Level::Information, format!("hello {port}/{port} {root}")),
        (Level::Information, "same".into()),
        (Level::Information, root.to_string()),
        (Level::Warning, "a Warning".into()),
        (Level::Error, "bad".into()),
    ] {
        assert!(found.contains(&expected), "{expected:?} not in {found:?}");
    }
}

#[tokio::test]
async fn a_missing_program_is_told_at_once() {
    let environment = Environment {
        executable: "/no/such/program".into(),
        arguments: Vec::new(),
        directory: "/".into(),
        app_root: "/".into(),
        settings: Settings::default(),
        port: 1,
        initialization_timeout: Duration::from_secs(1),
    };
    let client = Client::new(1).unwrap();
    let supervisor = Supervisor::start(
        environment,
        RestartRules::default(),
        client,
        Observer::default(),
    );
    assert!(matches!(
        supervisor.settled().await,
        Err(Stopped::Start { .. })
    ));
}
