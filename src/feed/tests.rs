//! Each format in its published shape, with invented content; mistakes; hostile input; the lock and the plan.

use proptest::prelude::*;

use super::lock::{Lock, Pin, PinnedSet};
use super::plan::{Fetched, Wanted, plan};
use super::*;

const AZURE: &str = r#"{
  "changeNumber": 412, "cloud": "Public",
  "values": [
    { "name": "ActionGroup", "id": "ActionGroup",
      "properties": { "changeNumber": 9, "region": "", "regionId": 0, "platform": "Azure",
        "systemService": "ActionGroup", "addressPrefixes": ["192.0.2.0/28", "2001:db8:1::/48"], "networkFeatures": ["API"] } },
    { "name": "AzureCloud.westeurope", "id": "AzureCloud.westeurope",
      "properties": { "changeNumber": 3, "region": "westeurope", "addressPrefixes": ["198.51.100.0/24"], "networkFeatures": null } },
    { "name": "Empty", "id": "Empty", "properties": { "addressPrefixes": [] } }
  ]
}"#;

const GITHUB: &str = r#"{
  "verifiable_password_authentication": false,
  "ssh_key_fingerprints": { "SHA256_RSA": "invented" },
  "ssh_keys": ["ssh-rsa invented"],
  "hooks": ["192.0.2.64/26", "2001:db8:2::/48"],
  "actions": ["198.51.100.0/25", "198.51.100.128/25", "203.0.113.7/32"],
  "domains": { "website": ["*.example.com"], "actions_inbound": { "full_domains": ["a.example.com"] } },
  "more": { "runners": ["203.0.113.64/26"] }
}"#;

const GRAPH: &str = r##"{
  "@odata.context": "https://graph.example/v1.0/$metadata#identity/conditionalAccess/namedLocations",
  "value": [
    { "@odata.type": "#microsoft.graph.ipNamedLocation", "id": "11111111-2222-3333-4444-555555555555",
      "displayName": "Zürich office", "isTrusted": true,
      "ipRanges": [ { "@odata.type": "#microsoft.graph.iPv4CidrRange", "cidrAddress": "192.0.2.9/26" },
                    { "@odata.type": "#microsoft.graph.iPv6CidrRange", "cidrAddress": "2001:db8:77::/48" } ] },
    { "@odata.type": "#microsoft.graph.ipNamedLocation", "id": "22222222-2222-3333-4444-555555555555",
      "displayName": "Guests", "isTrusted": false,
      "ipRanges": [ { "@odata.type": "#microsoft.graph.iPv4Range", "lowerAddress": "203.0.113.4", "upperAddress": "203.0.113.9" } ] },
    { "@odata.type": "#microsoft.graph.countryNamedLocation", "id": "3", "displayName": "Countries", "countriesAndRegions": ["CH"] }
  ]
}"##;

const ATLASSIAN: &str = r#"{
  "creationDate": "2026-11-20T10:11:12.123456", "syncToken": 1795169472,
  "items": [
    { "network": "192.0.2.0", "mask_len": 27, "cidr": "192.0.2.0/27", "mask": "255.255.255.224",
      "region": ["us-east-1"], "product": ["jira", "confluence"], "direction": ["ingress", "egress"], "perimeter": "commercial" },
    { "network": "2001:db8:3::", "mask_len": 48, "cidr": "2001:db8:3::/48", "mask": "ffff:ffff:ffff::",
      "region": ["global"], "product": ["jira"], "direction": ["ingress"] },
    { "cidr": "198.51.100.0/28", "product": ["trello"], "direction": ["egress"] }
  ]
}"#;

