//! Slack: blocks for an incoming webhook.
//!
//! Limits (docs.slack.dev/reference/block-kit): 50 blocks, header 150 characters, section text 3,000,
//! ten fields of 2,000. Text of the alert stands in `plain_text` objects, in which nothing is markup;
//! where it cannot (commands, in a code block) it is `verbatim`, and everywhere `&`, `<` and `>`,
//! which start mentions and links, are escaped (docs.slack.dev/messaging/formatting-message-text).

use serde_json::{Value, json};

use super::summary::{cut, cut_by, facts, headline, web_address};
use super::{Method, Request, Secret};
use crate::alert::Alert;

const HEADER: usize = 150;
const SECTION: usize = 3000;
const FIELD: usize = 2000;
const PREVIEW: usize = 1000;
/// A label and a value for each fact.
const FACTS_IN_A_SECTION: usize = 5;
/// Of the 50 blocks: header, reasons, at most four of facts, at most ten of steps, links.
const REASONS: usize = 20;
const STEPS: usize = 10;

/// The message of an alert.
pub(super) fn request(url: &Secret, alert: &Alert) -> Request {
    let headline = headline(alert);
    let mut blocks = vec![json!({"type": "header", "text": plain(&headline, HEADER)})];
    if escaped_length(&headline) > HEADER {
        blocks.push(json!({"type": "section", "text": plain(&headline, SECTION)}));
    }
    let reasons = &alert.reasons;
    for reason in reasons.iter().take(REASONS) {
        let reason = format!("{}: {}", reason.code, reason.message);
        blocks.push(json!({"type": "section", "text": plain(&reason, SECTION)}));
    }
    let more = reasons.len().saturating_sub(REASONS);
    if more > 0 {
        let more = format!("and {more} reasons more");
        blocks.push(json!({"type": "section", "text": plain(&more, SECTION)}));
    }
    for facts in facts(alert).chunks(FACTS_IN_A_SECTION) {
        let fields: Vec<Value> = facts
            .iter()
            .flat_map(|(what, value)| [bold(what), plain(value, FIELD)])
            .collect();
        blocks.push(json!({"type": "section", "fields": fields}));
    }
    for step in alert.next_steps.iter().take(STEPS) {
        blocks.push(json!({"type": "section", "text": code(&step.title, &step.text)}));
    }
    let links = links(alert);
    if !links.is_empty() {
        let text = cut(&links.join("  ·  "), SECTION);
        blocks.push(json!({
            "type": "context",
            "elements": [{"type": "mrkdwn", "text": text, "verbatim": true}],
        }));
    }
    let message = json!({
        "text": escape(&headline, PREVIEW),
        "mrkdwn": false,
        "unfurl_links": false,
        "unfurl_media": false,
        "blocks": blocks,
    });
    Request::json(Method::Post, url.clone(), &message)
}

fn plain(text: &str, limit: usize) -> Value {
    json!({"type": "plain_text", "text": escape(text, limit), "emoji": false})
}

/// A label of ours.
fn bold(what: &str) -> Value {
    json!({"type": "mrkdwn", "text": format!("*{what}*"), "verbatim": true})
}

/// A title, and a text in a code block, which a grave accent in the text must not end.
fn code(title: &str, text: &str) -> Value {
    let title = escape(title, 500).replace(['*', '_', '~', '`'], " ");
    let text = text.replace('`', "'");
    let text = escape(&text, SECTION - 600);
    json!({"type": "mrkdwn", "text": format!("{title}\n```\n{text}\n```"), "verbatim": true})
}

/// Links to pages of ours and of the policy; `|` and `>` would end one early.
fn links(alert: &Alert) -> Vec<String> {
    let runbook = alert.app.runbook.as_deref().map(|url| ("Runbook", url));
    let links = alert
        .links
        .iter()
        .map(|link| (link.title.as_ref(), link.url.as_str()));
    links
        .chain(runbook)
        .filter_map(|(title, url)| Some((title, web_address(url)?)))
        .filter(|(_, url)| url.len() <= 600 && !url.contains(['|', '<', '>', '&']))
        .take(4)
        .map(|(title, url)| format!("<{url}|{}>", escape(title, 60).replace('|', " ")))
        .collect()
}

/// Escaped and within the limit, no entity cut apart.
fn escape(text: &str, limit: usize) -> String {
    cut_by(text, limit, escaped_units)
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

fn escaped_length(text: &str) -> usize {
    text.chars().map(escaped_units).sum()
}

fn escaped_units(letter: char) -> usize {
    match letter {
        '&' => 5,
        '<' | '>' => 4,
        letter => letter.len_utf16(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_within_the_limit() {
        assert_eq!(escape("a<!channel>&", 50), "a&lt;!channel&gt;&amp;");
        assert_eq!(escape("<<<<", 16), "&lt;&lt;&lt;&lt;");
        assert_eq!(escape("<<<<", 15), "&lt;&lt;&lt;…");
    }

    #[test]
    fn a_code_block_ends_where_it_ends() {
        let block = code("*t*", "a ``` <@U1>");
        let text = block["text"].as_str().unwrap();
        assert_eq!(text, " t \n```\na ''' &lt;@U1&gt;\n```");
    }
}
