//! Downloads of feeds: larger than any answer of a sink, and through redirects, but over https to public addresses
//! only.

use std::sync::Arc;
use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Client, Url};

use super::{CONNECT_TIMEOUT, PublicAddresses, refusal};

const TOTAL_TIMEOUT: Duration = Duration::from_secs(120);
const MOST_REDIRECTS: usize = 5;

/// Why there is no download.
#[derive(Debug, thiserror::Error)]
pub enum DownloadError {
    /// HTTP cannot be set up.
    #[error("prepare outgoing HTTP")]
    Client(#[source] reqwest::Error),
    /// The address is none, or leads where it may not.
    #[error("{0}")]
    Address(&'static str),
    /// It redirects too often, or where it may not.
    #[error(
        "it redirects more than {MOST_REDIRECTS} times, or to an address that is not https and public"
    )]
    Redirect,
    /// No answer, or not a whole one.
    #[error("the download failed")]
    Request(#[source] reqwest::Error),
    /// Another status than 200.
    #[error("the server answered {0}")]
    Status(reqwest::StatusCode),
    /// More than is taken.
    #[error("it is larger than {} MiB", .0 >> 20)]
    TooLarge(usize),
}

/// Downloads at most `limit` bytes. `insecure` allows plain http and private addresses.
///
/// # Errors
/// It is not there, too large, too slow or somewhere it may not be.
pub async fn download(url: &str, insecure: bool, limit: usize) -> Result<Vec<u8>, DownloadError> {
    let url = Url::parse(url.trim()).map_err(|_| DownloadError::Address("it is no URL"))?;
    if !insecure && refusal(&url).is_some() {
        return Err(DownloadError::Address(
            "its address is not https and public",
        ));
    }
    let redirects = Policy::custom(move |attempt| {
        let is_refused = !insecure && refusal(attempt.url()).is_some();
        match is_refused || attempt.previous().len() > MOST_REDIRECTS {
            true => attempt.error("refused"),
            false => attempt.follow(),
        }
    });
    let builder = Client::builder()
        .redirect(redirects)
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(TOTAL_TIMEOUT)
        .user_agent(format!("spwatch/{}", crate::build::VERSION));
    let builder = match insecure {
        true => builder.no_proxy(),
        false => builder
            .https_only(true)
            .dns_resolver(Arc::new(PublicAddresses)),
    };
    let client = builder.build().map_err(DownloadError::Client)?;
    let failed = |error: reqwest::Error| match error.is_redirect() {
        true => DownloadError::Redirect,
        // Without the address: it may hold a key.
        false => DownloadError::Request(error.without_url()),
    };
    let mut response = client.get(url).send().await.map_err(failed)?;
    if response.status() != reqwest::StatusCode::OK {
        return Err(DownloadError::Status(response.status()));
    }
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(failed)? {
        if bytes.len() + chunk.len() > limit {
            return Err(DownloadError::TooLarge(limit));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::response::Redirect;
    use axum::routing::get;

    use super::*;

    async fn server() -> String {
        let routes = Router::new()
            .route("/feed", get(async || "192.0.2.1\n"))
            .route("/moved", get(async || Redirect::temporary("/feed")))
            .route("/round", get(async || Redirect::temporary("/round")));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, routes).await });
        format!("http://{address}")
    }

    #[tokio::test]
    async fn takes_what_is_there_and_not_too_large() {
        let server = server().await;
        let load =
            async |path: &str, limit| download(&format!("{server}{path}"), true, limit).await;
        assert_eq!(load("/feed", 100).await.unwrap(), b"192.0.2.1\n");
        assert_eq!(load("/moved", 100).await.unwrap(), b"192.0.2.1\n");
        assert!(matches!(
            load("/feed", 9).await,
            Err(DownloadError::TooLarge(9))
        ));
        assert!(matches!(
            load("/round", 9).await,
            Err(DownloadError::Redirect)
        ));
        assert!(matches!(
            load("/gone", 9).await,
            Err(DownloadError::Status(_))
        ));
    }

    #[tokio::test]
    async fn refuses_plain_http_and_private_addresses() {
        for url in [
            "http://feeds.example/a",
            "https://127.0.0.1/a",
            "ftp://feeds.example/a",
            "a",
        ] {
            let refused = download(url, false, 100).await;
            assert!(matches!(refused, Err(DownloadError::Address(_))), "{url}");
        }
    }
}
