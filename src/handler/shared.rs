//! What instances share, and what becomes of it while the state store is away.
//!
//! Every question may be answered with [`Away`]: then nothing is merged and nothing held back, and nobody waits for
//! the store again for a while.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::future::Future;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tracing::{info, warn};
use uuid::Uuid;

use crate::alert::Alert;
use crate::alert::own::Storm;
use crate::merge::{
    Admitted, Delivery, Mark, MarkKind, Marks, Pending, SinkWord, Window, failure_name,
    marks_folder,
};
use crate::sign_in::Timestamp;
use crate::state::{Listed, State, StateError, Version};
use crate::stream::{self, Arrivals, Limits, Stream};

/// The store's own limit is a little lower; a directory on a dead network drive has none.
const PATIENCE: Duration = Duration::from_secs(7);
/// After a failure the store is left alone for that long.
const REST: Duration = Duration::from_secs(10);
/// Arrivals are told this often: silences are measured in minutes.
const TELLING: Duration = Duration::from_secs(20);
/// A mark that is not there is looked for again after that long: until then a repeat is sent, and dropped by `Deliver`.
const UNMARKED: Duration = Duration::from_secs(2);
/// Windows are remembered up to that many bytes.
const WINDOW_BYTES: usize = 32 << 20;
/// As many things are remembered of each kind; beyond that, memory begins anew and asks the store again.
const REMEMBERED: usize = 20_000;

/// The state store is away, or was a moment ago.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Away;

/// The documents that instances share.
#[derive(Debug)]
pub struct Shared {
    state: State,
    limits: Limits,
    /// Until then nobody asks.
    resting: Mutex<Option<Instant>>,
    /// Marks never vanish before they are of no use.
    marks: Mutex<HashMap<Uuid, Marks>>,
    /// When it was seen that an alert has not the marks that were asked for.
    unmarked: Mutex<HashMap<Uuid, Instant>>,
    windows: Mutex<Windows>,
    caps: Mutex<HashMap<String, Admitted>>,
    under_way: Arc<Mutex<HashSet<Delivery>>>,
    failures: Mutex<HashMap<Delivery, String>>,
    arrivals: Mutex<Arrivals>,
    told: Mutex<Option<Instant>>,
    /// Of each sink, whether the others were told that it is down.
    sinks_told: Mutex<HashMap<String, bool>>,
}

/// Windows as they were last written here.
#[derive(Debug, Default)]
struct Windows {
    all: HashMap<Uuid, (Window, Version)>,
    /// About as many bytes are in all of them.
    bytes: usize,
}

impl Windows {
    fn take(&mut self, alert: Uuid) -> Option<(Window, Version)> {
        let known = self.all.remove(&alert)?;
        self.bytes = self.bytes.saturating_sub(known.0.size());
        Some(known)
    }

    fn put(&mut self, alert: Uuid, known: (Window, Version)) {
        if self.bytes > WINDOW_BYTES {
            *self = Self::default();
        }
        self.take(alert);
        self.bytes += known.0.size();
        self.all.insert(alert, known);
    }
}

/// Why a delivery failed last.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Failure {
    pub(super) at: Timestamp,
    pub(super) reason: String,
}

/// A delivery under way in this process, until dropped.
#[derive(Debug)]
pub(super) struct UnderWay {
    all: Arc<Mutex<HashSet<Delivery>>>,
    delivery: Delivery,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        lock(&self.all).remove(&self.delivery);
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Remembers something, and forgets all before it where that is too much.
fn remember<K: Hash + Eq, V>(memory: &Mutex<HashMap<K, V>>, key: K, value: V) {
    let mut memory = lock(memory);
    if memory.len() >= REMEMBERED {
        memory.clear();
    }
    memory.insert(key, value);
}

impl Shared {
    /// Over a store.
    pub fn new(state: State, limits: Limits) -> Self {
        Self {
            state,
            limits,
            resting: Mutex::default(),
            marks: Mutex::default(),
            unmarked: Mutex::default(),
            windows: Mutex::default(),
            caps: Mutex::default(),
            under_way: Arc::default(),
            failures: Mutex::default(),
            arrivals: Mutex::default(),
            told: Mutex::default(),
            sinks_told: Mutex::default(),
        }
    }

    /// When something is to be said of the stream.
    pub(super) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Whether the store answered when it was last asked.
    pub(super) fn is_there(&self) -> bool {
        lock(&self.resting).is_none()
    }

    async fn ask<T>(
        &self,
        question: impl Future<Output = Result<T, StateError>>,
    ) -> Result<T, Away> {
        if lock(&self.resting).is_some_and(|until| Instant::now() < until) {
            return Err(Away);
        }
        let problem = match tokio::time::timeout(PATIENCE, question).await {
            Ok(Ok(answer)) => {
                if lock(&self.resting).take().is_some() {
                    info!(event = "state-back", "the state store is back");
                }
                return Ok(answer);
            }
            Ok(Err(error)) => error.whole(),
            Err(_) => "no answer in time".to_owned(),
        };
        let before = lock(&self.resting).replace(Instant::now() + REST);
        if before.is_none() {
            warn!(
                event = "state-away",
                "the state store is away, alerts go out unmerged meanwhile: {problem}"
            );
        }
        Err(Away)
    }

