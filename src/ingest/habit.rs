//! The order of members that a producer keeps to, learnt from its records and used to read the next ones.
//!
//! A producer writes the members of its records in the same order, with the same spacing, and most of the
//! values again and again. So the bytes from one value that varies to the next are nearly always those of the
//! record before: they are compared as a whole instead of being taken apart. What is equal to bytes that the
//! reader has accepted in the same place needs no second check; whatever differs is read by the reader. A habit
//! therefore changes how fast a text is read, and never what is read: a property test holds that.

use std::ops::Range;

use super::field::Field;
use super::json::{Reader, Value};

/// Members of an object that are remembered; none of Entra's logs has half as many.
const MAX_MEMBERS: usize = 192;
/// Bytes of an object that are remembered.
const MAX_TEXT: usize = 64 << 10;
/// Kinds of objects that are remembered.
const MAX_ORDERS: usize = 32;
/// Arrays of one member that are remembered, and the bytes of each.
const MAX_ARRAYS: usize = 4;
const MAX_ARRAY: usize = 16 << 10;

/// What has been learnt about the objects of a source. To be kept from one block or event to the next.
#[derive(Debug, Clone, Default)]
pub struct Habit {
    /// The order of records, then those of objects within; one that is in use is not there.
    orders: Vec<Option<Box<Order>>>,
}

/// Names an order of a [`Habit`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct OrderId(usize);

/// The members of one kind of object.
#[derive(Debug, Clone)]
pub(super) struct Order {
    /// An object as it stood.
    text: Vec<u8>,
    members: Vec<Member>,
    /// The members are in use; otherwise they are to be learnt.
    pub(super) known: bool,
    /// From one value that varies to the next.
    steps: Vec<Step>,
    /// Judged values that do not vary.
    fixed: Vec<Fixed>,
    /// Objects in other orders, less those in this one.
    misses: u32,
    /// As many misses make it learn anew; more each time, lest hostile or mixed input learns all the time.
    patience: u32,
}

/// One member, as offsets into the text of its order.
#[derive(Debug, Clone)]
struct Member {
    /// Where the value before it ended.
    start: usize,
    value: Range<usize>,
    field: Option<Field>,
    /// The value does not vary.
    fixed: bool,
    /// The value is a string each time.
    text: bool,
    /// The step that begins before it or passes over it.
    step: usize,
    /// The order of the objects it holds.
    inner: Option<OrderId>,
    /// Arrays it held of late.
    arrays: Vec<Box<[u8]>>,
}

/// Bytes that are the same in each object, and what follows them.
#[derive(Debug, Clone)]
struct Step {
    bytes: Range<usize>,
    /// Of the order's `fixed` those that are in the bytes.
    fixed: Range<usize>,
    slot: Slot,
}

/// What varies behind a step's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Slot {
    /// The rest of a string, behind its opening quote.
    Text(Option<Field>),
    /// A value, of this member.
    Value(Option<Field>, usize),
    /// Nothing: the object has ended.
    End,
}

/// A judged value that does not vary.
#[derive(Debug, Clone)]
struct Fixed {
    field: Field,
    kind: Kind,
    span: Range<usize>,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Null,
    Bool(bool),
    Number,
    Text { escaped: bool },
    Array,
    Object,
}

/// Where reading is in an order: before a step, or within the bytes of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    step: usize,
    /// The first byte of the step that is still to come.
    from: usize,
}

impl Default for Order {
    fn default() -> Self {
        Self {
            text: Vec::new(),
            members: Vec::new(),
            known: false,
            steps: Vec::new(),
            fixed: Vec::new(),
            misses: 0,
            patience: 4,
        }
    }
}

impl Habit {
    /// The order of the records.
    pub(super) fn records(&mut self) -> OrderId {
        if self.orders.is_empty() {
            self.orders.push(Some(Box::default()));
        }
        OrderId(0)
    }

    /// Takes an order to read an object by.
    #[inline]
    pub(super) fn take(&mut self, id: OrderId) -> Option<Box<Order>> {
        self.orders.get_mut(id.0)?.take()
    }

    /// Puts back what was taken.
    #[inline]
    pub(super) fn put(&mut self, id: OrderId, order: Box<Order>) {
        if let Some(place) = self.orders.get_mut(id.0) {
            *place = Some(order);
        }
    }

