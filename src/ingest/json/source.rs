//! Bytes, and what stands plainly in them: strings without escapes, short numbers, known bytes.

use std::borrow::Cow;
use std::ops::Range;

use wide::u8x32;

/// A string as it stands between its quotes; checked, not yet decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::ingest) struct Text<'a> {
    pub(super) raw: &'a str,
    pub(super) escaped: bool,
}

impl<'a> Text<'a> {
    /// A text that holds no escapes, whatever it looks like.
    pub(in crate::ingest) fn verbatim(text: &'a str) -> Self {
        Self {
            raw: text,
            escaped: false,
        }
    }

    /// The bytes between the quotes, decoded or not.
    pub(in crate::ingest) fn raw(self) -> &'a [u8] {
        self.raw.as_bytes()
    }

    /// The bytes between the quotes, if they are the text itself.
    #[inline]
    pub(in crate::ingest) fn plain(self) -> Option<&'a str> {
        (!self.escaped).then_some(self.raw)
    }

    /// Whether nothing stands between the quotes.
    pub(in crate::ingest) fn is_empty(self) -> bool {
        self.raw.is_empty()
    }

    /// The text; borrowed where it holds no escapes.
    #[inline]
    pub(in crate::ingest) fn decode(self) -> Cow<'a, str> {
        if self.escaped {
            Cow::Owned(unescape(self.raw))
        } else {
            Cow::Borrowed(self.raw)
        }
    }
}

/// Bytes, and how much of their beginning is known to be UTF-8.
///
/// Checking a window at once is many times faster than checking each of its strings, and makes a string of
/// the window one of the program for free.
#[derive(Debug, Clone, Copy)]
pub(in crate::ingest) struct Source<'a> {
    pub(in crate::ingest) bytes: &'a [u8],
    utf8: &'a str,
}

impl<'a> Source<'a> {
    /// Bytes that nothing is known about: each string is checked on its own.
    pub(super) fn unchecked(bytes: &'a [u8]) -> Self {
        Self { bytes, utf8: "" }
    }

    /// Checks the bytes. They need not be UTF-8 as a whole: strings beyond what is not are checked one by one.
    pub(in crate::ingest) fn new(bytes: &'a [u8]) -> Self {
        let utf8 = match simdutf8::compat::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => bytes
                .get(..error.valid_up_to())
                .and_then(|valid| std::str::from_utf8(valid).ok())
                .unwrap_or_default(),
        };
        Self { bytes, utf8 }
    }

    /// These bytes.
    #[inline]
    pub(in crate::ingest) fn span(&self, span: Range<usize>) -> &'a [u8] {
        self.bytes.get(span).unwrap_or_default()
    }

    /// The string with its quotes at this place, which was accepted before.
    #[inline]
    pub(in crate::ingest) fn quoted(&self, span: Range<usize>, escaped: bool) -> Text<'a> {
        let inside = span.start + 1..span.end.saturating_sub(1);
        let raw = self.text(inside).unwrap_or_default();
        Text { raw, escaped }
    }

    /// The string of plain characters whose opening quote stands before `at`, and the offset behind its closing
    /// quote. `None` says nothing: `Reader::rest_of_string` reads strings of every kind.
    #[inline(always)]
    pub(in crate::ingest) fn plain_string(&self, at: usize) -> Option<(Text<'a>, usize)> {
        let end = plain_run(self.bytes, at);
        let raw = self.utf8.get(at..end)?;
        (self.bytes.get(end) == Some(&b'"')).then_some((
            Text {
                raw,
                escaped: false,
            },
            end + 1,
        ))
    }

    /// The offset behind the number of at most two runs of digits that stands at `at`, where it surely ends.
    /// `None` says nothing: `Reader::number` reads numbers of every kind.
    #[inline(always)]
    pub(in crate::ingest) fn plain_number(&self, at: usize) -> Option<usize> {
        let byte = |at: usize| self.bytes.get(at).copied();
        let digits = |mut at: usize| {
            while let Some(b'0'..=b'9') = byte(at) {
                at += 1;
            }
            at
        };
        let begin = at + usize::from(byte(at) == Some(b'-'));
        let mut end = digits(begin);
        if end == begin || (byte(begin) == Some(b'0') && end > begin + 1) {
            return None;
        }
        if byte(end) == Some(b'.') {
            let fraction = end + 1;
            end = digits(fraction);
            if end == fraction {
                return None;
            }
        }
        matches!(byte(end), Some(b',' | b'}' | b']')).then_some(end)
    }

    /// The offset behind these bytes, if they stand at `at`.
    #[inline(always)]
    pub(in crate::ingest) fn behind(&self, at: usize, expected: &[u8]) -> Option<usize> {
        let end = at.checked_add(expected.len())?;
        (self.bytes.get(at..end) == Some(expected)).then_some(end)
    }

    /// A piece of the text, if it is UTF-8.
    #[inline]
    pub(super) fn text(
        &self,
        span: Range<usize>,
    ) -> std::result::Result<&'a str, std::str::Utf8Error> {
        match self.utf8.get(span.clone()) {
            Some(text) => Ok(text),
            None => std::str::from_utf8(self.bytes.get(span).unwrap_or_default()),
        }
    }
}

