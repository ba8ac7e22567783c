//! What a change of the policy would add and silence, on sign-ins that were. Pure.
//!
//! Every sign-in is judged by both policies. What differs is kept by application and by what differs, with the first
//! sign-ins of each kind; nothing is kept for a sign-in that both judge alike.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use uuid::Uuid;

use crate::alert;
use crate::finding::Finding;
use crate::ingest::Position;
use crate::policy::{Action, Judgement, Policy};
use crate::sign_in::{SignIn, Timestamp};
use crate::verdict::{ReasonSet, Severity, Verdict};

/// As many sign-ins of each change are told one by one.
pub const TOLD: usize = 50;

/// How a finding differs between the two policies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Only the new policy has it.
    Added,
    /// Only the old policy has it.
    Removed,
    /// Both have it, and say different things.
    Changed,
}

impl Kind {
    /// The stable word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Removed => "removed",
            Self::Changed => "changed",
        }
    }
}

/// What one policy says of a sign-in that it lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Said {
    /// The verdict.
    pub verdict: &'static str,
    /// Whether an alert is due.
    pub due: bool,
    /// How grave.
    pub severity: Severity,
    reasons: u16,
}

/// What is different, and of which application.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    kind: Kind,
    app: String,
    app_id: String,
    old: Option<Said>,
    new: Option<Said>,
}

/// A sign-in of which the policies differ.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Example {
    /// The record's id.
    pub id: String,
    /// When it happened.
    pub time: Timestamp,
    /// From which address.
    pub ip: Option<String>,
    /// In which country.
    pub country: Option<String>,
    /// How it ended.
    pub outcome: &'static str,
    /// The input, by its place.
    #[serde(skip)]
    pub file: usize,
    /// The record's ordinal in it.
    pub record: u64,
}

/// One change: findings of one application that differ in the same way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// How they differ.
    pub kind: Kind,
    /// The entry's label, or the application's name where none selects it.
    pub app: String,
    /// The application's id.
    pub app_id: String,
    /// What the old policy says.
    pub old: Option<Said>,
    /// What the new policy says.
    pub new: Option<Said>,
    /// The reasons of the old policy.
    pub old_reasons: Vec<&'static str>,
    /// The reasons of the new policy.
    pub new_reasons: Vec<&'static str>,
    /// How many sign-ins.
    pub count: u64,
    /// The first of them.
    pub sign_ins: Vec<Example>,
}

/// Numbers of one day, or of all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Load {
    /// Sign-ins judged.
    pub sign_ins: u64,
    /// Findings of the old policy that alerts are due for.
    pub old_due: u64,
    /// The same of the new policy.
    pub new_due: u64,
    /// Alerts of the old policy: repeats within a merge window are one.
    pub old_alerts: u64,
    /// The same of the new policy.
    pub new_alerts: u64,
}

/// Findings that differ, counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// Findings that only the new policy has.
    pub added: u64,
    /// Findings that only the old policy has.
    pub removed: u64,
    /// Findings of which they say different things.
    pub changed: u64,
    /// Alerts that become due.
    pub due_added: u64,
    /// Alerts that are no longer due.
    pub due_removed: u64,
}

/// Two policies, compared.
#[derive(Debug, Default)]
pub struct Backtest {
    changes: BTreeMap<Key, (u64, Vec<Example>, ReasonSet, ReasonSet)>,
    days: BTreeMap<String, Load>,
    alerts: [BTreeSet<Uuid>; 2],
    totals: Totals,
}

impl Said {
    fn of(judgement: &Judgement<'_>) -> Option<Self> {
        let listed = judgement.verdict != Verdict::Allowed && judgement.action != Action::Ignore;
        listed.then(|| Self {
            verdict: judgement.verdict.as_str(),
            due: judgement.is_due(),
            severity: judgement.severity,
            reasons: judgement
                .reasons
                .iter()
                .fold(0, |bits, code| bits | 1 << (code as u8)),
        })
    }
}

