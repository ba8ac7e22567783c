//! What the directory knows of the apps, proposed as additions to the policy.
//!
//! Nothing that the policy says is changed or removed: what is missing is added, and where the two differ a note says
//! so.

mod text;

use std::collections::BTreeSet;

use chrono::{Datelike, TimeDelta};
use uuid::Uuid;

use self::text::{Additions, EntryPlace, array, commented, entries, line, quoted};
use super::directory::{Credential, Directory, DirectoryApp};
use super::words::{counted, day};
use crate::policy::{App, ListedEntry, Policy, Source};
use crate::sign_in::{Id, SignIn, Timestamp};

/// How to propose.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Credentials are added in force, not as comments. An app with one that is listed may use no other.
    pub credentials: bool,
    /// What has ended by then is not added.
    pub now: Timestamp,
}

/// What was proposed, in numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Entries that an app of the directory was found for.
    pub matched: u64,
    /// Owners added.
    pub owners: u64,
    /// Lists of permissions added.
    pub permissions: u64,
    /// Credentials added, in force or as comments.
    pub credentials: u64,
    /// Ends added to credentials that are listed.
    pub expiries: u64,
    /// Credentials of the directory that have ended, left out.
    pub expired: u64,
    /// Entries added as comments, for apps that are not listed.
    pub new_entries: u64,
    /// Apps of Microsoft's that are not listed, left out.
    pub of_microsoft: u64,
}

/// The policy with what the directory knows.
#[derive(Debug)]
pub struct Proposal {
    /// The policy's files in their order, the root first, with their new texts.
    pub sources: Vec<Source>,
    /// Which of them are new.
    pub changed: Vec<bool>,
    /// What a person has to look at.
    pub notes: Vec<String>,
    /// What was done.
    pub tally: Tally,
}

/// Proposes additions to a policy. `policy` and `listing` are those of `sources`.
pub fn propose(
    sources: &[Source],
    policy: &Policy,
    listing: &[ListedEntry],
    directory: &Directory,
    options: &Options,
) -> Proposal {
    let mut proposer = Proposer {
        directory,
        options,
        notes: Vec::new(),
        tally: Tally::default(),
    };
    let (matched, unlisted) = proposer.match_apps(policy);
    let mut additions = Vec::with_capacity(sources.len());
    let mut apps = policy.apps.iter().zip(listing).zip(&matched);
    for source in sources {
        let mut own = Additions::default();
        for place in entries(&source.text) {
            let Some(((app, entry), found)) = apps.next() else {
                break;
            };
            if let (Some(place), Some(found)) = (place, found) {
                proposer.fill(&mut own, &source.text, &place, (app, entry), found);
            }
        }
        additions.push(own);
    }
    let names = policy.apps.iter().map(|app| app.name.clone()).collect();
    let new = proposer.new_entries(&unlisted, names);
    if let (false, Some(root), Some(source)) =
        (new.is_empty(), additions.first_mut(), sources.first())
    {
        root.at(source.text.len(), new);
    }
    let changed = additions.iter().map(|own| !own.is_empty()).collect();
    let sources = sources.iter().zip(additions).map(|(source, own)| Source {
        name: source.name.clone(),
        text: own.apply(&source.text),
    });
    Proposal {
        sources: sources.collect(),
        changed,
        notes: proposer.notes,
        tally: proposer.tally,
    }
}

struct Proposer<'d> {
    directory: &'d Directory,
    options: &'d Options,
    notes: Vec<String>,
    tally: Tally,
}

/// An app of the directory, by its id.
type Found<'d> = (Uuid, &'d DirectoryApp);

