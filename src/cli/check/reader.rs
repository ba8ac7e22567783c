//! Files → judged blocks, on several threads, in the order of the input.
//!
//! NDJSON is cut into blocks of whole lines, which are judged wherever there is a free thread;
//! documents and CSV are read from front to back, by one thread at a time.

use std::collections::BTreeMap;
use std::io;
use std::sync::mpsc;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use indicatif::ProgressBar;

use crate::assess::{Block, Counts, Ledger, Period, Rejected};
use crate::cli::input::{Buffer, Input, Window};
use crate::finding::Finding;
use crate::ingest::{self, Context, Csv, Document, Habit, Item, MAX_RECORD, Offset, Shape};
use crate::policy::Policy;

/// How much is read at a time: large enough that threads seldom meet, small enough to stay in cache
/// hierarchies and in bounded memory.
const WINDOW: usize = 1 << 20;

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

/// A judged stretch of a file.
struct Judged<'p> {
    number: u64,
    file: usize,
    block: Block<'p>,
    records: u64,
    lines: u64,
}

/// Reads all inputs.
pub(super) fn read<'p>(
    task: &Task<'p>,
    inputs: &[Input],
    bar: &ProgressBar,
    take: &mut Take<'_, 'p>,
) -> Read {
    let mut collector = Collector::new(take);
    let mut feed = Feed::new(task, inputs, bar);
    if task.jobs == 1 {
        let mut judge = Judge::default();
        while let Some(work) = feed.next(&mut judge.room) {
            if !collector.add(judge.judge(work, task)) {
                break;
            }
        }
        return collector.finish(feed);
    }
    let feed = Mutex::new(feed);
    let (done_in, done_out) = mpsc::sync_channel::<Judged<'p>>(task.jobs * 4);
    thread::scope(|scope| {
        for _ in 0..task.jobs {
            let (done_in, feed) = (done_in.clone(), &feed);
            scope.spawn(move || {
                let mut judge = Judge::default();
                loop {
                    // Whoever is free reads on.
                    let work = lock(feed).next(&mut judge.room);
                    let Some(work) = work else { break };
                    if done_in.send(judge.judge(work, task)).is_err() {
                        break;
                    }
                }
            });
        }
        drop(done_in);
        for judged in done_out {
            if !collector.add(judged) {
                // The channel is drained to its end, so that nobody waits for room in it.
                lock(&feed).stop();
            }
        }
    });
    collector.finish(feed.into_inner().unwrap_or_else(PoisonError::into_inner))
}

fn lock<'m, 'f, 'p>(feed: &'m Mutex<Feed<'f, 'p>>) -> MutexGuard<'m, Feed<'f, 'p>> {
    feed.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Something for a judging thread.
enum Work<'p> {
    /// The lines in its room.
    Lines {
        number: u64,
        file: usize,
        before: Offset,
    },
    /// Judged while reading; it only keeps its place in the order.
    Done(Judged<'p>),
}

/// A judging thread: its room for lines, and what it has learnt of them.
#[derive(Default)]
struct Judge {
    room: Buffer,
    habit: Habit,
}

impl Judge {
    fn judge<'p>(&mut self, work: Work<'p>, task: &Task<'p>) -> Judged<'p> {
        let (number, file, before) = match work {
            Work::Done(judged) => return judged,
            Work::Lines {
                number,
                file,
                before,
            } => (number, file, before),
        };
        let mut block = Block::new(task.policy, task.period, false);
        let after = ingest::read_lines(
            self.room.bytes(),
            before,
            &task.context,
            &mut self.habit,
            &mut |position, item| block.take(position, item),
        );
        Judged {
            number,
            file,
            block,
            records: after.records,
            lines: after.lines,
        }
    }
}

/// The reading side: cuts inputs into work.
struct Feed<'f, 'p> {
    task: &'f Task<'p>,
    bar: &'f ProgressBar,
    inputs: std::iter::Enumerate<std::slice::Iter<'f, Input>>,
    open: Option<Open<'f>>,
    number: u64,
    failures: Vec<(usize, io::Error)>,
}

/// An input that is being read.
struct Open<'f> {
    file: usize,
    window: Window<'f>,
    mode: Mode<'f>,
    /// Its end has been read.
    ended: bool,
}

/// How an input is read on.
enum Mode<'f> {
    /// In whole lines; so many bytes have been read. The collector counts records and lines.
    Lines(Offset),
    /// By a reader that keeps its place.
    Resumed(Resumed<'f>),
}

/// A reader that keeps its place, given more room whenever it makes no progress.
struct Resumed<'f> {
    reader: Resumable<'f>,
    /// It ends with its line, and lines follow.
    of_line: bool,
    size: usize,
}

enum Resumable<'f> {
    Document(Document<'f>),
    Csv(Csv<'f>),
}

impl Resumable<'_> {
    fn offset(&self) -> Offset {
        match self {
            Self::Document(document) => document.offset(),
            Self::Csv(csv) => csv.offset(),
        }
    }

    fn read(&mut self, bytes: &[u8], last: bool, block: &mut Block<'_>) -> usize {
        let mut take = |position, item: &Item<'_>| block.take(position, item);
        match self {
            Self::Document(document) => document.read(bytes, last, &mut take),
            Self::Csv(csv) => csv.read(bytes, last, &mut take),
        }
    }
}

impl<'f, 'p> Feed<'f, 'p> {
    fn new(task: &'f Task<'p>, inputs: &'f [Input], bar: &'f ProgressBar) -> Self {
        Self {
            task,
            bar,
            inputs: inputs.iter().enumerate(),
            open: None,
            number: 0,
            failures: Vec::new(),
        }
    }

