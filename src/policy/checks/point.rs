//! Which values of the policy a sign-in matches, and which range is nearest to its address.

use std::sync::Arc;

use super::super::Policy;
use super::super::entry::{Entry, Line};
use super::super::evaluate::{Dimension, Held};
use super::super::written::{Trail, WrittenApp, WrittenList};
use crate::sign_in::{Id, SignIn};
use crate::verdict::ReasonCode;

/// A value of the policy, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Point {
    /// The value as written, after the sets that lead to it: `@zurich -> 192.0.2.0/24`.
    pub text: String,
    /// File it is in.
    pub file: Arc<str>,
    /// Its line, from 1.
    pub line: usize,
}

/// The allowed range that is nearest to an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nearest {
    /// The range.
    pub range: Point,
    /// How many addresses its nearer end is away.
    pub distance: u128,
}

/// An entry, and its lists as they are written.
#[derive(Clone, Copy)]
pub(super) struct Listed<'p> {
    pub(super) entry: &'p Entry,
    pub(super) written: &'p WrittenApp,
}

impl<'p> Listed<'p> {
    /// The addresses that the credential of a sign-in may be used from.
    pub(super) fn credential_ips(self, sign_in: &SignIn<'_>) -> Option<&'p WrittenList> {
        let used = self.entry.credential(sign_in)?;
        let all = self.entry.credentials.iter().zip(&self.written.credentials);
        let mut same = all.filter(|(known, _)| known.key_id == used.key_id);
        same.next()?.1.ips.as_ref()
    }

    /// Where the last day of the credential of a sign-in is written.
    pub(super) fn expires(self, sign_in: &SignIn<'_>) -> Option<Line> {
        let used = self.entry.credential(sign_in)?;
        let all = self.entry.credentials.iter().zip(&self.written.credentials);
        let mut same = all.filter(|(known, _)| known.key_id == used.key_id);
        same.next()?.1.expires
    }

    /// The lists that allow addresses at the time of a sign-in: the app's own, then those of exceptions.
    fn allowed_ips(self, sign_in: &SignIn<'_>) -> Vec<&'p WrittenList> {
        let exceptions = self.entry.exceptions.iter().zip(&self.written.exceptions);
        let live = exceptions.filter(|(known, _)| sign_in.time < known.until);
        let own = self.written.allow_ips.as_ref().into_iter();
        own.chain(live.filter_map(|(_, written)| written.ips.as_ref()))
            .collect()
    }

    fn allowed_places(self, sign_in: &SignIn<'_>) -> Vec<&'p WrittenList> {
        let exceptions = self.entry.exceptions.iter().zip(&self.written.exceptions);
        let live = exceptions.filter(|(known, _)| sign_in.time < known.until);
        let own = self.written.allow_places.as_ref().into_iter();
        own.chain(live.filter_map(|(_, written)| written.places.as_ref()))
            .collect()
    }
}

impl Policy {
    /// A point at the end of a trail.
    pub(super) fn point(&self, trail: &Trail<'_>) -> Option<Point> {
        let last = trail.last()?;
        let texts: Vec<&str> = trail.iter().map(|value| &*value.text).collect();
        self.point_at(texts.join(" -> "), last.line)
    }

    fn point_at(&self, text: String, line: Line) -> Option<Point> {
        Some(Point {
            text,
            file: self.files.get(line.file).cloned()?,
            line: line.line,
        })
    }

    /// The value that decided a check: that allowed, or that denied; and the line on which the list has it.
    pub(super) fn matched(
        &self,
        listed: Listed<'_>,
        dimension: Dimension,
        held: Held,
        sign_in: &SignIn<'_>,
    ) -> Option<(Point, Line)> {
        let trails = match (dimension, held) {
            (Dimension::Ip, Held::Failed(ReasonCode::IpDenied)) => self
                .written
                .around(listed.written.deny_ips.as_ref()?, sign_in.ip?),
            (Dimension::Place, Held::Failed(ReasonCode::PlaceDenied)) => self
                .written
                .at(listed.written.deny_places.as_ref()?, sign_in),
            (Dimension::Credential, Held::Failed(ReasonCode::CredentialExpired)) => {
                let line = listed.expires(sign_in)?;
                let day = listed.entry.credential(sign_in)?.expires?;
                return Some((self.point_at(day.to_string(), line)?, line));
            }
            (_, Held::Failed(_) | Held::NotApplicable) => return None,
            (Dimension::Ip, Held::Passed) => {
                listed.written.allow_ips.as_ref()?;
                let address = sign_in.ip?;
                let lists = listed.allowed_ips(sign_in).into_iter();
                let mut found = lists.map(|list| self.written.around(list, address));
                found.find(|trails| !trails.is_empty())?
            }
            (Dimension::Place, Held::Passed) => {
                listed.written.allow_places.as_ref()?;
                let lists = listed.allowed_places(sign_in).into_iter();
                let mut found = lists.map(|list| self.written.at(list, sign_in));
                found.find(|trails| !trails.is_empty())?
            }
            (Dimension::CredentialIp, Held::Passed) => self
                .written
                .around(listed.credential_ips(sign_in)?, sign_in.ip?),
            (Dimension::Tenant, Held::Passed) => return self.matched_tenant(sign_in),
            (Dimension::Resource, Held::Passed) => {
                let list = listed.entry.allow_resources.as_ref()?;
                let index = list.rule.iter().position(|one| one.matches(sign_in))?;
                let values = &listed.written.allow_resources.as_ref()?.values;
                vec![vec![values.get(index)?]]
            }
            (Dimension::CredentialType, Held::Passed) => {
                let logged = sign_in.credential_type.as_ref()?;
                let list = listed.entry.allow_types.as_ref()?;
                let index = list.rule.iter().position(|word| word.matches(logged))?;
                let values = &listed.written.allow_types.as_ref()?.values;
                vec![vec![values.get(index)?]]
            }
            (Dimension::Credential, Held::Passed) => {
                let credential = listed.entry.credential(sign_in)?;
                let line = credential.line;
                return Some((self.point_at(credential.key_id.to_string(), line)?, line));
            }
        };
        let trail = trails.first()?;
        Some((self.point(trail)?, trail.first()?.line))
    }

    /// The policy's tenant that a sign-in is of.
    pub(super) fn matched_tenant(&self, sign_in: &SignIn<'_>) -> Option<(Point, Line)> {
        let tenant = sign_in.tenant_id.as_ref().and_then(Id::guid)?.to_string();
        let list = self.written.tenants.as_ref()?;
        let value = list.values.iter().find(|value| *value.text == tenant)?;
        Some((self.point(&vec![value])?, value.line))
    }

    /// The allowed range that is nearest to an address that is in none.
    pub(super) fn nearest(
        &self,
        listed: Listed<'_>,
        code: ReasonCode,
        sign_in: &SignIn<'_>,
    ) -> Option<Nearest> {
        let lists = match code {
            ReasonCode::IpNotAllowed => listed.allowed_ips(sign_in),
            ReasonCode::CredentialIpNotAllowed => vec![listed.credential_ips(sign_in)?],
            _ => return None,
        };
        let address = sign_in.ip?;
        let near = lists
            .into_iter()
            .filter_map(|list| self.written.nearest(list, address));
        let (distance, trail) = near.min_by_key(|(distance, _)| *distance)?;
        Some(Nearest {
            range: self.point(&trail)?,
            distance,
        })
    }
}
