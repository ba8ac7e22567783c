//! What a record's fields mean: which shape it is, which log it belongs to, and the sign-in it tells.
//!
//! The shapes are told apart by what is there, never by where it came from:
//! - a diagnostic record has `properties` (`elastic/integrations`, `packages/azure/data_stream/signinlogs`);
//! - a Log Analytics row has a `Category` or `Type` and none; its `TenantId` is the workspace
//!   (`elastic/integrations` issue 15083);
//! - a Graph `signIn` has `createdDateTime` and no category
//!   (learn.microsoft.com/graph/api/resources/signin);
//! - a Defender hunting row has `IsManagedIdentity`
//!   (learn.microsoft.com/defender-xdr/advanced-hunting-entraidspnsigninevents-table);
//! - a row of the portal's CSV has its own column names, and arrives as [`Details::Portal`].

use std::borrow::Cow;
use std::net::IpAddr;

use sha2::Sha256;

use super::field::{Field, Fields};
use super::identity;
use super::json::{JsonError, Value};
use super::place::Place;
use super::value::{self, boolean, id, is_there, result_code, text};
use super::{Context, Item, Reject, excerpt};
use crate::sign_in::{CredentialType, Id, Kind, Outcome, SignIn, Timestamp, parse_address};

/// One record to interpret.
pub(super) struct Row<'r, 'a> {
    /// The fields of the outer level.
    pub(super) top: &'r Fields<'a>,
    /// Where the rest of the fields is.
    pub(super) details: Details<'r, 'a>,
    /// What the object under `location` tells, where that was read already.
    pub(super) place: Option<Place<'a>>,
    /// The record as it stands.
    pub(super) body: &'a [u8],
    /// Feeds what identifies the record where it has no id.
    pub(super) content: &'r dyn Fn(&mut Sha256),
}

/// Where a record keeps what a sign-in tells.
pub(super) enum Details<'r, 'a> {
    /// Under `properties`.
    Properties(&'r Fields<'a>),
    /// Under `properties`, which is a text, and not of a JSON object.
    Unreadable(JsonError),
    /// Beside everything else.
    Flat,
    /// Beside everything else, under the portal's column names.
    Portal,
}

/// The shape of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Diagnostic,
    LogAnalytics,
    Graph,
    Portal,
    Defender,
}

/// Which log a record belongs to.
enum Log<'a> {
    SignIns(Shape, Kind),
    Audit,
    Other(Cow<'a, str>),
}