impl Backtest {
    /// Judges a sign-in by both.
    pub fn add(
        &mut self,
        old: &Policy,
        new: &Policy,
        sign_in: &SignIn<'_>,
        (file, position): (usize, Position),
    ) {
        let (by_old, by_new) = (old.judge(sign_in), new.judge(sign_in));
        let day = sign_in.time.utc().format("%Y-%m-%d").to_string();
        let old_alert = self.alert(0, old, sign_in, &by_old, position);
        let new_alert = self.alert(1, new, sign_in, &by_new, position);
        let load = self.days.entry(day).or_default();
        load.sign_ins += 1;
        load.old_due += u64::from(by_old.is_due());
        load.new_due += u64::from(by_new.is_due());
        load.old_alerts += u64::from(old_alert);
        load.new_alerts += u64::from(new_alert);
        let (said_old, said_new) = (Said::of(&by_old), Said::of(&by_new));
        let kind = match (said_old, said_new) {
            (None, Some(_)) => Kind::Added,
            (Some(_), None) => Kind::Removed,
            (Some(a), Some(b)) if a != b => Kind::Changed,
            _ => return,
        };
        self.totals.count(kind, by_old.is_due(), by_new.is_due());
        let entry = by_new.app.or(by_old.app);
        let key = Key {
            kind,
            app: match entry {
                Some(app) => app.name.clone(),
                None => sign_in.name.as_deref().unwrap_or_default().to_owned(),
            },
            app_id: sign_in
                .app_id
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_default(),
            old: said_old,
            new: said_new,
        };
        let (count, examples, ..) = self
            .changes
            .entry(key)
            .or_insert_with(|| (0, Vec::new(), by_old.reasons, by_new.reasons));
        *count += 1;
        if examples.len() < TOLD {
            examples.push(Example {
                id: sign_in.id_text().into_owned(),
                time: sign_in.time,
                ip: sign_in.ip.map(|ip| ip.to_string()),
                country: sign_in.country.as_deref().map(str::to_owned),
                outcome: sign_in.outcome.as_str(),
                file,
                record: position.record,
            });
        }
    }

    /// Whether a sign-in raises an alert that was not raised yet.
    fn alert(
        &mut self,
        side: usize,
        policy: &Policy,
        sign_in: &SignIn<'_>,
        judgement: &Judgement<'_>,
        position: Position,
    ) -> bool {
        if !judgement.is_due() {
            return false;
        }
        let finding = Finding::new(policy, sign_in, judgement, position);
        let raised = alert::raise(policy, &[finding], sign_in.time);
        let id = raised.first().map(|raised| raised.alert.id);
        match (id, self.alerts.get_mut(side)) {
            (Some(id), Some(known)) => known.insert(id),
            _ => false,
        }
    }

    /// What differs, applications in order; what is added first.
    pub fn changes(&self) -> impl Iterator<Item = Change> {
        let words = |set: &ReasonSet| set.iter().map(|code| code.as_str()).collect();
        self.changes
            .iter()
            .map(move |(key, (count, sign_ins, old, new))| Change {
                kind: key.kind,
                app: key.app.clone(),
                app_id: key.app_id.clone(),
                old: key.old,
                new: key.new,
                old_reasons: key.old.map(|_| words(old)).unwrap_or_default(),
                new_reasons: key.new.map(|_| words(new)).unwrap_or_default(),
                count: *count,
                sign_ins: sign_ins.clone(),
            })
    }

    /// What the on-call would have got, by day (UTC).
    pub fn days(&self) -> impl Iterator<Item = (&str, &Load)> {
        self.days.iter().map(|(day, load)| (day.as_str(), load))
    }

    /// The sum of the days.
    pub fn load(&self) -> Load {
        self.days.values().fold(Load::default(), |sum, day| Load {
            sign_ins: sum.sign_ins + day.sign_ins,
            old_due: sum.old_due + day.old_due,
            new_due: sum.new_due + day.new_due,
            old_alerts: sum.old_alerts + day.old_alerts,
            new_alerts: sum.new_alerts + day.new_alerts,
        })
    }

    /// Findings that differ.
    pub fn totals(&self) -> Totals {
        self.totals
    }
}

impl Totals {
    fn count(&mut self, kind: Kind, old_due: bool, new_due: bool) {
        match kind {
            Kind::Added => self.added += 1,
            Kind::Removed => self.removed += 1,
            Kind::Changed => self.changed += 1,
        }
        self.due_added += u64::from(new_due && !old_due);
        self.due_removed += u64::from(old_due && !new_due);
    }

