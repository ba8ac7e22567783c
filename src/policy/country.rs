//! ISO 3166-1 alpha-2, and XK, which Microsoft's location data uses for Kosovo.
//!
//! Source: <https://www.iso.org/obp/ui/#search> (officially assigned codes).

/// Every code, sorted, two letters each.
const CODES: &str = "ADAEAFAGAIALAMAOAQARASATAUAWAXAZBABBBDBEBFBGBHBIBJBLBMBNBOBQBRBSBTBVBWBYBZ\
CACCCDCFCGCHCICKCLCMCNCOCRCUCVCWCXCYCZDEDJDKDMDODZECEEEGEHERESETFIFJFKFMFOFRGAGBGDGEGFGGGHGIGLGMGN\
GPGQGRGSGTGUGWGYHKHMHNHRHTHUIDIEILIMINIOIQIRISITJEJMJOJPKEKGKHKIKMKNKPKRKWKYKZLALBLCLILKLRLSLTLULV\
LYMAMCMDMEMFMGMHMKMLMMMNMOMPMQMRMSMTMUMVMWMXMYMZNANCNENFNGNINLNONPNRNUNZOMPAPEPFPGPHPKPLPMPNPRPSPT\
PWPYQARERORSRURWSASBSCSDSESGSHSISJSKSLSMSNSOSRSSSTSVSXSYSZTCTDTFTGTHTJTKTLTMTNTOTRTTTVTWTZUAUGUMUS\
UYUZVAVCVEVGVIVNVUWFWSXKYEYTZAZMZW";

/// What people write for a country, where it is no code.
const NAMES: [(&str, &str); 24] = [
    ("uk", "GB"),
    ("en", "GB"),
    ("united kingdom", "GB"),
    ("england", "GB"),
    ("usa", "US"),
    ("united states", "US"),
    ("gbr", "GB"),
    ("che", "CH"),
    ("switzerland", "CH"),
    ("deu", "DE"),
    ("ger", "DE"),
    ("germany", "DE"),
    ("fra", "FR"),
    ("france", "FR"),
    ("nld", "NL"),
    ("netherlands", "NL"),
    ("bel", "BE"),
    ("belgium", "BE"),
    ("austria", "AT"),
    ("norway", "NO"),
    ("sweden", "SE"),
    ("denmark", "DK"),
    ("ireland", "IE"),
    ("el", "GR"),
];

/// Every code.
pub(super) fn codes() -> impl Iterator<Item = &'static str> {
    (0..CODES.len())
        .step_by(2)
        .filter_map(|start| CODES.get(start..start + 2))
}

/// Whether an upper-case code is assigned.
pub(super) fn is_known(code: [u8; 2]) -> bool {
    CODES.as_bytes().chunks_exact(2).any(|known| known == code)
}

/// The code of a country that is named in some other usual way.
pub(super) fn by_name(name: &str) -> Option<&'static str> {
    let name = name.to_lowercase();
    NAMES
        .iter()
        .find(|(other, _)| *other == name)
        .map(|(_, code)| *code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_each_code_once_in_order() {
        let all: Vec<_> = codes().collect();
        assert!(all.is_sorted_by(|a, b| a < b));
        assert_eq!(all.len(), 250, "249 assigned codes and XK");
        assert!(is_known(*b"NO") && is_known(*b"XK") && !is_known(*b"UK"));
        assert!(NAMES.iter().all(|(_, code)| all.contains(code)));
    }
}
