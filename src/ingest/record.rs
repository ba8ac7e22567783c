//! One JSON object in one pass: either the fields of a record, or the envelope around records.

use super::field::{Field, Fields, field_of};
use super::habit::{Habit, Leap, Lesson, NO_ORDER, OrderId};
use super::identity;
use super::interpret::{Details, Row, interpret};
use super::json::{JsonError, Reader, Value};
use super::place::Place;
use super::{Context, Item};

/// What an object turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Object {
    /// A record, read to its closing bracket.
    Record,
    /// An envelope; the reader stands before its array, object or text of records.
    Envelope(Field),
}

/// A record's fields on its levels.
#[derive(Debug, Default)]
pub(super) struct Record<'a> {
    top: Fields<'a>,
    properties: Fields<'a>,
    place: Fields<'a>,
    /// The object that `place` was read from.
    place_span: Option<&'a [u8]>,
}

/// Which object of a record it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    Top,
    Properties,
    Place,
    /// One that nothing is read from.
    Other,
}

/// Objects within objects that are read in their own order; deeper ones are skipped.
const MAX_LEVELS: u32 = 6;

impl<'a> Record<'a> {
    /// Forgets what was read.
    pub(super) fn clear(&mut self) {
        self.top.clear();
        self.properties.clear();
        self.place.clear();
        self.place_span = None;
    }

    /// Reads the object at the cursor.
    pub(super) fn read(
        &mut self,
        reader: &mut Reader<'a>,
        habit: &mut Habit,
    ) -> Result<Object, JsonError> {
        let order = habit.records();
        let envelope = self.object(reader, habit, order, Level::Top, 0)?;
        Ok(envelope.map_or(Object::Record, Object::Envelope))
    }

    /// Reads the object at the cursor, which `outer` brackets enclose; an envelope is left unread.
    fn object(
        &mut self,
        reader: &mut Reader<'a>,
        habit: &mut Habit,
        order: OrderId,
        level: Level,
        outer: u32,
    ) -> Result<Option<Field>, JsonError> {
        let base = reader.at();
        let mut lesson = (!habit.is_known(order)).then(Lesson::default);
        let mut missed = false;
        let mut first = true;
        // The member that is due, if the object keeps to the order.
        let mut due = lesson.is_none().then_some(0);
        loop {
            while let Some(from) = due {
                match habit.leap(order, from, reader, |field, value| self.set(level, field, value)) {
                    Leap::End => {
                        habit.was_read(order, missed);
                        return Ok(None);
                    }
                    Leap::Value(member) => {
                        first = false;
                        due = Some(member + 1);
                        let field = habit.field(order, member);
                        let slot = Some((order, member));
                        if let Some(field) = self.member(reader, habit, slot, level, field, outer)? {
                            return Ok(Some(field));
                        }
                    }
                    Leap::Missed => {
                        if !habit.reconsider(order, from, reader) {
                            due = None;
                        }
                    }
                }
            }
            let start = reader.at() - base;
            let Some(key) = reader.next_key(first)? else {
                match lesson {
                    Some(lesson) => habit.learn(order, reader.since(base), lesson),
                    None => habit.was_read(order, missed),
                }
                return Ok(None);
            };
            first = false;
            missed = true;
            let field = match level {
                Level::Other => None,
                _ => field_of(key),
            };
            let value_at = reader.at();
            if let Some(field) = self.member(reader, habit, None, level, field, outer)? {
                return Ok(Some(field));
            }
            match &mut lesson {
                Some(lesson) => lesson.note(start, value_at - base..reader.at() - base, field),
                None => due = habit.behind(order, key.raw()),
            }
        }
    }

    /// Reads the value of a member. What is no record but an envelope of them is left unread.
    #[inline]
    fn member(
        &mut self,
        reader: &mut Reader<'a>,
        habit: &mut Habit,
        slot: Option<(OrderId, usize)>,
        level: Level,
        field: Option<Field>,
        outer: u32,
    ) -> Result<Option<Field>, JsonError> {
        let begin = reader.peek();
        if begin == Some(b'{') {
            return self.inner_object(reader, habit, slot, level, field, outer);
        }
        let Some(field) = field else {
            if begin == Some(b'[') {
                return skip_array(reader, habit, slot, outer).map(|()| None);
            }
            return reader.skip(outer + 1).map(|()| None);
        };
        if level == Level::Top && self.is_envelope(field, begin) {
            return Ok(Some(field));
        }
        let value = reader.value(outer + 1)?;
        self.set(level, field, value);
        Ok(None)
    }

