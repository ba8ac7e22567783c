//! Whether a kind of value has stopped to change.
//!
//! Values that an application will use tomorrow are those that it uses today, unless new ones keep coming. So a list is
//! worth writing down when none of its values is younger than the first third of what was seen of the application: two
//! thirds of the time went by without a new one.

use super::history::{Sight, day};

/// The shortest time in which values are expected to show themselves, in days.
const SHORTEST_WARM_UP_DAYS: i64 = 5;

/// How a kind of value came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Steadiness {
    /// Values that were first seen after the warm-up.
    pub(super) late: usize,
    /// When a value was first seen for the last time, in seconds since 1970.
    pub(super) newest: i64,
}

impl Steadiness {
    /// Of the values of an application that was seen as `all` says.
    pub(super) fn of<'s>(all: &Sight, values: impl IntoIterator<Item = &'s Sight>) -> Self {
        let warm = day(all.first) + warm_up_days(all);
        let mut steadiness = Self {
            late: 0,
            newest: all.first,
        };
        for sight in values {
            steadiness.late += usize::from(day(sight.first) > warm);
            steadiness.newest = steadiness.newest.max(sight.first);
        }
        steadiness
    }

    pub(super) fn is_steady(&self) -> bool {
        self.late == 0
    }
}

fn warm_up_days(all: &Sight) -> i64 {
    let span = day(all.last) - day(all.first);
    (span / 3).max(SHORTEST_WARM_UP_DAYS)
}
