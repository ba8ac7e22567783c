//! Queues and blobs as the pumps use them: in memory, or in a storage account that somebody reaches for us.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;
use uuid::Uuid;

use super::queue::{Encoding, Message, Queue, Taken};

/// A remote queue is asked this often; the real host begins with a tenth of a second too, and waits longer for one
/// that stays empty (Azure/azure-sdk-for-net: …WebJobs.Extensions.Storage.Queues/src/QueuesOptions.cs).
const POLLING: Duration = Duration::from_millis(100);

/// What a storage account was asked for and did not do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct StorageError(pub String);

/// A message of a remote queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteMessage {
    /// Its id.
    pub id: Uuid,
    /// The right to delete it or to hide it anew.
    pub receipt: String,
    /// Its text, as it lies there.
    pub text: String,
    /// How often it has been taken, this time included.
    pub dequeue_count: u32,
    /// When it was put.
    pub inserted: DateTime<Utc>,
    /// When the service drops it.
    pub expires: DateTime<Utc>,
    /// When it becomes visible again.
    pub next_visible: DateTime<Utc>,
}

/// A storage account: what the host needs of its queues and blobs.
///
/// Operations of the REST API by their names there
/// (learn.microsoft.com/rest/api/storageservices/queue-service-rest-api). A queue or container that is not there is
/// made.
pub trait Storage: fmt::Debug + Send + Sync {
    /// Put Message.
    fn put<'a>(&'a self, queue: &'a str, text: &'a str) -> BoxFuture<'a, Result<(), StorageError>>;

    /// Get Messages, one of them, hidden for the lease.
    fn take<'a>(
        &'a self,
        queue: &'a str,
        lease: Duration,
    ) -> BoxFuture<'a, Result<Option<RemoteMessage>, StorageError>>;

    /// Delete Message.
    fn delete<'a>(
        &'a self,
        queue: &'a str,
        message: Uuid,
        receipt: &'a str,
    ) -> BoxFuture<'a, Result<(), StorageError>>;

    /// Update Message: hides it for that much longer, in whole seconds. Its text stays.
    fn hide<'a>(
        &'a self,
        queue: &'a str,
        message: &'a RemoteMessage,
        time: Duration,
    ) -> BoxFuture<'a, Result<(), StorageError>>;

    /// How many messages there are: those that can be taken now, or all.
    fn count<'a>(
        &'a self,
        queue: &'a str,
        hidden_too: bool,
    ) -> BoxFuture<'a, Result<usize, StorageError>>;

    /// Put Blob, by container and name.
    fn write_blob<'a>(
        &'a self,
        path: &'a str,
        content: &'a [u8],
    ) -> BoxFuture<'a, Result<(), StorageError>>;
}

/// One queue, wherever it is.
#[derive(Debug, Clone)]
pub(crate) enum AnyQueue {
    Memory(Arc<Queue>),
    Remote {
        storage: Arc<dyn Storage>,
        name: String,
        encoding: Encoding,
    },
}

/// A message that is in work, and what its queue knows of it.
#[derive(Debug)]
pub(crate) struct Leased {
    pub(crate) message: Message,
    remote: Option<RemoteMessage>,
}

/// What taking from a queue yields.
#[derive(Debug)]
pub(crate) enum Next {
    Message(Leased),
    /// A text that does not decode; it has been removed.
    Undecodable(String),
    /// There is none now.
    Nothing,
}

impl AnyQueue {
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Memory(queue) => queue.name(),
            Self::Remote { name, .. } => name,
        }
    }

    pub(crate) async fn put(&self, body: &[u8]) -> Result<(), String> {
        match self {
            Self::Memory(queue) => queue.put(body).map(drop).map_err(|error| error.to_string()),
            Self::Remote {
                storage,
                name,
                encoding,
            } => {
                let text = match encoding {
                    Encoding::Base64 => STANDARD.encode(body),
                    Encoding::None => String::from_utf8_lossy(body).into_owned(),
                };
                storage.put(name, &text).await.map_err(|error| error.0)
            }
        }
    }

    pub(crate) async fn put_text(&self, text: String) -> Result<(), String> {
        match self {
            Self::Memory(queue) => queue
                .put_text(text)
                .map(drop)
                .map_err(|error| error.to_string()),
            Self::Remote { storage, name, .. } => {
                storage.put(name, &text).await.map_err(|error| error.0)
            }
        }
    }

    pub(crate) async fn take(&self, lease: Duration) -> Result<Next, StorageError> {
        let (storage, name, encoding) = match self {
            Self::Memory(queue) => {
                return Ok(match queue.take(Instant::now(), lease) {
                    Some(Taken::Message(message)) => Next::Message(Leased {
                        message,
                        remote: None,
                    }),
                    Some(Taken::Undecodable(text)) => Next::Undecodable(text),
                    None => Next::Nothing,
                });
            }
            Self::Remote {
                storage,
                name,
                encoding,
            } => (storage, name, encoding),
        };
        let Some(remote) = storage.take(name, lease).await? else {
            return Ok(Next::Nothing);
        };
        let body = match encoding {
            Encoding::None => Some(remote.text.clone().into_bytes()),
            Encoding::Base64 => STANDARD.decode(&remote.text).ok(),
        };
        let Some(body) = body else {
            storage.delete(name, remote.id, &remote.receipt).await?;
            return Ok(Next::Undecodable(remote.text));
        };
        let message = Message {
            id: remote.id,
            receipt: remote.receipt.clone().into(),
            body,
            dequeue_count: remote.dequeue_count,
            inserted: remote.inserted,
            expires: remote.expires,
            next_visible: remote.next_visible,
        };
        Ok(Next::Message(Leased {
            message,
            remote: Some(remote),
        }))
    }

    /// Deletes a message; whether it was still ours.
    pub(crate) async fn delete(&self, leased: &Leased) -> bool {
        match (self, &leased.remote) {
            (Self::Remote { storage, name, .. }, Some(remote)) => {
                let deleting = storage.delete(name, remote.id, &remote.receipt);
                deleting.await.is_ok()
            }
            (Self::Memory(queue), _) => queue.delete(&leased.message).is_ok(),
            (Self::Remote { .. }, None) => false,
        }
    }

    /// Makes a message visible again after that time; whether it was still ours.
    pub(crate) async fn release(&self, leased: &Leased, after: Duration) -> bool {
        match (self, &leased.remote) {
            (Self::Remote { storage, name, .. }, Some(remote)) => {
                // The service takes whole seconds.
                let after = Duration::from_secs(after.as_secs_f64().ceil() as u64);
                storage.hide(name, remote, after).await.is_ok()
            }
            (Self::Memory(queue), _) => queue
                .release(&leased.message, Instant::now() + after)
                .is_ok(),
            (Self::Remote { .. }, None) => false,
        }
    }

    /// How many messages there are; all of them, or those that can be taken now. Unknown is one.
    pub(crate) async fn count(&self, hidden_too: bool) -> usize {
        match self {
            Self::Memory(queue) if hidden_too => queue.len(),
            Self::Memory(queue) => queue.visible(),
            Self::Remote { storage, name, .. } => {
                storage.count(name, hidden_too).await.unwrap_or(1)
            }
        }
    }

    /// Waits until there may be a message.
    pub(crate) async fn wait(&self) {
        let Self::Memory(queue) = self else {
            tokio::time::sleep(POLLING).await;
            return;
        };
        let changed = queue.changed();
        match queue.next_visible() {
            Some(wake) => {
                let _ = tokio::time::timeout_at(wake.into(), changed).await;
            }
            None => changed.await,
        }
    }
}
