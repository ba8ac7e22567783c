//! What of a policy its own tests touch: entries, the values of their lists, and the reasons that can occur.
//!
//! A value is touched by a sign-in that falls into it where it decides: an allowed range by an address that is in no
//! denied one. A reason is touched by a test whose sign-in it is held against.

use std::net::IpAddr;
use std::sync::Arc;

use super::Policy;
use super::checks::Point;
use super::entry::{Entry, Line};
use super::written::{WrittenApp, WrittenList, WrittenValue};
use crate::sign_in::{Kind, SignIn, Timestamp};
use crate::verdict::{ReasonCode, ReasonSet};

/// What the tests of a policy touch, and what they do not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coverage {
    /// Entries that no test selects.
    pub untested: Vec<Point>,
    /// The other entries, in the policy's order.
    pub entries: Vec<EntryCoverage>,
    /// Reasons that no entry gives, such as `unknown-app`, that can occur and that no test provokes.
    pub reasons: ReasonSet,
    /// How many entries, values and reasons are touched.
    pub covered: usize,
    /// Of how many; those of untested entries are among them.
    pub total: usize,
}

/// What of one entry its tests touch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryCoverage {
    /// Its name, and where it begins.
    pub app: Point,
    /// Values that no test's sign-in falls into.
    pub missed: Vec<Missed>,
    /// Reasons that can occur by the entry and that no test provokes.
    pub reasons: ReasonSet,
    /// How much of it is touched, itself included.
    pub covered: usize,
    /// Of how much.
    pub total: usize,
}

/// A value that no test touches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missed {
    /// The key that holds it, such as `allow.ips`.
    pub key: &'static str,
    /// The value as written: of an exception its reason, of a credential its key id.
    pub value: Point,
}

impl Coverage {
    /// Whether at least so many of a hundred are touched.
    pub fn reaches(&self, percent: usize) -> bool {
        self.covered.saturating_mul(100) >= self.total.saturating_mul(percent)
    }

    /// How many of a hundred are touched, to one place, rounded down: only all of them are 100.
    pub fn percent(&self) -> f64 {
        let tenths = self.covered.saturating_mul(1000) / self.total.max(1);
        u32::try_from(tenths).map_or(100.0, f64::from) / 10.0
    }
}

/// One test's sign-in, and what is held against it.
struct Seen<'s> {
    sign_in: &'s SignIn<'static>,
    held: ReasonSet,
}

impl Seen<'_> {
    fn has(&self, code: ReasonCode) -> bool {
        self.held.contains(code)
    }

    /// The address, where the log of such a sign-in has one.
    fn address(&self) -> Option<IpAddr> {
        self.sign_in
            .ip
            .filter(|_| self.sign_in.kind != Kind::ManagedIdentity)
    }
}

/// Counts what is touched, and keeps what is not.
#[derive(Default)]
struct Tally {
    covered: usize,
    total: usize,
    missed: Vec<(&'static str, Arc<str>, Line)>,
    reasons: ReasonSet,
}

impl Tally {
    fn value(&mut self, key: &'static str, text: &str, line: Line, touched: bool) {
        self.total += 1;
        if touched {
            self.covered += 1;
        } else {
            self.missed.push((key, text.into(), line));
        }
    }

    fn list(
        &mut self,
        key: &'static str,
        list: Option<&WrittenList>,
        touched: impl Fn(usize, &WrittenValue) -> bool,
    ) {
        let values = list.map_or(&[][..], |list| &list.values);
        for (index, value) in values.iter().enumerate() {
            self.value(key, &value.text, value.line, touched(index, value));
        }
    }

