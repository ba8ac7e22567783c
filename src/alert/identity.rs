//! What makes two sign-ins the same alert.

use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::finding::{Finding, Rule};
use crate::sign_in::SignIn;

/// Separates the fields of a fingerprint: U+001F, the ASCII unit separator.
pub(super) const SEPARATOR: &str = "\u{1f}";
/// The namespace of all alert ids: UUIDv5 of the URL namespace and `urn:spwatch:alert:v1`, as a test holds.
pub(super) const NAMESPACE: Uuid = uuid::uuid!("e1be621d-8bd2-57f9-b1f2-bde0139c1aff");

/// SHA-256, hex, of the fields that make two findings the same, joined by U+001F.
///
/// `outside-policy`, `failed-outside-policy`: tenant, rule, outcome, entry name, app id, service
/// principal id, reason codes (sorted, each a field of its own), address, country. `unknown-app`:
/// tenant, rule, outcome, app id, service principal id. An unknown value is the empty string.
pub fn fingerprint(finding: &Finding<'_>) -> String {
    let sign_in = &finding.sign_in;
    let text = |id: &Option<crate::sign_in::Id<'_>>| {
        id.as_ref().map(ToString::to_string).unwrap_or_default()
    };
    let mut fields = vec![
        text(&sign_in.tenant_id),
        finding.rule.as_str().to_owned(),
        sign_in.outcome.as_str().to_owned(),
    ];
    if finding.rule != Rule::UnknownApp {
        fields.push(finding.app.map(|app| app.name.clone()).unwrap_or_default());
    }
    fields.push(text(&sign_in.app_id));
    fields.push(text(&sign_in.service_principal_id));
    if finding.rule != Rule::UnknownApp {
        let mut codes: Vec<&str> = finding
            .reasons
            .iter()
            .map(|reason| reason.code.as_str())
            .collect();
        codes.sort_unstable();
        fields.extend(codes.into_iter().map(str::to_owned));
        fields.push(sign_in.ip.map(|ip| ip.to_string()).unwrap_or_default());
        fields.push(sign_in.country.as_deref().unwrap_or_default().to_owned());
    }
    hex(&Sha256::digest(fields.join(SEPARATOR)))
}

/// The alert's id: UUIDv5 of the fingerprint and the start of the merge window that the event falls in.
///
/// Windows are aligned to the epoch; without merging (`merge_seconds` = 0) the sign-in's own id
/// stands in the window's place.
pub fn id(fingerprint: &str, sign_in: &SignIn<'_>, merge_seconds: i64) -> Uuid {
    let window = if merge_seconds > 0 {
        let seconds = sign_in.time.unix_seconds();
        (seconds - seconds.rem_euclid(merge_seconds)).to_string()
    } else {
        sign_in.id_text().into_owned()
    };
    Uuid::new_v5(
        &NAMESPACE,
        format!("{fingerprint}{SEPARATOR}{window}").as_bytes(),
    )
}

pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            // Writing to a String cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_namespace_is_the_documented_one() {
        let made = Uuid::new_v5(&Uuid::NAMESPACE_URL, b"urn:spwatch:alert:v1");
        assert_eq!(NAMESPACE, made);
    }
}
