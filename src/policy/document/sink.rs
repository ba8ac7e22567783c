//! `[sinks.NAME]`.

use std::collections::BTreeMap;

use super::super::collect::Collector;
use super::super::diagnostic::Code;
use super::super::source::{Located, Spot};
use super::super::walk::{Fields, Node};
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
use SinkType::{Pagerduty, Sentinel, SentinelIncident, Slack, Splunk, Teams, Webhook};

/// A key that only some types have.
struct Key {
    name: &'static str,
    required: &'static [SinkType],
    optional: &'static [SinkType],
}

const KEYS: [Key; 15] = {
    const fn key(
        name: &'static str,
        required: &'static [SinkType],
        optional: &'static [SinkType],
    ) -> Key {
        Key {
            name,
            required,
            optional,
        }
    }
    const AZURE: &[SinkType] = &[Sentinel, SentinelIncident];
    [
        key(
            "url",
            &[Webhook, Teams, Slack, Splunk],
            &[Pagerduty, SentinelIncident],
        ),
        key("secret", &[], &[Webhook, Sentinel, SentinelIncident]),
        key("format", &[], &[Webhook]),
        key("routing_key", &[Pagerduty], &[]),
        key("token", &[Splunk], &[]),
        key("index", &[], &[Splunk]),
        key("source", &[], &[Splunk]),
        key("sourcetype", &[], &[Splunk]),
        key("endpoint", &[Sentinel], &[]),
        key("rule_id", &[Sentinel], &[]),
        key("stream", &[], &[Sentinel]),
        key("workspace", &[SentinelIncident], &[]),
        key("client_id", &[], AZURE),
        key("tenant_id", &[], AZURE),
        key("authority", &[], AZURE),
    ]
};

impl Key {
    fn belongs(&self, kind: SinkType) -> bool {
        self.required.contains(&kind) || self.optional.contains(&kind)
    }

    /// Whether it goes into the sink's settings, under its name.
    fn is_setting(&self) -> bool {
        !matches!(self.name, "url" | "secret" | "format")
    }

    /// Whether it replaces an address of Azure itself, as only a test does.
    fn is_for_tests(&self, kind: SinkType) -> bool {
        matches!(
            (self.name, kind),
            ("authority", _) | ("url", SentinelIncident)
        )
    }
}

/// Whether one of a sink's settings is a secret.
pub(in crate::policy) fn is_secret_setting(key: &str) -> bool {
    matches!(key, "token" | "routing_key")
}

/// Whether a text is the resource id of a Log Analytics workspace.
pub(crate) fn is_workspace_id(text: &str) -> bool {
    let parts: Vec<&str> = text.trim().trim_matches('/').split('/').collect();
    match parts.as_slice() {
        [
            subscriptions,
            subscription,
            groups,
            group,
            providers,
            namespace,
            workspaces,
            name,
        ] => {
            let words = [
                (subscriptions, "subscriptions"),
                (groups, "resourceGroups"),
                (providers, "providers"),
                (namespace, "Microsoft.OperationalInsights"),
                (workspaces, "workspaces"),
            ];
            words
                .iter()
                .all(|(word, expected)| word.eq_ignore_ascii_case(expected))
                && uuid::Uuid::try_parse(subscription).is_ok()
                && [group, name]
                    .iter()
                    .all(|name| !matches!(**name, "" | "." | ".."))
        }
        _ => false,
    }
}

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
    let insecure = fields
        .get("insecure")
        .and_then(|node| node.boolean(collector))
        .unwrap_or(false);
    let min_severity = fields
        .get("min_severity")
        .and_then(|node| node.word(collector, &SEVERITIES))
        .unwrap_or(Severity::Info);
    if let Some(kind) = kind {
        refuse_others(kind, insecure, &mut fields, collector);
        for key in KEYS.iter().filter(|key| key.required.contains(&kind)) {
            let what = format!("a sink of type {}", word(kind));
            let help = format!("add {} = {}", key.name, example(key.name));
            fields.require(collector, key.name, &what, &help);
        }
    }
    // The keys of other types have been reported; what they hold is nothing to say more about. Of an unknown type,
    // every key may be.
    let belongs = |name| {
        let mut keys = KEYS.iter().filter(|key| key.name == name);
        keys.any(|key| kind.is_none_or(|kind| key.belongs(kind)))
    };
    let mut get = |name| fields.get(name).filter(|_| belongs(name));
    let format = get("format").and_then(|node| node.word(collector, &FORMATS));
    let url = get("url").and_then(|node| node.text(collector));
    let url = url.and_then(|text| read_url(text, insecure, collector));
    let secret = get("secret");
    let has_secret = secret.is_some();
    let secret = secret.and_then(|node| read_reference(node, true, collector));
    let mut settings = BTreeMap::new();
    for key in KEYS.iter().filter(|key| key.is_setting()) {
        let key = key.name;
        let Some(node) = get(key) else {
            continue;
        };
        let value = match key {
            "endpoint" | "authority" => read_address(node, insecure, collector),
            _ => read_reference(node, is_secret_setting(key), collector),
        };
        if let Some(value) = value {
            check_form(key, &value, node.spot(), collector);
            settings.insert(key.to_owned(), value);
        }
    }
    if matches!(kind, Some(Sentinel | SentinelIncident)) {
        let has = |key: &str| settings.contains_key(key);
        check_client(has_secret, &has, fields.spot, collector);
    }
    fields.finish(collector, "a sink");
    Some(SinkDocument {
        spot,
        sink: Sink {
            name: node.key().to_owned(),
            kind: kind.unwrap_or(Webhook),
            url,
            secret,
            format: format.unwrap_or(SinkFormat::Spwatch),
            min_severity,
            insecure,
            settings,
        },
    })
}

