//! One alert over the time in which its repeats are merged.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::VERSION;
use crate::alert::own::ALERT_STORM;
use crate::alert::{Alert, MAX_EVIDENCE, Merged};
use crate::sign_in::Timestamp;

/// As many sign-ins are told apart in one window; with more, its count is a lower bound.
pub const MAX_COUNTED: usize = 4096;

/// A merge window: the alert as it stands with every repeat so far.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Window {
    #[serde(deserialize_with = "super::this_version")]
    version: u32,
    /// The first alert, with the counts and the evidence of all.
    pub alert: Alert,
    /// The sinks that it goes to.
    pub sinks: BTreeSet<String>,
    /// The sinks that need no later word, or whose later word is on its way.
    pub told: BTreeSet<String>,
    /// When the window closes: its first alert's raising, and the merge time.
    pub closes: Timestamp,
    #[serde(with = "keys")]
    counted: BTreeSet<u128>,
    /// The largest number of sign-ins that one batch brought: each of them was told apart there.
    most: u64,
}

impl Window {
    /// The name of an alert's window.
    pub fn name(alert: Uuid) -> String {
        format!("windows/{alert}")
    }

    /// A window that an alert opens.
    pub fn open(
        alert: &Alert,
        sign_ins: &[Merged],
        sinks: &BTreeSet<String>,
        merge_seconds: i64,
        now: Timestamp,
    ) -> Self {
        let mut window = Self {
            version: VERSION,
            alert: Alert {
                evidence: Vec::new(),
                raised: now,
                ..alert.clone()
            },
            sinks: BTreeSet::new(),
            told: BTreeSet::new(),
            closes: Timestamp::from(now.utc() + chrono::TimeDelta::seconds(merge_seconds)),
            counted: BTreeSet::new(),
            most: 0,
        };
        window.add(alert, sign_ins, sinks);
        window
    }

    /// Whether it has all that a batch brought.
    pub fn has(&self, alert: &Alert, sign_ins: &[Merged], sinks: &BTreeSet<String>) -> bool {
        let full = self.alert.count_is_minimum;
        let mut sign_ins = sign_ins.iter();
        alert.count <= self.most
            && sinks.is_subset(&self.sinks)
            && sign_ins.all(|sign_in| full || self.counted.contains(&sign_in.key))
    }

    /// About as many bytes are in it.
    pub fn size(&self) -> usize {
        const ALERT: usize = 4096;
        ALERT + self.counted.len() * 48
    }

    /// Adds what a batch brought; whether anything of it is new.
    pub fn add(&mut self, alert: &Alert, sign_ins: &[Merged], sinks: &BTreeSet<String>) -> bool {
        let mut new = false;
        let merged = &mut self.alert;
        for sign_in in sign_ins {
            if self.counted.contains(&sign_in.key) {
                continue;
            }
            if self.counted.len() >= MAX_COUNTED {
                new |= !std::mem::replace(&mut merged.count_is_minimum, true);
                continue;
            }
            new |= self.counted.insert(sign_in.key);
            merged.first_seen = merged.first_seen.min(sign_in.time);
            merged.last_seen = merged.last_seen.max(sign_in.time);
            if merged.evidence.len() < MAX_EVIDENCE {
                merged.evidence.push(sign_in.id.clone());
            }
        }
        new |= alert.count > self.most;
        self.most = self.most.max(alert.count);
        for sink in sinks {
            new |= self.sinks.insert(sink.clone());
        }
        if new {
            merged.count = self.most.max(self.counted.len() as u64);
            merged.evidence_omitted = merged.count.saturating_sub(merged.evidence.len() as u64);
            if merged.rule == ALERT_STORM {
                // It tells how many alerts there are.
                merged.reasons.clone_from(&alert.reasons);
            }
            merged.fit();
        }
        new
    }

    /// Whether it has closed.
    pub fn is_closed(&self, now: Timestamp) -> bool {
        now >= self.closes
    }

    /// The later word, for a sink that was told of `told` sign-ins; none where there is nothing to add.
    pub fn update(&self, told: u64) -> Option<Alert> {
        (self.alert.count > told || self.alert.count_is_minimum).then(|| Alert {
            update: true,
            ..self.alert.clone()
        })
    }
}

