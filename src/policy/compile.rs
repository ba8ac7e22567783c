//! The document → a policy that cannot be invalid: sets resolved, names checked, entries ranked.

mod warn;

use std::collections::BTreeMap;
use std::sync::Arc;

use rustc_hash::FxHashMap;
use sha2::{Digest, Sha256};
use warn::shadow;

use super::choose::Chooser;
use super::collect::Collector;
use super::diagnostic::Code;
use super::document::{AppDocument, DefaultSpots, Document, ExceptionDocument, SinkDocument};
use super::entry::{
    AddressRule, At, CompiledResource, Credential, Entry, Exception, Line, PlaceRule, Selectors,
    day_after, lower_name,
};
use super::feeds::{self, FeedFiles, PolicyFeed};
use super::gist::Gist;
use super::network::WrittenRange;
use super::place::Place;
use super::render::file_and_line;
use super::sets::{Item, List, Member, Named, Sets};
use super::source::{Located, Spot};
use super::suggest::{nearest, quoted};
use super::written::{
    Written, WrittenApp, WrittenCredential, WrittenDefaults, WrittenException, WrittenList,
    WrittenSets, WrittenValue,
};
use super::{App, Compilation, MissingInclude, Policy, Source};
use crate::sign_in::Timestamp;

/// As many addresses are kept for "the app's usual addresses".
const USUAL: usize = 32;

/// Compiles the policy's files, the root first. The policy is there unless there is an error.
///
/// `now` tells what is over already, which is only warned of; without it nothing is.
/// `missing_includes` are the includes that brought no file, as errors at their place.
pub fn compile(
    sources: &[Source],
    now: Option<Timestamp>,
    missing_includes: &[MissingInclude],
) -> Compilation {
    compile_with_feeds(sources, now, missing_includes, &FeedFiles::default())
}

/// As [`compile`], with the feed files that the policy's sets are made of: [`feed_files`](super::feed_files()) says
/// which.
pub fn compile_with_feeds(
    sources: &[Source],
    now: Option<Timestamp>,
    missing_includes: &[MissingInclude],
    feeds: &FeedFiles,
) -> Compilation {
    let mut collector = Collector::new(sources);
    collector.incomplete = !missing_includes.is_empty();
    let mut document = Document::read(sources, &mut collector);
    for missing in missing_includes {
        let message = format!("{}: {}", quoted(&missing.include.pattern), missing.problem);
        collector
            .report(Code::IncludeFailed, missing.include.spot, message)
            .help("patterns are relative to the folder of the root file");
    }
    if sources.is_empty() {
        collector.report(
            Code::MissingKey,
            Spot::new(0, 0..0),
            "there is no policy file",
        );
    }
    let mut ranges = std::mem::take(&mut document.ranges);
    let loaded = feeds::load(&mut ranges, feeds, now, &mut collector);
    let places = std::mem::take(&mut document.places);
    let mut compiler = Compiler {
        ranges: Sets::resolve(&ranges, &mut collector),
        places: Sets::resolve(&places, &mut collector),
        named_ranges: &ranges,
        files: sources
            .iter()
            .map(|source| source.name.as_str().into())
            .collect(),
        collector: &mut collector,
        now,
    };
    let notify = compiler.notify(document.default_notify.take(), &document.sinks);
    document.defaults.notify = notify;
    compiler.check_duplicates(&document.apps);
    let mut apps = Vec::with_capacity(document.apps.len());
    let mut entries = Vec::with_capacity(document.apps.len());
    let mut written = Written {
        apps: Vec::with_capacity(document.apps.len()),
        ranges: compiler.sets(&ranges),
        places: compiler.sets(&places),
        tenants: document
            .tenants
            .as_ref()
            .map(|list| compiler.values(list.spot, &list.value, |id| id.to_string().into())),
        defaults: compiler.default_lines(&document.default_spots),
    };
    for app in document.apps {
        written.apps.push(compiler.written(&app));
        let (app, entry) = compiler.app(app, &document.sinks);
        apps.push(app);
        entries.push(entry);
    }
    compiler.ranges.report_unused(compiler.collector);
    compiler.places.report_unused(compiler.collector);
    let files = compiler.files;
    let chooser = Chooser::build(&entries);
    if chooser.is_none() {
        let message = "the parts of names in `match.name_contains` are too many";
        collector.report(Code::InvalidNumber, Spot::new(0, 0..0), message);
    }
    let refused = collector.has_errors();
    let policy = chooser.filter(|_| !refused).map(|chooser| Policy {
        defaults: document.defaults,
        apps,
        sinks: document
            .sinks
            .into_iter()
            .map(|(name, sink)| (name, sink.sink))
            .collect(),
        hash: hash(sources, &loaded.feeds),
        feeds: loaded.feeds,
        tenants: document.tenants.map(|tenants| At {
            line: Line {
                file: tenants.spot.file,
                line: collector.line(tenants.spot),
            },
            rule: tenants.value.into_iter().map(|id| id.value).collect(),
        }),
        written,
        gists: entries.iter().map(Gist::of).collect(),
        entries,
        chooser,
        cases: document
            .cases
            .into_iter()
            .map(|case| {
                let line = collector.line(case.spot);
                (case, line)
            })
            .collect(),
        files,
    });
    Compilation {
        policy,
        diagnostics: collector.finish(),
        feed_faults: loaded.faults,
    }
}

