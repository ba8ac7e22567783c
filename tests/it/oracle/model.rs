//! What the generator makes and the judge reads: policies and records as plain values.
//!
//! Each value carries both its text, for the writers, and its meaning, for the judge, so
//! that the judge never parses anything.

use std::fmt::Write as _;
use std::net::IpAddr;

use ipnetwork::IpNetwork;

/// Splitmix64: small, seeded, the same everywhere.
#[derive(Clone)]
pub(super) struct Rng(pub(super) u64);

impl Rng {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    /// True in `percent` of 100 cases.
    pub(super) fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    pub(super) fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())].clone()
    }
}

/// `alert`, `record`, `ignore`; the weaker is the smaller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Action {
    Ignore,
    Record,
    Alert,
}

impl Action {
    pub(super) const ALL: [Self; 3] = [Self::Ignore, Self::Record, Self::Alert];

    fn word(self) -> &'static str {
        match self {
            Self::Ignore => "ignore",
            Self::Record => "record",
            Self::Alert => "alert",
        }
    }
}

pub(super) const SEVERITIES: [&str; 5] = ["info", "low", "medium", "high", "critical"];

/// `[defaults]`; `None` leaves the line out of the file.
#[derive(Clone, Default)]
pub(super) struct Defaults {
    pub(super) observe: Option<bool>,
    pub(super) severity: Option<usize>,
    pub(super) unknown_app: Option<Action>,
    pub(super) unknown_managed_identity: Option<Action>,
    pub(super) microsoft_owned: Option<Action>,
    pub(super) failed: Option<Action>,
    /// True is `alert`, false is `allow`.
    pub(super) unknown_ip: Option<bool>,
    pub(super) unknown_place: Option<bool>,
    pub(super) unknown_credential: Option<bool>,
    /// The text and its seconds.
    pub(super) merge: Option<(&'static str, i64)>,
}

/// One value of an address list.
#[derive(Clone)]
pub(super) enum IpRule {
    Net(String, IpNetwork),
    Range(String, IpAddr, IpAddr),
    /// The name of a set in `[ranges]`.
    Set(String),
}

/// One value of a place list.
#[derive(Clone)]
pub(super) enum PlaceRule {
    Place {
        country: &'static str,
        state: Option<String>,
        city: Option<String>,
    },
    /// The name of a set in `[places]`.
    Set(String),
}

#[derive(Clone)]
pub(super) struct Credential {
    pub(super) key_id: String,
    pub(super) ips: Option<Vec<IpRule>>,
    /// `yyyy-mm-dd`, which sorts as it reads.
    pub(super) expires: Option<String>,
}

#[derive(Clone)]
pub(super) struct Exception {
    pub(super) ips: Option<Vec<IpRule>>,
    pub(super) places: Option<Vec<PlaceRule>>,
    pub(super) until: Stamp,
}

#[derive(Clone, Default)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) service_principal_id: Option<String>,
    pub(super) app_id: Option<String>,
    pub(super) match_name: Option<String>,
    pub(super) name_contains: Option<String>,
    pub(super) severity: Option<usize>,
    pub(super) ips: Option<Vec<IpRule>>,
    pub(super) places: Option<Vec<PlaceRule>>,
    pub(super) resources: Option<Vec<String>>,
    pub(super) credential_types: Option<Vec<&'static str>>,
    pub(super) deny_ips: Option<Vec<IpRule>>,
    pub(super) deny_places: Option<Vec<PlaceRule>>,
    pub(super) credentials: Vec<Credential>,
    pub(super) exceptions: Vec<Exception>,
}

#[derive(Clone, Default)]
pub(super) struct Policy {
    /// Decides byte order mark, line ends and how tables are written.
    pub(super) style: u64,
    pub(super) tenants: Option<Vec<String>>,
    pub(super) defaults: Defaults,
    pub(super) ranges: Vec<(String, Vec<IpRule>)>,
    pub(super) places: Vec<(String, Vec<PlaceRule>)>,
    pub(super) entries: Vec<Entry>,
}

fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap()
}

fn list<T>(values: &[T], text: impl Fn(&T) -> String) -> String {
    let values: Vec<String> = values.iter().map(|value| quoted(&text(value))).collect();
    format!("[{}]", values.join(", "))
}

