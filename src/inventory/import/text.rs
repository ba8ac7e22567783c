//! Where an entry stands in a policy's text, and how what is added to it is written.
//!
//! The text is not written anew from its tree, only added to: comments, order, spacing and line ends of everything
//! that is there stay as they are.

use std::fmt::Write as _;

use toml::Spanned;
use toml::de::{DeTable, DeValue};
use uuid::Uuid;

pub(super) use crate::wording::toml_string as quoted;

/// Where things stand in the text of one `[[app]]`.
#[derive(Debug)]
pub(super) struct EntryPlace {
    /// Behind the last of the values that say what the app is; on the same line nothing but a comment follows.
    pub(super) identity_end: usize,
    /// Behind everything that belongs to the entry.
    pub(super) end: usize,
    /// Whether it is a table within `app = […]`, where a key more is a comma more.
    pub(super) inline: bool,
    /// What stands before the key `name` on its line, and how wide a key is up to the `=`.
    pub(super) indent: String,
    pub(super) key_width: usize,
    /// Whether it has the key `permissions`, empty or not.
    pub(super) has_permissions: bool,
    /// The credentials that have a header of their own.
    pub(super) credentials: Vec<CredentialPlace>,
}

/// Where an `[[app.credential]]` stands.
#[derive(Debug)]
pub(super) struct CredentialPlace {
    pub(super) key_id: Uuid,
    /// Behind its key id.
    pub(super) end: usize,
    /// What stands before the key on its line, and how wide a key is up to the `=`.
    pub(super) indent: String,
    pub(super) key_width: usize,
}

/// How a key is written: what stands before it on its line, and how wide it is up to the `=`.
fn layout(text: &str, key: usize, value: usize) -> (String, usize) {
    let before = text.get(..key).unwrap_or_default();
    let line = before.rfind('\n').map_or(0, |end| end + 1);
    let indent = before.get(line..).unwrap_or_default();
    let blank = indent.chars().all(|letter| matches!(letter, ' ' | '\t'));
    let written = text.get(key..value).unwrap_or_default();
    (
        if blank {
            indent.to_owned()
        } else {
            String::new()
        },
        written.find('=').unwrap_or(0),
    )
}

/// A line with a key: in the column of its neighbours; one as wide as that still wants a blank.
pub(super) fn line(indent: &str, key: &str, key_width: usize, value: &str) -> String {
    let width = key_width.clamp(key.len() + 1, 40);
    format!("{indent}{key:<width$}= {value}\n")
}

/// The entries of a text, in order; `None` where one is not as expected.
pub(super) fn entries(text: &str) -> Vec<Option<EntryPlace>> {
    let (tree, _) = DeTable::parse_recoverable(text);
    let Some(apps) = tree.get_ref().get("app") else {
        return Vec::new();
    };
    let Some(apps) = apps.get_ref().as_array() else {
        return Vec::new();
    };
    apps.iter().map(|app| place(text, app)).collect()
}

fn place(text: &str, app: &Spanned<DeValue<'_>>) -> Option<EntryPlace> {
    let table = app.get_ref().as_table()?;
    let (name_key, name) = table.get_key_value("name")?;
    let inline = text
        .get(app.span())
        .is_none_or(|text| !text.starts_with("[["));
    // A key written `app.name` stands under another header than its neighbours.
    let identity = ["name", "app_id", "service_principal_id", "owner", "purpose"];
    let identity_end = identity
        .iter()
        .filter_map(|key| table.get(*key))
        .filter(|value| value.get_ref().is_str())
        .map(|value| value.span().end)
        .max()?;
    let mut credentials = Vec::new();
    let listed = table.get("credential").map(Spanned::get_ref);
    for credential in listed.and_then(DeValue::as_array).into_iter().flatten() {
        let headed = text
            .get(credential.span())
            .is_some_and(|text| text.starts_with("[["));
        let table = credential.get_ref().as_table()?;
        let (key, value) = table.get_key_value("key_id")?;
        if let (true, Some(id)) = (headed, value.get_ref().as_str())
            && let Ok(key_id) = Uuid::try_parse(id.trim())
        {
            let (indent, key_width) = layout(text, key.span().start, value.span().start);
            credentials.push(CredentialPlace {
                key_id,
                end: value.span().end,
                indent,
                key_width,
            });
        }
    }
    let (indent, key_width) = layout(text, name_key.span().start, name.span().start);
    Some(EntryPlace {
        identity_end,
        end: end(app),
        inline,
        indent,
        key_width,
        has_permissions: table.get("permissions").is_some(),
        credentials,
    })
}

/// The end of a value and of everything in it. No recursion to speak of: TOML's reader bounds the depth.
fn end(value: &Spanned<DeValue<'_>>) -> usize {
    let within = match value.get_ref() {
        DeValue::Array(array) => array.iter().map(end).max(),
        DeValue::Table(table) => table.values().map(end).max(),
        _ => None,
    };
    within.unwrap_or(0).max(value.span().end)
}

/// A text with what is to be added, each at its place.
#[derive(Debug, Default)]
pub(super) struct Additions(Vec<(usize, String)>);

impl Additions {
    /// Adds lines below the line in which `place` is.
    pub(super) fn below(&mut self, text: &str, place: usize, lines: &str) {
        let rest = text.get(place..).unwrap_or_default();
        let end = rest.find('\n').map_or(text.len(), |end| place + end + 1);
        self.0.push((end, lines.to_owned()));
    }

    /// Adds something right at a place.
    pub(super) fn at(&mut self, place: usize, addition: String) {
        self.0.push((place, addition));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The text with them, with the line ends it has.
    pub(super) fn apply(mut self, text: &str) -> String {
        let crlf = text.contains("\r\n");
        // Stable: what was added first at a place stands first there.
        self.0.sort_by_key(|(place, _)| *place);
        let mut result = String::with_capacity(text.len() + 256);
        let mut done = 0;
        for (place, addition) in &self.0 {
            result.push_str(text.get(done..*place).unwrap_or_default());
            done = *place;
            let addition = match crlf {
                true => addition.replace('\n', "\r\n"),
                false => addition.clone(),
            };
            if *place == text.len() && !result.is_empty() && !result.ends_with('\n') {
                result.push_str(if crlf { "\r\n" } else { "\n" });
            }
            result.push_str(&addition);
        }
        result.push_str(text.get(done..).unwrap_or_default());
        result
    }
}

/// Texts as an array, on one line where they are few.
pub(super) fn array(texts: &[String], indent: &str) -> String {
    let quoted: Vec<String> = texts.iter().map(|text| quoted(text)).collect();
    let line = format!("[{}]", quoted.join(", "));
    if line.len() <= 90 {
        return line;
    }
    let mut lines = "[\n".to_owned();
    for text in quoted {
        let _ = writeln!(lines, "{indent}    {text},");
    }
    let _ = write!(lines, "{indent}]");
    lines
}

/// Each line behind `# `.
pub(super) fn commented(lines: &str) -> String {
    let mut text = String::with_capacity(lines.len() + 64);
    for line in lines.lines() {
        match line.is_empty() {
            true => text.push('#'),
            false => {
                text.push_str("# ");
                text.push_str(line);
            }
        }
        text.push('\n');
    }
    text
}
