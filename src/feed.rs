//! Published lists of address ranges: a feed file's bytes and a key → prefixes. Pure.
//!
//! One file for each format, each as its publisher documents it. What a publisher adds is passed by; a value that
//! should be a range and is none refuses the feed, since a list that is read in part allows less than it says.

mod atlassian;
mod aws;
mod azure;
mod csv;
mod github;
mod google;
mod graph;
pub mod lock;
mod plain;
pub mod plan;
#[cfg(test)]
mod tests;

use std::fmt::Write as _;

use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::range::{Block, RangeFault, parse_range};
use crate::sign_in::Timestamp;
use crate::suggest::{nearest, quoted};

/// A feed file is no larger than this: the largest published one has some 5 MB.
pub const MAX_BYTES: usize = 64 * 1024 * 1024;

/// How a feed file is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Format {
    /// Azure IP Ranges and Service Tags.
    AzureServiceTags,
    /// GitHub's `meta` endpoint.
    GithubMeta,
    /// Named locations of Conditional Access, as Microsoft Graph lists them.
    GraphNamedLocations,
    /// Atlassian Cloud.
    Atlassian,
    /// Amazon Web Services.
    AwsIpRanges,
    /// Google Cloud.
    GoogleCloud,
    /// One range a line.
    Plain,
    /// A column of a table.
    Csv,
}

impl Format {
    /// Every format, in the order of the documents.
    pub const ALL: [Self; 8] = [
        Self::AzureServiceTags,
        Self::GithubMeta,
        Self::GraphNamedLocations,
        Self::Atlassian,
        Self::AwsIpRanges,
        Self::GoogleCloud,
        Self::Plain,
        Self::Csv,
    ];

    /// The word for it in a policy.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AzureServiceTags => "azure-service-tags",
            Self::GithubMeta => "github-meta",
            Self::GraphNamedLocations => "graph-named-locations",
            Self::Atlassian => "atlassian",
            Self::AwsIpRanges => "aws-ip-ranges",
            Self::GoogleCloud => "google-cloud",
            Self::Plain => "plain",
            Self::Csv => "csv",
        }
    }

    /// The format of that name.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.as_str() == word)
    }

    /// How its files are named.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Plain => "txt",
            Self::Csv => "csv",
            _ => "json",
        }
    }
}

/// One range of a feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prefix {
    pub(crate) block: Block,
    /// As the feed writes it; as the network that is meant where bits are set after the prefix.
    pub text: Box<str>,
}

/// What is wrong with a feed, and what would mend it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Whether the file is good and only the key is not.
    pub is_key: bool,
    /// A lowercase fragment.
    pub message: String,
    /// What would mend it.
    pub help: String,
}

/// A feed file that was read.
#[derive(Debug)]
pub struct Feed(Document);

#[derive(Debug)]
enum Document {
    Azure(azure::Document),
    Github(github::Document),
    Graph(graph::Document),
    Atlassian(atlassian::Document),
    Aws(aws::Document),
    Google(google::Document),
    Plain(plain::Document),
    Csv(csv::Document),
}

impl Feed {
    /// Reads a file.
    ///
    /// # Errors
    /// It is not of that format.
    pub fn parse(format: Format, bytes: &[u8]) -> Result<Self, Fault> {
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        Ok(Self(match format {
            Format::AzureServiceTags => Document::Azure(json(format, bytes)?),
            Format::GithubMeta => Document::Github(json(format, bytes)?),
            Format::GraphNamedLocations => Document::Graph(json(format, bytes)?),
            Format::Atlassian => Document::Atlassian(json(format, bytes)?),
            Format::AwsIpRanges => Document::Aws(json(format, bytes)?),
            Format::GoogleCloud => Document::Google(json(format, bytes)?),
            Format::Plain => Document::Plain(plain::read(bytes)?),
            Format::Csv => Document::Csv(csv::read(bytes)?),
        }))
    }

    /// The ranges under a key, sorted, each once. There may be none.
    ///
    /// # Errors
    /// There is no such key, or something under it is no range.
    pub fn select(&self, key: Option<&str>) -> Result<Vec<Prefix>, Fault> {
        let mut prefixes = match &self.0 {
            Document::Azure(document) => document.select(key),
            Document::Github(document) => document.select(key),
            Document::Graph(document) => document.select(key),
            Document::Atlassian(document) => document.select(key),
            Document::Aws(document) => document.select(key),
            Document::Google(document) => document.select(key),
            Document::Plain(document) => document.select(key),
            Document::Csv(document) => document.select(key),
        }?;
        prefixes.sort_unstable_by(|a, b| (a.block, &a.text).cmp(&(b.block, &b.text)));
        prefixes.dedup_by(|a, b| a.block == b.block);
        Ok(prefixes)
    }

