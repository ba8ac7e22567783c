//! `POST /SignIns`: a batch of Event Hub events → alerts for the queue, rejects for the blob.
//!
//! Pure but for the pace: the clock's reading and the question whether to go on are arguments.

use std::borrow::Cow;
use std::collections::BTreeSet;

use serde::Serialize;

use super::answer::{Answer, Outputs};
use super::wire::{self, BatchMetadata, Event};
use crate::alert::{self, Alert};
use crate::assess::{Block, Counts, Ledger, Period, Rejected};
use crate::finding::Finding;
use crate::ingest::{self, Context, Habit, Position};
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

/// Judges a batch. `go_on` is asked between events; once it says no, the host is to try again.
pub(super) fn judge_batch(
    policy: &Policy,
    body: Vec<u8>,
    now: Timestamp,
    go_on: &dyn Fn() -> bool,
) -> (Answer, Summary) {
    let (events, metadata) = match wire::batch(body) {
        Ok(batch) => batch,
        Err(error) => return (Answer::BadRequest(error.to_string()), Summary::default()),
    };
    let mut summary = Summary::of(&metadata);
    let mut ledger = Ledger::new();
    let mut findings = Vec::new();
    let mut rejected = Vec::new();
    let mut newest = None;
    let mut habit = Habit::default();
    let events = events.iter();
    summary.events = events.len();
    for (place, event) in events.into_iter().enumerate() {
        if !go_on() {
            return (
                Answer::Retry("the batch could not be judged before the deadline".to_owned()),
                summary,
            );
        }
        let context = Context {
            enqueued: metadata.enqueued.get(place).copied().flatten(),
            ..Context::default()
        };
        let mut block = Block::new(policy, Period::default(), true);
        judge_event(&event, &context, &mut habit, &mut block, &mut newest);
        let (found, refused) = ledger.absorb(block);
        findings.extend(found);
        let place = EventPlace {
            partition: metadata.partition.clone(),
            sequence_number: metadata.sequence_numbers.get(place).copied().flatten(),
            event: place + 1,
        };
        if refused.len() > MAX_REJECTS_OF_EVENT {
            rejected.push(RejectedLine::whole(&refused, &event, &place));
        } else {
            let lines = refused.into_iter();
            rejected.extend(lines.map(|reject| RejectedLine::new(reject, &place)));
        }
    }
    summary.lag_seconds = newest.map(|newest: Timestamp| (now.utc() - newest.utc()).num_seconds());
    let answer = answer(
        policy,
        findings,
        &rejected,
        now,
        &mut summary,
        ledger.counts(),
    );
    summary.counts = ledger.counts().clone();
    (answer, summary)
}

fn judge_event(
    event: &Event<'_>,
    context: &Context,
    habit: &mut Habit,
    block: &mut Block<'_>,
    newest: &mut Option<Timestamp>,
) {
    let bytes: Cow<'_, [u8]> = match event {
        Event::Json(text) => Cow::Borrowed(text.as_bytes()),
        Event::Text(text) => match ingest::event_bytes(text) {
            Ok(bytes) => bytes,
            Err(error) => {
                let item = ingest::Item::Reject(ingest::Reject {
                    error: error.to_string(),
                    body: Cow::Borrowed(text.as_bytes()),
                });
                block.take(Position { record: 1, line: 1 }, item);
                return;
            }
        },
    };
    ingest::read_text(&bytes, context, habit, &mut |position, item| {
        if let ingest::Item::SignIn(sign_in) = &item {
            *newest = (*newest).max(Some(sign_in.time));
        }
        block.take(position, item);
    });
}

fn answer(
    policy: &Policy,
    mut findings: Vec<Finding<'_>>,
    rejected: &[RejectedLine],
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
        Self::of(reject.error, reject.body, record, place)
    }

    /// One line for an event with too many rejects to write them one by one.
    fn whole(rejects: &[Rejected], event: &Event<'_>, place: &EventPlace) -> Self {
        let first = rejects.first().map_or("", |reject| reject.error.as_str());
        let error = format!(
            "{} records of this event are rejected, the first: {first}; the event is kept whole",
            rejects.len()
        );
        let body = match event {
            Event::Text(text) => text.as_bytes().to_vec(),
            Event::Json(text) => text.as_bytes().to_vec(),
        };
        Self::of(error, body, None, place)
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

fn ndjson(lines: &[RejectedLine]) -> Result<String, serde_json::Error> {
    let mut text = String::new();
    for line in lines {
        text.push_str(&serde_json::to_string(line)?);
        text.push('\n');
    }
    Ok(text)
}

impl Summary {
    fn of(metadata: &BatchMetadata) -> Self {
        let mut known = metadata.sequence_numbers.iter().flatten().copied();
        let first = known.next();
        Self {
            partition: metadata.partition.clone(),
            sequence: first.map(|first| (first, known.last().unwrap_or(first))),
            retry_count: metadata.retry_count,
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
        match judge_batch(&policy, body.into_bytes(), now, &|| true) {
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