/// SHA-256 over names and texts, each preceded by its length, so that moving a line from one file
/// to the next changes it. What feed files hold is part of it.
fn hash(sources: &[Source], feeds: &[PolicyFeed]) -> String {
    use std::fmt::Write as _;

    let mut hasher = Sha256::new();
    let sources = sources
        .iter()
        .flat_map(|source| [&source.name, &source.text]);
    let feeds = feeds.iter().flat_map(|feed| [&feed.file, &feed.sha256]);
    for text in sources.chain(feeds) {
        hasher.update(u64::try_from(text.len()).unwrap_or(u64::MAX).to_be_bytes());
        hasher.update(text.as_bytes());
    }
    let mut hex = String::with_capacity(64);
    for byte in hasher.finalize() {
        // Writing into a string cannot fail.
        let _ = write!(hex, "{byte:02x}");
    }
    hex
}

struct Compiler<'c, 'n> {
    ranges: Sets<'n, WrittenRange>,
    places: Sets<'n, Place>,
    named_ranges: &'n BTreeMap<String, Named<WrittenRange>>,
    files: Vec<Arc<str>>,
    collector: &'c mut Collector,
    now: Option<Timestamp>,
}

impl Compiler<'_, '_> {
    fn line(&self, spot: Spot) -> Line {
        Line {
            file: spot.file,
            line: self.collector.line(spot),
        }
    }

    /// A list as it is written.
    fn values<T>(
        &self,
        spot: Spot,
        values: &[Located<T>],
        text: impl Fn(&T) -> Arc<str>,
    ) -> WrittenList {
        let written = values.iter().map(|value| WrittenValue {
            text: text(&value.value),
            line: self.line(value.spot),
        });
        WrittenList {
            line: self.line(spot),
            values: written.collect(),
        }
    }

    fn members<T: Item>(&self, spot: Spot, members: &[Located<Member<T>>]) -> WrittenList {
        self.values(spot, members, |member| match member {
            Member::Set(name) => format!("@{name}").into(),
            Member::Value(value) => Arc::clone(value.text()),
        })
    }

    fn sets<T: Item>(&self, named: &BTreeMap<String, Named<T>>) -> WrittenSets {
        let members = |set: &Named<T>| {
            let members = set.members.as_deref().unwrap_or_default();
            self.members(set.spot, members).values
        };
        named
            .iter()
            .map(|(name, set)| (name.clone(), members(set)))
            .collect()
    }

    fn default_lines(&self, spots: &DefaultSpots) -> WrittenDefaults {
        let line = |spot: Option<Spot>| spot.map(|spot| self.line(spot));
        WrittenDefaults {
            table: line(spots.table),
            unknown_ip: line(spots.unknown_ip),
            unknown_place: line(spots.unknown_place),
            unknown_credential: line(spots.unknown_credential),
        }
    }

    /// An app's lists as they are written.
    fn written(&self, app: &AppDocument) -> WrittenApp {
        fn list<T: Item>(
            compiler: &Compiler<'_, '_>,
            list: &Option<List<T>>,
        ) -> Option<WrittenList> {
            let list = list.as_ref()?;
            Some(compiler.members(list.spot, &list.value))
        }
        let resources = app.allow_resources.as_ref();
        let types = app.allow_types.as_ref();
        // One without a key id, or an end, is an error and no part of the entry.
        let credentials = app
            .credentials
            .iter()
            .filter(|known| known.key_id.is_some());
        let exceptions = app.exceptions.iter().filter(|known| known.until.is_some());
        WrittenApp {
            allow_ips: list(self, &app.allow_ips),
            allow_places: list(self, &app.allow_places),
            deny_ips: list(self, &app.deny_ips),
            deny_places: list(self, &app.deny_places),
            allow_resources: resources.map(|list| WrittenList {
                line: self.line(list.spot),
                values: list
                    .value
                    .iter()
                    .map(|resource| WrittenValue {
                        text: resource.text.as_str().into(),
                        line: self.line(resource.spot),
                    })
                    .collect(),
            }),
            allow_types: types
                .map(|list| self.values(list.spot, &list.value, |word| word.as_str().into())),
            credentials: credentials
                .map(|credential| WrittenCredential {
                    ips: list(self, &credential.allow_ips),
                    expires: credential.expires.as_ref().map(|day| self.line(day.spot)),
                })
                .collect(),
            exceptions: exceptions
                .map(|exception| WrittenException {
                    ips: list(self, &exception.allow_ips),
                    places: list(self, &exception.allow_places),
                })
                .collect(),
        }
    }

