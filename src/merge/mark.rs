//! The proof that an alert is out.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{VERSION, short_hash};
use crate::sign_in::Timestamp;

/// One word to one sink.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Delivery {
    /// The alert.
    pub alert: Uuid,
    /// The sink's name in the policy.
    pub sink: String,
    /// Whether it is the later word about an alert already sent.
    pub update: bool,
}

impl Delivery {
    /// The idempotency key: the alert's id, for the later word with `.u1`.
    pub fn id(&self) -> String {
        match self.update {
            true => format!("{}.u1", self.alert),
            false => self.alert.to_string(),
        }
    }

    /// The name of the mark of that kind.
    pub fn mark_name(&self, kind: MarkKind) -> String {
        format!("{}/{}", marks_folder(self.alert), self.leaf(kind))
    }

    /// The name of its entry in the outbox.
    pub fn pending_name(&self) -> String {
        format!("outbox/{}.{}", self.id(), short_hash(&self.sink))
    }

    fn leaf(&self, kind: MarkKind) -> String {
        let update = if self.update { ".u1" } else { "" };
        format!("{}{update}.{}", short_hash(&self.sink), kind.as_str())
    }
}

/// Where the last failure of a delivery is noted.
pub fn failure_name(delivery: &Delivery) -> String {
    format!("failures/{}.{}", delivery.id(), short_hash(&delivery.sink))
}

/// The folder of an alert's marks.
pub fn marks_folder(alert: Uuid) -> String {
    format!("marks/{alert}")
}

/// What became of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MarkKind {
    /// The receiver took it.
    Delivered,
    /// It is kept in `undelivered`.
    Kept,
}

impl MarkKind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Kept => "kept",
        }
    }

    /// The kind of a mark by its name.
    pub fn of(name: &str) -> Option<Self> {
        match name.rsplit_once('.')?.1 {
            "delivered" => Some(Self::Delivered),
            "kept" => Some(Self::Kept),
            _ => None,
        }
    }
}

/// The content of a mark.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    #[serde(deserialize_with = "super::this_version")]
    version: u32,
    /// When it was made.
    pub at: Timestamp,
    /// How many sign-ins the alert told of.
    pub count: u64,
}

impl Mark {
    /// A mark made now.
    pub fn new(count: u64, at: Timestamp) -> Self {
        Self {
            version: VERSION,
            at,
            count,
        }
    }
}

/// The marks of one alert, as its folder lists them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Marks(BTreeSet<String>);

impl Marks {
    /// Of names of documents.
    pub fn of<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let leaf = |name: &'a str| name.rsplit('/').next().unwrap_or(name).to_owned();
        Self(names.into_iter().map(leaf).collect())
    }

    /// What became of a delivery, if that is known. A delivered one may have been kept before.
    pub fn get(&self, delivery: &Delivery) -> Option<MarkKind> {
        let kinds = [MarkKind::Delivered, MarkKind::Kept];
        kinds
            .into_iter()
            .find(|kind| self.0.contains(&delivery.leaf(*kind)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_tell_sinks_updates_and_kinds_apart() {
        let delivery = |sink: &str, update| Delivery {
            alert: Uuid::NAMESPACE_URL,
            sink: sink.to_owned(),
            update,
        };
        let (soc, update, owner) = (
            delivery("soc", false),
            delivery("soc", true),
            delivery("a sink/with: odd letters", false),
        );
        let names = [
            soc.mark_name(MarkKind::Kept),
            update.mark_name(MarkKind::Delivered),
        ];
        let marks = Marks::of(names.iter().map(String::as_str));
        assert_eq!(marks.get(&soc), Some(MarkKind::Kept));
        assert_eq!(marks.get(&update), Some(MarkKind::Delivered));
        assert_eq!(marks.get(&owner), None);
        assert_eq!(MarkKind::of(&names[0]), Some(MarkKind::Kept));
        let odd = owner.mark_name(MarkKind::Kept);
        assert!(
            odd.bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-./".contains(&b)),
            "{odd}"
        );
        assert_eq!(update.id(), format!("{}.u1", Uuid::NAMESPACE_URL));
    }
}
