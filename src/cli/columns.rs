//! Aligned columns, with colour where the terminal takes it.

use std::fmt::Write as _;

use anstyle::Style;

/// One cell of a table.
pub(super) struct Cell {
    text: String,
    style: Style,
}

impl Cell {
    pub(super) fn plain(text: impl Into<String>) -> Self {
        Self::styled(text, Style::new())
    }

    pub(super) fn styled(text: impl Into<String>, style: Style) -> Self {
        Self {
            text: text.into(),
            style,
        }
    }

    pub(super) fn bold(text: impl Into<String>) -> Self {
        Self::styled(text, Style::new().bold())
    }
}

/// The rows as lines, each column as wide as its widest cell, two spaces apart.
pub(super) fn align(rows: &[Vec<Cell>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |i: usize| {
        let cells = rows.iter().filter_map(|row| row.get(i));
        cells
            .map(|cell| cell.text.chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        for (i, (Cell { text: cell, style }, width)) in row.iter().zip(&widths).enumerate() {
            let gap = if i == 0 { "" } else { "  " };
            let width = if i + 1 == row.len() { 0 } else { *width };
            // Writing to a string does not fail.
            let _ = write!(text, "{gap}{style}{cell}{style:#}");
            let _ = write!(
                text,
                "{:1$}",
                "",
                width.saturating_sub(cell.chars().count())
            );
        }
        text.push('\n');
    }
    text
}
