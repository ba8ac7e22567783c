//! "Did you mean": the nearest of the words that would have been right.

/// The candidate nearest to a word, if it is near enough to be a slip.
pub(crate) fn nearest<'c>(
    word: &str,
    candidates: impl IntoIterator<Item = &'c str>,
) -> Option<&'c str> {
    // Words of one or two letters are near to everything; long ones need no measuring.
    let length = word.chars().count();
    if length > 80 {
        return None;
    }
    let folded = word.to_lowercase().replace('_', "-");
    let limit = match length {
        0..=2 => 1,
        3..=5 => 2,
        _ => length.div_ceil(3),
    };
    candidates
        .into_iter()
        .filter(|candidate| *candidate != word && candidate.len() <= 160)
        .map(|candidate| {
            let other = candidate.to_lowercase().replace('_', "-");
            (strsim::osa_distance(&folded, &other), candidate)
        })
        .filter(|(distance, candidate)| *distance <= limit && *distance < candidate.len())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// A value as a message quotes it: cut, and without control characters.
pub(crate) fn quoted(text: &str) -> String {
    const LONGEST: usize = 60;
    if text.chars().count() <= LONGEST {
        return format!("{text:?}");
    }
    let cut: String = text.chars().take(LONGEST).collect();
    format!("{cut:?}…")
}

/// `a`, `a or b`, `a, b or c`.
pub(crate) fn either(words: &[&str]) -> String {
    match words.split_last() {
        None => String::new(),
        Some((last, [])) => (*last).to_owned(),
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suggests_slips_and_nothing_far_fetched() {
        let keys = ["allow", "app_id", "name", "owner", "severity"];
        let table = [
            ("alow", Some("allow")),
            ("appid", Some("app_id")),
            ("app-id", Some("app_id")),
            ("App_ID", Some("app_id")),
            ("nmae", Some("name")),
            ("sevrity", Some("severity")),
            ("colour", None),
            ("x", None),
            ("", None),
        ];
        for (word, expected) in table {
            assert_eq!(nearest(word, keys), expected, "{word}");
        }
    }

    #[test]
    fn lists_words() {
        assert_eq!(either(&["a"]), "a");
        assert_eq!(either(&["a", "b", "c"]), "a, b or c");
    }
}
