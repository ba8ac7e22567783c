//! A validating JSON pull reader over bytes: the hot path of ingestion.
//!
//! It accepts exactly what RFC 8259 allows (a proptest holds it to `serde_json`), never recurses,
//! and allocates only to decode a string with escapes. Values nobody asks for are skipped, yet
//! still checked: a record that is broken anywhere is a reject, whatever the fields that are read.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use wide::u8x32;

/// Brackets a value may be nested in. Entra's records stay below ten.
pub(super) const MAX_DEPTH: u32 = 128;

/// What is wrong, and at which byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct JsonError {
    pub(super) at: usize,
    pub(super) problem: Problem,
}

/// What is wrong with a JSON text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Problem {
    /// Another byte stands where this was expected.
    Expected(&'static str),
    /// The text ends where this was expected.
    End(&'static str),
    /// A raw control character inside a string.
    Control,
    /// A backslash before a character that cannot be escaped.
    Escape,
    /// Half of a surrogate pair.
    Surrogate,
    /// Bytes that are no UTF-8.
    Utf8,
    /// A number in a form JSON does not have.
    Number,
    /// More than [`MAX_DEPTH`] brackets.
    Depth,
}

impl JsonError {
    /// Whether more input could still mend it.
    pub(super) fn is_end(&self) -> bool {
        matches!(self.problem, Problem::End(_))
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Expected(what) => write!(f, "expected {what}"),
            Self::End(what) => write!(f, "the text ends where {what} was expected"),
            Self::Control => {
                f.write_str("a control character inside a string (write it as an escape)")
            }
            Self::Escape => f.write_str("an escape that JSON does not have"),
            Self::Surrogate => f.write_str("half of a surrogate pair"),
            Self::Utf8 => f.write_str("invalid UTF-8"),
            Self::Number => f.write_str("a number in a form that JSON does not have"),
            Self::Depth => write!(f, "nested deeper than {MAX_DEPTH}"),
        }
    }
}

/// A string as it stands between its quotes; checked, not yet decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Text<'a> {
    raw: &'a str,
    escaped: bool,
}

impl<'a> Text<'a> {
    /// A text that holds no escapes, whatever it looks like.
    pub(super) fn verbatim(text: &'a str) -> Self {
        Self {
            raw: text,
            escaped: false,
        }
    }

    /// The bytes between the quotes, decoded or not.
    pub(super) fn raw(self) -> &'a [u8] {
        self.raw.as_bytes()
    }

    /// The bytes between the quotes, if they are the text itself.
    #[inline]
    pub(super) fn plain(self) -> Option<&'a str> {
        (!self.escaped).then_some(self.raw)
    }

    /// Whether nothing stands between the quotes.
    pub(super) fn is_empty(self) -> bool {
        self.raw.is_empty()
    }

    /// The text; borrowed where it holds no escapes.
    #[inline]
    pub(super) fn decode(self) -> Cow<'a, str> {
        if self.escaped {
            Cow::Owned(unescape(self.raw))
        } else {
            Cow::Borrowed(self.raw)
        }
    }
}

/// A value: scalars as they stand, the rest as a span.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Value<'a> {
    Null,
    Bool(bool),
    Number(&'a [u8]),
    Text(Text<'a>),
    Array(&'a [u8]),
    Object(&'a [u8]),
}

impl Value<'_> {
    /// What it is called in an error.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Number(_) => "a number",
            Self::Text(_) => "a string",
            Self::Array(_) => "an array",
            Self::Object(_) => "an object",
        }
    }
}

/// Bytes, and how much of their beginning is known to be UTF-8.
///
/// Checking a window at once is many times faster than checking each of its strings, and makes a string of
/// the window one of the program for free.
#[derive(Debug, Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) bytes: &'a [u8],
    utf8: &'a str,
}

impl<'a> Source<'a> {
    /// Checks the bytes. They need not be UTF-8 as a whole: strings beyond what is not are checked one by one.
    pub(super) fn new(bytes: &'a [u8]) -> Self {
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
    pub(super) fn span(&self, span: Range<usize>) -> &'a [u8] {
        self.bytes.get(span).unwrap_or_default()
    }

