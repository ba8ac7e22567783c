//! A small typed walk over TOML's spanned tree that reports what it does not like and goes on.

mod time;

use chrono::{NaiveDate, TimeDelta};
pub(crate) use time::parse_duration;
use time::{local_date, timestamp};
use toml::de::{DeTable, DeValue};
use toml::value::Datetime;
use uuid::Uuid;

use super::collect::Collector;
use super::diagnostic::Code;
use super::secret::looks_like_secret;
use super::source::{Located, Spot};
use super::suggest::{nearest, quoted};
use crate::sign_in::Timestamp;

/// TOML's value with its span.
type Value<'d> = toml::Spanned<DeValue<'d>>;

/// One value of the tree.
#[derive(Clone, Copy)]
pub(super) struct Node<'d> {
    file: usize,
    /// The key it stands under, for messages.
    key: &'d str,
    key_spot: Spot,
    value: &'d Value<'d>,
}

impl<'d> Node<'d> {
    /// Where the value stands.
    pub(super) fn spot(self) -> Spot {
        Spot::new(self.file, self.value.span())
    }

    /// Where its key stands.
    pub(super) fn key_spot(self) -> Spot {
        self.key_spot
    }

    pub(super) fn is_empty_array(self) -> bool {
        self.value
            .get_ref()
            .as_array()
            .is_some_and(|array| array.is_empty())
    }

    pub(super) fn is_table(self) -> bool {
        self.value.get_ref().is_table()
    }

    /// Keeps the strings in this value, however deep, out of excerpts where they fit a condition.
    /// TOML's reader bounds the depth.
    pub(super) fn hide_strings(self, collector: &mut Collector, condition: &dyn Fn(&str) -> bool) {
        match self.value.get_ref() {
            DeValue::String(text) if condition(text) => collector.hide(self.spot()),
            DeValue::Array(array) => {
                for value in array.iter() {
                    Self { value, ..self }.hide_strings(collector, condition);
                }
            }
            DeValue::Table(table) => {
                for value in table.values() {
                    Self { value, ..self }.hide_strings(collector, condition);
                }
            }
            _ => {}
        }
    }

