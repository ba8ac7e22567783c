//! A whole record as one run of steps, the objects in it included.
//!
//! Reading by the orders of a [`Habit`](super::Habit) goes into each object and out again. Most records of a
//! producer differ in nothing but the values that vary, so that the way through all of their objects is known
//! beforehand. A track is that way. A record that leaves it is read from its beginning by the orders: a track
//! changes how fast a record is read, and never what is read.

use std::ops::Range;

use super::field::Field;
use super::habit::{self, Kind, Order, OrderId};
use super::json::{Reader, Source, Value};
use super::levels::{Level, Levels};

/// Objects within objects on a track.
const MAX_OBJECTS: usize = 8;
/// Bytes of a track.
const MAX_TEXT: usize = 64 << 10;

/// A field, and the level that it is on.
type Target = (Level, Field);

/// The way through a record.
#[derive(Debug, Clone)]
pub(super) struct Track(Box<[Step]>);

/// Bytes that are the same in each record, and what follows them.
#[derive(Debug, Clone)]
struct Step {
    bytes: Box<[u8]>,
    /// What the bytes tell, from first to last.
    marks: Box<[Mark]>,
    slot: Slot,
    /// Arrays that stood in the slot of late, where nothing is read from it.
    arrays: Box<[Box<[u8]>]>,
}

/// Something within the bytes of a step; offsets are into them.
#[derive(Debug, Clone)]
enum Mark {
    /// A value that does not vary.
    Fixed {
        target: Target,
        kind: Kind,
        span: Range<usize>,
    },
    /// An object begins.
    Open { at: usize, depth: usize },
    /// It has ended.
    Close {
        at: usize,
        depth: usize,
        level: Level,
        target: Option<Target>,
    },
}

/// What varies behind a step's bytes.
#[derive(Debug, Clone, Copy)]
enum Slot {
    /// The rest of a string, behind its opening quote.
    Text(Option<Target>),
    /// A number, as a rule.
    Number(Option<Target>, u32),
    /// Any value, which so many brackets enclose.
    Value(Option<Target>, u32),
    /// Nothing: the record has ended.
    End,
}

impl Track {
    /// The track that the orders of the objects make, the record's first; `None` where they make none.
    pub(super) fn of<'o>(
        record: &'o Order,
        order: &dyn Fn(OrderId) -> Option<&'o Order>,
    ) -> Option<Self> {
        let mut builder = Builder {
            order,
            steps: Vec::new(),
            bytes: Vec::new(),
            marks: Vec::new(),
            met: [false; 2],
            length: 0,
        };
        builder.object(record, Level::Top, 0)?;
        builder.step(Slot::End, &[]);
        (builder.length <= MAX_TEXT).then(|| Self(builder.steps.into()))
    }

    /// Reads the record at the cursor; whether it keeps to the track. If not, what was set means nothing.
    ///
    /// All that is hot of reading: a function of its own, and an offset in its own hands, keep it in registers.
    #[inline(never)]
    pub(super) fn follow<'a>(&self, reader: &mut Reader<'a>, levels: &mut Levels<'a>) -> bool {
        let source = reader.source();
        let mut at = reader.at();
        let mut begun = [0; MAX_OBJECTS];
        for step in &self.0 {
            let Some(behind) = source.behind(at, &step.bytes) else {
                return false;
            };
            for mark in &step.marks {
                mark.set(at, &source, &mut begun, levels);
            }
            at = behind;
            let (target, value) = match step.slot {
                Slot::Text(target) => match source.plain_string(at) {
                    Some((text, behind)) => {
                        at = behind;
                        (target, Value::Text(text))
                    }
                    None => {
                        reader.go_to(at);
                        let Ok(text) = reader.rest_of_string() else {
                            return false;
                        };
                        at = reader.at();
                        (target, Value::Text(text))
                    }
                },
                Slot::Number(target, outer) => match source.plain_number(at) {
                    Some(behind) => {
                        let number = source.span(at..behind);
                        at = behind;
                        (target, Value::Number(number))
                    }
                    None => match any_value(reader, &mut at, outer) {
                        Some(value) => (target, value),
                        None => return false,
                    },
                },
                Slot::Value(target, outer) => {
                    let mut arrays = step.arrays.iter();
                    if let Some(behind) = arrays.find_map(|array| source.behind(at, array)) {
                        at = behind;
                        continue;
                    }
                    match any_value(reader, &mut at, outer) {
                        Some(value) => (target, value),
                        None => return false,
                    }
                }
                Slot::End => {
                    reader.go_to(at);
                    return true;
                }
            };
            if let Some((level, field)) = target {
                levels.set(level, field, value);
            }
        }
        false
    }
}

