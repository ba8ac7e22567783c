//! Amazon Web Services, as <https://ip-ranges.amazonaws.com/ip-ranges.json> gives it.
//!
//! <https://docs.aws.amazon.com/vpc/latest/userguide/aws-ip-syntax.html>: `prefixes[]` with `ip_prefix`,
//! `ipv6_prefixes[]` with `ipv6_prefix`, each with `service` and `region`. The key is a service, a region, or both:
//! `S3`, `eu-central-1`, `S3/eu-central-1`.

use serde::Deserialize;

use super::{Fault, Prefix, key_needed, list, no_key, utc};
use crate::sign_in::Timestamp;

#[derive(Debug, Deserialize)]
pub(super) struct Document {
    #[serde(rename = "createDate")]
    created: Option<String>,
    prefixes: Vec<Range>,
    #[serde(default)]
    ipv6_prefixes: Vec<Range>,
}

#[derive(Debug, Deserialize)]
struct Range {
    #[serde(alias = "ipv6_prefix")]
    ip_prefix: String,
    #[serde(default)]
    service: String,
    #[serde(default)]
    region: String,
}

impl Document {
    /// `createDate` is `2026-11-24-08-15-30`, in UTC.
    pub(super) fn published(&self) -> Option<Timestamp> {
        let parts: Vec<&str> = self.created.as_deref()?.split('-').collect();
        let [year, month, day, hour, minute, second] = parts.as_slice() else {
            return None;
        };
        utc(&format!("{year}-{month}-{day}T{hour}:{minute}:{second}Z"))
    }

    pub(super) fn select(&self, key: Option<&str>) -> Result<Vec<Prefix>, Fault> {
        let all = || self.prefixes.iter().chain(&self.ipv6_prefixes);
        let names = || all().flat_map(|range| [range.service.as_str(), range.region.as_str()]);
        let Some(key) = key else {
            return Err(key_needed(
                "a service, a region, or SERVICE/region",
                names(),
            ));
        };
        let Some((service, region)) = key.split_once('/') else {
            let mut chosen = all()
                .filter(|range| range.service == key || range.region == key)
                .peekable();
            if chosen.peek().is_none() {
                return Err(no_key("service or region", key, names()));
            }
            return list(key, chosen.map(|range| range.ip_prefix.as_str()));
        };
        let of_service = || all().filter(|range| range.service == service);
        if of_service().next().is_none() {
            let services = all().map(|range| range.service.as_str());
            return Err(no_key("service", service, services));
        }
        let mut chosen = of_service()
            .filter(|range| range.region == region)
            .peekable();
        if chosen.peek().is_none() {
            let regions = of_service().map(|range| range.region.as_str());
            return Err(no_key(&format!("region of {service}"), region, regions));
        }
        list(key, chosen.map(|range| range.ip_prefix.as_str()))
    }
}
