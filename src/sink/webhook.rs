//! Generic webhook: the alert as JSON, signed by the Standard Webhooks scheme where a secret is set.
//!
//! Scheme: standard-webhooks/standard-webhooks `spec/standard-webhooks.md`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::{Method, Request, Secret};

/// A signing secret that cannot be used. The text never holds the secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SigningSecretError {
    /// There is no key at all.
    #[error("the signing secret is empty")]
    Empty,
    /// A key without its prefix.
    #[error("the signing secret does not start with `whsec_`")]
    Prefix,
    /// A key that is not Base64.
    #[error("the signing secret is not Base64 after `whsec_`")]
    Base64,
}

/// The request that posts one alert. `id` is the delivery's idempotency key, the same on every retry.
///
/// # Errors
/// The secret is no `whsec_…` value (or several, separated by blanks, while keys are rotated).
pub fn request(
    url: &Secret,
    content_type: &str,
    id: &str,
    unix_seconds: i64,
    body: Vec<u8>,
    secret: Option<&Secret>,
) -> Result<Request, SigningSecretError> {
    let mut headers = vec![
        ("content-type", Secret::new(content_type.to_owned())),
        ("webhook-id", Secret::new(id.to_owned())),
        ("webhook-timestamp", Secret::new(unix_seconds.to_string())),
    ];
    if let Some(secret) = secret {
        let signature = sign(id, unix_seconds, &body, secret)?;
        headers.push(("webhook-signature", Secret::new(signature)));
    }
    Ok(Request {
        method: Method::Post,
        url: url.clone(),
        headers,
        body,
    })
}

/// The value of `webhook-signature`: one signature for each key, separated by blanks.
///
/// # Errors
/// The secret is no `whsec_…` value.
pub fn sign(
    id: &str,
    unix_seconds: i64,
    body: &[u8],
    secret: &Secret,
) -> Result<String, SigningSecretError> {
    let mut signatures = Vec::new();
    for key in secret.reveal().split_whitespace() {
        let key = key
            .strip_prefix("whsec_")
            .ok_or(SigningSecretError::Prefix)?;
        let key = STANDARD
            .decode(key)
            .map_err(|_| SigningSecretError::Base64)?;
        if key.is_empty() {
            return Err(SigningSecretError::Empty);
        }
        // HMAC takes a key of any length.
        let mut mac =
            Hmac::<Sha256>::new_from_slice(&key).map_err(|_| SigningSecretError::Base64)?;
        mac.update(format!("{id}.{unix_seconds}.").as_bytes());
        mac.update(body);
        signatures.push(format!(
            "v1,{}",
            STANDARD.encode(mac.finalize().into_bytes())
        ));
    }
    if signatures.is_empty() {
        return Err(SigningSecretError::Empty);
    }
    Ok(signatures.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The reference vector of the Standard Webhooks libraries.
    #[test]
    fn signs_the_reference_vector() {
        let secret = Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned());
        let request = request(
            &Secret::new("https://hook.example/".into()),
            "application/json",
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            br#"{"test": 2432232314}"#.to_vec(),
            Some(&secret),
        )
        .unwrap();
        assert_eq!(
            request.header("webhook-signature").unwrap().reveal(),
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
        );
    }

    #[test]
    fn rotates_keys_and_never_shows_them() {
        let secret = Secret::new("whsec_AAAA whsec_BBBB".to_owned());
        assert_eq!(sign("a", 1, b"{}", &secret).unwrap().split(' ').count(), 2);
        assert!(!format!("{secret:?}").contains("AAAA"));
        assert_eq!(
            sign("a", 1, b"", &Secret::new("AAAA".into())),
            Err(SigningSecretError::Prefix)
        );
        assert_eq!(
            sign("a", 1, b"", &Secret::new("whsec_*".into())),
            Err(SigningSecretError::Base64)
        );
        assert_eq!(
            sign("a", 1, b"", &Secret::new("  ".into())),
            Err(SigningSecretError::Empty)
        );
    }
}
