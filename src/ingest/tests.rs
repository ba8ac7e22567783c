//! What the shapes and their quirks come to, by hand-made records in the forms that are really logged.

use std::cell::RefCell;
use std::net::IpAddr;

use serde_json::{Value, json};

use super::*;
use crate::sign_in::{CredentialType, Outcome};

mod habit;
mod recovery;

const TENANT: &str = "0a1b2c3d-0000-4000-8000-00000000000a";
const APP: &str = "0a1b2c3d-0000-4000-8000-00000000000b";
const PRINCIPAL: &str = "0a1b2c3d-0000-4000-8000-00000000000c";
const ID: &str = "0a1b2c3d-0000-4000-8000-00000000000d";
const KEY: &str = "0a1b2c3d-0000-4000-8000-00000000000e";
const GRAPH: &str = "00000003-0000-0000-c000-000000000000";

thread_local! {
    /// Learns from every text of every test on this thread.
    static HABIT: RefCell<Habit> = RefCell::default();
}

/// Reads a text into owned items.
fn read_in(text: &[u8], context: &Context) -> Vec<(Position, Item<'static>)> {
    let read = |habit: &mut Habit| {
        let mut items = Vec::new();
        read_text(text, context, habit, &mut |position, item| {
            items.push((position, owned(item)))
        });
        items
    };
    let mut habit = Habit::default();
    let items = read(&mut habit);
    // What was learnt from this text, or from any other, changes nothing.
    assert_eq!(read(&mut habit), items);
    assert_eq!(read(&mut habit), items);
    HABIT.with_borrow_mut(|habit| assert_eq!(read(habit), items));
    items
}

fn read(text: &[u8]) -> Vec<Item<'static>> {
    let items = read_in(text, &Context::default());
    for (place, (position, _)) in items.iter().enumerate() {
        assert_eq!(position.record, place as u64 + 1);
    }
    items.into_iter().map(|(_, item)| item).collect()
}

pub(super) fn owned(item: &Item<'_>) -> Item<'static> {
    match item {
        Item::SignIn(sign_in) => Item::SignIn(sign_in.clone().into_owned()),
        Item::AuditEvent => Item::AuditEvent,
        Item::Other(name) => Item::Other(name.to_string().into()),
        Item::Reject(reject) => Item::Reject(Reject {
            error: reject.error.clone(),
            body: reject.body.to_vec().into(),
        }),
    }
}

/// The one sign-in of a text.
fn sign_in_of(text: &[u8], context: &Context) -> SignIn<'static> {
    match &read_in(text, context)[..] {
        [(_, Item::SignIn(sign_in))] => sign_in.clone(),
        other => panic!("{other:?} of {}", String::from_utf8_lossy(text)),
    }
}

fn sign_in(record: &Value) -> SignIn<'static> {
    sign_in_of(record.to_string().as_bytes(), &Context::default())
}

/// The error of the one reject of a text.
fn error_of(text: &[u8]) -> String {
    match &read(text)[..] {
        [Item::Reject(reject)] => reject.error.to_string(),
        other => panic!("{other:?} of {}", String::from_utf8_lossy(text)),
    }
}

/// A diagnostic record as Event Hubs gets it.
fn diagnostic() -> Value {
    json!({
        "time": "2026-11-24T08:16:30.1234567Z",
        "resourceId": format!("/tenants/{TENANT}/providers/Microsoft.aadiam"),
        "operationName": "Sign-in activity",
        "operationVersion": "1.0",
        "category": "ServicePrincipalSignInLogs",
        "tenantId": TENANT,
        "resultType": "0",
        "resultSignature": "SUCCESS",
        "durationMs": 0,
        "callerIpAddress": "203.0.113.9",
        "correlationId": "0a1b2c3d-0000-4000-8000-00000000000f",
        "Level": 4,
        "location": "CH",
        "properties": properties(),
    })
}

