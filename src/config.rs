//! Settings from the environment, read once at an edge through a look-up, so that tests need no environment.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::policy::{SecretRef, parse_duration};
use crate::sink::Secret;
use crate::state::{Location, LocationError};
use crate::stream::Limits;

/// How long the host lets an invocation run where `host.json` does not say (every plan but the
/// classic Consumption one): Azure/azure-functions-host `src/WebJobs.Script/Config/ScriptJobHostOptionsSetup.cs`.
const DEFAULT_FUNCTION_TIMEOUT: Duration = Duration::from_secs(30 * 60);

/// Settings of the handler.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where to listen on 127.0.0.1.
    pub port: u16,
    /// The policy's root.
    pub policy: Location,
    /// Where state is kept.
    pub state: Location,
    /// Whether `SPWATCH_STATE` was missing although we run in Azure.
    pub state_is_fleeting: bool,
    /// When an invocation gives up on its own: below the host's `functionTimeout`, at which the
    /// host would kill the whole process.
    pub deadline: Duration,
    /// When something is to be said of the stream of logs.
    pub limits: Limits,
}

/// A setting that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Not a TCP port.
    #[error("{name} is {value:?}, which is no TCP port")]
    Port {
        /// The variable.
        name: &'static str,
        /// What it holds.
        value: String,
    },
    /// An `az://` address, or the storage account behind it.
    #[error("{name}: {source}")]
    Location {
        /// The variable.
        name: &'static str,
        /// What is wrong.
        source: LocationError,
    },
    /// A container, where a blob is wanted.
    #[error("{name} is {value:?}, which names no blob: write az://container/policy.toml")]
    NoBlob {
        /// The variable.
        name: &'static str,
        /// What it holds.
        value: String,
    },
    /// No duration.
    #[error(
        "{name} is {value:?}, which is no duration: write a whole number and s, m, h, d or w, such as 30m"
    )]
    Duration {
        /// The variable.
        name: &'static str,
        /// What it holds.
        value: String,
    },
}

impl Config {
    /// Reads the settings. `port` and `policy` are the command line's, `host_json` the text of the
    /// function app's host.json where it could be read.
    ///
    /// | variable | meaning |
    /// |---|---|
    /// | `FUNCTIONS_CUSTOMHANDLER_PORT` | port, given by the host |
    /// | `FUNCTIONS_APP_ROOT_PATH` | folder of host.json, given by the host; a relative policy path starts there |
    /// | `SPWATCH_POLICY` | policy file or `az://container/blob`; default `policy.toml` in the app root |
    /// | `SPWATCH_STATE` | state folder or `az://container/prefix`; default `spwatch` under the system's temporary folder |
    /// | `AzureWebJobsStorage…` | the storage account behind `az://` |
    /// | `SPWATCH_SILENT_AFTER` | a category is silent after that long, such as `45m`; by default by its own habit |
    /// | `SPWATCH_HUB_RETENTION` | how long the hub keeps events; default `1d` |
    ///
    /// # Errors
    /// A port that is none, an address or a duration that cannot be read.
    pub fn read(
        lookup: &dyn Fn(&str) -> Option<String>,
        port: Option<u16>,
        policy: Option<PathBuf>,
        host_json: Option<&str>,
    ) -> Result<Self, ConfigError> {
        let lookup = |name: &str| lookup(name).filter(|value| !value.trim().is_empty());
        let name = "FUNCTIONS_CUSTOMHANDLER_PORT";
        let port = match lookup(name) {
            Some(value) => value
                .trim()
                .parse()
                .map_err(|_| ConfigError::Port { name, value })?,
            None => port.unwrap_or(8080),
        };
        let root = app_root(&lookup);
        let location = |name: &'static str, text: &str| {
            Location::read(text, &lookup).map_err(|source| ConfigError::Location { name, source })
        };
        let name = "SPWATCH_POLICY";
        let policy = match (policy, lookup(name)) {
            (Some(path), _) => path.display().to_string(),
            (None, Some(text)) => text,
            (None, None) => "policy.toml".to_owned(),
        };
        let policy = match location(name, &policy)? {
            Location::Directory(path) => Location::Directory(below(&root, path)),
            Location::Blobs(blobs) if blobs.prefix.is_empty() => {
                return Err(ConfigError::NoBlob {
                    name,
                    value: policy,
                });
            }
            other => other,
        };
        let state = lookup("SPWATCH_STATE");
        let duration = |name: &'static str| match lookup(name) {
            None => Ok(None),
            Some(value) => match parse_duration(value.trim()) {
                Some(duration) => Ok(Some(duration.num_seconds())),
                None => Err(ConfigError::Duration { name, value }),
            },
        };
        let limits = Limits {
            silent_after_seconds: duration("SPWATCH_SILENT_AFTER")?,
            retention_seconds: duration("SPWATCH_HUB_RETENTION")?.unwrap_or(86_400),
        };
        let in_azure =
            lookup("WEBSITE_INSTANCE_ID").is_some() || lookup("WEBSITE_SITE_NAME").is_some();
        Ok(Self {
            port,
            policy,
            state_is_fleeting: state.is_none() && in_azure,
            state: match state {
                Some(text) => location("SPWATCH_STATE", &text)?,
                None => Location::Directory(std::env::temp_dir().join("spwatch")),
            },
            deadline: deadline(host_json),
            limits,
        })
    }
}

/// A path below the app root; as it is where we stand there already, so that it reads well in alerts.
fn below(root: &Path, path: PathBuf) -> PathBuf {
    let stands_there = std::env::current_dir().is_ok_and(|here| here == root);
    if stands_there { path } else { root.join(path) }
}

