//! Single values as the judged fields want them. Empty, `null`, absent and wrongly typed are all `None`.

use std::borrow::Cow;

use super::field::{Field, Fields};
use super::json::{Reader, Value};
use crate::sign_in::Id;

/// A text that says something.
#[inline]
pub(super) fn text(value: Value<'_>) -> Option<Cow<'_, str>> {
    match value {
        Value::Text(text) => {
            // Few texts begin with a blank, and only those can be blank.
            if let Some(plain) = text.plain()
                && plain.as_bytes().first().is_some_and(u8::is_ascii_graphic)
            {
                return Some(Cow::Borrowed(plain));
            }
            let text = text.decode();
            (!text.trim().is_empty()).then_some(text)
        }
        _ => None,
    }
}

/// Whether a value says something, be it of the wrong type.
pub(super) fn is_there(value: Value<'_>) -> bool {
    match value {
        Value::Null => false,
        Value::Text(_) => text(value).is_some(),
        _ => true,
    }
}

/// An id.
#[inline]
pub(super) fn id(value: Value<'_>) -> Option<Id<'_>> {
    let Value::Text(text) = value else {
        return None;
    };
    match text.plain() {
        Some(plain) => Id::parse(Cow::Borrowed(plain)),
        None => Id::parse(text.decode()),
    }
}

/// A text in lower case, without blanks around it.
pub(super) fn lower_text(value: Value<'_>) -> Option<Cow<'_, str>> {
    let text = text(value)?;
    let trimmed = text.trim();
    // Without stopping at the first: so many are looked at together.
    let any_upper = |any: bool, byte: &u8| any | byte.is_ascii_uppercase();
    if trimmed.len() == text.len() && !text.as_bytes().iter().fold(false, any_upper) {
        return Some(text);
    }
    Some(Cow::Owned(trimmed.to_ascii_lowercase()))
}

/// A country in upper case.
pub(super) fn country(value: Value<'_>) -> Option<Cow<'_, str>> {
    text(value).map(upper)
}

/// A country code in upper case; other texts (an Azure region, a whole place) are none.
pub(super) fn country_code(value: Value<'_>) -> Option<Cow<'_, str>> {
    text(value).filter(|text| is_country_code(text)).map(upper)
}

/// Whether a text is two letters.
pub(super) fn is_country_code(text: &str) -> bool {
    let code = text.trim();
    code.len() == 2 && code.bytes().all(|byte| byte.is_ascii_alphabetic())
}

/// A text in upper case, without blanks around it.
pub(super) fn upper(text: Cow<'_, str>) -> Cow<'_, str> {
    if let [b'A'..=b'Z', b'A'..=b'Z'] = text.as_bytes() {
        return text;
    }
    let trimmed = text.trim();
    if trimmed.len() == text.len() && text.bytes().all(|byte| byte.is_ascii_uppercase()) {
        return text;
    }
    Cow::Owned(trimmed.to_uppercase())
}

/// A boolean, which exports also write as a number or as a word.
pub(super) fn boolean(value: Value<'_>) -> bool {
    match value {
        Value::Bool(value) => value,
        Value::Number(number) => number != b"0",
        Value::Text(_) => text(value).is_some_and(|word| {
            let word = word.trim();
            word == "1" || word.eq_ignore_ascii_case("true")
        }),
        _ => false,
    }
}

/// The texts of an array of texts, or of a text that is one: `["a"]`, `"[\"a\"]"`, `"a"`.
pub(super) fn texts(value: Value<'_>) -> Vec<Cow<'_, str>> {
    match value {
        Value::Array(span) => texts_of_array(span),
        Value::Text(_) => match text(value) {
            Some(text) if text.trim_start().starts_with('[') => {
                let owned = |text: Cow<'_, str>| Cow::Owned(text.into_owned());
                texts_of_array(text.trim().as_bytes())
                    .into_iter()
                    .map(owned)
                    .collect()
            }
            Some(text) => vec![text],
            None => Vec::new(),
        },
        _ => Vec::new(),
    }
}

fn texts_of_array(array: &[u8]) -> Vec<Cow<'_, str>> {
    let mut found = Vec::new();
    let mut reader = Reader::new(array, 0);
    while let Some(b'[' | b',') = reader.peek() {
        reader.bump();
        reader.blanks();
        match reader.value(1) {
            Ok(value) => found.extend(text(value)),
            Err(_) => break,
        }
        reader.blanks();
    }
    found
}

/// The result code as text: `resultType`, else `status.errorCode`, else the portal's word.
pub(super) fn result_code<'a>(
    top: &Fields<'a>,
    details: &Fields<'a>,
    defender: bool,
) -> Option<Cow<'a, str>> {
    if defender {
        return code(details.value(Field::ErrorCode));
    }
    code(top.value(Field::ResultType)).or_else(|| match details.value(Field::Status) {
        Value::Object(span) => code_of_status(span),
        status @ Value::Text(_) => match text(status)? {
            text if text.trim_start().starts_with('{') => {
                code_of_status(text.trim().as_bytes()).map(|code| Cow::Owned(code.into_owned()))
            }
            _ => code(status),
        },
        _ => None,
    })
}

fn code_of_status(status: &[u8]) -> Option<Cow<'_, str>> {
    let mut fields = Fields::default();
    fields.read(&mut Reader::new(status, 0), 0).ok()?;
    code(fields.value(Field::ErrorCode))
}

/// A code: whole numbers without leading zeros, `success` as 0, any other word as it stands.
fn code(value: Value<'_>) -> Option<Cow<'_, str>> {
    let word = match value {
        Value::Number(number) => Cow::Borrowed(std::str::from_utf8(number).ok()?),
        Value::Text(_) => text(value)?,
        _ => return None,
    };
    if word == "0" {
        return Some(word);
    }
    let trimmed = word.trim();
    if trimmed.eq_ignore_ascii_case("success") {
        return Some(Cow::Borrowed("0"));
    }
    if !trimmed.is_empty() && trimmed.bytes().all(|byte| byte.is_ascii_digit()) {
        let digits = match trimmed.trim_start_matches('0') {
            "" => return Some(Cow::Borrowed("0")),
            digits => digits.len(),
        };
        if digits == word.len() {
            return Some(word);
        }
        return trimmed
            .get(trimmed.len() - digits..)
            .map(|digits| Cow::Owned(digits.to_owned()));
    }
    // A spreadsheet or a re-typing pipeline makes `0.0` of it.
    let numeric = trimmed
        .bytes()
        .all(|byte| matches!(byte, b'0'..=b'9' | b'.' | b'-' | b'+' | b'e' | b'E'));
    if numeric
        && let Ok(number) = trimmed.parse::<f64>()
        && number.fract() == 0.0
        && number.abs() < 1e15
    {
        // Adding zero makes `-0` an ordinary one.
        return Some(Cow::Owned(format!("{:.0}", number + 0.0)));
    }
    Some(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Value<'_> {
        Reader::new(json.as_bytes(), 0).value(0).unwrap()
    }

    #[test]
    fn reads_codes() {
        let table = [
            ("0", Some("0")),
            ("\"0\"", Some("0")),
            ("\"000\"", Some("0")),
            ("-0", Some("0")),
            ("0.0", Some("0")),
            ("\"0.0\"", Some("0")),
            ("7000215", Some("7000215")),
            ("\"7000215\"", Some("7000215")),
            ("\" 007 \"", Some("7")),
            ("7.000215e6", Some("7000215")),
            ("\"Success\"", Some("0")),
            ("\"SUCCESS\"", Some("0")),
            ("\"Failure\"", Some("Failure")),
            ("\"Update\"", Some("Update")),
            ("1.5", Some("1.5")),
            ("\"\"", None),
            ("null", None),
            ("[]", None),
            ("true", None),
        ];
        for (json, expected) in table {
            assert_eq!(code(read(json)).as_deref(), expected, "{json}");
        }
    }

    #[test]
    fn reads_ids_and_texts() {
        assert_eq!(id(read("7")), None);
        assert_eq!(id(read("\" \"")), None);
        assert_eq!(text(read("{\"a\":1}")), None);
        let upper = "\"ABCDEF00-0000-0000-0000-000000000001\"";
        assert_eq!(
            lower_text(read(upper)).unwrap(),
            "abcdef00-0000-0000-0000-000000000001"
        );
        assert!(matches!(id(read(upper)), Some(Id::Guid(_))));
    }

    #[test]
    fn reads_lists_of_texts() {
        for json in [r#"["a", "b"]"#, r#""[\"a\",\"b\"]""#] {
            assert_eq!(texts(read(json)), ["a", "b"]);
        }
        assert_eq!(texts(read("\"a\"")), ["a"]);
        assert!(texts(read("[1,{}]")).is_empty());
    }
}