/// Shows the visitor the item that a record's fields are.
pub(super) fn interpret(row: &Row<'_, '_>, context: &Context, visit: &mut dyn FnMut(&Item<'_>)) {
    let item = log(row, context).and_then(|log| match log {
        Log::SignIns(shape, kind) => sign_in(row, shape, kind, context),
        Log::Audit => Ok(Item::AuditEvent),
        Log::Other(name) => Ok(Item::Other(name)),
    });
    match item {
        Ok(ref item) => visit(item),
        Err(error) => visit(&Item::Reject(Reject {
            error: error.into(),
            body: Cow::Borrowed(row.body),
        })),
    }
}

fn log<'a>(row: &Row<'_, 'a>, context: &Context) -> Result<Log<'a>, String> {
    let category = text(row.top.value(Field::Category));
    match &row.details {
        Details::Properties(properties) => {
            if let Some(category) = category {
                return Ok(of_category(Shape::Diagnostic, category));
            }
            match by_event_type(properties) {
                Some(Ok(kind)) => Ok(Log::SignIns(Shape::Diagnostic, kind)),
                Some(Err(name)) => Ok(Log::Other(name)),
                None => Err("no category: not an Entra log record".to_owned()),
            }
        }
        Details::Unreadable(error) => {
            match category.map(|category| of_category(Shape::Diagnostic, category)) {
                Some(Log::SignIns(..)) | None => Err(format!(
                    "`properties` is a text, but not of a JSON object: {} at its byte {}",
                    error.problem, error.at
                )),
                Some(log) => Ok(log),
            }
        }
        Details::Flat => flat_log(row.top, category, context),
        Details::Portal => Ok(match untold_kind(row.top, context) {
            Some(kind) => Log::SignIns(Shape::Portal, kind),
            None => Log::Other(Cow::Borrowed("interactiveUser")),
        }),
    }
}

/// The log of a record without `properties`.
fn flat_log<'a>(
    top: &Fields<'a>,
    category: Option<Cow<'a, str>>,
    context: &Context,
) -> Result<Log<'a>, String> {
    let table = text(top.value(Field::Type));
    if let Some(log) = table.as_deref().and_then(of_table) {
        return Ok(log);
    }
    if let Some(category) = category {
        return Ok(of_category(Shape::LogAnalytics, category));
    }
    let has = |field| is_there(top.value(field));
    if has(Field::IsManagedIdentity)
        && (has(Field::ApplicationId) || has(Field::ServicePrincipalId))
    {
        let kind = match boolean(top.value(Field::IsManagedIdentity)) {
            true => Kind::ManagedIdentity,
            false => Kind::ServicePrincipal,
        };
        return Ok(Log::SignIns(Shape::Defender, kind));
    }
    match by_event_type(top) {
        Some(Ok(kind)) => return Ok(Log::SignIns(Shape::Graph, kind)),
        Some(Err(name)) => return Ok(Log::Other(name)),
        None => {}
    }
    if has(Field::TimeGenerated) {
        // A query may drop the columns that tell the table, and keep one that tells the log.
        return match table {
            Some(table) => Ok(Log::Other(table)),
            None => match untold_kind(top, context) {
                Some(kind) => Ok(Log::SignIns(Shape::LogAnalytics, kind)),
                None => {
                    Err("neither `Type` nor `Category`: the row does not tell its log".to_owned())
                }
            },
        };
    }
    if has(Field::CreatedDateTime) {
        return Ok(match untold_kind(top, context) {
            Some(kind) => Log::SignIns(Shape::Graph, kind),
            None => Log::Other(Cow::Borrowed("interactiveUser")),
        });
    }
    if top.value(Field::Records) != Value::Null {
        return Err(format!(
            "`records` is {}, not an array of records",
            top.value(Field::Records).name()
        ));
    }
    Err("no category, no `properties`, no `createdDateTime`: not an Entra log record".to_owned())
}

/// Reads a diagnostic category; Microsoft's own pages spell some of them in more than one case.
fn of_category(shape: Shape, category: Cow<'_, str>) -> Log<'_> {
    let name = category.trim();
    for kind in [
        Kind::ServicePrincipal,
        Kind::ManagedIdentity,
        Kind::MicrosoftServicePrincipal,
    ] {
        if name == kind.category() || name.eq_ignore_ascii_case(kind.category()) {
            return Log::SignIns(shape, kind);
        }
    }
    if name.eq_ignore_ascii_case("AuditLogs") {
        return Log::Audit;
    }
    Log::Other(category)
}

/// Reads a Log Analytics table that says more than the category: rows of `AuditLogs` carry the audit
/// event's category there (`OTRF/Security-Datasets`, `GoldenSAMLADFSMailAccess`).
fn of_table(table: &str) -> Option<Log<'static>> {
    let table = table.trim();
    let bare = match table.get(..3) {
        Some(prefix) if prefix.eq_ignore_ascii_case("AAD") => table.get(3..).unwrap_or_default(),
        _ => table,
    };
    match of_category(Shape::LogAnalytics, Cow::Borrowed(bare)) {
        Log::SignIns(shape, kind) => Some(Log::SignIns(shape, kind)),
        Log::Audit => Some(Log::Audit),
        Log::Other(_) => None,
    }
}

