//! `[[test]]`: a sign-in, and what the policy is expected to say of it.

use std::borrow::Cow;

use super::super::collect::Collector;
use super::super::diagnostic::Code;
use super::super::place::parse_place;
use super::super::source::Spot;
use super::super::suggest::{nearest, quoted};
use super::super::walk::{Fields, Node};
use super::SEVERITIES;
use crate::sign_in::{CredentialType, Id, Kind, Outcome, SignIn, Timestamp, parse_address};
use crate::verdict::{ReasonCode, ReasonSet, Severity, Verdict};

/// One case, ready to run.
#[derive(Debug)]
pub(in crate::policy) struct Case {
    pub(in crate::policy) name: String,
    pub(in crate::policy) spot: Spot,
    /// The sign-in; its time stands only where `timed`.
    pub(in crate::policy) sign_in: SignIn<'static>,
    /// Whether the case gives a time of its own.
    pub(in crate::policy) timed: bool,
    pub(in crate::policy) expect: Verdict,
    pub(in crate::policy) reasons: Option<ReasonSet>,
    /// Whether an alert is expected.
    pub(in crate::policy) due: Option<bool>,
    pub(in crate::policy) severity: Option<Severity>,
    /// Reasons that only come of what the case leaves out: they are not held against it.
    pub(in crate::policy) unasked: ReasonSet,
}

/// Reads a `[[test]]`.
pub(super) fn read(node: Node<'_>, collector: &mut Collector) -> Option<Case> {
    let mut fields = node.fields(collector)?;
    let spot = fields.spot;
    let name = fields
        .require(
            collector,
            "name",
            "a test",
            "say what it shows, such as name = \"home is fine\"",
        )
        .and_then(|node| node.text(collector));
    let sign_in = fields
        .require(
            collector,
            "sign_in",
            "a test",
            "add sign_in = { app_id = \"…\", ip = \"…\", place = \"…\" }",
        )
        .and_then(|node| read_sign_in(node, collector));
    let time_node = fields.get("time");
    let time = time_node.and_then(|node| node.time(collector));
    let expect = fields
        .require(
            collector,
            "expect",
            "a test",
            "add expect = \"allowed\", \"violation\" or \"unknown-app\"",
        )
        .and_then(|node| {
            node.word(
                collector,
                &[
                    ("allowed", Verdict::Allowed),
                    ("violation", Verdict::Violation),
                    ("unknown-app", Verdict::UnknownApp),
                ],
            )
        });
    let reasons_node = fields.get("reasons");
    let reasons = reasons_node.and_then(|node| read_reasons(node, collector));
    if let Some(node) = reasons_node
        && expect == Some(Verdict::Allowed)
        && reasons.is_some_and(|reasons| !reasons.is_empty())
    {
        collector
            .report(
                Code::ImpossibleTest,
                node.key_spot(),
                "a sign-in that is allowed has no reasons",
            )
            .help("expect \"violation\", or remove `reasons`");
    }
    let due_node = fields.get("due");
    let due = due_node.and_then(|node| node.boolean(collector));
    let severity_node = fields.get("severity");
    let severity = severity_node.and_then(|node| node.word(collector, &SEVERITIES));
    if expect == Some(Verdict::Allowed) {
        let pinned = [
            due_node.filter(|_| due == Some(true)),
            severity_node.filter(|_| severity.is_some()),
        ];
        for node in pinned.into_iter().flatten() {
            collector
                .report(
                    Code::ImpossibleTest,
                    node.key_spot(),
                    "no alert is due of a sign-in that is allowed",
                )
                .help(format!("expect \"violation\", or remove `{}`", node.key()));
        }
    }
    if let (Some(node), Some(Read { timed: true, .. })) = (time_node, &sign_in) {
        collector
            .report(
                Code::ImpossibleTest,
                node.key_spot(),
                "the sign-in has a time of its own",
            )
            .help("write `time` once, in the test or in its `sign_in`");
    }
    fields.finish(collector, "a test");
    let Read {
        mut sign_in,
        mut timed,
        unasked,
    } = sign_in?;
    if let Some(time) = time {
        sign_in.time = time.value;
        timed = true;
    }
    Some(Case {
        name: name?.value,
        spot,
        sign_in,
        timed,
        expect: expect?,
        reasons,
        due,
        severity,
        // A case that pins such a reason does ask for it.
        unasked: unasked.without(reasons.unwrap_or(ReasonSet::EMPTY)),
    })
}

/// What a case says of its sign-in.
struct Read {
    sign_in: SignIn<'static>,
    timed: bool,
    unasked: ReasonSet,
}

fn read_reasons(node: Node<'_>, collector: &mut Collector) -> Option<ReasonSet> {
    let texts = node.texts(collector)?;
    let mut reasons = ReasonSet::EMPTY;
    for text in texts {
        if let Some(code) = ReasonCode::from_code(&text.value) {
            reasons.insert(code);
            continue;
        }
        let message = format!("{} is no reason code", quoted(&text.value));
        let known = ReasonCode::ALL.map(ReasonCode::as_str);
        let help = match nearest(&text.value, known) {
            Some(near) => format!("did you mean {near:?}?"),
            None => format!("one of {}", known.join(", ")),
        };
        collector
            .report(Code::UnknownReason, text.spot, message)
            .help(help);
    }
    Some(reasons)
}

