//! What is learnt holds for what it was learnt from.

use std::net::IpAddr;

use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::policy::{FeedFiles, Policy, Source, compile, named_ranges};
use crate::sign_in::{CredentialType, Id, Kind, Outcome, SignIn, Timestamp};
use crate::verdict::Verdict;

const APP: &str = "00000000-1111-2222-3333-00000000000a";

fn time(day: i64, second: i64) -> Timestamp {
    let seconds = 1_790_000_000 / 86_400 * 86_400 + day * 86_400 + second;
    chrono::DateTime::from_timestamp(seconds, 0).unwrap().into()
}

fn sign_in(day: i64, ip: &str) -> SignIn<'static> {
    SignIn {
        app_id: Id::parse(APP.into()),
        name: Some("payroll".into()),
        ip: ip.parse().ok(),
        country: Some("CH".into()),
        state: Some("Zürich".into()),
        city: Some("Zürich".into()),
        resource: Some("Microsoft Graph".into()),
        resource_id: Id::parse("00000003-0000-0000-c000-000000000000".into()),
        credential_type: Some(CredentialType::Certificate),
        ..SignIn::unknown(time(day, 8 * 3600))
    }
}

fn learnt(sign_ins: &[SignIn<'_>]) -> String {
    learnt_by(sign_ins, &Options::default())
}

fn learnt_by(sign_ins: &[SignIn<'_>], options: &Options) -> String {
    let mut history = History::default();
    for sign_in in sign_ins {
        history.add(sign_in);
    }
    write(&propose(&history, options, &[]), &[])
}

/// The policy of that text, which has neither errors nor warnings.
fn policy(text: &str) -> Policy {
    let source = Source {
        name: "policy.toml".to_owned(),
        text: text.to_owned(),
    };
    let compilation = compile(&[source], Some(time(100, 0)), &[]);
    let problems = compilation.diagnostics.render_text(false);
    assert!(compilation.diagnostics.is_empty(), "{problems}\n{text}");
    compilation.policy.unwrap()
}

/// The values of a list that is not commented out.
fn list<'t>(text: &'t str, key: &str) -> Vec<&'t str> {
    let Some((_, rest)) = text.split_once(&format!("\n{key} = [")) else {
        return Vec::new();
    };
    let list = rest.split(']').next().unwrap();
    let lines = list.lines().map(|line| line.split('#').next().unwrap());
    lines
        .flat_map(|line| line.split(','))
        .map(|value| value.trim().trim_matches('"'))
        .filter(|value| !value.is_empty())
        .collect()
}

#[test]
fn a_proposal_for_an_office_with_all_that_it_rests_on() {
    let mut sign_ins: Vec<SignIn<'_>> = (0..40)
        .flat_map(|day| (0..4).map(move |host| sign_in(day, &format!("203.0.113.{}", 9 + host))))
        .collect();
    sign_ins[3].credential_key_id = Id::parse("aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee".into());
    // It failed from elsewhere: that teaches nothing.
    let mut failed = sign_in(12, "198.51.100.77");
    failed.outcome = Outcome::Failure;
    sign_ins.push(failed);
    let mut rare = sign_in(3, "192.0.2.1");
    rare.app_id = Id::parse("00000000-1111-2222-3333-00000000000b".into());
    rare.name = Some("scratch \"job\"\u{7}".into());
    sign_ins.push(rare);
    let text = learnt(&sign_ins);
    policy(&text);
    insta::assert_snapshot!(text);
}

