//! Azurite, the storage emulator, started for a test and ended with it.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use tempfile::TempDir;

/// The program, where `test.sh` installs it.
const PROGRAM: &str = "target/azurite/node_modules/azurite/dist/src/azurite.js";
const ACCOUNT: &str = "devstoreaccount1";
/// Every emulator's key (Azure/Azurite `README.md`).
const KEY: &str =
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
        let (blob, queue) = (self.blob_port, self.queue_port);
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

impl Azurite {
    /// Makes a container.
    pub(crate) async fn create_container(&self, name: &str) {
        let query = [("restype", "container")];
        let (status, text) = self.call("PUT", name, &query, Vec::new()).await;
        assert!(matches!(status, 201 | 409), "{status}: {text}");
    }

    /// Calls the API of blobs, signed with the account's key
    /// (learn.microsoft.com/rest/api/storageservices/authorize-with-shared-key).
    async fn call(
        &self,
        method: &str,
        path: &str,
        query: &[(&str, &str)],
        body: Vec<u8>,
    ) -> (u16, String) {
        let port = self.blob_port;
        let date = chrono::Utc::now()
            .format("%a, %d %b %Y %H:%M:%S GMT")
            .to_string();
        let mut headers = vec![("x-ms-date", date.as_str()), ("x-ms-version", "2021-12-02")];
        if method == "PUT" && query.is_empty() {
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
        let mut url = format!("http://127.0.0.1:{port}/{ACCOUNT}/{path}");
        for (place, (name, value)) in query.iter().enumerate() {
            url.push(if place == 0 { '?' } else { '&' });
            url.push_str(&format!("{name}={value}"));
        }
        let mut request = reqwest::Client::new()
            .request(method.parse().unwrap(), url)
            .header("authorization", format!("SharedKey {ACCOUNT}:{signature}"))
            .header("content-length", body.len())
            .body(body);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        (status, response.text().await.unwrap())
    }
}
