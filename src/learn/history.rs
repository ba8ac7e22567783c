//! What every application did, by distinct value.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::IpAddr;

use rustc_hash::FxHashMap;
use uuid::Uuid;

use crate::policy::is_microsoft_tenant;
use crate::sign_in::{CredentialType, Id, Kind, SignIn, Timestamp};

const DAY_SECONDS: i64 = 86_400;
/// As many distinct values of a kind are told apart for one application; what comes beyond them makes it unsteady.
pub(super) const MOST_VALUES: usize = 20_000;

/// When and how often something was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sight {
    /// First and last, in seconds since 1970.
    pub(super) first: i64,
    pub(super) last: i64,
    /// Sign-ins.
    pub(super) count: u64,
    /// Days on which it was seen, modulo 128.
    days: u128,
}

impl Sight {
    fn new(time: i64) -> Self {
        let mut sight = Self {
            first: time,
            last: time,
            count: 0,
            days: 0,
        };
        sight.add(time);
        sight
    }

    fn add(&mut self, time: i64) {
        self.first = self.first.min(time);
        self.last = self.last.max(time);
        self.count += 1;
        self.days |= 1 << day(time).rem_euclid(128);
    }

    /// On how many days it was seen; at most 128.
    pub(super) fn days(&self) -> u32 {
        self.days.count_ones()
    }

    pub(super) fn join(self, other: Self) -> Self {
        Self {
            first: self.first.min(other.first),
            last: self.last.max(other.last),
            count: self.count + other.count,
            days: self.days | other.days,
        }
    }
}

/// The day of a time, counted from 1970.
pub(super) fn day(seconds: i64) -> i64 {
    seconds.div_euclid(DAY_SECONDS)
}

/// Distinct values and when each was seen.
#[derive(Debug)]
pub(super) struct Values<K: std::hash::Hash + Eq>(FxHashMap<K, Sight>, bool);

impl<K: std::hash::Hash + Eq> Default for Values<K> {
    fn default() -> Self {
        Self(FxHashMap::default(), false)
    }
}

impl<K: std::hash::Hash + Eq> Values<K> {
    pub(super) fn see(&mut self, key: K, time: i64) {
        let full = self.0.len() >= MOST_VALUES;
        match self.0.entry(key) {
            std::collections::hash_map::Entry::Occupied(mut known) => known.get_mut().add(time),
            std::collections::hash_map::Entry::Vacant(_) if full => self.1 = true,
            std::collections::hash_map::Entry::Vacant(free) => {
                free.insert(Sight::new(time));
            }
        }
    }

    /// Whether there were more than are told apart.
    pub(super) fn overflowed(&self) -> bool {
        self.1
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&K, &Sight)> {
        self.0.iter()
    }

    pub(super) fn get(&self, key: &K) -> Option<&Sight> {
        self.0.get(key)
    }
}

/// What tells one application from another.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum AppKey {
    AppId(Uuid),
    ServicePrincipal(Uuid),
    /// Without an id that a policy can name.
    Name(String),
}

/// A place as logged, as far as it is known.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Where {
    pub(super) country: String,
    pub(super) state: String,
    pub(super) city: String,
}

/// An API that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Api {
    pub(super) id: Option<Uuid>,
    pub(super) name: String,
}

/// What an application did.
#[derive(Debug, Default)]
pub(super) struct App {
    /// Successful sign-ins; nothing else trains.
    pub(super) successes: Option<Sight>,
    pub(super) failures: u64,
    /// Display names, with the time of the latest sign-in under each.
    pub(super) names: BTreeMap<String, i64>,
    pub(super) service_principals: Values<Uuid>,
    pub(super) addresses: Values<IpAddr>,
    /// Addresses from which it only ever failed.
    pub(super) failing: Values<IpAddr>,
    pub(super) places: Values<Where>,
    pub(super) resources: Values<Api>,
    pub(super) credentials: Values<(Uuid, &'static str)>,
    pub(super) credential_types: Values<&'static str>,
    /// Successes that did not tell one of these.
    pub(super) without_address: u64,
    pub(super) without_country: u64,
    pub(super) without_resource: u64,
    pub(super) without_credential: u64,
    pub(super) without_credential_type: u64,
    /// Of those, the ones that told a kind which no policy can name.
    pub(super) nameless_credential_type: u64,
    /// All sign-ins.
    pub(super) sign_ins: u64,
    /// It is not an application of Microsoft's alone.
    pub(super) ours: bool,
    /// It signed in as a managed identity.
    pub(super) managed_identity: bool,
    pub(super) other_kind: bool,
}

/// What is known of an address, whoever used it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Address {
    /// Somebody signed in from it.
    pub(super) worked: bool,
    /// The countries it was said to be in.
    pub(super) countries: Vec<String>,
}

/// What every application did.
#[derive(Debug, Default)]
pub struct History {
    pub(super) apps: FxHashMap<AppKey, App>,
    pub(super) addresses: FxHashMap<IpAddr, Address>,
    pub(super) tenants: Values<Uuid>,
    pub(super) without_tenant: u64,
    pub(super) all: Option<Sight>,
}

