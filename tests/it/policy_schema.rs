//! `policy.schema.json` is held to what the policy's reader knows, and `docs/policy.md` to both.

mod checker;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;
use spwatch::policy::{Code, Diagnostic, Source, compile};
use spwatch::verdict::ReasonCode;
use toml::Value as Toml;

use crate::binary::run;
use crate::docs::blocks;
use checker::faults;

/// A key, or a word, that nothing knows and nothing is near to.
const UNKNOWN: &str = "zzzzzzzzzzzzzzzzzzzzzzzz";

/// Every table of a policy, for a key to be put into.
const EVERY_TABLE: &str = r#"
version = 1
[defaults]
[ranges]
x = { file = "feeds/x.txt", format = "plain" }
[places]
x = ["CH"]
[sinks.x]
type = "webhook"
url = "env:X"
[[app]]
name = "x"
app_id = "8d3f1c52-6b0e-4d17-a2c9-51e7f0b4d6a3"
match = { name = "x" }
labels = {}
allow = {}
deny = {}
[[app.credential]]
key_id = "5e9b1d37-84c2-4a06-b7f5-c1302e6d9a48"
allow = {}
[[app.exception]]
allow = { ips = ["203.0.113.9"], places = ["CH"] }
until = 2026-12-31T00:00:00Z
reason = "x"
[[test]]
name = "x"
sign_in = { name = "x" }
expect = "violation"
"#;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn schema() -> Value {
    let text = fs::read_to_string(root().join("policy.schema.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn every_table() -> Toml {
    toml::from_str(EVERY_TABLE).unwrap()
}

/// TOML as the editors' checkers see it: dates are strings.
fn as_json(value: &Toml) -> Value {
    match value {
        Toml::Datetime(time) => Value::String(time.to_string()),
        Toml::Array(values) => values.iter().map(as_json).collect(),
        Toml::Table(table) => Value::Object(
            table
                .iter()
                .map(|(key, value)| (key.clone(), as_json(value)))
                .collect(),
        ),
        Toml::String(text) => text.as_str().into(),
        Toml::Integer(number) => (*number).into(),
        Toml::Float(number) => (*number).into(),
        Toml::Boolean(value) => (*value).into(),
    }
}

/// An example of a schema as TOML: what is a date there is one here.
fn as_toml(root: &Value, schema: &Value, value: &Value) -> Toml {
    let schema = resolved(root, schema);
    match value {
        Value::String(text) if schema.get("format").is_some() => {
            Toml::Datetime(text.parse().unwrap())
        }
        Value::String(text) => Toml::String(text.clone()),
        Value::Bool(value) => Toml::Boolean(*value),
        Value::Number(number) => Toml::Integer(number.as_i64().unwrap()),
        Value::Array(values) => {
            let item = schema.get("items").unwrap_or(&Value::Null);
            let values = values.iter().map(|value| as_toml(root, item, value));
            Toml::Array(values.collect())
        }
        Value::Object(fields) => {
            let of = |name: &String| {
                let own = schema.get("properties").and_then(|known| known.get(name));
                own.or(schema.get("additionalProperties"))
                    .unwrap_or(&Value::Null)
            };
            let fields = fields
                .iter()
                .map(|(name, value)| (name.clone(), as_toml(root, of(name), value)));
            Toml::Table(fields.collect())
        }
        Value::Null => panic!("TOML has no null"),
    }
}

fn resolved<'s>(root: &'s Value, schema: &'s Value) -> &'s Value {
    match schema.get("$ref").and_then(Value::as_str) {
        Some(name) => root.pointer(&name[1..]).unwrap(),
        None => schema,
    }
}

fn errors(policy: &Toml) -> Vec<Diagnostic> {
    let source = Source {
        name: "policy.toml".to_owned(),
        text: toml::to_string(policy).unwrap(),
    };
    let diagnostics = compile(&[source], None, &[]).diagnostics;
    let errors = diagnostics
        .iter()
        .filter(|item| item.level.as_str() == "error")
        // The feeds that the tables and examples name are not there.
        .filter(|item| item.code != Code::FeedMissing);
    errors.cloned().collect()
}

/// The tables of the schema whose keys are known: their path (`*` for a name, `0` for a member), and their schema.
fn tables() -> Vec<(Vec<String>, Value)> {
    let root = schema();
    let mut found = Vec::new();
    let mut open = vec![(Vec::new(), root.clone())];
    while let Some((path, schema)) = open.pop() {
        let schema = resolved(&root, &schema).clone();
        let below = |step: &str| [&path[..], &[step.to_owned()]].concat();
        if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
            for (name, schema) in properties {
                open.push((below(name), schema.clone()));
            }
            found.push((path.clone(), schema.clone()));
        }
        if let Some(more) = schema
            .get("additionalProperties")
            .filter(|of| of.is_object())
        {
            open.push((below("x"), more.clone()));
        }
        if let Some(items) = schema.get("items") {
            open.push((below("0"), items.clone()));
        }
        for one in schema
            .get("anyOf")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            open.push((path.clone(), one.clone()));
        }
    }
    // A choice of required keys is no table of its own.
    found.retain(|(_, schema)| schema["type"] == "object");
    found
}

