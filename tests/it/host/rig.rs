//! A host, its cloud, its handler and a receiver, in a folder of their own.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use spwatch::alert;
use spwatch::assess::{Block, Ledger, Period};
use spwatch::devhost::answer::Answer;
use spwatch::devhost::{
    App, Cardinality, Cloud, DataType, Exchange, Framing, Host, Journal, Level, Notice, Options,
    Received, Receiver, Request, RestartRules, Settings, Storage, Target, wire,
};
use spwatch::ingest::{Context, Habit, read_text};
use spwatch::policy::{Policy, Source, compile};
use spwatch::sign_in::Timestamp;
use tempfile::TempDir;

use crate::azurite::Azurite;

/// Long enough for a debug build on a busy machine; nothing waits that long when all is well.
pub(super) const PATIENCE: Duration = Duration::from_secs(120);

/// Signs what the receiver gets.
pub(super) const SIGNING_KEY: &str = "whsec_aG9zdC10ZXN0cy1zaWduaW5nLWtleS0wMTIzNDU2Nzg=";

/// Where alerts are sent: a webhook's path is its secret.
pub(super) const HOOK: &str = "/hooks/T0PSECRETPATH";

/// Two listed apps, at home in 203.0.113.0/24.
pub(super) const PAYROLL: &str = "00000000-1111-2222-3333-00000000000a";
pub(super) const EXPORTER: &str = "00000000-1111-2222-3333-00000000000b";
/// And one that is not listed.
pub(super) const STRANGER: &str = "00000000-1111-2222-3333-0000000000ff";

pub(super) const HOME: &str = "203.0.113.9";
pub(super) const AWAY: &str = "198.51.100.77";

const TENANT: &str = "99999999-1111-2222-3333-444444444444";

/// The sink that the receiver is.
pub(super) const SOC: &str = r#"
[sinks.soc]
type     = "webhook"
url      = "env:SOC_WEBHOOK_URL"
secret   = "env:SOC_WEBHOOK_SECRET"
insecure = true
"#;

const APPS: &str = r#"
[[app]]
name      = "payroll"
app_id    = "00000000-1111-2222-3333-00000000000a"
severity  = "critical"
allow.ips = ["203.0.113.0/24"]

[[app]]
name      = "exporter"
app_id    = "00000000-1111-2222-3333-00000000000b"
severity  = "low"
allow.ips = ["203.0.113.0/24"]
"#;

/// A policy of the two apps with these sinks; the samples here have fixed dates, so no age is too old.
pub(super) fn policy(sinks: &str) -> String {
    format!("version = 1\n[defaults]\nmax_event_age = \"3650d\"\n{sinks}\n{APPS}")
}

/// The diagnostic record of one sign-in, `second` seconds into a day.
pub(super) fn record(id: &str, app: &str, ip: &str, second: u32) -> Value {
    let time = format!(
        "2026-11-23T{:02}:{:02}:{:02}.1234567Z",
        second / 3600 % 24,
        second / 60 % 60,
        second % 60
    );
    json!({
        "time": time,
        "resourceId": format!("/tenants/{TENANT}/providers/Microsoft.aadiam"),
        "category": "ServicePrincipalSignInLogs",
        "tenantId": TENANT,
        "resultType": "0",
        "callerIpAddress": ip,
        "properties": {
            "id": id,
            "createdDateTime": time,
            "appId": app,
            "ipAddress": ip,
            "status": {"errorCode": 0},
            "location": {"city": "Zürich", "countryOrRegion": "CH"},
            "servicePrincipalName": format!("app {}", app.get(34..).unwrap_or(app)),
            "resourceDisplayName": "Microsoft Graph",
        },
    })
}

/// The envelope that Entra ID sends.
pub(super) fn envelope(records: &[Value]) -> String {
    json!({ "records": records }).to_string()
}

/// The ids of the alerts that these events must raise, judged here, each event alone.
pub(super) fn due(policy: &str, events: &[String]) -> BTreeSet<String> {
    let counted = counted(policy, events).into_iter();
    counted.map(|(id, _, _)| id).collect()
}

