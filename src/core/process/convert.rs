//! Values as programs read and write them: text, lines, bytes, JSON. Cuts no stream into messages.

use crate::codec::elements::elements;
use crate::codec::lines;
use crate::codec::msgpack::{Reader, Token, write};
use crate::codec::schema::{Type, Types};
use crate::codec::transcode::{Style, json_to_msgpack, msgpack_to_json};
use crate::error::{Error, Kind, Result};
use crate::expr::process::Form;
use crate::ids::TypeId;

/// The type of a list's elements, for forms that are made of them; else the type itself.
pub fn item_type(types: &Types, ty: TypeId, form: Form) -> TypeId {
    match (form, types.node(ty)) {
        (Form::Lines | Form::Jsonl, Type::List { element, .. }) => element,
        _ => ty,
    }
}

/// Appends a value as a program reads it.
///
/// # Errors
/// Kind `bad_argument`: a value that has no such form.
pub fn write_value(types: &Types, ty: TypeId, form: Form, value: &[u8], out: &mut Vec<u8>) -> Result<()> {
    match form {
        Form::Lines | Form::Jsonl => {
            let element = item_type(types, ty, form);
            elements(value, |item| write_item(types, element, form, item, out))
        }
        _ => write_item(types, ty, form, value, out),
    }
}

/// Appends one item of a stream, which is a line where the form is made of lines.
///
/// # Errors
/// As [`write_value`].
pub fn write_item(types: &Types, ty: TypeId, form: Form, item: &[u8], out: &mut Vec<u8>) -> Result<()> {
    match (form, Reader::new(item).next()) {
        (Form::None, _) => {}
        (Form::Text, Ok(Token::Str(text))) => out.extend_from_slice(text.as_bytes()),
        (Form::Bytes, Ok(Token::Bin(bytes))) => out.extend_from_slice(bytes),
        (Form::Lines, Ok(Token::Str(line))) => {
            if line.contains('\n') {
                let message = "a line for a program holds the end of a line, expected one line";
                return Err(Error::new(Kind::BadArgument, message));
            }
            out.extend_from_slice(line.as_bytes());
            out.push(b'\n');
        }
        (Form::Json | Form::Jsonl, Ok(_)) => {
            msgpack_to_json(types, ty, item, Style::Compact, out)
                .map_err(|error| unfit(types, ty, &error.message))?;
            out.push(b'\n');
        }
        (_, found) => {
            let found = found.map_or("cut off", |token| token.name());
            return Err(unfit(types, ty, &format!("it is {found}")));
        }
    }
    Ok(())
}

fn unfit(types: &Types, ty: TypeId, why: &str) -> Box<Error> {
    let spelled = types.spell(ty);
    Error::new(
        Kind::BadArgument,
        format!("value of type {spelled} can't be written for a program: {why}"),
    )
}

/// Appends the value of all that a program has written.
///
/// # Errors
/// Kind `protocol`: bytes that are no such value.
pub fn read_value(types: &Types, ty: TypeId, form: Form, bytes: &[u8], out: &mut Vec<u8>) -> Result<()> {
    if !matches!(form, Form::Lines | Form::Jsonl) {
        return read_item(types, ty, form, bytes, out);
    }
    let element = item_type(types, ty, form);
    let body = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    if bytes.is_empty() {
        write::array(out, 0);
        return Ok(());
    }
    let count = 1 + lines::count(body);
    let count = u32::try_from(count).map_err(|_| unreadable(types, ty, "it has too many lines"))?;
    write::array(out, count);
    let mut rest = body;
    for number in 1..=count {
        let line = &rest[..lines::find(rest).unwrap_or(rest.len())];
        read_item(types, element, form, line, out).map_err(|error| {
            let place = format!("line {number}");
            error.at(place)
        })?;
        rest = rest.get(line.len() + 1..).unwrap_or_default();
    }
    Ok(())
}

/// Appends the value of one item: a line without its end, where the form is made of lines.
///
/// # Errors
/// As [`read_value`].
pub fn read_item(types: &Types, ty: TypeId, form: Form, bytes: &[u8], out: &mut Vec<u8>) -> Result<()> {
    match form {
        Form::None => write::nil(out),
        Form::Bytes => write::bin(out, bytes),
        Form::Text | Form::Lines => match std::str::from_utf8(bytes) {
            Ok(text) => write::string(out, text),
            Err(_) => return Err(not_text(types, ty)),
        },
        Form::Json | Form::Jsonl => {
            json_to_msgpack(types, ty, bytes, out).map_err(|error| unreadable(types, ty, &error.message))?;
        }
    }
    Ok(())
}

/// The error for bytes that should be a text of that type.
pub fn not_text(types: &Types, ty: TypeId) -> Box<Error> {
    unreadable(types, ty, "it is not valid UTF-8")
}

fn unreadable(types: &Types, ty: TypeId, why: &str) -> Box<Error> {
    let spelled = types.spell(ty);
    Error::new(
        Kind::Protocol,
        format!("output can't be read as {spelled}: {why}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A value as JSON, as a program reads it, and as it is when the program writes the same.
    fn check(schema: &str, form: Form, json: &str, written: &str) {
        let mut types = Types::default();
        let ty = types.parse(schema).unwrap();
        let (mut value, mut out, mut back, mut text) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        json_to_msgpack(&types, ty, json.as_bytes(), &mut value).unwrap();
        write_value(&types, ty, form, &value, &mut out).unwrap();
        assert_eq!(String::from_utf8_lossy(&out), written, "{json}");
        read_value(&types, ty, form, &out, &mut back).unwrap();
        msgpack_to_json(&types, ty, &back, Style::Compact, &mut text).unwrap();
        assert_eq!(String::from_utf8_lossy(&text), json, "{schema}");
    }

    #[test]
    fn values_go_through_programs() {
        check("s", Form::Text, r#""a\nb""#, "a\nb");
        check("y", Form::Bytes, r#""AAE=""#, "\0\u{1}");
        check("[s]", Form::Lines, r#"["a","","b c"]"#, "a\n\nb c\n");
        check("[s]", Form::Lines, "[]", "");
        check("{a:?i4}", Form::Json, r#"{"a":null}"#, "{\"a\":null}\n");
        check("[f8]", Form::Jsonl, "[1,2.5]", "1\n2.5\n");
        check("[[s]]", Form::Jsonl, r#"[["a"],[]]"#, "[\"a\"]\n[]\n");
        check("z", Form::None, "null", "");
    }

    #[test]
    fn what_has_no_such_form_is_refused() {
        let mut types = Types::default();
        let (text, lines) = (types.parse("s").unwrap(), types.parse("[i4]").unwrap());
        let read = |ty, form, bytes: &[u8]| {
            let error = read_value(&types, ty, form, bytes, &mut Vec::new()).unwrap_err();
            error.to_string()
        };
        let expected = "output can't be read as s: it is not valid UTF-8";
        assert_eq!(read(text, Form::Text, b"\xff"), expected);
        assert!(read(lines, Form::Jsonl, b"1\nx\n").ends_with(" at line 2"));
        let mut line = Vec::new();
        write::string(&mut line, "a\nb");
        let error = write_item(&types, text, Form::Lines, &line, &mut Vec::new()).unwrap_err();
        assert!(error.message.contains("expected one line"));
        let error = write_item(&types, text, Form::Bytes, &line, &mut Vec::new()).unwrap_err();
        assert!(error.message.contains("it is a string"));
    }
}
