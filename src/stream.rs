//! Whether the logs still arrive, and in time. Pure.
//!
//! Each instance notes [`Arrivals`]; from time to time they go into one [`Stream`], which knows how long the gaps of a
//! category usually are, and so when a gap is a silence.

mod tally;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::alert::{Alert, own};
use crate::sign_in::Timestamp;

pub use tally::{Hours, Tally};

/// The document's name.
pub const NAME: &str = "stream";
/// A shorter gap is never a silence.
pub const SHORTEST_SILENCE_SECONDS: i64 = 30 * 60;
/// A gap this many times longer than nearly all before it is one.
const UNUSUAL: i64 = 6;
/// What was seen longer ago says nothing of how late the reading is now.
const FRESH_SECONDS: i64 = 15 * 60;

/// Upper ends of the gaps that are counted together, in minutes.
const GAPS: [u32; 18] = [
    1, 2, 3, 5, 10, 15, 20, 30, 45, 60, 90, 120, 180, 240, 360, 720, 1440, 2880,
];
/// With more gaps than that the older half counts half: habits change.
const MANY_GAPS: u32 = 20_000;

/// What arrived at one instance since it last told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Arrivals {
    categories: BTreeMap<&'static str, (Timestamp, Timestamp)>,
    partitions: BTreeMap<String, Reading>,
    hours: Hours,
}

/// How a partition is read: its last batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reading {
    /// When the oldest event of the last batch was put into the hub.
    pub enqueued: Timestamp,
    /// When that batch arrived here.
    pub seen: Timestamp,
    /// How many events it held.
    #[serde(default)]
    pub events: usize,
    /// First and last sequence number.
    #[serde(default)]
    pub sequence: Option<(i64, i64)>,
    /// The time of its newest sign-in.
    #[serde(default)]
    pub newest: Option<Timestamp>,
}

impl Reading {
    /// How long the batch's oldest event lay in the hub, in seconds.
    pub fn lag_seconds(&self) -> i64 {
        self.seen.unix_seconds() - self.enqueued.unix_seconds()
    }

    /// How long after its newest sign-in the batch arrived here, in seconds: what Entra ID, the hub and the host take
    /// together.
    pub fn event_lag_seconds(&self) -> Option<i64> {
        let newest = self.newest?;
        Some(self.seen.unix_seconds() - newest.unix_seconds())
    }
}

impl Arrivals {
    /// Notes that records of a category arrived.
    pub fn category(&mut self, category: &'static str, now: Timestamp) {
        self.categories
            .entry(category)
            .and_modify(|(_, last)| *last = now.max(*last))
            .or_insert((now, now));
    }

    /// Notes how late a batch of a partition is read.
    pub fn partition(&mut self, partition: &str, reading: Reading) {
        match self.partitions.get_mut(partition) {
            Some(known) => *known = reading,
            None => {
                self.partitions.insert(partition.to_owned(), reading);
            }
        }
    }

    /// Counts what was judged.
    pub fn count(&mut self, tally: &Tally, now: Timestamp) {
        self.hours.count(tally, now);
    }

    /// Whether there is nothing to tell.
    pub fn is_empty(&self) -> bool {
        self.categories.is_empty() && self.partitions.is_empty() && self.hours.is_empty()
    }

    /// Takes back what could not be told.
    pub fn put_back(&mut self, earlier: Self) {
        for (category, (first, last)) in earlier.categories {
            let known = self.categories.entry(category).or_insert((first, last));
            *known = (first.min(known.0), last.max(known.1));
        }
        for (partition, reading) in earlier.partitions {
            self.partitions.entry(partition).or_insert(reading);
        }
        self.hours.absorb(&earlier.hours);
    }
}

/// What all instances know of the stream.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stream {
    version: u32,
    /// By name.
    pub categories: BTreeMap<String, Category>,
    /// By id.
    pub partitions: BTreeMap<String, Partition>,
    /// What was judged.
    #[serde(default)]
    pub hours: Hours,
}

/// A category of logs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Category {
    /// When its latest records arrived.
    pub last: Timestamp,
    /// How often a gap was no longer than each of the known lengths.
    gaps: Vec<u32>,
    /// The silence that people were told of: the arrival before it.
    told: Option<Timestamp>,
}

/// A partition of the hub.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Partition {
    /// How its last batch was read.
    pub reading: Reading,
    /// Since when it is read dangerously late.
    late_since: Option<Timestamp>,
    /// The lateness that people were told of.
    told: Option<Timestamp>,
}

/// When something is to be said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The silence that is one for every category; `None`: by its own habit.
    pub silent_after_seconds: Option<i64>,
    /// How long the hub keeps events.
    pub retention_seconds: i64,
}

impl Category {
    fn new(first: Timestamp) -> Self {
        Self {
            last: first,
            gaps: Vec::new(),
            told: None,
        }
    }

