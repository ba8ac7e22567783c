//! What is legal and yet hardly meant.

use super::super::diagnostic::Code;
use super::super::document::AppDocument;
use super::super::entry::{At, Entry};
use super::super::source::Spot;
use super::Compiler;

impl Compiler<'_, '_> {
    pub(super) fn warn_of_shadow(&mut self, shadow: Shadow, spot: Spot, dimension: &str) {
        let (message, help) = match shadow {
            Shadow::None => return,
            Shadow::NoList => (
                format!("the exception has no effect: the app has no `allow.{dimension}`"),
                "an exception adds to a list that is there; it creates none".to_owned(),
            ),
            Shadow::Covered => (
                format!("the app's `allow.{dimension}` covers the exception already"),
                "remove it".to_owned(),
            ),
        };
        self.collector
            .report(Code::ExceptionShadowed, spot, message)
            .help(help);
    }

    pub(super) fn warn_of_app(&mut self, app: &AppDocument, entry: &Entry) {
        if !app.restricted {
            self.collector
                .report(
                    Code::NoAllow,
                    app.spot,
                    "the app has no `allow`: every sign-in of it is accepted",
                )
                .help("add allow.ips or allow.places");
        }
        let selectors = &entry.selectors;
        let by_name = app.match_name.as_ref().or(app.match_contains.as_ref());
        if let Some(name) = by_name
            && selectors.service_principal_id.is_none()
            && selectors.app_id.is_none()
        {
            self.collector
                .report(
                    Code::NameOnly,
                    name.spot,
                    "the app is found by its display name alone, which can be forged and renamed",
                )
                .help("add app_id = \"…\"");
        }
        let ips = match (&entry.allow_ips, &entry.deny_ips) {
            (Some(allow), Some(deny)) if allow.rule.written() > 0 => deny.rule.covers(&allow.rule),
            _ => false,
        };
        let places = match (&entry.allow_places, &entry.deny_places) {
            (Some(allow), Some(deny)) if allow.rule.count() > 0 => deny.rule.covers(&allow.rule),
            _ => false,
        };
        for (covered, list, key) in [
            (ips, app.deny_ips.as_ref().map(|list| list.spot), "ips"),
            (
                places,
                app.deny_places.as_ref().map(|list| list.spot),
                "places",
            ),
        ] {
            if let Some(spot) = list.filter(|_| covered) {
                let message = format!("`deny.{key}` covers all that `allow.{key}` allows");
                self.collector
                    .report(Code::DenyCoversAllow, spot, message)
                    .help("deny beats allow: no sign-in of the app can be allowed");
            }
        }
    }
}

/// Why an exception adds nothing.
pub(super) enum Shadow {
    None,
    NoList,
    Covered,
}

pub(super) fn shadow<S>(
    allow: Option<&At<S>>,
    exception: &S,
    covers: fn(&S, &S) -> bool,
) -> Shadow {
    match allow {
        None => Shadow::NoList,
        Some(allow) if covers(&allow.rule, exception) => Shadow::Covered,
        Some(_) => Shadow::None,
    }
}
