//! `policy.toml` → compiled policy; (sign-in, compiled policy) → judgement with reasons. Pure.
//!
//! Reading is in three steps: TOML's spanned tree is walked into a document, which keeps where every
//! value stands; the document is compiled into a [`Policy`], which cannot be invalid; whatever is
//! wrong on the way is collected, all of it, as [`Diagnostics`].
//!
//! ```
//! use spwatch::policy::{Source, compile};
//! let source = Source {
//!     name: "policy.toml".into(),
//!     text: "version = 1\n[[app]]\nname = \"a\"\napp_id = \"?\"\nallow.ips = [\"192.0.2.0/24\"]\n".into(),
//! };
//! let compilation = compile(&[source], None, &[]);
//! assert!(compilation.policy.is_none());
//! let first = compilation.diagnostics.iter().next().unwrap();
//! assert_eq!((first.line, first.column, first.code.as_str()), (4, 10, "invalid-guid"));
//! ```

mod checks;
mod choose;
mod collect;
mod compile;
mod country;
mod coverage;
mod diagnostic;
mod document;
mod entry;
mod evaluate;
mod explain;
mod feeds;
mod gist;
mod include;
mod listing;
mod network;
mod place;
mod render;
mod secret;
mod sets;
mod source;
mod suite;
#[cfg(test)]
mod tests;
mod walk;
mod written;

pub(crate) use walk::parse_duration;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use uuid::Uuid;

pub use checks::{Change, Check, Edit, Nearest, Point, Status};
pub use compile::{compile, compile_with_feeds};
pub use coverage::{Coverage, EntryCoverage, Missed};
pub use diagnostic::{Code, Diagnostic, Diagnostics, Label, Level};
pub(crate) use document::is_workspace_id;
pub(crate) use evaluate::is_microsoft_tenant;
pub use feeds::{FeedFault, FeedFile, FeedFiles, NoFeedFile, PolicyFeed, feed_files, feed_sets};
pub use include::{Include, MissingInclude, includes};
pub use listing::{
    Extent, FileLine, ListedCredential, ListedEntry, ListedException, ListedPlaces, ListedRanges,
    NamedRanges, listing, named_ranges,
};
pub use place::is_place;
pub(crate) use secret::looks_like_secret;
pub use suite::CaseResult;

use crate::suggest;
pub(crate) use crate::suggest::nearest;
use crate::verdict::{ReasonSet, Severity, Verdict};

/// One policy file: the name it is shown by, and its text.
#[derive(Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Source {
    /// Path as given by the user; shown in diagnostics, findings and alerts.
    pub name: String,
    /// The whole text.
    pub text: String,
}

/// The name and the length: the text may hold a secret that does not belong there.
impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source")
            .field("name", &self.name)
            .field("bytes", &self.text.len())
            .finish()
    }
}

/// What came of compiling a policy.
#[derive(Debug)]
pub struct Compilation {
    /// The policy, unless there is an error.
    pub policy: Option<Policy>,
    /// Everything that is to be said of it, errors and warnings.
    pub diagnostics: Diagnostics,
    /// The feeds that cannot be used as they are, which are among the errors too.
    pub feed_faults: Vec<FeedFault>,
}

/// What becomes of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// Counted, not listed.
    Ignore,
    /// Listed, nothing is sent.
    Record,
    /// Listed and sent.
    Alert,
}

/// The `[defaults]` table.
#[derive(Debug, Clone)]
pub struct Defaults {
    /// `mode = "observe"`: findings are recorded, nothing is sent.
    pub observe: bool,
    /// Severity where the entry has none.
    pub severity: Severity,
    /// `unknown_app`
    pub unknown_app: Action,
    /// `unknown_managed_identity`
    pub unknown_managed_identity: Action,
    /// `microsoft_owned`
    pub microsoft_owned: Action,
    /// `failed`
    pub failed: Action,
    /// `unknown_ip = "alert"`
    pub unknown_ip_alerts: bool,
    /// `unknown_place = "alert"`
    pub unknown_place_alerts: bool,
    /// `unknown_credential = "alert"`
    pub unknown_credential_alerts: bool,
    /// `max_event_age`
    pub max_event_age: chrono::TimeDelta,
    /// `max_alerts_per_hour`; 0 = no cap
    pub max_alerts_per_hour: u32,
    /// `merge`, in whole seconds; 0 = never
    pub merge_seconds: i64,
    /// `notify`; `None` = all sinks
    pub notify: Option<Vec<String>>,
}

/// What the inventory says of an application, for alerts.
#[derive(Debug, Clone)]
pub struct App {
    /// Label in the inventory, unique.
    pub name: String,
    /// Selector `app_id`.
    pub app_id: Option<Uuid>,
    /// Selector `service_principal_id`.
    pub service_principal_id: Option<Uuid>,
    /// Who answers for it.
    pub owner: Option<String>,
    /// What it is for.
    pub purpose: Option<String>,
    /// Permissions it is meant to have.
    pub permissions: Vec<String>,
    /// Where the secret is kept (never the secret).
    pub secret: Option<String>,
    /// What to do.
    pub runbook: Option<String>,
    /// Free labels.
    pub labels: BTreeMap<String, String>,
    /// Severity of its findings; `None` = the default's.
    pub severity: Option<Severity>,
    /// Sinks; `None` = the default's.
    pub notify: Option<Vec<String>>,
    /// Name of the policy file.
    pub file: Arc<str>,
    /// Line of its `[[app]]`, from 1.
    pub line: usize,
    /// The allowed ranges as written (sets expanded), at most some dozens, for "the app's usual addresses".
    pub usual_addresses: Vec<String>,
}

