//! A storage queue in memory: visibility, dequeue counts, the service's size limit.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use tokio::sync::Notify;
use tokio::sync::futures::Notified;
use uuid::Uuid;

/// The service takes no longer text.
const MAX_TEXT_BYTES: usize = 64 * 1024;
/// After that the service drops a message; nothing here runs that long.
const LIFE: chrono::TimeDelta = chrono::TimeDelta::days(7);

/// How bodies are written (`messageEncoding`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Encoding {
    /// Base64, the default.
    #[default]
    Base64,
    /// As they are.
    None,
}

/// A message as it is taken off the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Its id, the same each time.
    pub id: Uuid,
    /// The right to delete or release it, until it becomes visible again.
    pub receipt: Receipt,
    /// The body, decoded.
    pub body: Vec<u8>,
    /// How often it has been taken, this time included.
    pub dequeue_count: u32,
    /// When it was put.
    pub inserted: DateTime<Utc>,
    /// When the service drops it.
    pub expires: DateTime<Utc>,
    /// When it becomes visible again.
    pub next_visible: DateTime<Utc>,
}

/// A pop receipt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt(String);

impl Receipt {
    fn fresh() -> Self {
        Self(Uuid::new_v4().to_string())
    }
}

/// Why the queue refuses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QueueError {
    /// Beyond 64 KiB as written.
    #[error("the message has {0} bytes as written, more than the 64 KiB that the queue takes")]
    TooLarge(usize),
    /// With [`Encoding::None`] only text can be written.
    #[error("the message is no UTF-8 text, and the encoding is none")]
    NotText,
    /// A failure that was asked for.
    #[error("the write fails because it was told to")]
    Injected,
    /// The message is gone, or has been taken by somebody else.
    #[error("the pop receipt is no longer valid")]
    Receipt,
}

/// What taking from a queue yields.
#[derive(Debug)]
pub(crate) enum Taken {
    Message(Message),
    /// A text that does not decode; it has been removed. The host moves it to the poison queue.
    Undecodable(String),
}

/// A storage queue.
#[derive(Debug)]
pub struct Queue {
    name: String,
    encoding: Encoding,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    messages: Vec<Stored>,
    /// Puts that still succeed, then puts that fail.
    injected: (usize, usize),
}

#[derive(Debug)]
struct Stored {
    id: Uuid,
    receipt: Receipt,
    text: String,
    dequeue_count: u32,
    inserted: DateTime<Utc>,
    visible: Instant,
}

impl From<String> for Receipt {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Display for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Message {
    /// A message as if taken for the first time just now: for invocations that bypass a queue.
    pub fn new(body: impl Into<Vec<u8>>) -> Self {
        let now = Utc::now();
        Self {
            id: Uuid::new_v4(),
            receipt: Receipt::fresh(),
            body: body.into(),
            dequeue_count: 1,
            inserted: now,
            expires: now + LIFE,
            next_visible: now + chrono::TimeDelta::minutes(10),
        }
    }
}

impl Queue {
    /// An empty queue.
    pub fn new(name: impl Into<String>, encoding: Encoding) -> Self {
        Self {
            name: name.into(),
            encoding,
            state: Mutex::default(),
            changed: Notify::new(),
        }
    }

    /// The queue's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Puts a message, encoded.
    ///
    /// # Errors
    /// It is too large, not text where text is needed, or the failure was injected.
    pub fn put(&self, body: &[u8]) -> Result<Uuid, QueueError> {
        let text = match self.encoding {
            Encoding::Base64 => STANDARD.encode(body),
            Encoding::None => String::from_utf8(body.to_vec()).map_err(|_| QueueError::NotText)?,
        };
        self.put_text(text)
    }

    /// Puts a text as it is, perhaps one that does not decode.
    ///
    /// # Errors
    /// It is too large, or the failure was injected.
    pub fn put_text(&self, text: impl Into<String>) -> Result<Uuid, QueueError> {
        let text = text.into();
        if text.len() > MAX_TEXT_BYTES {
            return Err(QueueError::TooLarge(text.len()));
        }
        let mut state = self.state();
        match &mut state.injected {
            (0, 0) => {}
            (0, failing) => {
                *failing -= 1;
                return Err(QueueError::Injected);
            }
            (passing, _) => *passing -= 1,
        }
        let id = Uuid::new_v4();
        state.messages.push(Stored {
            id,
            receipt: Receipt::fresh(),
            text,
            dequeue_count: 0,
            inserted: Utc::now(),
            visible: Instant::now(),
        });
        drop(state);
        self.changed.notify_waiters();
        Ok(id)
    }

    /// Lets `passing` more puts succeed and makes the `failing` after them fail.
    pub fn fail_puts(&self, passing: usize, failing: usize) {
        self.state().injected = if failing == 0 {
            (0, 0)
        } else {
            (passing, failing)
        };
    }

    /// Takes the first visible message and hides it for `lease`.
    pub(crate) fn take(&self, now: Instant, lease: Duration) -> Option<Taken> {
        let mut state = self.state();
        let index = state
            .messages
            .iter()
            .position(|message| message.visible <= now)?;
        let stored = state.messages.get_mut(index)?;
        let body = match self.encoding {
            Encoding::None => Some(stored.text.clone().into_bytes()),
            Encoding::Base64 => STANDARD.decode(&stored.text).ok(),
        };
        let Some(body) = body else {
            return Some(Taken::Undecodable(state.messages.remove(index).text));
        };
        stored.dequeue_count += 1;
        stored.receipt = Receipt::fresh();
        stored.visible = now + lease;
        Some(Taken::Message(Message {
            id: stored.id,
            receipt: stored.receipt.clone(),
            body,
            dequeue_count: stored.dequeue_count,
            inserted: stored.inserted,
            expires: stored.inserted + LIFE,
            next_visible: Utc::now() + lease,
        }))
    }

