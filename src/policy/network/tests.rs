//! Ranges read, merged and searched: by example, and against a linear check.

use std::net::Ipv4Addr;

use proptest::prelude::*;

use super::*;

fn written(texts: &[&str]) -> Vec<WrittenRange> {
    texts
        .iter()
        .map(|text| WrittenRange {
            block: parse_range(text).unwrap().block,
            text: (*text).into(),
        })
        .collect()
}

#[test]
fn reads_every_form() {
    let v4 = |low: &str, high: &str| {
        let number = |text: &str| u32::from(text.parse::<Ipv4Addr>().unwrap());
        Block::V4(number(low), number(high))
    };
    let table = [
        ("203.0.113.9", v4("203.0.113.9", "203.0.113.9"), None),
        ("203.0.113.0/24", v4("203.0.113.0", "203.0.113.255"), None),
        (
            "203.0.113.9/24",
            v4("203.0.113.0", "203.0.113.255"),
            Some("203.0.113.0/24"),
        ),
        ("0.0.0.0/0", v4("0.0.0.0", "255.255.255.255"), None),
        ("203.0.113.9/32", v4("203.0.113.9", "203.0.113.9"), None),
        ("10.0.0.1 - 10.0.0.9", v4("10.0.0.1", "10.0.0.9"), None),
        (
            "::ffff:10.0.0.0/104",
            v4("10.0.0.0", "10.255.255.255"),
            None,
        ),
        ("::ffff:10.0.0.1-10.0.0.2", v4("10.0.0.1", "10.0.0.2"), None),
        ("::/0", Block::V6(0, u128::MAX), None),
        ("::1", Block::V6(1, 1), None),
        (
            "2001:db8::1/32",
            Block::V6(0x2001_0db8 << 96, (0x2001_0db9 << 96) - 1),
            Some("2001:db8::/32"),
        ),
    ];
    for (text, block, meant) in table {
        let parsed = parse_range(text).unwrap();
        assert_eq!(parsed.block, block, "{text}");
        assert_eq!(parsed.meant.as_deref(), meant, "{text}");
    }
    let faults = [
        ("", "is no address"),
        ("example.com", "is no address"),
        ("10.0.0", "is no address"),
        ("010.0.0.1", "is no address"),
        ("10.0.0.0/", "is no CIDR"),
        ("10.0.0.0/+8", "is no CIDR"),
        ("10.0.0/8", "is no CIDR"),
        ("10.0.0.0/33", "longer than /32"),
        ("10.0.0.0/999", "longer than /32"),
        ("::/129", "longer than /128"),
        ("::ffff:10.0.0.0/95", "beyond IPv4"),
        ("10.0.0.9-10.0.0.1", "runs backwards"),
        ("10.0.0.1-::1", "mixes"),
        ("10.0.0.1-", "is no address"),
        ("fe80::1%eth0", "is no address"),
    ];
    for (text, expected) in faults {
        let RangeFault(message, _) = parse_range(text).unwrap_err();
        assert!(message.contains(expected), "{text}: {message}");
    }
}

#[test]
fn calls_wide_what_is_wider_than_a_class_a() {
    let table = [
        ("0.0.0.0/7", true),
        ("10.0.0.0/8", false),
        ("10.0.0.0-11.0.0.0", true),
        ("2000::/15", true),
        ("2001::/16", false),
    ];
    for (text, wide) in table {
        assert_eq!(parse_range(text).unwrap().block.is_wide(), wide, "{text}");
    }
}

#[test]
fn names_the_nearest_as_written() {
    let set = RangeSet::build(&written(&[
        "203.0.113.0/29",
        "203.0.113.20-203.0.113.29",
        "203.0.113.30",
        "198.51.100.0/24",
        "2001:db8::/64",
    ]));
    let table = [
        ("203.0.113.9", Some("203.0.113.0/29")),
        ("203.0.113.19", Some("203.0.113.20-203.0.113.29")),
        ("203.0.113.31", Some("203.0.113.30")),
        ("0.0.0.1", Some("198.51.100.0/24")),
        ("255.255.255.255", Some("203.0.113.30")),
        ("::1", Some("2001:db8::/64")),
    ];
    for (address, expected) in table {
        let near = set.nearest(address.parse().unwrap());
        assert_eq!(near.map(|near| near.1), expected, "{address}");
    }
    assert_eq!((set.written(), set.merged()), (5, 4));
    let tie = RangeSet::build(&written(&["10.0.0.1", "10.0.0.3"]));
    assert_eq!(
        tie.nearest("10.0.0.2".parse().unwrap()),
        Some((1, "10.0.0.1"))
    );
    assert_eq!(tie.nearest("::1".parse().unwrap()), None);
}

