//! The five writers: one log, in the forms that people hold it in.

use std::fmt::Write as _;
use std::io::Write as _;

use flate2::{Compression, write::GzEncoder};
use serde_json::{Map, Value, json};

use super::model::{Item, Kind, LogFile, Record, Shape};

const WORKSPACE: &str = "99999999-8888-7777-6666-555555555555";

/// The file as bytes, and the name it gets.
pub(super) fn write(file: &LogFile) -> (Vec<u8>, &'static str) {
    match file.shape {
        Shape::Envelopes => (envelopes(file), "envelopes.log"),
        Shape::GzipLines => (gzip_lines(file), "PT1H.json.gz"),
        Shape::Pretty => (pretty(file), "pretty.json"),
        Shape::Rows => (rows(file), "query.json"),
        Shape::Csv => (csv(file), "query.csv"),
        Shape::Graph => (graph(file), "signins.json"),
    }
}

/// Byte order mark, then `{"records":[…]}` documents: one a line, or run together.
fn envelopes(file: &LogFile) -> Vec<u8> {
    let one_a_line = file.style & 1 == 0;
    let chunk = 1 + (file.style >> 8) as usize % 6;
    let mut out = String::from("\u{feff}");
    let mut pending: Vec<Value> = Vec::new();
    let flush = |pending: &mut Vec<Value>, out: &mut String| {
        let document = json!({ "records": std::mem::take(pending) });
        out.push_str(&text(&document, file.style));
        if one_a_line {
            out.push('\n');
        }
    };
    for item in &file.items {
        match item {
            Item::Record(record) => pending.push(recase(diagnostic(record), file.style)),
            Item::Junk(value) => pending.push(value.clone()),
            Item::Broken(text) if one_a_line => {
                flush(&mut pending, &mut out);
                out.push_str(text);
                out.push('\n');
            }
            // Run together, a broken document has no end of its own.
            Item::Broken(_) => pending.push(Value::Null),
        }
        if pending.len() >= chunk {
            flush(&mut pending, &mut out);
        }
    }
    flush(&mut pending, &mut out);
    out.into_bytes()
}

/// A storage archive: gzip in one or more members, a record a line, CRLF.
fn gzip_lines(file: &LogFile) -> Vec<u8> {
    let mut out = Vec::new();
    let members = 1 + (file.style & 1) as usize;
    let mut bytes = lines(file).into_bytes();
    let rest = bytes.split_off(bytes.len() / members);
    for part in [bytes, rest] {
        let mut gzip = GzEncoder::new(&mut out, Compression::fast());
        gzip.write_all(&part).unwrap();
        gzip.finish().unwrap();
    }
    out
}

fn lines(file: &LogFile) -> String {
    let mut out = String::new();
    if file.style >> 2 & 7 == 0 {
        out.push('\u{feff}');
    }
    for item in &file.items {
        match item {
            Item::Record(record) => {
                let value = recase(diagnostic(record), file.style);
                out.push_str(&text(&value, file.style));
            }
            Item::Junk(value) => out.push_str(&value.to_string()),
            Item::Broken(broken) => out.push_str(broken),
        }
        out.push_str("\r\n");
        if out.len().is_multiple_of(7) {
            out.push_str("\r\n");
        }
    }
    if file.style >> 5 & 3 == 0 {
        out.truncate(out.trim_end().len());
    }
    out
}

/// Pretty-printed: an envelope, or a bare array.
fn pretty(file: &LogFile) -> Vec<u8> {
    let values: Vec<Value> = file
        .items
        .iter()
        .map(|item| match item {
            Item::Record(record) => recase(diagnostic(record), file.style),
            Item::Junk(value) => value.clone(),
            Item::Broken(text) => Value::from(*text),
        })
        .collect();
    let document = if file.style & 1 == 0 {
        json!({ "records": values })
    } else {
        Value::from(values)
    };
    serde_json::to_vec_pretty(&document).unwrap()
}

/// A page of Microsoft Graph.
fn graph(file: &LogFile) -> Vec<u8> {
    let values: Vec<Value> = file
        .items
        .iter()
        .map(|item| match item {
            Item::Record(record) => {
                let mut sign_in = properties(record);
                let kind = match record.kind {
                    Kind::ManagedIdentity => "managedIdentity",
                    _ => "servicePrincipal",
                };
                sign_in.insert("signInEventTypes".to_owned(), json!([kind]));
                Value::Object(sign_in)
            }
            Item::Junk(value) => value.clone(),
            Item::Broken(text) => Value::from(*text),
        })
        .collect();
    let page = json!({ "@odata.context": "https://graph.microsoft.com/beta/$metadata#auditLogs/signIns", "value": values });
    text(&page, file.style).into_bytes()
}