    /// The marks of an alert; from memory, where what is known there is enough.
    pub(super) async fn marks(
        &self,
        alert: Uuid,
        enough: impl Fn(&Marks) -> bool,
    ) -> Result<Marks, Away> {
        let known = lock(&self.marks).get(&alert).cloned();
        if let Some(marks) = known.filter(&enough) {
            return Ok(marks);
        }
        let listed = self.ask(self.state.list(&marks_folder(alert))).await?;
        let marks = Marks::of(listed.iter().map(|listed| listed.name.as_str()));
        if marks != Marks::default() {
            remember(&self.marks, alert, marks.clone());
        }
        Ok(marks)
    }

    /// As [`Shared::marks`], for whoever does no harm by missing a mark that is new.
    pub(super) async fn marks_of_late(
        &self,
        alert: Uuid,
        enough: impl Fn(&Marks) -> bool,
    ) -> Result<Marks, Away> {
        let seen = lock(&self.unmarked).get(&alert).copied();
        if seen.is_some_and(|seen| seen.elapsed() < UNMARKED) {
            return Ok(lock(&self.marks).get(&alert).cloned().unwrap_or_default());
        }
        let marks = self.marks(alert, &enough).await?;
        if !enough(&marks) {
            remember(&self.unmarked, alert, Instant::now());
        }
        Ok(marks)
    }

    /// Marks a delivery; a mark that is there already stays.
    pub(super) async fn mark(
        &self,
        delivery: &Delivery,
        kind: MarkKind,
        mark: &Mark,
    ) -> Result<(), Away> {
        // Plain data with string keys: it cannot fail, and an empty mark is one too.
        let json = serde_json::to_vec(mark).unwrap_or_default();
        let name = delivery.mark_name(kind);
        self.ask(self.state.create(&name, json)).await?;
        // Whoever judges in this process holds the next repeat back.
        lock(&self.unmarked).remove(&delivery.alert);
        Ok(())
    }

    /// Takes a mark away.
    pub(super) async fn unmark(&self, delivery: &Delivery, kind: MarkKind) -> Result<(), Away> {
        self.remove(&delivery.mark_name(kind)).await
    }

    /// What a mark says.
    pub(super) async fn read_mark(
        &self,
        delivery: &Delivery,
        kind: MarkKind,
    ) -> Result<Option<Mark>, Away> {
        let name = delivery.mark_name(kind);
        let document = self.ask(self.state.read(&name)).await?;
        Ok(document.and_then(|document| document.json(&name)))
    }

    /// Begins a delivery, unless the same one is under way in this process.
    pub(super) fn begin(&self, delivery: &Delivery) -> Option<UnderWay> {
        lock(&self.under_way)
            .insert(delivery.clone())
            .then(|| UnderWay {
                all: Arc::clone(&self.under_way),
                delivery: delivery.clone(),
            })
    }

    /// Notes why a delivery failed, if that is news.
    pub(super) async fn note_failure(&self, delivery: &Delivery, reason: &str, now: Timestamp) {
        if lock(&self.failures)
            .get(delivery)
            .is_some_and(|known| known == reason)
        {
            return;
        }
        let failure = Failure {
            at: now,
            reason: reason.to_owned(),
        };
        let Ok(json) = serde_json::to_vec(&failure) else {
            return;
        };
        let name = failure_name(delivery);
        if self.ask(self.state.write(&name, json)).await.is_ok() {
            remember(&self.failures, delivery.clone(), failure.reason);
        }
    }

    /// Whether a failure of that delivery is noted already.
    pub(super) fn has_failed(&self, delivery: &Delivery) -> bool {
        lock(&self.failures).contains_key(delivery)
    }

    /// Why a delivery failed last.
    pub(super) async fn failure(&self, delivery: &Delivery) -> Option<Failure> {
        let name = failure_name(delivery);
        let document = self.ask(self.state.read(&name)).await.ok()??;
        document.json(&name)
    }

    /// Tells the processes that deliver nothing whether a sink is down, if that is news.
    pub(super) async fn tell_of_sink(
        &self,
        sink: &str,
        down: bool,
        last_failure: Option<String>,
        now: Timestamp,
    ) {
        if lock(&self.sinks_told).get(sink) == Some(&down) {
            return;
        }
        let word = SinkWord::new(down, last_failure, now);
        if self.write(&SinkWord::name(sink), &word).await.is_ok() {
            lock(&self.sinks_told).insert(sink.to_owned(), down);
        }
    }

    /// What the processes that deliver say of a sink.
    pub(super) async fn word_of_sink(&self, sink: &str) -> Option<SinkWord> {
        self.read(&SinkWord::name(sink)).await.ok().flatten()
    }

