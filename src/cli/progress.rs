//! A progress bar on standard error, where that is a terminal.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// A bar over `total` bytes, hidden unless standard error is a terminal; 0 = how much is not known.
pub(super) fn bar(total: u64) -> ProgressBar {
    let (bar, template) = match total {
        0 => (
            ProgressBar::new_spinner(),
            "{spinner} {bytes} read, {binary_bytes_per_sec}",
        ),
        _ => (
            ProgressBar::new(total),
            "{bar:30} {bytes}/{total_bytes}, {binary_bytes_per_sec}, {eta} left",
        ),
    };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}
