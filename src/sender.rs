//! The one place that sends requests to sinks, and downloads feeds.
//!
//! A sink's redirects are not followed: a receiver's 3xx is a failure in the Standard Webhooks scheme, and
//! following one would carry an alert to a host that nobody configured.

mod download;
mod gate;
mod tokens;

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::HeaderValue;
use reqwest::{Client, StatusCode, Url};
use tokio::sync::Notify;

pub use download::{DownloadError, download};
pub use gate::SinkHealth;

use crate::sign_in::Timestamp;
use crate::sink::token::{self, TokenSource};
use crate::sink::{Method, Request, Secret};
use gate::{Closed, Ended, Gates};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The Standard Webhooks scheme asks for 15 to 30 s.
const TOTAL_TIMEOUT: Duration = Duration::from_secs(20);
/// As much of an answer is shown.
const MAX_SHOWN_BYTES: usize = 2048;
/// A delivery waits that long for others to the same sink to end.
const PATIENCE: Duration = Duration::from_secs(1);
/// An answer with a token has a few thousand bytes.
const MAX_TOKEN_ANSWER_BYTES: usize = 64 * 1024;

/// What became of a request. No text here holds the address: it may be a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The receiver took it (2xx).
    Delivered,
    /// It may go better later.
    Transient {
        /// Why it did not go.
        reason: String,
        /// How long the receiver asks to wait.
        retry_after: Option<Duration>,
    },
    /// It will not go better.
    Permanent {
        /// Why it did not go.
        reason: String,
    },
}

/// A request and what came back. The body is the receiver's, and may repeat secrets of the request.
#[derive(Debug)]
pub struct Exchange {
    /// What became of the request.
    pub outcome: Outcome,
    /// The status, if there was an answer.
    pub status: Option<u16>,
    /// The beginning of the answer's body.
    pub body: Vec<u8>,
    /// From the request to the head of the answer.
    pub elapsed: Duration,
}

