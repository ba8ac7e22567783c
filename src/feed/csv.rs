//! A column of a table. The key is its name in the first row; without one it is the first column of ranges.

use csv::{ReaderBuilder, StringRecord};

use super::{Fault, Prefix, key_needed, no_key, ranges};
use crate::range::parse_range;

#[derive(Debug)]
pub(super) struct Document {
    /// The first row, unless it holds ranges itself.
    names: StringRecord,
    rows: Vec<StringRecord>,
}

pub(super) fn read(bytes: &[u8]) -> Result<Document, Fault> {
    let mut reader = ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .comment(Some(b'#'))
        .trim(csv::Trim::All)
        .from_reader(bytes);
    let mut rows = Vec::new();
    for row in reader.records() {
        rows.push(row.map_err(|error| Fault {
            is_key: false,
            message: format!("it is no table: {error}"),
            help: "save it as CSV, in UTF-8, with commas between the columns".to_owned(),
        })?);
    }
    let is_head = rows
        .first()
        .is_some_and(|row| column_of_ranges(row).is_none());
    let names = match is_head {
        true => rows.remove(0),
        false => StringRecord::new(),
    };
    Ok(Document { names, rows })
}

fn column_of_ranges(row: &StringRecord) -> Option<usize> {
    row.iter().position(|value| parse_range(value).is_ok())
}

impl Document {
    pub(super) fn select(&self, key: Option<&str>) -> Result<Vec<Prefix>, Fault> {
        let column = match key {
            Some(key) => {
                let mut names = self.names.iter();
                let found = names.position(|name| name.eq_ignore_ascii_case(key));
                found.ok_or_else(|| no_key("column", key, &self.names))?
            }
            None => match self.rows.iter().find_map(column_of_ranges) {
                Some(column) => column,
                None if self.rows.is_empty() => return Ok(Vec::new()),
                None => {
                    return Err(Fault {
                        message: "no column of the feed holds ranges".to_owned(),
                        ..key_needed("a column", &self.names)
                    });
                }
            },
        };
        let cells = self.rows.iter().filter_map(|row| {
            let line = row.position().map_or(0, csv::Position::line);
            let cell = row.get(column).filter(|cell| !cell.is_empty())?;
            Some((usize::try_from(line).unwrap_or(usize::MAX), cell))
        });
        ranges(cells, |line| format!("line {line}"))
    }
}
