//! What the server asks of the programs that run snippets and SQL: their names and commands, the arguments as msgpack and
//! the answers as values. Calls nothing; the programs are written by `build::snippets`, their pools are the files in this
//! module's folder.

use crate::codec::json::line_column;
use crate::codec::msgpack::{Reader, Token, write};
use crate::error::{Error, Kind, Result};
use crate::flow::value::{Value, json};
use std::rc::Rc;

/// The version of the deployments.
pub const VERSION: &str = "v1";

/// The command that runs a snippet, with [`snippet_args`].
pub const SNIPPET: &str = "snippet";

/// The command that tells which codes can't be compiled, with [`check_args`]; [`flaws`] reads its answer. It runs none.
pub const CHECK: &str = "check";

/// The command that runs a statement, with [`sql_args`].
pub const STATEMENT: &str = "statement";

/// The command that ends the transactions of a run, with [`end_args`]. Its answer is null.
pub const END: &str = "end";

/// A program that the binary carries. The server has one deployment of each, which it loads when it is first called: what ends
/// one again and again leaves the others alone.
#[derive(Debug)]
pub struct Carried {
    /// As specs name its language, and as the deployment is called among the server's own (`Name::own`).
    pub name: &'static str,
    /// What the server loads as a source of that name. No path is so.
    pub source: &'static str,
    /// Its pool's language, as pools name it.
    pub lang: &'static str,
    /// How people call what it runs.
    pub runs: &'static str,
}

/// Those that run snippets, by their languages.
pub static SNIPPETS: [Carried; 3] = [
    Carried {
        name: "python",
        source: "nexus:python",
        lang: "py",
        runs: "snippets in Python",
    },
    Carried {
        name: "javascript",
        source: "nexus:javascript",
        lang: "js",
        runs: "snippets in JavaScript",
    },
    Carried {
        name: "r",
        source: "nexus:r",
        lang: "r",
        runs: "snippets in R",
    },
];

/// The one that runs SQL.
pub static SQL: Carried = Carried {
    name: "sql",
    source: "nexus:sql",
    lang: "py",
    runs: "SQL",
};

impl Carried {
    /// The one that runs snippets of a language, whatever the case of its name.
    pub fn for_language(name: &str) -> Option<&'static Carried> {
        SNIPPETS
            .iter()
            .find(|found| found.name.eq_ignore_ascii_case(name))
    }

    /// The one that is loaded from a source.
    pub fn of_source(source: &str) -> Option<&'static Carried> {
        let mut all = SNIPPETS.iter().chain([&SQL]);
        all.find(|found| found.source == source)
    }
}

/// The arguments of [`SNIPPET`]: its code, and what stands at its port. An error is given as its map, and told apart
/// from any value by what is around it: `{"value": ...}` or `{"error": {"kind": ..., "message": ...}}`.
///
/// # Errors
/// Kind `bad_argument`: the value is nested too deep.
pub fn snippet_args(code: &str, arg: &Value) -> Result<Vec<Vec<u8>>> {
    let key = match arg {
        Value::Error(_) => "error",
        _ => "value",
    };
    Ok(vec![
        text(code),
        any(&Value::map([(key, arg.clone())]), "the argument of a snippet")?,
    ])
}

/// The arguments of [`CHECK`]: the codes.
pub fn check_args(codes: &[Rc<str>]) -> Vec<Vec<u8>> {
    let mut list = Vec::new();
    write::array(&mut list, codes.len() as u32);
    for code in codes {
        write::string(&mut list, code);
    }
    vec![list]
}

/// The answer of [`CHECK`]: of each code why it can't be compiled, if so.
pub fn flaws(answer: &Value) -> Vec<Option<Rc<str>>> {
    let flaws = answer.elements().unwrap_or_default().iter();
    let text = |flaw: &Value| match flaw {
        Value::Str(text) => Some(text.clone()),
        _ => None,
    };
    flaws.map(text).collect()
}

/// The arguments of [`STATEMENT`]: the run whose transaction it belongs to, the source (a path, a URI `file:...` or `:memory:`),
/// the statement, and its parameters: null, a list, a map of names, or a list of such, each of which is a row.
///
/// # Errors
/// Kind `bad_argument`: the parameters are nested too deep.
pub fn sql_args(run: u64, source: &str, statement: &str, parameters: &Value) -> Result<Vec<Vec<u8>>> {
    let parameters = any(&with_bytes(parameters, 0), "the parameters of a statement")?;
    Ok(vec![unsigned(run), text(source), text(statement), parameters])
}

/// The arguments of [`END`]: the run, and whether what it has changed is to stay.
pub fn end_args(run: u64, is_commit: bool) -> Vec<Vec<u8>> {
    let mut commit = Vec::new();
    write::boolean(&mut commit, is_commit);
    vec![unsigned(run), commit]
}

