//! Applications observed against applications listed. Pure.
//!
//! [`Observed`] is fed with sign-ins and keeps what is distinct of each app, not the records. [`take`] lays that beside
//! the policy: a row for each app, and what is to be said of them as [`Finding`]s. Judging sign-ins is the policy's
//! business; here the question is whether the policy still says what is so.

pub mod directory;
mod entries;
pub mod import;
mod observed;
mod report;
#[cfg(test)]
mod tests;
mod words;

use chrono::TimeDelta;
use serde::Serialize;

pub use observed::{MAX_ADDRESSES, Observed, Seen};
pub use report::take;

use crate::sign_in::Timestamp;

/// What the document calls its own shape.
pub const SCHEMA: &str = "spwatch/inventory/v1";

/// What a finding is about. Stable, kebab-case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Code {
    /// An app that no entry selects.
    Unlisted,
    /// An entry whose app does not sign in.
    Unseen,
    /// An entry without `owner`.
    OwnerMissing,
    /// An entry without `purpose`.
    PurposeMissing,
    /// An entry without `secret`, of an app that has one.
    SecretMissing,
    /// A value of `allow.ips` that nothing signed in from.
    RangeUnused,
    /// A value of `allow.ips` that allows far more than is used.
    RangeBroad,
    /// A value of `allow.places` that nothing signed in from.
    PlaceUnused,
    /// More distinct addresses than are kept.
    ManyAddresses,
    /// A credential that is no longer used.
    CredentialUnseen,
    /// A credential that expires soon.
    CredentialExpires,
    /// A credential that has expired.
    CredentialExpired,
    /// An exception that is over.
    ExceptionExpired,
    /// An exception that nothing made use of.
    ExceptionUnused,
    /// One id under several names.
    NameChanged,
    /// Several ids under one name.
    NameShared,
    /// Several apps from one address.
    SharedAddress,
}

impl Code {
    /// Every code, in the order of reporting.
    pub const ALL: [Self; 17] = [
        Self::Unlisted,
        Self::Unseen,
        Self::OwnerMissing,
        Self::PurposeMissing,
        Self::SecretMissing,
        Self::RangeUnused,
        Self::RangeBroad,
        Self::PlaceUnused,
        Self::ManyAddresses,
        Self::CredentialUnseen,
        Self::CredentialExpires,
        Self::CredentialExpired,
        Self::ExceptionExpired,
        Self::ExceptionUnused,
        Self::NameChanged,
        Self::NameShared,
        Self::SharedAddress,
    ];

    /// The stable name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unlisted => "unlisted",
            Self::Unseen => "unseen",
            Self::OwnerMissing => "owner-missing",
            Self::PurposeMissing => "purpose-missing",
            Self::SecretMissing => "secret-missing",
            Self::RangeUnused => "range-unused",
            Self::RangeBroad => "range-broad",
            Self::PlaceUnused => "place-unused",
            Self::ManyAddresses => "many-addresses",
            Self::CredentialUnseen => "credential-unseen",
            Self::CredentialExpires => "credential-expires",
            Self::CredentialExpired => "credential-expired",
            Self::ExceptionExpired => "exception-expired",
            Self::ExceptionUnused => "exception-unused",
            Self::NameChanged => "name-changed",
            Self::NameShared => "name-shared",
            Self::SharedAddress => "shared-address",
        }
    }
}

impl Serialize for Code {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// One thing that is to be said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What it is about.
    pub code: Code,
    /// The entry's name, else the app's own; none where it is of several apps.
    pub app: Option<String>,
    /// The application id, where it is known.
    pub app_id: Option<String>,
    /// File of the policy, where it is about something in it.
    pub file: Option<String>,
    /// Line in that file, from 1.
    pub line: Option<usize>,
    /// One sentence with the numbers.
    pub message: String,
}

/// A value that an app was seen with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SeenValue {
    /// The value.
    pub value: String,
    /// First successful sign-in with it.
    pub first_seen: Timestamp,
    /// Last successful sign-in with it.
    pub last_seen: Timestamp,
    /// Successful sign-ins with it.
    pub count: u64,
}

/// A credential that an app was seen with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SeenCredential {
    /// Key id, or id of the federated credential.
    pub key_id: String,
    /// Its kind, in the policy's words.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// First successful sign-in with it.
    pub first_seen: Timestamp,
    /// Last successful sign-in with it.
    pub last_seen: Timestamp,
    /// Successful sign-ins with it.
    pub count: u64,
}

/// One app, observed or listed or both.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AppRow {
    /// The name last seen; of an app that was not seen, the entry's.
    pub name: String,
    /// The other names it was seen under.
    pub other_names: Vec<String>,
    /// Name of the entry that selects it.
    pub entry: Option<String>,
    /// File of that entry.
    pub file: Option<String>,
    /// Line of that entry, from 1.
    pub line: Option<usize>,
    /// The tenant, where the log tells it.
    pub tenant_id: Option<String>,
    /// The application (client) id.
    pub app_id: Option<String>,
    /// The object id of the enterprise application.
    pub service_principal_id: Option<String>,
    /// The log it was last seen in, as Microsoft calls it.
    pub category: Option<&'static str>,
    /// Who answers for it, by the entry.
    pub owner: Option<String>,
    /// What it is for, by the entry.
    pub purpose: Option<String>,
    /// First sign-in, whatever its outcome.
    pub first_seen: Option<Timestamp>,
    /// Last sign-in, whatever its outcome.
    pub last_seen: Option<Timestamp>,
    /// Sign-ins, whatever their outcome.
    pub sign_ins: u64,
    /// Those that failed.
    pub failures: u64,
    /// Distinct addresses of successful sign-ins, at most [`MAX_ADDRESSES`].
    pub address_count: usize,
    /// Whether there were more.
    pub more_addresses: bool,
    /// The addresses used most, at most [`SHOWN`].
    pub addresses: Vec<SeenValue>,
    /// Countries of successful sign-ins.
    pub countries: Vec<String>,
    /// The places used most, at most [`SHOWN`].
    pub places: Vec<SeenValue>,
    /// The resources asked for most, at most [`SHOWN`].
    pub resources: Vec<SeenValue>,
    /// The credentials used most, at most [`SHOWN`].
    pub credentials: Vec<SeenCredential>,
}

/// As many values of a kind are listed for each app.
pub const SHOWN: usize = 100;

/// The period that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Period {
    /// The oldest sign-in.
    pub first: Timestamp,
    /// The newest.
    pub last: Timestamp,
}

/// Everything that the inventory says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Inventory {
    /// [`SCHEMA`]
    pub schema: &'static str,
    /// What counted as now.
    pub now: Timestamp,
    /// From the oldest sign-in to the newest; none where there was none.
    pub period: Option<Period>,
    /// Sign-ins that were read; repeated records count each time.
    pub sign_ins: u64,
    /// Listed apps in the order of the policy, then the others by name.
    pub apps: Vec<AppRow>,
    /// What is to be said, in the same order.
    pub findings: Vec<Finding>,
}

/// What counts as long ago, and as soon.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Expiry is counted from here.
    pub now: Timestamp,
    /// Last use is counted from here; without it, from the newest sign-in.
    pub seen_until: Option<Timestamp>,
    /// Not used for this long is no longer used.
    pub unseen_for: TimeDelta,
    /// Ends within this long is soon.
    pub expires_within: TimeDelta,
}