    fn inner_object(
        &mut self,
        reader: &mut Reader<'a>,
        habit: &mut Habit,
        slot: Option<(OrderId, usize)>,
        level: Level,
        field: Option<Field>,
        outer: u32,
    ) -> Result<Option<Field>, JsonError> {
        let start = reader.at();
        let inner_level = match (level, field) {
            (Level::Top, Some(Field::Properties)) => {
                self.properties.clear();
                Level::Properties
            }
            (Level::Top | Level::Properties, Some(Field::Location)) => {
                self.place.clear();
                Level::Place
            }
            (Level::Top, Some(field)) if self.is_envelope(field, Some(b'{')) => {
                return Ok(Some(field));
            }
            _ => Level::Other,
        };
        let order = match slot {
            Some((order, member)) if outer < MAX_LEVELS => habit.inner(order, member),
            _ => NO_ORDER,
        };
        if order == NO_ORDER && inner_level == Level::Other {
            reader.skip(outer + 1)?;
        } else {
            self.object(reader, habit, order, inner_level, outer + 1)?;
        }
        let span = reader.since(start);
        if inner_level == Level::Place {
            self.place_span = Some(span);
        }
        if let Some(field) = field {
            self.set(level, field, Value::Object(span));
        }
        Ok(None)
    }

    #[inline]
    fn set(&mut self, level: Level, field: Field, value: Value<'a>) {
        match level {
            Level::Top => self.top.set(field, value),
            Level::Properties => self.properties.set(field, value),
            Level::Place => self.place.set(field, value),
            Level::Other => {}
        }
    }

    /// Whether the value that begins so holds records: `records` of a diagnostic setting, `value` of a
    /// page of Microsoft Graph. Behind a category both are just another key of a record.
    fn is_envelope(&self, field: Field, begin: Option<u8>) -> bool {
        let holds = match field {
            Field::Records => matches!(begin, Some(b'[' | b'{' | b'"')),
            Field::Value => begin == Some(b'['),
            _ => false,
        };
        holds && self.top.value(Field::Category) == Value::Null
    }

    /// Whether the object is surely a log record: what resuming behind a broken record asks for, lest an
    /// object inside the broken one be taken for its neighbour.
    pub(super) fn is_marked(&self) -> bool {
        let has = |field| self.top.value(field) != Value::Null;
        let categorised = (has(Field::Category) || has(Field::Type))
            && (has(Field::Properties)
                || has(Field::Time)
                || has(Field::TimeGenerated)
                || has(Field::CreatedDateTime));
        let names_an_app =
            has(Field::AppId) || has(Field::ServicePrincipalId) || has(Field::ServicePrincipalName);
        categorised || (has(Field::CreatedDateTime) && names_an_app)
    }

    /// The place that is written in an object, if that was read on the way.
    fn place(&self, details: &Fields<'a>) -> Option<Place<'a>> {
        let Value::Object(span) = details.value(Field::Location) else {
            return None;
        };
        let read = self.place_span?;
        let part = |field| self.place.value(field);
        std::ptr::eq(span, read).then(|| {
            Place::of_parts(
                part(Field::Country),
                part(Field::State),
                part(Field::City),
            )
        })
    }

    /// Shows the visitor what the record says; `body` is the record as it stands.
    pub(super) fn show(&self, body: &[u8], context: &Context, visit: &mut dyn FnMut(Item<'_>)) {
        let item = match self.top.value(Field::Properties) {
            Value::Object(span) => interpret(
                &Row {
                    top: &self.top,
                    details: Details::Properties(&self.properties),
                    place: self.place(&self.properties),
                    body,
                    content: &|hash| identity::value(hash, span),
                },
                context,
            ),
            Value::Text(text) if !text.is_empty() => {
                let text = text.decode();
                let mut properties = Fields::default();
                let details =
                    match properties.read(&mut Reader::new(text.as_bytes().trim_ascii(), 0), 0) {
                        Ok(()) => Details::Properties(&properties),
                        Err(error) => Details::Unreadable(error),
                    };
                let item = interpret(
                    &Row {
                        top: &self.top,
                        details,
                        place: None,
                        body,
                        content: &|hash| identity::value(hash, text.as_bytes()),
                    },
                    context,
                );
                return visit(item);
            }
            _ => interpret(
                &Row {
                    top: &self.top,
                    details: Details::Flat,
                    place: self.place(&self.top),
                    body,
                    content: &|hash| identity::row(hash, body),
                },
                context,
            ),
        };
        visit(item);
    }
}

/// Skips an array, which is often one of a few.
fn skip_array(
    reader: &mut Reader<'_>,
    habit: &mut Habit,
    slot: Option<(OrderId, usize)>,
    outer: u32,
) -> Result<(), JsonError> {
    let Some((order, member)) = slot else {
        return reader.skip(outer + 1);
    };
    if habit.take_value(order, member, reader) {
        return Ok(());
    }
    let start = reader.at();
    reader.skip(outer + 1)?;
    habit.keep_value(order, member, reader.since(start));
    Ok(())
}
