//! `--each`: a command for each item of standard input, whose pools stay warm meanwhile. Items are lines of JSON, or with
//! `--format msgpack` frames, as one nexus speaks with another that it runs as a worker process.

use crate::cli::input::encode_json;
use crate::cli::output::{self, Format, Output};
use crate::cli::report;
use crate::cli::request::Options;
use crate::codec::error_map::write_error;
use crate::codec::json::{self, write_string};
use crate::codec::msgpack::{Reader, Token, write};
use crate::core::eval::run as evaluate;
use crate::core::process::mailbox::{Framing, Inbox};
use crate::error::{Error, Kind, Result};
use crate::limits::{READ_BYTES, WORKER_MESSAGE_BYTES_MAX};
use crate::manifest::model::{Arg, Body, Command, Manifest};
use crate::manifest::positional::{check_count, positional};
use crate::shell::composed::{Argument, Composition};
use crate::shell::session::{Call, Session};
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::ExitCode;
use std::rc::Rc;

/// Runs a command of the program whose manifest has that path for each item.
///
/// # Errors
/// The first item's that fails, unless it is to go on; what the system says of standard input and output.
pub fn run(path: &Path, manifest: &Rc<Manifest>, command: &Command, options: Options) -> Result<ExitCode> {
    let is_framed = options.output.format == Format::Msgpack;
    if !is_framed {
        output::check(&manifest.types, command.returns.ty, line_output(options))?;
    }
    let session = match &command.body {
        Body::Pure(_) => None,
        Body::Remote { needed, .. } | Body::Composed { needed, .. } => {
            Some(Session::start(manifest, path, needed)?)
        }
        Body::Unsupported(error) => return Err(error.clone()),
    };
    let mut each = Each {
        manifest,
        command,
        options,
        session,
        inbox: Inbox::new(match is_framed {
            true => Framing::Frames,
            false => Framing::Lines,
        }),
        done: 0,
    };
    let result = each.serve();
    if let Some(session) = each.session {
        session.finish();
    }
    result
}

fn line_output(options: Options) -> Output {
    Output {
        keep_null: true,
        ..options.output
    }
}

struct Each<'m> {
    manifest: &'m Manifest,
    command: &'m Command,
    options: Options,
    /// None for a command that nexus evaluates itself.
    session: Option<Session>,
    inbox: Inbox,
    /// Items that were taken.
    done: u64,
}