/// What a diagnostic record has under `properties`, which is what Graph shows at the top.
fn properties() -> Value {
    json!({
        "id": ID,
        "createdDateTime": "2026-11-24T08:15:00.12345+00:00",
        "userId": null,
        "userPrincipalName": "",
        "appId": APP,
        "appOwnerTenantId": TENANT,
        "ipAddress": "203.0.113.9",
        "status": {"errorCode": 0},
        "location": {
            "city": "Genève",
            "state": "Genève",
            "countryOrRegion": "CH",
            "geoCoordinates": {"latitude": 46.2, "longitude": 6.14},
        },
        "correlationId": "0a1b2c3d-0000-4000-8000-00000000000f",
        "resourceDisplayName": "Microsoft Graph",
        "resourceId": GRAPH,
        "servicePrincipalName": "nightly \"export\"",
        "servicePrincipalId": PRINCIPAL,
        "servicePrincipalCredentialKeyId": KEY,
        "clientCredentialType": "clientSecret",
    })
}

/// The same sign-in as a row of Log Analytics.
fn row() -> Value {
    json!({
        "TenantId": "0a1b2c3d-ffff-4000-8000-0000000000ff",
        "SourceSystem": "Azure AD",
        "TimeGenerated": "2026-11-24T08:16:30.1234567Z",
        "ResourceId": "/tenants/0a1b2c3d-ffff-4000-8000-0000000000fe/providers/Microsoft.aadiam",
        "OperationName": "Sign-in activity",
        "Category": "ServicePrincipalSignInLogs",
        "ResultType": "0",
        "DurationMs": 0,
        "CorrelationId": "0a1b2c3d-0000-4000-8000-00000000000f",
        "Level": "4",
        "Location": "CH",
        "AppId": APP,
        "AppOwnerTenantId": TENANT,
        "IPAddress": "203.0.113.9",
        "LocationDetails": properties()["location"].to_string(),
        "ResourceDisplayName": "Microsoft Graph",
        "ResourceIdentity": GRAPH,
        "ServicePrincipalId": PRINCIPAL,
        "ServicePrincipalName": "nightly \"export\"",
        "ServicePrincipalCredentialKeyId": KEY,
        "ClientCredentialType": "clientSecret",
        "CreatedDateTime": "2026-11-24T08:15:00.12345Z",
        "Id": ID,
        "AADTenantId": TENANT,
        "Type": "AADServicePrincipalSignInLogs",
    })
}