/// A Log Analytics query result: an array, or a row a line.
fn rows(file: &LogFile) -> Vec<u8> {
    let values: Vec<Value> = file
        .items
        .iter()
        .map(|item| match item {
            Item::Record(record) => Value::Object(row(record)),
            Item::Junk(value) => value.clone(),
            Item::Broken(text) => Value::from(*text),
        })
        .collect();
    match file.style & 3 {
        0 => text(&Value::from(values), file.style).into_bytes(),
        1 => serde_json::to_vec_pretty(&values).unwrap(),
        _ => {
            let lines: Vec<String> = values.iter().map(|row| text(row, file.style)).collect();
            lines.join("\n").into_bytes()
        }
    }
}

/// The same rows as a download.
fn csv(file: &LogFile) -> Vec<u8> {
    const COLUMNS: [&str; 22] = [
        "TenantId",
        "TimeGenerated",
        "CreatedDateTime",
        "Category",
        "Type",
        "Id",
        "AADTenantId",
        "AppId",
        "ServicePrincipalId",
        "ServicePrincipalName",
        "AppOwnerTenantId",
        "ResultType",
        "IPAddress",
        "Location",
        "LocationDetails",
        "ResourceDisplayName",
        "ResourceIdentity",
        "ServicePrincipalCredentialKeyId",
        "FederatedCredentialId",
        "ClientCredentialType",
        "CorrelationId",
        "UniqueTokenIdentifier",
    ];
    let portal = file.style & 1 == 0;
    let mut writer = csv::WriterBuilder::new()
        .terminator(csv::Terminator::CRLF)
        .from_writer(if file.style & 2 == 0 {
            "\u{feff}".as_bytes().to_vec()
        } else {
            Vec::new()
        });
    writer
        .write_record(COLUMNS.map(|name| match name {
            "TimeGenerated" if portal => "TimeGenerated [UTC]",
            "CreatedDateTime" if portal => "CreatedDateTime [UTC]",
            _ => name,
        }))
        .unwrap();
    for item in &file.items {
        let Item::Record(record) = item else { continue };
        let row = row(record);
        let cells = COLUMNS.map(|name| match row.get(name) {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
        });
        writer.write_record(cells).unwrap();
    }
    writer.into_inner().unwrap()
}

/// Adds a field; a missing value is absent, `null` or empty, as the record's style has it.
fn put(map: &mut Map<String, Value>, style: u64, key: &str, value: Option<impl Into<Value>>) {
    let bits = key
        .bytes()
        .fold(style, |bits, byte| bits.rotate_left(7) ^ u64::from(byte));
    match value {
        Some(value) => {
            map.insert(key.to_owned(), value.into());
        }
        None => match bits % 3 {
            0 => {}
            1 => {
                map.insert(key.to_owned(), Value::Null);
            }
            _ => {
                map.insert(key.to_owned(), Value::from(""));
            }
        },
    }
}

fn result_type(record: &Record) -> Option<Value> {
    record.result_type.map(|(code, as_number)| {
        if as_number {
            Value::from(code)
        } else {
            Value::from(code.to_string())
        }
    })
}

fn category(record: &Record) -> String {
    match (record.kind, record.style >> 10 & 7) {
        (Kind::Other(name), _) => name.to_owned(),
        (kind, 0) => kind.category().to_uppercase(),
        (kind, 1) => kind.category().to_lowercase(),
        (kind, _) => kind.category().to_owned(),
    }
}

/// A diagnostic record.
fn diagnostic(record: &Record) -> Value {
    let style = record.style;
    let mut envelope = Map::new();
    let at = |stamp: &Option<super::model::Stamp>| stamp.as_ref().map(|stamp| stamp.text.clone());
    put(&mut envelope, style, "time", at(&record.emitted));
    put(&mut envelope, style, "category", Some(category(record)));
    put(
        &mut envelope,
        style,
        "operationName",
        Some("Sign-in activity"),
    );
    put(&mut envelope, style, "resultType", result_type(record));
    put(
        &mut envelope,
        style,
        "callerIpAddress",
        record.caller.text.clone(),
    );
    put(
        &mut envelope,
        style,
        "location",
        record.top_location.clone(),
    );
    put(
        &mut envelope,
        style,
        "correlationId",
        Some(format!("{style:016x}")),
    );
    let spot = style >> 20 & 3;
    let is_guid = record.tenant.as_ref().is_some_and(|t| t.len() == 36);
    match &record.tenant {
        Some(tenant) if spot == 0 && is_guid => {
            let path = format!("/tenants/{tenant}/providers/Microsoft.aadiam");
            let path = if style >> 22 & 1 == 0 {
                path
            } else {
                path.to_uppercase()
            };
            put(&mut envelope, style, "resourceId", Some(path));
            put(&mut envelope, style, "tenantId", None::<String>);
        }
        Some(tenant) => {
            put(&mut envelope, style, "tenantId", Some(tenant.clone()));
            if spot == 1 {
                let path = format!("/tenants/{tenant}/providers/Microsoft.aadiam");
                put(&mut envelope, style, "resourceId", Some(path));
            }
        }
        None => {
            put(&mut envelope, style, "tenantId", None::<String>);
            put(&mut envelope, style, "resourceId", None::<String>);
        }
    }
    envelope.insert("Level".to_owned(), json!(4));

    envelope.insert("properties".to_owned(), Value::Object(properties(record)));
    Value::Object(envelope)
}