    fn arrive(&mut self, first: Timestamp, last: Timestamp) {
        let gap = first.unix_seconds() - self.last.unix_seconds();
        if gap > 0 {
            self.count(gap);
        }
        self.last = self.last.max(last);
    }

    fn count(&mut self, gap_seconds: i64) {
        self.gaps.resize(GAPS.len() + 1, 0);
        let minutes = u32::try_from(gap_seconds / 60).unwrap_or(u32::MAX);
        let place = GAPS.partition_point(|end| *end <= minutes);
        if let Some(count) = self.gaps.get_mut(place) {
            *count += 1;
        }
        if self.gaps.iter().sum::<u32>() > MANY_GAPS {
            self.gaps.iter_mut().for_each(|count| *count /= 2);
        }
    }

    /// The length below which 99 of 100 gaps were, in seconds: the upper end of the lengths counted together.
    fn usual_gap_seconds(&self) -> i64 {
        let all: u32 = self.gaps.iter().sum();
        let longer = all / 100;
        let mut passed = 0;
        for (place, count) in self.gaps.iter().enumerate().rev() {
            passed += count;
            if passed > longer {
                let longest = GAPS.last().map_or(0, |end| end * 2);
                return i64::from(GAPS.get(place).copied().unwrap_or(longest)) * 60;
            }
        }
        0
    }

    /// After how long without a record it is silent, in seconds.
    pub fn threshold_seconds(&self, limits: &Limits) -> i64 {
        limits
            .silent_after_seconds
            .unwrap_or_else(|| SHORTEST_SILENCE_SECONDS.max(UNUSUAL * self.usual_gap_seconds()))
    }

    /// Whether it is silent.
    pub fn is_silent(&self, limits: &Limits, now: Timestamp) -> bool {
        now.unix_seconds() - self.last.unix_seconds() > self.threshold_seconds(limits)
    }
}

impl Partition {
    /// Whether events may be dropped before they are read.
    pub fn is_late(&self) -> bool {
        self.late_since.is_some()
    }
}

impl Stream {
    /// Takes in what an instance saw.
    pub fn absorb(&mut self, arrivals: &Arrivals, limits: &Limits) {
        self.version = 1;
        for (category, (first, last)) in &arrivals.categories {
            self.categories
                .entry((*category).to_owned())
                .or_insert_with(|| Category::new(*first))
                .arrive(*first, *last);
        }
        for (id, reading) in &arrivals.partitions {
            let known = self.partitions.entry(id.clone()).or_insert(Partition {
                reading: *reading,
                late_since: None,
                told: None,
            });
            if reading.seen >= known.reading.seen {
                known.reading = *reading;
            }
            let lag = known.reading.lag_seconds();
            if lag >= limits.retention_seconds / 2 {
                known.late_since.get_or_insert(known.reading.seen);
            } else if lag < limits.retention_seconds / 4 {
                known.late_since = None;
            }
        }
        self.hours.absorb(&arrivals.hours);
    }

    /// What is to be said now, and was not said yet.
    pub fn alerts(&self, limits: &Limits, now: Timestamp) -> Vec<Alert> {
        let silent = self.categories.iter().filter_map(|(name, category)| {
            let told = category.told == Some(category.last);
            (category.is_silent(limits, now) && !told).then(|| {
                let threshold = category.threshold_seconds(limits);
                own::stream_silent(name, category.last, threshold, now)
            })
        });
        let late = self.partitions.iter().filter_map(|(id, partition)| {
            let since = partition.late_since?;
            let fresh = now.unix_seconds() - partition.reading.seen.unix_seconds() < FRESH_SECONDS;
            (fresh && partition.told != Some(since)).then(|| {
                let enqueued = partition.reading.enqueued;
                own::stream_lagging(id, enqueued, limits.retention_seconds, since, now)
            })
        });
        silent.chain(late).collect()
    }

    /// Notes that all of [`Stream::alerts`] is on its way; whether there was any.
    pub fn told(&mut self, limits: &Limits, now: Timestamp) -> bool {
        let mut any = false;
        for category in self.categories.values_mut() {
            if category.is_silent(limits, now) && category.told != Some(category.last) {
                category.told = Some(category.last);
                any = true;
            }
        }
        for partition in self.partitions.values_mut() {
            if partition.late_since.is_some() && partition.told != partition.late_since {
                partition.told = partition.late_since;
                any = true;
            }
        }
        any
    }

