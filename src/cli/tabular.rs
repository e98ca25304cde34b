//! Results as rows and columns: lists of records, tuples, lists or plain values; a record or tuple alone is one row. Nested
//! values stand in their cell as JSON.

use crate::cli::output::{canonical, flush, misfit};
use crate::cli::page::text_width;
use crate::codec::elements::elements;
use crate::codec::msgpack::{Reader, Token};
use crate::codec::schema::{Type, Types};
use crate::codec::transcode::{Sink, Style, msgpack_to_json};
use crate::error::{Error, Kind, Result};
use crate::ids::TypeId;

/// How cells are told apart in text.
#[derive(Clone, Copy, Debug)]
pub struct Separation {
    separator: u8,
    /// Whether a cell that needs it stands in double quotes; else it is escaped with backslashes.
    quotes: bool,
}

/// Comma-separated values.
pub const CSV: Separation = Separation {
    separator: b',',
    quotes: true,
};

/// Tab-separated values.
pub const TSV: Separation = Separation {
    separator: b'\t',
    quotes: false,
};

/// Checks that values of the type have rows.
///
/// # Errors
/// Kind `usage`: they have none.
pub fn check(types: &Types, ty: TypeId) -> Result<()> {
    Rows::of(types, ty).map(|_| ())
}

/// Writes rows with a separator between cells, a record's keys first.
///
/// # Errors
/// A type that has no rows; bytes that don't fit it; a closed sink.
pub fn separated(
    types: &Types,
    ty: TypeId,
    bytes: &[u8],
    separation: Separation,
    sink: &mut dyn Sink,
) -> Result<()> {
    let rows = Rows::of(types, ty)?;
    if let Some(keys) = rows.header() {
        let cells = keys.iter().map(|key| Cell::text(key)).collect::<Vec<_>>();
        write_row(&cells, separation, sink.buffer());
    }
    rows.each(bytes, |cells| {
        write_row(cells, separation, sink.buffer());
        flush(sink)
    })
}

fn write_row(cells: &[Cell], separation: Separation, out: &mut Vec<u8>) {
    let start = out.len();
    for (position, cell) in cells.iter().enumerate() {
        if position > 0 {
            out.push(separation.separator);
        }
        match separation.quotes {
            true => write_quoted(cell, out),
            false => write_escaped(&cell.text, out),
        }
    }
    // An empty line would be no row at all.
    if out.len() == start && separation.quotes {
        out.extend_from_slice(b"\"\"");
    }
    out.push(b'\n');
}

/// A cell in quotes if it needs them; the empty text does, to differ from null.
fn write_quoted(cell: &Cell, out: &mut Vec<u8>) {
    let needs_quotes = match cell.text.as_str() {
        "" => !cell.is_null,
        text => text.contains([',', '"', '\n', '\r']),
    };
    if !needs_quotes {
        return out.extend_from_slice(cell.text.as_bytes());
    }
    out.push(b'"');
    for byte in cell.text.bytes() {
        if byte == b'"' {
            out.push(b'"');
        }
        out.push(byte);
    }
    out.push(b'"');
}

fn write_escaped(text: &str, out: &mut Vec<u8>) {
    for byte in text.bytes() {
        match byte {
            b'\t' => out.extend_from_slice(b"\\t"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\\' => out.extend_from_slice(b"\\\\"),
            byte => out.push(byte),
        }
    }
}

/// Writes rows in columns as wide as their widest cell, numbers to the right, long texts cut.
///
/// # Errors
/// As [`separated`].
pub fn table(types: &Types, ty: TypeId, bytes: &[u8], sink: &mut dyn Sink) -> Result<()> {
    let rows = Rows::of(types, ty)?;
    let mut lines: Vec<Vec<Cell>> = Vec::new();
    if let Some(keys) = rows.header() {
        lines.push(keys.iter().map(|key| Cell::text(&printable(key))).collect());
        let rules = keys.iter().map(|key| Cell::text(&"-".repeat(text_width(key))));
        lines.push(rules.collect());
    }
    rows.each(bytes, |cells| {
        let shown = cells.iter().map(|cell| Cell {
            text: printable(&cell.text),
            ..*cell
        });
        lines.push(shown.collect());
        Ok(())
    })?;
    let mut widths: Vec<usize> = Vec::new();
    for line in &lines {
        widths.resize(widths.len().max(line.len()), 0);
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = text_width(&cell.text).max(*width);
        }
    }
    let has_header = rows.header().is_some();
    let numeric: Vec<bool> = (0..widths.len()).map(|column| rows.is_numeric(column)).collect();
    for (position, line) in lines.iter().enumerate() {
        let is_rule = has_header && position == 1;
        write_line(line, &widths, &numeric, is_rule, sink.buffer());
        flush(sink)?;
    }
    Ok(())
}