const AWS: &str = r#"{
  "syncToken": "1795169472", "createDate": "2026-11-20-10-11-12",
  "prefixes": [
    { "ip_prefix": "192.0.2.0/24", "region": "eu-central-1", "service": "AMAZON", "network_border_group": "eu-central-1" },
    { "ip_prefix": "192.0.2.128/25", "region": "eu-central-1", "service": "S3", "network_border_group": "eu-central-1" },
    { "ip_prefix": "198.51.100.0/25", "region": "us-east-1", "service": "S3", "network_border_group": "us-east-1" }
  ],
  "ipv6_prefixes": [
    { "ipv6_prefix": "2001:db8:4::/48", "region": "eu-central-1", "service": "S3", "network_border_group": "eu-central-1" }
  ]
}"#;

const GOOGLE: &str = r#"{
  "syncToken": "1795169472123", "creationTime": "2026-11-20T10:11:12.123456",
  "prefixes": [
    { "ipv4Prefix": "192.0.2.0/26", "service": "Google Cloud", "scope": "europe-west6" },
    { "ipv6Prefix": "2001:db8:10::/44", "service": "Google Cloud", "scope": "europe-west6" },
    { "ipv4Prefix": "203.0.113.0/26", "service": "Google Cloud", "scope": "us-west1" }
  ]
}"#;

const PLAIN: &str = "\u{feff}# offices\r\n192.0.2.0/28   # Zürich\r\n\r\n2001:db8::1\r\n203.0.113.1-203.0.113.3\r\n192.0.2.1/28\r\n";

const CSV: &str = "site,Network,owner\n# a comment\nZürich,192.0.2.0/28,\"a, b\"\nBern,,c\nGenf,2001:db8:6::/48,d\n";

fn texts(format: Format, text: &str, key: Option<&str>) -> Vec<String> {
    let feed = Feed::parse(format, text.as_bytes()).unwrap();
    let prefixes = feed.select(key).unwrap();
    prefixes
        .iter()
        .map(|prefix| prefix.text.to_string())
        .collect()
}

fn fault(format: Format, text: &str, key: Option<&str>) -> Fault {
    match Feed::parse(format, text.as_bytes()) {
        Ok(feed) => feed.select(key).unwrap_err(),
        Err(fault) => fault,
    }
}

#[test]
fn reads_each_format_by_its_keys() {
    use Format::*;
    let table: [(Format, &str, Option<&str>, &[&str]); 21] = [
        (
            AzureServiceTags,
            AZURE,
            Some("ActionGroup"),
            &["192.0.2.0/28", "2001:db8:1::/48"],
        ),
        (
            AzureServiceTags,
            AZURE,
            Some("AzureCloud.westeurope"),
            &["198.51.100.0/24"],
        ),
        (AzureServiceTags, AZURE, Some("Empty"), &[]),
        (
            GithubMeta,
            GITHUB,
            Some("hooks"),
            &["192.0.2.64/26", "2001:db8:2::/48"],
        ),
        (
            GithubMeta,
            GITHUB,
            Some("more.runners"),
            &["203.0.113.64/26"],
        ),
        (
            GraphNamedLocations,
            GRAPH,
            Some("Zürich office"),
            &["192.0.2.0/26", "2001:db8:77::/48"],
        ),
        (
            GraphNamedLocations,
            GRAPH,
            Some("22222222-2222-3333-4444-555555555555"),
            &["203.0.113.4-203.0.113.9"],
        ),
        (
            GraphNamedLocations,
            GRAPH,
            None,
            &["192.0.2.0/26", "2001:db8:77::/48"],
        ),
        (
            Atlassian,
            ATLASSIAN,
            Some("jira"),
            &["192.0.2.0/27", "2001:db8:3::/48"],
        ),
        (Atlassian, ATLASSIAN, Some("jira/egress"), &["192.0.2.0/27"]),
        (
            AwsIpRanges,
            AWS,
            Some("S3"),
            &["192.0.2.128/25", "198.51.100.0/25", "2001:db8:4::/48"],
        ),
        (
            AwsIpRanges,
            AWS,
            Some("S3/eu-central-1"),
            &["192.0.2.128/25", "2001:db8:4::/48"],
        ),
        (AwsIpRanges, AWS, Some("us-east-1"), &["198.51.100.0/25"]),
        (GoogleCloud, GOOGLE, Some("us-west1"), &["203.0.113.0/26"]),
        (
            GoogleCloud,
            GOOGLE,
            None,
            &["192.0.2.0/26", "203.0.113.0/26", "2001:db8:10::/44"],
        ),
        // The same range, with and without bits after its prefix, is one.
        (
            Plain,
            PLAIN,
            None,
            &["192.0.2.0/28", "203.0.113.1-203.0.113.3", "2001:db8::1"],
        ),
        (Plain, "", None, &[]),
        (
            Csv,
            CSV,
            Some("network"),
            &["192.0.2.0/28", "2001:db8:6::/48"],
        ),
        (Csv, CSV, None, &["192.0.2.0/28", "2001:db8:6::/48"]),
        (
            Csv,
            "a,192.0.2.1\nb,192.0.2.2\n",
            None,
            &["192.0.2.1", "192.0.2.2"],
        ),
        (Csv, "site,network\n", None, &[]),
    ];
    for (format, text, key, expected) in table {
        assert_eq!(texts(format, text, key), expected, "{format:?} {key:?}");
    }
}

