//! What was judged, counted by the hour.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::sign_in::Timestamp;

const HOUR_SECONDS: i64 = 3600;
/// Older hours are forgotten.
const KEPT_HOURS: i64 = 25;

/// Numbers of what arrived and what became of it. A batch that the hub sends again counts again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Tally {
    /// Batches of the hub.
    pub batches: u64,
    /// Events in them.
    pub events: u64,
    /// Records in those.
    pub records: u64,
    /// Sign-ins judged, those below.
    pub sign_ins: u64,
    /// Within the policy.
    pub allowed: u64,
    /// Outside it.
    pub violation: u64,
    /// Of applications that the policy does not list.
    pub unknown_app: u64,
    /// Records that could not be judged.
    pub rejected: u64,
    /// Alerts raised, merged or not.
    pub alerts: u64,
}

impl Tally {
    fn add(&mut self, other: &Self) {
        let sums = [
            (&mut self.batches, other.batches),
            (&mut self.events, other.events),
            (&mut self.records, other.records),
            (&mut self.sign_ins, other.sign_ins),
            (&mut self.allowed, other.allowed),
            (&mut self.violation, other.violation),
            (&mut self.unknown_app, other.unknown_app),
            (&mut self.rejected, other.rejected),
            (&mut self.alerts, other.alerts),
        ];
        for (sum, more) in sums {
            *sum = sum.saturating_add(more);
        }
    }
}

/// Tallies by the hour (UTC) in which the batches arrived, of the last day.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Hours(BTreeMap<i64, Tally>);

fn hour(time: Timestamp) -> i64 {
    time.unix_seconds().div_euclid(HOUR_SECONDS)
}

impl Hours {
    /// Counts something that arrived now.
    pub fn count(&mut self, tally: &Tally, now: Timestamp) {
        self.0.entry(hour(now)).or_default().add(tally);
        self.forget();
    }

    /// Adds what another instance counted.
    pub fn absorb(&mut self, other: &Self) {
        for (hour, tally) in &other.0 {
            self.0.entry(*hour).or_default().add(tally);
        }
        self.forget();
    }

    /// The sum of that many hours, the one under way included.
    pub fn last(&self, hours: i64, now: Timestamp) -> Tally {
        let mut sum = Tally::default();
        let first = hour(now) - hours + 1;
        for tally in self.0.range(first..).map(|(_, tally)| tally) {
            sum.add(tally);
        }
        sum
    }

    /// Whether nothing was counted.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn forget(&mut self) {
        if let Some(newest) = self.0.keys().next_back().copied() {
            self.0.retain(|hour, _| *hour > newest - KEPT_HOURS);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(hour: i64, minute: i64) -> Timestamp {
        let seconds = 1_800_000_000 / 3600 * 3600 + hour * 3600 + minute * 60;
        Timestamp::from(chrono::DateTime::from_timestamp(seconds, 0).unwrap())
    }

    fn of(sign_ins: u64) -> Tally {
        Tally {
            batches: 1,
            sign_ins,
            allowed: sign_ins,
            ..Tally::default()
        }
    }

    #[test]
    fn sums_hours_and_forgets_old_ones() {
        let mut here = Hours::default();
        here.count(&of(1), at(0, 59));
        here.count(&of(2), at(1, 0));
        let mut there = Hours::default();
        there.count(&of(4), at(1, 30));
        here.absorb(&there);
        let sign_ins = |hours, now| here.last(hours, now).sign_ins;
        assert_eq!(sign_ins(1, at(1, 59)), 6);
        assert_eq!(sign_ins(2, at(1, 59)), 7);
        assert_eq!(sign_ins(1, at(2, 0)), 0);
        assert_eq!(sign_ins(24, at(24, 0)), 6);
        assert_eq!(here.last(24, at(1, 59)).batches, 3);
        let json = serde_json::to_string(&here).unwrap();
        assert_eq!(serde_json::from_str::<Hours>(&json).unwrap(), here);
        here.count(&of(8), at(25, 0));
        assert_eq!(here.0.len(), 2);
        assert_eq!(here.last(100, at(25, 0)).sign_ins, 14);
    }
}