/// The alerts that these events must raise: the id, the app's id, and the number of sign-ins, each counted once.
pub(super) fn counted(policy: &str, events: &[String]) -> Vec<(String, String, u64)> {
    let compiled = compiled(policy);
    let now = Timestamp::from(chrono::Utc::now());
    let mut ledger = Ledger::new();
    let mut findings = Vec::new();
    for event in events {
        let mut block = Block::new(&compiled, Period::default(), false);
        read_text(
            event.as_bytes(),
            &Context::default(),
            &mut Habit::default(),
            &mut |position, item| block.take(position, item),
        );
        findings.extend(ledger.absorb(block).0);
    }
    let alerts = alert::raise(&compiled, &findings, now).into_iter();
    alerts
        .map(|raised| {
            let app = raised.alert.app.app_id.unwrap_or_default();
            (raised.alert.id.to_string(), app, raised.alert.count)
        })
        .collect()
}

fn compiled(text: &str) -> Policy {
    let source = Source {
        name: "policy.toml".into(),
        text: text.into(),
    };
    let compilation = compile(&[source], None, &[]);
    let problems = compilation.diagnostics.render_text(false);
    compilation.policy.unwrap_or_else(|| panic!("{problems}"))
}

/// A small generator of numbers, the same for the same seed.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        (0..8).for_each(|_| {
            random.below(2);
        });
        random
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % bound
    }

    pub(crate) fn index(&mut self, bound: usize) -> usize {
        usize::try_from(self.below(bound as u64)).unwrap()
    }
}

/// Everything that a scenario needs, still to be started.
pub(super) struct Setup {
    pub(super) folder: TempDir,
    pub(super) settings: Settings,
    pub(super) receiver: Receiver,
    pub(super) partitions: usize,
    pub(super) max_dequeue_count: Option<u32>,
    pub(super) options: Options,
    /// Queues and blobs, if not in memory.
    pub(super) storage: Option<Arc<dyn Storage>>,
}

/// A scenario under way.
pub(super) struct Rig {
    pub(super) folder: TempDir,
    pub(super) settings: Settings,
    pub(super) receiver: Receiver,
    pub(super) cloud: Arc<Cloud>,
    pub(super) journal: Journal,
    pub(super) host: Host,
    pub(super) options: Options,
    max_dequeue_count: Option<u32>,
}

impl Setup {
    /// With that policy in a folder of its own, and a receiver that the setting of the sink `soc` names.
    pub(super) async fn new(policy: Option<&str>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        if let Some(policy) = policy {
            fs::write(folder.path().join("policy.toml"), policy).unwrap();
        }
        let receiver = Receiver::start().await.unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        let settings = Settings::default()
            .with("AzureWebJobsStorage", "UseDevelopmentStorage=true")
            .with("SignInEventHub", "Endpoint=sb://localhost;")
            .with("SIGNIN_EVENT_HUB_NAME", "signins")
            .with("SIGNIN_CONSUMER_GROUP", "$Default")
            .with("SPWATCH_POLICY", path("policy.toml"))
            .with("SPWATCH_STATE", path("state"))
            .with("SPWATCH_LOG", "info")
            .with("SOC_WEBHOOK_URL", receiver.url(HOOK))
            .with("SOC_WEBHOOK_SECRET", SIGNING_KEY);
        Self {
            folder,
            settings,
            receiver,
            partitions: 1,
            max_dequeue_count: None,
            storage: None,
            options: Options {
                target: Target::Process {
                    executable: executable(),
                    arguments: None,
                },
                // A minute becomes 60 ms.
                time_scale: Some(0.001),
                restart: RestartRules {
                    limit: 1000,
                    ..RestartRules::default()
                },
                ..Options::default()
            },
        }
    }

