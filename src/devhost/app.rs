//! The function app on disk: `host.json` and every `<Name>/function.json`, read as the host reads them.
//!
//! The host loads what it can and puts a broken function in error; a stand-in that skipped a function would hide
//! the mistake, so here any broken file is an error, all of them at once, each with its file and reason.
//! (host: src/WebJobs.Script/Host/HostFunctionMetadataProvider.cs, Workers/Http/Configuration/HttpWorkerOptionsSetup.cs)

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use super::function_file::{self, Function};
use super::queue::Encoding;
use super::settings::Settings;

/// A loaded function app.
#[derive(Debug, Clone)]
pub struct App {
    /// Absolute path of the folder that holds `host.json`.
    pub root: PathBuf,
    /// How the handler is started.
    pub command: HandlerCommand,
    /// `functionTimeout`; absent means the plan's default of 30 minutes. `None` is "-1", no limit.
    pub function_timeout: Option<Duration>,
    /// The `extensions` section.
    pub extensions: Extensions,
    /// The functions, sorted by name.
    pub functions: Vec<Function>,
    /// The settings it was loaded with.
    pub settings: Settings,
}

/// `customHandler.description`, resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HandlerCommand {
    /// A file under the app root if there is one of that name, else a program on `PATH`.
    pub executable: PathBuf,
    /// Words after it.
    pub arguments: Vec<String>,
    /// Working directory of the process.
    pub directory: PathBuf,
    /// How long the process may take to answer `GET /`.
    pub initialization_timeout: Duration,
}

/// What `host.json` says about triggers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extensions {
    /// `eventHubs.maxEventBatchSize`.
    pub max_event_batch_size: usize,
    /// `eventHubs.batchCheckpointFrequency`: batches per checkpoint.
    pub batch_checkpoint_frequency: u32,
    /// The `queues` section.
    pub queues: QueueSettings,
}

/// `extensions.queues`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueSettings {
    /// How message bodies are written.
    pub encoding: Encoding,
    /// How long a message stays invisible after a failure.
    pub visibility_timeout: Duration,
    /// After that many failed deliveries a message goes to `<queue>-poison`.
    pub max_dequeue_count: u32,
    /// `batchSize` + `newBatchThreshold`: messages in work at once, per queue.
    pub concurrency: usize,
}

/// Why an app cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// One or more files are missing or wrong.
    #[error("{}", .0.iter().map(FileError::to_string).collect::<Vec<_>>().join("; "))]
    Broken(Vec<FileError>),
    /// The folder itself cannot be listed.
    #[error("{path}: the app root cannot be listed", path = .path.display())]
    Root {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}

