//! The `spwatch` binary: parses arguments, runs the command, maps its outcome to an exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    spwatch::cli::run()
}
