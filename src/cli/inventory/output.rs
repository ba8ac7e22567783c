//! The inventory as people and programs want it.

use std::io::{self, IsTerminal, Write};

use crate::cli::{printable, table};
use crate::inventory::{AppRow, Finding, Inventory};
use crate::sign_in::Timestamp;

/// An empty cell: something to see, so that columns can be told apart.
const NOTHING: &str = "-";
/// What the findings of several apps stand under.
const SEVERAL: &str = "(several apps)";
/// As many columns the findings take on a terminal.
const WIDTH: usize = 80;

/// One document with everything in it.
pub(super) fn json(out: &mut dyn Write, inventory: &Inventory) -> anyhow::Result<()> {
    serde_json::to_writer_pretty(&mut *out, inventory)?;
    writeln!(out)?;
    Ok(())
}

fn day(time: Option<Timestamp>) -> String {
    time.map_or_else(
        || NOTHING.to_owned(),
        |time| time.utc().format("%Y-%m-%d").to_string(),
    )
}

fn or_nothing(text: Option<&str>) -> String {
    match text {
        Some(text) if !text.is_empty() => printable(text),
        _ => NOTHING.to_owned(),
    }
}

fn addresses(app: &AppRow) -> String {
    let more = if app.more_addresses { "+" } else { "" };
    format!("{}{more}", app.address_count)
}

fn cells(app: &AppRow) -> [String; 7] {
    let countries = app.countries.join(" ");
    [
        or_nothing(Some(&app.name)),
        or_nothing(app.entry.as_deref()),
        day(app.last_seen),
        app.sign_ins.to_string(),
        app.failures.to_string(),
        addresses(app),
        or_nothing(Some(&countries)),
    ]
}

fn place(finding: &Finding) -> Option<String> {
    let (file, line) = (finding.file.as_deref()?, finding.line?);
    Some(format!("{}:{line}", printable(file)))
}

/// The apps, and below them what is to be said of each.
pub(super) fn table(out: &mut dyn Write, inventory: &Inventory, apps: bool) -> io::Result<()> {
    if apps && !inventory.apps.is_empty() {
        let mut rows = table::table(&[
            "App",
            "Entry",
            "LastSeen",
            "SignIns",
            "Failed",
            "IPs",
            "Countries",
        ]);
        for app in &inventory.apps {
            rows.add_row(cells(app));
        }
        out.write_all(table::text(rows, &[2, 3, 4, 5]).as_bytes())?;
    }
    let width = if io::stdout().is_terminal() {
        WIDTH
    } else {
        usize::MAX
    };
    let mut before: Option<&Option<String>> = None;
    for (index, finding) in inventory.findings.iter().enumerate() {
        if before != Some(&finding.app) {
            if index > 0 || apps && !inventory.apps.is_empty() {
                writeln!(out)?;
            }
            writeln!(
                out,
                "{}",
                printable(finding.app.as_deref().unwrap_or(SEVERAL))
            )?;
            before = Some(&finding.app);
        }
        let mut text = printable(&finding.message);
        if let Some(place) = place(finding) {
            text.push_str(&format!(" ({place})"));
        }
        let head = format!("  {:<18}  ", finding.code.as_str());
        for (index, line) in wrapped(&text, width.saturating_sub(head.len()))
            .iter()
            .enumerate()
        {
            match index {
                0 => writeln!(out, "{head}{line}")?,
                _ => writeln!(out, "{:1$}{line}", "", head.len())?,
            }
        }
    }
    Ok(())
}

/// Broken between words, where a line would be longer.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    let mut length = 0;
    for word in text.split(' ') {
        let letters = word.chars().count();
        if length > 0 && length + 1 + letters > width {
            lines.push(std::mem::take(&mut line));
            length = 0;
        }
        if length > 0 {
            line.push(' ');
            length += 1;
        }
        line.push_str(word);
        length += letters;
    }
    lines.push(line);
    lines
}

/// A spreadsheet would run a cell that begins like a formula, and names are anybody's choice.
fn cell(text: &str) -> String {
    match text.chars().next() {
        Some('=' | '+' | '-' | '@' | '\t' | '\r') => format!("'{text}"),
        _ => text.to_owned(),
    }
}

