//! Due alerts → queue messages: repeats held back where their first alert is proven to be out, storms rolled up.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use futures_util::StreamExt as _;
use uuid::Uuid;

use super::shared::{Away, Shared, queue_message};
use crate::alert::own::{Storm, alert_storm};
use crate::alert::{Alert, MAX_EVIDENCE, Merged};
use crate::merge::{Delivery, Marks, Window};
use crate::sign_in::Timestamp;

/// A storm is told of when it begins and when its hour has passed.
const STORM_SECONDS: i64 = 3600;
/// Questions to the state store under way at once, for one batch.
const AT_ONCE: usize = 16;

/// An alert that a batch brought, for some sinks.
#[derive(Debug, Clone)]
pub(super) struct Due {
    pub(super) alert: Alert,
    pub(super) sign_ins: Vec<Merged>,
    pub(super) sinks: BTreeSet<String>,
    /// What its alerts are capped by.
    pub(super) storm: Storm,
    /// How long repeats are merged; 0 = never.
    pub(super) merge_seconds: i64,
}

/// What was made of the due alerts of a batch.
#[derive(Debug, Default)]
pub(super) struct Settled {
    /// For the queue.
    pub(super) messages: Vec<String>,
    /// Alerts that no sink needs to hear of now.
    pub(super) held_back: usize,
    /// Alerts that were rolled up.
    pub(super) beyond_cap: usize,
}

/// A due alert, with what is known of its deliveries.
struct Weighed {
    due: Due,
    /// `None`: the state store is away.
    marks: Option<Marks>,
}

impl Weighed {
    fn delivery(&self, sink: &str) -> Delivery {
        Delivery {
            alert: self.due.alert.id,
            sink: sink.to_owned(),
            update: false,
        }
    }

    /// The sinks that have not been told for certain.
    fn open(&self) -> BTreeSet<&str> {
        let is_open = |sink: &&String| match &self.marks {
            Some(marks) => marks.get(&self.delivery(sink)).is_none(),
            None => true,
        };
        self.due
            .sinks
            .iter()
            .filter(is_open)
            .map(String::as_str)
            .collect()
    }
}

/// The state store, asked up to a point in time.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) shared: &'a Shared,
    pub(super) until: Instant,
}

impl<'a> Asked<'a> {
    /// The store, while there is time.
    fn in_time(&self) -> Result<&'a Shared, Away> {
        match Instant::now() < self.until {
            true => Ok(self.shared),
            false => Err(Away),
        }
    }
}

/// Decides of every due alert of a batch. Without the state store, or with no more time to ask it, they are sent as
/// they are.
///
/// # Errors
/// An alert cannot be written as JSON.
pub(super) async fn settle(
    shared: Asked<'_>,
    due: Vec<Due>,
    cap: u32,
    now: Timestamp,
) -> Result<Settled, serde_json::Error> {
    let mut settled = Settled::default();
    let mut weighed = weigh(shared, due).await;
    if cap > 0 {
        let before = weighed.len();
        let storms;
        (weighed, storms) = roll_up(shared, weighed, cap).await;
        settled.beyond_cap = before - weighed.len();
        weighed.extend(weigh(shared, storms).await);
    }
    let decided: Vec<_> = futures_util::stream::iter(weighed)
        .map(|weighed| async move {
            let alert = merged(shared, &weighed, now).await;
            (weighed, alert)
        })
        .buffered(AT_ONCE)
        .collect()
        .await;
    for (weighed, alert) in decided {
        let open = weighed.open();
        if open.is_empty() {
            settled.held_back += 1;
        }
        for sink in open {
            settled.messages.push(queue_message(sink, &alert)?);
        }
    }
    Ok(settled)
}

async fn weigh(shared: Asked<'_>, due: Vec<Due>) -> Vec<Weighed> {
    futures_util::stream::iter(due)
        .map(|due| async move {
            let mut weighed = Weighed { due, marks: None };
            let enough = |marks: &Marks| {
                let mut sinks = weighed.due.sinks.iter();
                sinks.all(|sink| marks.get(&weighed.delivery(sink)).is_some())
            };
            let marks = match shared.in_time() {
                Ok(shared) => shared.marks_of_late(weighed.due.alert.id, enough).await,
                Err(away) => Err(away),
            };
            weighed.marks = marks.ok();
            weighed
        })
        .buffered(AT_ONCE)
        .collect()
        .await
}

