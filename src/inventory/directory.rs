//! Applications as Entra ID's directory has them: what `az ad app list` and `az ad sp list` print.
//!
//! Both print objects of Microsoft Graph, as they come
//! (<https://learn.microsoft.com/graph/api/resources/application>,
//! <https://learn.microsoft.com/graph/api/resources/serviceprincipal>). Read leniently, and only what the policy has a
//! key for: neither secrets nor hints of them, nor notes, in which people keep all sorts of things.

use std::collections::{BTreeMap, HashMap};

use serde::Deserialize;
use serde_json::Value;
use uuid::{Uuid, uuid};

use crate::policy::{is_microsoft_tenant, looks_like_secret};
use crate::sign_in::Timestamp;

/// APIs that most applications ask for, under the names that Microsoft gives them.
/// <https://learn.microsoft.com/troubleshoot/entra/entra-id/governance/verify-first-party-apps-sign-in>
const WELL_KNOWN: [(Uuid, &str); 8] = [
    (
        uuid!("00000003-0000-0000-c000-000000000000"),
        "Microsoft Graph",
    ),
    (
        uuid!("00000002-0000-0000-c000-000000000000"),
        "Windows Azure Active Directory",
    ),
    (
        uuid!("00000002-0000-0ff1-ce00-000000000000"),
        "Office 365 Exchange Online",
    ),
    (
        uuid!("00000003-0000-0ff1-ce00-000000000000"),
        "Office 365 SharePoint Online",
    ),
    (
        uuid!("8ee8fdad-f234-4243-8f3b-15c294843740"),
        "Microsoft Threat Protection",
    ),
    (
        uuid!("fc780465-2017-40d4-a0c5-307022471b92"),
        "WindowsDefenderATP",
    ),
    (
        uuid!("c5393580-f805-4401-95e8-94b7a6ef2fc2"),
        "Office 365 Management APIs",
    ),
    (
        uuid!("cfa8b339-82a2-471a-a3c9-0fc0be7a4093"),
        "Azure Key Vault",
    ),
];

/// A text that is no list of the directory. What the text holds is not repeated: it may hold secrets.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ReadDirectoryError {
    /// UTF-16 cut in the middle, or neither that nor UTF-8.
    #[error("neither UTF-8 nor UTF-16; save it as UTF-8")]
    Encoding,
    /// Not JSON, or not of objects.
    #[error(
        "not the JSON that `az ad app list -o json` or `az ad sp list -o json` prints (line {line}, column {column})"
    )]
    Json {
        /// Line of the mistake, from 1.
        line: usize,
        /// Its column.
        column: usize,
    },
}

/// A secret or certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credential {
    /// Its key id.
    pub key_id: Uuid,
    /// `secret` or `certificate`.
    pub kind: &'static str,
    /// What people call it.
    pub name: Option<String>,
    /// When it ends.
    pub ends: Option<Timestamp>,
}

/// A permission that an application asks for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Permission {
    resource: Uuid,
    id: Uuid,
    /// On behalf of a user, not as the app itself.
    delegated: bool,
}

/// One application, from its registration and its service principals.
#[derive(Debug, Clone, Default)]
pub struct DirectoryApp {
    /// Its display name.
    pub name: Option<String>,
    /// Object ids of its service principals.
    pub service_principals: Vec<Uuid>,
    /// Who owns it, in the order of the directory.
    pub owners: Vec<String>,
    /// Its secrets and certificates.
    pub credentials: Vec<Credential>,
    /// Whether its registration was read, and with it what it asks for.
    pub registered: bool,
    /// Whether it is a managed identity: Azure rotates its keys.
    pub managed_identity: bool,
    /// Whether a Microsoft tenant owns it.
    pub of_microsoft: bool,
    permissions: Vec<Permission>,
}

/// What a directory calls a resource and its permissions.
#[derive(Debug, Default)]
struct Resource {
    name: Option<String>,
    permissions: HashMap<Uuid, String>,
}

/// The applications of a directory, by application id.
#[derive(Debug, Default)]
pub struct Directory {
    /// The applications.
    pub apps: BTreeMap<Uuid, DirectoryApp>,
    /// Objects without an application id.
    pub passed_over: u64,
    resources: HashMap<Uuid, Resource>,
}

/// An object of Graph: the fields that are used, whatever is in them.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
struct Object {
    /// A page of Graph's has the objects here.
    value: Option<Vec<Self>>,
    id: Value,
    app_id: Value,
    display_name: Value,
    owners: Value,
    required_resource_access: Value,
    password_credentials: Value,
    key_credentials: Value,
    service_principal_type: Value,
    app_owner_organization_id: Value,
    app_roles: Value,
    #[serde(rename = "oauth2PermissionScopes")]
    scopes: Value,
}

