//! The batch as the host writes it, taken apart in one pass over its bytes.
//!
//! The host writes `{"Data":{"events":"[…]"},"Metadata":{…}}`, without a blank, and the events as strings in the
//! array: Base64 where the binding asks for bytes, else JSON text that is escaped twice. A general reader goes over
//! such a body several times. This one accepts nothing but that form: at the first byte that it does not expect it
//! gives up, and the general reader has its say. What it accepts, both read alike: a property test holds that.

use std::ops::Range;

use wide::u8x32;

use super::{Event, Form};

const HEAD: &[u8] = br#"{"Data":{"events":"["#;
const TAIL: &[u8] = br#""},"Metadata":"#;
/// A quote of an event's string, which the array's own string escapes.
const EDGE: &[u8] = br#"\""#;
/// A quote within an event: escaped as JSON text in the array, and again as JSON text in the body.
const QUOTE: &[u8] = br#"\\\""#;

/// A body taken apart.
#[derive(Debug)]
pub(super) struct Quick<'b> {
    pub(super) metadata: &'b [u8],
    pub(super) events: Vec<Event>,
    /// Where the events are, if they had to be decoded; else they are in the body itself.
    pub(super) decoded: Option<Vec<u8>>,
}

/// Takes a body apart, if it has the one form.
pub(super) fn read(body: &[u8]) -> Option<Quick<'_>> {
    let array_start = HEAD.len();
    let tail = memchr::memmem::rfind(body, TAIL)?;
    if !body.starts_with(HEAD) || tail < array_start {
        return None;
    }
    let metadata = body.get(tail + TAIL.len()..)?.strip_suffix(b"}")?;
    let array_end = tail.checked_sub(1)?;
    if body.get(array_end) != Some(&b']') {
        return None;
    }
    match body.get(array_start + EDGE.len())? {
        b'{' | b'[' => {
            let (events, decoded) = texts(body.get(array_start..array_end)?)?;
            Some(Quick {
                metadata,
                events,
                decoded: Some(decoded),
            })
        }
        first if first.is_ascii_alphanumeric() => Some(Quick {
            metadata,
            events: encoded(body, array_start, array_end)?,
            decoded: None,
        }),
        _ => None,
    }
}

/// The spans of events in Base64. That it is Base64 shows when it is decoded.
fn encoded(body: &[u8], mut at: usize, end: usize) -> Option<Vec<Event>> {
    let mut events = Vec::new();
    loop {
        let start = at + EDGE.len();
        if body.get(at..start) != Some(EDGE) || start >= end {
            return None;
        }
        let stop = start + memchr::memchr(b'\\', body.get(start..end)?)?;
        at = stop + EDGE.len();
        if body.get(stop..at) != Some(EDGE) || stop == start {
            return None;
        }
        events.push(Event {
            form: Form::Base64,
            span: start..stop,
            decoded: false,
        });
        match body.get(at)? {
            b',' if at < end => at += 1,
            b']' if at == end => return Some(events),
            _ => return None,
        }
    }
}

/// Decodes events that are text.
fn texts(array: &[u8]) -> Option<(Vec<Event>, Vec<u8>)> {
    let mut decoder = Decoder {
        source: array,
        at: 0,
        // Decoding makes a text shorter; copies of a chunk may reach beyond its end.
        out: vec![0; array.len() + BLOCK + 2 * CHUNK],
        end: 0,
    };
    let mut events = Vec::new();
    loop {
        if !decoder.take(EDGE) || !matches!(decoder.peek(), Some(b'{' | b'[')) {
            return None;
        }
        let span = decoder.event()?;
        events.push(Event {
            form: Form::Text,
            span,
            decoded: true,
        });
        match decoder.peek() {
            Some(b',') => decoder.at += 1,
            None => break,
            Some(_) => return None,
        }
    }
    decoder.out.truncate(decoder.end);
    simdutf8::basic::from_utf8(&decoder.out).ok()?;
    Some((events, decoder.out))
}

const CHUNK: usize = 32;
/// Bytes that are looked at together.
const BLOCK: usize = 2 * CHUNK;

/// So many bytes from an offset on.
#[inline(always)]
fn chunk<const N: usize>(bytes: &[u8], at: usize) -> Option<&[u8; N]> {
    bytes.get(at..)?.first_chunk()
}

#[inline(always)]
fn chunk_mut<const N: usize>(bytes: &mut [u8], at: usize) -> Option<&mut [u8; N]> {
    bytes.get_mut(at..)?.first_chunk_mut()
}

/// Undoes two levels of JSON escapes at once.
struct Decoder<'a> {
    source: &'a [u8],
    at: usize,
    out: Vec<u8>,
    end: usize,
}

