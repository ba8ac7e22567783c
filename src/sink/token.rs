//! Access tokens for Azure: the requests that ask for one, and what the answers say. Pure.
//!
//! Managed identity: MicrosoftDocs/azure-docs `articles/app-service/overview-managed-identity.md`
//! (`IDENTITY_ENDPOINT`, `X-IDENTITY-HEADER`, version 2019-08-01; `expires_on` in unix seconds).
//! App registration: MicrosoftDocs/entra-docs
//! `docs/identity-platform/v2-oauth2-client-creds-grant-flow.md` (scope `resource/.default`, `expires_in` in seconds).

use serde_json::Value;

use super::destination::segment;
use super::{Method, Request, Secret};
use crate::sign_in::Timestamp;

/// A token is not used in the last five minutes of its life.
pub const MARGIN_SECONDS: i64 = 300;

/// What a token is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource {
    /// Logs Ingestion API.
    Monitor,
    /// Azure Resource Manager.
    ResourceManager,
}

impl Resource {
    /// Its id, of which the scope is made.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Monitor => "https://monitor.azure.com",
            Self::ResourceManager => "https://management.azure.com",
        }
    }
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identity {
    /// The function app's managed identity.
    Managed {
        /// `IDENTITY_ENDPOINT`
        endpoint: Secret,
        /// `IDENTITY_HEADER`
        header: Secret,
        /// Which of the user-assigned identities; the system-assigned one without it.
        client_id: Option<String>,
    },
    /// An app registration with a client secret.
    Client {
        /// Who issues its tokens.
        authority: Secret,
        /// Its tenant.
        tenant_id: String,
        /// Its id.
        client_id: String,
        /// Its secret.
        secret: Secret,
    },
}

/// Where a token comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenSource {
    /// What it is for.
    pub resource: Resource,
    /// Who asks for it.
    pub identity: Identity,
}

/// A token, and until when it may be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// What goes after `Bearer`.
    pub value: Secret,
    /// Unix seconds from which on another one is to be asked for.
    pub stale_from: i64,
}

/// An answer that holds no token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the answer for an access token holds none")]
pub struct NoTokenError;

impl TokenSource {
    /// Whether the platform itself answers, on an address of this machine.
    pub fn is_local(&self) -> bool {
        matches!(self.identity, Identity::Managed { .. })
    }

    /// The request that asks for a token.
    pub fn request(&self) -> Request {
        let resource = self.resource.as_str();
        match &self.identity {
            Identity::Managed {
                endpoint,
                header,
                client_id,
            } => {
                let mut url = format!(
                    "{}?api-version=2019-08-01&resource={}",
                    endpoint.reveal().trim(),
                    segment(resource)
                );
                if let Some(id) = client_id {
                    url.push_str("&client_id=");
                    url.push_str(&segment(id));
                }
                Request {
                    method: Method::Get,
                    url: Secret::new(url),
                    headers: vec![("x-identity-header", header.clone())],
                    body: Vec::new(),
                }
            }
            Identity::Client {
                authority,
                tenant_id,
                client_id,
                secret,
            } => {
                let url = format!(
                    "{}/{}/oauth2/v2.0/token",
                    authority.reveal().trim().trim_end_matches('/'),
                    segment(tenant_id)
                );
                let form = format!(
                    "grant_type=client_credentials&client_id={}&client_secret={}&scope={}",
                    segment(client_id),
                    segment(secret.reveal().trim()),
                    segment(&format!("{resource}/.default"))
                );
                let kind = "application/x-www-form-urlencoded".to_owned();
                Request {
                    method: Method::Post,
                    url: Secret::new(url),
                    headers: vec![("content-type", Secret::new(kind))],
                    body: form.into_bytes(),
                }
            }
        }
    }

    /// What tells this source's tokens from others', without any secret.
    pub fn key(&self) -> String {
        let resource = self.resource.as_str();
        match &self.identity {
            Identity::Managed { client_id, .. } => {
                format!("{resource} managed {}", client_id.as_deref().unwrap_or(""))
            }
            Identity::Client {
                authority,
                tenant_id,
                client_id,
                ..
            } => format!(
                "{resource} client {} {tenant_id} {client_id}",
                authority.reveal()
            ),
        }
    }
}