#[test]
fn addresses_are_collapsed_and_never_too_far() {
    let days = |hosts: &[&str]| -> Vec<SignIn<'static>> {
        (0..30)
            .flat_map(|day| hosts.iter().map(move |host| sign_in(day, host)))
            .collect()
    };
    let ips = |sign_ins: &[SignIn<'_>]| {
        let text = learnt(sign_ins);
        policy(&text);
        list(&text, "allow.ips")
            .into_iter()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(ips(&days(&["203.0.113.9"])), ["203.0.113.9"]);
    // Two that are far apart say nothing of what lies between.
    assert_eq!(
        ips(&days(&["203.0.113.9", "203.0.113.200"])),
        ["203.0.113.9", "203.0.113.200"]
    );
    assert_eq!(
        ips(&days(&["203.0.113.8", "203.0.113.11"])),
        ["203.0.113.8/30"]
    );
    let many: Vec<String> = (16..31).map(|host| format!("203.0.113.{host}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert_eq!(ips(&days(&many)), ["203.0.113.16/28"]);
    // Never over the border of a /24, and of a /48.
    assert_eq!(ips(&days(&["203.0.112.255", "203.0.113.0"])).len(), 2);
    assert_eq!(
        ips(&days(&[
            "2001:db8:77::1",
            "2001:db8:77::2",
            "2001:db8:77:8000::3"
        ])),
        ["2001:db8:77::/48"]
    );
    // Somebody failed from the middle of it: it is left out.
    let mut against = days(&many);
    let mut failed = sign_in(3, "203.0.113.31");
    failed.outcome = Outcome::Failure;
    against.push(failed);
    let ranges = ips(&against);
    assert!(
        !ranges.contains(&"203.0.113.16/28".to_owned()),
        "{ranges:?}"
    );
    let text = learnt(&against);
    let policy = policy(&text);
    let at = |ip: &str| policy.judge(&sign_in(40, ip)).verdict;
    assert_eq!(at("203.0.113.30"), Verdict::Allowed);
    assert_eq!(at("203.0.113.31"), Verdict::Violation);
}

#[test]
fn a_neighbourhood_where_addresses_still_appear_is_taken_whole() {
    // A new address of the same /24 every other day.
    let sign_ins: Vec<SignIn<'_>> = (0..40)
        .map(|day| sign_in(day, &format!("203.0.113.{}", day / 2 * 7 % 256)))
        .collect();
    assert_eq!(list(&learnt(&sign_ins), "allow.ips"), ["203.0.113.0/24"]);
    // A new network every other day: no list would hold for long, but the city does.
    let sign_ins: Vec<SignIn<'_>> = (0..40)
        .map(|day| sign_in(day, &format!("203.{day}.113.9")))
        .collect();
    let text = learnt(&sign_ins);
    assert_eq!(list(&text, "allow.ips"), [""; 0]);
    assert_eq!(list(&text, "allow.places"), ["CH/Zürich/Zürich"]);
    assert!(text.contains("confidence: low"), "{text}");
}

#[test]
fn what_a_log_does_not_tell_is_no_rule() {
    let mut sign_ins: Vec<SignIn<'_>> = (0..30).map(|day| sign_in(day, "203.0.113.9")).collect();
    sign_ins[4].ip = None;
    sign_ins[5].country = None;
    sign_ins[6].resource = None;
    sign_ins[6].resource_id = None;
    sign_ins[7].credential_type = None;
    let text = learnt(&sign_ins);
    for key in [
        "allow.ips",
        "allow.places",
        "allow.resources",
        "allow.credential_types",
    ] {
        assert_eq!(list(&text, key), [""; 0], "{text}");
    }
    assert!(text.contains("nothing about it is steady"), "{text}");
    policy(&text);
}

#[test]
fn microsofts_own_and_those_without_an_id_are_not_listed() {
    let mut sign_ins: Vec<SignIn<'_>> = (0..30).map(|day| sign_in(day, "203.0.113.9")).collect();
    for sign_in in &mut sign_ins {
        sign_in.app_owner_tenant_id = Id::parse("f8cdef31-a31e-4b4a-93e4-5f571e91255a".into());
    }
    let text = learnt(&sign_ins);
    assert!(!text.contains("[[app]]") && text.contains("30 sign-ins of Microsoft's own"));
    for sign_in in &mut sign_ins {
        sign_in.app_owner_tenant_id = None;
        sign_in.app_id = None;
    }
    let text = learnt(&sign_ins);
    assert!(text.contains("# match = { name = \"payroll\" }"), "{text}");
    assert!(policy(&text).apps.is_empty());
}

#[test]
fn credentials_are_listed_when_asked_for() {
    let mut sign_ins: Vec<SignIn<'_>> = (0..30).map(|day| sign_in(day, "203.0.113.9")).collect();
    let key = "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee";
    for sign_in in &mut sign_ins {
        sign_in.credential_key_id = Id::parse(key.into());
    }
    let options = Options {
        credentials: true,
        ..Options::default()
    };
    assert!(learnt(&sign_ins).contains("\n# [[app.credential]]"));
    let text = learnt_by(&sign_ins, &options);
    assert!(
        text.contains(&format!("\n[[app.credential]]\nkey_id = \"{key}\"")),
        "{text}"
    );
    policy(&text);
    // Where one sign-in does not tell its credential, a list would be against it.
    sign_ins[3].credential_key_id = None;
    assert!(learnt_by(&sign_ins, &options).contains("\n# [[app.credential]]"));
}

#[test]
fn addresses_of_a_known_set_are_named_by_it() {
    let sets = "version = 1\n[ranges]\nours = [\"203.0.113.0/24\"]\ncloud = [\"198.51.0.0/16\", \"@ours\"]\n";
    let source = Source {
        name: "sets.toml".to_owned(),
        text: sets.to_owned(),
    };
    let sets = named_ranges(&[source], &FeedFiles::default());
    let mut history = History::default();
    // Another address of the cloud each day, and one that is its own.
    for day in 0..30 {
        history.add(&sign_in(day, &format!("198.51.{day}.9")));
        history.add(&sign_in(day, "192.0.2.1"));
    }
    let proposal = propose(&history, &Options::default(), &sets);
    assert_eq!(proposal.sets().into_iter().collect::<Vec<_>>(), ["cloud"]);
    let definition = "cloud = [\"198.51.0.0/16\"]".to_owned();
    let text = write(&proposal, &[definition]);
    assert_eq!(list(&text, "allow.ips"), ["@cloud", "192.0.2.1"]);
    assert!(
        text.contains("# 30 addresses, 30 sign-ins on 30 days"),
        "{text}"
    );
    policy(&text);
    // Two may be there by chance.
    let mut history = History::default();
    for day in 0..30 {
        history.add(&sign_in(day, &format!("198.51.{}.9", day % 2)));
    }
    let proposal = propose(&history, &Options::default(), &sets);
    assert!(proposal.sets().is_empty());
}

fn addresses() -> impl Strategy<Value = Option<IpAddr>> {
    prop_oneof![
        1 => Just(None),
        6 => (0_u8..3, any::<u8>()).prop_map(|(net, host)| Some(IpAddr::from([203, 0, 113 + net, host]))),
        2 => any::<u16>().prop_map(|host| Some(IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, host]))),
        1 => any::<[u8; 4]>().prop_map(|bytes| Some(IpAddr::from(bytes))),
    ]
}

