//! Random policies and logs from a seed.
//!
//! The pools are small on purpose, so that rules and records meet often.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use ipnetwork::IpNetwork;
use serde_json::json;
use unicode_normalization::UnicodeNormalization as _;

use super::model::{
    Action, Address, Case, Credential, Defaults, Entry, Exception, IpRule, Item, Kind, LogFile,
    PlaceRule, Policy, Record, Rng, Shape, Stamp,
};

const TENANTS: [&str; 3] = [
    "11111111-2222-3333-4444-555555555555",
    "22222222-2222-3333-4444-555555555555",
    "abcdefab-2222-3333-4444-555555555555",
];
const MICROSOFT: [&str; 2] = [
    "72f988bf-86f1-41af-91ab-2d7cd011db47",
    "f8cdef31-a31e-4b4a-93e4-5f571e91255a",
];
const NAMES: [&str; 6] = [
    "MTPAPI",
    "mtpapi-prod",
    "Payroll Sync",
    "GitHub Deploy",
    "Zürich Ledger",
    "Back\"up\", \\ 🚀 / tab\there",
];
const PARTS: [&str; 9] = [
    "mtp",
    "api",
    "pap",
    "deploy",
    "prod",
    "zürich",
    "Back",
    "P",
    "payroll s",
];
const RESOURCES: [(&str, &str); 3] = [
    ("Microsoft Graph", "00000003-0000-0000-c000-000000000000"),
    ("Azure Key Vault", "cfa8b339-82a2-471a-a3c9-0fc0be7a4093"),
    ("Ledger Überweisung", "dddddddd-82a2-471a-a3c9-0fc0be7a4093"),
];
/// Country, state, city; every name with the spellings that count as equal to it.
type Names = &'static [&'static str];
const WHERE: [(&str, Names, Names); 10] = [
    (
        "CH",
        &["Zürich", "Zurich", "ZÜRICH"],
        &["Zürich", "zurich", "ZURICH"],
    ),
    ("CH", &["Bern"], &["Bern", "BERN"]),
    ("US", &["Washington"], &["Redmond"]),
    ("US", &["Washington", "WASHINGTON"], &["Seattle"]),
    ("SE", &["Gävleborg", "Gavleborg"], &["Gävle", "Gavle"]),
    ("PL", &["Łódź", "Lodz", "łódź"], &["Łódź", "LODZ"]),
    (
        "DK",
        &["Hovedstaden"],
        &["København", "Kobenhavn", "Ærøskøbing", "aeroskobing"],
    ),
    ("DE", &["Hessen"], &["Gießen", "Giessen", "GIESSEN"]),
    (
        "TR",
        &["İstanbul", "Istanbul", "ıstanbul"],
        &["İstanbul", "istanbul"],
    ),
    ("NO", &["Trøndelag", "Trondelag"], &["Trondheim"]),
];
const TYPE_WORDS: [(&str, &str); 5] = [
    ("secret", "clientSecret"),
    ("certificate", "certificate"),
    ("assertion", "clientAssertion"),
    ("federated", "federatedIdentityCredential"),
    ("managed-identity", "managedIdentity"),
];
const OTHER: [&str; 4] = [
    "NonInteractiveUserSignInLogs",
    "SignInLogs",
    "MicrosoftGraphActivityLogs",
    "RiskyUsers",
];
/// 2026-03-01T00:00:00Z
const START: i64 = 1_772_323_200;
pub(super) const TICKS: i64 = 10_000_000;

fn guid(group: u8, index: usize) -> String {
    format!("{group:02x}{index:02x}abcd-0000-4000-8000-0000000000{index:02x}")
}

/// Random case of a GUID or an ASCII word, now and then.
fn recased(rng: &mut Rng, text: &str) -> String {
    match rng.below(8) {
        0 => text.to_uppercase(),
        1 => text.to_lowercase(),
        _ => text.to_owned(),
    }
}

