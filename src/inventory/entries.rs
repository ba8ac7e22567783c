//! What is to be said of one entry, and of one app that has none.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use chrono::TimeDelta;

use super::observed::Seen;
use super::report::{Observation, countries, period_text, place_text};
use super::words::{counted, day, number, some};
use super::{Code, Finding, MAX_ADDRESSES, Period, Settings};
use crate::policy::{App, FileLine, ListedCredential, ListedEntry, ListedException, ListedRanges};
use crate::sign_in::{CredentialType, Id, Kind, SignIn, Timestamp};

/// A list's value that allows more addresses than this is broad where nearly none is used.
const BROAD_V4: u64 = 1 << 15;
/// As many networks /64 of IPv6: those of one site, a /48.
const BROAD_V6: u64 = 1 << 16;
/// Nearly none is less than one in so many.
const USED_SHARE: u64 = 100;

/// An entry, and the apps that it selects.
pub(super) struct Use<'u, 'o> {
    pub(super) app: &'u App,
    pub(super) entry: &'u ListedEntry,
    pub(super) own: &'u [Observation<'o>],
    pub(super) period: Option<Period>,
    pub(super) settings: &'u Settings,
}

/// The findings of an entry.
pub(super) fn of_entry(of: &Use<'_, '_>, findings: &mut Vec<Finding>) {
    of.unseen(findings);
    of.missing(findings);
    if of.successes() > 0 {
        of.ranges(findings);
        of.places(findings);
    }
    of.credentials(findings);
    of.exceptions(findings);
    for one in of.own {
        let mut own = Vec::new();
        many_addresses(one, &mut own);
        name_changed(one, &mut own);
        for finding in &mut own {
            finding.app = Some(of.app.name.clone());
            finding.file = Some(of.app.file.to_string());
            finding.line = Some(of.app.line);
        }
        findings.append(&mut own);
    }
}

/// The findings of an app that no entry selects.
pub(super) fn of_app(
    one: &Observation<'_>,
    period: Option<Period>,
    settings: &Settings,
    findings: &mut Vec<Finding>,
) {
    // Microsoft's own applications in Microsoft's own log: nobody lists them all.
    if one.seen.kind == Kind::MicrosoftServicePrincipal {
        return;
    }
    let seen = one.seen;
    let mut message = counted(seen.all.count, "sign-in");
    if seen.failures > 0 {
        message.push_str(&format!(" ({} failed)", number(seen.failures)));
    }
    if !seen.addresses.seen.is_empty() {
        let more = if seen.addresses.more {
            "more than "
        } else {
            ""
        };
        let count = seen.addresses.seen.len() as u64;
        message.push_str(&format!(" from {more}{}", counted(count, "address")));
    }
    let countries = countries(seen);
    if !countries.is_empty() {
        message.push_str(&format!(" in {}", some(&countries)));
    }
    message.push_str(&format!(", the last on {}", day(seen.all.last)));
    if seen.of_microsoft {
        message.push_str("; a Microsoft tenant owns the app");
    } else if seen.kind == Kind::ManagedIdentity {
        message.push_str("; a managed identity");
    }
    findings.push(plain(one, Code::Unlisted, message));
    many_addresses(one, findings);
    idle_credentials(one, period, settings, &[], findings);
    name_changed(one, findings);
}

/// A finding of an app by itself.
fn plain(one: &Observation<'_>, code: Code, message: String) -> Finding {
    Finding {
        code,
        app: Some(one.name.clone()),
        app_id: one.app_id(),
        file: None,
        line: None,
        message,
    }
}

fn many_addresses(one: &Observation<'_>, findings: &mut Vec<Finding>) {
    if one.seen.addresses.more {
        let message = format!(
            "more than {} signed in; which ranges are unused is not known",
            counted(MAX_ADDRESSES as u64, "address")
        );
        findings.push(plain(one, Code::ManyAddresses, message));
    }
}

