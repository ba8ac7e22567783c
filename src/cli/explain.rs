//! `spwatch explain`: one sign-in, every check, passing and failing.

use std::io::{self, IsTerminal, Write};
use std::ops::ControlFlow;
use std::path::PathBuf;

use clap::ValueEnum;
use serde::Serialize;

use super::input::inputs;
use super::scan::scan;
use super::{
    Exit, KindWord, PolicyArgument, complain, load_policy, now_or, parse_id, parse_time, printable,
    progress,
};
use crate::ingest::{Context, Item};
use crate::policy::{Change, Check, Point, Policy, Status};
use crate::sign_in::{CredentialType, Id, Kind, Outcome, SignIn, Timestamp, parse_address};
use crate::verdict::{Reason, Verdict};

const EXAMPLES: &str = "\
Examples:
  spwatch explain --id 6f2c0d2e-0a43-4f0e-9b53-0d4b8c9f1a00 signins.json
  spwatch explain --app-id 00000000-1111-2222-3333-444444444444 --ip 203.0.113.9 --place RU/Moskva

Exit code 10 where the sign-in is a due finding.";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// Log files to look for --id in, folders of them, or -
    #[arg(value_name = "FILE", requires = "id")]
    files: Vec<PathBuf>,
    /// The record's own id
    #[arg(long, requires = "files")]
    id: Option<String>,
    #[command(flatten)]
    policy: PolicyArgument,
    #[command(flatten)]
    flags: Flags,
    /// How the explanation is written
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// The time that counts as now
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    now: Option<Timestamp>,
}

/// A sign-in described by hand.
#[derive(Debug, clap::Args)]
#[group(conflicts_with = "id", multiple = true)]
struct Flags {
    /// Application (client) id
    #[arg(long, value_parser = parse_id)]
    app_id: Option<Id<'static>>,
    /// Object id of the enterprise application
    #[arg(long, value_parser = parse_id)]
    service_principal_id: Option<Id<'static>>,
    /// Display name
    #[arg(long)]
    name: Option<String>,
    /// Address
    #[arg(long)]
    ip: Option<String>,
    /// Country[/state[/city]]
    #[arg(long)]
    place: Option<String>,
    /// Display name or app id of the API that was asked for
    #[arg(long)]
    resource: Option<String>,
    /// Key id of the credential
    #[arg(long, value_parser = parse_id)]
    credential: Option<Id<'static>>,
    /// Kind of credential
    #[arg(long, value_enum)]
    credential_type: Option<CredentialWord>,
    /// Entra tenant
    #[arg(long, value_parser = parse_id)]
    tenant: Option<Id<'static>>,
    /// How it ended
    #[arg(long, value_enum)]
    outcome: Option<OutcomeWord>,
    /// When [default: now]
    #[arg(long, value_parser = parse_time)]
    time: Option<Timestamp>,
    /// Which log
    #[arg(long, value_enum)]
    kind: Option<KindWord>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum CredentialWord {
    Secret,
    Certificate,
    Assertion,
    Federated,
    ManagedIdentity,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum OutcomeWord {
    Success,
    Failure,
    BlockedByCa,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people
    Text,
    /// One document
    Json,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<Exit> {
    let now = now_or(arguments.now);
    let policy = match load_policy(&arguments.policy.policy, now)? {
        Ok(policy) => policy,
        Err(exit) => return Ok(exit),
    };
    let sign_in = match &arguments.id {
        Some(id) => {
            let context = Context {
                tenant: arguments.flags.tenant.clone(),
                kind: arguments.flags.kind.map(Into::into),
                ..Context::default()
            };
            find(id, &arguments.files, &context)?
        }
        None => arguments.flags.sign_in(now)?,
    };
    let judgement = policy.judge(&sign_in);
    let mut out = io::stdout().lock();
    match arguments.format {
        Format::Text => {
            let colour = out.is_terminal();
            write_text(&mut out, &policy, &sign_in, colour)?;
        }
        Format::Json => write_json(&mut out, &policy, &sign_in)?,
    }
    Ok(if judgement.is_due() {
        Exit::Found
    } else {
        Exit::Clean
    })
}

impl Flags {
    fn sign_in(&self, now: Timestamp) -> anyhow::Result<SignIn<'static>> {
        anyhow::ensure!(
            self.app_id.is_some() || self.service_principal_id.is_some() || self.name.is_some(),
            "say which app: --app-id, --service-principal-id or --name, or a record: --id ID FILE"
        );
        let ip = match &self.ip {
            None => None,
            Some(text) => Some(
                parse_address(text)
                    .ok_or_else(|| anyhow::anyhow!("--ip {text:?} is no address"))?,
            ),
        };
        let mut place = self.place.as_deref().unwrap_or_default().splitn(3, '/');
        let mut part = || {
            place
                .next()
                .map(str::trim)
                .filter(|part| !part.is_empty())
                .map(str::to_owned)
        };
        let (country, state, city) = (
            part().map(|country| country.to_ascii_uppercase()),
            part(),
            part(),
        );
        let resource = self
            .resource
            .clone()
            .and_then(|text| Id::parse(text.into()));
        let resource = resource.filter(|id| id.guid().is_some());
        let outcome = match self.outcome {
            None | Some(OutcomeWord::Success) => Outcome::Success,
            Some(OutcomeWord::Failure) => Outcome::Failure,
            Some(OutcomeWord::BlockedByCa) => Outcome::BlockedByCa,
        };
        Ok(SignIn {
            kind: self.kind.map_or(Kind::ServicePrincipal, Into::into),
            tenant_id: self.tenant.clone(),
            app_id: self.app_id.clone(),
            service_principal_id: self.service_principal_id.clone(),
            name: self.name.clone().map(Into::into),
            outcome,
            ip,
            country: country.map(Into::into),
            state: state.map(Into::into),
            city: city.map(Into::into),
            resource: resource
                .is_none()
                .then(|| self.resource.clone().map(Into::into))
                .flatten(),
            resource_id: resource,
            credential_key_id: self.credential.clone(),
            credential_type: self.credential_type.map(|word| match word {
                CredentialWord::Secret => CredentialType::Secret,
                CredentialWord::Certificate => CredentialType::Certificate,
                CredentialWord::Assertion => CredentialType::Assertion,
                CredentialWord::Federated => CredentialType::Federated,
                CredentialWord::ManagedIdentity => CredentialType::ManagedIdentity,
            }),
            ..SignIn::unknown(self.time.unwrap_or(now))
        })
    }
}

/// Looks for a record in logs of any size, and stops where it is found.
fn find(id: &str, files: &[PathBuf], context: &Context) -> anyhow::Result<SignIn<'static>> {
    let id = id.trim();
    let mut sign_ins = 0_u64;
    let mut found = None;
    let inputs = inputs(files)?;
    let bar = progress::bar(inputs.iter().map(|input| input.size).sum());
    let failures = scan(&inputs, context, &bar, &mut |_, _, item| {
        let Item::SignIn(sign_in) = item else {
            return ControlFlow::Continue(());
        };
        sign_ins += 1;
        if !sign_in.id_text().eq_ignore_ascii_case(id) {
            return ControlFlow::Continue(());
        }
        found = Some(sign_in.clone().into_owned());
        ControlFlow::Break(())
    });
    bar.finish_and_clear();
    if let Some(sign_in) = found {
        return Ok(sign_in);
    }
    for (file, error) in failures {
        let name = inputs.get(file).map_or("", |input| &input.name);
        complain(&format!("warning: read {name}: {error}"));
    }
    anyhow::bail!("no sign-in has the id {id:?} ({sign_ins} were looked at)")
}

#[derive(Serialize)]
struct JsonDocument<'a> {
    schema: &'static str,
    verdict: &'static str,
    due: bool,
    severity: &'static str,
    app: Option<&'a str>,
    reasons: Vec<Reason>,
    checks: Vec<JsonCheck>,
}

