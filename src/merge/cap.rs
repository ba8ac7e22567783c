//! `max_alerts_per_hour`: which alerts of an hour are sent one by one.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{MAX_COUNTED, VERSION, short_hash};
use crate::alert::own::Storm;

/// The alerts of one application in one hour.
///
/// An alert that was let through is let through again, one that was not is not: whoever asks, and however often.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Admitted {
    #[serde(deserialize_with = "super::this_version")]
    version: u32,
    admitted: BTreeSet<Uuid>,
    beyond: BTreeSet<Uuid>,
}

impl Admitted {
    /// The name of the document.
    pub fn name(storm: &Storm) -> String {
        format!("caps/{}.{}", short_hash(&storm.group), storm.hour)
    }

    /// Those of the alerts that are beyond the cap, and whether the document has changed.
    pub fn admit(&mut self, alerts: &[Uuid], cap: u32) -> (BTreeSet<Uuid>, bool) {
        self.version = VERSION;
        let mut changed = false;
        let mut refused = BTreeSet::new();
        for alert in alerts {
            if self.admitted.contains(alert) {
                continue;
            }
            if self.admitted.len() < cap as usize {
                changed |= self.admitted.insert(*alert);
                continue;
            }
            refused.insert(*alert);
            if self.beyond.len() < MAX_COUNTED {
                changed |= self.beyond.insert(*alert);
            }
        }
        (refused, changed)
    }

    /// Those of the alerts that are beyond the cap, if each of them was asked about before: nothing changes that.
    pub fn answer(&self, alerts: &[Uuid]) -> Option<BTreeSet<Uuid>> {
        let mut refused = BTreeSet::new();
        for alert in alerts {
            if self.beyond.contains(alert) {
                refused.insert(*alert);
            } else if !self.admitted.contains(alert) {
                return None;
            }
        }
        Some(refused)
    }

    /// How many alerts are beyond the cap, as far as they are counted.
    pub fn beyond(&self) -> usize {
        self.beyond.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_admitted_once_is_admitted_again() {
        let ids: Vec<Uuid> = (0..6_u8)
            .map(|number| Uuid::new_v5(&Uuid::NAMESPACE_URL, &[number]))
            .collect();
        let mut admitted = Admitted::default();
        assert_eq!(admitted.admit(&ids[..2], 3), (BTreeSet::new(), true));
        // The same batch again, and one more.
        assert_eq!(admitted.admit(&ids[..3], 3), (BTreeSet::new(), true));
        let (refused, changed) = admitted.admit(&ids[2..], 3);
        assert!(changed);
        assert_eq!(refused, ids[3..].iter().copied().collect());
        assert_eq!(admitted.beyond(), 3);
        let (refused, changed) = admitted.admit(&ids, 3);
        assert_eq!((refused.len(), changed), (3, false));
        assert_eq!(admitted.answer(&ids[1..4]), Some(BTreeSet::from([ids[3]])));
        assert_eq!(admitted.answer(&[Uuid::nil()]), None);
        let json = serde_json::to_string(&admitted).unwrap();
        assert_eq!(serde_json::from_str::<Admitted>(&json).unwrap(), admitted);
    }
}
