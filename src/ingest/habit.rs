//! The order of members that a producer keeps to, learnt from its records and used to read the next ones.
//!
//! A producer writes the members of its records in the same order, with the same spacing, and most of the
//! values again and again. So the bytes from one value that varies to the next are nearly always those of the
//! record before: they are compared as a whole instead of being taken apart. What is equal to bytes that the
//! reader has accepted in the same place needs no second check; whatever differs is read by the reader. A habit
//! therefore changes how fast a text is read, and never what is read: a property test holds that.

use std::ops::Range;

use super::field::{Field, Fields};
use super::json::{JsonError, Reader, Source, Value};
use super::levels::Levels;
use super::track::Track;

/// Members of an object that are remembered; none of Entra's logs has half as many.
pub(super) const MAX_MEMBERS: usize = 192;
/// Bytes of an object that are remembered.
const MAX_TEXT: usize = 64 << 10;
/// Kinds of objects that are remembered.
const MAX_ORDERS: usize = 32;
/// Arrays of one member that are remembered, and the bytes of each.
const MAX_ARRAYS: usize = 4;
const MAX_ARRAY: usize = 16 << 10;

/// What a track is worth at most, and what a record that leaves it takes from that: it was read twice in part.
const MAX_CREDIT: u32 = 32;
const MISS: u32 = 4;
/// Records in unchanged orders that make a track; twice as many after each track that was worth nothing, lest
/// tracks are made all the time, and no more than so many times twice.
const CALM: u32 = 2;
const MAX_LOSSES: u32 = 15;

/// What has been learnt about the objects of a source. To be kept from one block or event to the next.
#[derive(Debug, Clone, Default)]
pub struct Habit {
    /// The order of records, then those of objects within; one that is in use is not there.
    orders: Vec<Option<Box<Order>>>,
    /// The way through whole records.
    track: Option<Box<Track>>,
    /// What the track is worth: one more with each record that keeps to it, less with each that does not.
    credit: u32,
    /// How often the orders had changed when they were last looked at.
    changes: u32,
    /// Arrays that were remembered since.
    arrays: u32,
    /// Records since then that were read by the orders.
    calm: u32,
    /// Tracks that were worth nothing.
    losses: u32,
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
    /// Objects in other orders, less those in this one.
    misses: u32,
    /// As many misses make it learn anew; more each time, lest hostile or mixed input learns all the time.
    patience: u32,
    /// How often the steps were set up.
    changes: u32,
}

/// One member, as offsets into the text of its order.
#[derive(Debug, Clone)]
struct Member {
    /// Where the value before it ended.
    start: usize,
    /// The key, between its quotes.
    name: Range<usize>,
    value: Range<usize>,
    field: Option<Field>,
    /// The value does not vary.
    fixed: bool,
    /// The value is a string each time.
    text: bool,
    /// What its value may hold.
    held: Held,
}

/// What is known of the arrays and objects that a member holds.
#[derive(Debug, Clone, Default)]
pub(super) struct Held {
    /// The order of its objects.
    inner: Option<OrderId>,
    /// Arrays of late.
    arrays: Vec<Box<[u8]>>,
}

/// Bytes that are the same in each object, and what follows them.
#[derive(Debug, Clone)]
pub(super) struct Step {
    pub(super) bytes: Box<[u8]>,
    /// The first of them in the text.
    start: usize,
    /// Judged values in the bytes.
    pub(super) fixed: Box<[Fixed]>,
    pub(super) slot: Slot,
}

/// What varies behind a step's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Slot {
    /// The rest of a string, behind its opening quote.
    Text(Option<Field>),
    /// A value of this member, which was a number.
    Number(Option<Field>, MemberId),
    /// A value of this member.
    Value(Option<Field>, MemberId),
    /// Nothing: the object has ended.
    End,
}

/// Why following an order stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    /// Before a value of this member.
    Value(Option<Field>, MemberId),
    /// At bytes that are not those of the next step.
    Missed,
    /// Behind the object.
    End,
}

/// Names a member of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct MemberId(usize);

/// A judged value that does not vary, as offsets into the bytes of its step.
#[derive(Debug, Clone)]
pub(super) struct Fixed {
    pub(super) field: Field,
    pub(super) kind: Kind,
    pub(super) span: Range<usize>,
}

/// What a value is, and whether a string holds escapes.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
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
    pub(super) step: usize,
    /// Bytes of the step that are behind.
    pub(super) behind: usize,
}

