//! One attempt: the call, its judgement, its outputs. And the retry policy around it.

use std::time::Duration;

use bytes::Bytes;
use chrono::Utc;
use uuid::Uuid;

use super::super::answer::{Answer, Output};
use super::super::client::Request;
use super::super::function_file::{Function, OutputKind};
use super::super::notice::Notice;
use super::super::process::Stopped;
use super::super::wire::{Call, RetryContext, WireError};
use super::{Inner, lock};

/// How an invocation ended, or why the host can make no more.
pub(super) type Outcome = Result<Result<(), String>, Stopped>;

impl Inner {
    /// Invokes a function until it succeeds or its retry policy ends: a new body and invocation id each time.
    pub(super) async fn with_retries(
        &self,
        function: &Function,
        body: impl Fn(&Call<'_>) -> Result<Vec<u8>, WireError>,
        sending: impl Fn(u32, Uuid),
    ) -> Outcome {
        let mut exception = None;
        let mut count = 0_u32;
        loop {
            let retry = function.retry.as_ref().map(|retry| RetryContext {
                retry_count: count,
                max_retry_count: retry.max_retry_count,
                exception: exception.take(),
            });
            let failure = match self
                .attempt(function, retry, &body, |id| sending(count, id))
                .await?
            {
                Ok(()) => return Ok(Ok(())),
                Err(failure) => failure,
            };
            let Some(retry) = &function.retry else {
                return Ok(Err(failure));
            };
            // Negative is for ever.
            if u32::try_from(retry.max_retry_count).is_ok_and(|limit| count >= limit) {
                return Ok(Err(failure));
            }
            let delay = self.scaled(retry.delay(count, jitter()));
            exception = Some(failure);
            count = count.saturating_add(1);
            tokio::time::sleep(delay).await;
        }
    }

    /// One attempt: `Err` within is a failed invocation, whatever the cause.
    pub(super) async fn attempt(
        &self,
        function: &Function,
        retry: Option<RetryContext>,
        body: impl Fn(&Call<'_>) -> Result<Vec<u8>, WireError>,
        sending: impl Fn(Uuid),
    ) -> Outcome {
        // Invocations wait while the handler starts; after an exit with 0 they run into a closed port.
        self.supervisor.settled().await?;
        let invocation = Uuid::new_v4();
        let call = Call {
            function: &function.name,
            now: Utc::now(),
            random: Uuid::new_v4(),
            retry,
        };
        sending(invocation);
        let body = match body(&call) {
            Ok(body) => Bytes::from(body),
            Err(error) => {
                // Binding fails before the handler is called.
                let failure = chain(&error);
                self.answered(
                    function,
                    invocation,
                    None,
                    Err(failure.clone()),
                    Duration::ZERO,
                );
                return Ok(Err(failure));
            }
        };
        let request = Request {
            framing: self.framing,
            invocation,
            ..Request::new(&function.name, body)
        };
        let started = std::time::Instant::now();
        let exchange = self.client.send(request, &function.outputs);
        let exchange = match self.function_timeout {
            None => exchange.await,
            Some(limit) => match tokio::time::timeout(limit, exchange).await {
                Ok(exchange) => exchange,
                Err(_) => {
                    // One process serves all functions, so every other invocation dies with this one.
                    self.supervisor.restart().await;
                    let failure = format!("no response within the function timeout of {limit:?}");
                    self.answered(function, invocation, None, Err(failure.clone()), limit);
                    return Ok(Err(failure));
                }
            },
        };
        let elapsed = started.elapsed();
        let (status, result) = match exchange {
            Err(error) => (None, Err(chain(&error))),
            Ok(exchange) => {
                let result = match exchange.judged {
                    Ok(answer) => {
                        let applied = self.apply(function, &answer).await;
                        applied.map(|()| answer)
                    }
                    Err(failure) => {
                        if failure.hangs() {
                            // The host would wait for the timeout; the end is the same, and a mistake worth telling.
                            *lock(&self.hung) = Some(function.name.clone());
                            self.supervisor.restart().await;
                        }
                        Err(failure.to_string())
                    }
                };
                (Some(exchange.status), result)
            }
        };
        let outcome = result.as_ref().map(|_| ()).map_err(Clone::clone);
        self.answered(function, invocation, status, result, elapsed);
        Ok(outcome)
    }

    fn answered(
        &self,
        function: &Function,
        invocation: Uuid,
        status: Option<u16>,
        result: Result<Answer, String>,
        elapsed: Duration,
    ) {
        let (failure, logs) = match result {
            Ok(answer) => (None, answer.logs),
            Err(failure) => (Some(failure), Vec::new()),
        };
        self.observer.tell(&Notice::Answered {
            function: function.name.clone(),
            invocation,
            status,
            failure,
            logs,
            elapsed,
        });
    }

    /// Writes the outputs. A failing write fails the invocation, but what is written stays: bindings are
    /// independent of one another, and within one the items before the failure are out.
    async fn apply(&self, function: &Function, answer: &Answer) -> Result<(), String> {
        let mut failure = None;
        for output in &answer.outputs {
            if let Err(error) = self.write(function, output).await {
                failure.get_or_insert(format!("output {}: {error}", output.binding));
            }
        }
        failure.map_or(Ok(()), Err)
    }

    async fn write(&self, function: &Function, output: &Output) -> Result<(), String> {
        let mut bindings = function.outputs.iter();
        let Some(binding) = bindings.find(|binding| binding.name == output.binding) else {
            return Ok(());
        };
        for item in &output.items {
            let content = item.bytes();
            let target = match &binding.kind {
                OutputKind::Queue(name) => {
                    self.cloud.any_queue(name).put(content).await?;
                    name.clone()
                }
                OutputKind::Blob(path) => self.cloud.write_blob(path, content).await?,
                OutputKind::Http => binding.name.clone(),
            };
            self.stir();
            self.observer.tell(&Notice::Output {
                function: function.name.clone(),
                binding: output.binding.clone(),
                target,
                content: content.to_vec(),
            });
        }
        Ok(())
    }
}

/// An error and its causes on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// A random number in 0..=1.
fn jitter() -> f64 {
    let bytes = Uuid::new_v4().into_bytes();
    f64::from(bytes.first().copied().unwrap_or_default()) / 255.0
}