pub(super) fn case(seed: u64) -> Case {
    let rng = &mut Rng(seed);
    // Instants that policies and records share, so that borders are met exactly.
    let instants: Vec<i64> = (0..12)
        .map(|_| {
            let second = START + rng.below(6 * 86_400) as i64;
            match rng.below(5) {
                0 => second - second % 86_400,
                1 => second - second % 86_400 + 86_399,
                2 => second - second % 3_600,
                _ => second,
            }
        })
        .collect();
    let policy = policy(rng, &instants);
    let mut files: Vec<LogFile> = Vec::new();
    for _ in 0..=rng.below(3) {
        let shape = rng.pick(&Shape::ALL);
        let file = log_file(rng, shape, &instants, &files);
        files.push(file);
    }
    let tenant = rng.chance(20).then(|| rng.pick(&TENANTS).to_owned());
    Case {
        policy,
        tenant,
        files,
    }
}

// ---- policies ----

fn policy(rng: &mut Rng, instants: &[i64]) -> Policy {
    let mut policy = Policy {
        style: rng.next(),
        ..Policy::default()
    };
    if rng.chance(40) {
        let mut tenants = vec![recased(rng, TENANTS[0])];
        if rng.chance(40) {
            tenants.push(recased(rng, TENANTS[2]));
        }
        policy.tenants = Some(tenants);
    }
    policy.defaults = Defaults {
        observe: rng.chance(30).then(|| rng.chance(40)),
        severity: rng.chance(50).then(|| rng.below(5)),
        unknown_app: rng.chance(60).then(|| rng.pick(&Action::ALL)),
        unknown_managed_identity: rng.chance(60).then(|| rng.pick(&Action::ALL)),
        microsoft_owned: rng.chance(60).then(|| rng.pick(&Action::ALL)),
        failed: rng.chance(60).then(|| rng.pick(&Action::ALL)),
        unknown_ip: rng.chance(50).then(|| rng.chance(50)),
        unknown_place: rng.chance(50).then(|| rng.chance(50)),
        unknown_credential: rng.chance(50).then(|| rng.chance(50)),
        merge: rng.chance(60).then(|| {
            rng.pick(&[
                ("0s", 0),
                ("90s", 90),
                ("15m", 900),
                ("1h", 3_600),
                ("7h", 25_200),
                ("1d", 86_400),
                ("7d", 604_800),
            ])
        }),
    };
    for index in 0..rng.below(3) {
        let rules = ip_rules(rng, &[], 1);
        policy.ranges.push((format!("range{index}"), rules));
        let rules = place_rules(rng, &[], 1);
        policy.places.push((format!("place{index}"), rules));
    }
    let sets: Vec<String> = policy.ranges.iter().map(|(name, _)| name.clone()).collect();
    let place_sets: Vec<String> = policy.places.iter().map(|(name, _)| name.clone()).collect();
    let mut taken = Vec::new();
    for index in 0..rng.below(7) {
        let mut entry = entry(rng, index, &sets, &place_sets, instants);
        // Entries of the same rank, between which the place in the file decides.
        if let Some(before) = policy.entries.last()
            && before
                .name_contains
                .as_ref()
                .is_some_and(|part| part.len() == 3)
            && rng.chance(60)
        {
            entry.service_principal_id = before.service_principal_id.clone();
            entry.app_id = before.app_id.clone();
            entry.match_name = before.match_name.clone();
            entry.name_contains = Some(rng.pick(&["mtp", "pap", "api"]).to_owned());
        }
        let selectors = (
            entry
                .service_principal_id
                .as_ref()
                .map(|v| v.to_lowercase()),
            entry.app_id.as_ref().map(|v| v.to_lowercase()),
            entry.match_name.as_ref().map(|v| v.to_lowercase()),
            entry.name_contains.as_ref().map(|v| v.to_lowercase()),
        );
        if !taken.contains(&selectors) {
            taken.push(selectors);
            policy.entries.push(entry);
        }
    }
    policy
}