/// The function app's root: where host.json is.
pub fn app_root(lookup: &dyn Fn(&str) -> Option<String>) -> PathBuf {
    lookup("FUNCTIONS_APP_ROOT_PATH").map_or_else(|| PathBuf::from("."), PathBuf::from)
}

/// Nine tenths of `functionTimeout`, so that our answer is there before the host's patience ends.
fn deadline(host_json: Option<&str>) -> Duration {
    let timeout = host_json
        .and_then(|text| serde_json::from_str::<serde_json::Value>(text).ok())
        .and_then(|json| json.get("functionTimeout")?.as_str().and_then(time_span))
        .unwrap_or(DEFAULT_FUNCTION_TIMEOUT);
    timeout * 9 / 10
}

/// Reads .NET's `[d.]hh:mm:ss`; `-1` (no limit) and anything else is none.
fn time_span(text: &str) -> Option<Duration> {
    let (days, clock) = match text.split_once('.') {
        Some((days, clock)) if clock.contains(':') => (days.parse::<u64>().ok()?, clock),
        _ => (0, text),
    };
    let mut parts = clock.split(':').map(|part| part.parse::<u64>().ok());
    let (hours, minutes, seconds) = (parts.next()??, parts.next()??, parts.next()??);
    if parts.next().is_some() || hours > 24 || minutes > 59 || seconds > 59 || days > 365 {
        return None;
    }
    Some(Duration::from_secs(
        ((days * 24 + hours) * 60 + minutes) * 60 + seconds,
    ))
    .filter(|span| !span.is_zero())
}

/// Why a secret is not there. The text names the variable and never its value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// The variable is not set.
    #[error("the setting {name} is missing")]
    Missing {
        /// The variable.
        name: String,
    },
    /// The platform did not replace a Key Vault reference: the variable holds the reference itself.
    #[error(
        "the setting {name} is a Key Vault reference that did not resolve (does the app's identity have the role Key Vault Secrets User?)"
    )]
    Unresolved {
        /// The variable.
        name: String,
    },
}

/// Fetches the value that a policy refers to.
///
/// # Errors
/// It is missing, or an unresolved Key Vault reference.
pub fn resolve(
    reference: &SecretRef,
    lookup: &dyn Fn(&str) -> Option<String>,
) -> Result<Secret, SecretError> {
    match reference {
        SecretRef::Literal(value) => Ok(Secret::new(value.clone())),
        SecretRef::Env(name) => match lookup(name).filter(|value| !value.trim().is_empty()) {
            None => Err(SecretError::Missing { name: name.clone() }),
            Some(value) if value.trim_start().starts_with("@Microsoft.KeyVault(") => {
                Err(SecretError::Unresolved { name: name.clone() })
            }
            Some(value) => Ok(Secret::new(value)),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_host_settings() {
        let lookup = |name: &str| match name {
            "FUNCTIONS_CUSTOMHANDLER_PORT" => Some("4711".to_owned()),
            "FUNCTIONS_APP_ROOT_PATH" => Some("/app".to_owned()),
            _ => None,
        };
        let config = Config::read(
            &lookup,
            Some(1),
            None,
            Some(r#"{"functionTimeout":"00:05:00"}"#),
        )
        .unwrap();
        assert_eq!(config.port, 4711);
        assert_eq!(
            config.policy,
            Location::Directory(PathBuf::from("/app/policy.toml"))
        );
        assert_eq!(config.deadline, Duration::from_secs(270));
        assert!(!config.state_is_fleeting);
    }

    #[test]
    fn refuses_what_it_cannot_use() {
        let port = |name: &str| (name == "FUNCTIONS_CUSTOMHANDLER_PORT").then(|| "x".to_owned());
        assert!(matches!(
            Config::read(&port, None, None, None),
            Err(ConfigError::Port { .. })
        ));
        let error = |name: &'static str, value: &'static str| {
            let lookup = |asked: &str| match asked {
                "AzureWebJobsStorage" => Some("UseDevelopmentStorage=true".to_owned()),
                _ => (asked == name).then(|| value.to_owned()),
            };
            Config::read(&lookup, None, None, None)
                .unwrap_err()
                .to_string()
        };
        assert!(error("SPWATCH_STATE", "az://a/b").contains("container"));
        assert!(error("SPWATCH_POLICY", "az://policies").contains("names no blob"));
        assert!(error("SPWATCH_HUB_RETENTION", "7 days").contains("no duration"));
    }

    #[test]
    fn reads_time_spans() {
        assert_eq!(time_span("00:10:00"), Some(Duration::from_secs(600)));
        assert_eq!(time_span("1.00:00:01"), Some(Duration::from_secs(86_401)));
        for text in ["-1", "", "5", "00:00:00", "a:b:c", "00:61:00"] {
            assert_eq!(time_span(text), None, "{text}");
        }
    }

    #[test]
    fn secrets_are_named_and_not_shown() {
        let lookup = |name: &str| match name {
            "SET" => Some("https://hook.example/T0P".to_owned()),
            "VAULT" => {
                Some("@Microsoft.KeyVault(SecretUri=https://v.example/secrets/T0P)".to_owned())
            }
            _ => None,
        };
        assert_eq!(
            resolve(&SecretRef::Env("SET".into()), &lookup)
                .unwrap()
                .reveal(),
            "https://hook.example/T0P"
        );
        for name in ["VAULT", "NONE"] {
            let error = resolve(&SecretRef::Env(name.into()), &lookup)
                .unwrap_err()
                .to_string();
            assert!(error.contains(name) && !error.contains("T0P"), "{error}");
        }
    }
}
