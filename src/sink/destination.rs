//! A sink of the policy with its settings resolved: everything that a request needs to know.

use std::collections::BTreeMap;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::Secret;
use super::token::{Identity, Resource, TokenSource};
use crate::policy::{SecretRef, Sink, SinkFormat, SinkType};

/// Where events of PagerDuty's service regions other than the EU go:
/// PagerDuty/developer-docs `docs/events-API-v2/01-Overview.md`.
pub const PAGERDUTY: &str = "https://events.pagerduty.com/v2/enqueue";
/// Azure Resource Manager.
pub const RESOURCE_MANAGER: &str = "https://management.azure.com";
/// Where app registrations get their tokens.
pub const AUTHORITY: &str = "https://login.microsoftonline.com";
/// The stream that `infra/sentinel/` declares.
pub const STREAM: &str = "Custom-Spwatch_CL";

/// A destination, with all that it takes to reach it.
#[derive(Debug, Clone)]
pub enum Destination {
    /// Generic webhook.
    Webhook {
        /// Where to post.
        url: Secret,
        /// Signing secret.
        secret: Option<Secret>,
        /// What to post.
        format: SinkFormat,
    },
    /// A Workflows webhook of Microsoft Teams.
    Teams {
        /// Its address.
        url: Secret,
    },
    /// An incoming webhook of Slack.
    Slack {
        /// Its address.
        url: Secret,
    },
    /// Events API v2 of PagerDuty.
    Pagerduty {
        /// The API's address.
        url: Secret,
        /// Integration key of the service.
        routing_key: Secret,
    },
    /// HTTP Event Collector of Splunk.
    Splunk(Splunk),
    /// Logs Ingestion API of Azure Monitor.
    Sentinel(Sentinel),
    /// Incidents of Microsoft Sentinel.
    SentinelIncident(SentinelIncident),
}

/// Settings of a `splunk` sink.
#[derive(Debug, Clone)]
pub struct Splunk {
    /// The collector, with or without the path of its endpoint.
    pub url: Secret,
    /// HEC token.
    pub token: Secret,
    /// Index; the token's default without it.
    pub index: Option<String>,
    /// Source.
    pub source: String,
    /// Source type.
    pub sourcetype: String,
}

/// Settings of a `sentinel` sink.
#[derive(Debug, Clone)]
pub struct Sentinel {
    /// Logs ingestion endpoint of the data collection rule or endpoint.
    pub endpoint: Secret,
    /// Immutable id of the data collection rule.
    pub rule_id: String,
    /// Stream of the rule.
    pub stream: String,
    /// Where its token comes from.
    pub token: TokenSource,
}

/// Settings of a `sentinel-incident` sink.
#[derive(Debug, Clone)]
pub struct SentinelIncident {
    /// Azure Resource Manager.
    pub url: Secret,
    /// Resource id of the workspace.
    pub workspace: String,
    /// Where its token comes from.
    pub token: TokenSource,
}

/// Why a sink's settings make no destination. The text names a setting and never its value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DestinationError {
    /// The setting could not be fetched, for the reason given.
    #[error("{0}")]
    Unresolved(String),
    /// The policy does not have it.
    #[error("the sink has no `{0}`")]
    Missing(&'static str),
    /// A resource id of something else.
    #[error("the sink's `workspace` is no resource id of a Log Analytics workspace")]
    Workspace,
    /// The app has no managed identity, and the sink names no app registration.
    #[error(
        "the app has no managed identity (IDENTITY_ENDPOINT is not set), and the sink no `secret` of an app registration"
    )]
    NoIdentity,
}

/// Fetches a value that the policy refers to; the error is a text without secrets.
pub type Fetch<'a> = &'a dyn Fn(&SecretRef) -> Result<Secret, String>;

/// Reads a setting of the platform, such as `IDENTITY_ENDPOINT`.
pub type Platform<'a> = &'a dyn Fn(&str) -> Option<String>;

struct Settings<'a> {
    sink: &'a Sink,
    fetch: Fetch<'a>,
}

