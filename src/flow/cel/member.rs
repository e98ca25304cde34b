//! The members of an expression: literals, calls, fields, indices and macros. The part of [`Parser`] below the operators.

use super::arena::{Gives, Loop, Node, NodeId};
use super::expression::CelError;
use super::function::{Function, NAMESPACES, find, names};
use super::lexer::{Kind, Token};
use super::parser::{Parsed, Parser, Scope};
use super::pattern::Pattern;
use crate::codec::nearest::nearest;
use crate::flow::value::Value;

/// What loops there are, by name: what they give, how many variables, and how many expressions at least and at most.
const MACROS: [(&str, Gives, [u8; 2], [usize; 2]); 8] = [
    ("all", Gives::All, [1, 2], [1, 1]),
    ("exists", Gives::Exists, [1, 2], [1, 1]),
    ("exists_one", Gives::ExistsOne, [1, 2], [1, 1]),
    ("existsOne", Gives::ExistsOne, [1, 2], [1, 1]),
    ("filter", Gives::Filter, [1, 1], [1, 1]),
    ("map", Gives::List, [1, 1], [1, 2]),
    ("transformList", Gives::List, [2, 2], [1, 2]),
    ("transformMap", Gives::Map, [2, 2], [1, 2]),
];

/// The error that a name is unknown.
pub(super) fn unknown<'n>(name: &str, offset: u32, names: impl Iterator<Item = &'n str>) -> CelError {
    const TYPES: [&str; 10] = [
        "int",
        "uint",
        "double",
        "bool",
        "string",
        "bytes",
        "list",
        "map",
        "null_type",
        "type",
    ];
    let names: Vec<&str> = names.collect();
    let error = CelError::new(offset as usize, format!("there is no name '{name}'"));
    if TYPES.contains(&name) {
        return error.hint("types as values are not supported");
    }
    match nearest(name, names.iter().copied()) {
        Some(near) => error.hint(&format!("did you mean {near}?")),
        None if names.is_empty() => error,
        None => error.hint(&format!("the names are {}", names.join(", "))),
    }
}

/// The error of what is no part of the language here.
fn unsupported(offset: u32, what: &str) -> CelError {
    CelError::new(offset as usize, format!("{what} are not supported"))
}

impl<'a> Parser<'a> {
    /// A primary with all that is selected from it.
    pub(super) fn member(&mut self) -> Parsed<NodeId> {
        let mut found = self.primary()?;
        loop {
            let token = self.peek();
            if self.eat(".") {
                found = self.selected(found)?;
            } else if self.eat("[") {
                if self.is(0, "?") {
                    return Err(unsupported(token.start, "optional values"));
                }
                let key = self.expression()?;
                self.expect("]")?;
                found = self.add(Node::Index { of: found, key }, token.start);
            } else if self.is(0, "?.") {
                return Err(unsupported(token.start, "optional values"));
            } else if self.is(0, "{") && matches!(self.arena.node(found), Node::Name(_) | Node::Field { .. })
            {
                return Err(unsupported(token.start, "messages of protocol buffers"));
            } else {
                return Ok(found);
            }
        }
    }

    /// What stands behind a dot.
    fn selected(&mut self, of: NodeId) -> Parsed<NodeId> {
        let token = self.peek();
        let text = self.text_of(token);
        if token.kind == Kind::Word && self.is(1, "(") {
            self.next();
            if let Some(row) = MACROS.iter().find(|row| row.0 == text) {
                self.next();
                return self.repeated(of, token, row.1, row.2, row.3);
            }
            return self.call(text, token, Some(of));
        }
        let name = match token.kind {
            Kind::Quoted => text.trim_matches('`'),
            // The keywords are no names of fields, the other reserved words are.
            Kind::Word if !matches!(text, "true" | "false" | "null" | "in") => text,
            _ => return Err(self.expected("the name of a field")),
        };
        self.next();
        let name = self.arena.add_constant(Value::str(name));
        Ok(self.add(Node::Field { of, name }, token.start))
    }

    fn primary(&mut self) -> Parsed<NodeId> {
        let token = self.peek();
        match token.kind {
            Kind::Int(_) => return self.integer(),
            Kind::Constant(number) => {
                self.next();
                return Ok(self.add(Node::Constant(number), token.start));
            }
            Kind::Word => return self.word(false),
            Kind::Sign => {}
            Kind::End | Kind::Quoted => return Err(self.expected("an expression")),
        }
        match self.text_of(token) {
            "(" => {
                self.next();
                let inner = self.expression()?;
                self.expect(")")?;
                Ok(inner)
            }
            "[" => {
                self.next();
                let elements = self.listed("]", false)?;
                let elements = self.arena.add_children(&elements);
                Ok(self.add(Node::List(elements), token.start))
            }
            "{" => {
                self.next();
                let entries = self.listed("}", true)?;
                let entries = self.arena.add_children(&entries);
                Ok(self.add(Node::Map(entries), token.start))
            }
            "." => {
                self.next();
                self.word(true)
            }
            "-" => self.integer(),
            _ => Err(self.expected("an expression")),
        }
    }

