//! Tests of the whole stage: text in, diagnostics and judgements out.

mod choosing;
mod diagnosing;
mod explaining;
mod feeding;
mod judging;
mod robustness;
mod testing;

use super::{Compilation, Policy, Source, compile};
use crate::sign_in::{Id, SignIn, Timestamp};

/// The sample of the design, without the feed file.
pub(super) const SAMPLE: &str = include_str!("tests/sample.toml");

pub(super) const APP: &str = "00000000-1111-2222-3333-444444444444";

pub(super) fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

pub(super) fn compile_text(text: &str) -> Compilation {
    let source = Source {
        name: "policy.toml".into(),
        text: text.into(),
    };
    compile(&[source], None, &[])
}

/// Compiles what has no errors.
pub(super) fn policy(text: &str) -> Policy {
    let compilation = compile_text(text);
    let rendered = compilation.diagnostics.render_text(false);
    compilation.policy.unwrap_or_else(|| panic!("{rendered}"))
}

/// A policy with one app and some lines about it.
pub(super) fn with_app(lines: &str) -> Policy {
    policy(&format!(
        "version = 1\n[[app]]\nname = \"app\"\napp_id = \"{APP}\"\n{lines}\n"
    ))
}

/// The diagnostics of a text as `line:column code`.
pub(super) fn codes(text: &str) -> Vec<String> {
    compile_text(text)
        .diagnostics
        .iter()
        .map(|item| format!("{}:{} {}", item.line, item.column, item.code))
        .collect()
}

pub(super) fn id(text: &str) -> Option<Id<'static>> {
    Id::parse(text.to_owned().into())
}

/// A successful sign-in of [`APP`].
pub(super) fn sign_in() -> SignIn<'static> {
    SignIn {
        app_id: id(APP),
        name: Some("MTPAPI".into()),
        ..SignIn::unknown(at("2026-11-24T08:00:00Z"))
    }
}
