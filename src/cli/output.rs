//! A result on its way out: from msgpack to the form that the user chose, in pieces, so that a large one is never text as a
//! whole. Knows no command.

use crate::cli::files::reason;
use crate::cli::tabular;
use crate::codec::elements::elements;
use crate::codec::msgpack::{Reader, Token};
use crate::codec::schema::{Type, Types};
use crate::codec::transcode::{Closed, Sink, Style, ValueError, msgpack_to_json, msgpack_to_msgpack};
use crate::error::{Error, Kind, Result};
use crate::expr::process::Form;
use crate::ids::TypeId;
use std::io::{self, Write};

/// The form of a printed result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// One line of JSON.
    #[default]
    Json,
    /// JSON, indented.
    Pretty,
    /// JSON, one line per element of a list.
    Jsonl,
    /// msgpack, as pools get it.
    Msgpack,
    /// Comma-separated values (RFC 4180, lines end with LF).
    Csv,
    /// Tab-separated values; tab, LF, CR and backslash in a text are escaped with a backslash.
    Tsv,
    /// Columns for people.
    Table,
}

/// The formats under the names that users give them.
pub const FORMATS: [(&str, Format); 7] = [
    ("json", Format::Json),
    ("pretty", Format::Pretty),
    ("jsonl", Format::Jsonl),
    ("msgpack", Format::Msgpack),
    ("csv", Format::Csv),
    ("tsv", Format::Tsv),
    ("table", Format::Table),
];

/// How a result is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Output {
    /// Its form.
    pub format: Format,
    /// Strings and bytes as they are, instead of in JSON's quotes.
    pub raw: bool,
    /// Print a null, too.
    pub keep_null: bool,
}

/// Checks that results of the type have that form, before a long run is in vain.
///
/// # Errors
/// Kind `usage`: a type without rows, for a format that needs them.
pub fn check(types: &Types, ty: TypeId, output: Output) -> Result<()> {
    match output.format {
        Format::Csv | Format::Tsv | Format::Table => tabular::check(types, ty),
        Format::Json | Format::Pretty | Format::Jsonl | Format::Msgpack => Ok(()),
    }
}

/// The form of what a program writes that is printed as it is: results of the type, in that output.
pub fn as_written(types: &Types, ty: TypeId, output: Output) -> Option<Form> {
    let is_text = |ty| matches!(types.node(ty), Type::Str);
    match (output.format, types.node(ty)) {
        _ if !output.raw => None,
        (Format::Json | Format::Pretty | Format::Jsonl, Type::Str) => Some(Form::Text),
        (Format::Json | Format::Pretty | Format::Jsonl, Type::Bytes) => Some(Form::Bytes),
        (Format::Jsonl, Type::List { element, .. }) if is_text(element) => Some(Form::Lines),
        _ => None,
    }
}

/// Prints a result on standard output. Where nobody reads it any more, the rest is dropped quietly.
///
/// # Errors
/// Kind `usage`: a type without tabular form; `protocol`: bytes that don't fit the type; `io`: what the system says.
pub fn print(types: &Types, ty: TypeId, bytes: &[u8], output: Output) -> Result<()> {
    print_to(io::stdout().lock(), types, ty, bytes, output)
}

/// A result as [`print`] writes it.
///
/// # Errors
/// As those of [`print`].
pub fn render(types: &Types, ty: TypeId, bytes: &[u8], output: Output) -> Result<Vec<u8>> {
    let mut text = Vec::new();
    print_to(&mut text, types, ty, bytes, output).map(|()| text)
}

/// Prints a text on standard output, as [`print`] does a result.
///
/// # Errors
/// Kind `io`: what the system says.
pub fn print_text(text: &[u8]) -> Result<()> {
    let mut stream = Stream::new(io::stdout().lock());
    stream.buffer.extend_from_slice(text);
    stream.finish(Ok(()))
}

fn print_to(out: impl Write, types: &Types, ty: TypeId, bytes: &[u8], output: Output) -> Result<()> {
    let mut stream = Stream::new(out);
    let result = write(types, ty, bytes, output, &mut stream);
    stream.finish(result)
}

