//! The `spwatch` binary: parses arguments, starts telemetry, maps the outcome to an exit code.

fn main() {}
