//! What was learnt changes nothing: lines read one after the other come to what each comes to alone.

use proptest::prelude::*;

use super::*;

/// A value of any kind, often one of a few.
fn value() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        4 => prop::sample::select(vec!["\"\"", "\"a\"", "\"GB\"", "\"SignInLogs\"", "\"ServicePrincipalSignInLogs\"", "0", "1", "10", "-1.5e3", "null", "true", "false", "[]", "{}"]).prop_map(str::to_owned),
        2 => "\"[a-z0-9.:-]{0,40}\"",
        1 => "\"([a-z]|\\\\u00e9|\\\\\"|é){0,6}\"",
        1 => "\"2026-11-24T0[0-9]:15:00(\\.[0-9]{1,7})?Z\"",
        1 => "\"00000000-0000-0000-0000-00000000000[0-9a-f]\"",
        1 => "-?[0-9]{1,3}(\\.[0-9])?",
    ];
    leaf.prop_recursive(2, 8, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3)
                .prop_map(|items| format!("[{}]", items.join(","))),
            prop::collection::vec(
                (
                    prop::sample::select(vec!["city", "countryOrRegion", "state", "x"]),
                    inner
                ),
                0..4
            )
            .prop_map(|members| object(
                members
                    .into_iter()
                    .map(|(name, value)| (name, value, ""))
                    .collect()
            )),
        ]
    })
}

fn object(members: Vec<(&str, String, &str)>) -> String {
    let members: Vec<String> = members
        .into_iter()
        .map(|(name, value, blank)| {
            // The blank's own spot, one of four.
            let spots = [0, 1, 2, 3].map(|spot| {
                if spot == blank.len() / 4 {
                    blank.trim_matches('.')
                } else {
                    ""
                }
            });
            format!(
                "{}\"{name}\"{}:{}{value}{}",
                spots[0], spots[1], spots[2], spots[3]
            )
        })
        .collect();
    format!("{{{}}}", members.join(","))
}

const NAMES: [&str; 16] = [
    "time",
    "category",
    "tenantId",
    "resultType",
    "location",
    "callerIpAddress",
    "properties",
    "level",
    "records",
    "id",
    "appId",
    "ipAddress",
    "createdDateTime",
    "servicePrincipalName",
    "status",
    "note",
];

/// What may stand around a key and a value.
fn blank() -> impl Strategy<Value = &'static str> {
    // Dots tell the spot: before the key, before the colon, before the value, behind it.
    prop::sample::select(vec![
        "",
        "",
        "",
        "",
        " ",
        "....\t",
        "........ ",
        "............ ",
    ])
}

fn members(
    names: &'static [&'static str],
) -> impl Strategy<Value = Vec<(&'static str, String, &'static str)>> {
    prop::collection::vec((prop::sample::select(names), value(), blank()), 0..10)
}

/// A record, and how often it is repeated with other values.
fn records() -> impl Strategy<Value = Vec<String>> {
    let shape = (members(&NAMES), members(&NAMES[7..]));
    let change = (
        any::<prop::sample::Index>(),
        value(),
        any::<bool>(),
        blank(),
    );
    (
        shape,
        // What stays as it is for a while is read along a track.
        prop::collection::vec((prop::collection::vec(change, 0..4), 1_usize..5), 1..8),
    )
        .prop_map(|((mut top, mut inner), changes)| {
            top.push(("category", "\"ServicePrincipalSignInLogs\"".to_owned(), ""));
            inner.push(("appId", "\"a\"".to_owned(), ""));
            let mut lines = Vec::new();
            for (changes, times) in changes {
                for (place, value, drop, blank) in changes {
                    let members = if place.index(2) == 0 {
                        &mut top
                    } else {
                        &mut inner
                    };
                    if members.is_empty() {
                        continue;
                    }
                    let place = place.index(members.len());
                    match drop {
                        true => drop_member(members, place),
                        false => (members[place].1, members[place].2) = (value, blank),
                    }
                }
                let mut top = top.clone();
                top.push(("properties", object(inner.clone()), ""));
                lines.extend(vec![object(top); times]);
            }
            lines
        })
}

fn drop_member(members: &mut Vec<(&'static str, String, &'static str)>, place: usize) {
    members.remove(place);
}

fn compare(text: &[u8]) {
    let context = Context::default();
    let (mut alone, mut together) = (Vec::new(), Vec::new());
    let mut offset = Offset::default();
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        // The first record of a habit is read without one.
        offset = read_lines(
            line,
            offset,
            &context,
            &mut Habit::default(),
            &mut |position, item| {
                alone.push((position, owned(item)));
            },
        );
    }
    let mut habit = Habit::default();
    for _ in 0..3 {
        together.clear();
        read_lines(
            text,
            Offset::default(),
            &context,
            &mut habit,
            &mut |position, item| {
                together.push((position, owned(item)));
            },
        );
        assert_eq!(together, alone, "{}", String::from_utf8_lossy(text));
    }
}

#[test]
fn what_was_a_number_may_be_an_envelope() {
    let record = r#"{"createdDateTime":"2026-11-24T08:15:00Z","appId":"a","id":"b"}"#;
    for name in ["records", "value"] {
        let plain = format!(
            r#"{{"id":"a","appId":"a","createdDateTime":"2026-11-24T08:15:00Z","{name}":7}}"#
        );
        let envelope = plain.replace("7}", &format!("[{record},{record}]}}"));
        let lines = [vec![plain; 8], vec![envelope]].concat();
        compare(lines.join("\n").as_bytes());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn lines_are_read_as_each_alone(
        sources in prop::collection::vec(records(), 1..3),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
    ) {
        let mut lines: Vec<String> = sources.concat();
        // The records of two sources take turns.
        if sources.len() == 2 {
            lines.sort_by_key(String::len);
        }
        let mut text = lines.join("\n").into_bytes();
        for (place, byte) in damage {
            let place = place.index(text.len());
            text[place] = byte;
        }
        compare(&text);
    }
}
