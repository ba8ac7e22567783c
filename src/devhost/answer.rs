//! What the host makes of a response to an invocation. Pure.
//!
//! (host: src/WebJobs.Script/Workers/Http/HttpScriptInvocationResultExtensions.cs, Binding/FunctionBinding.cs;
//! aspnet/AspNetWebStack: src/System.Net.Http.Formatting/HttpContentExtensions.cs)

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::alphabet::STANDARD as ALPHABET;
use base64::engine::{GeneralPurpose, GeneralPurposeConfig};
use serde_json::value::RawValue;

use super::function_file::{DataType, OutputBinding, OutputKind};

mod format;

use format::reformat;

/// A response as it came over the wire.
#[derive(Debug, Clone, Copy)]
pub struct Response<'a> {
    /// Status code.
    pub status: u16,
    /// `Content-Type`, if any.
    pub content_type: Option<&'a str>,
    /// `Content-Length`, if any; absent for a chunked body.
    pub content_length: Option<u64>,
    /// The body.
    pub body: &'a [u8],
}

/// A successful invocation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// What to write, by output binding, in the order of `function.json`.
    pub outputs: Vec<Output>,
    /// Written at level Information in the invocation's own log.
    pub logs: Vec<String>,
}

/// What one output binding is to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// The binding's name.
    pub binding: String,
    /// One entry per message; a blob or a response has one.
    pub items: Vec<Item>,
}

/// One message, blob or response body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// A text.
    Text(String),
    /// Bytes, perhaps because a text happened to be Base64.
    Bytes(Vec<u8>),
}

impl Item {
    /// The bytes that are written.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Bytes(bytes) => bytes,
        }
    }
}

/// Why an invocation failed although the handler answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// Not 2xx. The host ignores the body, so the handler must log the reason itself.
    #[error("the status is {0}")]
    Status(u16),
    /// The worst answer: the invocation never ends.
    #[error("the body is empty or null: the invocation would hang until functionTimeout")]
    Hang,
    /// A body, but not one that the host reads.
    #[error("the content type is {0:?}, which the host cannot read")]
    ContentType(Option<String>),
    /// Not JSON, or not of the shape that the host reads.
    #[error("the body is not what the host reads: {0}")]
    Malformed(String),
}

impl Failure {
    /// Whether the real host would wait for `functionTimeout` and then kill the handler.
    pub fn hangs(&self) -> bool {
        matches!(self, Self::Hang)
    }
}

/// Judges a response to an invocation of a function with these output bindings.
///
/// Redirects have been followed before, as the host's client does.
///
/// # Errors
/// The invocation fails, or hangs ([`Failure::Hang`]).
pub fn judge(response: Response<'_>, bindings: &[OutputBinding]) -> Result<Answer, Failure> {
    if !(200..300).contains(&response.status) {
        return Err(Failure::Status(response.status));
    }
    if response.content_length == Some(0) {
        return Err(Failure::Hang);
    }
    let json = response.content_type.is_some_and(|text| {
        let essence = text.split(';').next().unwrap_or_default().trim();
        essence.eq_ignore_ascii_case("application/json")
            || essence.eq_ignore_ascii_case("text/json")
    });
    if !json {
        return Err(Failure::ContentType(
            response.content_type.map(str::to_owned),
        ));
    }
    let body = response
        .body
        .strip_prefix(b"\xef\xbb\xbf")
        .unwrap_or(response.body);
    if body.trim_ascii().is_empty() || body.trim_ascii() == b"null" {
        return Err(Failure::Hang);
    }
    let malformed = |error: serde_json::Error| {
        let start: String = String::from_utf8_lossy(body).chars().take(200).collect();
        Failure::Malformed(format!("{error}, in {start}"))
    };
    let fields: BTreeMap<String, Box<RawValue>> =
        serde_json::from_slice(body).map_err(malformed)?;
    let logs: Option<Vec<String>> = field(&fields, "Logs")?;
    let outputs: Option<BTreeMap<String, Box<RawValue>>> = field(&fields, "Outputs")?;
    let returned: Option<Box<RawValue>> = field(&fields, "ReturnValue")?;
    let mut outputs = outputs.unwrap_or_default();
    if let Some(returned) = returned {
        let named = bindings.iter().any(|binding| binding.name == "$return");
        if named {
            outputs.insert("$return".into(), returned);
        } else if returned.get().starts_with('{') {
            // Without a `$return` binding the properties of an object overwrite outputs of the same name.
            let properties: BTreeMap<String, Box<RawValue>> =
                serde_json::from_str(returned.get()).map_err(malformed)?;
            outputs.extend(properties);
        }
    }
    let outputs = bindings
        .iter()
        .filter_map(|binding| {
            let value = outputs.get(&binding.name)?;
            (value.get() != "null").then(|| output(binding, value))
        })
        .collect::<Result<_, _>>()
        .map_err(malformed)?;
    Ok(Answer {
        outputs,
        logs: logs.unwrap_or_default(),
    })
}

