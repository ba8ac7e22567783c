//! Azurite, the storage emulator, started for a test and ended with it.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures_util::future::BoxFuture;
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use spwatch::devhost::{RemoteMessage, Storage, StorageError};
use tempfile::TempDir;
use uuid::Uuid;

/// The program, where `test.sh` installs it.
const PROGRAM: &str = "target/azurite/node_modules/azurite/dist/src/azurite.js";
const ACCOUNT: &str = "devstoreaccount1";
/// Every emulator's key (Azure/Azurite `README.md`).
pub(crate) const KEY: &str =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/// A running Azurite with storage of its own.
pub(crate) struct Azurite {
    process: Child,
    blob_port: u16,
    queue_port: u16,
    _folder: TempDir,
}

impl Drop for Azurite {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

impl Azurite {
    pub(crate) async fn start() -> Self {
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join(PROGRAM);
        assert!(
            program.exists(),
            "Azurite is not installed: run ./test.sh once, which does it"
        );
        let folder = tempfile::tempdir().unwrap();
        let ports = [free_port(), free_port(), free_port()].map(|port| port.to_string());
        let [blob, queue, table] = &ports;
        let local = "127.0.0.1";
        let process = Command::new("node")
            .arg(program)
            .args([
                "--blobHost",
                local,
                "--queueHost",
                local,
                "--tableHost",
                local,
            ])
            .args([
                "--blobPort",
                blob,
                "--queuePort",
                queue,
                "--tablePort",
                table,
            ])
            .args(["--skipApiVersionCheck", "--disableTelemetry", "--silent"])
            .arg("--location")
            .arg(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let azurite = Self {
            process,
            blob_port: blob.parse().unwrap(),
            queue_port: queue.parse().unwrap(),
            _folder: folder,
        };
        let deadline = Instant::now() + Duration::from_secs(60);
        for port in [azurite.blob_port, azurite.queue_port] {
            while tokio::net::TcpStream::connect((local, port)).await.is_err() {
                assert!(Instant::now() < deadline, "Azurite does not listen");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        azurite
    }

    /// What a Functions app is given to find its storage.
    pub(crate) fn connection_string(&self) -> String {
        self.connection_string_at(self.blob_port)
    }

    /// Where its blobs are.
    pub(crate) fn blob_port(&self) -> u16 {
        self.blob_port
    }

    /// The same, with its blobs reached by way of another port.
    pub(crate) fn connection_string_at(&self, blob: u16) -> String {
        let queue = self.queue_port;
        format!(
            "DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={KEY};\
             BlobEndpoint=http://127.0.0.1:{blob}/{ACCOUNT};QueueEndpoint=http://127.0.0.1:{queue}/{ACCOUNT};"
        )
    }

    /// The settings of an app with this storage.
    pub(crate) fn settings(&self) -> impl Fn(&str) -> Option<String> {
        let text = self.connection_string();
        move |name| (name == "AzureWebJobsStorage").then(|| text.clone())
    }
}

/// One of the two services.
#[derive(Debug, Clone, Copy)]
enum Service {
    Blobs,
    Queues,
}

/// The storage account of a running Azurite, as a host reaches it.
#[derive(Debug, Clone)]
pub(crate) struct Account {
    blob_port: u16,
    queue_port: u16,
    client: reqwest::Client,
}

/// What an answer of the service was.
struct Response {
    status: u16,
    text: String,
    messages: Option<usize>,
}

impl Azurite {
    /// Its storage account.
    pub(crate) fn account(&self) -> Account {
        Account {
            blob_port: self.blob_port,
            queue_port: self.queue_port,
            client: reqwest::Client::builder().no_proxy().build().unwrap(),
        }
    }

    /// Makes a container.
    pub(crate) async fn create_container(&self, name: &str) {
        self.account().create_container(name).await.unwrap();
    }
}

impl Account {
    pub(crate) async fn create_container(&self, name: &str) -> Result<(), StorageError> {
        let query = [("restype", "container")];
        let call = self.call(Service::Blobs, "PUT", name, &query, Vec::new());
        expect(call.await?, &[201, 409]).map(drop)
    }

    /// The names and contents of a container's blobs.
    pub(crate) async fn blobs(&self, container: &str) -> Vec<(String, String)> {
        #[derive(Deserialize)]
        struct List {
            #[serde(rename = "Blobs")]
            blobs: Blobs,
        }
        #[derive(Deserialize, Default)]
        struct Blobs {
            #[serde(rename = "Blob", default)]
            all: Vec<Blob>,
        }
        #[derive(Deserialize)]
        struct Blob {
            #[serde(rename = "Name")]
            name: String,
        }
        let query = [("comp", "list"), ("restype", "container")];
        let call = self.call(Service::Blobs, "GET", container, &query, Vec::new());
        let answer = call.await.unwrap();
        if answer.status == 404 {
            return Vec::new();
        }
        let list: List = quick_xml::de::from_str(&answer.text).unwrap();
        let mut blobs = Vec::new();
        for blob in list.blobs.all {
            let path = format!("{container}/{}", blob.name);
            let call = self.call(Service::Blobs, "GET", &path, &[], Vec::new());
            blobs.push((blob.name, call.await.unwrap().text));
        }
        blobs
    }

    /// Calls an API, signed with the account's key
    /// (learn.microsoft.com/rest/api/storageservices/authorize-with-shared-key).
    async fn call(
        &self,
        service: Service,
        method: &str,
        path: &str,
        query: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Result<Response, StorageError> {
        let port = match service {
            Service::Blobs => self.blob_port,
            Service::Queues => self.queue_port,
        };
        let date = chrono::Utc::now()
            .format("%a, %d %b %Y %H:%M:%S GMT")
            .to_string();
        let mut headers = vec![("x-ms-date", date.as_str()), ("x-ms-version", "2021-12-02")];
        if matches!(service, Service::Blobs) && method == "PUT" && query.is_empty() {
            headers.insert(0, ("x-ms-blob-type", "BlockBlob"));
        }
        let length = match body.len() {
            0 => String::new(),
            length => length.to_string(),
        };
        let canonical: String = headers
            .iter()
            .map(|(name, value)| format!("{name}:{value}\n"))
            .collect();
        let mut sorted = query.to_vec();
        sorted.sort_unstable();
        let parameters: String = sorted
            .iter()
            .map(|(name, value)| format!("\n{name}:{value}"))
            .collect();
        let to_sign = format!(
            "{method}\n\n\n{length}\n\n\n\n\n\n\n\n\n{canonical}/{ACCOUNT}/{ACCOUNT}/{path}{parameters}"
        );
        let mut mac = Hmac::<Sha256>::new_from_slice(&STANDARD.decode(KEY).unwrap()).unwrap();
        mac.update(to_sign.as_bytes());
        let signature = STANDARD.encode(mac.finalize().into_bytes());
        let mut url =
            reqwest::Url::parse(&format!("http://127.0.0.1:{port}/{ACCOUNT}/{path}")).unwrap();
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let mut request = self
            .client
            .request(method.parse().unwrap(), url)
            .header("authorization", format!("SharedKey {ACCOUNT}:{signature}"))
            .header("content-length", body.len())
            .body(body);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let failed = |error: reqwest::Error| StorageError(format!("{error:?}"));
        let response = request.send().await.map_err(failed)?;
        let messages = response.headers().get("x-ms-approximate-messages-count");
        Ok(Response {
            status: response.status().as_u16(),
            messages: messages.and_then(|count| count.to_str().ok()?.parse().ok()),
            text: response.text().await.map_err(failed)?,
        })
    }

    /// Calls for a queue, and makes it where it is not there.
    async fn queue(
        &self,
        method: &str,
        queue: &str,
        path: &str,
        query: &[(&str, &str)],
        body: &str,
    ) -> Result<Response, StorageError> {
        let path = format!("{queue}{path}");
        loop {
            let bytes = body.as_bytes().to_vec();
            let answer = self
                .call(Service::Queues, method, &path, query, bytes)
                .await?;
            if answer.status != 404 || !answer.text.contains("QueueNotFound") {
                return Ok(answer);
            }
            let call = self.call(Service::Queues, "PUT", queue, &[], Vec::new());
            expect(call.await?, &[201, 204, 409])?;
        }
    }
}

fn expect(answer: Response, statuses: &[u16]) -> Result<Response, StorageError> {
    match statuses.contains(&answer.status) {
        true => Ok(answer),
        false => Err(StorageError(format!("{}: {}", answer.status, answer.text))),
    }
}

/// A message of the queue service (learn.microsoft.com/rest/api/storageservices/get-messages).
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct QueueMessage {
    message_id: Uuid,
    insertion_time: String,
    expiration_time: String,
    pop_receipt: Option<String>,
    time_next_visible: Option<String>,
    dequeue_count: u32,
    message_text: String,
}

#[derive(Debug, Deserialize)]
struct QueueMessages {
    #[serde(rename = "QueueMessage", default)]
    all: Vec<QueueMessage>,
}

#[derive(Serialize)]
#[serde(rename = "QueueMessage", rename_all = "PascalCase")]
struct NewMessage<'a> {
    message_text: &'a str,
}

fn new_message(text: &str) -> String {
    quick_xml::se::to_string(&NewMessage { message_text: text }).unwrap()
}

impl Storage for Account {
    fn put<'a>(&'a self, queue: &'a str, text: &'a str) -> BoxFuture<'a, Result<(), StorageError>> {
        Box::pin(async move {
            let body = new_message(text);
            let call = self.queue("POST", queue, "/messages", &[], &body);
            expect(call.await?, &[201]).map(drop)
        })
    }

    fn take<'a>(
        &'a self,
        queue: &'a str,
        lease: Duration,
    ) -> BoxFuture<'a, Result<Option<RemoteMessage>, StorageError>> {
        Box::pin(async move {
            let lease = lease.as_secs().to_string();
            let query = [("numofmessages", "1"), ("visibilitytimeout", &*lease)];
            let call = self.queue("GET", queue, "/messages", &query, "");
            let answer = expect(call.await?, &[200])?;
            let messages: QueueMessages = quick_xml::de::from_str(&answer.text)
                .map_err(|error| StorageError(error.to_string()))?;
            let time = |text: &str| {
                let time = chrono::DateTime::parse_from_rfc2822(text);
                time.map_or_else(|_| chrono::Utc::now(), |time| time.to_utc())
            };
            Ok(messages
                .all
                .into_iter()
                .next()
                .map(|message| RemoteMessage {
                    id: message.message_id,
                    receipt: message.pop_receipt.unwrap_or_default(),
                    text: message.message_text,
                    dequeue_count: message.dequeue_count,
                    inserted: time(&message.insertion_time),
                    expires: time(&message.expiration_time),
                    next_visible: time(&message.time_next_visible.unwrap_or_default()),
                }))
        })
    }

