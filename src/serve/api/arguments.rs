//! The arguments of a call from a request: a body by name or by position, or a query. One canonical msgpack value comes out
//! for each parameter, read by its type in one pass. Runs nothing.

use crate::codec::msgpack::write;
use crate::codec::nearest::nearest;
use crate::codec::schema::{Type, Types};
use crate::codec::transcode::json_to_msgpack;
use crate::error::{Error, Kind, Result};
use crate::manifest::model::{Arg, Command, Manifest, RecordArg};
use crate::manifest::names::full_name;
use crate::manifest::sample::sample;
use crate::manifest::word::{self, with_hint};
use crate::serve::api::accept::media_and_parameters;
use crate::serve::api::cursor::{Cursor, Next};
use crate::serve::api::failure::Failure;
use crate::serve::api::parameter::{
    Slot, Slots, entry, field_slots, fields, find, form, parameter_names, slots,
};
use crate::serve::http::{Method, Request, target};

/// The media types of bodies.
pub(super) const BODY_TYPES: [&str; 4] = [
    "application/json",
    "application/msgpack",
    "application/x-msgpack",
    "application/vnd.msgpack",
];

/// The arguments of a call to that command: one canonical msgpack value per parameter.
///
/// # Errors
/// Status 400: an argument that doesn't fit, with its name and the place in it; one that is missing, unknown or given twice.
/// Status 415: a body of another media type.
pub fn arguments(
    manifest: &Manifest,
    command: &Command,
    request: &Request,
) -> std::result::Result<Vec<Vec<u8>>, Failure> {
    let body = request.body.as_slice();
    let query = request.query();
    let is_query = matches!(request.method, Method::Get | Method::Head) || body.is_empty();
    if is_query && !body.is_empty() || !is_query && !query.is_empty() {
        let message = match is_query {
            true => format!(
                "{} has a body, expected the arguments in the query",
                request.method.name()
            ),
            false => "arguments stand in the body and in the query, expected one of them".to_string(),
        };
        return Err(told(command, Error::new(Kind::BadArgument, message)));
    }
    if is_query {
        return by_query(&manifest.types, command, query).map_err(|error| told(command, error));
    }
    let media_type = request.header("content-type").unwrap_or_default();
    let (essence, parameters) = media_and_parameters(media_type);
    let cursor = match BODY_TYPES
        .iter()
        .position(|known| essence.eq_ignore_ascii_case(known))
    {
        Some(0) if is_utf8(parameters) => Cursor::json(body),
        Some(1..) => Cursor::msgpack(body),
        _ => return Err(unsupported(media_type)),
    };
    by_body(&manifest.types, command, cursor).map_err(|error| told(command, error))
}

/// The same from a JSON text: an object by name, or an array by position.
///
/// # Errors
/// Kind `bad_argument`, as [`arguments`].
pub fn from_json(manifest: &Manifest, command: &Command, text: &[u8]) -> Result<Vec<Vec<u8>>> {
    by_body(&manifest.types, command, Cursor::json(text))
}

fn told(command: &Command, mut error: Box<Error>) -> Failure {
    error.command = Some(full_name(command));
    error.into()
}

fn unsupported(media_type: &str) -> Failure {
    let message = match media_type {
        "" => "the body has no content type".to_string(),
        other => format!("a body of the content type '{other}' is not understood"),
    };
    let failure = Failure::new(415, Kind::Usage, message);
    let failure = failure.hint("send 'Content-Type: application/json', or application/msgpack");
    failure.header("accept-post", BODY_TYPES[..2].join(", "))
}

/// Whether the parameters of a content type name no other character set.
fn is_utf8(parameters: &str) -> bool {
    // Mostly there are none.
    parameters.is_empty()
        || parameters.split(';').all(|parameter| {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            let value = value.trim().trim_matches('"');
            !name.trim().eq_ignore_ascii_case("charset") || value.eq_ignore_ascii_case("utf-8")
        })
}

fn by_body(types: &Types, command: &Command, mut cursor: Cursor) -> Result<Vec<Vec<u8>>> {
    let mut binder = Binder::new(types, command);
    match cursor.peek()? {
        Next::Map => {
            let names = slots(types, command, &parameter_names(command), false);
            let mut open = cursor.open()?;
            while let Some(name) = cursor.next_key(&mut open)? {
                let slot = find(&names, &name).ok_or_else(|| binder.unknown(&name, &names))?;
                binder.value(slot, &mut cursor)?;
            }
        }
        Next::Array => {
            let mut open = cursor.open()?;
            let mut arg = 0;
            while cursor.next_element(&mut open)? {
                if arg == command.args.len() {
                    return Err(binder.too_many());
                }
                let slot = Slot {
                    arg,
                    field: None,
                    is_reverse: false,
                };
                binder.value(slot, &mut cursor)?;
                arg += 1;
            }
        }
        Next::Other(found) => {
            let message = format!(
                "the body is {found}, expected arguments by name in an object, or by position in an array"
            );
            return Err(Error::new(Kind::BadArgument, message));
        }
    }
    cursor.finish()?;
    binder.finish()
}