fn name_changed(one: &Observation<'_>, findings: &mut Vec<Finding>) {
    if let [now, before @ ..] = one.seen.names().as_slice()
        && !before.is_empty()
    {
        let before: Vec<String> = before.iter().map(|name| format!("{name:?}")).collect();
        let message = format!("the app is called {now:?} now; before: {}", some(&before));
        findings.push(plain(one, Code::NameChanged, message));
    }
}

/// From when on something counts as unused: the end of what was read.
fn seen_until(period: Option<Period>, settings: &Settings) -> Option<Timestamp> {
    settings.seen_until.or(period.map(|period| period.last))
}

/// Whether so much time lies between two points that what was last seen at the first is no longer used.
fn is_long(from: Timestamp, until: Timestamp, settings: &Settings) -> bool {
    until.utc() - from.utc() >= settings.unseen_for
}

/// Credentials that an app was seen with long ago and no more, though it still signs in.
fn idle_credentials(
    one: &Observation<'_>,
    period: Option<Period>,
    settings: &Settings,
    listed: &[ListedCredential],
    findings: &mut Vec<Finding>,
) {
    // Azure rotates those of managed identities itself.
    if one.seen.kind != Kind::ServicePrincipal {
        return;
    }
    let (Some(until), Some(last)) = (seen_until(period, settings), one.seen.last_success) else {
        return;
    };
    let mut idle: Vec<(&Id<'_>, Option<&CredentialType<'_>>, Seen)> = Vec::new();
    for ((id, kind), seen) in &one.seen.credentials.seen {
        let is_listed = listed
            .iter()
            .any(|credential| id.guid() == Some(credential.key_id));
        // The same key under another word, as a log that had none: the later use counts.
        let later = one
            .seen
            .credentials
            .seen
            .iter()
            .any(|((other, _), other_seen)| other == id && other_seen.last > seen.last);
        if !is_listed
            && !later
            && is_long(seen.last, until, settings)
            && !is_long(last, until, settings)
        {
            idle.push((id, kind.as_ref(), *seen));
        }
    }
    idle.sort_by(|a, b| (a.2.last, a.0).cmp(&(b.2.last, b.0)));
    for (id, kind, seen) in idle {
        let kind = kind.map_or("credential", CredentialType::as_str);
        let message = format!(
            "the {kind} {id} was last used on {}, while the app still signs in",
            day(seen.last)
        );
        findings.push(plain(one, Code::CredentialUnseen, message));
    }
}

impl Use<'_, '_> {
    fn finding(&self, code: Code, at: Option<&FileLine>, message: String) -> Finding {
        let at = at.map_or((self.app.file.to_string(), self.app.line), |at| {
            (at.file.to_string(), at.line)
        });
        Finding {
            code,
            app: Some(self.app.name.clone()),
            app_id: self.app.app_id.map(|id| id.to_string()),
            file: Some(at.0),
            line: Some(at.1),
            message,
        }
    }

    fn successes(&self) -> u64 {
        self.own.iter().map(|one| one.seen.successes()).sum()
    }

    fn last_success(&self) -> Option<Timestamp> {
        self.own
            .iter()
            .filter_map(|one| one.seen.last_success)
            .max()
    }

    /// The distinct addresses of all its apps.
    fn addresses(&self) -> impl Iterator<Item = (IpAddr, Seen)> {
        self.own
            .iter()
            .flat_map(|one| one.seen.addresses.seen.iter())
            .map(|(address, seen)| (*address, *seen))
    }

    fn places_seen(&self) -> impl Iterator<Item = (SignIn<'_>, Seen)> {
        self.own.iter().flat_map(|one| one.seen.places())
    }

