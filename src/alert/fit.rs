//! Keeping an alert within what queues and receivers take.

use std::collections::BTreeMap;

use super::Alert;

/// An alert is at most this long as UTF-8 JSON: with its sink's name it fits a storage queue
/// message (64 KiB after Base64: MicrosoftDocs/azure-docs `articles/storage/queues/`).
pub const MAX_ALERT_BYTES: usize = 40 * 1024;

const LOG_TEXT_BYTES: usize = 512;
const POLICY_TEXT_BYTES: usize = 1024;
const SHORT_TEXT_BYTES: usize = 96;
/// The diagnostics of a policy. Lines may end in it.
const LONG_TEXT_BYTES: usize = 12 * 1024;
const MAX_LABELS: usize = 32;
const MAX_PERMISSIONS: usize = 200;

/// Text from a log record, bounded, with control characters replaced (a name is attacker-chosen:
/// it must neither fill the alert nor drive a terminal).
pub(super) fn log_text(text: &str) -> String {
    bounded(text, LOG_TEXT_BYTES)
}

/// Text from the policy, bounded.
pub(super) fn policy_text(text: &str) -> String {
    bounded(text, POLICY_TEXT_BYTES)
}

/// Text for a title, bounded to some words.
pub(super) fn short_text(text: &str) -> String {
    bounded(text, SHORT_TEXT_BYTES)
}

/// Text of several lines, bounded.
pub(super) fn long_text(text: &str) -> String {
    let mut lines = String::new();
    for line in text.lines() {
        if lines.len() + line.len() > LONG_TEXT_BYTES {
            lines.push('…');
            break;
        }
        lines.push_str(&policy_text(line));
        lines.push('\n');
    }
    lines.truncate(lines.trim_end().len());
    lines
}

pub(super) fn labels(labels: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    labels
        .iter()
        .take(MAX_LABELS)
        .map(|(key, value)| (short_text(key), short_text(value)))
        .collect()
}

/// Whether a character acts on the screen instead of standing on it: controls, and the marks that
/// turn the direction of what follows.
pub fn is_unprintable(letter: char) -> bool {
    letter.is_control()
        || matches!(letter, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn bounded(text: &str, limit: usize) -> String {
    // Nearly every text is kept as it is.
    if text.len() <= limit && text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return text.to_owned();
    }
    let mut kept = String::with_capacity(text.len().min(limit));
    for letter in text.chars() {
        let letter = if is_unprintable(letter) {
            '\u{fffd}'
        } else {
            letter
        };
        if kept.len() + letter.len_utf8() > limit {
            kept.push('…');
            break;
        }
        kept.push(letter);
    }
    kept
}

/// Cuts an alert down to [`MAX_ALERT_BYTES`]: next steps first, then permissions, then the text of
/// the reasons, then evidence.
pub(super) fn fit(alert: &mut Alert) {
    alert.app.permissions.truncate(MAX_PERMISSIONS);
    if size(alert) <= MAX_ALERT_BYTES {
        return;
    }
    alert.next_steps.clear();
    if size(alert) <= MAX_ALERT_BYTES {
        return;
    }
    alert.app.permissions.clear();
    if size(alert) <= MAX_ALERT_BYTES {
        return;
    }
    for reason in &mut alert.reasons {
        reason.message = short_text(&reason.message);
    }
    if size(alert) <= MAX_ALERT_BYTES {
        return;
    }
    let dropped = alert.evidence.len().saturating_sub(1);
    alert.evidence.truncate(1);
    alert.evidence_omitted += dropped as u64;
    if size(alert) > MAX_ALERT_BYTES {
        shorten(alert);
    }
}

/// Takes every text down to a few words. Only texts made of characters that JSON escapes come here.
fn shorten(alert: &mut Alert) {
    let app = &mut alert.app;
    app.labels.clear();
    let of_app = [
        &mut app.name,
        &mut app.owner,
        &mut app.purpose,
        &mut app.secret,
        &mut app.runbook,
        &mut app.app_id,
        &mut app.service_principal_id,
    ];
    let of_sign_in = alert.sign_in.iter_mut().flat_map(|sign_in| {
        [
            &mut sign_in.state,
            &mut sign_in.city,
            &mut sign_in.country,
            &mut sign_in.resource,
            &mut sign_in.correlation_id,
            &mut sign_in.credential_key_id,
            &mut sign_in.credential_type,
        ]
    });
    for text in of_app.into_iter().chain(of_sign_in).flatten() {
        *text = short_text(text);
    }
    alert.entities.clear();
}

fn size(alert: &Alert) -> usize {
    // An alert is plain data with string keys: serialising it cannot fail. If it did, cutting is the safe answer.
    serde_json::to_vec(alert).map_or(usize::MAX, |json| json.len())
}
