//! Numbers and lists as sentences have them.

use crate::sign_in::Timestamp;

/// As many are named in a sentence.
const NAMED: usize = 5;

/// `16,777,216`
pub(super) fn number(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 sign-in`, `2,000 sign-ins`, `3 addresses`.
pub(super) fn counted(count: u64, noun: &str) -> String {
    let plural = match noun {
        _ if count == 1 => "",
        noun if noun.ends_with('s') => "es",
        _ => "s",
    };
    format!("{} {noun}{plural}", number(count))
}

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
