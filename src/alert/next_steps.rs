//! What to do about a finding: exact commands, the app's usual addresses, paste-ready policy text.

use chrono::Days;
use serde::{Deserialize, Serialize};

use super::fit;
use crate::finding::Finding;
use crate::sign_in::{CredentialType, Id, Kind, SignIn};
use crate::verdict::{ReasonCode, Verdict};

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NextStep {
    /// What it is for, one line.
    pub title: String,
    /// A command, a list or policy text, ready to copy.
    pub text: String,
}

const MAX_USUAL: usize = 20;

/// The steps in the order in which a responder wants them: stop it, revoke it, compare, and if it was fine, allow it.
pub(super) fn next_steps(finding: &Finding<'_>) -> Vec<NextStep> {
    let sign_in = &finding.sign_in;
    let mut steps = vec![disable(sign_in)];
    steps.extend(revoke(sign_in));
    if let Some(app) = finding.app
        && !app.usual_addresses.is_empty()
    {
        let shown: Vec<&str> = app
            .usual_addresses
            .iter()
            .take(MAX_USUAL)
            .map(String::as_str)
            .collect();
        let more = app.usual_addresses.len().saturating_sub(MAX_USUAL);
        let tail = if more > 0 {
            format!(" and {more} more")
        } else {
            String::new()
        };
        steps.push(NextStep {
            title: "Compare with the app's usual addresses".to_owned(),
            text: format!("{}{tail}", shown.join(", ")),
        });
    }
    steps.extend(allow(finding));
    steps
}

/// Only GUIDs go into commands: any other id is attacker-chosen text.
fn argument(id: Option<&Id<'_>>, what: &str) -> String {
    match id.and_then(Id::guid) {
        Some(guid) => guid.to_string(),
        None => format!("<{what}>"),
    }
}

fn disable(sign_in: &SignIn<'_>) -> NextStep {
    let id = sign_in
        .service_principal_id
        .as_ref()
        .filter(|id| id.guid().is_some())
        .or(sign_in.app_id.as_ref());
    NextStep {
        title: "Disable the service principal (no new tokens; issued ones live up to their expiry)"
            .to_owned(),
        text: format!(
            "az ad sp update --id {} --set accountEnabled=false",
            argument(id, "service principal id")
        ),
    }
}

fn revoke(sign_in: &SignIn<'_>) -> Vec<NextStep> {
    if sign_in.kind == Kind::ManagedIdentity {
        return vec![NextStep {
            title:
                "A managed identity has no credential to revoke: list what it may do, and remove it"
                    .to_owned(),
            text: format!(
                "az role assignment list --all --assignee {}",
                argument(
                    sign_in.service_principal_id.as_ref(),
                    "service principal id"
                )
            ),
        }];
    }
    let app = argument(sign_in.app_id.as_ref(), "app id");
    if let Some(federated) = sign_in
        .federated_credential_id
        .as_ref()
        .filter(|_| sign_in.credential_key_id.is_none())
    {
        return vec![NextStep {
            title: "Remove the federated credential".to_owned(),
            text: format!(
                "az ad app federated-credential delete --id {app} --federated-credential-id {}",
                argument(Some(federated), "federated credential id")
            ),
        }];
    }
    let Some(key) = sign_in.credential_key_id.as_ref() else {
        return vec![NextStep {
            title: "The log does not name the credential: list the app's, and remove what you do not know".to_owned(),
            text: format!("az ad app credential list --id {app} && az ad app credential list --id {app} --cert"),
        }];
    };
    let certificate = match sign_in.credential_type {
        Some(CredentialType::Certificate | CredentialType::Assertion) => " --cert",
        _ => "",
    };
    vec![NextStep {
        title: "Revoke the credential that was used (issue a new one first, if the app must go on)"
            .to_owned(),
        text: format!(
            "az ad app credential delete --id {app} --key-id {}{certificate}",
            argument(Some(key), "key id")
        ),
    }]
}

/// Policy text that would have allowed the sign-in.
fn allow(finding: &Finding<'_>) -> Option<NextStep> {
    let sign_in = &finding.sign_in;
    if finding.verdict == Verdict::UnknownApp {
        return Some(NextStep {
            title: "If the app is yours, list it in the policy".to_owned(),
            text: listing(sign_in)?,
        });
    }
    let has = |code| finding.reasons.iter().any(|reason| reason.code == code);
    let mut lines = vec!["[[app.exception]]".to_owned()];
    if has(ReasonCode::IpNotAllowed) {
        lines.push(format!("allow.ips = [\"{}\"]", sign_in.ip?));
    }
    if has(ReasonCode::PlaceNotAllowed)
        && let Some(place) = place(sign_in)
    {
        lines.push(format!("allow.places = [{}]", quoted(&place)));
    }
    if lines.len() == 1 {
        return None;
    }
    let until = sign_in.time.utc().checked_add_days(Days::new(7))?;
    lines.push(format!("until = {}", until.format("%Y-%m-%dT00:00:00Z")));
    lines.push("reason = \"ticket, and why this is fine\"".to_owned());
    let app = finding.app?;
    Some(NextStep {
        title: format!(
            "If it was fine, allow it for a week: paste below the entry at {}:{}",
            fit::policy_text(&app.file),
            app.line
        ),
        text: lines.join("\n"),
    })
}

fn listing(sign_in: &SignIn<'_>) -> Option<String> {
    let selector = match (
        sign_in.app_id.as_ref().and_then(Id::guid),
        sign_in.service_principal_id.as_ref().and_then(Id::guid),
    ) {
        (Some(app), _) => format!("app_id = \"{app}\""),
        (None, Some(principal)) => format!("service_principal_id = \"{principal}\""),
        (None, None) => format!("match = {{ name = {} }}", quoted(sign_in.name.as_deref()?)),
    };
    let name = match sign_in.name.as_deref() {
        Some(name) => name.to_owned(),
        None => sign_in
            .app_id
            .as_ref()
            .or(sign_in.service_principal_id.as_ref())?
            .to_string(),
    };
    let mut lines = vec![
        "[[app]]".to_owned(),
        format!("name = {}", quoted(&name)),
        selector,
        "# owner = \"who answers for it\"".to_owned(),
        "# purpose = \"what it is for\"".to_owned(),
    ];
    if let Some(ip) = sign_in.ip {
        lines.push(format!("allow.ips = [\"{ip}\"]"));
    }
    Some(lines.join("\n"))
}

fn place(sign_in: &SignIn<'_>) -> Option<String> {
    let mut place = sign_in.country.as_deref()?.to_owned();
    // What is no country code cannot stand in a policy.
    if place.len() != 2 || !place.bytes().all(|byte| byte.is_ascii_uppercase()) {
        return None;
    }
    let splits = |part: &Option<std::borrow::Cow<'_, str>>| {
        part.as_deref().is_some_and(|part| part.contains('/'))
    };
    if splits(&sign_in.state) {
        return Some(place);
    }
    if let Some(state) = sign_in.state.as_deref() {
        place.push('/');
        place.push_str(state);
        if let Some(city) = sign_in.city.as_deref() {
            place.push('/');
            place.push_str(city);
        }
    }
    Some(place)
}

/// A TOML basic string; text from a log may hold anything.
fn quoted(text: &str) -> String {
    toml::Value::String(fit::log_text(text)).to_string()
}
