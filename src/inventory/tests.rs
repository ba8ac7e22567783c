use std::collections::BTreeSet;
use std::net::IpAddr;

use chrono::TimeDelta;
use proptest::prelude::*;
use uuid::Uuid;

use super::directory::{Directory, ReadDirectoryError};
use super::import::{Options, Proposal, propose};
use super::*;
use crate::policy::{FeedFiles, Policy, Source, compile, listing};
use crate::sign_in::{CredentialType, Id, Kind, Outcome, SignIn};

const APP: &str = "11111111-0000-4000-8000-000000000001";
const KEY: &str = "22222222-0000-4000-8000-000000000001";
const OLD_KEY: &str = "22222222-0000-4000-8000-000000000002";

fn time(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

fn id(text: &str) -> Option<Id<'static>> {
    Id::parse(text.to_owned().into())
}

fn source(text: &str) -> Vec<Source> {
    vec![Source {
        name: "policy.toml".into(),
        text: text.into(),
    }]
}

fn compiled(sources: &[Source]) -> Policy {
    let compilation = compile(sources, None, &[]);
    let diagnostics = compilation.diagnostics.render_text(false);
    let policy = compilation.policy;
    policy.unwrap_or_else(|| panic!("{diagnostics}\n{}", sources[0].text))
}

/// A success of the app from an address in Switzerland.
fn success(at: &str, ip: &str) -> SignIn<'static> {
    SignIn {
        app_id: id(APP),
        name: Some("sync".into()),
        ip: Some(ip.parse().unwrap()),
        country: Some("CH".into()),
        credential_key_id: id(KEY),
        credential_type: Some(CredentialType::Secret),
        ..SignIn::unknown(time(at))
    }
}

fn settings(now: &str) -> Settings {
    Settings {
        now: time(now),
        seen_until: None,
        unseen_for: TimeDelta::days(90),
        expires_within: TimeDelta::days(30),
    }
}

const NOW: &str = "2026-11-24T12:00:00Z";

