//! What a document does where it is broken: reject the element, find the next, go on.

use super::super::field::Field;
use super::super::habit::Habit;
use super::super::json::{JsonError, Reader};
use super::super::record::{Object, Record};
use super::super::recover::{Inside, Stop, Walk};
use super::{Container, Document, Fault, KEPT_OF_OVERLONG, Step, Window};

/// Bytes that may be spent on candidates for another record, beyond eight times the bytes walked over.
const FREE_RETRIES: usize = 64 << 10;

impl Document<'_> {
    /// Asks for more of an element, unless it is already too long to hold.
    pub(super) fn wait(
        &mut self,
        window: &mut Window<'_, '_>,
        start: usize,
        error: JsonError,
    ) -> Step {
        match window.bytes.len() - start < self.max_record {
            true => Step::More,
            false => self.recover(window, start, error),
        }
    }

    /// An array goes on without a comma: something is missing there.
    pub(super) fn leave_array(&mut self, window: &mut Window<'_, '_>, error: JsonError) -> Step {
        if window.bytes.get(error.at) != Some(&b'{') {
            return self.recover(window, error.at, error);
        }
        // Another document begins where this one was cut off: nothing of it is lost.
        self.reject(window, error.at, error.at, error);
        self.leave_containers();
        Step::To(error.at)
    }

    /// An envelope is broken behind its records.
    pub(super) fn leave_envelope(
        &mut self,
        window: &mut Window<'_, '_>,
        start: usize,
        error: JsonError,
    ) -> Step {
        if error.at == start && window.bytes.get(start) == Some(&b'{') {
            return self.leave_array(window, error);
        }
        let step = self.recover(window, start, error);
        if let Step::To(_) = step {
            self.leave_containers();
        }
        step
    }

    /// Forgets all containers: reading goes on as between documents, and takes what may be left of them.
    pub(super) fn leave_containers(&mut self) {
        self.containers.clear();
        self.after_value = false;
        self.loose = true;
    }

    /// Rejects the broken element at `start` and goes on behind it.
    pub(super) fn recover(
        &mut self,
        window: &mut Window<'_, '_>,
        start: usize,
        error: JsonError,
    ) -> Step {
        let inside = match self.containers.last() {
            Some(Container::Array | Container::Records) => Inside::Array,
            _ => Inside::Nothing,
        };
        let mut walk = Walk::new(inside);
        let mut at = start;
        match self.walk(&mut walk, window, &mut at) {
            Stop::Exhausted if !window.last => {
                if window.bytes.len() - start < self.max_record {
                    return Step::More;
                }
                let kept = window.bytes.len().min(start + KEPT_OF_OVERLONG);
                let line = self.whereabouts.line(window.bytes, start);
                let body = window.bytes.get(start..kept).unwrap_or_default();
                let text = match error.is_end() {
                    true => Fault::from(format!(
                        "a record of more than {} MiB; only its first {} KiB are kept",
                        self.max_record >> 20,
                        KEPT_OF_OVERLONG >> 10
                    )),
                    false => self.whereabouts.describe(window.bytes, error).and(&format!(
                        "; what follows is skipped, and only its first {} KiB are kept",
                        KEPT_OF_OVERLONG >> 10
                    )),
                };
                self.show_reject(window, line, text, body);
                walk.shift(at);
                self.skipping = Some(walk);
                Step::To(at)
            }
            stop => {
                let end = match stop {
                    Stop::End(end) | Stop::Candidate(end) => end,
                    Stop::Exhausted => walk.closed_at().unwrap_or(window.bytes.len()),
                };
                self.reject(window, start, end, error);
                self.resume(window, stop, end)
            }
        }
    }

    /// Skips on in an element that began in an earlier window and is already rejected.
    pub(super) fn skip_on(
        &mut self,
        mut walk: Walk,
        window: &mut Window<'_, '_>,
        at: usize,
    ) -> Step {
        let mut next = at;
        match self.walk(&mut walk, window, &mut next) {
            Stop::Exhausted if !window.last => {
                walk.shift(next);
                self.skipping = Some(walk);
                match next > at {
                    true => Step::To(next),
                    false => Step::More,
                }
            }
            stop => {
                let end = match stop {
                    Stop::End(end) | Stop::Candidate(end) => end,
                    Stop::Exhausted => window.bytes.len(),
                };
                self.resume(window, stop, end)
            }
        }
    }

    /// Sets up reading behind a broken element.
    fn resume(&mut self, window: &Window<'_, '_>, stop: Stop, end: usize) -> Step {
        match stop {
            Stop::End(_) => self.value_done(),
            Stop::Exhausted => {
                self.containers.clear();
                self.after_value = false;
            }
            Stop::Candidate(at) => {
                let before = window.bytes.get(..at).unwrap_or_default().trim_ascii_end();
                let in_place = before.last() == Some(&b',')
                    && matches!(
                        self.containers.last(),
                        Some(Container::Array | Container::Records)
                    );
                self.after_value = false;
                if !in_place {
                    self.leave_containers();
                }
            }
        }
        Step::To(end)
    }

    /// Walks to the end of the broken element, or to a candidate that proves to be a record.
    /// `Exhausted` leaves `at` where the next window must begin, if the walk is to go on.
    fn walk(&self, walk: &mut Walk, window: &Window<'_, '_>, at: &mut usize) -> Stop {
        let start = *at;
        let mut spent = 0;
        let mut refused = None;
        loop {
            let candidate = match walk.step(window.bytes, at, refused) {
                Stop::Candidate(candidate) => candidate,
                stop => return stop,
            };
            refused = Some(candidate);
            if spent > FREE_RETRIES + 8 * (candidate - start) {
                continue;
            }
            let mut reader = Reader::over(window.source, candidate);
            let mut record = Record::default();
            match record.read(&mut reader, &mut Habit::default()) {
                Ok(Object::Envelope(Field::Records)) => return Stop::Candidate(candidate),
                Ok(Object::Record) if record.is_marked() => return Stop::Candidate(candidate),
                Err(error)
                    if error.is_end()
                        && !window.last
                        && window.bytes.len() - candidate < self.max_record =>
                {
                    return Stop::Exhausted;
                }
                _ => {}
            }
            spent += reader.at() - candidate;
        }
    }
}
