//! What stands before each sink: how many requests at once, and whether it is tried at all. The time is an argument.
//!
//! A sink that is known to be down is refused at once, so that its alerts take no slot of the queue from the others.

use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Requests to one sink under way at once. The host calls with a queue's batch and half as many more.
const IN_FLIGHT: usize = 8;
/// Where none of them ends for that long, nobody waits for it.
const STUCK: Duration = Duration::from_secs(1);
/// So many deliveries in a row must fail until a sink counts as down.
const FAILURES: u32 = 5;
/// It is tried again after about this long, by one delivery alone; then after twice as long, and so on.
const FIRST_REST: Duration = Duration::from_secs(1);
/// But at least as often as the queue brings an alert again.
const LONGEST_REST: Duration = Duration::from_secs(60);
/// A receiver may ask for that much patience.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(3600);

/// How a delivery ended, as far as the gate is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended<'a> {
    /// The receiver answered, and not that it cannot.
    Answered,
    /// It did not, or could not.
    Failed {
        /// Why, without secrets.
        reason: &'a str,
        /// How long it asked to wait.
        retry_after: Option<Duration>,
    },
    /// It was given up by us.
    Abandoned,
}

/// Why a sink is not tried now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Closed {
    /// Enough requests are under way; one of them may end in a moment.
    Busy,
    /// None of those under way has ended for a while.
    Stuck,
    /// It is down, and one request is trying whether it is up again.
    Trying {
        /// Why it is down.
        reason: String,
    },
    /// It is down, or asked to wait.
    Resting {
        /// For that much longer.
        left: Duration,
        /// Why.
        reason: String,
    },
}

/// How a sink does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SinkHealth {
    /// Its name.
    pub sink: String,
    /// Whether it counts as down.
    pub open: bool,
    /// Requests under way.
    pub in_flight: usize,
    /// Deliveries in a row that failed.
    pub failures: u32,
    /// Why the last one failed; none while the sink does well.
    pub last_failure: Option<String>,
}

/// The gates of all sinks.
#[derive(Debug, Default)]
pub(super) struct Gates(HashMap<String, Gate>);

#[derive(Debug, Default)]
struct Gate {
    in_flight: usize,
    /// Since when no more may be under way.
    full_since: Option<Instant>,
    failures: u32,
    /// Rests without a success in between.
    rests: u32,
    rest_until: Option<Instant>,
    asked_until: Option<Instant>,
    last_failure: Option<String>,
}

impl Gate {
    fn is_down(&self) -> bool {
        self.failures >= FAILURES
    }

    fn closed(&self, now: Instant) -> Option<Closed> {
        let last = self.last_failure.as_deref().unwrap_or("unknown");
        let left = |until: Option<Instant>| {
            until?
                .checked_duration_since(now)
                .filter(|left| !left.is_zero())
        };
        if let Some(left) = left(self.asked_until) {
            let reason = format!("the receiver asked to wait ({last})");
            return Some(Closed::Resting { left, reason });
        }
        if let Some(left) = left(self.rest_until) {
            let reason = format!(
                "{} deliveries in a row failed, the last: {last}",
                self.failures
            );
            return Some(Closed::Resting { left, reason });
        }
        match self.is_down() {
            true if self.in_flight > 0 => Some(Closed::Trying {
                reason: format!(
                    "one delivery tries whether it is up again, the last failed: {last}"
                ),
            }),
            true => None,
            false => match self.full_since {
                Some(since) if now >= since + STUCK => Some(Closed::Stuck),
                Some(_) => Some(Closed::Busy),
                None => None,
            },
        }
    }
}

impl Gates {
    /// Lets a delivery pass; it must be told how it [`ended`](Self::leave).
    pub(super) fn enter(&mut self, sink: &str, now: Instant) -> Result<(), Closed> {
        if !self.0.contains_key(sink) {
            self.0.insert(sink.to_owned(), Gate::default());
        }
        let Some(gate) = self.0.get_mut(sink) else {
            return Err(Closed::Busy);
        };
        match gate.closed(now) {
            Some(closed) => Err(closed),
            None => {
                gate.in_flight += 1;
                if gate.in_flight >= IN_FLIGHT {
                    gate.full_since = Some(now);
                }
                Ok(())
            }
        }
    }

