//! Alerts → HTTP requests, one module for each kind of destination. Pure: the sender is elsewhere.

pub mod webhook;

use std::fmt;

/// A request to a destination, whole: the sender adds nothing but the connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Header names and values.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// A value that must never be shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a value.
    pub fn new(value: String) -> Self {
        Self(value)
    }

    /// The value, for the one place that needs it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}