impl<'d> Proposer<'d> {
    /// For each entry the app that it selects by id, and the apps that no entry selects.
    fn match_apps(&mut self, policy: &Policy) -> (Vec<Option<Found<'d>>>, Vec<Found<'d>>) {
        let mut matched = vec![None; policy.apps.len()];
        let mut unlisted = Vec::new();
        for (app_id, app) in &self.directory.apps {
            let mut principals: Vec<Option<Uuid>> =
                app.service_principals.iter().copied().map(Some).collect();
            if principals.is_empty() {
                principals.push(None);
            }
            let mut listed = false;
            for principal in principals {
                let Some(index) = policy.select(&SignIn {
                    app_id: Some(Id::Guid(*app_id)),
                    service_principal_id: principal.map(Id::Guid),
                    name: app.name.as_deref().map(Into::into),
                    ..SignIn::unknown(self.options.now)
                }) else {
                    continue;
                };
                listed = true;
                let Some(entry) = policy.apps.get(index) else {
                    continue;
                };
                if entry.app_id.is_none() && entry.service_principal_id.is_none() {
                    // Whoever names an app like another would bring along its own owner.
                    self.notes.push(format!(
                        "{}: selects {app_id} by name only; add app_id to have it filled in",
                        entry.name
                    ));
                } else if let Some(place) = matched.get_mut(index) {
                    *place = Some((*app_id, app));
                }
            }
            if !listed {
                unlisted.push((*app_id, app));
            }
        }
        self.tally.matched = matched.iter().flatten().count() as u64;
        (matched, unlisted)
    }

    fn fill(
        &mut self,
        additions: &mut Additions,
        text: &str,
        place: &EntryPlace,
        (app, entry): (&App, &ListedEntry),
        (app_id, found): &Found<'d>,
    ) {
        let mut keys: Vec<(&str, String)> = Vec::new();
        let owner = found.owners.join(", ");
        match &app.owner {
            None if owner.is_empty() => self.notes.push(format!(
                "{}: no owner, and the input has none (az ad app owner list --id {app_id})",
                app.name
            )),
            None => {
                self.tally.owners += 1;
                keys.push(("owner", quoted(&owner)));
            }
            Some(known) if !owner.is_empty() && !known.eq_ignore_ascii_case(&owner) => {
                self.notes.push(format!(
                    "{}: the policy has the owner {known}, the directory {owner}",
                    app.name
                ));
            }
            Some(_) => {}
        }
        let permissions = self.directory.permissions(found);
        if app.permissions.is_empty() && !permissions.is_empty() {
            // `permissions = []` is a key that is there.
            if place.has_permissions {
                self.notes.push(format!(
                    "{}: the policy has no permissions, the directory {}",
                    app.name,
                    permissions.join(", ")
                ));
            } else {
                self.tally.permissions += 1;
                keys.push(("permissions", array(&permissions, &place.indent)));
            }
        } else if found.registered {
            self.compare_permissions(app, &permissions);
        }
        for (key, value) in keys {
            if place.inline {
                additions.at(place.identity_end, format!(", {key} = {value}"));
                continue;
            }
            let line = line(&place.indent, key, place.key_width, &value);
            additions.below(text, place.identity_end, &line);
        }
        self.fill_credentials(additions, text, place, (app, entry), found);
    }

    fn compare_permissions(&mut self, app: &App, permissions: &[String]) {
        // Ids on one side and names on the other cannot be compared.
        let is_id = |text: &String| {
            let mut parts = text.split(['/', ' ']);
            parts.any(|part| Uuid::try_parse(part).is_ok())
        };
        if permissions.iter().any(is_id) {
            return;
        }
        let known: BTreeSet<&String> = app.permissions.iter().collect();
        let asked: BTreeSet<&String> = permissions.iter().collect();
        let list = |texts: Vec<&&String>| {
            let texts: Vec<&str> = texts.iter().map(|text| text.as_str()).collect();
            texts.join(", ")
        };
        let more: Vec<&&String> = asked.difference(&known).collect();
        let less: Vec<&&String> = known.difference(&asked).collect();
        if !more.is_empty() {
            let more = list(more);
            self.notes
                .push(format!("{}: only the directory has {more}", app.name));
        }
        if !less.is_empty() {
            let less = list(less);
            self.notes
                .push(format!("{}: only the policy has {less}", app.name));
        }
    }