fn ip_text(rule: &IpRule) -> String {
    match rule {
        IpRule::Net(text, _) | IpRule::Range(text, ..) => text.clone(),
        IpRule::Set(name) => format!("@{name}"),
    }
}

fn place_text(rule: &PlaceRule) -> String {
    match rule {
        PlaceRule::Set(name) => format!("@{name}"),
        PlaceRule::Place {
            country,
            state,
            city,
        } => {
            let mut text = (*country).to_owned();
            for part in [state, city].into_iter().flatten() {
                text.push('/');
                text.push_str(part);
            }
            text
        }
    }
}

impl Policy {
    /// The policy as its author would write it.
    pub(super) fn to_toml(&self) -> String {
        let mut out = String::from("version = 1\n");
        if let Some(tenants) = &self.tenants {
            let _ = writeln!(out, "tenants = {}", list(tenants, Clone::clone));
        }
        out.push_str("\n[defaults]\n");
        let d = &self.defaults;
        let alert_or_allow = |alert: bool| if alert { "alert" } else { "allow" };
        let lines = [
            (
                "mode",
                d.observe.map(|on| if on { "observe" } else { "enforce" }),
            ),
            ("severity", d.severity.map(|level| SEVERITIES[level])),
            ("unknown_app", d.unknown_app.map(Action::word)),
            (
                "unknown_managed_identity",
                d.unknown_managed_identity.map(Action::word),
            ),
            ("microsoft_owned", d.microsoft_owned.map(Action::word)),
            ("failed", d.failed.map(Action::word)),
            ("unknown_ip", d.unknown_ip.map(alert_or_allow)),
            ("unknown_place", d.unknown_place.map(alert_or_allow)),
            (
                "unknown_credential",
                d.unknown_credential.map(alert_or_allow),
            ),
            ("merge", d.merge.map(|(text, _)| text)),
        ];
        for (key, value) in lines {
            if let Some(value) = value {
                let _ = writeln!(out, "{key} = {}", quoted(value));
            }
        }
        out.push_str("\n[ranges]\n");
        for (name, rules) in &self.ranges {
            let _ = writeln!(out, "{name} = {}", list(rules, ip_text));
        }
        out.push_str("\n[places]\n");
        for (name, rules) in &self.places {
            let _ = writeln!(out, "{name} = {}", list(rules, place_text));
        }
        for entry in &self.entries {
            entry.write(&mut out);
        }
        if self.style & 3 == 0 {
            out = out.replace('\n', "\r\n");
        }
        if self.style >> 2 & 3 == 0 {
            out.insert(0, '\u{feff}');
        }
        out
    }
}

impl Entry {
    fn write(&self, out: &mut String) {
        let _ = writeln!(out, "\n[[app]]\nname = {}", quoted(&self.name));
        let text_lines = [
            ("service_principal_id", &self.service_principal_id),
            ("app_id", &self.app_id),
            ("match.name", &self.match_name),
            ("match.name_contains", &self.name_contains),
        ];
        for (key, value) in text_lines {
            if let Some(value) = value {
                let _ = writeln!(out, "{key} = {}", quoted(value));
            }
        }
        if let Some(level) = self.severity {
            let _ = writeln!(out, "severity = {}", quoted(SEVERITIES[level]));
        }
        let lists = [
            ("allow.ips", self.ips.as_ref().map(|v| list(v, ip_text))),
            (
                "allow.places",
                self.places.as_ref().map(|v| list(v, place_text)),
            ),
            (
                "allow.resources",
                self.resources.as_ref().map(|v| list(v, Clone::clone)),
            ),
            (
                "allow.credential_types",
                self.credential_types
                    .as_ref()
                    .map(|v| list(v, |word| (*word).to_owned())),
            ),
            ("deny.ips", self.deny_ips.as_ref().map(|v| list(v, ip_text))),
            (
                "deny.places",
                self.deny_places.as_ref().map(|v| list(v, place_text)),
            ),
        ];
        for (key, value) in lists {
            if let Some(value) = value {
                let _ = writeln!(out, "{key} = {value}");
            }
        }
        for credential in &self.credentials {
            let _ = writeln!(
                out,
                "\n[[app.credential]]\nkey_id = {}",
                quoted(&credential.key_id)
            );
            if let Some(rules) = &credential.ips {
                let _ = writeln!(out, "allow.ips = {}", list(rules, ip_text));
            }
            if let Some(day) = &credential.expires {
                let _ = writeln!(out, "expires = {day}");
            }
        }
        for exception in &self.exceptions {
            out.push_str("\n[[app.exception]]\n");
            if let Some(rules) = &exception.ips {
                let _ = writeln!(out, "allow.ips = {}", list(rules, ip_text));
            }
            if let Some(rules) = &exception.places {
                let _ = writeln!(out, "allow.places = {}", list(rules, place_text));
            }
            let _ = writeln!(
                out,
                "until = {}\nreason = \"CHG-1: move\"",
                exception.until.text
            );
        }
    }
}