fn texts() -> impl Strategy<Value = Option<String>> {
    prop_oneof![
        Just(None),
        prop_oneof![
            Just("Zürich".to_owned()),
            Just("a/b".to_owned()),
            Just("  padded ".to_owned()),
            Just("quote\" \\ # ]".to_owned()),
            ".{0,12}",
        ]
        .prop_map(Some),
    ]
}

prop_compose! {
    fn any_sign_in()(
        day in 0_i64..40,
        second in 0_i64..86_400,
        app in prop_oneof![6 => (0_u128..4).prop_map(Some), 1 => Just(None)],
        principal in prop_oneof![(0_u128..3).prop_map(Some), Just(None)],
        kind in prop_oneof![
            6 => Just(Kind::ServicePrincipal),
            1 => Just(Kind::ManagedIdentity),
            1 => Just(Kind::MicrosoftServicePrincipal),
        ],
        outcome in prop_oneof![
            8 => Just(Outcome::Success),
            1 => Just(Outcome::Failure),
            1 => Just(Outcome::BlockedByCa),
        ],
        ip in addresses(),
        country in prop_oneof![
            1 => Just(None),
            6 => Just(Some("CH")),
            1 => Just(Some("DE")),
            1 => Just(Some("XX")),
        ],
        (name, state, city, resource) in (texts(), texts(), texts(), texts()),
        resource_id in prop_oneof![Just(None), (0_u128..3).prop_map(Some)],
        key in prop_oneof![Just(None), (0_u128..3).prop_map(Some)],
        credential in prop_oneof![
            Just(None),
            Just(Some(CredentialType::Secret)),
            Just(Some(CredentialType::Federated)),
            Just(Some(CredentialType::Other("new".into()))),
        ],
        tenant in prop_oneof![3 => Just(Some(7_u128)), 1 => Just(None)],
    ) -> SignIn<'static> {
        let id = |number: Option<u128>| number.map(|number| Id::Guid(Uuid::from_u128(number)));
        SignIn {
            kind,
            app_id: id(app),
            service_principal_id: id(principal),
            name: name.map(Into::into),
            outcome,
            ip,
            country: country.map(Into::into),
            state: state.map(Into::into),
            city: city.map(Into::into),
            resource: resource.map(Into::into),
            resource_id: id(resource_id),
            credential_key_id: id(key),
            credential_type: credential,
            tenant_id: id(tenant),
            ..SignIn::unknown(time(day, second))
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn what_was_learnt_allows_what_it_was_learnt_from(
        sign_ins in proptest::collection::vec(any_sign_in(), 0..150),
        credentials in any::<bool>(),
        eager in any::<bool>(),
    ) {
        let options = Options {
            credentials,
            min_days: if eager { 1 } else { 7 },
            min_successes: if eager { 1 } else { 20 },
            ..Options::default()
        };
        let text = learnt_by(&sign_ins, &options);
        let policy = policy(&text);
        for sign_in in sign_ins.iter().filter(|sign_in| sign_in.outcome.is_success()) {
            let verdict = policy.judge(sign_in).verdict;
            prop_assert_ne!(verdict, Verdict::Violation, "{:?}\n{}", sign_in, text);
        }
    }
}
