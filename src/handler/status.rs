//! `POST /Status`: how things stand, for people and for probes. No secret is in it.

use serde_json::{Value, json};

use super::App;
use super::answer::{Answer, HttpResponse, Outputs};
use super::housekeeping::{HEALTH, Health};
use crate::config::resolve;
use crate::policy::{Policy, SecretRef};
use crate::sign_in::Timestamp;
use crate::sink::Destination;

/// What it looks like now. 200 where all is well, else 503, so that a probe needs no JSON.
pub(super) async fn status(app: &App, now: Timestamp) -> Answer {
    let policy = app.policies.current().await;
    let refused = app.policies.refused();
    let health: Option<Health> = app.shared.read(HEALTH).await.ok().flatten();
    let sinks = policy.as_deref().map(|policy| sinks(app, policy));
    let sinks = sinks.unwrap_or_default();
    let mut problems: Vec<String> = Vec::new();
    if policy.is_none() {
        problems.push("no policy is in force: sign-ins wait in the Event Hub".to_owned());
    }
    if let Some(refused) = &refused {
        let errors = refused.errors;
        problems.push(format!(
            "the policy {} was refused ({errors} errors)",
            refused.name
        ));
    }
    if policy
        .as_ref()
        .is_some_and(|policy| policy.sinks.is_empty())
    {
        problems.push("the policy has no sink: every alert is kept in `undelivered`".to_owned());
    }
    for sink in &sinks {
        if let (Some(name), Some(problem)) = (sink["name"].as_str(), sink["problem"].as_str()) {
            problems.push(format!("sink {name}: {problem}"));
        }
    }
    if !app.shared.is_there() {
        problems.push("the state store is away: alerts go out unmerged".to_owned());
    }
    if let Some(health) = &health {
        let silent = health.silent.iter();
        problems.extend(silent.map(|category| format!("no {category} arrives")));
        let late = health.late.iter();
        problems.extend(late.map(|partition| format!("partition {partition} is read late")));
        if health.undelivered > 0 {
            let count = health.undelivered;
            problems.push(format!("{count} alerts are kept in `undelivered`"));
        }
    }
    let body = json!({
        "schema": "spwatch/status/v1",
        "time": now,
        "version": env!("CARGO_PKG_VERSION"),
        "well": problems.is_empty(),
        "problems": problems,
        "policy": policy.as_ref().map(|policy| json!({
            "name": app.policies.name(),
            "hash": policy.hash,
            "apps": policy.apps.len(),
        })),
        "refused": refused.map(|refused| json!({ "hash": refused.hash, "errors": refused.errors })),
        "sinks": sinks,
        "housekeeping": health,
    });
    Answer::Done {
        outputs: Outputs {
            res: Some(HttpResponse::json(
                if problems.is_empty() { 200 } else { 503 },
                &body,
            )),
            ..Outputs::default()
        },
        logs: Vec::new(),
    }
}

/// Each sink, and what is wrong with it.
fn sinks(app: &App, policy: &Policy) -> Vec<Value> {
    let healths = app.sender.health();
    let fetch = |reference: &SecretRef| {
        resolve(reference, app.lookup.as_ref()).map_err(|error| error.to_string())
    };
    policy
        .sinks
        .values()
        .map(|sink| {
            let health = healths.iter().find(|health| health.sink == sink.name);
            let destination = Destination::of(sink, &fetch, app.lookup.as_ref());
            let problem = match (&destination, health) {
                (Err(error), _) => Some(error.to_string()),
                (Ok(_), Some(health)) if health.open => health.last_failure.clone(),
                _ => None,
            };
            json!({ "name": sink.name, "problem": problem })
        })
        .collect()
}
