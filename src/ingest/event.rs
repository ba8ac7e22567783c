//! Elements of an Event Hub batch, as bytes of text.

use std::borrow::Cow;
use std::io::Read;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
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

/// The text of one element of an Event Hub batch.
///
/// An element that begins with `{` or `[`, behind a byte order mark and white space, is text. Any other is
/// Base64 of text, gzipped or not: the form the Functions host gives to data that is not UTF-8, and to all
/// data where the binding asks for bytes.
///
/// ```
/// # use spwatch::ingest::event_bytes;
/// assert_eq!(&*event_bytes("eyJyZWNvcmRzIjpbXX0=").unwrap(), b"{\"records\":[]}");
/// assert!(event_bytes("oops!").is_err());
/// ```
///
/// # Errors
/// Neither of the two, or Base64 of gzip data that is damaged or decompresses to more than [`MAX_EVENT`].
pub fn event_bytes(element: &str) -> Result<Cow<'_, [u8]>, EventError> {
    let begun =
        element.trim_start_matches(|letter: char| letter.is_whitespace() || letter == '\u{feff}');
    if begun.starts_with(['{', '[']) {
        return Ok(Cow::Borrowed(element.as_bytes()));
    }
    if begun.is_empty() {
        return Ok(Cow::Borrowed(&[]));
    }
    let Ok(data) = STANDARD.decode(begun.trim_end()) else {
        return Err(EventError::NeitherJsonNorBase64 {
            excerpt: excerpt(begun.as_bytes()),
        });
    };
    let marked = data.strip_prefix(UTF8_MARK).unwrap_or(&data);
    if is_gzip(marked) {
        return Ok(Cow::Owned(gunzip(marked, MAX_EVENT)?));
    }
    Ok(Cow::Owned(data))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn takes_text_and_base64() {
        let json = "{\"records\":[]}";
        let encoded = STANDARD.encode(json);
        let zipped = STANDARD.encode(gzip(json.as_bytes()));
        for element in [json, &encoded, &format!(" {encoded}\n"), &zipped] {
            assert_eq!(
                &*event_bytes(element).unwrap(),
                json.as_bytes(),
                "{element}"
            );
        }
        assert_eq!(
            &*event_bytes("\u{feff} []").unwrap(),
            "\u{feff} []".as_bytes()
        );
        assert_eq!(&*event_bytes(" ").unwrap(), b"");
    }

    #[test]
    fn refuses_the_rest_briefly() {
        let error = event_bytes(&"not base64! ".repeat(100))
            .unwrap_err()
            .to_string();
        assert!(error.starts_with("neither") && error.len() < 150, "{error}");
        let mut cut = gzip(b"[]");
        cut.truncate(12);
        let error = event_bytes(&STANDARD.encode(cut)).unwrap_err();
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