    /// Whether every category arrives and every partition is read in time.
    pub fn is_well(&self, limits: &Limits, now: Timestamp) -> bool {
        let mut categories = self.categories.values();
        let mut partitions = self.partitions.values();
        !categories.any(|category| category.is_silent(limits, now))
            && !partitions.any(Partition::is_late)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BY_HABIT: Limits = Limits {
        silent_after_seconds: None,
        retention_seconds: 86_400,
    };

    fn minute(minute: i64) -> Timestamp {
        let seconds = 1_800_000_000 + minute * 60;
        Timestamp::from(chrono::DateTime::from_timestamp(seconds, 0).unwrap())
    }

    fn arrive(stream: &mut Stream, at: i64) {
        let mut arrivals = Arrivals::default();
        arrivals.category("AuditLogs", minute(at));
        stream.absorb(&arrivals, &BY_HABIT);
    }

    #[test]
    fn a_silence_is_told_once_until_records_arrive_again() {
        let mut stream = Stream::default();
        (0..20).for_each(|at| arrive(&mut stream, at));
        assert!(stream.alerts(&BY_HABIT, minute(19 + 30)).is_empty());
        let alerts = stream.alerts(&BY_HABIT, minute(19 + 31));
        assert_eq!(alerts.len(), 1);
        assert_eq!(alerts[0].rule, "stream-silent");
        assert!(!stream.is_well(&BY_HABIT, minute(19 + 31)));
        assert!(stream.told(&BY_HABIT, minute(19 + 31)));
        assert!(stream.alerts(&BY_HABIT, minute(19 + 90)).is_empty());
        arrive(&mut stream, 200);
        assert!(stream.is_well(&BY_HABIT, minute(200)));
        // The next one is another, and now such gaps are known.
        let later = minute(200 + 6 * 240 + 1);
        let again = stream.alerts(&BY_HABIT, later);
        assert_eq!(again.len(), 1);
        assert_ne!(again[0].id, alerts[0].id);
    }

    #[test]
    fn what_is_usual_for_a_category_is_no_silence() {
        let mut stream = Stream::default();
        // Every fifty minutes, for two weeks, and once after a night.
        (0..400).for_each(|number| arrive(&mut stream, number * 50));
        let last = 399 * 50;
        assert!(stream.alerts(&BY_HABIT, minute(last + 360)).is_empty());
        assert_eq!(stream.alerts(&BY_HABIT, minute(last + 361)).len(), 1);
        let fixed = Limits {
            silent_after_seconds: Some(600),
            ..BY_HABIT
        };
        assert_eq!(stream.alerts(&fixed, minute(last + 11)).len(), 1);
        let json = serde_json::to_string(&stream).unwrap();
        assert_eq!(serde_json::from_str::<Stream>(&json).unwrap(), stream);
    }

    #[test]
    fn lateness_is_told_once_until_it_is_made_up_for() {
        let mut stream = Stream::default();
        let read = |stream: &mut Stream, enqueued, seen| {
            let mut arrivals = Arrivals::default();
            let reading = Reading {
                enqueued: minute(enqueued),
                seen: minute(seen),
                events: 1,
                sequence: None,
                newest: Some(minute(enqueued - 2)),
            };
            assert_eq!(
                reading.event_lag_seconds(),
                Some((seen - enqueued + 2) * 60)
            );
            arrivals.partition("3", reading);
            stream.absorb(&arrivals, &BY_HABIT);
            let alerts = stream.alerts(&BY_HABIT, minute(seen));
            stream.told(&BY_HABIT, minute(seen));
            alerts.len()
        };
        assert_eq!(read(&mut stream, 0, 5), 0);
        assert_eq!(read(&mut stream, 10, 10 + 719), 0);
        assert_eq!(read(&mut stream, 20, 20 + 720), 1);
        assert_eq!(read(&mut stream, 30, 30 + 730), 0);
        assert_eq!(read(&mut stream, 900, 900 + 400), 0);
        assert!(!stream.is_well(&BY_HABIT, minute(1300)));
        assert_eq!(read(&mut stream, 1300, 1301), 0);
        assert!(stream.is_well(&BY_HABIT, minute(1301)));
        assert_eq!(read(&mut stream, 1400, 1400 + 721), 1);
    }

    #[test]
    fn reads_what_an_earlier_version_wrote() {
        let text = r#"{"version":1,"categories":{},"partitions":{"0":{"reading":
            {"enqueued":"2026-11-24T12:00:00.0000000Z","seen":"2026-11-24T12:00:05.0000000Z"},
            "late_since":null,"told":null}}}"#;
        let stream: Stream = serde_json::from_str(text).unwrap();
        assert_eq!(stream.partitions["0"].reading.lag_seconds(), 5);
        assert_eq!(stream.partitions["0"].reading.event_lag_seconds(), None);
        assert_eq!(stream.hours, Hours::default());
    }

    #[test]
    fn what_could_not_be_told_is_told_later() {
        let (mut early, mut late) = (Arrivals::default(), Arrivals::default());
        early.category("AuditLogs", minute(1));
        late.category("AuditLogs", minute(3));
        let tally = Tally {
            sign_ins: 2,
            ..Tally::default()
        };
        early.count(&tally, minute(1));
        late.count(&tally, minute(3));
        late.put_back(early);
        assert_eq!(late.hours.last(24, minute(3)).sign_ins, 4);
        assert_eq!(late.categories["AuditLogs"], (minute(1), minute(3)));
        assert!(!late.is_empty());
    }
}
