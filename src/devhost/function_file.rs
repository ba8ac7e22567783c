//! One `function.json`: its trigger, outputs and retry policy.
//! (host: src/WebJobs.Script/Utility.cs, Description/FunctionDescriptorProvider.cs)

use std::path::Path;
use std::time::Duration;

use serde::Deserialize;

use super::app::span;
use super::settings::Settings;

/// A function: a folder with a `function.json`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Function {
    /// Name of the folder, and the path that is posted to.
    pub name: String,
    /// Name of the trigger binding: the key in `Data`.
    pub trigger_name: String,
    /// What sets it off.
    pub trigger: Trigger,
    /// `dataType` of the trigger.
    pub data_type: DataType,
    /// Output bindings in file order.
    pub outputs: Vec<OutputBinding>,
    /// The retry policy, if any.
    pub retry: Option<Retry>,
}

/// What sets a function off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trigger {
    /// Batches (or single events) of an Event Hub.
    EventHub {
        /// The hub's name.
        hub: String,
        /// The consumer group.
        consumer_group: String,
        /// Batches or single events.
        cardinality: Cardinality,
    },
    /// Messages of a storage queue.
    Queue {
        /// The queue's name.
        queue: String,
    },
    /// A schedule. The stand-in fires it only when told to.
    Timer,
    /// An HTTP request. The stand-in does not serve it.
    Http,
}

/// `cardinality` of an Event Hub trigger; absent means one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cardinality {
    /// One event an invocation.
    One,
    /// A batch an invocation.
    Many,
}

/// `dataType` of a binding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DataType {
    /// `string`.
    String,
    /// `binary`.
    Binary,
    /// Not given: the host chooses.
    Absent,
}

/// An output binding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputBinding {
    /// Its name: the key in `Outputs`, or `$return`.
    pub name: String,
    /// Where it writes.
    pub kind: OutputKind,
    /// `dataType`.
    pub data_type: DataType,
}

/// Where an output binding writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OutputKind {
    /// A storage queue of that name; one message per element.
    Queue(String),
    /// A blob at that path, in which `{rand-guid}` stands for a fresh id.
    Blob(String),
    /// The response of an HTTP trigger.
    Http,
}

/// A retry policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retry {
    /// Attempts after the first; -1 is for ever.
    pub max_retry_count: i32,
    /// How long to wait between them.
    pub strategy: RetryStrategy,
}

/// How long to wait between attempts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RetryStrategy {
    /// Always as long.
    FixedDelay(Duration),
    /// Twice as long each time, with jitter.
    ExponentialBackoff {
        /// The first delay.
        minimum: Duration,
        /// The longest.
        maximum: Duration,
    },
}

