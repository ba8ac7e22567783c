//! `POST /SignIns`: a batch of Event Hub events → alerts for the queue, rejects for the blob.
//!
//! Pure but for the pace: the clock's reading, the question whether to go on and the number of threads are
//! arguments.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use serde::Serialize;

use super::answer::{Answer, Outputs};
use super::merging::Due;
use super::wire::{self, Batch, Form, NotAnInvocation};
use crate::alert::{self, own::Storm};
use crate::assess::{Block, Counts, Ledger, Period, Rejected};
use crate::finding::Finding;
use crate::ingest::{self, Context, EventError, Habit, Item, Position, Reject};
use crate::policy::Policy;
use crate::sign_in::{Kind, Timestamp};
use crate::stream::{Arrivals, Reading, Tally};

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
    /// The time of the newest sign-in of the batch.
    pub newest: Option<Timestamp>,
    /// When the oldest event was put into the hub.
    pub enqueued: Option<Timestamp>,
    /// The kinds of sign-ins that it held.
    pub kinds: Kinds,
}

/// Kinds of sign-ins.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Kinds {
    service_principal: bool,
    managed_identity: bool,
    microsoft: bool,
}

impl Kinds {
    fn add(&mut self, kind: Kind) {
        match kind {
            Kind::ServicePrincipal => self.service_principal = true,
            Kind::ManagedIdentity => self.managed_identity = true,
            Kind::MicrosoftServicePrincipal => self.microsoft = true,
        }
    }

    fn join(self, other: Self) -> Self {
        Self {
            service_principal: self.service_principal | other.service_principal,
            managed_identity: self.managed_identity | other.managed_identity,
            microsoft: self.microsoft | other.microsoft,
        }
    }
}

impl Summary {
    /// The categories that the batch brought records of, as Microsoft spells them.
    fn categories(&self) -> impl Iterator<Item = &'static str> {
        let kinds = self.kinds;
        let known = [
            (kinds.service_principal, Kind::ServicePrincipal.category()),
            (kinds.managed_identity, Kind::ManagedIdentity.category()),
            (kinds.microsoft, Kind::MicrosoftServicePrincipal.category()),
            (self.counts.audit_events > 0, "AuditLogs"),
        ];
        known
            .into_iter()
            .filter_map(|(there, category)| there.then_some(category))
    }

    /// Notes what arrived. A batch that is not done comes again: of it, only how late its partition is read by now.
    pub(super) fn note(&self, arrivals: &mut Arrivals, is_done: bool, now: Timestamp) {
        if let (Some(partition), Some(enqueued)) = (&self.partition, self.enqueued) {
            let reading = Reading {
                enqueued,
                seen: now,
                events: self.events,
                sequence: self.sequence,
                newest: self.newest,
            };
            arrivals.partition(partition, reading);
        }
        if !is_done {
            return;
        }
        for category in self.categories() {
            arrivals.category(category, now);
        }
        let counts = &self.counts;
        let tally = Tally {
            batches: 1,
            events: self.events as u64,
            records: counts.records,
            sign_ins: counts.sign_ins,
            allowed: counts.allowed,
            violation: counts.violation,
            unknown_app: counts.unknown_app,
            rejected: counts.rejected,
            alerts: self.alerts as u64,
        };
        arrivals.count(&tally, now);
    }
}

/// A judged batch: its answer lacks the alerts that are still to be decided on.
#[derive(Debug)]
pub(super) struct Judged {
    pub(super) answer: Answer,
    pub(super) summary: Summary,
    /// The alerts that are due.
    pub(super) due: Vec<Due>,
    /// `max_alerts_per_hour`
    pub(super) cap: u32,
}