    fn reason(&mut self, code: ReasonCode, possible: bool, seen: &[Seen<'_>]) {
        if !possible {
            return;
        }
        self.total += 1;
        if seen.iter().any(|seen| seen.has(code)) {
            self.covered += 1;
        } else {
            self.reasons.insert(code);
        }
    }
}

impl Policy {
    /// What the policy's tests touch. `now` is the time of sign-ins that have none.
    pub fn coverage(&self, now: Timestamp) -> Coverage {
        let ran: Vec<_> = self.ran_cases(now).collect();
        let mut by_entry: Vec<Vec<Seen<'_>>> = Vec::new();
        by_entry.resize_with(self.entries.len(), Vec::new);
        for ran in &ran {
            let index = self.entry(&ran.sign_in).map(|(index, _)| index);
            if let Some(seen) = index.and_then(|index| by_entry.get_mut(index)) {
                seen.push(Seen {
                    sign_in: &ran.sign_in,
                    held: ran.held,
                });
            }
        }
        let all: Vec<Seen<'_>> = ran
            .iter()
            .map(|ran| Seen {
                sign_in: &ran.sign_in,
                held: ran.held,
            })
            .collect();
        let mut of_policy = Tally::default();
        of_policy.reason(ReasonCode::UnknownApp, true, &all);
        of_policy.reason(ReasonCode::TenantNotAllowed, self.tenants.is_some(), &all);
        let mut coverage = Coverage {
            untested: Vec::new(),
            entries: Vec::new(),
            reasons: of_policy.reasons,
            covered: of_policy.covered,
            total: of_policy.total,
        };
        let entries = self.entries.iter().zip(&self.written.apps);
        for ((entry, written), (app, seen)) in entries.zip(self.apps.iter().zip(by_entry)) {
            let tally = self.tally(entry, written, &seen);
            coverage.covered += tally.covered;
            coverage.total += tally.total;
            let app = Point {
                text: app.name.clone(),
                file: Arc::clone(&app.file),
                line: app.line,
            };
            if seen.is_empty() {
                coverage.untested.push(app);
                continue;
            }
            coverage.entries.push(EntryCoverage {
                app,
                reasons: tally.reasons,
                covered: tally.covered,
                total: tally.total,
                missed: tally
                    .missed
                    .into_iter()
                    .map(|(key, text, line)| Missed {
                        key,
                        value: Point {
                            text: text.as_ref().to_owned(),
                            file: self.files.get(line.file).cloned().unwrap_or_default(),
                            line: line.line,
                        },
                    })
                    .collect(),
            });
        }
        coverage
    }

    fn tally(&self, entry: &Entry, app: &WrittenApp, seen: &[Seen<'_>]) -> Tally {
        let mut tally = Tally {
            covered: usize::from(!seen.is_empty()),
            total: 1,
            ..Tally::default()
        };
        self.tally_addresses(&mut tally, app, seen);
        self.tally_places(&mut tally, app, seen);
        tally.list(
            "allow.resources",
            app.allow_resources.as_ref(),
            |index, _| {
                let list = entry.allow_resources.as_ref();
                let resource = list.and_then(|list| list.rule.get(index));
                resource.is_some_and(|one| seen.iter().any(|seen| one.matches(seen.sign_in)))
            },
        );
        tally.list(
            "allow.credential_types",
            app.allow_types.as_ref(),
            |index, _| {
                let list = entry.allow_types.as_ref();
                let word = list.and_then(|list| list.rule.get(index));
                let mut logged = seen
                    .iter()
                    .filter_map(|seen| seen.sign_in.credential_type.as_ref());
                word.is_some_and(|word| logged.any(|logged| word.matches(logged)))
            },
        );
        for (credential, written) in entry.credentials.iter().zip(&app.credentials) {
            let used: Vec<&Seen<'_>> = seen
                .iter()
                .filter(|seen| {
                    let used = entry.credential(seen.sign_in);
                    used.is_some_and(|used| used.key_id == credential.key_id)
                })
                .collect();
            let id = credential.key_id.to_string();
            tally.value("credential", &id, credential.line, !used.is_empty());
            let addresses: Vec<IpAddr> = used.iter().filter_map(|seen| seen.address()).collect();
            tally.list("credential.allow.ips", written.ips.as_ref(), |_, value| {
                self.written.any_address(value, &addresses)
            });
        }
        for exception in &entry.exceptions {
            let needed = |seen: &Seen<'_>| {
                let by_ip = seen.address().is_some_and(|address| {
                    let own = entry.allow_ips.as_ref();
                    own.is_some_and(|own| !own.rule.contains(address))
                        && exception
                            .ips
                            .as_ref()
                            .is_some_and(|ips| ips.contains(address))
                        && !seen.has(ReasonCode::IpDenied)
                });
                let at = seen.sign_in;
                let own = entry.allow_places.as_ref();
                let by_place = at.kind != Kind::ManagedIdentity
                    && own.is_some_and(|own| !own.rule.contains(at))
                    && exception
                        .places
                        .as_ref()
                        .is_some_and(|places| places.contains(at))
                    && !seen.has(ReasonCode::PlaceDenied);
                at.time < exception.until && (by_ip || by_place)
            };
            let touched = seen.iter().any(needed);
            tally.value("exception", &exception.reason, exception.line, touched);
        }
        self.tally_reasons(&mut tally, entry, seen);
        tally
    }