    /// The order of the objects that a member holds.
    pub(super) fn inner(&mut self, order: &mut Order, member: usize) -> Option<OrderId> {
        let member = order.members.get_mut(member)?;
        if member.inner.is_none() && self.orders.len() < MAX_ORDERS {
            member.inner = Some(OrderId(self.orders.len()));
            self.orders.push(Some(Box::default()));
        }
        member.inner
    }
}

impl Order {
    /// The beginning of an object.
    pub(super) const START: Place = Place { step: 0, from: 0 };

    /// Leaps over everything that is as in the objects before, to the next value that varies, and shows the
    /// judged values in between; `None` if anything is not as expected.
    #[inline]
    pub(super) fn leap<'a>(
        &self,
        place: &mut Place,
        reader: &mut Reader<'a>,
        mut show: impl FnMut(Field, Value<'a>),
    ) -> Option<Slot> {
        let step = self.steps.get(place.step)?;
        let base = reader.at();
        if !reader.take(self.text.get(place.from..step.bytes.end)?) {
            return None;
        }
        for fixed in self.fixed.get(step.fixed.clone()).unwrap_or_default() {
            // Behind a member that was not expected, reading may begin within the bytes.
            if let Some(start) = fixed.span.start.checked_sub(place.from) {
                let span = base + start..base + (fixed.span.end - place.from);
                show(fixed.field, fixed.kind.value(reader, span));
            }
        }
        place.step += 1;
        place.from = match self.steps.get(place.step) {
            Some(next) => next.bytes.start,
            None => self.text.len(),
        };
        Some(step.slot)
    }

    /// Where a leap missed: a value that was taken for fixed and is not is no longer; then the leap is worth
    /// another try.
    #[cold]
    pub(super) fn reconsider(&mut self, place: &mut Place, reader: &Reader<'_>) -> bool {
        let expected = self.text.get(place.from..).unwrap_or_default();
        let rest = reader.rest();
        let equal = expected.iter().zip(rest).take_while(|(a, b)| a == b);
        let missed = place.from + equal.count();
        // The window may end here.
        let Some(found) = rest.get(missed - place.from) else {
            return false;
        };
        // A number may go on where the known one ends, as 10 does where 1 was.
        let goes_on = found.is_ascii_alphanumeric();
        let varies = self.members.iter_mut().position(|member| {
            member.value.contains(&missed) || (goes_on && member.value.end == missed)
        });
        let Some(member) = varies.and_then(|index| self.members.get_mut(index)) else {
            return false;
        };
        if member.fixed {
            member.fixed = false;
        } else if member.text && member.value.start == missed {
            member.text = false;
        } else {
            return false;
        }
        self.index();
        // Steps before the cursor are as they were; the one at it may have been cut in two.
        place.step = self
            .steps
            .iter()
            .position(|step| place.from < step.bytes.end)
            .unwrap_or(self.steps.len());
        true
    }

    /// The place behind the member of this name.
    #[cold]
    pub(super) fn behind(&self, name: &[u8]) -> Option<Place> {
        let is_it = |member: &Member| self::name(&self.text, member) == Some(name);
        let index = self.members.iter().position(is_it)?;
        let from = self.members.get(index)?.value.end;
        let step = match self.members.get(index + 1) {
            Some(next) => next.step,
            None => self.steps.len().checked_sub(1)?,
        };
        Some(Place { step, from })
    }

    /// Steps over an array that the member held before.
    #[inline]
    pub(super) fn take_array(&self, member: usize, reader: &mut Reader<'_>) -> bool {
        let member = self.members.get(member);
        member.is_some_and(|member| member.arrays.iter().any(|array| reader.take(array)))
    }

    /// Remembers an array that the member held.
    #[cold]
    pub(super) fn keep_array(&mut self, member: usize, array: &[u8]) {
        if let Some(member) = self.members.get_mut(member)
            && array.len() <= MAX_ARRAY
            && member.arrays.len() < MAX_ARRAYS
        {
            member.arrays.push(array.into());
        }
    }

