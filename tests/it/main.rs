//! Integration tests: one binary, a module for each concern.

mod docs;
mod layers;
