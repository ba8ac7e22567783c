//! One JSON object in one pass: either the fields of a record, or the envelope around records.

use super::field::{Field, Fields, field_of};
use super::identity;
use super::interpret::{Details, Row, interpret};
use super::json::{JsonError, Reader, Value};
use super::{Context, Item};

/// What an object turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Object {
    /// A record, read to its closing bracket.
    Record,
    /// An envelope; the reader stands before its array, object or text of records.
    Envelope(Field),
}

/// A record's fields on its two levels.
#[derive(Debug, Default)]
pub(super) struct Record<'a> {
    top: Fields<'a>,
    properties: Fields<'a>,
}

impl<'a> Record<'a> {
    /// Reads the object at the cursor.
    pub(super) fn read(&mut self, reader: &mut Reader<'a>) -> Result<Object, JsonError> {
        let mut next = reader.next_key(true)?;
        while let Some(key) = next {
            match field_of(key) {
                None => reader.skip(1)?,
                Some(Field::Properties) if reader.peek() == Some(b'{') => {
                    let start = reader.at();
                    self.properties = Fields::default();
                    self.properties.read(reader, 1)?;
                    self.top
                        .set(Field::Properties, Value::Object(reader.since(start)));
                }
                Some(field) => {
                    if self.is_envelope(field, reader.peek()) {
                        return Ok(Object::Envelope(field));
                    }
                    let value = reader.value(1)?;
                    self.top.set(field, value);
                }
            }
            next = reader.next_key(false)?;
        }
        Ok(Object::Record)
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

    /// Shows the visitor what the record says; `body` is the record as it stands.
    pub(super) fn show(&self, body: &[u8], context: &Context, visit: &mut dyn FnMut(Item<'_>)) {
        let item = match self.top.value(Field::Properties) {
            Value::Object(span) => interpret(
                &Row {
                    top: &self.top,
                    details: Details::Properties(&self.properties),
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
                    body,
                    content: &|hash| identity::row(hash, body),
                },
                context,
            ),
        };
        visit(item);
    }
}