    fn unseen(&self, findings: &mut Vec<Finding>) {
        let failures: u64 = self.own.iter().map(|one| one.seen.failures).sum();
        let Some(last) = self.last_success() else {
            let mut message = match failures {
                0 => "no sign-in in the log".to_owned(),
                _ => format!(
                    "no successful sign-in ({} failed) in the log",
                    number(failures)
                ),
            };
            message.push_str(&format!(", {}", period_text(self.period)));
            findings.push(self.finding(Code::Unseen, None, message));
            return;
        };
        let Some(until) = seen_until(self.period, self.settings) else {
            return;
        };
        if is_long(last, until, self.settings) {
            let days = (until.utc() - last.utc()).num_days();
            let message = format!(
                "the last successful sign-in was on {}, {} before {}",
                day(last),
                days_text(days),
                day(until)
            );
            findings.push(self.finding(Code::Unseen, None, message));
        }
    }

    fn missing(&self, findings: &mut Vec<Finding>) {
        let app = self.app;
        if app.owner.is_none() {
            let message = "the entry has no `owner`: nobody to ask".to_owned();
            findings.push(self.finding(Code::OwnerMissing, None, message));
        }
        if app.purpose.is_none() {
            let message = "the entry has no `purpose`: nothing says what the app is for";
            findings.push(self.finding(Code::PurposeMissing, None, message.to_owned()));
        }
        if app.secret.is_none() && self.keeps_secret() {
            let message = "the entry has no `secret`: nothing says where the credential is kept";
            findings.push(self.finding(Code::SecretMissing, None, message.to_owned()));
        }
    }

