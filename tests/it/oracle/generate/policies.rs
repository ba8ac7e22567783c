//! Random policies, all of them valid.

use std::net::IpAddr;

use chrono::TimeDelta;
use ipnetwork::IpNetwork;

use super::super::model::{
    Action, Credential, Defaults, Entry, Exception, IpRule, PlaceRule, Policy, Rng, Stamp,
};
use super::{
    NAMES, RESOURCES, TENANTS, TICKS, TYPE_WORDS, WHERE, address, guid, mapped, recased, spelled,
    utc,
};

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

pub(super) fn policy(rng: &mut Rng, instants: &[i64]) -> Policy {
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