/// The word of a type.
fn word(kind: SinkType) -> &'static str {
    let found = TYPES.iter().find(|(_, of)| *of == kind);
    found.map_or("", |(word, _)| word)
}

/// What a key may look like, for help.
fn example(key: &str) -> &'static str {
    match key {
        "endpoint" => "\"https://NAME.REGION-1.ingest.monitor.azure.com\"",
        "rule_id" => "\"dcr-…\", the immutable id of the data collection rule",
        "workspace" => {
            "\"/subscriptions/…/resourceGroups/…/providers/Microsoft.OperationalInsights/workspaces/…\""
        }
        _ => "\"env:NAME\"",
    }
}

/// Reports the keys that mean nothing for this type, and those that are for tests alone.
fn refuse_others(
    kind: SinkType,
    insecure: bool,
    fields: &mut Fields<'_>,
    collector: &mut Collector,
) {
    for key in &KEYS {
        let help = if !key.belongs(kind) {
            let kinds = key.required.iter().chain(key.optional);
            let kinds: Vec<&str> = kinds.map(|kind| word(*kind)).collect();
            format!("`{}` belongs to type {}", key.name, kinds.join(", "))
        } else if key.is_for_tests(kind) && !insecure {
            "it replaces an address of Azure for local tests, beside insecure = true".to_owned()
        } else {
            continue;
        };
        // Asked for, so that it is not reported again.
        if let Some(node) = fields.get(key.name) {
            let message = format!("a sink of type {} has no key `{}`", word(kind), key.name);
            collector
                .report(Code::UnknownKey, node.key_spot(), message)
                .help(help);
        }
    }
}

/// A secret of an app registration needs its tenant and its id, and the other way round.
fn check_client(
    has_secret: bool,
    has: &dyn Fn(&str) -> bool,
    spot: Spot,
    collector: &mut Collector,
) {
    let help = "an app registration has tenant_id, client_id and secret; a managed identity none, or client_id alone";
    let missing: Vec<&str> = match has_secret {
        true => ["tenant_id", "client_id"]
            .into_iter()
            .filter(|key| !has(key))
            .collect(),
        false if has("tenant_id") => vec!["secret"],
        false => Vec::new(),
    };
    for key in missing {
        let message = format!("the sink's app registration needs `{key}`");
        collector.report(Code::MissingKey, spot, message).help(help);
    }
}

/// Checks what can be told of a setting that is written out.
fn check_form(key: &str, value: &SecretRef, spot: Spot, collector: &mut Collector) {
    let SecretRef::Literal(text) = value else {
        return;
    };
    let (right, what) = match key {
        "workspace" => (is_workspace_id(text), "a workspace's resource id"),
        "rule_id" => (
            text.starts_with("dcr-"),
            "a data collection rule's immutable id",
        ),
        "stream" => (
            text.starts_with("Custom-") || text.starts_with("Microsoft-"),
            "a stream's name",
        ),
        _ => return,
    };
    if !right {
        let message = format!("`{key}` is not {what}");
        let example = match key {
            "stream" => "\"Custom-Spwatch_CL\"",
            key => example(key),
        };
        collector
            .report(Code::InvalidSetting, spot, message)
            .help(format!("the form is {example}"));
    }
}

/// Reads an address that is no secret, or a reference to one.
fn read_address(node: Node<'_>, insecure: bool, collector: &mut Collector) -> Option<SecretRef> {
    let text = node.text(collector)?;
    if text.value.starts_with("env:") {
        return read_env(&text, node.key(), collector);
    }
    let lower = text.value.to_ascii_lowercase();
    let usable = lower.starts_with("https://") || (insecure && lower.starts_with("http://"));
    if !usable {
        let message = format!("`{}` is neither env:NAME nor an https URL", node.key());
        collector
            .report(Code::InvalidReference, text.spot, message)
            .help("write https://…, or env:NAME and put the address into the environment");
        return None;
    }
    Some(SecretRef::Literal(text.value))
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