impl Retry {
    /// The delay before retry `number` (from 0); `jitter` in 0..=1 places it in the host's band of 0.8 to 1.2.
    pub fn delay(&self, number: u32, jitter: f64) -> Duration {
        match self.strategy {
            RetryStrategy::FixedDelay(delay) => delay,
            RetryStrategy::ExponentialBackoff { minimum, maximum } => {
                if number == 0 {
                    return minimum.min(maximum);
                }
                let factor = (0.8 + 0.4 * jitter) * f64::from(number.min(31) - 1).exp2();
                let delay = minimum.as_secs_f64() * (1.0 + factor);
                Duration::try_from_secs_f64(delay).map_or(maximum, |delay| delay.min(maximum))
            }
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct File {
    #[serde(default)]
    bindings: Vec<Binding>,
    retry: Option<RetryFile>,
    script_file: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Binding {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    direction: String,
    #[serde(default)]
    name: String,
    data_type: Option<String>,
    cardinality: Option<String>,
    event_hub_name: Option<String>,
    consumer_group: Option<String>,
    queue_name: Option<String>,
    path: Option<String>,
    schedule: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RetryFile {
    #[serde(default)]
    strategy: String,
    max_retry_count: Option<i32>,
    delay_interval: Option<String>,
    minimum_interval: Option<String>,
    maximum_interval: Option<String>,
}

pub(crate) fn read(path: &Path, name: String, settings: &Settings) -> Result<Function, String> {
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    let file: File = serde_json::from_str(&text).map_err(|error| error.to_string())?;
    let (mut characters, length) = (name.chars(), name.len());
    let named_well = characters
        .next()
        .is_some_and(|first| first.is_ascii_alphabetic())
        && characters.all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
        && length <= 128
        && !name.eq_ignore_ascii_case("host");
    if !named_well {
        return Err(format!(
            "{name:?} is no function name (a letter, then letters, digits, _ and -, and not host)"
        ));
    }
    if let Some(script) = file.script_file.filter(|script| !script.is_empty())
        && !path.with_file_name(&script).is_file()
    {
        return Err(format!("`scriptFile` {script:?} does not exist"));
    }
    if file.bindings.is_empty() {
        return Err("no bindings".into());
    }
    let mut names = Vec::new();
    let mut trigger = None;
    let mut outputs = Vec::new();
    for binding in &file.bindings {
        check_name(&binding.name)?;
        let folded = binding.name.to_ascii_lowercase();
        if names.contains(&folded) {
            return Err(format!("the binding name {:?} is used twice", binding.name));
        }
        names.push(folded);
        if binding.kind.to_ascii_lowercase().ends_with("trigger") {
            if trigger.is_some() {
                return Err("more than one trigger".into());
            }
            trigger = Some((
                binding.name.clone(),
                read_trigger(binding, settings)?,
                data_type(binding)?,
            ));
        } else {
            outputs.push(read_output(binding, settings)?);
        }
    }
    let (trigger_name, trigger, data_type) = trigger.ok_or("no trigger")?;
    Ok(Function {
        name,
        trigger_name,
        trigger,
        data_type,
        outputs,
        retry: file.retry.map(read_retry).transpose()?,
    })
}

fn check_name(name: &str) -> Result<(), String> {
    let mut characters = name.chars();
    let well = characters
        .next()
        .is_some_and(|first| first.is_ascii_alphabetic())
        && characters.all(|c| c.is_ascii_alphanumeric())
        && name.len() <= 128;
    if well || name == "$return" {
        Ok(())
    } else {
        Err(format!(
            "{name:?} is no binding name (a letter, then letters and digits)"
        ))
    }
}

fn read_trigger(binding: &Binding, settings: &Settings) -> Result<Trigger, String> {
    direction(binding, "in")?;
    match binding.kind.as_str() {
        "eventHubTrigger" => Ok(Trigger::EventHub {
            hub: required(binding, "eventHubName", &binding.event_hub_name, settings)?,
            consumer_group: match &binding.consumer_group {
                None => "$Default".into(),
                group => required(binding, "consumerGroup", group, settings)?,
            },
            cardinality: match binding.cardinality.as_deref() {
                None => Cardinality::One,
                Some(text) if text.eq_ignore_ascii_case("one") => Cardinality::One,
                Some(text) if text.eq_ignore_ascii_case("many") => Cardinality::Many,
                Some(text) => {
                    return Err(format!(
                        "`cardinality` of {:?} is {text:?}, expected one or many",
                        binding.name
                    ));
                }
            },
        }),
        "queueTrigger" => Ok(Trigger::Queue {
            queue: required(binding, "queueName", &binding.queue_name, settings)?,
        }),
        "timerTrigger" => {
            required(binding, "schedule", &binding.schedule, settings).map(|_| Trigger::Timer)
        }
        "httpTrigger" => Ok(Trigger::Http),
        other => Err(unknown(other)),
    }
}

fn read_output(binding: &Binding, settings: &Settings) -> Result<OutputBinding, String> {
    let kind = match binding.kind.as_str() {
        "queue" => OutputKind::Queue(required(
            binding,
            "queueName",
            &binding.queue_name,
            settings,
        )?),
        "blob" => OutputKind::Blob(blob_path(required(
            binding,
            "path",
            &binding.path,
            settings,
        )?)?),
        "http" => OutputKind::Http,
        other => return Err(unknown(other)),
    };
    direction(binding, "out")?;
    Ok(OutputBinding {
        name: binding.name.clone(),
        kind,
        data_type: data_type(binding)?,
    })
}

fn unknown(kind: &str) -> String {
    format!(
        "the binding type {kind:?} is not known here (in Azure: its extension is not in the bundle)"
    )
}

fn blob_path(path: String) -> Result<String, String> {
    if !path
        .split_once('/')
        .is_some_and(|(container, blob)| !container.is_empty() && !blob.is_empty())
    {
        return Err(format!("`path` {path:?} is not of the form container/blob"));
    }
    let plain = path.replace("{rand-guid}", "");
    match plain.split_once('{') {
        Some((_, rest)) => Err(format!(
            "`path` uses {{{}}}, which this stand-in cannot bind",
            rest.split('}').next().unwrap_or_default()
        )),
        None => Ok(path),
    }
}

fn direction(binding: &Binding, expected: &str) -> Result<(), String> {
    if binding.direction.eq_ignore_ascii_case(expected) {
        return Ok(());
    }
    Err(format!(
        "`direction` of {:?} is {:?}, expected {expected:?}",
        binding.name, binding.direction
    ))
}

fn data_type(binding: &Binding) -> Result<DataType, String> {
    match binding.data_type.as_deref() {
        None => Ok(DataType::Absent),
        Some(text) if text.eq_ignore_ascii_case("string") => Ok(DataType::String),
        Some(text) if text.eq_ignore_ascii_case("binary") => Ok(DataType::Binary),
        Some(text) => Err(format!(
            "`dataType` of {:?} is {text:?}, expected string or binary",
            binding.name
        )),
    }
}

fn required(
    binding: &Binding,
    key: &str,
    value: &Option<String>,
    settings: &Settings,
) -> Result<String, String> {
    let text = value
        .as_deref()
        .filter(|text| !text.is_empty())
        .ok_or_else(|| format!("`{key}` of {:?} is missing", binding.name))?;
    settings
        .resolve(text)
        .map_err(|name| format!("`%{name}%` has no value in the settings"))
}

fn read_retry(file: RetryFile) -> Result<Retry, String> {
    let interval = |key: &str, value: &Option<String>| match value {
        Some(text) => span(&format!("retry.{key}"), text),
        None => Err(format!("`retry.{key}` is missing")),
    };
    let strategy = match file.strategy.as_str() {
        "fixedDelay" => RetryStrategy::FixedDelay(interval("delayInterval", &file.delay_interval)?),
        "exponentialBackoff" => RetryStrategy::ExponentialBackoff {
            minimum: interval("minimumInterval", &file.minimum_interval)?,
            maximum: interval("maximumInterval", &file.maximum_interval)?,
        },
        other => {
            return Err(format!(
                "`retry.strategy` is {other:?}, expected fixedDelay or exponentialBackoff"
            ));
        }
    };
    Ok(Retry {
        max_retry_count: file
            .max_retry_count
            .ok_or("`retry.maxRetryCount` is missing")?,
        strategy,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exponential_delays_double_within_their_band_up_to_the_maximum() {
        let retry = Retry {
            max_retry_count: -1,
            strategy: RetryStrategy::ExponentialBackoff {
                minimum: Duration::from_secs(2),
                maximum: Duration::from_secs(300),
            },
        };
        let seconds = |number, jitter| retry.delay(number, jitter).as_secs_f64();
        assert_eq!(seconds(0, 0.5), 2.0);
        assert!((seconds(1, 0.0) - 3.6).abs() < 1e-6);
        assert!((seconds(1, 1.0) - 4.4).abs() < 1e-6);
        assert!((seconds(3, 0.5) - 10.0).abs() < 1e-6);
        assert_eq!(seconds(u32::MAX, 0.5), 300.0);
    }
}
