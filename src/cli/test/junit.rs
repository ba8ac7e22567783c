//! Results as JUnit XML: a suite for each file of the policy, a case for each `[[test]]`.
//!
//! The form is the one that GitHub's reporters, GitLab, Jenkins and Azure DevOps agree on: counts on every suite, and
//! `file` and `line` on each case.

use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesText, Event};

use super::difference;
use crate::cli::printable;
use crate::policy::CaseResult;

type Xml = Writer<Vec<u8>>;

/// The document; `note` is what else there is to say.
pub(super) fn document(results: &[CaseResult], note: Option<&str>) -> anyhow::Result<Vec<u8>> {
    let mut xml = Writer::new_with_indent(Vec::new(), b' ', 2);
    xml.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?;
    let (tests, failures) = counts(results);
    xml.create_element("testsuites")
        .with_attributes([
            ("name", "spwatch"),
            ("tests", &tests),
            ("failures", &failures),
            ("errors", "0"),
            ("time", "0"),
        ])
        .write_inner_content(|xml| {
            // The cases of a file stand together.
            for suite in results.chunk_by(|one, next| one.file == next.file) {
                write_suite(xml, suite)?;
            }
            match note {
                Some(note) => write_note(xml, note),
                None => Ok(()),
            }
        })?;
    let mut document = xml.into_inner();
    document.push(b'\n');
    Ok(document)
}

fn counts(results: &[CaseResult]) -> (String, String) {
    let failures = results.iter().filter(|result| !result.passed).count();
    (results.len().to_string(), failures.to_string())
}

fn write_suite(xml: &mut Xml, results: &[CaseResult]) -> std::io::Result<()> {
    let Some(first) = results.first() else {
        return Ok(());
    };
    let (tests, failures) = counts(results);
    xml.create_element("testsuite")
        .with_attributes([
            ("name", &*text(&first.file)),
            ("tests", &tests),
            ("failures", &failures),
            ("errors", "0"),
            ("skipped", "0"),
            ("time", "0"),
        ])
        .write_inner_content(|xml| {
            results
                .iter()
                .try_for_each(|result| write_case(xml, result))
        })?;
    Ok(())
}

fn write_case(xml: &mut Xml, result: &CaseResult) -> std::io::Result<()> {
    let file = text(&result.file);
    let case = xml.create_element("testcase").with_attributes([
        ("name", &*text(&result.name)),
        ("classname", &*file),
        ("file", &*file),
        ("line", &result.line.to_string()),
        ("time", "0"),
    ]);
    if result.passed {
        case.write_empty()?;
        return Ok(());
    }
    let mut lines = vec![format!("{}:{}", result.file, result.line)];
    let reasons = result.got_reasons.iter();
    lines.extend(reasons.map(|reason| format!("{}: {}", reason.code, reason.message)));
    let lines: Vec<String> = lines.iter().map(|line| text(line)).collect();
    case.write_inner_content(|xml| {
        xml.create_element("failure")
            .with_attributes([("message", &*difference(result)), ("type", "policy-test")])
            .write_text_content(BytesText::new(&lines.join("\n")))?;
        Ok(())
    })?;
    Ok(())
}

/// Beside the cases a suite may say something: here what they do not touch.
fn write_note(xml: &mut Xml, note: &str) -> std::io::Result<()> {
    let lines: Vec<String> = note.lines().map(text).collect();
    xml.create_element("testsuite")
        .with_attributes([
            ("name", "coverage"),
            ("tests", "0"),
            ("failures", "0"),
            ("errors", "0"),
            ("skipped", "0"),
            ("time", "0"),
        ])
        .write_inner_content(|xml| {
            xml.create_element("system-out")
                .write_text_content(BytesText::new(&lines.join("\n")))?;
            Ok(())
        })?;
    Ok(())
}

/// Text that XML can hold: it has no way to write most control characters, nor these two.
fn text(text: &str) -> String {
    printable(text).replace(['\u{fffe}', '\u{ffff}'], "\u{fffd}")
}