    /// Checks the names of sinks.
    fn notify(
        &mut self,
        notify: Option<Vec<Located<String>>>,
        sinks: &BTreeMap<String, SinkDocument>,
    ) -> Option<Vec<String>> {
        let notify = notify?;
        for name in &notify {
            if sinks.contains_key(&name.value) {
                continue;
            }
            if name.value.contains("://") {
                // The address of a webhook is its key.
                self.collector.hide(name.spot);
                self.collector
                    .report(
                        Code::UnknownSink,
                        name.spot,
                        "`notify` takes names of sinks, not addresses",
                    )
                    .help("declare the address as [sinks.NAME] and write NAME here");
                continue;
            }
            let message = format!("there is no sink {}", quoted(&name.value));
            let help = match nearest(&name.value, sinks.keys().map(String::as_str)) {
                Some(near) => format!("did you mean {near:?}?"),
                None => format!("declare it as [sinks.{}]", name.value.escape_debug()),
            };
            self.collector
                .report(Code::UnknownSink, name.spot, message)
                .help(help);
        }
        Some(notify.into_iter().map(|name| name.value).collect())
    }

    fn check_duplicates(&mut self, apps: &[AppDocument]) {
        let mut names: FxHashMap<&str, Spot> = FxHashMap::default();
        let mut seen: FxHashMap<Selectors, Spot> = FxHashMap::default();
        for app in apps {
            if let Some(name) = &app.name {
                if let Some(first) = names.get(name.value.as_str()) {
                    let place = file_and_line(&self.collector.texts, *first);
                    let message =
                        format!("an app named {} is already in {place}", quoted(&name.value));
                    self.collector
                        .report(Code::Duplicate, name.spot, message)
                        .label(*first, "first named here");
                } else {
                    names.insert(&name.value, name.spot);
                }
            }
            let by = app
                .service_principal_id
                .as_ref()
                .map(|id| id.spot)
                .or(app.app_id.as_ref().map(|id| id.spot))
                .or(app.match_name.as_ref().map(|name| name.spot))
                .or(app.match_contains.as_ref().map(|part| part.spot));
            let Some(spot) = by else { continue };
            let selectors = selectors(app);
            if let Some(first) = seen.get(&selectors) {
                let place = file_and_line(&self.collector.texts, *first);
                let message = format!("the app in {place} has the same selectors");
                self.collector
                    .report(Code::DuplicateSelector, spot, message)
                    .label(*first, "first selected here")
                    .help("merge the two entries, or add a selector to one of them");
            } else {
                seen.insert(selectors, spot);
            }
        }
    }

    fn ranges(&mut self, list: Option<&List<WrittenRange>>) -> Option<At<AddressRule>> {
        let list = list?;
        Some(At {
            rule: self.ranges.rule(list, self.collector),
            line: self.line(list.spot),
        })
    }

    fn places(&mut self, list: Option<&List<Place>>) -> Option<At<PlaceRule>> {
        let list = list?;
        Some(At {
            rule: self.places.rule(list, self.collector),
            line: self.line(list.spot),
        })
    }

    fn app(&mut self, app: AppDocument, sinks: &BTreeMap<String, SinkDocument>) -> (App, Entry) {
        let line = self.line(app.spot);
        let mut entry = Entry {
            asked: 0,
            selectors: selectors(&app),
            line,
            allow_ips: self.ranges(app.allow_ips.as_ref()),
            allow_places: self.places(app.allow_places.as_ref()),
            deny_ips: self.ranges(app.deny_ips.as_ref()),
            deny_places: self.places(app.deny_places.as_ref()),
            allow_resources: None,
            allow_types: None,
            credentials: Vec::new(),
            exceptions: Vec::new(),
        };
        self.warn_of_app(&app, &entry);
        entry.credentials = self.credentials(&app);
        for exception in &app.exceptions {
            entry.exceptions.extend(self.exception(exception, &entry));
        }
        entry.allow_resources = app.allow_resources.map(|list| At {
            line: self.line(list.spot),
            rule: list.value.into_iter().map(CompiledResource::new).collect(),
        });
        entry.allow_types = app.allow_types.map(|list| At {
            line: self.line(list.spot),
            rule: list.value.into_iter().map(|word| word.value).collect(),
        });
        entry.note_asked();
        let usual_addresses = self.usual_addresses(app.allow_ips.as_ref());
        let notify = self.notify(app.notify, sinks);
        let file = self.files.get(line.file).cloned();
        let app = App {
            name: app.name.map(|name| name.value).unwrap_or_default(),
            app_id: app.app_id.map(|id| id.value),
            service_principal_id: app.service_principal_id.map(|id| id.value),
            owner: app.owner,
            purpose: app.purpose,
            permissions: app.permissions,
            secret: app.secret,
            runbook: app.runbook,
            labels: app.labels,
            severity: app.severity,
            notify,
            file: file.unwrap_or_default(),
            line: line.line,
            usual_addresses,
        };
        (app, entry)
    }

