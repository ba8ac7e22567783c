//! Files → judged blocks, on several threads, in the order of the input.
//!
//! NDJSON is cut into blocks of whole lines, which are judged wherever there is a free thread;
//! documents and CSV are read from front to back by the reading thread itself.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, SyncSender};
use std::sync::{Mutex, PoisonError};
use std::thread;

use indicatif::ProgressBar;

use crate::assess::{Block, Counts, Ledger, Period, Rejected};
use crate::cli::input::{Input, Window};
use crate::finding::Finding;
use crate::ingest::{self, Context, Csv, Document, Habit, MAX_RECORD, Offset, Shape};
use crate::policy::Policy;

/// How much is read at a time: large enough that threads seldom meet, small enough to stay in cache
/// hierarchies and in bounded memory.
const WINDOW: usize = 2 << 20;

/// What is to be done with every input.
pub(super) struct Task<'p> {
    pub(super) policy: &'p Policy,
    pub(super) context: Context,
    pub(super) period: Period,
    pub(super) jobs: usize,
}

/// What is left to say when everything has been read.
pub(super) struct Read {
    pub(super) counts: Counts,
    /// Files that could not be read to their end.
    pub(super) failures: Vec<(usize, io::Error)>,
}

/// Takes the findings and rejects of a stretch of a file, in input order; says whether to go on.
pub(super) type Take<'t, 'p> = dyn FnMut(usize, Vec<Finding<'p>>, Vec<Rejected>) -> bool + 't;

/// Reads on in a window, its last one or not, into a block; says how many bytes were used, and how
/// many records they were.
type Resume<'r, 'p> = dyn FnMut(&[u8], bool, &mut Block<'p>) -> (usize, u64) + 'r;

/// Lines of one file that are to be judged.
struct Lines {
    number: u64,
    file: usize,
    bytes: Vec<u8>,
    before: Offset,
}

/// A judged stretch of a file.
struct Judged<'p> {
    number: u64,
    file: usize,
    block: Block<'p>,
    records: u64,
}

/// Reads all inputs.
pub(super) fn read<'p>(
    task: &Task<'p>,
    inputs: &[Input],
    bar: &ProgressBar,
    take: &mut Take<'_, 'p>,
) -> Read {
    let mut collector = Collector::new(take);
    if task.jobs == 1 {
        let mut habit = Habit::default();
        let mut feed = Feed {
            task,
            bar,
            number: 0,
            send: &mut |work| collector.add(work.judge(task, &mut habit)),
            failures: Vec::new(),
        };
        feed.read_all(inputs);
        let failures = feed.failures;
        return Read {
            counts: collector.ledger.counts().clone(),
            failures,
        };
    }
    let stopped = AtomicBool::new(false);
    let (work_in, work_out) = mpsc::sync_channel::<Work<'p>>(task.jobs * 2);
    let (done_in, done_out) = mpsc::sync_channel::<Judged<'p>>(task.jobs * 4);
    let work_out = Mutex::new(work_out);
    let failures = thread::scope(|scope| {
        for _ in 0..task.jobs {
            let done_in = done_in.clone();
            let work_out = &work_out;
            scope.spawn(move || {
                let mut habit = Habit::default();
                loop {
                    let work = work_out
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .recv();
                    let Ok(work) = work else { break };
                    if done_in.send(work.judge(task, &mut habit)).is_err() {
                        break;
                    }
                }
            });
        }
        drop(done_in);
        let stopped = &stopped;
        let reading = scope.spawn(move || {
            let mut feed = Feed {
                task,
                bar,
                number: 0,
                send: &mut |work| hand_over(&work_in, work, stopped),
                failures: Vec::new(),
            };
            feed.read_all(inputs);
            feed.failures
        });
        for judged in done_out {
            if !collector.add(judged) {
                // The channel is drained to its end, so that nobody waits for room in it.
                stopped.store(true, Ordering::Relaxed);
            }
        }
        reading.join().unwrap_or_default()
    });
    Read {
        counts: collector.ledger.counts().clone(),
        failures,
    }
}

fn hand_over<'p>(work_in: &SyncSender<Work<'p>>, work: Work<'p>, stopped: &AtomicBool) -> bool {
    !stopped.load(Ordering::Relaxed) && work_in.send(work).is_ok()
}

/// Something for a judging thread.
enum Work<'p> {
    Lines(Lines),
    /// Judged by the reading thread already; it only keeps its place in the order.
    Done(Judged<'p>),
}

impl<'p> Work<'p> {
    fn judge(self, task: &Task<'p>, habit: &mut Habit) -> Judged<'p> {
        match self {
            Self::Done(judged) => judged,
            Self::Lines(lines) => {
                let mut block = Block::new(task.policy, task.period, false);
                let after = ingest::read_lines(
                    &lines.bytes,
                    lines.before,
                    &task.context,
                    habit,
                    &mut |position, item| {
                        block.take(position, item);
                    },
                );
                Judged {
                    number: lines.number,
                    file: lines.file,
                    block,
                    records: after.records,
                }
            }
        }
    }
}

/// The reading side: cuts inputs into work.
struct Feed<'f, 'p> {
    task: &'f Task<'p>,
    bar: &'f ProgressBar,
    number: u64,
    /// Takes work, and says whether more is wanted.
    send: &'f mut dyn FnMut(Work<'p>) -> bool,
    failures: Vec<(usize, io::Error)>,
}