impl Default for Order {
    fn default() -> Self {
        Self {
            text: Vec::new(),
            members: Vec::new(),
            known: false,
            steps: Vec::new(),
            misses: 0,
            patience: 4,
            changes: 0,
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

    /// Reads a record along the track, if there is one; whether that was all there is to do.
    #[inline]
    pub(super) fn follow_track<'a>(
        &mut self,
        reader: &mut Reader<'a>,
        levels: &mut Levels<'a>,
    ) -> bool {
        let Some(track) = &self.track else {
            return false;
        };
        if track.follow(reader, levels) {
            self.credit = MAX_CREDIT.min(self.credit + 1);
            return true;
        }
        match self.credit.checked_sub(MISS) {
            Some(credit) => self.credit = credit,
            None => self.leave_track(),
        }
        false
    }

    #[cold]
    fn leave_track(&mut self) {
        self.track = None;
        self.calm = 0;
        self.losses = MAX_LOSSES.min(self.losses + 1);
    }

    /// Remembers an array that a member held.
    #[cold]
    pub(super) fn keep_array(&mut self, held: &mut Held, array: &[u8]) {
        if array.len() <= MAX_ARRAY && held.arrays.len() < MAX_ARRAYS {
            held.arrays.push(array.into());
            self.arrays += 1;
        }
    }

    /// Says that a record was read by the orders. If those are as they were for a while, they make a track.
    pub(super) fn read_by_orders(&mut self) {
        let changes = self.orders.iter().flatten();
        let changes = changes.fold(0, |all: u32, order| all.wrapping_add(order.changes));
        if changes != self.changes || self.arrays > 0 {
            self.changes = changes;
            self.arrays = 0;
            self.track = None;
            self.calm = 0;
        } else if self.track.is_none() {
            self.calm += 1;
            if self.calm >= CALM << self.losses {
                self.make_track();
            }
        }
    }

    #[cold]
    fn make_track(&mut self) {
        let order = |id: OrderId| self.orders.get(id.0)?.as_deref();
        let track = order(OrderId(0)).and_then(|record| Track::of(record, &order));
        self.track = track.map(Box::new);
        self.credit = MAX_CREDIT / 2;
        if self.track.is_none() {
            self.leave_track();
        }
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
    pub(super) fn inner(&mut self, held: &mut Held) -> Option<OrderId> {
        if held.inner.is_none() && self.orders.len() < MAX_ORDERS {
            held.inner = Some(OrderId(self.orders.len()));
            self.orders.push(Some(Box::default()));
        }
        held.inner
    }
}

impl Held {
    /// Steps over an array that the member held before.
    pub(super) fn take_array(&self, reader: &mut Reader<'_>) -> bool {
        self.arrays.iter().any(|array| reader.take(array))
    }
}

impl Step {
    /// Sets the judged values in the bytes, which begin at `base` but for those that are behind.
    #[inline]
    fn set_fixed<'a>(
        &self,
        base: usize,
        behind: usize,
        source: &Source<'a>,
        fields: &mut Fields<'a>,
    ) {
        for fixed in &self.fixed {
            let offset = |of_step: usize| Some(base + of_step.checked_sub(behind)?);
            if let (Some(start), Some(end)) = (offset(fixed.span.start), offset(fixed.span.end)) {
                fields.set(fixed.field, fixed.kind.value(source, start..end));
            }
        }
    }
}

impl Order {
    /// The beginning of an object.
    pub(super) const START: Place = Place { step: 0, behind: 0 };

    /// Reads on from a place as long as everything is as it was, and says why that ended.
    pub(super) fn follow<'a>(
        &self,
        place: &mut Place,
        reader: &mut Reader<'a>,
        fields: &mut Fields<'a>,
    ) -> Result<Stop, JsonError> {
        let source = reader.source();
        while let Some(step) = self.steps.get(place.step) {
            let base = reader.at();
            if !reader.take(step.bytes.get(place.behind..).unwrap_or_default()) {
                break;
            }
            step.set_fixed(base, place.behind, &source, fields);
            *place = Place {
                step: place.step + 1,
                behind: 0,
            };
            let (field, value) = match step.slot {
                Slot::Text(field) => (field, Value::Text(reader.rest_of_string()?)),
                Slot::Number(field, member) => {
                    let start = reader.at();
                    let Some(end) = source.plain_number(start) else {
                        return Ok(Stop::Value(field, member));
                    };
                    reader.go_to(end);
                    (field, Value::Number(source.span(start..end)))
                }
                Slot::Value(field, member) => return Ok(Stop::Value(field, member)),
                Slot::End => return Ok(Stop::End),
            };
            if let Some(field) = field {
                fields.set(field, value);
            }
        }
        Ok(Stop::Missed)
    }

    /// Where a leap missed: a value that was taken for fixed and is not is no longer; then the leap is worth
    /// another try.
    #[cold]
    pub(super) fn reconsider(&mut self, place: &mut Place, reader: &Reader<'_>) -> bool {
        let Some(step) = self.steps.get(place.step) else {
            return false;
        };
        let from = step.start + place.behind;
        let expected = self.text.get(from..).unwrap_or_default();
        let rest = reader.rest();
        let equal = expected.iter().zip(rest).take_while(|(a, b)| a == b);
        let missed = from + equal.count();
        // The window may end here.
        let Some(found) = rest.get(missed - from) else {
            return false;
        };
        // A number may go on where the known one ends, as 10 does where 1 was.
        let goes_on = found.is_ascii_alphanumeric();
        let varies = self.members.iter_mut().find(|member| {
            member.value.contains(&missed) || (goes_on && member.value.end == missed)
        });
        match varies {
            Some(member) if member.fixed => member.fixed = false,
            Some(member) if member.text && member.value.start == missed => member.text = false,
            _ => return false,
        }
        self.index();
        // Steps before the cursor are as they were; the one at it may have been cut in two.
        *place = self.place(from);
        true
    }