impl Decoder<'_> {
    fn peek(&self) -> Option<u8> {
        self.source.get(self.at).copied()
    }

    fn take(&mut self, expected: &[u8]) -> bool {
        let taken = self
            .source
            .get(self.at..)
            .is_some_and(|rest| rest.starts_with(expected));
        if taken {
            self.at += expected.len();
        }
        taken
    }

    fn push(&mut self, byte: u8) -> Option<()> {
        *self.out.get_mut(self.end)? = byte;
        self.end += 1;
        Some(())
    }

    fn push_char(&mut self, letter: char) -> Option<()> {
        letter
            .encode_utf8(&mut [0; 4])
            .bytes()
            .try_for_each(|byte| self.push(byte))
    }

    /// Decodes up to the closing quote of an event, and steps over that.
    fn event(&mut self) -> Option<Range<usize>> {
        let start = self.end;
        loop {
            self.plain()?;
            if self.take(QUOTE) {
                self.push(b'"')?;
            } else if self.take(EDGE) {
                return Some(start..self.end);
            } else {
                self.rare()?;
            }
        }
    }

    /// Copies text and quotes, a block at a time, up to anything else.
    fn plain(&mut self) -> Option<()> {
        let (mut at, mut end) = (self.at, self.end);
        let mut odd = 0;
        // A chunk more than is looked at: copies of a chunk reach beyond what they are for.
        while odd == 0
            && let Some(bytes) = chunk::<{ BLOCK + CHUNK }>(self.source, at)
            && let Some(out) = chunk_mut::<{ BLOCK + 2 * CHUNK }>(&mut self.out, end)
        {
            let low = u8x32::new(*chunk(bytes, 0)?);
            let high = u8x32::new(*chunk(bytes, CHUNK)?);
            let mask = |low: u8x32, high: u8x32| {
                u64::from(low.to_bitmask()) | u64::from(high.to_bitmask()) << CHUNK
            };
            let each = |byte| {
                let byte = u8x32::splat(byte);
                mask(low.simd_eq(byte), high.simd_eq(byte))
            };
            let backslash = each(b'\\');
            let double = each(b'"');
            let control = u8x32::splat(0x1F);
            let control = mask(
                low.simd_eq(low.min(control)),
                high.simd_eq(high.min(control)),
            );
            // One bit at each place where three backslashes and a quote begin.
            let quotes = backslash & backslash >> 1 & backslash >> 2 & double >> 3;
            let covered = quotes | quotes << 1 | quotes << 2 | quotes << 3;
            odd = (backslash | double | control) & !covered;
            // 64 if there is nothing odd.
            let stop = odd.trailing_zeros() as usize;
            // An escaped quote that begins before the stop also ends there: none of its bytes is odd.
            let mut quotes = match odd {
                0 => quotes,
                _ => quotes & ((odd & odd.wrapping_neg()) - 1),
            };
            // Most runs are short; what is copied beyond one is overwritten by the next. Offsets are below a block's
            // length, and the remainders let the compiler see it.
            let mut run = |from: usize, to: usize, stop: usize| {
                *chunk_mut(out, to % BLOCK)? = *chunk::<CHUNK>(bytes, from % BLOCK)?;
                if stop > from + CHUNK {
                    *chunk_mut(out, to + CHUNK)? = *chunk::<CHUNK>(bytes, from + CHUNK)?;
                }
                Some(())
            };
            let (mut from, mut to) = (0, 0);
            // The last byte of an escaped quote is the quote: each but the first run begins with one.
            while quotes != 0 {
                let quote = quotes.trailing_zeros() as usize;
                run(from, to, quote)?;
                to += quote - from;
                from = quote + QUOTE.len() - 1;
                quotes &= quotes - 1;
            }
            run(from, to, stop)?;
            end += to + (stop - from);
            at += stop;
            // What is cut off by the end of the block begins the next one.
            if odd != 0
                && self
                    .source
                    .get(at..)
                    .is_some_and(|rest| rest.starts_with(QUOTE))
            {
                odd = 0;
            }
        }
        (self.at, self.end) = (at, end);
        if odd != 0 {
            return Some(());
        }
        while let Some(byte) = self.peek()
            && !matches!(byte, b'\\' | b'"' | 0..0x20)
        {
            self.push(byte)?;
            self.at += 1;
        }
        Some(())
    }

    /// Decodes an escape within an event; `None` for whatever needs a closer look.
    #[cold]
    fn rare(&mut self) -> Option<()> {
        if self.take(br"\\") {
            // The event's own escape, whose backslash was escaped.
            let letter = self.peek()?;
            self.at += 1;
            return match letter {
                b'\\' if self.take(br"\") => self.push(b'\\'),
                b'/' => self.push(b'/'),
                b'b' => self.push(8),
                b'f' => self.push(12),
                b'n' => self.push(b'\n'),
                b'r' => self.push(b'\r'),
                b't' => self.push(b'\t'),
                b'u' => self.code_unit(),
                _ => None,
            };
        }
        if self.take(br"\u") {
            let before = self.end;
            self.code_unit()?;
            // What has a meaning of its own in the array is not taken for a letter.
            let meant = self.out.get(before)?;
            return (!matches!(meant, b'"' | b'\\' | 0..0x20)).then_some(());
        }
        None
    }

    /// Decodes four hexadecimal digits that are no half of a surrogate pair.
    fn code_unit(&mut self) -> Option<()> {
        let digits = self.source.get(self.at..self.at + 4)?;
        let unit = digits.iter().try_fold(0, |unit, digit| {
            Some(unit << 4 | char::from(*digit).to_digit(16)?)
        })?;
        self.at += 4;
        self.push_char(char::from_u32(unit)?)
    }
}