/// Reads `signInEventTypes`: an array, or the text of one; `Err` names another log than ours.
fn by_event_type<'a>(fields: &Fields<'a>) -> Option<Result<Kind, Cow<'a, str>>> {
    let mut first = None;
    for name in value::texts(fields.value(Field::SignInEventTypes)) {
        match name.trim() {
            kind if kind.eq_ignore_ascii_case("servicePrincipal") => {
                return Some(Ok(Kind::ServicePrincipal));
            }
            kind if kind.eq_ignore_ascii_case("managedIdentity") => {
                return Some(Ok(Kind::ManagedIdentity));
            }
            _ => first = first.or(Some(name)),
        }
    }
    first.map(Err)
}

/// The kind of a sign-in that does not tell: what the caller says, else a service principal's where
/// there is one and no user.
fn untold_kind(top: &Fields<'_>, context: &Context) -> Option<Kind> {
    let has = |field| is_there(top.value(field));
    let principal = has(Field::ServicePrincipalId) || has(Field::ServicePrincipalName);
    let user = has(Field::UserId) || has(Field::UserPrincipalName);
    context
        .kind
        .or((principal && !user).then_some(Kind::ServicePrincipal))
}

fn sign_in<'a>(
    row: &Row<'_, 'a>,
    shape: Shape,
    kind: Kind,
    context: &Context,
) -> Result<Item<'a>, String> {
    let top = row.top;
    let details = match row.details {
        Details::Properties(properties) => properties,
        _ => top,
    };
    let detail = |field| details.value(field);
    let app_id = id(detail(match shape {
        Shape::Defender => Field::ApplicationId,
        _ => Field::AppId,
    }));
    let service_principal_id = id(detail(Field::ServicePrincipalId));
    let name =
        text(detail(Field::ServicePrincipalName)).or_else(|| text(detail(Field::AppDisplayName)));
    if app_id.is_none() && service_principal_id.is_none() && name.is_none() {
        return Err("a sign-in with neither app id, service principal id nor name".to_owned());
    }
    let (time, time_generated) = times(top, details, shape, context)?;
    let tenant_id = match shape {
        Shape::Diagnostic => id(top.value(Field::TenantId))
            .or_else(|| tenant_of_resource(top.value(Field::ResourceId))),
        Shape::LogAnalytics => id(top.value(Field::AadTenantId)),
        Shape::Graph | Shape::Portal | Shape::Defender => None,
    }
    .or_else(|| context.tenant.clone());
    let record_id = id(match shape {
        Shape::Defender => detail(Field::RequestId),
        _ => detail(Field::Id),
    });
    let key = match &record_id {
        Some(id) => identity::of_id(tenant_id.as_ref(), id),
        None => identity::of_content(tenant_id.as_ref(), row.content),
    };
    let (ip, caller_ip) = addresses(top, detail(Field::IpAddress));
    let place = place(row, details, shape);
    let result_code = result_code(top, details, shape == Shape::Defender);
    Ok(Item::SignIn(SignIn {
        kind,
        id: record_id.and_then(|id| match id {
            Id::Guid(_) => value::lower_text(match shape {
                Shape::Defender => detail(Field::RequestId),
                _ => detail(Field::Id),
            }),
            Id::Text(text) => Some(text),
        }),
        key,
        time,
        time_generated,
        tenant_id,
        app_id,
        service_principal_id,
        name,
        app_owner_tenant_id: id(detail(Field::AppOwnerTenantId)),
        outcome: Outcome::of_code(result_code.as_deref()),
        result_code,
        ip,
        caller_ip,
        country: place.country,
        state: place.state,
        city: place.city,
        resource: text(detail(Field::ResourceDisplayName)),
        resource_id: id(detail(match shape {
            Shape::LogAnalytics => Field::ResourceIdentity,
            _ => Field::ResourceId,
        })),
        credential_key_id: id(detail(Field::ServicePrincipalCredentialKeyId)).filter(is_named),
        federated_credential_id: id(detail(Field::FederatedCredentialId)).filter(is_named),
        credential_type: text(detail(Field::ClientCredentialType))
            .and_then(CredentialType::from_log),
        correlation_id: text(top.value(Field::CorrelationId))
            .or_else(|| text(detail(Field::CorrelationId))),
    }))
}