    /// Elements or entries up to the bracket; a comma may stand behind the last.
    fn listed(&mut self, close: &str, is_map: bool) -> Parsed<Vec<NodeId>> {
        let mut found = Vec::new();
        while !self.eat(close) {
            if self.is(0, "?") {
                return Err(unsupported(self.peek().start, "optional values"));
            }
            found.push(self.expression()?);
            if is_map {
                self.expect(":")?;
                found.push(self.expression()?);
            }
            if !self.eat(",") && !self.is(0, close) {
                return Err(self.expected(&format!("',' or '{close}'")));
            }
        }
        Ok(found)
    }

    /// A keyword, a name or a call.
    fn word(&mut self, is_absolute: bool) -> Parsed<NodeId> {
        let token = self.peek();
        let constant = match self.text_of(token) {
            "null" => Some(Value::Null),
            "true" => Some(Value::Bool(true)),
            "false" => Some(Value::Bool(false)),
            _ => None,
        };
        if let Some(value) = constant.filter(|_| !is_absolute) {
            self.next();
            return Ok(self.constant(value, token.start));
        }
        let name = self.name("a name")?;
        if self.is(0, "(") {
            return match name {
                "has" => self.has(token),
                _ => self.call(name, token, None),
            };
        }
        let is_spaced = NAMESPACES.contains(&name) && self.is(0, ".") && self.is_word(1) && self.is(2, "(");
        let is_local = |scope: &Scope<'_>| scope.value == name || scope.key == Some(name);
        if is_spaced && (is_absolute || !self.scopes.iter().any(is_local)) {
            let last = self.ahead(1);
            self.next();
            self.next();
            let whole = self.text.get(token.start as usize..last.end as usize);
            let whole = whole.unwrap_or_default();
            return match whole {
                "cel.bind" => self.bind(token),
                "cel.block" => Err(CelError::new(
                    token.start as usize,
                    "there is no function 'cel.block'",
                )),
                _ => self.call(whole, token, None),
            };
        }
        self.variable(name, token.start, is_absolute)
    }

    /// The arguments between the brackets.
    fn arguments(&mut self) -> Parsed<Vec<NodeId>> {
        self.expect("(")?;
        let mut found = Vec::new();
        while !self.eat(")") {
            if !found.is_empty() {
                self.expect(",")?;
            }
            found.push(self.expression()?);
        }
        Ok(found)
    }

    /// A function of what stands before it, if it is a method, and of its arguments.
    fn call(&mut self, name: &str, token: Token, of: Option<NodeId>) -> Parsed<NodeId> {
        let fail = |message: String| CelError::new(token.start as usize, message);
        let Some(row) = find(name, of.is_some()) else {
            if let Some(what) = left_out(name) {
                return Err(unsupported(token.start, what));
            }
            if let Some(row) = find(name, of.is_none()) {
                let (is, name) = (if of.is_some() { "no method" } else { "a method" }, row.name);
                return Err(fail(format!("'{name}' is {is}")));
            }
            let error = fail(format!("there is no function '{name}'"));
            let near = nearest(name, names());
            return Err(match near {
                Some(near) => error.hint(&format!("did you mean {near}?")),
                None => error,
            });
        };
        let mut args: Vec<NodeId> = of.into_iter().collect();
        let own = args.len();
        args.extend(self.arguments()?);
        if !(row.least..=row.most).contains(&args.len()) {
            let found = args.len() - own;
            let (least, most) = (row.least.saturating_sub(own), row.most - own);
            let expected = if least == most {
                least.to_string()
            } else {
                format!("{least} to {most}")
            };
            return Err(fail(format!(
                "'{name}' has {found} arguments, expected {expected}"
            )));
        }
        // A pattern that is known is read once.
        if row.function == Function::Matches
            && let [text, pattern] = args[..]
            && let Node::Constant(number) = self.arena.node(pattern)
            && let Value::Str(source) = &self.arena.constants[number as usize]
        {
            let offset = self.arena.offsets[pattern as usize] as usize;
            let read = Pattern::read(source).map_err(|message| CelError::new(offset, message))?;
            self.arena.patterns.push(read);
            let pattern = self.arena.patterns.len() as u32 - 1;
            return Ok(self.add(Node::Matches { text, pattern }, token.start));
        }
        let args = self.arena.add_children(&args);
        let function = row.function;
        Ok(self.add(Node::Call { function, args }, token.start))
    }

