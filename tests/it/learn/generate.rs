//! Sixty days of a tenant with two hundred applications: offices, data centres, clouds, mobile workers, seldom jobs, and
//! one application whose secret is stolen in the last week.

use serde_json::json;

use crate::host::Random;

/// A history and its truth.
pub(super) struct Generated {
    /// The records of each day, a line each.
    pub(super) days: Vec<Vec<String>>,
    pub(super) apps: usize,
    /// The app id of the one whose secret was stolen.
    pub(super) compromised: String,
    /// Ids of the thief's sign-ins.
    pub(super) compromise: Vec<String>,
}

const DAYS: usize = 60;
const APPS: usize = 200;
const THIEF: [&str; 3] = ["198.51.100.77", "198.51.100.140", "2001:db8:bad::9"];

/// Where an application signs in from.
enum Home {
    /// A few addresses of one network, used every day.
    Office(Vec<String>),
    /// Two addresses in two countries.
    DataCentres(Vec<String>),
    /// Any address of a small network of a cloud.
    CloudRange([u8; 2]),
    /// Any address of a whole region of a cloud.
    CloudRegion(u8),
    /// Another address each time, in the cities of one country.
    Mobile,
    /// Once a week, from one address.
    Seldom(String),
}

fn home(number: usize, random: &mut Random) -> Home {
    let mut host = |from: u64, below: u64| from + random.below(below - from);
    match number {
        0..80 => {
            let office = number % 10;
            let count = host(1, 6);
            let addresses = (0..count).map(|_| match number % 7 {
                0 => format!("2001:db8:{office:x}::{:x}", host(1, 40)),
                _ => format!("203.0.113.{}", office as u64 * 16 + host(1, 15)),
            });
            Home::Office(addresses.collect())
        }
        80..110 => Home::DataCentres(vec![
            format!("192.0.2.{}", host(1, 120)),
            format!("192.0.2.{}", host(130, 250)),
        ]),
        110..150 => Home::CloudRange([100, host(64, 96) as u8]),
        150..170 => Home::CloudRegion(host(0, 4) as u8),
        170..190 => Home::Mobile,
        _ => Home::Seldom(format!("198.18.0.{}", number)),
    }
}

/// An address and a place of today.
fn whereabouts(home: &Home, random: &mut Random) -> (String, &'static str, &'static str, String) {
    let pick = |random: &mut Random, addresses: &[String]| {
        addresses[random.index(addresses.len())].clone()
    };
    match home {
        Home::Office(addresses) => (pick(random, addresses), "CH", "Zurich", "Zurich".into()),
        Home::DataCentres(addresses) => match random.index(2) {
            0 => (
                addresses[0].clone(),
                "DE",
                "Hessen",
                "Frankfurt am Main".into(),
            ),
            _ => (addresses[1].clone(), "IE", "Dublin", "Dublin".into()),
        },
        Home::CloudRange([a, b]) => (
            format!("{a}.{b}.{}.{}", 10 + random.below(2), random.below(256)),
            "NL",
            "Noord-Holland",
            "Amsterdam".into(),
        ),
        Home::CloudRegion(region) => (
            format!(
                "20.{}.{}.{}",
                40 + region,
                random.below(256),
                random.below(256)
            ),
            "US",
            "Virginia",
            "Boydton".into(),
        ),
        Home::Mobile => (
            format!(
                "{}.{}.{}.{}",
                77 + random.below(3),
                random.below(256),
                random.below(256),
                random.below(256)
            ),
            "CH",
            ["Zurich", "Bern", "Vaud"][random.index(3)],
            format!("Town {}", random.below(40)),
        ),
        Home::Seldom(address) => (address.clone(), "AT", "Wien", "Vienna".into()),
    }
}

/// A diagnostic record, as one line.
pub(crate) fn record(
    id: &str,
    app: &str,
    name: &str,
    time: &str,
    (ip, country, state, city): (&str, &str, &str, &str),
    code: &str,
) -> String {
    let tenant = "99999999-1111-2222-3333-444444444444";
    json!({
        "time": time,
        "category": "ServicePrincipalSignInLogs",
        "tenantId": tenant,
        "resultType": code,
        "callerIpAddress": ip,
        "properties": {
            "id": id,
            "createdDateTime": time,
            "appId": app,
            "servicePrincipalId": app.replace("0000", "9999"),
            "servicePrincipalName": name,
            "ipAddress": ip,
            "status": { "errorCode": code.parse::<u32>().unwrap() },
            "location": { "city": city, "state": state, "countryOrRegion": country },
            "resourceDisplayName": "Microsoft Graph",
            "resourceId": "00000003-0000-0000-c000-000000000000",
            "clientCredentialType": "clientSecret",
            "servicePrincipalCredentialKeyId": app.replace("0000", "7777"),
        },
    })
    .to_string()
}

pub(super) fn history(seed: u64) -> Generated {
    let mut random = Random::new(seed);
    let compromised = random.index(80);
    let app_id = |number: usize| format!("00000000-0000-4000-8000-{number:012x}");
    let homes: Vec<(Home, u64)> = (0..APPS)
        .map(|number| {
            let home = home(number, &mut random);
            (home, 2 + random.below(10))
        })
        .collect();
    let mut generated = Generated {
        days: Vec::new(),
        apps: APPS,
        compromised: app_id(compromised),
        compromise: Vec::new(),
    };
    for day in 0..DAYS {
        let date =
            chrono::NaiveDate::from_ymd_opt(2026, 9, 1).unwrap() + chrono::Days::new(day as u64);
        let mut lines = Vec::new();
        let mut add =
            |random: &mut Random, number: usize, place: (&str, &str, &str, &str), code| {
                let second = random.below(86_400);
                let id = format!("{number}-{day}-{}-{second}", lines.len());
                let time = format!(
                    "{date}T{:02}:{:02}:{:02}.1234567Z",
                    second / 3600,
                    second / 60 % 60,
                    second % 60
                );
                let name = format!("app {number}");
                lines.push(record(&id, &app_id(number), &name, &time, place, code));
                id
            };
        for (number, (home, rate)) in homes.iter().enumerate() {
            let count = match home {
                Home::Seldom(_) if (day + number) % 7 != 0 => 0,
                Home::Seldom(_) => 4,
                _ => 1 + random.below(*rate * 2),
            };
            for _ in 0..count {
                let (ip, country, state, city) = whereabouts(home, &mut random);
                // An expired secret, now and then.
                let code = if random.below(50) == 0 {
                    "7000222"
                } else {
                    "0"
                };
                add(&mut random, number, (&ip, country, state, &city), code);
            }
            // Somebody guesses the secrets of some, in vain, from all over the world.
            if number % 40 == 3 {
                let ip = format!("{}.7.7.{}", 45 + random.below(20), random.below(256));
                add(&mut random, number, (&ip, "BR", "", ""), "7000215");
            }
            if number == compromised && day >= DAYS - 7 {
                for _ in 0..5 {
                    let ip = THIEF[random.index(THIEF.len())];
                    let id = add(
                        &mut random,
                        number,
                        (ip, "RO", "Bucuresti", "Bucharest"),
                        "0",
                    );
                    generated.compromise.push(id);
                }
            }
        }
        generated.days.push(lines);
    }
    generated
}
