//! Address ranges: how they are written, and sorted, merged sets of them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use super::suggest::quoted;

/// The addresses from one to another, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Block {
    V4(u32, u32),
    V6(u128, u128),
}

/// A range and how the policy writes it.
#[derive(Debug, Clone)]
pub(super) struct WrittenRange {
    pub(super) block: Block,
    pub(super) text: Arc<str>,
}

/// What [`parse_range`] read.
#[derive(Debug, PartialEq)]
pub(super) struct ParsedRange {
    pub(super) block: Block,
    /// The network that is meant, where bits are set to the right of the prefix.
    pub(super) meant: Option<String>,
}

/// Why a text is no range: the message, and the help.
#[derive(Debug, PartialEq)]
pub(super) struct RangeFault(pub(super) String, pub(super) String);

const FORMS: &str =
    "write an address (203.0.113.9), a CIDR (203.0.113.0/24) or a range (203.0.113.1-203.0.113.9)";

/// Reads an address, a CIDR or `a-b`. IPv4-mapped IPv6 becomes IPv4, as it does in sign-ins.
pub(super) fn parse_range(text: &str) -> Result<ParsedRange, RangeFault> {
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
    /// How far an address of the same family is from the nearer end: 0 within.
    pub(super) fn distance(self, address: IpAddr) -> Option<u128> {
        fn between<N: Address>(low: N, high: N, address: N) -> u128 {
            if address < low {
                return low.distance(address);
            }
            if address > high {
                return address.distance(high);
            }
            0
        }
        match (self, address) {
            (Self::V4(low, high), IpAddr::V4(v4)) => Some(between(low, high, v4.into())),
            (Self::V6(low, high), IpAddr::V6(v6)) => Some(between(low, high, v6.into())),
            _ => None,
        }
    }

    /// What is left of the block without one address of it, as a policy writes it.
    pub(super) fn without(self, address: IpAddr) -> Vec<String> {
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

    /// Wider than /8, or /16 of IPv6: no use as a restriction.
    pub(super) fn is_wide(self) -> bool {
        match self {
            Self::V4(low, high) => high - low > u32::MAX >> 8,
            Self::V6(low, high) => high - low > u128::MAX >> 16,
        }
    }
}

/// An unsigned number that stands for an address.
trait Address: Copy + Ord {
    fn next(self) -> Option<Self>;
    fn distance(self, other: Self) -> u128;
}

impl Address for u32 {
    fn next(self) -> Option<Self> {
        self.checked_add(1)
    }
    fn distance(self, other: Self) -> u128 {
        self.abs_diff(other).into()
    }
}

impl Address for u128 {
    fn next(self) -> Option<Self> {
        self.checked_add(1)
    }
    fn distance(self, other: Self) -> u128 {
        self.abs_diff(other)
    }
}

/// The ranges of one family, sorted; they neither overlap nor touch.
#[derive(Debug, Clone, Default)]
struct Track<N> {
    /// All lower ends, then all upper ends: few ranges share a cache line, and many are searched by their lower
    /// ends alone. INVARIANT: twice as long as `ends`.
    bounds: Box<[N]>,
    /// How the policy writes the range at the lower and at the upper end.
    ends: Vec<(Arc<str>, Arc<str>)>,
    /// Different ranges before merging.
    written: usize,
}

impl<N: Address> Track<N> {
    fn build(mut ranges: Vec<(N, N, Arc<str>)>) -> Self {
        ranges.sort_unstable_by(|a, b| (a.0, a.1, &a.2).cmp(&(b.0, b.1, &b.2)));
        ranges.dedup_by(|a, b| (a.0, a.1) == (b.0, b.1));
        let written = ranges.len();
        let mut lows = Vec::with_capacity(ranges.len());
        let mut highs: Vec<N> = Vec::with_capacity(ranges.len());
        let mut ends: Vec<(Arc<str>, Arc<str>)> = Vec::with_capacity(ranges.len());
        for (low, high, text) in ranges {
            match (highs.last_mut(), ends.last_mut()) {
                (Some(last), Some(ends)) if last.next().is_none_or(|next| low <= next) => {
                    if high >= *last {
                        *last = high;
                        ends.1 = text;
                    }
                }
                _ => {
                    lows.push(low);
                    highs.push(high);
                    ends.push((Arc::clone(&text), text));
                }
            }
        }
        lows.append(&mut highs);
        Self {
            bounds: lows.into(),
            ends,
            written,
        }
    }

    fn lows(&self) -> &[N] {
        self.bounds.get(..self.ends.len()).unwrap_or_default()
    }

    fn highs(&self) -> &[N] {
        self.bounds.get(self.ends.len()..).unwrap_or_default()
    }

    fn ranges(&self) -> impl Iterator<Item = (N, N)> {
        self.lows()
            .iter()
            .copied()
            .zip(self.highs().iter().copied())
    }

    /// The merged range with the greatest lower end that is not above the address.
    fn at_or_below(&self, address: N) -> Option<usize> {
        self.lows()
            .partition_point(|low| *low <= address)
            .checked_sub(1)
    }

    fn find(&self, address: N) -> Option<usize> {
        let index = self.at_or_below(address)?;
        (address <= *self.highs().get(index)?).then_some(index)
    }

    fn covers(&self, low: N, high: N) -> bool {
        self.find(low)
            .and_then(|index| self.highs().get(index))
            .is_some_and(|end| high <= *end)
    }

    /// The nearest range and how far it is; the lower of two equally far ones.
    fn nearest(&self, address: N) -> Option<(u128, &Arc<str>)> {
        let below = self.at_or_below(address);
        let under = below.and_then(|index| {
            let high = self.highs().get(index)?;
            Some((address.distance(*high), &self.ends.get(index)?.1))
        });
        let above = below.map_or(0, |index| index + 1);
        let over = self
            .lows()
            .get(above)
            .zip(self.ends.get(above))
            .map(|(low, ends)| (address.distance(*low), &ends.0));
        match (under, over) {
            (Some(under), Some(over)) if over.0 < under.0 => Some(over),
            (under, over) => under.or(over),
        }
    }
}

/// A set of ranges of both families, sorted and merged.
#[derive(Debug, Clone, Default)]
pub(super) struct RangeSet {
    v4: Track<u32>,
    v6: Track<u128>,
}

impl RangeSet {
    pub(super) fn build(ranges: &[WrittenRange]) -> Self {
        let mut v4 = Vec::new();
        let mut v6 = Vec::new();
        for range in ranges {
            let text = Arc::clone(&range.text);
            match range.block {
                Block::V4(low, high) => v4.push((low, high, text)),
                Block::V6(low, high) => v6.push((low, high, text)),
            }
        }
        Self {
            v4: Track::build(v4),
            v6: Track::build(v6),
        }
    }

    pub(super) fn contains(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(v4) => self.v4.find(v4.into()).is_some(),
            IpAddr::V6(v6) => self.v6.find(v6.into()).is_some(),
        }
    }

    /// How the policy writes the two ends of the merged range around an address.
    pub(super) fn around(&self, address: IpAddr) -> Option<(&str, &str)> {
        let (low, high) = match address {
            IpAddr::V4(v4) => self.v4.ends.get(self.v4.find(v4.into())?)?,
            IpAddr::V6(v6) => self.v6.ends.get(self.v6.find(v6.into())?)?,
        };
        Some((low, high))
    }

    /// The nearest range of the address's family, and how far it is.
    pub(super) fn nearest(&self, address: IpAddr) -> Option<(u128, &str)> {
        let (distance, text) = match address {
            IpAddr::V4(v4) => self.v4.nearest(v4.into())?,
            IpAddr::V6(v6) => self.v6.nearest(v6.into())?,
        };
        Some((distance, text))
    }

    /// Whether a block lies wholly within one of the merged ranges.
    pub(super) fn covers(&self, block: Block) -> bool {
        match block {
            Block::V4(low, high) => self.v4.covers(low, high),
            Block::V6(low, high) => self.v6.covers(low, high),
        }
    }

    /// The merged ranges.
    pub(super) fn blocks(&self) -> impl Iterator<Item = Block> {
        let v4 = self.v4.ranges().map(|(low, high)| Block::V4(low, high));
        v4.chain(self.v6.ranges().map(|(low, high)| Block::V6(low, high)))
    }

    /// One of the ranges as written, the only one where there is one.
    pub(super) fn any(&self) -> Option<&str> {
        let v4 = self.v4.ends.first();
        v4.or(self.v6.ends.first()).map(|ends| &*ends.0)
    }

    /// Different ranges as written.
    pub(super) fn written(&self) -> usize {
        self.v4.written + self.v6.written
    }

    /// Ranges after merging.
    pub(super) fn merged(&self) -> usize {
        self.v4.ends.len() + self.v6.ends.len()
    }
}

#[cfg(test)]
mod tests;
