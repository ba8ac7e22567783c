//! A record's fields, each on the level that it stands on.

use super::field::{Field, Fields, field_of};
use super::json::{Text, Value};

/// Which object of a record it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Level {
    Top,
    Properties,
    Place,
    /// One that nothing is read from.
    Other,
}

impl Level {
    /// The field of a key.
    #[inline]
    pub(super) fn field(self, key: Text<'_>) -> Option<Field> {
        match self {
            Self::Other => None,
            _ => field_of(key),
        }
    }

    /// The level of an object that stands here, under the key of this field.
    #[inline]
    pub(super) fn of_object(self, field: Option<Field>) -> Self {
        match (self, field) {
            (Self::Top, Some(Field::Properties)) => Self::Properties,
            (Self::Top | Self::Properties, Some(Field::Location)) => Self::Place,
            _ => Self::Other,
        }
    }
}

/// The fields of all levels.
#[derive(Debug, Default)]
pub(super) struct Levels<'a> {
    fields: [Fields<'a>; 4],
    /// The object that the place's fields were read from.
    place_span: Option<&'a [u8]>,
}

impl<'a> Levels<'a> {
    /// Forgets what was read.
    pub(super) fn clear(&mut self) {
        for fields in &mut self.fields {
            fields.clear();
        }
        self.place_span = None;
    }

    /// The fields of a level.
    #[inline]
    #[expect(clippy::indexing_slicing, reason = "a level is one of four")]
    pub(super) fn of(&self, level: Level) -> &Fields<'a> {
        &self.fields[level as usize]
    }

    /// The fields of a level, to be set.
    #[inline]
    #[expect(clippy::indexing_slicing, reason = "a level is one of four")]
    pub(super) fn of_mut(&mut self, level: Level) -> &mut Fields<'a> {
        &mut self.fields[level as usize]
    }

    /// Sets a field.
    #[inline]
    pub(super) fn set(&mut self, level: Level, field: Field, value: Value<'a>) {
        self.of_mut(level).set(field, value);
    }

    /// Says that an object of this level begins: of two of them, the second counts.
    pub(super) fn begin_object(&mut self, level: Level) {
        self.of_mut(level).clear();
    }

    /// Says that an object of this level has ended.
    #[inline]
    pub(super) fn end_object(&mut self, level: Level, span: &'a [u8]) {
        if level == Level::Place {
            self.place_span = Some(span);
        }
    }

    /// The place's fields, if this object is the one that they were read from.
    pub(super) fn place_of(&self, object: &'a [u8]) -> Option<&Fields<'a>> {
        let read = self.place_span?;
        std::ptr::eq(object, read).then_some(self.of(Level::Place))
    }
}
