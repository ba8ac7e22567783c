//! History → a proposal for `policy.toml`. Pure.
//!
//! [`History`] gathers what each application did, by distinct value and never by record; [`propose()`] decides what of it
//! is steady enough to be written down; [`write()`] writes it. Nothing is trusted silently: the text is a proposal, says
//! what each line rests on, and leaves out what is still changing.

mod addresses;
mod history;
mod merge;
mod places;
mod propose;
mod ranges;
mod splice;
mod steady;
mod write;

#[cfg(test)]
mod tests;

pub use history::History;
pub use merge::{Gaps, Merged, merge};
pub use propose::{Entry, Options, Proposal, propose};
pub use write::write;
