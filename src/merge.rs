//! What instances remember together so that people hear of a thing once: the documents and what changes them. Pure.
//!
//! A repeat is held back only where a [`Marks`] entry proves that its first alert is out; what is held back is counted
//! in a [`Window`], and told once when the window closes. Every step gives the same document when it is taken twice, so
//! that batches may come again. `state` loads and stores the documents.

mod cap;
mod mark;
mod outbox;
mod sink_word;
mod window;

pub use cap::Admitted;
pub use mark::{Delivery, Mark, MarkKind, Marks, failure_name, marks_folder};
pub use outbox::Pending;
pub use sink_word::SinkWord;
pub use window::{MAX_COUNTED, Window};

use serde::{Deserialize, Deserializer, de};
use sha2::{Digest, Sha256};

/// The version of every document here; one of another version is as if it were not there.
const VERSION: u32 = 1;

fn this_version<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    match u32::deserialize(deserializer)? {
        VERSION => Ok(VERSION),
        other => Err(de::Error::custom(format_args!("version {other}"))),
    }
}

/// A name's hash as it stands in documents' names: names of sinks are the policy's, and may be anything.
fn short_hash(text: &str) -> String {
    let digest = Sha256::digest(text);
    let digits = digest.iter().take(8).map(|byte| format!("{byte:02x}"));
    digits.collect()
}
