//! CSV: the portal's download and query exports of Log Analytics.
//!
//! RFC 4180, read row by row. A row that breaks its rules costs one line: the quote that is missing
//! there must not swallow the rows behind it.

use std::borrow::Cow;

use super::document::MAX_RECORD;
use super::field::{Field, Fields};
use super::identity;
use super::interpret::{Details, Row, interpret};
use super::json::{Text, Value};
use super::shape::line_end;
use super::whereabouts::Whereabouts;
use super::{Context, Item, Offset, Position, Reject, UTF8_MARK};

/// How much of an overlong row its reject keeps.
const KEPT_OF_OVERLONG: usize = 64 << 10;

/// Reads the rows of a CSV file, window by window. The first row is the header.
#[derive(Debug, Clone)]
pub struct Csv<'c> {
    context: &'c Context,
    header: Option<Header>,
    /// The rest of an overlong line, already rejected, is still to come.
    skipping: bool,
    whereabouts: Whereabouts,
    records: u64,
    max_record: usize,
}

/// The columns of a file.
#[derive(Debug, Clone)]
struct Header {
    names: Vec<String>,
    fields: Vec<Option<Field>>,
    portal: bool,
}

/// The cells of a row, one behind the other, and where each ends.
#[derive(Debug, Default)]
struct Cells {
    text: Vec<u8>,
    ends: Vec<usize>,
    /// Bytes of the row with its line break.
    length: usize,
    /// A cell holds a line break.
    many_lines: bool,
}

/// Why a row cannot be split.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RowError {
    /// More of the source is needed.
    More,
    /// A quote is not closed up to the end of the source.
    Unclosed,
    /// Something stands behind a closing quote, at this byte.
    BehindQuote(usize),
}

impl<'c> Csv<'c> {
    /// Begins at the start of a file.
    pub fn new(context: &'c Context) -> Self {
        Self {
            context,
            header: None,
            skipping: false,
            whereabouts: Whereabouts::new(Offset::default()),
            records: 0,
            max_record: MAX_RECORD,
        }
    }

    #[cfg(test)]
    pub(super) fn with_max_record(self, max_record: usize) -> Self {
        Self { max_record, ..self }
    }

    /// How much has been read, in records, lines and bytes.
    pub fn offset(&self) -> Offset {
        self.whereabouts.offset(self.records)
    }

