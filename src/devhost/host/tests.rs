use std::path::Path;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};

use super::super::answer::Failure;
use super::super::notice::{Journal, Notice};
use super::super::receiver::{Receiver, Reply};
use super::super::settings::Settings;
use super::*;

const SOON: Duration = Duration::from_secs(20);

/// A call as the handler saw it.
#[derive(Debug, Clone)]
struct Seen {
    function: String,
    headers: HeaderMap,
    size: usize,
    body: Value,
}

/// A handler in this process.
struct Handler {
    port: u16,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Handler {
    /// Answers with the status and the text that `answer` makes of a call and its number.
    async fn start(
        answer: impl Fn(&Seen, usize) -> (u16, Value) + Clone + Send + Sync + 'static,
    ) -> Self {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let calls = Arc::clone(&seen);
        let router = Router::new().fallback(move |request: axum::extract::Request| async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            let call = Seen {
                function: head.uri.path().trim_start_matches('/').to_owned(),
                headers: head.headers,
                size: body.len(),
                body: serde_json::from_slice(&body).unwrap_or_default(),
            };
            let number = {
                let mut calls = lock(&calls);
                calls.push(call.clone());
                calls.len() - 1
            };
            let (status, text) = answer(&call, number);
            let response = Response::builder()
                .status(status)
                .header("content-type", "application/json");
            response.body(Body::from(text.to_string())).unwrap()
        });
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { port, seen }
    }

    fn seen(&self, function: &str) -> Vec<Seen> {
        let seen = lock(&self.seen);
        let of = seen.iter().filter(|call| call.function == function);
        of.cloned().collect()
    }
}

impl Seen {
    /// The bodies of a binary batch.
    fn events(&self) -> Vec<String> {
        let list = self.body["Data"]["events"].as_str().unwrap();
        let list: Vec<String> = serde_json::from_str(list).unwrap();
        let decode = |text: String| String::from_utf8(STANDARD.decode(text).unwrap()).unwrap();
        list.into_iter().map(decode).collect()
    }
}

fn app() -> App {
    let settings = Settings::from_iter([
        ("SIGNIN_EVENT_HUB_NAME", "signins"),
        ("SIGNIN_CONSUMER_GROUP", "$Default"),
    ]);
    App::load(Path::new(env!("CARGO_MANIFEST_DIR")), settings).unwrap()
}

fn options(handler: &Handler, journal: &Journal) -> Options {
    Options {
        target: Target::Port(handler.port),
        observer: journal.observer(),
        time_scale: Some(0.001),
        ..Options::default()
    }
}

#[tokio::test]
async fn a_batch_is_retried_until_it_succeeds_then_checkpointed() {
    let handler = Handler::start(|_, number| (if number < 3 { 503 } else { 200 }, json!({}))).await;
    let app = app();
    let cloud = Cloud::of(&app, 2);
    let journal = Journal::default();
    let host = Host::start(app, cloud, options(&handler, &journal))
        .await
        .unwrap();
    host.send(1, ["a", "b"]).unwrap();
    host.settle(SOON).await.unwrap();
    let calls = handler.seen("SignIns");
    assert_eq!(calls.len(), 4);
    let mut ids: Vec<_> = calls
        .iter()
        .map(|call| call.headers["x-azure-functions-invocationid"].clone())
        .collect();
    ids.dedup();
    assert_eq!(ids.len(), 4);
    for (count, call) in calls.iter().enumerate() {
        assert_eq!(call.events(), ["a", "b"]);
        let metadata = &call.body["Metadata"];
        assert_eq!(metadata["PartitionContext"]["PartitionId"], "1");
        assert_eq!(metadata["RetryContext"]["RetryCount"], count);
        assert_eq!(metadata["RetryContext"]["Exception"].is_null(), count == 0);
    }
    assert_eq!(host.cloud().hub().checkpoint("$Default", 1), 2);
    let checkpoints = journal.count(|notice| matches!(notice, Notice::Checkpoint { next: 2, .. }));
    assert_eq!(checkpoints, 1);
}