/// A field of the answer; its name is matched exactly first, then without regard to case.
fn field<T: serde::de::DeserializeOwned>(
    fields: &BTreeMap<String, Box<RawValue>>,
    name: &str,
) -> Result<Option<T>, Failure> {
    let Some(value) = fields.get(name).or_else(|| {
        fields
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }) else {
        return Ok(None);
    };
    serde_json::from_str(value.get())
        .map_err(|error| Failure::Malformed(format!("`{name}`: {error}")))
}

fn output(binding: &OutputBinding, value: &RawValue) -> Result<Output, serde_json::Error> {
    let text: Option<String> = match value.get().starts_with('"') {
        true => Some(serde_json::from_str(value.get())?),
        false => None,
    };
    let items = match (&binding.kind, text) {
        (kind, Some(text)) => match trap(binding, &text) {
            Some(bytes) => vec![Item::Bytes(bytes)],
            None if matches!(kind, OutputKind::Queue(_)) => messages(&text)?,
            None => vec![Item::Text(text)],
        },
        (OutputKind::Queue(_), None) => messages(value.get())?,
        (OutputKind::Blob(_), None) => vec![blob(value.get())],
        (OutputKind::Http, None) => vec![Item::Text(value.get().to_owned())],
    };
    Ok(Output {
        binding: binding.name.clone(),
        items,
    })
}

/// A text that decodes as Base64 is replaced by the bytes, wanted or not, unless the binding is binary.
fn trap(binding: &OutputBinding, text: &str) -> Option<Vec<u8>> {
    if binding.data_type == DataType::Binary {
        return None;
    }
    // .NET passes over white space and over stray bits at the end.
    let dense: String = text
        .chars()
        .filter(|c| !matches!(c, ' ' | '\t' | '\r' | '\n'))
        .collect();
    const LENIENT: GeneralPurpose = GeneralPurpose::new(
        &ALPHABET,
        GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true),
    );
    LENIENT.decode(dense).ok()
}

/// A collector's messages: the elements of an array, else the one value.
///
/// A string that holds JSON is looked into, so the text of an object is written anew, indented.
fn messages(text: &str) -> Result<Vec<Item>, serde_json::Error> {
    let trimmed = text.trim();
    let json = (trimmed.starts_with('{') && trimmed.ends_with('}'))
        || (trimmed.starts_with('[') && trimmed.ends_with(']'));
    if json && let Ok(elements) = serde_json::from_str::<Vec<Box<RawValue>>>(trimmed) {
        return elements.iter().map(|element| message(element)).collect();
    }
    if json && let Ok(object) = serde_json::from_str::<&RawValue>(trimmed) {
        return Ok(vec![message(object)?]);
    }
    Ok(vec![Item::Text(scalar(text).to_owned())])
}

fn message(element: &RawValue) -> Result<Item, serde_json::Error> {
    let text = element.get();
    Ok(Item::Text(match text.as_bytes().first() {
        Some(b'"') => serde_json::from_str(text)?,
        Some(b'{' | b'[') => reformat(text, true),
        _ => scalar(text).to_owned(),
    }))
}

/// As .NET writes a JSON scalar: booleans with a capital, null as nothing.
fn scalar(text: &str) -> &str {
    match text {
        "true" => "True",
        "false" => "False",
        "null" => "",
        other => other,
    }
}

/// A blob's content. Numbers and booleans are written as their bytes in memory, which is of no use to anybody.
fn blob(json: &str) -> Item {
    if let Ok(number) = json.parse::<i64>() {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the host cuts a long to an int here"
        )]
        return Item::Bytes((number as i32).to_le_bytes().to_vec());
    }
    if let Ok(number) = json.parse::<f64>() {
        return Item::Bytes(number.to_le_bytes().to_vec());
    }
    match json {
        "true" => Item::Bytes(vec![1]),
        "false" => Item::Bytes(vec![0]),
        _ => Item::Text(reformat(json, false)),
    }
}

#[cfg(test)]
mod tests;
