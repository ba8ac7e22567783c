//! Elements of an Event Hub batch, as bytes of text.

use std::io::Read;

use flate2::read::MultiGzDecoder;

use super::{UTF8_MARK, excerpt};

/// The most that one event may be decompressed to.
pub const MAX_EVENT: usize = 256 << 20;

/// Why an element of a batch is no text.
#[derive(Debug, thiserror::Error)]
pub enum EventError {
    /// It begins like no JSON, and it is not Base64.
    #[error("neither a JSON object or array nor Base64: {excerpt}")]
    NeitherJsonNorBase64 {
        /// Its beginning.
        excerpt: String,
    },
    /// It is Base64 of gzip data that does not decompress.
    #[error(transparent)]
    Gunzip(#[from] GunzipError),
}

/// Why gzip data cannot be decompressed.
#[derive(Debug, thiserror::Error)]
pub enum GunzipError {
    /// The data is damaged or cut off.
    #[error("damaged gzip data")]
    Damaged(#[source] std::io::Error),
    /// It holds more than the caller will take.
    #[error("gzip data that decompresses to more than {limit} bytes")]
    TooLarge {
        /// What the caller will take.
        limit: usize,
    },
}

/// Whether the bytes begin as gzip data do.
pub fn is_gzip(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0x1F, 0x8B])
}

/// Decompresses gzip data of one or more members, up to `limit` bytes.
///
/// # Errors
/// Damaged data, and data that decompresses to more than `limit` bytes.
pub fn gunzip(bytes: &[u8], limit: usize) -> Result<Vec<u8>, GunzipError> {
    let mut text = Vec::new();
    MultiGzDecoder::new(bytes)
        .take((limit as u64).saturating_add(1))
        .read_to_end(&mut text)
        .map_err(GunzipError::Damaged)?;
    if text.len() > limit {
        return Err(GunzipError::TooLarge { limit });
    }
    Ok(text)
}

/// The text of one element of an Event Hub batch; `room` is where it is decoded, if it must be.
///
/// An element that begins with `{` or `[`, behind a byte order mark and white space, is text. Any other is
/// Base64 of text, gzipped or not: the form the Functions host gives to data that is not UTF-8, and to all
/// data where the binding asks for bytes.
///
/// ```
/// # use spwatch::ingest::event_bytes;
/// let mut room = Vec::new();
/// assert_eq!(event_bytes(b"eyJyZWNvcmRzIjpbXX0=", &mut room).unwrap(), b"{\"records\":[]}");
/// assert!(event_bytes(b"oops!", &mut room).is_err());
/// ```
///
/// # Errors
/// Neither of the two, or Base64 of gzip data that is damaged or decompresses to more than [`MAX_EVENT`].
pub fn event_bytes<'e>(element: &'e [u8], room: &'e mut Vec<u8>) -> Result<&'e [u8], EventError> {
    let begun = visible(element);
    match begun.first() {
        Some(b'{' | b'[') => return Ok(element),
        Some(_) => {}
        None => return Ok(&[]),
    }
    room.clear();
    let encoded = trim_end(begun);
    if base64_simd::STANDARD.decode_append(encoded, room).is_err() {
        return Err(EventError::NeitherJsonNorBase64 {
            excerpt: excerpt(begun),
        });
    }
    let marked = room.strip_prefix(UTF8_MARK).unwrap_or(room);
    if is_gzip(marked) {
        *room = gunzip(marked, MAX_EVENT)?;
    }
    Ok(room)
}

/// The text from its first letter on that is neither white space nor a byte order mark.
fn visible(text: &[u8]) -> &[u8] {
    // Nearly every text begins with one.
    if text.first().is_some_and(u8::is_ascii_graphic) {
        return text;
    }
    let known = match std::str::from_utf8(text) {
        Ok(known) => known,
        Err(error) => {
            let valid = text.get(..error.valid_up_to()).unwrap_or_default();
            std::str::from_utf8(valid).unwrap_or_default()
        }
    };
    let blank = |letter: char| letter.is_whitespace() || letter == '\u{feff}';
    let blanks = known.len() - known.trim_start_matches(blank).len();
    text.get(blanks..).unwrap_or_default()
}

fn trim_end(text: &[u8]) -> &[u8] {
    match text.last() {
        Some(last) if last.is_ascii_graphic() => text,
        _ => std::str::from_utf8(text).map_or(text, |text| text.trim_end().as_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn read(element: &str) -> Result<Vec<u8>, EventError> {
        event_bytes(element.as_bytes(), &mut Vec::new()).map(<[u8]>::to_vec)
    }

    proptest::proptest! {
        #[test]
        fn takes_the_base64_that_another_reader_takes(text in "[A-Za-z0-9+/]{0,70}={0,3}[A-Z \n\"-]?") {
            let other = STANDARD.decode(text.trim_end()).ok();
            let other = other.filter(|bytes| !is_gzip(bytes));
            if !text.is_empty() && let Some(other) = other {
                proptest::prop_assert_eq!(read(&text).unwrap(), other);
            } else if !text.trim().is_empty() {
                proptest::prop_assert!(read(&text).is_err() || STANDARD.decode(text.trim_end()).is_ok());
            }
        }
    }

    #[test]
    fn takes_text_and_base64() {
        let json = "{\"records\":[]}";
        let encoded = STANDARD.encode(json);
        let zipped = STANDARD.encode(gzip(json.as_bytes()));
        for element in [json, &encoded, &format!(" {encoded}\n"), &zipped] {
            assert_eq!(read(element).unwrap(), json.as_bytes(), "{element}");
        }
        assert_eq!(read("\u{feff} []").unwrap(), "\u{feff} []".as_bytes());
        assert_eq!(read(" ").unwrap(), b"");
    }

    #[test]
    fn refuses_the_rest_briefly() {
        let error = read(&"not base64! ".repeat(100)).unwrap_err().to_string();
        assert!(error.starts_with("neither") && error.len() < 150, "{error}");
        let mut cut = gzip(b"[]");
        cut.truncate(12);
        let error = read(&STANDARD.encode(cut)).unwrap_err();
        assert_eq!(error.to_string(), "damaged gzip data");
    }

    #[test]
    fn bounds_what_comes_out() {
        let bomb = gzip(&vec![b' '; 100_000]);
        assert!(matches!(
            gunzip(&bomb, 99_999),
            Err(GunzipError::TooLarge { limit: 99_999 })
        ));
        assert_eq!(gunzip(&bomb, 100_000).unwrap().len(), 100_000);
        let twice = [gzip(b"[1"), gzip(b"]")].concat();
        assert_eq!(gunzip(&twice, 10).unwrap(), b"[1]");
    }
}