fn write(types: &Types, ty: TypeId, bytes: &[u8], output: Output, sink: &mut dyn Sink) -> Result<()> {
    let is_nullable = matches!(types.node(ty), Type::Optional(_) | Type::Nil);
    if is_nullable && !output.keep_null && Reader::new(bytes).peek() == Ok(Token::Nil) {
        return Ok(());
    }
    match output.format {
        Format::Json => line(types, ty, bytes, Style::Compact, output.raw, sink),
        Format::Pretty => line(types, ty, bytes, Style::Pretty, output.raw, sink),
        Format::Jsonl => lines(types, ty, bytes, output.raw, sink),
        Format::Msgpack => {
            let result = msgpack_to_msgpack(types, ty, bytes, sink.buffer());
            result.map_err(|error| misfit(types, ty, &error))
        }
        Format::Csv => tabular::separated(types, ty, bytes, tabular::CSV, sink),
        Format::Tsv => tabular::separated(types, ty, bytes, tabular::TSV, sink),
        Format::Table => tabular::table(types, ty, bytes, sink),
    }
}

/// One value and the end of its line. Raw bytes get no such end: they may be a picture.
fn line(types: &Types, ty: TypeId, bytes: &[u8], style: Style, raw: bool, sink: &mut dyn Sink) -> Result<()> {
    if raw {
        match (types.node(types.inner(ty)), Reader::new(bytes).next()) {
            (Type::Str, Ok(Token::Str(text))) => {
                sink.buffer().extend_from_slice(text.as_bytes());
                sink.buffer().push(b'\n');
                return Ok(());
            }
            (Type::Bytes, Ok(Token::Bin(bytes))) => {
                sink.buffer().extend_from_slice(bytes);
                return Ok(());
            }
            _ => {}
        }
    }
    msgpack_to_json(types, ty, bytes, style, sink).map_err(|error| misfit(types, ty, &error))?;
    sink.buffer().push(b'\n');
    Ok(())
}

/// One line per element of a list; one for anything else.
fn lines(types: &Types, ty: TypeId, bytes: &[u8], raw: bool, sink: &mut dyn Sink) -> Result<()> {
    let Type::List { element, .. } = types.node(types.inner(ty)) else {
        return line(types, ty, bytes, Style::Compact, raw, sink);
    };
    let canonical = canonical(types, ty, bytes)?;
    elements(&canonical, |bytes| {
        line(types, element, bytes, Style::Compact, raw, sink)?;
        flush(sink)
    })
}

/// Checks bytes and brings them into canonical form.
///
/// # Errors
/// Kind `protocol`: they don't fit the type.
pub(super) fn canonical(types: &Types, ty: TypeId, bytes: &[u8]) -> Result<Vec<u8>> {
    let mut out = Vec::with_capacity(bytes.len());
    msgpack_to_msgpack(types, ty, bytes, &mut out).map_err(|error| misfit(types, ty, &error))?;
    Ok(out)
}

/// Empties a large buffer between rows.
pub(super) fn flush(sink: &mut dyn Sink) -> Result<()> {
    // What closed it is told at the end, by the stream.
    sink.flush_if_large()
        .map_err(|Closed| Error::new(Kind::Io, "output is closed"))
}

/// A result that isn't what its type says.
pub(super) fn misfit(types: &Types, ty: TypeId, error: &ValueError) -> Box<Error> {
    let message = format!(
        "result does not fit its type {}: {}",
        types.spell(ty),
        error.message
    );
    Error::new(Kind::Protocol, message).at(format!("result{} (byte {})", error.path, error.offset))
}

/// What is held back before it is written, in bytes: few system calls, and nothing that counts in memory.
const PIECE_BYTES: usize = 64 << 10;

/// Text that is written in pieces; the first failure ends it.
struct Stream<W> {
    out: W,
    buffer: Vec<u8>,
    failure: Option<io::Error>,
}

impl<W: Write> Stream<W> {
    fn new(out: W) -> Stream<W> {
        Stream {
            out,
            buffer: Vec::new(),
            failure: None,
        }
    }

    fn empty(&mut self) -> io::Result<()> {
        self.out.write_all(&self.buffer)?;
        self.buffer.clear();
        Ok(())
    }

    /// Writes what is left. What the system refused counts more than what came of it.
    fn finish(mut self, result: Result<()>) -> Result<()> {
        if self.failure.is_none() {
            self.failure = self.empty().and_then(|()| self.out.flush()).err();
        }
        match self.failure {
            Some(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            Some(error) => {
                let message = format!("can't write standard output: {}", reason(&error));
                Err(Error::new(Kind::Io, message))
            }
            None => result,
        }
    }
}

impl<W: Write> Sink for Stream<W> {
    fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    fn large_bytes(&self) -> usize {
        PIECE_BYTES
    }

    fn flush_if_large(&mut self) -> std::result::Result<(), Closed> {
        if self.buffer.len() < PIECE_BYTES {
            return Ok(());
        }
        self.empty().map_err(|error| {
            self.failure = Some(error);
            Closed
        })
    }
}
