//! Where a sign-in came from, in the spellings of the shapes.

use std::borrow::Cow;

use super::field::{Field, field_of};
use super::json::{Reader, Value};
use super::value::{country, is_country_code, text, upper};

/// A place as far as it is known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Place<'a> {
    pub(super) country: Option<Cow<'a, str>>,
    pub(super) state: Option<Cow<'a, str>>,
    pub(super) city: Option<Cow<'a, str>>,
}

impl<'a> Place<'a> {
    /// Reads three separate values.
    pub(super) fn of_parts(country_value: Value<'a>, state: Value<'a>, city: Value<'a>) -> Self {
        Self {
            country: country(country_value),
            state: text(state),
            city: text(city),
        }
    }

    /// Reads `{"city","state","countryOrRegion"}`, or the text of such an object.
    pub(super) fn of_object(value: Value<'a>) -> Self {
        match value {
            Value::Object(span) => Self::of_span(span).unwrap_or_default(),
            Value::Text(_) => match text(value) {
                Some(text) if text.trim_start().starts_with('{') => {
                    Place::of_span(text.trim().as_bytes())
                        .map_or_else(Self::default, Place::into_owned)
                }
                _ => Self::default(),
            },
            _ => Self::default(),
        }
    }

    fn of_span(span: &'a [u8]) -> Option<Self> {
        let (mut country, mut state, mut city) = (Value::Null, Value::Null, Value::Null);
        let mut reader = Reader::new(span, 0);
        let mut next = reader.next_key(true).ok()?;
        while let Some(key) = next {
            let value = reader.value(1).ok()?;
            match field_of(key) {
                Some(Field::Country) => country = value,
                Some(Field::State) => state = value,
                Some(Field::City) => city = value,
                _ => {}
            }
            next = reader.next_key(false).ok()?;
        }
        Some(Self::of_parts(country, state, city))
    }

    /// Reads the portal's `City, State, CC`; a city may hold commas itself, and any part may be missing.
    pub(super) fn of_line(line: Option<Cow<'a, str>>) -> Self {
        let Some(line) = line else {
            return Self::default();
        };
        match line {
            Cow::Borrowed(line) => split(line),
            Cow::Owned(line) => split(&line).into_owned(),
        }
    }

    fn into_owned<'b>(self) -> Place<'b> {
        let own = |part: Option<Cow<'_, str>>| part.map(|part| Cow::Owned(part.into_owned()));
        Place {
            country: own(self.country),
            state: own(self.state),
            city: own(self.city),
        }
    }
}

fn split(line: &str) -> Place<'_> {
    let part = |part: &'_ str| -> Option<String> {
        Some(part.trim().to_owned()).filter(|part| !part.is_empty())
    };
    let (rest, last) = line.rsplit_once(',').unwrap_or(("", line));
    if !is_country_code(last) {
        return Place::default();
    }
    let (city, state) = rest.rsplit_once(',').unwrap_or((rest, ""));
    Place {
        country: Some(upper(Cow::Borrowed(last.trim()))),
        state: part(state).map(Cow::Owned),
        city: part(city).map(Cow::Owned),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(place: &Place<'_>) -> [Option<String>; 3] {
        [&place.country, &place.state, &place.city].map(|part| part.as_deref().map(str::to_owned))
    }

    #[test]
    fn reads_the_portal_line() {
        let table = [
            (
                "Quincy, Washington, US",
                [Some("US"), Some("Washington"), Some("Quincy")],
            ),
            (
                "Quincy,Washington,us",
                [Some("US"), Some("Washington"), Some("Quincy")],
            ),
            (
                "Washington, D.C., District of Columbia, US",
                [
                    Some("US"),
                    Some("District of Columbia"),
                    Some("Washington, D.C."),
                ],
            ),
            ("Zug, CH", [Some("CH"), None, Some("Zug")]),
            (", , CH", [Some("CH"), None, None]),
            ("CH", [Some("CH"), None, None]),
            ("Somewhere", [None, None, None]),
            ("", [None, None, None]),
        ];
        for (line, expected) in table {
            let place = Place::of_line(Some(Cow::Borrowed(line)));
            assert_eq!(
                parts(&place),
                expected.map(|part| part.map(str::to_owned)),
                "{line:?}"
            );
        }
    }

    #[test]
    fn reads_objects_and_their_text() {
        for json in [
            r#"{"city":"Zug","state":"","countryOrRegion":"ch","geoCoordinates":{"latitude":0.0}}"#,
            r#""{\"city\":\"Zug\",\"CountryOrRegion\":\"CH\"}""#,
        ] {
            let place = Place::of_object(Reader::new(json.as_bytes(), 0).value(0).unwrap());
            assert_eq!(parts(&place), [Some("CH".into()), None, Some("Zug".into())]);
        }
        for json in [r#"{"geoCoordinates":{}}"#, "\"{\"", "7", "\"CH\""] {
            let value = Reader::new(json.as_bytes(), 0).value(0).unwrap();
            assert_eq!(Place::of_object(value), Place::default());
        }
    }
}
