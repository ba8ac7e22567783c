//! The policy as written: every file walked, every value read and checked on its own.
//!
//! What needs more than one value (sets, sinks, selectors) is checked when it is compiled.

mod app;
mod case;
mod lists;
mod sink;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use chrono::TimeDelta;
use toml::de::DeTable;
use uuid::Uuid;

pub(super) use app::{AppDocument, ExceptionDocument, Resource};
pub(super) use case::Case;
pub(super) use lists::FeedDocument;
pub(crate) use sink::is_workspace_id;
pub(super) use sink::{SinkDocument, is_secret_setting};

use lists::{read_places, read_range_set, warn_if_empty};

use super::collect::Collector;
use super::diagnostic::Code;
use super::network::WrittenRange;
use super::place::Place;
use super::sets::Named;
use super::source::{Located, Spot};
use super::suggest::quoted;
use super::walk::{Fields, Node};
use super::{Action, Defaults, Source};
use crate::verdict::Severity;

/// The words for severities.
const SEVERITIES: [(&str, Severity); 5] = [
    ("info", Severity::Info),
    ("low", Severity::Low),
    ("medium", Severity::Medium),
    ("high", Severity::High),
    ("critical", Severity::Critical),
];

/// Where `[defaults]` and those of its keys stand that let unknown values pass.
#[derive(Default)]
pub(super) struct DefaultSpots {
    pub(super) table: Option<Spot>,
    pub(super) unknown_ip: Option<Spot>,
    pub(super) unknown_place: Option<Spot>,
    pub(super) unknown_credential: Option<Spot>,
}

/// Everything that the policy's files say.
pub(super) struct Document {
    pub(super) tenants: Option<Located<Vec<Located<Uuid>>>>,
    pub(super) defaults: Defaults,
    pub(super) default_spots: DefaultSpots,
    pub(super) default_notify: Option<Vec<Located<String>>>,
    pub(super) ranges: BTreeMap<String, Named<WrittenRange>>,
    pub(super) places: BTreeMap<String, Named<Place>>,
    pub(super) sinks: BTreeMap<String, SinkDocument>,
    pub(super) apps: Vec<AppDocument>,
    pub(super) cases: Vec<Case>,
}

impl Document {
    /// Reads the files; the first is the root.
    pub(super) fn read(sources: &[Source], collector: &mut Collector) -> Self {
        let mut document = Self {
            tenants: None,
            defaults: Defaults::default(),
            default_spots: DefaultSpots::default(),
            default_notify: None,
            ranges: BTreeMap::new(),
            places: BTreeMap::new(),
            sinks: BTreeMap::new(),
            apps: Vec::new(),
            cases: Vec::new(),
        };
        for (file, source) in sources.iter().enumerate() {
            let (tree, errors) = DeTable::parse_recoverable(&source.text);
            for error in errors {
                let end = source.text.len();
                let span = error.span().unwrap_or(end..end);
                collector.syntax(Spot::new(file, span), error.message());
            }
            let start = if source.text.starts_with('\u{feff}') {
                3
            } else {
                0
            };
            let head = Spot::new(file, start..start);
            let fields = Fields::new(file, tree.get_ref(), head);
            document.read_file(file == 0, fields, collector);
        }
        document
    }

    fn read_file(&mut self, root: bool, mut fields: Fields<'_>, collector: &mut Collector) {
        let version = if root {
            fields.require(
                collector,
                "version",
                "the policy",
                "add `version = 1` at the top",
            )
        } else {
            fields.get("version")
        };
        if let Some(node) = version
            && node.number(collector).is_some_and(|version| version != 1)
        {
            let message = "this version of spwatch reads version 1 of the policy";
            collector
                .report(Code::UnsupportedVersion, node.spot(), message)
                .help("write `version = 1`");
        }
        for key in ["include", "tenants", "defaults"] {
            if let Some(node) = fields.get(key)
                && !root
            {
                let message = format!("`{key}` belongs in the root file");
                collector
                    .report(Code::MisplacedKey, node.key_spot(), message)
                    .help("an included file holds ranges, places, sinks, apps and tests");
            }
        }
        if root {
            if let Some(node) = fields.get("include") {
                node.texts(collector);
            }
            self.read_tenants(&mut fields, collector);
            if let Some(mut table) = fields
                .get("defaults")
                .and_then(|node| node.fields(collector))
            {
                self.read_defaults(&mut table, collector);
                table.finish(collector, "[defaults]");
            }
        }
        if let Some(table) = fields.get("ranges").and_then(|node| node.fields(collector)) {
            for node in table.entries() {
                let named = read_range_set(node, collector);
                define(&mut self.ranges, node, named, |set| set.spot, collector);
            }
        }
        if let Some(table) = fields.get("places").and_then(|node| node.fields(collector)) {
            for node in table.entries() {
                let members = node.members(collector, "places").unwrap_or_default();
                let members = read_places(members, collector);
                let named = Named {
                    spot: node.key_spot(),
                    members: Some(members),
                    feed: None,
                };
                define(&mut self.places, node, named, |set| set.spot, collector);
            }
        }
        let sinks = fields.get("sinks");
        if let Some(node) = sinks.filter(|node| !node.is_table()) {
            node.hide_strings(collector, &|_| true);
        }
        if let Some(table) = sinks.and_then(|node| node.fields(collector)) {
            for node in table.entries() {
                if !node.is_table() {
                    // A sink's keys right under [sinks]: no less secret there.
                    node.hide_strings(collector, &|_| true);
                }
                if let Some(sink) = sink::read(node, collector) {
                    define(&mut self.sinks, node, sink, |sink| sink.spot, collector);
                }
            }
        }
        for node in tables(&mut fields, "app", collector) {
            self.apps.extend(app::read(node, collector));
        }
        for node in tables(&mut fields, "test", collector) {
            self.cases.extend(case::read(node, collector));
        }
        fields.finish(collector, "the policy");
    }

