//! What is judged: seeded records, the policies for them, and what is due for each batch.
//!
//! The generator knows the truth because it makes it: an address is drawn from an allowed range of
//! its app or from outside all of them, a country from the app's two or from the others.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Records of one invocation.
pub(crate) const BATCH: usize = 100;
/// Entries of the policy.
pub(crate) const APPS: usize = 1_000;
/// Ranges of the large policy.
pub(crate) const MANY_RANGES: usize = 100_000;

/// A policy whose entries stand in the file [`INCLUDED`].
pub(crate) const POLICY_OF_INCLUDE: &str = concat!(
    "version = 1\ninclude = [\"entries.toml\"]\n\n",
    "[defaults]\nmax_event_age = \"3650d\"\nmax_alerts_per_hour = 0\n",
);
/// A file beside the policy.
pub(crate) const INCLUDED: &str = "entries.toml";
/// The records are of one fixed day: they must not grow too old to be sent.
/// Nor are there too many of them.
const POLICY_HEAD: &str =
    "version = 1\n\n[defaults]\nmax_event_age = \"3650d\"\nmax_alerts_per_hour = 0\n";

const SEED: u64 = 20_261_123;
const TENANT: &str = "d2eac902-2c5d-4ce1-a3c9-0b6600e03d2c";
const PLACES: [(&str, &str, &str, f64, f64); 8] = [
    ("CH", "Zurich", "Zürich", 47.37, 8.54),
    ("DE", "Hessen", "Frankfurt am Main", 50.11, 8.68),
    ("NL", "Noord-Holland", "Amsterdam", 52.37, 4.9),
    ("IE", "Dublin", "Dublin", 53.34, -6.26),
    ("SE", "Gavleborgs Lan", "Gävle", 60.67, 17.14),
    ("US", "Virginia", "Boydton", 36.66, -78.38),
    ("FR", "Paris", "Paris", 48.85, 2.35),
    ("GB", "England", "London", 51.51, -0.13),
];
const RESOURCES: [(&str, &str); 3] = [
    ("Microsoft Graph", "00000003-0000-0000-c000-000000000000"),
    (
        "Azure Resource Manager",
        "797f4846-ba00-4fd7-ba43-dac1f8f63013",
    ),
    ("Azure Key Vault", "cfa8b339-82a2-471a-a3c9-0fc0be7a4093"),
];

/// What makes sign-ins share an alert: app, address, country, reason codes, hour.
pub(crate) type AlertKey = (String, String, String, Vec<String>, String);

/// One record and what becomes of it.
#[derive(Debug)]
pub(crate) struct Record {
    json: String,
    outcome: Outcome,
}

#[derive(Debug)]
enum Outcome {
    Allowed,
    /// A failed sign-in outside the policy: recorded, not sent.
    Recorded,
    Due(AlertKey),
}

/// What a right answer to a batch says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Expected {
    pub(crate) sign_ins: usize,
    pub(crate) violations: usize,
    pub(crate) recorded: usize,
    /// Sign-ins of each alert.
    pub(crate) alerts: BTreeMap<AlertKey, u64>,
}

/// A policy and the records that it judges.
#[derive(Debug)]
pub(crate) struct Data {
    /// 1,000 entries with 4 ranges and 2 countries each.
    pub(crate) policy: String,
    /// The same with 100 ranges each; the verdicts are the same.
    pub(crate) policy_of_many_ranges: String,
    pub(crate) records: Vec<Record>,
}

impl Data {
    /// Generates `count` records, always the same ones.
    pub(crate) fn generate(count: usize) -> Self {
        let mut random = Random(SEED);
        let apps: Vec<App> = (0..APPS)
            .map(|index| App::new(index, &mut random))
            .collect();
        let mut repeatable = None;
        let records = (0..count)
            .map(|index| {
                if index % BATCH == 0 {
                    repeatable = None;
                }
                Record::new(index, &apps, &mut repeatable, &mut random)
            })
            .collect();
        let extra = MANY_RANGES / APPS - apps.first().map_or(0, App::ranges);
        Self {
            policy: policy(&apps, 0, &mut random),
            policy_of_many_ranges: policy(&apps, extra, &mut random),
            records,
        }
    }

    /// The batches, in order.
    pub(crate) fn batches(&self) -> impl Iterator<Item = &[Record]> {
        self.records.chunks(BATCH)
    }

    /// One file of a whole batch a line, for `check`.
    pub(crate) fn ndjson(&self) -> String {
        let mut text = String::new();
        for batch in self.batches() {
            text.push_str(&event(batch));
            text.push('\n');
        }
        text
    }

