//! The host's HTTP side: one POST per invocation, with the host's headers and either framing.
//! (host: src/WebJobs.Script/Workers/Http/DefaultHttpWorkerService.cs)

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body::Frame;
use http_body_util::Full;
use reqwest::header::{
    CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, USER_AGENT,
};
use uuid::Uuid;

use super::answer::{Answer, Failure, Response, judge};
use super::function_file::OutputBinding;

const HOST_VERSION: &str = "4.1037.0.0";
const CHUNK_BYTES: usize = 64 * 1024;

/// How the length of a request's body is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Framing {
    /// `Transfer-Encoding: chunked`, as in Azure.
    Chunked,
    /// `Content-Length`, as under the Core Tools.
    ContentLength,
    /// Now this, now that.
    #[default]
    Alternate,
}

/// A single invocation, past triggers, retries and outputs.
#[derive(Debug, Clone)]
pub struct Request {
    /// The path, without its slash.
    pub function: String,
    /// Any bytes at all.
    pub body: Bytes,
    /// How their length is told.
    pub framing: Framing,
    /// More headers, or others in place of the host's own; an empty value removes one.
    pub headers: Vec<(String, String)>,
    /// `X-Azure-Functions-InvocationId`.
    pub invocation: Uuid,
}

/// A request's response.
#[derive(Debug, Clone)]
pub struct Exchange {
    /// The invocation's id.
    pub invocation: Uuid,
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    /// From sending to the end of the response.
    pub elapsed: Duration,
    /// What the host makes of it.
    pub judged: Result<Answer, Failure>,
}

impl Request {
    /// A chunked request with the host's own headers.
    pub fn new(function: impl Into<String>, body: impl Into<Bytes>) -> Self {
        Self {
            function: function.into(),
            body: body.into(),
            framing: Framing::Chunked,
            headers: Vec::new(),
            invocation: Uuid::new_v4(),
        }
    }

    /// With that framing.
    #[must_use]
    pub fn framed(mut self, framing: Framing) -> Self {
        self.framing = framing;
        self
    }

    /// With one more header; an empty value removes it.
    #[must_use]
    pub fn with_header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    base: String,
}

impl Client {
    pub(crate) fn new(port: u16) -> Result<Self, reqwest::Error> {
        let http = reqwest::Client::builder().no_proxy().build()?;
        Ok(Self {
            http,
            base: format!("http://127.0.0.1:{port}/"),
        })
    }

    /// Any response, whatever its status, means ready.
    pub(crate) async fn probe(&self) -> bool {
        match self.http.get(&self.base).send().await {
            Ok(_) => true,
            // What is not a failure to connect counts as ready too.
            Err(error) => !error.is_connect(),
        }
    }

    pub(crate) async fn send(
        &self,
        request: Request,
        bindings: &[OutputBinding],
    ) -> Result<Exchange, reqwest::Error> {
        let started = Instant::now();
        let chunked = match request.framing {
            Framing::Chunked => true,
            Framing::ContentLength => false,
            Framing::Alternate => request
                .invocation
                .as_bytes()
                .last()
                .is_some_and(|b| b % 2 == 0),
        };
        let body = match chunked {
            true => reqwest::Body::wrap(Chunks(request.body.clone())),
            false => reqwest::Body::wrap(Full::new(request.body.clone())),
        };
        let response = self
            .http
            .post(format!("{}{}", self.base, request.function))
            .headers(headers(&request))
            .body(body)
            .send()
            .await?;
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        let body = response.bytes().await?;
        let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
        let content_length = match text(CONTENT_LENGTH).and_then(|text| text.parse().ok()) {
            // .NET gives a response that cannot have a body the length 0.
            None if status == 204 => Some(0),
            length => length,
        };
        let judged = judge(
            Response {
                status,
                content_type: text(CONTENT_TYPE),
                content_length,
                body: &body,
            },
            bindings,
        );
        Ok(Exchange {
            invocation: request.invocation,
            status,
            body,
            elapsed: started.elapsed(),
            judged,
            headers,
        })
    }
}

fn headers(request: &Request) -> HeaderMap {
    let trace = Uuid::new_v4().simple().to_string();
    let span = trace.get(..16).unwrap_or_default();
    let own = [
        (
            "x-azure-functions-invocationid",
            request.invocation.to_string(),
        ),
        ("x-azure-functions-hostversion", HOST_VERSION.to_owned()),
        (
            USER_AGENT.as_str(),
            format!("Azure-Functions-Host/{HOST_VERSION}"),
        ),
        (
            CONTENT_TYPE.as_str(),
            "application/json; charset=utf-8".to_owned(),
        ),
        ("traceparent", format!("00-{trace}-{span}-00")),
    ];
    let given = request.headers.iter();
    let all = own
        .iter()
        .map(|(name, value)| (*name, value))
        .chain(given.map(|(name, value)| (name.as_str(), value)));
    let mut headers = HeaderMap::new();
    for (name, value) in all {
        // A name or value that HTTP does not allow is left out; the host could not send it either.
        let (Ok(name), Ok(content)) = (name.parse::<HeaderName>(), HeaderValue::from_str(value))
        else {
            continue;
        };
        match value.is_empty() {
            true => headers.remove(name),
            false => headers.insert(name, content),
        };
    }
    headers
}

/// A body of unknown length, in slices that share its bytes.
struct Chunks(Bytes);

impl http_body::Body for Chunks {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if self.0.is_empty() {
            return Poll::Ready(None);
        }
        let length = self.0.len().min(CHUNK_BYTES);
        Poll::Ready(Some(Ok(Frame::data(self.0.split_to(length)))))
    }

    fn is_end_stream(&self) -> bool {
        // Known beforehand, an empty body would be sent with a length.
        false
    }
}
