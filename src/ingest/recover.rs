//! Where to go on behind JSON that is broken: a lenient walk over brackets and strings.
//!
//! The walk stops at whichever comes first: the end of the broken element, by its brackets, or the
//! beginning of what looks like another record. The second is what saves the neighbours where a quote
//! or a bracket is missing and the brackets no longer tell anything.

/// Brackets the walk remembers; beyond, it looks for another record only.
const MAX_BRACKETS: usize = 1 << 20;

/// What the broken element stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Inside {
    /// Nothing: it is a document of its own, or garbage between documents.
    Nothing,
    /// An array: a comma or a closing bracket follows it.
    Array,
}

/// Why the walk stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    /// The element ends before this byte.
    End(usize),
    /// At this byte begins what may be another record.
    Candidate(usize),
    /// The bytes are used up.
    Exhausted,
}

/// A walk in progress; it lives on between windows.
#[derive(Debug, Clone)]
pub(super) struct Walk {
    inside: Inside,
    open: Vec<u8>,
    in_string: bool,
    escaped: bool,
    /// The brackets contradict each other: only another record can end the walk.
    lost: bool,
    /// The element has begun.
    begun: bool,
    /// The brackets have closed; what follows decides whether this was the end.
    closed_at: Option<usize>,
    /// The last byte that is not white space.
    before: u8,
    /// Only white space since the last line break.
    line_start: bool,
}

impl Walk {
    /// Starts at the first byte of a broken element.
    pub(super) fn new(inside: Inside) -> Self {
        Self {
            inside,
            open: Vec::new(),
            in_string: false,
            escaped: false,
            lost: false,
            begun: false,
            closed_at: None,
            before: 0,
            line_start: false,
        }
    }

    /// Walks on from `*at`; a candidate that is refused is stepped over by walking on.
    pub(super) fn step(&mut self, bytes: &[u8], at: &mut usize, refused: Option<usize>) -> Stop {
        while let Some(byte) = bytes.get(*at).copied() {
            if let Some(end) = self.closed_at
                && !byte.is_ascii_whitespace()
            {
                self.closed_at = None;
                if self.may_follow(byte) {
                    return Stop::End(end);
                }
                self.lost = true;
            }
            if byte == b'{'
                && self.begun
                && refused != Some(*at)
                && (matches!(self.before, b',' | b'[') || self.line_start)
            {
                return Stop::Candidate(*at);
            }
            if self.ends_before(byte) {
                return Stop::End(*at);
            }
            self.take(byte);
            *at += 1;
            if self.begun
                && !self.lost
                && self.open.is_empty()
                && matches!(byte, b'}' | b']')
                && !self.in_string
            {
                self.closed_at = Some(*at);
            }
        }
        Stop::Exhausted
    }

    /// The end of the element, if nothing at all follows it.
    pub(super) fn closed_at(&self) -> Option<usize> {
        self.closed_at
    }

    /// Tells the walk that the first `consumed` bytes of the window are gone.
    pub(super) fn shift(&mut self, consumed: usize) {
        self.closed_at = self.closed_at.map(|at| at.saturating_sub(consumed));
    }

    fn may_follow(&self, byte: u8) -> bool {
        match self.inside {
            Inside::Array => matches!(byte, b',' | b']'),
            // The byte order mark of the next of several concatenated files begins so.
            Inside::Nothing => matches!(byte, b'{' | b'[' | b',' | 0xEF) || self.line_start,
        }
    }

    /// Whether garbage without brackets ends here.
    fn ends_before(&self, byte: u8) -> bool {
        if !self.begun
            || self.lost
            || self.in_string
            || !self.open.is_empty()
            || self.closed_at.is_some()
        {
            return false;
        }
        match self.inside {
            Inside::Array => matches!(byte, b',' | b']'),
            Inside::Nothing => byte == b'\n',
        }
    }

    fn take(&mut self, byte: u8) {
        match byte {
            b'\n' => self.line_start = true,
            b' ' | b'\t' | b'\r' => {}
            _ => {
                self.line_start = false;
                self.before = byte;
                self.begun = true;
            }
        }
        if self.in_string {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' => self.escaped = true,
                b'"' => self.in_string = false,
                _ => {}
            }
            return;
        }
        match byte {
            b'"' => self.in_string = true,
            b'{' | b'[' if self.open.len() < MAX_BRACKETS => self.open.push(byte),
            b'{' | b'[' => self.lost = true,
            b'}' | b']' => {
                let matching = if byte == b'}' { b'{' } else { b'[' };
                if self.open.pop() != Some(matching) {
                    self.lost = true;
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stops(inside: Inside, text: &str) -> Vec<Stop> {
        let mut walk = Walk::new(inside);
        let mut found = Vec::new();
        let mut at = 0;
        let mut refused = None;
        loop {
            let stop = walk.step(text.as_bytes(), &mut at, refused);
            found.push(stop);
            match stop {
                Stop::Candidate(at) => refused = Some(at),
                Stop::End(_) | Stop::Exhausted => return found,
            }
        }
    }

    #[test]
    fn finds_the_end_by_brackets() {
        assert_eq!(stops(Inside::Array, "{'a':[1]} ,{}"), [Stop::End(9)]);
        assert_eq!(stops(Inside::Array, "{\"a}\n\\\"\"} ]"), [Stop::End(9)]);
        assert_eq!(stops(Inside::Array, "blob data ]"), [Stop::End(10)]);
        assert_eq!(stops(Inside::Nothing, "{'a':1}\n{}"), [Stop::End(7)]);
        assert_eq!(stops(Inside::Nothing, "garbage\n{}"), [Stop::End(7)]);
    }

    #[test]
    fn finds_what_may_be_another_record() {
        assert_eq!(
            stops(Inside::Array, "{\"a\":\"x,\"b\":\"y\"},{\"c\":1}"),
            [Stop::Candidate(17), Stop::Exhausted]
        );
        assert_eq!(
            stops(Inside::Array, "{\"a\":[{]},\n{"),
            [Stop::Candidate(6), Stop::Candidate(11), Stop::Exhausted]
        );
    }
}
