//! Which entry a sign-in falls under: by example, and against a naive scan.

use proptest::prelude::*;
use uuid::Uuid;

use super::super::choose::Chooser;
use super::super::entry::{Entry, Line, Selectors, lower_name};
use super::{id, policy, sign_in};
use crate::sign_in::SignIn;

const A: &str = "00000000-0000-0000-0000-00000000000a";
const B: &str = "00000000-0000-0000-0000-00000000000b";

#[test]
fn the_most_specific_selector_wins() {
    let policy = policy(&format!(
        "version = 1
[[app]]
name = \"part\"
match = {{ name_contains = \"api\" }}
[[app]]
name = \"longer part\"
match = {{ name_contains = \"My API\" }}
[[app]]
name = \"as long, later\"
match = {{ name_contains = \"API v2\" }}
[[app]]
name = \"whole\"
match = {{ name = \"my api v2\" }}
[[app]]
name = \"app\"
app_id = \"{A}\"
[[app]]
name = \"app and name\"
app_id = \"{A}\"
match = {{ name = \"Straße\" }}
[[app]]
name = \"app and part\"
app_id = \"{A}\"
match = {{ name_contains = \"ÄÖ\" }}
[[app]]
name = \"principal and name\"
service_principal_id = \"{B}\"
match = {{ name = \"x\" }}
"
    ));
    let table = [
        (A, A, "x", Some("app")),
        (A, A, "STRASSE", Some("app")),
        (A, A, "STRAßE", Some("app and name")),
        (A, A, "die äöü", Some("app and part")),
        (B, A, "x", Some("principal and name")),
        (B, A, "y", Some("app")),
        (B, B, "x", Some("principal and name")),
        (B, B, "MY API V2", Some("whole")),
        (B, B, "MY API V2!", Some("longer part")),
        (B, B, "the API v2", Some("as long, later")),
        (B, B, "rapid", Some("part")),
        (B, B, "räpid API", Some("part")),
        (B, B, "none", None),
        ("text", "text", "none", None),
    ];
    for (principal, app, name, expected) in table {
        let mut made = sign_in();
        made.service_principal_id = id(principal);
        made.app_id = id(app);
        made.name = Some(name.into());
        let judgement = policy.judge(&made);
        let got = judgement.app.map(|app| app.name.as_str());
        assert_eq!(got, expected, "{principal} {app} {name}");
    }
}

fn entry(selectors: Selectors) -> Entry {
    Entry {
        asked: 0,
        selectors,
        line: Line { file: 0, line: 1 },
        allow_ips: None,
        allow_places: None,
        allow_resources: None,
        allow_types: None,
        deny_ips: None,
        deny_places: None,
        credentials: Vec::new(),
        exceptions: Vec::new(),
    }
}

/// Every entry tried, by the words of the contract.
fn naive(entries: &[Entry], sign_in: &SignIn<'_>) -> Option<usize> {
    let name = sign_in.name.as_deref().map(lower_name);
    let guid = |id: &Option<crate::sign_in::Id<'_>>| id.as_ref().and_then(|id| id.guid());
    let mut best: Option<(usize, [usize; 4])> = None;
    for (index, entry) in entries.iter().enumerate() {
        let s = &entry.selectors;
        let holds = (s.service_principal_id.is_none()
            || s.service_principal_id == guid(&sign_in.service_principal_id))
            && (s.app_id.is_none() || s.app_id == guid(&sign_in.app_id))
            && s.name
                .as_deref()
                .is_none_or(|wanted| name.as_deref() == Some(wanted))
            && s.contains
                .as_deref()
                .is_none_or(|part| name.as_deref().is_some_and(|name| name.contains(part)));
        let any = s.service_principal_id.is_some()
            || s.app_id.is_some()
            || s.name.is_some()
            || s.contains.is_some();
        if !holds || !any {
            continue;
        }
        let rank = [
            usize::from(s.service_principal_id.is_some()),
            usize::from(s.app_id.is_some()),
            usize::from(s.name.is_some()),
            s.contains.as_deref().map_or(0, |part| part.chars().count()),
        ];
        if best.is_none_or(|(_, other)| rank > other) {
            best = Some((index, rank));
        }
    }
    best.map(|(index, _)| index)
}

fn guid() -> impl Strategy<Value = Option<Uuid>> {
    prop::option::of((0u128..4).prop_map(Uuid::from_u128))
}

fn name() -> impl Strategy<Value = String> {
    // Letters that fold in their own ways, few enough to meet.
    "[aAäÄßẞσΣςİK k]{1,4}"
}

proptest! {
    #[test]
    fn agrees_with_a_naive_scan(
        selectors in prop::collection::vec((guid(), guid(), prop::option::of(name()), prop::option::of(name())), 0..12),
        principal in guid(),
        app in guid(),
        display in prop::option::of("[aAäÄßẞσΣςİK k]{0,6}|[ak]{250,300}"),
    ) {
        let entries: Vec<_> = selectors
            .into_iter()
            .map(|(service_principal_id, app_id, name, contains)| entry(Selectors {
                service_principal_id,
                app_id,
                name: name.map(|name| lower_name(&name).into()),
                contains: contains.map(|part| lower_name(&part).into()),
            }))
            .collect();
        let chooser = Chooser::build(&entries).unwrap();
        let mut made = sign_in();
        made.service_principal_id = principal.map(crate::sign_in::Id::Guid);
        made.app_id = app.map(crate::sign_in::Id::Guid);
        made.name = display.map(Into::into);
        prop_assert_eq!(chooser.choose(&entries, &made), naive(&entries, &made));
    }
}
