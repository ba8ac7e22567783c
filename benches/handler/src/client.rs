//! An HTTP/1.1 client of one connection that stays open. It costs little beside what it measures.

use std::io::IoSlice;
use std::net::Ipv4Addr;

use anyhow::{Context as _, bail};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::data::Random;
use crate::wire::Request;

/// A connection.
#[derive(Debug)]
pub(crate) struct Client {
    stream: TcpStream,
    head: Vec<u8>,
    buffer: Vec<u8>,
    random: Random,
}

impl Client {
    /// Connects.
    ///
    /// # Errors
    /// Nobody listens.
    pub(crate) async fn connect(port: u16) -> anyhow::Result<Self> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            random: Random(u64::from(stream.local_addr()?.port())),
            stream,
            head: Vec::with_capacity(1024),
            buffer: Vec::with_capacity(64 << 10),
        })
    }

    /// `GET /`, as the host asks whether the handler is ready.
    ///
    /// # Errors
    /// The connection broke, or the answer is not HTTP as axum writes it.
    pub(crate) async fn probe(&mut self) -> anyhow::Result<u16> {
        self.stream
            .write_all(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            .await?;
        Ok(self.answer().await?.0)
    }

    /// Sends an invocation, with an id of its own, and reads the whole answer.
    ///
    /// # Errors
    /// The connection broke, or the answer is not HTTP as axum writes it.
    pub(crate) async fn post(&mut self, request: &Request) -> anyhow::Result<(u16, &[u8])> {
        self.head.clear();
        self.head.extend_from_slice(&request.head);
        self.head.extend_from_slice(self.random.guid().as_bytes());
        self.head.extend_from_slice(b"\r\n\r\n");
        let sent = self
            .stream
            .write_vectored(&[IoSlice::new(&self.head), IoSlice::new(&request.framed)])
            .await?;
        match sent.checked_sub(self.head.len()) {
            Some(sent) => self.stream.write_all(&request.framed[sent..]).await?,
            None => {
                self.stream.write_all(&self.head[sent..]).await?;
                self.stream.write_all(&request.framed).await?;
            }
        }
        self.answer().await
    }

    async fn answer(&mut self) -> anyhow::Result<(u16, &[u8])> {
        self.buffer.clear();
        let (head, end) = loop {
            if let Some(end) = find(&self.buffer, b"\r\n\r\n") {
                break (Head::read(&self.buffer[..end])?, end + 4);
            }
            self.more().await?;
        };
        while self.buffer.len() < end + head.length {
            self.more().await?;
        }
        if self.buffer.len() > end + head.length {
            bail!("the answer is longer than it says");
        }
        Ok((head.status, &self.buffer[end..]))
    }

    async fn more(&mut self) -> anyhow::Result<()> {
        match self.stream.read_buf(&mut self.buffer).await? {
            0 => bail!("the server closed the connection"),
            _ => Ok(()),
        }
    }
}

struct Head {
    status: u16,
    length: usize,
}

impl Head {
    fn read(bytes: &[u8]) -> anyhow::Result<Self> {
        let text = std::str::from_utf8(bytes).context("the answer's head is not UTF-8")?;
        let mut lines = text.split("\r\n");
        let status = lines
            .next()
            .and_then(|line| line.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok())
            .context("the answer has no status")?;
        let length = lines
            .filter_map(|line| line.split_once(':'))
            .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
            .and_then(|(_, value)| value.trim().parse().ok())
            .context("the answer does not tell its length")?;
        Ok(Self { status, length })
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes
        .windows(wanted.len())
        .position(|window| window == wanted)
}
