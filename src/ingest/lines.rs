//! NDJSON: a record, or an envelope of them, on each line.

use super::document::Document;
use super::habit::Habit;
use super::record::Record;
use super::shape::line_end;
use super::{Context, Item, Offset, Position};

/// Reads a block of whole lines and returns what has been read then, `offset` included.
///
/// Blocks depend on nothing but the `offset` that precedes them, so a file can be read by several threads: its
/// lines and bytes make positions and error texts those of the file. A reader that does not know the records or
/// the lines before a block passes 0, and moves positions and faults later.
///
/// A line too long to hold (there is no line break in the reader's largest buffer) is for [`Document`],
/// which is fed up to the line break:
///
/// ```
/// # use spwatch::ingest::{Context, Document, Habit, Offset, read_lines};
/// # let (context, mut habit) = (Context::default(), Habit::default());
/// # let mut records = 0;
/// let offset = read_lines(b"{}\n", Offset::default(), &context, &mut habit, &mut |_, _| records += 1);
/// let mut line = Document::starting_at(&context, offset);
/// let done = line.read(br#"{"records":[{},"#, false, &mut |_, _| records += 1);
/// assert_eq!(done, 15);
/// line.read(b"{}]}\n", true, &mut |_, _| records += 1);
/// read_lines(b"{}\n", line.offset(), &context, &mut habit, &mut |_, _| records += 1);
/// assert_eq!(records, 4);
/// ```
pub fn read_lines(
    block: &[u8],
    offset: Offset,
    context: &Context,
    habit: &mut Habit,
    visit: &mut dyn FnMut(Position, &Item<'_>),
) -> Offset {
    let known = std::mem::take(habit);
    let mut document = Document::starting_at(context, offset).with_habit(known);
    let mut record = Record::default();
    let mut start = 0;
    while start < block.len() {
        let end = line_end(block, start);
        let next = block.len().min(end + 1);
        let line = block.get(start..end).unwrap_or_default();
        document.read_line(line, &mut record, visit);
        document.pass(block.get(end..next).unwrap_or_default());
        start = next;
    }
    let offset = document.offset();
    *habit = document.into_habit();
    offset
}
