//! Where state is kept, read from settings. Pure.

use std::fmt;
use std::path::PathBuf;

use crate::sink::Secret;

/// The account and key that every storage emulator has
/// (Azure/Azurite `README.md`, "Default Storage Account"). No secret: it opens nothing but emulators.
const EMULATOR_ACCOUNT: &str = "devstoreaccount1";
const EMULATOR_KEY: &str =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";
const EMULATOR_BLOBS: &str = "http://127.0.0.1:10000/devstoreaccount1";

/// The setting with the storage account, which the Functions host itself uses.
const STORAGE: &str = "AzureWebJobsStorage";

/// Where documents are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// A directory on this machine.
    Directory(PathBuf),
    /// Azure Blob storage.
    Blobs(BlobLocation),
    /// The memory of this process, for tests.
    Memory,
}

/// A container, and the beginning of the names in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlobLocation {
    /// The storage account.
    pub account: StorageAccount,
    /// The container's name.
    pub container: String,
    /// The beginning of every blob's name; may be empty.
    pub prefix: String,
}

/// A storage account's blobs, and how they are opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StorageAccount {
    /// The account's name.
    pub name: String,
    /// The address of its blobs, without a slash at its end.
    pub blobs: String,
    /// What opens it.
    pub access: Access,
}

/// What opens a storage account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Access {
    /// The account's key.
    Key(Secret),
    /// The app's managed identity; the client id names a user-assigned one.
    Identity {
        /// Where the platform gives out tokens; without it, the address that virtual machines have.
        endpoint: Option<String>,
        /// Client id of the user-assigned identity.
        client_id: Option<String>,
    },
}

/// A location that cannot be used. The text never holds a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LocationError {
    /// An `az://` address without a container.
    #[error("{value:?} names no container: write az://container/prefix")]
    NoContainer {
        /// The address.
        value: String,
    },
    /// A container that Azure would not take.
    #[error(
        "{container:?} is no container's name: 3 to 63 lower-case letters, digits and single hyphens"
    )]
    Container {
        /// The name.
        container: String,
    },
    /// There is no storage account.
    #[error(
        "az:// needs the storage account of the Functions host: neither {STORAGE} nor {STORAGE}__accountName nor {STORAGE}__blobServiceUri is set"
    )]
    NoAccount,
    /// A connection string that lacks something.
    #[error("{STORAGE} has no {part}")]
    Lacks {
        /// The part that is missing.
        part: &'static str,
    },
    /// A connection string with a shared access signature, which expires unnoticed.
    #[error(
        "{STORAGE} opens the account by a shared access signature: use the app's identity ({STORAGE}__accountName) or an account key"
    )]
    Signature,
    /// A Key Vault reference that the platform did not replace.
    #[error("{STORAGE} is a Key Vault reference that did not resolve")]
    Unresolved,
}

impl Location {
    /// Reads a path or an `az://container/prefix`; the storage account is the Functions host's.
    ///
    /// # Errors
    /// An address without a container, or a storage account that is not there or cannot be used.
    pub fn read(
        text: &str,
        lookup: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, LocationError> {
        let Some(address) = text.strip_prefix("az://") else {
            return Ok(Self::Directory(PathBuf::from(text)));
        };
        let (container, prefix) = address.split_once('/').unwrap_or((address, ""));
        if container.is_empty() {
            return Err(LocationError::NoContainer {
                value: text.to_owned(),
            });
        }
        if !is_container(container) {
            return Err(LocationError::Container {
                container: container.to_owned(),
            });
        }
        Ok(Self::Blobs(BlobLocation {
            account: StorageAccount::read(lookup)?,
            container: container.to_owned(),
            prefix: prefix.trim_matches('/').to_owned(),
        }))
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(path) => write!(f, "{}", path.display()),
            Self::Blobs(blobs) => write!(
                f,
                "az://{}/{} in {}",
                blobs.container, blobs.prefix, blobs.account.name
            ),
            Self::Memory => f.write_str("memory"),
        }
    }
}

/// Whether Azure takes this as a container's name
/// (learn.microsoft.com/rest/api/storageservices/naming-and-referencing-containers--blobs--and-metadata).
fn is_container(name: &str) -> bool {
    let letters = name
        .bytes()
        .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'));
    let hyphens = name.starts_with('-') || name.ends_with('-') || name.contains("--");
    letters && !hyphens && (3..=63).contains(&name.len())
}

impl StorageAccount {
    /// The storage account of the Functions host: a connection string, or the settings for an identity
    /// (MicrosoftDocs/azure-docs `articles/azure-functions/functions-reference.md`, "Connecting to host storage
    /// with an identity").
    ///
    /// # Errors
    /// It is not there, or cannot be used.
    pub fn read(lookup: &dyn Fn(&str) -> Option<String>) -> Result<Self, LocationError> {
        let setting = |name: &str| {
            let value = lookup(name)?;
            let value = value.trim();
            (!value.is_empty()).then(|| value.to_owned())
        };
        if let Some(text) = setting(STORAGE) {
            return Self::of_connection_string(&text);
        }
        let part = |name: &str| {
            // Where a colon cannot stand in a name, two underscores do.
            setting(&format!("{STORAGE}__{name}")).or_else(|| setting(&format!("{STORAGE}:{name}")))
        };
        let access = Access::Identity {
            endpoint: setting("IDENTITY_ENDPOINT"),
            client_id: part("clientId"),
        };
        if let Some(uri) = part("blobServiceUri") {
            let blobs = uri.trim_end_matches('/').to_owned();
            let host = blobs.split("://").nth(1).unwrap_or_default();
            let name = host.split(['.', '/', ':']).next().unwrap_or_default();
            return Ok(Self {
                name: name.to_owned(),
                blobs,
                access,
            });
        }
        let name = part("accountName").ok_or(LocationError::NoAccount)?;
        Ok(Self {
            blobs: format!("https://{name}.blob.core.windows.net"),
            name,
            access,
        })
    }

