//! The exact semantics: allow, deny, unknown values, exceptions, credentials, what becomes of findings.

use super::super::Action;
use super::{APP, at, id, policy, sign_in, with_app};
use crate::sign_in::{CredentialType, Kind, Outcome, SignIn};
use crate::verdict::{ReasonCode, Severity, Verdict};

const KEY: &str = "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee";
const OTHER: &str = "ffffffff-bbbb-cccc-dddd-eeeeeeeeeeee";
const TENANT: &str = "11111111-2222-3333-4444-555555555555";
const MICROSOFT: &str = "72f988bf-86f1-41af-91ab-2d7cd011db47";

/// A sign-in with some fields set, as `key=value` words.
fn with(words: &str) -> SignIn<'static> {
    let mut made = sign_in();
    for word in words.split_whitespace() {
        let (key, value) = word.split_once('=').unwrap();
        let text = || Some(std::borrow::Cow::Owned(value.replace('_', " ")));
        match key {
            "app" => made.app_id = id(value),
            "principal" => made.service_principal_id = id(value),
            "name" => made.name = text(),
            "ip" => made.ip = Some(value.parse().unwrap()),
            "place" => {
                let mut parts = value
                    .split('/')
                    .map(|part| Some(part.replace('_', " ").into()));
                made.country = parts.next().flatten();
                made.state = parts.next().flatten();
                made.city = parts.next().flatten();
            }
            "tenant" => made.tenant_id = id(value),
            "owner" => made.app_owner_tenant_id = id(value),
            "resource" => made.resource = text(),
            "resource_id" => made.resource_id = id(value),
            "key" => made.credential_key_id = id(value),
            "federated" => made.federated_credential_id = id(value),
            "type" => made.credential_type = CredentialType::from_log(value.to_owned().into()),
            "code" => made.outcome = Outcome::of_code(Some(value)),
            "time" => made.time = at(value),
            "kind" => {
                made.kind = match value {
                    "managed" => Kind::ManagedIdentity,
                    "microsoft" => Kind::MicrosoftServicePrincipal,
                    _ => panic!("{value}"),
                }
            }
            _ => panic!("{key}"),
        }
    }
    made
}

