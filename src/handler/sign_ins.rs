//! `POST /SignIns`: a batch of Event Hub events → alerts for the queue, rejects for the blob.
//!
//! Pure but for the pace: the clock's reading, the question whether to go on and the number of threads are
//! arguments.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use serde::Serialize;

use super::answer::{Answer, Outputs};
use super::wire::{self, Batch, Form, NotAnInvocation};
use crate::alert::{self, Alert};
use crate::assess::{Block, Counts, Ledger, Period, Rejected};
use crate::finding::Finding;
use crate::ingest::{self, Context, EventError, Habit, Item, Position, Reject};
use crate::policy::{App, Policy};
use crate::sign_in::Timestamp;
use crate::verdict::Severity;

/// As many rejects of one event are written one by one; with more, the event is written once, whole,
/// so that what is written stays in proportion to what came.
const MAX_REJECTS_OF_EVENT: usize = 100;

/// What was made of a batch, for the log.
#[derive(Debug, Default)]
pub(super) struct Summary {
    /// How many events the batch held.
    pub events: usize,
    /// What they held.
    pub counts: Counts,
    /// Findings that are listed and not sent.
    pub recorded: usize,
    /// Of those, the ones that are too old to be sent.
    pub too_old: usize,
    /// Alerts raised.
    pub alerts: usize,
    /// The hub's partition.
    pub partition: Option<String>,
    /// First and last sequence number.
    pub sequence: Option<(i64, i64)>,
    /// How often the host tried the batch before.
    pub retry_count: Option<i64>,
    /// Seconds between the newest sign-in of the batch and now.
    pub lag_seconds: Option<i64>,
}

/// What the pace of judging depends on.
pub(super) struct Pace<'p> {
    /// Asked between events; once it says no, the host is to try again.
    pub(super) go_on: &'p (dyn Fn() -> bool + Sync),
    /// What earlier batches left behind.
    pub(super) tools: &'p Tools,
    /// As many threads may judge one batch.
    pub(super) threads: usize,
}

/// What batches need again and again: habits of reading, and memory that is there already.
#[derive(Debug, Default)]
pub(super) struct Tools {
    hands: Mutex<Vec<Hand>>,
    bodies: Mutex<Vec<Vec<u8>>>,
}

/// What one thread judges with.
#[derive(Debug, Default)]
struct Hand {
    habit: Habit,
    /// Where events are decoded.
    room: Vec<u8>,
}

/// More than this is given back to the system.
const KEPT_ROOM: usize = 4 << 20;
/// As many bodies are kept room for.
const KEPT_BODIES: usize = 8;

impl Tools {
    fn lend<T>(&self, judge: impl FnOnce(&mut Hand) -> T) -> T {
        let mut hand = lock(&self.hands).pop().unwrap_or_default();
        let judged = judge(&mut hand);
        if hand.room.capacity() > KEPT_ROOM {
            hand.room = Vec::new();
        }
        lock(&self.hands).push(hand);
        judged
    }

    /// Room for a body.
    pub(super) fn body(&self) -> Vec<u8> {
        lock(&self.bodies).pop().unwrap_or_default()
    }

