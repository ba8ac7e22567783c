//! Splunk HTTP Event Collector:
//! help.splunk.com/splunk-enterprise/get-data-in/collect-http-event-data/format-events-for-http-event-collector
//! (`time` in epoch seconds with milliseconds, `Authorization: Splunk <token>`).

use serde::Serialize;
use serde_json::value::RawValue;

use super::destination::Splunk;
use super::{Method, QueuedAlert, Request, Secret, SinkError};
use crate::alert::Alert;

const ENDPOINT: &str = "/services/collector/event";

#[derive(Serialize)]
struct Event<'a> {
    time: f64,
    host: &'static str,
    source: &'a str,
    sourcetype: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<&'a str>,
    event: &'a RawValue,
}

/// The event of an alert; `event` is the alert as the queue has it.
pub(super) fn request(
    splunk: &Splunk,
    queued: QueuedAlert<'_>,
    alert: &Alert,
) -> Result<Request, SinkError> {
    let event = Event {
        // Milliseconds of these centuries are whole numbers below 2^53.
        time: alert.time.utc().timestamp_millis() as f64 / 1000.0,
        host: "spwatch",
        source: &splunk.source,
        sourcetype: &splunk.sourcetype,
        index: splunk.index.as_deref(),
        event: serde_json::from_str(queued.json).map_err(SinkError::Alert)?,
    };
    let authorization = format!("Splunk {}", splunk.token.reveal().trim());
    Ok(Request {
        method: Method::Post,
        url: endpoint(&splunk.url),
        headers: vec![
            ("content-type", Secret::new("application/json".to_owned())),
            ("authorization", Secret::new(authorization)),
        ],
        body: serde_json::to_vec(&event).map_err(SinkError::Alert)?,
    })
}

/// An address without a path is the collector's; one with a path is taken as it is.
fn endpoint(url: &Secret) -> Secret {
    let url = url.reveal().trim();
    let after_scheme = url.split_once("://").map_or(url, |(_, rest)| rest);
    match after_scheme.split_once('/') {
        Some((_, path)) if !path.is_empty() => Secret::new(url.to_owned()),
        _ => Secret::new(format!("{}{ENDPOINT}", url.trim_end_matches('/'))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adds_the_endpoint_where_there_is_no_path() {
        let table = [
            ("https://a:8088", "https://a:8088/services/collector/event"),
            ("https://a:8088/", "https://a:8088/services/collector/event"),
            ("https://a/proxy/hec", "https://a/proxy/hec"),
        ];
        for (given, expected) in table {
            assert_eq!(endpoint(&Secret::new(given.into())).reveal(), expected);
        }
    }
}