impl<'p> Feed<'_, 'p> {
    fn read_all(&mut self, inputs: &[Input]) {
        for (file, input) in inputs.iter().enumerate() {
            let bar = self.bar.clone();
            let reader = match input.open(move |bytes| bar.inc(bytes)) {
                Ok(reader) => reader,
                Err(error) => {
                    self.failures.push((file, error));
                    continue;
                }
            };
            let mut window = Window::new(reader);
            window.fill(WINDOW);
            let go_on = match ingest::sniff(window.bytes(), window.last) {
                Shape::Lines => self.lines(file, &mut window),
                Shape::Document => self.document(file, &mut window, Offset::default()),
                Shape::Csv => self.csv(file, &mut window),
            };
            if let Some(error) = window.failure {
                self.failures.push((file, error));
            }
            if !go_on {
                return;
            }
        }
    }

    fn lines(&mut self, file: usize, window: &mut Window<'_>) -> bool {
        let mut before = Offset::default();
        loop {
            window.fill(WINDOW);
            if window.bytes().is_empty() {
                return true;
            }
            let whole = if window.last {
                window.bytes().len()
            } else {
                window
                    .bytes()
                    .iter()
                    .rposition(|byte| *byte == b'\n')
                    .map_or(0, |end| end + 1)
            };
            if whole == 0 {
                match self.long_line(file, window, before) {
                    Some(after) => before = after,
                    None => return false,
                }
                continue;
            }
            let bytes = window.take(whole);
            let lines = ingest::count_lines(&bytes);
            let work = Work::Lines(Lines {
                number: self.next(),
                file,
                bytes,
                before,
            });
            before.lines += lines;
            before.bytes += whole as u64;
            if !(self.send)(work) {
                return false;
            }
        }
    }

    /// A line that the window cannot hold: its records are read one by one.
    fn long_line(
        &mut self,
        file: usize,
        window: &mut Window<'_>,
        before: Offset,
    ) -> Option<Offset> {
        let task = self.task;
        let mut line = Document::starting_at(&task.context, before);
        let go_on = self.resumable(file, window, true, &mut |bytes, last, block| {
            let records = line.offset().records;
            let used = line.read(bytes, last, &mut |position, item| {
                block.take(position, item)
            });
            (used, line.offset().records - records)
        });
        // The line break was not the document's; and the collector counts the records.
        let Offset { lines, bytes, .. } = line.offset();
        go_on.then_some(Offset {
            records: 0,
            lines: lines + 1,
            bytes: bytes + 1,
        })
    }

    fn document(&mut self, file: usize, window: &mut Window<'_>, before: Offset) -> bool {
        let task = self.task;
        let mut document = Document::starting_at(&task.context, before);
        self.resumable(file, window, false, &mut |bytes, last, block| {
            let records = document.offset().records;
            let used = document.read(bytes, last, &mut |position, item| {
                block.take(position, item)
            });
            (used, document.offset().records - records)
        })
    }

    fn csv(&mut self, file: usize, window: &mut Window<'_>) -> bool {
        let task = self.task;
        let mut csv = Csv::new(&task.context);
        self.resumable(file, window, false, &mut |bytes, last, block| {
            let records = csv.offset().records;
            let used = csv.read(bytes, last, &mut |position, item| {
                block.take(position, item)
            });
            (used, csv.offset().records - records)
        })
    }

    /// Feeds a reader that keeps its place, giving it more room whenever it makes no progress, up to
    /// the end of the source or, `of_line`, up to the next line break, which is passed over.
    fn resumable(
        &mut self,
        file: usize,
        window: &mut Window<'_>,
        of_line: bool,
        read: &mut Resume<'_, 'p>,
    ) -> bool {
        let mut size = WINDOW;
        let mut records_before = 0;
        loop {
            window.fill(size);
            let bytes = window.bytes();
            let line_end = bytes.iter().position(|byte| of_line && *byte == b'\n');
            let last = window.last || line_end.is_some();
            let bytes = bytes
                .get(..line_end.unwrap_or(bytes.len()))
                .unwrap_or_default();
            let mut block = Block::new(self.task.policy, self.task.period, false);
            let (used, records) = read(bytes, last, &mut block);
            // The reader numbers from its own start, the collector from the end of the stretch before.
            block.shift_back(records_before);
            records_before += records;
            window.consume(used + usize::from(line_end.is_some()));
            size = if used == 0 {
                (size * 2).min(2 * MAX_RECORD)
            } else {
                WINDOW
            };
            let work = Work::Done(Judged {
                number: self.next(),
                file,
                block,
                records,
            });
            if !(self.send)(work) {
                return false;
            }
            if last {
                return true;
            }
        }
    }

    fn next(&mut self) -> u64 {
        self.number += 1;
        self.number - 1
    }
}

/// The writing side: puts what was judged back into the order of the input.
struct Collector<'t, 'k, 'p> {
    ledger: Ledger,
    next: u64,
    early: BTreeMap<u64, Judged<'p>>,
    file: usize,
    records: u64,
    go_on: bool,
    take: &'t mut Take<'k, 'p>,
}

impl<'t, 'k, 'p> Collector<'t, 'k, 'p> {
    fn new(take: &'t mut Take<'k, 'p>) -> Self {
        Self {
            ledger: Ledger::new(),
            next: 0,
            early: BTreeMap::new(),
            file: 0,
            records: 0,
            go_on: true,
            take,
        }
    }

    fn add(&mut self, judged: Judged<'p>) -> bool {
        self.early.insert(judged.number, judged);
        while let Some(judged) = self.early.remove(&self.next) {
            self.next += 1;
            self.absorb(judged);
        }
        self.go_on
    }

    fn absorb(&mut self, mut judged: Judged<'p>) {
        if judged.file != self.file {
            self.file = judged.file;
            self.records = 0;
        }
        judged.block.shift(self.records);
        self.records += judged.records;
        let (findings, rejected) = self.ledger.absorb(judged.block);
        if self.go_on {
            self.go_on = (self.take)(judged.file, findings, rejected);
        }
    }
}
