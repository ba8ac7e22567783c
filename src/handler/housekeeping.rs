//! `POST /Housekeeping`: what no batch and no message brings about. Once a minute, on one instance.
//!
//! Closes merge windows, sends the alerts of the outbox until they are marked, says when the stream falls silent or
//! behind, when a policy was refused and when a feed is unwell, forgets what is of no more use, and calls the heartbeat
//! while all is well.
//! Every step may be taken twice, or by two instances at once.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use chrono::TimeDelta;
use futures_util::StreamExt as _;
use serde::{Deserialize, Serialize};
use tracing::{error, info, warn};
use uuid::Uuid;

use super::App;
use super::answer::{Answer, Outputs};
use super::shared::{Away, Shared, queue_message};
use crate::alert::Alert;
use crate::alert::own::{feed_unwell, policy_refused};
use crate::config::resolve;
use crate::merge::{Delivery, MarkKind, Marks, Pending, Window};
use crate::policy::{Policy, SecretRef};
use crate::sender::Outcome;
use crate::sign_in::Timestamp;
use crate::sink::{Method, Request};
use crate::stream::Stream;
use crate::verdict::Severity;

/// The document that says how things stand.
pub(super) const HEALTH: &str = "health";
/// The setting with the address that is called while all is well.
const HEARTBEAT: &str = "SPWATCH_HEARTBEAT_URL";
/// Whether that may be plain http, or an address on this machine.
const HEARTBEAT_INSECURE: &str = "SPWATCH_HEARTBEAT_INSECURE";

/// A run ends after that long; the next one goes on.
const LONGEST_RUN: Duration = Duration::from_secs(40);
/// A window that has closed but for a missing mark is looked at this often at least.
const LONGEST_WAIT_FOR_MARKS: TimeDelta = TimeDelta::minutes(5);
/// Questions to the state store under way at once.
const AT_ONCE: usize = 16;
/// What is of no more use is looked for this often.
const EXPIRING: Duration = Duration::from_secs(3600);
/// The marks are listed this often, to count what is kept.
const COUNTING: Duration = Duration::from_secs(300);
/// Sign-ins as old as the hub keeps them may come again that long, and queue messages live seven days.
const LIFE_DAYS: i64 = 8;

/// What runs in this process remember of each other.
#[derive(Debug, Default)]
pub(super) struct House {
    /// When windows close and pending alerts are due, so that they need not be read before.
    due: Mutex<HashMap<String, Timestamp>>,
    /// What was said while the state store was away.
    said: Mutex<HashSet<Uuid>>,
    expired: Mutex<Option<Instant>>,
    counted: Mutex<Option<(Instant, usize)>>,
    known: Mutex<Option<Known>>,
}

/// What the state store last said of the whole.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub(super) at: Timestamp,
    pub(super) stream: Stream,
    pub(super) health: Option<Health>,
}

impl House {
    /// What the store says now, else what it said last; `None` where it never said anything.
    pub(super) async fn know(&self, shared: &Shared, now: Timestamp) -> Option<Known> {
        if let Ok(stream) = shared.tell_arrivals().await
            && let Ok(health) = shared.read(HEALTH).await
        {
            let known = Known {
                at: now,
                stream,
                health,
            };
            *lock(&self.known) = Some(known);
        }
        lock(&self.known).clone()
    }
}

/// Whether a sink of the policy is down, by this process or by those that deliver.
async fn is_a_sink_down(app: &App, policy: Option<&Policy>) -> bool {
    if app.sender.health().iter().any(|sink| sink.open) {
        return true;
    }
    for sink in policy.into_iter().flat_map(|policy| policy.sinks.keys()) {
        if let Some(word) = app.shared.word_of_sink(sink).await
            && word.down
        {
            return true;
        }
    }
    false
}

/// How things stand, as the last run saw it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Health {
    pub(super) at: Option<Timestamp>,
    /// Whether there is a policy in force and none that was refused.
    pub(super) policy_is_well: bool,
    /// Categories that are silent.
    pub(super) silent: Vec<String>,
    /// Partitions that are read late.
    pub(super) late: Vec<String>,
    /// Alerts, by sink, that are kept in `undelivered`.
    pub(super) undelivered: usize,
    /// Open merge windows.
    pub(super) windows: usize,
    /// Alerts of the outbox.
    pub(super) pending: usize,
}

/// What a run did.
#[derive(Debug, Default)]
pub(super) struct Report {
    health: Health,
    state_is_away: bool,
    closed: usize,
    sent: usize,
    expired: usize,
    all_is_well: bool,
}

