use std::borrow::Cow;

use proptest::prelude::*;

use super::*;

/// Reads the whole text as one value; `Err` as the reader has it.
fn check(text: &[u8]) -> Result<()> {
    let mut reader = Reader::new(text, 0);
    reader.blanks();
    reader.value(0)?;
    reader.blanks();
    match reader.peek() {
        None => Ok(()),
        Some(_) => reader.unexpected("the end of the text"),
    }
}

/// Both readers accept, or both refuse. serde_json alone refuses numbers beyond a double.
fn agree(text: &[u8]) {
    let oracle = serde_json::from_slice::<serde_json::Value>(text);
    if let Err(error) = &oracle
        && error.to_string().contains("number out of range")
    {
        return;
    }
    let ours = check(text);
    assert_eq!(
        ours.is_ok(),
        oracle.is_ok(),
        "{:?}: {ours:?} against {oracle:?}",
        String::from_utf8_lossy(text)
    );
}

#[test]
fn agrees_on_corner_cases() {
    let table: [&[u8]; 68] = [
        b"",
        b" ",
        b"null",
        b"nul",
        b"nulls",
        b"true",
        b"false",
        b"tru ",
        b"0",
        b"-0",
        b"-",
        b"01",
        b"1.",
        b".5",
        b"1.5e",
        b"1e+",
        b"1E-7",
        b"+1",
        b"0x10",
        b"1 2",
        b"NaN",
        b"Infinity",
        b"\"\"",
        b"\"",
        b"\"a",
        b"\"\\\"",
        b"\"\\u0041\"",
        b"\"\\u00g1\"",
        b"\"\\u12\"",
        b"\"\\x\"",
        b"\"\\ud83d\\ude00\"",
        b"\"\\ud83d\"",
        b"\"\\ude00\"",
        b"\"\\ud83dx\"",
        b"\"\\ud83d\\n\"",
        b"\"\\ud83d\\u0041\"",
        b"\"\\ud83d\\ud83d\"",
        b"\"\x01\"",
        b"\"\n\"",
        b"\"\t\"",
        b"\"\x7f\"",
        b"\"\0\"",
        b"\0",
        b"[]",
        b"[",
        b"]",
        b"[1",
        b"[1,",
        b"[1,]",
        b"[,1]",
        b"[1 2]",
        b"[]]",
        b"{}",
        b"{",
        b"{\"a\"}",
        b"{\"a\":}",
        b"{\"a\":1,}",
        b"{\"a\":1 \"b\":2}",
        b"{a:1}",
        b"{'a':1}",
        b"{1:1}",
        b"{\"a\":1}}",
        b"[{]}",
        b"\xef\xbb\xbf1",
        b"\"\xff\"",
        b"\"\xc3\xa9\"",
        b"\"\xed\xa0\x80\"",
        b"\"aaaaaaaaaaaaaaaa\xc3\"",
    ];
    for text in table {
        agree(text);
    }
}

#[test]
fn says_what_and_where() {
    let table: [(&[u8], usize, &str); 9] = [
        (b"{\"a\":1 \"b\":2}", 7, "expected `,` or `}`"),
        (b"{\"a\" 1}", 5, "expected `:`"),
        (b"[1,2", 4, "the text ends where `,` or `]` was expected"),
        (b"{'a':1}", 1, "expected a key in double quotes or `}`"),
        (b"\"abcdefghij\xffk\"", 11, "invalid UTF-8"),
        (b"[\"\\ud800\"]", 2, "half of a surrogate pair"),
        (
            b"\"a\nb\"",
            2,
            "a control character inside a string (write it as an escape)",
        ),
        (b"[01]", 2, "a number in a form that JSON does not have"),
        (b"[nope]", 2, "expected a value"),
    ];
    for (text, at, problem) in table {
        let error = check(text).unwrap_err();
        assert_eq!(
            (error.at, error.problem.to_string().as_str()),
            (at, problem)
        );
    }
}

#[test]
fn bounds_nesting() {
    let nested = |levels: usize| [b"[".repeat(levels), b"]".repeat(levels)].concat();
    assert_eq!(check(&nested(128)), Ok(()));
    for levels in [129, 20_000] {
        let error = check(&nested(levels)).unwrap_err();
        assert_eq!((error.at, error.problem), (128, Problem::Depth));
    }
    assert_eq!(
        check(&b"{\"a\":".repeat(200)).unwrap_err().problem,
        Problem::Depth
    );
}

#[test]
fn decodes_strings() {
    let text = br#""a\u00e9\ud83d\ude00\n\"\\\/\b\f\r\tz""#;
    let decoded = Reader::new(text, 0).string().unwrap().decode();
    assert_eq!(decoded, "aé😀\n\"\\/\u{8}\u{c}\r\tz");
    let plain = Reader::new("\"Gävle\"".as_bytes(), 0)
        .string()
        .unwrap()
        .decode();
    assert!(matches!(plain, Cow::Borrowed("Gävle")));
}

/// Any JSON value, weighted towards strings with something to escape.
fn json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        ".{0,20}".prop_map(Into::into),
        "[a-z\"\\\\\n\u{1}é😀]{0,20}".prop_map(Into::into),
    ];
    leaf.prop_recursive(5, 40, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
            proptest::collection::vec((".{0,8}", inner), 0..6)
                .prop_map(|members| serde_json::Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn agrees_on_values(value in json(), pretty in any::<bool>()) {
        let text = if pretty { serde_json::to_vec_pretty(&value) } else { serde_json::to_vec(&value) };
        prop_assert_eq!(check(&text.unwrap()), Ok(()));
    }

    #[test]
    fn agrees_on_mutations(
        value in json(),
        edits in proptest::collection::vec(
            (any::<prop::sample::Index>(), prop::sample::select(&b"\"\\{}[],:0e.-u n\n\x00\xffd8"[..]), 0..3_u8),
            1..4,
        ),
    ) {
        let mut text = serde_json::to_vec(&value).unwrap();
        for (place, byte, edit) in edits {
            let place = place.index(text.len() + 1);
            match edit {
                0 => text.insert(place, byte),
                1 if place < text.len() => text[place] = byte,
                _ => text.truncate(place),
            }
        }
        agree(&text);
    }

    #[test]
    fn agrees_on_soup(text in r#"[\[\]{},:"\\a0-9.eE+\- \ntrufalsn\x{1}é]{0,24}"#) {
        agree(text.as_bytes());
    }

    #[test]
    fn decodes_as_serde_json_does(text in ".{0,30}", ascii in any::<bool>()) {
        let mut json = serde_json::to_string(&text).unwrap();
        if ascii {
            json = json.chars().map(|letter| match letter {
                ' '..='~' => letter.to_string(),
                other => other.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04X}")).collect(),
            }).collect();
        }
        prop_assert_eq!(Reader::new(json.as_bytes(), 0).string().unwrap().decode(), text);
    }
}
