//! One `[[app]]`, compiled: selectors and rules in the form that judging needs.

use std::borrow::Cow;
use std::net::IpAddr;

use chrono::{Days, NaiveDate, NaiveTime};
use uuid::Uuid;

use super::document::Resource;
use super::network::RangeSet;
use super::place::PlaceSet;
use super::sets::Rule;
use crate::sign_in::{CredentialType, SignIn, Timestamp};

/// A file of the policy and a line in it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Line {
    pub(super) file: usize,
    pub(super) line: usize,
}

/// A rule and where it stands.
#[derive(Debug)]
pub(super) struct At<T> {
    pub(super) rule: T,
    pub(super) line: Line,
}

/// A kind of credential that a policy can name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CredentialWord {
    Secret,
    Certificate,
    Assertion,
    Federated,
    ManagedIdentity,
}

impl CredentialWord {
    pub(super) fn matches(self, logged: &CredentialType<'_>) -> bool {
        match logged {
            CredentialType::Secret => self == Self::Secret,
            CredentialType::Certificate => self == Self::Certificate,
            CredentialType::Assertion => self == Self::Assertion,
            CredentialType::Federated => self == Self::Federated,
            CredentialType::ManagedIdentity => self == Self::ManagedIdentity,
            CredentialType::Other(_) => false,
        }
    }

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Secret => "secret",
            Self::Certificate => "certificate",
            Self::Assertion => "assertion",
            Self::Federated => "federated",
            Self::ManagedIdentity => "managed-identity",
        }
    }
}

/// A list of addresses.
pub(super) type AddressRule = Rule<RangeSet>;
/// A list of places.
pub(super) type PlaceRule = Rule<PlaceSet>;

impl AddressRule {
    pub(super) fn contains(&self, address: IpAddr) -> bool {
        self.own().contains(address) || self.shared().iter().any(|set| set.contains(address))
    }

    /// How the policy writes the two ends of the range around an address.
    pub(super) fn around(&self, address: IpAddr) -> Option<(&str, &str)> {
        self.parts().find_map(|set| set.around(address))
    }

    pub(super) fn nearest(&self, address: IpAddr) -> Option<(u128, &str)> {
        self.parts()
            .filter_map(|set| set.nearest(address))
            .min_by_key(|(distance, _)| *distance)
    }

    pub(super) fn written(&self) -> usize {
        self.parts().map(RangeSet::written).sum()
    }

    /// Whether everything in the other list is in this one. May miss a range that only several
    /// sets together cover.
    pub(super) fn covers(&self, other: &Self) -> bool {
        other
            .parts()
            .flat_map(RangeSet::blocks)
            .all(|block| self.parts().any(|set| set.covers(block)))
    }
}

impl PlaceRule {
    pub(super) fn contains(&self, sign_in: &SignIn<'_>) -> bool {
        self.own().contains(sign_in) || self.shared().iter().any(|set| set.contains(sign_in))
    }

    pub(super) fn find(&self, sign_in: &SignIn<'_>) -> Option<&str> {
        self.parts().find_map(|set| set.find(sign_in))
    }

    pub(super) fn count(&self) -> usize {
        self.parts().map(PlaceSet::len).sum()
    }

    pub(super) fn covers(&self, other: &Self) -> bool {
        other
            .parts()
            .flat_map(PlaceSet::places)
            .all(|place| self.parts().any(|set| set.covers(place)))
    }
}

/// One `[[app.credential]]`.
#[derive(Debug)]
pub(super) struct Credential {
    pub(super) key_id: Uuid,
    pub(super) ips: Option<At<AddressRule>>,
    pub(super) expires: Option<NaiveDate>,
    /// The first instant at which it is expired.
    pub(super) expired_from: Option<Timestamp>,
    pub(super) line: Line,
}

/// The first instant after a UTC day; none after the last day there is.
pub(super) fn day_after(day: NaiveDate) -> Option<Timestamp> {
    let next = day.checked_add_days(Days::new(1))?;
    Some(next.and_time(NaiveTime::MIN).and_utc().into())
}

/// One `[[app.exception]]`.
#[derive(Debug)]
pub(super) struct Exception {
    pub(super) until: Timestamp,
    pub(super) ips: Option<AddressRule>,
    pub(super) places: Option<PlaceRule>,
    pub(super) reason: String,
    pub(super) line: Line,
}