    /// The policy's entries without its head, for a file that is included.
    pub(crate) fn entries(&self) -> &str {
        self.policy
            .strip_prefix(POLICY_HEAD)
            .unwrap_or(&self.policy)
    }

    /// Findings that `check` lists.
    pub(crate) fn findings(&self) -> usize {
        let listed = |record: &&Record| !matches!(record.outcome, Outcome::Allowed);
        self.records.iter().filter(listed).count()
    }
}

/// The text of an Event Hub event.
pub(crate) fn event(records: &[Record]) -> String {
    let mut text = String::from("{\"records\":[");
    for (place, record) in records.iter().enumerate() {
        if place > 0 {
            text.push(',');
        }
        text.push_str(&record.json);
    }
    text.push_str("]}");
    text
}

/// What is due for these records as one batch.
pub(crate) fn expected(records: &[Record]) -> Expected {
    let mut expected = Expected {
        sign_ins: records.len(),
        ..Expected::default()
    };
    for record in records {
        match &record.outcome {
            Outcome::Allowed => continue,
            Outcome::Recorded => expected.recorded += 1,
            Outcome::Due(key) => *expected.alerts.entry(key.clone()).or_default() += 1,
        }
        expected.violations += 1;
    }
    expected
}

#[derive(Debug)]
struct App {
    name: String,
    app_id: String,
    service_principal_id: String,
    key_id: String,
    v4: Vec<(Ipv4Addr, u32)>,
    v6: Vec<(Ipv6Addr, u32)>,
    countries: [usize; 2],
}

impl App {
    fn new(index: usize, random: &mut Random) -> Self {
        let mut app = Self {
            name: format!("app-workload-{index:04}"),
            app_id: random.guid(),
            service_principal_id: random.guid(),
            key_id: random.guid(),
            v4: Vec::new(),
            v6: Vec::new(),
            countries: [0; 2],
        };
        while app.v4.len() < 3 {
            let bits = [20, 22, 24, 26][random.below(4)];
            let network = mask4(random.v4(10 << 24, 8), bits);
            // Ranges of one app lie apart, as the policy warns of an overlap.
            if app.v4.iter().all(|(other, other_bits)| {
                let shorter = bits.min(*other_bits);
                mask4(*other, shorter) != mask4(network, shorter)
            }) {
                app.v4.push((network, bits));
            }
        }
        let bits = [48, 56, 64][random.below(3)];
        app.v6.push((mask6(random.v6(), bits), bits));
        app.countries[0] = random.below(PLACES.len());
        app.countries[1] = (app.countries[0] + 1 + random.below(PLACES.len() - 1)) % PLACES.len();
        app
    }

    fn ranges(&self) -> usize {
        self.v4.len() + self.v6.len()
    }

    fn allows(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(address) => self
                .v4
                .iter()
                .any(|(network, bits)| mask4(address, *bits) == *network),
            IpAddr::V6(address) => self
                .v6
                .iter()
                .any(|(network, bits)| mask6(address, *bits) == *network),
        }
    }

    fn allowed_address(&self, random: &mut Random) -> IpAddr {
        let place = random.below(self.ranges());
        match self.v4.get(place) {
            Some((network, bits)) => IpAddr::V4(random.v4((*network).into(), *bits)),
            None => {
                let (network, bits) = self.v6[place - self.v4.len()];
                let host = random.next() as u128 | (random.next() as u128) << 64;
                let address = u128::from(network) | host & (u128::MAX >> bits);
                IpAddr::V6(address.into())
            }
        }
    }

    fn foreign_address(&self, random: &mut Random) -> IpAddr {
        loop {
            let address = match random.below(4) {
                0 => IpAddr::V6(random.v6()),
                _ => IpAddr::V4(random.v4(10 << 24, 8)),
            };
            if !self.allows(address) {
                return address;
            }
        }
    }

    fn foreign_country(&self, random: &mut Random) -> usize {
        loop {
            let country = random.below(PLACES.len());
            if !self.countries.contains(&country) {
                return country;
            }
        }
    }
}

/// Who signs in from where.
#[derive(Debug, Clone, Copy)]
struct Source {
    app: usize,
    address: IpAddr,
    country: usize,
}

