//! The kind `throw`: answers every packet with an error.

use super::fields::{self, Condition};
use super::node::{Context, FrameState, Known, Node, Outcome, Step};
use crate::error::{Error, Kind, Result};
use crate::flow::spec::{Port, Spec};
use crate::flow::value::{Value, json};
use std::rc::Rc;

struct Throw {
    message: Message,
    kind: Option<Kind>,
}

enum Message {
    Text(Rc<str>),
    Expression(Condition),
    /// The packet says it: a text or an error.
    Packet,
}

/// Builds one.
///
/// # Errors
/// Fields that are wrong.
pub fn build(spec: &Spec, _known: &Known) -> Result<Box<dyn Node>> {
    let message = match (fields::text(spec, "error")?, Condition::field(spec, "message")?) {
        (Some(_), Some(_)) => {
            let message =
                "error is the message itself and message an expression, expected one of them".into();
            return Err(fields::wrong(spec, "message", message));
        }
        (Some(text), None) => Message::Text(text),
        (None, Some(expression)) => Message::Expression(expression),
        (None, None) => Message::Packet,
    };
    // `kind` is what every node has.
    let name = fields::text(spec, "error_kind")?;
    let kind = name.map(|name| {
        let wrong = || {
            let all: Vec<&str> = Kind::all().map(Kind::name).collect();
            let message = format!("error_kind is '{name}', expected one of {}", all.join(", "));
            fields::wrong(spec, "error_kind", message)
        };
        Kind::from_name(&name).ok_or_else(wrong)
    });
    Ok(Box::new(Throw {
        message,
        kind: kind.transpose()?,
    }))
}

impl Throw {
    fn error(&self, packet: Value, cx: &Context) -> std::result::Result<Rc<Error>, Rc<Error>> {
        let said = match &self.message {
            Message::Text(text) => Value::Str(text.clone()),
            Message::Expression(expression) => expression.value(&packet)?,
            Message::Packet if matches!(packet, Value::Str(_) | Value::Error(_)) => packet,
            // What a request says is not for whoever gets the error.
            Message::Packet => {
                let message = format!(
                    "'{}' has nothing to throw, the packet is {}",
                    cx.node(),
                    packet.name()
                );
                let error = Error::new(Kind::BadArgument, message);
                return Err(Rc::from(
                    error.hint("give it error or message, or send it a text or an error"),
                ));
            }
        };
        let error = match said {
            // With all that is known of it.
            Value::Error(error) => match self.kind {
                Some(kind) if kind != error.kind => {
                    let mut error = Error::clone(&error);
                    error.kind = kind;
                    Rc::new(error)
                }
                _ => error,
            },
            said => {
                let text = match &said {
                    Value::Str(text) => text.to_string(),
                    other => json::text(other),
                };
                Rc::from(Error::new(self.kind.unwrap_or(Kind::Raised), text))
            }
        };
        Ok(error)
    }
}

impl Node for Throw {
    fn has_out(&self, port: &Port) -> bool {
        *port == Port::ERROR
    }

    fn receive(&self, _port: &Port, packet: Value, _frame: &mut FrameState, cx: &Context) -> Step {
        let error = self.error(packet, cx).unwrap_or_else(|failed| failed);
        Step::Finish(Outcome::Err(error))
    }
}

#[cfg(test)]
mod tests {
    use crate::flow::kinds::check::check;

    #[test]
    fn throws() {
        let node = |fields: &str| format!("- {{kind: throw, name: a{fields}}}");
        check(&node(", error: oh no"), "1", Err("oh no"));
        check(
            &node(", message: '\"no \" + self.x'"),
            "{\"x\":\"way\"}",
            Err("no way"),
        );
        check(&node(""), "\"so\"", Err("so"));
        let nothing = Err("'a' has nothing to throw, the packet is a map");
        check(&node(""), "{\"a\":1}", nothing);
        check(&node(", error_kind: io"), "{\"a\":1}", nothing);
        check(&node(", message: self"), "{\"a\":1}", Err("{\"a\":1}"));
        check(
            &node(", error: a, message: self"),
            "1",
            Err("error is the message itself and message an expression, expected one of them"),
        );
        check(
            "
- {kind: throw, name: a, error: gone, error_kind: not_found, ports: {error: [{name: b}]}}
- {kind: snippet, name: b, language: cel, code: '[self == \"not found\", self == \"gone\", self == \"x\"]'}
",
            "1",
            Ok("[true,true,false]"),
        );
        check(
            "
- {kind: throw, name: a, error: gone, error_kind: not_found, ports: {error: [{name: b}]}}
- {kind: throw, name: b, error_kind: io, ports: {error: [{name: c}]}}
- {kind: snippet, name: c, language: cel, code: 'self == \"io\" && self == \"gone\"'}
",
            "1",
            Ok("true"),
        );
    }
}