    /// The place of a byte of the text.
    fn place(&self, from: usize) -> Place {
        let step = self.steps.partition_point(|step| step.start <= from);
        let step = step.saturating_sub(1);
        let start = self.steps.get(step).map_or(0, |step| step.start);
        Place {
            step,
            behind: from - start,
        }
    }

    /// The place behind the member of this name.
    #[cold]
    pub(super) fn behind(&self, name: &[u8]) -> Option<Place> {
        // Of most members the length tells that it is another.
        let is_it = |member: &&Member| self.text.get(member.name.clone()) == Some(name);
        let member = self.members.iter().find(is_it)?;
        Some(self.place(member.value.end))
    }

    /// The arrays that a member held of late, if nothing is read from it.
    pub(super) fn arrays_of(&self, member: MemberId, field: Option<Field>) -> &[Box<[u8]>] {
        match (field, self.members.get(member.0)) {
            (None, Some(member)) => &member.held.arrays,
            _ => &[],
        }
    }

    /// The steps through an object.
    pub(super) fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// The order of the objects that a member holds, if it held one when the order was learnt.
    pub(super) fn object_of(&self, member: MemberId) -> Option<OrderId> {
        let member = self.members.get(member.0)?;
        let begin = self.text.get(member.value.start);
        member.held.inner.filter(|_| begin == Some(&b'{'))
    }

    /// What is known of the values of a member.
    #[inline]
    pub(super) fn held(&mut self, member: MemberId) -> Option<&mut Held> {
        Some(&mut self.members.get_mut(member.0)?.held)
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
        let mut former = std::mem::take(&mut self.members);
        let former_text = std::mem::replace(&mut self.text, object.to_vec());
        for member in &mut members {
            member.name = name(&self.text, member).unwrap_or_default();
            let name = self.text.get(member.name.clone());
            let known = former
                .iter_mut()
                .find(|former| former_text.get(former.name.clone()) == name);
            member.held = known
                .map(|known| std::mem::take(&mut known.held))
                .unwrap_or_default();
            let begins = self.text.get(member.value.start);
            member.text = begins == Some(&b'"');
        }
        self.members = members;
        self.known = true;
        self.index();
    }

    /// Sets up the steps, from which members are fixed.
    fn index(&mut self) {
        self.changes = self.changes.wrapping_add(1);
        self.steps.clear();
        let mut start = 0;
        let mut fixed = Vec::new();
        let text = &self.text;
        let mut step = |bytes: Range<usize>, fixed: &mut Vec<Fixed>, slot| {
            self.steps.push(Step {
                start: bytes.start,
                bytes: text.get(bytes).unwrap_or_default().into(),
                fixed: std::mem::take(fixed).into(),
                slot,
            });
        };
        for (index, member) in self.members.iter().enumerate() {
            if !member.fixed {
                let slot = match text.get(member.value.start) {
                    // Envelopes are told by these: they are read with care each time, whatever they were.
                    _ if member.field.is_some_and(Field::may_hold_records) => {
                        Slot::Value(member.field, MemberId(index))
                    }
                    _ if member.text => Slot::Text(member.field),
                    Some(b'-' | b'0'..=b'9') => Slot::Number(member.field, MemberId(index)),
                    _ => Slot::Value(member.field, MemberId(index)),
                };
                let quote = usize::from(matches!(slot, Slot::Text(_)));
                let end = member.value.start + quote;
                step(start..end, &mut fixed, slot);
                start = member.value.end;
            } else if let Some(field) = member.field {
                let bytes = text.get(member.value.clone()).unwrap_or_default();
                fixed.push(Fixed {
                    field,
                    kind: Kind::of(bytes),
                    span: member.value.start - start..member.value.end - start,
                });
            }
        }
        step(start..text.len(), &mut fixed, Slot::End);
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
            name: 0..0,
            value,
            field,
            fixed: field.is_none_or(Field::seldom_varies),
            text: false,
            held: Held::default(),
        });
    }
}

/// A member's key, between its quotes.
fn name(text: &[u8], member: &Member) -> Option<Range<usize>> {
    let key = text.get(member.start..member.value.start)?;
    let from = key.iter().position(|byte| *byte == b'"')? + 1;
    let to = key.iter().rposition(|byte| *byte == b'"')?;
    Some(member.start + from..member.start + to)
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

    /// The value of this kind at a place that was accepted before.
    #[inline]
    pub(super) fn value<'a>(self, source: &Source<'a>, span: Range<usize>) -> Value<'a> {
        match self {
            Self::Null => Value::Null,
            Self::Bool(value) => Value::Bool(value),
            Self::Number => Value::Number(source.span(span)),
            Self::Text { escaped } => Value::Text(source.quoted(span, escaped)),
            Self::Array => Value::Array(source.span(span)),
            Self::Object => Value::Object(source.span(span)),
        }
    }
}