/// The sign-in proper, as diagnostic records and Microsoft Graph have it.
fn properties(record: &Record) -> Map<String, Value> {
    let style = record.style;
    let at = |stamp: &Option<super::model::Stamp>| stamp.as_ref().map(|stamp| stamp.text.clone());
    let mut inner = Map::new();
    put(&mut inner, style, "id", record.id.clone());
    put(&mut inner, style, "createdDateTime", at(&record.created));
    put(&mut inner, style, "appId", record.app_id.clone());
    put(
        &mut inner,
        style,
        "appDisplayName",
        record.app_display_name.clone(),
    );
    put(
        &mut inner,
        style,
        "servicePrincipalId",
        record.service_principal_id.clone(),
    );
    put(
        &mut inner,
        style,
        "servicePrincipalName",
        record.service_principal_name.clone(),
    );
    put(
        &mut inner,
        style,
        "appOwnerTenantId",
        record.owner_tenant.clone(),
    );
    put(
        &mut inner,
        style,
        "resourceDisplayName",
        record.resource.clone(),
    );
    put(&mut inner, style, "resourceId", record.resource_id.clone());
    put(&mut inner, style, "ipAddress", record.ip.text.clone());
    put(
        &mut inner,
        style,
        "servicePrincipalCredentialKeyId",
        record.key_id.clone(),
    );
    put(
        &mut inner,
        style,
        "federatedCredentialId",
        record.federated_id.clone(),
    );
    put(
        &mut inner,
        style,
        "clientCredentialType",
        record.credential_word,
    );
    put(
        &mut inner,
        style,
        "uniqueTokenIdentifier",
        Some(format!("{style:x}")),
    );
    if let Some(code) = record.error_code {
        let code = if style >> 51 & 7 == 0 {
            json!(code.to_string())
        } else {
            json!(code)
        };
        inner.insert("status".to_owned(), json!({ "errorCode": code }));
    }
    if let Some(place) = place(record) {
        inner.insert("location".to_owned(), place);
    }
    // Neighbours with names of their own that must not be mistaken for the record's.
    if style >> 50 & 1 == 0 {
        let nested = json!({ "id": "nested", "appId": "nested", "ipAddress": "1.1.1.1" });
        inner.insert(
            "appliedConditionalAccessPolicies".to_owned(),
            json!([nested]),
        );
        inner.insert("managedServiceIdentity".to_owned(), nested);
    }
    inner
}

fn place(record: &Record) -> Option<Value> {
    let nothing = record.country.is_none() && record.state.is_none() && record.city.is_none();
    if nothing && record.style >> 30 & 1 == 0 {
        return None;
    }
    let mut place = Map::new();
    put(&mut place, record.style, "city", record.city.clone());
    put(&mut place, record.style, "state", record.state.clone());
    put(
        &mut place,
        record.style,
        "countryOrRegion",
        record.country.clone(),
    );
    place.insert(
        "geoCoordinates".to_owned(),
        json!({"latitude": 0.0, "longitude": 0.0}),
    );
    Some(Value::Object(place))
}

