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
/// Values of one member that are remembered, and the bytes of each.
const MAX_VALUES: usize = 4;
const MAX_VALUE: usize = 16 << 10;

/// What has been learnt about the objects of a source. To be kept from one block or event to the next.
#[derive(Debug, Clone, Default)]
pub struct Habit {
    /// The order of records, then those of objects within.
    orders: Vec<Order>,
}

/// Names an order of a [`Habit`].
pub(super) type OrderId = usize;

/// Objects that nothing is learnt about.
pub(super) const NO_ORDER: OrderId = usize::MAX;

/// The members of one kind of object.
#[derive(Debug, Clone)]
struct Order {
    /// An object as it stood.
    text: Vec<u8>,
    members: Vec<Member>,
    /// The members are in use; otherwise they are learnt anew.
    known: bool,
    /// Judged members whose value does not vary, in order.
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
    /// The next member that is not fixed, this one included; beyond the last where there is none.
    next: usize,
    /// How many of the order's `fixed` stand before it.
    fixed_before: usize,
    /// The order of the objects it holds.
    inner: Option<OrderId>,
    /// Arrays it held of late.
    values: Vec<Box<[u8]>>,
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

/// What the bytes at the cursor, all as expected, lead to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Leap {
    /// The value of this member.
    Value(usize),
    /// The end of the object.
    End,
    /// Not as expected.
    Missed,
}

impl Default for Order {
    fn default() -> Self {
        Self {
            text: Vec::new(),
            members: Vec::new(),
            known: false,
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
            self.orders.push(Order::default());
        }
        0
    }

    fn get(&self, order: OrderId) -> Option<&Order> {
        self.orders.get(order)
    }

    /// Whether the members of an order are known.
    #[inline]
    pub(super) fn is_known(&self, order: OrderId) -> bool {
        self.get(order).is_some_and(|order| order.known)
    }

    /// Leaps over everything that is as in the object before, from behind the value of a member to the next
    /// value that varies, and shows the judged values in between.
    #[inline]
    pub(super) fn leap<'a>(
        &self,
        order: OrderId,
        from: usize,
        reader: &mut Reader<'a>,
        mut show: impl FnMut(Field, Value<'a>),
    ) -> Leap {
        let Some(order) = self.get(order) else {
            return Leap::Missed;
        };
        let Some((start, next, fixed_before)) = order.at(from) else {
            return Leap::Missed;
        };
        let (end, fixed_until, leap) = match order.members.get(next) {
            Some(member) => (member.value.start, member.fixed_before, Leap::Value(next)),
            None => (order.text.len(), order.fixed.len(), Leap::End),
        };
        let expected = order.text.get(start..end).unwrap_or_default();
        let base = reader.at();
        if !reader.take(expected) {
            return Leap::Missed;
        }
        for fixed in order.fixed.get(fixed_before..fixed_until).unwrap_or_default() {
            let span = base + (fixed.span.start - start)..base + (fixed.span.end - start);
            show(fixed.field, fixed.kind.value(reader, span));
        }
        leap
    }

    /// Where a leap missed: a value that was taken for fixed and is not is no longer, and the leap is worth
    /// another try.
    #[cold]
    pub(super) fn reconsider(&mut self, order: OrderId, from: usize, reader: &Reader<'_>) -> bool {
        let Some(order) = self.orders.get_mut(order) else {
            return false;
        };
        let Some((start, next, _)) = order.at(from) else {
            return false;
        };
        let expected = order.text.get(start..).unwrap_or_default();
        let rest = reader.rest();
        let equal = expected.iter().zip(rest).take_while(|(a, b)| a == b);
        let missed = start + equal.count();
        // A number may go on where the known one ends, as 10 does where 1 was.
        let goes_on = rest.get(missed - start).is_some_and(u8::is_ascii_alphanumeric);
        let fixed = order.members.get_mut(from..next).unwrap_or_default();
        let varies = fixed.iter_mut().find(|member| {
            member.value.contains(&missed) || (goes_on && member.value.end == missed)
        });
        let Some(member) = varies else {
            return false;
        };
        member.fixed = false;
        order.index();
        true
    }