    fn tally_addresses(&self, tally: &mut Tally, app: &WrittenApp, seen: &[Seen<'_>]) {
        let addresses: Vec<IpAddr> = seen.iter().filter_map(Seen::address).collect();
        let undenied: Vec<IpAddr> = seen
            .iter()
            .filter(|seen| !seen.has(ReasonCode::IpDenied))
            .filter_map(Seen::address)
            .collect();
        tally.list("allow.ips", app.allow_ips.as_ref(), |_, value| {
            self.written.any_address(value, &undenied)
        });
        tally.list("deny.ips", app.deny_ips.as_ref(), |_, value| {
            self.written.any_address(value, &addresses)
        });
    }

    fn tally_places(&self, tally: &mut Tally, app: &WrittenApp, seen: &[Seen<'_>]) {
        let placed = || {
            seen.iter()
                .filter(|seen| seen.sign_in.kind != Kind::ManagedIdentity)
        };
        let everywhere: Vec<&SignIn<'_>> = placed().map(|seen| seen.sign_in).collect();
        let undenied: Vec<&SignIn<'_>> = placed()
            .filter(|seen| !seen.has(ReasonCode::PlaceDenied))
            .map(|seen| seen.sign_in)
            .collect();
        tally.list("allow.places", app.allow_places.as_ref(), |_, value| {
            self.written.any_place(value, &undenied)
        });
        tally.list("deny.places", app.deny_places.as_ref(), |_, value| {
            self.written.any_place(value, &everywhere)
        });
    }

    /// The reasons that can occur by an entry.
    fn tally_reasons(&self, tally: &mut Tally, entry: &Entry, seen: &[Seen<'_>]) {
        use ReasonCode::*;
        let defaults = &self.defaults;
        let credentials = &entry.credentials;
        let (ips, places) = (entry.allow_ips.is_some(), entry.allow_places.is_some());
        let types = entry.allow_types.is_some();
        let listed = !credentials.is_empty();
        let credential_ips = credentials.iter().any(|known| known.ips.is_some());
        let denied_ips = entry.deny_ips.as_ref();
        let denied_places = entry.deny_places.as_ref();
        for (code, possible) in [
            (
                IpDenied,
                denied_ips.is_some_and(|deny| deny.rule.written() > 0),
            ),
            (
                IpUnknown,
                (ips || credential_ips) && defaults.unknown_ip_alerts,
            ),
            (IpNotAllowed, ips),
            (
                PlaceDenied,
                denied_places.is_some_and(|deny| deny.rule.count() > 0),
            ),
            (PlaceUnknown, places && defaults.unknown_place_alerts),
            (PlaceNotAllowed, places),
            (ResourceNotAllowed, entry.allow_resources.is_some()),
            (CredentialNotAllowed, listed),
            (
                CredentialExpired,
                credentials.iter().any(|known| known.expired_from.is_some()),
            ),
            (
                CredentialUnknown,
                (listed || types) && defaults.unknown_credential_alerts,
            ),
            (CredentialIpNotAllowed, credential_ips),
            (CredentialTypeNotAllowed, types),
        ] {
            tally.reason(code, possible, seen);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{APP, at, policy};
    use super::*;

    fn covered(text: &str) -> Coverage {
        policy(text).coverage(at("2026-11-24T00:00:00Z"))
    }

    /// What is missed, as `key value line`, then the reasons.
    fn missed(entry: &EntryCoverage) -> Vec<String> {
        let values = entry.missed.iter().map(|missed| {
            let value = &missed.value;
            format!("{} {} {}", missed.key, value.text, value.line)
        });
        let reasons = entry.reasons.iter().map(|code| code.to_string());
        values.chain(reasons).collect()
    }

    fn case(sign_in: &str, more: &str) -> String {
        format!(
            "[[test]]\nname = \"t\"\nsign_in = {{ app_id = \"{APP}\", {sign_in} }}\nexpect = \"allowed\"\n{more}\n"
        )
    }

    const LISTS: &str = r#"version = 1
tenants = ["11111111-2222-3333-4444-555555555555"]
[ranges]
far = ["198.51.100.0/28", "2001:db8::/64"]
office = ["192.0.2.0/24", "@far"]
[[app]]
name = "app"
app_id = "00000000-1111-2222-3333-444444444444"
allow.ips = ["@office",
  "203.0.113.0/24"]
allow.places = ["CH/Bern", "DE"]
allow.resources = ["Microsoft Graph", "Azure Key Vault"]
allow.credential_types = ["certificate", "secret"]
deny.ips = ["203.0.113.9"]
deny.places = ["KP"]
[[app.credential]]
key_id = "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"
allow.ips = ["192.0.2.0/25"]
expires = 2027-03-01
[[app.exception]]
allow.ips = ["233.252.0.0/24"]
until = 2026-12-31T00:00:00Z
reason = "CHG-1"
[[app]]
name = "other"
app_id = "99999999-1111-2222-3333-444444444444"
allow.ips = ["@office"]
"#;

    #[test]
    fn without_tests_nothing_is_touched() {
        let coverage = covered(LISTS);
        assert_eq!(coverage.entries, []);
        let untested: Vec<_> = coverage.untested.iter().map(|app| app.line).collect();
        assert_eq!(untested, [6, 24]);
        assert_eq!((coverage.covered, coverage.percent()), (0, 0.0));
        // Two of the policy; of the first the entry, 13 values and 12 reasons; of the second 1, 1 and 2.
        assert_eq!(coverage.total, 2 + 26 + 4);
        assert!(coverage.reaches(0) && !coverage.reaches(1));
    }

    #[test]
    fn a_value_is_touched_where_it_decides() {
        // In a set's set; at a place; the denied address touches what denies alone.
        let tests = case(
            "ip = \"198.51.100.3\", place = \"CH/bern/Thun\", resource = \"microsoft graph\", credential = \"aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee\"",
            "",
        ) + &case("ip = \"203.0.113.9\", credential_type = \"secret\"", "");
        let coverage = covered(&format!("{LISTS}{tests}"));
        let [entry] = &coverage.entries[..] else {
            panic!("{coverage:?}");
        };
        assert_eq!(
            missed(entry),
            [
                "allow.ips 203.0.113.0/24 10",
                "allow.places DE 11",
                "deny.places KP 15",
                "allow.resources Azure Key Vault 12",
                "allow.credential_types certificate 13",
                "credential.allow.ips 192.0.2.0/25 18",
                "exception CHG-1 20",
                "ip-unknown",
                "ip-not-allowed",
                "place-denied",
                "place-not-allowed",
                "resource-not-allowed",
                "credential-not-allowed",
                "credential-expired",
                "credential-unknown",
                "credential-type-not-allowed",
            ]
        );
        assert_eq!(
            entry.covered + entry.missed.len() + entry.reasons.iter().count(),
            entry.total
        );
        assert_eq!(coverage.untested.len(), 1);
        let codes: Vec<_> = coverage.reasons.iter().map(ReasonCode::as_str).collect();
        assert_eq!(codes, ["unknown-app", "tenant-not-allowed"]);
    }

    #[test]
    fn an_exception_is_touched_while_it_holds() {
        for (time, touched) in [
            ("2026-12-30T23:59:59Z", true),
            ("2026-12-31T00:00:00Z", false),
        ] {
            let test = case(&format!("ip = \"233.252.0.7\", time = {time}"), "");
            let coverage = covered(&format!("{LISTS}{test}"));
            let missed = missed(&coverage.entries[0]);
            assert_eq!(
                !missed.contains(&"exception CHG-1 20".to_owned()),
                touched,
                "{time}"
            );
            assert_eq!(
                !missed.contains(&"ip-not-allowed".to_owned()),
                !touched,
                "{time}"
            );
        }
    }

    #[test]
    fn what_a_test_does_not_ask_for_is_not_provoked() {
        let left = |more: &str| {
            let coverage = covered(&format!("{LISTS}{}", case("ip = \"192.0.2.1\"", more)));
            coverage.entries[0].reasons
        };
        assert!(left("").contains(ReasonCode::ResourceNotAllowed));
        assert!(!left("").contains(ReasonCode::PlaceUnknown));
        let pinned = left("reasons = []");
        assert!(pinned.contains(ReasonCode::ResourceNotAllowed));
        let coverage = covered(
            &format!(
                "{LISTS}{}",
                case("ip = \"192.0.2.1\"", "reasons = [\"resource-not-allowed\"]")
            )
            .replace("expect = \"allowed\"", "expect = \"violation\""),
        );
        assert!(
            !coverage.entries[0]
                .reasons
                .contains(ReasonCode::ResourceNotAllowed)
        );
    }

    #[test]
    fn reasons_that_the_policy_lets_pass_need_no_test() {
        let text = LISTS.replace(
            "[ranges]",
            "[defaults]\nunknown_ip = \"allow\"\nunknown_place = \"allow\"\nunknown_credential = \"allow\"\n[ranges]",
        );
        let coverage = covered(&format!("{text}{}", case("ip = \"192.0.2.1\"", "")));
        for code in [
            ReasonCode::IpUnknown,
            ReasonCode::PlaceUnknown,
            ReasonCode::CredentialUnknown,
        ] {
            assert!(!coverage.entries[0].reasons.contains(code), "{code}");
        }
        assert_eq!(coverage.total, 2 + 23 + 3);
    }

    #[test]
    fn a_policy_can_be_touched_as_a_whole() {
        let other = "[[test]]\nname = \"u\"\nsign_in = { name = \"Elsewhere\" }\nexpect = \"unknown-app\"\n";
        let coverage = covered(&format!(
            "version = 1\n[[app]]\nname = \"app\"\napp_id = \"{APP}\"\nallow.ips = [\"192.0.2.0/24\"]\n{}{}{}{other}",
            case("ip = \"192.0.2.1\"", ""),
            case("ip = \"203.0.113.1\"", ""),
            case("place = \"CH\"", ""),
        ));
        assert_eq!((coverage.covered, coverage.total), (5, 5));
        assert_eq!(coverage.percent(), 100.0);
        assert!(coverage.reaches(100));
    }
}