    /// Says that an object was read, in the known order or in another.
    #[inline]
    pub(super) fn was_read(&mut self, missed: bool) {
        if !missed {
            self.misses = self.misses.saturating_sub(1);
            return;
        }
        self.misses += 1;
        if self.misses >= self.patience {
            self.known = false;
            self.misses = 0;
            self.patience = self.patience.saturating_mul(2);
        }
    }

    /// Learns the order from an object and its members.
    #[cold]
    pub(super) fn learn(&mut self, object: &[u8], lesson: Lesson) {
        let mut members = lesson.0;
        if members.is_empty() || members.len() > MAX_MEMBERS || object.len() > MAX_TEXT {
            return;
        }
        let former = std::mem::take(&mut self.members);
        let former_text = std::mem::replace(&mut self.text, object.to_vec());
        for member in &mut members {
            let name = name(&self.text, member);
            let known = former
                .iter()
                .find(|former| self::name(&former_text, former) == name);
            member.inner = known.and_then(|known| known.inner);
            let begins = self.text.get(member.value.start);
            // Envelopes are told by these; they are read with care each time.
            let plain = !matches!(member.field, Some(Field::Records | Field::Value));
            member.text = plain && begins == Some(&b'"');
        }
        self.members = members;
        self.known = true;
        self.index();
    }

    /// Sets up the steps, from which members are fixed.
    fn index(&mut self) {
        self.steps.clear();
        self.fixed.clear();
        let (mut start, mut fixed_from) = (0, 0);
        for (index, member) in self.members.iter_mut().enumerate() {
            member.step = self.steps.len();
            if member.fixed {
                if let Some(field) = member.field {
                    let bytes = self.text.get(member.value.clone()).unwrap_or_default();
                    self.fixed.push(Fixed {
                        field,
                        kind: Kind::of(bytes),
                        span: member.value.clone(),
                    });
                }
                continue;
            }
            self.steps.push(Step {
                bytes: start..member.value.start + usize::from(member.text),
                fixed: fixed_from..self.fixed.len(),
                slot: match member.text {
                    true => Slot::Text(member.field),
                    false => Slot::Value(member.field, index),
                },
            });
            start = member.value.end;
            fixed_from = self.fixed.len();
        }
        self.steps.push(Step {
            bytes: start..self.text.len(),
            fixed: fixed_from..self.fixed.len(),
            slot: Slot::End,
        });
    }
}

/// The members of an object that is being read.
#[derive(Debug, Default)]
pub(super) struct Lesson(Vec<Member>);

impl Lesson {
    /// Notes a member: where the value before it ended and where its own stands, from the object's beginning.
    pub(super) fn note(&mut self, start: usize, value: Range<usize>, field: Option<Field>) {
        self.0.push(Member {
            start,
            value,
            field,
            fixed: field.is_none_or(Field::seldom_varies),
            text: false,
            step: 0,
            inner: None,
            arrays: Vec::new(),
        });
    }
}

/// A member's key, between its quotes.
fn name<'t>(text: &'t [u8], member: &Member) -> Option<&'t [u8]> {
    let key = text.get(member.start..member.value.start)?;
    let from = key.iter().position(|byte| *byte == b'"')? + 1;
    let to = key.iter().rposition(|byte| *byte == b'"')?;
    key.get(from..to)
}

impl Kind {
    /// The kind of a valid value.
    fn of(bytes: &[u8]) -> Self {
        match bytes.first() {
            Some(b'"') => Self::Text {
                escaped: bytes.contains(&b'\\'),
            },
            Some(b'[') => Self::Array,
            Some(b'{') => Self::Object,
            Some(b't') => Self::Bool(true),
            Some(b'f') => Self::Bool(false),
            Some(b'n') | None => Self::Null,
            Some(_) => Self::Number,
        }
    }

    #[inline]
    fn value<'a>(self, reader: &Reader<'a>, span: Range<usize>) -> Value<'a> {
        match self {
            Self::Null => Value::Null,
            Self::Bool(value) => Value::Bool(value),
            Self::Number => Value::Number(reader.span(span)),
            Self::Text { escaped } => Value::Text(reader.quoted(span, escaped)),
            Self::Array => Value::Array(reader.span(span)),
            Self::Object => Value::Object(reader.span(span)),
        }
    }
}