fn renamed(value: &Value, rename: fn(&str) -> String) -> Value {
    match value {
        Value::Object(members) => members
            .iter()
            .map(|(key, value)| (rename(key), renamed(value, rename)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
        Value::Array(items) => items.iter().map(|item| renamed(item, rename)).collect(),
        other => other.clone(),
    }
}

fn pascal(key: &str) -> String {
    let mut letters = key.chars();
    letters
        .next()
        .map(|first| first.to_ascii_uppercase().to_string() + letters.as_str())
        .unwrap_or_default()
}

/// Writes rows as RFC 4180, every cell in quotes.
fn csv_of(rows: &[Value]) -> String {
    let columns: Vec<&String> = rows[0].as_object().unwrap().keys().collect();
    let quote = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
    let mut text: Vec<String> = vec![
        columns
            .iter()
            .map(|name| quote(name))
            .collect::<Vec<_>>()
            .join(","),
    ];
    for row in rows {
        let cells = columns.iter().map(|name| match &row[name.as_str()] {
            Value::String(cell) => quote(cell),
            other => other.to_string(),
        });
        text.push(cells.collect::<Vec<_>>().join(","));
    }
    text.join("\r\n")
}

#[test]
fn reads_a_diagnostic_record() {
    let sign_in = sign_in(&diagnostic());
    let id = |text: &'static str| Id::parse(text.into());
    let expected = SignIn {
        kind: Kind::ServicePrincipal,
        id: Some(ID.into()),
        key: sign_in.key,
        time: Timestamp::parse("2026-11-24T08:15:00.12345Z").unwrap(),
        time_generated: Timestamp::parse("2026-11-24T08:16:30.1234567Z").ok(),
        tenant_id: id(TENANT),
        app_id: id(APP),
        service_principal_id: id(PRINCIPAL),
        name: Some("nightly \"export\"".into()),
        app_owner_tenant_id: id(TENANT),
        result_code: Some("0".into()),
        outcome: Outcome::Success,
        ip: "203.0.113.9".parse().ok(),
        caller_ip: "203.0.113.9".parse().ok(),
        country: Some("CH".into()),
        state: Some("Genève".into()),
        city: Some("Genève".into()),
        resource: Some("Microsoft Graph".into()),
        resource_id: id(GRAPH),
        credential_key_id: id(KEY),
        federated_credential_id: None,
        credential_type: Some(CredentialType::Secret),
        correlation_id: Some("0a1b2c3d-0000-4000-8000-00000000000f".into()),
    };
    assert_eq!(sign_in, expected);
}

#[test]
fn the_shapes_tell_the_same() {
    let expected = sign_in(&diagnostic());
    let context = Context {
        tenant: Id::parse(TENANT.into()),
        ..Context::default()
    };
    let mut graph = properties();
    graph["signInEventTypes"] = json!(["servicePrincipal"]);
    let mut graph_without_types = properties();
    graph_without_types["appDisplayName"] = json!("another name");
    let mut with_text = diagnostic();
    with_text["properties"] = Value::String(properties().to_string());
    let mut row_with_object = row();
    row_with_object["LocationDetails"] = properties()["location"].clone();
    let mut decorated = row();
    for column in ["TimeGenerated", "CreatedDateTime"] {
        let cell = decorated.as_object_mut().unwrap().remove(column).unwrap();
        decorated[format!("{column} [UTC]")] = cell;
    }
    let escaped: String = diagnostic()
        .to_string()
        .chars()
        .map(|letter| match letter {
            'è' => "\\u00e8".to_owned(),
            '/' => "\\/".to_owned(),
            other => other.to_string(),
        })
        .collect();
    let portal = json!({
        "Date (UTC)": "2026-11-24T08:15:00.12345Z",
        "Request ID": ID.to_uppercase(),
        "Correlation ID": "0a1b2c3d-0000-4000-8000-00000000000f",
        "Service principal ID": PRINCIPAL,
        "Service principal name": "nightly \"export\"",
        "Credential key ID": KEY,
        "Credential thumbprint": "",
        "Application": "nightly",
        "Application ID ": APP,
        "App owner tenant ID": TENANT,
        "Resource": "Microsoft Graph",
        "Resource ID ": GRAPH,
        "Resource tenant ID": TENANT,
        "Home tenant ID": TENANT,
        "IP address": "203.0.113.9",
        "Location": "Genève, Genève, CH",
        "Status": "Success",
        "Sign-in error code": "",
        "Client credential type": "clientSecret",
    });
    let table = [
        ("diagnostic", diagnostic().to_string()),
        (
            "lower-cased",
            renamed(&diagnostic(), str::to_lowercase).to_string(),
        ),
        ("PascalCase", renamed(&diagnostic(), pascal).to_string()),
        (
            "pretty",
            serde_json::to_string_pretty(&diagnostic()).unwrap(),
        ),
        ("escaped", escaped),
        ("properties as text", with_text.to_string()),
        ("records", json!({"records": [diagnostic()]}).to_string()),
        (
            "Records, amid others",
            json!({"a": [1], "Records": [diagnostic()], "z": {"records": 1}}).to_string(),
        ),
        (
            "one record",
            json!({"records": diagnostic(), "z": 1}).to_string(),
        ),
        (
            "records as text",
            json!({"records": json!([diagnostic()]).to_string()}).to_string(),
        ),
        ("array", json!([diagnostic()]).to_string()),
        (
            "array of envelopes",
            json!([{"records": []}, {"records": [diagnostic()]}]).to_string(),
        ),
        ("byte order mark", format!("\u{feff}{}\r\n", diagnostic())),
        ("row", row().to_string()),
        ("row with an object", row_with_object.to_string()),
        (
            "row, lower-cased",
            renamed(&row(), str::to_lowercase).to_string(),
        ),
        ("row as CSV", csv_of(&[row()])),
        ("row as CSV, decorated", csv_of(&[decorated])),
        (
            "Graph page",
            json!({"@odata.context": "x", "value": [graph], "@odata.nextLink": "y"}).to_string(),
        ),
        ("Graph v1.0", graph_without_types.to_string()),
        ("portal", csv_of(&[portal])),
    ];
    for (shape, text) in table {
        let mut found = sign_in_of(text.as_bytes(), &context);
        // Not all shapes have these two; the first judged address is the same.
        found.time_generated = expected.time_generated;
        found.caller_ip = expected.caller_ip;
        if shape == "portal" {
            assert_eq!(found.result_code.as_deref(), Some("0"));
        }
        assert_eq!(found, expected, "{shape}");
    }
}

#[test]
fn tells_the_logs_apart() {
    let category = |name: &str| {
        let mut record = diagnostic();
        record["category"] = json!(name);
        record
    };
    let kind = |record: &Value| sign_in(record).kind;
    assert_eq!(
        kind(&category("MANAGEDIDENTITYSIGNINLOGS")),
        Kind::ManagedIdentity
    );
    assert_eq!(
        kind(&category("MicrosoftServicePrincipalSignInLogs")),
        Kind::MicrosoftServicePrincipal
    );
    for name in [
        "SignInLogs",
        "NonInteractiveUserSIgnInLogs",
        "MicrosoftGraphActivityLogs",
    ] {
        assert_eq!(
            read(category(name).to_string().as_bytes()),
            [Item::Other(name.into())]
        );
    }
    assert_eq!(
        read(category("auditlogs").to_string().as_bytes()),
        [Item::AuditEvent]
    );

    let table = |name: &str, category: &str| {
        let mut row = row();
        row["Type"] = json!(name);
        row["Category"] = json!(category);
        read(row.to_string().as_bytes()).remove(0)
    };
    let kind = |item: Item<'_>| match item {
        Item::SignIn(sign_in) => Some(sign_in.kind),
        _ => None,
    };
    assert_eq!(
        table("AuditLogs", "ApplicationManagement"),
        Item::AuditEvent
    );
    assert_eq!(
        kind(table("AADManagedIdentitySignInLogs", "")),
        Some(Kind::ManagedIdentity)
    );
    assert_eq!(
        kind(table("AADMicrosoftServicePrincipalSignInLogs", "")),
        Some(Kind::MicrosoftServicePrincipal)
    );
    assert_eq!(
        table("SigninLogs", "SignInLogs"),
        Item::Other("SignInLogs".into())
    );
    assert_eq!(table("SigninLogs", ""), Item::Other("SigninLogs".into()));
    assert_eq!(
        table("", "ApplicationManagement"),
        Item::Other("ApplicationManagement".into())
    );
    assert_eq!(
        kind(table("", "ManagedIdentitySignInLogs")),
        Some(Kind::ManagedIdentity)
    );
}

#[test]
fn tells_the_events_of_graph_apart() {
    let graph = |types: Value| {
        let mut record = properties();
        record["signInEventTypes"] = types;
        read(record.to_string().as_bytes()).remove(0)
    };
    let is =
        |item: Item<'_>, kind: Kind| matches!(item, Item::SignIn(sign_in) if sign_in.kind == kind);
    assert!(is(graph(json!(["managedIdentity"])), Kind::ManagedIdentity));
    assert!(is(
        graph(json!("[\"managedIdentity\"]")),
        Kind::ManagedIdentity
    ));
    assert!(is(graph(json!("servicePrincipal")), Kind::ServicePrincipal));
    assert!(is(
        graph(json!(["x", "ServicePrincipal"])),
        Kind::ServicePrincipal
    ));
    assert!(is(graph(json!([])), Kind::ServicePrincipal));
    assert_eq!(
        graph(json!(["nonInteractiveUser"])),
        Item::Other("nonInteractiveUser".into())
    );

    let mut user = properties();
    user["userId"] = json!("someone");
    assert_eq!(
        read(user.to_string().as_bytes()),
        [Item::Other("interactiveUser".into())]
    );
    let context = Context {
        kind: Some(Kind::ManagedIdentity),
        ..Context::default()
    };
    assert_eq!(
        sign_in_of(user.to_string().as_bytes(), &context).kind,
        Kind::ManagedIdentity
    );
}

#[test]
fn reads_a_defender_row() {
    let row = json!({
        "Timestamp": "2026-11-24T08:15:00Z", "ApplicationId": APP, "ServicePrincipalId": PRINCIPAL,
        "ServicePrincipalName": "nightly", "IsManagedIdentity": 1, "ErrorCode": 7000215, "RequestId": ID,
        "IPAddress": "203.0.113.9", "Country": "ch", "State": "", "City": "Zug", "ResourceId": GRAPH,
    });
    let sign_in = sign_in(&row);
    assert_eq!(sign_in.kind, Kind::ManagedIdentity);
    assert_eq!(sign_in.result_code.as_deref(), Some("7000215"));
    assert_eq!(
        (
            sign_in.country.as_deref(),
            sign_in.state,
            sign_in.city.as_deref()
        ),
        (Some("CH"), None, Some("Zug"))
    );
    assert_eq!(sign_in.id.as_deref(), Some(ID));
}

#[test]
fn takes_the_tenant_from_where_it_is() {
    let tenant = |change: fn(&mut Value), context: &Context| {
        let mut record = diagnostic();
        change(&mut record);
        sign_in_of(record.to_string().as_bytes(), context)
            .tenant_id
            .map(|id| id.to_string())
    };
    let none = Context::default();
    let given = Context {
        tenant: Id::parse("given".into()),
        ..Context::default()
    };
    let cut = |record: &mut Value| {
        record["tenantId"] = json!("");
        record["resourceId"] =
            json!("/TENANTS/0A1B2C3D-0000-4000-8000-00000000000A/PROVIDERS/MICROSOFT.AADIAM");
    };
    let lost = |record: &mut Value| {
        record["tenantId"] = Value::Null;
        record["resourceId"] = json!("0a1b2c3d-0000-4000-8000-00000000000a");
    };
    assert_eq!(tenant(|_| {}, &given).as_deref(), Some(TENANT));
    assert_eq!(tenant(cut, &none).as_deref(), Some(TENANT));
    assert_eq!(tenant(lost, &none), None);
    assert_eq!(tenant(lost, &given).as_deref(), Some("given"));
    assert_eq!(
        tenant(|record| record["tenantId"] = json!("tenantId"), &none).as_deref(),
        Some("tenantId")
    );

    let mut row = row();
    row["AADTenantId"] = Value::Null;
    assert_eq!(
        sign_in(&row).tenant_id,
        None,
        "neither the workspace nor its resource"
    );
}

#[test]
fn takes_the_time_from_where_it_is() {
    let time = |created: Value, emitted: Value, context: &Context| {
        let mut record = diagnostic();
        record["properties"]["createdDateTime"] = created;
        record["time"] = emitted;
        read_in(record.to_string().as_bytes(), context).remove(0).1
    };
    let at = |item: Item<'_>| match item {
        Item::SignIn(sign_in) => (
            sign_in.time.to_string(),
            sign_in.time_generated.map(|time| time.to_string()),
        ),
        other => panic!("{other:?}"),
    };
    let none = Context::default();
    let enqueued = Context {
        enqueued: Timestamp::parse("2026-11-24T09:00:00Z").ok(),
        ..Context::default()
    };
    let us = "2025-11-14T01:48:53.0000000Z".to_owned();
    assert_eq!(
        at(time(json!(""), json!("11/14/2025 1:48:53 AM"), &none)),
        (us.clone(), Some(us.clone()))
    );
    assert_eq!(
        at(time(json!("soon"), json!("11/14/2025 1:48:53 AM"), &none)),
        (us.clone(), Some(us))
    );
    assert_eq!(
        at(time(json!("soon"), json!(7), &enqueued)),
        ("2026-11-24T09:00:00.0000000Z".to_owned(), None)
    );
    let reject = |item: Item<'_>| match item {
        Item::Reject(reject) => reject.error.to_string(),
        other => panic!("{other:?}"),
    };
    assert_eq!(
        reject(time(Value::Null, Value::Null, &none)),
        "a sign-in without a time"
    );
    let long = reject(time(json!("x".repeat(500)), Value::Null, &none));
    assert!(
        long.starts_with("a sign-in without a usable time: `xxx") && long.len() < 200,
        "{long}"
    );
}

