//! The Functions custom handler: one route for each function, and what is the same for all.
//!
//! An edge. The stages are pure; here are the clock, the threads and the log.

mod answer;
mod deliver;
mod housekeeping;
mod listen;
mod memory;
mod merging;
mod policy_store;
mod shared;
mod sign_ins;
mod status;
mod wire;

use std::net::Ipv4Addr;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use http_body_util::BodyExt;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tracing::{error, info, warn};

pub use answer::{Answer, Outputs};
pub use policy_store::{PolicySource, PolicyStore};
pub use shared::Shared;

use crate::build;
use crate::config::Config;
use crate::merge::Delivery;
use crate::policy::Policy;
use crate::sender::Sender;
use crate::sign_in::Timestamp;
use deliver::{Done, Ending};
use housekeeping::House;
use memory::{Budget, Share};
use merging::Settled;
use sign_ins::{Judged, Pace, Summary, Tools};

/// A larger body than any host sends: 32 events of 1 MiB, doubly encoded, are below 200 MiB.
const MAX_BODY_BYTES: usize = 1 << 30;
/// Bytes of a batch that is judged where it was read.
const SMALL_BATCH: usize = 256 << 10;
/// Room for a body of unknown length, before it grows.
const USUAL_BODY: usize = 256 << 10;

/// A batch asks the state store for that long at most, from its arrival on.
const STATE_PATIENCE: Duration = Duration::from_secs(60);

/// Looks up an environment variable.
pub type Lookup = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// What every function of the handler shares.
#[derive(Clone)]
pub struct App {
    policies: Arc<PolicyStore>,
    sender: Arc<Sender>,
    shared: Arc<Shared>,
    house: Arc<House>,
    lookup: Lookup,
    deadline: Duration,
    started: Instant,
    tools: Arc<Tools>,
    memory: Arc<Budget>,
    /// How many there are: asking the system again takes as long as judging ten records.
    cores: usize,
    /// As many batches are judged at once as there are cores: more would take turns on them, and each other's
    /// caches away.
    judging: Arc<Semaphore>,
}

impl App {
    /// The handler's parts, not yet listening.
    pub fn new(
        policies: PolicyStore,
        sender: Sender,
        shared: Shared,
        lookup: Lookup,
        deadline: Duration,
    ) -> Self {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        Self {
            policies: Arc::new(policies),
            sender: Arc::new(sender),
            shared: Arc::new(shared),
            house: Arc::default(),
            lookup,
            deadline,
            started: Instant::now(),
            tools: Arc::default(),
            memory: Arc::default(),
            cores,
            judging: Arc::new(Semaphore::new(cores)),
        }
    }

    fn delivery(&self) -> deliver::Tools<'_> {
        deliver::Tools {
            policies: &self.policies,
            sender: &self.sender,
            shared: &self.shared,
            lookup: self.lookup.as_ref(),
        }
    }
}

/// The handler as a service; tests call it without a socket.
pub fn router(app: App) -> Router {
    Router::new()
        .route("/", get(ready))
        .route("/SignIns", post(sign_ins))
        .route("/Deliver", post(deliver_alert))
        .route("/Poisoned", post(poisoned_alert))
        .route("/Housekeeping", post(keep_house))
        .route("/Status", post(show_status))
        .fallback(unknown)
        .with_state(app)
}

/// The handler cannot run.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The port is taken, or may not be used.
    #[error("listen on 127.0.0.1:{port}")]
    Listen {
        /// The port.
        port: u16,
        /// What the system says.
        source: std::io::Error,
    },
}

/// Listens until a signal, and ends when the invocations under way have ended.
///
/// The socket is bound first: the host polls it from the start.
///
/// # Errors
/// The port cannot be listened on.
pub async fn serve(config: &Config, app: App) -> Result<(), ServeError> {
    let port = config.port;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))
        .await
        .map_err(|source| ServeError::Listen { port, source })?;
    info!(
        event = "listening",
        version = build::VERSION,
        commit = build::COMMIT,
        port = listener.local_addr().map_or(port, |address| address.port()),
        deadline_seconds = config.deadline.as_secs(),
        "listening"
    );
    if config.state_is_fleeting {
        warn!(
            event = "state-fleeting",
            "SPWATCH_STATE is not set: state is kept in a temporary folder and lost with this instance"
        );
    }
    let policies = Arc::clone(&app.policies);
    tokio::spawn(async move {
        if policies.current().await.is_none() {
            error!(
                event = "policy-missing",
                "no policy can be loaded: sign-ins wait in the Event Hub until there is one"
            );
        }
        policies.watch().await;
    });
    listen::listen(listener, router(app), async {
        let signal = signalled().await;
        info!(
            event = "stopping",
            "{signal}: finishing the invocations under way"
        );
    })
    .await;
    Ok(())
}