    /// Whether the app has a secret or key that is kept somewhere; where neither the policy nor the log says otherwise,
    /// it has.
    fn keeps_secret(&self) -> bool {
        if let Some(none) = self.entry.keeps_no_secret {
            return !none;
        }
        let keyless = |one: &Observation<'_>| {
            let mut kinds = one.seen.credentials.seen.keys().map(|(_, kind)| kind);
            one.seen.kind == Kind::ManagedIdentity
                || (!one.seen.credentials.seen.is_empty()
                    && kinds.all(|kind| {
                        matches!(
                            kind,
                            Some(CredentialType::Federated | CredentialType::ManagedIdentity)
                        )
                    }))
        };
        self.own.is_empty() || !self.own.iter().all(keyless)
    }

    fn ranges(&self, findings: &mut Vec<Finding>) {
        // Managed identities carry no address: nothing can be said of ranges then.
        if self.addresses().next().is_none() {
            return;
        }
        let more = self.own.iter().any(|one| one.seen.addresses.more);
        for ranges in &self.entry.ranges {
            let mut used: Vec<IpAddr> = self
                .addresses()
                .map(|(address, _)| address)
                .filter(|address| ranges.contains(*address))
                .collect();
            used.sort_unstable();
            used.dedup();
            if used.is_empty() {
                if !more {
                    let message = format!("{}; none was used", allows(ranges));
                    let at = Some(&ranges.at);
                    findings.push(self.finding(Code::RangeUnused, at, message));
                }
                continue;
            }
            if let Some(message) = broad(ranges, &used, more) {
                findings.push(self.finding(Code::RangeBroad, Some(&ranges.at), message));
            }
        }
    }

    fn places(&self, findings: &mut Vec<Finding>) {
        if self.places_seen().next().is_none() || self.own.iter().any(|one| one.seen.more_places())
        {
            return;
        }
        for places in &self.entry.places {
            if self.places_seen().any(|(place, _)| places.contains(&place)) {
                continue;
            }
            let mut seen: Vec<String> = self
                .places_seen()
                .map(|(place, _)| place_text(&place))
                .collect();
            seen.sort_unstable();
            seen.dedup();
            let message = format!(
                "no sign-in was in {}; the app was seen in {}",
                places.text,
                some(&seen)
            );
            findings.push(self.finding(Code::PlaceUnused, Some(&places.at), message));
        }
    }

    fn credentials(&self, findings: &mut Vec<Finding>) {
        for credential in &self.entry.credentials {
            self.unseen_credential(credential, findings);
            self.expiry(credential, findings);
        }
        for one in self.own {
            let mut own = Vec::new();
            let listed = &self.entry.credentials;
            idle_credentials(one, self.period, self.settings, listed, &mut own);
            for finding in own {
                findings.push(self.finding(finding.code, None, finding.message));
            }
        }
    }

    fn last_use(&self, credential: &ListedCredential) -> Option<Timestamp> {
        self.own
            .iter()
            .flat_map(|one| one.seen.credentials.seen.iter())
            .filter(|((id, _), _)| id.guid() == Some(credential.key_id))
            .map(|(_, seen)| seen.last)
            .max()
    }

    fn unseen_credential(&self, credential: &ListedCredential, findings: &mut Vec<Finding>) {
        let settings = self.settings;
        let (Some(until), Some(period), Some(last)) = (
            seen_until(self.period, settings),
            self.period,
            self.last_success(),
        ) else {
            return;
        };
        // An app that no longer signs in uses none of them; that is said already.
        if is_long(last, until, settings) {
            return;
        }
        let key = credential.key_id;
        let message = match self.last_use(credential) {
            Some(last) if is_long(last, until, settings) => format!(
                "the credential {key} was last used on {}, {} before {}",
                day(last),
                days_text((until.utc() - last.utc()).num_days()),
                day(until)
            ),
            // A log of a week says nothing of what is used once a month.
            None if is_long(period.first, until, settings) => format!(
                "the credential {key} was not used in the log, {}",
                period_text(self.period)
            ),
            _ => return,
        };
        findings.push(self.finding(Code::CredentialUnseen, Some(&credential.at), message));
    }

    fn expiry(&self, credential: &ListedCredential, findings: &mut Vec<Finding>) {
        let (Some(expires), Some(from)) = (credential.expires, credential.expired_from) else {
            return;
        };
        let left = from.utc() - self.settings.now.utc();
        let key = credential.key_id;
        let (code, message) = if left <= TimeDelta::zero() {
            let mut message = format!("the credential {key} was valid through {expires}");
            if let Some(last) = self.last_use(credential) {
                message.push_str(&format!("; it was last used on {}", day(last)));
            }
            (Code::CredentialExpired, message)
        } else if left <= self.settings.expires_within {
            let message = format!(
                "the credential {key} is valid through {expires}, {} from now",
                days_text(left.num_days())
            );
            (Code::CredentialExpires, message)
        } else {
            return;
        };
        findings.push(self.finding(code, Some(&credential.at), message));
    }

    fn exceptions(&self, findings: &mut Vec<Finding>) {
        for exception in &self.entry.exceptions {
            let at = Some(&exception.at);
            if exception.until <= self.settings.now {
                let message = format!(
                    "the exception ended on {} (reason: {})",
                    day(exception.until),
                    exception.reason
                );
                findings.push(self.finding(Code::ExceptionExpired, at, message));
            } else if self.successes() > 0 && !self.is_used(exception) {
                let message = format!(
                    "no sign-in made use of the exception, which ends on {} (reason: {})",
                    day(exception.until),
                    exception.reason
                );
                findings.push(self.finding(Code::ExceptionUnused, at, message));
            }
        }
    }

    /// Whether a sign-in was from one of its ranges or places; also where too much was seen to tell.
    fn is_used(&self, exception: &ListedException) -> bool {
        let more = |one: &Observation<'_>| one.seen.addresses.more || one.seen.more_places();
        let by_range = self.addresses().any(|(address, _)| {
            let mut ranges = exception.ranges.iter();
            ranges.any(|ranges| ranges.contains(address))
        });
        by_range
            || self.own.iter().any(more)
            || self.places_seen().any(|(place, _)| {
                let mut places = exception.places.iter();
                places.any(|places| places.contains(&place))
            })
    }
}

fn days_text(days: i64) -> String {
    counted(days.unsigned_abs(), "day")
}