    fn read_tenants(&mut self, fields: &mut Fields<'_>, collector: &mut Collector) {
        let Some(node) = fields.get("tenants") else {
            return;
        };
        warn_if_empty(Some(node), collector);
        let Some(members) = node.members(collector, "tenant ids") else {
            return;
        };
        let ids = members
            .into_iter()
            .filter_map(|member| member.guid(collector));
        self.tenants = Some(Located {
            value: ids.collect(),
            spot: node.spot(),
        });
    }

    fn read_defaults(&mut self, table: &mut Fields<'_>, collector: &mut Collector) {
        const ACTIONS: [(&str, Action); 3] = [
            ("alert", Action::Alert),
            ("record", Action::Record),
            ("ignore", Action::Ignore),
        ];
        let defaults = &mut self.defaults;
        let spots = &mut self.default_spots;
        spots.table = Some(table.spot);
        if let Some(node) = table.get("mode")
            && let Some(observe) = node.word(collector, &[("enforce", false), ("observe", true)])
        {
            defaults.observe = observe;
        }
        if let Some(node) = table.get("severity")
            && let Some(severity) = node.word(collector, &SEVERITIES)
        {
            defaults.severity = severity;
        }
        for (key, action) in [
            ("unknown_app", &mut defaults.unknown_app),
            (
                "unknown_managed_identity",
                &mut defaults.unknown_managed_identity,
            ),
            ("microsoft_owned", &mut defaults.microsoft_owned),
            ("failed", &mut defaults.failed),
        ] {
            if let Some(node) = table.get(key)
                && let Some(word) = node.word(collector, &ACTIONS)
            {
                *action = word;
            }
        }
        for (key, alerts, spot) in [
            (
                "unknown_ip",
                &mut defaults.unknown_ip_alerts,
                &mut spots.unknown_ip,
            ),
            (
                "unknown_place",
                &mut defaults.unknown_place_alerts,
                &mut spots.unknown_place,
            ),
            (
                "unknown_credential",
                &mut defaults.unknown_credential_alerts,
                &mut spots.unknown_credential,
            ),
        ] {
            if let Some(node) = table.get(key)
                && let Some(word) = node.word(collector, &[("alert", true), ("allow", false)])
            {
                *alerts = word;
                *spot = Some(node.spot());
            }
        }
        if let Some(node) = table.get("max_event_age")
            && let Some(age) = node.duration(collector)
        {
            if age.is_zero() {
                let message = "`max_event_age` of zero would silence everything";
                collector.report(Code::InvalidDuration, node.spot(), message);
            }
            defaults.max_event_age = age;
        }
        if let Some(node) = table.get("max_alerts_per_hour")
            && let Some(count) = node.number(collector)
        {
            defaults.max_alerts_per_hour = count;
        }
        if let Some(node) = table.get("merge")
            && let Some(merge) = node.duration(collector)
        {
            defaults.merge_seconds = merge.num_seconds();
        }
        self.default_notify = table.get("notify").and_then(|node| node.texts(collector));
    }
}

/// The policy's own defaults.
impl Default for Defaults {
    fn default() -> Self {
        Self {
            observe: false,
            severity: Severity::High,
            unknown_app: Action::Alert,
            unknown_managed_identity: Action::Record,
            microsoft_owned: Action::Record,
            failed: Action::Record,
            unknown_ip_alerts: true,
            unknown_place_alerts: true,
            unknown_credential_alerts: true,
            max_event_age: TimeDelta::days(7),
            max_alerts_per_hour: 50,
            merge_seconds: 3_600,
            notify: None,
        }
    }
}

/// Puts a named thing into its table; the same name in another file is an error.
fn define<T>(
    table: &mut BTreeMap<String, T>,
    node: Node<'_>,
    thing: T,
    spot: fn(&T) -> Spot,
    collector: &mut Collector,
) {
    match table.entry(node.key().to_owned()) {
        Entry::Vacant(place) => {
            place.insert(thing);
        }
        Entry::Occupied(place) => {
            let first = super::render::file_and_line(&collector.texts, spot(place.get()));
            let message = format!("{} is already defined in {first}", quoted(node.key()));
            collector
                .report(Code::Duplicate, node.key_spot(), message)
                .label(spot(place.get()), "first defined here");
        }
    }
}

/// The tables of `[[key]]`.
fn tables<'d>(
    fields: &mut Fields<'d>,
    key: &'static str,
    collector: &mut Collector,
) -> Vec<Node<'d>> {
    let Some(node) = fields.get(key) else {
        return Vec::new();
    };
    if node.is_table() {
        let message = format!("`{key}` is a list of tables");
        collector
            .report(Code::WrongType, node.key_spot(), message)
            .help(format!("write [[{key}]]"));
        return vec![node];
    }
    node.members(collector, "tables").unwrap_or_default()
}
