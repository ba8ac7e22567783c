//! `POST /Status`: how things stand, for people and for probes. No secret is in it.

mod page;

use std::time::Duration;

use serde::Serialize;

use super::App;
use super::answer::{Answer, HttpResponse, Outputs};
use super::housekeeping::Health;
use super::wire::HttpRequest;
use crate::alert::own::RefusedPolicy;
use crate::build;
use crate::config::resolve;
use crate::policy::{Policy, SecretRef};
use crate::sign_in::Timestamp;
use crate::sink::Destination;
use crate::stream::{Limits, Stream, Tally};

/// `Housekeeping` runs each minute: after that long without it something is wrong with the app.
const HOUSEKEEPING_OVERDUE: Duration = Duration::from_secs(5 * 60);

/// How it is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// For programs.
    Json,
    /// For people.
    Html,
}

impl Form {
    /// `format` says it; else what the client would rather have: browsers ask for HTML first.
    pub(super) fn asked_for(request: &HttpRequest) -> Self {
        match request.format.as_deref() {
            Some("html") => return Self::Html,
            Some(_) => return Self::Json,
            None => {}
        }
        let mut known = request.accept.iter().filter_map(|range| match &**range {
            "text/html" => Some(Self::Html),
            "application/json" => Some(Self::Json),
            _ => None,
        });
        known.next().unwrap_or(Self::Json)
    }
}

/// `spwatch/status/v1`.
#[derive(Debug, Serialize)]
struct Standing {
    schema: &'static str,
    time: Timestamp,
    version: &'static str,
    commit: Option<&'static str>,
    well: bool,
    problems: Vec<String>,
    policy: Option<PolicyInForce>,
    refused: Option<Refused>,
    sinks: Vec<Sink>,
    state_is_there: bool,
    /// When the state store said what follows; `None` where it has not answered this process yet, and nothing is known.
    as_of: Option<Timestamp>,
    partitions: Vec<Partition>,
    categories: Vec<Category>,
    counts: Counts,
    /// As the last run of `Housekeeping` saw it.
    housekeeping: Option<Health>,
}

#[derive(Debug, Serialize)]
struct PolicyInForce {
    name: String,
    hash: String,
    apps: usize,
    since: Option<Timestamp>,
    age_seconds: Option<i64>,
}

#[derive(Debug, Serialize)]
struct Refused {
    at: Timestamp,
    hash: String,
    errors: usize,
    problems: String,
}

#[derive(Debug, Serialize)]
struct Sink {
    name: String,
    problem: Option<String>,
}

/// The last batch of a partition.
#[derive(Debug, Serialize)]
struct Partition {
    id: String,
    seen: Timestamp,
    events: usize,
    first_sequence: Option<i64>,
    last_sequence: Option<i64>,
    /// From the hub's acceptance of its oldest event to its arrival here.
    hub_lag_seconds: i64,
    /// From its newest sign-in to its arrival here.
    event_lag_seconds: Option<i64>,
    late: bool,
}

#[derive(Debug, Serialize)]
struct Category {
    name: String,
    last: Timestamp,
    silent_after_seconds: i64,
    silent: bool,
}

/// By the hour of arrival; a batch that was read twice counts twice.
#[derive(Debug, Serialize)]
struct Counts {
    this_hour: Tally,
    last_24_hours: Tally,
}

/// What it looks like now. 200 where all is well, else 503, so that a probe needs to read nothing.
pub(super) async fn status(app: &App, form: Form, now: Timestamp) -> Answer {
    let standing = stand(app, now).await;
    let code = if standing.well { 200 } else { 503 };
    let response = match form {
        Form::Html => HttpResponse::html(code, page::page(&standing)),
        Form::Json => match serde_json::to_string_pretty(&standing) {
            Ok(text) => HttpResponse::json(code, text),
            Err(error) => {
                return Answer::Retry(format!("the status could not be written: {error}"));
            }
        },
    };
    Answer::Done {
        outputs: Outputs {
            res: Some(response),
            ..Outputs::default()
        },
        logs: Vec::new(),
    }
}