    fn keep_body(&self, mut body: Vec<u8>) {
        let mut bodies = lock(&self.bodies);
        if body.capacity() <= KEPT_ROOM && bodies.len() < KEPT_BODIES {
            body.clear();
            bodies.push(body);
        }
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Bytes of a batch that are worth a thread of their own.
const WORTH_A_THREAD: usize = 256 << 10;

/// Judges a batch.
pub(super) fn judge_batch(
    policy: &Policy,
    body: Vec<u8>,
    now: Timestamp,
    pace: &Pace<'_>,
) -> (Answer, Summary) {
    let refused = |error: NotAnInvocation| {
        let answer = Answer::BadRequest(error.to_string());
        (answer, Summary::default())
    };
    let batch = match wire::batch(body) {
        Ok(batch) => batch,
        Err(error) => return refused(error),
    };
    let mut summary = Summary::of(&batch);
    let parts = match judge_parts(policy, &batch, pace) {
        Ok(parts) => parts,
        Err(Stopped::Late) => return late(summary),
        Err(Stopped::NotBase64) => {
            let batch = match batch.reread() {
                Ok(batch) => batch,
                Err(error) => return refused(error),
            };
            summary = Summary::of(&batch);
            return match judge_parts(policy, &batch, pace) {
                Ok(parts) => sum_up(policy, batch, parts, now, summary, pace.tools),
                // INVARIANT: the general reader makes no promise of Base64; only time can stop it.
                Err(_) => late(summary),
            };
        }
    };
    sum_up(policy, batch, parts, now, summary, pace.tools)
}

fn late(summary: Summary) -> (Answer, Summary) {
    let reason = "the batch could not be judged before the deadline".to_owned();
    (Answer::Retry(reason), summary)
}

/// Why judging a batch stopped.
enum Stopped {
    Late,
    /// An event is not what it seemed at first sight.
    NotBase64,
}

/// Some events of a batch, judged.
struct Part<'p> {
    blocks: Vec<Block<'p>>,
    newest: Option<Timestamp>,
}

/// Judges the events on as many threads as they are worth, each thread those that stand together.
fn judge_parts<'p>(
    policy: &'p Policy,
    batch: &Batch,
    pace: &Pace<'_>,
) -> Result<Vec<Part<'p>>, Stopped> {
    let bytes = |place: usize| batch.event(place).1.len();
    let total: usize = (0..batch.len()).map(bytes).sum();
    let threads = pace.threads.min(total / WORTH_A_THREAD + 1);
    if threads == 1 {
        return Ok(vec![judge_part(policy, batch, 0..batch.len(), pace)?]);
    }
    let mut cuts = vec![0];
    let mut passed = 0;
    for place in 0..batch.len() {
        passed += bytes(place);
        if passed * threads >= total * cuts.len() {
            cuts.push(place + 1);
        }
    }
    cuts.push(batch.len());
    thread::scope(|scope| {
        let judging: Vec<_> = cuts
            .windows(2)
            .filter_map(|cut| match cut {
                [from, to] if from < to => {
                    let events = *from..*to;
                    Some(scope.spawn(move || judge_part(policy, batch, events, pace)))
                }
                _ => None,
            })
            .collect();
        judging
            .into_iter()
            .map(|part| match part.join() {
                Ok(part) => part,
                // A panic goes where it would without threads.
                Err(panic) => std::panic::resume_unwind(panic),
            })
            .collect()
    })
}

fn judge_part<'p>(
    policy: &'p Policy,
    batch: &Batch,
    events: Range<usize>,
    pace: &Pace<'_>,
) -> Result<Part<'p>, Stopped> {
    pace.tools.lend(|Hand { habit, room }| {
        let mut part = Part {
            blocks: Vec::with_capacity(events.len()),
            newest: None,
        };
        for place in events {
            if !(pace.go_on)() {
                return Err(Stopped::Late);
            }
            let context = Context {
                enqueued: batch.metadata.enqueued.get(place).copied().flatten(),
                ..Context::default()
            };
            let mut block = Block::new(policy, Period::default(), true);
            let (form, event) = batch.event(place);
            let text = match form {
                Form::Json => Ok(event),
                Form::Text | Form::Base64 => ingest::event_bytes(event, room),
            };
            match text {
                Ok(text) => ingest::read_text(text, &context, habit, &mut |position, item| {
                    if let Item::SignIn(sign_in) = item {
                        part.newest = part.newest.max(Some(sign_in.time));
                    }
                    block.take(position, item);
                }),
                Err(EventError::NeitherJsonNorBase64 { .. }) if form == Form::Base64 => {
                    return Err(Stopped::NotBase64);
                }
                Err(error) => {
                    let item = Item::Reject(Reject {
                        error: error.to_string().into(),
                        body: Cow::Borrowed(event),
                    });
                    block.take(Position { record: 1, line: 1 }, &item);
                }
            }
            part.blocks.push(block);
        }
        Ok(part)
    })
}

/// Counts what was judged, in the order of the batch, and answers.
fn sum_up<'p>(
    policy: &'p Policy,
    batch: Batch,
    parts: Vec<Part<'p>>,
    now: Timestamp,
    mut summary: Summary,
    tools: &Tools,
) -> (Answer, Summary) {
    let mut ledger = Ledger::new();
    let mut findings = Vec::new();
    let mut rejected = Vec::new();
    let newest = parts.iter().filter_map(|part| part.newest).max();
    let blocks = parts.into_iter().flat_map(|part| part.blocks);
    for (place, block) in blocks.enumerate() {
        let (found, refused) = ledger.absorb(block);
        findings.extend(found);
        let event_place = EventPlace {
            partition: batch.metadata.partition.clone(),
            sequence_number: batch
                .metadata
                .sequence_numbers
                .get(place)
                .copied()
                .flatten(),
            event: place + 1,
        };
        if refused.len() > MAX_REJECTS_OF_EVENT {
            let event = batch.event(place).1;
            rejected.push(RejectedLine::whole(&refused, event, &event_place));
        } else {
            let lines = refused.into_iter();
            rejected.extend(lines.map(|reject| RejectedLine::new(reject, &event_place)));
        }
    }
    // The answer may be as large as the body: it is made when that is gone.
    tools.keep_body(batch.into_room());
    summary.lag_seconds = newest.map(|newest| (now.utc() - newest.utc()).num_seconds());
    let answer = answer(
        policy,
        findings,
        rejected,
        now,
        &mut summary,
        ledger.counts(),
    );
    summary.counts = ledger.counts().clone();
    (answer, summary)
}

