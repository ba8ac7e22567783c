//! Which build this is.

use std::sync::LazyLock;

/// The version, as in Cargo.toml.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The commit that it was built from, where the packaging said so; a `+` behind it: with changes.
pub const COMMIT: Option<&str> = option_env!("SPWATCH_COMMIT");

/// The version for people, with the commit where it is known.
pub fn version() -> &'static str {
    static SHOWN: LazyLock<String> = LazyLock::new(|| match COMMIT {
        Some(commit) => format!("{VERSION} ({commit})"),
        None => VERSION.to_owned(),
    });
    &SHOWN
}
