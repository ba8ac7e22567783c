//! The host's connections, each to the router until it ends.

use std::time::Duration;

use axum::Router;
use axum::serve::Listener;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tracing::{debug, warn};

/// How much of a body is read at a time: what the host sends ahead of it waits in the socket. All connections'
/// room fits into a core's second-level cache.
const READ_AHEAD: usize = 64 << 10;
/// After the end is asked for, requests under way get this long.
const GRACE: Duration = Duration::from_secs(25);

/// Serves connections until `end`, and then the requests under way. HTTP/1.1, which is all that the host speaks
/// to a custom handler (Azure/azure-functions-host, `src/WebJobs.Script/Workers/Http/DefaultHttpWorkerService.cs`).
pub(super) async fn listen(
    mut listener: TcpListener,
    router: Router,
    end: impl Future<Output = ()>,
) {
    let graceful = GracefulShutdown::new();
    let service = TowerToHyperService::new(router);
    let mut end = std::pin::pin!(end);
    loop {
        let (connection, _) = tokio::select! {
            accepted = Listener::accept(&mut listener) => accepted,
            () = &mut end => break,
        };
        let connection = http1::Builder::new()
            // The host keeps its connections open for the next batch, however long that takes.
            .header_read_timeout(None)
            .max_buf_size(READ_AHEAD)
            .serve_connection(TokioIo::new(connection), service.clone());
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                debug!(event = "connection-ended", "a connection ended: {error}");
            }
        });
    }
    drop(listener);
    if tokio::time::timeout(GRACE, graceful.shutdown())
        .await
        .is_err()
    {
        warn!(
            event = "stopped-early",
            "stopping with invocations under way: the host will send them again"
        );
    }
}
