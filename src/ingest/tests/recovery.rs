//! A malformed neighbour costs itself alone, in one piece or in windows.

use proptest::prelude::*;
use proptest::sample::Index;

use super::*;

/// A good record that tells which one it is.
fn good(number: usize) -> String {
    let mut record = diagnostic();
    record["properties"]["id"] = json!(format!("good-{number}"));
    record.to_string()
}

/// The numbers of the good records that were judged.
fn judged(items: &[Item<'_>]) -> Vec<usize> {
    items
        .iter()
        .filter_map(|item| match item {
            Item::SignIn(sign_in) => sign_in.id.as_deref()?.strip_prefix("good-")?.parse().ok(),
            _ => None,
        })
        .collect()
}

fn rejects(items: &[Item<'_>]) -> usize {
    items
        .iter()
        .filter(|item| matches!(item, Item::Reject(_)))
        .count()
}

/// Records as other services and cut-off writers leave them.
fn broken() -> Vec<Vec<u8>> {
    let whole = good(99);
    let mut table: Vec<Vec<u8>> = [
        "{'time': 'x', 'category': 'y'}",
        "[ 218 B blob data ]",
        "7",
        "oops",
        "\"text\"",
        "{\"a\":1,}",
        "{\"a\" 1}",
        "{\"a\":\"raw\nbreak\"}",
        "{\"a\":\"\\x\"}",
        "{\"a\":\"\\ud800\"}",
        "{\"a\":01}",
        "{\"a\":[1,2}",
        "{\"a\":{\"b\":1}",
        "{\"a\":\"b}",
        "{\"a\":\"b\",\"c\":\"d}",
        "{\"a\":b\"}",
        "{\"a\":1}}",
        "{\"a\":[{\"b\":1},{\"c\":2}],oops}",
        "{\"a\":\0}",
    ]
    .map(|text| text.as_bytes().to_vec())
    .into();
    table.push(
        whole
            .replace("\"resultType\":", "\"resultType\":,")
            .into_bytes(),
    );
    table.push(
        whole
            .replacen("\"tenantId\":\"", "\"tenantId\":", 1)
            .into_bytes(),
    );
    table.push(b"{\"a\":\"\xff\"}".to_vec());
    table.push(
        [
            b"{\"a\":".as_slice(),
            &b"[".repeat(200),
            &b"]".repeat(200),
            b"}",
        ]
        .concat(),
    );
    table
}

#[test]
fn a_broken_record_costs_itself_alone() {
    for broken in broken() {
        let shown = String::from_utf8_lossy(&broken).into_owned();
        let records = [
            good(1).as_bytes(),
            b",",
            &broken,
            b",",
            good(2).as_bytes(),
            b",",
            good(3).as_bytes(),
        ]
        .concat();
        let envelope = [b"{\"records\":[".as_slice(), &records, b"]}"].concat();
        let array = [b"[\n".as_slice(), &records, b"\n]"].concat();
        let first = [b"{\"records\":[".as_slice(), &broken, b",", &records, b"]}"].concat();
        for text in [envelope, array, first] {
            let items = read(&text);
            assert_eq!(judged(&items), [1, 2, 3], "{shown}: {items:?}");
            assert!((1..=4).contains(&rejects(&items)), "{shown}: {items:?}");
        }
        if !broken.contains(&b'\n') {
            let lines = [
                &broken,
                b"\n".as_slice(),
                good(1).as_bytes(),
                b"\r\n",
                &broken,
                b"\n",
                good(2).as_bytes(),
            ]
            .concat();
            let items = read(&lines);
            assert_eq!(judged(&items), [1, 2], "{shown}: {items:?}");
            assert!((2..=6).contains(&rejects(&items)), "{shown}: {items:?}");
        }
    }
}

#[test]
fn keeps_the_broken_record_whole() {
    let text = format!("{{\"records\":[{},{{'a':[1, 2]}} , {}]}}", good(1), good(2));
    let items = read(text.as_bytes());
    let Item::Reject(reject) = &items[1] else {
        panic!("{items:?}");
    };
    assert_eq!(&*reject.body, b"{'a':[1, 2]}");
    let column = text.find('\'').unwrap();
    let expected = format!(
        "invalid JSON at line 1, column {} (byte {column}): expected a key in double quotes or `}}`, \
         found `'` (JSON has double quotes only)",
        column + 1
    );
    assert_eq!(reject.error.to_string(), expected);
}

#[test]
fn a_cut_off_document_keeps_what_it_had() {
    let whole = format!("{{\"records\":[{},{}]}}", good(1), good(2));
    let behind_first = whole
        .find(",{\"")
        .map(|_| "{\"records\":[".len() + good(1).len())
        .unwrap();
    for cut in [
        whole.len() - 1,
        whole.len() - 2,
        whole.len() - 3,
        behind_first + 30,
        behind_first + 1,
        behind_first,
    ] {
        let items = read(&whole.as_bytes()[..cut]);
        let expected: &[usize] = if cut >= whole.len() - 2 {
            &[1, 2]
        } else {
            &[1]
        };
        assert_eq!(judged(&items), expected, "{cut}");
        assert_eq!(rejects(&items), 1, "{cut}: {items:?}");
        // And so does what follows it in the same file.
        let text = format!("{}\n{}\n", &whole[..cut], good(3));
        let items = read(text.as_bytes());
        assert_eq!(
            judged(&items),
            [expected, &[3]].concat(),
            "{cut}: {items:?}"
        );
    }
}

#[test]
fn an_envelope_broken_around_its_records_loses_none() {
    for text in [
        format!("{{\"x\": oops, \"records\":[{},{}]}}", good(1), good(2)),
        format!("{{\"records\":[{},{}], oops}}", good(1), good(2)),
        format!("{{\"records\":[{}{}]}}", good(1), good(2)),
        format!("{{\"records\":[{},,{},]}}", good(1), good(2)),
        format!("[{}}},{}]", good(1), good(2)),
        format!("{{\"records\":[]{}{}", good(1), good(2)),
        format!("{{\"records\":[{}]{}", good(1), good(2)),
        format!("{{\"records\":[{}]\n{}", good(1), good(2)),
        format!("[\n{}\n{}\n]", good(1), good(2)),
    ] {
        let items = read(text.as_bytes());
        assert_eq!(judged(&items), [1, 2], "{text}: {items:?}");
        assert!(rejects(&items) <= 2, "{text}: {items:?}");
    }
}

/// Reads in windows that grow by the given steps, as a caller with a buffer does.
fn in_windows(
    text: &[u8],
    steps: &[usize],
    csv: bool,
    max_record: usize,
) -> Vec<(Position, Item<'static>)> {
    let context = Context::default();
    let mut document = Document::new(&context).with_max_record(max_record);
    let mut table = Csv::new(&context).with_max_record(max_record);
    let mut items = Vec::new();
    let (mut start, mut end) = (0, 0);
    let mut steps = steps.iter().copied().cycle();
    loop {
        end = text.len().min(end + steps.next().unwrap());
        let last = end == text.len();
        let mut visit = |position: Position, item: &Item<'_>| items.push((position, owned(item)));
        let window = &text[start..end];
        let consumed = match csv {
            true => table.read(window, last, &mut visit),
            false => document.read(window, last, &mut visit),
        };
        assert!(consumed <= window.len());
        assert!(
            consumed > 0 || window.len() < max_record + 64,
            "no progress"
        );
        start += consumed;
        if last {
            assert_eq!(start, text.len(), "everything is consumed in the end");
            let offset = if csv {
                table.offset()
            } else {
                document.offset()
            };
            assert_eq!(offset.bytes, text.len() as u64);
            assert_eq!(offset.lines, super::super::whereabouts::count_lines(text));
            return items;
        }
    }
}

/// Texts made of good and bad pieces in all shapes.
fn texts() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => (0..9_usize).prop_map(|number| good(number).into_bytes()),
        2 => (any::<Index>()).prop_map(|index| index.get(&broken()).clone()),
        2 => prop::sample::select(vec![
            "{\"records\":[", "]}", "[", "]", ",", "\n", "{", "}", "\"", "\u{feff}", " \r\n", "{\"value\":[", "],\"x\":1}",
            "{\"records\":\"[{},7]\"}", "{\"records\":{\"category\":\"x\"}}", "{\"category\":\"SignInLogs\"}", "12", "x",
            "\u{fffd}", "\0", "null", "{\"a\":[{\"b\":1},{\"c\":[]}]}", "\\", "\"x\\\"\"",
        ]).prop_map(|text| text.as_bytes().to_vec()),
    ];
    proptest::collection::vec(piece, 0..14).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// Whatever the bytes, reading ends, and rejects and records do not overlap.
    #[test]
    fn never_panics(bytes in prop_oneof![proptest::collection::vec(any::<u8>(), 0..300), texts()]) {
        let items = read(&bytes);
        let kept: usize = items.iter().map(|item| match item {
            Item::Reject(reject) => reject.body.len(),
            _ => 1,
        }).sum();
        // The bodies of records within a text are decoded and may not lie in the input.
        prop_assert!(kept <= bytes.len() + 3 * 64, "{kept} of {}", bytes.len());
    }

    #[test]
    fn windows_change_nothing(text in texts(), steps in proptest::collection::vec(1..900_usize, 1..6)) {
        let mut whole = Vec::new();
        Document::new(&Context::default()).read(&text, true, &mut |position, item| whole.push((position, owned(item))));
        prop_assert_eq!(in_windows(&text, &steps, false, MAX_RECORD), whole);
    }

    #[test]
    fn windows_change_nothing_in_csv(
        rows in proptest::collection::vec("[ab\",\r\n]{0,12}\n", 0..8),
        steps in proptest::collection::vec(1..20_usize, 1..6),
    ) {
        let text = format!("TimeGenerated,AppId\r\n{}", rows.concat());
        let mut whole = Vec::new();
        Csv::new(&Context::default()).read(text.as_bytes(), true, &mut |position, item| whole.push((position, owned(item))));
        prop_assert_eq!(in_windows(text.as_bytes(), &steps, true, MAX_RECORD), whole);
    }

    /// With a bound on records, reading in windows stays bounded, ends, and keeps the records within bounds.
    #[test]
    fn overlong_records_are_skipped(
        before in 0..3_usize,
        length in 3_000..30_000_usize,
        filler in prop::sample::select(vec!["x", "1,", "{},", "[{\"a\":1}],", "\\\""]),
        steps in proptest::collection::vec(1..900_usize, 1..6),
        closed in any::<bool>(),
    ) {
        let filler = filler.repeat(length / filler.len());
        let long = match filler.starts_with(['x', '\\']) {
            true => format!("{{\"a\":\"{filler}\"}}"),
            false => format!("{{\"a\":[{}1]}}", filler),
        };
        let long = if closed { long } else { long.replacen(['}'], "", 1) };
        let records: Vec<_> = (0..before).map(good).chain([long]).chain((before..before + 2).map(good)).collect();
        let text = format!("{{\"records\":[{}]}}", records.join(","));
        let items: Vec<_> = in_windows(text.as_bytes(), &steps, false, 2_500).into_iter().map(|(_, item)| item).collect();
        prop_assert_eq!(judged(&items), (0..before + 2).collect::<Vec<_>>());
        prop_assert!(rejects(&items) >= 1);
    }

    /// Any damage to one record of an envelope leaves its neighbours judged.
    #[test]
    fn damage_stays_local(
        edits in proptest::collection::vec((any::<Index>(), prop::sample::select(&b"{}[]\":,\\x\n\xff\x00"[..]), any::<bool>()), 1..3),
        lines in any::<bool>(),
    ) {
        let mut damaged = good(50).into_bytes();
        for (place, byte, insert) in edits {
            let place = place.index(damaged.len());
            match insert {
                true => damaged.insert(place, byte),
                false => damaged[place] = byte,
            }
        }
        let text = match lines {
            false => [b"{\"records\":[", good(1).as_bytes(), b",", &damaged, b",", good(2).as_bytes(), b",", good(3).as_bytes(), b"]}"].concat(),
            true => [good(1).as_bytes(), b"\n", &damaged, b"\n", good(2).as_bytes(), b"\n", good(3).as_bytes(), b"\n"].concat(),
        };
        let found = judged(&read(&text));
        let found: Vec<_> = found.into_iter().filter(|number| *number < 50).collect();
        prop_assert_eq!(found, [1, 2, 3]);
    }
}
