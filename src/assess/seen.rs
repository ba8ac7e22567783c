//! A set of 128-bit keys that never holds much more memory than its keys need.

/// Keys in the first table; with more, the keys are dealt out to many tables.
const ONE_TABLE: usize = 1 << 14;
/// How many tables, as bits of the key. A table that grows is there twice for a moment: one of many may be.
const SHARD_BITS: u32 = 6;

/// Keys that were seen. The keys are hashes already: any of their bits are as good as others.
///
/// A general hash set doubles, so that it may hold 58 bytes for each key of 16 while it grows. This one grows by
/// half, a part at a time: 16 / (3/4) * 3/2 = 32 bytes at most, and a 64th more while a table grows.
#[derive(Debug, Default)]
pub(super) struct Seen {
    tables: Vec<Table>,
    zero: bool,
    count: usize,
}

/// Open addressing with linear probing; at most three quarters full. An empty slot is 0.
#[derive(Debug, Default)]
struct Table {
    slots: Box<[u128]>,
    used: usize,
}

impl Seen {
    /// Has the processor fetch what adding these keys will look at: all at once, where adding them waits for each.
    pub(super) fn fetch(&self, keys: impl Iterator<Item = u128>) {
        let slot = |key: u128| {
            let table = match self.tables.len() {
                0 | 1 => self.tables.first()?,
                _ => self.tables.get((key >> (128 - SHARD_BITS)) as usize)?,
            };
            table.slots.get(start(key, table.slots.len())).copied()
        };
        std::hint::black_box(keys.filter_map(slot).fold(0, |all, slot| all ^ slot));
    }

    /// Makes room for the first keys at once, where there are few.
    pub(super) fn expect(&mut self, keys: usize) {
        if self.tables.is_empty() && keys < ONE_TABLE {
            let room = keys + keys / 2 + 1;
            self.tables.push(Table {
                slots: vec![0; room].into_boxed_slice(),
                used: 0,
            });
        }
    }

    /// Adds a key; whether it is new.
    #[inline]
    pub(super) fn insert(&mut self, key: u128) -> bool {
        if key == 0 {
            return !std::mem::replace(&mut self.zero, true);
        }
        if self.tables.len() <= 1 && self.count >= ONE_TABLE {
            self.deal_out();
        }
        let new = self.table(key).is_some_and(|table| table.insert(key));
        self.count += usize::from(new);
        new
    }

    #[inline]
    fn table(&mut self, key: u128) -> Option<&mut Table> {
        if self.tables.is_empty() {
            self.tables.push(Table::default());
        }
        match self.tables.len() {
            1 => self.tables.first_mut(),
            _ => self.tables.get_mut((key >> (128 - SHARD_BITS)) as usize),
        }
    }

    #[cold]
    fn deal_out(&mut self) {
        let all = std::mem::take(&mut self.tables);
        self.tables.resize_with(1 << SHARD_BITS, Table::default);
        for key in all.iter().flat_map(|table| table.keys()) {
            if let Some(table) = self.table(key) {
                table.insert(key);
            }
        }
    }
}

impl Table {
    fn keys(&self) -> impl Iterator<Item = u128> {
        self.slots.iter().copied().filter(|key| *key != 0)
    }

    #[inline]
    fn insert(&mut self, key: u128) -> bool {
        if self.used * 4 >= self.slots.len() * 3 {
            self.grow();
        }
        let new = place(&mut self.slots, key);
        self.used += usize::from(new);
        new
    }

    #[cold]
    fn grow(&mut self) {
        let room = (self.slots.len() + self.slots.len() / 2).max(16);
        let mut slots = vec![0; room].into_boxed_slice();
        for key in self.keys() {
            place(&mut slots, key);
        }
        self.slots = slots;
    }
}

/// Where a key is looked for first.
#[inline]
fn start(key: u128, slots: usize) -> usize {
    // The low half of the key as a fraction of the slots: their number need not be a power of two.
    ((u128::from(key as u64) * slots as u128) >> 64) as usize
}

/// Puts a key into the slots, of which at least one is empty; whether it was not there.
#[inline]
fn place(slots: &mut [u128], key: u128) -> bool {
    let mut at = start(key, slots.len());
    loop {
        match slots.get_mut(at) {
            Some(slot) if *slot == 0 => {
                *slot = key;
                return true;
            }
            Some(slot) if *slot == key => return false,
            Some(_) => at += 1,
            // INVARIANT: there is a first slot, and an empty one: the walk ends.
            None => at = 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    fn scattered(number: u64) -> u128 {
        let low = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let high = (number ^ 0xABCD).wrapping_mul(0xD6E8_FEB8_6659_FD93);
        u128::from(high.rotate_left(29)) << 64 | u128::from(low)
    }

    #[test]
    fn holds_many_in_little_memory() {
        let mut seen = Seen::default();
        let mut most: f64 = 0.0;
        for number in 0..300_000 {
            assert!(seen.insert(scattered(number)));
            if number > ONE_TABLE as u64 * 2 {
                let slots: usize = seen.tables.iter().map(|table| table.slots.len()).sum();
                most = most.max(slots as f64 * 16.0 / number as f64);
            }
        }
        for number in 0..300_000 {
            assert!(!seen.insert(scattered(number)));
        }
        assert!(most < 36.0, "{most} bytes a key");
    }

    proptest! {
        #[test]
        fn agrees_with_a_hash_set(keys in prop::collection::vec(prop_oneof![0_u128..50, any::<u128>()], 0..400)) {
            let (mut seen, mut model) = (Seen::default(), HashSet::new());
            for key in keys {
                prop_assert_eq!(seen.insert(key), model.insert(key), "{}", key);
            }
        }
    }
}