    /// The member behind the one of this name.
    #[cold]
    pub(super) fn behind(&self, order: OrderId, name: &[u8]) -> Option<usize> {
        let order = self.get(order)?;
        let is_it = |member: &Member| self::name(&order.text, member) == Some(name);
        order.members.iter().position(is_it).map(|index| index + 1)
    }

    /// The order of the objects that a member holds.
    pub(super) fn inner(&mut self, order: OrderId, member: usize) -> OrderId {
        let fresh = self.orders.len();
        let Some(member) = self
            .orders
            .get_mut(order)
            .and_then(|order| order.members.get_mut(member))
        else {
            return NO_ORDER;
        };
        match member.inner {
            Some(inner) => inner,
            None if fresh < MAX_ORDERS => {
                member.inner = Some(fresh);
                self.orders.push(Order::default());
                fresh
            }
            None => NO_ORDER,
        }
    }

    /// The field of a member.
    #[inline]
    pub(super) fn field(&self, order: OrderId, member: usize) -> Option<Field> {
        self.get(order)?.members.get(member)?.field
    }

    /// Steps over an array that the member held before.
    #[inline]
    pub(super) fn take_value(&self, order: OrderId, member: usize, reader: &mut Reader<'_>) -> bool {
        let member = self.get(order).and_then(|order| order.members.get(member));
        member.is_some_and(|member| member.values.iter().any(|value| reader.take(value)))
    }

    /// Remembers an array that the member held.
    #[cold]
    pub(super) fn keep_value(&mut self, order: OrderId, member: usize, value: &[u8]) {
        let member = self
            .orders
            .get_mut(order)
            .and_then(|order| order.members.get_mut(member));
        if let Some(member) = member
            && value.len() <= MAX_VALUE
            && member.values.len() < MAX_VALUES
        {
            member.values.push(value.into());
        }
    }

    /// Says that an object was read, in the known order or in another.
    #[inline]
    pub(super) fn was_read(&mut self, order: OrderId, missed: bool) {
        let Some(order) = self.orders.get_mut(order) else {
            return;
        };
        if missed {
            order.misses += 1;
            if order.misses >= order.patience {
                order.known = false;
                order.misses = 0;
                order.patience = order.patience.saturating_mul(2);
            }
        } else {
            order.misses = order.misses.saturating_sub(1);
        }
    }

    /// Learns an order from an object and its members.
    #[cold]
    pub(super) fn learn(&mut self, order: OrderId, object: &[u8], lesson: Lesson) {
        let Some(order) = self.orders.get_mut(order) else {
            return;
        };
        let mut members = lesson.0;
        if members.is_empty() || members.len() > MAX_MEMBERS || object.len() > MAX_TEXT {
            return;
        }
        let former = std::mem::take(&mut order.members);
        let former_text = std::mem::replace(&mut order.text, object.to_vec());
        for member in &mut members {
            let name = name(&order.text, member);
            let known = former
                .iter()
                .find(|former| self::name(&former_text, former) == name);
            member.inner = known.and_then(|known| known.inner);
        }
        order.members = members;
        order.known = true;
        order.index();
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
            next: 0,
            fixed_before: 0,
            inner: None,
            values: Vec::new(),
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

impl Order {
    /// Where the text goes on behind the member before `from`, the next member that varies, and how many fixed
    /// judged values stand before.
    #[inline]
    fn at(&self, from: usize) -> Option<(usize, usize, usize)> {
        if !self.known {
            return None;
        }
        match self.members.get(from) {
            Some(member) => Some((member.start, member.next, member.fixed_before)),
            None => {
                let last = self.members.last()?;
                Some((last.value.end, from, self.fixed.len()))
            }
        }
    }

    /// Sets up what depends on which members are fixed.
    fn index(&mut self) {
        self.fixed.clear();
        for member in &mut self.members {
            member.fixed_before = self.fixed.len();
            if member.fixed && let Some(field) = member.field {
                let bytes = self.text.get(member.value.clone()).unwrap_or_default();
                self.fixed.push(Fixed {
                    field,
                    kind: Kind::of(bytes),
                    span: member.value.clone(),
                });
            }
        }
        let mut next = self.members.len();
        for (index, member) in self.members.iter_mut().enumerate().rev() {
            if !member.fixed {
                next = index;
            }
            member.next = next;
        }
    }
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