#[test]
fn says_what_is_wrong_and_what_would_mend_it() {
    use Format::*;
    let table = [
        (
            AzureServiceTags,
            AZURE,
            Some("AzureCloud.WestEurope"),
            true,
            "no service tag",
            "did you mean \"AzureCloud.westeurope\"?",
        ),
        (
            AzureServiceTags,
            AZURE,
            None,
            true,
            "needs `key`",
            "ActionGroup, AzureCloud.westeurope, Empty",
        ),
        (
            AzureServiceTags,
            "{}",
            Some("a"),
            false,
            "missing field `values`",
            "`format`",
        ),
        (
            AzureServiceTags,
            "<html>",
            Some("a"),
            false,
            "line 1 column 1",
            "`format`",
        ),
        (
            GithubMeta,
            GITHUB,
            Some("action"),
            true,
            "no list \"action\"",
            "did you mean \"actions\"?",
        ),
        (
            GithubMeta,
            GITHUB,
            Some("domains"),
            true,
            "\"domains\" is no list of ranges",
            "actions, hooks, more.runners",
        ),
        (
            GithubMeta,
            GITHUB,
            Some("domains.website"),
            true,
            "is no list of ranges",
            "actions",
        ),
        (
            GithubMeta,
            r#"{"a":["192.0.2.1","b","c"]}"#,
            Some("a"),
            false,
            "value 2 under \"a\": \"b\" is no address",
            "write an address",
        ),
        (
            GraphNamedLocations,
            GRAPH,
            Some("Countries"),
            true,
            "no named location of addresses",
            "Guests, Zürich office",
        ),
        (
            GraphNamedLocations,
            r#"{"value":[],"@odata.nextLink":"x"}"#,
            None,
            false,
            "goes on",
            "one `value`",
        ),
        (
            Atlassian,
            ATLASSIAN,
            Some("jura"),
            true,
            "no product \"jura\"",
            "did you mean \"jira\"?",
        ),
        (
            Atlassian,
            ATLASSIAN,
            Some("trello/ingress"),
            true,
            "no direction of trello \"ingress\"",
            "egress",
        ),
        (
            AwsIpRanges,
            AWS,
            Some("S4"),
            true,
            "no service or region \"S4\"",
            "did you mean \"S3\"?",
        ),
        (
            AwsIpRanges,
            AWS,
            Some("S3/eu-central-2"),
            true,
            "no region of S3",
            "did you mean \"eu-central-1\"?",
        ),
        (
            GoogleCloud,
            GOOGLE,
            Some("europe-west7"),
            true,
            "no scope \"europe-west7\"",
            "europe-west6",
        ),
        (
            Plain,
            "192.0.2.1\n192.0.2.300\nx\ny\n",
            None,
            false,
            "line 2: \"192.0.2.300\" is no address or range of addresses, and so are 2 more",
            "write an address",
        ),
        (Plain, PLAIN, Some("a"), true, "no keys", "remove `key`"),
        (
            Csv,
            CSV,
            Some("netwerk"),
            true,
            "no column \"netwerk\"",
            "did you mean \"Network\"?",
        ),
        (
            Csv,
            "a,b\nc,d\n",
            None,
            true,
            "no column of the feed holds ranges",
            "a, b",
        ),
        (
            Csv,
            "a\n192.0.2.1\nx\n",
            None,
            false,
            "line 3: \"x\"",
            "write an address",
        ),
    ];
    for (format, text, key, is_key, message, help) in table {
        let fault = fault(format, text, key);
        assert_eq!(fault.is_key, is_key, "{fault:?}");
        assert!(fault.message.contains(message), "{message}: {fault:?}");
        assert!(fault.help.contains(help), "{help}: {fault:?}");
    }
}