/// A row an app; several values of a cell are joined by `;`.
pub(super) fn csv_of_apps(out: &mut dyn Write, inventory: &Inventory) -> anyhow::Result<()> {
    let mut csv = csv::Writer::from_writer(out);
    csv.write_record([
        "name",
        "other_names",
        "entry",
        "file",
        "line",
        "tenant_id",
        "app_id",
        "service_principal_id",
        "category",
        "owner",
        "purpose",
        "first_seen",
        "last_seen",
        "sign_ins",
        "failures",
        "address_count",
        "more_addresses",
        "countries",
        "resources",
        "credentials",
    ])?;
    for app in &inventory.apps {
        let text = |text: Option<&str>| cell(text.unwrap_or_default());
        let time = |time: Option<Timestamp>| time.map(|time| time.to_string()).unwrap_or_default();
        let resources: Vec<&str> = app.resources.iter().map(|one| one.value.as_str()).collect();
        let credentials: Vec<&str> = app
            .credentials
            .iter()
            .map(|one| one.key_id.as_str())
            .collect();
        csv.write_record([
            cell(&app.name),
            cell(&app.other_names.join("; ")),
            text(app.entry.as_deref()),
            text(app.file.as_deref()),
            app.line.map(|line| line.to_string()).unwrap_or_default(),
            text(app.tenant_id.as_deref()),
            text(app.app_id.as_deref()),
            text(app.service_principal_id.as_deref()),
            text(app.category),
            text(app.owner.as_deref()),
            text(app.purpose.as_deref()),
            time(app.first_seen),
            time(app.last_seen),
            app.sign_ins.to_string(),
            app.failures.to_string(),
            app.address_count.to_string(),
            app.more_addresses.to_string(),
            cell(&app.countries.join(";")),
            cell(&resources.join("; ")),
            cell(&credentials.join(";")),
        ])?;
    }
    csv.flush()?;
    Ok(())
}

/// A row a finding.
pub(super) fn csv_of_findings(out: &mut dyn Write, inventory: &Inventory) -> anyhow::Result<()> {
    let mut csv = csv::Writer::from_writer(out);
    csv.write_record(["code", "app", "app_id", "file", "line", "message"])?;
    for finding in &inventory.findings {
        let line = finding.line.map(|line| line.to_string());
        csv.write_record([
            finding.code.as_str(),
            &cell(finding.app.as_deref().unwrap_or_default()),
            &cell(finding.app_id.as_deref().unwrap_or_default()),
            &cell(finding.file.as_deref().unwrap_or_default()),
            &line.unwrap_or_default(),
            &cell(&finding.message),
        ])?;
    }
    csv.flush()?;
    Ok(())
}

/// Two tables.
pub(super) fn markdown(out: &mut dyn Write, inventory: &Inventory, apps: bool) -> io::Result<()> {
    if apps {
        writeln!(out, "## Apps\n")?;
        writeln!(
            out,
            "| App | Entry | Last seen | Sign-ins | Failed | Addresses | Countries |"
        )?;
        writeln!(out, "|---|---|---|---:|---:|---:|---|")?;
        for app in &inventory.apps {
            let cells = cells(app).map(|cell| escaped(&cell));
            writeln!(out, "| {} |", cells.join(" | "))?;
        }
        writeln!(out)?;
    }
    writeln!(out, "## Findings\n")?;
    writeln!(out, "| App | Finding | What | Where |")?;
    writeln!(out, "|---|---|---|---|")?;
    for finding in &inventory.findings {
        writeln!(
            out,
            "| {} | `{}` | {} | {} |",
            escaped(&printable(finding.app.as_deref().unwrap_or(SEVERAL))),
            finding.code.as_str(),
            escaped(&printable(&finding.message)),
            escaped(&place(finding).unwrap_or_else(|| NOTHING.to_owned())),
        )?;
    }
    Ok(())
}

/// Text that a reader of Markdown takes as it is: names are anybody's choice.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '|' | '~' | '#' | '!' => {
                escaped.push('\\');
                escaped.push(letter);
            }
            '&' => escaped.push_str("&amp;"),
            letter => escaped.push(letter),
        }
    }
    escaped
}