/// The kind of destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SinkType {
    /// Generic HTTP POST of JSON.
    Webhook,
    /// Microsoft Teams.
    Teams,
    /// Slack.
    Slack,
    /// PagerDuty.
    Pagerduty,
    /// Splunk HEC.
    Splunk,
    /// Logs Ingestion API.
    Sentinel,
    /// Sentinel incidents.
    SentinelIncident,
}

/// Body of a webhook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SinkFormat {
    /// `spwatch/alert/v1`
    Spwatch,
    /// CloudEvents 1.0
    Cloudevents,
    /// OCSF Detection Finding
    Ocsf,
}

/// A value that is a secret or leads to one.
#[derive(Clone, PartialEq, Eq)]
pub enum SecretRef {
    /// `env:NAME`
    Env(String),
    /// Written into the policy (warned about).
    Literal(String),
}

impl std::fmt::Debug for SecretRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Env(name) => write!(f, "env:{name}"),
            Self::Literal(_) => f.write_str("(literal, hidden)"),
        }
    }
}

/// One `[sinks.NAME]`.
#[derive(Debug, Clone)]
pub struct Sink {
    /// Its name.
    pub name: String,
    /// Kind of destination.
    pub kind: SinkType,
    /// Where to post; none where the type has an address of its own.
    pub url: Option<SecretRef>,
    /// Signing secret.
    pub secret: Option<SecretRef>,
    /// Body.
    pub format: SinkFormat,
    /// Nothing milder is sent.
    pub min_severity: Severity,
    /// Plain http and private targets allowed.
    pub insecure: bool,
    /// Further keys of the types other than `webhook`: `token`, `routing_key`, `workspace` and so on.
    pub settings: BTreeMap<String, SecretRef>,
}

impl Sink {
    /// Those of the further keys that hold secrets.
    pub fn secret_settings(&self) -> impl Iterator<Item = &SecretRef> {
        self.settings
            .iter()
            .filter(|(key, _)| document::is_secret_setting(key))
            .map(|(_, value)| value)
    }

    /// The secrets that are written into the policy itself.
    pub fn literal_secrets(&self) -> impl Iterator<Item = &str> {
        let references = self
            .url
            .iter()
            .chain(&self.secret)
            .chain(self.secret_settings());
        references.filter_map(|reference| match reference {
            SecretRef::Literal(value) if !value.is_empty() => Some(value.as_str()),
            _ => None,
        })
    }
}

/// A policy that has no errors, ready to judge.
#[derive(Debug)]
pub struct Policy {
    /// `[defaults]`
    pub defaults: Defaults,
    /// `[[app]]`, in file order.
    pub apps: Vec<App>,
    /// `[sinks]`, by name.
    pub sinks: BTreeMap<String, Sink>,
    /// SHA-256 of the sources' names and texts and of the feed files, hex.
    pub hash: String,
    /// The sets that come from feed files, by name.
    pub feeds: Vec<PolicyFeed>,
    tenants: Option<entry::At<Vec<Uuid>>>,
    /// INVARIANT: as many as `apps`, in the same order.
    entries: Vec<entry::Entry>,
    /// INVARIANT: those of `entries`, in the same order.
    gists: Vec<gist::Gist>,
    chooser: choose::Chooser,
    /// INVARIANT: its apps are those of `entries`, in the same order.
    written: written::Written,
    cases: Vec<(document::Case, usize)>,
    files: Vec<Arc<str>>,
}

/// What the policy says of one sign-in; made without allocation.
#[derive(Debug, Clone, Copy)]
pub struct Judgement<'p> {
    /// The entry that selects the app.
    pub app: Option<&'p App>,
    /// The verdict.
    pub verdict: Verdict,
    /// Why.
    pub reasons: ReasonSet,
    /// What becomes of it; `Ignore` for an allowed sign-in.
    pub action: Action,
    /// Severity, raised where Conditional Access had to block; means nothing for an allowed sign-in.
    pub severity: Severity,
}

impl Judgement<'_> {
    /// Whether an alert is due.
    pub fn is_due(&self) -> bool {
        self.action == Action::Alert
    }
}

impl Policy {
    /// The sinks that an alert of that severity goes to: the entry's own, else the default ones, else all; less those
    /// that want graver ones only.
    ///
    /// Where the policy names no sink at all there is still one, with the empty name: `Deliver` keeps its alerts in
    /// `undelivered`, so that no due alert goes nowhere.
    pub fn sinks_for(&self, app: Option<&App>, severity: Severity) -> BTreeSet<String> {
        let notify = app
            .and_then(|app| app.notify.as_ref())
            .or(self.defaults.notify.as_ref());
        let mut chosen: BTreeSet<String> = match notify {
            Some(names) => names.iter().cloned().collect(),
            None => self.sinks.keys().cloned().collect(),
        };
        if chosen.is_empty() {
            return BTreeSet::from([String::new()]);
        }
        chosen.retain(|name| {
            let sink = self.sinks.get(name);
            sink.is_none_or(|sink| severity >= sink.min_severity)
        });
        chosen
    }

    /// How many entries there are.
    pub fn entry_count(&self) -> usize {
        self.entries.len()
    }

    /// How many `[[test]]` cases there are.
    pub fn test_count(&self) -> usize {
        self.cases.len()
    }

    /// How many allowed address ranges the entries have, merged; a set counts once for each entry
    /// that names it.
    pub fn range_count(&self) -> usize {
        let rules = self
            .entries
            .iter()
            .filter_map(|entry| entry.allow_ips.as_ref());
        rules
            .flat_map(|allow| allow.rule.parts())
            .map(network::RangeSet::merged)
            .sum()
    }

    /// The names of the policy's files, the root first.
    pub fn files(&self) -> &[Arc<str>] {
        &self.files
    }
}
