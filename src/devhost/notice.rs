//! What the host tells an observer while it runs: the demo narrates from it, tests look back on it.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use uuid::Uuid;

use super::process::Stopped;

/// One thing that happened.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Notice {
    /// The handler's process was started.
    Started {
        /// Its process id.
        process: Option<u32>,
        /// Where it is to listen.
        port: u16,
    },
    /// It answered `GET /`.
    Ready {
        /// How long that took.
        elapsed: Duration,
    },
    /// Its process ended; without a code, by a signal.
    Exited {
        /// The exit code.
        code: Option<i32>,
    },
    /// The host gave up.
    Stopped(Stopped),
    /// The handler wrote a line.
    Line {
        /// As the host would log it.
        level: Level,
        /// The line.
        text: String,
    },
    /// A batch was posted.
    BatchSent {
        /// The function.
        function: String,
        /// The partition.
        partition: usize,
        /// Sequence number of the first event.
        first: u64,
        /// Number of events.
        events: usize,
        /// Attempts before this one.
        retry: u32,
        /// This attempt's id.
        invocation: Uuid,
    },
    /// A queue message was posted.
    MessageSent {
        /// The function.
        function: String,
        /// The queue.
        queue: String,
        /// The message.
        message: Uuid,
        /// How often it has been taken, this time included.
        dequeue_count: u32,
        /// This attempt's id.
        invocation: Uuid,
    },
    /// An invocation ended, outputs included.
    Answered {
        /// The function.
        function: String,
        /// The attempt's id.
        invocation: Uuid,
        /// The status, if there was a response.
        status: Option<u16>,
        /// Why the host counts it as failed.
        failure: Option<String>,
        /// `Logs` of the answer.
        logs: Vec<String>,
        /// From sending to the end of the response.
        elapsed: Duration,
    },
    /// An output was written.
    Output {
        /// The function.
        function: String,
        /// The output binding.
        binding: String,
        /// Queue name or blob path.
        target: String,
        /// What was written.
        content: Vec<u8>,
    },
    /// The partition was checkpointed.
    Checkpoint {
        /// The function.
        function: String,
        /// The partition.
        partition: usize,
        /// Sequence number of the next event.
        next: u64,
    },
    /// A queue message was processed and deleted.
    Delivered {
        /// The queue.
        queue: String,
        /// The message.
        message: Uuid,
    },
    /// A queue message failed and will be visible again.
    Released {
        /// The queue.
        queue: String,
        /// The message.
        message: Uuid,
        /// How often it has been taken.
        dequeue_count: u32,
        /// After how long, time scale included.
        delay: Duration,
    },
    /// A queue message went to the poison queue.
    Poisoned {
        /// The queue that it came from.
        queue: String,
    },
}

/// The level at which the host logs a line of the handler.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Standard output.
    Information,
    /// Standard error, with `warn` in it.
    Warning,
    /// Standard error otherwise.
    Error,
}

/// Is told every [`Notice`], in order within one partition or message, from whatever task it happens in.
#[derive(Clone)]
pub struct Observer(Arc<dyn Fn(&Notice) + Send + Sync>);

impl Observer {
    /// Calls `observe` for each.
    pub fn new(observe: impl Fn(&Notice) + Send + Sync + 'static) -> Self {
        Self(Arc::new(observe))
    }

    pub(crate) fn tell(&self, notice: &Notice) {
        (self.0)(notice);
    }
}

impl Default for Observer {
    fn default() -> Self {
        Self::new(|_| {})
    }
}

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Observer")
    }
}

/// An observer that remembers.
#[derive(Debug, Clone, Default)]
pub struct Journal(Arc<Mutex<Vec<Notice>>>);

impl Journal {
    /// Writes into this journal.
    pub fn observer(&self) -> Observer {
        let journal = self.clone();
        Observer::new(move |notice| journal.lock().push(notice.clone()))
    }

    /// All so far.
    pub fn notices(&self) -> Vec<Notice> {
        self.lock().clone()
    }

    /// How many so far fit.
    pub fn count(&self, fits: impl Fn(&Notice) -> bool) -> usize {
        self.lock().iter().filter(|notice| fits(notice)).count()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Notice>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