#[test]
fn knows_when_a_feed_was_published() {
    let published = |format, text: &str| {
        let feed = Feed::parse(format, text.as_bytes()).unwrap();
        feed.published().map(|time| time.to_string())
    };
    for (format, text) in [
        (Format::AwsIpRanges, AWS),
        (Format::GoogleCloud, GOOGLE),
        (Format::Atlassian, ATLASSIAN),
    ] {
        let time = published(format, text).unwrap();
        assert!(time.starts_with("2026-11-20T10:11:12"), "{time}");
    }
    assert_eq!(published(Format::AzureServiceTags, AZURE), None);
    assert_eq!(
        published(
            Format::AwsIpRanges,
            r#"{"prefixes":[],"createDate":"soon"}"#
        ),
        None
    );
}

#[test]
fn every_format_has_its_word() {
    for format in Format::ALL {
        assert_eq!(Format::parse(format.as_str()), Some(format));
    }
    assert_eq!(Format::parse("xml"), None);
}

fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

fn pin(file: &str, prefixes: u64) -> Pin {
    Pin {
        file: file.to_owned(),
        url: None,
        sha256: sha256(b""),
        fetched: at("2026-11-24T08:00:00Z"),
        size_bytes: 12,
        sets: vec![PinnedSet {
            format: "plain".to_owned(),
            key: None,
            prefixes,
        }],
    }
}

#[test]
fn the_lock_is_the_same_text_for_the_same_content() {
    let mut lock = Lock::default();
    lock.accept(pin("b.txt", 3));
    lock.accept(Pin {
        url: Some("https://feeds.example/a".to_owned()),
        ..pin("a.txt", 1)
    });
    lock.accept(pin("b.txt", 4));
    let text = lock.to_text().unwrap();
    let read = Lock::parse(&text).unwrap();
    assert_eq!(read.to_text().unwrap(), text);
    assert_eq!(
        read.pin("b.txt").unwrap().prefixes(Format::Plain, None),
        Some(4)
    );
    assert_eq!(read.pin("b.txt").unwrap().prefixes(Format::Csv, None), None);
    assert!(text.starts_with("# "));
    assert!(text.find("a.txt") < text.find("b.txt"), "{text}");
    assert_eq!(Lock::parse("version = 1").unwrap(), Lock::default());
    assert!(
        Lock::parse("version = 2")
            .unwrap_err()
            .contains("version 2")
    );
    assert!(!Lock::parse("feed = 1\n").unwrap_err().contains('\n'));
}

