//! Lists of ranges and places, and the sets that are made of them.

use chrono::TimeDelta;

use super::super::collect::Collector;
use super::super::diagnostic::Code;
use super::super::network::{RangeFault, WrittenRange, parse_range};
use super::super::place::{Place, parse_place};
use super::super::sets::{List, Member, Named};
use super::super::source::Located;
use super::super::suggest::quoted;
use super::super::walk::Node;
use crate::feed::Format;

/// A set that comes from a feed file, as the policy has it.
pub(in super::super) struct FeedDocument {
    /// The file, relative to the folder of the root.
    pub(in super::super) file: Located<String>,
    pub(in super::super) format: Format,
    pub(in super::super) key: Option<Located<String>>,
    pub(in super::super) max_age: Option<TimeDelta>,
}

/// A set of `[ranges]`: a list, or a feed, whose members are not known yet.
pub(super) fn read_range_set(node: Node<'_>, collector: &mut Collector) -> Named<WrittenRange> {
    if !node.is_table() {
        let members = node.members(collector, "ranges").unwrap_or_default();
        return Named {
            spot: node.key_spot(),
            members: Some(read_ranges(members, collector)),
            feed: None,
        };
    }
    Named {
        spot: node.key_spot(),
        members: None,
        feed: read_feed(node, collector),
    }
}

fn read_feed(node: Node<'_>, collector: &mut Collector) -> Option<FeedDocument> {
    let mut table = node.fields(collector)?;
    let help = "a feed is written { file = \"feeds/github-meta.json\", format = \"github-meta\", key = \"actions\" }";
    let file = table
        .require(collector, "file", "a feed", help)
        .and_then(|file| file.text(collector));
    let format = table
        .require(collector, "format", "a feed", help)
        .and_then(|format| {
            let words = Format::ALL.map(|format| (format.as_str(), format));
            format.word(collector, &words)
        });
    let key = table.get("key").map(|key| key.text(collector));
    let max_age = table.get("max_age").and_then(|age| age.duration(collector));
    table.finish(collector, "a feed");
    Some(FeedDocument {
        file: file?,
        format: format?,
        // One that is wrong is not the same as none.
        key: match key {
            None => None,
            Some(key) => Some(key?),
        },
        max_age,
    })
}

/// Reads the members of a list of ranges.
pub(super) fn read_ranges(
    members: Vec<Node<'_>>,
    collector: &mut Collector,
) -> Vec<Located<Member<WrittenRange>>> {
    let mut ranges = Vec::with_capacity(members.len());
    for member in members {
        let Some(text) = member.raw_text(collector) else {
            continue;
        };
        let spot = text.spot;
        if let Some(name) = text.value.strip_prefix('@') {
            ranges.push(Located {
                value: Member::Set(name.to_owned()),
                spot,
            });
            continue;
        }
        match parse_range(&text.value) {
            Ok(parsed) => {
                if let Some(meant) = parsed.meant {
                    let message = format!(
                        "{} has bits set after its prefix: it means {meant}",
                        quoted(&text.value)
                    );
                    collector
                        .report(Code::HostBits, spot, message)
                        .help(format!("write {meant:?}"));
                }
                if parsed.block.is_wide() {
                    let message = format!("{} hardly restricts anything", quoted(&text.value));
                    collector
                        .report(Code::WideRange, spot, message)
                        .help("ranges wider than /8 (IPv6: /16) are seldom meant; leave `allow.ips` out to allow every address");
                }
                ranges.push(Located {
                    value: Member::Value(WrittenRange {
                        block: parsed.block,
                        text: text.value.trim().into(),
                    }),
                    spot,
                });
            }
            Err(RangeFault(message, help)) => {
                collector
                    .report(Code::InvalidRange, spot, message)
                    .help(help);
            }
        }
    }
    ranges
}

/// Reads the members of a list of places.
pub(super) fn read_places(
    members: Vec<Node<'_>>,
    collector: &mut Collector,
) -> Vec<Located<Member<Place>>> {
    let mut places = Vec::with_capacity(members.len());
    for member in members {
        let Some(text) = member.raw_text(collector) else {
            continue;
        };
        let spot = text.spot;
        let value = match text.value.strip_prefix('@') {
            Some(name) => Member::Set(name.to_owned()),
            None => match parse_place(&text.value) {
                Ok(place) => Member::Value(place),
                Err((code, message, help)) => {
                    collector.report(code, spot, message).help(help);
                    continue;
                }
            },
        };
        places.push(Located { value, spot });
    }
    places
}

/// The members of a list as written.
pub(super) type Members<T> = Vec<Located<Member<T>>>;

/// A list under a key, with its place.
pub(super) fn list<T>(
    node: Option<Node<'_>>,
    of: &str,
    read: fn(Vec<Node<'_>>, &mut Collector) -> Members<T>,
    collector: &mut Collector,
) -> Option<List<T>> {
    let node = node?;
    let members = node.members(collector, of)?;
    Some(Located {
        value: read(members, collector),
        spot: node.spot(),
    })
}

/// A list of what is allowed: empty it allows nothing, which is seldom meant.
pub(super) fn allow_list<T>(
    node: Option<Node<'_>>,
    of: &str,
    read: fn(Vec<Node<'_>>, &mut Collector) -> Members<T>,
    collector: &mut Collector,
) -> Option<List<T>> {
    warn_if_empty(node, collector);
    list(node, of, read, collector)
}

pub(super) fn warn_if_empty(node: Option<Node<'_>>, collector: &mut Collector) {
    if let Some(node) = node.filter(|node| node.is_empty_array()) {
        collector
            .report(
                Code::AllowsNothing,
                node.spot(),
                "an empty list allows nothing",
            )
            .help("leave it out to allow everything");
    }
}
