//! Random logs: records in every documented spelling, repeats, and neighbours that are none.

use std::net::IpAddr;

use chrono::{SecondsFormat, TimeDelta};
use serde_json::json;

use super::super::model::{Address, Item, Kind, LogFile, Record, Rng, Shape, Stamp};
use super::{
    NAMES, RESOURCES, START, TENANTS, TICKS, TYPE_WORDS, WHERE, address, guid, mapped, recased,
    spelled, utc,
};

const MICROSOFT: [&str; 2] = [
    "72f988bf-86f1-41af-91ab-2d7cd011db47",
    "f8cdef31-a31e-4b4a-93e4-5f571e91255a",
];
const OTHER: [&str; 4] = [
    "NonInteractiveUserSignInLogs",
    "SignInLogs",
    "MicrosoftGraphActivityLogs",
    "RiskyUsers",
];

pub(super) fn log_file(
    rng: &mut Rng,
    shape: Shape,
    instants: &[i64],
    before: &[LogFile],
) -> LogFile {
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

/// An instant in the given second, in any documented spelling.
fn stamp(rng: &mut Rng, second: i64) -> Stamp {
    let ticks = match rng.below(4) {
        0 | 1 => 0,
        2 => rng.below(1_000) as i64 * 10_000,
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
        record.id.get_or_insert_with(|| guid(9, who));
        record.app_id.get_or_insert_with(|| guid(1, who));
    }
    record
}