    /// Those of an application's alerts that are beyond the cap, and how many there are by now.
    pub(super) async fn admit(
        &self,
        storm: &Storm,
        alerts: &[Uuid],
        cap: u32,
    ) -> Result<(BTreeSet<Uuid>, usize), Away> {
        let name = Admitted::name(storm);
        if let Some(known) = lock(&self.caps).get(&name)
            && let Some(refused) = known.answer(alerts)
        {
            return Ok((refused, known.beyond()));
        }
        let admitting = self.state.change(&name, |known: Option<Admitted>| {
            let mut admitted = known.unwrap_or_default();
            let (refused, changed) = admitted.admit(alerts, cap);
            (changed.then(|| admitted.clone()), (refused, admitted))
        });
        let (refused, admitted) = self.ask(admitting).await?;
        let beyond = admitted.beyond();
        remember(&self.caps, name, admitted);
        Ok((refused, beyond))
    }

    /// The alert of a window that is known here, if it has all that a batch brought.
    pub(super) fn known_window(
        &self,
        alert: Uuid,
        has_all: impl Fn(&Window) -> bool,
    ) -> Option<Alert> {
        let windows = lock(&self.windows);
        let (window, _) = windows.all.get(&alert)?;
        has_all(window).then(|| window.alert.clone())
    }

    /// Changes the window of an alert: `change` is given what is there, and says what is to be there.
    pub(super) async fn change_window<R>(
        &self,
        alert: Uuid,
        change: impl FnMut(Option<Window>) -> (Option<Window>, R),
    ) -> Result<R, Away> {
        let known = lock(&self.windows).take(alert);
        let name = Window::name(alert);
        let changing = self.state.change_known(&name, known, change);
        let (result, known) = self.ask(changing).await?;
        if let Some(known) = known {
            lock(&self.windows).put(alert, known);
        }
        Ok(result)
    }

    /// Puts an alert into the outbox, for one sink. It stays as it is where it is there already.
    pub(super) async fn pend(&self, pending: &Pending) -> Result<(), Away> {
        let json = serde_json::to_vec(pending).unwrap_or_default();
        let name = pending.delivery().pending_name();
        self.ask(self.state.create(&name, json)).await?;
        Ok(())
    }

    /// What lies in a folder.
    pub(super) async fn list(&self, folder: &str) -> Result<Vec<Listed>, Away> {
        self.ask(self.state.list(folder)).await
    }

    /// Reads a document.
    pub(super) async fn read<T: serde::de::DeserializeOwned>(
        &self,
        name: &str,
    ) -> Result<Option<T>, Away> {
        let document = self.ask(self.state.read(name)).await?;
        Ok(document.and_then(|document| document.json(name)))
    }

    /// Changes a document.
    pub(super) async fn change<T, R>(
        &self,
        name: &str,
        change: impl FnMut(Option<T>) -> (Option<T>, R),
    ) -> Result<R, Away>
    where
        T: Serialize + serde::de::DeserializeOwned,
    {
        self.ask(self.state.change(name, change)).await
    }

    /// Writes a document.
    pub(super) async fn write<T: Serialize>(&self, name: &str, document: &T) -> Result<(), Away> {
        let json = serde_json::to_vec(document).unwrap_or_default();
        self.ask(self.state.write(name, json)).await
    }

    /// Removes a document.
    pub(super) async fn remove(&self, name: &str) -> Result<(), Away> {
        self.ask(self.state.remove(name)).await
    }

    /// Notes what arrived here.
    pub(super) fn arrived(&self, note: impl FnOnce(&mut Arrivals)) {
        note(&mut lock(&self.arrivals));
    }

    /// Whether it is time to tell the others what arrived here.
    pub(super) fn is_time_to_tell(&self) -> bool {
        let mut told = lock(&self.told);
        let due = told.is_none_or(|told| told.elapsed() >= TELLING);
        if due {
            *told = Some(Instant::now());
        }
        due
    }

    /// Tells the others what arrived here. What is known of the stream afterwards.
    pub(super) async fn tell_arrivals(&self) -> Result<Stream, Away> {
        let arrivals = std::mem::take(&mut *lock(&self.arrivals));
        let telling = self.change(stream::NAME, |known: Option<Stream>| {
            let mut stream = known.unwrap_or_default();
            if arrivals.is_empty() {
                return (None, stream);
            }
            stream.absorb(&arrivals, &self.limits);
            (Some(stream.clone()), stream)
        });
        let told = telling.await;
        if told.is_err() {
            lock(&self.arrivals).put_back(arrivals);
        }
        told
    }
}

/// An alert for one sink, as it lies in the queue.
#[derive(Serialize)]
struct QueueMessage<'a> {
    sink: &'a str,
    alert: &'a Alert,
}

/// The text of a queue message.
pub(super) fn queue_message(sink: &str, alert: &Alert) -> Result<String, serde_json::Error> {
    serde_json::to_string(&QueueMessage { sink, alert })
}
