//! The handler's answers. A 2xx always carries a JSON object: with anything else the invocation
//! would hang or fail in the host (Azure/azure-functions-host
//! `src/WebJobs.Script/Workers/Http/DefaultHttpWorkerService.cs`).

use std::collections::BTreeMap;

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// Outputs by binding name; absent where there is nothing in them.
///
/// Every string here is JSON text: the host would decode one that happens to be valid Base64.
#[derive(Debug, Default, Serialize)]
pub struct Outputs {
    /// `{"sink": …, "alert": {…}}`, a queue message each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub alerts: Vec<String>,
    /// NDJSON of what could not be judged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rejected: Option<String>,
    /// An alert that cannot be delivered, with the reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub undelivered: Option<String>,
    /// The response of an HTTP function.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub res: Option<HttpResponse>,
}

/// What the host answers over HTTP (host: src/WebJobs.Script/Binding/Http/HttpBinding.cs).
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpResponse {
    status_code: u16,
    headers: BTreeMap<&'static str, &'static str>,
    body: String,
}

impl HttpResponse {
    /// A JSON document, as text: the host would write an object with blanks of its own.
    pub fn json(status_code: u16, body: String) -> Self {
        Self::new(status_code, "application/json; charset=utf-8", body)
    }

    /// A page that loads nothing and runs nothing.
    pub fn html(status_code: u16, body: String) -> Self {
        let mut response = Self::new(status_code, "text/html; charset=utf-8", body);
        response.headers.extend([
            (
                "Content-Security-Policy",
                "default-src 'none'; style-src 'unsafe-inline'",
            ),
            ("Referrer-Policy", "no-referrer"),
        ]);
        response
    }

    fn new(status_code: u16, content_type: &'static str, body: String) -> Self {
        Self {
            status_code,
            headers: BTreeMap::from([
                ("Content-Type", content_type),
                ("Cache-Control", "no-store"),
                ("X-Content-Type-Options", "nosniff"),
            ]),
            body,
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Success<'a> {
    outputs: &'a Outputs,
    logs: &'a [String],
    return_value: Option<()>,
}

/// How an invocation ended.
#[derive(Debug)]
pub enum Answer {
    /// Done; the host writes the outputs.
    Done {
        /// What is to be written.
        outputs: Outputs,
        /// Lines for the invocation's own log.
        logs: Vec<String>,
    },
    /// Not now; the host tries again.
    Retry(String),
    /// Not the host's protocol.
    BadRequest(String),
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let (status, error) = match &self {
            Self::Done { outputs, logs } => {
                return (
                    StatusCode::OK,
                    Json(Success {
                        outputs,
                        logs,
                        return_value: None,
                    }),
                )
                    .into_response();
            }
            Self::Retry(error) => (StatusCode::SERVICE_UNAVAILABLE, error),
            Self::BadRequest(error) => (StatusCode::BAD_REQUEST, error),
        };
        (status, Json(serde_json::json!({ "error": error }))).into_response()
    }
}
