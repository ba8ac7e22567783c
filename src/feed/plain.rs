//! One range a line; what follows a `#` is a comment.

use super::{Fault, Prefix, ranges};

#[derive(Debug)]
pub(super) struct Document {
    lines: Vec<(usize, String)>,
}

pub(super) fn read(bytes: &[u8]) -> Result<Document, Fault> {
    let text = std::str::from_utf8(bytes).map_err(|error| Fault {
        is_key: false,
        message: format!("it is not UTF-8 (byte {})", error.valid_up_to()),
        help: "save it as UTF-8".to_owned(),
    })?;
    let lines = text.lines().enumerate().filter_map(|(number, line)| {
        let range = line.split('#').next().unwrap_or_default().trim();
        (!range.is_empty()).then(|| (number + 1, range.to_owned()))
    });
    Ok(Document {
        lines: lines.collect(),
    })
}

impl Document {
    pub(super) fn select(&self, key: Option<&str>) -> Result<Vec<Prefix>, Fault> {
        if key.is_some() {
            return Err(Fault {
                is_key: true,
                message: "a plain feed has no keys".to_owned(),
                help: "remove `key`".to_owned(),
            });
        }
        let lines = self.lines.iter();
        ranges(
            lines.map(|(number, text)| (*number, text.as_str())),
            |number| format!("line {number}"),
        )
    }
}