    fn of_connection_string(text: &str) -> Result<Self, LocationError> {
        if text.starts_with("@Microsoft.KeyVault(") {
            return Err(LocationError::Unresolved);
        }
        let part = |name: &str| {
            text.split(';').find_map(|part| {
                let (key, value) = part.split_once('=')?;
                let value = value.trim();
                (key.trim().eq_ignore_ascii_case(name) && !value.is_empty())
                    .then(|| value.to_owned())
            })
        };
        if part("UseDevelopmentStorage").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
            return Ok(Self {
                name: EMULATOR_ACCOUNT.to_owned(),
                blobs: EMULATOR_BLOBS.to_owned(),
                access: Access::Key(Secret::new(EMULATOR_KEY.to_owned())),
            });
        }
        if part("SharedAccessSignature").is_some() {
            return Err(LocationError::Signature);
        }
        let lacks = |part| LocationError::Lacks { part };
        let name = part("AccountName").ok_or(lacks("AccountName"))?;
        let key = part("AccountKey").ok_or(lacks("AccountKey"))?;
        let blobs = part("BlobEndpoint").unwrap_or_else(|| {
            let protocol = part("DefaultEndpointsProtocol").unwrap_or_else(|| "https".to_owned());
            let suffix = part("EndpointSuffix").unwrap_or_else(|| "core.windows.net".to_owned());
            format!("{protocol}://{name}.blob.{suffix}")
        });
        Ok(Self {
            blobs: blobs.trim_end_matches('/').to_owned(),
            name,
            access: Access::Key(Secret::new(key)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(
        text: &str,
        settings: &[(&'static str, &'static str)],
    ) -> Result<Location, LocationError> {
        Location::read(text, &|name| {
            let found = settings.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    fn blobs(settings: &[(&'static str, &'static str)]) -> StorageAccount {
        match read("az://state/spwatch/", settings).unwrap() {
            Location::Blobs(blobs) => {
                assert_eq!((&*blobs.container, &*blobs.prefix), ("state", "spwatch"));
                blobs.account
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn reads_paths_and_accounts() {
        assert_eq!(
            read("/var/lib/spwatch", &[]),
            Ok(Location::Directory("/var/lib/spwatch".into()))
        );
        let account = blobs(&[("AzureWebJobsStorage", "UseDevelopmentStorage=true")]);
        assert_eq!(account.blobs, EMULATOR_BLOBS);
        let account = blobs(&[(
            "AzureWebJobsStorage",
            "DefaultEndpointsProtocol=https;AccountName=acme;AccountKey=c2VjcmV0PQ==;EndpointSuffix=core.windows.net",
        )]);
        assert_eq!(account.blobs, "https://acme.blob.core.windows.net");
        assert_eq!(
            account.access,
            Access::Key(Secret::new("c2VjcmV0PQ==".into()))
        );
        assert!(!format!("{account:?}").contains("c2Vj"));
        let account = blobs(&[(
            "AzureWebJobsStorage",
            "AccountName=devstoreaccount1;AccountKey=AA==;BlobEndpoint=http://127.0.0.1:4711/devstoreaccount1/",
        )]);
        assert_eq!(account.blobs, "http://127.0.0.1:4711/devstoreaccount1");
        let account = blobs(&[
            ("AzureWebJobsStorage__accountName", "acme"),
            ("AzureWebJobsStorage__clientId", "some-id"),
            ("IDENTITY_ENDPOINT", "http://127.0.0.1:41741/MSI/token/"),
        ]);
        assert_eq!(account.blobs, "https://acme.blob.core.windows.net");
        assert_eq!(
            account.access,
            Access::Identity {
                endpoint: Some("http://127.0.0.1:41741/MSI/token/".into()),
                client_id: Some("some-id".into())
            }
        );
        let account = blobs(&[(
            "AzureWebJobsStorage__blobServiceUri",
            "https://acme.blob.core.chinacloudapi.cn/",
        )]);
        assert_eq!(account.name, "acme");
    }

    #[test]
    fn says_what_is_missing_and_shows_no_key() {
        let table = [
            ("az://", "", "names no container"),
            ("az:///x", "", "names no container"),
            ("az://A/x", "", "no container's name"),
            ("az://state", "", "neither"),
            ("az://state", "AccountName=a", "has no AccountKey"),
            ("az://state", "AccountKey=T0PSECRET", "has no AccountName"),
            (
                "az://state",
                "BlobEndpoint=https://a;SharedAccessSignature=T0PSECRET",
                "shared access signature",
            ),
            (
                "az://state",
                "@Microsoft.KeyVault(SecretUri=https://v/T0PSECRET)",
                "did not resolve",
            ),
        ];
        for (text, storage, expected) in table {
            let lookup = |name: &str| (name == STORAGE).then(|| storage.to_owned());
            let error = Location::read(text, &lookup).unwrap_err().to_string();
            assert!(
                error.contains(expected) && !error.contains("T0P"),
                "{error}"
            );
        }
    }
}