/// Lines of an app → sign-ins → reason codes, separated by blanks.
#[test]
fn every_dimension() {
    let credential = format!("[[app.credential]]\nkey_id = \"{KEY}\"\n");
    let table: &[(&str, &[(&str, &str)])] = &[
        (
            "allow.ips = [\"203.0.113.0/29\", \"2001:db8::/32\"]",
            &[
                ("ip=203.0.113.7", ""),
                ("ip=203.0.113.8", "ip-not-allowed"),
                ("ip=2001:db8::1", ""),
                ("ip=2001:db9::1", "ip-not-allowed"),
                ("", "ip-unknown"),
                ("kind=managed", ""),
                ("kind=managed ip=198.51.100.1", ""),
                ("kind=microsoft ip=198.51.100.1", "ip-not-allowed"),
            ],
        ),
        (
            "allow.ips = []",
            &[("ip=203.0.113.7", "ip-not-allowed"), ("", "ip-unknown")],
        ),
        (
            "deny.ips = [\"203.0.113.0/24\"]",
            &[
                ("ip=203.0.113.7", "ip-denied"),
                ("ip=198.51.100.1", ""),
                ("", ""),
            ],
        ),
        (
            "allow.ips = [\"203.0.113.0/24\"]\ndeny.ips = [\"203.0.113.7\"]\n[[app.exception]]\nallow.ips = [\"203.0.113.7\", \"198.51.100.0/24\"]\nuntil = 2027-01-01T00:00:00Z\nreason = \"r\"",
            &[
                ("ip=203.0.113.6", ""),
                ("ip=203.0.113.7", "ip-denied"),
                ("ip=198.51.100.1", ""),
                ("ip=198.51.100.1 time=2026-12-31T23:59:59.9999999Z", ""),
                (
                    "ip=198.51.100.1 time=2027-01-01T00:00:00Z",
                    "ip-not-allowed",
                ),
            ],
        ),
        (
            // An exception adds to an empty list, and creates none.
            "allow.ips = []\n[[app.exception]]\nallow.ips = [\"203.0.113.7\"]\nallow.places = [\"CH\"]\nuntil = 2027-01-01T01:00:00+01:00\nreason = \"r\"",
            &[
                ("ip=203.0.113.7 place=RU", ""),
                ("ip=203.0.113.8", "ip-not-allowed"),
                ("ip=203.0.113.7 time=2027-01-01T00:00:00Z", "ip-not-allowed"),
            ],
        ),
        (
            "allow.places = [\"ch\", \"US/Washington/Redmond\", \"FR/Île-de-France\"]",
            &[
                ("place=CH", ""),
                ("place=CH/Zurich/Zürich", ""),
                ("place=US/Washington/REDMOND", ""),
                ("place=US/Washington/Seattle", "place-not-allowed"),
                ("place=US/Washington", "place-not-allowed"),
                ("place=US", "place-not-allowed"),
                ("place=FR/Ile-de-France/Paris", ""),
                ("place=FR/ÎLE-DE-FRANCE", ""),
                ("place=FR/Bretagne", "place-not-allowed"),
                ("place=RU/Moskva/Moskva", "place-not-allowed"),
                ("place=Switzerland", "place-not-allowed"),
                ("", "place-unknown"),
                ("kind=managed", ""),
            ],
        ),
        ("allow.places = []", &[("place=CH", "place-not-allowed")]),
        (
            "allow.places = [\"CH\"]\ndeny.places = [\"CH/Zug\", \"KP\"]",
            &[
                ("place=CH/Zug", "place-denied"),
                ("place=CH/Bern", ""),
                ("place=CH", ""),
                ("place=KP", "place-denied"),
            ],
        ),
        (
            "deny.places = [\"KP\"]",
            &[("", ""), ("place=KP", "place-denied")],
        ),
        (
            "allow.places = [\"CH\"]\n[[app.exception]]\nallow.places = [\"DE\"]\nuntil = 2027-01-01T00:00:00Z\nreason = \"r\"",
            &[
                ("place=DE", ""),
                ("place=DE time=2027-01-01T00:00:00Z", "place-not-allowed"),
            ],
        ),
        (
            "allow.resources = [\"Microsoft Graph\", \"00000009-0000-0000-c000-000000000000\", \"text-id\"]",
            &[
                ("resource=MICROSOFT_GRAPH", ""),
                ("resource=Azure_Storage", "resource-not-allowed"),
                (
                    "resource=Other resource_id=00000009-0000-0000-C000-000000000000",
                    "",
                ),
                (
                    "resource_id=00000003-0000-0000-c000-000000000000",
                    "resource-not-allowed",
                ),
                ("resource_id=text-id", ""),
                ("", "resource-not-allowed"),
            ],
        ),
        (
            "allow.resources = []",
            &[("resource=MS", "resource-not-allowed")],
        ),
        (
            "{credential}allow.ips = [\"203.0.113.0/24\"]\nexpires = 2027-03-01",
            &[
                ("key={key} ip=203.0.113.7", ""),
                ("federated={key} ip=203.0.113.7", ""),
                ("key={other} federated={key} ip=203.0.113.7", ""),
                ("key={other}", "credential-not-allowed"),
                ("key={other} code=7000215", "credential-not-allowed"),
                ("key=text", "credential-not-allowed"),
                ("", "credential-unknown"),
                ("code=7000215", ""),
                ("code=53003", ""),
                ("kind=managed", ""),
                ("kind=managed key={key}", ""),
                ("kind=managed key={other}", "credential-not-allowed"),
                ("key={key} ip=198.51.100.1", "credential-ip-not-allowed"),
                ("key={key}", "ip-unknown"),
                ("key={key} ip=203.0.113.7 time=2027-03-01T23:59:59Z", ""),
                (
                    "key={key} ip=203.0.113.7 time=2027-03-02T00:00:00Z",
                    "credential-expired",
                ),
                (
                    "key={key} ip=198.51.100.1 time=2027-03-02T00:00:00Z",
                    "credential-expired credential-ip-not-allowed",
                ),
            ],
        ),
        (
            // An exception does not widen a credential's own list; an unknown address is one reason.
            "allow.ips = [\"203.0.113.0/24\"]\n{credential}allow.ips = [\"203.0.113.0/28\"]\n[[app.exception]]\nallow.ips = [\"198.51.100.1\"]\nuntil = 2027-01-01T00:00:00Z\nreason = \"r\"",
            &[
                ("key={key} ip=198.51.100.1", "credential-ip-not-allowed"),
                ("key={key} ip=203.0.113.99", "credential-ip-not-allowed"),
                (
                    "key={key} ip=192.0.2.1",
                    "ip-not-allowed credential-ip-not-allowed",
                ),
                ("key={key}", "ip-unknown"),
            ],
        ),
        (
            "allow.credential_types = [\"certificate\", \"federated\"]",
            &[
                ("type=certificate", ""),
                ("type=federatedIdentityCredential", ""),
                ("type=clientSecret", "credential-type-not-allowed"),
                (
                    "type=clientSecret code=7000215",
                    "credential-type-not-allowed",
                ),
                ("type=newThing", "credential-type-not-allowed"),
                ("type=none", "credential-unknown"),
                ("", "credential-unknown"),
                ("code=7000215", ""),
                ("kind=managed", ""),
                (
                    "kind=managed type=managedIdentity",
                    "credential-type-not-allowed",
                ),
            ],
        ),
        (
            "allow.credential_types = [\"certificate\"]\n{credential}",
            &[
                ("", "credential-unknown"),
                ("key={other}", "credential-not-allowed credential-unknown"),
            ],
        ),
        (
            "allow = { ips = [\"203.0.113.0/24\"], places = [\"CH\"], resources = [\"MS\"], credential_types = [\"certificate\"] }\n{credential}",
            &[(
                "ip=198.51.100.1 place=RU resource=X key={other} type=clientSecret tenant={tenant}",
                "ip-not-allowed place-not-allowed resource-not-allowed credential-not-allowed credential-type-not-allowed",
            )],
        ),
        ("", &[("", ""), ("ip=198.51.100.1 place=KP code=5", "")]),
    ];
    let fill = |text: &str| {
        text.replace("{credential}", &credential)
            .replace("{key}", KEY)
            .replace("{other}", OTHER)
            .replace("{tenant}", TENANT)
    };
    for (lines, cases) in table {
        let policy = with_app(&fill(lines));
        for (words, expected) in *cases {
            let made = with(&fill(words));
            let judgement = policy.judge(&made);
            let codes: Vec<_> = judgement.reasons.iter().map(|code| code.as_str()).collect();
            assert_eq!(codes.join(" "), *expected, "{lines}\n{words}");
            assert_eq!(judgement.verdict == Verdict::Allowed, expected.is_empty());
            assert_eq!(judgement.app.map(|app| app.name.as_str()), Some("app"));
            let sentences = policy.reasons(&made, &judgement);
            assert_eq!(sentences.len(), codes.len());
            assert!(
                sentences.iter().all(|reason| reason.message.len() > 10),
                "{sentences:?}"
            );
            // `explain` says the same.
            let mut explained: Vec<_> = policy
                .checks(&made)
                .iter()
                .filter_map(|check| check.code)
                .collect();
            explained.sort();
            explained.dedup();
            assert_eq!(
                explained,
                judgement.reasons.iter().collect::<Vec<_>>(),
                "{words}"
            );
        }
    }
}

