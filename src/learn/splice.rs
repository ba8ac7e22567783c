//! Values added to lists of a policy's text: everything that stands there stays as it is.

use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

use crate::wording::toml_string;

/// A list of the text, and where it stands.
struct List {
    /// Behind its last element; `None` where it is empty.
    last: Option<usize>,
    /// Its closing bracket.
    end: usize,
}

/// What is to be put into a text.
#[derive(Debug, Default)]
pub(super) struct Splices(Vec<(usize, String)>);

impl Splices {
    /// Adds values, each with a remark above it, to `allow.KEY` of the entry of that name. Whether there is such an
    /// entry; one without the list allows everything of its kind, and lacks nothing.
    pub(super) fn add(
        &mut self,
        text: &str,
        entry: &str,
        lists: &[(&'static str, Vec<(String, String)>)],
    ) -> bool {
        let (tree, _) = DeTable::parse_recoverable(text);
        let Some(app) = app(tree.get_ref(), entry) else {
            return false;
        };
        let end_of_line = if text.contains("\r\n") { "\r\n" } else { "\n" };
        for (key, values) in lists {
            if let Some(list) = list(app, key)
                && !values.is_empty()
            {
                self.extend(text, &list, values, end_of_line);
            }
        }
        true
    }

    fn extend(&mut self, text: &str, list: &List, values: &[(String, String)], end_of_line: &str) {
        let behind = text
            .get(list.last.unwrap_or(list.end)..list.end)
            .unwrap_or_default();
        if let Some(last) = list.last
            && !has_comma(behind)
        {
            self.0.push((last, ",".to_owned()));
        }
        let mut added = String::new();
        for (value, remark) in values {
            for line in [
                format!("# learnt: {remark}"),
                format!("{},", toml_string(value)),
            ] {
                added.push_str(end_of_line);
                added.push_str("    ");
                added.push_str(&line);
            }
        }
        added.push_str(end_of_line);
        // What stands before the bracket on its line moves to the new one; a remark stays where it is.
        let at = list.end - (behind.len() - behind.trim_end().len());
        self.0.push((at, added));
        self.0.push((list.end, String::new()));
    }

    /// The text with everything in it.
    pub(super) fn into_text(mut self, text: &str) -> String {
        self.0.sort_by_key(|(at, _)| *at);
        let mut spliced = String::with_capacity(text.len());
        let mut done = 0;
        for (at, added) in self.0 {
            let before = text.get(done..at).unwrap_or_default();
            // Of the blanks before a closing bracket nothing is left: the bracket has its own line.
            match added.is_empty() && before.trim().is_empty() {
                true => {}
                false => spliced.push_str(before),
            }
            spliced.push_str(&added);
            done = at;
        }
        spliced.push_str(text.get(done..).unwrap_or_default());
        spliced
    }
}

/// The entry of that name.
fn app<'t>(tree: &'t DeTable<'_>, name: &str) -> Option<&'t DeTable<'t>> {
    let apps = tree.get("app")?.get_ref().as_array()?;
    let mut tables = apps.iter().filter_map(|app| app.get_ref().as_table());
    tables.find(|table| {
        let known = table.get("name").map(Spanned::get_ref);
        matches!(known, Some(DeValue::String(known)) if *known == name)
    })
}

fn list(app: &DeTable<'_>, key: &str) -> Option<List> {
    let allow = app.get("allow")?.get_ref().as_table()?;
    let value = allow.get(key)?;
    let array: &DeArray<'_> = value.get_ref().as_array()?;
    Some(List {
        last: array.iter().last().map(|last| last.span().end),
        // INVARIANT: an array ends in its bracket, which has one byte.
        end: value.span().end.saturating_sub(1),
    })
}

/// Whether a comma stands in what follows the last element, outside of remarks.
fn has_comma(behind: &str) -> bool {
    let lines = behind.lines();
    lines
        .map(|line| line.split('#').next().unwrap_or_default())
        .any(|line| line.contains(','))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spliced(list: &str) -> String {
        let text = format!("[[app]]\nname = \"a\"\nallow.ips = {list}\nowner = \"x\" # who\n");
        let mut splices = Splices::default();
        let values = vec![("192.0.2.1".to_owned(), "seen".to_owned())];
        assert!(splices.add(&text, "a", &[("ips", values)]));
        let spliced = splices.into_text(&text);
        let known = "\nowner = \"x\" # who\n";
        assert!(spliced.ends_with(known), "{spliced}");
        let (_, rest) = spliced.split_once("allow.ips = ").unwrap();
        rest.strip_suffix(known).unwrap().to_owned()
    }

    #[test]
    fn values_go_behind_what_is_there_with_its_remarks() {
        let added = "\n    # learnt: seen\n    \"192.0.2.1\",\n]";
        for (before, kept) in [
            ("[]", "["),
            ("[\"@a\"]", "[\"@a\","),
            ("[ \"@a\" , ]", "[ \"@a\" ,"),
            ("[\n  \"@a\", # one, two\n]", "[\n  \"@a\", # one, two"),
            ("[\n  \"@a\" # one, two\n]", "[\n  \"@a\", # one, two"),
            (
                "[\n  \"@a\",\n  # last words\n]",
                "[\n  \"@a\",\n  # last words",
            ),
        ] {
            assert_eq!(spliced(before), format!("{kept}{added}"), "{before}");
        }
        let mut splices = Splices::default();
        assert!(!splices.add("[[app]]\nname = \"b\"\n", "a", &[]));
    }

    #[test]
    fn line_ends_stay_what_they_are() {
        let text = "[[app]]\r\nname = \"a\"\r\nallow.places = [\"CH\"]\r\n";
        let mut splices = Splices::default();
        let values = vec![("AT".to_owned(), "seen".to_owned())];
        splices.add(text, "a", &[("places", values)]);
        let spliced = splices.into_text(text);
        assert!(!spliced.replace("\r\n", "").contains('\n'), "{spliced:?}");
    }
}
