//! Telling secrets from the places where secrets are kept.

/// Whether a text looks like a secret itself: long, in one piece, no address or path, and
/// jumping between letters and digits as no word does.
///
/// A GUID is none: the id of an Entra client secret is one, and no secret.
pub(crate) fn looks_like_secret(text: &str) -> bool {
    let text = text.trim();
    if text.len() < 16
        || text.contains(['/', '\\', ' ', '@'])
        || text.contains("env:")
        || (text.len() == 36 && uuid::Uuid::try_parse(text).is_ok())
    {
        return false;
    }
    // Aa is how words begin; A1, aA, a1 and 1a are jumps.
    let jumps = text
        .as_bytes()
        .windows(2)
        .filter(|pair| match pair {
            [a, b] if a.is_ascii_alphanumeric() && b.is_ascii_alphanumeric() => {
                a.is_ascii_digit() != b.is_ascii_digit()
                    || (a.is_ascii_lowercase() && b.is_ascii_uppercase())
            }
            _ => false,
        })
        .count();
    jumps * 5 >= text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_secrets_from_places() {
        let table = [
            ("abC8Q~dEfGh1jKlM2nOpQr3sTuVwX4yZaBcDeF5g", true),
            ("9f86d081884c7d659a2feaa0c55ad015", true),
            ("https://ecorp-kv.vault.azure.net/secrets/mtpapi", false),
            ("ecorp-kv/mtpapi", false),
            ("Azure-KeyVault-ecorp-kv-mtpapi-2024", false),
            ("the password safe of the SOC", false),
            ("aaaaaaaa-1111-2222-3333-444444444444", false),
            ("short1A2b", false),
        ];
        for (text, expected) in table {
            assert_eq!(looks_like_secret(text), expected, "{text}");
        }
    }
}
