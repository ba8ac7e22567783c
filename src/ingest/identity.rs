//! The 128-bit identity that tells a record from another and finds it again when it is re-delivered.
//!
//! A sign-in with an id is its tenant and that id. One without is a hash of what it says, and never of
//! `time`, which a re-delivered record gets anew (measured by `rknightion/graph2otel`, whose live tenant
//! saw about 4 % of its records twice). The two ways do not collide in practice: both spread over 128 bits.

use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::json::Reader;
use crate::sign_in::Id;

/// Stands between the parts of an identity; no id holds it.
const SEPARATOR: [u8; 1] = [0x1F];

/// The identity of a sign-in that has an id.
pub(super) fn of_id(tenant: Option<&Id<'_>>, id: &Id<'_>) -> u128 {
    match (tenant, id) {
        (None, Id::Guid(id)) => mix(0, id.as_u128()),
        (Some(Id::Guid(tenant)), Id::Guid(id)) => mix(spread(*tenant), id.as_u128()),
        (tenant, id) => {
            let mut hash = of_tenant(tenant);
            // GUIDs are lower-case here; ids of any other kind are told apart by case, lest the second of
            // two sign-ins goes unjudged.
            hash.update(id.to_string());
            finish(hash)
        }
    }
}

/// The identity of a sign-in without an id, from the tokens that `content` feeds.
pub(super) fn of_content(tenant: Option<&Id<'_>>, content: &dyn Fn(&mut Sha256)) -> u128 {
    let mut hash = of_tenant(tenant);
    content(&mut hash);
    finish(hash)
}

fn of_tenant(tenant: Option<&Id<'_>>) -> Sha256 {
    let mut hash = Sha256::new();
    if let Some(tenant) = tenant {
        hash.update(tenant.to_string().to_lowercase());
    }
    hash.update(SEPARATOR);
    hash
}

fn finish(hash: Sha256) -> u128 {
    let digest = hash.finalize();
    digest
        .first_chunk()
        .map_or(0, |bytes| u128::from_be_bytes(*bytes))
}

/// Scatters the tenant, so that tenants whose GUIDs differ in a bit or two lie far apart.
fn spread(tenant: Uuid) -> u128 {
    tenant
        .as_u128()
        .wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835)
        .rotate_left(67)
}

/// Mixes tenant and id: one to one for a given tenant, so two ids of a tenant never meet; every bit of
/// either moves about half of the result's. Ids are Microsoft's to give, not an attacker's to choose,
/// so the mixer need not be a cryptographic one, and SHA-256 would cost a third of reading the record.
fn mix(tenant: u128, id: u128) -> u128 {
    let mut key = tenant ^ id;
    key ^= key >> 67;
    key = key.wrapping_mul(0xD6E8_FEB8_6659_FD93_C2B2_AE3D_27D4_EB4F);
    key ^= key >> 61;
    key = key.wrapping_mul(0xA076_1D64_78BD_642F_E703_7ED1_A0B4_28DB);
    key ^ (key >> 64)
}

/// Feeds one token, so that no two sequences of tokens look alike.
pub(super) fn token(hash: &mut Sha256, tag: u8, bytes: &[u8]) {
    hash.update([tag]);
    hash.update((bytes.len() as u64).to_le_bytes());
    hash.update(bytes);
}

/// Feeds a valid JSON value: the same for every spacing and every way to escape its strings.
pub(super) fn value(hash: &mut Sha256, json: &[u8]) {
    let mut reader = Reader::new(json, 0);
    loop {
        reader.blanks();
        let start = reader.at();
        match reader.peek() {
            None => return,
            Some(b'"') => match reader.string() {
                Ok(text) => token(hash, b's', text.decode().as_bytes()),
                Err(_) => return,
            },
            Some(b'{' | b'}' | b'[' | b']' | b':' | b',') => {
                reader.bump();
                hash.update(reader.since(start));
            }
            Some(_) => {
                while let Some(b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'+' | b'-' | b'.') =
                    reader.peek()
                {
                    reader.bump();
                }
                if reader.at() == start {
                    return;
                }
                token(hash, b'n', reader.since(start));
            }
        }
    }
}

