//! Gathers what is wrong while a policy is read, and makes the diagnostics of it at the end.

use std::collections::BTreeSet;
use std::ops::Range;

use super::Source;
use super::diagnostic::{Code, Diagnostic, Diagnostics, Label};
use super::source::{Located, Spot, Text};
use super::suggest::{either, nearest, quoted};

/// A mistake as it is reported, before spans become lines and columns.
pub(super) struct Report {
    code: Code,
    spot: Spot,
    message: String,
    help: Option<String>,
    label: Option<(Spot, String)>,
}

impl Report {
    pub(super) fn help(&mut self, help: impl Into<String>) -> &mut Self {
        self.help = Some(help.into());
        self
    }

    pub(super) fn label(&mut self, spot: Spot, message: impl Into<String>) -> &mut Self {
        self.label = Some((spot, message.into()));
        self
    }
}

/// Everything that is wrong so far.
pub(super) struct Collector {
    pub(super) texts: Vec<Text>,
    reports: Vec<Report>,
    /// Lines with syntax errors, by file.
    broken: BTreeSet<(usize, usize)>,
    broken_files: BTreeSet<usize>,
    secrets: Vec<Spot>,
    /// Whether a file that belongs to the policy is missing.
    pub(super) incomplete: bool,
}

impl Collector {
    pub(super) fn new(sources: &[Source]) -> Self {
        Self {
            texts: sources.iter().map(Text::new).collect(),
            reports: Vec::new(),
            broken: BTreeSet::new(),
            broken_files: BTreeSet::new(),
            secrets: Vec::new(),
            incomplete: false,
        }
    }

    /// Adds a mistake; help and a second place may follow.
    pub(super) fn report(
        &mut self,
        code: Code,
        spot: Spot,
        message: impl Into<String>,
    ) -> &mut Report {
        let index = self.reports.len();
        self.reports.push(Report {
            code,
            spot,
            message: message.into(),
            help: None,
            label: None,
        });
        #[expect(clippy::indexing_slicing, reason = "it was pushed two lines above")]
        &mut self.reports[index]
    }

    /// Adds a syntax error; what else is found on its line will be a consequence of it.
    pub(super) fn syntax(&mut self, spot: Spot, message: &str) {
        let line = self.line(spot);
        self.broken.insert((spot.file, line));
        self.broken_files.insert(spot.file);
        self.report(Code::Syntax, spot, message);
    }

    /// Remembers a literal secret, which no excerpt may show.
    pub(super) fn hide(&mut self, spot: Spot) {
        self.secrets.push(spot);
    }

    /// A word that is none of those allowed, with the nearest one as help.
    pub(super) fn unknown_word(&mut self, word: &Located<String>, key: &str, words: &[&str]) {
        let message = format!("{} is no value of `{key}`", quoted(&word.value));
        let help = match nearest(&word.value, words.iter().copied()) {
            Some(near) => format!("did you mean {near:?}? (known: {})", either(words)),
            None => format!("known: {}", either(words)),
        };
        self.report(Code::UnknownWord, word.spot, message)
            .help(help);
    }

    /// The line of a span's first character.
    pub(super) fn line(&self, spot: Spot) -> usize {
        self.texts
            .get(spot.file)
            .map_or(1, |text| text.line_number(spot.start))
    }

    /// Whether there is an error so far.
    pub(super) fn has_errors(&self) -> bool {
        self.reports
            .iter()
            .any(|report| report.code.level() == super::diagnostic::Level::Error)
    }