    fn wrong_type<T>(self, collector: &mut Collector, expected: &str) -> Option<T> {
        let found = match self.value.get_ref() {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) => "an integer",
            DeValue::Float(_) => "a float",
            DeValue::Boolean(_) => "a boolean",
            DeValue::Datetime(_) => "a date or time",
            DeValue::Array(_) => "an array",
            DeValue::Table(_) => "a table",
        };
        let message = format!("`{}` takes {expected}, not {found}", self.key);
        collector.report(Code::WrongType, self.spot(), message);
        None
    }

    /// A string, as it is.
    pub(super) fn raw_text(self, collector: &mut Collector) -> Option<Located<String>> {
        match self.value.get_ref() {
            DeValue::String(text) => Some(Located {
                value: text.to_string(),
                spot: self.spot(),
            }),
            _ => self.wrong_type(collector, "a string"),
        }
    }

    /// A string that says something.
    pub(super) fn text(self, collector: &mut Collector) -> Option<Located<String>> {
        let text = self.raw_text(collector)?;
        if text.value.trim().is_empty() {
            let message = format!("`{}` is empty", self.key);
            collector.report(Code::Empty, text.spot, message);
            return None;
        }
        Some(text)
    }

    /// A GUID in the hyphenated form.
    pub(super) fn guid(self, collector: &mut Collector) -> Option<Located<Uuid>> {
        let text = self.raw_text(collector)?;
        match Some(text.value.trim())
            .filter(|guid| guid.len() == 36)
            .map(Uuid::try_parse)
        {
            Some(Ok(value)) => Some(Located {
                value,
                spot: text.spot,
            }),
            _ => {
                let message = format!("{} is no GUID", quoted(&text.value));
                collector
                    .report(Code::InvalidGuid, text.spot, message)
                    .help("the form is 00000000-1111-2222-3333-444444444444");
                None
            }
        }
    }

    /// One of some words.
    pub(super) fn word<T: Copy>(self, collector: &mut Collector, words: &[(&str, T)]) -> Option<T> {
        let text = self.raw_text(collector)?;
        if let Some((_, value)) = words.iter().find(|(word, _)| *word == text.value) {
            return Some(*value);
        }
        let words: Vec<_> = words.iter().map(|(word, _)| *word).collect();
        collector.unknown_word(&text, self.key, &words);
        None
    }

    pub(super) fn boolean(self, collector: &mut Collector) -> Option<bool> {
        match self.value.get_ref() {
            DeValue::Boolean(value) => Some(*value),
            _ => self.wrong_type(collector, "true or false"),
        }
    }

    /// A whole number that is not negative.
    pub(super) fn number(self, collector: &mut Collector) -> Option<u32> {
        let DeValue::Integer(number) = self.value.get_ref() else {
            return self.wrong_type(collector, "a whole number");
        };
        let value = u32::from_str_radix(number.as_str(), number.radix());
        if value.is_err() {
            let message = format!("`{}` must be between 0 and {}", self.key, u32::MAX);
            collector.report(Code::InvalidNumber, self.spot(), message);
        }
        value.ok()
    }

    /// A duration such as `30m`.
    pub(super) fn duration(self, collector: &mut Collector) -> Option<TimeDelta> {
        let text = self.raw_text(collector)?;
        let value = parse_duration(&text.value);
        if value.is_none() {
            let message = format!("{} is no duration", quoted(&text.value));
            collector
                .report(Code::InvalidDuration, text.spot, message)
                .help(
                    "write a whole number and s, m, h, d or w, such as \"90s\", \"30m\", \"1h\" or \"7d\" (at most 3650d)",
                );
        }
        value
    }

    /// A point in time with an offset.
    pub(super) fn time(self, collector: &mut Collector) -> Option<Located<Timestamp>> {
        let spot = self.spot();
        let DeValue::Datetime(time) = self.value.get_ref() else {
            return self.not_a_date(collector, "a date and time with an offset");
        };
        if time.time.is_some() && time.date.is_some() && time.offset.is_none() {
            let message = format!("`{}` lacks an offset from UTC", self.key);
            collector
                .report(Code::InvalidTime, spot, message)
                .help(format!("add `Z` for UTC: {time}Z"));
            return None;
        }
        let Some(value) = timestamp(time) else {
            let message = format!("`{}` takes a date and time with an offset", self.key);
            let help = match (time.date, time.time) {
                (Some(date), None) => format!("write {date}T00:00:00Z"),
                _ => "write, for example, 2026-12-31T00:00:00Z".to_owned(),
            };
            collector
                .report(Code::InvalidTime, spot, message)
                .help(help);
            return None;
        };
        Some(Located { value, spot })
    }

    /// A local date.
    pub(super) fn date(self, collector: &mut Collector) -> Option<Located<NaiveDate>> {
        let spot = self.spot();
        let DeValue::Datetime(date) = self.value.get_ref() else {
            return self.not_a_date(collector, "a date");
        };
        let plain = date.time.is_none() && date.offset.is_none();
        let value = date.date.filter(|_| plain).and_then(local_date);
        let Some(value) = value else {
            let message = format!(
                "`{}` takes a date: it is valid through that UTC day",
                self.key
            );
            let help = date.date.map_or_else(
                || "write, for example, 2027-03-01".to_owned(),
                |date| format!("write {date}"),
            );
            collector
                .report(Code::InvalidTime, spot, message)
                .help(help);
            return None;
        };
        Some(Located { value, spot })
    }

    fn not_a_date<T>(self, collector: &mut Collector, expected: &str) -> Option<T> {
        if let DeValue::String(text) = self.value.get_ref()
            && text.parse::<Datetime>().is_ok()
        {
            let message = format!("`{}` takes {expected}, not a string", self.key);
            collector
                .report(Code::WrongType, self.spot(), message)
                .help("remove the quotes");
            return None;
        }
        self.wrong_type(collector, expected)
    }

    /// The members of an array; `None` (and a report) where it is none.
    pub(super) fn members(self, collector: &mut Collector, of: &str) -> Option<Vec<Self>> {
        let DeValue::Array(array) = self.value.get_ref() else {
            return self.wrong_type(collector, &format!("an array of {of}"));
        };
        Some(array.iter().map(|value| Self { value, ..self }).collect())
    }

    /// An array of strings that say something.
    pub(super) fn texts(self, collector: &mut Collector) -> Option<Vec<Located<String>>> {
        let members = self.members(collector, "strings")?;
        Some(
            members
                .into_iter()
                .filter_map(|member| member.text(collector))
                .collect(),
        )
    }

    /// The fields of a table; `None` (and a report) where it is none.
    pub(super) fn fields(self, collector: &mut Collector) -> Option<Fields<'d>> {
        match self.value.get_ref() {
            DeValue::Table(table) => Some(Fields::new(self.file, table, self.spot())),
            _ => self.wrong_type(collector, "a table"),
        }
    }
}

