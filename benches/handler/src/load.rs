//! Load: as fast as the server takes it, or at a fixed rate whatever the server does.
//!
//! At a fixed rate a latency counts from the time at which the request was due to be sent, so that
//! a server that stands still cannot hide it by keeping the load generator waiting.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;
use tokio::sync::Mutex;
use tokio::task::JoinSet;

use crate::client::Client;
use crate::wire::Request;

/// Connections of the open loop: as many partitions as an Event Hub may have.
pub(crate) const OPEN_CONNECTIONS: usize = 32;
/// The timer's grain is a millisecond: the rest of a pause is spent polling.
const TIMER_GRAIN: Duration = Duration::from_millis(2);

/// Who answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    Spwatch,
    Floor,
}

/// Requests that are sent in turn, over and over.
#[derive(Debug)]
pub(crate) struct Cycle {
    pub(crate) requests: Vec<Request>,
    next: AtomicUsize,
}

impl Cycle {
    pub(crate) fn new(requests: Vec<Request>) -> Self {
        Self {
            requests,
            next: AtomicUsize::new(0),
        }
    }

    fn next(&self) -> &Request {
        let next = self.next.fetch_add(1, Ordering::Relaxed);
        &self.requests[next % self.requests.len()]
    }

    /// For another policy: every answer is held to what is due once more.
    pub(crate) fn forget_answers(&self) {
        for request in &self.requests {
            request.forget_answer();
        }
    }

    /// Bytes of all bodies.
    pub(crate) fn body_bytes(&self) -> usize {
        self.requests.iter().map(|request| request.body_bytes).sum()
    }
}

/// What was sent and answered.
#[derive(Debug, Default)]
pub(crate) struct Done {
    pub(crate) batches: usize,
    pub(crate) records: usize,
    pub(crate) log_bytes: usize,
    pub(crate) elapsed: Duration,
    /// Of each batch, unsorted.
    pub(crate) latencies: Vec<Duration>,
}

impl Done {
    fn add(&mut self, request: &Request, latency: Duration) {
        self.batches += 1;
        self.records += request.records();
        self.log_bytes += request.log_bytes;
        self.latencies.push(latency);
    }

    fn join(&mut self, other: Self) {
        self.batches += other.batches;
        self.records += other.records;
        self.log_bytes += other.log_bytes;
        self.latencies.extend(other.latencies);
    }

    pub(crate) fn records_per_second(&self) -> f64 {
        self.records as f64 / self.elapsed.as_secs_f64()
    }

    pub(crate) fn batches_per_second(&self) -> f64 {
        self.batches as f64 / self.elapsed.as_secs_f64()
    }
}

/// Sends one request and holds the answer to what is due.
///
/// # Errors
/// The answer is wrong.
pub(crate) async fn exchange(
    client: &mut Client,
    request: &Request,
    target: Target,
) -> anyhow::Result<()> {
    let (status, answer) = client.post(request).await?;
    ensure!(
        status == 200,
        "the answer is {status}: {}",
        String::from_utf8_lossy(answer)
    );
    match target {
        Target::Floor => ensure!(
            answer == format!("{{\"read\":{}}}", request.body_bytes).as_bytes(),
            "the floor read {}, not {} bytes",
            String::from_utf8_lossy(answer),
            request.body_bytes
        ),
        Target::Spwatch => {
            let known = request.answer_bytes.load(Ordering::Relaxed);
            if known == 0 {
                let wrong = || format!("a wrong answer: {}", String::from_utf8_lossy(answer));
                verify(request, answer).with_context(wrong)?;
                request.answer_bytes.store(answer.len(), Ordering::Relaxed);
            } else {
                // Later answers to one body have the same alerts, with the repeats that other bodies brought meanwhile.
                ensure!(
                    answer.len() >= known,
                    "an answer of {} bytes, where the first one to the same body has {known}",
                    answer.len()
                );
            }
        }
    }
    Ok(())
}