/// Takes out what is beyond the cap, and makes one alert of it for each application and hour.
async fn roll_up(shared: Asked<'_>, weighed: Vec<Weighed>, cap: u32) -> (Vec<Weighed>, Vec<Due>) {
    let mut asked: BTreeMap<Storm, Vec<Uuid>> = BTreeMap::new();
    for weighed in weighed.iter().filter(|weighed| !weighed.open().is_empty()) {
        asked
            .entry(weighed.due.storm.clone())
            .or_default()
            .push(weighed.due.alert.id);
    }
    let answers: Vec<_> = futures_util::stream::iter(asked)
        .map(|(storm, alerts)| async move {
            let answer = match shared.in_time() {
                Ok(shared) => shared.admit(&storm, &alerts, cap).await,
                Err(away) => Err(away),
            };
            (storm, answer)
        })
        .buffered(AT_ONCE)
        .collect()
        .await;
    let refused: BTreeMap<Storm, (BTreeSet<Uuid>, usize)> = answers
        .into_iter()
        .filter_map(|(storm, answer)| Some((storm, answer.ok()?)))
        .collect();
    let mut storms: BTreeMap<Storm, Due> = BTreeMap::new();
    let mut sent = Vec::with_capacity(weighed.len());
    for weighed in weighed {
        let storm = &weighed.due.storm;
        match refused.get(storm) {
            Some((alerts, beyond)) if alerts.contains(&weighed.due.alert.id) => {
                match storms.get_mut(storm) {
                    Some(rolled) => add(rolled, &weighed.due),
                    None => {
                        let rolled = rolled_up(&weighed.due, cap, *beyond);
                        storms.insert(storm.clone(), rolled);
                    }
                }
            }
            _ => sent.push(weighed),
        }
    }
    let mut storms: Vec<Due> = storms.into_values().collect();
    storms.iter_mut().for_each(|storm| storm.alert.fit());
    (sent, storms)
}

fn rolled_up(first: &Due, cap: u32, beyond: usize) -> Due {
    Due {
        alert: alert_storm(&first.storm, &first.alert, cap, beyond),
        merge_seconds: STORM_SECONDS,
        ..first.clone()
    }
}

fn add(rolled: &mut Due, due: &Due) {
    let alert = &mut rolled.alert;
    alert.count += due.alert.count;
    alert.severity = alert.severity.max(due.alert.severity);
    alert.first_seen = alert.first_seen.min(due.alert.first_seen);
    alert.last_seen = alert.last_seen.max(due.alert.last_seen);
    let free = MAX_EVIDENCE.saturating_sub(alert.evidence.len());
    let ids = due.alert.evidence.iter().take(free).cloned();
    alert.evidence.extend(ids);
    alert.evidence_omitted = alert.count.saturating_sub(alert.evidence.len() as u64);
    rolled.sign_ins.extend(due.sign_ins.iter().cloned());
    rolled.sinks.extend(due.sinks.iter().cloned());
}

/// The alert as it stands with everything that its window has seen; as it is, where that cannot be known.
async fn merged(shared: Asked<'_>, weighed: &Weighed, now: Timestamp) -> Alert {
    let due = &weighed.due;
    let Ok(shared) = shared.in_time() else {
        return due.alert.clone();
    };
    if due.merge_seconds == 0 || weighed.marks.is_none() {
        return due.alert.clone();
    }
    let has_all = |window: &Window| window.has(&due.alert, &due.sign_ins, &due.sinks);
    if let Some(alert) = shared.known_window(due.alert.id, has_all) {
        return alert;
    }
    let all_told = weighed.open().is_empty();
    let changing = shared.change_window(due.alert.id, |known: Option<Window>| match known {
        Some(mut window) => {
            let new = window.add(&due.alert, &due.sign_ins, &due.sinks);
            let alert = window.alert.clone();
            (new.then_some(window), alert)
        }
        // It has closed, and its later word is said.
        None if all_told => (None, due.alert.clone()),
        None => {
            let window = Window::open(
                &due.alert,
                &due.sign_ins,
                &due.sinks,
                due.merge_seconds,
                now,
            );
            let alert = window.alert.clone();
            (Some(window), alert)
        }
    });
    match changing.await {
        Ok(alert) => alert,
        Err(_) => due.alert.clone(),
    }
}