/// A sender that cannot be made.
#[derive(Debug, thiserror::Error)]
#[error("prepare outgoing HTTP")]
pub struct SenderError(#[from] reqwest::Error);

/// Sends requests, and remembers which receivers are down or asked to wait.
#[derive(Debug)]
pub struct Sender {
    strict: Client,
    insecure: Client,
    gates: Mutex<Gates>,
    /// Rung when a delivery ends.
    left: Notify,
    tokens: tokens::Tokens,
}

impl Sender {
    /// A sender with its connection pools.
    ///
    /// # Errors
    /// TLS cannot be set up.
    pub fn new() -> Result<Self, SenderError> {
        let builder = || {
            Client::builder()
                .redirect(reqwest::redirect::Policy::none())
                .connect_timeout(CONNECT_TIMEOUT)
                .timeout(TOTAL_TIMEOUT)
                .user_agent(format!("spwatch/{}", crate::build::VERSION))
        };
        Ok(Self {
            strict: builder()
                .https_only(true)
                .dns_resolver(Arc::new(PublicAddresses))
                .build()?,
            insecure: builder().no_proxy().build()?,
            gates: Mutex::default(),
            left: Notify::new(),
            tokens: tokens::Tokens::default(),
        })
    }

    /// Sends a request. `insecure` allows plain http and private targets.
    pub async fn send(&self, request: Request, insecure: bool) -> Outcome {
        self.exchange_with(request, insecure, 0).await.outcome
    }

    /// Sends a request, and keeps what came back.
    pub async fn exchange(&self, request: Request, insecure: bool) -> Exchange {
        self.exchange_with(request, insecure, MAX_SHOWN_BYTES).await
    }

    async fn exchange_with(&self, request: Request, insecure: bool, shown: usize) -> Exchange {
        let started = Instant::now();
        let authorization = request.header("authorization").cloned();
        let mut response = match self.execute(request, insecure).await {
            Ok(response) => response,
            Err(outcome) => {
                return Exchange {
                    outcome,
                    status: None,
                    body: Vec::new(),
                    elapsed: started.elapsed(),
                };
            }
        };
        let elapsed = started.elapsed();
        let status = response.status();
        let outcome = match (status.as_u16(), authorization) {
            // Tokens and roles are mended by their owner, not by losing the alert.
            (401 | 403, Some(authorization)) => {
                if let Some(token) = authorization.reveal().strip_prefix("Bearer ") {
                    self.tokens.forget(token);
                }
                transient(format!(
                    "the receiver answered {status}: it does not accept the token, or its holder lacks the role"
                ))
            }
            _ => outcome(status, retry_after(&response)),
        };
        let mut body = Vec::new();
        while body.len() < shown
            && let Ok(Some(chunk)) = response.chunk().await
        {
            body.extend_from_slice(&chunk);
        }
        body.truncate(shown);
        Exchange {
            outcome,
            status: Some(status.as_u16()),
            body,
            elapsed,
        }
    }

    /// An access token, from memory where it is still good.
    ///
    /// # Errors
    /// There is none to be had now; the alert waits.
    pub async fn token(
        &self,
        source: &TokenSource,
        insecure: bool,
        now: Timestamp,
    ) -> Result<Secret, Outcome> {
        if let Some(token) = self.tokens.get(source, now) {
            return Ok(token);
        }
        // The platform gives out its tokens over plain http on this machine.
        let insecure = insecure || source.is_local();
        let mut response = self
            .execute(source.request(), insecure)
            .await
            .map_err(|outcome| degrade("no access token", outcome))?;
        let (status, wait) = (response.status(), retry_after(&response));
        let mut body = Vec::new();
        while let Ok(Some(chunk)) = response.chunk().await {
            body.extend_from_slice(&chunk);
            if body.len() > MAX_TOKEN_ANSWER_BYTES {
                break;
            }
        }
        if !status.is_success() {
            let code = token::refusal(&body).map_or(String::new(), |code| format!(" ({code})"));
            return Err(Outcome::Transient {
                reason: format!("no access token: the issuer answered {status}{code}"),
                retry_after: wait,
            });
        }
        let token = token::read(&body, now).map_err(|error| transient(error.to_string()))?;
        let value = token.value.clone();
        self.tokens.keep(source, token);
        Ok(value)
    }

    async fn execute(
        &self,
        request: Request,
        insecure: bool,
    ) -> Result<reqwest::Response, Outcome> {
        let url = Url::parse(request.url.reveal().trim())
            .map_err(|_| transient("its address is no URL".to_owned()))?;
        if !insecure && let Some(reason) = refusal(&url) {
            return Err(Outcome::Permanent {
                reason: reason.to_owned(),
            });
        }
        let client = if insecure {
            &self.insecure
        } else {
            &self.strict
        };
        let method = match request.method {
            Method::Get => reqwest::Method::GET,
            Method::Post => reqwest::Method::POST,
            Method::Put => reqwest::Method::PUT,
        };
        let mut sending = client.request(method, url).body(request.body);
        for (name, value) in request.headers {
            let mut value = HeaderValue::from_str(value.reveal())
                .map_err(|_| transient(format!("the header {name} cannot be sent")))?;
            value.set_sensitive(matches!(name, "authorization" | "x-identity-header"));
            sending = sending.header(name, value);
        }
        sending
            .send()
            .await
            .map_err(|error| transient(describe(&error)))
    }

    /// Lets a delivery to a sink pass. Where only the number of those under way is against it, it waits a moment.
    ///
    /// # Errors
    /// The sink is not tried now; the text says why and how its last delivery failed.
    pub async fn enter(&self, sink: &str) -> Result<Pass<'_>, String> {
        let patience = Instant::now() + PATIENCE;
        loop {
            let left = self.left.notified();
            let entered = self.gates().enter(sink, Instant::now());
            match entered {
                Ok(()) => {
                    return Ok(Pass {
                        sender: self,
                        sink: sink.to_owned(),
                        ended: false,
                    });
                }
                Err(Closed::Resting { left, reason }) => {
                    let seconds = left.as_secs() + 1;
                    return Err(format!("it is not tried for {seconds} s more: {reason}"));
                }
                Err(Closed::Trying { reason }) => return Err(reason),
                Err(Closed::Busy)
                    if tokio::time::timeout_at(patience.into(), left).await.is_ok() => {}
                Err(Closed::Busy | Closed::Stuck) => {
                    return Err("as many deliveries as may be are under way".to_owned());
                }
            }
        }
    }

    /// How every sink does that something was sent to.
    pub fn health(&self) -> Vec<SinkHealth> {
        self.gates().health()
    }

    fn gates(&self) -> MutexGuard<'_, Gates> {
        self.gates.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A delivery under way. Dropped without a word, it was given up.
#[derive(Debug)]
pub struct Pass<'a> {
    sender: &'a Sender,
    sink: String,
    ended: bool,
}

impl Pass<'_> {
    /// The delivery has ended.
    pub fn leave(mut self, outcome: &Outcome) {
        let ended = match outcome {
            Outcome::Delivered | Outcome::Permanent { .. } => Ended::Answered,
            Outcome::Transient {
                reason,
                retry_after,
            } => Ended::Failed {
                reason,
                retry_after: *retry_after,
            },
        };
        self.end(ended);
    }

    fn end(&mut self, ended: Ended<'_>) {
        self.ended = true;
        let mut gates = self.sender.gates();
        gates.leave(&self.sink, ended, Instant::now(), jitter());
        drop(gates);
        self.sender.left.notify_waiters();
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        if !self.ended {
            self.end(Ended::Abandoned);
        }
    }
}

/// A random number from 0 to 1.
fn jitter() -> f64 {
    let (high, _) = uuid::Uuid::new_v4().as_u64_pair();
    // The upper 48 bits are random.
    (high >> 16) as f64 / (1_u64 << 48) as f64
}

fn transient(reason: String) -> Outcome {
    Outcome::Transient {
        reason,
        retry_after: None,
    }
}

/// Says what failed; what would be permanent for a request is not for the token before it.
fn degrade(what: &str, outcome: Outcome) -> Outcome {
    match outcome {
        Outcome::Delivered => outcome,
        Outcome::Permanent { reason } => transient(format!("{what}: {reason}")),
        Outcome::Transient {
            reason,
            retry_after,
        } => Outcome::Transient {
            reason: format!("{what}: {reason}"),
            retry_after,
        },
    }
}