#[test]
fn takes_the_address_from_where_it_is() {
    let addresses = |inner: Value, caller: Value| {
        let mut record = diagnostic();
        record["properties"]["ipAddress"] = inner;
        record["callerIpAddress"] = caller;
        let sign_in = sign_in(&record);
        (
            sign_in.ip.map(|ip| ip.to_string()),
            sign_in.caller_ip.map(|ip| ip.to_string()),
        )
    };
    let some = |text: &str| Some(text.to_owned());
    let a = "203.0.113.9";
    let b = "2001:db8::9";
    assert_eq!(addresses(json!(a), json!(b)), (some(a), some(b)));
    assert_eq!(addresses(json!(""), json!(b)), (some(b), some(b)));
    assert_eq!(
        addresses(json!("<null>"), json!("203.0.113.9:443")),
        (some(a), some(a))
    );
    assert_eq!(
        addresses(json!("::ffff:203.0.113.9"), Value::Null),
        (some(a), None)
    );
    assert_eq!(addresses(json!("0.0.0.0"), json!("<null>")), (None, None));
    assert_eq!(addresses(json!([a]), json!({"a": 1})), (None, None));
}

#[test]
fn takes_the_outcome_from_where_it_is() {
    let outcome = |result: Value, status: Value| {
        let mut record = diagnostic();
        record["resultType"] = result;
        record["properties"]["status"] = status;
        let sign_in = sign_in(&record);
        (sign_in.outcome, sign_in.result_code.map(Cow::into_owned))
    };
    let code = |text: &str| Some(text.to_owned());
    let status = |code: i64| json!({"errorCode": code});
    assert_eq!(outcome(json!(0), status(7)), (Outcome::Success, code("0")));
    assert_eq!(
        outcome(json!(7000222), status(0)),
        (Outcome::Failure, code("7000222"))
    );
    assert_eq!(
        outcome(json!("53003"), status(0)),
        (Outcome::BlockedByCa, code("53003"))
    );
    assert_eq!(
        outcome(json!(""), status(7000215)),
        (Outcome::Failure, code("7000215"))
    );
    assert_eq!(
        outcome(Value::Null, json!("{\"errorCode\":\"0\"}")),
        (Outcome::Success, code("0"))
    );
    assert_eq!(outcome(json!({}), json!([])), (Outcome::Success, None));
}