/// The value in an answer of a command.
///
/// # Errors
/// Kind `protocol`: it is neither JSON in msgpack nor null.
pub fn answer(bytes: &[u8]) -> Result<Value> {
    let mut reader = Reader::new(bytes);
    let wrong = |what: &str| {
        let message = format!("the answer of a snippet is {what}, expected JSON");
        Error::new(Kind::Protocol, message)
    };
    match reader.next() {
        Ok(Token::Nil) => Ok(Value::Null),
        Ok(Token::Str(text)) => json::read(text.as_bytes()).map_err(|error| {
            let (line, column) = line_column(text.as_bytes(), error.offset);
            let message = format!("the result of a snippet can't be read: {}", error.message);
            Error::new(Kind::Protocol, message).at(format!("result:{line}:{column}"))
        }),
        Ok(token) => Err(wrong(token.name())),
        Err(_) => Err(wrong("no msgpack")),
    }
}

fn text(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + 5);
    write::string(&mut out, text);
    out
}

fn unsigned(number: u64) -> Vec<u8> {
    let mut out = Vec::new();
    write::unsigned(&mut out, number);
    out
}

/// A value as the text of its JSON.
fn any(value: &Value, what: &str) -> Result<Vec<u8>> {
    let mut json_text = Vec::new();
    json::write(value, &mut json_text).map_err(|mut error| {
        error.message = format!("{what}: {}", error.message);
        error
    })?;
    if u32::try_from(json_text.len()).is_err() {
        let message = format!(
            "{what} has {} bytes of JSON, expected less than 4 GiB",
            json_text.len()
        );
        return Err(Error::new(Kind::BadArgument, message));
    }
    let mut out = Vec::with_capacity(json_text.len() + 5);
    write::string_bytes(&mut out, &json_text);
    Ok(out)
}

/// Parameters in which bytes are told apart from text, as deep as parameters may be.
fn with_bytes(value: &Value, depth: usize) -> Value {
    match value {
        Value::Bytes(_) => Value::map([("$bytes", value.clone())]),
        Value::List(elements) if depth < 2 => {
            let elements = elements.iter().map(|element| with_bytes(element, depth + 1));
            Value::list(elements.collect())
        }
        Value::Map(entries) if depth < 2 => {
            let entries = entries.iter();
            let entries = entries.map(|(key, value)| (key.clone(), with_bytes(value, depth + 1)));
            Value::Map(Rc::new(entries.collect()))
        }
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Value {
        json::read(text.as_bytes()).unwrap()
    }

    /// The text in an argument that is any JSON.
    fn check(arg: &[u8], expected: &str) {
        assert_eq!(answer(arg).unwrap(), read(expected));
    }

    #[test]
    fn snippets_tell_errors_from_values() {
        let args = snippet_args("code", &read("[1, {\"error\": 2}]")).unwrap();
        assert_eq!(args[0], b"\xa4code");
        check(&args[1], "{\"value\": [1, {\"error\": 2}]}");
        let error = Value::Error(Rc::from(Error::new(Kind::NotFound, "gone")));
        let args = snippet_args("", &error).unwrap();
        check(
            &args[1],
            "{\"error\": {\"kind\": \"not_found\", \"message\": \"gone\"}}",
        );
    }

    #[test]
    fn parameters_keep_bytes() {
        let bytes = Value::Bytes(Rc::from(&b"\x00\x01"[..]));
        let rows = Value::list(vec![Value::list(vec![bytes.clone(), Value::Int(1)])]);
        let args = sql_args(7, ":memory:", "insert", &rows).unwrap();
        assert_eq!(args[0], [7]);
        check(&args[3], "[[{\"$bytes\": \"AAE=\"}, 1]]");
        let named = Value::map([("data", bytes)]);
        check(
            &sql_args(7, "", "", &named).unwrap()[3],
            "{\"data\": {\"$bytes\": \"AAE=\"}}",
        );
        assert_eq!(end_args(300, true), [&b"\xcd\x01\x2c"[..], b"\xc3"]);
    }

    #[test]
    fn answers() {
        let check = |bytes: &[u8], expected: &str| {
            let found = answer(bytes).map_or_else(|error| error.to_string(), |value| json::text(&value));
            assert_eq!(found, expected);
        };
        check(b"\xc0", "null");
        check(b"\xa5[1,2]", "[1,2]");
        check(b"\x07", "the answer of a snippet is an integer, expected JSON");
        check(b"", "the answer of a snippet is no msgpack, expected JSON");
        check(
            b"\xa2[1",
            "the result of a snippet can't be read: found the end of the text, expected ',' or ']' at result:1:3",
        );
    }

    #[test]
    fn languages_have_their_names() {
        assert!(Carried::for_language("JavaScript").is_some_and(|found| found.lang == "js"));
        assert!(Carried::for_language("sql").is_none() && Carried::for_language("cel").is_none());
        assert!(Carried::of_source("nexus:sql").is_some_and(|found| found.name == "sql"));
        assert!(Carried::of_source("/tmp/nexus:sql").is_none());
    }
}
