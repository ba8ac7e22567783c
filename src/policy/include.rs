//! The files that a policy asks for besides its root.

use toml::de::{DeTable, DeValue};

use super::Source;
use super::source::{Spot, Text};

/// One pattern of `include`, relative to the folder of the root file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Include {
    /// The pattern, such as `apps/*.toml`.
    pub pattern: String,
    /// Line of the pattern in the root file, from 1.
    pub line: usize,
    /// Column of the pattern in the root file, from 1.
    pub column: usize,
    pub(super) spot: Spot,
}

/// An include that brought no file, or one that could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingInclude {
    /// The include.
    pub include: Include,
    /// What is wrong with it, a lowercase fragment such as `matches no file`.
    pub problem: String,
}

/// The include patterns of a root file. Whatever is wrong with the file is left to
/// [`compile`](super::compile()) to say.
pub fn includes(root: &Source) -> Vec<Include> {
    // Most policies include nothing; a key may be written with escapes, though.
    if !["include", "\\u", "\\U", "\\x"]
        .iter()
        .any(|part| root.text.contains(part))
    {
        return Vec::new();
    }
    let (tree, _) = DeTable::parse_recoverable(&root.text);
    let Some(DeValue::Array(patterns)) = tree.get_ref().get("include").map(|node| node.get_ref())
    else {
        return Vec::new();
    };
    let text = Text::new(root);
    let mut includes = Vec::new();
    for node in patterns.iter() {
        if let DeValue::String(pattern) = node.get_ref()
            && !pattern.trim().is_empty()
        {
            let spot = Spot::new(0, node.span());
            let (line, column) = text.position(spot.start);
            includes.push(Include {
                pattern: pattern.to_string(),
                line,
                column,
                spot,
            });
        }
    }
    includes
}
