//! Places: `country[/state[/city]]`, and sets of them.

use std::borrow::Cow;
use std::sync::Arc;

use super::country;
use super::diagnostic::Code;
use super::suggest::{nearest, quoted};
use crate::sign_in::{SignIn, fold_name};

/// A place and how the policy writes it. A state or city that is absent matches any.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// Upper-case ISO 3166-1 alpha-2.
    country: [u8; 2],
    /// Folded.
    state: Option<Box<str>>,
    /// Folded.
    city: Option<Box<str>>,
    pub(super) text: Arc<str>,
}

/// Why a text is no place: code, message, help.
pub(super) type PlaceFault = (Code, String, String);

/// Reads `country[/state[/city]]`. The city may hold a slash of its own, as Biel/Bienne does.
pub(super) fn parse_place(text: &str) -> Result<Place, PlaceFault> {
    let mut parts = text.splitn(3, '/').map(str::trim);
    let word = parts.next().unwrap_or_default();
    let country = <[u8; 2]>::try_from(word.to_ascii_uppercase().as_bytes())
        .ok()
        .filter(|code| country::is_known(*code));
    let Some(country) = country else {
        let message = format!("{} is no ISO 3166 country code", quoted(word));
        let help = match country::by_name(word).or_else(|| nearest(word, country::codes())) {
            Some(code) => format!("did you mean {code:?}?"),
            None => "places are written country[/state[/city]], such as \"US/Washington/Redmond\", with a two-letter country code".into(),
        };
        return Err((Code::UnknownCountry, message, help));
    };
    let (state, city) = (parts.next(), parts.next());
    if state.is_some_and(str::is_empty) || city.is_some_and(str::is_empty) {
        return Err((
            Code::InvalidPlace,
            format!("{} has an empty part", quoted(text)),
            "places are written country[/state[/city]]; leave off what does not matter from the end".into(),
        ));
    }
    let folded = |part: &str| fold_name(part).into_owned().into_boxed_str();
    Ok(Place {
        country,
        state: state.map(folded),
        city: city.map(folded),
        text: text.trim().into(),
    })
}

/// Whether a text is a place that a policy can name.
pub fn is_place(text: &str) -> bool {
    parse_place(text).is_ok()
}

fn country_of(sign_in: &SignIn<'_>) -> Option<[u8; 2]> {
    let mut country = <[u8; 2]>::try_from(sign_in.country.as_deref()?.as_bytes()).ok()?;
    country.make_ascii_uppercase();
    Some(country)
}

impl Place {
    fn is_country(&self) -> bool {
        self.state.is_none() && self.city.is_none()
    }

    fn matches(&self, sign_in: &SignIn<'_>) -> bool {
        same_name(self.state.as_deref(), sign_in.state.as_deref())
            && same_name(self.city.as_deref(), sign_in.city.as_deref())
    }

    /// Whether a sign-in is at this place; not where its country is unknown.
    pub(super) fn holds(&self, sign_in: &SignIn<'_>) -> bool {
        country_of(sign_in) == Some(self.country) && self.matches(sign_in)
    }

    /// Whether every sign-in at the other place is at this one.
    fn covers(&self, other: &Self) -> bool {
        let holds =
            |mine: &Option<Box<str>>, theirs: &Option<Box<str>>| mine.is_none() || mine == theirs;
        self.country == other.country
            && holds(&self.state, &other.state)
            && holds(&self.city, &other.city)
    }
}

/// Compares a folded name with one as logged; ASCII, which is nearly every one, without allocation.
fn same_name(rule: Option<&str>, logged: Option<&str>) -> bool {
    match (rule, logged) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(rule), Some(logged)) if logged.is_ascii() => rule.eq_ignore_ascii_case(logged.trim()),
        (Some(rule), Some(logged)) => rule == fold_name(logged),
    }
}

/// A set of places, sorted by country.
#[derive(Debug, Clone, Default)]
pub(super) struct PlaceSet {
    /// The countries that are in it as a whole, sorted: what most rules ask for, small enough for one cache line.
    countries: Box<[[u8; 2]]>,
    sorted: Vec<Place>,
    /// How the first few are written, in the policy's order.
    first: Vec<Arc<str>>,
}

/// As many places are named in a message.
pub(super) const NAMED: usize = 5;

impl PlaceSet {
    pub(super) fn build(places: &[Place]) -> Self {
        let mut sorted: Vec<Place> = Vec::with_capacity(places.len());
        let mut first = Vec::new();
        let mut seen = rustc_hash::FxHashSet::default();
        for place in places {
            if seen.insert((place.country, &place.state, &place.city)) {
                if first.len() < NAMED {
                    first.push(Arc::clone(&place.text));
                }
                sorted.push(place.clone());
            }
        }
        sorted.sort_by_key(|place| place.country);
        let whole = sorted.iter().filter(|place| place.is_country());
        Self {
            countries: whole.map(|place| place.country).collect(),
            sorted,
            first,
        }
    }

    fn in_country(&self, country: [u8; 2]) -> impl Iterator<Item = &Place> {
        let start = self.sorted.partition_point(|place| place.country < country);
        self.sorted
            .iter()
            .skip(start)
            .take_while(move |place| place.country == country)
    }

    /// Whether a sign-in is at one of the places; not where its country is unknown.
    pub(super) fn contains(&self, sign_in: &SignIn<'_>) -> bool {
        let Some(country) = country_of(sign_in) else {
            return false;
        };
        self.countries.binary_search(&country).is_ok()
            || self.countries.len() < self.sorted.len()
                && self.in_country(country).any(|place| place.matches(sign_in))
    }

    /// The place that a sign-in is at; `None` also where its country is unknown.
    pub(super) fn find(&self, sign_in: &SignIn<'_>) -> Option<&str> {
        self.in_country(country_of(sign_in)?)
            .find(|place| place.matches(sign_in))
            .map(|place| &*place.text)
    }

    pub(super) fn covers(&self, other: &Place) -> bool {
        self.in_country(other.country)
            .any(|place| place.covers(other))
    }

    /// The countries that are in it as a whole.
    pub(super) fn countries(&self) -> impl Iterator<Item = &[u8; 2]> {
        self.countries.iter()
    }

    pub(super) fn places(&self) -> impl Iterator<Item = &Place> {
        self.sorted.iter()
    }

    pub(super) fn len(&self) -> usize {
        self.sorted.len()
    }

    pub(super) fn first(&self) -> &[Arc<str>] {
        &self.first
    }
}

/// A sign-in's place as people write it: `RU/Moskva/Moskva`.
pub(super) fn place_text(sign_in: &SignIn<'_>) -> String {
    let parts: [Option<&str>; 3] = [
        sign_in.country.as_deref(),
        sign_in.state.as_deref(),
        sign_in.city.as_deref(),
    ];
    let known = parts
        .iter()
        .rposition(Option::is_some)
        .map_or(0, |last| last + 1);
    let parts: Vec<Cow<'_, str>> = parts
        .iter()
        .take(known)
        .map(|part| part.map_or(Cow::Borrowed("?"), Cow::Borrowed))
        .collect();
    parts.join("/")
}