    fn delete<'a>(
        &'a self,
        queue: &'a str,
        message: Uuid,
        receipt: &'a str,
    ) -> BoxFuture<'a, Result<(), StorageError>> {
        Box::pin(async move {
            let path = format!("/messages/{message}");
            let query = [("popreceipt", receipt)];
            let call = self.queue("DELETE", queue, &path, &query, "");
            expect(call.await?, &[204]).map(drop)
        })
    }

    fn hide<'a>(
        &'a self,
        queue: &'a str,
        message: &'a RemoteMessage,
        time: Duration,
    ) -> BoxFuture<'a, Result<(), StorageError>> {
        Box::pin(async move {
            let path = format!("/messages/{}", message.id);
            let seconds = time.as_secs().to_string();
            let query = [
                ("popreceipt", &*message.receipt),
                ("visibilitytimeout", &*seconds),
            ];
            let body = new_message(&message.text);
            let call = self.queue("PUT", queue, &path, &query, &body);
            expect(call.await?, &[204]).map(drop)
        })
    }

    fn count<'a>(
        &'a self,
        queue: &'a str,
        hidden_too: bool,
    ) -> BoxFuture<'a, Result<usize, StorageError>> {
        Box::pin(async move {
            if hidden_too {
                let call = self.queue("GET", queue, "", &[("comp", "metadata")], "");
                let answer = expect(call.await?, &[200])?;
                return Ok(answer.messages.unwrap_or(1));
            }
            let query = [("numofmessages", "32"), ("peekonly", "true")];
            let call = self.queue("GET", queue, "/messages", &query, "");
            let answer = expect(call.await?, &[200])?;
            let messages: QueueMessages = quick_xml::de::from_str(&answer.text)
                .map_err(|error| StorageError(error.to_string()))?;
            Ok(messages.all.len())
        })
    }

    fn write_blob<'a>(
        &'a self,
        path: &'a str,
        content: &'a [u8],
    ) -> BoxFuture<'a, Result<(), StorageError>> {
        Box::pin(async move {
            let call = self.call(Service::Blobs, "PUT", path, &[], content.to_vec());
            let answer = call.await?;
            if answer.status != 404 {
                return expect(answer, &[201]).map(drop);
            }
            // The host's binding makes the container.
            let container = path.split('/').next().unwrap_or_default();
            self.create_container(container).await?;
            let call = self.call(Service::Blobs, "PUT", path, &[], content.to_vec());
            expect(call.await?, &[201]).map(drop)
        })
    }
}
