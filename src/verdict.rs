//! What a sign-in is judged to be, and the stable codes for why.
//!
//! A leaf module: plain values, no policy, no I/O.

use std::fmt;

/// What the policy says of one sign-in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// An entry selects the app and every check holds.
    Allowed,
    /// An entry selects the app and at least one check fails.
    Violation,
    /// No entry selects the app.
    UnknownApp,
}

impl Verdict {
    /// The word used in output: `allowed`, `violation`, `unknown-app`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Violation => "violation",
            Self::UnknownApp => "unknown-app",
        }
    }
}

/// How grave a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// Look at it some day.
    Low,
    /// Look at it this week.
    Medium,
    /// Look at it today.
    High,
    /// Look at it now.
    Critical,
}

impl Severity {
    /// Every severity, mildest first.
    pub const ALL: [Self; 5] = [
        Self::Info,
        Self::Low,
        Self::Medium,
        Self::High,
        Self::Critical,
    ];

    /// The policy's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }

    /// One step graver; critical stays.
    pub fn raised(self) -> Self {
        match self {
            Self::Info => Self::Low,
            Self::Low => Self::Medium,
            Self::Medium => Self::High,
            Self::High | Self::Critical => Self::Critical,
        }
    }
}

impl serde::Serialize for Severity {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> serde::Deserialize<'de> for Severity {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = std::borrow::Cow::<str>::deserialize(deserializer)?;
        Self::ALL
            .into_iter()
            .find(|severity| severity.as_str() == word)
            .ok_or_else(|| serde::de::Error::custom("no severity of spwatch"))
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a sign-in is not simply allowed. Stable, kebab-case, documented in `docs/reasons.md`.
///
/// The order is the order in which reasons are reported: address, place, tenant, resource,
/// credential, credential's addresses, credential's type; an unlisted app comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum ReasonCode {
    /// No entry selects the app.
    UnknownApp,
    /// The address is in a denied range.
    IpDenied,
    /// The record has no usable address and a rule asks for one.
    IpUnknown,
    /// The address is in none of the allowed ranges.
    IpNotAllowed,
    /// The place is a denied one.
    PlaceDenied,
    /// The record has no country and a rule asks for a place.
    PlaceUnknown,
    /// The place is none of the allowed ones.
    PlaceNotAllowed,
    /// The sign-in belongs to a tenant that the policy does not list.
    TenantNotAllowed,
    /// The API asked for is none of the allowed ones.
    ResourceNotAllowed,
    /// The key is none of the app's listed credentials.
    CredentialNotAllowed,
    /// The credential is past its last day.
    CredentialExpired,
    /// The record does not tell which credential, or which type of credential, was used.
    CredentialUnknown,
    /// The address is in none of the ranges allowed for this credential.
    CredentialIpNotAllowed,
    /// The type of credential is none of the allowed ones.
    CredentialTypeNotAllowed,
}

impl ReasonCode {
    /// Every code, in the order of reporting.
    pub const ALL: [Self; 14] = [
        Self::UnknownApp,
        Self::IpDenied,
        Self::IpUnknown,
        Self::IpNotAllowed,
        Self::PlaceDenied,
        Self::PlaceUnknown,
        Self::PlaceNotAllowed,
        Self::TenantNotAllowed,
        Self::ResourceNotAllowed,
        Self::CredentialNotAllowed,
        Self::CredentialExpired,
        Self::CredentialUnknown,
        Self::CredentialIpNotAllowed,
        Self::CredentialTypeNotAllowed,
    ];

    /// The stable code.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::UnknownApp => "unknown-app",
            Self::IpDenied => "ip-denied",
            Self::IpUnknown => "ip-unknown",
            Self::IpNotAllowed => "ip-not-allowed",
            Self::PlaceDenied => "place-denied",
            Self::PlaceUnknown => "place-unknown",
            Self::PlaceNotAllowed => "place-not-allowed",
            Self::TenantNotAllowed => "tenant-not-allowed",
            Self::ResourceNotAllowed => "resource-not-allowed",
            Self::CredentialNotAllowed => "credential-not-allowed",
            Self::CredentialExpired => "credential-expired",
            Self::CredentialUnknown => "credential-unknown",
            Self::CredentialIpNotAllowed => "credential-ip-not-allowed",
            Self::CredentialTypeNotAllowed => "credential-type-not-allowed",
        }
    }

    /// Reads a stable code.
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == code)
    }
}

impl fmt::Display for ReasonCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A set of reason codes, held without allocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct ReasonSet(u16);

impl ReasonSet {
    /// No reason at all.
    pub const EMPTY: Self = Self(0);

    /// Adds a code; adding it again changes nothing.
    pub fn insert(&mut self, code: ReasonCode) {
        self.0 |= 1 << (code as u8);
    }

    /// Whether the code is in the set.
    pub fn contains(self, code: ReasonCode) -> bool {
        self.0 & (1 << (code as u8)) != 0
    }

    /// Whether there is no reason.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The codes that are not in the other set.
    pub fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// The codes, in the order of reporting.
    pub fn iter(self) -> impl Iterator<Item = ReasonCode> {
        ReasonCode::ALL
            .into_iter()
            .filter(move |code| self.contains(*code))
    }
}

impl FromIterator<ReasonCode> for ReasonSet {
    fn from_iter<T: IntoIterator<Item = ReasonCode>>(codes: T) -> Self {
        let mut set = Self::EMPTY;
        for code in codes {
            set.insert(code);
        }
        set
    }
}

/// One reason, with the sentence for people.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Reason {
    /// The stable code.
    #[serde(serialize_with = "code_text")]
    pub code: ReasonCode,
    /// What was seen and what was expected, in plain words.
    pub message: String,
}

fn code_text<S: serde::Serializer>(code: &ReasonCode, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(code.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_and_read_back() {
        for (place, code) in ReasonCode::ALL.into_iter().enumerate() {
            assert_eq!(
                code as usize, place,
                "the order of ALL is the order of the enum"
            );
            assert_eq!(ReasonCode::from_code(code.as_str()), Some(code));
        }
    }

    #[test]
    fn sets_report_in_order_and_once() {
        let set: ReasonSet = [
            ReasonCode::PlaceDenied,
            ReasonCode::IpDenied,
            ReasonCode::PlaceDenied,
        ]
        .into_iter()
        .collect();
        let codes: Vec<_> = set.iter().collect();
        assert_eq!(codes, [ReasonCode::IpDenied, ReasonCode::PlaceDenied]);
    }
}
