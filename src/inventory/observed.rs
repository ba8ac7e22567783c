//! What the log shows of each app: distinct values with their first and last time, and never a record.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;

use crate::policy::is_microsoft_tenant;
use crate::sign_in::{CredentialType, Id, Kind, SignIn, Timestamp};

/// As many distinct addresses are kept for each app.
pub const MAX_ADDRESSES: usize = 10_000;
/// As many places, resources and credentials.
const MAX_VALUES: usize = 1_000;
/// As many names.
const MAX_NAMES: usize = 50;
/// A longer text is cut: names are anybody's choice, and a record may be large.
const MAX_TEXT: usize = 256;
/// Between the parts of a place: no text of a log that people can read holds it.
const SEPARATOR: char = '\u{1f}';

/// When a value was seen, and how often.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// The first time.
    pub first: Timestamp,
    /// The last time.
    pub last: Timestamp,
    /// How often.
    pub count: u64,
}

impl Seen {
    fn at(time: Timestamp) -> Self {
        Self {
            first: time,
            last: time,
            count: 1,
        }
    }

    fn add(&mut self, time: Timestamp) {
        self.first = self.first.min(time);
        self.last = self.last.max(time);
        self.count += 1;
    }
}

/// Distinct values of one kind, up to a limit.
#[derive(Debug, Clone)]
pub(super) struct Values<K> {
    pub(super) seen: HashMap<K, Seen>,
    /// Whether others were seen that are not kept.
    pub(super) more: bool,
}

impl<K> Default for Values<K> {
    fn default() -> Self {
        Self {
            seen: HashMap::new(),
            more: false,
        }
    }
}

impl<K: Eq + Hash> Values<K> {
    fn add(&mut self, key: K, time: Timestamp, limit: usize) {
        if let Some(seen) = self.seen.get_mut(&key) {
            seen.add(time);
        } else if self.seen.len() < limit {
            self.seen.insert(key, Seen::at(time));
        } else {
            self.more = true;
        }
    }
}

impl Values<Box<str>> {
    /// Allocates only for a text that is new.
    fn add_text(&mut self, text: &str, time: Timestamp, limit: usize) {
        let text = cut(text);
        match self.seen.get_mut(text) {
            Some(seen) => seen.add(time),
            None => self.add(text.into(), time, limit),
        }
    }
}

fn cut(text: &str) -> &str {
    cut_at(text, MAX_TEXT)
}

/// The longest beginning of a text that has no more bytes than that.
fn cut_at(text: &str, limit: usize) -> &str {
    let limit = limit.min(text.len());
    let end = (0..=limit).rev().find(|end| text.is_char_boundary(*end));
    text.get(..end.unwrap_or(0)).unwrap_or_default()
}

fn own(id: &Id<'_>) -> Id<'static> {
    match id {
        Id::Guid(guid) => Id::Guid(*guid),
        Id::Text(text) => Id::Text(cut(text).to_owned().into()),
    }
}

/// What tells apps apart.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) tenant: Option<Id<'static>>,
    pub(super) app: Option<Id<'static>>,
    pub(super) service_principal: Option<Id<'static>>,
    /// Only where there is no id.
    name: Option<Box<str>>,
}

impl Key {
    fn of(sign_in: &SignIn<'_>) -> Self {
        let app = sign_in.app_id.as_ref().map(own);
        let service_principal = sign_in.service_principal_id.as_ref().map(own);
        let name = match (&app, &service_principal) {
            (None, None) => sign_in.name.as_deref().map(|name| cut(name).into()),
            _ => None,
        };
        Self {
            tenant: sign_in.tenant_id.as_ref().map(own),
            app,
            service_principal,
            name,
        }
    }
}

/// A credential and its kind.
pub(super) type CredentialKey = (Id<'static>, Option<CredentialType<'static>>);

/// What was seen of one app.
#[derive(Debug, Clone)]
pub(super) struct AppSeen {
    /// The log of the last record.
    pub(super) kind: Kind,
    /// Whether a Microsoft tenant owns it.
    pub(super) of_microsoft: bool,
    /// Sign-ins of any outcome.
    pub(super) all: Seen,
    pub(super) failures: u64,
    /// The last success.
    pub(super) last_success: Option<Timestamp>,
    /// Of sign-ins of any outcome.
    pub(super) names: Values<Box<str>>,
    /// These are of successes only: whoever guesses at secrets makes no use of a range.
    pub(super) addresses: Values<IpAddr>,
    /// Country, state, city, joined.
    places: Values<Box<str>>,
    pub(super) resources: Values<Box<str>>,
    pub(super) credentials: Values<CredentialKey>,
}