    /// Whether a field is there.
    fn has(&mut self, token: Token) -> Parsed<NodeId> {
        let args = self.arguments()?;
        if let [arg] = args[..]
            && let Node::Field { of, name } = self.arena.node(arg)
        {
            return Ok(self.add(Node::Has { of, name }, token.start));
        }
        let error = CelError::new(token.start as usize, "'has' takes one field");
        Err(error.hint("such as has(self.body); whether a key is there is key in map"))
    }

    /// A value under a name: `cel.bind(name, value, expression)`.
    fn bind(&mut self, token: Token) -> Parsed<NodeId> {
        self.expect("(")?;
        let name = self.name("a name")?;
        self.expect(",")?;
        let over = self.expression()?;
        self.expect(",")?;
        self.scopes.push(Scope {
            key: None,
            value: name,
        });
        let value = self.expression();
        self.scopes.pop();
        let value = value?;
        self.expect(")")?;
        Ok(self.add_loop(token, Gives::Bind, over, None, Some(value), false))
    }

    fn add_loop(
        &mut self,
        token: Token,
        gives: Gives,
        over: NodeId,
        test: Option<NodeId>,
        value: Option<NodeId>,
        has_key: bool,
    ) -> NodeId {
        let is_flat = self.is_flat(over);
        self.arena.loops.push(Loop {
            gives,
            over,
            test,
            value,
            has_key,
            is_flat,
        });
        let number = self.arena.loops.len() as u32 - 1;
        self.add(Node::Loop(number), token.start)
    }

    /// A macro that goes over a list or map, its opening bracket read.
    fn repeated(
        &mut self,
        over: NodeId,
        token: Token,
        gives: Gives,
        variables: [u8; 2],
        count: [usize; 2],
    ) -> Parsed<NodeId> {
        let first = self.name("the name of a variable")?;
        self.expect(",")?;
        let mut scope = Scope {
            key: None,
            value: first,
        };
        if variables[0] == 2 || variables[1] == 2 && self.is_word(0) && self.is(1, ",") {
            let place = self.peek().start as usize;
            let second = self.name("the name of a second variable")?;
            self.expect(",")?;
            if first == second {
                return Err(CelError::new(
                    place,
                    format!("both variables are called '{first}'"),
                ));
            }
            scope = Scope {
                key: Some(first),
                value: second,
            };
        }
        let has_key = scope.key.is_some();
        self.scopes.push(scope);
        let inner = self.inner();
        self.scopes.pop();
        let inner = inner?;
        let (test, value) = match (gives, &inner[..]) {
            (Gives::List | Gives::Map, &[value]) => (None, Some(value)),
            (_, &[test]) => (Some(test), None),
            (Gives::List | Gives::Map, &[test, value]) => (Some(test), Some(value)),
            _ => {
                let name = self.text_of(token);
                let expected = if count[1] == 1 { "1" } else { "1 or 2" };
                let message = format!(
                    "'{name}' has {} expressions behind its variables, expected {expected}",
                    inner.len()
                );
                return Err(CelError::new(token.start as usize, message));
            }
        };
        Ok(self.add_loop(token, gives, over, test, value, has_key))
    }

    /// Expressions up to the closing bracket.
    fn inner(&mut self) -> Parsed<Vec<NodeId>> {
        let mut found = vec![self.expression()?];
        while !self.eat(")") {
            self.expect(",")?;
            found.push(self.expression()?);
        }
        Ok(found)
    }
}

/// What a function of the language belongs to that isn't supported.
fn left_out(name: &str) -> Option<&'static str> {
    const OF_TIMES: [&str; 12] = [
        "timestamp",
        "duration",
        "getDate",
        "getDayOfMonth",
        "getDayOfWeek",
        "getDayOfYear",
        "getFullYear",
        "getHours",
        "getMilliseconds",
        "getMinutes",
        "getMonth",
        "getSeconds",
    ];
    const OF_OPTIONALS: [&str; 8] = [
        "optional.of",
        "optional.none",
        "optional.ofNonZeroValue",
        "hasValue",
        "orValue",
        "or",
        "optMap",
        "optFlatMap",
    ];
    match name {
        "type" => Some("types as values"),
        _ if OF_TIMES.contains(&name) => Some("timestamps and durations"),
        _ if OF_OPTIONALS.contains(&name) => Some("optional values"),
        _ if name.starts_with("proto.") => Some("messages of protocol buffers"),
        _ => None,
    }
}