fn by_query(types: &Types, command: &Command, query: &str) -> Result<Vec<Vec<u8>>> {
    let mut binder = Binder::new(types, command);
    let names = slots(types, command, &parameter_names(command), true);
    for (name, text) in target::fields(query)? {
        let slot = find(&names, &name).ok_or_else(|| binder.unknown(&name, &names))?;
        binder.word(slot, &text)?;
    }
    binder.finish()
}

/// What was given for one parameter.
#[derive(Default)]
struct Given {
    whole: Option<Vec<u8>>,
    /// The fields of its record; empty: none was given.
    fields: Vec<Option<Vec<u8>>>,
}

/// Values on their way to the parameters of a command.
struct Binder<'m> {
    types: &'m Types,
    command: &'m Command,
    given: Vec<Given>,
}

impl<'m> Binder<'m> {
    fn new(types: &'m Types, command: &'m Command) -> Binder<'m> {
        Binder {
            types,
            command,
            given: command.args.iter().map(|_| Given::default()).collect(),
        }
    }

    /// Reads the value that comes next.
    fn value(&mut self, slot: Slot, cursor: &mut Cursor) -> Result<()> {
        if let (None, Some(Arg::Record(record))) = (slot.field, self.command.args.get(slot.arg))
            && !fields(self.types, record).is_empty()
            && cursor.peek()? == Next::Map
        {
            return self.record(slot.arg, record, cursor);
        }
        let Some((ty, _)) = form(self.types, self.command, slot) else {
            return Err(self.too_many());
        };
        let mut out = Vec::new();
        cursor.value(self.types, ty, &mut out).map_err(|(error, place)| {
            let (name, path) = self.label(slot);
            let told = Error::new(Kind::BadArgument, format!("{name}: {}", error.message));
            with_hint(told.at(format!("{path}{} ({place})", error.path)), error.hint)
        })?;
        self.give(slot, out)
    }

    /// Reads a record, of which what has a default may be left out.
    fn record(&mut self, arg: usize, record: &RecordArg, cursor: &mut Cursor) -> Result<()> {
        self.check_free(Slot {
            arg,
            field: None,
            is_reverse: false,
        })?;
        let names = field_slots(self.types, record, arg);
        let mut open = cursor.open()?;
        let given = &mut self.given[arg].fields;
        given.resize(fields(self.types, record).len(), None);
        while let Some(name) = cursor.next_key(&mut open)? {
            let slot = find(&names, &name).ok_or_else(|| self.unknown(&name, &names))?;
            self.value(slot, cursor)?;
        }
        Ok(())
    }

    /// Reads a word of a query.
    fn word(&mut self, slot: Slot, text: &str) -> Result<()> {
        let types = self.types;
        let whole = self.command.args.get(slot.arg);
        if let (None, Some(Arg::Record(record)), true) = (slot.field, whole, text.starts_with('{')) {
            let mut cursor = Cursor::json(text.as_bytes());
            return self
                .record(slot.arg, record, &mut cursor)
                .and_then(|()| cursor.finish());
        }
        let Some((ty, is_literal)) = form(types, self.command, slot) else {
            return Err(self.too_many());
        };
        let is_optional = matches!(types.node(ty), Type::Optional(_));
        let mut out = Vec::new();
        if types.is_text(ty) {
            match is_optional && !is_literal && text == "null" {
                true => write::nil(&mut out),
                false => write::string(&mut out, text),
            }
        } else if types.node(ty) == Type::Bool && text.is_empty() {
            // As a flag is given: by its name alone.
            write::boolean(&mut out, true);
        } else {
            let how = || sample(types, ty).map(|sample| format!("write JSON, like {sample}"));
            word::encode(types, ty, text, &|| self.label(slot), &how, &mut out)?;
        }
        self.give(slot, out)
    }

    fn give(&mut self, slot: Slot, mut value: Vec<u8>) -> Result<()> {
        self.check_free(slot)?;
        if slot.is_reverse {
            let is_true = value == [0xc3];
            value.clear();
            write::boolean(&mut value, !is_true);
        }
        let given = &mut self.given[slot.arg];
        match slot.field {
            None => given.whole = Some(value),
            Some(field) => {
                if given.fields.len() <= field {
                    given.fields.resize(field + 1, None);
                }
                given.fields[field] = Some(value);
            }
        }
        Ok(())
    }

    /// # Errors
    /// What is given there twice.
    fn check_free(&self, slot: Slot) -> Result<()> {
        let given = &self.given[slot.arg];
        let is_taken = match slot.field {
            None => given.whole.is_some() || !given.fields.is_empty(),
            Some(field) => given.whole.is_some() || given.fields.get(field).is_some_and(Option::is_some),
        };
        match is_taken {
            true => {
                let message = format!("{} is given twice, expected it once", self.label(slot).0);
                Err(Error::new(Kind::BadArgument, message))
            }
            false => Ok(()),
        }
    }

    /// One value per parameter, from what was given and the defaults.
    fn finish(mut self) -> Result<Vec<Vec<u8>>> {
        let given = std::mem::take(&mut self.given);
        let mut values = Vec::with_capacity(given.len());
        for (position, (given, arg)) in given.into_iter().zip(&self.command.args).enumerate() {
            values.push(match (given.whole, arg) {
                (Some(value), _) => value,
                (None, Arg::Record(record)) => self.assemble(position, record, given.fields)?,
                (None, _) => self.absent(arg).ok_or_else(|| self.missing(position))?,
            });
        }
        Ok(values)
    }

    /// A record from those of its fields that were given, and the defaults of the others.
    fn assemble(&self, arg: usize, record: &RecordArg, given: Vec<Option<Vec<u8>>>) -> Result<Vec<u8>> {
        let Type::Record(_) = self.types.node(self.types.inner(record.ty)) else {
            return Err(self.missing(arg));
        };
        let fields = fields(self.types, record);
        let mut given = given.into_iter();
        let mut out = Vec::new();
        write::map(&mut out, fields.len() as u32);
        for (position, field) in fields.iter().enumerate() {
            write::string(&mut out, &field.key);
            let value = given.next().flatten().or_else(|| match entry(record, position) {
                Some(entry) => self.absent(entry),
                None => matches!(self.types.node(field.ty), Type::Optional(_)).then(|| vec![0xc0]),
            });
            let Some(value) = value else {
                let message = format!("argument {} needs the field \"{}\"", self.name(arg), field.key);
                return Err(Error::new(Kind::BadArgument, message));
            };
            out.extend_from_slice(&value);
        }
        Ok(out)
    }

    /// What a parameter is when it is not given, if that is known.
    fn absent(&self, arg: &Arg) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        match arg {
            Arg::Flag(flag) => write::boolean(&mut out, flag.default),
            Arg::Option(opt) if opt.default.is_some() => {
                let default = opt.default.as_deref().unwrap_or_default();
                json_to_msgpack(self.types, opt.input.ty, default.as_bytes(), &mut out).ok()?;
            }
            _ => match self.types.node(arg.ty()) {
                Type::Optional(_) | Type::Nil => write::nil(&mut out),
                _ => return None,
            },
        }
        Some(out)
    }

    /// What a parameter is called; only errors want to know.
    fn name(&self, arg: usize) -> String {
        parameter_names(self.command)
            .into_iter()
            .nth(arg)
            .unwrap_or_default()
    }

    fn missing(&self, position: usize) -> Box<Error> {
        let name = self.name(position);
        let message = format!("command {} needs the argument {name}", full_name(self.command));
        Error::new(Kind::BadArgument, message)
    }

    fn unknown(&self, name: &str, names: &Slots) -> Box<Error> {
        let command = full_name(self.command);
        let shown = name.escape_debug().take(NAME_CHARS_MAX).collect::<String>();
        let record = names.iter().all(|(_, slot)| slot.field.is_some());
        let message = match names.first() {
            Some((_, slot)) if record => {
                format!("argument {} has no field \"{shown}\"", self.name(slot.arg))
            }
            _ => format!("command {command} has no argument \"{shown}\""),
        };
        let error = Error::new(Kind::BadArgument, message);
        match nearest(name, names.iter().map(|(name, _)| name.as_str())) {
            Some(near) => error.hint(format!("did you mean \"{near}\"?")),
            None if names.is_empty() => error.hint("it takes none"),
            None if record => error,
            None => error.hint(format!(
                "its arguments are {}",
                parameter_names(self.command).join(", ")
            )),
        }
    }

    fn too_many(&self) -> Box<Error> {
        let takes = match self.command.args.len() {
            0 => "no argument".to_string(),
            1 => "one argument".to_string(),
            count => format!("{count} arguments"),
        };
        let command = full_name(self.command);
        Error::new(
            Kind::BadArgument,
            format!("command {command} takes {takes}, found more"),
        )
    }

    /// What messages call a place, and how paths into it start.
    fn label(&self, slot: Slot) -> (String, String) {
        let name = self.name(slot.arg);
        let path = match (slot.field, self.command.args.get(slot.arg)) {
            (Some(field), Some(Arg::Record(record))) => {
                let key = fields(self.types, record)
                    .get(field)
                    .map_or("", |field| &*field.key);
                format!("{name}.{key}")
            }
            _ => name,
        };
        (format!("argument {path}"), path)
    }
}

/// A longer name in a message is cut, in characters.
const NAME_CHARS_MAX: usize = 40;