fn block(wide: bool) -> impl Strategy<Value = Block> {
    // Few low bits, so that ranges overlap and touch; and the ends of the number line.
    prop_oneof![
        (0u32..64, 0u32..8).prop_map(|(low, length)| Block::V4(low, low + length)),
        (0u32..8).prop_map(|length| Block::V4(u32::MAX - length, u32::MAX)),
        (0u128..64, 0u128..8).prop_map(|(low, length)| Block::V6(low, low + length)),
        (0u128..8).prop_map(move |length| {
            let high = if wide { u128::MAX } else { u128::MAX - 1 };
            Block::V6(high - length, high)
        }),
    ]
}

proptest! {
    #[test]
    fn agrees_with_a_linear_check(
        blocks in prop::collection::vec(block(true), 0..24),
        low in 0u32..80,
        top in any::<bool>(),
    ) {
        let ranges: Vec<_> = blocks
            .iter()
            .map(|block| WrittenRange { block: *block, text: format!("{block:?}").into() })
            .collect();
        let set = RangeSet::build(&ranges);
        let v4 = if top { u32::MAX - low } else { low };
        let v6 = if top { u128::MAX - u128::from(low) } else { low.into() };
        let in_v4 = blocks.iter().any(|b| matches!(b, Block::V4(a, z) if (*a..=*z).contains(&v4)));
        let in_v6 = blocks.iter().any(|b| matches!(b, Block::V6(a, z) if (*a..=*z).contains(&v6)));
        let v4_distance = blocks.iter().filter_map(|b| match b {
            Block::V4(a, z) => Some(u128::from(if v4 < *a { a - v4 } else { v4.saturating_sub(*z) })),
            Block::V6(..) => None,
        }).min();
        let address4 = IpAddr::V4(v4.into());
        let address6 = IpAddr::V6(v6.into());
        prop_assert_eq!(set.contains(address4), in_v4);
        prop_assert_eq!(set.contains(address6), in_v6);
        prop_assert_eq!(set.around(address4).is_some(), in_v4);
        if !in_v4 {
            prop_assert_eq!(set.nearest(address4).map(|near| near.0), v4_distance);
            if let Some((distance, text)) = set.nearest(address4) {
                let named = blocks.iter().any(|b| match b {
                    Block::V4(a, z) => format!("{b:?}") == text
                        && u128::from(a.abs_diff(v4).min(z.abs_diff(v4))) == distance,
                    Block::V6(..) => false,
                });
                prop_assert!(named, "{} is not {} away", text, distance);
            }
        }
        for block in &blocks {
            prop_assert!(set.covers(*block));
        }
    }

    #[test]
    fn reads_any_text_without_panic(text in "[0-9a-f:./ -]{0,40}|.{0,20}") {
        let _ = parse_range(&text);
    }
}

#[test]
fn an_address_is_taken_out_of_a_block() {
    for (range, address, left) in [
        (
            "203.0.113.0/30",
            "203.0.113.0",
            &["203.0.113.1-203.0.113.3"][..],
        ),
        (
            "203.0.113.0/30",
            "203.0.113.1",
            &["203.0.113.0", "203.0.113.2-203.0.113.3"],
        ),
        (
            "203.0.113.0/30",
            "203.0.113.3",
            &["203.0.113.0-203.0.113.2"],
        ),
        ("203.0.113.9", "203.0.113.9", &[]),
        (
            "255.255.255.254/31",
            "255.255.255.255",
            &["255.255.255.254"],
        ),
        ("2001:db8::/127", "2001:db8::1", &["2001:db8::"]),
        (
            "::/0",
            "::",
            &["::1-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"],
        ),
        ("2001:db8::/127", "203.0.113.9", &[]),
    ] {
        let block = parse_range(range).unwrap().block;
        let address: IpAddr = address.parse().unwrap();
        assert_eq!(block.without(address), left, "{range} {address}");
        for text in left {
            let rest = parse_range(text).unwrap().block;
            assert_ne!(rest.distance(address), Some(0), "{text} {address}");
        }
    }
}

#[test]
fn an_address_is_so_far_from_a_block() {
    for (range, address, distance) in [
        ("203.0.113.0/30", "203.0.113.0", Some(0)),
        ("203.0.113.0/30", "203.0.113.3", Some(0)),
        ("203.0.113.0/30", "203.0.113.4", Some(1)),
        ("203.0.113.4/30", "203.0.113.1", Some(3)),
        ("255.255.255.255", "0.0.0.0", Some(u128::from(u32::MAX))),
        (
            "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
            "::",
            Some(u128::MAX),
        ),
        ("2001:db8::/32", "203.0.113.9", None),
    ] {
        let block = parse_range(range).unwrap().block;
        assert_eq!(
            block.distance(address.parse().unwrap()),
            distance,
            "{range} {address}"
        );
    }
}