impl Report {
    pub(super) fn log(&self, invocation: &str, answer: &Answer, elapsed: Duration) {
        if let Answer::Retry(reason) | Answer::BadRequest(reason) = answer {
            error!(
                event = "housekeeping-failed",
                invocation.id = invocation,
                "housekeeping failed: {reason}"
            );
            return;
        }
        info!(
            event = "housekeeping-done",
            invocation.id = invocation,
            house.state_is_away = self.state_is_away,
            house.windows = self.health.windows,
            house.closed = self.closed,
            house.pending = self.health.pending,
            house.sent = self.sent,
            house.expired = self.expired,
            house.undelivered = self.health.undelivered,
            house.silent = self.health.silent.join(", "),
            house.late = self.health.late.join(", "),
            house.all_is_well = self.all_is_well,
            elapsed_ms = elapsed.as_millis() as u64,
            "house kept"
        );
        if !self.health.policy_is_well {
            warn!(
                event = "policy-unwell",
                "no policy is in force, or a newer one was refused or cannot be read"
            );
        }
        if self.health.undelivered > 0 {
            warn!(
                event = "alerts-undelivered",
                house.undelivered = self.health.undelivered,
                "{} alerts are kept in `undelivered`: see why, and send them with `spwatch redeliver`",
                self.health.undelivered
            );
        }
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs once.
pub(super) async fn run(app: &App, now: Timestamp) -> (Answer, Report) {
    let policy = app.policies.current().await;
    let mut run = Run {
        shared: &app.shared,
        house: &app.house,
        policy: policy.as_deref(),
        now,
        until: Instant::now() + LONGEST_RUN,
        report: Report::default(),
        due: Vec::new(),
    };
    let refused = app.policies.refused();
    run.report.health.policy_is_well = policy.is_some() && refused.is_none();
    let stream = app.shared.tell_arrivals().await.ok();
    if let Some(refused) = refused {
        run.say(policy_refused(&refused, now)).await;
    }
    let unwell = app.policies.unwell_feeds(now);
    for feed in &unwell {
        warn!(
            event = "feed-unwell",
            feed.file = feed.file,
            "the feed {} is unwell: {}",
            feed.file,
            feed.problem
        );
        run.say(feed_unwell(feed, now)).await;
    }
    if let Some(stream) = &stream {
        run.watch(stream).await;
    }
    let stored = run.keep_store().await;
    run.report.state_is_away = stored.is_err();
    let sink_is_down = is_a_sink_down(app, policy.as_deref()).await;
    let health = &run.report.health;
    run.report.all_is_well = stored.is_ok()
        && health.policy_is_well
        && unwell.is_empty()
        && health.silent.is_empty()
        && health.late.is_empty()
        && !sink_is_down;
    if run.report.all_is_well {
        beat(app).await;
    }
    let mut outputs = Outputs::default();
    for (sink, alert) in &run.due {
        match queue_message(sink, alert) {
            Ok(message) => outputs.alerts.push(message),
            Err(error) => {
                let reason = format!("an alert could not be written: {error}");
                return (Answer::Retry(reason), run.report);
            }
        }
    }
    run.report.sent = outputs.alerts.len();
    let logs = Vec::new();
    (Answer::Done { outputs, logs }, run.report)
}

/// One run.
struct Run<'a> {
    shared: &'a Shared,
    house: &'a House,
    policy: Option<&'a Policy>,
    now: Timestamp,
    until: Instant,
    report: Report,
    /// For the queue: sinks and alerts.
    due: Vec<(String, Alert)>,
}

impl Run<'_> {
    fn is_late(&self) -> bool {
        Instant::now() >= self.until
    }

    fn sinks(&self, severity: Severity) -> BTreeSet<String> {
        match self.policy {
            Some(policy) => policy.sinks_for(None, severity),
            None => BTreeSet::new(),
        }
    }

    /// Has an alert about spwatch itself sent; whether it is on its way for certain.
    async fn say(&mut self, alert: Alert) -> bool {
        let mut on_its_way = true;
        for sink in self.sinks(alert.severity) {
            let pending = Pending::new(alert.clone(), sink, self.now);
            if self.pend(&pending).await.is_err() {
                on_its_way = false;
                // Better once than never; each process says it once.
                if lock(&self.house.said).insert(alert.id) {
                    error!(event = "said-without-state", "{}", alert.title);
                    self.due.push((pending.sink, alert.clone()));
                }
            }
        }
        on_its_way
    }

    /// Puts an alert into the outbox, unless its sink has it.
    async fn pend(&self, pending: &Pending) -> Result<(), Away> {
        let delivery = pending.delivery();
        let is_marked = |marks: &Marks| marks.get(&delivery).is_some();
        let marks = self.shared.marks(delivery.alert, is_marked).await?;
        match is_marked(&marks) {
            true => Ok(()),
            false => self.shared.pend(pending).await,
        }
    }