fn outcome(status: StatusCode, retry_after: Option<Duration>) -> Outcome {
    if status.is_success() {
        return Outcome::Delivered;
    }
    let reason = format!("the receiver answered {status}");
    match status.as_u16() {
        408 | 425 | 429 | 500..=599 => Outcome::Transient {
            reason,
            retry_after,
        },
        300..=399 => Outcome::Permanent {
            reason: format!("{reason}; redirects are not followed"),
        },
        410 => Outcome::Permanent {
            reason: format!("{reason}: it is gone for good, take the sink out of the policy"),
        },
        _ => Outcome::Permanent { reason },
    }
}

/// `Retry-After`: seconds or an HTTP date (RFC 9110, section 10.2.3).
fn retry_after(response: &reqwest::Response) -> Option<Duration> {
    let value = response.headers().get("retry-after")?.to_str().ok()?.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = chrono::DateTime::parse_from_rfc2822(value).ok()?;
    (date.to_utc() - chrono::Utc::now()).to_std().ok()
}

fn describe(error: &reqwest::Error) -> String {
    let what = if error.is_timeout() {
        "the receiver did not answer in time"
    } else if error.is_connect() {
        "the receiver could not be reached"
    } else {
        "the request failed"
    };
    what.to_owned()
}

/// Why an address is refused where the sink does not say `insecure = true`.
fn refusal(url: &Url) -> Option<&'static str> {
    if url.scheme() != "https" {
        return Some("its address is not https (a local test says `insecure = true`)");
    }
    let host = url
        .host_str()?
        .trim_start_matches('[')
        .trim_end_matches(']');
    let private = match host.parse::<IpAddr>() {
        Ok(address) => !is_public(address),
        Err(_) => host.eq_ignore_ascii_case("localhost"),
    };
    private
        .then_some("its address is a private or loopback one (a local test says `insecure = true`)")
}

/// Whether an address is outside the private, loopback, link-local and other special ranges
/// (IANA IPv4 and IPv6 Special-Purpose Address Registries).
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [first, second, third, _] = v4.octets();
            !(v4.is_private()
                || v4.is_loopback()
                || v4.is_link_local()
                || v4.is_unspecified()
                || v4.is_broadcast()
                || v4.is_multicast()
                || first == 0
                || (first == 100 && (64..128).contains(&second))
                || (first == 192 && second == 0 && third == 0)
                || (first == 198 && (second == 18 || second == 19))
                || first >= 240
                // Azure's own host, which answers on every virtual machine:
                // MicrosoftDocs/azure-docs `articles/virtual-network/what-is-ip-address-168-63-129-16.md`.
                || v4.octets() == [168, 63, 129, 16])
        }
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => is_public(IpAddr::V4(v4)),
            None => {
                let [first, second, ..] = v6.segments();
                !(v6.is_loopback()
                    || v6.is_unspecified()
                    || v6.is_multicast()
                    || (first == 0x64 && second == 0xff9b)
                    || first & 0xfe00 == 0xfc00
                    || first & 0xffc0 == 0xfe80)
            }
        },
    }
}

/// Resolves names to public addresses only, so that a name cannot lead where an address may not.
#[derive(Debug)]
struct PublicAddresses;

impl Resolve for PublicAddresses {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let public: Vec<SocketAddr> = found.filter(|address| is_public(address.ip())).collect();
            if public.is_empty() {
                return Err("no public address".into());
            }
            Ok(Box::new(public.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sorts_statuses() {
        let transient = |code| {
            matches!(
                outcome(StatusCode::from_u16(code).unwrap(), None),
                Outcome::Transient { .. }
            )
        };
        let permanent = |code| {
            matches!(
                outcome(StatusCode::from_u16(code).unwrap(), None),
                Outcome::Permanent { .. }
            )
        };
        for code in [200, 201, 202, 204, 299] {
            assert_eq!(
                outcome(StatusCode::from_u16(code).unwrap(), None),
                Outcome::Delivered
            );
        }
        for code in [408, 425, 429, 500, 502, 503, 504, 599] {
            assert!(transient(code), "{code}");
        }
        for code in [301, 302, 307, 308, 400, 401, 403, 404, 410, 413, 422] {
            assert!(permanent(code), "{code}");
        }
    }

    #[test]
    fn refuses_private_targets() {
        let refused = |url: &str| refusal(&Url::parse(url).unwrap()).is_some();
        for url in [
            "http://hook.example/",
            "https://127.0.0.1/",
            "https://[::1]/",
            "https://169.254.169.254/metadata",
            "https://10.1.2.3/",
            "https://[fe80::1]/",
            "https://[fd00::1]/",
            "https://[::ffff:10.0.0.1]/",
            "https://100.64.0.1/",
            "https://localhost/",
        ] {
            assert!(refused(url), "{url}");
        }
        for url in [
            "https://hook.example/",
            "https://203.0.113.9/",
            "https://[2001:db8::1]/",
        ] {
            assert!(!refused(url), "{url}");
        }
    }
}