    fn credentials(&mut self, app: &AppDocument) -> Vec<Credential> {
        let mut credentials = Vec::new();
        let mut seen: FxHashMap<uuid::Uuid, Spot> = FxHashMap::default();
        for credential in &app.credentials {
            let ips = self.ranges(credential.allow_ips.as_ref());
            let expires = credential.expires.as_ref();
            let expired_from = expires.and_then(|day| day_after(day.value));
            if let (Some(expires), Some(now), Some(from)) = (expires, self.now, expired_from)
                && now >= from
            {
                let message = format!("the credential was valid through {}", expires.value);
                self.collector
                    .report(Code::CredentialExpired, expires.spot, message)
                    .help("remove it here and in Entra ID, or correct the date");
            }
            let Some(key_id) = &credential.key_id else {
                continue;
            };
            if let Some(first) = seen.insert(key_id.value, key_id.spot) {
                let place = file_and_line(&self.collector.texts, first);
                let message = format!("the credential is already in {place}");
                self.collector
                    .report(Code::Duplicate, key_id.spot, message)
                    .label(first, "first listed here");
            }
            credentials.push(Credential {
                key_id: key_id.value,
                ips,
                expires: expires.map(|day| day.value),
                expired_from,
                line: self.line(credential.spot),
            });
        }
        credentials
    }

    fn exception(&mut self, exception: &ExceptionDocument, entry: &Entry) -> Option<Exception> {
        let ips = self.ranges(exception.allow_ips.as_ref());
        let places = self.places(exception.allow_places.as_ref());
        if let (Some(list), Some(ips)) = (&exception.allow_ips, &ips) {
            let shadow = shadow(entry.allow_ips.as_ref(), &ips.rule, AddressRule::covers);
            self.warn_of_shadow(shadow, list.spot, "ips");
        }
        if let (Some(list), Some(places)) = (&exception.allow_places, &places) {
            let shadow = shadow(entry.allow_places.as_ref(), &places.rule, PlaceRule::covers);
            self.warn_of_shadow(shadow, list.spot, "places");
        }
        let until = exception.until.as_ref()?;
        if self.now.is_some_and(|now| until.value <= now) {
            let message = format!("the exception ended at {}", until.value);
            self.collector
                .report(Code::ExceptionExpired, until.spot, message)
                .help("remove it");
        }
        Some(Exception {
            until: until.value,
            ips: ips.map(|ips| ips.rule),
            places: places.map(|places| places.rule),
            reason: exception.reason.clone().unwrap_or_default(),
            line: self.line(exception.spot),
        })
    }

    /// The first ranges of a list as written, sets expanded.
    fn usual_addresses(&self, list: Option<&List<WrittenRange>>) -> Vec<String> {
        let mut addresses = Vec::new();
        let Some(list) = list else {
            return addresses;
        };
        // Breadth first over the sets, each once: sets may refer to one another at any depth.
        let mut waiting = std::collections::VecDeque::from([list.value.as_slice()]);
        let mut seen = rustc_hash::FxHashSet::default();
        while let Some(members) = waiting.pop_front() {
            for member in members {
                if addresses.len() == USUAL {
                    return addresses;
                }
                match &member.value {
                    Member::Value(range) => addresses.push(range.text.to_string()),
                    Member::Set(name) => {
                        let set = self.named_ranges.get(name.as_str());
                        if let Some(members) = set.and_then(|set| set.members.as_deref())
                            && seen.insert(name.as_str())
                        {
                            waiting.push_back(members);
                        }
                    }
                }
            }
        }
        addresses
    }
}

fn selectors(app: &AppDocument) -> Selectors {
    let lower = |name: &Option<Located<String>>| {
        name.as_ref()
            .map(|name| lower_name(&name.value).into_boxed_str())
    };
    Selectors {
        service_principal_id: app.service_principal_id.as_ref().map(|id| id.value),
        app_id: app.app_id.as_ref().map(|id| id.value),
        name: lower(&app.match_name),
        contains: lower(&app.match_contains),
    }
}
