//! What Azure keeps, and a crash of every host does not take away.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::app::App;
use super::blobs::Blobs;
use super::function_file::Trigger;
use super::hub::Hub;
use super::queue::{Encoding, Queue};

/// What Azure keeps: it outlives hosts, and a later host goes on from it.
#[derive(Debug)]
pub struct Cloud {
    hub: Hub,
    blobs: Blobs,
    encoding: Encoding,
    queues: Mutex<BTreeMap<String, Arc<Queue>>>,
}

impl Cloud {
    /// With a hub of that many partitions under the name that the app listens to, and blobs in memory.
    pub fn of(app: &App, partitions: usize) -> Arc<Self> {
        Self::with_blobs(app, partitions, Blobs::in_memory())
    }

    /// The same with a blob store of your own.
    pub fn with_blobs(app: &App, partitions: usize, blobs: Blobs) -> Arc<Self> {
        let name = app
            .functions
            .iter()
            .find_map(|function| match &function.trigger {
                Trigger::EventHub { hub, .. } => Some(hub.clone()),
                _ => None,
            });
        Arc::new(Self {
            hub: Hub::new(
                "ns1.servicebus.windows.net",
                name.unwrap_or_else(|| "hub".into()),
                partitions,
            ),
            blobs,
            encoding: app.extensions.queues.encoding,
            queues: Mutex::default(),
        })
    }

    /// The Event Hub.
    pub fn hub(&self) -> &Hub {
        &self.hub
    }

    /// The blobs.
    pub fn blobs(&self) -> &Blobs {
        &self.blobs
    }

    /// The queue of that name, made if it is not there.
    pub fn queue(&self, name: &str) -> Arc<Queue> {
        let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        let queue = queues
            .entry(name.to_owned())
            .or_insert_with(|| Arc::new(Queue::new(name, self.encoding)));
        Arc::clone(queue)
    }

    /// Lets that much time pass for every hidden message at once, also for those that a dead host had taken.
    pub fn pass(&self, time: Duration) {
        let queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        for queue in queues.values() {
            queue.pass(time);
        }
    }
}