/// The table at a path of a policy.
fn at<'p>(policy: &'p mut Toml, path: &[String]) -> &'p mut toml::Table {
    let mut value = policy;
    for step in path {
        value = match value {
            Toml::Array(values) => &mut values[step.parse::<usize>().unwrap()],
            Toml::Table(table) => table
                .get_mut(step)
                .unwrap_or_else(|| panic!("EVERY_TABLE lacks {path:?}")),
            _ => panic!("{path:?}"),
        };
    }
    value.as_table_mut().unwrap()
}

/// A policy with every table, and one key of one of them set.
fn with(path: &[String], key: &str, value: Toml) -> Toml {
    let mut policy = every_table();
    at(&mut policy, path).insert(key.to_owned(), value);
    policy
}

/// The words of a help text behind a mark: `a, b or c`.
fn listed(errors: &[Diagnostic], mark: &str) -> BTreeSet<String> {
    let help = errors
        .iter()
        .filter(|error| error.message.contains(UNKNOWN))
        .filter_map(|error| error.help.as_deref()?.split_once(mark))
        .map(|(_, words)| words)
        .next()
        .unwrap_or_else(|| panic!("no help has {mark:?}: {errors:?}"));
    let words = help.split(", ").flat_map(|word| word.split(" or "));
    words.map(str::to_owned).collect()
}

#[test]
fn the_command_prints_the_committed_file() {
    let ran = run(root(), &["schema"]);
    assert_eq!(ran.code, Some(0));
    let text = fs::read_to_string(root().join("policy.schema.json")).unwrap();
    assert!(ran.stdout == text, "spwatch schema prints something else");
}

#[test]
fn its_keys_are_those_of_the_reader() {
    let tables = tables();
    assert_eq!(tables.len(), 14);
    for (path, schema) in tables {
        let policy = with(&path, UNKNOWN, Toml::Integer(1));
        let known = listed(&errors(&policy), "known here: ");
        let properties = schema["properties"].as_object().unwrap();
        let ours: BTreeSet<String> = properties.keys().cloned().collect();
        assert_eq!(ours, known, "{path:?}");
        assert_eq!(schema["additionalProperties"], false, "{path:?}");
        assert_ne!(
            faults(&self::schema(), &as_json(&policy)),
            [""; 0],
            "{path:?}"
        );
    }
}

#[test]
fn its_words_are_those_of_the_reader() {
    let mut count = 0;
    for (path, schema) in tables() {
        for (key, schema) in schema["properties"].as_object().unwrap() {
            let items = schema.get("items");
            let Some(words) = schema.get("enum").or(items.and_then(|of| of.get("enum"))) else {
                continue;
            };
            let unknown = Toml::String(UNKNOWN.to_owned());
            let value = match items {
                Some(_) => Toml::Array(vec![unknown]),
                None => unknown,
            };
            let policy = with(&path, key, value);
            let mark = if key == "reasons" {
                "one of "
            } else {
                "known: "
            };
            let words = words.as_array().unwrap().iter();
            let words: BTreeSet<String> = words.map(|word| word.as_str().unwrap().into()).collect();
            assert_eq!(words, listed(&errors(&policy), mark), "{path:?} {key}");
            assert_ne!(
                faults(&self::schema(), &as_json(&policy)),
                [""; 0],
                "{path:?} {key}"
            );
            count += 1;
        }
    }
    assert!(count >= 20, "{count}");
    let pinned = "/properties/test/items/properties/reasons/items/enum";
    let codes: Vec<&str> = ReasonCode::ALL.iter().map(|code| code.as_str()).collect();
    assert_eq!(schema().pointer(pinned), Some(&codes.into()));
}

