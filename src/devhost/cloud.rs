//! What Azure keeps, and a crash of every host does not take away.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use uuid::Uuid;

use super::app::App;
use super::blobs::Blobs;
use super::function_file::Trigger;
use super::hub::Hub;
use super::queue::{Encoding, Queue};
use super::storage::{AnyQueue, Storage};

/// What Azure keeps: it outlives hosts, and a later host goes on from it.
#[derive(Debug)]
pub struct Cloud {
    hub: Hub,
    blobs: Blobs,
    storage: Option<Arc<dyn Storage>>,
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
        Self::new(app, partitions, blobs, None)
    }

    /// The same with queues and blobs in a storage account; those in memory stay empty.
    pub fn with_storage(app: &App, partitions: usize, storage: Arc<dyn Storage>) -> Arc<Self> {
        Self::new(app, partitions, Blobs::in_memory(), Some(storage))
    }

    fn new(
        app: &App,
        partitions: usize,
        blobs: Blobs,
        storage: Option<Arc<dyn Storage>>,
    ) -> Arc<Self> {
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
            storage,
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

    /// The queue of that name, wherever queues are.
    pub(crate) fn any_queue(&self, name: &str) -> AnyQueue {
        match &self.storage {
            None => AnyQueue::Memory(self.queue(name)),
            Some(storage) => AnyQueue::Remote {
                storage: Arc::clone(storage),
                name: name.to_owned(),
                encoding: self.encoding,
            },
        }
    }

    /// Writes a blob to a binding's path, in which each `{rand-guid}` becomes a fresh id; returns the path.
    pub(crate) async fn write_blob(&self, pattern: &str, content: &[u8]) -> Result<String, String> {
        let Some(storage) = &self.storage else {
            let written = self.blobs.write(pattern, content);
            return written.map_err(|error| error.to_string());
        };
        let path = pattern.replace("{rand-guid}", &Uuid::new_v4().to_string());
        let writing = storage.write_blob(&path, content);
        writing.await.map_err(|error| error.0)?;
        Ok(path)
    }

    /// The queue in memory of that name, made if it is not there.
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
