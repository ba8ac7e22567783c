//! Tables for people: as wide as they need in a pipe, no wider than the terminal on one.

use std::io::{self, IsTerminal};

use comfy_table::{ColumnConstraint, ContentArrangement, Table, Width, presets};

/// A table with a header; cells from logs are made safe for a terminal by the caller.
pub(super) fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    // In a pipe nothing is wrapped: the next program wants a record a line.
    let arrangement = match io::stdout().is_terminal() {
        true => ContentArrangement::Dynamic,
        false => ContentArrangement::Disabled,
    };
    table.set_content_arrangement(arrangement);
    let narrow = matches!(table.content_arrangement(), ContentArrangement::Dynamic);
    // On a terminal a long heading takes two lines, broken where a word ends.
    table.set_header(header.iter().map(|name| match (narrow, *name) {
        (true, "ServicePrincipalName") => "Service\nPrincipalName",
        (true, "countryOrRegion") => "country\nOrRegion",
        (_, name) => name,
    }));
    table
}

/// Two blanks between columns, none at the ends of a line. `whole` are the columns whose cells are
/// never broken: times, addresses, ids.
pub(super) fn text(mut table: Table, whole: &[usize]) -> String {
    if matches!(table.content_arrangement(), ContentArrangement::Dynamic) {
        let widths = table.column_max_content_widths();
        for place in whole {
            // The last column has no padding.
            let padding = if place + 1 == widths.len() { 0 } else { 2 };
            if let (Some(column), Some(width)) = (table.column_mut(*place), widths.get(*place)) {
                let width = Width::Fixed(width + padding);
                column.set_constraint(ColumnConstraint::LowerBoundary(width));
            }
        }
    }
    let last = table.column_count().saturating_sub(1);
    for (place, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, if place == last { 0 } else { 2 }));
    }
    let mut text = String::new();
    for line in table.lines() {
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}