impl Each<'_> {
    fn serve(&mut self) -> Result<ExitCode> {
        let mut code = ExitCode::SUCCESS;
        let mut buffer = vec![0; READ_BYTES];
        while let Some(item) = self.next_item(&mut buffer)? {
            self.done += 1;
            let result = self.apply(&item);
            let is_interrupted = self.session.as_ref().is_some_and(Session::is_interrupted);
            let answer = match &result {
                _ if self.options.output.format == Format::Msgpack => framed(&result)?,
                Ok(result) => self.text(result)?,
                Err(error) => {
                    let error = at_item(error.clone(), self.done);
                    if !self.options.keep_going || is_interrupted {
                        return Err(error);
                    }
                    code = report::print(&self.manifest.name, &error);
                    error_line(&error)
                }
            };
            let mut stdout = io::stdout().lock();
            match stdout.write_all(&answer).and_then(|()| stdout.flush()) {
                // Nobody wants the rest.
                Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(code),
                Err(error) => {
                    let message = format!("can't write standard output: {error}");
                    return Err(Error::new(Kind::Io, message));
                }
                Ok(()) if is_interrupted => return result.map(|_| code),
                Ok(()) => {}
            }
        }
        Ok(code)
    }

    /// The next item; none when there are no more.
    fn next_item(&mut self, buffer: &mut [u8]) -> Result<Option<Vec<u8>>> {
        let too_large = || {
            let message =
                format!("an item of standard input is larger than {WORKER_MESSAGE_BYTES_MAX} bytes");
            Error::new(Kind::BadArgument, message)
        };
        loop {
            if let Some(item) = self.inbox.take() {
                return Ok(Some(item.to_vec()));
            }
            if self.inbox.has_ended() {
                return Ok(None);
            }
            let mut stdin = io::stdin().lock();
            if let Some(session) = &mut self.session {
                session.wait_for(stdin.as_fd())?;
            }
            match stdin.read(buffer) {
                Ok(0) if self.inbox.end() => {
                    let message = "standard input ends in the middle of an item";
                    return Err(Error::new(Kind::BadArgument, message));
                }
                Ok(0) => {}
                Ok(read) if self.inbox.push(&buffer[..read]) => {}
                Ok(_) => return Err(too_large()),
                Err(error) if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::WouldBlock) => {}
                Err(error) => {
                    let message = format!("can't read standard input: {error}");
                    return Err(Error::new(Kind::Io, message));
                }
            }
        }
    }

    fn apply(&mut self, item: &[u8]) -> Result<Vec<u8>> {
        let args = match self.options.output.format {
            Format::Msgpack => self.framed_args(item)?,
            _ => self.line_args(item)?,
        };
        let (types, command) = (&self.manifest.types, self.command);
        match (&command.body, &mut self.session) {
            (Body::Pure(expr), _) => {
                let typed = args
                    .iter()
                    .map(Vec::as_slice)
                    .zip(command.args.iter().map(Arg::ty));
                let typed: Vec<_> = typed.collect();
                let mut result = Vec::new();
                let returned = command.returns.ty;
                evaluate(&self.manifest.exprs, types, *expr, &typed, returned, &mut result)?;
                Ok(result)
            }
            (Body::Remote { pool, mid, .. }, Some(session)) => session.call(Call {
                pool: *pool,
                mid: *mid,
                args,
                timeout_ms: self.options.timeout_ms.or(command.timeout_ms),
            }),
            (Body::Composed { expr, .. }, Some(session)) => {
                let args = args.into_iter().map(Argument::Value);
                let result = session.evaluate(Composition {
                    root: *expr,
                    args: args.zip(command.args.iter().map(Arg::ty)).collect(),
                    returns: command.returns.ty,
                    timeout_ms: self.options.timeout_ms.or(command.timeout_ms),
                    printed: None,
                });
                result.map(Option::unwrap_or_default)
            }
            (Body::Unsupported(error), _) => Err(error.clone()),
            (Body::Remote { .. } | Body::Composed { .. }, None) => {
                Err(Error::new(Kind::Io, "the pools are gone"))
            }
        }
    }

    /// The arguments on a line: an array of them, or one alone.
    fn line_args(&self, line: &[u8]) -> Result<Vec<Vec<u8>>> {
        if self.command.args.len() == 1 {
            return Ok(vec![encode_json(&self.manifest.types, self.command, 0, line)?]);
        }
        let malformed = |error: json::JsonError| {
            let place = format!("character {}", json::line_column(line, error.offset).1);
            Error::new(Kind::BadArgument, error.message).at(place)
        };
        let mut reader = json::Reader::new(line);
        let mut texts = Vec::new();
        reader.begin_array().map_err(malformed)?;
        while reader.next_element().map_err(malformed)? {
            texts.push(reader.skip().map_err(malformed)?);
        }
        reader.finish().map_err(malformed)?;
        check_count(self.command, texts.len())?;
        let texts = texts.iter().enumerate();
        let args =
            texts.map(|(position, text)| encode_json(&self.manifest.types, self.command, position, text));
        args.collect()
    }

    /// The arguments in a frame: an array of them.
    fn framed_args(&self, frame: &[u8]) -> Result<Vec<Vec<u8>>> {
        let mut reader = Reader::new(frame);
        let Ok(Token::Array(len)) = reader.next() else {
            let message = "arguments can't be read: no array";
            return Err(Error::new(Kind::BadArgument, message));
        };
        positional(&self.manifest.types, self.command, len as usize, reader.rest())
    }

    fn text(&self, result: &[u8]) -> Result<Vec<u8>> {
        let output = line_output(self.options);
        output::render(&self.manifest.types, self.command.returns.ty, result, output)
    }
}

fn at_item(mut error: Box<Error>, number: u64) -> Box<Error> {
    error.message = format!("item {number}: {}", error.message);
    error
}

/// An answer for whoever runs this as a worker process: `[nil, result]` or `[error, nil]`.
fn framed(result: &Result<Vec<u8>>) -> Result<Vec<u8>> {
    let mut out = vec![0; 4];
    write::array(&mut out, 2);
    match result {
        Ok(result) => {
            write::nil(&mut out);
            out.extend_from_slice(result);
        }
        Err(error) => {
            write_error(&mut out, error);
            write::nil(&mut out);
        }
    }
    let len = u32::try_from(out.len() - 4);
    let len = len.map_err(|_| Error::new(Kind::Io, "a result is too large for a frame"))?;
    out[..4].copy_from_slice(&len.to_be_bytes());
    Ok(out)
}

/// An error where a result would be.
fn error_line(error: &Error) -> Vec<u8> {
    let mut out = br#"{"error":{"kind":"#.to_vec();
    write_string(error.kind.name(), &mut out);
    let parts = [
        ("message", Some(&error.message)),
        ("place", error.place.as_ref()),
        ("pool", error.pool.as_ref()),
        ("function", error.function.as_ref()),
    ];
    for (key, text) in parts {
        if let Some(text) = text {
            out.push(b',');
            write_string(key, &mut out);
            out.push(b':');
            write_string(text, &mut out);
        }
    }
    out.extend_from_slice(b"}}\n");
    out
}
