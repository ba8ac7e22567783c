//! Any bytes, in one piece and in windows, with a habit and without: no panic, no endless loop, and the same items
//! either way.
//!
//! `cargo +nightly fuzz run read_text`

#![no_main]

use libfuzzer_sys::fuzz_target;
use spwatch::ingest::{
    Context, Csv, Document, Habit, Item, Offset, event_bytes, read_lines, read_text, sniff,
};

/// What is compared of an item.
fn trace(item: &Item<'_>) -> (u128, usize) {
    match item {
        Item::SignIn(sign_in) => (sign_in.key, 0),
        Item::AuditEvent => (1, 0),
        Item::Other(name) => (2, name.len()),
        Item::Reject(reject) => (3, reject.body.len()),
    }
}

/// Feeds a text in windows that grow by `step` bytes.
fn in_windows(text: &[u8], step: usize, mut read: impl FnMut(&[u8], bool) -> usize) {
    let (mut start, mut end) = (0, 0);
    loop {
        end = text.len().min(end + step);
        start += read(&text[start..end], end == text.len());
        assert!(start <= end);
        if end == text.len() {
            assert_eq!(start, end, "everything is consumed in the end");
            return;
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((step, text)) = data.split_first() else {
        return;
    };
    let step = usize::from(*step) + 1;
    let context = Context::default();
    let mut records = 0;
    read_text(text, &context, &mut Habit::default(), &mut |position, _| {
        records += 1;
        assert_eq!(position.record, records);
    });

    // What was learnt from the lines before, or from all of them, changes nothing.
    let (mut alone, mut offset) = (Vec::new(), Offset::default());
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        let mut visit = |_, item: &Item<'_>| alone.push(trace(item));
        offset = read_lines(line, offset, &context, &mut Habit::default(), &mut visit);
    }
    let mut habit = Habit::default();
    for _ in 0..2 {
        let mut together = Vec::new();
        let mut visit = |_, item: &Item<'_>| together.push(trace(item));
        read_lines(text, Offset::default(), &context, &mut habit, &mut visit);
        assert_eq!(alone, together);
    }

    sniff(text, false);
    let _ = event_bytes(text, &mut Vec::new());

    let (mut whole, mut pieces) = (Vec::new(), Vec::new());
    Document::new(&context).read(text, true, &mut |_, item| whole.push(trace(item)));
    let mut document = Document::new(&context);
    in_windows(text, step, |window, last| {
        document.read(window, last, &mut |_, item| pieces.push(trace(item)))
    });
    assert_eq!(whole, pieces);

    let (mut whole, mut pieces) = (Vec::new(), Vec::new());
    Csv::new(&context).read(text, true, &mut |_, item| whole.push(trace(item)));
    let mut csv = Csv::new(&context);
    in_windows(text, step, |window, last| {
        csv.read(window, last, &mut |_, item| pieces.push(trace(item)))
    });
    assert_eq!(whole, pieces);
});
