//! Address ranges as people and publishers write them: an address, a CIDR, or from one address to another.
//!
//! A leaf: policies and feeds are read by the same rules.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::suggest::quoted;

/// The addresses from one to another, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Block {
    V4(u32, u32),
    V6(u128, u128),
}

/// What [`parse_range`] read.
#[derive(Debug, PartialEq)]
pub(crate) struct ParsedRange {
    pub(crate) block: Block,
    /// The network that is meant, where bits are set to the right of the prefix.
    pub(crate) meant: Option<String>,
}

/// Why a text is no range: the message, and the help.
#[derive(Debug, PartialEq)]
pub(crate) struct RangeFault(pub(crate) String, pub(crate) String);

const FORMS: &str =
    "write an address (203.0.113.9), a CIDR (203.0.113.0/24) or a range (203.0.113.1-203.0.113.9)";

/// Reads an address, a CIDR or `a-b`. IPv4-mapped IPv6 becomes IPv4, as it does in sign-ins.
pub(crate) fn parse_range(text: &str) -> Result<ParsedRange, RangeFault> {
    let fault =
        |what: &str, help: &str| RangeFault(format!("{} {what}", quoted(text)), help.into());
    let text = text.trim();
    if let Some((address, prefix)) = text.split_once('/') {
        return parse_cidr(address, prefix).map_err(|(what, help)| fault(&what, &help));
    }
    if let Some((low, high)) = text.split_once('-')
        && let (Ok(low), Ok(high)) = (low.trim().parse(), high.trim().parse::<IpAddr>())
    {
        let block = match (normal(low), normal(high)) {
            (IpAddr::V4(low), IpAddr::V4(high)) => Block::V4(low.into(), high.into()),
            (IpAddr::V6(low), IpAddr::V6(high)) => Block::V6(low.into(), high.into()),
            _ => {
                return Err(fault(
                    "mixes IPv4 and IPv6",
                    "give each family its own range",
                ));
            }
        };
        let reversed = match block {
            Block::V4(low, high) => low > high,
            Block::V6(low, high) => low > high,
        };
        if reversed {
            let help = format!("write {high}-{low}");
            return Err(fault("runs backwards", &help));
        }
        return Ok(ParsedRange { block, meant: None });
    }
    let block = match text.parse().map(normal) {
        Ok(IpAddr::V4(address)) => Block::V4(address.into(), address.into()),
        Ok(IpAddr::V6(address)) => Block::V6(address.into(), address.into()),
        Err(_) => return Err(fault("is no address or range of addresses", FORMS)),
    };
    Ok(ParsedRange { block, meant: None })
}

fn normal(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(address, IpAddr::V4),
        IpAddr::V4(_) => address,
    }
}

fn parse_cidr(address: &str, prefix: &str) -> Result<ParsedRange, (String, String)> {
    let digits = !prefix.is_empty() && prefix.bytes().all(|byte| byte.is_ascii_digit());
    let (Ok(address), true) = (address.parse::<IpAddr>(), digits) else {
        return Err(("is no CIDR".into(), FORMS.into()));
    };
    let longest = if address.is_ipv4() { 32 } else { 128 };
    let prefix = match prefix.parse::<u8>() {
        Ok(prefix) if prefix <= longest => prefix,
        _ => {
            return Err((format!("has a prefix longer than /{longest}"), FORMS.into()));
        }
    };
    let (address, prefix) = match (address, normal(address)) {
        (IpAddr::V6(_), IpAddr::V4(v4)) => {
            let Some(prefix) = prefix.checked_sub(96) else {
                return Err((
                    "is IPv4 written as IPv6, with a prefix that reaches beyond IPv4".into(),
                    "write the IPv4 network itself".into(),
                ));
            };
            (IpAddr::V4(v4), prefix)
        }
        (address, _) => (address, prefix),
    };
    let (block, network) = match address {
        IpAddr::V4(v4) => {
            let hosts = u32::MAX.checked_shr(prefix.into()).unwrap_or(0);
            let low = u32::from(v4) & !hosts;
            (Block::V4(low, low | hosts), IpAddr::V4(Ipv4Addr::from(low)))
        }
        IpAddr::V6(v6) => {
            let hosts = u128::MAX.checked_shr(prefix.into()).unwrap_or(0);
            let low = u128::from(v6) & !hosts;
            (Block::V6(low, low | hosts), IpAddr::V6(Ipv6Addr::from(low)))
        }
    };
    Ok(ParsedRange {
        block,
        meant: (network != address).then(|| format!("{network}/{prefix}")),
    })
}

impl Block {
    /// What is left of the block without one address of it, as a policy writes it.
    pub(crate) fn without(self, address: IpAddr) -> Vec<String> {
        let mut left = Vec::new();
        let mut push = |low: IpAddr, high: IpAddr| {
            left.push(if low == high {
                low.to_string()
            } else {
                format!("{low}-{high}")
            });
        };
        match (self, address) {
            (Self::V4(low, high), IpAddr::V4(v4)) => {
                let of = |bits: u32| IpAddr::V4(bits.into());
                let address = u32::from(v4);
                if low < address {
                    push(of(low), of(address - 1));
                }
                if address < high {
                    push(of(address + 1), of(high));
                }
            }
            (Self::V6(low, high), IpAddr::V6(v6)) => {
                let of = |bits: u128| IpAddr::V6(bits.into());
                let address = u128::from(v6);
                if low < address {
                    push(of(low), of(address - 1));
                }
                if address < high {
                    push(of(address + 1), of(high));
                }
            }
            _ => {}
        }
        left
    }

    /// How far an address of the same family is from the nearer end: 0 within.
    pub(crate) fn distance(self, address: IpAddr) -> Option<u128> {
        let (low, high, address) = match (self, address) {
            (Self::V4(low, high), IpAddr::V4(v4)) => {
                (low.into(), high.into(), u32::from(v4).into())
            }
            (Self::V6(low, high), IpAddr::V6(v6)) => (low, high, u128::from(v6)),
            _ => return None,
        };
        Some(match address {
            address if address < low => low - address,
            address if address > high => address - high,
            _ => 0,
        })
    }

    /// Wider than /8, or /16 of IPv6: no use as a restriction.
    pub(crate) fn is_wide(self) -> bool {
        match self {
            Self::V4(low, high) => high - low > u32::MAX >> 8,
            Self::V6(low, high) => high - low > u128::MAX >> 16,
        }
    }
}
