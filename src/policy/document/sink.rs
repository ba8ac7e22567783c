//! `[sinks.NAME]`.

use std::collections::BTreeMap;

use super::super::collect::Collector;
use super::super::diagnostic::Code;
use super::super::source::{Located, Spot};
use super::super::walk::Node;
use super::super::{SecretRef, Sink, SinkFormat, SinkType};
use super::SEVERITIES;
use crate::verdict::Severity;

/// One sink as written.
pub(in crate::policy) struct SinkDocument {
    pub(in crate::policy) spot: Spot,
    pub(in crate::policy) sink: Sink,
}

const TYPES: [(&str, SinkType); 7] = [
    ("webhook", SinkType::Webhook),
    ("teams", SinkType::Teams),
    ("slack", SinkType::Slack),
    ("pagerduty", SinkType::Pagerduty),
    ("splunk", SinkType::Splunk),
    ("sentinel", SinkType::Sentinel),
    ("sentinel-incident", SinkType::SentinelIncident),
];
const FORMATS: [(&str, SinkFormat); 3] = [
    ("spwatch", SinkFormat::Spwatch),
    ("cloudevents", SinkFormat::Cloudevents),
    ("ocsf", SinkFormat::Ocsf),
];
/// Keys of the types other than `webhook`; the first two hold secrets.
const SETTINGS: [&str; 12] = [
    "token",
    "routing_key",
    "endpoint",
    "rule_id",
    "stream",
    "workspace",
    "client_id",
    "tenant_id",
    "channel",
    "index",
    "source",
    "sourcetype",
];
const KEPT: &str = "alerts for this sink are kept in `undelivered`";

/// Reads a `[sinks.NAME]`; `None` where there is too little to go on.
pub(super) fn read(node: Node<'_>, collector: &mut Collector) -> Option<SinkDocument> {
    let mut fields = node.fields(collector)?;
    let spot = node.key_spot();
    // Whatever stands in a sink, known key or not, may be a secret; words and references are not.
    for value in fields.entries() {
        if !matches!(value.key(), "type" | "format" | "min_severity" | "insecure") {
            value.hide_strings(collector, &|text| is_reference(text).is_none());
        }
    }
    let kind_node = fields.require(
        collector,
        "type",
        "a sink",
        "add, for example, type = \"webhook\"",
    );
    let kind = kind_node.and_then(|node| node.word(collector, &TYPES));
    let format_node = fields.get("format");
    let format = format_node.and_then(|node| node.word(collector, &FORMATS));
    let insecure = fields
        .get("insecure")
        .and_then(|node| node.boolean(collector))
        .unwrap_or(false);
    let other_type = kind.is_some_and(|kind| kind != SinkType::Webhook);
    let url = if other_type {
        fields.get("url")
    } else {
        fields.require(collector, "url", "a sink", "add url = \"env:NAME\"")
    };
    let url = url.and_then(|node| node.text(collector));
    let url = url.and_then(|text| read_url(text, insecure, collector));
    let secret = fields
        .get("secret")
        .and_then(|node| read_reference(node, true, collector));
    let min_severity = fields
        .get("min_severity")
        .and_then(|node| node.word(collector, &SEVERITIES))
        .unwrap_or(Severity::Info);
    let mut settings = BTreeMap::new();
    // An unknown type has been reported; its keys cannot be judged.
    if other_type || (kind.is_none() && kind_node.is_some()) {
        for key in SETTINGS {
            let is_secret = matches!(key, "token" | "routing_key");
            let value = fields.get(key);
            if let Some(value) = value.and_then(|node| read_reference(node, is_secret, collector)) {
                settings.insert(key.to_owned(), value);
            }
        }
    }
    fields.finish(collector, "a sink");
    let undelivered = if other_type {
        kind_node
    } else {
        format_node.filter(|_| format.is_some_and(|format| format != SinkFormat::Spwatch))
    };
    if let Some(node) = undelivered {
        let message =
            format!("this version delivers to type webhook with format spwatch only; {KEPT}");
        collector.report(Code::SinkNotYetDelivered, node.spot(), message);
    }
    Some(SinkDocument {
        spot,
        sink: Sink {
            name: node.key().to_owned(),
            kind: kind.unwrap_or(SinkType::Webhook),
            url: url.unwrap_or_else(|| SecretRef::Literal(String::new())),
            secret,
            format: format.unwrap_or(SinkFormat::Spwatch),
            min_severity,
            insecure,
            settings,
        },
    })
}

/// The name in `env:NAME`, where it is a possible one.
fn is_reference(text: &str) -> Option<&str> {
    let name = text.strip_prefix("env:")?;
    let first = name.bytes().next()?;
    (!first.is_ascii_digit()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'))
    .then_some(name)
}

fn read_env(text: &Located<String>, key: &str, collector: &mut Collector) -> Option<SecretRef> {
    if let Some(name) = is_reference(&text.value) {
        return Some(SecretRef::Env(name.to_owned()));
    }
    if text.value.starts_with("env:") {
        let message = format!("`{key}` names no possible environment variable");
        collector
            .report(Code::InvalidReference, text.spot, message)
            .help("write env:NAME, with letters, digits and _ only");
    }
    None
}

fn read_reference(node: Node<'_>, is_secret: bool, collector: &mut Collector) -> Option<SecretRef> {
    let text = node.text(collector)?;
    if text.value.starts_with("env:") {
        return read_env(&text, node.key(), collector);
    }
    if is_secret {
        warn_literal(node.key(), text.spot, collector);
    }
    Some(SecretRef::Literal(text.value))
}

fn warn_literal(key: &str, spot: Spot, collector: &mut Collector) {
    let message = format!("`{key}` is a secret written into the policy");
    collector
        .report(Code::LiteralSecret, spot, message)
        .help(format!("put it into the environment (in Azure an app setting that refers to Key Vault) and write {key} = \"env:NAME\""));
}

/// Reads a URL or a reference to one. Messages never quote it: the address of a webhook is its key.
fn read_url(text: Located<String>, insecure: bool, collector: &mut Collector) -> Option<SecretRef> {
    let url = text.value.as_str();
    if url.starts_with("env:") {
        return read_env(&text, "url", collector);
    }
    let lower = url.to_ascii_lowercase();
    let rest = lower
        .strip_prefix("https://")
        .or_else(|| lower.strip_prefix("http://"));
    let authority = rest.and_then(|rest| rest.split(['/', '?', '#']).next());
    let Some(authority) =
        authority.filter(|host| !host.is_empty() && !url.contains(char::is_whitespace))
    else {
        collector
            .report(
                Code::InvalidReference,
                text.spot,
                "`url` is neither env:NAME nor an http(s) URL",
            )
            .help("write url = \"env:NAME\", and put the URL into the environment");
        return None;
    };
    let plain = lower.starts_with("http://");
    if plain && !insecure {
        collector
            .report(
                Code::InsecureUrl,
                text.spot,
                "plain http would send alerts in the clear",
            )
            .help("use https, or for local tests add insecure = true");
    }
    // An address on this machine is no secret; local tests write it down.
    let host = authority.rsplit('@').next().unwrap_or_default();
    let local =
        host.starts_with("127.") || host.starts_with("localhost") || host.starts_with("[::1]");
    if !(insecure && local) {
        warn_literal("url", text.spot, collector);
    }
    Some(SecretRef::Literal(text.value))
}
