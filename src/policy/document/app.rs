//! `[[app]]` with its credentials and exceptions.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use uuid::Uuid;

use super::super::collect::Collector;
use super::super::diagnostic::Code;
use super::super::network::WrittenRange;
use super::super::place::Place;
use super::super::secret::looks_like_secret;
use super::super::sets::List;
use super::super::source::{Located, Spot};
use super::super::walk::{Fields, Node};
use super::SEVERITIES;
use super::lists::{allow_list, list, read_places, read_ranges, warn_if_empty};
use crate::policy::entry::CredentialWord;
use crate::sign_in::Timestamp;
use crate::verdict::Severity;

/// An API that may be asked for.
#[derive(Debug, Clone)]
pub(in crate::policy) struct Resource {
    /// As written: a display name, or an id.
    pub(in crate::policy) text: String,
    /// The GUID, where it is one.
    pub(in crate::policy) guid: Option<Uuid>,
    pub(in crate::policy) spot: Spot,
}

/// One `[[app]]` as written.
pub(in crate::policy) struct AppDocument {
    /// Its header.
    pub(in crate::policy) spot: Spot,
    pub(in crate::policy) name: Option<Located<String>>,
    pub(in crate::policy) service_principal_id: Option<Located<Uuid>>,
    pub(in crate::policy) app_id: Option<Located<Uuid>>,
    pub(in crate::policy) match_name: Option<Located<String>>,
    pub(in crate::policy) match_contains: Option<Located<String>>,
    pub(in crate::policy) owner: Option<String>,
    pub(in crate::policy) purpose: Option<String>,
    pub(in crate::policy) permissions: Vec<String>,
    pub(in crate::policy) secret: Option<String>,
    pub(in crate::policy) runbook: Option<String>,
    pub(in crate::policy) labels: BTreeMap<String, String>,
    pub(in crate::policy) severity: Option<Severity>,
    pub(in crate::policy) notify: Option<Vec<Located<String>>>,
    pub(in crate::policy) allow_ips: Option<List<WrittenRange>>,
    pub(in crate::policy) allow_places: Option<List<Place>>,
    pub(in crate::policy) allow_resources: Option<Located<Vec<Resource>>>,
    pub(in crate::policy) allow_types: Option<Located<Vec<Located<CredentialWord>>>>,
    pub(in crate::policy) deny_ips: Option<List<WrittenRange>>,
    pub(in crate::policy) deny_places: Option<List<Place>>,
    pub(in crate::policy) credentials: Vec<CredentialDocument>,
    pub(in crate::policy) exceptions: Vec<ExceptionDocument>,
    /// Whether anything restricts the app, right or wrong.
    pub(in crate::policy) restricted: bool,
}

/// One `[[app.credential]]` as written.
pub(in crate::policy) struct CredentialDocument {
    pub(in crate::policy) spot: Spot,
    pub(in crate::policy) key_id: Option<Located<Uuid>>,
    pub(in crate::policy) allow_ips: Option<List<WrittenRange>>,
    pub(in crate::policy) expires: Option<Located<NaiveDate>>,
}

/// One `[[app.exception]]` as written.
pub(in crate::policy) struct ExceptionDocument {
    pub(in crate::policy) spot: Spot,
    pub(in crate::policy) allow_ips: Option<List<WrittenRange>>,
    pub(in crate::policy) allow_places: Option<List<Place>>,
    pub(in crate::policy) until: Option<Located<Timestamp>>,
    pub(in crate::policy) reason: Option<String>,
}

fn plain(fields: &mut Fields<'_>, key: &'static str, collector: &mut Collector) -> Option<String> {
    Some(fields.get(key)?.text(collector)?.value)
}