#[tokio::test]
async fn without_endless_retries_a_failing_batch_is_skipped() {
    let handler = Handler::start(|_, _| (500, json!({}))).await;
    let mut app = app();
    for function in &mut app.functions {
        if let Some(retry) = &mut function.retry {
            retry.max_retry_count = 2;
        }
    }
    let cloud = Cloud::of(&app, 1);
    let host = Host::start(app, cloud, options(&handler, &Journal::default()))
        .await
        .unwrap();
    host.send(0, ["a"]).unwrap();
    host.settle(SOON).await.unwrap();
    assert_eq!(handler.seen("SignIns").len(), 3);
    assert_eq!(host.cloud().hub().checkpoint("$Default", 0), 1);
}

#[tokio::test]
async fn after_a_crash_events_come_again_from_the_checkpoint_with_other_borders() {
    // Thirty-two events go well, the batch after them never does.
    let first = Handler::start(|call, _| {
        let known = call.events().first().is_some_and(|event| event == "0");
        (if known { 200 } else { 503 }, json!({}))
    })
    .await;
    let journal = Journal::default();
    let cloud = Cloud::of(&app(), 1);
    let host = Host::start(app(), Arc::clone(&cloud), options(&first, &journal))
        .await
        .unwrap();
    host.send(0, (0..90).map(|i| i.to_string())).unwrap();
    let error = host.settle(Duration::from_millis(300)).await.unwrap_err();
    assert!(
        error
            .to_string()
            .contains("SignIns: partition 0 at 32 of 90"),
        "{error}"
    );
    host.stop().await;
    assert_eq!(cloud.hub().checkpoint("$Default", 0), 32);
    let calls = first.seen("SignIns").len();

    let second = Handler::start(|_, _| (200, json!({}))).await;
    let options = Options {
        borders: Borders::Varied { seed: 7 },
        ..options(&second, &journal)
    };
    let host = Host::start(app(), Arc::clone(&cloud), options)
        .await
        .unwrap();
    host.settle(SOON).await.unwrap();
    let batches: Vec<_> = second.seen("SignIns").iter().map(Seen::events).collect();
    let all: Vec<_> = batches.iter().flatten().cloned().collect();
    assert_eq!(all, (32..90).map(|i| i.to_string()).collect::<Vec<_>>());
    assert_ne!(batches[0].len(), 32);
    assert_eq!(first.seen("SignIns").len(), calls);
}

