//! How a sink does, told by the processes that deliver to those that do not.
//!
//! Where each function has instances of its own, as on Azure's Flex Consumption plan, the process that shows the status
//! delivers nothing (learn.microsoft.com/azure/azure-functions/event-driven-scaling, per-function scaling).

use serde::{Deserialize, Serialize};

use super::{VERSION, short_hash};
use crate::sign_in::Timestamp;

/// What is known of a sink.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SinkWord {
    #[serde(deserialize_with = "super::this_version")]
    version: u32,
    /// Whether it counts as down.
    pub down: bool,
    /// Since when that is so.
    pub since: Timestamp,
    /// Why the last delivery failed, where it is down.
    pub last_failure: Option<String>,
}

impl SinkWord {
    /// What holds from now on.
    pub fn new(down: bool, last_failure: Option<String>, since: Timestamp) -> Self {
        Self {
            version: VERSION,
            down,
            since,
            last_failure: last_failure.filter(|_| down),
        }
    }

    /// The document's name.
    pub fn name(sink: &str) -> String {
        format!("sinks/{}", short_hash(sink))
    }
}
