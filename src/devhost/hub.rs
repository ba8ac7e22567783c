//! An Event Hub in memory: partitions of events, and checkpoints per consumer group.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use serde_json::{Map, Value};
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

/// The service takes no larger event.
const MAX_EVENT_BYTES: usize = 1024 * 1024;

/// An event as a producer sends it.
#[derive(Debug, Clone, Default)]
pub struct Event {
    body: Bytes,
    partition_key: Option<String>,
    properties: Map<String, Value>,
    enqueued: Option<DateTime<Utc>>,
}

/// An event as the hub holds it.
#[derive(Debug, Clone)]
pub struct StoredEvent {
    /// The bytes.
    pub body: Bytes,
    /// The partition key, if the producer gave one.
    pub partition_key: Option<String>,
    /// Application properties.
    pub properties: Map<String, Value>,
    /// When the hub took it.
    pub enqueued: DateTime<Utc>,
    /// Its number in the partition, from 0.
    pub sequence_number: u64,
    /// Its place in the partition's stream of bytes.
    pub offset: u64,
}

/// Why the hub refuses an event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HubError {
    /// Beyond 1 MiB.
    #[error("the event has {0} bytes, more than the hub takes")]
    TooLarge(usize),
    /// There is no such partition.
    #[error("there is no partition {0}")]
    NoPartition(usize),
}

/// An Event Hub.
#[derive(Debug)]
pub struct Hub {
    namespace: String,
    name: String,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug)]
struct State {
    partitions: Vec<Vec<StoredEvent>>,
    /// Sequence number of the next event that the group has not done with.
    checkpoints: BTreeMap<(String, usize), u64>,
}

impl Event {
    /// An event without a key or properties, taken by the hub when it is sent.
    pub fn new(body: impl Into<Bytes>) -> Self {
        Self {
            body: body.into(),
            ..Self::default()
        }
    }

    /// With a partition key.
    #[must_use]
    pub fn with_partition_key(mut self, key: impl Into<String>) -> Self {
        self.partition_key = Some(key.into());
        self
    }

    /// With one more application property.
    #[must_use]
    pub fn with_property(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.properties.insert(name.into(), value.into());
        self
    }

    /// Taken by the hub at that time, not now.
    #[must_use]
    pub fn enqueued_at(mut self, time: DateTime<Utc>) -> Self {
        self.enqueued = Some(time);
        self
    }

    /// As the hub would hold it at that place: for invocations that bypass the hub.
    pub fn stored(self, sequence_number: u64, offset: u64, now: DateTime<Utc>) -> StoredEvent {
        StoredEvent {
            body: self.body,
            partition_key: self.partition_key,
            properties: self.properties,
            enqueued: self.enqueued.unwrap_or(now),
            sequence_number,
            offset,
        }
    }
}

impl<B: Into<Bytes>> From<B> for Event {
    fn from(body: B) -> Self {
        Self::new(body)
    }
}

impl Hub {
    /// An empty hub. `namespace` is its host name, `<name>.servicebus.windows.net`.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>, partitions: usize) -> Self {
        Self {
            namespace: namespace.into(),
            name: name.into(),
            state: Mutex::new(State {
                partitions: vec![Vec::new(); partitions],
                checkpoints: BTreeMap::new(),
            }),
            changed: Notify::new(),
        }
    }

    /// Host name of the namespace.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The hub's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How many partitions there are.
    pub fn partitions(&self) -> usize {
        self.state().partitions.len()
    }

    /// Appends events to a partition, all or none.
    ///
    /// # Errors
    /// There is no such partition, or an event is too large.
    pub fn send<E: Into<Event>>(
        &self,
        partition: usize,
        events: impl IntoIterator<Item = E>,
    ) -> Result<(), HubError> {
        let events: Vec<Event> = events.into_iter().map(Into::into).collect();
        if let Some(event) = events
            .iter()
            .find(|event| event.body.len() > MAX_EVENT_BYTES)
        {
            return Err(HubError::TooLarge(event.body.len()));
        }
        let now = Utc::now();
        let mut state = self.state();
        let stored = state
            .partitions
            .get_mut(partition)
            .ok_or(HubError::NoPartition(partition))?;
        for event in events {
            let (sequence_number, offset) = stored.last().map_or((0, 0), |last| {
                // The service adds its own header; what matters is that offsets are no sequence numbers.
                (
                    last.sequence_number + 1,
                    last.offset + last.body.len() as u64 + 56,
                )
            });
            stored.push(event.stored(sequence_number, offset, now));
        }
        drop(state);
        self.changed.notify_waiters();
        Ok(())
    }

    /// At most `max` events from `position` on.
    pub fn read(&self, partition: usize, position: u64, max: usize) -> Vec<StoredEvent> {
        let state = self.state();
        let start = usize::try_from(position).unwrap_or(usize::MAX);
        state
            .partitions
            .get(partition)
            .and_then(|events| events.get(start..))
            .unwrap_or_default()
            .iter()
            .take(max)
            .cloned()
            .collect()
    }

    /// Sequence number that the next event of the partition will get.
    pub fn end(&self, partition: usize) -> u64 {
        self.state()
            .partitions
            .get(partition)
            .map_or(0, |events| events.len() as u64)
    }

    /// Where a consumer group would go on after a restart.
    pub fn checkpoint(&self, consumer_group: &str, partition: usize) -> u64 {
        self.state()
            .checkpoints
            .get(&(consumer_group.to_owned(), partition))
            .copied()
            .unwrap_or_default()
    }

    /// Moves a checkpoint; backwards too, which makes the hub deliver again.
    pub fn set_checkpoint(&self, consumer_group: &str, partition: usize, next: u64) {
        self.state()
            .checkpoints
            .insert((consumer_group.to_owned(), partition), next);
    }

    /// Ends when events have been sent after this call.
    pub(crate) fn changed(&self) -> Notified<'_> {
        self.changed.notified()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_keep_their_order_and_groups_their_checkpoints() {
        let hub = Hub::new("ns1", "h", 2);
        hub.send(1, ["a", "b"]).unwrap();
        hub.send(1, [Event::new("c").with_partition_key("k")])
            .unwrap();
        let read = hub.read(1, 1, 10);
        assert_eq!(
            read.iter().map(|event| &event.body[..]).collect::<Vec<_>>(),
            [b"b", b"c"]
        );
        assert_eq!((read[1].sequence_number, read[1].offset), (2, 114));
        assert_eq!(hub.read(1, 0, 1).len(), 1);
        assert!(hub.read(0, 0, 10).is_empty() && hub.read(1, 9, 10).is_empty());
        assert_eq!((hub.end(0), hub.end(1)), (0, 3));
        hub.set_checkpoint("g", 1, 2);
        assert_eq!((hub.checkpoint("g", 1), hub.checkpoint("other", 1)), (2, 0));
    }

    #[test]
    fn what_the_service_refuses_is_refused() {
        let hub = Hub::new("ns1", "h", 1);
        assert_eq!(hub.send(1, ["a"]), Err(HubError::NoPartition(1)));
        let large = vec![0; MAX_EVENT_BYTES + 1];
        assert_eq!(
            hub.send(0, [Bytes::from("a"), large.into()]),
            Err(HubError::TooLarge(MAX_EVENT_BYTES + 1))
        );
        assert_eq!(hub.end(0), 0);
    }
}