async fn signalled() -> &'static str {
    use tokio::signal::unix::{SignalKind, signal};
    let interrupt = signal(SignalKind::interrupt());
    let terminate = signal(SignalKind::terminate());
    let (Ok(mut interrupt), Ok(mut terminate)) = (interrupt, terminate) else {
        error!(
            event = "signals-unheard",
            "signals cannot be listened for: only SIGKILL will stop this process"
        );
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => "SIGINT",
        _ = terminate.recv() => "SIGTERM",
    }
}

async fn ready() -> Response {
    Json(serde_json::json!({ "name": "spwatch", "version": build::VERSION })).into_response()
}

async fn unknown(request: Request) -> Response {
    let error = format!(
        "there is no function at {} {}",
        request.method(),
        request.uri().path()
    );
    (
        StatusCode::NOT_FOUND,
        Json(serde_json::json!({ "error": error })),
    )
        .into_response()
}

fn invocation_id(headers: &HeaderMap) -> String {
    let id = headers
        .get("x-azure-functions-invocationid")
        .and_then(|id| id.to_str().ok());
    id.unwrap_or("none").chars().take(64).collect()
}

fn now() -> Timestamp {
    Timestamp::from(chrono::Utc::now())
}

/// Reads a whole body, chunked or not, into one buffer.
///
/// Waits for memory before it reads: the host's side of the connection fills up meanwhile, and waits.
async fn read(
    mut body: Body,
    headers: &HeaderMap,
    mut bytes: Vec<u8>,
    share: &mut Share,
) -> Result<Vec<u8>, Answer> {
    let announced = headers
        .get("content-length")
        .and_then(|length| length.to_str().ok()?.parse::<usize>().ok())
        .unwrap_or(0);
    if announced > MAX_BODY_BYTES {
        return Err(Answer::BadRequest(format!(
            "a body of more than {MAX_BODY_BYTES} bytes is no batch"
        )));
    }
    if announced > 0 {
        share.take(announced).await;
    }
    // What is announced need not come: room is made as it comes, but for usual sizes at once.
    bytes.reserve(announced.clamp(USUAL_BODY, 64 << 20));
    while let Some(frame) = body.frame().await {
        let frame =
            frame.map_err(|error| Answer::BadRequest(format!("the body broke off: {error}")))?;
        if let Ok(data) = frame.into_data() {
            if bytes.len() + data.len() > MAX_BODY_BYTES {
                return Err(Answer::BadRequest(format!(
                    "a body of more than {MAX_BODY_BYTES} bytes is no batch"
                )));
            }
            share.grow(bytes.len() + data.len()).await;
            bytes.extend_from_slice(&data);
        }
    }
    Ok(bytes)
}

async fn sign_ins(State(app): State<App>, headers: HeaderMap, body: Body) -> Response {
    let started = Instant::now();
    let invocation = invocation_id(&headers);
    let mut share = app.memory.share();
    let bytes = match read(body, &headers, app.tools.body(), &mut share).await {
        Ok(bytes) => bytes,
        Err(answer) => {
            let (summary, settled) = Default::default();
            log_batch(&invocation, &answer, &summary, &settled, started.elapsed());
            return answer.into_response();
        }
    };
    let shared = Arc::clone(&app.shared);
    // A slow store must not make the answer late: the host would kill the process.
    let patience = STATE_PATIENCE.min(app.deadline / 2);
    let batch = Unjudged {
        bytes,
        _share: share,
        deadline: started + app.deadline,
        app,
    };
    let Judged {
        answer,
        summary,
        due,
        cap,
    } = match batch.judge().await {
        Ok(judged) => judged,
        Err(error) => {
            error!(
                event = "batch-not-judged",
                invocation.id = invocation,
                elapsed_ms = started.elapsed().as_millis() as u64,
                "judging stopped: {error}"
            );
            return (
                StatusCode::INTERNAL_SERVER_ERROR,
                Json(serde_json::json!({ "error": "judging stopped" })),
            )
                .into_response();
        }
    };
    let mut settled = Settled::default();
    let answer = match answer {
        Answer::Done { mut outputs, logs } if !due.is_empty() => {
            let asked = merging::Asked {
                shared: &shared,
                until: started + patience,
            };
            match merging::settle(asked, due, cap, now()).await {
                Ok(done) => {
                    settled = done;
                    outputs.alerts = std::mem::take(&mut settled.messages);
                    Answer::Done { outputs, logs }
                }
                Err(error) => Answer::Retry(format!("an alert could not be written: {error}")),
            }
        }
        answer => answer,
    };
    note_arrivals(&shared, &answer, &summary);
    log_batch(&invocation, &answer, &summary, &settled, started.elapsed());
    answer.into_response()
}