    fn fill_credentials(
        &mut self,
        additions: &mut Additions,
        text: &str,
        place: &EntryPlace,
        (app, entry): (&App, &ListedEntry),
        found: &DirectoryApp,
    ) {
        if found.managed_identity {
            return;
        }
        let mut blocks = String::new();
        for credential in &found.credentials {
            let listed = entry
                .credentials
                .iter()
                .find(|listed| listed.key_id == credential.key_id);
            let Some(listed) = listed else {
                if let Some(block) = self.block(credential) {
                    blocks.push('\n');
                    blocks.push_str(&match self.options.credentials {
                        true => block,
                        false => commented(&block),
                    });
                }
                continue;
            };
            let Some(last_day) = credential.ends.and_then(last_day) else {
                continue;
            };
            let key = credential.key_id;
            match listed.expires {
                Some(expires) if expires != last_day => self.notes.push(format!(
                    "{}: the credential {key} expires on {expires} in the policy, on {last_day} in the directory",
                    app.name
                )),
                Some(_) => {}
                None if self.has_ended(credential) => self.notes.push(format!(
                    "{}: the credential {key} has expired on {last_day}",
                    app.name
                )),
                None => {
                    let at = place.credentials.iter().find(|at| at.key_id == key);
                    if let Some(at) = at {
                        self.tally.expiries += 1;
                        let value = last_day.to_string();
                        let line = line(&at.indent, "expires", at.key_width, &value);
                        additions.below(text, at.end, &line);
                    }
                }
            }
        }
        if blocks.is_empty() {
            return;
        }
        if place.inline {
            self.notes.push(format!(
                "{}: written as an inline table; its credentials are not added",
                app.name
            ));
            return;
        }
        additions.below(text, place.end, &blocks);
    }

    fn has_ended(&self, credential: &Credential) -> bool {
        credential.ends.is_some_and(|ends| ends <= self.options.now)
    }

    /// A credential as the policy lists it; none where it has ended.
    fn block(&mut self, credential: &Credential) -> Option<String> {
        if self.has_ended(credential) {
            self.tally.expired += 1;
            return None;
        }
        self.tally.credentials += 1;
        let name = credential.name.as_deref().map(quoted);
        let mut block = format!(
            "[[app.credential]] # {}{}{}\n",
            credential.kind,
            if name.is_some() { " " } else { "" },
            name.unwrap_or_default()
        );
        block.push_str(&format!("key_id  = \"{}\"\n", credential.key_id));
        if let Some(last_day) = credential.ends.and_then(last_day) {
            block.push_str(&format!("expires = {last_day}\n"));
        }
        Some(block)
    }

    /// Entries for apps that are not listed, as comments.
    fn new_entries(&mut self, unlisted: &[Found<'d>], mut names: BTreeSet<String>) -> String {
        let mut text = String::new();
        for (app_id, app) in unlisted {
            if app.of_microsoft {
                self.tally.of_microsoft += 1;
                continue;
            }
            self.tally.new_entries += 1;
            text.push_str("\n\n");
            text.push_str(&commented(&self.new_entry(*app_id, app, &mut names)));
            // Blank lines within would end the comment for whoever removes its marks.
            text.truncate(text.trim_end().len());
        }
        if text.is_empty() {
            return text;
        }
        let count = counted(self.tally.new_entries, "app");
        let head = format!(
            "\n# {count} of the directory that no entry selects, as of {}. Remove the marks of those that are to be\n\
             # listed; then say what each is for, and from where it may sign in.",
            day(self.options.now)
        );
        format!("{head}{text}\n")
    }

    fn new_entry(
        &mut self,
        app_id: Uuid,
        app: &DirectoryApp,
        names: &mut BTreeSet<String>,
    ) -> String {
        let id = app_id.to_string();
        let mut name = app.name.clone().unwrap_or_else(|| id.clone());
        if names.contains(&name) {
            name = format!("{name} ({id})");
        }
        names.insert(name.clone());
        let mut entry = format!(
            "[[app]]\nname        = {}\napp_id      = \"{id}\"\n",
            quoted(&name)
        );
        if !app.owners.is_empty() {
            entry.push_str(&format!(
                "owner       = {}\n",
                quoted(&app.owners.join(", "))
            ));
        }
        let permissions = self.directory.permissions(app);
        if !permissions.is_empty() {
            entry.push_str(&format!("permissions = {}\n", array(&permissions, "")));
        }
        if app.managed_identity {
            return entry;
        }
        for credential in &app.credentials {
            if let Some(block) = self.block(credential) {
                entry.push('\n');
                entry.push_str(&match self.options.credentials {
                    true => block,
                    false => commented(&block),
                });
            }
        }
        entry
    }
}

/// The last UTC day on which something that ends then is still valid; none beyond the years TOML has.
fn last_day(ends: Timestamp) -> Option<chrono::NaiveDate> {
    let last = ends.utc().checked_sub_signed(TimeDelta::nanoseconds(1))?;
    let day = last.date_naive();
    (0..=9999).contains(&day.year()).then_some(day)
}