impl Record {
    fn new(
        index: usize,
        apps: &[App],
        repeatable: &mut Option<Source>,
        random: &mut Random,
    ) -> Self {
        let foreign = random.below(100) == 0;
        let failed = random.below(50) == 0;
        let source = match *repeatable {
            // Somebody who has the secret uses it more than once: such sign-ins share an alert.
            Some(source) if foreign && random.below(4) == 0 => source,
            _ => {
                let app = random.below(apps.len());
                let kind = if foreign { random.below(3) } else { 3 };
                Source {
                    app,
                    address: match kind {
                        0 | 2 => apps[app].foreign_address(random),
                        _ => apps[app].allowed_address(random),
                    },
                    country: match kind {
                        1 | 2 => apps[app].foreign_country(random),
                        _ => apps[app].countries[random.below(2)],
                    },
                }
            }
        };
        let app = &apps[source.app];
        // One day, so that a body lies in one hour, seldom in two.
        let tenths = index % 850_000;
        let created = clock(tenths, random.below(1_000_000));
        let mut codes = Vec::new();
        if !app.allows(source.address) {
            codes.push("ip-not-allowed".to_owned());
        }
        if !app.countries.contains(&source.country) {
            codes.push("place-not-allowed".to_owned());
        }
        let outcome = match (codes.is_empty(), failed) {
            (true, _) => Outcome::Allowed,
            (false, true) => Outcome::Recorded,
            (false, false) => {
                *repeatable = Some(source);
                let hour = created.chars().take("2026-11-23T00".len()).collect();
                let country = PLACES[source.country].0.to_owned();
                let address = source.address.to_string();
                Outcome::Due((app.app_id.clone(), address, country, codes, hour))
            }
        };
        let logged = clock(tenths + 1_300, random.below(1_000_000));
        let json = record(app, source, failed, [&created, &logged], random);
        Self { json, outcome }
    }
}

/// A record as Entra's diagnostic setting writes it.
fn record(
    app: &App,
    source: Source,
    failed: bool,
    [created, logged]: [&str; 2],
    random: &mut Random,
) -> String {
    let App {
        name,
        app_id,
        service_principal_id,
        key_id,
        ..
    } = app;
    let address = source.address;
    let (country, state, city, latitude, longitude) = PLACES[source.country];
    let (resource, resource_id) = RESOURCES[random.below(RESOURCES.len())];
    let (code, status) = match failed {
        true => (
            "7000215",
            r#"{"errorCode":7000215,"failureReason":"Invalid client secret provided."}"#,
        ),
        false => ("0", r#"{"errorCode":0}"#),
    };
    let details = match random.below(3) {
        0 => {
            r#"[{"key":"Azure AD App Authentication Library","value":"Family: MSAL Library: MSAL.NetCore 4.61.3 Platform: .NET 8.0"}]"#
        }
        _ => "[]",
    };
    let id = random.guid();
    let correlation_id = random.guid();
    let token = random.next();
    let resource_principal = random.guid();
    let milliseconds = random.below(400);
    format!(
        concat!(
            r#"{{"time":"{logged}","resourceId":"/tenants/{TENANT}/providers/Microsoft.aadiam","#,
            r#""operationName":"Sign-in activity","operationVersion":"1.0","category":"ServicePrincipalSignInLogs","#,
            r#""tenantId":"{TENANT}","resultType":"{code}","resultSignature":"None","durationMs":0,"#,
            r#""callerIpAddress":"{address}","correlationId":"{correlation_id}","Level":4,"location":"{country}","#,
            r#""properties":{{"id":"{id}","createdDateTime":"{created}","userDisplayName":"","userPrincipalName":"","#,
            r#""userId":"","appId":"{app_id}","appDisplayName":"{name}","ipAddress":"{address}","status":{status},"#,
            r#""location":{{"city":"{city}","state":"{state}","countryOrRegion":"{country}","#,
            r#""geoCoordinates":{{"latitude":{latitude},"longitude":{longitude}}}}},"#,
            r#""correlationId":"{correlation_id}","conditionalAccessStatus":"notApplied","#,
            r#""appliedConditionalAccessPolicies":[],"authenticationProcessingDetails":{details},"#,
            r#""networkLocationDetails":"[]","processingTimeInMilliseconds":{milliseconds},"riskDetail":"none","#,
            r#""riskLevelAggregated":"low","riskLevelDuringSignIn":"low","riskState":"none","riskEventTypes":[],"#,
            r#""riskEventTypes_v2":[],"resourceDisplayName":"{resource}","resourceId":"{resource_id}","#,
            r#""resourceTenantId":"{TENANT}","homeTenantId":"{TENANT}","servicePrincipalId":"{service_principal_id}","#,
            r#""servicePrincipalName":"{name}","servicePrincipalCredentialKeyId":"{key_id}","#,
            r#""uniqueTokenIdentifier":"{token:022x}","resourceServicePrincipalId":"{resource_principal}","#,
            r#""tokenIssuerType":"AzureAD","crossTenantAccessType":"none"}}}}"#,
        ),
        logged = logged,
        TENANT = TENANT,
        code = code,
        address = address,
        correlation_id = correlation_id,
        country = country,
        id = id,
        created = created,
        app_id = app_id,
        name = name,
        status = status,
        city = city,
        state = state,
        latitude = latitude,
        longitude = longitude,
        details = details,
        milliseconds = milliseconds,
        resource = resource,
        resource_id = resource_id,
        service_principal_id = service_principal_id,
        key_id = key_id,
        token = token,
        resource_principal = resource_principal,
    )
}

/// A time of the one day that there is, with Entra's seven fraction digits.
fn clock(tenths: usize, fraction: usize) -> String {
    let seconds = tenths / 10;
    format!(
        "2026-11-23T{:02}:{:02}:{:02}.{}{fraction:06}Z",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60,
        tenths % 10,
    )
}

/// The policy, with further ranges for each entry that no record comes from.
fn policy(apps: &[App], extra: usize, random: &mut Random) -> String {
    let mut text = String::from(POLICY_HEAD);
    for (index, app) in apps.iter().enumerate() {
        let v4 = app
            .v4
            .iter()
            .map(|(network, bits)| format!("\"{network}/{bits}\""));
        let v6 = app
            .v6
            .iter()
            .map(|(network, bits)| format!("\"{network}/{bits}\""));
        let mut ranges: Vec<String> = v4.chain(v6).collect();
        // Every other /28 at most: they neither overlap nor touch.
        let start = random.below(1 << 15) as u32;
        ranges.extend((0..extra as u32).map(|range| {
            let network = (172 << 24 | 16 << 20) + ((start + range * 331) % (1 << 15)) * 32;
            format!("\"{}/28\"", Ipv4Addr::from(network))
        }));
        let [first, second] = app.countries.map(|country| PLACES[country].0);
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            "\n[[app]]\nname = \"{}\"\napp_id = \"{}\"\nowner = \"team-{}@contoso.example\"\n\
             purpose = \"Workload {index}\"\nallow.ips = [{}]\nallow.places = [\"{first}\", \"{second}\"]\n",
            app.name,
            app.app_id,
            index % 40,
            ranges.join(", "),
        );
    }
    text
}