fn inventory_of(policy: &str, sign_ins: &[SignIn<'_>]) -> Inventory {
    let sources = source(policy);
    let mut observed = Observed::default();
    for sign_in in sign_ins {
        observed.add(sign_in);
    }
    let policy = compiled(&sources);
    take(
        &observed,
        &policy,
        &listing(&sources, &FeedFiles::default()),
        &settings(NOW),
    )
}

/// Code, line and message of each finding.
fn said(inventory: &Inventory) -> Vec<(&'static str, usize, &str)> {
    inventory
        .findings
        .iter()
        .map(|finding| {
            (
                finding.code.as_str(),
                finding.line.unwrap_or(0),
                finding.message.as_str(),
            )
        })
        .collect()
}

/// An entry that says everything, and what is added to it.
fn entry(more: &str) -> String {
    format!(
        "version = 1\n[[app]]\nname = \"sync\"\napp_id = \"{APP}\"\nowner = \"a@contoso.example\"\npurpose = \"x\"\nsecret = \"the safe\"\n{more}"
    )
}

#[test]
fn an_app_as_it_is_listed_is_no_finding() {
    let policy = entry("allow.ips = [\"192.0.2.0/24\"]\nallow.places = [\"CH\"]\n");
    let inventory = inventory_of(&policy, &[success("2026-11-20T10:00:00Z", "192.0.2.7")]);
    assert_eq!(said(&inventory), []);
    let app = &inventory.apps[0];
    assert_eq!((app.sign_ins, app.failures, app.address_count), (1, 0, 1));
    assert_eq!(app.credentials[0].kind.as_deref(), Some("secret"));
}

#[test]
fn says_what_is_not_listed_and_what_is_missing() {
    let mut failed = success("2026-11-21T10:00:00Z", "203.0.113.9");
    failed.outcome = Outcome::Failure;
    let sign_ins = [success("2026-11-20T10:00:00Z", "192.0.2.7"), failed];
    let inventory = inventory_of("version = 1\n", &sign_ins);
    assert_eq!(
        said(&inventory),
        [(
            "unlisted",
            0,
            "2 sign-ins (1 failed) from 1 address in CH, the last on 2026-11-21"
        )]
    );
    let bare = format!("version = 1\n[[app]]\nname = \"sync\"\napp_id = \"{APP}\"\n");
    let codes = |inventory: &Inventory| -> Vec<&str> {
        let findings = inventory.findings.iter();
        findings.map(|finding| finding.code.as_str()).collect()
    };
    assert_eq!(
        codes(&inventory_of(&bare, &sign_ins)),
        ["owner-missing", "purpose-missing", "secret-missing"]
    );
    let federated = SignIn {
        credential_type: Some(CredentialType::Federated),
        ..sign_ins[0].clone()
    };
    assert_eq!(
        codes(&inventory_of(&bare, &[federated])),
        ["owner-missing", "purpose-missing"]
    );
}

#[test]
fn an_entry_is_unseen_without_a_success_or_for_long() {
    let mut failed = success("2026-11-21T10:00:00Z", "203.0.113.9");
    failed.outcome = Outcome::Failure;
    let inventory = inventory_of(&entry(""), &[]);
    assert_eq!(
        said(&inventory),
        [("unseen", 2, "no sign-in in the log, which holds no sign-in")]
    );
    assert_eq!(inventory.apps[0].sign_ins, 0);
    assert_eq!(
        said(&inventory_of(&entry(""), &[failed.clone()])),
        [(
            "unseen",
            2,
            "no successful sign-in (1 failed) in the log, which covers 2026-11-21 to 2026-11-21"
        )]
    );
    let old = success("2026-08-01T10:00:00Z", "192.0.2.7");
    assert_eq!(
        said(&inventory_of(&entry(""), &[old, failed])),
        [(
            "unseen",
            2,
            "the last successful sign-in was on 2026-08-01, 112 days before 2026-11-21"
        )]
    );
}

#[test]
fn tells_ranges_and_places_that_are_not_used_or_far_too_wide() {
    let policy = entry(
        r#"allow.places = ["CH/Zurich", "@others"]
allow.ips = [
  "10.0.0.0/8",
  "@office",
  "198.51.100.7",
  "2001:db8::/32",
]
[ranges]
office = ["203.0.113.0/24", "2001:db8:ffff::/48"]
[places]
others = ["CH/Bern", "LI"]
"#,
    );
    let at = "2026-11-20T10:00:00Z";
    let mut zurich = success(at, "10.1.2.3");
    zurich.state = Some("Zürich".into());
    let sign_ins = [
        zurich,
        success(at, "10.1.2.9"),
        success(at, "10.1.2.200"),
        success(at, "2001:db8:5::1"),
        success(at, "2001:db8:5::2"),
    ];
    assert_eq!(
        said(&inventory_of(&policy, &sign_ins)),
        [
            (
                "range-broad",
                10,
                "10.0.0.0/8 allows 16,777,216 addresses; 3 addresses were used (under 0.01 %), all within 10.1.2.0/24"
            ),
            (
                "range-unused",
                11,
                "@office allows 256 addresses and 65,536 networks /64; none was used"
            ),
            (
                "range-unused",
                12,
                "198.51.100.7 allows 1 address; none was used"
            ),
            (
                "range-broad",
                13,
                "2001:db8::/32 allows 4,294,967,296 networks /64; 1 network was used (under 0.01 %), 2001:db8:5::/64"
            ),
            (
                "place-unused",
                8,
                "no sign-in was in @others; the app was seen in CH, CH/Zürich"
            ),
        ]
    );
}

#[test]
fn whoever_fails_uses_nothing() {
    let mut failed = success("2026-11-21T10:00:00Z", "203.0.113.9");
    failed.outcome = Outcome::Failure;
    let policy = entry("allow.ips = [\"192.0.2.0/24\", \"203.0.113.0/24\"]\n");
    let sign_ins = [success("2026-11-20T10:00:00Z", "192.0.2.7"), failed];
    let inventory = inventory_of(&policy, &sign_ins);
    assert_eq!(
        said(&inventory),
        [(
            "range-unused",
            8,
            "203.0.113.0/24 allows 256 addresses; none was used"
        )]
    );
}

#[test]
fn tells_credentials_that_are_unused_or_end() {
    let policy = entry(&format!(
        r#"[[app.credential]]
key_id = "{KEY}"
expires = 2026-12-01
[[app.credential]]
key_id = "{OLD_KEY}"
expires = 2026-11-23
"#
    ));
    let old = SignIn {
        credential_key_id: id(OLD_KEY),
        ..success("2026-08-01T10:00:00Z", "192.0.2.7")
    };
    let other = SignIn {
        credential_key_id: id("22222222-0000-4000-8000-000000000003"),
        ..success("2026-08-01T11:00:00Z", "192.0.2.7")
    };
    let sign_ins = [old, other, success("2026-11-20T10:00:00Z", "192.0.2.7")];
    assert_eq!(
        said(&inventory_of(&policy, &sign_ins)),
        [
            (
                "credential-expires",
                8,
                "the credential 22222222-0000-4000-8000-000000000001 is valid through 2026-12-01, 7 days from now"
            ),
            (
                "credential-unseen",
                11,
                "the credential 22222222-0000-4000-8000-000000000002 was last used on 2026-08-01, 111 days before 2026-11-20"
            ),
            (
                "credential-expired",
                11,
                "the credential 22222222-0000-4000-8000-000000000002 was valid through 2026-11-23; it was last used on 2026-08-01"
            ),
            (
                "credential-unseen",
                2,
                "the secret 22222222-0000-4000-8000-000000000003 was last used on 2026-08-01, while the app still signs in"
            ),
        ]
    );
    // A log of a few days says nothing of a credential that is not in it.
    let week = [success("2026-11-20T10:00:00Z", "192.0.2.7")];
    let codes: Vec<&str> = said(&inventory_of(&policy, &week))
        .iter()
        .map(|(code, ..)| *code)
        .collect();
    assert_eq!(codes, ["credential-expires", "credential-expired"]);
}

#[test]
fn tells_exceptions_that_are_over_or_unused() {
    let policy = entry(
        r#"allow.ips = ["192.0.2.0/24"]
[[app.exception]]
allow.ips = ["203.0.113.0/24"]
until = 2026-11-01T00:00:00Z
reason = "CHG-1"
[[app.exception]]
allow.ips = ["203.0.113.0/24"]
until = 2026-12-01T00:00:00Z
reason = "CHG-2"
[[app.exception]]
allow.places = ["CH"]
until = 2026-12-01T00:00:00Z
reason = "CHG-3"
"#,
    );
    let sign_ins = [success("2026-11-20T10:00:00Z", "192.0.2.7")];
    assert_eq!(
        said(&inventory_of(&policy, &sign_ins)),
        [
            (
                "exception-expired",
                9,
                "the exception ended on 2026-11-01 (reason: CHG-1)"
            ),
            (
                "exception-unused",
                13,
                "no sign-in made use of the exception, which ends on 2026-12-01 (reason: CHG-2)"
            ),
        ]
    );
}

#[test]
fn tells_names_and_addresses_that_apps_share() {
    let first = success("2026-11-20T10:00:00Z", "192.0.2.7");
    let renamed = SignIn {
        name: Some("Sync 2".into()),
        ..success("2026-11-21T10:00:00Z", "192.0.2.7")
    };
    let other = SignIn {
        app_id: id("11111111-0000-4000-8000-000000000002"),
        name: Some("SYNC".into()),
        ..success("2026-11-21T10:00:00Z", "192.0.2.7")
    };
    let inventory = inventory_of(&entry(""), &[first, renamed, other]);
    assert_eq!(
        said(&inventory),
        [
            (
                "name-changed",
                2,
                "the app is called \"Sync 2\" now; before: \"sync\""
            ),
            (
                "unlisted",
                0,
                "1 sign-in from 1 address in CH, the last on 2026-11-21"
            ),
            (
                "name-shared",
                0,
                "2 app ids have this name: 11111111-0000-4000-8000-000000000001, 11111111-0000-4000-8000-000000000002"
            ),
            (
                "shared-address",
                0,
                "2 apps signed in from 192.0.2.7: SYNC (11111111-0000-4000-8000-000000000002), sync"
            ),
        ]
    );
}

#[test]
fn an_entry_by_name_keeps_an_app_that_was_renamed() {
    let policy = "version = 1\n[[app]]\nname = \"x\"\nmatch = { name = \"sync\" }\n";
    let renamed = SignIn {
        name: Some("other".into()),
        ..success("2026-11-21T10:00:00Z", "192.0.2.7")
    };
    let first = success("2026-11-20T10:00:00Z", "192.0.2.7");
    let inventory = inventory_of(policy, &[first, renamed]);
    assert_eq!(inventory.apps.len(), 1);
    assert_eq!(inventory.apps[0].entry.as_deref(), Some("x"));
}

#[test]
fn addresses_are_kept_up_to_a_limit_which_is_told() {
    let mut observed = Observed::default();
    for number in 0..=u32::try_from(MAX_ADDRESSES).unwrap() {
        let mut sign_in = success("2026-11-20T10:00:00Z", "192.0.2.7");
        sign_in.ip = Some(IpAddr::V4((0x0a00_0000 + number).into()));
        observed.add(&sign_in);
    }
    let sources = source(&entry(
        "allow.ips = [\"10.0.0.0/8\", \"198.51.100.0/24\"]\n",
    ));
    let policy = compiled(&sources);
    let inventory = take(
        &observed,
        &policy,
        &listing(&sources, &FeedFiles::default()),
        &settings(NOW),
    );
    let app = &inventory.apps[0];
    assert_eq!(
        (app.address_count, app.more_addresses, app.addresses.len()),
        (MAX_ADDRESSES, true, SHOWN)
    );
    assert_eq!(
        said(&inventory),
        [
            (
                "range-broad",
                8,
                "10.0.0.0/8 allows 16,777,216 addresses; at least 10,000 addresses were used (0.05 %), all within 10.0.0.0/18"
            ),
            (
                "many-addresses",
                2,
                "more than 10,000 addresses signed in; which ranges are unused is not known"
            ),
        ]
    );
}

#[test]
fn microsofts_own_log_and_managed_identities_are_what_they_are() {
    let sign_in = |kind| SignIn {
        kind,
        ip: None,
        country: None,
        credential_key_id: None,
        credential_type: None,
        ..success("2026-11-20T10:00:00Z", "192.0.2.7")
    };
    let own = inventory_of("version = 1\n", &[sign_in(Kind::MicrosoftServicePrincipal)]);
    assert_eq!(said(&own), []);
    assert_eq!(own.apps.len(), 1);
    let bare = format!(
        "version = 1\n[[app]]\nname = \"sync\"\napp_id = \"{APP}\"\nowner = \"x\"\npurpose = \"x\"\nallow.ips = [\"192.0.2.0/24\"]\n"
    );
    let managed = inventory_of(&bare, &[sign_in(Kind::ManagedIdentity)]);
    assert_eq!(said(&managed), []);
}

#[test]
fn codes_are_words_of_their_own() {
    let words: BTreeSet<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
    assert_eq!(words.len(), Code::ALL.len());
    for word in words {
        assert!(word.chars().all(|c| c == '-' || c.is_ascii_lowercase()));
    }
}

fn proposal(policy: &str, input: &str, credentials: bool) -> Proposal {
    let sources = source(policy);
    let mut directory = Directory::default();
    directory.read(input.as_bytes()).unwrap();
    let options = Options {
        credentials,
        now: time(NOW),
    };
    let policy = compiled(&sources);
    let proposal = propose(
        &sources,
        &policy,
        &listing(&sources, &FeedFiles::default()),
        &directory,
        &options,
    );
    compiled(&proposal.sources);
    proposal
}

/// One app of the directory.
fn registration(app_id: &str, name: &str) -> serde_json::Value {
    serde_json::json!({
        "id": "a0000000-0000-4000-8000-000000000001",
        "appId": app_id,
        "displayName": name,
        "owners": [{"displayName": "Ada", "userPrincipalName": "ada@contoso.example"}],
        "requiredResourceAccess": [{
            "resourceAppId": "00000003-0000-0000-c000-000000000000",
            "resourceAccess": [{"id": "b0000000-0000-4000-8000-000000000001", "type": "Role"}],
        }],
        "passwordCredentials": [{
            "keyId": KEY,
            "displayName": "x\"\n[[app]]\u{202e}",
            "secretText": "s3cr3t-s3cr3t",
            "hint": "s3c",
            "endDateTime": "2027-03-01T00:00:00Z",
        }],
    })
}

const ADDED: &str = r#"owner = "ada@contoso.example"
permissions = ["Microsoft Graph/b0000000-0000-4000-8000-000000000001"]
"#;
const ADDED_CREDENTIAL: &str = r#"
# [[app.credential]] # secret "x\"\u000A[[app]]\u202E"
# key_id  = "22222222-0000-4000-8000-000000000001"
# expires = 2027-02-28
"#;

#[test]
fn adds_lines_and_changes_none() {
    let input = registration(APP, "sync").to_string();
    let head = format!("\u{feff}version = 1\n[[app]]\napp_id = \"{APP}\"\n");
    // How an entry goes on; §1 is where its keys are added, and §2 its credential.
    let shapes = [
        "name = \"x\"\n§1§2",
        "name = \"x\" # why\n§1allow.ips = [\n \"192.0.2.1\",\n]\nallow.places = [\"CH\"]\n§2",
        "name = \"x\"\n§1[app.labels]\ntier = \"1\" # one\n§2\n# next\n[places]\n",
        "match.name = \"sync\"\nname = \"\"\"\nx\"\"\"\n§1\n[[app.exception]]\nallow.places = [\n\"CH\"\n]\nreason = \"x\"\nuntil = 2027-01-01T00:00:00Z\n§2[ranges]\n",
        "name = \"x\"\n§1[[app.credential]]\nkey_id = \"22222222-0000-4000-8000-000000000009\"\n§2",
    ];
    for shape in shapes {
        for end in ["\n", "\r\n"] {
            let shape = format!("{head}{shape}");
            let before = shape.replace("§1", "").replace("§2", "");
            let after = shape.replace("§1", ADDED).replace("§2", ADDED_CREDENTIAL);
            let (before, after) = (before.replace('\n', end), after.replace('\n', end));
            let proposal = proposal(&before, &input, false);
            assert_eq!(proposal.sources[0].text, after);
            assert_eq!(proposal.changed, [true]);
            assert_eq!((proposal.tally.owners, proposal.tally.credentials), (1, 1));
        }
    }
}

#[test]
fn an_inline_table_gets_keys_and_no_credentials() {
    let input = registration(APP, "sync").to_string();
    let policy =
        format!("app = [{{ name = \"x\", app_id = \"{APP}\", purpose = \"y\" }}]\nversion = 1");
    let proposal = proposal(&policy, &input, true);
    let keys = ADDED.trim_end().replace('\n', ", ");
    let after = policy.replace("\"y\"", &format!("\"y\", {keys}"));
    assert_eq!(proposal.sources[0].text, after);
    assert_eq!(proposal.notes.len(), 1, "{:?}", proposal.notes);
}

#[test]
fn a_policy_that_says_it_all_stays_as_it_is() {
    let input = registration(APP, "sync").to_string();
    let policy = format!(
        "version = 1\n[[app]]\nname = \"x\"\napp_id = \"{APP}\"\nowner = \"bob\"\npermissions = []\n[[app.credential]]\nkey_id = \"{KEY}\"\nexpires = 2027-03-01"
    );
    let proposal = proposal(&policy, &input, true);
    assert_eq!(proposal.sources[0].text, policy);
    assert_eq!(proposal.changed, [false]);
    assert_eq!(
        proposal.notes,
        [
            "x: the policy has the owner bob, the directory ada@contoso.example",
            "x: the policy has no permissions, the directory Microsoft Graph/b0000000-0000-4000-8000-000000000001",
            "x: the credential 22222222-0000-4000-8000-000000000001 expires on 2027-03-01 in the policy, on 2027-02-28 in the directory",
        ]
    );
}

#[test]
fn a_name_brings_no_owner_along() {
    let input = registration(APP, "sync").to_string();
    let policy = "version = 1\n[[app]]\nname = \"x\"\nmatch = { name = \"sync\" }\n";
    let proposal = proposal(policy, &input, true);
    assert_eq!(proposal.sources[0].text, policy);
    assert!(proposal.notes[0].contains("by name only"));
}

#[test]
fn new_entries_are_comments_that_can_be_uncommented() {
    let objects = [
        registration(APP, "a"),
        registration("11111111-0000-4000-8000-000000000002", "a"),
        registration("11111111-0000-4000-8000-000000000003", "\u{1}\"\n# b"),
        serde_json::json!({
            "appId": "11111111-0000-4000-8000-000000000004",
            "displayName": "Microsoft's",
            "servicePrincipalType": "Application",
            "appOwnerOrganizationId": "f8cdef31-a31e-4b4a-93e4-5f571e91255a",
        }),
    ];
    let input = serde_json::json!({ "value": objects }).to_string();
    let head =
        "version = 1\n[[app]]\nname = \"x\"\napp_id = \"99999999-0000-4000-8000-000000000001\"\n";
    for credentials in [false, true] {
        let proposal = proposal(head, &input, credentials);
        assert_eq!(
            (proposal.tally.new_entries, proposal.tally.of_microsoft),
            (3, 1)
        );
        let text = &proposal.sources[0].text;
        assert!(!text.contains("s3c"), "{text}");
        let added = text.strip_prefix(head).unwrap();
        let uncommented: Vec<&str> = added
            .lines()
            .skip_while(|line| !line.starts_with("# [[app]]"))
            .map(|line| {
                line.strip_prefix("# ")
                    .unwrap_or(line.trim_start_matches('#'))
            })
            .collect();
        let sources = source(&format!("{head}{}", uncommented.join("\n")));
        assert_eq!(compiled(&sources).entry_count(), 4);
        let listed = listing(&sources, &FeedFiles::default())[1]
            .credentials
            .len();
        assert_eq!(listed, usize::from(credentials));
    }
}

#[test]
fn included_files_are_added_to_where_they_are() {
    let sources = [
        Source {
            name: "policy.toml".into(),
            text: "version = 1\ninclude = [\"apps/*.toml\"]\n[[app]]\nname = \"other\"\napp_id = \"99999999-0000-4000-8000-000000000001\"\n".into(),
        },
        Source {
            name: "apps/x.toml".into(),
            text: format!("[[app]]\nname = \"x\"\napp_id = \"{APP}\"\n"),
        },
    ];
    let mut directory = Directory::default();
    let input = registration(APP, "sync").to_string();
    directory.read(input.as_bytes()).unwrap();
    let options = Options {
        credentials: false,
        now: time(NOW),
    };
    let policy = compiled(&sources);
    let proposal = propose(
        &sources,
        &policy,
        &listing(&sources, &FeedFiles::default()),
        &directory,
        &options,
    );
    assert_eq!(proposal.changed, [false, true]);
    assert_eq!(proposal.sources[0], sources[0]);
    assert_eq!(
        proposal.sources[1].text,
        format!("{}{ADDED}{ADDED_CREDENTIAL}", sources[1].text)
    );
}

#[test]
fn reads_what_powershell_writes_and_repeats_no_text_of_the_input() {
    let text = registration(APP, "Zürich").to_string();
    let wide = |bytes: fn(u16) -> [u8; 2]| -> Vec<u8> {
        "\u{feff}"
            .encode_utf16()
            .chain(text.encode_utf16())
            .flat_map(bytes)
            .collect()
    };
    let marked = [b"\xEF\xBB\xBF", text.as_bytes()].concat();
    for bytes in [
        wide(u16::to_le_bytes),
        wide(u16::to_be_bytes),
        marked,
        text.clone().into_bytes(),
    ] {
        let mut directory = Directory::default();
        directory.read(&bytes).unwrap();
        let app = directory.apps.values().next().unwrap();
        assert_eq!(app.name.as_deref(), Some("Zürich"));
    }
    let error = Directory::default().read(b"[\n\"s3cr3t\"]").unwrap_err();
    assert!(!error.to_string().contains("s3cr3t"), "{error}");
    assert!(error.to_string().contains("line 2"), "{error}");
    let mut directory = Directory::default();
    assert_eq!(
        directory.read(&[0xFF, 0xFE, 0]),
        Err(ReadDirectoryError::Encoding)
    );
    directory.read(b"[{}, {\"appId\": 7}]").unwrap();
    assert_eq!((directory.apps.len(), directory.passed_over), (0, 2));
}

fn any_sign_in() -> impl Strategy<Value = SignIn<'static>> {
    (
        -62_000_000_000_i64..250_000_000_000,
        prop::option::of(0_u8..3),
        prop::option::of("\\PC{0,300}"),
        prop::option::of(any::<IpAddr>()),
        prop::option::of("[A-Z]{0,3}|\\PC{0,80}"),
        prop::option::of(0_u8..3),
        any::<bool>(),
    )
        .prop_map(|(seconds, app, name, ip, place, key, failed)| {
            let at = chrono::DateTime::from_timestamp(seconds, 0).unwrap();
            let guid = |number: u8| Id::Guid(Uuid::from_u128(number.into()));
            SignIn {
                app_id: app.map(guid),
                name: name.map(Into::into),
                ip,
                country: place.clone().map(Into::into),
                city: place.map(Into::into),
                credential_key_id: key.map(guid),
                outcome: if failed {
                    Outcome::Failure
                } else {
                    Outcome::Success
                },
                ..SignIn::unknown(at.into())
            }
        })
}