fn entry(
    rng: &mut Rng,
    index: usize,
    sets: &[String],
    place_sets: &[String],
    instants: &[i64],
) -> Entry {
    let who = if rng.chance(40) { 0 } else { rng.below(6) };
    let mut entry = Entry {
        name: format!("Entry {index}"),
        ..Entry::default()
    };
    while entry.service_principal_id.is_none()
        && entry.app_id.is_none()
        && entry.match_name.is_none()
        && entry.name_contains.is_none()
    {
        entry.service_principal_id = rng.chance(25).then(|| recased(rng, &guid(2, who)));
        entry.app_id = rng.chance(45).then(|| recased(rng, &guid(1, who)));
        entry.match_name = rng.chance(20).then(|| recased(rng, NAMES[who]));
        if entry.match_name.is_none() || rng.chance(30) {
            entry.name_contains = rng.chance(35).then(|| {
                let part = rng.pick(&PARTS);
                recased(rng, part)
            });
        }
    }
    entry.severity = rng.chance(50).then(|| rng.below(5));
    entry.ips = rng.chance(55).then(|| ip_rules(rng, sets, 0));
    entry.places = rng.chance(45).then(|| place_rules(rng, place_sets, 0));
    entry.resources = rng.chance(25).then(|| {
        (0..rng.below(3))
            .map(|_| {
                let (name, id) = rng.pick(&RESOURCES);
                let text = if rng.chance(50) { name } else { id };
                recased(rng, text)
            })
            .collect()
    });
    entry.credential_types = rng.chance(25).then(|| {
        TYPE_WORDS
            .iter()
            .map(|(word, _)| *word)
            .filter(|_| rng.chance(40))
            .collect()
    });
    entry.deny_ips = rng.chance(25).then(|| ip_rules(rng, sets, 1));
    entry.deny_places = rng.chance(25).then(|| place_rules(rng, place_sets, 1));
    if rng.chance(40) {
        for key in 0..5 {
            if rng.chance(40) {
                let group = if rng.chance(20) { 4 } else { 3 };
                entry.credentials.push(Credential {
                    key_id: recased(rng, &guid(group, key)),
                    ips: rng.chance(40).then(|| ip_rules(rng, sets, 0)),
                    expires: rng
                        .chance(50)
                        .then(|| utc(rng.pick(instants)).format("%Y-%m-%d").to_string()),
                });
            }
        }
    }
    for _ in 0..rng.below(3) {
        if rng.chance(70) {
            let which = 1 + rng.below(3);
            // A wide exception is decided by its end alone.
            let wide = rng.chance(40);
            let everywhere = || {
                ["0.0.0.0/0", "::/0"]
                    .map(|all| IpRule::Net(all.to_owned(), all.parse().unwrap()))
                    .to_vec()
            };
            entry.exceptions.push(Exception {
                ips: (which & 1 != 0).then(|| {
                    if wide {
                        everywhere()
                    } else {
                        ip_rules(rng, sets, 1)
                    }
                }),
                places: (which & 2 != 0).then(|| place_rules(rng, place_sets, 1)),
                until: until(rng, instants),
            });
        }
    }
    entry
}

fn until(rng: &mut Rng, instants: &[i64]) -> Stamp {
    let second = rng.pick(instants) + rng.pick(&[0, 0, 0, 1, -40 * 86_400, 400 * 86_400]);
    let text = match rng.below(3) {
        0 => (utc(second) + TimeDelta::hours(2)).format("%Y-%m-%dT%H:%M:%S+02:00"),
        1 => (utc(second) - TimeDelta::minutes(330)).format("%Y-%m-%d %H:%M:%S-05:30"),
        _ => utc(second).format("%Y-%m-%dT%H:%M:%SZ"),
    };
    Stamp {
        ticks: second * TICKS,
        text: text.to_string(),
    }
}

/// An address out of a few small neighbourhoods.
fn address(rng: &mut Rng) -> IpAddr {
    let low = rng.below(20) as u8;
    if rng.chance(2) {
        return rng.pick(&[
            Ipv4Addr::BROADCAST.into(),
            Ipv4Addr::new(0, 0, 0, 1).into(),
            Ipv6Addr::LOCALHOST.into(),
            Ipv6Addr::from_bits(u128::MAX).into(),
        ]);
    }
    match rng.below(6) {
        0 => Ipv4Addr::new(77, 56, 0, low).into(),
        1 => Ipv4Addr::new(77, 56, 1, low).into(),
        2 => Ipv4Addr::new(203, 0, 113, 240 + low % 16).into(),
        3 => Ipv4Addr::new(10, 0, 0, low).into(),
        4 => Ipv6Addr::new(0x2001, 0xdb8, 0x77, 0, 0, 0, 0, low.into()).into(),
        _ => Ipv6Addr::new(0x2001, 0xdb8, 0x77, u16::from(low), 0xa, 0, 0, 1).into(),
    }
}

fn mapped(ip: Ipv4Addr) -> Ipv6Addr {
    ip.to_ipv6_mapped()
}