fn write_line(line: &[Cell], widths: &[usize], numeric: &[bool], is_rule: bool, out: &mut Vec<u8>) {
    for (position, ((cell, width), numeric)) in line.iter().zip(widths).zip(numeric).enumerate() {
        if position > 0 {
            out.extend_from_slice(b"  ");
        }
        let spaces = width - text_width(&cell.text).min(*width);
        if *numeric || is_rule {
            let filler = if is_rule { b'-' } else { b' ' };
            out.extend(std::iter::repeat_n(filler, spaces));
        }
        out.extend_from_slice(cell.text.as_bytes());
        if !numeric && !is_rule && position + 1 < line.len() {
            out.extend(std::iter::repeat_n(b' ', spaces));
        }
    }
    out.push(b'\n');
}

/// Cells of a table are cut beyond this, in characters: one long text must not tear the columns apart.
const CELL_CHARS_MAX: usize = 60;

/// A text for a table: it can't break the line, command the terminal, or be very long.
fn printable(text: &str) -> String {
    let mut out = String::new();
    for (position, letter) in text.chars().enumerate() {
        if position == CELL_CHARS_MAX {
            out.push_str("...");
            break;
        }
        match letter.is_control() {
            true => out.extend(letter.escape_default()),
            false => out.push(letter),
        }
    }
    out
}

#[derive(Clone, Debug)]
struct Cell {
    text: String,
    is_null: bool,
}

impl Cell {
    fn null() -> Cell {
        Cell {
            text: String::new(),
            is_null: true,
        }
    }

    fn text(text: &str) -> Cell {
        Cell {
            text: text.to_string(),
            is_null: false,
        }
    }
}

/// A type seen as rows.
struct Rows<'t> {
    types: &'t Types,
    ty: TypeId,
    /// The rows are the elements of a list of this type; else the value is the one row.
    row: Option<TypeId>,
}

impl<'t> Rows<'t> {
    fn of(types: &'t Types, ty: TypeId) -> Result<Rows<'t>> {
        let row = match types.node(types.inner(ty)) {
            Type::List { element, .. } => Some(element),
            Type::Record(_) | Type::Tuple(_) => None,
            _ => {
                let message = format!(
                    "a result of type {} has no rows, expected a list, tuple or record",
                    types.spell(ty)
                );
                return Err(
                    Error::new(Kind::Usage, message).hint("use --format json, pretty, jsonl or msgpack")
                );
            }
        };
        Ok(Rows { types, ty, row })
    }

    fn row_type(&self) -> Type {
        self.types.node(self.types.inner(self.row.unwrap_or(self.ty)))
    }

    fn header(&self) -> Option<Vec<&'t str>> {
        match self.row_type() {
            Type::Record(span) => Some(self.types.fields(span).iter().map(|field| &*field.key).collect()),
            _ => None,
        }
    }

    /// The type of the cells of a column.
    fn cell_type(&self, column: usize) -> Option<TypeId> {
        match self.row_type() {
            Type::Record(span) => self.types.fields(span).get(column).map(|field| field.ty),
            Type::Tuple(span) => self.types.members(span).get(column).copied(),
            Type::List { element, .. } => Some(element),
            _ => self.row,
        }
    }

    fn is_numeric(&self, column: usize) -> bool {
        let ty = self
            .cell_type(column)
            .map(|ty| self.types.node(self.types.inner(ty)));
        matches!(ty, Some(Type::Number(_) | Type::Integer))
    }

    /// Calls `each` with the cells of every row.
    fn each(&self, bytes: &[u8], mut each: impl FnMut(&[Cell]) -> Result<()>) -> Result<()> {
        let canonical = canonical(self.types, self.ty, bytes)?;
        match self.row {
            Some(_) => elements(&canonical, |row| each(&self.cells(row)?)),
            None => each(&self.cells(&canonical)?),
        }
    }

    fn cells(&self, row: &[u8]) -> Result<Vec<Cell>> {
        let mut cells = Vec::new();
        if let (Some(keys), Ok(Token::Nil)) = (self.header(), Reader::new(row).next()) {
            return Ok(vec![Cell::null(); keys.len()]);
        }
        match self.row_type() {
            Type::Record(_) | Type::Tuple(_) | Type::List { .. } => elements(row, |bytes| {
                if let Some(ty) = self.cell_type(cells.len()) {
                    cells.push(self.cell(ty, bytes)?);
                }
                Ok(())
            })?,
            _ => cells.extend(self.row.map(|ty| self.cell(ty, row)).transpose()?),
        }
        Ok(cells)
    }

    fn cell(&self, ty: TypeId, bytes: &[u8]) -> Result<Cell> {
        match Reader::new(bytes).next() {
            Ok(Token::Nil) => return Ok(Cell::null()),
            Ok(Token::Str(text)) => return Ok(Cell::text(text)),
            _ => {}
        }
        let mut json = Vec::new();
        msgpack_to_json(self.types, ty, bytes, Style::Compact, &mut json)
            .map_err(|error| misfit(self.types, ty, &error))?;
        let text = String::from_utf8(json).unwrap_or_default();
        // Bytes, and floats that are no numbers, are strings in JSON only for want of a better form.
        let bare = match self.types.node(self.types.inner(ty)) {
            Type::Bytes | Type::Number(_) => text.trim_matches('"'),
            _ => &text,
        };
        Ok(Cell::text(bare))
    }
}