/// Keys as one text: 16 bytes each, Base64.
mod keys {
    use std::collections::BTreeSet;

    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(super) fn serialize<S: Serializer>(
        keys: &BTreeSet<u128>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let bytes: Vec<u8> = keys.iter().flat_map(|key| key.to_be_bytes()).collect();
        serializer.serialize_str(&STANDARD.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<BTreeSet<u128>, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = STANDARD.decode(text).map_err(de::Error::custom)?;
        let (keys, rest) = bytes.as_chunks::<16>();
        if !rest.is_empty() {
            return Err(de::Error::custom("a key has 16 bytes"));
        }
        Ok(keys.iter().map(|key| u128::from_be_bytes(*key)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::own::stream_silent;

    fn time(second: i64) -> Timestamp {
        Timestamp::from(chrono::DateTime::from_timestamp(1_800_000_000 + second, 0).unwrap())
    }

    /// An alert of sign-ins with these keys, each at the second of its key.
    fn batch(keys: impl IntoIterator<Item = u128>) -> (Alert, Vec<Merged>) {
        let sign_ins: Vec<Merged> = keys
            .into_iter()
            .map(|key| Merged {
                key,
                time: time(i64::try_from(key).unwrap()),
                id: key.to_string(),
            })
            .collect();
        let mut alert = stream_silent("x", time(0), 60, time(0));
        alert.count = sign_ins.len() as u64;
        alert.first_seen = sign_ins[0].time;
        alert.last_seen = sign_ins[sign_ins.len() - 1].time;
        let ids = sign_ins.iter().map(|sign_in| sign_in.key.to_string());
        alert.evidence = ids.take(MAX_EVIDENCE).collect();
        alert.evidence_omitted = alert.count - alert.evidence.len() as u64;
        (alert, sign_ins)
    }

    fn sinks() -> BTreeSet<String> {
        BTreeSet::from(["soc".to_owned()])
    }

    fn open(keys: std::ops::Range<u128>) -> Window {
        let (alert, sign_ins) = batch(keys);
        Window::open(&alert, &sign_ins, &sinks(), 3600, time(1000))
    }

    #[test]
    fn a_batch_that_comes_again_changes_nothing() {
        let mut window = open(5..8);
        assert_eq!(window.alert.count, 3);
        assert_eq!(window.alert.evidence, ["5", "6", "7"]);
        let before = window.clone();
        let (alert, sign_ins) = batch(5..8);
        assert!(window.has(&alert, &sign_ins, &sinks()));
        assert!(!window.add(&alert, &sign_ins, &sinks()));
        assert_eq!(window, before);
        // With other borders, and one that is new.
        let (alert, sign_ins) = batch([7, 4]);
        assert!(!window.has(&alert, &sign_ins, &sinks()));
        assert!(window.add(&alert, &sign_ins, &sinks()));
        assert_eq!(window.alert.count, 4);
        assert_eq!(window.alert.evidence, ["5", "6", "7", "4"]);
        assert_eq!(window.alert.first_seen, time(4));
        assert_eq!(window.alert.last_seen, time(7));
    }

    #[test]
    fn counts_are_exact_up_to_a_limit_and_then_a_lower_bound() {
        let mut window = open(0..60);
        assert_eq!(
            (window.alert.evidence.len(), window.alert.evidence_omitted),
            (50, 10)
        );
        let (alert, sign_ins) = batch(60..MAX_COUNTED as u128);
        window.add(&alert, &sign_ins, &sinks());
        assert_eq!(window.alert.count, MAX_COUNTED as u64);
        assert!(!window.alert.count_is_minimum);
        let (alert, sign_ins) = batch([9_999]);
        assert!(window.add(&alert, &sign_ins, &sinks()));
        assert!(!window.add(&alert, &sign_ins, &sinks()));
        assert_eq!(window.alert.count, MAX_COUNTED as u64);
        assert!(window.alert.count_is_minimum);
        // One batch alone has more of them, told apart.
        let (alert, sign_ins) = batch(0..10_000);
        assert!(window.add(&alert, &sign_ins, &sinks()));
        assert_eq!(window.alert.count, 10_000);
    }

    #[test]
    fn there_is_a_later_word_only_where_there_is_something_to_add() {
        let mut window = open(0..3);
        assert!(!window.is_closed(time(1000 + 3599)));
        assert!(window.is_closed(time(1000 + 3600)));
        assert_eq!(window.update(3), None);
        let (alert, sign_ins) = batch([9]);
        window.add(&alert, &sign_ins, &sinks());
        let update = window.update(3).unwrap();
        assert_eq!(
            (update.id, update.count, update.update),
            (window.alert.id, 4, true)
        );
        assert_eq!(window.update(4), None);
    }

    #[test]
    fn a_document_reads_back() {
        let window = open(3..2000);
        let json = serde_json::to_string(&window).unwrap();
        assert!(json.len() < 60_000, "{}", json.len());
        assert_eq!(serde_json::from_str::<Window>(&json).unwrap(), window);
    }
}
