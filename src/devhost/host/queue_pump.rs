//! One queue: as many messages at once as the host takes, released or moved to the poison queue when they fail.
//! (Azure/azure-sdk-for-net: …WebJobs.Extensions.Storage.Queues/src/Listeners/QueueListener.cs, QueueProcessor.cs)

use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::super::function_file::Function;
use super::super::notice::Notice;
use super::super::storage::{AnyQueue, Leased, Next};
use super::super::wire;
use super::Inner;

const POISON: &str = "-poison";

pub(super) async fn run(inner: Arc<Inner>, function: Function, queue: AnyQueue) {
    let function = Arc::new(function);
    let permits = Arc::new(Semaphore::new(inner.app.extensions.queues.concurrency));
    // Dropped with this future, so that a stopped host leaves nothing running.
    let mut work = JoinSet::new();
    loop {
        while work.try_join_next().is_some() {}
        let Ok(permit) = Arc::clone(&permits).acquire_owned().await else {
            return;
        };
        let busy = inner.busy();
        match queue.take(inner.lease).await {
            Ok(Next::Message(message)) => {
                let (inner, function, queue) =
                    (Arc::clone(&inner), Arc::clone(&function), queue.clone());
                // The task counts itself as soon as it is polled; until then this guard stands for it.
                let handed_over = Arc::new(tokio::sync::Notify::new());
                let taken_over = Arc::clone(&handed_over);
                work.spawn(async move {
                    let _permit = permit;
                    let _busy = inner.busy();
                    taken_over.notify_one();
                    process(&inner, &function, &queue, message).await;
                });
                handed_over.notified().await;
            }
            Ok(Next::Undecodable(text)) => {
                if let Some(poison) = poison(&inner, &queue) {
                    // As it is: it would not survive being encoded.
                    let _ = poison.put_text(text).await;
                    inner.observer.tell(&Notice::Poisoned {
                        queue: queue.name().into(),
                    });
                }
            }
            // A store that is away is asked again, as one that is empty.
            Ok(Next::Nothing) | Err(_) => {
                drop(busy);
                queue.wait().await;
            }
        }
    }
}

async fn process(inner: &Inner, function: &Function, queue: &AnyQueue, leased: Leased) {
    let message = &leased.message;
    let settings = &inner.app.extensions.queues;
    if message.dequeue_count > settings.max_dequeue_count {
        // A host died with it often enough.
        if let Some(poison) = poison(inner, queue) {
            bury(inner, queue, &poison, &leased).await;
            return;
        }
    }
    let body = |call: &wire::Call<'_>| {
        wire::queue(&function.trigger_name, function.data_type, message, call)
    };
    let sending = |invocation| {
        inner.observer.tell(&Notice::MessageSent {
            function: function.name.clone(),
            queue: queue.name().into(),
            message: message.id,
            dequeue_count: message.dequeue_count,
            invocation,
        });
    };
    // The queue does the retrying, by the dequeue count; a retry policy does not apply.
    let Ok(outcome) = inner.attempt(function, None, body, sending).await else {
        return;
    };
    match (outcome, poison(inner, queue)) {
        (Ok(()), _) => {
            // A receipt that is no longer valid: the message has become visible and will be processed again.
            if queue.delete(&leased).await {
                inner.observer.tell(&Notice::Delivered {
                    queue: queue.name().into(),
                    message: message.id,
                });
            }
        }
        (Err(_), Some(poison)) if message.dequeue_count >= settings.max_dequeue_count => {
            bury(inner, queue, &poison, &leased).await;
        }
        (Err(_), Some(_)) => {
            let delay = inner.scaled(settings.visibility_timeout);
            if queue.release(&leased, delay).await {
                inner.observer.tell(&Notice::Released {
                    queue: queue.name().into(),
                    message: message.id,
                    dequeue_count: message.dequeue_count,
                    delay,
                });
            }
        }
        // Without a poison queue the message keeps its lease, lest it come round and round.
        (Err(_), None) => {}
    }
    inner.stir();
}

/// The poison queue; a poison queue has none of its own.
fn poison(inner: &Inner, queue: &AnyQueue) -> Option<AnyQueue> {
    let name = queue.name();
    (!name.ends_with(POISON)).then(|| inner.cloud.any_queue(&format!("{name}{POISON}")))
}

async fn bury(inner: &Inner, queue: &AnyQueue, poison: &AnyQueue, leased: &Leased) {
    // Copied first: a crash in between leaves two, not none.
    if poison.put(&leased.message.body).await.is_ok() && queue.delete(leased).await {
        inner.observer.tell(&Notice::Poisoned {
            queue: queue.name().into(),
        });
    }
}
