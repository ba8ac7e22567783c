//! What would let a failing check pass: changes of one line, exact enough to be pasted.

use std::net::IpAddr;
use std::sync::Arc;

use chrono::Days;

use super::super::Policy;
use super::super::entry::Line;
use super::super::network::parse_range;
use super::super::place::parse_place;
use super::super::written::{Trail, WrittenList};
use super::point::Listed;
use crate::sign_in::{CredentialType, Id, SignIn};
use crate::verdict::ReasonCode;

/// How a policy is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edit {
    /// The text is added to the list that begins on the line.
    Add,
    /// The text takes the place of what stands on the line.
    Replace,
    /// What stands on the line is removed.
    Remove,
    /// The text is pasted below the table that begins on the line.
    Below,
    /// The text is pasted at the end of the file.
    End,
}

impl Edit {
    /// The word used in output.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Add => "add",
            Self::Replace => "replace",
            Self::Remove => "remove",
            Self::Below => "below",
            Self::End => "end",
        }
    }
}

/// One change of the policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// What is done.
    pub edit: Edit,
    /// The key that is concerned, such as `allow.ips`.
    pub key: String,
    /// File it is done in.
    pub file: Arc<str>,
    /// Line it is done at, from 1.
    pub line: usize,
    /// What stands there, where something is replaced or removed.
    pub old: Option<String>,
    /// What is to be pasted, as TOML; empty where something is removed.
    pub text: String,
}

impl Change {
    /// The change in words, and where it is made.
    pub fn sentence(&self) -> String {
        let Self {
            key,
            file,
            line,
            text,
            ..
        } = self;
        let old = self.old.as_deref().unwrap_or_default();
        match self.edit {
            Edit::Add => format!("add {text} to {key} ({file}:{line})"),
            Edit::Replace => format!("replace {old} of {key} with {text} ({file}:{line})"),
            Edit::Remove if old == key => format!("remove {key} ({file}:{line})"),
            Edit::Remove => format!("remove {old} from {key} ({file}:{line})"),
            Edit::Below => format!("paste below {key} ({file}:{line})"),
            Edit::End => format!("paste at the end of {file}"),
        }
    }

    /// Whether the text stands on lines of its own.
    pub fn is_block(&self) -> bool {
        matches!(self.edit, Edit::Below | Edit::End)
    }
}

/// A TOML basic string, on one line; text from a log may hold anything. JSON's escapes are TOML's too, but for one
/// letter that JSON leaves as it is.
fn toml_text(text: &str) -> String {
    serde_json::Value::from(text)
        .to_string()
        .replace('\u{7f}', "\\u007F")
}

/// The narrowest place that a policy can name for a sign-in.
fn narrowest_place(sign_in: &SignIn<'_>) -> Option<String> {
    let country = sign_in.country.as_deref()?;
    // A state that holds a slash, or is not told, cannot stand before a city.
    let state = sign_in.state.as_deref().filter(|part| !part.contains('/'));
    let city = state.and(sign_in.city.as_deref());
    let parts = [Some(country), state, city];
    let names: Vec<&str> = parts.into_iter().flatten().collect();
    (1..=names.len())
        .rev()
        .filter_map(|length| names.get(..length))
        .map(|names| names.join("/"))
        .find(|text| parse_place(text).is_ok_and(|place| place.holds(sign_in)))
}

impl Policy {
    fn change(&self, edit: Edit, key: &str, line: Line) -> Option<Change> {
        Some(Change {
            edit,
            key: key.to_owned(),
            file: self.files.get(line.file).cloned()?,
            line: line.line,
            old: None,
            text: String::new(),
        })
    }

    fn add(&self, key: &str, list: Option<&WrittenList>, value: &str) -> Option<Change> {
        Some(Change {
            text: toml_text(value),
            ..self.change(Edit::Add, key, list?.line)?
        })
    }

    fn remove(&self, key: &str, list: Option<&WrittenList>) -> Option<Change> {
        Some(Change {
            old: Some(key.to_owned()),
            ..self.change(Edit::Remove, key, list?.line)?
        })
    }