/// The fields of a table; what is not asked for by the end is an unknown key.
pub(super) struct Fields<'d> {
    file: usize,
    table: &'d DeTable<'d>,
    /// Where the table is headed.
    pub(super) spot: Spot,
    asked: Vec<&'static str>,
}

impl<'d> Fields<'d> {
    pub(super) fn new(file: usize, table: &'d DeTable<'d>, spot: Spot) -> Self {
        Self {
            file,
            table,
            spot,
            asked: Vec::new(),
        }
    }

    /// The value of an optional key.
    pub(super) fn get(&mut self, key: &'static str) -> Option<Node<'d>> {
        self.asked.push(key);
        let (key, value) = self.table.get_key_value(key)?;
        Some(Node {
            file: self.file,
            key: key.get_ref(),
            key_spot: Spot::new(self.file, key.span()),
            value,
        })
    }

    /// The value of a key that must be there.
    pub(super) fn require(
        &mut self,
        collector: &mut Collector,
        key: &'static str,
        what: &str,
        help: &str,
    ) -> Option<Node<'d>> {
        let node = self.get(key);
        if node.is_none() {
            let message = format!("{what} needs `{key}`");
            collector
                .report(Code::MissingKey, self.spot, message)
                .help(help);
        }
        node
    }

    /// All values, for tables whose keys are names.
    pub(super) fn entries(&self) -> Vec<Node<'d>> {
        self.table
            .iter()
            .map(|(key, value)| Node {
                file: self.file,
                key: key.get_ref(),
                key_spot: Spot::new(self.file, key.span()),
                value,
            })
            .collect()
    }

    /// Reports the keys that were not asked for.
    pub(super) fn finish(self, collector: &mut Collector, what: &str) {
        for node in self.entries() {
            let name = node.key;
            if self.asked.contains(&name) {
                continue;
            }
            // Who writes `client_secret = …` has it in the file: it need not be in a log too.
            let lower = name.to_ascii_lowercase();
            let telling = ["secret", "token", "password", "key", "url"];
            let named = telling.iter().any(|word| lower.contains(word));
            node.hide_strings(collector, &|text| {
                named || node.is_table() || looks_like_secret(text)
            });
            let message = format!("{what} has no key {}", quoted(name));
            let help = match nearest(name, self.asked.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("known here: {}", self.asked.join(", ")),
            };
            collector
                .report(Code::UnknownKey, node.key_spot, message)
                .help(help);
        }
    }
}

impl<'d> Node<'d> {
    /// The key it stands under.
    pub(super) fn key(self) -> &'d str {
        self.key
    }
}