impl Settings<'_> {
    fn value(&self, reference: &SecretRef) -> Result<Secret, DestinationError> {
        (self.fetch)(reference).map_err(DestinationError::Unresolved)
    }

    fn optional(&self, key: &'static str) -> Result<Option<Secret>, DestinationError> {
        let settings: &BTreeMap<String, SecretRef> = &self.sink.settings;
        settings.get(key).map(|found| self.value(found)).transpose()
    }

    fn required(&self, key: &'static str) -> Result<Secret, DestinationError> {
        self.optional(key)?.ok_or(DestinationError::Missing(key))
    }

    fn text(&self, key: &'static str) -> Result<Option<String>, DestinationError> {
        let found = self.optional(key)?;
        Ok(found.map(|value| value.reveal().trim().to_owned()))
    }

    fn url(&self) -> Result<Secret, DestinationError> {
        let url = self.sink.url.as_ref();
        self.value(url.ok_or(DestinationError::Missing("url"))?)
    }

    fn url_or(&self, default: &str) -> Result<Secret, DestinationError> {
        match &self.sink.url {
            Some(url) => self.value(url),
            None => Ok(Secret::new(default.to_owned())),
        }
    }

    fn secret(&self) -> Result<Option<Secret>, DestinationError> {
        let secret = self.sink.secret.as_ref();
        secret.map(|secret| self.value(secret)).transpose()
    }

    /// Client credentials where the sink has a `secret`, else the managed identity.
    fn token_source(
        &self,
        resource: Resource,
        platform: Platform<'_>,
    ) -> Result<TokenSource, DestinationError> {
        let client_id = self.text("client_id")?;
        let identity = match self.secret()? {
            Some(secret) => Identity::Client {
                authority: self
                    .optional("authority")?
                    .unwrap_or_else(|| Secret::new(AUTHORITY.to_owned())),
                tenant_id: self
                    .text("tenant_id")?
                    .ok_or(DestinationError::Missing("tenant_id"))?,
                client_id: client_id.ok_or(DestinationError::Missing("client_id"))?,
                secret,
            },
            None => {
                let setting = |name| {
                    platform(name)
                        .filter(|value| !value.trim().is_empty())
                        .ok_or(DestinationError::NoIdentity)
                };
                Identity::Managed {
                    endpoint: Secret::new(setting("IDENTITY_ENDPOINT")?),
                    header: Secret::new(setting("IDENTITY_HEADER")?),
                    client_id,
                }
            }
        };
        Ok(TokenSource { resource, identity })
    }
}

impl Destination {
    /// Resolves a sink of the policy.
    ///
    /// # Errors
    /// A setting is missing or cannot be used. The sink is degraded alone.
    pub fn of(
        sink: &Sink,
        fetch: Fetch<'_>,
        platform: Platform<'_>,
    ) -> Result<Self, DestinationError> {
        let settings = Settings { sink, fetch };
        let destination = match sink.kind {
            SinkType::Webhook => Self::Webhook {
                url: settings.url()?,
                secret: settings.secret()?,
                format: sink.format,
            },
            SinkType::Teams => Self::Teams {
                url: settings.url()?,
            },
            SinkType::Slack => Self::Slack {
                url: settings.url()?,
            },
            SinkType::Pagerduty => Self::Pagerduty {
                url: settings.url_or(PAGERDUTY)?,
                routing_key: settings.required("routing_key")?,
            },
            SinkType::Splunk => Self::Splunk(Splunk {
                url: settings.url()?,
                token: settings.required("token")?,
                index: settings.text("index")?,
                source: settings.text("source")?.unwrap_or_else(|| "spwatch".into()),
                sourcetype: settings
                    .text("sourcetype")?
                    .unwrap_or_else(|| "spwatch:alert".into()),
            }),
            SinkType::Sentinel => Self::Sentinel(Sentinel {
                endpoint: settings.required("endpoint")?,
                rule_id: settings
                    .text("rule_id")?
                    .ok_or(DestinationError::Missing("rule_id"))?,
                stream: settings.text("stream")?.unwrap_or_else(|| STREAM.into()),
                token: settings.token_source(Resource::Monitor, platform)?,
            }),
            SinkType::SentinelIncident => {
                let workspace = settings
                    .text("workspace")?
                    .ok_or(DestinationError::Missing("workspace"))?;
                if !crate::policy::is_workspace_id(&workspace) {
                    return Err(DestinationError::Workspace);
                }
                Self::SentinelIncident(SentinelIncident {
                    url: settings.url_or(RESOURCE_MANAGER)?,
                    workspace,
                    token: settings.token_source(Resource::ResourceManager, platform)?,
                })
            }
        };
        Ok(destination)
    }

    /// Where the token comes from that [`request`](super::request) needs.
    pub fn token_source(&self) -> Option<&TokenSource> {
        match self {
            Self::Sentinel(sentinel) => Some(&sentinel.token),
            Self::SentinelIncident(incident) => Some(&incident.token),
            _ => None,
        }
    }
}

/// What RFC 3986 does not call unreserved.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// A text as one segment of a path, or one value of a query.
pub(super) fn segment(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}
