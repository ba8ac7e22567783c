//! Lines and columns of a source that is read window by window.

use super::Offset;
use super::fault::{Fault, Place};
use super::json::{JsonError, Problem};

/// Counts the lines of a source; asks about one window go forward only.
#[derive(Debug, Clone)]
pub(super) struct Whereabouts {
    /// Bytes of the source before the window.
    bytes: u64,
    /// Lines that ended before `counted`.
    lines: u64,
    /// Up to where line breaks are counted, in the window.
    counted: usize,
    /// Where the line at `counted` began, in the source.
    line_start: u64,
    /// The window is known to be within one line: there is nothing to count.
    within_line: bool,
}

impl Whereabouts {
    /// Begins with a source of which `offset` has been read, up to a line's start.
    pub(super) fn new(offset: Offset) -> Self {
        Self {
            bytes: offset.bytes,
            lines: offset.lines,
            counted: 0,
            line_start: offset.bytes,
            within_line: false,
        }
    }

    /// What has been read.
    pub(super) fn offset(&self, records: u64) -> Offset {
        Offset {
            records,
            lines: self.lines,
            bytes: self.bytes,
        }
    }

    /// Whether nothing of the source has been read.
    pub(super) fn is_start(&self) -> bool {
        self.bytes == 0
    }

    /// Says whether the windows to come are within one line.
    pub(super) fn set_within_line(&mut self, within_line: bool) {
        self.within_line = within_line;
    }

    /// The line of a byte of the window, from 1.
    pub(super) fn line(&mut self, window: &[u8], at: usize) -> u64 {
        if self.within_line {
            self.counted = self.counted.max(at);
            return self.lines + 1;
        }
        let between = window.get(self.counted..at).unwrap_or_default();
        let breaks = count_lines(between);
        if breaks > 0 {
            self.lines += breaks;
            let last = memchr::memrchr(b'\n', between).unwrap_or(0);
            self.line_start = self.bytes + (self.counted + last + 1) as u64;
        }
        self.counted = self.counted.max(at);
        self.lines + 1
    }

    /// Goes on to the next window, behind the `consumed` bytes of this one.
    pub(super) fn advance(&mut self, window: &[u8], consumed: usize) {
        self.line(window, consumed);
        self.bytes += consumed as u64;
        self.counted = self.counted.saturating_sub(consumed);
    }

    /// Says what is wrong and where.
    pub(super) fn describe(&self, window: &[u8], error: JsonError) -> Fault {
        // A clone: the error may lie behind whereabouts that are yet to be asked about.
        let mut there = self.clone();
        let line = there.line(window, error.at);
        let byte = self.bytes + error.at as u64;
        let column = byte - there.line_start + 1;
        let problem = error.problem;
        let found = match (problem, window.get(error.at)) {
            (Problem::Expected(_), Some(0)) => ", found a NUL byte".to_owned(),
            (Problem::Expected(_), Some(b'\'')) => {
                ", found `'` (JSON has double quotes only)".to_owned()
            }
            (Problem::Expected(_), Some(byte)) => format!(", found `{}`", byte.escape_ascii()),
            _ => String::new(),
        };
        Fault::at(Place { line, column, byte }, format!("{problem}{found}"))
    }
}

/// Counts line breaks, as [`Offset::lines`] does.
pub(super) fn count_lines(bytes: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', bytes).count() as u64
}