async fn stand(app: &App, now: Timestamp) -> Standing {
    let policy = app.policies.current().await;
    let refused = app.policies.refused();
    let known = app.house.know(&app.shared, now).await;
    let as_of = known.as_ref().map(|known| known.at);
    let (stream, health) = match known {
        Some(known) => (known.stream, known.health),
        None => Default::default(),
    };
    let sinks = match policy.as_deref() {
        Some(policy) => sinks(app, policy).await,
        None => Vec::new(),
    };
    let since = app.policies.in_force_since();
    let mut standing = Standing {
        schema: "spwatch/status/v1",
        time: now,
        version: build::VERSION,
        commit: build::COMMIT,
        well: false,
        problems: Vec::new(),
        policy: policy.as_deref().map(|policy| PolicyInForce {
            name: app.policies.name(),
            hash: policy.hash.clone(),
            apps: policy.apps.len(),
            since,
            age_seconds: since.map(|since| now.unix_seconds() - since.unix_seconds()),
        }),
        refused: refused.as_ref().map(|refused| Refused {
            at: refused.at,
            hash: refused.hash.clone(),
            errors: refused.errors,
            problems: refused.problems.clone(),
        }),
        sinks,
        state_is_there: app.shared.is_there(),
        as_of,
        partitions: partitions(&stream),
        categories: categories(&stream, app.shared.limits(), now),
        counts: Counts {
            this_hour: stream.hours.last(1, now),
            last_24_hours: stream.hours.last(24, now),
        },
        housekeeping: health,
    };
    let has_no_sink = policy.is_some_and(|policy| policy.sinks.is_empty());
    let uptime = app.started.elapsed();
    standing.problems = problems(&standing, refused.as_ref(), has_no_sink, uptime);
    for feed in app.policies.unwell_feeds(now) {
        let problem = format!("the feed {} is unwell: {}", feed.file, feed.problem);
        standing.problems.push(problem);
    }
    standing.well = standing.problems.is_empty();
    standing
}

/// Everything that somebody should see to.
fn problems(
    standing: &Standing,
    refused: Option<&RefusedPolicy>,
    has_no_sink: bool,
    uptime: Duration,
) -> Vec<String> {
    let mut problems = Vec::new();
    if standing.policy.is_none() {
        problems.push("no policy is in force: sign-ins wait in the Event Hub".to_owned());
    }
    if let Some(RefusedPolicy { name, errors, .. }) = refused {
        let errors = match errors {
            1 => "1 error".to_owned(),
            count => format!("{count} errors"),
        };
        problems.push(format!("the policy {name} was refused ({errors})"));
    }
    if has_no_sink {
        problems.push("the policy has no sink: every alert is kept in `undelivered`".to_owned());
    }
    for sink in &standing.sinks {
        if let Some(problem) = &sink.problem {
            problems.push(format!("sink {}: {problem}", sink.name));
        }
    }
    if !standing.state_is_there {
        problems.push("the state store is away: alerts go out unmerged".to_owned());
    }
    let silent = standing.categories.iter().filter(|known| known.silent);
    problems.extend(silent.map(|category| format!("no records of {} arrive", category.name)));
    let late = standing.partitions.iter().filter(|known| known.late);
    problems.extend(late.map(|partition| format!("partition {} is read late", partition.id)));
    if standing.state_is_there {
        problems.extend(no_housekeeping(standing, uptime));
    }
    match standing
        .housekeeping
        .as_ref()
        .map(|house| house.undelivered)
    {
        None | Some(0) => {}
        Some(1) => problems.push("1 alert is kept in `undelivered`".to_owned()),
        Some(count) => problems.push(format!("{count} alerts are kept in `undelivered`")),
    }
    problems
}

/// Says so where the timer does not fire; a process that has just started may be the first one.
fn no_housekeeping(standing: &Standing, uptime: Duration) -> Option<String> {
    let overdue = HOUSEKEEPING_OVERDUE.as_secs();
    match standing.housekeeping.as_ref().and_then(|house| house.at) {
        Some(at) => {
            let age = standing.time.unix_seconds() - at.unix_seconds();
            let late = u64::try_from(age).is_ok_and(|age| age > overdue);
            late.then(|| format!("Housekeeping has not run since {at}"))
        }
        None => (uptime.as_secs() > overdue).then(|| "Housekeeping has not run yet".to_owned()),
    }
}

