//! A validating JSON pull reader over bytes: the hot path of ingestion.
//!
//! It accepts exactly what RFC 8259 allows (a proptest holds it to `serde_json`), never recurses,
//! and allocates only to decode a string with escapes. Values nobody asks for are skipped, yet
//! still checked: a record that is broken anywhere is a reject, whatever the fields that are read.

mod source;

use std::fmt;

use source::plain_run;
pub(super) use source::{Source, Text};

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
        Self::over(Source::unchecked(bytes), at)
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

#[cfg(test)]
mod tests;