fn ip_rules(rng: &mut Rng, sets: &[String], least: usize) -> Vec<IpRule> {
    let count = least
        + if rng.chance(15) {
            rng.below(40)
        } else {
            rng.below(4)
        };
    (0..count).map(|_| ip_rule(rng, sets)).collect()
}

fn ip_rule(rng: &mut Rng, sets: &[String]) -> IpRule {
    if !sets.is_empty() && rng.chance(25) {
        return IpRule::Set(rng.pick(sets));
    }
    let ip = address(rng);
    let width: u8 = if ip.is_ipv4() { 32 } else { 128 };
    match rng.below(10) {
        0..3 => IpRule::Net(ip.to_string(), IpNetwork::new(ip, width).unwrap()),
        3 => match ip {
            IpAddr::V4(v4) => {
                IpRule::Net(mapped(v4).to_string(), IpNetwork::new(ip, width).unwrap())
            }
            IpAddr::V6(v6) => IpRule::Net(
                format!("{v6}").to_uppercase(),
                IpNetwork::new(ip, width).unwrap(),
            ),
        },
        4 => {
            let (mut from, mut to) = (ip, address(rng));
            while to.is_ipv4() != from.is_ipv4() {
                to = address(rng);
            }
            if to < from {
                std::mem::swap(&mut from, &mut to);
            }
            IpRule::Range(format!("{from}-{to}"), from, to)
        }
        5 => {
            let edge = rng.pick(&[
                "0.0.0.0/0",
                "::/0",
                "255.255.255.255",
                "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/127",
                "128.0.0.0/1",
                "0.0.0.0/1",
            ]);
            if rng.chance(30) {
                IpRule::Net(edge.to_owned(), edge.parse().unwrap())
            } else {
                IpRule::Net(format!("{ip}/{width}"), IpNetwork::new(ip, width).unwrap())
            }
        }
        6 if ip.is_ipv4() => {
            let prefix = 24 + rng.below(9) as u8;
            let net = IpNetwork::new(ip, prefix).unwrap();
            let shown = if rng.chance(50) { net.network() } else { ip };
            IpRule::Net(format!("::ffff:{shown}/{}", prefix + 96), net)
        }
        _ => {
            let prefix = width - rng.pick(&[1, 2, 3, 4, 8, 9, 16]);
            let net = IpNetwork::new(ip, prefix).unwrap();
            // Host bits set are legal and only warned of.
            let shown = if rng.chance(80) { net.network() } else { ip };
            IpRule::Net(format!("{shown}/{prefix}"), net)
        }
    }
}

fn place_rules(rng: &mut Rng, sets: &[String], least: usize) -> Vec<PlaceRule> {
    let count = least + rng.below(4);
    (0..count)
        .map(|_| {
            if !sets.is_empty() && rng.chance(25) {
                return PlaceRule::Set(rng.pick(sets));
            }
            let (country, states, cities) = rng.pick(&WHERE);
            let depth = rng.below(3);
            PlaceRule::Place {
                country,
                state: (depth > 0).then(|| spelled(rng, states)),
                city: (depth > 1).then(|| spelled(rng, cities)),
            }
        })
        .collect()
}

/// One of the spellings, composed or decomposed.
fn spelled(rng: &mut Rng, names: Names) -> String {
    let name = rng.pick(names);
    if rng.chance(20) {
        name.nfd().collect()
    } else {
        name.to_owned()
    }
}

// ---- records ----

fn log_file(rng: &mut Rng, shape: Shape, instants: &[i64], before: &[LogFile]) -> LogFile {
    let mut items: Vec<Item> = Vec::new();
    // Now and then enough for a file to be shared out among threads.
    let size = if rng.chance(1) { 1_500 } else { rng.below(28) };
    for _ in 0..size {
        if rng.chance(8) && shape != Shape::Csv {
            items.push(neighbour(rng, shape));
            continue;
        }
        let record = if rng.chance(12) {
            again(rng, &items, before)
        } else {
            None
        };
        let record = record.unwrap_or_else(|| record_of(rng, instants));
        items.push(Item::Record(Box::new(fitted(record, shape))));
    }
    LogFile {
        shape,
        style: rng.next(),
        items,
    }
}