fn text(value: &Value) -> Option<String> {
    let text = value.as_str()?.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

fn guid(value: &Value) -> Option<Uuid> {
    Uuid::try_parse(value.as_str()?.trim()).ok()
}

fn members(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn add_new<T: PartialEq>(values: &mut Vec<T>, value: T) {
    if !values.contains(&value) {
        values.push(value);
    }
}

impl Directory {
    /// Adds what a file holds: an array, a page of Graph's, or one object.
    ///
    /// # Errors
    /// It is no text, or not such JSON.
    pub fn read(&mut self, bytes: &[u8]) -> Result<(), ReadDirectoryError> {
        let text = decoded(bytes)?;
        let text = text.trim_start();
        let wrong = |error: serde_json::Error| ReadDirectoryError::Json {
            line: error.line(),
            column: error.column(),
        };
        if text.starts_with('[') {
            let objects: Vec<Object> = serde_json::from_str(text).map_err(wrong)?;
            objects.into_iter().for_each(|object| self.add(object));
            return Ok(());
        }
        let mut object: Object = serde_json::from_str(text).map_err(wrong)?;
        match object.value.take() {
            Some(objects) => objects.into_iter().for_each(|object| self.add(object)),
            None => self.add(object),
        }
        Ok(())
    }

    fn add(&mut self, object: Object) {
        let Some(app_id) = guid(&object.app_id) else {
            self.passed_over += 1;
            return;
        };
        let principal_type = object.service_principal_type.as_str();
        let is_principal = principal_type.is_some() || !object.app_owner_organization_id.is_null();
        let app = self.apps.entry(app_id).or_default();
        if let Some(name) = self::text(&object.display_name) {
            // The registration's name is the one that its owners see.
            if app.name.is_none() || !is_principal {
                app.name = Some(name);
            }
        }
        if is_principal {
            app.managed_identity |=
                principal_type.is_some_and(|kind| kind.eq_ignore_ascii_case("ManagedIdentity"));
            app.of_microsoft |=
                guid(&object.app_owner_organization_id).is_some_and(is_microsoft_tenant);
            if let Some(id) = guid(&object.id) {
                add_new(&mut app.service_principals, id);
            }
            let resource = self.resources.entry(app_id).or_default();
            resource.name = self::text(&object.display_name).or(resource.name.take());
            let named = members(&object.app_roles).chain(members(&object.scopes));
            for permission in named {
                if let (Some(id), Some(value)) = (
                    guid(field(permission, "id")),
                    self::text(field(permission, "value")),
                ) {
                    resource.permissions.insert(id, value);
                }
            }
        } else {
            app.registered = true;
        }
        for owner in members(&object.owners) {
            let words = ["mail", "userPrincipalName", "displayName"];
            if let Some(owner) = words.iter().find_map(|key| self::text(field(owner, key))) {
                add_new(&mut app.owners, owner);
            }
        }
        for resource in members(&object.required_resource_access) {
            let Some(resource_id) = guid(field(resource, "resourceAppId")) else {
                continue;
            };
            for access in members(field(resource, "resourceAccess")) {
                if let Some(id) = guid(field(access, "id")) {
                    let permission = Permission {
                        resource: resource_id,
                        id,
                        delegated: field(access, "type").as_str() == Some("Scope"),
                    };
                    add_new(&mut app.permissions, permission);
                }
            }
        }
        let secrets = members(&object.password_credentials).map(|one| ("secret", one));
        let certificates = members(&object.key_credentials)
            // What a service principal signs SAML tokens with is nothing that it signs in with.
            .filter(|one| field(one, "usage").as_str() != Some("Sign"))
            .map(|one| ("certificate", one));
        for (kind, one) in secrets.chain(certificates) {
            let Some(key_id) = guid(field(one, "keyId")) else {
                continue;
            };
            if app.credentials.iter().any(|known| known.key_id == key_id) {
                continue;
            }
            let ends = field(one, "endDateTime").as_str();
            app.credentials.push(Credential {
                key_id,
                kind,
                name: self::text(field(one, "displayName")).filter(|name| !looks_like_secret(name)),
                ends: ends.and_then(|ends| Timestamp::parse(ends).ok()),
            });
        }
    }

    /// The permissions that an application asks for, sorted: `Microsoft Graph/User.Read.All`, ids where the directory
    /// does not say what they are called.
    pub fn permissions(&self, app: &DirectoryApp) -> Vec<String> {
        let mut texts: Vec<String> = app
            .permissions
            .iter()
            .map(|permission| {
                let resource = self.resources.get(&permission.resource);
                let well_known = WELL_KNOWN
                    .iter()
                    .find(|(id, _)| *id == permission.resource)
                    .map(|(_, name)| (*name).to_owned());
                let name = resource
                    .and_then(|resource| resource.name.clone())
                    .or(well_known)
                    .unwrap_or_else(|| permission.resource.to_string());
                let value = resource
                    .and_then(|resource| resource.permissions.get(&permission.id).cloned())
                    .unwrap_or_else(|| permission.id.to_string());
                let delegated = if permission.delegated {
                    " (delegated)"
                } else {
                    ""
                };
                format!("{name}/{value}{delegated}")
            })
            .collect();
        texts.sort_unstable();
        texts.dedup();
        texts
    }
}

/// A field of an object; null where there is none.
fn field<'v>(value: &'v Value, key: &str) -> &'v Value {
    value.get(key).unwrap_or(&Value::Null)
}

/// UTF-8, or the UTF-16 that PowerShell writes where output goes to a file.
fn decoded(bytes: &[u8]) -> Result<String, ReadDirectoryError> {
    let wide = |bytes: &[u8], number: fn([u8; 2]) -> u16| {
        let (pairs, rest) = bytes.as_chunks::<2>();
        let units: Vec<u16> = pairs.iter().map(|pair| number(*pair)).collect();
        match rest {
            [] => String::from_utf16(&units).map_err(|_| ReadDirectoryError::Encoding),
            _ => Err(ReadDirectoryError::Encoding),
        }
    };
    match bytes {
        [0xFF, 0xFE, rest @ ..] => wide(rest, u16::from_le_bytes),
        [0xFE, 0xFF, rest @ ..] => wide(rest, u16::from_be_bytes),
        [0xEF, 0xBB, 0xBF, rest @ ..] | rest => std::str::from_utf8(rest)
            .map(str::to_owned)
            .map_err(|_| ReadDirectoryError::Encoding),
    }
}
