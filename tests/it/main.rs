//! Integration tests: one binary, a module for each concern.

mod binary;
mod cli;
mod equivalence;
mod hostile;
mod layers;
mod oracle;
