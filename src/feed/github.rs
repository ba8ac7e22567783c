//! GitHub's addresses, as <https://api.github.com/meta> gives them.
//!
//! <https://docs.github.com/rest/meta/meta>: an object of arrays. The key is the array's, with dots where it lies
//! deeper. Not all of them hold ranges: `domains` and `ssh_keys` do not.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{Fault, Prefix, key_needed, list, no_key};
use crate::range::parse_range;
use crate::suggest::quoted;

#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub(super) struct Document(Map<String, Value>);

impl Document {
    pub(super) fn select(&self, key: Option<&str>) -> Result<Vec<Prefix>, Fault> {
        let keys = self.keys();
        let keys = || keys.iter().map(String::as_str);
        let Some(key) = key else {
            return Err(key_needed("the name of a list", keys()));
        };
        let Some(found) = self.find(key) else {
            return Err(no_key("list", key, keys()));
        };
        let texts = found.as_array().and_then(|values| {
            let texts = values.iter().map(Value::as_str);
            texts.collect::<Option<Vec<&str>>>()
        });
        let is_list = |texts: &Vec<&str>| {
            let first = texts.first();
            first.is_none_or(|text| parse_range(text).is_ok())
        };
        match texts.filter(is_list) {
            Some(texts) => list(key, texts),
            None => Err(Fault {
                message: format!("{} is no list of ranges in the feed", quoted(key)),
                ..key_needed("", keys())
            }),
        }
    }

    fn find(&self, key: &str) -> Option<&Value> {
        if let Some(value) = self.0.get(key) {
            return Some(value);
        }
        let mut parts = key.split('.');
        let mut value = self.0.get(parts.next()?)?;
        for part in parts {
            value = value.as_object()?.get(part)?;
        }
        Some(value)
    }

    /// The keys of what looks like lists of ranges. serde_json bounds the depth.
    fn keys(&self) -> Vec<String> {
        let mut keys = Vec::new();
        let mut waiting = vec![(String::new(), &self.0)];
        while let Some((path, object)) = waiting.pop() {
            for (name, value) in object {
                let key = match path.as_str() {
                    "" => name.clone(),
                    path => format!("{path}.{name}"),
                };
                match value {
                    Value::Object(object) => waiting.push((key, object)),
                    Value::Array(values) => {
                        let first = values.first().and_then(Value::as_str);
                        if first.is_some_and(|text| parse_range(text).is_ok()) {
                            keys.push(key);
                        }
                    }
                    _ => {}
                }
            }
        }
        keys
    }
}