#[derive(Serialize)]
struct JsonCheck {
    name: &'static str,
    status: &'static str,
    code: Option<&'static str>,
    message: String,
    file: Option<String>,
    line: Option<usize>,
    matched: Option<JsonPoint>,
    nearest: Option<JsonNearest>,
    fix: Option<String>,
    changes: Vec<JsonChange>,
    exception: Option<JsonChange>,
}

/// A value of the policy and where it stands.
#[derive(Serialize)]
struct JsonPoint {
    value: String,
    file: String,
    line: usize,
}

impl From<Point> for JsonPoint {
    fn from(point: Point) -> Self {
        Self {
            value: point.text,
            file: point.file.to_string(),
            line: point.line,
        }
    }
}

#[derive(Serialize)]
struct JsonNearest {
    value: String,
    file: String,
    line: usize,
    /// As text: it may have more digits than JSON's readers keep.
    distance: String,
}

#[derive(Serialize)]
struct JsonChange {
    edit: &'static str,
    key: String,
    file: String,
    line: usize,
    old: Option<String>,
    text: String,
}

impl From<Change> for JsonChange {
    fn from(change: Change) -> Self {
        Self {
            edit: change.edit.as_str(),
            key: change.key,
            file: change.file.to_string(),
            line: change.line,
            old: change.old,
            text: change.text,
        }
    }
}