    /// Makes the diagnostics: sorted, located, and without the consequences of syntax errors.
    pub(super) fn finish(mut self) -> Diagnostics {
        let mut reports = std::mem::take(&mut self.reports);
        reports.retain(|report| !self.is_consequence(report));
        reports.sort_by(|a, b| (a.spot, a.code, &a.message).cmp(&(b.spot, b.code, &b.message)));
        reports.dedup_by(|a, b| a.spot == b.spot && a.code == b.code && a.message == b.message);
        let items = reports
            .into_iter()
            .map(|report| self.locate(report))
            .collect();
        for (file, text) in self.texts.iter_mut().enumerate() {
            let mut stretches: Vec<_> = self
                .secrets
                .iter()
                .filter(|spot| spot.file == file)
                .map(|spot| spot.start..spot.end)
                .collect();
            if self.broken_files.contains(&file) {
                stretches.extend(suspicious(text.shown()));
            }
            text.mask(&stretches);
        }
        Diagnostics {
            items,
            texts: self.texts,
        }
    }

    /// After a syntax error the tree lacks what stood there: what follows from that is not reported.
    fn is_consequence(&self, report: &Report) -> bool {
        let broken = !self.broken_files.is_empty();
        match report.code {
            Code::Syntax => false,
            Code::UnknownSet | Code::UnknownSink | Code::UnusedSet => broken || self.incomplete,
            // What hangs on the structure, which TOML's reader can only guess at.
            Code::MissingKey
            | Code::MissingSelector
            | Code::NoAllow
            | Code::UnknownKey
            | Code::MisplacedKey
            | Code::WrongType
            | Code::Duplicate
            | Code::DuplicateSelector => self.broken_files.contains(&report.spot.file),
            _ => {
                broken
                    && self
                        .broken
                        .contains(&(report.spot.file, self.line(report.spot)))
            }
        }
    }

    fn locate(&self, report: Report) -> Diagnostic {
        let position = |file: usize, offset: usize| match self.texts.get(file) {
            Some(text) => (text.name.clone(), text.position(offset)),
            None => (String::new(), (1, 1)),
        };
        let spot = report.spot;
        let (file, (line, column)) = position(spot.file, spot.start);
        let (_, (end_line, end_column)) = position(spot.file, spot.end);
        Diagnostic {
            level: report.code.level(),
            code: report.code,
            message: report.message,
            file,
            line,
            column,
            end_line,
            end_column,
            help: report.help,
            label: report.label.map(|(spot, message)| {
                let (file, (line, column)) = position(spot.file, spot.start);
                Label {
                    message,
                    file,
                    line,
                    column,
                    spot,
                }
            }),
            spot,
        }
    }
}

/// Stretches of a file with syntax errors that may hold a secret. The tree cannot tell there, so
/// that everything after a key that names a secret is taken for one, and so is every long
/// word that mixes letters and digits.
fn suspicious(text: &str) -> Vec<Range<usize>> {
    const NAMES: [&str; 6] = ["secret", "token", "password", "_key", "url", "hook"];
    let mut stretches = Vec::new();
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let key = line.split(['=', '"', '\'']).next().unwrap_or_default();
        let lower = key.to_ascii_lowercase();
        let named = NAMES.iter().any(|name| lower.contains(name));
        if named && !line.contains("env:") {
            stretches.push(start + key.len()..start + line.len());
        }
        let mut word = None;
        for (offset, letter) in line.char_indices().chain([(line.len(), ' ')]) {
            let inside = !letter.is_whitespace() && !matches!(letter, '"' | '\'' | ',' | '[' | ']');
            match (inside, word) {
                (true, None) => word = Some(offset),
                (false, Some(from)) => {
                    let long = line.get(from..offset).unwrap_or_default();
                    let mixed = long.bytes().any(|byte| byte.is_ascii_digit())
                        && long.bytes().any(|byte| byte.is_ascii_alphabetic());
                    let plain = uuid::Uuid::try_parse(long).is_ok()
                        || long.parse::<toml::value::Datetime>().is_ok();
                    if long.len() >= 16 && mixed && !plain {
                        stretches.push(start + from..start + offset);
                    }
                    word = None;
                }
                _ => {}
            }
        }
        start += line.len();
    }
    stretches
}