/// A sign-in that was logged before, in this file or an earlier one, emitted once more.
fn again(rng: &mut Rng, items: &[Item], before: &[LogFile]) -> Option<Record> {
    let here = |record: &Record| {
        items
            .iter()
            .any(|item| matches!(item, Item::Record(other) if other.style == record.style))
    };
    let earlier: Vec<&Record> = items
        .iter()
        .chain(before.iter().flat_map(|file| &file.items))
        .filter_map(|item| match item {
            Item::Record(record) if is_sign_in(record.kind) => Some(&**record),
            _ => None,
        })
        .collect();
    if earlier.is_empty() {
        return None;
    }
    let mut copy = rng.pick(&earlier).clone();
    let here = here(&copy);
    match &mut copy.id {
        // A record without an id is known again by its properties, so only in its own shape.
        None if !here => return None,
        None => {}
        // Whether other ids than GUIDs are told apart by case is left open.
        Some(id) if id.contains(' ') => {}
        Some(id) => *id = recased(rng, id),
    }
    if let Some(emitted) = &mut copy.emitted {
        *emitted = stamp(rng, emitted.ticks / TICKS + 61);
    }
    Some(copy)
}

fn is_sign_in(kind: Kind) -> bool {
    !matches!(kind, Kind::Audit | Kind::Other(_))
}

/// Drops what a shape cannot carry.
fn fitted(mut record: Record, shape: Shape) -> Record {
    if shape == Shape::Graph {
        record.emitted = None;
        record.tenant = None;
        record.caller = Address::default();
        record.top_location = None;
        record.result_type = None;
        if record.kind != Kind::ManagedIdentity {
            record.kind = Kind::ServicePrincipal;
        }
    }
    if shape.is_log_analytics() {
        record.caller = Address::default();
        record.app_display_name = None;
        record.error_code = None;
    }
    record
}

fn neighbour(rng: &mut Rng, shape: Shape) -> Item {
    if matches!(shape, Shape::Envelopes | Shape::GzipLines) && rng.chance(50) {
        return Item::Broken(rng.pick(&[
            "{\"category\": \"ServicePrincipalSignInLogs\", \"properties\": {\"appId\": \"x",
            "{'category': 'ServicePrincipalSignInLogs'}",
            "[ blob data ]",
            "oops",
            "}",
        ]));
    }
    Item::Junk(rng.pick(&[
        json!(null),
        json!(7),
        json!("text"),
        json!(true),
        json!({"category": "ServicePrincipalSignInLogs", "time": "2026-03-01T00:00:00Z", "properties": 5}),
        json!({"category": "ServicePrincipalSignInLogs", "time": "2026-03-01T00:00:00Z"}),
    ]))
}

fn utc(second: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(second, 0).unwrap()
}

/// An instant in the given second, in any documented spelling.
fn stamp(rng: &mut Rng, second: i64) -> Stamp {
    let ticks = match rng.below(3) {
        0 => 0,
        1 => rng.below(1_000) as i64 * 10_000,
        _ => rng.below(TICKS as usize) as i64,
    };
    let beyond = rng.below(100) as i64;
    let nanos = ticks * 100;
    let full = second * TICKS + ticks;
    let at = utc(second);
    let east = at + TimeDelta::minutes(330);
    let milli = ticks / 10_000;
    let (ticks, text) = match rng.below(13) {
        0 => (
            full,
            at.format("%Y-%m-%dT%H:%M:%S").to_string() + &format!(".{ticks:07}Z"),
        ),
        1 => (
            full,
            east.format("%Y-%m-%dT%H:%M:%S").to_string() + &format!(".{ticks:07}+05:30"),
        ),
        2 => (
            full,
            at.format("%Y-%m-%d %H:%M:%S").to_string() + &format!(".{ticks:07}"),
        ),
        3 => (
            full,
            at.format("%Y-%m-%dT%H:%M:%S").to_string() + &format!(".{:09}Z", nanos + beyond),
        ),
        4 => (
            full,
            (at - TimeDelta::hours(5))
                .format("%Y-%m-%dT%H:%M:%S")
                .to_string()
                + &format!(".{nanos:09}-05:00"),
        ),
        5 => (
            second * TICKS,
            at.to_rfc3339_opts(SecondsFormat::Secs, true),
        ),
        6 => (second * TICKS, at.format("%Y-%m-%dT%H:%M:%S").to_string()),
        7 => (
            second * TICKS + ticks / 1_000_000 * 1_000_000,
            at.format("%Y-%m-%dT%H:%M:%S").to_string() + &format!(".{}Z", ticks / 1_000_000),
        ),
        8 => (
            second * TICKS,
            at.format("%-m/%-d/%Y %-I:%M:%S %p").to_string(),
        ),
        9 => (
            second * TICKS,
            (at + TimeDelta::hours(1))
                .format("%-m/%-d/%Y %-I:%M:%S %p +01:00")
                .to_string(),
        ),
        10 => (second * TICKS, at.format("%m/%d/%Y %H:%M:%S").to_string()),
        11 => (
            second * TICKS + milli * 10_000,
            at.format("%-m/%-d/%Y, %-I:%M:%S").to_string()
                + &format!(".{milli:03} ")
                + &at.format("%p").to_string(),
        ),
        _ => (
            second * TICKS + milli * 10_000,
            at.format("%Y-%m-%dT%H:%M:%S").to_string() + &format!(".{milli:03}+00:00"),
        ),
    };
    Stamp { ticks, text }
}

