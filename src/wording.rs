//! Words that are written into policies and said of them: strings, remarks, numbers. A leaf.
//!
//! Names come from logs and directories, where anybody may have chosen them: nothing of them acts on a screen, or
//! reads as more than it is.

use std::fmt::Write as _;

/// A text as TOML's basic string, on one line, with nothing in it that acts on a screen.
pub(crate) fn toml_string(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for letter in text.chars() {
        match letter {
            '"' | '\\' => {
                quoted.push('\\');
                quoted.push(letter);
            }
            _ if letter.is_control() || is_mark(letter) => {
                // Writing into a string cannot fail.
                let _ = write!(quoted, "\\u{:04X}", u32::from(letter));
            }
            letter => quoted.push(letter),
        }
    }
    quoted.push('"');
    quoted
}

/// Marks that turn the direction of text, and separators of lines. All lie below U+FFFF.
fn is_mark(letter: char) -> bool {
    matches!(letter, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// A text as a remark: on one line.
pub(crate) fn remark(text: &str) -> String {
    let plain = |letter: char| match letter.is_control() || is_mark(letter) {
        true => ' ',
        false => letter,
    };
    text.chars()
        .map(plain)
        .collect::<String>()
        .trim()
        .to_owned()
}

/// `16,777,216`
pub(crate) fn number(number: u64) -> String {
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
pub(crate) fn counted(count: u64, noun: &str) -> String {
    let plural = match noun {
        _ if count == 1 => "",
        noun if noun.ends_with('s') => "es",
        _ => "s",
    };
    format!("{} {noun}{plural}", number(count))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_name_acts_on_a_screen() {
        let name = "pay\"roll\\\u{202e}\u{7}\n\u{2028}x";
        let string = toml_string(name);
        assert!(string.is_ascii() && string.lines().count() == 1, "{string}");
        let read: toml::Table = format!("name = {string}").parse().unwrap();
        assert_eq!(read["name"].as_str(), Some(name));
        assert_eq!(remark(" a\u{202e}b\nc "), "a b c");
    }

    #[test]
    fn numbers_have_their_nouns() {
        assert_eq!(counted(1, "address"), "1 address");
        assert_eq!(counted(2, "address"), "2 addresses");
        assert_eq!(counted(16_777_216, "sign-in"), "16,777,216 sign-ins");
    }
}
