//! Log files read from front to back, each record shown once: for whoever gathers instead of judging.

use std::io;
use std::ops::ControlFlow;

use indicatif::ProgressBar;

use super::input::{Input, Window};
use crate::ingest::{
    self, Context, Csv, Document, Habit, Item, MAX_RECORD, Offset, Position, Shape,
};

/// How much is read at a time.
const WINDOW: usize = 1 << 20;

/// Is shown each item of an input, by the input's place; says whether to go on.
pub(super) type Visit<'v> = dyn FnMut(usize, Position, &Item<'_>) -> ControlFlow<()> + 'v;

/// Reads the inputs in turn, until the visitor has seen enough. Returns those that could not be read to their end; what
/// stands before the end was shown.
pub(super) fn scan(
    inputs: &[Input],
    context: &Context,
    bar: &ProgressBar,
    visit: &mut Visit<'_>,
) -> Vec<(usize, io::Error)> {
    let mut failures = Vec::new();
    for (file, input) in inputs.iter().enumerate() {
        let mut flow = ControlFlow::Continue(());
        let mut show = |position: Position, item: &Item<'_>| {
            if flow.is_continue() {
                flow = visit(file, position, item);
            }
            flow.is_continue()
        };
        let read = input
            .open(|bytes| bar.inc(bytes))
            .and_then(|reader| read(Window::new(reader), context, &mut show));
        if let Err(error) = read {
            failures.push((file, error));
        }
        if flow.is_break() {
            break;
        }
    }
    failures
}

/// How an input is read on.
enum Reader<'c> {
    Lines,
    /// A line that no window holds.
    LongLine(Document<'c>),
    Document(Document<'c>),
    Csv(Csv<'c>),
}

/// Reads one input; `show` says whether to go on.
fn read(
    mut window: Window<'_>,
    context: &Context,
    show: &mut dyn FnMut(Position, &Item<'_>) -> bool,
) -> io::Result<()> {
    window.fill(WINDOW);
    let mut reader = match ingest::sniff(window.bytes(), window.last) {
        Shape::Lines => Reader::Lines,
        Shape::Document => Reader::Document(Document::new(context)),
        Shape::Csv => Reader::Csv(Csv::new(context)),
    };
    let mut habit = Habit::default();
    let mut offset = Offset::default();
    let mut size = WINDOW;
    let mut go_on = true;
    let mut take = |position: Position, item: &Item<'_>| {
        if go_on {
            go_on = show(position, item);
        }
        go_on
    };
    loop {
        window.fill(size);
        let bytes = window.bytes();
        let mut seen_enough = false;
        let mut visit = |position: Position, item: &Item<'_>| seen_enough |= !take(position, item);
        // How many bytes are done with, and whether the end is reached.
        let (used, ended) = match &mut reader {
            Reader::Document(document) => {
                (document.read(bytes, window.last, &mut visit), window.last)
            }
            Reader::Csv(csv) => (csv.read(bytes, window.last, &mut visit), window.last),
            Reader::Lines => {
                let whole = match window.last {
                    true => bytes.len(),
                    false => memchr::memrchr(b'\n', bytes).map_or(0, |end| end + 1),
                };
                if whole == 0 && !bytes.is_empty() {
                    reader = Reader::LongLine(Document::starting_at(context, offset));
                    continue;
                }
                let lines = bytes.get(..whole).unwrap_or_default();
                offset = ingest::read_lines(lines, offset, context, &mut habit, &mut visit);
                (whole, window.last)
            }
            Reader::LongLine(document) => {
                let end = memchr::memchr(b'\n', bytes);
                let line = bytes.get(..end.unwrap_or(bytes.len())).unwrap_or_default();
                let last = window.last || end.is_some();
                let used = document.read(line, last, &mut visit);
                if end.is_none() {
                    (used, window.last)
                } else {
                    let after = document.offset();
                    offset = Offset {
                        bytes: after.bytes + 1,
                        records: after.records,
                        lines: after.lines + 1,
                    };
                    reader = Reader::Lines;
                    (used + 1, false)
                }
            }
        };
        window.consume(used);
        size = match used {
            0 => (size * 2).min(2 * MAX_RECORD),
            _ => WINDOW,
        };
        if ended || seen_enough {
            break;
        }
    }
    window.failure.map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::cli::input::inputs;

    fn record(number: usize, padding: usize) -> String {
        let padding = "x".repeat(padding);
        format!(
            r#"{{"category":"ServicePrincipalSignInLogs","time":"2026-11-24T12:00:00Z","properties":{{"id":"{number}","appId":"{padding}a"}}}}"#
        )
    }

    /// What a file of that text shows: file, record and line of each item, and its id.
    fn shown(texts: &[String], enough: usize) -> Vec<(usize, u64, u64, String)> {
        let folder = tempfile::tempdir().unwrap();
        for (number, text) in texts.iter().enumerate() {
            fs::write(folder.path().join(number.to_string()), text).unwrap();
        }
        let inputs = inputs(&[folder.path().to_owned()]).unwrap();
        let mut shown = Vec::new();
        let failures = scan(
            &inputs,
            &Context::default(),
            &ProgressBar::hidden(),
            &mut |file, position, item| {
                let id = match item {
                    Item::SignIn(sign_in) => sign_in.id_text().into_owned(),
                    other => format!("{other:?}").chars().take(6).collect(),
                };
                shown.push((file, position.record, position.line, id));
                match shown.len() == enough {
                    true => ControlFlow::Break(()),
                    false => ControlFlow::Continue(()),
                }
            },
        );
        assert!(failures.is_empty());
        shown
    }

    fn at(file: usize, record: u64, line: u64) -> (usize, u64, u64, String) {
        (file, record, line, record.to_string())
    }

    #[test]
    fn shows_each_record_with_its_place_in_every_form() {
        let lines = [record(1, 0), record(2, 0), record(3, 0)];
        let ndjson = lines.join("\r\n");
        let array = format!("[\n{}\n]", lines.join(",\n"));
        let expected = [at(0, 1, 1), at(0, 2, 2), at(0, 3, 3)];
        assert_eq!(shown(std::slice::from_ref(&ndjson), 0), expected);
        assert_eq!(
            shown(std::slice::from_ref(&array), 0),
            [at(0, 1, 2), at(0, 2, 3), at(0, 3, 4)]
        );
        let csv = "Request ID,Application ID,Date (UTC)\n1,a,2026-11-24T12:00:00Z\n2,a,2026-11-24T12:00:00Z\n";
        assert_eq!(shown(&[csv.to_owned()], 0).len(), 2);
        let both = shown(&[ndjson, array], 0);
        assert_eq!(both[3], at(1, 1, 2));
        assert_eq!(both.len(), 6);
    }

    #[test]
    fn a_line_longer_than_the_window_keeps_the_places_of_the_next() {
        let text = [record(1, 0), record(2, 3 * WINDOW), record(3, 0)].join("\n");
        assert_eq!(shown(&[text], 0), [at(0, 1, 1), at(0, 2, 2), at(0, 3, 3)]);
    }

    #[test]
    fn stops_where_the_visitor_has_seen_enough() {
        let text = [record(1, 0), record(2, 0)].join("\n");
        assert_eq!(shown(&[text.clone(), text], 1), [at(0, 1, 1)]);
    }
}