    /// Reads as many whole rows as the window holds; as [`Document::read`](super::Document::read) does.
    pub fn read(
        &mut self,
        window: &[u8],
        last: bool,
        visit: &mut dyn FnMut(Position, &Item<'_>),
    ) -> usize {
        let mut at = 0;
        if self.whereabouts.is_start() {
            if !last && window.len() < UTF8_MARK.len() {
                return 0;
            }
            if window.starts_with(UTF8_MARK) {
                at = UTF8_MARK.len();
            }
        }
        let mut cells = Cells::default();
        while at < window.len() {
            let end_of_line = line_end(window, at);
            let behind_line = window.len().min(end_of_line + 1);
            if self.skipping {
                self.skipping = end_of_line == window.len();
                at = behind_line;
                continue;
            }
            let rest = window.get(at..).unwrap_or_default();
            let wrong = match cells.split(rest, last) {
                Ok(()) => match self.row(&cells, rest, (window, at), visit) {
                    Ok(()) => {
                        at += cells.length;
                        continue;
                    }
                    Err(wrong) if !cells.many_lines => {
                        let row = rest.get(..cells.length).unwrap_or_default();
                        self.reject(window, at, wrong, row, visit);
                        at += cells.length;
                        continue;
                    }
                    Err(wrong) => wrong,
                },
                Err(RowError::More) if rest.len() < self.max_record => break,
                Err(RowError::More | RowError::Unclosed) => {
                    "a quote that is never closed".to_owned()
                }
                Err(RowError::BehindQuote(byte)) => format!(
                    "expected a comma or the end of the row behind the closing quote at byte {byte} of the row \
                     (a quote inside a cell is written twice)"
                ),
            };
            // Only the first line of what should have been a row: the next may be a row again.
            if last || end_of_line < window.len() {
                let line = window.get(at..end_of_line).unwrap_or_default();
                self.reject(window, at, wrong, line, visit);
                at = behind_line;
                continue;
            }
            if rest.len() < self.max_record {
                break;
            }
            let wrong = format!(
                "a row of more than {} MiB; only its first {} KiB are kept",
                self.max_record >> 20,
                KEPT_OF_OVERLONG >> 10
            );
            let kept = rest.get(..KEPT_OF_OVERLONG).unwrap_or(rest);
            self.reject(window, at, wrong, kept, visit);
            self.skipping = true;
            at = window.len();
        }
        self.whereabouts.advance(window, at);
        at
    }

    /// Shows the visitor a row, or says what is wrong with it.
    fn row(
        &mut self,
        cells: &Cells,
        rest: &[u8],
        (window, at): (&[u8], usize),
        visit: &mut dyn FnMut(Position, &Item<'_>),
    ) -> Result<(), String> {
        let text = std::str::from_utf8(&cells.text).map_err(|error| {
            format!(
                "invalid UTF-8 behind {} bytes of the row's text",
                error.valid_up_to()
            )
        })?;
        let values = || cells.values(text);
        if text.trim().is_empty() && cells.ends.len() == 1 {
            return Ok(());
        }
        let header = match &self.header {
            Some(header) if header.repeats(values()) => return Ok(()),
            Some(header) => header,
            None => {
                self.header = Some(Header::new(values()));
                return Ok(());
            }
        };
        if header.names.len() != cells.ends.len() {
            return Err(format!(
                "expected {} cells as in the header, found {}",
                header.names.len(),
                cells.ends.len()
            ));
        }
        let mut fields = Fields::default();
        for (field, value) in header.fields.iter().zip(values()) {
            if let Some(field) = field {
                fields.set(*field, Value::Text(Text::verbatim(value)));
            }
        }
        self.records += 1;
        let position = Position {
            record: self.records,
            line: self.whereabouts.line(window, at),
        };
        interpret(
            &Row {
                place: None,
                top: &fields,
                details: match header.portal {
                    true => Details::Portal,
                    false => Details::Flat,
                },
                body: rest
                    .get(..cells.length)
                    .unwrap_or_default()
                    .trim_ascii_end(),
                content: &|hash| {
                    for (name, value) in header.names.iter().zip(values()) {
                        if !identity::of_delivery(name) {
                            identity::token(hash, b'k', name.as_bytes());
                            identity::token(hash, b's', value.as_bytes());
                        }
                    }
                },
            },
            self.context,
            &mut |item| visit(position, item),
        );
        Ok(())
    }

    fn reject(
        &mut self,
        window: &[u8],
        at: usize,
        wrong: String,
        body: &[u8],
        visit: &mut dyn FnMut(Position, &Item<'_>),
    ) {
        self.records += 1;
        let line = self.whereabouts.line(window, at);
        visit(
            Position {
                record: self.records,
                line,
            },
            &Item::Reject(Reject {
                error: format!("invalid CSV at line {line}: {wrong}").into(),
                body: Cow::Borrowed(body.trim_ascii_end()),
            }),
        );
    }
}

impl Header {
    fn new<'a>(cells: impl Iterator<Item = &'a str>) -> Self {
        let names: Vec<String> = cells.map(|cell| column_name(cell).to_owned()).collect();
        let portal = names
            .iter()
            .any(|name| name.eq_ignore_ascii_case("Date (UTC)"));
        let fields = names
            .iter()
            .map(|name| match portal {
                true => Field::of_portal_column(name),
                false => Field::of_key(name.as_bytes()),
            })
            .collect();
        Self {
            names,
            fields,
            portal,
        }
    }

    /// Whether a row is the header again, as between files that were concatenated.
    fn repeats<'a>(&self, cells: impl Iterator<Item = &'a str>) -> bool {
        cells
            .map(column_name)
            .eq(self.names.iter().map(String::as_str))
    }
}

impl Cells {
    fn values<'t>(&self, text: &'t str) -> impl Iterator<Item = &'t str> {
        let mut start = 0;
        self.ends.iter().map(move |end| {
            let cell = text.get(start..*end).unwrap_or_default();
            start = *end;
            cell
        })
    }

    /// Splits the row at the start of `bytes`.
    fn split(&mut self, bytes: &[u8], last: bool) -> Result<(), RowError> {
        self.text.clear();
        self.ends.clear();
        self.length = 0;
        self.many_lines = false;
        let mut at = 0;
        loop {
            at = match bytes.get(at) {
                Some(b'"') => self.quoted(bytes, at, last)?,
                _ => self.bare(bytes, at, last)?,
            };
            self.ends.push(self.text.len());
            match bytes.get(at) {
                Some(b',') => at += 1,
                Some(b'\r') => {
                    self.length = at + 2;
                    return Ok(());
                }
                Some(_) => {
                    self.length = at + 1;
                    return Ok(());
                }
                None => {
                    self.length = at;
                    return Ok(());
                }
            }
        }
    }

    /// Takes a cell without quotes; returns where it ends.
    fn bare(&mut self, bytes: &[u8], start: usize, last: bool) -> Result<usize, RowError> {
        let rest = bytes.get(start..).unwrap_or_default();
        let length = match rest.iter().position(|byte| matches!(byte, b',' | b'\n')) {
            Some(length) => length,
            None if last => rest.len(),
            None => return Err(RowError::More),
        };
        let cell = rest.get(..length).unwrap_or_default();
        let cell = match rest.get(length) {
            Some(b'\n') => cell.strip_suffix(b"\r").unwrap_or(cell),
            _ => cell,
        };
        self.text.extend_from_slice(cell);
        Ok(start + cell.len())
    }

    /// Takes a cell in quotes; returns where it ends.
    fn quoted(&mut self, bytes: &[u8], start: usize, last: bool) -> Result<usize, RowError> {
        let mut at = start + 1;
        loop {
            let rest = bytes.get(at..).unwrap_or_default();
            let Some(length) = rest.iter().position(|byte| *byte == b'"') else {
                return Err(if last {
                    RowError::Unclosed
                } else {
                    RowError::More
                });
            };
            let part = rest.get(..length).unwrap_or_default();
            self.many_lines |= part.contains(&b'\n');
            self.text.extend_from_slice(part);
            at += length + 1;
            match bytes.get(at..) {
                Some([b'"', ..]) => {
                    self.text.push(b'"');
                    at += 1;
                }
                Some([b',' | b'\n', ..] | [b'\r', b'\n', ..]) => return Ok(at),
                Some([] | [b'\r']) | None if !last => return Err(RowError::More),
                Some([]) | None => return Ok(at),
                Some(_) => return Err(RowError::BehindQuote(at)),
            }
        }
    }
}

/// A column's name without the decoration that a portal adds to it.
fn column_name(cell: &str) -> &str {
    let name = cell.trim();
    name.strip_suffix("[UTC]").map_or(name, str::trim_end)
}

/// Whether a line names columns of a sign-in log.
pub(super) fn is_header(line: &[u8]) -> bool {
    let Ok(line) = std::str::from_utf8(line) else {
        return false;
    };
    let known = line
        .split(',')
        .map(|cell| column_name(cell.trim().trim_matches('"')))
        .filter(|name| {
            Field::of_key(name.as_bytes()).is_some() || Field::of_portal_column(name).is_some()
        });
    known.take(2).count() == 2
}

#[cfg(test)]
mod tests;
