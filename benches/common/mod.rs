//! Sign-in logs and policies made by the benches: the same each time, with known answers.

use std::fmt::Write as _;

use uuid::Uuid;

/// A random number for each number, the same each time (SplitMix64).
fn scattered(number: u64) -> u64 {
    let mut state = number.wrapping_add(0x9E37_79B9_7F4A_7C15);
    state = (state ^ state >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    state = (state ^ state >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    state ^ state >> 31
}

fn guid(kind: u64, number: u64) -> Uuid {
    Uuid::from_u64_pair(
        scattered(kind << 48 | number),
        scattered(!(kind << 48 | number)),
    )
}

/// The network of an app's range: ranges of one app never touch.
fn network(app: u64, range: u64) -> [u8; 3] {
    let [.., a, b] = (range as u16).wrapping_mul(2).to_be_bytes();
    [20 + (app % 100) as u8, a, b]
}

/// A policy of so many apps, each with so many ranges (at most 30,000) and two countries.
pub(crate) fn policy(apps: u64, ranges: u64) -> String {
    let mut text = String::from("version = 1\n");
    for app in 0..apps {
        let _ = write!(
            text,
            "[[app]]\nname = \"app-{app}\"\napp_id = \"{}\"\nallow.places = [\"CH\", \"DE\"]\nallow.ips = [",
            guid(1, app)
        );
        for range in 0..ranges {
            let [a, b, c] = network(app, range);
            let _ = write!(text, "\"{a}.{b}.{c}.0/24\", ");
        }
        text.push_str("]\n");
    }
    text
}

/// One record of a diagnostic setting, compact, as Azure Monitor writes it. Each hundredth is a violation.
pub(crate) fn record(number: u64, apps: u64, ranges: u64) -> String {
    let random = scattered(number ^ 0xA5A5);
    let app = random % apps;
    let [a, b, c] = network(app, random >> 32 & 0xFFFF_FFFF).map(u32::from);
    let [_, b2, c2] = network(app, (random >> 20) % ranges).map(u32::from);
    let ip = match number % 100 {
        99 => format!("203.{b}.{c}.{}", a % 250),
        _ => format!("{a}.{b2}.{c2}.{}", random >> 40 & 0xFF),
    };
    let (country, state, city) = match random >> 8 & 3 {
        0 => ("DE", "Hessen", "Frankfurt am Main"),
        1 => ("DE", "Bayern", "München"),
        _ => ("CH", "Zürich", "Zürich"),
    };
    let time = format!(
        "2026-11-{:02}T{:02}:{:02}:{:02}.{:07}Z",
        1 + number / 864_000 % 28,
        number / 36_000 % 24,
        number / 600 % 60,
        number / 10 % 60,
        random % 10_000_000
    );
    let (tenant, correlation) = (guid(2, 0), guid(3, number));
    let resource = match random >> 16 & 3 {
        0 => "Microsoft Graph",
        1 => "Azure Key Vault",
        _ => "Windows Azure Service Management API",
    };
    let details = match random >> 24 & 1 {
        0 => "[]",
        _ => {
            r#"[{"key":"Azure AD App Authentication Library","value":"Family: MSAL Library: MSAL.NetCore 4.61.3"}]"#
        }
    };
    format!(
        concat!(
            r#"{{"time":"{time}","resourceId":"/tenants/{tenant}/providers/Microsoft.aadiam","#,
            r#""operationName":"Sign-in activity","operationVersion":"1.0","category":"ServicePrincipalSignInLogs","#,
            r#""tenantId":"{tenant}","resultType":"0","resultSignature":"None","durationMs":0,"#,
            r#""callerIpAddress":"{ip}","correlationId":"{correlation}","Level":4,"location":"{country}","#,
            r#""properties":{{"id":"{id}","createdDateTime":"{time}","userDisplayName":"","userPrincipalName":"","#,
            r#""userId":"","appId":"{app_id}","appDisplayName":"app-{app}","ipAddress":"{ip}","#,
            r#""status":{{"errorCode":0}},"location":{{"city":"{city}","state":"{state}","countryOrRegion":"{country}","#,
            r#""geoCoordinates":{{"latitude":47.37,"longitude":8.54}}}},"correlationId":"{correlation}","#,
            r#""conditionalAccessStatus":"notApplied","appliedConditionalAccessPolicies":[],"#,
            r#""authenticationProcessingDetails":{details},"networkLocationDetails":"[]","#,
            r#""processingTimeInMilliseconds":{spent},"riskDetail":"none","riskLevelAggregated":"low","#,
            r#""riskLevelDuringSignIn":"low","riskState":"none","riskEventTypes":[],"riskEventTypes_v2":[],"#,
            r#""resourceDisplayName":"{resource}","resourceId":"{resource_id}","resourceTenantId":"{tenant}","#,
            r#""homeTenantId":"{tenant}","servicePrincipalId":"{principal}","servicePrincipalName":"app-{app}","#,
            r#""servicePrincipalCredentialKeyId":"{key}","uniqueTokenIdentifier":"{token:022x}","#,
            r#""resourceServicePrincipalId":"{resource_principal}","tokenIssuerType":"AzureAD","#,
            r#""crossTenantAccessType":"none"}}}}"#
        ),
        time = time,
        tenant = tenant,
        ip = ip,
        correlation = correlation,
        country = country,
        id = guid(4, number),
        app_id = guid(1, app),
        app = app,
        city = city,
        state = state,
        details = details,
        spent = 20 + random % 280,
        resource = resource,
        resource_id = guid(5, random >> 16 & 3),
        principal = guid(6, app),
        key = guid(7, app),
        token = random,
        resource_principal = guid(8, random >> 16 & 3),
    )
}

/// Records in envelopes of so many, one a line.
pub(crate) fn log(records: u64, per_line: u64, apps: u64, ranges: u64) -> String {
    let mut text = String::new();
    for number in 0..records {
        text.push_str(match number % per_line {
            0 => "{\"records\":[",
            _ => ",",
        });
        text.push_str(&record(number, apps, ranges));
        if number % per_line == per_line - 1 || number == records - 1 {
            text.push_str("]}\n");
        }
    }
    text
}

/// A record of the directory's audit log, which the same setting may send to the same hub.
fn audit(number: u64) -> String {
    let (tenant, target) = (guid(2, 0), guid(9, number));
    format!(
        concat!(
            r#"{{"time":"2026-11-01T08:00:{second:02}.0000000Z","#,
            r#""resourceId":"/tenants/{tenant}/providers/Microsoft.aadiam","operationName":"Update application","#,
            r#""operationVersion":"1.0","category":"AuditLogs","tenantId":"{tenant}","resultSignature":"None","#,
            r#""durationMs":0,"correlationId":"{correlation}","Level":4,"properties":{{"id":"Directory_{target}","#,
            r#""category":"ApplicationManagement","correlationId":"{correlation}","result":"success","#,
            r#""activityDisplayName":"Update application","activityDateTime":"2026-11-01T08:00:{second:02}.0000000Z","#,
            r#""loggedByService":"Core Directory","initiatedBy":{{"user":{{"id":"{user}","displayName":null}}}},"#,
            r#""targetResources":[{{"id":"{target}","displayName":"app-{number}","type":"Application","#,
            r#""modifiedProperties":[]}}],"additionalDetails":[]}}}}"#
        ),
        second = number % 60,
        tenant = tenant,
        correlation = guid(3, number),
        target = target,
        user = guid(10, number % 7),
        number = number,
    )
}

/// Records of two logs, taking turns, one a line.
pub(crate) fn mixed_log(records: u64) -> String {
    let line = |number: u64| match number % 2 {
        0 => record(number, 100, 3),
        _ => audit(number),
    };
    let lines: Vec<String> = (0..records).map(line).collect();
    lines.join("\n")
}
