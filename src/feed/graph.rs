//! Named locations of Conditional Access, as `GET /identity/conditionalAccess/namedLocations` lists them.
//!
//! <https://learn.microsoft.com/graph/api/conditionalaccessroot-list-namedlocations>: `value[]`, of which those of the
//! type `#microsoft.graph.ipNamedLocation` have `ipRanges[]` with `cidrAddress`, or with `lowerAddress` and
//! `upperAddress`. The key is a `displayName` or an `id`; without one it is all that are trusted.

use serde::Deserialize;

use super::{Fault, Prefix, no_key, ranges};
use crate::suggest::quoted;

#[derive(Debug, Deserialize)]
pub(super) struct Document {
    value: Vec<NamedLocation>,
    #[serde(rename = "@odata.nextLink")]
    next: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct NamedLocation {
    id: Option<String>,
    display_name: Option<String>,
    is_trusted: Option<bool>,
    /// Locations by country have none.
    ip_ranges: Option<Vec<Range>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Range {
    cidr_address: Option<String>,
    lower_address: Option<String>,
    upper_address: Option<String>,
}

impl Range {
    fn text(&self) -> String {
        match (&self.cidr_address, &self.lower_address, &self.upper_address) {
            (Some(cidr), _, _) => cidr.clone(),
            (None, Some(low), Some(high)) => format!("{low}-{high}"),
            _ => String::new(),
        }
    }
}

impl Document {
    pub(super) fn select(&self, key: Option<&str>) -> Result<Vec<Prefix>, Fault> {
        if self.next.is_some() {
            return Err(Fault {
                is_key: false,
                message: "the list of named locations goes on (`@odata.nextLink`)".to_owned(),
                help: "gather all pages into one `value`".to_owned(),
            });
        }
        let all = || {
            let locations = self.value.iter();
            locations.filter(|location| location.ip_ranges.is_some())
        };
        let chosen: Vec<&NamedLocation> = match key {
            None => all()
                .filter(|location| location.is_trusted == Some(true))
                .collect(),
            Some(key) => {
                let is_it = |name: &Option<String>| name.as_deref() == Some(key);
                let chosen: Vec<_> = all()
                    .filter(|location| is_it(&location.display_name) || is_it(&location.id))
                    .collect();
                if chosen.is_empty() {
                    let names = all().filter_map(|location| location.display_name.as_deref());
                    return Err(no_key("named location of addresses", key, names));
                }
                chosen
            }
        };
        let texts: Vec<(&str, String)> = chosen
            .iter()
            .flat_map(|location| {
                let name = location.display_name.as_deref().unwrap_or_default();
                let ranges = location.ip_ranges.iter().flatten();
                ranges.map(move |range| (name, range.text()))
            })
            .collect();
        let numbered = texts.iter().enumerate();
        ranges(
            numbered.map(|(number, (_, text))| (number, text.as_str())),
            |number| {
                let name = texts.get(number).map_or("", |(name, _)| name);
                format!("a range of {}", quoted(name))
            },
        )
    }
}