    /// Gives no more work.
    fn stop(&mut self) {
        self.inputs = [].iter().enumerate();
        self.open = None;
    }

    /// The next piece of work; lines are put into `room`.
    fn next(&mut self, room: &mut Buffer) -> Option<Work<'p>> {
        loop {
            let Some(open) = &mut self.open else {
                self.open_next()?;
                continue;
            };
            let work = match &mut open.mode {
                _ if open.ended => None,
                Mode::Lines(_) => open.lines(self.task, self.number, room),
                Mode::Resumed(_) => open.resumed(self.task, self.number),
            };
            if work.is_some() {
                self.number += 1;
                return work;
            }
            if let Some(done) = self.open.take_if(|open| open.ended)
                && let Some(error) = done.window.failure
            {
                self.failures.push((done.file, error));
            }
        }
    }

    /// Opens the next input; `None` behind the last one.
    fn open_next(&mut self) -> Option<()> {
        let (file, input) = self.inputs.next()?;
        let bar = self.bar.clone();
        match input.open(move |bytes| bar.inc(bytes)) {
            Ok(reader) => self.open = Some(Open::new(self.task, file, reader)),
            Err(error) => self.failures.push((file, error)),
        }
        Some(())
    }
}

impl<'f> Open<'f> {
    fn new(task: &'f Task<'_>, file: usize, reader: Box<dyn io::Read + Send + 'f>) -> Self {
        let mut window = Window::new(reader);
        window.fill(WINDOW);
        let context = &task.context;
        let mode = match ingest::sniff(window.bytes(), window.last) {
            Shape::Lines => Mode::Lines(Offset::default()),
            Shape::Document => Mode::resumed(Resumable::Document(Document::new(context)), false),
            Shape::Csv => Mode::resumed(Resumable::Csv(Csv::new(context)), false),
        };
        Self {
            file,
            window,
            mode,
            ended: false,
        }
    }

    /// Puts the whole lines of the next window into `room`; `None` where there are none.
    fn lines<'p>(
        &mut self,
        task: &'f Task<'p>,
        number: u64,
        room: &mut Buffer,
    ) -> Option<Work<'p>> {
        let Mode::Lines(before) = &mut self.mode else {
            return None;
        };
        self.window.fill(WINDOW);
        let bytes = self.window.bytes();
        if bytes.is_empty() {
            self.ended = true;
            return None;
        }
        let whole = match self.window.last {
            true => bytes.len(),
            false => memchr::memrchr(b'\n', bytes).map_or(0, |end| end + 1),
        };
        if whole == 0 {
            // A line that the window cannot hold: its records are read one by one.
            let line = Document::starting_at(&task.context, *before);
            self.mode = Mode::resumed(Resumable::Document(line), true);
            return None;
        }
        self.window.give(whole, room);
        let work = Work::Lines {
            number,
            file: self.file,
            before: *before,
        };
        before.bytes += whole as u64;
        Some(work)
    }

    /// Reads the next window on the spot, up to its end or, if it is one line that is read, up to the line
    /// break, which is passed over.
    fn resumed<'p>(&mut self, task: &'f Task<'p>, number: u64) -> Option<Work<'p>> {
        let Mode::Resumed(resumed) = &mut self.mode else {
            return None;
        };
        self.window.fill(resumed.size);
        let bytes = self.window.bytes();
        let line_end = match resumed.of_line {
            true => memchr::memchr(b'\n', bytes),
            false => None,
        };
        let last = self.window.last || line_end.is_some();
        let bytes = bytes
            .get(..line_end.unwrap_or(bytes.len()))
            .unwrap_or_default();
        let before = resumed.reader.offset();
        let mut block = Block::new(task.policy, task.period, false);
        let used = resumed.reader.read(bytes, last, &mut block);
        let after = resumed.reader.offset();
        // The reader numbers from its own start, the collector from the end of the stretch before.
        block.shift(-(before.records as i64), -(before.lines as i64));
        self.window.consume(used + usize::from(line_end.is_some()));
        resumed.size = match used {
            0 => (resumed.size * 2).min(2 * MAX_RECORD),
            _ => WINDOW,
        };
        if line_end.is_some() {
            // The line break was not the document's; and the collector counts records and lines.
            self.mode = Mode::Lines(Offset {
                bytes: after.bytes + 1,
                ..Offset::default()
            });
        } else {
            self.ended = last;
        }
        Some(Work::Done(Judged {
            number,
            file: self.file,
            block,
            records: after.records - before.records,
            lines: after.lines - before.lines + u64::from(line_end.is_some()),
        }))
    }
}

impl<'f> Mode<'f> {
    fn resumed(reader: Resumable<'f>, of_line: bool) -> Self {
        Self::Resumed(Resumed {
            reader,
            of_line,
            size: WINDOW,
        })
    }
}

/// The writing side: puts what was judged back into the order of the input.
struct Collector<'t, 'k, 'p> {
    ledger: Ledger,
    next: u64,
    early: BTreeMap<u64, Judged<'p>>,
    file: usize,
    /// Of the file, so far.
    records: u64,
    lines: u64,
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
            lines: 0,
            go_on: true,
            take,
        }
    }

    fn finish(self, feed: Feed<'_, '_>) -> Read {
        Read {
            counts: self.ledger.counts().clone(),
            failures: feed.failures,
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
            self.lines = 0;
        }
        judged.block.shift(self.records as i64, self.lines as i64);
        self.records += judged.records;
        self.lines += judged.lines;
        let (findings, rejected) = self.ledger.absorb(judged.block);
        if self.go_on {
            self.go_on = (self.take)(judged.file, findings, rejected);
        }
    }
}