fn guid(
    fields: &mut Fields<'_>,
    key: &'static str,
    collector: &mut Collector,
) -> Option<Id<'static>> {
    Some(Id::Guid(fields.get(key)?.guid(collector)?.value))
}

fn text(
    fields: &mut Fields<'_>,
    key: &'static str,
    collector: &mut Collector,
) -> Option<Cow<'static, str>> {
    Some(Cow::Owned(fields.get(key)?.text(collector)?.value))
}

fn read_sign_in(node: Node<'_>, collector: &mut Collector) -> Option<Read> {
    let mut fields = node.fields(collector)?;
    if ["app_id", "service_principal_id", "name"]
        .iter()
        .all(|key| fields.get(key).is_none())
    {
        collector
            .report(
                Code::MissingKey,
                fields.spot,
                "a sign-in needs `app_id`, `service_principal_id` or `name`",
            )
            .help("say whose sign-in it is");
    }
    let mut sign_in = SignIn::unknown(Timestamp::from(chrono::DateTime::UNIX_EPOCH));
    sign_in.app_id = guid(&mut fields, "app_id", collector);
    sign_in.service_principal_id = guid(&mut fields, "service_principal_id", collector);
    sign_in.name = text(&mut fields, "name", collector);
    sign_in.tenant_id = guid(&mut fields, "tenant", collector);
    sign_in.app_owner_tenant_id = guid(&mut fields, "owner_tenant", collector);
    sign_in.credential_key_id = guid(&mut fields, "credential", collector);
    if let Some(ip) = fields.get("ip").and_then(|node| node.text(collector)) {
        sign_in.ip = parse_address(&ip.value);
        if sign_in.ip.is_none() {
            let message = format!("{} is no address", quoted(&ip.value));
            collector
                .report(Code::InvalidAddress, ip.spot, message)
                .help("write an address such as 203.0.113.9; leave `ip` out for an unknown one");
        }
    }
    if let Some(place) = fields.get("place").and_then(|node| node.text(collector)) {
        match parse_place(&place.value) {
            Ok(_) => {
                let mut parts = place
                    .value
                    .splitn(3, '/')
                    .map(|part| part.trim().to_owned());
                sign_in.country = parts
                    .next()
                    .map(|part| Cow::Owned(part.to_ascii_uppercase()));
                sign_in.state = parts.next().map(Cow::Owned);
                sign_in.city = parts.next().map(Cow::Owned);
            }
            Err((code, message, help)) => {
                collector.report(code, place.spot, message).help(help);
            }
        }
    }
    if let Some(resource) = fields.get("resource").and_then(|node| node.text(collector)) {
        // As in `allow.resources`: an app id where it is one, else a display name.
        match Id::parse(Cow::Owned(resource.value)) {
            Some(Id::Text(name)) => sign_in.resource = Some(name),
            id => sign_in.resource_id = id,
        }
    }
    if let Some(node) = fields.get("credential_type") {
        sign_in.credential_type = read_credential_type(node, collector);
    }
    if let Some(node) = fields.get("outcome") {
        let words = [
            ("success", Outcome::Success),
            ("failure", Outcome::Failure),
            ("blocked-by-ca", Outcome::BlockedByCa),
        ];
        sign_in.outcome = node.word(collector, &words).unwrap_or(Outcome::Success);
    }
    if let Some(node) = fields.get("kind") {
        let words = [
            ("service-principal", Kind::ServicePrincipal),
            ("managed-identity", Kind::ManagedIdentity),
            ("microsoft", Kind::MicrosoftServicePrincipal),
        ];
        sign_in.kind = node.word(collector, &words).unwrap_or(sign_in.kind);
    }
    let time = fields.get("time").and_then(|node| node.time(collector));
    if let Some(time) = &time {
        sign_in.time = time.value;
    }
    let mut unasked = ReasonSet::EMPTY;
    if fields.get("resource").is_none() {
        unasked.insert(ReasonCode::ResourceNotAllowed);
    }
    if fields.get("credential").is_none() || fields.get("credential_type").is_none() {
        unasked.insert(ReasonCode::CredentialUnknown);
    }
    fields.finish(collector, "a test's sign-in");
    Some(Read {
        sign_in,
        timed: time.is_some(),
        unasked,
    })
}

fn read_credential_type(
    node: Node<'_>,
    collector: &mut Collector,
) -> Option<CredentialType<'static>> {
    const WORDS: [(&str, u8); 5] = [
        ("secret", 0),
        ("certificate", 1),
        ("assertion", 2),
        ("federated", 3),
        ("managed-identity", 4),
    ];
    Some(match node.word(collector, &WORDS)? {
        0 => CredentialType::Secret,
        1 => CredentialType::Certificate,
        2 => CredentialType::Assertion,
        3 => CredentialType::Federated,
        _ => CredentialType::ManagedIdentity,
    })
}
