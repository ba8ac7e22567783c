//! Alerts that no batch brings again: they are sent until their mark is there.

use serde::{Deserialize, Serialize};

use super::{Delivery, VERSION};
use crate::alert::Alert;
use crate::sign_in::Timestamp;

/// An alert without a mark is put into the queue again by the next run, for the host may have failed to write it; then
/// after this long, twice this long, and so on.
const FIRST_WAIT_SECONDS: i64 = 300;
/// A receiver may be away for a day: more copies in the queue would help nobody.
const LONGEST_WAIT_SECONDS: i64 = 6 * 3600;

/// An alert that is due for one sink.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pending {
    #[serde(deserialize_with = "super::this_version")]
    version: u32,
    /// The alert.
    pub alert: Alert,
    /// The sink.
    pub sink: String,
    /// How often it was put into the queue.
    pub tries: u32,
    /// When it is to be put there again.
    pub next: Timestamp,
}

impl Pending {
    /// An alert that is due now.
    pub fn new(alert: Alert, sink: String, now: Timestamp) -> Self {
        Self {
            version: VERSION,
            alert,
            sink,
            tries: 0,
            next: now,
        }
    }

    /// The delivery that it waits for.
    pub fn delivery(&self) -> Delivery {
        Delivery {
            alert: self.alert.id,
            sink: self.sink.clone(),
            update: self.alert.update,
        }
    }

    /// Whether it is to be put into the queue; if so, notes that it was.
    pub fn send(&mut self, now: Timestamp) -> bool {
        if now < self.next {
            return false;
        }
        let wait = match self.tries.checked_sub(1) {
            None => 0,
            Some(doublings) => FIRST_WAIT_SECONDS
                .checked_shl(doublings)
                .unwrap_or(LONGEST_WAIT_SECONDS)
                .min(LONGEST_WAIT_SECONDS),
        };
        self.next = Timestamp::from(now.utc() + chrono::TimeDelta::seconds(wait));
        self.tries = (self.tries + 1).min(16);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::own::stream_silent;

    #[test]
    fn it_is_sent_again_and_again_ever_more_seldom() {
        let start = Timestamp::parse("2026-11-24T00:00:00Z").unwrap();
        let alert = stream_silent("AuditLogs", start, 1800, start);
        let mut pending = Pending::new(alert, "soc".to_owned(), start);
        let mut sent = Vec::new();
        for minute in 0..48 * 60 {
            let now = Timestamp::from(start.utc() + chrono::TimeDelta::minutes(minute));
            if pending.send(now) {
                sent.push(minute);
            }
        }
        assert_eq!(sent[..5], [0, 1, 6, 16, 36]);
        assert!(sent.len() < 16, "{sent:?}");
        assert_eq!(sent.last().unwrap() - sent[sent.len() - 2], 360);
    }
}
