//! Identifiers in log records: GUIDs where they are well formed, text where they are not.

use std::borrow::Cow;
use std::fmt;

use uuid::Uuid;
use wide::bytemuck::cast;
use wide::{i16x8, u8x16, u16x8};

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
        if let Some(guid) = parse_guid(&text) {
            return Some(Self::Guid(guid));
        }
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

/// Reads the hyphenated form alone: the braced, plain and URN forms that `uuid` takes are not logged. A record holds
/// half a dozen of them, so that sixteen digits are read at once.
fn parse_guid(text: &str) -> Option<Uuid> {
    let text: &[u8; 36] = text.as_bytes().try_into().ok()?;
    if [8, 13, 18, 23]
        .iter()
        .any(|dash| text.get(*dash) != Some(&b'-'))
    {
        return None;
    }
    let four = |at: usize| {
        let digits = text.get(at..)?.first_chunk()?;
        Some(u128::from(u32::from_le_bytes(*digits)))
    };
    let eight = |at: usize| {
        let digits = text.get(at..)?.first_chunk()?;
        Some(u128::from(u64::from_le_bytes(*digits)))
    };
    let high = eight(0)? | four(9)? << 64 | four(14)? << 96;
    let low = four(19)? | four(24)? << 32 | eight(28)? << 64;
    let (high, is_high) = hexadecimal(high);
    let (low, is_low) = hexadecimal(low);
    let bytes = u8x16::narrow_i16x8(high, low).to_array();
    (is_high & is_low).all().then(|| Uuid::from_bytes(bytes))
}

/// Reads sixteen hexadecimal digits of either case, the first in the lowest byte: two in each lane, and whether
/// each is one.
#[inline]
fn hexadecimal(digits: u128) -> (i16x8, u8x16) {
    const LOWER: u8x16 = u8x16::new([b' '; 16]);
    let splat = u8x16::splat;
    let text = u8x16::new(digits.to_le_bytes());
    let number = text - splat(b'0');
    let letter = (text | LOWER) - splat(b'a');
    let is_number = number.simd_eq(number.min(splat(9)));
    let is_letter = letter.simd_eq(letter.min(splat(5)));
    let values: u16x8 = cast(is_number.bitselect(number, letter + splat(10)));
    // A lane has the first of its digits in the lower byte.
    let pairs = (values << 4_u16 | values >> 8_u16) & u16x8::splat(0xFF);
    (cast(pairs), is_number | is_letter)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn reads_guids_as_the_library_does(
            text in "[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}",
            change in prop::option::of((0_usize..36, any::<u8>())),
        ) {
            let mut bytes = text.into_bytes();
            if let Some((at, byte)) = change {
                bytes[at] = byte & 0x7F;
            }
            let text = String::from_utf8(bytes).unwrap();
            prop_assert_eq!(parse_guid(&text), Uuid::try_parse(&text).ok(), "{}", text);
        }
    }

    #[test]
    fn keeps_malformed_guids_as_text() {
        for text in ["tenantId", "0000000000-1111-2222-3333-444444444444", "{}"] {
            assert_eq!(Id::parse(text.into()), Some(Id::Text(text.into())));
        }
    }
}