/// Feeds the members of a flat row, without those that tell of its delivery.
pub(super) fn row(hash: &mut Sha256, json: &[u8]) {
    let mut reader = Reader::new(json, 0);
    let mut first = true;
    while let Ok(Some(key)) = reader.next_key(first) {
        first = false;
        let start = reader.at();
        if reader.skip(1).is_err() {
            return;
        }
        let key = key.decode();
        if !of_delivery(&key) {
            token(hash, b'k', key.as_bytes());
            value(hash, reader.since(start));
        }
    }
}

/// Whether a column tells when and how a row was delivered, not what happened.
pub(super) fn of_delivery(column: &str) -> bool {
    column.starts_with('_')
        || ["time", "TimeGenerated", "ingestion_time", "IngestionTime"]
            .iter()
            .any(|known| column.eq_ignore_ascii_case(known))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(tenant: Option<&str>, id: &str) -> u128 {
        let tenant = tenant.and_then(|text| Id::parse(text.into()));
        of_id(tenant.as_ref(), &Id::parse(id.into()).unwrap())
    }

    fn hashed(feed: impl Fn(&mut Sha256)) -> u128 {
        of_content(None, &feed)
    }

    #[test]
    fn tells_tenants_and_ids_apart() {
        let a = "11111111-1111-1111-1111-111111111111";
        let b = "11111111-1111-1111-1111-111111111112";
        let keys = [
            key(None, a),
            key(None, b),
            key(Some(a), a),
            key(Some(a), b),
            key(Some(b), a),
            key(Some(b), b),
            key(Some("tenantId"), a),
            key(Some(a), "x"),
            key(None, "x"),
        ];
        for (place, key) in keys.iter().enumerate() {
            assert!(!keys[..place].contains(key), "{place}");
        }
        assert_eq!(key(Some("TenantID"), "x"), key(Some("tenantid"), "x"));
        assert_ne!(key(None, "X"), key(None, "x"));
    }

    #[test]
    fn takes_no_heed_of_spelling() {
        let compact = br#"{"a":"G\u00e4vle","b":[1,2.0,{"c":null}]}"#;
        let pretty = "{\n \"a\" : \"Gävle\",\n \"b\": [1, 2.0, { \"c\": null }]\n}".as_bytes();
        assert_eq!(
            hashed(|hash| value(hash, compact)),
            hashed(|hash| value(hash, pretty))
        );
        assert_eq!(
            hashed(|hash| row(hash, compact)),
            hashed(|hash| row(hash, pretty))
        );
        for other in [
            &br#"{"a":"G","b":[1,2.0,{"c":null}]}"#[..],
            br#"{"a":"G\u00e4vle","b":[12.0,{"c":null}]}"#,
        ] {
            assert_ne!(
                hashed(|hash| value(hash, compact)),
                hashed(|hash| value(hash, other))
            );
        }
    }

    #[test]
    fn takes_no_heed_of_delivery() {
        let first = br#"{"TimeGenerated":"2026-01-01T00:00:00Z","_ItemId":"1","AppId":"x"}"#;
        let again = br#"{"AppId":"x","timegenerated":"2026-01-02T00:00:00Z"}"#;
        assert_eq!(
            hashed(|hash| row(hash, first)),
            hashed(|hash| row(hash, again))
        );
    }

    #[test]
    fn moves_every_bit() {
        let base = 0x1111_2222_3333_4444_5555_6666_7777_8888;
        for bit in 0..128 {
            let moved = (mix(7, base) ^ mix(7, base ^ 1 << bit)).count_ones();
            assert!((30..100).contains(&moved), "bit {bit} moves {moved}");
        }
    }
}
