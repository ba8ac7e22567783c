//! Where an application signs in from, as exactly as that is steady.

use std::collections::BTreeMap;

use super::history::{App, MOST_VALUES, Sight, Values, Where};
use super::propose::List;
use super::steady::Steadiness;
use crate::policy::is_place;

/// The countries of places that an entry lacks.
pub(super) fn country_places(lacking: &Values<Where>) -> BTreeMap<String, Sight> {
    let mut countries: BTreeMap<String, Sight> = BTreeMap::new();
    for (place, sight) in lacking.iter() {
        if let Some(text) = Level::Country.text(place) {
            let joined = countries
                .get(&text)
                .map_or(*sight, |known| known.join(*sight));
            countries.insert(text, joined);
        }
    }
    countries
}

/// How exactly a place is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    City,
    State,
    Country,
}

impl Level {
    /// The place at this level; `None` where it is not told so exactly, or not in words that a policy can hold.
    fn text(self, place: &Where) -> Option<String> {
        let parts: &[&str] = match self {
            Self::City => &[&place.country, &place.state, &place.city],
            Self::State => &[&place.country, &place.state],
            Self::Country => &[&place.country],
        };
        let well = parts
            .iter()
            .all(|part: &&str| !part.is_empty() && part.trim() == *part)
            && !(self != Self::Country && place.state.contains('/'))
            && !parts.iter().any(|part| part.contains(char::is_control));
        let text = parts.join("/");
        (well && is_place(&text)).then_some(text)
    }
}

/// Places as exactly as they are steady. Where addresses are listed, a country is enough beside them.
pub(super) fn places(app: &App, all: &Sight, has_ips: bool) -> List<String> {
    if app.without_country > 0 {
        return List::Untold(app.without_country);
    }
    if app.places.is_empty() {
        return List::None;
    }
    let levels: &[Level] = match has_ips {
        true => &[Level::Country],
        false => &[Level::City, Level::State, Level::Country],
    };
    let mut coarsest = List::None;
    for level in levels {
        let mut sights: BTreeMap<String, Sight> = BTreeMap::new();
        let mut told = true;
        for (place, sight) in app.places.iter() {
            match level.text(place) {
                Some(text) => {
                    let joined = sights.get(&text).map_or(*sight, |known| known.join(*sight));
                    sights.insert(text, joined);
                }
                None => told = false,
            }
        }
        if !told {
            continue;
        }
        let mut steadiness = Steadiness::of(all, sights.values());
        if app.places.overflowed() {
            steadiness.late += MOST_VALUES;
        }
        coarsest = List::of(sights.into_keys().collect(), steadiness);
        if coarsest.is_steady() {
            break;
        }
    }
    coarsest
}

/// Where it was seen most, for people.
pub(super) fn cities(app: &App) -> Vec<String> {
    let mut places: Vec<(&Where, &Sight)> = app.places.iter().collect();
    places.sort_by(|(a, seen_a), (b, seen_b)| (seen_b.count, *a).cmp(&(seen_a.count, *b)));
    let names = places.into_iter().map(|(place, _)| {
        let parts = [&place.city, &place.state, &place.country];
        let parts = parts.into_iter().filter(|part| !part.is_empty());
        parts.cloned().collect::<Vec<_>>().join(", ")
    });
    names.take(4).collect()
}
