//! One partition of the hub: strictly one invocation at a time, in order; then the checkpoint.
//! (Azure/azure-sdk-for-net: …WebJobs.Extensions.EventHubs/src/Listeners/EventHubListener.PartitionProcessor.cs)

use std::sync::Arc;

use super::super::function_file::{Cardinality, Function, Trigger};
use super::super::notice::Notice;
use super::super::wire::{self, EventHubBinding, Partition};
use super::{Borders, Inner};

pub(super) async fn run(inner: Arc<Inner>, function: Function, partition: usize) {
    let Trigger::EventHub {
        consumer_group,
        cardinality,
        ..
    } = &function.trigger
    else {
        return;
    };
    let hub = inner.cloud.hub();
    let binding = EventHubBinding {
        name: &function.trigger_name,
        data_type: function.data_type,
        cardinality: *cardinality,
        metadata: inner.metadata,
    };
    let place = Partition {
        namespace: hub.namespace(),
        hub: hub.name(),
        consumer_group,
        id: partition,
    };
    let mut sizes = Sizes::new(&inner, *cardinality, partition);
    let mut next = hub.checkpoint(consumer_group, partition);
    let mut since_checkpoint = 0;
    loop {
        let changed = hub.changed();
        let batch = hub.read(partition, next, sizes.next());
        let Some(first) = batch.first().map(|event| event.sequence_number) else {
            changed.await;
            continue;
        };
        let busy = inner.busy();
        let body = |call: &wire::Call<'_>| wire::event_hub(binding, place, &batch, call);
        let sending = |retry, invocation| {
            inner.observer.tell(&Notice::BatchSent {
                function: function.name.clone(),
                partition,
                first,
                events: batch.len(),
                retry,
                invocation,
            });
        };
        if inner.with_retries(&function, body, sending).await.is_err() {
            // The host stops: no checkpoint, so the next one delivers this batch again.
            return;
        }
        // Whatever the outcome: once its retries are used up, a batch is skipped.
        next += batch.len() as u64;
        since_checkpoint += 1;
        if since_checkpoint >= inner.app.extensions.batch_checkpoint_frequency {
            since_checkpoint = 0;
            hub.set_checkpoint(consumer_group, partition, next);
            inner.observer.tell(&Notice::Checkpoint {
                function: function.name.clone(),
                partition,
                next,
            });
        }
        inner.set_position(&function, partition, next);
        drop(busy);
    }
}

/// How many events the next batch may have.
struct Sizes {
    max: usize,
    /// State of a xorshift generator; zero means always the maximum.
    state: u64,
}

impl Sizes {
    fn new(inner: &Inner, cardinality: Cardinality, partition: usize) -> Self {
        let max = match cardinality {
            Cardinality::One => 1,
            Cardinality::Many => inner.app.extensions.max_event_batch_size,
        };
        let state = match inner.borders {
            Borders::Full => 0,
            // Spread, since neighbouring seeds would begin alike, and never zero.
            Borders::Varied { seed } => {
                (seed ^ ((partition as u64) << 32)).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1
            }
        };
        Self { max, state }
    }

    fn next(&mut self) -> usize {
        if self.state == 0 {
            return self.max;
        }
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        let span = u64::try_from(self.max).unwrap_or(u64::MAX).max(1);
        usize::try_from((self.state >> 11) % span).unwrap_or_default() + 1
    }
}