/// Remembers that the stream is alive, and tells the other instances from time to time, without letting the host wait.
fn note_arrivals(shared: &Arc<Shared>, answer: &Answer, summary: &Summary) {
    let is_done = matches!(answer, Answer::Done { .. });
    shared.arrived(|arrivals| summary.note(arrivals, is_done, now()));
    if shared.is_time_to_tell() {
        let shared = Arc::clone(shared);
        tokio::spawn(async move {
            // What is not told now is told later.
            let _ = shared.tell_arrivals().await;
        });
    }
}

/// The body of a batch, to be judged.
struct Unjudged {
    bytes: Vec<u8>,
    /// Held until the batch is judged, even if the host no longer waits for it.
    _share: Share,
    deadline: Instant,
    app: App,
}

impl Unjudged {
    /// Judges it: a small one on the spot, which takes a third of a millisecond and is over before another thread
    /// has woken; a large one on a thread of its own, so that nobody else has to wait.
    async fn judge(self) -> Result<Judged, String> {
        if self.bytes.len() <= SMALL_BATCH
            && let Some(policy) = self.app.policies.unchanged()
        {
            let judging = AssertUnwindSafe(|| self.judge_by(&policy));
            return panic::catch_unwind(judging).map_err(|_| "a panic".to_owned());
        }
        let Some(policy) = self.app.policies.current().await else {
            let answer = Answer::Retry("no policy can be loaded".to_owned());
            // How late it is by now is worth knowing all the same.
            return Ok(Judged::without_alerts(answer, Summary::of_body(self.bytes)));
        };
        // An error means that the semaphore is closed, which it never is.
        let core = Arc::clone(&self.app.judging).acquire_owned().await.ok();
        let judged = tokio::task::spawn_blocking(move || {
            let _core = core;
            self.judge_by(&policy)
        });
        judged.await.map_err(|error| error.to_string())
    }

    fn judge_by(self, policy: &Policy) -> Judged {
        let deadline = self.deadline;
        let pace = Pace {
            go_on: &|| Instant::now() < deadline,
            tools: &self.app.tools,
            threads: self.app.cores,
        };
        sign_ins::judge_batch(policy, self.bytes, now(), &pace)
    }
}

fn log_batch(
    invocation: &str,
    answer: &Answer,
    summary: &Summary,
    settled: &Settled,
    elapsed: Duration,
) {
    let counts = &summary.counts;
    let seconds_since =
        |time: Option<Timestamp>| time.map(|time| now().unix_seconds() - time.unix_seconds());
    match answer {
        Answer::Done { .. } => info!(
            event = "batch-judged",
            invocation.id = invocation,
            batch.partition = summary.partition.as_deref(),
            batch.first = summary.sequence.map(|(first, _)| first),
            batch.last = summary.sequence.map(|(_, last)| last),
            batch.retry_count = summary.retry_count.filter(|count| *count > 0),
            batch.events = summary.events,
            batch.records = counts.records,
            batch.sign_ins = counts.sign_ins,
            batch.failed = counts.failure,
            batch.allowed = counts.allowed,
            batch.violation = counts.violation,
            batch.unknown_app = counts.unknown_app,
            batch.duplicates = counts.duplicates,
            batch.audit_events = counts.audit_events,
            batch.other = counts.other_categories.values().sum::<u64>(),
            batch.rejected = counts.rejected,
            batch.recorded = summary.recorded,
            batch.too_old = summary.too_old,
            batch.alerts = summary.alerts,
            batch.held_back = settled.held_back,
            batch.beyond_cap = settled.beyond_cap,
            batch.event_lag_seconds = seconds_since(summary.newest),
            batch.hub_lag_seconds = seconds_since(summary.enqueued),
            elapsed_ms = elapsed.as_millis() as u64,
            "batch judged"
        ),
        Answer::Retry(reason) | Answer::BadRequest(reason) => error!(
            event = "batch-not-judged",
            invocation.id = invocation,
            batch.partition = summary.partition.as_deref(),
            batch.first = summary.sequence.map(|(first, _)| first),
            batch.last = summary.sequence.map(|(_, last)| last),
            batch.retry_count = summary.retry_count,
            batch.hub_lag_seconds = seconds_since(summary.enqueued),
            elapsed_ms = elapsed.as_millis() as u64,
            "batch not judged: {reason}"
        ),
    }
}

