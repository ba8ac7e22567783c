//! The files that the host reads, held to what it reads in them: a key or a value that it does not know is an error
//! here, where the host would pass over it in silence.
//!
//! Sources: Azure/azure-functions-host `src/WebJobs.Script/Workers/Http/Configuration/HttpWorkerOptionsSetup.cs` and
//! `src/WebJobs.Script/Utility.cs`; Azure/azure-sdk-for-net
//! `sdk/eventhub/Microsoft.Azure.WebJobs.Extensions.EventHubs/src/Config/EventHubOptions.cs`; learn.microsoft.com
//! `azure/azure-functions/functions-host-json` and the reference pages of the bindings.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use serde::Deserialize;
use serde::de::DeserializeOwned;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub(super) fn read<T: DeserializeOwned>(path: &str) -> T {
    let text = fs::read_to_string(root().join(path)).unwrap();
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The folders that the host takes for functions.
pub(super) fn function_names() -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(root())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| root().join(name).join("function.json").is_file())
        .collect();
    names.sort();
    names
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct HostJson {
    version: String,
    function_timeout: String,
    logging: Logging,
    extension_bundle: Bundle,
    pub(super) custom_handler: CustomHandler,
    extensions: Extensions,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Logging {
    log_level: BTreeMap<String, LogLevel>,
    application_insights: ApplicationInsights,
}

#[derive(Deserialize)]
enum LogLevel {
    Information,
    Warning,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ApplicationInsights {
    sampling_settings: Sampling,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Sampling {
    is_enabled: bool,
    excluded_types: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Bundle {
    id: String,
    version: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CustomHandler {
    pub(super) description: Description,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Description {
    pub(super) default_executable_path: String,
    arguments: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Extensions {
    event_hubs: EventHubs,
    queues: Queues,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct EventHubs {
    max_event_batch_size: u32,
    batch_checkpoint_frequency: u32,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Queues {
    message_encoding: String,
    visibility_timeout: String,
    max_dequeue_count: u32,
    batch_size: u32,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct FunctionJson {
    pub(super) bindings: Vec<Binding>,
    retry: Option<Retry>,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "camelCase")]
pub(super) enum Binding {
    EventHubTrigger(EventHubTrigger),
    QueueTrigger(QueueTrigger),
    TimerTrigger(TimerTrigger),
    HttpTrigger(HttpTrigger),
    Queue(QueueOutput),
    Blob(BlobOutput),
    Http(HttpOutput),
}

#[derive(Deserialize, PartialEq)]
#[serde(rename_all = "camelCase")]
enum In {
    In,
}

#[derive(Deserialize, PartialEq)]
#[serde(rename_all = "camelCase")]
enum Out {
    Out,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
enum DataType {
    Binary,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
enum Cardinality {
    Many,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(dead_code, reason = "that they can be read is what is tested")]
pub(super) struct EventHubTrigger {
    direction: In,
    name: String,
    pub(super) event_hub_name: String,
    pub(super) connection: String,
    pub(super) consumer_group: String,
    cardinality: Cardinality,
    data_type: DataType,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(dead_code, reason = "that they can be read is what is tested")]
pub(super) struct QueueTrigger {
    direction: In,
    name: String,
    pub(super) queue_name: String,
    pub(super) connection: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(dead_code, reason = "that they can be read is what is tested")]
pub(super) struct TimerTrigger {
    direction: In,
    name: String,
    schedule: String,
    run_on_startup: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
enum AuthLevel {
    Function,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
enum Method {
    Get,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(dead_code, reason = "that they can be read is what is tested")]
pub(super) struct HttpTrigger {
    direction: In,
    name: String,
    auth_level: AuthLevel,
    methods: Vec<Method>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(dead_code, reason = "that they can be read is what is tested")]
pub(super) struct QueueOutput {
    direction: Out,
    name: String,
    pub(super) queue_name: String,
    pub(super) connection: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(dead_code, reason = "that they can be read is what is tested")]
pub(super) struct BlobOutput {
    direction: Out,
    name: String,
    pub(super) path: String,
    pub(super) connection: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(dead_code, reason = "that they can be read is what is tested")]
pub(super) struct HttpOutput {
    direction: Out,
    name: String,
}

impl Binding {
    fn name(&self) -> &str {
        match self {
            Self::EventHubTrigger(EventHubTrigger { name, .. })
            | Self::QueueTrigger(QueueTrigger { name, .. })
            | Self::TimerTrigger(TimerTrigger { name, .. })
            | Self::HttpTrigger(HttpTrigger { name, .. })
            | Self::Queue(QueueOutput { name, .. })
            | Self::Blob(BlobOutput { name, .. })
            | Self::Http(HttpOutput { name, .. }) => name,
        }
    }

    fn is_trigger(&self) -> bool {
        !matches!(self, Self::Queue(_) | Self::Blob(_) | Self::Http(_))
    }

    /// The prefix of the settings that open the account.
    pub(super) fn connection(&self) -> Option<&str> {
        match self {
            Self::EventHubTrigger(EventHubTrigger { connection, .. })
            | Self::QueueTrigger(QueueTrigger { connection, .. })
            | Self::Queue(QueueOutput { connection, .. })
            | Self::Blob(BlobOutput { connection, .. }) => Some(connection),
            Self::TimerTrigger(_) | Self::HttpTrigger(_) | Self::Http(_) => None,
        }
    }

    /// The queue it reads or writes.
    pub(super) fn queue(&self) -> Option<&str> {
        match self {
            Self::QueueTrigger(QueueTrigger { queue_name, .. })
            | Self::Queue(QueueOutput { queue_name, .. }) => Some(queue_name),
            _ => None,
        }
    }

    /// The container it writes to.
    pub(super) fn container(&self) -> Option<&str> {
        match self {
            Self::Blob(blob) => Some(blob.path.split_once('/').unwrap().0),
            _ => None,
        }
    }

    /// The settings that its values name as `%NAME%`.
    pub(super) fn settings(&self) -> Vec<&str> {
        let values: Vec<&str> = match self {
            Self::EventHubTrigger(trigger) => vec![
                &trigger.event_hub_name,
                &trigger.consumer_group,
                &trigger.connection,
            ],
            _ => self.queue().into_iter().chain(self.connection()).collect(),
        };
        // %NAME% stands between the first and the second of each pair.
        let named = values.into_iter();
        named
            .flat_map(|value| value.split('%').skip(1).step_by(2))
            .collect()
    }
}

#[derive(Deserialize)]
#[serde(
    tag = "strategy",
    rename_all = "camelCase",
    rename_all_fields = "camelCase",
    deny_unknown_fields
)]
enum Retry {
    FixedDelay {
        max_retry_count: i32,
        delay_interval: String,
    },
    ExponentialBackoff {
        max_retry_count: i32,
        minimum_interval: String,
        maximum_interval: String,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct LocalSettings {
    is_encrypted: bool,
    /// The Core Tools take strings only.
    pub(super) values: BTreeMap<String, String>,
}

/// Seconds of .NET's `hh:mm:ss`.
fn seconds(text: &str) -> u32 {
    let parts: Vec<u32> = text.split(':').map(|part| part.parse().unwrap()).collect();
    let [hours, minutes, seconds] = parts[..] else {
        panic!("{text:?} is not of the form hh:mm:ss")
    };
    assert!(hours < 24 && minutes < 60 && seconds < 60, "{text}");
    hours * 3600 + minutes * 60 + seconds
}

#[test]
fn host_json_says_only_what_the_host_reads() {
    let host: HostJson = read("host.json");
    assert_eq!(host.version, "2.0");
    // Also what a plan with the shortest limit takes, and longer than any delivery.
    assert!((60..=600).contains(&seconds(&host.function_timeout)));
    assert_eq!(
        host.extension_bundle.id,
        "Microsoft.Azure.Functions.ExtensionBundle"
    );
    assert_eq!(host.extension_bundle.version, "[4.*, 5.0.0)");
    // The lines of the handler come as Information of `Host.Function.Console`; none may be lost.
    let levels = &host.logging.log_level;
    assert!(matches!(levels["default"], LogLevel::Information));
    assert!(!levels.contains_key("Host.Function.Console"));
    let sampling = &host.logging.application_insights.sampling_settings;
    let excluded: BTreeSet<&str> = sampling.excluded_types.split(';').collect();
    assert!(!sampling.is_enabled || excluded.contains("Trace"));
    let known = [
        "Dependency",
        "Event",
        "Exception",
        "PageView",
        "Request",
        "Trace",
    ];
    assert!(excluded.is_subset(&known.into()), "{excluded:?}");
    let handler = &host.custom_handler.description;
    assert_eq!(handler.arguments, ["serve"]);
    let events = &host.extensions.event_hubs;
    assert!((1..=100).contains(&events.max_event_batch_size));
    assert_eq!(events.batch_checkpoint_frequency, 1);
    let queues = &host.extensions.queues;
    assert_eq!(queues.message_encoding, "base64");
    assert!((1..=32).contains(&queues.batch_size));
    // A receiver may be away for a day.
    assert!(queues.max_dequeue_count * seconds(&queues.visibility_timeout) >= 86_400);
}

#[test]
fn each_function_json_says_only_what_the_host_reads() {
    let names = function_names();
    assert_eq!(
        names,
        ["Deliver", "Housekeeping", "Poisoned", "SignIns", "Status"]
    );
    for name in names {
        // Letters, digits, `_` and `-`, a letter first, and never `host`.
        let well = name.starts_with(|c: char| c.is_ascii_alphabetic())
            && name
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
            && name.len() <= 128
            && !name.eq_ignore_ascii_case("host");
        assert!(well, "{name}");
        // Some other files would be taken for a script.
        let files = fs::read_dir(root().join(&name)).unwrap().count();
        assert_eq!(files, 1, "{name} holds more than function.json");
        let function: FunctionJson = read(&format!("{name}/function.json"));
        let triggers = function.bindings.iter().filter(|each| each.is_trigger());
        assert_eq!(triggers.count(), 1, "{name}");
        let bound: BTreeSet<String> = function
            .bindings
            .iter()
            .map(|binding| binding.name().to_ascii_lowercase())
            .collect();
        assert_eq!(bound.len(), function.bindings.len(), "{name}");
        for binding in &bound {
            let mut characters = binding.chars();
            let well = characters.next().unwrap().is_ascii_alphabetic()
                && characters.all(|c| c.is_ascii_alphanumeric());
            assert!(well, "{name}: {binding}");
        }
        // Queues have their dequeue count instead, HTTP its client.
        let may_retry = function.bindings.iter().any(|binding| {
            matches!(
                binding,
                Binding::EventHubTrigger(_) | Binding::TimerTrigger(_)
            )
        });
        match &function.retry {
            None => assert!(!may_retry, "{name}"),
            Some(retry) => {
                assert!(may_retry, "{name}");
                check_retry(retry);
            }
        }
    }
}

fn check_retry(retry: &Retry) {
    match retry {
        Retry::FixedDelay {
            max_retry_count,
            delay_interval,
        } => assert!(*max_retry_count >= -1 && seconds(delay_interval) > 0),
        Retry::ExponentialBackoff {
            max_retry_count,
            minimum_interval,
            maximum_interval,
        } => {
            assert!(*max_retry_count >= -1);
            assert!(seconds(minimum_interval) < seconds(maximum_interval));
        }
    }
}

#[test]
fn local_settings_hold_what_the_functions_name_and_no_secret() {
    let settings: LocalSettings = read("local.settings.json.example");
    assert!(!settings.is_encrypted);
    assert_eq!(settings.values["FUNCTIONS_WORKER_RUNTIME"], "custom");
    for name in function_names() {
        let function: FunctionJson = read(&format!("{name}/function.json"));
        for binding in &function.bindings {
            let named = binding.settings().into_iter().chain(binding.connection());
            for setting in named {
                assert!(settings.values.contains_key(setting), "{name}: {setting}");
            }
        }
    }
    // The policy that it names is there, and so are the settings that this policy names.
    let policy = fs::read_to_string(root().join(&settings.values["SPWATCH_POLICY"])).unwrap();
    for named in policy.split("\"env:").skip(1) {
        let name = named.split('"').next().unwrap();
        assert!(settings.values.contains_key(name), "{name}");
    }
}

#[test]
fn the_emulator_has_the_hub_that_the_settings_name() {
    let settings: LocalSettings = read("local.settings.json.example");
    let emulator: serde_json::Value = read("tools/local/emulator/config.json");
    let namespaces = emulator["UserConfig"]["NamespaceConfig"]
        .as_array()
        .unwrap();
    let hub = &namespaces[0]["Entities"][0];
    assert_eq!(hub["Name"], *settings.values["SIGNIN_EVENT_HUB_NAME"]);
    let group = &hub["ConsumerGroups"][0];
    assert_eq!(group["Name"], *settings.values["SIGNIN_CONSUMER_GROUP"]);
    assert!(settings.values["SignInEventHub"].contains("UseDevelopmentEmulator=true"));
}
