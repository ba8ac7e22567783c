//! As much of JSON Schema (draft-07) as `policy.schema.json` uses. What it does not know is an error, so that no rule
//! is passed over.

use regex::Regex;
use serde_json::Value;

/// Keywords that only say something.
const ANNOTATIONS: [&str; 8] = [
    "$schema",
    "title",
    "description",
    "default",
    "examples",
    "definitions",
    // Dates are dates already in TOML; the strings here come of them.
    "format",
    "then",
];

/// The places at which a document breaks a schema, as `/path: keyword`.
pub(super) fn faults(root: &Value, document: &Value) -> Vec<String> {
    let mut faults = Vec::new();
    check(root, root, document, "", &mut faults);
    faults
}

fn holds(root: &Value, schema: &Value, value: &Value) -> bool {
    let mut faults = Vec::new();
    check(root, schema, value, "", &mut faults);
    faults.is_empty()
}

fn check(root: &Value, schema: &Value, value: &Value, at: &str, faults: &mut Vec<String>) {
    let Value::Object(keywords) = schema else {
        if schema == &Value::Bool(false) {
            faults.push(format!("{at}: false"));
        }
        return;
    };
    let length = |value: &Value| value.as_object().map_or(0, |object| object.len() as u64);
    for (keyword, rule) in keywords {
        let held = match keyword.as_str() {
            "$ref" => {
                let name = rule.as_str().unwrap().strip_prefix('#').unwrap();
                let target = root.pointer(name).unwrap();
                check(root, target, value, at, faults);
                true
            }
            "type" => match rule.as_str().unwrap() {
                "object" => value.is_object(),
                "array" => value.is_array(),
                "string" => value.is_string(),
                "boolean" => value.is_boolean(),
                "integer" => value.is_i64() || value.is_u64(),
                other => panic!("unknown type {other}"),
            },
            "enum" => rule.as_array().unwrap().contains(value),
            "const" => rule == value,
            "pattern" => value
                .as_str()
                .is_none_or(|text| Regex::new(rule.as_str().unwrap()).unwrap().is_match(text)),
            "minimum" => value
                .as_i64()
                .is_none_or(|number| number >= rule.as_i64().unwrap()),
            "maximum" => value
                .as_i64()
                .is_none_or(|number| number <= rule.as_i64().unwrap()),
            "minProperties" => !value.is_object() || length(value) >= rule.as_u64().unwrap(),
            "required" => {
                let missing = |name: &Value| value.get(name.as_str().unwrap()).is_none();
                !value.is_object() || !rule.as_array().unwrap().iter().any(missing)
            }
            "properties" => {
                for (name, schema) in rule.as_object().unwrap() {
                    if let Some(value) = value.get(name) {
                        check(root, schema, value, &format!("{at}/{name}"), faults);
                    }
                }
                true
            }
            "additionalProperties" => {
                let known = keywords.get("properties");
                for (name, value) in value.as_object().into_iter().flatten() {
                    if known.is_none_or(|known| known.get(name).is_none()) {
                        check(root, rule, value, &format!("{at}/{name}"), faults);
                    }
                }
                true
            }
            "items" => {
                for (index, value) in value.as_array().into_iter().flatten().enumerate() {
                    check(root, rule, value, &format!("{at}/{index}"), faults);
                }
                true
            }
            "anyOf" => rule
                .as_array()
                .unwrap()
                .iter()
                .any(|schema| holds(root, schema, value)),
            "allOf" => {
                for schema in rule.as_array().unwrap() {
                    check(root, schema, value, at, faults);
                }
                true
            }
            "if" => {
                if holds(root, rule, value) {
                    check(root, &keywords["then"], value, at, faults);
                }
                true
            }
            word => {
                assert!(ANNOTATIONS.contains(&word), "unknown keyword {word}");
                true
            }
        };
        if !held {
            faults.push(format!("{at}: {keyword}"));
        }
    }
}

#[test]
fn knows_what_it_says_it_knows() {
    let table: &[(&str, &str, &str)] = &[
        (r#"{"type":"integer","minimum":0,"maximum":9}"#, "9", "10"),
        (r#"{"type":"integer","minimum":0,"maximum":9}"#, "0", "-1"),
        (r#"{"type":"string","pattern":"^a$"}"#, r#""a""#, r#""ab""#),
        (r#"{"type":"boolean"}"#, "true", "1"),
        (r#"{"enum":["a","b"]}"#, r#""b""#, r#""c""#),
        (r#"{"const":1}"#, "1", "2"),
        (r#"{"items":{"type":"string"}}"#, r#"["a"]"#, r#"["a",1]"#),
        (r#"{"required":["a"]}"#, r#"{"a":1}"#, "{}"),
        (r#"{"minProperties":1}"#, r#"{"a":1}"#, "{}"),
        (
            r#"{"properties":{"a":{"type":"string"}},"additionalProperties":false}"#,
            r#"{"a":""}"#,
            r#"{"b":""}"#,
        ),
        (
            r#"{"properties":{"a":false},"additionalProperties":{"type":"string"}}"#,
            r#"{"b":""}"#,
            r#"{"a":""}"#,
        ),
        (r#"{"anyOf":[{"const":1},{"const":2}]}"#, "2", "3"),
        (r#"{"allOf":[{"type":"integer"},{"minimum":2}]}"#, "2", "1"),
        (
            r#"{"if":{"required":["a"]},"then":{"required":["b"]}}"#,
            r#"{"c":1}"#,
            r#"{"a":1}"#,
        ),
        (
            r##"{"$ref":"#/definitions/x","definitions":{"x":{"const":1}}}"##,
            "1",
            "2",
        ),
    ];
    for (schema, right, wrong) in table {
        let of = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        assert_eq!(faults(&of(schema), &of(right)), [""; 0], "{schema}");
        assert_eq!(faults(&of(schema), &of(wrong)).len(), 1, "{schema}");
    }
}