fn logged(rng: &mut Rng, ip: IpAddr) -> Address {
    let text = match ip {
        IpAddr::V4(v4) => match rng.below(12) {
            0 => format!("{v4}:{}", 1 + rng.below(65_535)),
            1 => mapped(v4).to_string(),
            2 => {
                let [a, b, c, d] = v4.octets();
                format!("::FFFF:{a:02x}{b:02x}:{c:02x}{d:02x}")
            }
            3 => format!("[{}]:443", mapped(v4)),
            4 => format!("0:0:0:0:0:ffff:{v4}"),
            _ => v4.to_string(),
        },
        IpAddr::V6(v6) => match rng.below(8) {
            0 => format!("[{v6}]:{}", 1 + rng.below(65_535)),
            1 => format!("{v6}%eth0"),
            2 => format!("{v6}%12"),
            3 => v6.to_string().to_uppercase(),
            4 => v6
                .segments()
                .map(|segment| format!("{segment:04x}"))
                .join(":"),
            5 => format!("[{v6}%3]:443"),
            _ => v6.to_string(),
        },
    };
    Address {
        text: Some(text),
        value: Some(ip),
    }
}

fn unusable(rng: &mut Rng) -> Address {
    let text = rng.pick(&[
        None,
        None,
        Some("<null>"),
        Some("null"),
        Some("0.0.0.0"),
        Some("::"),
        Some("256.1.2.3"),
        Some("10.0.0"),
        Some("::2a02:1:2:3:4:5:6:7:8"),
        Some("10.0.0.1, 10.0.0.2"),
        Some("aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"),
        Some("0.0.0.0:443"),
        Some("[::]:443"),
        Some("::ffff:0.0.0.0"),
        Some("localhost"),
    ]);
    Address {
        text: text.map(str::to_owned),
        value: None,
    }
}