    /// When its publisher made it, where the file says so.
    pub fn published(&self) -> Option<Timestamp> {
        match &self.0 {
            Document::Atlassian(document) => document.published(),
            Document::Aws(document) => document.published(),
            Document::Google(document) => document.published(),
            Document::Azure(_)
            | Document::Github(_)
            | Document::Graph(_)
            | Document::Plain(_)
            | Document::Csv(_) => None,
        }
    }
}

/// SHA-256 of a file, hex.
pub fn sha256(bytes: &[u8]) -> String {
    let mut hex = String::with_capacity(64);
    for byte in Sha256::digest(bytes) {
        // Writing into a string cannot fail.
        let _ = write!(hex, "{byte:02x}");
    }
    hex
}

fn json<'b, T: Deserialize<'b>>(format: Format, bytes: &'b [u8]) -> Result<T, Fault> {
    serde_json::from_slice(bytes).map_err(|error| Fault {
        is_key: false,
        message: format!("it is no `{}` file: {error}", format.as_str()),
        help: "is `format` the right one? if so, get the file anew from its publisher".to_owned(),
    })
}

/// Reads ranges; `place` says where the one with that number stands.
fn ranges<'t>(
    texts: impl IntoIterator<Item = (usize, &'t str)>,
    place: impl Fn(usize) -> String,
) -> Result<Vec<Prefix>, Fault> {
    let texts = texts.into_iter();
    let mut prefixes = Vec::with_capacity(texts.size_hint().0);
    let mut first = None;
    let mut further = 0_usize;
    for (number, text) in texts {
        match parse_range(text) {
            Ok(range) => prefixes.push(Prefix {
                block: range.block,
                text: match range.meant {
                    Some(meant) => meant.into(),
                    None => text.trim().into(),
                },
            }),
            Err(fault) if first.is_none() => first = Some((number, fault)),
            Err(_) => further += 1,
        }
    }
    let Some((number, RangeFault(message, help))) = first else {
        return Ok(prefixes);
    };
    let more = match further {
        0 => String::new(),
        1 => ", and so is another".to_owned(),
        count => format!(", and so are {count} more"),
    };
    Err(Fault {
        is_key: false,
        message: format!("{}: {message}{more}", place(number)),
        help,
    })
}

/// The ranges of one list.
fn list<'t>(key: &str, texts: impl IntoIterator<Item = &'t str>) -> Result<Vec<Prefix>, Fault> {
    let numbered = texts.into_iter().enumerate();
    ranges(numbered, |number| {
        format!("value {} under {}", number + 1, quoted(key))
    })
}

/// There is no such key among those.
fn no_key<'k>(what: &str, key: &str, keys: impl IntoIterator<Item = &'k str>) -> Fault {
    let mut keys: Vec<&str> = keys.into_iter().collect();
    keys.sort_unstable();
    keys.dedup();
    let help = match nearest(key, keys.iter().copied()) {
        Some(near) => format!("did you mean {near:?}?"),
        None => known(&keys),
    };
    Fault {
        is_key: true,
        message: format!("the feed has no {what} {}", quoted(key)),
        help,
    }
}

/// The format takes a key, and there is none.
fn key_needed<'k>(what: &str, keys: impl IntoIterator<Item = &'k str>) -> Fault {
    let mut keys: Vec<&str> = keys.into_iter().collect();
    keys.sort_unstable();
    keys.dedup();
    Fault {
        is_key: true,
        message: format!("the feed needs `key`: {what}"),
        help: known(&keys),
    }
}

fn known(keys: &[&str]) -> String {
    const SHOWN: usize = 12;
    if keys.is_empty() {
        return "it has none at all: is it the right file?".to_owned();
    }
    let some: Vec<&str> = keys.iter().take(SHOWN).copied().collect();
    match keys.len().checked_sub(SHOWN) {
        None | Some(0) => format!("it has {}", some.join(", ")),
        Some(more) => format!("it has {} and {more} more", some.join(", ")),
    }
}

/// A publisher's time, which is UTC where it does not say.
fn utc(text: &str) -> Option<Timestamp> {
    Timestamp::parse(text)
        .or_else(|_| Timestamp::parse(&format!("{}Z", text.trim())))
        .ok()
}