impl AppSeen {
    fn new(sign_in: &SignIn<'_>) -> Self {
        Self {
            kind: sign_in.kind,
            of_microsoft: false,
            all: Seen {
                count: 0,
                ..Seen::at(sign_in.time)
            },
            failures: 0,
            last_success: None,
            names: Values::default(),
            addresses: Values::default(),
            places: Values::default(),
            resources: Values::default(),
            credentials: Values::default(),
        }
    }

    /// Sign-ins that succeeded.
    pub(super) fn successes(&self) -> u64 {
        self.all.count.saturating_sub(self.failures)
    }

    /// The names, the one seen last first.
    pub(super) fn names(&self) -> Vec<&str> {
        let mut names: Vec<(&str, Seen)> = self
            .names
            .seen
            .iter()
            .map(|(name, seen)| (&**name, *seen))
            .collect();
        names.sort_by(|a, b| b.1.last.cmp(&a.1.last).then(a.0.cmp(b.0)));
        names.into_iter().map(|(name, _)| name).collect()
    }

    /// The places, each as a sign-in that is there.
    pub(super) fn places(&self) -> impl Iterator<Item = (SignIn<'_>, Seen)> {
        self.places.seen.iter().map(|(place, seen)| {
            let mut parts = place
                .split(SEPARATOR)
                .map(|part| Some(part).filter(|part| !part.is_empty()).map(Into::into));
            let mut next = || parts.next().flatten();
            let (country, state, city) = (next(), next(), next());
            let sign_in = SignIn {
                country,
                state,
                city,
                ..SignIn::unknown(seen.last)
            };
            (sign_in, *seen)
        })
    }

    /// Whether not all places were kept.
    pub(super) fn more_places(&self) -> bool {
        self.places.more
    }
}

/// What the log shows: state for each app and distinct value, whatever the number of records.
#[derive(Debug, Default)]
pub struct Observed {
    pub(super) apps: HashMap<Key, AppSeen>,
    pub(super) all: Option<Seen>,
    /// Room in which a place is put together.
    place: String,
}

impl Observed {
    /// Takes note of a sign-in. A record that comes twice counts twice.
    pub fn add(&mut self, sign_in: &SignIn<'_>) {
        let time = sign_in.time;
        match &mut self.all {
            Some(seen) => seen.add(time),
            None => self.all = Some(Seen::at(time)),
        }
        let app = self
            .apps
            .entry(Key::of(sign_in))
            .or_insert_with(|| AppSeen::new(sign_in));
        if time >= app.all.last {
            app.kind = sign_in.kind;
        }
        app.all.add(time);
        let owner = sign_in.app_owner_tenant_id.as_ref().and_then(Id::guid);
        app.of_microsoft |= owner.is_some_and(is_microsoft_tenant);
        if let Some(name) = &sign_in.name {
            app.names.add_text(name, time, MAX_NAMES);
        }
        if !sign_in.outcome.is_success() {
            app.failures += 1;
            return;
        }
        app.last_success = app.last_success.max(Some(time));
        if let Some(address) = sign_in.ip {
            app.addresses.add(address, time, MAX_ADDRESSES);
        }
        if let Some(country) = &sign_in.country {
            self.place.clear();
            for (index, part) in [Some(country), sign_in.state.as_ref(), sign_in.city.as_ref()]
                .into_iter()
                .enumerate()
            {
                if index > 0 {
                    self.place.push(SEPARATOR);
                }
                // Three of them are shorter than what a text is cut at.
                let part = part.map_or("", |part| cut_at(part, MAX_TEXT / 4));
                self.place.push_str(part);
            }
            app.places.add_text(&self.place, time, MAX_VALUES);
        }
        if let Some(resource) = &sign_in.resource {
            app.resources.add_text(resource, time, MAX_VALUES);
        } else if let Some(id) = &sign_in.resource_id {
            app.resources.add_text(&id.to_string(), time, MAX_VALUES);
        }
        if let Some(id) = sign_in.credential() {
            let kind = sign_in.credential_type.as_ref().map(|kind| match kind {
                CredentialType::Other(word) => CredentialType::Other(cut(word).to_owned().into()),
                known => known.clone().into_owned(),
            });
            app.credentials.add((own(id), kind), time, MAX_VALUES);
        }
    }

    /// How many apps were seen.
    pub fn app_count(&self) -> usize {
        self.apps.len()
    }

    /// How many sign-ins were seen.
    pub fn sign_in_count(&self) -> u64 {
        self.all.map_or(0, |seen| seen.count)
    }
}
