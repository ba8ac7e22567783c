//! Json.NET's two ways to write a document anew, order and numbers as they were.

/// `json` without white space, or indented by two blanks. It must be valid.
pub(crate) fn reformat(json: &str, indented: bool) -> String {
    let mut out = String::with_capacity(json.len() + if indented { json.len() / 2 } else { 0 });
    let mut depth = 0_usize;
    let mut characters = json.chars().peekable();
    let line = |out: &mut String, depth: usize| {
        if indented {
            out.push('\n');
            out.extend(std::iter::repeat_n("  ", depth));
        }
    };
    while let Some(c) = characters.next() {
        match c {
            ' ' | '\t' | '\r' | '\n' => {}
            '"' => {
                out.push(c);
                while let Some(inner) = characters.next() {
                    out.push(inner);
                    match inner {
                        '\\' => out.extend(characters.next()),
                        '"' => break,
                        _ => {}
                    }
                }
            }
            '{' | '[' => {
                out.push(c);
                while characters
                    .next_if(|next| next.is_ascii_whitespace())
                    .is_some()
                {}
                match characters.next_if(|next| matches!(next, '}' | ']')) {
                    Some(close) => out.push(close),
                    None => {
                        depth += 1;
                        line(&mut out, depth);
                    }
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                line(&mut out, depth);
                out.push(c);
            }
            ',' => {
                out.push(c);
                line(&mut out, depth);
            }
            ':' => out.push_str(if indented { ": " } else { ":" }),
            _ => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::reformat;

    #[test]
    fn order_and_strings_stay() {
        let json = r#" { "b" : [ 1 , {} , [ ] ] , "a" : "x: {\" , }" } "#;
        assert_eq!(reformat(json, false), r#"{"b":[1,{},[]],"a":"x: {\" , }"}"#);
        assert_eq!(
            reformat(json, true),
            "{\n  \"b\": [\n    1,\n    {},\n    []\n  ],\n  \"a\": \"x: {\\\" , }\"\n}"
        );
    }
}
