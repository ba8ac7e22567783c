//! The table of `check` against the Sentinel query that it replaces.
//!
//! The query is read here by hand, from the records: no code of spwatch has a part in it.

use std::fs;

use serde_json::{Value, json};

use crate::binary::run;

const POLICY: &str = r#"
version = 1
[[app]]
name = "MTPAPI"
match = { name_contains = "MTPAPI" }
allow.ips = ["203.0.113.7"]
"#;

fn record(number: usize, name: &str, ip: &str, place: [&str; 3], code: &str) -> Value {
    json!({
        "time": format!("2026-11-24T08:{number:02}:00.1234567Z"),
        "category": "ServicePrincipalSignInLogs",
        "tenantId": "11111111-2222-3333-4444-555555555555",
        "resultType": code,
        "callerIpAddress": ip,
        "properties": {
            "id": format!("00000000-0000-0000-0000-{number:012}"),
            "createdDateTime": format!("2026-11-24T08:{:02}:30+00:00", number - 1),
            "appId": "00000000-1111-2222-3333-444444444444",
            "servicePrincipalId": "99999999-1111-2222-3333-444444444444",
            "servicePrincipalName": name,
            "ipAddress": ip,
            "location": { "countryOrRegion": place[0], "state": place[1], "city": place[2] },
        },
    })
}

fn records() -> Vec<Value> {
    let home = ["CH", "Zurich", "Zurich"];
    let away = ["RU", "Moskva", "Moskva"];
    vec![
        record(1, "MTPAPI", "203.0.113.7", home, "0"),
        record(2, "MTPAPI", "203.0.113.8", home, "0"),
        record(3, "contoso-mtpapi-test", "198.51.100.4", away, "0"),
        record(4, "Other", "198.51.100.4", away, "0"),
        record(5, "MTPAPI", "198.51.100.4", away, "7000215"),
        record(6, "xMtPaPix", "2001:db8::9", ["", "", ""], "0"),
        record(7, "MTPAPI", "", ["", "", ""], "0"),
    ]
}

/// `where ServicePrincipalName contains "MTPAPI" | where IPAddress != "203.0.113.7"
/// | extend countryOrRegion, state, city from LocationDetails
/// | project TimeGenerated, ServicePrincipalName, countryOrRegion, state, city, IPAddress`
fn query(records: &[Value]) -> Vec<Vec<String>> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    records
        .iter()
        .map(|record| (&record["time"], &record["properties"]))
        // KQL's `contains` takes no heed of case.
        .filter(|(_, row)| {
            text(&row["servicePrincipalName"])
                .to_lowercase()
                .contains("mtpapi")
        })
        .filter(|(_, row)| row["ipAddress"] != "203.0.113.7")
        .map(|(time, row)| {
            let location = &row["location"];
            vec![
                text(time),
                text(&row["servicePrincipalName"]),
                text(&location["countryOrRegion"]),
                text(&location["state"]),
                text(&location["city"]),
                text(&row["ipAddress"]),
            ]
        })
        .collect()
}

#[test]
fn the_table_has_the_rows_and_columns_of_the_query() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("policy.toml"), POLICY).unwrap();
    fs::write(
        folder.path().join("log.json"),
        json!({ "records": records() }).to_string(),
    )
    .unwrap();
    let ran = run(folder.path(), &["check", "log.json"]);
    assert_eq!(ran.code, Some(10), "{}", ran.text());
    // The table ends at an empty line; below it are the apps that no entry selects.
    let table: Vec<Vec<String>> = ran
        .stdout
        .lines()
        .take_while(|line| !line.is_empty())
        .map(|line| {
            line.split("  ")
                .map(str::trim)
                .filter(|cell| !cell.is_empty())
        })
        // An empty value is shown as a dash.
        .map(|cells| {
            cells
                .map(|cell| {
                    if cell == "-" {
                        String::new()
                    } else {
                        cell.to_owned()
                    }
                })
                .collect()
        })
        .collect();
    let columns = [
        "TimeGenerated",
        "ServicePrincipalName",
        "countryOrRegion",
        "state",
        "city",
        "IPAddress",
    ];
    assert_eq!(table[0], columns);
    let expected = query(&records());
    assert_eq!(expected.len(), 5);
    assert_eq!(table[1..], expected);
    assert!(ran.stdout.contains("\nUnlisted app"), "{}", ran.stdout);
}