    /// Says what is to be said of the stream.
    async fn watch(&mut self, stream: &Stream) {
        let limits = *self.shared.limits();
        let categories = stream.categories.iter();
        self.report.health.silent = categories
            .filter(|(_, category)| category.is_silent(&limits, self.now))
            .map(|(name, _)| name.clone())
            .collect();
        let partitions = stream.partitions.iter();
        self.report.health.late = partitions
            .filter(|(_, partition)| partition.is_late())
            .map(|(id, _)| id.clone())
            .collect();
        let alerts = stream.alerts(&limits, self.now);
        // Without a policy nobody can be told: later, then.
        if alerts.is_empty() || self.policy.is_none() {
            return;
        }
        let mut on_their_way = true;
        for alert in alerts {
            warn!(event = "stream-unwell", alert.rule = %alert.rule, "{}", alert.title);
            on_their_way &= self.say(alert).await;
        }
        if on_their_way {
            let now = self.now;
            let telling = self
                .shared
                .change(crate::stream::NAME, |known: Option<Stream>| {
                    let Some(mut stream) = known else {
                        return (None, ());
                    };
                    let any = stream.told(&limits, now);
                    (any.then_some(stream), ())
                });
            // Not noted, it is said again, with the same id.
            let _ = telling.await;
        }
    }

    /// Everything that needs the state store.
    async fn keep_store(&mut self) -> Result<(), Away> {
        self.close_windows().await?;
        self.empty_outbox().await?;
        self.count_undelivered().await?;
        self.expire().await?;
        self.report.health.at = Some(self.now);
        self.shared.write(HEALTH, &self.report.health).await
    }

    /// The documents of a folder that are due by what is known of them here, and how many there are.
    async fn due_in(&self, folder: &str) -> Result<(Vec<String>, usize), Away> {
        let listed = self.shared.list(folder).await?;
        let count = listed.len();
        let mut known = lock(&self.house.due);
        if known.len() > 100_000 {
            known.clear();
        }
        let names = listed.into_iter().map(|listed| listed.name);
        let due = names.filter(|name| known.get(name).is_none_or(|due| *due <= self.now));
        Ok((due.collect(), count))
    }

    fn remember(&self, name: &str, due: Timestamp) {
        lock(&self.house.due).insert(name.to_owned(), due);
    }

    async fn close_windows(&mut self) -> Result<(), Away> {
        let (names, count) = self.due_in("windows").await?;
        self.report.health.windows = count;
        let closing: Vec<Result<bool, Away>> = {
            let run = &*self;
            futures_util::stream::iter(names)
                .map(|name| async move {
                    match run.is_late() {
                        true => Ok(false),
                        false => run.close(&name).await,
                    }
                })
                .buffer_unordered(AT_ONCE)
                .collect()
                .await
        };
        for closed in closing {
            self.report.closed += usize::from(closed?);
        }
        Ok(())
    }

    /// Closes a window if it is time; whether it is closed for all its sinks.
    ///
    /// A sink hears of the repeats once its first alert is marked: only then is it known how many it was told of. Where
    /// that mark is missing, the alert is sent again, with all that is known by now: it may be on its way still, or
    /// the mark may have been lost while the state store was away.
    async fn close(&self, name: &str) -> Result<bool, Away> {
        let Some(window) = self.shared.read::<Window>(name).await? else {
            return Ok(false);
        };
        if !window.is_closed(self.now) {
            self.remember(name, window.closes);
            return Ok(false);
        }
        let alert = window.alert.id;
        let open: Vec<Delivery> = window
            .sinks
            .difference(&window.told)
            .map(|sink| Delivery {
                alert,
                sink: sink.clone(),
                update: false,
            })
            .collect();
        let enough = |marks: &Marks| open.iter().all(|delivery| marks.get(delivery).is_some());
        let marks = self.shared.marks(alert, enough).await?;
        let mut told = window.told.clone();
        for delivery in open {
            let Some(kind) = marks.get(&delivery) else {
                let again = Pending::new(window.alert.clone(), delivery.sink, self.now);
                self.pend(&again).await?;
                continue;
            };
            let mark = self.shared.read_mark(&delivery, kind).await?;
            let update = mark.and_then(|mark| window.update(mark.count));
            if let Some(update) = update {
                let pending = Pending::new(update, delivery.sink.clone(), self.now);
                self.pend(&pending).await?;
            }
            told.insert(delivery.sink);
        }
        if told.is_superset(&window.sinks) {
            // Repeats that come from now on are late: their alert is out, and its later word too.
            self.shared.remove(name).await?;
            return Ok(true);
        }
        if told != window.told {
            self.shared
                .change(name, |known: Option<Window>| {
                    let changed = known.map(|mut window| {
                        window.told.extend(told.iter().cloned());
                        window
                    });
                    (changed, ())
                })
                .await?;
        }
        // A receiver that is away for long is asked for less and less often.
        let age = (self.now.utc() - window.closes.utc()) / 4;
        let wait = age.min(LONGEST_WAIT_FOR_MARKS);
        self.remember(name, Timestamp::from(self.now.utc() + wait));
        Ok(false)
    }

