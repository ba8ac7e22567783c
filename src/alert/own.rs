//! Alerts that are not about one sign-in: the policy was refused, a feed is unwell, a stream fell silent or behind, an application
//! raised too many alerts.

use std::borrow::Cow;

use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::identity::{NAMESPACE, SEPARATOR, hex};
use super::{Alert, AlertApp, AlertReason, AlertSignIn, Entity, NextStep, SCHEMA, fit};
use crate::sign_in::Timestamp;
use crate::verdict::Severity;

/// The rule of a policy that was refused.
pub const POLICY_REFUSED: &str = "policy-refused";
/// The rule of a feed that cannot be used as it is, or is too old.
pub const FEED_UNWELL: &str = "feed-unwell";
/// The rule of an application that raised more alerts than the policy lets through.
pub const ALERT_STORM: &str = "alert-storm";
/// The rule of a category that has stopped to arrive.
pub const STREAM_SILENT: &str = "stream-silent";
/// The rule of a partition that is read long after it was written.
pub const STREAM_LAGGING: &str = "stream-lagging";

/// The rule of an alert by which a sink is tried.
pub const TEST: &str = "send-test";

/// What is said of spwatch itself.
struct Word<'a> {
    rule: &'static str,
    severity: Severity,
    title: String,
    message: String,
    /// What it is about, for the fingerprint.
    about: &'a [&'a str],
    /// Tells one occurrence from the next, for the id.
    occurrence: &'a str,
    time: Timestamp,
    next_step: NextStep,
}

impl Word<'_> {
    fn into_alert(self, now: Timestamp) -> Alert {
        let (id, fingerprint) = identity(self.rule, self.about, self.occurrence);
        let mut alert = Alert {
            schema: Cow::Borrowed(SCHEMA),
            id,
            fingerprint,
            rule: Cow::Borrowed(self.rule),
            severity: self.severity,
            title: self.title,
            time: self.time,
            raised: now,
            tenant_id: None,
            app: AlertApp::nobody(),
            sign_in: None,
            reasons: vec![AlertReason {
                code: Cow::Borrowed(self.rule),
                message: self.message,
            }],
            entities: Vec::new(),
            techniques: Vec::new(),
            count: 1,
            first_seen: self.time,
            last_seen: self.time,
            evidence: Vec::new(),
            evidence_omitted: 0,
            count_is_minimum: false,
            links: Vec::new(),
            next_steps: vec![self.next_step],
            update: false,
        };
        alert.fit();
        alert
    }
}

fn identity(rule: &str, about: &[&str], occurrence: &str) -> (Uuid, String) {
    let mut fields = vec![rule];
    fields.extend(about);
    let fingerprint = hex(&Sha256::digest(fields.join(SEPARATOR)));
    let id = Uuid::new_v5(
        &NAMESPACE,
        format!("{fingerprint}{SEPARATOR}{occurrence}").as_bytes(),
    );
    (id, fingerprint)
}

/// A policy that was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedPolicy {
    /// When it was refused.
    pub at: Timestamp,
    /// The name of its root file.
    pub name: String,
    /// SHA-256, hex, of what was refused.
    pub hash: String,
    /// The hash of the policy that stays in force; `None` where there is none.
    pub in_force: Option<String>,
    /// How many errors it has.
    pub errors: usize,
    /// What is wrong with it, in full.
    pub problems: String,
}

/// Says that a policy was refused. The same texts, refused while the same policy was in force, give the same id.
pub fn policy_refused(refused: &RefusedPolicy, now: Timestamp) -> Alert {
    let in_force = refused.in_force.as_deref();
    let stays = match in_force {
        Some(hash) => format!("the last accepted one (hash {hash}) stays in force"),
        None => "no policy is in force, sign-ins wait in the Event Hub".to_owned(),
    };
    let name = fit::short_text(&refused.name);
    let errors = match refused.errors {
        1 => "1 error".to_owned(),
        count => format!("{count} errors"),
    };
    Word {
        rule: POLICY_REFUSED,
        severity: Severity::High,
        title: format!("spwatch: the policy {name} was refused: {errors}"),
        message: format!("{stays}. {}", fit::long_text(&refused.problems)),
        about: &[&refused.hash],
        occurrence: in_force.unwrap_or_default(),
        time: now,
        next_step: NextStep {
            title: "See every error at its place, mend the file, deploy it again".to_owned(),
            text: format!("spwatch validate --policy {name}"),
        },
    }
    .into_alert(now)
}