impl History {
    /// Takes in a sign-in. One that was logged twice counts twice: nothing is kept for each record.
    pub fn add(&mut self, sign_in: &SignIn<'_>) {
        let guid = |id: &Option<Id<'_>>| id.as_ref().and_then(Id::guid);
        let service_principal = guid(&sign_in.service_principal_id);
        let key = match (guid(&sign_in.app_id), service_principal) {
            (Some(app), _) => AppKey::AppId(app),
            (None, Some(principal)) => AppKey::ServicePrincipal(principal),
            (None, None) => AppKey::Name(sign_in.name.as_deref().unwrap_or_default().to_owned()),
        };
        let time = sign_in.time.unix_seconds();
        see(&mut self.all, time);
        let app = self.apps.entry(key).or_default();
        let owner = guid(&sign_in.app_owner_tenant_id);
        app.sign_ins += 1;
        app.ours |= sign_in.kind != Kind::MicrosoftServicePrincipal
            && !owner.is_some_and(is_microsoft_tenant);
        match sign_in.kind {
            Kind::ManagedIdentity => app.managed_identity = true,
            _ => app.other_kind = true,
        }
        if let Some(name) = &sign_in.name {
            let latest = match app.names.get_mut(&**name) {
                Some(latest) => latest,
                None => app.names.entry(name.clone().into_owned()).or_insert(time),
            };
            *latest = time.max(*latest);
        }
        if let Some(principal) = service_principal {
            app.service_principals.see(principal, time);
        }
        see_address(&mut self.addresses, sign_in);
        if !sign_in.outcome.is_success() {
            app.failures += 1;
            if let Some(address) = sign_in.ip {
                app.failing.see(address, time);
            }
            return;
        }
        match guid(&sign_in.tenant_id) {
            Some(tenant) => self.tenants.see(tenant, time),
            None => self.without_tenant += 1,
        }
        app.succeed(sign_in, time);
    }

    /// Whether nothing was taken in.
    pub fn is_empty(&self) -> bool {
        self.apps.is_empty()
    }
}

/// Notes what a sign-in says of its address.
pub(super) fn see_address(addresses: &mut FxHashMap<IpAddr, Address>, sign_in: &SignIn<'_>) {
    let Some(address) = sign_in.ip else { return };
    let known = addresses.entry(address).or_default();
    known.worked |= sign_in.outcome.is_success();
    if let Some(country) = sign_in.country.as_deref()
        && !known.countries.iter().any(|known| known == country)
        && known.countries.len() < 8
    {
        known.countries.push(country.to_owned());
    }
}

fn text(part: &Option<Cow<'_, str>>) -> String {
    part.as_deref().unwrap_or_default().to_owned()
}

impl Where {
    /// Where a sign-in was, as far as it tells.
    pub(super) fn of(sign_in: &SignIn<'_>) -> Self {
        Self {
            country: text(&sign_in.country).to_ascii_uppercase(),
            state: text(&sign_in.state),
            city: text(&sign_in.city),
        }
    }
}

impl Api {
    /// What a sign-in asked for.
    pub(super) fn of(sign_in: &SignIn<'_>) -> Self {
        Self {
            id: sign_in.resource_id.as_ref().and_then(Id::guid),
            name: text(&sign_in.resource),
        }
    }
}

fn see(sight: &mut Option<Sight>, time: i64) {
    match sight {
        Some(sight) => sight.add(time),
        None => *sight = Some(Sight::new(time)),
    }
}

impl App {
    fn succeed(&mut self, sign_in: &SignIn<'_>, time: i64) {
        see(&mut self.successes, time);
        match sign_in.ip {
            Some(address) => self.addresses.see(address, time),
            None => self.without_address += 1,
        }
        match sign_in.country.is_some() {
            true => self.places.see(Where::of(sign_in), time),
            false => self.without_country += 1,
        }
        let api = Api::of(sign_in);
        // A policy cannot hold blanks around a name.
        let has_name = !api.name.is_empty() && api.name.trim() == api.name;
        match api.id.is_some() || has_name {
            true => self.resources.see(api, time),
            false => self.without_resource += 1,
        }
        let word = sign_in.credential_type.as_ref().and_then(word);
        match word {
            Some(word) => self.credential_types.see(word, time),
            None => {
                self.without_credential_type += 1;
                self.nameless_credential_type += u64::from(sign_in.credential_type.is_some());
            }
        }
        let key = [&sign_in.credential_key_id, &sign_in.federated_credential_id];
        let key = key
            .into_iter()
            .find_map(|id| id.as_ref().and_then(Id::guid));
        match key {
            Some(key) => self.credentials.see((key, word.unwrap_or_default()), time),
            None => self.without_credential += 1,
        }
    }

    /// The name it had last.
    pub(super) fn name(&self) -> Option<&str> {
        let latest = self.names.iter().max_by_key(|(_, latest)| **latest);
        latest.map(|(name, _)| name.as_str())
    }

    /// Whether it is a managed identity and nothing else.
    pub(super) fn is_managed_identity(&self) -> bool {
        self.managed_identity && !self.other_kind
    }
}

/// The policy's word for a kind of credential; a kind that a policy cannot name has none.
fn word(kind: &CredentialType<'_>) -> Option<&'static str> {
    match kind {
        CredentialType::Secret => Some("secret"),
        CredentialType::Certificate => Some("certificate"),
        CredentialType::Assertion => Some("assertion"),
        CredentialType::Federated => Some("federated"),
        CredentialType::ManagedIdentity => Some("managed-identity"),
        CredentialType::Other(_) => None,
    }
}

/// A time of a [`Sight`].
pub(super) fn at(seconds: i64) -> Timestamp {
    chrono::DateTime::from_timestamp(seconds, 0)
        .unwrap_or_default()
        .into()
}
