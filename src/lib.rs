//! spwatch watches Entra ID service-principal sign-ins against per-application policies.
//!
//! The flow is one line: log bytes → [`ingest`] → [`sign_in::SignIn`] → [`policy`] → [`verdict`]
//! → alert → sink. Those stages are pure: no clock, no files, no network; the time is an argument.
//! The edges (the Functions handler, the command line, the stand-in for the Functions host) do the I/O.

pub mod alert;
pub mod assess;
pub mod backtest;
pub mod build;
pub mod cli;
pub mod config;
pub mod delivery;
pub mod devhost;
pub mod feed;
pub mod finding;
pub mod handler;
pub mod ingest;
pub mod inventory;
pub mod learn;
pub mod merge;
pub mod policy;
pub mod policy_blobs;
pub mod policy_files;
mod range;
pub mod sender;
pub mod sign_in;
pub mod sink;
pub mod state;
pub mod stream;
mod suggest;
pub mod telemetry;
pub mod verdict;
mod wording;