fn write_json(out: &mut dyn Write, policy: &Policy, sign_in: &SignIn<'_>) -> anyhow::Result<()> {
    let judgement = policy.judge(sign_in);
    let checks = policy.checks(sign_in).into_iter().map(|check| JsonCheck {
        fix: check.fix(),
        name: check.name,
        status: check.status.as_str(),
        code: check.code.map(|code| code.as_str()),
        message: check.message,
        file: check.file.map(|file| file.to_string()),
        line: check.line,
        matched: check.matched.map(Into::into),
        nearest: check.nearest.map(|nearest| JsonNearest {
            value: nearest.range.text,
            file: nearest.range.file.to_string(),
            line: nearest.range.line,
            distance: nearest.distance.to_string(),
        }),
        changes: check.changes.into_iter().map(Into::into).collect(),
        exception: check.exception.map(Into::into),
    });
    let document = JsonDocument {
        schema: "spwatch/explain/v1",
        verdict: judgement.verdict.as_str(),
        due: judgement.is_due(),
        severity: judgement.severity.as_str(),
        app: judgement.app.map(|app| app.name.as_str()),
        reasons: policy.reasons(sign_in, &judgement),
        checks: checks.collect(),
    };
    serde_json::to_writer_pretty(&mut *out, &document)?;
    writeln!(out)?;
    Ok(())
}

fn write_text(
    out: &mut dyn Write,
    policy: &Policy,
    sign_in: &SignIn<'_>,
    colour: bool,
) -> io::Result<()> {
    let judgement = policy.judge(sign_in);
    let id = sign_in
        .app_id
        .as_ref()
        .or(sign_in.service_principal_id.as_ref());
    let who = match (sign_in.name.as_deref(), id) {
        (Some(name), Some(id)) => format!("{} ({id})", printable(name)),
        (Some(name), None) => printable(name),
        (None, Some(id)) => printable(&id.to_string()),
        (None, None) => "an app without a name".to_owned(),
    };
    writeln!(out, "{}  {}  {who}", sign_in.time, sign_in.outcome.as_str())?;
    let verdict = match judgement.verdict {
        Verdict::Allowed => "allowed".to_owned(),
        verdict if judgement.is_due() => format!(
            "{}: an alert of severity {} is due",
            verdict.as_str(),
            judgement.severity
        ),
        verdict => format!("{}: recorded or counted, nothing is sent", verdict.as_str()),
    };
    writeln!(out, "{verdict}\n")?;
    for check in policy.checks(sign_in) {
        write_check(out, &check, colour)?;
    }
    Ok(())
}

fn write_check(out: &mut dyn Write, check: &Check, colour: bool) -> io::Result<()> {
    let (mark, code) = match check.status {
        Status::Passed => ("pass", "32"),
        Status::Failed => ("FAIL", "31"),
        Status::NotApplicable => ("n/a ", "2"),
    };
    let mark = if colour {
        format!("\u{1b}[{code}m{mark}\u{1b}[0m")
    } else {
        mark.to_owned()
    };
    write!(
        out,
        "{mark}  {:<15}  {}",
        check.name,
        printable(&check.message)
    )?;
    if let (Some(file), Some(line)) = (&check.file, check.line) {
        write!(out, " ({file}:{line})")?;
    }
    writeln!(out)?;
    // A value that stands where the check points to is in its message already.
    if let Some(point) = &check.matched
        && (point.text.contains(" -> ")
            || check.line != Some(point.line)
            || check.file.as_deref() != Some(&*point.file))
    {
        write_detail(out, &format!("matched: {}", located(point)))?;
    }
    if let Some(nearest) = &check.nearest {
        let (range, away) = (located(&nearest.range), away(nearest.distance));
        write_detail(out, &format!("nearest: {range}, {away} away"))?;
    }
    if let Some(fix) = check.fix() {
        write_detail(out, &format!("to allow it: {fix}"))?;
    }
    for change in check.changes.iter().filter(|change| change.is_block()) {
        write_block(out, change)?;
    }
    if let Some(exception) = &check.exception {
        let sentence = exception.sentence();
        write_detail(out, &format!("or for a week: {sentence}"))?;
        write_block(out, exception)?;
    }
    Ok(())
}

fn located(point: &Point) -> String {
    format!("{} ({}:{})", point.text, point.file, point.line)
}

/// How far an address is from a range. Nobody counts the digits of what lies between networks of IPv6.
fn away(distance: u128) -> String {
    match distance {
        1 => "1 address".to_owned(),
        few if few <= u128::from(u32::MAX) => format!("{few} addresses"),
        many => format!("about 2^{} addresses", many.ilog2()),
    }
}

/// Details stand below what they belong to.
fn write_detail(out: &mut dyn Write, text: &str) -> io::Result<()> {
    writeln!(out, "{:23}{}", "", printable(text))
}

fn write_block(out: &mut dyn Write, change: &Change) -> io::Result<()> {
    for line in change.text.lines() {
        write_detail(out, &format!("  {line}"))?;
    }
    Ok(())
}
