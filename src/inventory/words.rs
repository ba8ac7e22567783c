//! Numbers and lists as sentences have them.

use crate::sign_in::Timestamp;
pub(super) use crate::wording::{counted, number};

/// As many are named in a sentence.
const NAMED: usize = 5;

/// The first few of a list, and how many more there are.
pub(super) fn some(values: &[String]) -> String {
    let named: Vec<&str> = values.iter().take(NAMED).map(String::as_str).collect();
    let mut text = named.join(", ");
    if values.len() > NAMED {
        text.push_str(&format!(
            " and {} more",
            number((values.len() - NAMED) as u64)
        ));
    }
    text
}

/// The day of a point in time.
pub(super) fn day(time: Timestamp) -> String {
    time.utc().format("%Y-%m-%d").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_digits() {
        for (value, text) in [
            (0, "0"),
            (999, "999"),
            (1_000, "1,000"),
            (16_777_216, "16,777,216"),
        ] {
            assert_eq!(number(value), text);
        }
        assert_eq!(counted(1, "address"), "1 address");
        assert_eq!(counted(1_000, "address"), "1,000 addresses");
    }
}