/// One thing wrong with one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileError {
    /// The file, relative to the app root.
    pub file: PathBuf,
    /// A lowercase fragment.
    pub reason: String,
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.file.display(), self.reason)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct HostFile {
    version: Option<String>,
    function_timeout: Option<String>,
    custom_handler: Option<CustomHandler>,
    #[serde(default)]
    extensions: ExtensionsFile,
    functions: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CustomHandler {
    description: Option<Description>,
    initialization_timeout: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Description {
    default_executable_path: Option<String>,
    default_worker_path: Option<String>,
    #[serde(default)]
    arguments: Vec<String>,
    #[serde(default)]
    worker_arguments: Vec<String>,
    working_directory: Option<String>,
    worker_directory: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct ExtensionsFile {
    event_hubs: EventHubsFile,
    queues: QueuesFile,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct EventHubsFile {
    max_event_batch_size: Option<usize>,
    batch_checkpoint_frequency: Option<u32>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct QueuesFile {
    message_encoding: Option<String>,
    visibility_timeout: Option<String>,
    max_dequeue_count: Option<u32>,
    batch_size: Option<usize>,
    new_batch_threshold: Option<usize>,
}

impl App {
    /// Reads the app in `root`.
    ///
    /// # Errors
    /// `root` cannot be listed, or any file in it is missing or wrong; all of them are named.
    pub fn load(root: impl AsRef<Path>, settings: Settings) -> Result<Self, AppError> {
        let root_error = |source| AppError::Root {
            path: root.as_ref().to_owned(),
            source,
        };
        let root = root.as_ref().canonicalize().map_err(root_error)?;
        let mut broken = Vec::new();
        let host = match host_file(&root) {
            Ok(host) => host,
            Err(error) => return Err(AppError::Broken(vec![error])),
        };
        let mut complain = |reason: String| {
            broken.push(FileError {
                file: "host.json".into(),
                reason,
            });
        };
        if host.version.as_deref() != Some("2.0") {
            complain("`version` must be \"2.0\"".into());
        }
        let function_timeout = match host.function_timeout.as_deref() {
            None => Some(Duration::from_secs(30 * 60)),
            Some("-1") => None,
            Some(text) => Some(
                span("functionTimeout", text)
                    .map_err(&mut complain)
                    .unwrap_or_default(),
            ),
        };
        let extensions = extensions(&host.extensions, &mut complain);
        let command = command(&root, host.custom_handler, &settings, &mut complain);
        let functions = functions(&root, host.functions.as_deref(), &settings, &mut broken)
            .map_err(root_error)?;
        match command {
            Some(command) if broken.is_empty() => Ok(Self {
                root,
                command,
                function_timeout,
                extensions,
                functions,
                settings,
            }),
            _ => Err(AppError::Broken(broken)),
        }
    }

    /// The function of that name, case included.
    pub fn function(&self, name: &str) -> Option<&Function> {
        self.functions.iter().find(|function| function.name == name)
    }
}

fn host_file(root: &Path) -> Result<HostFile, FileError> {
    let broken = |reason: String| FileError {
        file: "host.json".into(),
        reason,
    };
    let text = std::fs::read_to_string(root.join("host.json"))
        .map_err(|error| broken(error.to_string()))?;
    serde_json::from_str(&text).map_err(|error| broken(error.to_string()))
}

fn command(
    root: &Path,
    handler: Option<CustomHandler>,
    settings: &Settings,
    complain: &mut impl FnMut(String),
) -> Option<HandlerCommand> {
    let Some(CustomHandler {
        description: Some(description),
        initialization_timeout,
    }) = handler
    else {
        complain("`customHandler.description` is missing".into());
        return None;
    };
    let Some(path) = description.default_executable_path else {
        complain("`customHandler.description.defaultExecutablePath` is missing".into());
        return None;
    };
    let path = settings.expand(&path);
    let in_root = root
        .join(description.worker_directory.unwrap_or_default())
        .join(&path);
    // The host quotes the worker path only and joins the rest with blanks; words with blanks fall apart there.
    let words = |text: &String| {
        settings
            .expand(text)
            .split_whitespace()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let arguments = description
        .arguments
        .iter()
        .flat_map(words)
        .chain(
            description
                .default_worker_path
                .iter()
                .map(|path| settings.expand(path)),
        )
        .chain(description.worker_arguments.iter().flat_map(words))
        .collect();
    Some(HandlerCommand {
        executable: if in_root.is_file() {
            in_root
        } else {
            path.into()
        },
        arguments,
        directory: root.join(description.working_directory.unwrap_or_default()),
        initialization_timeout: match initialization_timeout {
            None => Duration::from_secs(30),
            Some(text) => span("customHandler.initializationTimeout", &text)
                .map_err(complain)
                .unwrap_or_default(),
        },
    })
}

fn extensions(file: &ExtensionsFile, complain: &mut impl FnMut(String)) -> Extensions {
    let queues = &file.queues;
    let encoding = match queues.message_encoding.as_deref() {
        None => Encoding::Base64,
        Some(text) if text.eq_ignore_ascii_case("base64") => Encoding::Base64,
        Some(text) if text.eq_ignore_ascii_case("none") => Encoding::None,
        Some(text) => {
            complain(format!(
                "`extensions.queues.messageEncoding` is {text:?}, expected base64 or none"
            ));
            Encoding::Base64
        }
    };
    let batch_size = queues.batch_size.unwrap_or(16);
    if !(1..=32).contains(&batch_size) {
        complain(format!(
            "`extensions.queues.batchSize` is {batch_size}, expected 1 to 32"
        ));
    }
    let max_dequeue_count = queues.max_dequeue_count.unwrap_or(5);
    if max_dequeue_count == 0 {
        complain("`extensions.queues.maxDequeueCount` must be at least 1".into());
    }
    let max_event_batch_size = file.event_hubs.max_event_batch_size.unwrap_or(100);
    if max_event_batch_size == 0 {
        complain("`extensions.eventHubs.maxEventBatchSize` must be at least 1".into());
    }
    Extensions {
        max_event_batch_size,
        batch_checkpoint_frequency: file
            .event_hubs
            .batch_checkpoint_frequency
            .unwrap_or(1)
            .max(1),
        queues: QueueSettings {
            encoding,
            visibility_timeout: queues
                .visibility_timeout
                .as_deref()
                .map_or(Ok(Duration::ZERO), |text| {
                    span("extensions.queues.visibilityTimeout", text)
                })
                .map_err(&mut *complain)
                .unwrap_or_default(),
            max_dequeue_count,
            // The host's default threshold is half a batch for each core; one core is assumed.
            concurrency: batch_size + queues.new_batch_threshold.unwrap_or(batch_size / 2),
        },
    }
}

fn functions(
    root: &Path,
    allowed: Option<&[String]>,
    settings: &Settings,
    broken: &mut Vec<FileError>,
) -> Result<Vec<Function>, std::io::Error> {
    let mut functions = Vec::new();
    for entry in std::fs::read_dir(root)? {
        let path = entry?.path().join("function.json");
        // Only direct child folders are looked at, and those without the file are no functions.
        if !path.is_file() {
            continue;
        }
        let file = path.strip_prefix(root).unwrap_or(&path).to_owned();
        let name = file
            .parent()
            .map(|folder| folder.to_string_lossy().into_owned())
            .unwrap_or_default();
        if allowed.is_some_and(|allowed| !allowed.contains(&name)) {
            continue;
        }
        match function_file::read(&path, name, settings) {
            Ok(function) => functions.push(function),
            Err(reason) => broken.push(FileError { file, reason }),
        }
    }
    functions.sort_by(|a, b| a.name.cmp(&b.name));
    broken.sort_by(|a, b| a.file.cmp(&b.file));
    Ok(functions)
}

/// A .NET time span, `[d.]hh:mm:ss[.fraction]`.
pub(crate) fn span(key: &str, text: &str) -> Result<Duration, String> {
    let parse = || -> Option<Duration> {
        let mut parts = text.split(':');
        let (hours, minutes, seconds) = (parts.next()?, parts.next()?, parts.next()?);
        if parts.next().is_some() {
            return None;
        }
        let (days, hours) = match hours.split_once('.') {
            Some((days, hours)) => (days.parse::<u32>().ok()?, hours),
            None => (0, hours),
        };
        let (hours, minutes) = (hours.parse::<u32>().ok()?, minutes.parse::<u32>().ok()?);
        let seconds: f64 = seconds.parse().ok()?;
        if hours > 23 || minutes > 59 || !(0.0..60.0).contains(&seconds) {
            return None;
        }
        let whole = u64::from(days) * 86_400 + u64::from(hours) * 3_600 + u64::from(minutes) * 60;
        Some(Duration::from_secs(whole) + Duration::from_secs_f64(seconds))
    };
    parse().ok_or_else(|| format!("`{key}` is {text:?}, expected a time span such as 00:05:00"))
}

#[cfg(test)]
mod tests;