    /// The number behind a word of [`Limit`].
    fn of(&self, word: Word) -> u64 {
        match word {
            Word::Added => self.added,
            Word::Removed => self.removed,
            Word::Changed => self.changed,
            Word::DueAdded => self.due_added,
            Word::DueRemoved => self.due_removed,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Word {
    Added,
    Removed,
    Changed,
    DueAdded,
    DueRemoved,
}

/// More of it than that is too much: `added>20`, `removed>0`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    word: Word,
    most: u64,
}

impl Limit {
    /// Reads `WORD>NUMBER`.
    ///
    /// # Errors
    /// It is not of that form.
    pub fn parse(text: &str) -> Result<Self, String> {
        let form = "write added>N, removed>N, changed>N, due-added>N or due-removed>N";
        let (word, most) = text
            .split_once('>')
            .ok_or_else(|| format!("{text:?} has no \">\": {form}"))?;
        let word = match word.trim() {
            "added" => Word::Added,
            "removed" => Word::Removed,
            "changed" => Word::Changed,
            "due-added" => Word::DueAdded,
            "due-removed" => Word::DueRemoved,
            other => return Err(format!("{other:?} is not counted: {form}")),
        };
        let most = most.trim().parse();
        let most = most.map_err(|_| format!("{text:?} ends in no whole number: {form}"))?;
        Ok(Self { word, most })
    }

    /// Whether there is more of it than that.
    pub fn is_exceeded(&self, totals: &Totals) -> bool {
        totals.of(self.word) > self.most
    }
}

impl std::fmt::Display for Limit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let word = match self.word {
            Word::Added => "added",
            Word::Removed => "removed",
            Word::Changed => "changed",
            Word::DueAdded => "due-added",
            Word::DueRemoved => "due-removed",
        };
        write!(f, "{word}>{}", self.most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{Source, compile};
    use crate::sign_in::Id;

    fn policy(apps: &str) -> Policy {
        let source = Source {
            name: "policy.toml".to_owned(),
            text: format!("version = 1\n{apps}"),
        };
        compile(&[source], None, &[]).policy.unwrap()
    }

    fn sign_in(second: i64, ip: &str) -> SignIn<'static> {
        let time = chrono::DateTime::from_timestamp(1_795_000_000 + second, 0).unwrap();
        SignIn {
            app_id: Id::parse("00000000-1111-2222-3333-00000000000a".into()),
            id: Some(format!("{second}").into()),
            ip: ip.parse().ok(),
            country: Some("CH".into()),
            ..SignIn::unknown(time.into())
        }
    }

    const APP: &str =
        "[[app]]\nname = \"payroll\"\napp_id = \"00000000-1111-2222-3333-00000000000a\"\n";

    fn compared(old: &str, new: &str, sign_ins: &[SignIn<'_>]) -> Backtest {
        let (old, new) = (policy(old), policy(new));
        let mut backtest = Backtest::default();
        for (place, sign_in) in sign_ins.iter().enumerate() {
            let position = Position {
                record: place as u64 + 1,
                line: 1,
            };
            backtest.add(&old, &new, sign_in, (0, position));
        }
        backtest
    }

    #[test]
    fn says_what_is_added_removed_and_changed() {
        let old = format!("{APP}allow.ips = [\"203.0.113.0/25\"]\n");
        let new = format!("{APP}severity = \"low\"\nallow.ips = [\"203.0.113.128/25\"]\n");
        let backtest = compared(
            &old,
            &new,
            &[
                sign_in(0, "203.0.113.9"),
                sign_in(1, "203.0.113.9"),
                sign_in(2, "203.0.113.200"),
                sign_in(3, "198.51.100.1"),
                sign_in(90_000, "203.0.113.9"),
            ],
        );
        let changes: Vec<Change> = backtest.changes().collect();
        let told: Vec<(Kind, u64)> = changes.iter().map(|each| (each.kind, each.count)).collect();
        assert_eq!(
            told,
            [(Kind::Added, 3), (Kind::Removed, 1), (Kind::Changed, 1)]
        );
        assert_eq!(changes[0].new_reasons, ["ip-not-allowed"]);
        assert!(changes[0].old_reasons.is_empty());
        assert_eq!(changes[1].sign_ins[0].id, "2");
        assert_eq!(changes[2].new.unwrap().severity, Severity::Low);
        let totals = backtest.totals();
        assert_eq!(
            (totals.added, totals.due_added, totals.due_removed),
            (3, 3, 1)
        );
        // Repeats within the hour are one alert.
        let load = backtest.load();
        assert_eq!((load.sign_ins, load.new_due, load.new_alerts), (5, 4, 3));
        assert_eq!((load.old_due, load.old_alerts), (2, 2));
        assert_eq!(backtest.days().count(), 2);
        for (limit, exceeded) in [
            ("added>2", true),
            ("added>3", false),
            ("removed>0", true),
            ("changed > 0", true),
            ("due-removed>1", false),
        ] {
            let limit = Limit::parse(limit).unwrap();
            assert_eq!(limit.is_exceeded(&totals), exceeded, "{limit}");
        }
        for wrong in ["added", "gone>1", "added>many", "added>-1"] {
            assert!(Limit::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_same_policy_differs_in_nothing() {
        let text = format!("{APP}allow.ips = [\"203.0.113.0/25\"]\n");
        let sign_ins: Vec<SignIn<'_>> = (0..200).map(|at| sign_in(at, "198.51.100.1")).collect();
        let backtest = compared(&text, &text, &sign_ins);
        assert_eq!(backtest.changes().count(), 0);
        assert_eq!(backtest.totals(), Totals::default());
        // Of many sign-ins the first are told one by one.
        let none = "";
        let backtest = compared(
            &text,
            &format!("{none}[defaults]\nunknown_app = \"ignore\"\n"),
            &sign_ins,
        );
        let change = backtest.changes().next().unwrap();
        assert_eq!((change.count, change.sign_ins.len()), (200, TOLD));
    }
}