    /// With everything in that storage account: queues, blobs, state and policy.
    pub(super) fn on(mut self, azurite: &Azurite) -> Self {
        self.storage = Some(Arc::new(azurite.account()));
        self.settings
            .set("AzureWebJobsStorage", azurite.connection_string());
        self.settings
            .set("SPWATCH_STATE", "az://spwatch-state/test");
        self
    }

    pub(super) fn setting(mut self, name: &str, value: &str) -> Self {
        self.settings.set(name, value);
        self
    }

    pub(super) async fn start(self) -> Rig {
        let app = app(&self.settings, self.max_dequeue_count);
        let cloud = match self.storage {
            None => Cloud::of(&app, self.partitions),
            Some(storage) => Cloud::with_storage(&app, self.partitions, storage),
        };
        let journal = Journal::default();
        let options = Options {
            observer: journal.observer(),
            ..self.options
        };
        let host = Host::start(app, Arc::clone(&cloud), options.clone())
            .await
            .unwrap();
        Rig {
            folder: self.folder,
            settings: self.settings,
            receiver: self.receiver,
            cloud,
            journal,
            host,
            max_dequeue_count: self.max_dequeue_count,
            options,
        }
    }
}

/// The repository's own function app.
pub(super) fn app(settings: &Settings, max_dequeue_count: Option<u32>) -> App {
    let mut app = App::load(app_root(), settings.clone()).unwrap();
    if let Some(count) = max_dequeue_count {
        app.extensions.queues.max_dequeue_count = count;
    }
    app
}

/// An unpacked package to be tested instead of the checkout: its files and its executable.
fn package() -> Option<PathBuf> {
    std::env::var_os("SPWATCH_TEST_PACKAGE").map(PathBuf::from)
}

pub(super) fn app_root() -> &'static Path {
    static ROOT: LazyLock<PathBuf> = LazyLock::new(|| package().unwrap_or_else(|| root().into()));
    &ROOT
}

/// The executable under test; `None`: the one that host.json names.
pub(super) fn executable() -> Option<PathBuf> {
    match package() {
        Some(_) => None,
        None => Some(env!("CARGO_BIN_EXE_spwatch").into()),
    }
}

pub(super) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A running scenario with that policy.
pub(super) async fn start(policy: &str) -> Rig {
    Setup::new(Some(policy)).await.start().await
}

impl Rig {
    pub(super) fn policy_file(&self) -> PathBuf {
        self.folder.path().join("policy.toml")
    }

    /// Sends events to the first partition and waits until nothing is left to do.
    pub(super) async fn judge(&self, events: &[String]) {
        self.host.send(0, events.iter().cloned()).unwrap();
        self.drain().await;
    }

    pub(super) async fn drain(&self) {
        if let Err(error) = self.host.drain(PATIENCE).await {
            panic!("{error}\n{}", self.log());
        }
    }

    /// The timer fires.
    pub(super) async fn keep_house(&self) {
        if let Err(error) = self.host.fire("Housekeeping").await {
            panic!("{error}\n{}", self.log());
        }
    }

