//! One JSON object in one pass: either the fields of a record, or the envelope around records.

use super::field::{Field, Fields, field_of};
use super::habit::{Habit, Held, Lesson, MAX_MEMBERS, Order, OrderId, Stop};
use super::identity;
use super::interpret::{Details, Row, interpret};
use super::json::{JsonError, Reader, Text, Value};
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
    /// Never looked at.
    other: Fields<'a>,
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

impl Level {
    /// The field of a key.
    #[inline]
    fn field(self, key: Text<'_>) -> Option<Field> {
        match self {
            Self::Other => None,
            _ => field_of(key),
        }
    }
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
        let envelope = self.object(reader, habit, Some(order), Level::Top, 0)?;
        Ok(envelope.map_or(Object::Record, Object::Envelope))
    }

    /// Reads the object at the cursor, which `outer` brackets enclose; an envelope is left unread.
    fn object(
        &mut self,
        reader: &mut Reader<'a>,
        habit: &mut Habit,
        id: Option<OrderId>,
        level: Level,
        outer: u32,
    ) -> Result<Option<Field>, JsonError> {
        let Some((id, mut order)) = id.and_then(|id| Some((id, habit.take(id)?))) else {
            return self.any_object(reader, habit, level, outer);
        };
        let read = match order.known {
            true => self.known_object(reader, habit, &mut order, level, outer),
            false => self.new_object(reader, habit, &mut order, level, outer),
        };
        habit.put(id, order);
        read
    }

    /// Reads an object by the order that such objects had before.
    fn known_object(
        &mut self,
        reader: &mut Reader<'a>,
        habit: &mut Habit,
        order: &mut Order,
        level: Level,
        outer: u32,
    ) -> Result<Option<Field>, JsonError> {
        let mut place = Order::START;
        let mut missed = false;
        let mut first = true;
        // An object of countless unknown members is not worth looking each of them up.
        let mut strangers = 0;
        loop {
            let began = place;
            match order.follow(&mut place, reader, self.fields(level))? {
                Stop::Value(field, member) => {
                    first = false;
                    // A blank may stand where there was none before.
                    reader.blanks();
                    let held = order.held(member);
                    if let Some(field) = self.member(reader, habit, held, level, field, outer)? {
                        return Ok(Some(field));
                    }
                    continue;
                }
                Stop::End => {
                    order.was_read(missed);
                    return Ok(None);
                }
                Stop::Missed => {
                    first &= place == began;
                    if order.reconsider(&mut place, reader) {
                        continue;
                    }
                    missed = true;
                }
            }
            // Member by member, up to one that is known.
            place = loop {
                let Some(key) = reader.next_key(first)? else {
                    order.was_read(missed);
                    return Ok(None);
                };
                first = false;
                let field = level.field(key);
                if let Some(field) = self.member(reader, habit, None, level, field, outer)? {
                    return Ok(Some(field));
                }
                strangers += 1;
                if strangers <= MAX_MEMBERS
                    && let Some(place) = order.behind(key.raw())
                {
                    break place;
                }
            };
        }
    }

    /// Reads an object and learns its order.
    fn new_object(
        &mut self,
        reader: &mut Reader<'a>,
        habit: &mut Habit,
        order: &mut Order,
        level: Level,
        outer: u32,
    ) -> Result<Option<Field>, JsonError> {
        let base = reader.at();
        let mut lesson = Lesson::default();
        let mut first = true;
        loop {
            let start = reader.at() - base;
            let Some(key) = reader.next_key(first)? else {
                order.learn(reader.since(base), lesson);
                return Ok(None);
            };
            first = false;
            let field = level.field(key);
            let value_at = reader.at();
            if let Some(field) = self.member(reader, habit, None, level, field, outer)? {
                return Ok(Some(field));
            }
            lesson.note(start, value_at - base..reader.at() - base, field);
        }
    }

    /// Reads an object of which nothing is known and nothing is to be learnt.
    fn any_object(
        &mut self,
        reader: &mut Reader<'a>,
        habit: &mut Habit,
        level: Level,
        outer: u32,
    ) -> Result<Option<Field>, JsonError> {
        let mut next = reader.next_key(true)?;
        while let Some(key) = next {
            if let Some(field) = self.member(reader, habit, None, level, level.field(key), outer)? {
                return Ok(Some(field));
            }
            next = reader.next_key(false)?;
        }
        Ok(None)
    }

    /// Reads the value of a member, known or not. What is no record but an envelope of them is left unread.
    fn member(
        &mut self,
        reader: &mut Reader<'a>,
        habit: &mut Habit,
        held: Option<&mut Held>,
        level: Level,
        field: Option<Field>,
        outer: u32,
    ) -> Result<Option<Field>, JsonError> {
        let begin = reader.peek();
        if begin == Some(b'{') {
            return self.inner_object(reader, habit, held, level, field, outer);
        }
        let Some(field) = field else {
            match held {
                Some(held) if begin == Some(b'[') => {
                    if !held.take_array(reader) {
                        let start = reader.at();
                        reader.skip(outer + 1)?;
                        held.keep_array(reader.since(start));
                    }
                }
                _ => reader.skip(outer + 1)?,
            }
            return Ok(None);
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
        held: Option<&mut Held>,
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
        let id = match held {
            Some(held) if outer < MAX_LEVELS => habit.inner(held),
            _ => None,
        };
        if id.is_none() && inner_level == Level::Other {
            reader.skip(outer + 1)?;
        } else {
            self.object(reader, habit, id, inner_level, outer + 1)?;
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
    fn fields(&mut self, level: Level) -> &mut Fields<'a> {
        match level {
            Level::Top => &mut self.top,
            Level::Properties => &mut self.properties,
            Level::Place => &mut self.place,
            Level::Other => &mut self.other,
        }
    }

    #[inline]
    fn set(&mut self, level: Level, field: Field, value: Value<'a>) {
        self.fields(level).set(field, value);
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
        std::ptr::eq(span, read)
            .then(|| Place::of_parts(part(Field::Country), part(Field::State), part(Field::City)))
    }

    /// Shows the visitor what the record says; `body` is the record as it stands.
    pub(super) fn show(&self, body: &[u8], context: &Context, visit: &mut dyn FnMut(&Item<'_>)) {
        match self.top.value(Field::Properties) {
            Value::Object(span) => interpret(
                &Row {
                    top: &self.top,
                    details: Details::Properties(&self.properties),
                    place: self.place(&self.properties),
                    body,
                    content: &|hash| identity::value(hash, span),
                },
                context,
                visit,
            ),
            Value::Text(text) if !text.is_empty() => {
                let text = text.decode();
                let mut properties = Fields::default();
                let details =
                    match properties.read(&mut Reader::new(text.as_bytes().trim_ascii(), 0), 0) {
                        Ok(()) => Details::Properties(&properties),
                        Err(error) => Details::Unreadable(error),
                    };
                interpret(
                    &Row {
                        top: &self.top,
                        details,
                        place: None,
                        body,
                        content: &|hash| identity::value(hash, text.as_bytes()),
                    },
                    context,
                    visit,
                );
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
                visit,
            ),
        }
    }
}