/// An instant, in 100 ns ticks since the epoch, and how a producer spelled it.
#[derive(Clone)]
pub(super) struct Stamp {
    pub(super) ticks: i64,
    pub(super) text: String,
}

/// An address as logged and what it means; `None` is unknown.
#[derive(Clone, Default)]
pub(super) struct Address {
    pub(super) text: Option<String>,
    pub(super) value: Option<IpAddr>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    ServicePrincipal,
    ManagedIdentity,
    MicrosoftServicePrincipal,
    Audit,
    /// A category that is not judged, by name.
    Other(&'static str),
}

impl Kind {
    pub(super) fn category(self) -> &'static str {
        match self {
            Self::ServicePrincipal => "ServicePrincipalSignInLogs",
            Self::ManagedIdentity => "ManagedIdentitySignInLogs",
            Self::MicrosoftServicePrincipal => "MicrosoftServicePrincipalSignInLogs",
            Self::Audit => "AuditLogs",
            Self::Other(name) => name,
        }
    }
}

/// One log record, whatever shape it will be written in.
#[derive(Clone)]
pub(super) struct Record {
    pub(super) kind: Kind,
    /// Decides spelling (case, absent or empty or null): a copy of a record is spelled alike.
    pub(super) style: u64,
    pub(super) id: Option<String>,
    pub(super) created: Option<Stamp>,
    pub(super) emitted: Option<Stamp>,
    pub(super) tenant: Option<String>,
    pub(super) app_id: Option<String>,
    pub(super) service_principal_id: Option<String>,
    pub(super) service_principal_name: Option<String>,
    pub(super) app_display_name: Option<String>,
    pub(super) owner_tenant: Option<String>,
    /// The envelope's code and whether it is written as a number.
    pub(super) result_type: Option<(i64, bool)>,
    pub(super) error_code: Option<i64>,
    pub(super) ip: Address,
    pub(super) caller: Address,
    pub(super) country: Option<String>,
    pub(super) state: Option<String>,
    pub(super) city: Option<String>,
    /// The envelope's `location`: a country code, a region, or nothing.
    pub(super) top_location: Option<String>,
    pub(super) resource: Option<String>,
    pub(super) resource_id: Option<String>,
    pub(super) key_id: Option<String>,
    pub(super) federated_id: Option<String>,
    /// The log's word, `none` included.
    pub(super) credential_word: Option<&'static str>,
}

/// One element of a log file.
#[derive(Clone)]
pub(super) enum Item {
    Record(Box<Record>),
    /// Valid JSON that is no record.
    Junk(serde_json::Value),
    /// A line that is not JSON.
    Broken(&'static str),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Shape {
    Envelopes,
    GzipLines,
    Pretty,
    Rows,
    Csv,
    Graph,
}

impl Shape {
    pub(super) const ALL: [Self; 6] = [
        Self::Envelopes,
        Self::GzipLines,
        Self::Pretty,
        Self::Rows,
        Self::Csv,
        Self::Graph,
    ];

    pub(super) fn is_log_analytics(self) -> bool {
        matches!(self, Self::Rows | Self::Csv)
    }
}

#[derive(Clone)]
pub(super) struct LogFile {
    pub(super) shape: Shape,
    pub(super) style: u64,
    pub(super) items: Vec<Item>,
}

#[derive(Clone)]
pub(super) struct Case {
    pub(super) policy: Policy,
    /// `--tenant`
    pub(super) tenant: Option<String>,
    pub(super) files: Vec<LogFile>,
}
