//! Which way a text is to be read, from its beginning.

use super::csv::is_header;
use super::json::Reader;
use super::{UTF8_MARK, foreign_encoding};

/// How many lines are looked at before a text passes for NDJSON.
const PROBES: usize = 8;

/// Lines that begin behind so many bytes are not looked at.
const PROBED: usize = 64 << 10;

/// How a text is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// A JSON value on each line: for [`read_lines`](super::read_lines), in blocks, in parallel.
    Lines,
    /// JSON values over several lines, or a single line that may be of any length: for
    /// [`Document`](super::Document).
    Document,
    /// A header line and rows: for [`Csv`](super::Csv).
    Csv,
}

/// Tells the layout of a text from its first window; `last` says that the window is all of it.
///
/// Some MiB of window are enough. A text that nothing can be made of is [`Shape::Lines`], or, if there
/// is no line break in sight, a [`Shape::Document`], which needs no line to end.
pub fn sniff(window: &[u8], last: bool) -> Shape {
    let text = window.strip_prefix(UTF8_MARK).unwrap_or(window);
    if foreign_encoding(text).is_some() {
        return Shape::Document;
    }
    let mut start = first_visible(text, 0);
    for probe in 0..PROBES {
        // Between files that were concatenated stands another mark.
        if text
            .get(start..)
            .is_some_and(|rest| rest.starts_with(UTF8_MARK))
        {
            start += UTF8_MARK.len();
        }
        let Some(first) = text.get(start).copied() else {
            break;
        };
        if probe > 0 && start > PROBED {
            break;
        }
        let end = line_end(text, start);
        let whole = last || end < text.len();
        if !matches!(first, b'{' | b'[') && probe == 0 {
            let line = text.get(start..end).unwrap_or_default();
            return match is_header(line) {
                true => Shape::Csv,
                false if whole => Shape::Lines,
                false => Shape::Document,
            };
        }
        match (goes_on(text, start, end), whole) {
            (true, true) => return Shape::Document,
            // The window ends within this line; that tells nothing if it is not the first.
            (_, false) if probe == 0 => return Shape::Document,
            (_, false) => break,
            (false, true) => start = first_visible(text, end),
        }
    }
    match text.get(start) {
        None if !last && first_visible(text, 0) == text.len() => Shape::Document,
        _ => Shape::Lines,
    }
}

/// Whether the values that begin on a line are meant to go on behind its end.
fn goes_on(text: &[u8], start: usize, line_end: usize) -> bool {
    let mut reader = Reader::new(text, start);
    while reader.at() < line_end {
        match reader.skip(0) {
            Ok(()) => {}
            // Broken on its own line, or by the line break itself, which cut a string or a word.
            Err(error) if error.at <= line_end => return false,
            Err(error) if error.is_end() => return true,
            // A line that was cut off between two values, before a line of its own?
            Err(error) => return !begins_line_of_its_own(text, error.at),
        }
        if reader.at() > line_end {
            return true;
        }
        while let Some(b' ' | b'\t' | b'\r' | b',') = reader.peek() {
            reader.bump();
        }
    }
    false
}

/// Whether a line begins at `at` that is a value by itself.
fn begins_line_of_its_own(text: &[u8], at: usize) -> bool {
    let before = text.get(..at).unwrap_or_default();
    let mut reader = Reader::new(text, at);
    before.trim_ascii_end().len() <= line_start(before)
        && matches!(reader.peek(), Some(b'{' | b'['))
        && reader.skip(0).is_ok()
        && reader.at() <= line_end(text, at)
}

fn line_start(text: &[u8]) -> usize {
    text.iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |at| at + 1)
}

/// The offset of the first line break from `start` on, else the end.
pub(super) fn line_end(text: &[u8], start: usize) -> usize {
    let rest = text.get(start..).unwrap_or_default();
    memchr::memchr(b'\n', rest).map_or(text.len(), |within| start + within)
}

fn first_visible(text: &[u8], from: usize) -> usize {
    let rest = text.get(from..).unwrap_or_default();
    rest.iter()
        .position(|byte| !byte.is_ascii_whitespace())
        .map_or(text.len(), |at| from + at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_the_shapes() {
        let table: [(&str, Shape); 25] = [
            ("{\"a\":1}\n{\"b\":2}\n", Shape::Lines),
            ("{\"a\":1}\r\n{\"b\":2}\r\n", Shape::Lines),
            ("{\"records\":[]}", Shape::Lines),
            ("\u{feff}{\"records\":[]}\n", Shape::Lines),
            ("[{\"a\":1}]\n[{\"a\":1}]", Shape::Lines),
            ("{\n \"a\": 1\n}\n", Shape::Document),
            ("[\n{\"a\":1},\n{\"b\":1}\n]", Shape::Document),
            ("[{\"a\":1},\n{\"b\":1}]", Shape::Document),
            ("{\"records\":[\n{\"a\":1},\n{\"b\":1}]}", Shape::Document),
            ("{\"a\":1}\n{\n \"a\": 1\n}\n", Shape::Document),
            ("{\n \"a\": 1,\n oops\n}\n", Shape::Document),
            ("{\"a\":1}{\n \"a\": 1\n}\n", Shape::Document),
            ("{\"a\":1},\n{\n \"a\": 1\n}\n", Shape::Document),
            ("{\"a\":1},\n{\"a\":1},\n", Shape::Lines),
            // Broken first lines before good ones.
            ("{\"a\":\"cut\n{\"b\":2}\n", Shape::Lines),
            ("{\"a\":tr\n{\"b\":2}\n", Shape::Lines),
            ("{\"a\":1,\n{\"b\":2}\n", Shape::Lines),
            ("{\"a\":[\n{\"b\":2}\n{\"b\":2}\n", Shape::Lines),
            ("{'a':1}\n{\"b\":2}\n", Shape::Lines),
            ("oops\n{\"b\":2}\n", Shape::Lines),
            ("", Shape::Lines),
            ("Date (UTC),Request ID,Service principal ID\n", Shape::Csv),
            (
                "\u{feff}\"TimeGenerated [UTC]\",AppId,Category\r\n",
                Shape::Csv,
            ),
            ("TimeGenerated,AppId", Shape::Csv),
            ("\u{1f}\u{8b}", Shape::Lines),
        ];
        for (text, shape) in table {
            assert_eq!(sniff(text.as_bytes(), true), shape, "{text:?}");
        }
        assert_eq!(sniff(b"\xff\xfe{\0", true), Shape::Document);
        assert_eq!(sniff(b"\x1f\x8b\x08\n\n", true), Shape::Document);
    }

    #[test]
    fn tells_them_from_a_window() {
        let table: [(&str, Shape); 6] = [
            ("{\"records\":[{\"a\":1},{\"b\"", Shape::Document),
            ("{\"records\":[]}\n{\"records\":[{\"a\"", Shape::Lines),
            ("{\"records\":[]}\n{\n\"records\":[{\"a\"", Shape::Document),
            ("{\"records\":[\n{\"a\":1},\n{\"b\"", Shape::Document),
            ("  \n ", Shape::Document),
            ("garbage", Shape::Document),
        ];
        for (text, shape) in table {
            assert_eq!(sniff(text.as_bytes(), false), shape, "{text:?}");
        }
    }
}