/// What an entry selects by. All that are there must match.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Selectors {
    pub(super) service_principal_id: Option<Uuid>,
    pub(super) app_id: Option<Uuid>,
    /// Lower-cased.
    pub(super) name: Option<Box<str>>,
    /// Lower-cased.
    pub(super) contains: Option<Box<str>>,
}

/// Lower-cases a name letter by letter. Unlike `str::to_lowercase`, a sigma does not depend on
/// what follows it, so that a part of a name folds as it does within the whole.
pub(super) fn lower_name(name: &str) -> String {
    name.chars()
        .flat_map(char::to_lowercase)
        .map(|letter| if letter == 'ς' { 'σ' } else { letter })
        .collect()
}

/// Whether two names are the same but for case; the first is lower-cased already.
pub(super) fn is_name(lower: &str, name: &str) -> bool {
    if name.is_ascii() {
        return lower.eq_ignore_ascii_case(name);
    }
    lower == lower_name(name)
}

/// Whether a name contains a part, which is lower-cased already and never empty.
fn contains_part(name: &str, lower: &str) -> bool {
    let name = if name.is_ascii() {
        Cow::Borrowed(name)
    } else {
        Cow::Owned(lower_name(name))
    };
    name.as_bytes()
        .windows(lower.len().max(1))
        .any(|part| part.eq_ignore_ascii_case(lower.as_bytes()))
}

impl Selectors {
    /// How many there are.
    pub(super) fn count(&self) -> usize {
        let ids = [self.service_principal_id, self.app_id];
        let names = [&self.name, &self.contains];
        ids.iter().flatten().count() + names.into_iter().flatten().count()
    }

    /// Whether every selector matches.
    pub(super) fn match_all(&self, sign_in: &SignIn<'_>) -> bool {
        let guid = |wanted: Option<Uuid>, logged: Option<&crate::sign_in::Id<'_>>| {
            wanted.is_none_or(|wanted| logged.and_then(crate::sign_in::Id::guid) == Some(wanted))
        };
        let name = |wanted: Option<&str>, test: fn(&str, &str) -> bool| match (
            wanted,
            sign_in.name.as_deref(),
        ) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(wanted), Some(logged)) => test(wanted, logged),
        };
        guid(
            self.service_principal_id,
            sign_in.service_principal_id.as_ref(),
        ) && guid(self.app_id, sign_in.app_id.as_ref())
            && name(self.name.as_deref(), is_name)
            && name(self.contains.as_deref(), |part, name| {
                contains_part(name, part)
            })
    }

    /// How specific the selectors are, to be compared: which there are, most specific first, then
    /// the length of the part of a name.
    pub(super) fn precedence(&self) -> (bool, bool, bool, usize) {
        let part = self
            .contains
            .as_deref()
            .map_or(0, |part| part.chars().count());
        (
            self.service_principal_id.is_some(),
            self.app_id.is_some(),
            self.name.is_some(),
            part,
        )
    }
}

/// One `[[app]]`, ready to judge.
#[derive(Debug)]
pub(super) struct Entry {
    /// Dimensions in which it asks something, one bit each.
    pub(super) asked: u8,
    pub(super) selectors: Selectors,
    pub(super) line: Line,
    pub(super) allow_ips: Option<At<AddressRule>>,
    pub(super) allow_places: Option<At<PlaceRule>>,
    pub(super) allow_resources: Option<At<Vec<CompiledResource>>>,
    pub(super) allow_types: Option<At<Vec<CredentialWord>>>,
    pub(super) deny_ips: Option<At<AddressRule>>,
    pub(super) deny_places: Option<At<PlaceRule>>,
    pub(super) credentials: Vec<Credential>,
    pub(super) exceptions: Vec<Exception>,
}

/// An API that may be asked for.
#[derive(Debug)]
pub(super) struct CompiledResource {
    pub(super) text: String,
    lower: String,
    guid: Option<Uuid>,
}

impl CompiledResource {
    pub(super) fn new(resource: Resource) -> Self {
        Self {
            lower: lower_name(&resource.text),
            text: resource.text,
            guid: resource.guid,
        }
    }

    pub(super) fn matches(&self, sign_in: &SignIn<'_>) -> bool {
        let by_id = sign_in.resource_id.as_ref().is_some_and(|id| match id {
            crate::sign_in::Id::Guid(guid) => self.guid == Some(*guid),
            crate::sign_in::Id::Text(text) => is_name(&self.lower, text),
        });
        by_id
            || sign_in
                .resource
                .as_deref()
                .is_some_and(|name| is_name(&self.lower, name))
    }
}
