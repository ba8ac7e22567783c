//! Integration tests: one binary, a module for each concern.

#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "what helps a test fails as a test does"
)]

mod azurite;
mod backtest;
mod binary;
mod cli;
mod docs;
mod equivalence;
mod feeds;
mod host;
mod hostile;
mod infra;
mod inventory;
mod layers;
mod learn;
mod oracle;
mod package;
mod policy_schema;
mod schema;
mod state;
mod try_func;
mod wiring;
