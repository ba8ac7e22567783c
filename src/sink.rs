//! Alerts → HTTP requests, one module for each kind of destination. Pure: the sender is elsewhere.
//!
//! Every text in an alert may be an attacker's: each module says how its destination is kept from
//! taking such a text for markup, a mention or a link.

mod cloudevents;
pub mod destination;
mod ocsf;
mod pagerduty;
mod sentinel;
mod sentinel_incident;
mod slack;
mod splunk;
mod summary;
mod teams;
pub mod token;
pub mod webhook;

use std::fmt;

pub use destination::Destination;

use crate::alert::Alert;
use crate::policy::SinkFormat;
use crate::sign_in::Timestamp;

/// How a request is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// GET
    Get,
    /// POST
    Post,
    /// PUT
    Put,
}

impl Method {
    /// Its name in HTTP.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
        }
    }
}

/// A request to a destination, whole: the sender adds nothing but the connection.
#[derive(Clone, PartialEq, Eq)]
pub struct Request {
    /// How it is made.
    pub method: Method,
    /// Where it goes. The address of a webhook is its key.
    pub url: Secret,
    /// Header names and values.
    pub headers: Vec<(&'static str, Secret)>,
    /// The body.
    pub body: Vec<u8>,
}

/// Without address, header values and body: each may hold a secret.
impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.headers.iter().map(|(name, _)| *name).collect();
        f.debug_struct("Request")
            .field("method", &self.method)
            .field("headers", &names)
            .field("bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

impl Request {
    /// A request with a JSON body.
    fn json(method: Method, url: Secret, body: &serde_json::Value) -> Self {
        Self {
            method,
            url,
            headers: vec![("content-type", Secret::new("application/json".to_owned()))],
            body: body.to_string().into_bytes(),
        }
    }

    fn with_header(mut self, name: &'static str, value: String) -> Self {
        self.headers.push((name, Secret::new(value)));
        self
    }

    fn with_bearer(self, token: &Secret) -> Self {
        self.with_header("authorization", format!("Bearer {}", token.reveal().trim()))
    }

    /// The value of a header, for the sender and for tests.
    pub fn header(&self, name: &str) -> Option<&Secret> {
        let found = self.headers.iter().find(|(of, _)| *of == name);
        found.map(|(_, value)| value)
    }
}

/// A value that must never be shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a value.
    pub fn new(value: String) -> Self {
        Self(value)
    }

    /// The value, for the one place that needs it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// An alert as the queue has it.
#[derive(Debug, Clone, Copy)]
pub struct QueuedAlert<'a> {
    /// The delivery's idempotency key, the same on every retry.
    pub id: &'a str,
    /// The alert, as JSON text.
    pub json: &'a str,
}

/// Why there is no request. No text holds a secret.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// The queue's text is no `spwatch/alert/v1`, which no retry mends.
    #[error("the alert is of a shape that this version cannot read")]
    Alert(#[source] serde_json::Error),
    /// The signing secret cannot be used.
    #[error(transparent)]
    SigningSecret(#[from] webhook::SigningSecretError),
    /// The destination asks for a token and was given none.
    #[error("there is no access token")]
    NoToken,
}

impl SinkError {
    /// Whether somebody can mend it while the alert waits.
    pub fn is_mendable(&self) -> bool {
        !matches!(self, Self::Alert(_))
    }
}

/// The request that carries an alert to a destination. `token` is what
/// [`Destination::token_source`] asks for.
///
/// # Errors
/// The alert cannot be read, or a secret cannot be used.
pub fn request(
    destination: &Destination,
    queued: QueuedAlert<'_>,
    token: Option<&Secret>,
    now: Timestamp,
) -> Result<Request, SinkError> {
    let alert = || serde_json::from_str::<Alert>(queued.json).map_err(SinkError::Alert);
    let request = match destination {
        Destination::Webhook {
            url,
            secret,
            format,
        } => {
            let (content_type, body) = match format {
                SinkFormat::Spwatch => ("application/json", queued.json.as_bytes().to_vec()),
                SinkFormat::Cloudevents => (
                    cloudevents::CONTENT_TYPE,
                    cloudevents::body(queued, &alert()?)?,
                ),
                SinkFormat::Ocsf => (
                    "application/json",
                    ocsf::finding(&alert()?).to_string().into_bytes(),
                ),
            };
            let seconds = now.unix_seconds();
            webhook::request(url, content_type, queued.id, seconds, body, secret.as_ref())?
        }
        Destination::Teams { url } => teams::request(url, &alert()?),
        Destination::Slack { url } => slack::request(url, &alert()?),
        Destination::Pagerduty { url, routing_key } => {
            pagerduty::request(url, routing_key, &alert()?)
        }
        Destination::Splunk(splunk) => splunk::request(splunk, queued, &alert()?)?,
        Destination::Sentinel(sentinel) => {
            sentinel::request(sentinel, &alert()?, token.ok_or(SinkError::NoToken)?, now)
        }
        Destination::SentinelIncident(incident) => {
            sentinel_incident::request(incident, &alert()?, token.ok_or(SinkError::NoToken)?)
        }
    };
    Ok(request)
}

#[cfg(test)]
mod tests;
