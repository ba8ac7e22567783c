//! Records out of a JSON document of any size: envelopes, arrays, pages, single and concatenated values.
//!
//! The document is read window by window. Between windows only the containers that are open are kept,
//! so memory is bounded by the largest record, and [`MAX_RECORD`] bounds that.
//!
//! One broken record costs itself alone: it is one reject, and reading goes on behind it
//! (other services in a shared Event Hub do write invalid JSON, `elastic/beats` issues 34092, 34874, 40641).

mod resume;

use std::borrow::Cow;

use super::field::{Field, field_of};
use super::habit::Habit;
use super::json::{JsonError, Problem, Reader, Source, Value};
use super::record::{Object, Record};
use super::recover::Walk;
use super::whereabouts::Whereabouts;
use super::{Context, Fault, Item, Offset, Position, Reject};

/// The largest record that is judged. An event of an Event Hub holds at most 1 MiB of them.
pub const MAX_RECORD: usize = 16 << 20;

/// How much of a record beyond [`MAX_RECORD`] its reject keeps.
const KEPT_OF_OVERLONG: usize = 64 << 10;

/// How deep envelopes may stand in arrays and in each other.
const MAX_CONTAINERS: usize = 16;

/// Reads the records of a JSON document, window by window.
///
/// Also the way to read a single line of NDJSON that is too long to hold: feed it up to its line break
/// and say `last` there.
///
/// ```
/// # use spwatch::ingest::{Context, Document};
/// let context = Context::default();
/// let mut document = Document::new(&context);
/// let mut records = 0;
/// let text = br#"{"records":[{"category":"SignInLogs"},{"category":"SignInLogs"}]}"#;
/// let consumed = document.read(&text[..30], false, &mut |_, _| records += 1);
/// assert!(consumed <= 30);
/// document.read(&text[consumed..], true, &mut |_, _| records += 1);
/// assert_eq!(records, 2);
/// ```
#[derive(Debug, Clone)]
pub struct Document<'c> {
    context: &'c Context,
    containers: Vec<Container>,
    /// A value stands before the cursor, so that a comma or a closing bracket is due.
    after_value: bool,
    /// Containers were left in an emergency: their commas and closing brackets mean nothing any more.
    loose: bool,
    /// An element that is being skipped across windows.
    skipping: Option<Walk>,
    /// Nothing but this reject comes of the whole source.
    unreadable: bool,
    whereabouts: Whereabouts,
    habit: Habit,
    records: u64,
    max_record: usize,
    /// Whether `records` may be the text of a document.
    unwraps_text: bool,
}

/// A container that is open at the cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Container {
    /// An array of records or envelopes.
    Array,
    /// The array of an envelope.
    Records,
    /// An envelope whose `records` is one record instead of an array.
    Single,
    /// The rest of an envelope, behind its records.
    Envelope,
}

/// What one step came to.
enum Step {
    /// The cursor moved here.
    To(usize),
    /// More of the source is needed.
    More,
}

/// A visitor and the window it is shown records of.
struct Window<'w, 'v> {
    source: Source<'w>,
    bytes: &'w [u8],
    last: bool,
    /// Room for the record that is being read, used again and again.
    record: &'v mut Record<'w>,
    visit: &'v mut dyn FnMut(Position, &Item<'_>),
}

impl<'c> Document<'c> {
    /// Begins at the start of a source.
    pub fn new(context: &'c Context) -> Self {
        Self::starting_at(context, Offset::default())
    }

    /// Begins somewhere within a source, of which `offset` has been read.
    pub fn starting_at(context: &'c Context, offset: Offset) -> Self {
        Self {
            context,
            containers: Vec::new(),
            after_value: false,
            loose: false,
            skipping: None,
            unreadable: false,
            whereabouts: Whereabouts::new(offset),
            habit: Habit::default(),
            records: offset.records,
            max_record: MAX_RECORD,
            unwraps_text: true,
        }
    }

    /// Reads with what has been learnt about the source before.
    pub fn with_habit(self, habit: Habit) -> Self {
        Self { habit, ..self }
    }

    /// What has been learnt about the source.
    pub fn into_habit(self) -> Habit {
        self.habit
    }

