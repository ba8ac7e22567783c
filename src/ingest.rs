//! Log bytes → [`SignIn`] values, counts of everything else, and rejects. Pure.

use std::borrow::Cow;

use crate::sign_in::{Id, Kind, SignIn, Timestamp};

/// One record of a log.
#[expect(
    clippy::large_enum_variant,
    reason = "the common variant is the large one; items are visited on the stack and never stored"
)]
#[derive(Debug, Clone, PartialEq)]
pub enum Item<'a> {
    /// A sign-in of one of the three judged categories.
    SignIn(SignIn<'a>),
    /// A record of `AuditLogs`.
    AuditEvent,
    /// A record of any other category, by its name as logged.
    Other(Cow<'a, str>),
    /// Something that cannot be read as a record.
    Reject(Reject<'a>),
}

/// A record that cannot be judged: why, and what it was.
#[derive(Debug, Clone, PartialEq)]
pub struct Reject<'a> {
    /// What is wrong and where, a lowercase fragment.
    pub error: String,
    /// The record as it arrived.
    pub body: Cow<'a, [u8]>,
}

/// Where a record stands in its source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// Ordinal of the record in its source, from 1.
    pub record: u64,
    /// Line on which the record starts, from 1.
    pub line: u64,
}

/// What the source itself cannot tell.
#[derive(Debug, Clone, Default)]
pub struct Context {
    /// When the Event Hub took the event: the time of a record that has none of its own.
    pub enqueued: Option<Timestamp>,
    /// The tenant of records that do not name theirs (`--tenant`).
    pub tenant: Option<Id<'static>>,
    /// The kind of sign-in where an export cannot tell (`--kind`).
    pub kind: Option<Kind>,
}

/// Reads a text that is whole in memory, in any of the shapes: one event of a batch, or a small file.
pub fn read_text(_bytes: &[u8], _context: &Context, _visit: &mut dyn FnMut(Position, Item<'_>)) {}
/// tmp
pub fn event_bytes(text: &str) -> Result<Cow<'_, [u8]>, std::fmt::Error> {
    Ok(Cow::Borrowed(text.as_bytes()))
}