/// Holds an answer to what the generator knows.
fn verify(request: &Request, answer: &[u8]) -> anyhow::Result<()> {
    let expected = &request.expected;
    let answer: Value = serde_json::from_slice(answer).context("it is not JSON")?;
    let outputs = answer["Outputs"].as_object().context("it has no Outputs")?;
    ensure!(
        outputs.keys().all(|name| name == "alerts"),
        "it has other outputs than alerts"
    );
    let mut alerts = BTreeMap::new();
    for message in outputs
        .get("alerts")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        let text = message.as_str().context("an alert is no string")?;
        let message: Value = serde_json::from_str(text).context("an alert is not JSON")?;
        let alert = &message["alert"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let reasons = alert["reasons"].as_array().into_iter().flatten();
        let key = (
            text(&alert["app"]["app_id"]),
            text(&alert["sign_in"]["ip"]),
            text(&alert["sign_in"]["country"]),
            reasons.map(|reason| text(&reason["code"])).collect(),
            text(&alert["time"])
                .chars()
                .take("2026-11-23T00".len())
                .collect(),
        );
        let count = alert["count"].as_u64().context("an alert has no count")?;
        ensure!(
            alerts.insert(key, count).is_none(),
            "two alerts that should be one"
        );
    }
    let due = alerts.keys().eq(expected.alerts.keys());
    // Other bodies may have brought more of the same.
    let counted = alerts.values().zip(expected.alerts.values());
    ensure!(
        due && counted.into_iter().all(|(count, own)| count >= own),
        "due are {:?}",
        expected.alerts
    );
    let log = answer["Logs"][0].as_str().context("it has no Logs")?;
    let allowed = expected.sign_ins - expected.violations;
    let numbers: Vec<usize> = log
        .split(|letter: char| !letter.is_ascii_digit())
        .filter_map(|number| number.parse().ok())
        .collect();
    // Sign-ins, events, allowed, outside, unlisted, duplicates, rejected, alerts, recorded.
    let [sign_ins, _, within, outside, 0, 0, 0, raised, recorded] = numbers[..] else {
        bail!("its log line counts other things: {log}");
    };
    ensure!(
        [sign_ins, within, outside, raised, recorded]
            == [
                expected.sign_ins,
                allowed,
                expected.violations,
                expected.alerts.len(),
                expected.recorded
            ],
        "its log line is wrong: {log}"
    );
    Ok(())
}

/// Sends every request once, so that each was answered and found right before anything is measured.
///
/// # Errors
/// An answer is wrong.
pub(crate) async fn verify_all(port: u16, cycle: &Cycle, target: Target) -> anyhow::Result<()> {
    let mut client = Client::connect(port).await?;
    for (number, request) in cycle.requests.iter().enumerate() {
        exchange(&mut client, request, target)
            .await
            .with_context(|| format!("batch {number}"))?;
    }
    Ok(())
}

/// A closed loop: each connection sends its next request once the last one is answered.
///
/// # Errors
/// An answer is wrong.
pub(crate) async fn saturate(
    port: u16,
    cycle: &Arc<Cycle>,
    target: Target,
    connections: usize,
    duration: Duration,
) -> anyhow::Result<Done> {
    let started = Instant::now();
    let end = started + duration;
    let mut tasks = JoinSet::new();
    for _ in 0..connections {
        let cycle = Arc::clone(cycle);
        tasks.spawn(async move {
            let mut client = Client::connect(port).await?;
            let mut done = Done::default();
            loop {
                let sent = Instant::now();
                if sent >= end {
                    return anyhow::Ok(done);
                }
                let request = cycle.next();
                exchange(&mut client, request, target).await?;
                done.add(request, sent.elapsed());
            }
        });
    }
    gather(tasks, started).await
}

