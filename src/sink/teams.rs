//! Microsoft Teams: an Adaptive Card in a message, for the trigger "When a Teams webhook request is
//! received" of Workflows.
//!
//! Envelope and limit: MicrosoftDocs/msteams-docs
//! `msteams-platform/webhooks-and-connectors/how-to/add-incoming-webhook.md` (28 KB).
//! Text of the alert stands in text runs of rich text blocks alone, in which Adaptive Cards know no
//! Markdown (learn.microsoft.com/adaptive-cards/authoring-cards/text-features); a mention needs an
//! entry under `msteams.entities`, and there is none.

use serde_json::{Value, json};

use super::summary::{cut, facts, headline, web_address};
use super::{Method, Request, Secret};
use crate::alert::Alert;
use crate::verdict::Severity;

/// 28 KB in the stricter reading, the envelope included.
pub(super) const MAX_BYTES: usize = 28_000;

/// How much is shown: length of a text, how many reasons, how many next steps.
struct Measure {
    text: usize,
    reasons: usize,
    steps: usize,
}

/// From all to little; the last fits whatever is in the alert.
const MEASURES: [Measure; 4] = [
    Measure {
        text: 1500,
        reasons: 50,
        steps: 10,
    },
    Measure {
        text: 600,
        reasons: 20,
        steps: 10,
    },
    Measure {
        text: 300,
        reasons: 10,
        steps: 0,
    },
    Measure {
        text: 60,
        reasons: 3,
        steps: 0,
    },
];

/// The message of an alert.
pub(super) fn request(url: &Secret, alert: &Alert) -> Request {
    let mut request = Request::json(Method::Post, url.clone(), &Value::Null);
    for measure in &MEASURES {
        request.body = message(alert, measure).to_string().into_bytes();
        if request.body.len() <= MAX_BYTES {
            break;
        }
    }
    request
}

fn message(alert: &Alert, measure: &Measure) -> Value {
    json!({
        "type": "message",
        "attachments": [{
            "contentType": "application/vnd.microsoft.card.adaptive",
            "contentUrl": null,
            "content": card(alert, measure),
        }],
    })
}

fn card(alert: &Alert, measure: &Measure) -> Value {
    let title = run(&headline(alert), measure);
    let style = match alert.severity {
        Severity::Critical | Severity::High => "attention",
        Severity::Medium => "warning",
        Severity::Low | Severity::Info => "accent",
    };
    let mut body = vec![json!({
        "type": "Container",
        "style": style,
        "bleed": true,
        "items": [text(vec![with(title, "size", "medium", "weight", "bolder")])],
    })];
    for reason in alert.reasons.iter().take(measure.reasons) {
        let code = with(
            run(&format!("{}: ", reason.code), measure),
            "weight",
            "bolder",
            "color",
            "default",
        );
        body.push(text(vec![code, run(&reason.message, measure)]));
    }
    let more = alert.reasons.len().saturating_sub(measure.reasons);
    if more > 0 {
        body.push(text(vec![run(
            &format!("and {more} reasons more"),
            measure,
        )]));
    }
    for (what, value) in facts(alert) {
        let label = with(
            run(&format!("{what}: "), measure),
            "isSubtle",
            true,
            "weight",
            "bolder",
        );
        let mut line = text(vec![label, run(&value, measure)]);
        if let Some(line) = line.as_object_mut() {
            line.insert("spacing".into(), json!("small"));
        }
        body.push(line);
    }
    for step in alert.next_steps.iter().take(measure.steps) {
        let title = with(
            run(&step.title, measure),
            "weight",
            "bolder",
            "color",
            "default",
        );
        let command = with(
            run(&step.text, measure),
            "fontType",
            "monospace",
            "color",
            "default",
        );
        body.push(text(vec![title]));
        body.push(text(vec![command]));
    }
    if measure.steps < alert.next_steps.len() {
        body.push(text(vec![run("The next steps did not fit.", measure)]));
    }
    let mut actions: Vec<Value> = alert
        .links
        .iter()
        .take(4)
        .filter(|link| link.url.len() <= 1000)
        .map(|link| json!({"type": "Action.OpenUrl", "title": cut(&link.title, 40), "url": link.url}))
        .collect();
    let runbook = alert.app.runbook.as_deref().and_then(web_address);
    if let Some(url) = runbook {
        actions.push(json!({"type": "Action.OpenUrl", "title": "Runbook", "url": url}));
    }
    json!({
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "msteams": {"width": "Full"},
        "body": body,
        "actions": actions,
    })
}

fn text(runs: Vec<Value>) -> Value {
    json!({"type": "RichTextBlock", "inlines": runs})
}

/// A text run; `{{DATE(…)}}` in a text would be taken for a function of the card.
fn run(value: &str, measure: &Measure) -> Value {
    let value = cut(value, measure.text).replace("{{", "{\u{200b}{");
    json!({"type": "TextRun", "text": value})
}

fn with(
    mut run: Value,
    first: &str,
    value: impl Into<Value>,
    second: &str,
    other: impl Into<Value>,
) -> Value {
    if let Some(run) = run.as_object_mut() {
        run.insert(first.to_owned(), value.into());
        run.insert(second.to_owned(), other.into());
    }
    run
}