/// Steps from `at` over bytes that end no string, 32 at a time: most strings of a log take one step or two.
#[inline(always)]
pub(super) fn plain_run(bytes: &[u8], mut at: usize) -> usize {
    while let Some(chunk) = bytes.get(at..).and_then(|rest| rest.first_chunk::<32>()) {
        let special = string_ends(chunk);
        if special != 0 {
            return at + special.trailing_zeros() as usize;
        }
        at += 32;
    }
    while let Some(byte) = bytes.get(at)
        && !matches!(byte, b'"' | b'\\' | 0..0x20)
    {
        at += 1;
    }
    at
}

/// One bit for each byte that ends a string, or begins an escape in it.
#[inline(always)]
fn string_ends(chunk: &[u8; 32]) -> u32 {
    let chunk = u8x32::new(*chunk);
    let control = chunk.simd_eq(chunk.min(u8x32::splat(0x1F)));
    let quote = chunk.simd_eq(u8x32::splat(b'"'));
    let backslash = chunk.simd_eq(u8x32::splat(b'\\'));
    (quote | backslash | control).to_bitmask()
}

/// Decodes a checked string.
#[cold]
fn unescape(raw: &str) -> String {
    let mut text = String::with_capacity(raw.len());
    let mut rest = raw.as_bytes();
    while let Some(run) = rest.iter().position(|byte| *byte == b'\\') {
        let (plain, escape) = rest.split_at(run);
        text.push_str(&String::from_utf8_lossy(plain));
        let (letter, length) = match escape.get(1) {
            Some(b'b') => ('\u{8}', 2),
            Some(b'f') => ('\u{c}', 2),
            Some(b'n') => ('\n', 2),
            Some(b'r') => ('\r', 2),
            Some(b't') => ('\t', 2),
            Some(b'u') => match (code_unit(escape, 2), code_unit(escape, 8)) {
                (high @ 0xD800..0xDC00, low) => {
                    let code =
                        0x1_0000 + ((high - 0xD800) << 10) + (low.wrapping_sub(0xDC00) & 0x3FF);
                    (
                        char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER),
                        12,
                    )
                }
                (unit, _) => (
                    char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER),
                    6,
                ),
            },
            Some(other) => (char::from(*other), 2),
            None => break,
        };
        text.push(letter);
        rest = escape.get(length..).unwrap_or_default();
    }
    text.push_str(&String::from_utf8_lossy(rest));
    text
}

fn code_unit(escape: &[u8], at: usize) -> u32 {
    escape
        .get(at..at + 4)
        .unwrap_or_default()
        .iter()
        .fold(0, |unit, byte| {
            unit << 4 | char::from(*byte).to_digit(16).unwrap_or(0)
        })
}