/// Reads an `[[app]]`.
pub(in crate::policy) fn read(node: Node<'_>, collector: &mut Collector) -> Option<AppDocument> {
    let mut fields = node.fields(collector)?;
    let name = fields
        .require(
            collector,
            "name",
            "an app",
            "give it a label of its own, such as name = \"MTPAPI\"",
        )
        .and_then(|node| node.text(collector));
    // What is there but wrong has been reported: it is not missing besides.
    let selectors = ["service_principal_id", "app_id", "match"].map(|key| fields.get(key));
    if selectors.iter().all(Option::is_none) {
        collector
            .report(
                Code::MissingSelector,
                fields.spot,
                "the app says nothing of which sign-ins are its own",
            )
            .help("add app_id = \"…\", service_principal_id = \"…\" or match = { name = \"…\" }");
    }
    let [by_principal, by_app, by_name] = selectors;
    let (match_name, match_contains) =
        by_name.map_or((None, None), |node| read_match(node, collector));
    let allow = fields.get("allow");
    let deny = fields.get("deny");
    let credentials = fields.get("credential");
    let mut app = AppDocument {
        spot: fields.spot,
        name,
        service_principal_id: by_principal.and_then(|node| node.guid(collector)),
        app_id: by_app.and_then(|node| node.guid(collector)),
        match_name,
        match_contains,
        owner: plain(&mut fields, "owner", collector),
        purpose: plain(&mut fields, "purpose", collector),
        permissions: Vec::new(),
        secret: read_secret(&mut fields, collector),
        runbook: plain(&mut fields, "runbook", collector),
        labels: BTreeMap::new(),
        severity: fields
            .get("severity")
            .and_then(|node| node.word(collector, &SEVERITIES)),
        notify: fields.get("notify").and_then(|node| node.texts(collector)),
        allow_ips: None,
        allow_places: None,
        allow_resources: None,
        allow_types: None,
        deny_ips: None,
        deny_places: None,
        credentials: Vec::new(),
        exceptions: Vec::new(),
        restricted: allow.is_some() || credentials.is_some(),
    };
    if let Some(texts) = fields
        .get("permissions")
        .and_then(|node| node.texts(collector))
    {
        app.permissions = texts.into_iter().map(|text| text.value).collect();
    }
    if let Some(labels) = fields.get("labels").and_then(|node| node.fields(collector)) {
        for node in labels.entries() {
            if let Some(text) = node.raw_text(collector) {
                app.labels.insert(node.key().to_owned(), text.value);
            }
        }
    }
    if let Some(table) = allow.and_then(|node| node.fields(collector)) {
        read_allow(table, &mut app, collector);
    }
    if let Some(mut table) = deny.and_then(|node| node.fields(collector)) {
        app.deny_ips = list(table.get("ips"), "ranges", read_ranges, collector);
        app.deny_places = list(table.get("places"), "places", read_places, collector);
        table.finish(collector, "`deny`");
    }
    if let Some(members) =
        credentials.and_then(|node| node.members(collector, "tables ([[app.credential]])"))
    {
        for node in members {
            app.credentials.extend(read_credential(node, collector));
        }
    }
    if let Some(members) = fields
        .get("exception")
        .and_then(|node| node.members(collector, "tables ([[app.exception]])"))
    {
        for node in members {
            app.exceptions.extend(read_exception(node, collector));
        }
    }
    fields.finish(collector, "an app");
    Some(app)
}

fn read_match(
    node: Node<'_>,
    collector: &mut Collector,
) -> (Option<Located<String>>, Option<Located<String>>) {
    let Some(mut fields) = node.fields(collector) else {
        return (None, None);
    };
    let [name, contains] = ["name", "name_contains"].map(|key| fields.get(key));
    if name.is_none() && contains.is_none() {
        collector
            .report(
                Code::MissingSelector,
                fields.spot,
                "`match` matches by nothing",
            )
            .help("write match = { name = \"…\" } or { name_contains = \"…\" }");
    }
    let name = name.and_then(|node| node.text(collector));
    let contains = contains.and_then(|node| node.text(collector));
    fields.finish(collector, "`match`");
    (name, contains)
}

/// Where the secret is kept; one that is itself written here is warned of, hidden and dropped.
fn read_secret(fields: &mut Fields<'_>, collector: &mut Collector) -> Option<String> {
    let text = fields.get("secret")?.text(collector)?;
    if !looks_like_secret(&text.value) {
        return Some(text.value);
    }
    collector.hide(text.spot);
    collector
        .report(
            Code::LiteralSecret,
            text.spot,
            "`secret` looks like a secret rather than the place where it is kept",
        )
        .help("name the place, such as the Key Vault address, and rotate the secret");
    Some("(hidden: looks like a secret)".to_owned())
}

