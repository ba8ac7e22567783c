//! One JSON object in one pass: either the fields of a record, or the envelope around records.

use super::field::{Field, Fields};
use super::habit::{Habit, Held, Lesson, MAX_MEMBERS, Order, OrderId, Stop};
use super::identity;
use super::interpret::{Details, Row, interpret};
use super::json::{JsonError, Reader, Value};
use super::levels::{Level, Levels};
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

/// A record that is read.
#[derive(Debug, Default)]
pub(super) struct Record<'a> {
    levels: Levels<'a>,
}

/// Objects within objects that are read in their own order; deeper ones are skipped.
const MAX_LEVELS: u32 = 6;

impl<'a> Record<'a> {
    /// Reads the object at the cursor.
    pub(super) fn read(
        &mut self,
        reader: &mut Reader<'a>,
        habit: &mut Habit,
    ) -> Result<Object, JsonError> {
        let start = reader.at();
        self.levels.clear();
        if habit.follow_track(reader, &mut self.levels) {
            return Ok(Object::Record);
        }
        reader.go_to(start);
        self.levels.clear();
        let order = habit.records();
        let envelope = self.object(reader, habit, Some(order), Level::Top, 0)?;
        Ok(match envelope {
            Some(field) => Object::Envelope(field),
            None => {
                habit.read_by_orders();
                Object::Record
            }
        })
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
            match order.follow(&mut place, reader, self.levels.of_mut(level))? {
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
                        habit.keep_array(held, reader.since(start));
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
        self.levels.set(level, field, value);
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
        if level == Level::Top
            && let Some(field) = field
            && self.is_envelope(field, Some(b'{'))
        {
            return Ok(Some(field));
        }
        let inner_level = level.of_object(field);
        self.levels.begin_object(inner_level);
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
        self.levels.end_object(inner_level, span);
        if let Some(field) = field {
            self.levels.set(level, field, Value::Object(span));
        }
        Ok(None)
    }

    /// Whether the value that begins so holds records: `records` of a diagnostic setting, `value` of a
    /// page of Microsoft Graph. Behind a category both are just another key of a record.
    fn is_envelope(&self, field: Field, begin: Option<u8>) -> bool {
        let holds = match field {
            Field::Records => matches!(begin, Some(b'[' | b'{' | b'"')),
            Field::Value => begin == Some(b'['),
            _ => false,
        };
        holds && self.top().value(Field::Category) == Value::Null
    }

    /// Whether the object is surely a log record: what resuming behind a broken record asks for, lest an
    /// object inside the broken one be taken for its neighbour.
    pub(super) fn is_marked(&self) -> bool {
        let has = |field| self.top().value(field) != Value::Null;
        let categorised = (has(Field::Category) || has(Field::Type))
            && (has(Field::Properties)
                || has(Field::Time)
                || has(Field::TimeGenerated)
                || has(Field::CreatedDateTime));
        let names_an_app =
            has(Field::AppId) || has(Field::ServicePrincipalId) || has(Field::ServicePrincipalName);
        categorised || (has(Field::CreatedDateTime) && names_an_app)
    }

    fn top(&self) -> &Fields<'a> {
        self.levels.of(Level::Top)
    }

    /// The place that is written in an object, if that was read on the way.
    fn place(&self, details: &Fields<'a>) -> Option<Place<'a>> {
        let Value::Object(span) = details.value(Field::Location) else {
            return None;
        };
        let place = self.levels.place_of(span)?;
        let part = |field| place.value(field);
        Some(Place::of_parts(
            part(Field::Country),
            part(Field::State),
            part(Field::City),
        ))
    }

    /// Shows the visitor what the record says; `body` is the record as it stands.
    pub(super) fn show(&self, body: &[u8], context: &Context, visit: &mut dyn FnMut(&Item<'_>)) {
        match self.top().value(Field::Properties) {
            Value::Object(span) => interpret(
                &Row {
                    top: self.top(),
                    details: Details::Properties(self.levels.of(Level::Properties)),
                    place: self.place(self.levels.of(Level::Properties)),
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
                        top: self.top(),
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
                    top: self.top(),
                    details: Details::Flat,
                    place: self.place(self.top()),
                    body,
                    content: &|hash| identity::row(hash, body),
                },
                context,
                visit,
            ),
        }
    }
}