/// Reads the answer to a request for a token.
///
/// # Errors
/// There is no token in it.
pub fn read(body: &[u8], now: Timestamp) -> Result<Token, NoTokenError> {
    let answer: Value = serde_json::from_slice(body).map_err(|_| NoTokenError)?;
    let value = answer.get("access_token").and_then(Value::as_str);
    let value = value
        .filter(|token| !token.is_empty())
        .ok_or(NoTokenError)?;
    let now = now.unix_seconds();
    let expires = match (number(&answer, "expires_on"), number(&answer, "expires_in")) {
        (Some(at), _) => at,
        (None, Some(after)) => now.saturating_add(after),
        // Of unknown life: good for this delivery.
        (None, None) => now,
    };
    Ok(Token {
        value: Secret::new(value.to_owned()),
        stale_from: expires.saturating_sub(MARGIN_SECONDS),
    })
}

/// Numbers come as numbers or as strings.
fn number(answer: &Value, key: &str) -> Option<i64> {
    match answer.get(key)? {
        Value::Number(number) => number.as_i64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

/// The code of Entra ID in a refusal, such as `AADSTS7000215`; nothing else of the answer is shown.
pub fn refusal(body: &[u8]) -> Option<String> {
    let answer: Value = serde_json::from_slice(body).ok()?;
    let code = answer.get("error_codes")?.get(0)?.as_u64()?;
    Some(format!("AADSTS{code}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        Timestamp::parse("2026-11-24T12:00:00Z").unwrap()
    }

    #[test]
    fn asks_the_managed_identity() {
        let mut source = TokenSource {
            resource: Resource::Monitor,
            identity: Identity::Managed {
                endpoint: Secret::new("http://127.0.0.1:41741/MSI/token/".into()),
                header: Secret::new("853b9a84".into()),
                client_id: None,
            },
        };
        let request = source.request();
        assert_eq!(request.method, Method::Get);
        assert_eq!(
            request.url.reveal(),
            "http://127.0.0.1:41741/MSI/token/?api-version=2019-08-01&resource=https%3A%2F%2Fmonitor.azure.com"
        );
        assert_eq!(
            request.header("x-identity-header").unwrap().reveal(),
            "853b9a84"
        );
        let Identity::Managed { client_id, .. } = &mut source.identity else {
            panic!("another identity")
        };
        *client_id = Some("a&b".to_owned());
        assert!(source.request().url.reveal().ends_with("&client_id=a%26b"));
    }

    #[test]
    fn asks_for_an_app_registration() {
        let source = TokenSource {
            resource: Resource::ResourceManager,
            identity: Identity::Client {
                authority: Secret::new("https://login.microsoftonline.com/".into()),
                tenant_id: "11111111-2222-3333-4444-555555555555".into(),
                client_id: "c".into(),
                secret: Secret::new("a~b&c=d +".into()),
            },
        };
        let request = source.request();
        assert_eq!(request.method, Method::Post);
        assert_eq!(
            request.url.reveal(),
            "https://login.microsoftonline.com/11111111-2222-3333-4444-555555555555/oauth2/v2.0/token"
        );
        assert_eq!(
            String::from_utf8(request.body.clone()).unwrap(),
            "grant_type=client_credentials&client_id=c&client_secret=a~b%26c%3Dd%20%2B&scope=https%3A%2F%2Fmanagement.azure.com%2F.default"
        );
        for shown in [format!("{source:?}"), format!("{request:?}"), source.key()] {
            assert!(!shown.contains("a~b"), "{shown}");
        }
    }

    #[test]
    fn reads_both_answers() {
        let managed = br#"{"access_token":"eyJ","expires_on":"1795608000","resource":"r","token_type":"Bearer"}"#;
        let token = read(managed, now()).unwrap();
        assert_eq!(token.value.reveal(), "eyJ");
        assert_eq!(token.stale_from, 1_795_607_700);
        let client = br#"{"token_type":"Bearer","expires_in":3599,"access_token":"eyJ"}"#;
        let token = read(client, now()).unwrap();
        assert_eq!(token.stale_from, now().unix_seconds() + 3299);
        for none in [
            "",
            "{}",
            "[]",
            r#"{"access_token":""}"#,
            r#"{"access_token":1}"#,
        ] {
            assert_eq!(read(none.as_bytes(), now()), Err(NoTokenError), "{none}");
        }
    }

    #[test]
    fn shows_of_a_refusal_its_code_alone() {
        let body = br#"{"error":"invalid_client","error_description":"AADSTS7000215: s3cret","error_codes":[7000215]}"#;
        assert_eq!(refusal(body).as_deref(), Some("AADSTS7000215"));
        assert_eq!(refusal(b"<html>"), None);
    }
}