impl Judged {
    /// A batch that brought no alert.
    pub(super) fn without_alerts(answer: Answer, summary: Summary) -> Self {
        Self {
            answer,
            summary,
            due: Vec::new(),
            cap: 0,
        }
    }
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
) -> Judged {
    let refused = |error: NotAnInvocation| {
        let answer = Answer::BadRequest(error.to_string());
        Judged::without_alerts(answer, Summary::default())
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

fn late(summary: Summary) -> Judged {
    let reason = "the batch could not be judged before the deadline".to_owned();
    Judged::without_alerts(Answer::Retry(reason), summary)
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
    kinds: Kinds,
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
            kinds: Kinds::default(),
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
                        part.kinds.add(sign_in.kind);
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
) -> Judged {
    let mut ledger = Ledger::new();
    let mut findings = Vec::new();
    let mut rejected = Vec::new();
    let newest = parts.iter().filter_map(|part| part.newest).max();
    let kinds = parts.iter().map(|part| part.kinds);
    summary.kinds = kinds.fold(Kinds::default(), Kinds::join);
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
    summary.newest = newest;
    let (answer, due) = answer(
        policy,
        findings,
        rejected,
        now,
        &mut summary,
        ledger.counts(),
    );
    summary.counts = ledger.counts().clone();
    Judged {
        answer,
        summary,
        due,
        cap: policy.defaults.max_alerts_per_hour,
    }
}

fn answer(
    policy: &Policy,
    mut findings: Vec<Finding<'_>>,
    rejected: Vec<RejectedLine>,
    now: Timestamp,
    summary: &mut Summary,
    counts: &Counts,
) -> (Answer, Vec<Due>) {
    for finding in &mut findings {
        if finding.due && now.utc() - finding.sign_in.time.utc() > policy.defaults.max_event_age {
            finding.due = false;
            summary.too_old += 1;
        }
    }
    summary.recorded = findings.iter().filter(|finding| !finding.due).count();
    let alerts = alert::raise(policy, &findings, now);
    summary.alerts = alerts.len();
    let due = alerts.into_iter().map(|raised| Due {
        sinks: policy.sinks_for(raised.app, raised.alert.severity),
        storm: storm(&raised),
        merge_seconds: policy.defaults.merge_seconds,
        alert: raised.alert,
        sign_ins: raised.sign_ins,
    });
    // What is milder than every sink wants goes nowhere.
    let due = due.filter(|due| !due.sinks.is_empty()).collect();
    let mut outputs = Outputs::default();
    if !rejected.is_empty() {
        match ndjson(rejected) {
            Ok(text) => outputs.rejected = Some(text),
            Err(error) => {
                return (
                    Answer::Retry(format!("a reject could not be written: {error}")),
                    Vec::new(),
                );
            }
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
    (Answer::Done { outputs, logs }, due)
}

/// What the alerts of an application are counted by, for the cap.
fn storm(raised: &alert::Raised<'_>) -> Storm {
    let alert = &raised.alert;
    let group = match raised.app {
        Some(app) => format!("entry\u{1f}{}", app.name),
        None => {
            let id = alert.app.app_id.as_ref();
            let id = id.or(alert.app.service_principal_id.as_ref());
            let tenant = alert.tenant_id.as_deref().unwrap_or_default();
            let id = id.or(alert.app.name.as_ref()).map_or("", String::as_str);
            format!("app\u{1f}{tenant}\u{1f}{id}")
        }
    };
    let seconds = alert.time.unix_seconds();
    Storm {
        group,
        hour: seconds - seconds.rem_euclid(3600),
    }
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
    /// What a body says of its batch, unjudged.
    pub(super) fn of_body(body: Vec<u8>) -> Self {
        wire::batch(body).map_or_else(|_| Self::default(), |batch| Self::of(&batch))
    }

    fn of(batch: &Batch) -> Self {
        let metadata = &batch.metadata;
        let mut known = metadata.sequence_numbers.iter().flatten().copied();
        let first = known.next();
        Self {
            partition: metadata.partition.clone(),
            sequence: first.map(|first| (first, known.last().unwrap_or(first))),
            retry_count: metadata.retry_count,
            events: batch.len(),
            enqueued: metadata.enqueued.iter().flatten().min().copied(),
            ..Self::default()
        }
    }
}

#[cfg(test)]
mod tests;