/// A credential called `none` is none.
fn is_named(id: &Id<'_>) -> bool {
    !matches!(id, Id::Text(text) if text.eq_ignore_ascii_case("none"))
}

/// When the sign-in happened, and when its record was emitted.
///
/// The two differ by seconds to minutes in live data (`rknightion/graph2otel`); the first one counts.
fn times(
    top: &Fields<'_>,
    details: &Fields<'_>,
    shape: Shape,
    context: &Context,
) -> Result<(Timestamp, Option<Timestamp>), String> {
    let mut bad = None;
    let mut read = |value: Value<'_>| {
        let text = text(value)?;
        match Timestamp::parse(&text) {
            Ok(time) => Some(time),
            Err(_) => {
                bad.get_or_insert_with(|| excerpt(text.as_bytes()));
                None
            }
        }
    };
    let created_value = details.value(match shape {
        Shape::Defender => Field::Timestamp,
        _ => Field::CreatedDateTime,
    });
    let created = read(created_value);
    let generated = match top.value(Field::Time) {
        time if time == created_value => created,
        time => read(time),
    };
    let generated = generated.or_else(|| read(top.value(Field::TimeGenerated)));
    match created.or(generated).or(context.enqueued) {
        Some(time) => Ok((time, generated)),
        None => Err(match bad {
            Some(text) => format!(
                "a sign-in without a usable time: {text} is none (expected, for example, 2026-11-24T08:15:00Z)"
            ),
            None => "a sign-in without a time".to_owned(),
        }),
    }
}

/// The address that is judged, and the envelope's own.
fn addresses(top: &Fields<'_>, inner: Value<'_>) -> (Option<IpAddr>, Option<IpAddr>) {
    let read = |value| parse_address(&text(value)?);
    let caller = top.value(Field::CallerIpAddress);
    let ip = read(inner);
    let caller_ip = match caller == inner {
        true => ip,
        false => read(caller),
    };
    (ip.or(caller_ip), caller_ip)
}

/// Cuts the tenant out of `/tenants/<id>/providers/Microsoft.aadiam`, which comes in upper case too.
fn tenant_of_resource(resource: Value<'_>) -> Option<Id<'_>> {
    const PREFIX: &str = "/tenants/";
    let cut = |path: &str| {
        let start = path
            .get(..PREFIX.len())
            .filter(|prefix| prefix.eq_ignore_ascii_case(PREFIX))?
            .len();
        let tenant = path.get(start..)?.split('/').next()?;
        Some(start..start + tenant.len())
    };
    match text(resource)? {
        Cow::Borrowed(path) => Id::parse(Cow::Borrowed(path.get(cut(path)?)?)),
        Cow::Owned(path) => Id::parse(Cow::Owned(path.get(cut(&path)?)?.to_owned())),
    }
}

/// Where the sign-in came from: the details, else a two-letter `location` of the envelope.
fn place<'a>(row: &Row<'_, 'a>, details: &Fields<'a>, shape: Shape) -> Place<'a> {
    let top = row.top;
    if shape == Shape::Defender {
        return Place::of_parts(
            details.value(Field::Country),
            details.value(Field::State),
            details.value(Field::City),
        );
    }
    if shape == Shape::Portal {
        return Place::of_line(text(details.value(Field::Location)));
    }
    let mut place = match &row.place {
        Some(place) => place.clone(),
        None => Place::of_object(details.value(Field::Location)),
    };
    if place == Place::default() {
        place = Place::of_object(details.value(Field::LocationDetails));
    }
    if place.country.is_none() {
        place.country = value::country_code(top.value(Field::Location))
            .or_else(|| value::country_code(details.value(Field::Location)));
    }
    place
}
