//! Places in policy files: byte spans, and the lines and columns that people count in.

use std::ops::Range;

use super::Source;

/// A stretch of one of the policy's files, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Spot {
    /// Which of the sources.
    pub(super) file: usize,
    pub(super) start: usize,
    pub(super) end: usize,
}

impl Spot {
    pub(super) fn new(file: usize, span: Range<usize>) -> Self {
        Self {
            file,
            start: span.start,
            end: span.end.max(span.start),
        }
    }
}

/// A value and where it stands.
#[derive(Debug, Clone)]
pub(super) struct Located<T> {
    pub(super) value: T,
    pub(super) spot: Spot,
}

/// Bytes between two counts of characters.
const BLOCK: usize = 256;

/// How many characters begin in a stretch of UTF-8.
fn begun(bytes: &[u8]) -> usize {
    bytes.iter().filter(|byte| **byte & 0xc0 != 0x80).count()
}

/// A file's text for showing, with secrets blotted out, and where its lines begin.
#[derive(Clone)]
pub(super) struct Text {
    pub(super) name: String,
    text: String,
    line_starts: Vec<usize>,
    /// Characters before every 256th byte: a feed pasted on one line is not counted through
    /// again for each of its mistakes.
    counts: Vec<usize>,
    /// Length of a byte order mark, which is no column.
    mark: usize,
}

impl Text {
    pub(super) fn new(source: &Source) -> Self {
        let text = &source.text;
        let starts = text
            .bytes()
            .enumerate()
            .filter(|(_, byte)| *byte == b'\n')
            .map(|(offset, _)| offset + 1);
        Self {
            name: source.name.clone(),
            line_starts: std::iter::once(0).chain(starts).collect(),
            counts: std::iter::once(0)
                .chain(text.as_bytes().chunks(BLOCK).scan(0, |total, block| {
                    *total += begun(block);
                    Some(*total)
                }))
                .collect(),
            mark: if text.starts_with('\u{feff}') { 3 } else { 0 },
            text: without_lone_returns(text),
        }
    }

    /// Line and column, both from 1, the column in characters. A line's end is one column, whether
    /// it is written as one or as two characters.
    pub(super) fn position(&self, offset: usize) -> (usize, usize) {
        let line = self.line_number(offset);
        let offset = offset.min(self.text.len());
        let start = self.line_start(line);
        let (_, shown) = self.line(line);
        let length = offset.saturating_sub(start).min(shown.len());
        (line, self.letters(start + length) - self.letters(start) + 1)
    }

    /// The line alone, from 1.
    pub(super) fn line_number(&self, offset: usize) -> usize {
        let offset = offset.min(self.text.len());
        self.line_starts.partition_point(|start| *start <= offset)
    }

    /// Characters that begin before an offset.
    fn letters(&self, offset: usize) -> usize {
        let block = offset / BLOCK;
        let counted = self.counts.get(block).copied().unwrap_or(0);
        let rest = self.text.as_bytes().get(block * BLOCK..offset);
        counted + begun(rest.unwrap_or_default())
    }

    /// The line's text without its end, and the offset at which it begins.
    pub(super) fn line(&self, line: usize) -> (usize, &str) {
        let start = self.line_start(line);
        let end = self
            .line_starts
            .get(line)
            .copied()
            .unwrap_or(self.text.len());
        let text = self.text.get(start..end).unwrap_or_default();
        let text = text.strip_suffix('\n').unwrap_or(text);
        (start, text.strip_suffix('\r').unwrap_or(text))
    }

    fn line_start(&self, line: usize) -> usize {
        let start = line
            .checked_sub(1)
            .and_then(|index| self.line_starts.get(index))
            .copied()
            .unwrap_or(self.text.len());
        start.max(self.mark)
    }

    /// Blots out stretches of the text. Each character is replaced by one of the same length in
    /// bytes, so that every span stays what it was.
    pub(super) fn mask(&mut self, stretches: &[Range<usize>]) {
        if stretches.is_empty() {
            return;
        }
        let mut masked = String::with_capacity(self.text.len());
        let mut stretches = stretches.to_vec();
        stretches.sort_by_key(|stretch| stretch.start);
        let mut upcoming = stretches.into_iter().peekable();
        let mut until = 0;
        for (offset, letter) in self.text.char_indices() {
            while let Some(stretch) = upcoming.next_if(|stretch| stretch.start <= offset) {
                until = until.max(stretch.end);
            }
            if offset >= until || letter == '\n' || letter == '\r' {
                masked.push(letter);
                continue;
            }
            masked.push(match letter.len_utf8() {
                1 => '*',
                2 => '¤',
                3 => '※',
                _ => '🂠',
            });
        }
        self.text = masked;
    }

    /// The text as it is shown.
    pub(super) fn shown(&self) -> &str {
        &self.text
    }
}

/// A carriage return that ends no line is an error of its own; shown as a blank it stays a column.
fn without_lone_returns(text: &str) -> String {
    if !text.contains('\r') {
        return text.to_owned();
    }
    let mut letters = text.chars().peekable();
    let mut shown = String::with_capacity(text.len());
    while let Some(letter) = letters.next() {
        let lone = letter == '\r' && letters.peek() != Some(&'\n');
        shown.push(if lone { ' ' } else { letter });
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Text {
        Text::new(&Source {
            name: "policy.toml".into(),
            text: text.into(),
        })
    }

    #[test]
    fn counts_lines_and_columns_in_characters() {
        let text = text("\u{feff}a\r\n\tü = x\n\nz");
        let table = [
            (3, (1, 1)),
            (4, (1, 2)),
            (6, (2, 1)),
            (7, (2, 2)),
            (9, (2, 3)),
            (14, (3, 1)),
            (15, (4, 1)),
            (999, (4, 2)),
        ];
        for (offset, expected) in table {
            assert_eq!(text.position(offset), expected, "{offset}");
            assert_eq!(text.line_number(offset), expected.0, "{offset}");
        }
        for length in [255, 256, 257, 512] {
            let long = Text::new(&Source {
                name: String::new(),
                text: "é".repeat(length),
            });
            assert_eq!(long.position(2 * length), (1, length + 1));
            assert_eq!(long.position(256), (1, 129));
        }
        assert_eq!(text.line(1), (3, "a"));
        assert_eq!(text.line(2), (6, "\tü = x"));
        assert_eq!(text.line(4).1, "z");
        assert_eq!(text.line(9).1, "");
    }

    #[test]
    fn blots_out_without_moving_anything() {
        let mut text = text("a = \"sécret€🔑\"\nb");
        let length = text.shown().len();
        text.mask(&[4..20, 5..8]);
        assert_eq!(text.shown(), "a = **¤****※🂠*\nb");
        assert_eq!(text.shown().len(), length);
    }
}