/// JSON that is nearly what the directory prints.
fn any_object() -> impl Strategy<Value = serde_json::Value> {
    let text = || {
        prop_oneof![
            Just(serde_json::Value::Null),
            "\\PC{0,20}|[\\x00-\\x7f]{0,20}".prop_map(Into::into)
        ]
    };
    (0_u8..6, text(), text(), text(), text(), any::<bool>()).prop_map(
        |(app, name, owner, permission, day, principal)| {
            let mut object = registration(&Uuid::from_u128(app.into()).to_string(), "");
            object["displayName"] = name;
            object["owners"][0]["mail"] = owner;
            object["requiredResourceAccess"][0]["resourceAppId"] =
                Uuid::from_u128(5).to_string().into();
            object["passwordCredentials"][0]["displayName"] = day.clone();
            if !day.is_null() {
                object["passwordCredentials"][0]["endDateTime"] = day;
            }
            if principal {
                object["servicePrincipalType"] = "Application".into();
                object["appRoles"] = serde_json::json!([
                    {"id": "b0000000-0000-4000-8000-000000000001", "value": permission}
                ]);
            }
            object
        },
    )
}

proptest! {
    #[test]
    fn never_panics_and_counts_everything(
        sign_ins in prop::collection::vec(any_sign_in(), 0..40),
        days in 0_i64..3650,
    ) {
        let sources = source(&format!(
            "version = 1\n[[app]]\nname = \"x\"\napp_id = \"{}\"\nallow.ips = [\"0.0.0.0/0\", \"::/0\", \"192.0.2.1\"]\nallow.places = [\"CH\"]\n[[app.credential]]\nkey_id = \"{}\"\nexpires = 9999-12-31\n",
            Uuid::from_u128(1), Uuid::from_u128(2),
        ));
        let mut observed = Observed::default();
        for sign_in in &sign_ins {
            observed.add(sign_in);
        }
        let policy = compiled(&sources);
        let settings = Settings {
            unseen_for: TimeDelta::days(days),
            expires_within: TimeDelta::days(days),
            ..settings(NOW)
        };
        let inventory = take(&observed, &policy, &listing(&sources, &FeedFiles::default()), &settings);
        prop_assert_eq!(inventory.sign_ins, sign_ins.len() as u64);
        let counted: u64 = inventory.apps.iter().map(|app| app.sign_ins).sum();
        prop_assert_eq!(counted, sign_ins.len() as u64);
    }

    /// Whatever the directory holds, what is proposed is a policy, with everything that was there.
    #[test]
    fn never_proposes_what_is_no_policy(
        objects in prop::collection::vec(any_object(), 0..8),
        credentials in any::<bool>(),
        keys in prop::sample::subsequence(vec![
            "owner = 'o' # o", "purpose = \"\"\"p\n\"\"\"", "  permissions = ['x']", "allow.ips = [ # why\n]",
            "labels = { a = 'b' }", "match.name_contains = 'x'",
        ], 0..6),
        end in prop::sample::select(vec!["", "\n", "# end", "\n\n[[app]]\nname = 'z'\nmatch = { name = 'z' }"]),
    ) {
        let text = format!(
            "version = 1\n[[app]]\nname = 'y'\nservice_principal_id = 'a0000000-0000-4000-8000-000000000001'\n\n[[app]]\nname = 'x'\napp_id = \"{}\"\n{}{end}",
            Uuid::from_u128(1), keys.join("\n"),
        );
        let input = serde_json::Value::from(objects).to_string();
        let proposal = proposal(&text, &input, credentials);
        let mut added = proposal.sources[0].text.lines();
        for line in text.lines() {
            prop_assert!(added.any(|other| other == line), "{line} is gone: {}", proposal.sources[0].text);
        }
    }
}