fn record_of(rng: &mut Rng, instants: &[i64]) -> Record {
    let kind = match rng.below(20) {
        0..12 => Kind::ServicePrincipal,
        12..15 => Kind::ManagedIdentity,
        15..17 => Kind::MicrosoftServicePrincipal,
        17 => Kind::Audit,
        _ => Kind::Other(rng.pick(&OTHER)),
    };
    let identity = kind == Kind::ManagedIdentity;
    let who = if rng.chance(30) { 0 } else { rng.below(6) };
    let other = if rng.chance(15) { rng.below(6) } else { who };
    let second = if rng.chance(60) {
        rng.pick(instants) + rng.pick(&[0, 0, 0, -1, 1, 30])
    } else {
        START + rng.below(6 * 86_400) as i64
    };
    let later = second + rng.below(900) as i64;
    let code = match rng.below(20) {
        0..12 => 0,
        12..15 => 7_000_215,
        15 => 7_000_222,
        16..19 => 53_003,
        _ => 90_033,
    };
    let as_number = rng.chance(30);
    let (result_type, error_code) = match rng.below(10) {
        0 => (None, Some(code)),
        1 => (None, None),
        2 => (Some((code, as_number)), Some(1)),
        3..6 => (Some((code, as_number)), None),
        _ => (Some((code, as_number)), Some(code)),
    };
    let ip = if identity && rng.chance(90) || rng.chance(12) {
        unusable(rng)
    } else {
        let ip = address(rng);
        logged(rng, ip)
    };
    let caller = match rng.below(10) {
        0..5 => ip.clone(),
        5 | 6 => Address::default(),
        7 => unusable(rng),
        _ if identity => Address::default(),
        _ => {
            let ip = address(rng);
            logged(rng, ip)
        }
    };
    let (country, states, cities) = rng.pick(&WHERE);
    let lost = identity && rng.chance(90) || rng.chance(10);
    let country = recased(rng, country);
    let mut record = Record {
        kind,
        style: rng.next(),
        id: (!rng.chance(8)).then(|| {
            let text = format!(
                "{:08x}-aaaa-4bbb-8ccc-{:012x}",
                rng.next() as u32,
                rng.next() >> 16
            );
            if rng.chance(5) {
                format!("request {text}")
            } else {
                recased(rng, &text)
            }
        }),
        created: (!rng.chance(8)).then(|| stamp(rng, second)),
        emitted: (!rng.chance(8)).then(|| stamp(rng, later)),
        tenant: (!rng.chance(12)).then(|| match rng.below(20) {
            0 => "tenantId".to_owned(),
            1..4 => recased(rng, TENANTS[1]),
            4 => recased(rng, TENANTS[2]),
            _ => recased(rng, TENANTS[0]),
        }),
        app_id: (!rng.chance(12)).then(|| {
            if rng.chance(4) {
                "1234567890-Bad-Id".to_owned()
            } else {
                recased(rng, &guid(1, who))
            }
        }),
        service_principal_id: (!rng.chance(12)).then(|| {
            if rng.chance(4) {
                "No Guid".to_owned()
            } else {
                recased(rng, &guid(2, other))
            }
        }),
        service_principal_name: (!rng.chance(20)).then(|| recased(rng, NAMES[other])),
        app_display_name: rng.chance(25).then(|| rng.pick(&NAMES).to_owned()),
        owner_tenant: match rng.below(4) {
            0 => Some(recased(rng, MICROSOFT[who % 2])),
            1 => Some(TENANTS[0].to_owned()),
            _ => None,
        },
        result_type,
        error_code,
        ip,
        caller,
        country: (!lost && !rng.chance(8)).then(|| country.clone()),
        state: (!lost && !rng.chance(15)).then(|| spelled(rng, states)),
        city: (!lost && !rng.chance(15)).then(|| spelled(rng, cities)),
        top_location: match rng.below(6) {
            _ if lost && rng.chance(80) => None,
            0 => None,
            1 => Some("North Europe".to_owned()),
            2 => Some("FR".to_owned()),
            _ => Some(country),
        },
        resource: None,
        resource_id: None,
        key_id: None,
        federated_id: None,
        credential_word: None,
    };
    if rng.chance(2) {
        record.app_id = None;
        record.service_principal_id = None;
        record.service_principal_name = None;
        record.app_display_name = None;
    }
    let (name, id) = rng.pick(&RESOURCES);
    record.resource = (!rng.chance(20)).then(|| recased(rng, name));
    record.resource_id = (!rng.chance(30)).then(|| recased(rng, id));
    let failed = code != 0;
    let told = !(failed && rng.chance(60));
    if told && !identity {
        let key = rng.below(5);
        match rng.below(10) {
            0 => {}
            1 => record.key_id = Some("none".to_owned()),
            2 => record.key_id = Some("key one".to_owned()),
            3 | 4 => record.federated_id = Some(recased(rng, &guid(4, key))),
            _ => record.key_id = Some(recased(rng, &guid(3, key))),
        }
        record.credential_word = match rng.below(10) {
            0 => None,
            1 => Some("none"),
            2 => Some("somethingNew"),
            _ => Some(rng.pick(&TYPE_WORDS).1),
        };
    } else if identity {
        record.credential_word = rng.chance(30).then_some("managedIdentity");
        // Never seen in a real log; its address is still not checked.
        let key = rng.below(5);
        record.key_id = rng.chance(20).then(|| guid(3, key));
    }
    if !is_sign_in(kind) {
        // Only sign-ins are told apart here; their neighbours are merely counted.
        record.created = Some(stamp(rng, second));
        record.emitted = Some(stamp(rng, second));
        record.id.get_or_insert_with(|| "audit".to_owned());
        record.app_id.get_or_insert_with(|| guid(1, who));
    }
    record
}