/// A Log Analytics row.
fn row(record: &Record) -> Map<String, Value> {
    let style = record.style;
    let mut row = Map::new();
    let at = |stamp: &Option<super::model::Stamp>| stamp.as_ref().map(|stamp| stamp.text.clone());
    let (category, table) = match record.kind {
        Kind::Audit => ("ApplicationManagement".to_owned(), "AuditLogs"),
        Kind::Other(name) => (name.to_owned(), "AADOtherSignInLogs"),
        Kind::ServicePrincipal => (category(record), "AADServicePrincipalSignInLogs"),
        Kind::ManagedIdentity => (category(record), "AADManagedIdentitySignInLogs"),
        Kind::MicrosoftServicePrincipal => {
            (category(record), "MicrosoftServicePrincipalSignInLogs")
        }
    };
    put(&mut row, style, "TenantId", Some(WORKSPACE));
    put(&mut row, style, "TimeGenerated", at(&record.emitted));
    put(&mut row, style, "CreatedDateTime", at(&record.created));
    put(&mut row, style, "Category", Some(category));
    put(&mut row, style, "Type", Some(table));
    put(&mut row, style, "Id", record.id.clone());
    put(&mut row, style, "AADTenantId", record.tenant.clone());
    put(&mut row, style, "AppId", record.app_id.clone());
    put(
        &mut row,
        style,
        "ServicePrincipalId",
        record.service_principal_id.clone(),
    );
    put(
        &mut row,
        style,
        "ServicePrincipalName",
        record.service_principal_name.clone(),
    );
    put(
        &mut row,
        style,
        "AppOwnerTenantId",
        record.owner_tenant.clone(),
    );
    put(&mut row, style, "ResultType", result_type(record));
    put(&mut row, style, "IPAddress", record.ip.text.clone());
    put(&mut row, style, "Location", record.top_location.clone());
    let details = place(record).map(|place| {
        if style >> 31 & 1 == 0 {
            Value::from(place.to_string())
        } else {
            place
        }
    });
    put(&mut row, style, "LocationDetails", details);
    put(
        &mut row,
        style,
        "ResourceDisplayName",
        record.resource.clone(),
    );
    put(
        &mut row,
        style,
        "ResourceIdentity",
        record.resource_id.clone(),
    );
    put(
        &mut row,
        style,
        "ServicePrincipalCredentialKeyId",
        record.key_id.clone(),
    );
    put(
        &mut row,
        style,
        "FederatedCredentialId",
        record.federated_id.clone(),
    );
    put(
        &mut row,
        style,
        "ClientCredentialType",
        record.credential_word,
    );
    put(
        &mut row,
        style,
        "CorrelationId",
        Some(format!("{style:016x}")),
    );
    put(
        &mut row,
        style,
        "UniqueTokenIdentifier",
        Some(format!("{style:x}")),
    );
    row
}

/// JSON as other producers write it: keys in another order, text escaped, blanks between.
fn text(value: &Value, style: u64) -> String {
    let mut out = String::new();
    put_text(value, style, &mut out);
    out
}

fn put_text(value: &Value, style: u64, out: &mut String) {
    let blank = if style >> 41 & 3 == 0 { " " } else { "" };
    match value {
        Value::Object(map) => {
            let mut pairs: Vec<(&String, &Value)> = map.iter().collect();
            if style >> 40 & 1 == 0 {
                pairs.reverse();
            }
            out.push('{');
            for (index, (key, value)) in pairs.into_iter().enumerate() {
                if index > 0 {
                    out.push(',');
                    out.push_str(blank);
                }
                put_string(key, style >> 46 & 7 == 0, false, out);
                out.push_str(blank);
                out.push(':');
                out.push_str(blank);
                put_text(value, style, out);
            }
            out.push('}');
        }
        Value::Array(values) => {
            out.push('[');
            for (index, value) in values.iter().enumerate() {
                if index > 0 {
                    out.push_str(blank);
                    out.push(',');
                }
                put_text(value, style, out);
            }
            out.push(']');
        }
        Value::String(text) => put_string(text, style >> 46 & 7 == 1, style >> 43 & 1 == 0, out),
        other => out.push_str(&other.to_string()),
    }
}

/// A string, with what is not ASCII, or everything, as `\u` escapes.
fn put_string(text: &str, all: bool, ascii: bool, out: &mut String) {
    if !all && !ascii {
        out.push_str(&Value::from(text).to_string());
        return;
    }
    out.push('"');
    for unit in text.encode_utf16() {
        match u8::try_from(unit) {
            Ok(b'/') => out.push_str("\\/"),
            Ok(byte @ (b' '..=b'~')) if !all && byte != b'"' && byte != b'\\' => {
                out.push(char::from(byte));
            }
            _ => {
                let _ = write!(out, "\\u{unit:04x}");
            }
        }
    }
    out.push('"');
}

/// Keys as some forwarders leave them: as they are, lower-cased, or with a capital.
fn recase(value: Value, style: u64) -> Value {
    let key_case: fn(&str) -> String = match style >> 4 & 7 {
        0 | 1 => str::to_lowercase,
        2 => |key| {
            let (first, rest) = key.split_at(1);
            first.to_uppercase() + rest
        },
        _ => return value,
    };
    fn walk(value: Value, key_case: fn(&str) -> String) -> Value {
        match value {
            Value::Object(map) => Value::Object(
                map.into_iter()
                    .map(|(key, value)| (key_case(&key), walk(value, key_case)))
                    .collect(),
            ),
            other => other,
        }
    }
    walk(value, key_case)
}