#[test]
fn knows_nothing_where_nothing_is_said() {
    let mut record = diagnostic();
    record["category"] = json!("ManagedIdentitySignInLogs");
    for gone in ["callerIpAddress", "location"] {
        record.as_object_mut().unwrap().remove(gone);
    }
    let properties = &mut record["properties"];
    properties["ipAddress"] = json!("");
    properties["location"] = json!({"city": "", "state": "", "countryOrRegion": "",
        "geoCoordinates": {"latitude": 0.0, "longitude": 0.0}});
    properties["servicePrincipalCredentialKeyId"] = json!("none");
    properties["federatedCredentialId"] = json!("");
    properties["clientCredentialType"] = json!("none");
    let quiet = sign_in(&record);
    assert_eq!((quiet.ip, quiet.caller_ip), (None, None));
    assert_eq!((quiet.country, quiet.state, quiet.city), (None, None, None));
    assert_eq!(
        (
            quiet.credential_key_id,
            quiet.federated_credential_id,
            quiet.credential_type
        ),
        (None, None, None)
    );

    record["properties"]["location"] = json!({"geoCoordinates": {}});
    record["location"] = json!("North Europe");
    assert_eq!(
        sign_in(&record).country,
        None,
        "an Azure region is no country"
    );
    record["location"] = json!("se");
    assert_eq!(sign_in(&record).country.as_deref(), Some("SE"));
}