    /// Says whether the windows to come are within one line: no line break need be looked for then.
    pub(super) fn set_within_line(&mut self, within_line: bool) {
        self.whereabouts.set_within_line(within_line);
    }

    #[cfg(test)]
    pub(super) fn with_max_record(self, max_record: usize) -> Self {
        Self { max_record, ..self }
    }

    /// How much has been read, in records, lines and bytes.
    pub fn offset(&self) -> Offset {
        self.whereabouts.offset(self.records)
    }

    /// Reads as many whole records as the window holds and returns how many of its bytes are done with.
    ///
    /// The next window begins with the bytes that are not, and must hold more of the source; `last` says
    /// that the source ends with this one. If nothing is consumed, the window is too small: one of
    /// [`MAX_RECORD`] bytes always makes progress. With `last`, everything is consumed.
    pub fn read(
        &mut self,
        window: &[u8],
        last: bool,
        visit: &mut dyn FnMut(Position, &Item<'_>),
    ) -> usize {
        self.read_window(window, last, &mut Record::default(), visit)
    }

    fn read_window<'w>(
        &mut self,
        window: &'w [u8],
        last: bool,
        record: &mut Record<'w>,
        visit: &mut dyn FnMut(Position, &Item<'_>),
    ) -> usize {
        let mut window = Window {
            source: Source::new(window),
            bytes: window,
            last,
            record,
            visit,
        };
        let mut at = 0;
        while let Step::To(next) = self.step(&mut window, at) {
            at = next;
        }
        self.whereabouts.advance(window.bytes, at);
        at
    }

    /// Reads one line of NDJSON: a document that ends with its line.
    pub(super) fn read_line<'w>(
        &mut self,
        line: &'w [u8],
        record: &mut Record<'w>,
        visit: &mut dyn FnMut(Position, &Item<'_>),
    ) {
        self.whereabouts.set_within_line(true);
        self.read_window(line, true, record, visit);
        self.whereabouts.set_within_line(false);
        self.loose = false;
        self.unreadable = false;
    }

    /// Goes on behind bytes that the caller has read itself.
    pub(super) fn pass(&mut self, bytes: &[u8]) {
        self.whereabouts.advance(bytes, bytes.len());
    }

    fn step(&mut self, window: &mut Window<'_, '_>, at: usize) -> Step {
        if self.unreadable {
            return match at < window.bytes.len() {
                true => Step::To(window.bytes.len()),
                false => Step::More,
            };
        }
        if let Some(walk) = self.skipping.take() {
            return self.skip_on(walk, window, at);
        }
        let mut reader = Reader::over(window.source, at);
        reader.blanks();
        let at_value = reader.at();
        let Some(byte) = reader.peek() else {
            return self.finish(window, at);
        };
        if let Some(Container::Envelope) = self.containers.last() {
            return self.rest_of_envelope(window, reader);
        }
        let inside_array = !self.containers.is_empty();
        match byte {
            b',' if inside_array || self.after_value || self.loose => {
                // A comma too many loses nothing: exports cut out of an array by hand end in one.
                self.after_value = false;
                Step::To(at_value + 1)
            }
            b']' if matches!(
                self.containers.last(),
                Some(Container::Array | Container::Records)
            ) =>
            {
                self.close();
                Step::To(at_value + 1)
            }
            b']' | b'}' if !inside_array && self.loose => Step::To(at_value + 1),
            0xEF if !inside_array => self.byte_order_mark(window, at_value),
            _ if inside_array && self.after_value => {
                let error = JsonError {
                    at: at_value,
                    problem: Problem::Expected("`,` or `]`"),
                };
                self.leave_array(window, error)
            }
            b'{' => self.object(window, at_value),
            b'[' if !inside_array => {
                self.containers.push(Container::Array);
                self.after_value = false;
                Step::To(at_value + 1)
            }
            _ => self.no_object(window, at_value),
        }
    }

    /// The window is read; at the end of the source, containers that are still open are reported.
    fn finish(&mut self, window: &mut Window<'_, '_>, at: usize) -> Step {
        let end = window.bytes.len();
        if window.last && !self.containers.is_empty() {
            let open = match self.containers.last() {
                Some(Container::Envelope) => "`,` or `}`",
                _ if self.after_value => "`,` or `]`",
                _ => "a record or `]`",
            };
            let error = JsonError {
                at: end,
                problem: Problem::End(open),
            };
            self.containers.clear();
            self.after_value = false;
            self.reject(window, end, end, error);
        }
        if window.last {
            self.after_value = false;
        }
        match at < end {
            true => Step::To(end),
            false => Step::More,
        }
    }

    fn byte_order_mark(&mut self, window: &mut Window<'_, '_>, at: usize) -> Step {
        let rest = window.bytes.get(at..).unwrap_or_default();
        if rest.starts_with(super::UTF8_MARK) {
            return Step::To(at + super::UTF8_MARK.len());
        }
        if !window.last && rest.len() < super::UTF8_MARK.len() {
            return Step::More;
        }
        self.no_object(window, at)
    }

    /// Reads the object at the cursor: a record or an envelope.
    fn object(&mut self, window: &mut Window<'_, '_>, start: usize) -> Step {
        let mut reader = Reader::over(window.source, start);
        match window.record.read(&mut reader, &mut self.habit) {
            Ok(Object::Record) => {
                let body = reader.since(start);
                let position = self.position(window, start);
                let visit = &mut *window.visit;
                window
                    .record
                    .show(body, self.context, &mut |item| visit(position, item));
                self.value_done();
                Step::To(reader.at())
            }
            Ok(Object::Envelope(_)) => self.envelope(window, reader, start),
            Err(error) if error.is_end() && !window.last => self.wait(window, start, error),
            Err(error) => self.recover(window, start, error),
        }
    }

    /// Enters the envelope whose records begin at the reader.
    fn envelope(
        &mut self,
        window: &mut Window<'_, '_>,
        mut reader: Reader<'_>,
        start: usize,
    ) -> Step {
        if self.containers.len() + 2 > MAX_CONTAINERS {
            let error = JsonError {
                at: reader.at(),
                problem: Problem::Depth,
            };
            return self.recover(window, start, error);
        }
        match reader.peek() {
            Some(b'[') => {
                self.containers.push(Container::Envelope);
                self.containers.push(Container::Records);
                self.after_value = false;
                Step::To(reader.at() + 1)
            }
            Some(b'{') => {
                self.containers.push(Container::Envelope);
                self.containers.push(Container::Single);
                self.after_value = false;
                Step::To(reader.at())
            }
            _ => match reader.value(1) {
                Ok(value) => {
                    self.text_of_records(window, value, start);
                    self.containers.push(Container::Envelope);
                    Step::To(reader.at())
                }
                Err(error) if error.is_end() && !window.last => self.wait(window, start, error),
                Err(error) => self.recover(window, start, error),
            },
        }
    }

    /// Reads `records` that are the text of a document.
    fn text_of_records(&mut self, window: &mut Window<'_, '_>, value: Value<'_>, start: usize) {
        let Value::Text(text) = value else {
            return;
        };
        let line = self.whereabouts.line(window.bytes, start);
        let text = text.decode();
        let opens = text.trim_start().starts_with(['[', '{']);
        if !self.unwraps_text || !opens {
            let body = text.as_bytes();
            let error = "`records` is a text, but not of a JSON array".to_owned();
            return self.show_reject(window, line, error.into(), body);
        }
        let mut inner = Document::new(self.context);
        inner.unwraps_text = false;
        inner.records = self.records;
        let visit = &mut *window.visit;
        inner.read(text.as_bytes(), true, &mut |within, item| {
            let within_text;
            visit(
                Position {
                    record: within.record,
                    line,
                },
                match item {
                    Item::Reject(reject) => {
                        within_text = Item::Reject(Reject {
                            error: format!("in the text of `records`: {}", reject.error).into(),
                            body: reject.body.clone(),
                        });
                        &within_text
                    }
                    other => other,
                },
            );
        });
        self.records = inner.records;
    }

    /// Reads on in an envelope behind its records: other members, perhaps more records, the end.
    fn rest_of_envelope(&mut self, window: &mut Window<'_, '_>, mut reader: Reader<'_>) -> Step {
        let start = reader.at();
        let result = reader.next_key(false).and_then(|key| match key {
            None => Ok(true),
            Some(key) => {
                let more = field_of(key).is_some_and(Field::may_hold_records);
                if more && reader.peek() == Some(b'[') {
                    reader.bump();
                    self.containers.push(Container::Records);
                    self.after_value = false;
                    return Ok(false);
                }
                reader.value(1)?;
                // A number or a literal might go on in the next window.
                match reader.peek() {
                    None if !window.last => reader.unexpected("`,` or `}`"),
                    _ => Ok(false),
                }
            }
        });
        match result {
            Ok(true) => {
                self.containers.pop();
                self.value_done();
                Step::To(reader.at())
            }
            Ok(false) => Step::To(reader.at()),
            Err(error) if error.is_end() && !window.last => self.wait(window, start, error),
            Err(error) => self.leave_envelope(window, start, error),
        }
    }

    /// Reads what stands where a record is due.
    fn no_object(&mut self, window: &mut Window<'_, '_>, start: usize) -> Step {
        if start == 0
            && self.whereabouts.is_start()
            && let Some(error) = super::foreign_encoding(window.bytes)
        {
            if !window.last && window.bytes.len() < KEPT_OF_OVERLONG {
                return Step::More;
            }
            let body = window.bytes.get(..KEPT_OF_OVERLONG).unwrap_or(window.bytes);
            self.show_reject(window, 1, error.to_owned().into(), body);
            self.unreadable = true;
            return Step::To(window.bytes.len());
        }
        let mut reader = Reader::over(window.source, start);
        match reader.value(0) {
            Ok(_) if reader.peek().is_none() && !window.last => {
                let error = JsonError {
                    at: reader.at(),
                    problem: Problem::End("the next record"),
                };
                self.wait(window, start, error)
            }
            // Where a value is followed by more of the same garbage, the walk takes all of it.
            Ok(value)
                if matches!(
                    reader.peek(),
                    None | Some(b' ' | b'\t' | b'\r' | b'\n' | b',' | b']')
                ) =>
            {
                let error = format!("expected a record (a JSON object), found {}", value.name());
                let line = self.whereabouts.line(window.bytes, start);
                self.show_reject(window, line, error.into(), reader.since(start));
                self.value_done();
                Step::To(reader.at())
            }
            Ok(_) => self.recover(
                window,
                start,
                JsonError {
                    at: start,
                    problem: Problem::Expected("a record (a JSON object)"),
                },
            ),
            Err(error) if error.is_end() && !window.last => self.wait(window, start, error),
            Err(error) => self.recover(window, start, error),
        }
    }

    /// A value of the innermost container is complete.
    fn value_done(&mut self) {
        self.after_value = true;
        if self.containers.last() == Some(&Container::Single) {
            self.containers.pop();
        }
    }

    /// The innermost array is complete; a plain one is a value of what it stands in.
    fn close(&mut self) {
        if self.containers.pop() == Some(Container::Array) {
            self.after_value = true;
        }
    }

    /// Counts an item that begins here.
    fn position(&mut self, window: &Window<'_, '_>, start: usize) -> Position {
        self.records += 1;
        Position {
            record: self.records,
            line: self.whereabouts.line(window.bytes, start),
        }
    }

    fn reject(&mut self, window: &mut Window<'_, '_>, start: usize, end: usize, error: JsonError) {
        let line = self.whereabouts.line(window.bytes, start);
        let text = self.whereabouts.describe(window.bytes, error);
        let body = window
            .bytes
            .get(start..end)
            .unwrap_or_default()
            .trim_ascii_end();
        let body = body.strip_suffix(b",").unwrap_or(body);
        self.show_reject(window, line, text, body);
    }

    fn show_reject(&mut self, window: &mut Window<'_, '_>, line: u64, error: Fault, body: &[u8]) {
        self.records += 1;
        (window.visit)(
            Position {
                record: self.records,
                line,
            },
            &Item::Reject(Reject {
                error,
                body: Cow::Borrowed(body),
            }),
        );
    }
}
