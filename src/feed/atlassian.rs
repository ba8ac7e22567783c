//! Atlassian Cloud, as <https://ip-ranges.atlassian.com/> gives it.
//!
//! <https://support.atlassian.com/organization-administration/docs/ip-addresses-and-domains-for-atlassian-cloud-products/>:
//! `items[]` with `cidr`, and arrays `product` and `direction`. The key is a product, such as `jira`, or a product and
//! a direction, such as `jira/egress`.

use serde::Deserialize;

use super::{Fault, Prefix, key_needed, list, no_key, utc};
use crate::sign_in::Timestamp;

#[derive(Debug, Deserialize)]
pub(super) struct Document {
    #[serde(rename = "creationDate")]
    created: Option<String>,
    items: Vec<Item>,
}

#[derive(Debug, Deserialize)]
struct Item {
    cidr: String,
    #[serde(default)]
    product: Vec<String>,
    #[serde(default)]
    direction: Vec<String>,
}

impl Document {
    pub(super) fn published(&self) -> Option<Timestamp> {
        utc(self.created.as_deref()?)
    }

    pub(super) fn select(&self, key: Option<&str>) -> Result<Vec<Prefix>, Fault> {
        let products = || {
            let items = self.items.iter();
            items.flat_map(|item| item.product.iter().map(String::as_str))
        };
        let Some(key) = key else {
            return Err(key_needed("a product", products()));
        };
        let has = |values: &[String], wanted: &str| values.iter().any(|value| value == wanted);
        let (product, direction) = match key.split_once('/') {
            Some((product, direction)) => (product, Some(direction)),
            None => (key, None),
        };
        let of_product = || {
            let items = self.items.iter();
            items.filter(|item| has(&item.product, product))
        };
        if of_product().next().is_none() {
            return Err(no_key("product", product, products()));
        }
        let goes = |item: &&Item| direction.is_none_or(|wanted| has(&item.direction, wanted));
        if let Some(direction) = direction
            && !of_product().any(|item| goes(&item))
        {
            let directions = of_product().flat_map(|item| item.direction.iter());
            let what = format!("direction of {product}");
            return Err(no_key(&what, direction, directions.map(String::as_str)));
        }
        list(
            key,
            of_product().filter(goes).map(|item| item.cidr.as_str()),
        )
    }
}
