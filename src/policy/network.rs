//! Sorted, merged sets of address ranges.

use std::net::IpAddr;
use std::sync::Arc;

pub(super) use crate::range::{Block, RangeFault, parse_range};

/// A range and how the policy writes it.
#[derive(Debug, Clone)]
pub(super) struct WrittenRange {
    pub(super) block: Block,
    pub(super) text: Arc<str>,
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