/// A feed that cannot be used as it is, or is too old.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnwellFeed {
    /// The file, as the policy names it.
    pub file: String,
    /// The sets that are made of it.
    pub sets: Vec<String>,
    /// What is wrong with it, a lowercase fragment.
    pub problem: String,
    /// What is wrong in a word, and the hash of its content.
    pub occurrence: String,
}

/// Says that a feed is unwell. The same trouble with the same content gives the same id.
pub fn feed_unwell(feed: &UnwellFeed, now: Timestamp) -> Alert {
    let file = fit::short_text(&feed.file);
    let sets = fit::short_text(&feed.sets.join(", "));
    Word {
        rule: FEED_UNWELL,
        severity: Severity::Medium,
        title: format!("spwatch: the feed {file} is unwell"),
        message: format!(
            "{}. What it held when it was last well stays in use for the sets {sets}; what its publisher changed since \
             is not.",
            fit::long_text(&feed.problem)
        ),
        about: &[&feed.file],
        occurrence: &feed.occurrence,
        time: now,
        next_step: NextStep {
            title: "Fetch the feed anew, look at what it changes, deploy it with feeds.lock".to_owned(),
            text: format!(
                "spwatch feed update {}",
                feed.sets.first().map_or("", String::as_str)
            ),
        },
    }
    .into_alert(now)
}

/// Says that no record of a category arrived for longer than usual.
pub fn stream_silent(
    category: &str,
    last: Timestamp,
    threshold_seconds: i64,
    now: Timestamp,
) -> Alert {
    let minutes = (now.unix_seconds() - last.unix_seconds()) / 60;
    Word {
        rule: STREAM_SILENT,
        severity: Severity::High,
        title: format!("spwatch: no {category} for {minutes} minutes"),
        message: format!(
            "The last record arrived at {last}; a gap of more than {} minutes is unusual. While nothing arrives, \
             nothing is watched.",
            threshold_seconds / 60
        ),
        about: &[category],
        occurrence: &last.to_string(),
        time: last,
        next_step: NextStep {
            title: "See whether Entra ID still writes to the Event Hub".to_owned(),
            text: format!(
                "Entra admin center, Diagnostic settings: is {category} sent to the hub? Event Hubs namespace, \
                 Metrics, Incoming Messages: does anything come? Function App, SignIns, Invocations: does it fail?"
            ),
        },
    }
    .into_alert(now)
}

/// Says that a partition is read so late that the hub may drop events before they are judged.
pub fn stream_lagging(
    partition: &str,
    enqueued: Timestamp,
    retention_seconds: i64,
    occurrence: Timestamp,
    now: Timestamp,
) -> Alert {
    let minutes = (now.unix_seconds() - enqueued.unix_seconds()) / 60;
    Word {
        rule: STREAM_LAGGING,
        severity: Severity::Critical,
        title: format!("spwatch: partition {partition} is read {minutes} minutes late"),
        message: format!(
            "The events under way were enqueued at {enqueued}; the hub keeps events for {} hours and then drops \
             them, judged or not.",
            retention_seconds / 3600
        ),
        about: &[partition],
        occurrence: &occurrence.to_string(),
        time: enqueued,
        next_step: NextStep {
            title: "Find what holds it up before the retention passes, or make the retention longer".to_owned(),
            text: "Function App, SignIns, Invocations: does it fail, and with what error?\n\
                   az eventhubs eventhub update --retention-time 168 --cleanup-policy Delete …"
                .to_owned(),
        },
    }
    .into_alert(now)
}

/// An alert by which a sink is tried, with something in every field; it says so wherever it is read.
///
/// The address is one of those that are kept for documents (RFC 5737).
pub fn test(id: Uuid, severity: Severity, now: Timestamp) -> Alert {
    let app_id = "00000000-1111-2222-3333-444444444444".to_owned();
    let name = "spwatch test (no real application)".to_owned();
    let word = Word {
        rule: TEST,
        severity,
        title: "spwatch test: this alert was sent by hand to try the sink".to_owned(),
        message: "Nobody signed in: this alert was made by `spwatch send-test`.".to_owned(),
        about: &[],
        occurrence: &id.to_string(),
        time: now,
        next_step: NextStep {
            title: "Nothing is to be done: it has arrived".to_owned(),
            text: "spwatch send-test".to_owned(),
        },
    };
    let mut alert = word.into_alert(now);
    alert.id = id;
    alert.app.name = Some(name.clone());
    alert.app.app_id = Some(app_id.clone());
    alert.sign_in = Some(AlertSignIn {
        id: "spwatch-test".to_owned(),
        time: now,
        time_generated: None,
        outcome: Cow::Borrowed("success"),
        result_code: Some("0".to_owned()),
        ip: Some("203.0.113.7".to_owned()),
        caller_ip: None,
        country: Some("CH".to_owned()),
        state: None,
        city: Some("Zürich".to_owned()),
        resource: Some("Microsoft Graph".to_owned()),
        credential_key_id: None,
        credential_type: None,
        correlation_id: None,
    });
    alert.evidence = vec!["spwatch-test".to_owned()];
    alert.entities = vec![
        Entity::Ip {
            address: "203.0.113.7".to_owned(),
            location: None,
        },
        Entity::CloudApplication {
            name,
            app_id: Some(app_id),
        },
    ];
    alert
}

