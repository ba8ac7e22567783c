//! The floor: spwatch's own HTTP stack, reading each body to its end and doing nothing with it.
//!
//! What it costs is what no handler on this stack can avoid. One thread, one runtime.

use std::net::Ipv4Addr;

use anyhow::Context as _;
use axum::Router;
use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http_body_util::BodyExt as _;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;

/// As spwatch's own.
const READ_AHEAD: usize = 64 << 10;

/// Answers with the number of bytes, so that the load generator knows that all of them arrived.
async fn ignore(mut body: Body) -> Response {
    let mut read = 0;
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => read += frame.data_ref().map_or(0, |data| data.len()),
            Err(_) => return axum::http::StatusCode::BAD_REQUEST.into_response(),
        }
    }
    let answer = format!("{{\"read\":{read}}}");
    ([(CONTENT_TYPE, "application/json")], answer).into_response()
}

fn main() -> anyhow::Result<()> {
    let port = std::env::var("FUNCTIONS_CUSTOMHANDLER_PORT")
        .context("FUNCTIONS_CUSTOMHANDLER_PORT is not set")?
        .parse::<u16>()
        .context("FUNCTIONS_CUSTOMHANDLER_PORT is no port")?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let router = Router::new()
            .route("/", get(|| async { "{}" }))
            .route("/SignIns", post(ignore));
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let service = TowerToHyperService::new(router);
        loop {
            let (connection, _) = listener.accept().await?;
            let connection = http1::Builder::new()
                .header_read_timeout(None)
                .max_buf_size(READ_AHEAD)
                .serve_connection(TokioIo::new(connection), service.clone());
            // The load generator notices a connection that breaks.
            tokio::spawn(connection);
        }
    })
}
