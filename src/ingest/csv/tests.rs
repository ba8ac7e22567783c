use crate::ingest::{Habit, read_text};
use crate::sign_in::{Kind, Outcome};

use super::*;

const HEADER: &str = "Date (UTC),Request ID,Service principal ID,Service principal name,Application ID ,IP address,Location,Status,Sign-in error code";

/// Shows what comes of each row: an id, or an error.
fn read_with(text: &str, context: &Context) -> Vec<(u64, String)> {
    let mut found = Vec::new();
    read_text(
        text.as_bytes(),
        context,
        &mut Habit::default(),
        &mut |position, item| {
            let shown = match item {
                Item::SignIn(sign_in) => format!(
                    "{} {:?} {:?}",
                    sign_in.id_text(),
                    sign_in.kind,
                    sign_in.outcome
                ),
                Item::AuditEvent => "audit".to_owned(),
                Item::Other(name) => format!("other {name}"),
                Item::Reject(reject) => format!(
                    "{} <{}>",
                    reject.error,
                    String::from_utf8_lossy(&reject.body)
                ),
            };
            found.push((position.line, shown));
        },
    );
    found
}

fn read(text: &str) -> Vec<(u64, String)> {
    read_with(text, &Context::default())
}

fn row(id: &str) -> String {
    format!("2026-11-24T08:15:00Z,{id},p,name,app,203.0.113.9,\"Zug, Zug, CH\",Success,0")
}

#[test]
fn reads_rows_and_their_lines() {
    let table = [
        (format!("{HEADER}\n"), vec![]),
        (
            format!("{HEADER}\r\n{}\r\n\r\n{}", row("a"), row("b")),
            vec![(2, "a"), (4, "b")],
        ),
        (
            format!("\u{feff}{HEADER}\n{}\n{HEADER}\n{}\n", row("a"), row("b")),
            vec![(2, "a"), (4, "b")],
        ),
        (
            format!(
                "{HEADER}\n{}\n{}\n",
                row("a").replace("name", "\"na\nme\""),
                row("b")
            ),
            vec![(2, "a"), (4, "b")],
        ),
        (
            format!("{HEADER}\n{}\n", row("a").replace("name", "na\"me")),
            vec![(2, "a")],
        ),
    ];
    for (text, expected) in table {
        let expected: Vec<_> = expected
            .into_iter()
            .map(|(line, id)| (line, format!("{id} ServicePrincipal Success")))
            .collect();
        assert_eq!(read(&text), expected, "{text}");
    }
}

#[test]
fn a_broken_row_costs_itself_alone() {
    let good = |line| (line, "b ServicePrincipal Success".to_owned());
    let table = [
        (
            row("a") + ",more",
            "invalid CSV at line 2: expected 9 cells as in the header, found 10",
        ),
        (
            "a,b".to_owned(),
            "invalid CSV at line 2: expected 9 cells as in the header, found 2",
        ),
        (
            row("a").replace("\"Zug", "\"Zug\"x"),
            "invalid CSV at line 2: expected a comma",
        ),
        (
            row("a").replace("name", "\"name"),
            "invalid CSV at line 2: expected a comma",
        ),
        (
            "\"name".to_owned(),
            "invalid CSV at line 2: expected a comma",
        ),
    ];
    for (broken, error) in table {
        let found = read(&format!("{HEADER}\n{broken}\n{}\n", row("b")));
        assert!(found[0].1.starts_with(error), "{found:?}");
        assert!(found[0].1.ends_with(&format!("<{broken}>")), "{found:?}");
        assert_eq!(found[1..], [good(3)]);
    }
    let plain = row("b").replace("\"Zug, Zug, CH\"", "CH");
    let found = read(&format!("{HEADER}\n\"never closed,\n{plain}\n"));
    assert!(
        found[0]
            .1
            .starts_with("invalid CSV at line 2: a quote that is never closed")
    );
    assert_eq!(found[1..], [good(3)]);
}

