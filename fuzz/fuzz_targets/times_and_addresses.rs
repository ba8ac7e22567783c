//! Any text as a time or an address: no panic, and what was read reads the same again.
//!
//! `cargo +nightly fuzz run times_and_addresses`

#![no_main]

use libfuzzer_sys::fuzz_target;
use spwatch::sign_in::{Timestamp, fold_name, parse_address, strip_address_decoration};

fuzz_target!(|text: &str| {
    if let Ok(time) = Timestamp::parse(text) {
        let written = time.to_string();
        // A year before 0 or beyond 9999, by an offset at the edge, has no RFC 3339 form.
        if written.len() == "2026-11-24T08:15:00.0000000Z".len() {
            let again = Timestamp::parse(&written).expect("what is written reads back");
            assert_eq!(again.to_string(), written);
        }
    }
    if let Some(address) = parse_address(text) {
        assert!(!address.is_unspecified());
        assert_eq!(parse_address(&address.to_string()), Some(address));
    }
    strip_address_decoration(text);
    fold_name(text);
});