#[test]
fn asks_for_something_to_select_by() {
    let mut record = diagnostic();
    for gone in ["appId", "servicePrincipalId", "servicePrincipalName"] {
        record["properties"][gone] = json!("");
    }
    let error = error_of(record.to_string().as_bytes());
    assert_eq!(
        error,
        "a sign-in with neither app id, service principal id nor name"
    );
    record["properties"]["appDisplayName"] = json!("AADReporting");
    assert_eq!(sign_in(&record).name.as_deref(), Some("AADReporting"));
}

#[test]
fn the_last_of_duplicate_keys_counts() {
    let text = format!(
        r#"{{"category":"SignInLogs","Category":"ServicePrincipalSignInLogs","properties":{{"ipAddress":"203.0.113.1"}},
        "properties":{{"appId":"x","appId":"{APP}","createdDateTime":"2026-11-24T08:15:00Z"}}}}"#
    );
    let sign_in = sign_in_of(text.as_bytes(), &Context::default());
    assert_eq!(
        (sign_in.app_id.unwrap().to_string().as_str(), sign_in.ip),
        (APP, None)
    );
}

#[test]
fn identifies_redelivered_records() {
    let key = |record: &Value| sign_in(record).key;
    let mut again = diagnostic();
    again["time"] = json!("2026-11-24T08:30:00Z");
    assert_eq!(key(&again), key(&diagnostic()));
    again["properties"]["id"] = json!(ID.to_uppercase());
    assert_eq!(key(&again), key(&diagnostic()));

    for (mut record, column) in [(diagnostic(), "time"), (row(), "TimeGenerated")] {
        match record.get_mut("properties") {
            Some(properties) => properties["id"] = json!(""),
            None => record["Id"] = json!(""),
        }
        let first = key(&record);
        let pretty = serde_json::to_string_pretty(&record).unwrap();
        assert_eq!(
            sign_in_of(pretty.as_bytes(), &Context::default()).key,
            first
        );
        record[column] = json!("2026-11-24T08:30:00Z");
        assert_eq!(key(&record), first, "{column} does not count");
        let sign_in = sign_in(&record);
        assert_eq!((sign_in.id.clone(), sign_in.id_text().len()), (None, 32));
        match record.get_mut("properties") {
            Some(properties) => properties["ipAddress"] = json!("203.0.113.10"),
            None => record["IPAddress"] = json!("203.0.113.10"),
        }
        assert_ne!(key(&record), first);
    }
}