fn mask4(address: Ipv4Addr, bits: u32) -> Ipv4Addr {
    (u32::from(address) & !(u32::MAX >> bits)).into()
}

fn mask6(address: Ipv6Addr, bits: u32) -> Ipv6Addr {
    (u128::from(address) & !(u128::MAX >> bits)).into()
}

/// SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators).
#[derive(Debug)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ mixed >> 31
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    /// A GUID of version 4.
    pub(crate) fn guid(&mut self) -> String {
        let (high, low) = (self.next(), self.next());
        format!(
            "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
            high >> 32,
            high >> 16 & 0xFFFF,
            high & 0xFFF,
            0x8000 | low >> 48 & 0x3FFF,
            low & 0xFFFF_FFFF_FFFF,
        )
    }

    fn v4(&mut self, network: u32, bits: u32) -> Ipv4Addr {
        (network | self.next() as u32 & (u32::MAX >> bits)).into()
    }

    /// An address of the documentation's 2001:db8::/32.
    fn v6(&mut self) -> Ipv6Addr {
        let host = u128::from(self.next()) << 64 | u128::from(self.next());
        (0x2001_0DB8 << 96 | host & (u128::MAX >> 32)).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_as_large_and_as_often_foreign_as_said() {
        let data = Data::generate(10_000);
        let bytes: usize = data.records.iter().map(|record| record.json.len()).sum();
        let size = bytes / data.records.len();
        assert!((1_800..2_000).contains(&size), "{size} bytes a record");
        let findings = data.findings();
        assert!((70..140).contains(&findings), "{findings} findings");
        for record in &data.records {
            assert!(serde_json::from_str::<serde_json::Value>(&record.json).is_ok());
        }
    }

    #[test]
    fn the_same_every_time() {
        let [one, other] = [Data::generate(200), Data::generate(200)];
        assert_eq!(one.ndjson(), other.ndjson());
        assert_eq!(one.policy, other.policy);
    }
}
