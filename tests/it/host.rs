//! The real binary behind the stand-in Functions host: what goes in at the Event Hub comes out at a receiver.
//!
//! Every wait is for something to have happened; no sleep decides a result.

mod canaries;
mod crash;
mod delivery;
mod faults;
mod feeds;
mod housekeeping;
mod merging;
mod observing;
mod points;
mod policy;
mod protocol;
mod receivers;
mod rig;
mod secrets;
mod shapes;
mod sinks;
mod size;
mod stopping;
mod storage;

pub(crate) use rig::Random;