fn answer(
    policy: &Policy,
    mut findings: Vec<Finding<'_>>,
    rejected: Vec<RejectedLine>,
    now: Timestamp,
    summary: &mut Summary,
    counts: &Counts,
) -> Answer {
    for finding in &mut findings {
        if finding.due && now.utc() - finding.sign_in.time.utc() > policy.defaults.max_event_age {
            finding.due = false;
            summary.too_old += 1;
        }
    }
    summary.recorded = findings.iter().filter(|finding| !finding.due).count();
    let alerts = alert::raise(policy, &findings, now);
    summary.alerts = alerts.len();
    let mut outputs = Outputs::default();
    for raised in &alerts {
        match messages(policy, raised.app, &raised.alert) {
            Ok(messages) => outputs.alerts.extend(messages),
            Err(error) => return Answer::Retry(format!("an alert could not be written: {error}")),
        }
    }
    if !rejected.is_empty() {
        match ndjson(rejected) {
            Ok(text) => outputs.rejected = Some(text),
            Err(error) => return Answer::Retry(format!("a reject could not be written: {error}")),
        }
    }
    let logs = vec![format!(
        "sign-ins judged: {} (events: {}): {} allowed, {} outside the policy, {} of unlisted apps; \
         duplicates: {}, rejected: {}; alerts raised: {}, findings recorded: {}",
        counts.sign_ins,
        summary.events,
        counts.allowed,
        counts.violation,
        counts.unknown_app,
        counts.duplicates,
        counts.rejected,
        summary.alerts,
        summary.recorded,
    )];
    Answer::Done { outputs, logs }
}

#[derive(Serialize)]
struct QueueMessage<'a> {
    sink: &'a str,
    alert: &'a Alert,
}

/// The queue messages of one alert: one for each sink that wants it.
///
/// Where the policy names no sink at all there is still one, for the sink with the empty name:
/// `Deliver` keeps it in `undelivered`, so that no due alert goes nowhere.
fn messages(
    policy: &Policy,
    app: Option<&App>,
    alert: &Alert,
) -> Result<Vec<String>, serde_json::Error> {
    sink_names(policy, app, alert.severity)
        .into_iter()
        .map(|sink| serde_json::to_string(&QueueMessage { sink, alert }))
        .collect()
}

fn sink_names<'p>(
    policy: &'p Policy,
    app: Option<&'p App>,
    severity: Severity,
) -> BTreeSet<&'p str> {
    let notify = app
        .and_then(|app| app.notify.as_ref())
        .or(policy.defaults.notify.as_ref());
    let chosen: BTreeSet<&str> = match notify {
        Some(names) => names.iter().map(String::as_str).collect(),
        None => policy.sinks.keys().map(String::as_str).collect(),
    };
    if chosen.is_empty() {
        return BTreeSet::from([""]);
    }
    chosen
        .into_iter()
        .filter(|name| {
            policy
                .sinks
                .get(*name)
                .is_none_or(|sink| severity >= sink.min_severity)
        })
        .collect()
}

#[derive(Serialize)]
struct RejectedLine {
    source: RejectedSource,
    error: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body_base64: Option<String>,
}

#[derive(Serialize)]
struct RejectedSource {
    #[serde(flatten)]
    place: EventPlace,
    /// Ordinal of the record in its event, from 1; none where the event is written whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    record: Option<u64>,
}

/// Which event it was.
#[derive(Clone, Serialize)]
struct EventPlace {
    partition: Option<String>,
    sequence_number: Option<i64>,
    /// Ordinal of the event in its batch, from 1.
    event: usize,
}

impl RejectedLine {
    fn new(reject: Rejected, place: &EventPlace) -> Self {
        let record = Some(reject.position.record);
        Self::of(reject.error.to_string(), reject.body, record, place)
    }