#[test]
fn rejects_what_is_no_record() {
    let table: [(&[u8], &str); 12] = [
        (b"{}", "no category"),
        (b"{\"a\":{\"category\":\"x\"}}", "not an Entra log record"),
        (b"{\"properties\":{}}", "no category"),
        (
            b"{\"records\":5}",
            "`records` is a number, not an array of records",
        ),
        (
            b"{\"records\":\"x\"}",
            "`records` is a text, but not of a JSON array",
        ),
        (b"[7]", "expected a record (a JSON object), found a number"),
        (
            b"\"text\"",
            "expected a record (a JSON object), found a string",
        ),
        (
            b"garbage",
            "invalid JSON at line 1, column 1 (byte 0): expected a value, found `g`",
        ),
        (b"{'a':1}", "JSON has double quotes only"),
        (b"{\"a\":\0}", "found a NUL byte"),
        (b"\xff\xfe{\0}\0", "UTF-16"),
        (b"\x1f\x8b\x08\n\n\n\n", "gzip"),
    ];
    for (text, expected) in table {
        let error = error_of(text);
        assert!(error.contains(expected), "{error}");
    }
    for text in [
        "",
        " \r\n\t",
        "\u{feff}",
        "[]",
        "{\"records\":[]}",
        "{\"value\":[]}\n{\"records\":[]}",
    ] {
        assert_eq!(read(text.as_bytes()), [], "{text:?}");
    }
    let mut record = diagnostic();
    record["properties"] = json!("{\"a\":}");
    assert!(
        error_of(record.to_string().as_bytes())
            .contains("`properties` is a text, but not of a JSON object")
    );
}