#[test]
fn invalid_utf8_costs_its_row() {
    let mut text = format!("{HEADER}\n{}\n", row("?")).into_bytes();
    let at = text.iter().position(|byte| *byte == b'?').unwrap();
    text[at] = 0xFF;
    text.extend_from_slice(row("b").as_bytes());
    let mut found = Vec::new();
    read_text(
        &text,
        &Context::default(),
        &mut Habit::default(),
        &mut |_, item| match item {
            Item::Reject(reject) => found.push(reject.error.to_string()),
            item => found.push(format!("{}", matches!(item, Item::SignIn(_)))),
        },
    );
    assert!(found[0].contains("invalid UTF-8"), "{found:?}");
    assert_eq!(found[1], "true");
}

#[test]
fn takes_the_outcome_from_what_is_filled() {
    let outcome = |status: &str, code: &str| {
        let row = row("a").replace("Success,0", &format!("{status},{code}"));
        read(&format!("{HEADER}\n{row}\n")).remove(0).1
    };
    assert_eq!(outcome("Failure", ""), "a ServicePrincipal Failure");
    assert_eq!(outcome("Success", ""), "a ServicePrincipal Success");
    assert_eq!(outcome("", ""), "a ServicePrincipal Success");
    assert_eq!(
        outcome("Failure", "53003"),
        "a ServicePrincipal BlockedByCa"
    );
    assert_eq!(outcome("Success", "7000215"), "a ServicePrincipal Failure");
    assert!(Outcome::of_code(Some("Failure")) == Outcome::Failure);
}

#[test]
fn takes_the_kind_from_the_caller() {
    let context = Context {
        kind: Some(Kind::ManagedIdentity),
        ..Context::default()
    };
    let text = format!("{HEADER}\n{}\n", row("a"));
    assert_eq!(read_with(&text, &context)[0].1, "a ManagedIdentity Success");
    let users = "Date (UTC),Request ID,User ID,Username,Application\n2026-11-24T08:15:00Z,a,u,u@tenant.example,app\n";
    assert_eq!(read(users)[0].1, "other interactiveUser");
}

#[test]
fn reads_query_exports() {
    let header = "\"TimeGenerated [UTC]\",Id,AppId,Type,Category,LocationDetails,ResultType";
    let details = "\"{\"\"city\"\":\"\"Zug\"\",\"\"countryOrRegion\"\":\"\"CH\"\"}\"";
    let text = format!(
        "{header}\n\"4/19/2021, 12:13:19.483 PM\",a,app,AADServicePrincipalSignInLogs,,{details},7000215\n\
         \"4/19/2021, 12:13:19.483 PM\",b,app,AuditLogs,ApplicationManagement,,\n\
         \"4/19/2021, 12:13:19.483 PM\",c,app,,NonInteractiveUserSignInLogs,,0\n"
    );
    let found: Vec<_> = read(&text).into_iter().map(|(_, shown)| shown).collect();
    assert_eq!(
        found,
        [
            "a ServicePrincipal Failure",
            "audit",
            "other NonInteractiveUserSignInLogs"
        ]
    );
    let projected =
        "TimeGenerated,ServicePrincipalName,IPAddress\n2026-11-24T08:15:00Z,nightly,203.0.113.9\n";
    assert!(read(projected)[0].1.ends_with("ServicePrincipal Success"));
    let local = "TimeGenerated [Local Time],AppId,Category\n\"4/19/2021, 12:13:19 PM\",a,ServicePrincipalSignInLogs\n";
    assert!(
        read(local)[0].1.starts_with("a sign-in without a time"),
        "no zone is guessed"
    );
}

#[test]
fn skips_what_is_too_long_to_hold() {
    let long = "x".repeat(5_000);
    let text = format!(
        "{HEADER}\n{}\n{}\n\"{long}\n{}\n",
        row("a").replace("name", &long),
        row("b"),
        row("b")
    );
    let context = Context::default();
    let mut csv = Csv::new(&context).with_max_record(1_000);
    let mut found = Vec::new();
    let (mut start, mut end) = (0, 0);
    while end < text.len() {
        end = text.len().min(end + 100);
        let last = end == text.len();
        start += csv.read(&text.as_bytes()[start..end], last, &mut |position, item| {
            found.push((position.line, matches!(item, Item::SignIn(_))));
        });
        assert!(end - start <= 1_100);
    }
    assert_eq!(found, [(2, false), (3, true), (4, false), (5, true)]);
}