    /// One line for an event with too many rejects to write them one by one.
    fn whole(rejects: &[Rejected], event: &[u8], place: &EventPlace) -> Self {
        let first = rejects.first().map(|reject| reject.error.to_string());
        let first = first.unwrap_or_default();
        let error = format!(
            "{} records of this event are rejected, the first: {first}; the event is kept whole",
            rejects.len()
        );
        Self::of(error, event.to_vec(), None, place)
    }

    fn of(error: String, body: Vec<u8>, record: Option<u64>, place: &EventPlace) -> Self {
        let (body, body_base64) = match String::from_utf8(body) {
            Ok(text) => (Some(text), None),
            Err(error) => (None, Some(base64(error.as_bytes()))),
        };
        Self {
            source: RejectedSource {
                place: place.clone(),
                record,
            },
            error,
            body,
            body_base64,
        }
    }
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// Each line is let go of when it is written, so that the rejects of a large batch are not held twice.
fn ndjson(lines: Vec<RejectedLine>) -> Result<String, serde_json::Error> {
    let mut text = Vec::new();
    for line in lines {
        serde_json::to_writer(&mut text, &line)?;
        text.push(b'\n');
    }
    String::from_utf8(text).map_err(serde::ser::Error::custom)
}

impl Summary {
    fn of(batch: &Batch) -> Self {
        let metadata = &batch.metadata;
        let mut known = metadata.sequence_numbers.iter().flatten().copied();
        let first = known.next();
        Self {
            partition: metadata.partition.clone(),
            sequence: first.map(|first| (first, known.last().unwrap_or(first))),
            retry_count: metadata.retry_count,
            events: batch.len(),
            ..Self::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::policy::{Source, compile};

    fn judged(policy: &str, event: &Value) -> (Outputs, Summary) {
        let source = Source {
            name: "policy.toml".to_owned(),
            text: policy.to_owned(),
        };
        let policy = compile(&[source], None, &[]).policy.unwrap();
        let events = json!([event.to_string()]).to_string();
        let body = json!({ "Data": { "events": events }, "Metadata": {} }).to_string();
        let now = Timestamp::parse("2026-11-24T12:00:00Z").unwrap();
        let pace = Pace {
            go_on: &|| true,
            tools: &Tools::default(),
            threads: 2,
        };
        match judge_batch(&policy, body.into_bytes(), now, &pace) {
            (Answer::Done { outputs, .. }, summary) => (outputs, summary),
            (other, _) => panic!("{other:?}"),
        }
    }

    #[test]
    fn rejects_of_one_event_are_written_in_proportion() {
        let written = |count: usize| {
            let event = Value::Array(vec![json!({}); count]);
            let (outputs, summary) = judged("version = 1", &event);
            assert_eq!(summary.counts.rejected, count as u64);
            let text = outputs.rejected.unwrap();
            let lines: Vec<Value> = text
                .lines()
                .map(|line| serde_json::from_str(line).unwrap())
                .collect();
            (lines, event.to_string())
        };
        let (few, _) = written(MAX_REJECTS_OF_EVENT);
        assert_eq!(few.len(), MAX_REJECTS_OF_EVENT);
        assert_eq!(few[99]["source"]["record"], 100);
        let (many, event) = written(MAX_REJECTS_OF_EVENT + 1);
        assert_eq!(many.len(), 1);
        assert_eq!(many[0]["body"], event);
        assert!(many[0]["error"].as_str().unwrap().contains("101 records"));
    }

    #[test]
    fn an_entry_notifies_its_own_sinks_whatever_its_name_looks_like() {
        let policy = r#"
            version = 1
            defaults.notify = ["soc"]
            sinks.soc = { type = "webhook", url = "env:SOC" }
            sinks.owner = { type = "webhook", url = "env:OWNER" }
            [[app]]
            name = "tab\there"
            app_id = "00000000-1111-2222-3333-444444444444"
            notify = ["owner"]
            allow.places = ["CH"]
        "#;
        let event = json!({
            "category": "ServicePrincipalSignInLogs",
            "time": "2026-11-24T08:00:00Z",
            "properties": {
                "id": "x",
                "appId": "00000000-1111-2222-3333-444444444444",
                "location": { "countryOrRegion": "RO" },
            },
        });
        let (outputs, _) = judged(policy, &event);
        let sinks: Vec<Value> = outputs
            .alerts
            .iter()
            .map(|message| serde_json::from_str::<Value>(message).unwrap()["sink"].clone())
            .collect();
        assert_eq!(sinks, ["owner"]);
    }
}
