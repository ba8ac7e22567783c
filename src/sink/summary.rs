//! What every destination for people shows of an alert, before it is put into the destination's own form.

use crate::alert::{Alert, AlertSignIn};

/// One line of an alert: what, and its value as the alert has it (unescaped).
pub(super) type Fact = (&'static str, String);

/// The alert's title; an update says so first.
pub(super) fn headline(alert: &Alert) -> String {
    if alert.update {
        format!("Update: {}", alert.title)
    } else {
        alert.title.clone()
    }
}

/// The facts in the order in which a responder reads them. What the alert does not have is left out.
pub(super) fn facts(alert: &Alert) -> Vec<Fact> {
    let mut facts = vec![
        ("Severity", alert.severity.as_str().to_owned()),
        ("Rule", alert.rule.to_string()),
    ];
    let mut add = |what: &'static str, value: Option<String>| {
        facts.extend(
            value
                .filter(|value| !value.is_empty())
                .map(|value| (what, value)),
        );
    };
    let app = &alert.app;
    add(
        "Application",
        with(app.name.as_deref(), app.app_id.as_deref()),
    );
    add("Service principal", app.service_principal_id.clone());
    add("Tenant", alert.tenant_id.clone());
    if let Some(sign_in) = &alert.sign_in {
        add("Address", sign_in.ip.clone());
        add("Place", place(sign_in));
        let outcome = Some(sign_in.outcome.as_ref());
        add("Outcome", with(outcome, sign_in.result_code.as_deref()));
        add("Resource", sign_in.resource.clone());
        add(
            "Credential",
            with(
                sign_in.credential_type.as_deref(),
                sign_in.credential_key_id.as_deref(),
            ),
        );
    }
    add("Time", Some(alert.time.to_string()));
    if alert.count > 1 {
        let span = format!(
            "{}{}, from {} to {}",
            if alert.count_is_minimum {
                "at least "
            } else {
                ""
            },
            alert.count,
            alert.first_seen,
            alert.last_seen
        );
        add("Sign-ins", Some(span));
    }
    add("Owner", app.owner.clone());
    add("Purpose", app.purpose.clone());
    add("Runbook", app.runbook.clone());
    add("Secret kept in", app.secret.clone());
    let entry = app.entry.as_ref();
    add(
        "Policy entry",
        entry.map(|entry| format!("{}:{}", entry.file, entry.line)),
    );
    add("Techniques", Some(alert.techniques.join(", ")));
    add("Alert id", Some(alert.id.to_string()));
    facts
}

/// City, state and country, as far as they are known.
pub(super) fn place(sign_in: &AlertSignIn) -> Option<String> {
    let parts: Vec<&str> = [&sign_in.city, &sign_in.state, &sign_in.country]
        .into_iter()
        .filter_map(|part| part.as_deref())
        .collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

fn with(name: Option<&str>, id: Option<&str>) -> Option<String> {
    match (name, id) {
        (Some(name), Some(id)) if name != id => Some(format!("{name} ({id})")),
        (one, other) => one.or(other).map(str::to_owned),
    }
}

/// At most that many UTF-16 units: the strictest way in which any destination counts characters.
pub(super) fn cut(text: &str, limit: usize) -> String {
    cut_by(text, limit, char::len_utf16)
}

/// At most that many units, where a letter takes as many as `units` says.
pub(super) fn cut_by(text: &str, limit: usize, units: impl Fn(char) -> usize) -> String {
    if text.chars().map(&units).sum::<usize>() <= limit {
        return text.to_owned();
    }
    let mut kept = String::new();
    let mut length = 0;
    for letter in text.chars() {
        length += units(letter);
        // One for the mark.
        if length + 1 > limit {
            break;
        }
        kept.push(letter);
    }
    kept.push('…');
    kept
}

/// A web address of the policy, such as a runbook's, where it is one.
pub(super) fn web_address(text: &str) -> Option<&str> {
    let rest = text.strip_prefix("https://")?;
    (!rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_graphic())).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_by_utf16_units() {
        assert_eq!(cut("abcd", 4), "abcd");
        assert_eq!(cut("abcde", 4), "abc…");
        assert_eq!(cut("🔒🔒🔒", 4), "🔒…");
        assert_eq!(cut("🔒🔒", 4), "🔒🔒");
    }
}
