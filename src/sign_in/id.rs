//! Identifiers in log records: GUIDs where they are well formed, text where they are not.

use std::borrow::Cow;
use std::fmt;

use uuid::Uuid;

/// An identifier as logged.
///
/// Tenants and anonymised exports do carry ids that are no GUID (`"tenantId"`, ten-digit groups);
/// they are legal in a record, shown as text, and match no id in a policy.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Id<'a> {
    /// A GUID in the 8-4-4-4-12 form, of either case.
    Guid(Uuid),
    /// Anything else, as it stands in the record.
    Text(Cow<'a, str>),
}

impl<'a> Id<'a> {
    /// Reads an id; blanks around it do not count, and an empty one is none.
    ///
    /// ```
    /// # use spwatch::sign_in::Id;
    /// let id = Id::parse("00000003-0000-0000-C000-000000000000".into());
    /// assert_eq!(id.unwrap().to_string(), "00000003-0000-0000-c000-000000000000");
    /// assert_eq!(Id::parse(" ".into()), None);
    /// ```
    pub fn parse(text: Cow<'a, str>) -> Option<Self> {
        let trimmed = text.trim();
        if trimmed.is_empty() {
            return None;
        }
        if let Some(guid) = parse_guid(trimmed) {
            return Some(Self::Guid(guid));
        }
        if trimmed.len() == text.len() {
            return Some(Self::Text(text));
        }
        Some(Self::Text(Cow::Owned(trimmed.to_owned())))
    }

    /// The GUID, where it is one.
    pub fn guid(&self) -> Option<Uuid> {
        match self {
            Self::Guid(guid) => Some(*guid),
            Self::Text(_) => None,
        }
    }

    /// Detaches the id from the text it was read from.
    pub fn into_owned(self) -> Id<'static> {
        match self {
            Self::Guid(guid) => Id::Guid(guid),
            Self::Text(text) => Id::Text(Cow::Owned(text.into_owned())),
        }
    }
}

impl fmt::Display for Id<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Guid(guid) => guid.hyphenated().fmt(f),
            Self::Text(text) => f.write_str(text),
        }
    }
}

/// Reads the hyphenated form alone: the braced, plain and URN forms that `uuid` takes are not logged.
fn parse_guid(text: &str) -> Option<Uuid> {
    if text.len() != 36 {
        return None;
    }
    Uuid::try_parse(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_malformed_guids_as_text() {
        for text in ["tenantId", "0000000000-1111-2222-3333-444444444444", "{}"] {
            assert_eq!(Id::parse(text.into()), Some(Id::Text(text.into())));
        }
    }
}