    /// Deletes a message that was taken.
    pub(crate) fn delete(&self, message: &Message) -> Result<(), QueueError> {
        let mut state = self.state();
        let before = state.messages.len();
        state
            .messages
            .retain(|stored| stored.receipt != message.receipt);
        if state.messages.len() == before {
            return Err(QueueError::Receipt);
        }
        Ok(())
    }

    /// Makes a message that was taken visible again at that time.
    pub(crate) fn release(&self, message: &Message, visible: Instant) -> Result<(), QueueError> {
        let mut state = self.state();
        let stored = state
            .messages
            .iter_mut()
            .find(|stored| stored.receipt == message.receipt)
            .ok_or(QueueError::Receipt)?;
        stored.visible = visible;
        drop(state);
        self.changed.notify_waiters();
        Ok(())
    }

    /// Lets that much time pass for hidden messages at once, those in work included.
    pub fn pass(&self, time: Duration) {
        let now = Instant::now();
        for message in &mut self.state().messages {
            message.visible = message.visible.checked_sub(time).unwrap_or(now);
        }
        self.changed.notify_waiters();
    }

    /// Number of messages, visible or not.
    pub fn len(&self) -> usize {
        self.state().messages.len()
    }

    /// Whether there is no message, visible or not.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of messages that could be taken now.
    pub fn visible(&self) -> usize {
        let now = Instant::now();
        let state = self.state();
        let messages = state.messages.iter();
        messages.filter(|message| message.visible <= now).count()
    }

    /// Bodies of all messages, visible or not, oldest first; texts that do not decode as they are.
    pub fn peek(&self) -> Vec<Vec<u8>> {
        let state = self.state();
        let bodies = state.messages.iter().map(|stored| match self.encoding {
            Encoding::None => stored.text.clone().into_bytes(),
            Encoding::Base64 => STANDARD
                .decode(&stored.text)
                .unwrap_or_else(|_| stored.text.clone().into_bytes()),
        });
        bodies.collect()
    }

    /// When the next hidden message becomes visible.
    pub(crate) fn next_visible(&self) -> Option<Instant> {
        let state = self.state();
        state.messages.iter().map(|message| message.visible).min()
    }

    /// Ends when a message has been put or released after this call.
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

    const LEASE: Duration = Duration::from_secs(600);

    fn take(queue: &Queue, now: Instant) -> Option<Message> {
        match queue.take(now, LEASE)? {
            Taken::Message(message) => Some(message),
            Taken::Undecodable(text) => panic!("{text}"),
        }
    }

    #[test]
    fn a_taken_message_is_hidden_and_counted() {
        let queue = Queue::new("q", Encoding::Base64);
        let id = queue.put(b"one").unwrap();
        let now = Instant::now();
        let first = take(&queue, now).unwrap();
        assert_eq!((first.id, first.dequeue_count), (id, 1));
        assert_eq!(first.body, b"one");
        assert_eq!(take(&queue, now), None);
        queue
            .release(&first, now + Duration::from_secs(60))
            .unwrap();
        assert_eq!(take(&queue, now + Duration::from_secs(59)), None);
        let second = take(&queue, now + Duration::from_secs(60)).unwrap();
        assert_eq!((second.id, second.dequeue_count), (id, 2));
        // Whoever has lost the message cannot delete it.
        assert_eq!(queue.delete(&first), Err(QueueError::Receipt));
        assert_eq!(queue.delete(&second), Ok(()));
        assert!(queue.is_empty());
    }

    #[test]
    fn the_limit_is_on_the_encoded_text() {
        let queue = Queue::new("q", Encoding::Base64);
        assert!(queue.put(&vec![0; 48 * 1024]).is_ok());
        assert_eq!(
            queue.put(&vec![0; 48 * 1024 + 1]),
            Err(QueueError::TooLarge(65_540))
        );
        let plain = Queue::new("q", Encoding::None);
        assert!(plain.put(&vec![b'a'; 64 * 1024]).is_ok());
        assert_eq!(plain.put(b"\xff"), Err(QueueError::NotText));
    }

    #[test]
    fn failures_are_injected_after_some_successes() {
        let queue = Queue::new("q", Encoding::Base64);
        queue.fail_puts(1, 2);
        let results: Vec<_> = (0..4).map(|_| queue.put(b"m").is_ok()).collect();
        assert_eq!(results, [true, false, false, true]);
    }

    #[test]
    fn a_text_that_does_not_decode_is_handed_over() {
        let queue = Queue::new("q", Encoding::Base64);
        queue.put_text("{not base64}").unwrap();
        assert_eq!(queue.peek(), [b"{not base64}"]);
        assert!(matches!(
            queue.take(Instant::now(), LEASE),
            Some(Taken::Undecodable(text)) if text == "{not base64}"
        ));
        assert!(queue.is_empty());
    }

    #[test]
    fn time_can_be_made_to_pass() {
        let queue = Queue::new("q", Encoding::Base64);
        queue.put(b"m").unwrap();
        take(&queue, Instant::now()).unwrap();
        assert_eq!((queue.len(), queue.visible()), (1, 0));
        queue.pass(LEASE);
        assert_eq!(queue.visible(), 1);
    }
}