/// Reads the value at `at`, blanks before it included; none that is an object.
#[cold]
fn any_value<'a>(reader: &mut Reader<'a>, at: &mut usize, outer: u32) -> Option<Value<'a>> {
    reader.go_to(*at);
    reader.blanks();
    // An object that was none before may be one that fields are read from.
    if reader.peek() == Some(b'{') {
        return None;
    }
    let value = reader.value(outer).ok()?;
    *at = reader.at();
    Some(value)
}

impl Mark {
    /// Tells what the bytes at `base` do.
    #[inline]
    fn set<'a>(
        &self,
        base: usize,
        source: &Source<'a>,
        begun: &mut [usize; MAX_OBJECTS],
        levels: &mut Levels<'a>,
    ) {
        match self {
            Self::Fixed {
                target: (level, field),
                kind,
                span,
            } => {
                let span = base + span.start..base + span.end;
                levels.set(*level, *field, kind.value(source, span));
            }
            Self::Open { at, depth } => {
                if let Some(begun) = begun.get_mut(*depth) {
                    *begun = base + at;
                }
            }
            Self::Close {
                at,
                depth,
                level,
                target,
            } => {
                let start = begun.get(*depth).copied().unwrap_or_default();
                let span = source.span(start..base + at);
                levels.end_object(*level, span);
                if let Some((level, field)) = target {
                    levels.set(*level, *field, Value::Object(span));
                }
            }
        }
    }
}

/// Makes a track of orders.
struct Builder<'b, 'o> {
    order: &'b dyn Fn(OrderId) -> Option<&'o Order>,
    steps: Vec<Step>,
    /// Of the step that is being made.
    bytes: Vec<u8>,
    marks: Vec<Mark>,
    /// Whether there was an object of properties, or of a place.
    met: [bool; 2],
    /// Bytes of all steps.
    length: usize,
}

impl<'o> Builder<'_, 'o> {
    fn step(&mut self, slot: Slot, arrays: &[Box<[u8]>]) {
        self.length += self.bytes.len();
        self.steps.push(Step {
            bytes: std::mem::take(&mut self.bytes).into(),
            marks: std::mem::take(&mut self.marks).into(),
            slot,
            arrays: arrays.into(),
        });
    }

    /// Adds an object, which `depth` others enclose.
    fn object(&mut self, order: &'o Order, level: Level, depth: usize) -> Option<()> {
        let [properties, place] = &mut self.met;
        let met = match level {
            Level::Properties => Some(properties),
            Level::Place => Some(place),
            Level::Top | Level::Other => None,
        };
        // Of two such objects the second counts, which is more than a track can tell.
        if met.is_some_and(|met| std::mem::replace(met, true))
            || !order.known
            || depth >= MAX_OBJECTS
            || self.length + self.bytes.len() > MAX_TEXT
        {
            return None;
        }
        let outer = depth as u32 + 1;
        for step in order.steps() {
            let base = self.bytes.len();
            self.bytes.extend_from_slice(&step.bytes);
            for fixed in &step.fixed {
                self.marks.push(Mark::Fixed {
                    target: (level, fixed.field),
                    kind: fixed.kind,
                    span: base + fixed.span.start..base + fixed.span.end,
                });
            }
            let target = |field: Option<Field>| field.map(|field| (level, field));
            match step.slot {
                habit::Slot::Text(field) => self.step(Slot::Text(target(field)), &[]),
                habit::Slot::Number(field, _) => {
                    self.step(Slot::Number(target(field), outer), &[]);
                }
                habit::Slot::Value(field, member) => {
                    // It may be an envelope, which is told by more than its place.
                    if level == Level::Top && field.is_some_and(Field::may_hold_records) {
                        return None;
                    }
                    match order.object_of(member).and_then(self.order) {
                        Some(inner) => {
                            let inner_level = level.of_object(field);
                            let at = self.bytes.len();
                            self.marks.push(Mark::Open { at, depth });
                            self.object(inner, inner_level, depth + 1)?;
                            let at = self.bytes.len();
                            self.marks.push(Mark::Close {
                                at,
                                depth,
                                level: inner_level,
                                target: target(field),
                            });
                        }
                        None => {
                            let arrays = order.arrays_of(member, field);
                            self.step(Slot::Value(target(field), outer), arrays);
                        }
                    }
                }
                habit::Slot::End => return Some(()),
            }
        }
        None
    }
}