#[test]
fn a_plan_says_what_comes_and_goes() {
    let wanted = Wanted {
        name: "office".to_owned(),
        format: Format::Plain,
        key: None,
    };
    let fetched = |bytes| Fetched {
        file: "a.txt",
        bytes,
        url: None,
        at: at("2026-11-25T08:00:00Z"),
    };
    let sets = [wanted];
    let old: &[u8] = b"192.0.2.1\n192.0.2.2\n";
    let made = plan(fetched(b"192.0.2.2\n192.0.2.3\n"), Some(old), None, &sets).unwrap();
    assert_eq!(made.changes[0].added, ["192.0.2.3"]);
    assert_eq!(made.changes[0].removed, ["192.0.2.1"]);
    assert_eq!(made.changes[0].shrunk_from, None);
    assert_eq!(made.pin.sets[0].prefixes, 2);
    assert_eq!(made.pin.sha256, sha256(b"192.0.2.2\n192.0.2.3\n"));
    // The lock's count goes before that of the file that is there.
    let known = pin("a.txt", 5);
    let shrunk = plan(
        fetched(b"192.0.2.1\n192.0.2.2"),
        Some(old),
        Some(&known),
        &sets,
    )
    .unwrap();
    assert_eq!(shrunk.changes[0].shrunk_from, Some(5));
    let half = plan(fetched(old), None, Some(&pin("a.txt", 4)), &sets).unwrap();
    assert_eq!(half.changes[0].shrunk_from, None);
    let empty = plan(fetched(b"# nothing\n"), Some(old), None, &sets).unwrap_err();
    assert!(
        empty.to_string().contains("office: it would be empty"),
        "{empty}"
    );
    assert!(plan(fetched(b"<html>"), None, None, &sets).is_err());
}

/// Prints the time; machines differ too much to hold it to one.
#[test]
fn a_hundred_thousand_ranges_load() {
    let lines = (0_u32..100_000).map(|number| {
        let [_, a, b, c] = (number * 16).to_be_bytes();
        format!("{{\"ip_prefix\":\"10.{a}.{b}.{c}/28\",\"service\":\"S3\",\"region\":\"r\"}}")
    });
    let text = format!("{{\"prefixes\":[{}]}}", lines.collect::<Vec<_>>().join(","));
    let started = std::time::Instant::now();
    assert_eq!(texts(Format::AwsIpRanges, &text, Some("S3")).len(), 100_000);
    println!("100,000 ranges in {:?}", started.elapsed());
}

/// JSON with the keys of the formats, and anything beneath them.
fn any_document() -> impl Strategy<Value = String> {
    let word = prop::sample::select(vec![
        "values",
        "value",
        "items",
        "prefixes",
        "ipv6_prefixes",
        "name",
        "id",
        "properties",
        "addressPrefixes",
        "cidr",
        "product",
        "direction",
        "ip_prefix",
        "ipv6_prefix",
        "service",
        "region",
        "ipv4Prefix",
        "scope",
        "ipRanges",
        "cidrAddress",
        "displayName",
        "isTrusted",
        "createDate",
        "creationTime",
        "192.0.2.0/24",
        "::/0",
        "a",
        "",
    ]);
    let leaf = prop_oneof![
        word.clone().prop_map(|word| format!("{word:?}")),
        Just("null".to_owned()),
        Just("true".to_owned()),
        any::<i32>().prop_map(|number| number.to_string()),
    ];
    leaf.prop_recursive(5, 40, 5, move |inner| {
        let member =
            (word.clone(), inner.clone()).prop_map(|(key, value)| format!("{key:?}:{value}"));
        prop_oneof![
            prop::collection::vec(inner, 0..5).prop_map(|values| format!("[{}]", values.join(","))),
            prop::collection::vec(member, 0..5)
                .prop_map(|members| format!("{{{}}}", members.join(","))),
        ]
    })
}

proptest! {
    #[test]
    fn parsers_never_panic(text in prop_oneof![any_document(), "\\PC{0,200}", "[0-9a-f:./,#\n -]{0,200}"], key in prop::option::of("[a/.-]{0,6}")) {
        for format in Format::ALL {
            if let Ok(feed) = Feed::parse(format, text.as_bytes()) {
                let _ = feed.select(key.as_deref());
                let _ = feed.published();
            }
        }
        let _ = Lock::parse(&text);
    }

    #[test]
    fn parsers_of_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for format in Format::ALL {
            if let Ok(feed) = Feed::parse(format, &bytes) {
                let _ = feed.select(None);
            }
        }
    }
}