    /// The string with its quotes at this place, which was accepted before.
    #[inline]
    pub(super) fn quoted(&self, span: Range<usize>, escaped: bool) -> Text<'a> {
        let inside = span.start + 1..span.end.saturating_sub(1);
        let raw = self.text(inside).unwrap_or_default();
        Text { raw, escaped }
    }

    /// The string of plain characters whose opening quote stands before `at`, and the offset behind its closing
    /// quote. `None` says nothing: [`Reader::rest_of_string`] reads strings of every kind.
    #[inline(always)]
    pub(super) fn plain_string(&self, at: usize) -> Option<(Text<'a>, usize)> {
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
    /// `None` says nothing: [`Reader::number`] reads numbers of every kind.
    #[inline(always)]
    pub(super) fn plain_number(&self, at: usize) -> Option<usize> {
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
    pub(super) fn behind(&self, at: usize, expected: &[u8]) -> Option<usize> {
        let end = at.checked_add(expected.len())?;
        (self.bytes.get(at..end) == Some(expected)).then_some(end)
    }

    /// A piece of the text, if it is UTF-8.
    #[inline]
    fn text(&self, span: Range<usize>) -> std::result::Result<&'a str, std::str::Utf8Error> {
        match self.utf8.get(span.clone()) {
            Some(text) => Ok(text),
            None => std::str::from_utf8(self.bytes.get(span).unwrap_or_default()),
        }
    }
}

/// A cursor over a JSON text.
#[derive(Debug, Clone)]
pub(super) struct Reader<'a> {
    source: Source<'a>,
    at: usize,
}

type Result<T> = std::result::Result<T, JsonError>;

impl<'a> Reader<'a> {
    /// Reads from `at` on, of bytes that nothing is known about.
    pub(super) fn new(bytes: &'a [u8], at: usize) -> Self {
        Self::over(Source { bytes, utf8: "" }, at)
    }

    /// Reads from `at` on.
    #[inline]
    pub(super) fn over(source: Source<'a>, at: usize) -> Self {
        Self { source, at }
    }

