//! Random policies and logs from a seed.
//!
//! The pools are small on purpose, so that rules and records meet often.

mod policies;
mod records;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use chrono::{DateTime, Utc};
use unicode_normalization::UnicodeNormalization as _;

use super::model::{Case, LogFile, Rng, Shape};

const TENANTS: [&str; 3] = [
    "11111111-2222-3333-4444-555555555555",
    "22222222-2222-3333-4444-555555555555",
    "abcdefab-2222-3333-4444-555555555555",
];
const NAMES: [&str; 6] = [
    "MTPAPI",
    "mtpapi-prod",
    "Payroll Sync",
    "GitHub Deploy",
    "Zürich Ledger",
    "Back\"up\", \\ 🚀 / tab\there",
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
    let instants: Vec<i64> = (0..5)
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
    let policy = policies::policy(rng, &instants);
    let mut files: Vec<LogFile> = Vec::new();
    for _ in 0..=rng.below(3) {
        let shape = rng.pick(&Shape::ALL);
        let file = records::log_file(rng, shape, &instants, &files);
        files.push(file);
    }
    let tenant = rng.chance(20).then(|| rng.pick(&TENANTS).to_owned());
    Case {
        policy,
        tenant,
        files,
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

/// One of the spellings, composed or decomposed.
fn spelled(rng: &mut Rng, names: Names) -> String {
    let name = rng.pick(names);
    if rng.chance(20) {
        name.nfd().collect()
    } else {
        name.to_owned()
    }
}

fn utc(second: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(second, 0).unwrap()
}