/// What a list's value allows.
fn allows(ranges: &ListedRanges) -> String {
    let extent = ranges.extent();
    let mut parts = Vec::new();
    if extent.v4 > 0 {
        parts.push(counted(extent.v4, "address"));
    }
    if extent.v6 > 0 {
        parts.push(match extent.v6 {
            1 => "1 network /64".to_owned(),
            networks => format!("{} networks /64", number(networks)),
        });
    }
    match parts.is_empty() {
        true => format!("{} allows nothing", ranges.text),
        false => format!("{} allows {}", ranges.text, parts.join(" and ")),
    }
}

/// The sentence on a value that allows far more than is used.
fn broad(ranges: &ListedRanges, used: &[IpAddr], more: bool) -> Option<String> {
    let extent = ranges.extent();
    let v4: Vec<u32> = used.iter().filter_map(v4_number).collect();
    let mut v6: Vec<u128> = used.iter().filter_map(v6_number).map(|n| n >> 64).collect();
    v6.dedup();
    let is_broad = |allowed: u64, used: usize, broad: u64| {
        allowed > broad && (used as u64).saturating_mul(USED_SHARE) < allowed
    };
    let (wide_v4, wide_v6) = (
        is_broad(extent.v4, v4.len(), BROAD_V4),
        is_broad(extent.v6, v6.len(), BROAD_V6),
    );
    if !wide_v4 && !wide_v6 {
        return None;
    }
    let least = if more { "at least " } else { "" };
    let mut uses = Vec::new();
    if extent.v4 > 0 {
        uses.push(match (v4.first(), v4.last()) {
            (Some(low), Some(high)) => format!(
                "{least}{} used ({}), {}",
                was(v4.len(), "address"),
                share(v4.len(), extent.v4),
                within_v4(*low, *high)
            ),
            _ => "no address of IPv4 was used".to_owned(),
        });
    }
    if extent.v6 > 0 {
        uses.push(match (v6.first(), v6.last()) {
            (Some(low), Some(high)) => format!(
                "{least}{} used ({}), {}",
                was(v6.len(), "network"),
                share(v6.len(), extent.v6),
                within_v6(*low << 64, *high << 64)
            ),
            _ => "no address of IPv6 was used".to_owned(),
        });
    }
    Some(format!("{}; {}", allows(ranges), uses.join("; ")))
}

/// The share that is used, in hundredths of a percent at the finest.
fn share(used: usize, allowed: u64) -> String {
    let hundredths = u128::from(used as u64) * 10_000 / u128::from(allowed.max(1));
    match hundredths {
        0 => "under 0.01 %".to_owned(),
        hundredths => format!("{}.{:02} %", hundredths / 100, hundredths % 100),
    }
}

/// `1 address was`, `3 addresses were`.
fn was(count: usize, noun: &str) -> String {
    let verb = if count == 1 { "was" } else { "were" };
    format!("{} {verb}", counted(count as u64, noun))
}

fn v4_number(address: &IpAddr) -> Option<u32> {
    match address {
        IpAddr::V4(v4) => Some((*v4).into()),
        IpAddr::V6(_) => None,
    }
}

fn v6_number(address: &IpAddr) -> Option<u128> {
    match address {
        IpAddr::V4(_) => None,
        IpAddr::V6(v6) => Some((*v6).into()),
    }
}

/// The smallest network around two addresses.
fn within_v4(low: u32, high: u32) -> String {
    let prefix = (low ^ high).leading_zeros();
    let network = low & u32::MAX.checked_shl(32 - prefix).unwrap_or(0);
    match prefix {
        32 => Ipv4Addr::from(low).to_string(),
        _ => format!("all within {}/{prefix}", Ipv4Addr::from(network)),
    }
}

/// The smallest network around two networks /64.
fn within_v6(low: u128, high: u128) -> String {
    let prefix = (low ^ high).leading_zeros().min(64);
    let network = low & u128::MAX.checked_shl(128 - prefix).unwrap_or(0);
    match prefix {
        64 => format!("{}/64", Ipv6Addr::from(network)),
        _ => format!("all within {}/{prefix}", Ipv6Addr::from(network)),
    }
}
