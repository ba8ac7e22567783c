//! The log files that a command is given, and the part of them that counts.

use std::ops::ControlFlow;
use std::path::PathBuf;

use super::input::{Input, inputs};
use super::scan::scan;
use super::{KindWord, complain, counted, parse_id, parse_time, printable, progress};
use crate::assess::Period;
use crate::ingest::{Context, Item, Position};
use crate::sign_in::{Id, SignIn, Timestamp};

/// As many rejects are told one by one on standard error.
pub(super) const SHOWN_REJECTS: u64 = 10;

/// Which sign-ins of which files.
#[derive(Debug, clap::Args)]
pub(super) struct LogFiles {
    /// Log files, folders of them, or - for standard input
    #[arg(required = true, value_name = "FILE")]
    pub(super) files: Vec<PathBuf>,
    /// Only sign-ins from this time on (RFC 3339, or a date in UTC)
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    since: Option<Timestamp>,
    /// Only sign-ins before this time
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    until: Option<Timestamp>,
    /// Tenant of records that do not say theirs
    #[arg(long, value_name = "GUID", value_parser = parse_id)]
    tenant: Option<Id<'static>>,
    /// Kind of sign-in where an export cannot tell (the portal's CSV)
    #[arg(long, value_enum)]
    kind: Option<KindWord>,
}

/// What came of reading.
pub(super) struct Read {
    pub(super) inputs: Vec<Input>,
    /// Records of any kind.
    pub(super) records: u64,
    /// Those that could not be read.
    pub(super) rejected: u64,
    /// Whether every file was read to its end.
    pub(super) is_whole: bool,
}

impl LogFiles {
    /// What the files cannot tell themselves.
    pub(super) fn context(&self) -> Context {
        Context {
            tenant: self.tenant.clone(),
            kind: self.kind.map(Into::into),
            ..Context::default()
        }
    }

    /// The time that counts.
    pub(super) fn period(&self) -> Period {
        Period {
            since: self.since,
            until: self.until,
        }
    }

    /// Shows every sign-in of that time, with its input's place; says on standard error what could not be read.
    ///
    /// # Errors
    /// A file or folder is not there.
    pub(super) fn read(
        &self,
        see: &mut dyn FnMut(usize, Position, &SignIn<'_>),
    ) -> anyhow::Result<Read> {
        let inputs = inputs(&self.files)?;
        let period = self.period();
        let bar = progress::bar(inputs.iter().map(|input| input.size).sum());
        let name = |file: usize| inputs.get(file).map_or("", |input| input.name.as_str());
        let (mut records, mut rejected) = (0, 0);
        let failures = scan(
            &inputs,
            &self.context(),
            &bar,
            &mut |file, position, item| {
                records += 1;
                match item {
                    Item::SignIn(sign_in) if period.contains(sign_in.time) => {
                        see(file, position, sign_in);
                    }
                    Item::Reject(reject) => {
                        rejected += 1;
                        if rejected <= SHOWN_REJECTS {
                            let error = printable(&reject.error.to_string());
                            let (file, record) = (name(file), position.record);
                            bar.suspend(|| {
                                complain(&format!("{file}: record {record}: rejected: {error}"));
                            });
                        }
                    }
                    Item::SignIn(_) | Item::AuditEvent | Item::Other(_) => {}
                }
                ControlFlow::Continue(())
            },
        );
        bar.finish_and_clear();
        let more = rejected.saturating_sub(SHOWN_REJECTS);
        if more > 0 {
            complain(&format!(
                "and {} more (`spwatch check --format json` lists them all)",
                counted(more, "reject")
            ));
        }
        for (file, error) in &failures {
            complain(&format!(
                "error: read {}: {error}; what stands before it was read",
                name(*file)
            ));
        }
        Ok(Read {
            is_whole: failures.is_empty(),
            inputs,
            records,
            rejected,
        })
    }
}