fn read_allow(mut table: Fields<'_>, app: &mut AppDocument, collector: &mut Collector) {
    const TYPES: [(&str, CredentialWord); 5] = [
        ("secret", CredentialWord::Secret),
        ("certificate", CredentialWord::Certificate),
        ("assertion", CredentialWord::Assertion),
        ("federated", CredentialWord::Federated),
        ("managed-identity", CredentialWord::ManagedIdentity),
    ];
    app.allow_ips = allow_list(table.get("ips"), "ranges", read_ranges, collector);
    app.allow_places = allow_list(table.get("places"), "places", read_places, collector);
    let resources = table.get("resources");
    warn_if_empty(resources, collector);
    if let Some(node) = resources
        && let Some(texts) = node.texts(collector)
    {
        let resources = texts.into_iter().map(|text| Resource {
            guid: Some(text.value.trim())
                .filter(|id| id.len() == 36)
                .and_then(|id| Uuid::try_parse(id).ok()),
            text: text.value,
            spot: text.spot,
        });
        app.allow_resources = Some(Located {
            value: resources.collect(),
            spot: node.spot(),
        });
    }
    let types = table.get("credential_types");
    warn_if_empty(types, collector);
    if let Some(node) = types
        && let Some(members) = node.members(collector, "credential types")
    {
        let words = members.into_iter().filter_map(|node| {
            Some(Located {
                value: node.word(collector, &TYPES)?,
                spot: node.spot(),
            })
        });
        app.allow_types = Some(Located {
            value: words.collect(),
            spot: node.spot(),
        });
    }
    table.finish(collector, "`allow`");
}

fn read_credential(node: Node<'_>, collector: &mut Collector) -> Option<CredentialDocument> {
    let mut fields = node.fields(collector)?;
    let help = "the credential's key id, or the federated credential's id: az ad app credential list --id …";
    let key_id = fields
        .require(collector, "key_id", "a credential", help)
        .and_then(|node| node.guid(collector));
    let mut credential = CredentialDocument {
        spot: fields.spot,
        key_id,
        allow_ips: None,
        expires: fields.get("expires").and_then(|node| node.date(collector)),
    };
    if let Some(mut allow) = fields.get("allow").and_then(|node| node.fields(collector)) {
        credential.allow_ips = allow_list(allow.get("ips"), "ranges", read_ranges, collector);
        allow.finish(collector, "a credential's `allow`");
    }
    fields.finish(collector, "a credential");
    Some(credential)
}

fn read_exception(node: Node<'_>, collector: &mut Collector) -> Option<ExceptionDocument> {
    let mut fields = node.fields(collector)?;
    let until = fields
        .require(
            collector,
            "until",
            "an exception",
            "say when it ends, such as until = 2026-12-31T00:00:00Z",
        )
        .and_then(|node| node.time(collector));
    let reason = fields
        .require(
            collector,
            "reason",
            "an exception",
            "say why it is made, such as reason = \"CHG-1234: data-centre move\"",
        )
        .and_then(|node| node.text(collector));
    let mut exception = ExceptionDocument {
        spot: fields.spot,
        allow_ips: None,
        allow_places: None,
        until,
        reason: reason.map(|reason| reason.value),
    };
    let allow = fields.require(
        collector,
        "allow",
        "an exception",
        "add allow.ips = […] or allow.places = […]",
    );
    if let Some(mut allow) = allow.and_then(|node| node.fields(collector)) {
        let [ips, places] = ["ips", "places"].map(|key| allow.get(key));
        if ips.is_none() && places.is_none() {
            collector
                .report(
                    Code::MissingKey,
                    fields.spot,
                    "an exception needs `allow.ips` or `allow.places`",
                )
                .help("an exception adds addresses or places to the app's lists");
        }
        exception.allow_ips = list(ips, "ranges", read_ranges, collector);
        exception.allow_places = list(places, "places", read_places, collector);
        allow.finish(collector, "an exception's `allow`");
    }
    fields.finish(collector, "an exception");
    Some(exception)
}
