//! The one place where an address from a log is normalised.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Reads an address as logged; `None` where it is unknown.
///
/// IPv4-mapped IPv6 becomes IPv4; a port, brackets and a zone id are stripped; `""`, `<null>`,
/// `null`, the unspecified addresses and whatever does not parse are unknown.
///
/// ```
/// # use spwatch::sign_in::parse_address;
/// assert_eq!(parse_address("::ffff:203.0.113.9"), parse_address("203.0.113.9:443"));
/// assert_eq!(parse_address("<null>"), None);
/// assert_eq!(parse_address("[2001:db8::1%eth0]:443"), parse_address("2001:db8::1"));
/// ```
pub fn parse_address(text: &str) -> Option<IpAddr> {
    if let Some(address) = dotted(text.as_bytes()) {
        return known(IpAddr::V4(address));
    }
    if let Some(address) = colons(text.as_bytes()) {
        return known(IpAddr::V6(address));
    }
    if let Ok(address) = text.parse::<Ipv6Addr>() {
        return known(IpAddr::V6(address));
    }
    known(strip_address_decoration(text)?.parse().ok()?)
}

/// The usual form of an IPv4 address; what the standard library reads, at a fraction of the cost.
fn dotted(text: &[u8]) -> Option<Ipv4Addr> {
    let mut address = 0;
    let mut at = 0;
    for place in 0..4 {
        if place > 0 {
            if text.get(at) != Some(&b'.') {
                return None;
            }
            at += 1;
        }
        let digit = |at: usize| {
            let digit = text.get(at)?.wrapping_sub(b'0');
            (digit < 10).then_some(u32::from(digit))
        };
        let (octet, digits) = match (digit(at)?, digit(at + 1)) {
            (first, None) => (first, 1),
            // Lest it is taken for octal.
            (0, Some(_)) => return None,
            (first, Some(second)) => match digit(at + 2) {
                None => (first * 10 + second, 2),
                Some(third) => (first * 100 + second * 10 + third, 3),
            },
        };
        if octet > 255 {
            return None;
        }
        address = address << 8 | octet;
        at += digits;
    }
    (at == text.len()).then(|| Ipv4Addr::from_bits(address))
}

/// The usual form of an IPv6 address, groups of digits alone, at a fraction of the standard library's cost; `None`
/// says nothing.
fn colons(text: &[u8]) -> Option<Ipv6Addr> {
    let mut groups = [0; 8];
    let mut count = 0;
    // Groups before the `::`.
    let mut gap = None;
    let mut at = 0;
    if text.starts_with(b"::") {
        gap = Some(0);
        at = 2;
    }
    while at < text.len() {
        let digits = text.iter().skip(at).take(4);
        let digits = digits.map_while(|byte| char::from(*byte).to_digit(16));
        let (group, length) = digits.fold((0, 0), |(group, length), digit| {
            (group << 4 | digit as u16, length + 1)
        });
        if length == 0 {
            return None;
        }
        *groups.get_mut(count)? = group;
        count += 1;
        at += length;
        match (text.get(at), text.get(at + 1)) {
            (None, _) => break,
            (Some(b':'), Some(b':')) if gap.is_none() => {
                gap = Some(count);
                at += 2;
            }
            (Some(b':'), Some(next)) if *next != b':' => at += 1,
            _ => return None,
        }
    }
    match gap {
        None if count == 8 => {}
        // A `::` stands for one group at least.
        Some(gap) if count < 8 => {
            groups.get_mut(gap..)?.rotate_right(8 - count);
        }
        _ => return None,
    }
    Some(Ipv6Addr::from(groups))
}

/// Strips blanks, brackets, a port and a zone id from an address; `None` where nothing is left.
pub fn strip_address_decoration(text: &str) -> Option<&str> {
    let text = text.trim();
    let bare = if let Some(rest) = text.strip_prefix('[') {
        let (inside, after) = rest.split_once(']')?;
        let port = after.strip_prefix(':');
        if !(after.is_empty() || port.is_some_and(is_port)) {
            return None;
        }
        inside
    } else {
        match text.split_once(':') {
            Some((host, port)) if is_port(port) && host.contains('.') => host,
            _ => text,
        }
    };
    let bare = bare
        .split_once('%')
        .map_or(bare, |(address, _zone)| address);
    (!bare.is_empty()).then_some(bare)
}

fn is_port(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_digit())
        && text.parse::<u16>().is_ok()
}

fn known(address: IpAddr) -> Option<IpAddr> {
    let address = match address {
        IpAddr::V6(v6) => unmap(v6),
        v4 @ IpAddr::V4(_) => v4,
    };
    (!address.is_unspecified()).then_some(address)
}

fn unmap(address: Ipv6Addr) -> IpAddr {
    match address.to_ipv4_mapped() {
        Some(v4) => IpAddr::V4(v4),
        None => IpAddr::V6(address),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn dotted_addresses_are_what_the_library_reads(text in "[0-9]{0,4}([.][0-9]{0,3}){2,4}[.:]?") {
            prop_assert_eq!(dotted(text.as_bytes()), text.parse::<Ipv4Addr>().ok(), "{}", text);
        }
    }

    proptest! {
        #[test]
        fn groups_are_what_the_library_reads(
            text in "(:|::)?[0-9a-fA-Fg]{0,5}(:{1,2}[0-9a-fA-F]{1,4}){0,8}(:|::|[.]1)?",
            address in any::<u128>(),
            zeros in any::<u128>(),
        ) {
            let library = text.parse::<Ipv6Addr>().ok();
            // What has a dotted part is the library's.
            prop_assert_eq!(colons(text.as_bytes()), library.filter(|_| !text.contains('.')), "{}", text);
            let address = Ipv6Addr::from_bits(address & zeros);
            let shown = address.to_string();
            if !shown.contains('.') {
                prop_assert_eq!(colons(shown.as_bytes()), Some(address));
            }
        }
    }

    #[test]
    fn normalises() {
        let table = [
            ("203.0.113.9", Some("203.0.113.9")),
            (" 203.0.113.9 ", Some("203.0.113.9")),
            ("203.0.113.9:50123", Some("203.0.113.9")),
            ("::ffff:203.0.113.9", Some("203.0.113.9")),
            ("[::ffff:203.0.113.9]:443", Some("203.0.113.9")),
            (
                "2001:0db8:85a3:0000:0000:8a2e:0370:7334",
                Some("2001:db8:85a3::8a2e:370:7334"),
            ),
            ("fe80::1%eth0", Some("fe80::1")),
            ("[2001:db8::1]", Some("2001:db8::1")),
            ("[2001:db8::1]:443", Some("2001:db8::1")),
            ("::ffff:0.0.0.0", None),
            ("", None),
            ("<null>", None),
            ("null", None),
            ("0.0.0.0", None),
            ("0.0.0.0:80", None),
            ("::", None),
            ("::2a02:cf40:add:4002:91f2:a9b2:e09a:6fc6", None),
            ("10.0.0.1, 10.0.0.2", None),
            ("010.0.0.1", None),
            ("[2001:db8::1]x", None),
            ("[203.0.113.9", None),
            ("77777777-7777-7777-7777-777777777777", None),
            ("203.0.113.9:99999", None),
        ];
        for (text, expected) in table {
            let expected: Option<IpAddr> = expected.map(|text| text.parse().unwrap());
            assert_eq!(parse_address(text), expected, "{text:?}");
        }
    }
}