#[test]
fn unknown_values_are_allowed_where_the_policy_says_so() {
    let policy = policy(&format!(
        "version = 1\n[defaults]\nunknown_ip = \"allow\"\nunknown_place = \"allow\"\nunknown_credential = \"allow\"\n\
         [[app]]\nname = \"a\"\napp_id = \"{APP}\"\nallow.ips = [\"203.0.113.0/24\"]\nallow.places = [\"CH\"]\n\
         allow.credential_types = [\"certificate\"]\n[[app.credential]]\nkey_id = \"{KEY}\"\nallow.ips = []\n"
    ));
    assert_eq!(policy.judge(&with("")).verdict, Verdict::Allowed);
    let key = with(&format!("key={KEY}"));
    assert_eq!(policy.judge(&key).verdict, Verdict::Allowed);
}

/// What becomes of it: verdict, reasons, action, severity.
#[test]
fn what_becomes_of_findings() {
    const UNLISTED: &str = "app=99999999-1111-2222-3333-444444444444";
    let listed = "ip=198.51.100.1";
    let defaults = "unknown_app = \"alert\"";
    let table: &[(&str, &str, &str, &str, Action, Severity)] = &[
        (
            defaults,
            "ip=203.0.113.1",
            "allowed",
            "",
            Action::Ignore,
            Severity::Medium,
        ),
        (
            defaults,
            listed,
            "violation",
            "ip-not-allowed",
            Action::Alert,
            Severity::Medium,
        ),
        (
            defaults,
            "{l} code=7000215",
            "violation",
            "ip-not-allowed",
            Action::Record,
            Severity::Medium,
        ),
        (
            "failed = \"alert\"",
            "{l} code=7000215",
            "violation",
            "ip-not-allowed",
            Action::Alert,
            Severity::Medium,
        ),
        (
            "failed = \"ignore\"",
            "{l} code=7000215",
            "violation",
            "ip-not-allowed",
            Action::Ignore,
            Severity::Medium,
        ),
        (
            "failed = \"ignore\"",
            "{l} code=53003",
            "violation",
            "ip-not-allowed",
            Action::Alert,
            Severity::High,
        ),
        (
            "mode = \"observe\"",
            "{l} code=53003",
            "violation",
            "ip-not-allowed",
            Action::Record,
            Severity::High,
        ),
        (
            "mode = \"observe\"",
            "{l}",
            "violation",
            "ip-not-allowed",
            Action::Record,
            Severity::Medium,
        ),
        (
            "mode = \"observe\"\nfailed = \"ignore\"",
            "{l} code=5",
            "violation",
            "ip-not-allowed",
            Action::Ignore,
            Severity::Medium,
        ),
        (
            defaults,
            "{u}",
            "unknown-app",
            "unknown-app",
            Action::Alert,
            Severity::High,
        ),
        (
            "mode = \"observe\"",
            "{u}",
            "unknown-app",
            "unknown-app",
            Action::Record,
            Severity::High,
        ),
        (
            "severity = \"low\"",
            "{u}",
            "unknown-app",
            "unknown-app",
            Action::Alert,
            Severity::Low,
        ),
        (
            "unknown_app = \"ignore\"",
            "{u}",
            "unknown-app",
            "unknown-app",
            Action::Ignore,
            Severity::High,
        ),
        (
            "unknown_app = \"record\"",
            "{u}",
            "unknown-app",
            "unknown-app",
            Action::Record,
            Severity::High,
        ),
        (
            defaults,
            "{u} code=5",
            "unknown-app",
            "unknown-app",
            Action::Record,
            Severity::High,
        ),
        (
            "failed = \"alert\"\nunknown_app = \"record\"",
            "{u} code=5",
            "unknown-app",
            "unknown-app",
            Action::Record,
            Severity::High,
        ),
        (
            "failed = \"ignore\"",
            "{u} code=5",
            "unknown-app",
            "unknown-app",
            Action::Ignore,
            Severity::High,
        ),
        (
            defaults,
            "{u} code=53003",
            "unknown-app",
            "unknown-app",
            Action::Alert,
            Severity::Critical,
        ),
        (
            "unknown_app = \"record\"",
            "{u} code=53003",
            "unknown-app",
            "unknown-app",
            Action::Alert,
            Severity::Critical,
        ),
        (
            "unknown_app = \"ignore\"",
            "{u} code=53003",
            "unknown-app",
            "unknown-app",
            Action::Ignore,
            Severity::High,
        ),
        (
            defaults,
            "{u} kind=managed",
            "unknown-app",
            "unknown-app",
            Action::Record,
            Severity::High,
        ),
        (
            "unknown_managed_identity = \"alert\"",
            "{u} kind=managed",
            "unknown-app",
            "unknown-app",
            Action::Alert,
            Severity::High,
        ),
        (
            defaults,
            "{u} owner={m}",
            "unknown-app",
            "unknown-app",
            Action::Record,
            Severity::High,
        ),
        (
            defaults,
            "{u} owner=f8cdef31-a31e-4b4a-93e4-5f571e91255a",
            "unknown-app",
            "unknown-app",
            Action::Record,
            Severity::High,
        ),
        (
            "microsoft_owned = \"ignore\"",
            "{u} owner={m} kind=managed",
            "unknown-app",
            "unknown-app",
            Action::Ignore,
            Severity::High,
        ),
        (
            defaults,
            "{u} kind=microsoft",
            "allowed",
            "",
            Action::Ignore,
            Severity::High,
        ),
        (
            defaults,
            "{u} kind=microsoft tenant={o}",
            "allowed",
            "",
            Action::Ignore,
            Severity::High,
        ),
        (
            defaults,
            "{l} kind=microsoft",
            "violation",
            "ip-not-allowed",
            Action::Alert,
            Severity::Medium,
        ),
        (
            defaults,
            "ip=203.0.113.1 tenant={t}",
            "allowed",
            "",
            Action::Ignore,
            Severity::Medium,
        ),
        (
            defaults,
            "ip=203.0.113.1 tenant={o}",
            "violation",
            "tenant-not-allowed",
            Action::Alert,
            Severity::Medium,
        ),
        (
            defaults,
            "ip=203.0.113.1 tenant=text",
            "violation",
            "tenant-not-allowed",
            Action::Alert,
            Severity::Medium,
        ),
        (
            defaults,
            "{u} tenant={t}",
            "unknown-app",
            "unknown-app",
            Action::Alert,
            Severity::High,
        ),
        (
            "unknown_app = \"ignore\"",
            "{u} tenant={o}",
            "unknown-app",
            "unknown-app tenant-not-allowed",
            Action::Alert,
            Severity::High,
        ),
        (
            "unknown_app = \"ignore\"",
            "{u} tenant={o} code=5",
            "unknown-app",
            "unknown-app tenant-not-allowed",
            Action::Record,
            Severity::High,
        ),
        (
            "unknown_app = \"ignore\"\nfailed = \"alert\"",
            "{u} tenant={o} code=5",
            "unknown-app",
            "unknown-app tenant-not-allowed",
            Action::Alert,
            Severity::High,
        ),
        (
            "unknown_app = \"ignore\"",
            "{u} tenant={o} code=53003",
            "unknown-app",
            "unknown-app tenant-not-allowed",
            Action::Alert,
            Severity::Critical,
        ),
    ];
    for (defaults, words, verdict, reasons, action, severity) in table {
        let policy = policy(&format!(
            "version = 1\ntenants = [\"{TENANT}\"]\n[defaults]\n{defaults}\n[[app]]\nname = \"a\"\napp_id = \"{APP}\"\n\
             severity = \"medium\"\nallow.ips = [\"203.0.113.0/24\"]\n"
        ));
        let words = words
            .replace("{l}", listed)
            .replace("{u}", UNLISTED)
            .replace("{m}", MICROSOFT)
            .replace("{t}", TENANT)
            .replace("{o}", OTHER);
        let judgement = policy.judge(&with(&words));
        let codes: Vec<_> = judgement.reasons.iter().map(|code| code.as_str()).collect();
        let severity = match judgement.verdict {
            Verdict::Allowed => severity,
            _ => &judgement.severity,
        };
        let verdict_word = judgement.verdict.as_str();
        let got = (verdict_word, codes.join(" "), judgement.action, severity);
        assert_eq!(
            got,
            (*verdict, (*reasons).to_owned(), *action, severity),
            "{defaults}\n{words}"
        );
        assert_eq!(judgement.is_due(), *action == Action::Alert);
    }
}