fn partitions(stream: &Stream) -> Vec<Partition> {
    let partitions = stream.partitions.iter().map(|(id, partition)| {
        let reading = &partition.reading;
        Partition {
            id: id.clone(),
            seen: reading.seen,
            events: reading.events,
            first_sequence: reading.sequence.map(|(first, _)| first),
            last_sequence: reading.sequence.map(|(_, last)| last),
            hub_lag_seconds: reading.lag_seconds(),
            event_lag_seconds: reading.event_lag_seconds(),
            late: partition.is_late(),
        }
    });
    let mut partitions: Vec<Partition> = partitions.collect();
    // As numbers, which they are.
    partitions.sort_by_key(|partition| partition.id.parse::<u64>().unwrap_or(u64::MAX));
    partitions
}

fn categories(stream: &Stream, limits: &Limits, now: Timestamp) -> Vec<Category> {
    let categories = stream.categories.iter().map(|(name, category)| Category {
        name: name.clone(),
        last: category.last,
        silent_after_seconds: category.threshold_seconds(limits),
        silent: category.is_silent(limits, now),
    });
    categories.collect()
}

/// Each sink, and what is wrong with it, as this process or those that deliver know.
async fn sinks(app: &App, policy: &Policy) -> Vec<Sink> {
    let healths = app.sender.health();
    let fetch = |reference: &SecretRef| {
        resolve(reference, app.lookup.as_ref()).map_err(|error| error.to_string())
    };
    let mut sinks = Vec::with_capacity(policy.sinks.len());
    for sink in policy.sinks.values() {
        let destination = Destination::of(sink, &fetch, app.lookup.as_ref());
        let here = healths
            .iter()
            .find(|health| health.sink == sink.name && health.open);
        let problem = match (destination, here) {
            (Err(error), _) => Some(error.to_string()),
            (Ok(_), Some(health)) => health.last_failure.clone(),
            (Ok(_), None) => {
                let word = app.shared.word_of_sink(&sink.name).await;
                word.filter(|word| word.down).map(|word| {
                    let reason = word.last_failure.unwrap_or_default();
                    format!("down since {}: {reason}", word.since)
                })
            }
        };
        sinks.push(Sink {
            name: sink.name.clone(),
            problem,
        });
    }
    sinks
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::{Arrivals, Reading};

    fn time(text: &str) -> Timestamp {
        Timestamp::parse(text).unwrap()
    }

    /// As it stands with a bit of everything.
    fn standing() -> Standing {
        let now = time("2026-11-24T12:00:30Z");
        let limits = Limits {
            silent_after_seconds: Some(1800),
            retention_seconds: 86_400,
        };
        let mut arrivals = Arrivals::default();
        arrivals.category("ServicePrincipalSignInLogs", time("2026-11-24T12:00:05Z"));
        arrivals.category("AuditLogs", time("2026-11-24T11:00:00Z"));
        for (partition, enqueued) in [
            ("10", "2026-11-23T20:00:00Z"),
            ("2", "2026-11-24T12:00:01Z"),
        ] {
            let reading = Reading {
                enqueued: time(enqueued),
                seen: time("2026-11-24T12:00:05Z"),
                events: 3,
                sequence: Some((4711, 4713)),
                newest: Some(time("2026-11-24T11:57:00Z")),
            };
            arrivals.partition(partition, reading);
        }
        let tally = Tally {
            batches: 2,
            events: 6,
            records: 1240,
            sign_ins: 1234,
            allowed: 1200,
            violation: 4,
            unknown_app: 30,
            rejected: 6,
            alerts: 3,
        };
        arrivals.count(&tally, time("2026-11-24T11:30:00Z"));
        arrivals.count(&tally, time("2026-11-24T12:00:05Z"));
        let mut stream = Stream::default();
        stream.absorb(&arrivals, &limits);
        let refused = RefusedPolicy {
            at: time("2026-11-24T09:15:00Z"),
            name: "policy.toml".to_owned(),
            hash: "9f86d081".repeat(8),
            in_force: Some("3a7bd3e2".repeat(8)),
            errors: 1,
            problems:
                "error[unknown-key]: `alow` is no key\n --> policy.toml:7:1\n  | <alow> & \"x\""
                    .to_owned(),
        };
        let mut standing = Standing {
            schema: "spwatch/status/v1",
            time: now,
            version: "1.2.3",
            commit: Some("0123456789ab"),
            well: false,
            problems: Vec::new(),
            policy: Some(PolicyInForce {
                name: "az://spwatch-policy/policy.toml".to_owned(),
                hash: "3a7bd3e2".repeat(8),
                apps: 412,
                since: Some(time("2026-11-20T08:00:00Z")),
                age_seconds: Some(360_030),
            }),
            refused: Some(Refused {
                at: refused.at,
                hash: refused.hash.clone(),
                errors: refused.errors,
                problems: refused.problems.clone(),
            }),
            sinks: vec![
                Sink {
                    name: "soc".to_owned(),
                    problem: None,
                },
                Sink {
                    name: "owner".to_owned(),
                    problem: Some("the setting OWNER_URL is missing".to_owned()),
                },
            ],
            state_is_there: true,
            as_of: Some(now),
            partitions: partitions(&stream),
            categories: categories(&stream, &limits, now),
            counts: Counts {
                this_hour: stream.hours.last(1, now),
                last_24_hours: stream.hours.last(24, now),
            },
            housekeeping: Some(Health {
                at: Some(time("2026-11-24T12:00:00Z")),
                undelivered: 2,
                windows: 5,
                ..Health::default()
            }),
        };
        standing.problems = problems(&standing, Some(&refused), false, Duration::ZERO);
        standing.well = standing.problems.is_empty();
        standing
    }

    #[test]
    fn the_document() {
        insta::assert_snapshot!(serde_json::to_string_pretty(&standing()).unwrap());
    }

    #[test]
    fn the_page() {
        let page = page::page(&standing());
        // What the policy's author wrote is text.
        assert!(page.contains("&lt;alow&gt; &amp; &quot;x&quot;"), "{page}");
        insta::assert_snapshot!(page.replace("><", ">\n<"));
    }

    #[test]
    fn the_page_of_a_young_app_that_is_well() {
        let mut young = standing();
        young.problems.clear();
        young.well = true;
        young.refused = None;
        young.partitions.clear();
        young.categories.clear();
        young.housekeeping = None;
        young.sinks.truncate(1);
        let page = page::page(&young);
        assert!(page.contains("All is well"), "{page}");
        assert!(page.contains("No batch has arrived yet."), "{page}");
    }

    #[test]
    fn a_store_that_is_away_is_said_and_nothing_is_made_up() {
        let mut away = standing();
        away.state_is_there = false;
        away.as_of = Some(time("2026-11-24T11:40:00Z"));
        assert!(page::page(&away).contains("as of 2026-11-24 11:40:00 UTC"));
        away.as_of = None;
        away.partitions.clear();
        let page = page::page(&away);
        assert!(page.contains("Nothing is known of the rest"), "{page}");
        assert!(!page.contains("No batch has arrived yet."), "{page}");
    }

    #[test]
    fn a_timer_that_does_not_fire_is_a_problem() {
        let mut standing = standing();
        let said = |standing: &Standing, uptime| {
            let problems = problems(standing, None, false, Duration::from_secs(uptime));
            problems
                .iter()
                .any(|problem| problem.contains("Housekeeping"))
        };
        assert!(!said(&standing, 0));
        standing.time = time("2026-11-24T12:05:01Z");
        assert!(said(&standing, 0));
        standing.housekeeping = None;
        assert!(!said(&standing, 300));
        assert!(said(&standing, 301));
        // Then nobody can know.
        standing.state_is_there = false;
        assert!(!said(&standing, 301));
    }

    #[test]
    fn a_browser_gets_the_page_and_a_probe_the_document() {
        let form = |format: Option<&str>, accept: &[&str]| {
            Form::asked_for(&HttpRequest {
                format: format.map(str::to_owned),
                accept: accept.iter().map(|&range| range.to_owned()).collect(),
            })
        };
        assert_eq!(form(None, &[]), Form::Json);
        assert_eq!(form(None, &["*/*"]), Form::Json);
        assert_eq!(form(None, &["text/html", "application/json"]), Form::Html);
        assert_eq!(form(None, &["application/json", "text/html"]), Form::Json);
        assert_eq!(form(Some("json"), &["text/html"]), Form::Json);
        assert_eq!(form(Some("html"), &["application/json"]), Form::Html);
    }
}