/// An open loop: so many batches a second are due, whatever became of those before.
///
/// # Errors
/// An answer is wrong.
pub(crate) async fn steady(
    port: u16,
    cycle: &Arc<Cycle>,
    batches_per_second: f64,
    duration: Duration,
) -> anyhow::Result<Done> {
    let interval = Duration::from_secs_f64(1.0 / batches_per_second);
    let started = Instant::now();
    let end = started + duration;
    // Whose turn it is waits for the next time that is due; all others are sending, or stand in line.
    let turn = Arc::new(Mutex::new(started));
    let mut tasks = JoinSet::new();
    for _ in 0..OPEN_CONNECTIONS {
        let (cycle, turn) = (Arc::clone(cycle), Arc::clone(&turn));
        tasks.spawn(async move {
            let mut client = Client::connect(port).await?;
            let mut done = Done::default();
            loop {
                let mut next = turn.lock().await;
                let due = *next;
                if due >= end {
                    return anyhow::Ok(done);
                }
                *next += interval;
                wait_until(due).await;
                drop(next);
                let request = cycle.next();
                exchange(&mut client, request, Target::Spwatch).await?;
                done.add(request, due.elapsed());
            }
        });
    }
    gather(tasks, started).await
}

async fn gather(
    mut tasks: JoinSet<anyhow::Result<Done>>,
    started: Instant,
) -> anyhow::Result<Done> {
    let mut all = Done::default();
    while let Some(done) = tasks.join_next().await {
        all.join(done??);
    }
    all.elapsed = started.elapsed();
    Ok(all)
}

async fn wait_until(due: Instant) {
    let pause = due.saturating_duration_since(Instant::now());
    if pause > TIMER_GRAIN {
        tokio::time::sleep(pause - TIMER_GRAIN).await;
    }
    while Instant::now() < due {
        tokio::task::yield_now().await;
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::data::{BATCH, Data};
    use crate::wire::{Framing, Shape, requests};

    /// The answer that is due, so that it can be spoilt.
    fn answer(request: &Request) -> Value {
        let expected = &request.expected;
        let alerts = expected.alerts.iter().map(|(key, count)| {
            let (app_id, ip, country, codes, hour) = key;
            let reasons: Vec<Value> = codes.iter().map(|code| json!({ "code": code })).collect();
            let alert = json!({
                "app": { "app_id": app_id },
                "sign_in": { "ip": ip, "country": country },
                "reasons": reasons,
                "time": format!("{hour}:00:00.0000000Z"),
                "count": count,
            });
            json!({ "sink": "", "alert": alert }).to_string()
        });
        let log = format!(
            "sign-ins judged: {} (events: 1): {} allowed, {} outside the policy, 0 of unlisted apps; \
             duplicates: 0, rejected: 0; alerts raised: {}, findings recorded: {}",
            expected.sign_ins,
            expected.sign_ins - expected.violations,
            expected.violations,
            expected.alerts.len(),
            expected.recorded,
        );
        json!({ "Outputs": { "alerts": alerts.collect::<Vec<_>>() }, "Logs": [log] })
    }

    #[test]
    fn wrong_answers_are_found_out() {
        let data = Data::generate(20 * BATCH);
        let requests = requests(Shape::Parsed, Framing::AZURE, &data.records, 1);
        let due = |request: &&Request| request.expected.alerts.len() > 1;
        let request = requests.iter().find(due).unwrap();
        let good = answer(request);
        let verify = |answer: &Value| super::verify(request, answer.to_string().as_bytes());
        verify(&good).unwrap();
        let mut missing = good.clone();
        missing["Outputs"]["alerts"].as_array_mut().unwrap().pop();
        assert!(verify(&missing).is_err());
        let mut twice = good.clone();
        let alerts = twice["Outputs"]["alerts"].as_array_mut().unwrap();
        alerts.push(alerts[0].clone());
        assert!(verify(&twice).is_err());
        let mut rejected = good.clone();
        rejected["Outputs"]["rejected"] = "{}".into();
        assert!(verify(&rejected).is_err());
        let mut fewer = good.clone();
        let log = good["Logs"][0].as_str().unwrap().replace(": 100", ": 99");
        fewer["Logs"][0] = log.into();
        assert!(verify(&fewer).is_err());
    }
}
