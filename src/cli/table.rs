//! Tables for people: as wide as they need in a pipe, no wider than the terminal on one.

use std::io::{self, IsTerminal};

use comfy_table::{ContentArrangement, Table, presets};

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
    table.set_header(header.iter().copied());
    table
}

/// Two blanks between columns, none at the ends of a line.
pub(super) fn text(mut table: Table) -> String {
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    let mut text = String::new();
    for line in table.lines() {
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}