/// What an application's alerts are counted by: an entry of the policy, or an application that is not listed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Storm {
    /// The tenant, rule group and entry or application.
    pub group: String,
    /// The start of the hour, seconds since 1970.
    pub hour: i64,
}

/// The one alert that stands for those beyond `max_alerts_per_hour`, made of the first of them.
pub fn alert_storm(storm: &Storm, first: &Alert, cap: u32, beyond: usize) -> Alert {
    let (id, fingerprint) = identity(ALERT_STORM, &[&storm.group], &storm.hour.to_string());
    let who = first.app.name.as_deref().or(first.app.app_id.as_deref());
    let hour = chrono::DateTime::from_timestamp(storm.hour, 0).unwrap_or_default();
    let mut alert = Alert {
        id,
        fingerprint,
        rule: Cow::Borrowed(ALERT_STORM),
        title: format!(
            "{}: more than {cap} alerts in the hour from {}; the further ones are counted here",
            fit::short_text(who.unwrap_or("an unlisted app")),
            hour.format("%Y-%m-%d %H:%M UTC"),
        ),
        reasons: vec![AlertReason {
            code: Cow::Borrowed(ALERT_STORM),
            message: storm_message(cap, beyond),
        }],
        ..first.clone()
    };
    // They come from many addresses: the first one's is not the storm's.
    alert
        .entities
        .retain(|entity| !matches!(entity, Entity::Ip { .. }));
    alert
}

fn storm_message(cap: u32, beyond: usize) -> String {
    let alerts = match beyond {
        1 => "1 further alert is".to_owned(),
        count => format!("{count} further alerts are"),
    };
    format!(
        "max_alerts_per_hour = {cap}: {alerts} not sent one by one. The sign-in shown is the first of them, the \
         count is that of their sign-ins, the evidence names them."
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> Timestamp {
        Timestamp::parse(text).unwrap()
    }

    #[test]
    fn the_same_occurrence_has_the_same_id_whenever_it_is_said() {
        let last = time("2026-11-24T08:00:00Z");
        let said = |category, last, now| stream_silent(category, last, 1800, time(now));
        let first = said("AuditLogs", last, "2026-11-24T08:31:00Z");
        let again = said("AuditLogs", last, "2026-11-24T09:00:00Z");
        assert_eq!(first.id, again.id);
        assert!(first.title.contains("31 minutes"), "{}", first.title);
        let later = said(
            "AuditLogs",
            time("2026-11-24T10:00:00Z"),
            "2026-11-24T11:00:00Z",
        );
        let other = said("ServicePrincipalSignInLogs", last, "2026-11-24T09:00:00Z");
        assert_eq!(later.fingerprint, first.fingerprint);
        assert_ne!(later.id, first.id);
        assert_ne!(other.fingerprint, first.fingerprint);
    }

    #[test]
    fn a_policy_with_a_thousand_errors_still_fits() {
        let refused = RefusedPolicy {
            at: time("2026-11-24T08:00:00Z"),
            name: "policy.toml".to_owned(),
            hash: "ab".repeat(32),
            in_force: Some("cd".repeat(32)),
            errors: 1000,
            problems: "error[unknown-key]: \"\\\" is no key\n".repeat(4000),
        };
        let alert = policy_refused(&refused, time("2026-11-24T08:00:00Z"));
        let json = serde_json::to_string(&alert).unwrap();
        assert!(
            json.len() <= super::super::MAX_ALERT_BYTES,
            "{}",
            json.len()
        );
        assert!(alert.title.contains("1000 errors"));
        assert!(alert.reasons[0].message.contains("is no key"));
    }
}