#[test]
fn a_value_of_another_type_is_refused_by_both() {
    for (path, schema) in tables() {
        for (key, schema) in schema["properties"].as_object().unwrap() {
            let wrong = match schema["type"].as_str() {
                Some("integer" | "boolean" | "array") => Toml::String("x".to_owned()),
                _ => Toml::Integer(5),
            };
            let policy = with(&path, key, wrong);
            assert!(!errors(&policy).is_empty(), "{path:?} {key}");
            assert_ne!(
                faults(&self::schema(), &as_json(&policy)),
                [""; 0],
                "{path:?} {key}"
            );
        }
    }
}

#[test]
fn every_key_has_a_description_and_an_example_that_fits() {
    let root = schema();
    // What names something that is not there.
    let elsewhere = ["unknown-sink", "unknown-set", "feed-unsupported"];
    for (path, schema) in tables() {
        for (key, schema) in schema["properties"].as_object().unwrap() {
            let description = schema["description"].as_str().unwrap_or_default();
            assert!(
                description.ends_with('.'),
                "{path:?} {key}: {description:?}"
            );
            let examples = schema["examples"].as_array();
            let examples = examples.unwrap_or_else(|| panic!("{path:?} {key} has no example"));
            assert!(!examples.is_empty(), "{path:?} {key}");
            if path.first().is_some_and(|step| step == "sinks") {
                continue;
            }
            for example in examples {
                let policy = with(&path, key, as_toml(&root, schema, example));
                let mut errors = errors(&policy);
                errors.retain(|error| !elsewhere.contains(&error.code.as_str()));
                assert!(errors.is_empty(), "{path:?} {key}: {errors:?}");
                assert_eq!(faults(&root, &as_json(&policy)), [""; 0], "{path:?} {key}");
            }
        }
    }
}

#[test]
fn each_type_of_sink_has_the_keys_that_the_reader_gives_it() {
    let root = schema();
    let sink = &root["properties"]["sinks"]["additionalProperties"];
    let keys = sink["properties"].as_object().unwrap();
    let example = |key: &str| as_toml(&root, &keys[key], &keys[key]["examples"][0]);
    let path = ["sinks".to_owned(), "x".to_owned()];
    for kind in keys["type"]["enum"].as_array().unwrap() {
        let kind = kind.as_str().unwrap();
        let rule = sink["allOf"].as_array().unwrap().iter();
        let mut rules = rule.filter(|rule| rule["if"]["properties"]["type"]["const"] == kind);
        let required = rules.next().unwrap()["then"]["required"].as_array();
        let required: Vec<&str> = required
            .into_iter()
            .flatten()
            .map(|key| key.as_str().unwrap())
            .collect();
        let policy = |without: &str, more: &[&str]| {
            let mut policy = every_table();
            let table = at(&mut policy, &path);
            table.clear();
            table.insert("type".to_owned(), Toml::String(kind.to_owned()));
            table.insert("insecure".to_owned(), Toml::Boolean(true));
            for key in required.iter().chain(more).filter(|key| **key != without) {
                table.insert((*key).to_owned(), example(key));
            }
            policy
        };
        let whole = policy("", &[]);
        assert!(errors(&whole).is_empty(), "{kind}: {:?}", errors(&whole));
        assert_eq!(faults(&root, &as_json(&whole)), [""; 0], "{kind}");
        for key in &required {
            let less = policy(key, &[]);
            assert!(!errors(&less).is_empty(), "{kind} without {key}");
            assert_ne!(
                faults(&root, &as_json(&less)),
                [""; 0],
                "{kind} without {key}"
            );
        }
        for key in keys
            .keys()
            .filter(|key| *key != "type" && *key != "insecure")
        {
            let more = policy("", &[key]);
            let unknown = errors(&more)
                .iter()
                .any(|error| error.code.as_str() == "unknown-key");
            let refused = !faults(&root, &as_json(&more)).is_empty();
            assert_eq!(unknown, refused, "{kind} with {key}");
        }
    }
}

/// The policies of the repository and of its documents.
fn samples() -> Vec<(String, String)> {
    let read = |name: &str| fs::read_to_string(root().join(name)).unwrap();
    let mut samples: Vec<(String, String)> = [
        "policies/demo.toml",
        "src/policy/tests/sample.toml",
        "tests/fixtures/sentinel-query/policy.toml",
    ]
    .map(|name| (name.to_owned(), read(name)))
    .into();
    for name in ["README.md", "docs/policy.md", "docs/reasons.md"] {
        for (index, block) in blocks(&read(name), "toml").into_iter().enumerate() {
            let text = match block.starts_with("version") {
                true => block,
                false => format!("version = 1\n{block}"),
            };
            samples.push((format!("{name}, block {index}"), text));
        }
    }
    samples
}

