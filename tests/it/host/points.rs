//! SIGKILL at each point of the way, for certain: a proxy before the state store holds a request back, before it arrives
//! there or before its answer leaves, and the handler dies meanwhile. The points are those of docs/delivery.md.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{Response, StatusCode};
use serde_json::json;
use spwatch::devhost::Reply;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::merging::merging;
use super::rig::*;
use crate::azurite::{Account, Azurite};

/// Which request is held back: its method, a part of its address, and whether the store has done it by then.
#[derive(Debug, Clone, Copy)]
struct Point {
    method: &'static str,
    part: &'static str,
    done: bool,
}

#[derive(Debug)]
struct Line {
    target: u16,
    client: reqwest::Client,
    held: Mutex<Option<Point>>,
    reached: Notify,
}

/// The proxy.
struct Proxy {
    port: u16,
    line: Arc<Line>,
    task: JoinHandle<()>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Proxy {
    async fn before(target: u16) -> Self {
        let line = Arc::new(Line {
            target,
            client: reqwest::Client::builder().no_proxy().build().unwrap(),
            held: Mutex::default(),
            reached: Notify::new(),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let router = Router::new().fallback(pass).with_state(Arc::clone(&line));
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { port, line, task }
    }

    fn hold(&self, point: Point) {
        *self.line.held.lock().unwrap() = Some(point);
    }

    /// Waits until a request is held back; from then on the others pass.
    async fn reached(&self) {
        let reached = tokio::time::timeout(PATIENCE, self.line.reached.notified());
        assert!(reached.await.is_ok(), "the point is never reached");
    }
}

async fn pass(State(line): State<Arc<Line>>, request: Request) -> Response<Body> {
    let (head, body) = request.into_parts();
    let address = head.uri.path_and_query().unwrap().as_str().to_owned();
    let hit = {
        let mut held = line.held.lock().unwrap();
        // A folder is named in a listing's query, where a slash is written otherwise.
        let readable = address.replace("%2F", "/");
        held.take_if(|point| head.method == point.method && readable.contains(point.part))
    };
    if hit.is_some_and(|point| !point.done) {
        line.reached.notify_one();
        return std::future::pending().await;
    }
    let mut headers = head.headers;
    headers.remove("host");
    let sent = line
        .client
        .request(
            head.method,
            format!("http://127.0.0.1:{}{address}", line.target),
        )
        .headers(headers)
        .body(to_bytes(body, usize::MAX).await.unwrap())
        .send();
    let Ok(answer) = sent.await else {
        let mut refused = Response::new(Body::empty());
        *refused.status_mut() = StatusCode::BAD_GATEWAY;
        return refused;
    };
    if hit.is_some() {
        line.reached.notify_one();
        return std::future::pending().await;
    }
    let mut response = Response::new(Body::empty());
    *response.status_mut() = answer.status();
    *response.headers_mut() = answer.headers().clone();
    response.headers_mut().remove("transfer-encoding");
    *response.body_mut() = Body::from(answer.bytes().await.unwrap());
    response
}

/// A rig whose state is behind a proxy.
struct Stage {
    rig: Rig,
    proxy: Proxy,
    account: Account,
    _azurite: Azurite,
}

impl Stage {
    async fn new(text: &str) -> Self {
        let azurite = Azurite::start().await;
        azurite.create_container("spwatch-state").await;
        let proxy = Proxy::before(azurite.blob_port()).await;
        let account = azurite.account();
        let rig = Setup::new(Some(text))
            .await
            .setting(
                "AzureWebJobsStorage",
                &azurite.connection_string_at(proxy.port),
            )
            .setting("SPWATCH_STATE", "az://spwatch-state/points")
            .start()
            .await;
        Self {
            rig,
            proxy,
            account,
            _azurite: azurite,
        }
    }

    /// Begins something, and kills the handler when it is at that point.
    async fn die_at(&self, point: Point, begin: impl AsyncFnOnce(&Rig)) {
        self.proxy.hold(point);
        let killing = async {
            self.proxy.reached().await;
            self.rig.host.kill_now().await;
        };
        tokio::join!(begin(&self.rig), killing);
        self.rig.host.ready().await.unwrap();
        self.rig.drain().await;
    }

    /// The documents whose names hold that.
    async fn documents(&self, part: &str) -> Vec<String> {
        let blobs = self.account.blobs("spwatch-state").await.into_iter();
        blobs
            .map(|(name, _)| name)
            .filter(|name| name.contains(part))
            .collect()
    }

    /// What the receiver took: ids and counts.
    fn taken(&self) -> Vec<(String, u64)> {
        let received = self.rig.receiver.received().into_iter();
        received
            .filter(|request| request.status == Some(200))
            .map(|request| {
                let id = request.header("webhook-id").unwrap().to_owned();
                (id, alert_of(&request)["count"].as_u64().unwrap())
            })
            .collect()
    }
}

fn away(number: u32) -> String {
    envelope(&[record(&number.to_string(), PAYROLL, AWAY, number)])
}

async fn send(rig: &Rig) {
    rig.host.send(0, [away(0)]).unwrap();
}

const LISTING: &str = "prefix=points/marks/";

/// One alert is due, and the handler dies at that point of its way: how often the receiver is told.
async fn told_after(point: Point) -> usize {
    let text = merging("10d", "");
    let stage = Stage::new(&text).await;
    stage.die_at(point, send).await;
    let taken = stage.taken();
    let expected = due(&text, &[away(0)]);
    assert!(!taken.is_empty(), "{}", stage.rig.log());
    assert!(
        taken
            .iter()
            .all(|(id, count)| expected.contains(id) && *count == 1)
    );
    assert_eq!(stage.documents(".delivered").await.len(), 1);
    // A repeat is held back, whatever happened to the first.
    stage.rig.judge(&[away(1)]).await;
    assert_eq!(stage.taken().len(), taken.len());
    taken.len()
}

#[tokio::test]
async fn judged_and_nothing_noted() {
    let point = Point {
        method: "GET",
        part: LISTING,
        done: false,
    };
    assert_eq!(told_after(point).await, 1);
}

#[tokio::test]
async fn noted_in_the_window_and_not_answered() {
    let point = Point {
        method: "PUT",
        part: "/windows/",
        done: true,
    };
    assert_eq!(told_after(point).await, 1);
}

#[tokio::test]
async fn taken_by_the_receiver_and_not_marked() {
    let point = Point {
        method: "PUT",
        part: ".delivered",
        done: false,
    };
    assert_eq!(told_after(point).await, 2);
}

#[tokio::test]
async fn marked_and_not_answered() {
    let point = Point {
        method: "PUT",
        part: ".delivered",
        done: true,
    };
    assert_eq!(told_after(point).await, 1);
}

#[tokio::test]
async fn marked_as_kept_and_not_kept_yet() {
    let text = merging("10d", "");
    let stage = Stage::new(&text).await;
    stage.rig.receiver.always(Reply::status(400));
    let point = Point {
        method: "PUT",
        part: ".kept",
        done: true,
    };
    stage.die_at(point, send).await;
    assert_eq!(stage.rig.undelivered().len(), 1, "{}", stage.rig.log());
    assert!(stage.taken().is_empty());
}

/// One alert and its repeat; the window closes, and the handler dies at that point of the later word's way.
async fn updates_after(point: Point) -> usize {
    let text = merging("3s", "");
    let stage = Stage::new(&text).await;
    stage.rig.judge(&[away(0)]).await;
    stage.rig.judge(&[away(1)]).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    // The timer's own retry calls again.
    stage
        .die_at(point, async |rig| rig.keep_house().await)
        .await;
    stage.rig.keep_house_until(|| stage.taken().len() > 1).await;
    let taken = stage.taken();
    let id = due(&text, &[away(0)]).pop_first().unwrap();
    assert_eq!(taken[0], (id.clone(), 1));
    for update in &taken[1..] {
        assert_eq!(*update, (format!("{id}.u1"), 2));
    }
    stage.rig.keep_house().await;
    stage.rig.drain().await;
    assert_eq!(stage.taken().len(), taken.len());
    assert!(stage.documents("/windows/").await.is_empty());
    taken.len() - 1
}

#[tokio::test]
async fn the_window_is_closed_and_its_later_word_is_not_in_the_outbox() {
    let point = Point {
        method: "PUT",
        part: "/outbox/",
        done: false,
    };
    assert_eq!(updates_after(point).await, 1);
}

#[tokio::test]
async fn the_later_word_is_in_the_outbox_and_the_window_still_there() {
    let point = Point {
        method: "PUT",
        part: "/outbox/",
        done: true,
    };
    assert_eq!(updates_after(point).await, 1);
}

#[tokio::test]
async fn the_window_is_gone_and_the_later_word_not_in_the_queue() {
    let point = Point {
        // Blobs are deleted in batches.
        method: "POST",
        part: "comp=batch",
        done: true,
    };
    assert_eq!(updates_after(point).await, 1);
}

#[tokio::test]
async fn the_host_dies_between_the_queue_and_the_checkpoint() {
    let text = merging("10d", "");
    let rig = start(&text).await;
    rig.judge(&[away(0)]).await;
    // The message is out, the events come again; and the message comes again, which was done and not deleted.
    rig.cloud.hub().set_checkpoint("$Default", 0, 0);
    let alert = alert_of(&rig.receiver.received()[0]);
    let message = json!({ "sink": "soc", "alert": alert }).to_string();
    let queue = rig.cloud.queue("spwatch-alerts");
    queue.put(message.as_bytes()).unwrap();
    let rig = rig.replace_host().await;
    rig.drain().await;
    assert_eq!(rig.receiver.received().len(), 1);
}

#[tokio::test]
async fn the_host_dies_with_our_answer_before_it_writes_anything() {
    let text = merging("10d", "");
    let mut rig = start(&text).await;
    // No write succeeds for as long as that host lives.
    rig.cloud.queue("spwatch-alerts").fail_puts(0, usize::MAX);
    rig.host.send(0, [away(0)]).unwrap();
    rig.told(1, answered("SignIns", 200)).await;
    rig = rig.replace_host().await;
    rig.cloud.queue("spwatch-alerts").fail_puts(0, 0);
    rig.drain().await;
    assert_eq!(rig.received_ids(), due(&text, &[away(0)]));
    assert_eq!(rig.receiver.received().len(), 1);
}