    /// The changes that together let a check pass; none where no change of the policy can.
    pub(super) fn changes(
        &self,
        listed: Option<Listed<'_>>,
        code: ReasonCode,
        sign_in: &SignIn<'_>,
    ) -> Vec<Change> {
        let one = |change: Option<Change>| change.into_iter().collect();
        let Some(listed) = listed else {
            return one(match code {
                ReasonCode::UnknownApp => self.listing(sign_in),
                ReasonCode::TenantNotAllowed => self.admit_tenant(sign_in),
                _ => None,
            });
        };
        let app = listed.written;
        let ip = || sign_in.ip.map(|address| address.to_string());
        match code {
            ReasonCode::UnknownApp => Vec::new(),
            ReasonCode::IpDenied => self.undeny_ip(listed, sign_in).unwrap_or_default(),
            ReasonCode::PlaceDenied => self.undeny_place(listed, sign_in).unwrap_or_default(),
            ReasonCode::IpUnknown | ReasonCode::PlaceUnknown | ReasonCode::CredentialUnknown => {
                one(self.let_unknown(code))
            }
            ReasonCode::IpNotAllowed => {
                one(ip().and_then(|ip| self.add("allow.ips", app.allow_ips.as_ref(), &ip)))
            }
            ReasonCode::PlaceNotAllowed => one(narrowest_place(sign_in)
                .and_then(|place| self.add("allow.places", app.allow_places.as_ref(), &place))),
            ReasonCode::TenantNotAllowed => one(self.admit_tenant(sign_in)),
            ReasonCode::ResourceNotAllowed => {
                let list = app.allow_resources.as_ref();
                let id = sign_in.resource_id.as_ref().map(ToString::to_string);
                let name = sign_in.resource.as_deref().map(str::to_owned);
                let asked = id.or(name).filter(|text| !text.trim().is_empty());
                one(match asked {
                    Some(asked) => self.add("allow.resources", list, &asked),
                    None => self.remove("allow.resources", list),
                })
            }
            ReasonCode::CredentialNotAllowed => one(self.list_credential(listed, sign_in)),
            ReasonCode::CredentialExpired => one(self.extend_credential(listed, sign_in)),
            ReasonCode::CredentialIpNotAllowed => {
                let key = listed
                    .entry
                    .credential(sign_in)
                    .map(|known| format!("allow.ips of credential {}", known.key_id));
                one(key
                    .zip(ip())
                    .and_then(|(key, ip)| self.add(&key, listed.credential_ips(sign_in), &ip)))
            }
            ReasonCode::CredentialTypeNotAllowed => {
                let list = app.allow_types.as_ref();
                one(match sign_in.credential_type.as_ref() {
                    None | Some(CredentialType::Other(_)) => {
                        self.remove("allow.credential_types", list)
                    }
                    Some(known) => self.add("allow.credential_types", list, known.as_str()),
                })
            }
        }
    }

    /// The narrowest exception that lets a check pass for a week.
    pub(super) fn exception(
        &self,
        listed: Listed<'_>,
        code: ReasonCode,
        sign_in: &SignIn<'_>,
    ) -> Option<Change> {
        let list = match code {
            ReasonCode::IpNotAllowed => {
                format!("allow.ips = [{}]", toml_text(&sign_in.ip?.to_string()))
            }
            ReasonCode::PlaceNotAllowed => {
                format!("allow.places = [{}]", toml_text(&narrowest_place(sign_in)?))
            }
            _ => return None,
        };
        let until = sign_in.time.utc().checked_add_days(Days::new(7))?;
        Some(Change {
            text: format!(
                "[[app.exception]]\n{list}\nuntil = {}\nreason = \"ticket, and why this is fine\"",
                until.format("%Y-%m-%dT00:00:00Z")
            ),
            ..self.change(Edit::Below, "the entry", listed.entry.line)?
        })
    }

    /// An entry for an app that has none.
    fn listing(&self, sign_in: &SignIn<'_>) -> Option<Change> {
        let guid = |id: &Option<Id<'_>>| id.as_ref().and_then(Id::guid);
        let name = sign_in
            .name
            .as_deref()
            .filter(|name| !name.trim().is_empty());
        let selector = match (guid(&sign_in.app_id), guid(&sign_in.service_principal_id)) {
            (Some(app), _) => format!("app_id = \"{app}\""),
            (None, Some(principal)) => format!("service_principal_id = \"{principal}\""),
            (None, None) => format!("match = {{ name = {} }}", toml_text(name?)),
        };
        let label = name.map_or_else(
            || {
                let id = guid(&sign_in.app_id).or(guid(&sign_in.service_principal_id));
                id.map(|id| id.to_string()).unwrap_or_default()
            },
            str::to_owned,
        );
        let mut text = format!("[[app]]\nname = {}\n{selector}", toml_text(&label));
        if let Some(address) = sign_in.ip {
            text += &format!("\nallow.ips = [\"{address}\"]");
        }
        Some(Change {
            text,
            ..self.change(Edit::End, "the policy", Line { file: 0, line: 1 })?
        })
    }

    fn admit_tenant(&self, sign_in: &SignIn<'_>) -> Option<Change> {
        let tenant = sign_in.tenant_id.as_ref().and_then(Id::guid)?;
        self.add(
            "tenants",
            self.written.tenants.as_ref(),
            &tenant.to_string(),
        )
    }