#[test]
fn reasons_name_what_was_seen_and_what_was_expected() {
    let credential = format!("[[app.credential]]\nkey_id = \"{KEY}\"\nexpires = 2027-03-01\n");
    let table: &[(&str, &str, &str)] = &[
        (
            "allow.ips = [\"203.0.113.0/29\", \"198.51.100.1\", \"198.51.100.1/32\", \"10.0.0.0-10.0.0.9\", \"::1\"]",
            "ip=203.0.113.9",
            "203.0.113.9 is in none of the 4 allowed ranges; the nearest is 203.0.113.0/29",
        ),
        (
            "allow.ips = [\"203.0.113.0/29\"]",
            "ip=203.0.113.9",
            "203.0.113.9 is not in the allowed range 203.0.113.0/29",
        ),
        (
            "allow.ips = [\"203.0.113.0/29\"]",
            "ip=2001:db8::1",
            "2001:db8::1 is not in the allowed range 203.0.113.0/29",
        ),
        (
            "allow.ips = [\"203.0.113.0/29\", \"198.51.100.1\"]",
            "ip=2001:db8::1",
            "2001:db8::1 is in none of the 2 allowed ranges; none of them is IPv6",
        ),
        (
            "allow.ips = []",
            "ip=203.0.113.9",
            "nothing is allowed (allow.ips = [])",
        ),
        (
            "deny.ips = [\"203.0.113.0/24\"]",
            "ip=203.0.113.9",
            "203.0.113.9 is in the denied range 203.0.113.0/24",
        ),
        (
            "allow.ips = [\"::1\"]",
            "",
            "the record has no usable address, and the app has allow.ips",
        ),
        (
            "allow.places = [\"CH\", \"US/Washington/Redmond\", \"BE\"]",
            "place=RU/Moskva/Moskva",
            "RU/Moskva/Moskva is none of the 3 allowed places (CH, US/Washington/Redmond, BE)",
        ),
        (
            "allow.places = [\"CH\", \"BE\", \"NL\", \"LU\", \"DE\", \"FR\", \"CH\"]",
            "place=RU",
            "RU is none of the 6 allowed places (CH, BE, NL, LU, DE, …)",
        ),
        (
            "allow.places = [\"CH\"]",
            "place=RU",
            "RU is not the allowed place CH",
        ),
        (
            "allow.places = []",
            "place=RU",
            "nothing is allowed (allow.places = [])",
        ),
        (
            "deny.places = [\"RU\"]",
            "place=RU/Moskva",
            "RU/Moskva is in the denied place RU",
        ),
        (
            "allow.resources = [\"Microsoft Graph\"]",
            "resource=Azure_Storage",
            "\"Azure Storage\" is not the allowed resource Microsoft Graph",
        ),
        (
            "{credential}",
            "key={key} time=2027-03-02T00:00:00Z",
            "credential aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee was valid through 2027-03-01",
        ),
        (
            "{credential}",
            "key={other}",
            "credential ffffffff-bbbb-cccc-dddd-eeeeeeeeeeee is none of the 1 listed",
        ),
        (
            "{credential}",
            "",
            "the record does not tell which credential was used",
        ),
        (
            "allow.credential_types = [\"certificate\"]\n{credential}",
            "",
            "the record tells neither which credential nor which type of credential was used",
        ),
        (
            "allow.credential_types = [\"certificate\", \"federated\"]",
            "type=clientSecret",
            "credential type \"secret\" is none of the allowed ones (certificate, federated)",
        ),
        (
            "{credential}allow.ips = [\"203.0.113.0/29\", \"198.51.100.1\"]",
            "key={key} ip=203.0.113.9",
            "203.0.113.9 is in none of the 2 allowed ranges of credential aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee; the nearest is 203.0.113.0/29",
        ),
        (
            "",
            "app=99999999-1111-2222-3333-444444444444",
            "no entry of the policy selects app 99999999-1111-2222-3333-444444444444 (\"MTPAPI\")",
        ),
    ];
    for (lines, words, expected) in table {
        let fill = |text: &str| {
            text.replace("{credential}", &credential)
                .replace("{key}", KEY)
                .replace("{other}", OTHER)
        };
        let policy = with_app(&fill(lines));
        let made = with(&fill(words));
        let reasons = policy.reasons(&made, &policy.judge(&made));
        let messages: Vec<_> = reasons
            .iter()
            .map(|reason| reason.message.as_str())
            .collect();
        assert_eq!(messages, [*expected], "{lines}");
    }
    let policy = policy(&format!("version = 1\ntenants = [\"{TENANT}\"]\n"));
    let made = with(&format!("tenant={OTHER}"));
    let reasons = policy.reasons(&made, &policy.judge(&made));
    assert_eq!(reasons[1].code, ReasonCode::TenantNotAllowed);
    assert_eq!(
        reasons[1].message,
        format!("tenant {OTHER} is not the policy's tenant {TENANT}")
    );
}

#[test]
fn large_sets_are_shared_and_judged_alike() {
    let ranges: Vec<_> = (0..1000)
        .map(|n| format!("\"10.{}.{}.0/25\"", n / 250, n % 250))
        .collect();
    let policy = policy(&format!(
        "version = 1\n[ranges]\nbig = [{}]\nbigger = [\"@big\", \"192.0.2.0/24\", \"@big\"]\n[[app]]\nname = \"a\"\napp_id = \"{APP}\"\nallow.ips = [\"@bigger\", \"203.0.113.0/24\", \"@big\"]\n",
        ranges.join(", ")
    ));
    for (ip, allowed) in [
        ("10.0.7.1", true),
        ("10.0.7.129", false),
        ("192.0.2.7", true),
        ("203.0.113.7", true),
        ("10.3.249.127", true),
        ("10.4.0.1", false),
    ] {
        let made = with(&format!("ip={ip}"));
        let judgement = policy.judge(&made);
        assert_eq!(judgement.verdict == Verdict::Allowed, allowed, "{ip}");
        if let Some(reason) = policy.reasons(&made, &judgement).first() {
            assert!(
                reason.message.contains("none of the 1002 allowed ranges"),
                "{}",
                reason.message
            );
        }
    }
}