    /// A delivery that was let pass has ended. `jitter` is a random number from 0 to 1.
    pub(super) fn leave(&mut self, sink: &str, ended: Ended<'_>, now: Instant, jitter: f64) {
        let Some(gate) = self.0.get_mut(sink) else {
            return;
        };
        gate.in_flight = gate.in_flight.saturating_sub(1);
        gate.full_since = None;
        match ended {
            Ended::Abandoned => {}
            Ended::Answered => {
                *gate = Gate {
                    in_flight: gate.in_flight,
                    // What it asked for it asked for, whatever it answers meanwhile.
                    asked_until: gate.asked_until,
                    ..Gate::default()
                };
            }
            Ended::Failed {
                reason,
                retry_after,
            } => {
                gate.last_failure = Some(reason.to_owned());
                if let Some(wait) = retry_after {
                    let until = now + wait.min(LONGEST_RETRY_AFTER);
                    // Answers to requests that were under way side by side may differ: the longest wait holds.
                    gate.asked_until = gate.asked_until.max(Some(until));
                }
                gate.failures = gate.failures.saturating_add(1);
                // Those that were under way when it went down say nothing new.
                if gate.is_down() && gate.rest_until.is_none_or(|until| until <= now) {
                    let rest = FIRST_REST
                        .saturating_mul(1 << gate.rests.min(8))
                        .min(LONGEST_REST);
                    // From half of it to all of it, so that instances do not come back together.
                    gate.rest_until = Some(now + rest.mul_f64(0.5 + jitter.clamp(0.0, 1.0) / 2.0));
                    gate.rests += 1;
                }
            }
        }
    }

    /// How every sink does that something was sent to, by name.
    pub(super) fn health(&self) -> Vec<SinkHealth> {
        let mut all: Vec<SinkHealth> = self
            .0
            .iter()
            .map(|(sink, gate)| SinkHealth {
                sink: sink.clone(),
                open: gate.is_down(),
                in_flight: gate.in_flight,
                failures: gate.failures,
                last_failure: gate.last_failure.clone(),
            })
            .collect();
        all.sort_by(|a, b| a.sink.cmp(&b.sink));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(gates: &mut Gates, now: Instant) {
        let ended = Ended::Failed {
            reason: "the receiver answered 500",
            retry_after: None,
        };
        gates.leave("soc", ended, now, 1.0);
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// How long the sink rests, if it does.
    fn rests(gates: &mut Gates, now: Instant) -> Option<u64> {
        match gates.enter("soc", now) {
            Err(Closed::Resting { left, .. }) => Some(left.as_secs()),
            Err(_) => None,
            Ok(()) => {
                gates.leave("soc", Ended::Abandoned, now, 1.0);
                None
            }
        }
    }

    #[test]
    fn a_sink_has_so_many_requests_at_once_and_the_next_one_has_its_own() {
        let (mut gates, now) = (Gates::default(), Instant::now());
        for _ in 0..IN_FLIGHT {
            assert_eq!(gates.enter("soc", now), Ok(()));
        }
        assert_eq!(gates.enter("soc", now), Err(Closed::Busy));
        assert_eq!(gates.enter("soc", now + STUCK), Err(Closed::Stuck));
        assert_eq!(gates.enter("owner", now), Ok(()));
        gates.leave("soc", Ended::Abandoned, now, 0.0);
        assert_eq!(gates.enter("soc", now), Ok(()));
        assert_eq!(gates.health()[1].in_flight, IN_FLIGHT);
    }

    #[test]
    fn a_sink_that_fails_is_left_alone_for_longer_and_longer() {
        let (mut gates, mut now) = (Gates::default(), Instant::now());
        for _ in 0..FAILURES {
            gates.enter("soc", now).unwrap();
            failed(&mut gates, now);
        }
        let mut rested = Vec::new();
        for _ in 0..7 {
            let Err(Closed::Resting { left, reason }) = gates.enter("soc", now) else {
                panic!("it is tried");
            };
            assert!(reason.contains("answered 500"), "{reason}");
            rested.push(left.as_secs());
            now += left;
            // One tries, the others wait for what comes of it.
            gates.enter("soc", now).unwrap();
            assert!(matches!(
                gates.enter("soc", now),
                Err(Closed::Trying { .. })
            ));
            failed(&mut gates, now);
        }
        assert_eq!(rested, [1, 2, 4, 8, 16, 32, 60]);
        assert!(gates.health()[0].open);
        now += seconds(60);
        gates.enter("soc", now).unwrap();
        gates.leave("soc", Ended::Answered, now, 0.0);
        assert_eq!(gates.enter("soc", now), Ok(()));
        assert_eq!(gates.health()[0].last_failure, None);
    }

    #[test]
    fn failures_that_were_under_way_do_not_count_as_new_rests() {
        let (mut gates, now) = (Gates::default(), Instant::now());
        for _ in 0..IN_FLIGHT {
            gates.enter("soc", now).unwrap();
        }
        for _ in 0..IN_FLIGHT {
            failed(&mut gates, now);
        }
        assert_eq!(rests(&mut gates, now), Some(1));
    }

    #[test]
    fn the_longest_wait_that_was_asked_for_holds() {
        let (mut gates, now) = (Gates::default(), Instant::now());
        for wait in [30, 7_200, 10] {
            gates.enter("soc", now).ok();
            let ended = Ended::Failed {
                reason: "429",
                retry_after: Some(seconds(wait)),
            };
            gates.leave("soc", ended, now, 0.0);
        }
        assert_eq!(rests(&mut gates, now), Some(3_600));
        // One that was under way is taken: it is waited all the same.
        gates.leave("soc", Ended::Answered, now, 0.0);
        assert_eq!(rests(&mut gates, now), Some(3_600));
        assert_eq!(rests(&mut gates, now + seconds(3_600)), None);
    }
}
