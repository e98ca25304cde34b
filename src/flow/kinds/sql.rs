//! The kind `sql`: a statement on a SQLite database, within the transaction of the run. Opens no database.

use super::fields::{self, Condition};
use super::node::{Context, FrameState, Known, Node, Step, Work};
use crate::error::{Error, Kind, Result};
use crate::flow::spec::{Port, Spec};
use crate::flow::value::Value;
use std::rc::Rc;

struct Sql {
    source: Rc<str>,
    /// If the packet doesn't say it.
    statement: Option<Rc<str>>,
    params: Params,
}

enum Params {
    Fixed(Value),
    Expression(Condition),
    /// The packet, if it is a list or a map.
    Packet,
    /// None: the node's own statement has no place for any.
    None,
}

/// Builds one.
///
/// # Errors
/// Fields that are wrong.
pub fn build(spec: &Spec, _known: &Known) -> Result<Box<dyn Node>> {
    if let Some(driver) = fields::text(spec, "driver")?
        && !matches!(&*driver, "sqlite3" | "sqlite")
    {
        let message = format!("driver is '{driver}', expected sqlite3");
        return Err(fields::wrong(spec, "driver", message));
    }
    let statement = fields::text(spec, "statement")?;
    let params = match spec.field("parameters") {
        None | Some(Value::Null) => match &statement {
            Some(statement) if !has_parameters(statement) => Params::None,
            _ => Params::Packet,
        },
        Some(fixed @ (Value::List(_) | Value::Map(_))) => Params::Fixed(fixed.clone()),
        Some(_) => match Condition::field(spec, "parameters")? {
            Some(expression) => Params::Expression(expression),
            None => Params::Packet,
        },
    };
    Ok(Box::new(Sql {
        source: fields::needed_text(spec, "source", "the file of a database")?,
        statement,
        params,
    }))
}

/// Whether `?`, or `:`, `@` or `$` with a name stands in a statement, outside of quotes and comments.
fn has_parameters(statement: &str) -> bool {
    let mut rest = statement;
    while let Some(first) = rest.chars().next() {
        // What stands between these is not looked at; a quote that is doubled ends a text and begins one.
        let end = match first {
            '\'' | '"' | '`' => first.encode_utf8(&mut [0; 4]).to_string(),
            '[' => "]".to_string(),
            '-' if rest.starts_with("--") => "\n".to_string(),
            '/' if rest.starts_with("/*") => "*/".to_string(),
            '?' => return true,
            ':' | '@' | '$' => {
                let next = rest.chars().nth(1);
                if next.is_some_and(|next| next.is_alphanumeric() || next == '_') {
                    return true;
                }
                String::new()
            }
            _ => String::new(),
        };
        let inner = rest.get(first.len_utf8()..).unwrap_or_default();
        rest = match end.as_str() {
            "" => inner,
            end => inner.split_once(end).map_or("", |(_, rest)| rest),
        };
    }
    false
}

impl Sql {
    fn work(&self, packet: Value, cx: &Context) -> std::result::Result<Work, Rc<Error>> {
        let (statement, packet) = match (&self.statement, packet) {
            (Some(statement), packet) => (statement.clone(), packet),
            (None, packet) => statement_of(&packet).ok_or_else(|| {
                let message = format!(
                    "the packet is {}, expected a statement, since '{}' has none",
                    packet.name(),
                    cx.node()
                );
                Error::new(Kind::BadArgument, message)
                    .hint("send a text, [statement, parameters], or a map with them")
            })?,
        };
        let params = match &self.params {
            Params::Fixed(params) => params.clone(),
            Params::Expression(expression) => expression.value(&packet)?,
            Params::Packet if matches!(packet, Value::List(_) | Value::Map(_)) => packet,
            Params::Packet | Params::None => Value::Null,
        };
        Ok(Work::Sql {
            source: self.source.clone(),
            statement,
            params,
            run: cx.run,
        })
    }
}

/// The statement and its parameters, if a packet says them: a text, a list of both, or a map.
fn statement_of(packet: &Value) -> Option<(Rc<str>, Value)> {
    let (statement, parameters) = match packet {
        Value::Str(_) => (packet, None),
        Value::List(pair) if pair.len() <= 2 => (pair.first()?, pair.get(1)),
        packet => (packet.get("statement")?, packet.get("parameters")),
    };
    match statement {
        Value::Str(statement) => Some((statement.clone(), parameters.cloned().unwrap_or_default())),
        _ => None,
    }
}

impl Node for Sql {
    fn receive(&self, _port: &Port, packet: Value, _frame: &mut FrameState, cx: &Context) -> Step {
        match self.work(packet, cx) {
            Ok(work) => Step::Do(work),
            Err(error) => Step::Finish(Err(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::flow::kinds::check::check;

    #[test]
    fn parameters_of_statements() {
        let check = |statement: &str, expected| {
            assert_eq!(super::has_parameters(statement), expected, "{statement}");
        };
        for statement in [
            "?",
            "a = ?1",
            "a = :x",
            "a=@x",
            "a=$x",
            "':x' || ?",
            "-- '\n?",
            "/* ' */ :é",
            "a-?",
        ] {
            check(statement, true);
        }
        for statement in [
            "",
            "select 1",
            "'?'",
            "'it''s ?'",
            "\"?\"",
            "`:a`",
            "[?]",
            "-- ?",
            "/* :a */",
            "a : b",
            "'?",
            "/*",
            "é",
        ] {
            check(statement, false);
        }
    }

    #[test]
    fn statements() {
        let check = |fields: &str, packet: &str, expected| {
            check(&format!("- {{kind: sql, name: a, {fields}}}"), packet, expected);
        };
        check("source: f, statement: s", "1", Ok("[\"f\",\"s\",null]"));
        check("source: f, statement: s", "[1]", Ok("[\"f\",\"s\",null]"));
        check("source: f, statement: s ?", "[1]", Ok("[\"f\",\"s ?\",[1]]"));
        check("source: f, statement: s ?", "1", Ok("[\"f\",\"s ?\",null]"));
        check(
            "driver: sqlite3, source: f, statement: s, parameters: [2]",
            "[1]",
            Ok("[\"f\",\"s\",[2]]"),
        );
        check(
            "source: f, statement: s, parameters: '[self.x, 1]'",
            "{\"x\":5}",
            Ok("[\"f\",\"s\",[5,1]]"),
        );
        check("source: f", "\"select 1\"", Ok("[\"f\",\"select 1\",null]"));
        check(
            "source: f",
            "{\"statement\":\"s\",\"parameters\":[3]}",
            Ok("[\"f\",\"s\",[3]]"),
        );
        check("source: f", "[\"s\",[3]]", Ok("[\"f\",\"s\",[3]]"));
        check(
            "source: f",
            "1",
            Err("the packet is an integer, expected a statement, since 'a' has none"),
        );
        check(
            "driver: pg, source: f",
            "1",
            Err("driver is 'pg', expected sqlite3"),
        );
        check(
            "statement: s",
            "1",
            Err("a node of kind 'sql' needs source, the file of a database"),
        );
    }
}