#[tokio::test]
async fn a_message_that_keeps_failing_goes_to_the_poison_queue_and_its_function() {
    let handler = Handler::start(|call, _| match call.function.as_str() {
        "Deliver" => (503, json!({})),
        _ => (200, json!({"Outputs": {"undelivered": "{\"kept\":true}"}})),
    })
    .await;
    let mut app = app();
    app.extensions.queues.max_dequeue_count = 3;
    let cloud = Cloud::of(&app, 1);
    let journal = Journal::default();
    let host = Host::start(app, cloud, options(&handler, &journal))
        .await
        .unwrap();
    host.cloud()
        .queue("spwatch-alerts")
        .put(b"{\"sink\":\"soc\"}")
        .unwrap();
    host.drain(SOON).await.unwrap();
    let calls = handler.seen("Deliver");
    let counts: Vec<_> = calls
        .iter()
        .map(|call| &call.body["Metadata"]["DequeueCount"])
        .collect();
    assert_eq!(counts, ["1", "2", "3"]);
    assert_eq!(calls[0].body["Data"]["alert"], r#""{\"sink\":\"soc\"}""#);
    assert_eq!(calls[0].body["Metadata"]["sink"], "\"soc\"");
    assert_eq!(handler.seen("Poisoned").len(), 1);
    let kept = host.cloud().blobs().list("spwatch-undelivered");
    assert_eq!(kept.len(), 1);
    assert_eq!(&kept[0].content[..], b"{\"kept\":true}");
    assert_eq!(
        journal.count(|notice| matches!(notice, Notice::Poisoned { .. })),
        1
    );
}

#[tokio::test]
async fn a_message_in_work_when_the_host_dies_comes_again_after_its_lease() {
    let stuck = Handler::start(|_, _| (200, json!({}))).await;
    let cloud = Cloud::of(&app(), 1);
    let queue = cloud.queue("spwatch-alerts");
    queue.put(b"m").unwrap();
    // As a host would that dies before it deletes.
    assert!(
        queue
            .take(std::time::Instant::now(), Duration::from_secs(600))
            .is_some()
    );
    let journal = Journal::default();
    let host = Host::start(app(), Arc::clone(&cloud), options(&stuck, &journal))
        .await
        .unwrap();
    host.settle(SOON).await.unwrap();
    assert!(stuck.seen("Deliver").is_empty());
    cloud.pass(Duration::from_secs(600));
    host.drain(SOON).await.unwrap();
    assert_eq!(
        stuck.seen("Deliver")[0].body["Metadata"]["DequeueCount"],
        "2"
    );
}

#[tokio::test]
async fn a_failed_queue_write_fails_the_invocation_although_the_handler_said_200() {
    let handler = Handler::start(|call, _| match call.function.as_str() {
        "SignIns" => (
            200,
            json!({"Outputs": {"alerts": ["{\"n\":1}", "{\"n\":2}"]}}),
        ),
        _ => (200, json!({})),
    })
    .await;
    let mut app = app();
    // Nobody listens to the queue, so that it shows what was written.
    app.functions.retain(|function| function.name == "SignIns");
    let cloud = Cloud::of(&app, 1);
    cloud.queue("spwatch-alerts").fail_puts(1, 1);
    let journal = Journal::default();
    let host = Host::start(app, cloud, options(&handler, &journal))
        .await
        .unwrap();
    host.send(0, ["a"]).unwrap();
    host.settle(SOON).await.unwrap();
    assert_eq!(handler.seen("SignIns").len(), 2);
    let texts = host.cloud().queue("spwatch-alerts").peek();
    assert_eq!(texts, [b"{\"n\":1}", b"{\"n\":1}", b"{\"n\":2}"]);
    let failed = journal.count(|notice| {
        matches!(
            notice,
            Notice::Answered {
                status: Some(200),
                failure: Some(_),
                ..
            }
        )
    });
    assert_eq!(failed, 1);
}

#[tokio::test]
async fn an_answer_that_would_hang_is_told_as_such() {
    let handler = Handler::start(|_, number| match number {
        0 => (200, Value::Null),
        _ => (200, json!({})),
    })
    .await;
    let app = app();
    let cloud = Cloud::of(&app, 1);
    let host = Host::start(app, cloud, options(&handler, &Journal::default()))
        .await
        .unwrap();
    host.send(0, ["a"]).unwrap();
    let error = host.settle(SOON).await.unwrap_err();
    assert!(matches!(error, HostError::Hang { function } if function == "SignIns"));
}

#[tokio::test]
async fn single_invocations_take_any_bytes_in_either_framing() {
    let handler = Handler::start(|call, _| match call.function.as_str() {
        "Deliver" => (
            200,
            json!({"Outputs": {"undelivered": "x{"}, "Logs": ["one"]}),
        ),
        _ => (404, json!({})),
    })
    .await;
    let app = app();
    let cloud = Cloud::of(&app, 1);
    let host = Host::start(app, cloud, options(&handler, &Journal::default()))
        .await
        .unwrap();
    let large = Bytes::from(vec![b' '; 8 << 20]);
    let request = Request::new("Deliver", large.clone());
    let exchange = host.invoke(request).await.unwrap();
    let answer = exchange.judged.unwrap();
    assert_eq!(
        (answer.logs, answer.outputs.len()),
        (vec!["one".to_owned()], 1)
    );
    let request = Request::new("Deliver", large).framed(Framing::ContentLength);
    let request = request
        .with_header("traceparent", "")
        .with_header("x-more", "1");
    host.invoke(request).await.unwrap();
    host.invoke(Request::new("Deliver", "")).await.unwrap();
    let unknown = host.invoke(Request::new("Nowhere", "{")).await.unwrap();
    assert_eq!(
        (unknown.status, unknown.judged),
        (404, Err(Failure::Status(404)))
    );

    let seen = handler.seen("Deliver");
    let [chunked, sized, empty] = &seen[..] else {
        panic!("{}", seen.len())
    };
    assert_eq!(
        (chunked.size, sized.size, empty.size),
        (8 << 20, 8 << 20, 0)
    );
    assert_eq!(chunked.headers["transfer-encoding"], "chunked");
    assert_eq!(empty.headers["transfer-encoding"], "chunked");
    assert!(chunked.headers.contains_key("traceparent"));
    assert_eq!(
        chunked.headers["content-type"],
        "application/json; charset=utf-8"
    );
    assert_eq!(
        chunked.headers["user-agent"],
        "Azure-Functions-Host/4.1037.0.0"
    );
    assert_eq!(
        chunked.headers["x-azure-functions-hostversion"],
        "4.1037.0.0"
    );
    assert_eq!(sized.headers["content-length"], "8388608");
    assert!(!sized.headers.contains_key("traceparent") && sized.headers.contains_key("x-more"));
    // Outputs of single invocations are shown, not applied.
    assert!(host.cloud().blobs().list("spwatch-undelivered").is_empty());
}

#[tokio::test]
async fn partitions_run_side_by_side_and_the_poisoned_batch_blocks_only_its_own() {
    let handler = Handler::start(|call, _| {
        let bad = call.events().contains(&"bad".to_owned());
        (if bad { 503 } else { 200 }, json!({}))
    })
    .await;
    let app = app();
    let cloud = Cloud::of(&app, 2);
    let host = Host::start(app, cloud, options(&handler, &Journal::default()))
        .await
        .unwrap();
    host.send(0, ["bad"]).unwrap();
    host.send(1, ["good"]).unwrap();
    let error = host.settle(Duration::from_millis(200)).await.unwrap_err();
    assert!(matches!(error, HostError::Unsettled { .. }));
    let hub = host.cloud().hub();
    assert_eq!(
        (hub.checkpoint("$Default", 0), hub.checkpoint("$Default", 1)),
        (0, 1)
    );
}

#[tokio::test]
async fn a_response_later_than_the_function_timeout_fails_the_attempt() {
    let handler = Receiver::start().await.unwrap();
    let reply = || {
        Reply::status(200)
            .with_body("{}")
            .with_header("content-type", "application/json")
    };
    handler.then([reply().after(SOON)]);
    handler.always(reply());
    let app = app();
    let cloud = Cloud::of(&app, 1);
    let journal = Journal::default();
    let options = Options {
        target: Target::Port(handler.address().port()),
        observer: journal.observer(),
        time_scale: Some(0.001),
        function_timeout: Some(Duration::from_millis(300)),
        ..Options::default()
    };
    let host = Host::start(app, cloud, options).await.unwrap();
    host.send(0, ["a"]).unwrap();
    host.settle(SOON).await.unwrap();
    let late = journal.count(|notice| {
        matches!(
            notice,
            Notice::Answered {
                failure: Some(_),
                ..
            }
        )
    });
    assert_eq!(late, 1);
    assert_eq!(handler.received().len(), 2);
}

#[tokio::test]
async fn a_hub_that_is_not_there_is_an_error() {
    let handler = Handler::start(|_, _| (200, json!({}))).await;
    let cloud = Cloud::of(&app(), 1);
    let mut other = app();
    for function in &mut other.functions {
        if let Trigger::EventHub { hub, .. } = &mut function.trigger {
            *hub = "elsewhere".into();
        }
    }
    let error = Host::start(other, cloud, options(&handler, &Journal::default())).await;
    assert!(matches!(error.unwrap_err(), HostError::NoHub { .. }));
}

/// Not a test but the handler of the next one: this program is started again to run it alone.
#[tokio::test]
async fn handler_process() {
    let Ok(port) = std::env::var("FUNCTIONS_CUSTOMHANDLER_PORT") else {
        return;
    };
    let answer = |request: axum::extract::Request| async move {
        if request.method() == "POST" {
            println!("called {}", request.uri());
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        ([("content-type", "application/json")], "{}")
    };
    let listener = tokio::net::TcpListener::bind(format!("127.0.0.1:{port}"));
    let router = Router::new().fallback(answer);
    axum::serve(listener.await.unwrap(), router).await.unwrap();
}

#[tokio::test]
async fn a_batch_survives_the_death_of_the_handler_in_the_middle_of_it() {
    let journal = Journal::default();
    let arguments = [
        "--exact",
        "devhost::host::tests::handler_process",
        "--nocapture",
    ];
    let options = Options {
        target: Target::Process {
            executable: Some(std::env::current_exe().unwrap()),
            arguments: Some(arguments.map(str::to_owned).to_vec()),
        },
        observer: journal.observer(),
        time_scale: Some(0.001),
        ..Options::default()
    };
    let cloud = Cloud::of(&app(), 1);
    let host = Host::start(app(), cloud, options).await.unwrap();
    host.send(0, ["a"]).unwrap();
    let line = |notice: &Notice| matches!(notice, Notice::Line { text, .. } if text.contains("called /SignIns"));
    let in_the_middle = async {
        while journal.count(line) == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(SOON, in_the_middle).await.unwrap();
    host.kill_now().await;
    host.settle(SOON).await.unwrap();
    let sent = |notice: &Notice| matches!(notice, Notice::BatchSent { .. });
    assert!(journal.count(sent) >= 2);
    assert_eq!(
        journal.count(|notice| matches!(notice, Notice::Started { .. })),
        2
    );
    assert_eq!(host.cloud().hub().checkpoint("$Default", 0), 1);
    let address = host.address();
    host.stop().await;
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn every_shape_of_a_batch_can_be_made() {
    let handler = Handler::start(|_, _| (200, json!({}))).await;
    let app = app();
    let cloud = Cloud::of(&app, 1);
    let host = Host::start(app, cloud, options(&handler, &Journal::default()))
        .await
        .unwrap();
    let body = |events: &[&'static str], data_type, cardinality, metadata| {
        host.event_body("SignIns", events.to_vec(), data_type, cardinality, metadata)
    };
    for data_type in [DataType::String, DataType::Binary, DataType::Absent] {
        for metadata in [
            wire::Metadata::Current,
            wire::Metadata::Old,
            wire::Metadata::Admin,
            wire::Metadata::Empty,
        ] {
            let many = body(&["{}", "{}"], data_type, Cardinality::Many, metadata).unwrap();
            let one = body(&["{}"], data_type, Cardinality::One, metadata).unwrap();
            for body in [many, one] {
                host.invoke(Request::new("SignIns", body))
                    .await
                    .unwrap()
                    .judged
                    .unwrap();
            }
        }
    }
    assert!(
        handler
            .seen("SignIns")
            .iter()
            .all(|call| call.body["Data"]["events"].is_string())
    );
    let error = host.event_body(
        "Deliver",
        ["{}"],
        DataType::Binary,
        Cardinality::Many,
        wire::Metadata::Empty,
    );
    assert!(matches!(error, Err(HostError::NoFunction(_))));
}
