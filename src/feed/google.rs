//! Google Cloud, as <https://www.gstatic.com/ipranges/cloud.json> gives it.
//!
//! <https://support.google.com/a/answer/10026322>: `prefixes[]` with `ipv4Prefix` or `ipv6Prefix`, `service` and
//! `scope`. The key is a scope, such as `europe-west6`; without one it is the whole file, as it is for the files of
//! the same shape that have no scopes.

use serde::Deserialize;

use super::{Fault, Prefix, list, no_key, utc};
use crate::sign_in::Timestamp;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Document {
    creation_time: Option<String>,
    prefixes: Vec<Range>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Range {
    ipv4_prefix: Option<String>,
    ipv6_prefix: Option<String>,
    scope: Option<String>,
}

impl Document {
    pub(super) fn published(&self) -> Option<Timestamp> {
        utc(self.creation_time.as_deref()?)
    }

    pub(super) fn select(&self, key: Option<&str>) -> Result<Vec<Prefix>, Fault> {
        let is_it = |range: &&Range| key.is_none_or(|key| range.scope.as_deref() == Some(key));
        if let Some(key) = key
            && !self.prefixes.iter().any(|range| is_it(&range))
        {
            let scopes = self
                .prefixes
                .iter()
                .filter_map(|range| range.scope.as_deref());
            return Err(no_key("scope", key, scopes));
        }
        let texts = self.prefixes.iter().filter(is_it).flat_map(|range| {
            let both = [&range.ipv4_prefix, &range.ipv6_prefix];
            both.into_iter().filter_map(Option::as_deref)
        });
        list(key.unwrap_or("prefixes"), texts)
    }
}