    /// The timer fires again and again until it is so.
    pub(super) async fn keep_house_until(&self, so: impl Fn() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !so() {
            assert!(Instant::now() < deadline, "{}", self.log());
            self.keep_house().await;
            self.drain().await;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// A second host with a handler of its own, on the same cloud and state.
    pub(super) async fn another_host(&self) -> Host {
        let app = app(&self.settings, self.max_dequeue_count);
        Host::start(app, Arc::clone(&self.cloud), self.options.clone())
            .await
            .unwrap()
    }

    /// The host and its handler die; a new host goes on from what the cloud kept.
    pub(super) async fn replace_host(mut self) -> Self {
        self.host.stop().await;
        // The messages that the dead host had taken are hidden for as long as it had taken them.
        self.cloud.pass(Duration::from_secs(601));
        let app = app(&self.settings, self.max_dequeue_count);
        self.host = Host::start(app, Arc::clone(&self.cloud), self.options.clone())
            .await
            .unwrap();
        self
    }

    /// Waits until the journal tells of it that often.
    pub(super) async fn told(&self, count: usize, fits: impl Fn(&Notice) -> bool) {
        until(
            || self.journal.count(&fits) >= count,
            || format!("not {count} times:\n{}", self.log()),
        )
        .await;
    }

    /// Every line that the handler wrote, at that level or at any.
    pub(super) fn lines(&self, level: Option<Level>) -> Vec<String> {
        let notices = self.journal.notices().into_iter();
        notices
            .filter_map(|notice| match notice {
                Notice::Line { level: of, text } if level.is_none_or(|level| level == of) => {
                    Some(text)
                }
                _ => None,
            })
            .collect()
    }

    pub(super) fn log(&self) -> String {
        self.lines(None).join("\n")
    }

    /// Process ids of the handler, latest last.
    pub(super) fn processes(&self) -> Vec<u32> {
        let notices = self.journal.notices().into_iter();
        notices
            .filter_map(|notice| match notice {
                Notice::Started { process, .. } => process,
                _ => None,
            })
            .collect()
    }

    /// The blobs of a container, as text.
    pub(super) fn blobs(&self, container: &str) -> Vec<String> {
        let blobs = self.cloud.blobs().list(container).into_iter();
        blobs
            .map(|blob| String::from_utf8(blob.content.to_vec()).unwrap())
            .collect()
    }

    /// What is kept in `undelivered`.
    pub(super) fn undelivered(&self) -> Vec<Value> {
        let blobs = self.blobs("spwatch-undelivered").into_iter();
        blobs
            .map(|text| serde_json::from_str(&text).unwrap())
            .collect()
    }

    /// The ids of the alerts that the receiver has.
    pub(super) fn received_ids(&self) -> BTreeSet<String> {
        ids(&self.receiver.received())
    }

    /// One invocation of `SignIns` with these events, in that shape.
    pub(super) async fn invoke(
        &self,
        events: Vec<Vec<u8>>,
        (data_type, cardinality, metadata): (DataType, Cardinality, wire::Metadata),
        framing: Framing,
    ) -> Exchange {
        let body = self
            .host
            .event_body("SignIns", events, data_type, cardinality, metadata)
            .unwrap();
        self.post(Request::new("SignIns", body).framed(framing))
            .await
    }

    /// One invocation as it is given; an answer that does not come is a failure.
    pub(super) async fn post(&self, request: Request) -> Exchange {
        tokio::time::timeout(PATIENCE, self.host.invoke(request))
            .await
            .unwrap()
            .unwrap()
    }
}

pub(super) fn ids(received: &[Received]) -> BTreeSet<String> {
    let ids = received.iter().map(|request| request.header("webhook-id"));
    ids.map(|id| id.unwrap().to_owned()).collect()
}

/// The body of a request.
pub(super) fn alert_of(request: &Received) -> Value {
    serde_json::from_slice(&request.body).unwrap()
}

/// The queue messages of an answer.
pub(super) fn messages(answer: &Answer) -> Vec<Value> {
    items(answer, "alerts")
        .iter()
        .map(|text| serde_json::from_str(text).unwrap())
        .collect()
}

/// What one output of an answer writes.
pub(super) fn items(answer: &Answer, binding: &str) -> Vec<String> {
    let outputs = answer
        .outputs
        .iter()
        .filter(|output| output.binding == binding);
    outputs
        .flat_map(|output| &output.items)
        .map(|item| String::from_utf8(item.bytes().to_vec()).unwrap())
        .collect()
}

/// Waits until it is so.
pub(super) async fn until(so: impl Fn() -> bool, otherwise: impl Fn() -> String) {
    let deadline = Instant::now() + PATIENCE;
    while !so() {
        assert!(Instant::now() < deadline, "{}", otherwise());
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// An invocation of that function was answered so.
pub(super) fn answered(name: &'static str, code: u16) -> impl Fn(&Notice) -> bool {
    move |notice| {
        matches!(notice, Notice::Answered { function, status, .. }
            if function == name && *status == Some(code))
    }
}