    /// The offset of the next byte.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// What is read.
    #[inline]
    pub(super) fn source(&self) -> Source<'a> {
        self.source
    }

    /// Goes to a place that was read up to otherwise.
    #[inline]
    pub(super) fn go_to(&mut self, at: usize) {
        self.at = at;
    }

    /// The next byte.
    #[inline]
    pub(super) fn peek(&self) -> Option<u8> {
        self.source.bytes.get(self.at).copied()
    }

    /// The bytes from `start` up to the cursor.
    pub(super) fn since(&self, start: usize) -> &'a [u8] {
        self.source.bytes.get(start..self.at).unwrap_or_default()
    }

    /// The bytes from the cursor on.
    #[inline]
    pub(super) fn rest(&self) -> &'a [u8] {
        self.source.bytes.get(self.at..).unwrap_or_default()
    }

    /// Steps over bytes that were accepted before in the same place, if it is those that follow.
    #[inline]
    pub(super) fn take(&mut self, expected: &[u8]) -> bool {
        match self.source.behind(self.at, expected) {
            Some(behind) => {
                self.at = behind;
                true
            }
            None => false,
        }
    }

    /// Steps over the byte that was peeked at.
    #[inline]
    pub(super) fn bump(&mut self) {
        self.at += 1;
    }

    /// Steps over white space.
    #[inline]
    pub(super) fn blanks(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
    }

    fn fail<T>(&self, problem: Problem) -> Result<T> {
        Err(JsonError {
            at: self.at,
            problem,
        })
    }

    /// The error for a byte that is not `what`, or for the end of the text.
    pub(super) fn unexpected<T>(&self, what: &'static str) -> Result<T> {
        self.fail(match self.peek() {
            Some(_) => Problem::Expected(what),
            None => Problem::End(what),
        })
    }

    /// Steps from a `{` to its first key, or from behind a value to the next one; `None` behind the `}`.
    #[inline]
    pub(super) fn next_key(&mut self, first: bool) -> Result<Option<Text<'a>>> {
        self.blanks();
        match self.peek() {
            Some(b'{') if first => {
                self.bump();
                self.blanks();
                if self.peek() == Some(b'}') {
                    self.bump();
                    return Ok(None);
                }
                self.key(if self.peek().is_none() {
                    "a key or `}`"
                } else {
                    "a key in double quotes or `}`"
                })
                .map(Some)
            }
            Some(b',') if !first => {
                self.bump();
                self.blanks();
                self.key("a key in double quotes").map(Some)
            }
            Some(b'}') if !first => {
                self.bump();
                Ok(None)
            }
            _ if first => self.unexpected("`{`"),
            _ => self.unexpected("`,` or `}`"),
        }
    }

    /// Reads a key and the colon behind it.
    #[inline]
    fn key(&mut self, what: &'static str) -> Result<Text<'a>> {
        if self.peek() != Some(b'"') {
            return self.unexpected(what);
        }
        let key = self.string()?;
        self.blanks();
        if self.peek() != Some(b':') {
            return self.unexpected("`:`");
        }
        self.bump();
        self.blanks();
        Ok(key)
    }

    /// Reads the string whose opening quote is the next byte.
    #[inline]
    pub(super) fn string(&mut self) -> Result<Text<'a>> {
        self.bump();
        self.rest_of_string()
    }

    /// Reads the string whose opening quote was the last byte.
    #[inline]
    pub(super) fn rest_of_string(&mut self) -> Result<Text<'a>> {
        match self.source.plain_string(self.at) {
            Some((text, behind)) => {
                self.at = behind;
                Ok(text)
            }
            None => self.rest_of_rare_string(),
        }
    }

    /// Reads on in a string that holds an escape, or more than is known to be UTF-8, or that is broken.
    #[cold]
    fn rest_of_rare_string(&mut self) -> Result<Text<'a>> {
        let start = self.at;
        let mut escaped = false;
        let end = loop {
            self.at = plain_run(self.source.bytes, self.at);
            match self.peek() {
                Some(b'"') => break self.at,
                Some(b'\\') => {
                    escaped = true;
                    self.escape()?;
                }
                Some(_) => return self.fail(Problem::Control),
                None => return self.fail(Problem::End("a closing `\"`")),
            }
        };
        match self.source.text(start..end) {
            Ok(raw) => {
                self.at = end + 1;
                Ok(Text { raw, escaped })
            }
            Err(error) => Err(JsonError {
                at: start + error.valid_up_to(),
                problem: Problem::Utf8,
            }),
        }
    }

    /// Checks the escape whose backslash is the next byte.
    #[cold]
    fn escape(&mut self) -> Result<()> {
        match self.source.bytes.get(self.at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                self.at += 2;
                Ok(())
            }
            Some(b'u') => match self.unicode_escape()? {
                0xDC00..0xE000 => self.fail(Problem::Surrogate),
                0xD800..0xDC00 => {
                    let high_at = self.at;
                    self.at += 6;
                    match (self.peek(), self.source.bytes.get(self.at + 1)) {
                        (Some(b'\\'), Some(b'u')) => {}
                        (None, _) | (Some(b'\\'), None) => {
                            return self.fail(Problem::End("the second half of a surrogate pair"));
                        }
                        _ => {
                            self.at = high_at;
                            return self.fail(Problem::Surrogate);
                        }
                    }
                    if !(0xDC00..0xE000).contains(&self.unicode_escape()?) {
                        self.at = high_at;
                        return self.fail(Problem::Surrogate);
                    }
                    self.at += 6;
                    Ok(())
                }
                _ => {
                    self.at += 6;
                    Ok(())
                }
            },
            Some(_) => self.fail(Problem::Escape),
            None => self.fail(Problem::End("an escape")),
        }
    }

    /// The code unit of the `\uXXXX` at the cursor, which stays.
    fn unicode_escape(&self) -> Result<u32> {
        let mut unit = 0;
        for offset in 2..6 {
            match self.source.bytes.get(self.at + offset) {
                Some(byte) => match char::from(*byte).to_digit(16) {
                    Some(digit) => unit = unit << 4 | digit,
                    None => return self.fail(Problem::Escape),
                },
                None => return self.fail(Problem::End("four hexadecimal digits")),
            }
        }
        Ok(unit)
    }

    /// Reads the number at the cursor.
    #[inline]
    pub(super) fn number(&mut self) -> Result<&'a [u8]> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.bump();
        }
        match self.peek() {
            Some(b'0') => self.bump(),
            Some(b'1'..=b'9') => self.digits(),
            Some(_) => return self.fail(Problem::Number),
            None => return self.fail(Problem::End("a digit")),
        }
        if self.peek() == Some(b'.') {
            self.bump();
            self.some_digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.bump();
            if let Some(b'+' | b'-') = self.peek() {
                self.bump();
            }
            self.some_digits()?;
        }
        // `01`, `1x` and `1"` would only show at the next token, as a missing comma.
        if let Some(b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'.' | b'+' | b'-') = self.peek() {
            return self.fail(Problem::Number);
        }
        Ok(self.since(start))
    }

    fn digits(&mut self) {
        while let Some(b'0'..=b'9') = self.peek() {
            self.bump();
        }
    }

    fn some_digits(&mut self) -> Result<()> {
        match self.peek() {
            Some(b'0'..=b'9') => {
                self.digits();
                Ok(())
            }
            Some(_) => self.fail(Problem::Number),
            None => self.fail(Problem::End("a digit")),
        }
    }

    fn literal(&mut self, word: &'static str) -> Result<()> {
        for expected in word.bytes() {
            match self.peek() {
                Some(byte) if byte == expected => self.bump(),
                Some(_) => return self.fail(Problem::Expected("a value")),
                None => return self.fail(Problem::End("a value")),
            }
        }
        Ok(())
    }

    /// Reads the value at the cursor, which `outer` brackets enclose.
    #[inline]
    pub(super) fn value(&mut self, outer: u32) -> Result<Value<'a>> {
        let start = self.at;
        match self.peek() {
            Some(b'"') => self.string().map(Value::Text),
            Some(b'-' | b'0'..=b'9') => self.number().map(Value::Number),
            Some(b't') => self.literal("true").map(|()| Value::Bool(true)),
            Some(b'f') => self.literal("false").map(|()| Value::Bool(false)),
            Some(b'n') => self.literal("null").map(|()| Value::Null),
            Some(b'{') => {
                self.skip(outer)?;
                Ok(Value::Object(self.since(start)))
            }
            Some(b'[') => {
                self.skip(outer)?;
                Ok(Value::Array(self.since(start)))
            }
            _ => self.unexpected("a value"),
        }
    }

    /// Steps over the value at the cursor, which `outer` brackets enclose, and checks all of it.
    pub(super) fn skip(&mut self, outer: u32) -> Result<()> {
        let mut depth = outer;
        // One bit per open bracket, the innermost lowest: set for an object.
        let mut objects: u128 = 0;
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.string()?;
                }
                Some(b'-' | b'0'..=b'9') => {
                    self.number()?;
                }
                Some(open @ (b'{' | b'[')) => {
                    if depth >= MAX_DEPTH {
                        return self.fail(Problem::Depth);
                    }
                    if open == b'{' {
                        if self.next_key(true)?.is_some() {
                            depth += 1;
                            objects = objects << 1 | 1;
                            continue;
                        }
                    } else {
                        self.bump();
                        self.blanks();
                        if self.peek() != Some(b']') {
                            depth += 1;
                            objects <<= 1;
                            continue;
                        }
                        self.bump();
                    }
                }
                Some(b't') => self.literal("true")?,
                Some(b'f') => self.literal("false")?,
                Some(b'n') => self.literal("null")?,
                _ => return self.unexpected("a value"),
            }
            // A value is complete: close brackets until another one is due.
            loop {
                if depth == outer {
                    return Ok(());
                }
                if objects & 1 == 1 {
                    if self.next_key(false)?.is_some() {
                        break;
                    }
                } else {
                    self.blanks();
                    match self.peek() {
                        Some(b',') => {
                            self.bump();
                            self.blanks();
                            break;
                        }
                        Some(b']') => self.bump(),
                        _ => return self.unexpected("`,` or `]`"),
                    }
                }
                depth -= 1;
                objects >>= 1;
            }
        }
    }
}

/// Steps from `at` over bytes that end no string, 32 at a time: most strings of a log take one step or two.
#[inline(always)]
fn plain_run(bytes: &[u8], mut at: usize) -> usize {
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

#[cfg(test)]
mod tests;