    async fn empty_outbox(&mut self) -> Result<(), Away> {
        let (names, count) = self.due_in("outbox").await?;
        self.report.health.pending = count;
        let sending: Vec<Result<Option<Pending>, Away>> = {
            let run = &*self;
            futures_util::stream::iter(names)
                .map(|name| async move {
                    match run.is_late() {
                        true => Ok(None),
                        false => run.send(&name).await,
                    }
                })
                .buffer_unordered(AT_ONCE)
                .collect()
                .await
        };
        for pending in sending {
            if let Some(pending) = pending? {
                self.due.push((pending.sink, pending.alert));
            }
        }
        Ok(())
    }

    /// An alert of the outbox, if it is to be put into the queue now.
    async fn send(&self, name: &str) -> Result<Option<Pending>, Away> {
        let Some(pending) = self.shared.read::<Pending>(name).await? else {
            return Ok(None);
        };
        let delivery = pending.delivery();
        let is_marked = |marks: &Marks| marks.get(&delivery).is_some();
        if is_marked(&self.shared.marks(delivery.alert, is_marked).await?) {
            self.shared.remove(name).await?;
            return Ok(None);
        }
        let now = self.now;
        let due = self
            .shared
            .change(name, |known: Option<Pending>| {
                let Some(mut pending) = known else {
                    return (None, None);
                };
                match pending.send(now) {
                    true => (Some(pending.clone()), Some(pending)),
                    false => (None, None),
                }
            })
            .await?;
        if let Some(pending) = &due {
            self.remember(name, pending.next);
        }
        Ok(due)
    }

    async fn count_undelivered(&mut self) -> Result<(), Away> {
        let known = *lock(&self.house.counted);
        if let Some((at, count)) = known
            && at.elapsed() < COUNTING
        {
            self.report.health.undelivered = count;
            return Ok(());
        }
        let marks = self.shared.list("marks").await?;
        let kept = marks
            .iter()
            .filter(|mark| MarkKind::of(&mark.name) == Some(MarkKind::Kept));
        self.report.health.undelivered = kept.count();
        *lock(&self.house.counted) = Some((Instant::now(), self.report.health.undelivered));
        Ok(())
    }

    /// Forgets what can be of no more use.
    async fn expire(&mut self) -> Result<(), Away> {
        if lock(&self.house.expired).is_some_and(|at| at.elapsed() < EXPIRING) {
            return Ok(());
        }
        let longest = self.policy.map_or(TimeDelta::zero(), |policy| {
            let merge = TimeDelta::seconds(policy.defaults.merge_seconds);
            policy.defaults.max_event_age.max(merge)
        });
        let life = TimeDelta::days(LIFE_DAYS).max(longest + TimeDelta::days(1));
        let before = self.now.utc() - life;
        for folder in ["marks", "windows", "caps", "failures", "outbox"] {
            for listed in self.shared.list(folder).await? {
                if self.is_late() {
                    return Ok(());
                }
                if listed.modified < before {
                    self.shared.remove(&listed.name).await?;
                    self.report.expired += 1;
                }
            }
        }
        *lock(&self.house.expired) = Some(Instant::now());
        Ok(())
    }
}

/// Calls the heartbeat, where there is one.
async fn beat(app: &App) {
    let is_set = |name: &str| (app.lookup)(name).is_some_and(|value| !value.trim().is_empty());
    if !is_set(HEARTBEAT) {
        return;
    }
    let url = match resolve(&SecretRef::Env(HEARTBEAT.to_owned()), app.lookup.as_ref()) {
        Ok(url) => url,
        Err(error) => {
            warn!(
                event = "heartbeat-failed",
                "the heartbeat is not called: {error}"
            );
            return;
        }
    };
    let insecure = (app.lookup)(HEARTBEAT_INSECURE).is_some_and(|value| value.trim() == "true");
    let request = Request {
        method: Method::Get,
        url,
        headers: Vec::new(),
        body: Vec::new(),
    };
    match app.sender.send(request, insecure).await {
        Outcome::Delivered => {}
        Outcome::Transient { reason, .. } | Outcome::Permanent { reason } => {
            warn!(
                event = "heartbeat-failed",
                "the heartbeat was not taken: {reason}"
            );
        }
    }
}
