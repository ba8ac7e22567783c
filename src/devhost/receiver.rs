//! A webhook's far end, for the demo and for tests: records every request, answers as told.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::connect_info::Connected;
use axum::extract::{ConnectInfo, DefaultBodyLimit, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use axum::serve::{IncomingStream, Listener};
use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures_util::stream::{self, StreamExt as _};
use http_body_util::BodyExt as _;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// A request as it arrived.
#[derive(Debug, Clone)]
pub struct Received {
    /// When its body was complete.
    pub at: Instant,
    /// The same by the clock.
    pub time: DateTime<Utc>,
    /// The method.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    /// The status that it was answered with; none where the connection was dropped.
    pub status: Option<u16>,
}

impl Received {
    /// A header as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// What a request is answered with.
#[derive(Debug, Clone)]
pub struct Reply {
    status: u16,
    headers: Vec<(String, String)>,
    body: Bytes,
    delay: Duration,
    dropped: bool,
    cut_short: bool,
}

impl Reply {
    /// That status and an empty body, at once.
    pub fn status(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Bytes::new(),
            delay: Duration::ZERO,
            dropped: false,
            cut_short: false,
        }
    }

    /// No response: the connection ends.
    pub fn dropped() -> Self {
        Self {
            dropped: true,
            ..Self::status(200)
        }
    }

    /// With that body.
    #[must_use]
    pub fn with_body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// The connection ends in the middle of the response's body.
    #[must_use]
    pub fn cut_short(mut self) -> Self {
        self.cut_short = true;
        self
    }

    /// With one more header.
    #[must_use]
    pub fn with_header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// With `Retry-After` in seconds.
    #[must_use]
    pub fn retry_after(self, seconds: u64) -> Self {
        self.with_header(header::RETRY_AFTER.as_str(), seconds.to_string())
    }

    /// That much later.
    #[must_use]
    pub fn after(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }
}

/// A small HTTP server on 127.0.0.1; it ends when dropped.
#[derive(Debug)]
pub struct Receiver {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<io::Result<()>>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<Script>,
    arrived: Notify,
}

#[derive(Debug)]
struct Script {
    received: Vec<Received>,
    next: VecDeque<Reply>,
    always: Reply,
}

impl Receiver {
    /// Listens on a free port and answers 200.
    ///
    /// # Errors
    /// No port can be had.
    pub async fn start() -> io::Result<Self> {
        Self::start_on(SocketAddr::from(([127, 0, 0, 1], 0))).await
    }

    /// Listens there and answers 200: for a receiver that comes back at the same address.
    ///
    /// # Errors
    /// The address cannot be bound.
    pub async fn start_on(address: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            state: Mutex::new(Script {
                received: Vec::new(),
                next: VecDeque::new(),
                always: Reply::status(200),
            }),
            arrived: Notify::new(),
        });
        let router = Router::new()
            .fallback(answer)
            .layer(DefaultBodyLimit::disable())
            .with_state(Arc::clone(&shared));
        let service = router.into_make_service_with_connect_info::<Connection>();
        let task = tokio::spawn(async move { axum::serve(Droppables(listener), service).await });
        Ok(Self {
            address,
            shared,
            task,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its URL with that path, which starts with a slash.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Answers all requests so from now on, once the queued replies are used up.
    pub fn always(&self, reply: Reply) {
        self.shared.state().always = reply;
    }

    /// Queues replies for the next requests, one each.
    pub fn then(&self, replies: impl IntoIterator<Item = Reply>) {
        self.shared.state().next.extend(replies);
    }

    /// All requests so far.
    pub fn received(&self) -> Vec<Received> {
        self.shared.state().received.clone()
    }

    /// Waits for that many requests in all; fewer if the time is up.
    pub async fn wait_for(&self, count: usize, timeout: Duration) -> Vec<Received> {
        let enough = async {
            loop {
                let arrived = self.shared.arrived.notified();
                if self.shared.state().received.len() >= count {
                    return;
                }
                arrived.await;
            }
        };
        // Whether it was enough, the caller sees.
        let _ = tokio::time::timeout(timeout, enough).await;
        self.received()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, Script> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn answer(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(connection): ConnectInfo<Connection>,
    request: Request,
) -> Response<Body> {
    let (head, body) = request.into_parts();
    let Ok(body) = body.collect().await else {
        // The client went away in the middle of its body.
        return Response::new(Body::empty());
    };
    let reply = {
        let mut state = shared.state();
        let reply = state
            .next
            .pop_front()
            .unwrap_or_else(|| state.always.clone());
        state.received.push(Received {
            at: Instant::now(),
            time: Utc::now(),
            method: head.method.to_string(),
            path: head
                .uri
                .path_and_query()
                .map_or_else(String::new, ToString::to_string),
            headers: head.headers,
            body: body.to_bytes(),
            status: (!reply.dropped).then_some(reply.status),
        });
        reply
    };
    shared.arrived.notify_waiters();
    if !reply.delay.is_zero() {
        tokio::time::sleep(reply.delay).await;
    }
    if reply.dropped {
        connection.0.store(true, Ordering::Release);
    }
    let body = match reply.cut_short {
        false => Body::from(reply.body),
        true => {
            let begun = stream::once(async { Ok(Bytes::from_static(b"{")) });
            let cut = stream::once(async {
                // What has been written must have left.
                tokio::time::sleep(Duration::from_millis(5)).await;
                Err(io::Error::from(io::ErrorKind::ConnectionReset))
            });
            Body::from_stream(begun.chain(cut))
        }
    };
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(reply.status).unwrap_or_default();
    for (name, value) in reply.headers {
        if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::from_str(&value)) {
            response.headers_mut().append(name, value);
        }
    }
    response
}

/// A listener whose connections can be cut from within a handler: a service cannot refuse to answer in axum,
/// but a connection that refuses to be written to is closed with nothing sent.
struct Droppables(TcpListener);

struct Droppable {
    stream: TcpStream,
    dropped: Arc<AtomicBool>,
}

#[derive(Clone)]
struct Connection(Arc<AtomicBool>);

impl Connected<IncomingStream<'_, Droppables>> for Connection {
    fn connect_info(stream: IncomingStream<'_, Droppables>) -> Self {
        Self(Arc::clone(&stream.io().dropped))
    }
}

impl Listener for Droppables {
    type Io = Droppable;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        let (stream, address) = Listener::accept(&mut self.0).await;
        let dropped = Arc::default();
        (Droppable { stream, dropped }, address)
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.0.local_addr()
    }
}

impl AsyncRead for Droppable {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Droppable {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.dropped.load(Ordering::Acquire) {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn requests_are_recorded_and_answered_as_told() {
        let receiver = Receiver::start().await.unwrap();
        receiver.then([Reply::status(429).retry_after(7), Reply::dropped()]);
        receiver.always(Reply::status(202).with_body("ok"));
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let post = || {
            client
                .post(receiver.url("/hook?a=1"))
                .header("x-id", "9")
                .body("b")
                .send()
        };
        let refused = post().await.unwrap();
        assert_eq!(
            (refused.status().as_u16(), &refused.headers()["retry-after"]),
            (429, &HeaderValue::from(7))
        );
        assert!(post().await.is_err());
        receiver.then([Reply::status(200).cut_short()]);
        let cut = post().await.unwrap();
        assert_eq!(cut.status().as_u16(), 200);
        assert!(cut.bytes().await.is_err());
        let accepted = post().await.unwrap();
        assert_eq!(accepted.status().as_u16(), 202);
        assert_eq!(accepted.text().await.unwrap(), "ok");
        let received = receiver.wait_for(4, Duration::from_secs(5)).await;
        let statuses: Vec<_> = received.iter().map(|request| request.status).collect();
        assert_eq!(statuses, [Some(429), None, Some(200), Some(202)]);
        let first = &received[0];
        assert_eq!(
            (first.method.as_str(), first.path.as_str()),
            ("POST", "/hook?a=1")
        );
        assert_eq!(
            (first.header("x-id"), &first.body[..]),
            (Some("9"), &b"b"[..])
        );
    }
}
