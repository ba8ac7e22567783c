//! How much memory the bodies of batches may take together.
//!
//! The host sends a batch for each partition at once, and its own process shares the instance's memory. A batch
//! that finds no memory free waits with its body unread: it costs the host time, and fails nothing.

use std::sync::Arc;

use tokio::sync::{Mutex, OwnedMutexGuard, OwnedSemaphorePermit, Semaphore};

/// Memory for all batches at once: a quarter of the smallest instance that the plan offers for such work (2 GB,
/// <https://learn.microsoft.com/azure/azure-functions/flex-consumption-plan>).
const BUDGET: usize = 512 << 20;
/// Memory is dealt out in pieces of this size.
const PIECE: usize = 64 << 10;
/// What a batch of N bytes takes: the body, and what its events are decoded to.
const TIMES: usize = 2;

/// The memory that all batches share.
#[derive(Debug)]
pub(super) struct Budget {
    pieces: Arc<Semaphore>,
    /// Held by the one batch that may take more than it asked for at first.
    growing: Arc<Mutex<()>>,
}

impl Default for Budget {
    fn default() -> Self {
        Self::of(BUDGET)
    }
}

impl Budget {
    fn of(bytes: usize) -> Self {
        Self {
            pieces: Arc::new(Semaphore::new(bytes / PIECE)),
            growing: Arc::default(),
        }
    }

    /// A batch's share, of nothing yet.
    pub(super) fn share(&self) -> Share {
        Share {
            budget: Some((Arc::clone(&self.pieces), Arc::clone(&self.growing))),
            held: Vec::new(),
            covered: 0,
            growing: None,
        }
    }
}

/// What a body of unknown length is taken for: in Azure the host announces none.
const USUAL: usize = 4 << 20;

/// What one batch holds of the budget, until it is dropped.
#[derive(Debug)]
pub(super) struct Share {
    budget: Option<(Arc<Semaphore>, Arc<Mutex<()>>)>,
    held: Vec<OwnedSemaphorePermit>,
    /// Bytes of body that what is held is for.
    covered: usize,
    growing: Option<OwnedMutexGuard<()>>,
}

impl Share {
    /// A share that is never waited for.
    pub(super) fn free() -> Self {
        Self {
            budget: None,
            held: Vec::new(),
            covered: 0,
            growing: None,
        }
    }

    /// Waits until there is memory for a body of so many bytes.
    ///
    /// Batches that hold some and wait for more would wait for each other for ever. So a batch asks once, for
    /// what is announced; one that turns out larger takes its turn among those that are, and takes what it needs.
    pub(super) async fn grow(&mut self, bytes: usize) {
        let Some((_, growing)) = &self.budget else {
            return;
        };
        if bytes <= self.covered || self.growing.is_some() {
            return;
        }
        if self.covered > 0 {
            self.growing = Some(Arc::clone(growing).lock_owned().await);
            return;
        }
        self.take(bytes.max(USUAL)).await;
    }

    /// Waits until there is memory for a body of the length that is announced.
    pub(super) async fn take(&mut self, bytes: usize) {
        let Some((pieces, _)) = &self.budget else {
            return;
        };
        // A body beyond the budget takes all of it.
        let wanted = bytes
            .saturating_mul(TIMES)
            .div_ceil(PIECE)
            .min(BUDGET / PIECE);
        // An error means that the budget is closed, which it never is.
        if let Ok(permit) = Arc::clone(pieces).acquire_many_owned(wanted as u32).await {
            self.held.push(permit);
        }
        self.covered = bytes;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    async fn waits(share: &mut Share, bytes: usize) -> bool {
        let grown = tokio::time::timeout(Duration::from_millis(50), share.grow(bytes));
        grown.await.is_err()
    }

    #[tokio::test]
    async fn batches_wait_for_each_other() {
        let budget = Budget::of(BUDGET);
        let mut first = budget.share();
        assert!(!waits(&mut first, BUDGET / 4).await);
        let mut second = budget.share();
        assert!(!waits(&mut second, BUDGET / 4).await);
        let mut third = budget.share();
        assert!(waits(&mut third, 1).await);
        drop(first);
        assert!(!waits(&mut third, 1).await);
        // More than there is can never be had: all of it must do.
        drop(second);
        drop(third);
        let mut huge = budget.share();
        assert!(!waits(&mut huge, BUDGET * 2).await);
        assert!(waits(&mut budget.share(), 1).await);
    }

    #[tokio::test]
    async fn bodies_of_unknown_length_grow_one_at_a_time() {
        let budget = Budget::of(BUDGET);
        let (mut first, mut second) = (budget.share(), budget.share());
        assert!(!waits(&mut first, 1).await);
        assert!(!waits(&mut second, 1).await);
        assert!(!waits(&mut first, 1 << 30).await);
        assert!(waits(&mut second, 1 << 30).await);
        drop(first);
        assert!(!waits(&mut second, 1 << 30).await);
    }
}