#[test]
fn a_deep_record_is_one_reject() {
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(20_000), "]".repeat(20_000));
    let text = format!("{{\"records\":[{0},{deep},{0}]}}", diagnostic());
    let items = read(text.as_bytes());
    assert!(
        matches!(&items[..], [Item::SignIn(_), Item::Reject(reject), Item::SignIn(_)]
        if reject.error.to_string().ends_with("nested deeper than 128") && reject.body == deep.as_bytes())
    );
    assert!(error_of("[".repeat(20_000).as_bytes()).len() < 200);
}

#[test]
fn counts_lines_and_records() {
    let pretty = serde_json::to_string_pretty(&json!({"records": [diagnostic(), 7]})).unwrap();
    let text = format!("\n{pretty}\n{pretty}\n");
    let positions: Vec<_> = read_in(text.as_bytes(), &Context::default())
        .iter()
        .map(|(position, _)| (position.record, position.line))
        .collect();
    let lines = pretty.lines().count() as u64;
    let last = lines - 2;
    assert_eq!(
        positions,
        [(1, 4), (2, 1 + last), (3, 4 + lines), (4, 1 + lines + last)]
    );

    let lines = format!("{}\n\n[7,{}]\r\n8\n", diagnostic(), diagnostic());
    let positions: Vec<_> = read_in(lines.as_bytes(), &Context::default())
        .iter()
        .map(|(position, _)| (position.record, position.line))
        .collect();
    assert_eq!(positions, [(1, 1), (2, 3), (3, 3), (4, 4)]);
}

#[test]
fn reads_documents_one_after_another() {
    let pretty = serde_json::to_string_pretty(&diagnostic()).unwrap();
    let compact = json!([diagnostic(), diagnostic()]).to_string();
    for text in [
        format!("{pretty}{pretty}\n{compact}"),
        format!("{compact}\n\u{feff}{pretty}"),
        format!("{pretty}\r\n\u{feff}{compact}"),
        format!("{compact}{pretty}"),
        format!("{compact},\n{pretty},\n"),
    ] {
        let sign_ins = read(text.as_bytes());
        assert!(
            sign_ins.iter().all(|item| matches!(item, Item::SignIn(_))),
            "{sign_ins:?}"
        );
        assert!(matches!(sign_ins.len(), 3 | 4));
    }
}

#[test]
fn reads_blocks_of_lines_as_one_text() {
    let line = format!("{}\n", json!({"records": [diagnostic(), 7]}));
    let mut items = Vec::new();
    let first = read_lines(
        line.as_bytes(),
        Offset::default(),
        &Context::default(),
        &mut Habit::default(),
        &mut |_, _| {},
    );
    let second = read_lines(
        b"{oops\n",
        first,
        &Context::default(),
        &mut Habit::default(),
        &mut |position, item| {
            items.push((position, owned(item)));
        },
    );
    let bytes = line.len() as u64;
    assert_eq!((first.records, first.lines, first.bytes), (2, 1, bytes));
    assert_eq!(
        (second.records, second.lines, second.bytes),
        (3, 2, bytes + 6)
    );
    let (position, Item::Reject(reject)) = &items[0] else {
        panic!("{items:?}");
    };
    assert_eq!((position.record, position.line), (3, 2));
    let expected = format!(
        "invalid JSON at line 2, column 2 (byte {}): expected a key",
        bytes + 1
    );
    assert!(
        reject.error.to_string().starts_with(&expected),
        "{}",
        reject.error
    );
}

#[test]
fn an_allowed_sign_in_borrows() {
    let mut record = diagnostic();
    record["properties"]["servicePrincipalName"] = json!("nightly");
    let text = record.to_string();
    let mut borrowed = false;
    read_text(
        text.as_bytes(),
        &Context::default(),
        &mut Habit::default(),
        &mut |_, item| {
            if let Item::SignIn(sign_in) = item {
                borrowed = [
                    &sign_in.id,
                    &sign_in.name,
                    &sign_in.country,
                    &sign_in.city,
                    &sign_in.result_code,
                ]
                .iter()
                .all(|text| matches!(text, Some(Cow::Borrowed(_))));
                assert_eq!(sign_in.ip, Some(IpAddr::from([203, 0, 113, 9])));
            }
        },
    );
    assert!(borrowed);
}