    /// Takes an address out of each denied range that it is in, and allows it where it is not besides.
    fn undeny_ip(&self, listed: Listed<'_>, sign_in: &SignIn<'_>) -> Option<Vec<Change>> {
        let address = sign_in.ip?;
        let app = listed.written;
        let denied = self.written.around(app.deny_ips.as_ref()?, address);
        let mut changes = Vec::new();
        for trail in denied {
            let value = trail.last()?;
            let left = parse_range(&value.text).ok()?.block.without(address);
            let left: Vec<String> = left.iter().map(|text| toml_text(text)).collect();
            changes.extend(self.undeny("deny.ips", &trail, &left.join(", ")));
        }
        if let Some(allow) = &listed.entry.allow_ips
            && !allow.rule.contains(address)
            && !excepted_ip(listed, address, sign_in)
        {
            changes.extend(self.add("allow.ips", app.allow_ips.as_ref(), &address.to_string()));
        }
        Some(changes)
    }

    fn undeny_place(&self, listed: Listed<'_>, sign_in: &SignIn<'_>) -> Option<Vec<Change>> {
        let app = listed.written;
        let denied = self.written.at(app.deny_places.as_ref()?, sign_in);
        let mut changes: Vec<Change> = denied
            .iter()
            .filter_map(|trail| self.undeny("deny.places", trail, ""))
            .collect();
        let mut live = listed.entry.live_exceptions(sign_in);
        if let Some(allow) = &listed.entry.allow_places
            && !allow.rule.contains(sign_in)
            && !live.any(|known| known.places.as_ref().is_some_and(|at| at.contains(sign_in)))
        {
            let place = narrowest_place(sign_in)?;
            changes.extend(self.add("allow.places", app.allow_places.as_ref(), &place));
        }
        Some(changes)
    }

    /// Replaces a denied value by what is left of it.
    fn undeny(&self, key: &str, trail: &Trail<'_>, left: &str) -> Option<Change> {
        let (last, sets) = trail.split_last()?;
        let edit = match left {
            "" => Edit::Remove,
            _ => Edit::Replace,
        };
        // The set is where it is written, for all that use it.
        let key = sets.last().map_or(key, |set| &*set.text);
        Some(Change {
            old: Some(toml_text(&last.text)),
            text: left.to_owned(),
            ..self.change(edit, key, last.line)?
        })
    }

    /// Lets what the record does not tell pass, for every entry.
    fn let_unknown(&self, code: ReasonCode) -> Option<Change> {
        let defaults = &self.written.defaults;
        let (key, line) = match code {
            ReasonCode::IpUnknown => ("unknown_ip", defaults.unknown_ip),
            ReasonCode::PlaceUnknown => ("unknown_place", defaults.unknown_place),
            _ => ("unknown_credential", defaults.unknown_credential),
        };
        if let Some(line) = line {
            return Some(Change {
                old: Some("\"alert\"".to_owned()),
                text: "\"allow\"".to_owned(),
                ..self.change(Edit::Replace, key, line)?
            });
        }
        let text = format!("{key} = \"allow\"");
        match defaults.table {
            Some(line) => Some(Change {
                text,
                ..self.change(Edit::Below, "[defaults]", line)?
            }),
            None => Some(Change {
                text: format!("[defaults]\n{text}"),
                ..self.change(Edit::End, "the policy", Line { file: 0, line: 1 })?
            }),
        }
    }

    fn list_credential(&self, listed: Listed<'_>, sign_in: &SignIn<'_>) -> Option<Change> {
        let ids = [&sign_in.credential_key_id, &sign_in.federated_credential_id];
        let id = ids.into_iter().flatten().find_map(Id::guid)?;
        Some(Change {
            text: format!("[[app.credential]]\nkey_id = \"{id}\""),
            ..self.change(Edit::Below, "the entry", listed.entry.line)?
        })
    }

    /// Moves the last day of a credential to that of the sign-in, no further.
    fn extend_credential(&self, listed: Listed<'_>, sign_in: &SignIn<'_>) -> Option<Change> {
        let credential = listed.entry.credential(sign_in)?;
        let key = format!("expires of credential {}", credential.key_id);
        let line = listed.expires(sign_in)?;
        Some(Change {
            old: Some(credential.expires?.to_string()),
            text: sign_in.time.utc().format("%Y-%m-%d").to_string(),
            ..self.change(Edit::Replace, &key, line)?
        })
    }
}

/// Whether an exception allows an address at the time of a sign-in.
fn excepted_ip(listed: Listed<'_>, address: IpAddr, sign_in: &SignIn<'_>) -> bool {
    let mut live = listed.entry.live_exceptions(sign_in);
    live.any(|known| known.ips.as_ref().is_some_and(|ips| ips.contains(address)))
}
