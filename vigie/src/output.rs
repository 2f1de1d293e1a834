//! What commands print: tables, colours, and text from the network made harmless.

use std::io::IsTerminal;

use comfy_table::{Cell, CellAlignment, ContentArrangement, Table, presets};
use vigie_parsers::Severity;
pub(crate) use vigie_query::log::printable;

/// Whether to colour, as asked for with `--color`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Color {
    Always,
    Never,
}

impl Color {
    /// `auto` colours on a terminal, unless `NO_COLOR` is set.
    pub(crate) fn choose(flag: &str) -> Self {
        let auto = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        match flag {
            "always" => Self::Always,
            "never" => Self::Never,
            _ if auto => Self::Always,
            _ => Self::Never,
        }
    }

    /// Text in the colour of a severity.
    pub(crate) fn severity(self, severity: Option<Severity>, text: &str) -> String {
        let code = match severity {
            Some(Severity::Emerg | Severity::Alert | Severity::Crit | Severity::Err) => "31",
            Some(Severity::Warn) => "33",
            Some(Severity::Notice) => "36",
            Some(Severity::Debug) => "2",
            Some(Severity::Info) | None => return text.to_owned(),
        };
        self.paint(code, text)
    }

    /// Text with an SGR code around it.
    pub(crate) fn paint(self, code: &str, text: &str) -> String {
        match self {
            Self::Always => format!("\x1b[{code}m{text}\x1b[0m"),
            Self::Never => text.to_owned(),
        }
    }
}

/// A table of plain columns; those named in `right` are set flush right.
pub(crate) fn table(header: &[&str], right: &[usize], rows: Vec<Vec<String>>) -> String {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(header.iter().map(|h| Cell::new(h.to_uppercase())));
    for row in rows {
        table.add_row(row);
    }
    for &at in right {
        if let Some(column) = table.column_mut(at) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
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

/// A CSV field, quoted where it must be. What a spreadsheet would take for a formula gets a quote
/// in front: the text may come from the network.
pub(crate) fn csv_field(text: &str) -> String {
    let text = printable(text.as_bytes());
    let formula = text.starts_with(['=', '+', '-', '@']);
    let text = if formula {
        format!("'{text}")
    } else {
        text.into_owned()
    };
    if text.contains([',', '"', '\n', '\r']) || formula {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text
    }
}

/// A size in binary units: `12.5 MiB`.
pub(crate) fn bytes(n: u64) -> String {
    const UNITS: [&str; 6] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    let mut value = n as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 || value >= 100.0 {
        format!("{value:.0} {}", UNITS[unit])
    } else {
        format!("{value:.1} {}", UNITS[unit])
    }
}

/// A span of time in its two largest units: `25 min`, `2 d 5 h`.
pub(crate) fn duration(ms: i64) -> String {
    let s = ms.max(0) / 1000;
    let (d, h, m) = (s / 86_400, s / 3600 % 24, s / 60 % 60);
    match (d, h, m) {
        (0, 0, 0) => format!("{s} s"),
        (0, 0, _) => format!("{m} min"),
        (0, _, 0) => format!("{h} h"),
        (0, ..) => format!("{h} h {m} min"),
        (_, 0, _) => format!("{d} d"),
        _ => format!("{d} d {h} h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_spans() {
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(1536), "1.5 KiB");
        assert_eq!(bytes(4 << 30), "4.0 GiB");
        assert_eq!(duration(59_999), "59 s");
        assert_eq!(duration(25 * 60_000), "25 min");
        assert_eq!(duration((2 * 86_400 + 5 * 3600) * 1000), "2 d 5 h");
    }
}
