//! Azure IP Ranges and Service Tags, as downloaded, and as `az network list-service-tags` prints them.
//!
//! <https://learn.microsoft.com/azure/virtual-network/service-tags-overview>: `values[]` with `name`, `id` and
//! `properties.addressPrefixes`. The key is a tag, such as `AzureCloud.westeurope`.

use serde::Deserialize;

use super::{Fault, Prefix, key_needed, list, no_key};

#[derive(Debug, Deserialize)]
pub(super) struct Document {
    values: Vec<Tag>,
}

#[derive(Debug, Deserialize)]
struct Tag {
    name: Option<String>,
    id: Option<String>,
    properties: Option<Properties>,
}

#[derive(Debug, Deserialize)]
struct Properties {
    #[serde(rename = "addressPrefixes")]
    prefixes: Option<Vec<String>>,
}

impl Document {
    pub(super) fn select(&self, key: Option<&str>) -> Result<Vec<Prefix>, Fault> {
        let names = || self.values.iter().filter_map(|tag| tag.name.as_deref());
        let Some(key) = key else {
            return Err(key_needed("a service tag", names()));
        };
        let is_it = |name: &Option<String>| name.as_deref() == Some(key);
        let tag = self
            .values
            .iter()
            .find(|tag| is_it(&tag.name) || is_it(&tag.id));
        let Some(tag) = tag else {
            return Err(no_key("service tag", key, names()));
        };
        let prefixes = tag.properties.as_ref().and_then(|of| of.prefixes.as_ref());
        list(key, prefixes.into_iter().flatten().map(String::as_str))
    }
}