async fn deliver_alert(State(app): State<App>, headers: HeaderMap, body: Body) -> Response {
    let started = Instant::now();
    let message = match message(body, &headers).await {
        Ok(message) => message,
        Err(answer) => return no_message(&headers, answer, started.elapsed()),
    };
    let tools = app.delivery();
    let delivery = tools.deliver(&message, now());
    let done = match tokio::time::timeout(app.deadline, delivery).await {
        Ok(done) => done,
        Err(_) => Done::retry("the delivery met its deadline".to_owned()),
    };
    log_delivery(&invocation_id(&headers), &message, &done, started.elapsed());
    done.answer.into_response()
}

async fn poisoned_alert(State(app): State<App>, headers: HeaderMap, body: Body) -> Response {
    let started = Instant::now();
    let message = match message(body, &headers).await {
        Ok(message) => message,
        Err(answer) => return no_message(&headers, answer, started.elapsed()),
    };
    let done = app.delivery().poisoned(&message, now()).await;
    log_delivery(&invocation_id(&headers), &message, &done, started.elapsed());
    done.answer.into_response()
}

async fn keep_house(State(app): State<App>, headers: HeaderMap) -> Response {
    let started = Instant::now();
    let (answer, report) = housekeeping::run(&app, now()).await;
    report.log(&invocation_id(&headers), &answer, started.elapsed());
    answer.into_response()
}

async fn show_status(State(app): State<App>, headers: HeaderMap, body: Body) -> Response {
    // A request that cannot be read asks for nothing in particular.
    let read = read(body, &headers, Vec::new(), &mut Share::free()).await;
    let request = read.map(|bytes| wire::http_request(&bytes));
    let form = status::Form::asked_for(&request.unwrap_or_default());
    status::status(&app, form, now()).await.into_response()
}

async fn message(body: Body, headers: &HeaderMap) -> Result<wire::Message, Answer> {
    // A queue message has at most 64 KiB: it need not wait for memory.
    let bytes = read(body, headers, Vec::new(), &mut Share::free()).await?;
    wire::message(&bytes).map_err(|error| Answer::BadRequest(error.to_string()))
}

/// A request that holds no message.
fn no_message(headers: &HeaderMap, answer: Answer, elapsed: Duration) -> Response {
    if let Answer::Retry(reason) | Answer::BadRequest(reason) = &answer {
        warn!(
            event = "alert-not-delivered",
            invocation.id = invocation_id(headers),
            elapsed_ms = elapsed.as_millis() as u64,
            "no message could be read: {reason}"
        );
    }
    answer.into_response()
}

fn log_delivery(invocation: &str, message: &wire::Message, done: &Done, elapsed: Duration) {
    // One macro call for each level: a level is no value.
    macro_rules! log {
        ($level:ident, $event:literal, $($text:tt)+) => {
            $level!(
                event = $event,
                invocation.id = invocation,
                delivery.sink = done.about.as_ref().map(|about| about.sink.as_str()),
                delivery.alert = done.about.as_ref().map(Delivery::id),
                delivery.attempt = message.dequeue_count,
                elapsed_ms = elapsed.as_millis() as u64,
                $($text)+
            )
        };
    }
    match (&done.answer, done.ending) {
        (Answer::Done { .. }, Ending::Delivered) => {
            log!(info, "alert-delivered", "alert delivered");
        }
        (Answer::Done { .. }, Ending::Known) => {
            log!(
                info,
                "alert-known",
                "alert dropped: the sink has it already"
            );
        }
        (Answer::Done { logs, .. }, _) => log!(error, "alert-kept", "{}", logs.join("; ")),
        (Answer::Retry(reason) | Answer::BadRequest(reason), _) => {
            log!(
                warn,
                "alert-not-delivered",
                "alert not delivered yet: {reason}"
            );
        }
    }
}