#[test]
fn the_policies_at_hand_fit() {
    let root = schema();
    for (name, text) in samples() {
        let policy: Toml = toml::from_str(&text).unwrap();
        assert_eq!(faults(&root, &as_json(&policy)), [""; 0], "{name}");
    }
}

#[test]
fn values_that_the_reader_refuses_do_not_fit() {
    let root = schema();
    for (path, key, value) in [
        ("", "version", "2"),
        ("", "tenants", r#"["11111111222233334444555555555555"]"#),
        ("defaults", "merge", r#""1 h""#),
        ("defaults", "max_event_age", r#""1.5h""#),
        ("defaults", "max_alerts_per_hour", "-1"),
        ("places", "x", r#"["CHE"]"#),
        ("app/0", "app_id", r#""8d3f1c52""#),
        ("app/0", "owner", r#"" ""#),
        ("app/0", "match", "{}"),
        ("app/0/allow", "ips", r#"["office"]"#),
        ("app/0/allow", "ips", r#"["203.0.113.0/"]"#),
        ("app/0/deny", "places", r#"["1"]"#),
        ("app/0/exception/0", "allow", "{}"),
        ("test/0", "sign_in", r#"{ ip = "203.0.113.9" }"#),
        ("test/0/sign_in", "ip", r#""203""#),
    ] {
        let path: Vec<String> = path
            .split('/')
            .filter(|step| !step.is_empty())
            .map(str::to_owned)
            .collect();
        let value: toml::Table = toml::from_str(&format!("value = {value}")).unwrap();
        let policy = with(&path, key, value["value"].clone());
        assert!(!errors(&policy).is_empty(), "{path:?} {key}");
        assert_ne!(faults(&root, &as_json(&policy)), [""; 0], "{path:?} {key}");
    }
    for (path, schema) in tables() {
        for key in schema["required"].as_array().into_iter().flatten() {
            let key = key.as_str().unwrap();
            let mut policy = every_table();
            at(&mut policy, &path).remove(key);
            assert!(!errors(&policy).is_empty(), "{path:?} without {key}");
            assert_ne!(
                faults(&root, &as_json(&policy)),
                [""; 0],
                "{path:?} without {key}"
            );
        }
    }
}

/// The keys that a policy has, as paths of the schema.
fn used(value: &Toml, path: &[String], found: &mut BTreeSet<Vec<String>>) {
    match value {
        Toml::Table(table) => {
            for (key, value) in table {
                // Names of sets and sinks are whatever they are.
                let named =
                    matches!(path, [one] if ["ranges", "places", "sinks"].contains(&one.as_str()));
                let step = if named { "x" } else { key };
                let path = [path, &[step.to_owned()]].concat();
                used(value, &path, found);
                found.insert(path);
            }
        }
        Toml::Array(values) => {
            let path = [path, &["0".to_owned()]].concat();
            for value in values {
                used(value, &path, found);
            }
        }
        _ => {}
    }
}

#[test]
fn every_key_is_documented_with_an_example() {
    let page = fs::read_to_string(root().join("docs/policy.md")).unwrap();
    let mut shown = BTreeSet::new();
    for block in blocks(&page, "toml") {
        used(&toml::from_str(&block).unwrap(), &[], &mut shown);
    }
    for (path, schema) in tables() {
        for key in schema["properties"].as_object().unwrap().keys() {
            let place = [&path[..], std::slice::from_ref(key)].concat();
            // What cannot stand in a whole policy is shown in passing.
            let inline = page.contains(&format!("{key} = \""));
            assert!(shown.contains(&place) || inline, "no example of {place:?}");
            let parent = path
                .iter()
                .rfind(|step| !matches!(step.as_str(), "0" | "x"));
            let dotted = parent.map(|parent| format!("{parent}.{key}"));
            let names = [
                format!("`{key}`"),
                format!("`[{key}]`"),
                format!("`[[{key}]]`"),
                format!("`[{key}."),
                format!("`[[app.{key}]]`"),
                format!("`{key} = "),
                format!("{{ {key} = "),
                format!(", {key} = "),
                format!("`{}`", dotted.as_deref().unwrap_or("-")),
                format!("`{key}."),
            ];
            assert!(
                names.iter().any(|name| page.contains(name)),
                "no word about {place:?}"
            );
        }
    }
}
