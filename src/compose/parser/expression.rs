//! Reads expressions: from `::`, which binds least, to names and literals.

use super::{Parser, literal, too_deep};
use crate::compose::ast::{Branch, Name, Node, NodeId, Op, Selector, Side};
use crate::compose::lexer::{Kind, Token};
use crate::limits::{COMPOSITION_DEPTH_MAX, PATTERN_PLACES_MAX, PATTERN_STEPS_MAX};
use crate::source::notation;
use crate::source::signature::{Flaw, Place};

/// Signs and words that have a meaning in morloc or Haskell, but none here: what to say, what to do.
const MEANINGLESS: [(&str, &str, &str); 15] = [
    (
        "do",
        "'do' blocks are not supported",
        "name values with let; a && b does one after the other",
    ),
    (
        "<-",
        "'do' blocks are not supported",
        "name values with let; a && b does one after the other",
    ),
    (
        "!",
        "effects are not forced by '!'",
        "leave it out: a call is made where its value is needed",
    ),
    (
        "@",
        "builtins are not written with '@'",
        "leave it out: throw \"message\"",
    ),
    ("_", "'_' is no value", "write a function: \\x -> f x 1"),
    (
        "++",
        "there is no operator '++'",
        "lists and strings are joined by <>",
    ),
    ("**", "there is no operator '**'", "source a function"),
    (
        ">>=",
        "there is no operator '>>='",
        "x |> f gives a value to a function",
    ),
    (
        ">>",
        "there is no operator '>>'",
        "a && b does one after the other",
    ),
    ("<$>", "there is no operator '<$>'", "map f xs"),
    ("<*>", "there is no operator '<*>'", "zip xs ys"),
    ("/=", "there is no operator '/='", "unequal is !="),
    (
        "|",
        "there is no operator '|'",
        "write a || b for either, x |> f for a pipe",
    ),
    ("=>", "there is no operator '=>'", "a function is \\x -> value"),
    (
        ";",
        "there is nothing for ';' to divide here",
        "let x = 1; y = 2 in x + y",
    ),
];

impl<'a> Parser<'a> {
    /// The flaw of what comes next, where a value or an operator should.
    fn unexpected(&self, what: &str) -> Flaw {
        let flaw = self.expected(what);
        let Some(token) = self.peek() else {
            return flaw;
        };
        if matches!(token.kind, Kind::Text { .. }) {
            return flaw;
        }
        match MEANINGLESS.iter().find(|row| row.0 == token.text) {
            Some((_, message, hint)) => token.flaw(*message).hint(*hint),
            None => flaw,
        }
    }

    /// An expression, with its type if that is said.
    pub(super) fn expression(&mut self) -> Result<NodeId, Flaw> {
        let inner = self.operators(0)?;
        if !self.take("::") {
            return Ok(inner);
        }
        let begin = self.at;
        self.skip_type();
        let (place, tokens) = (self.place(), &self.tokens[begin..self.at]);
        let (Some(first), Some(last)) = (tokens.first(), tokens.last()) else {
            return Err(self.expected("a type"));
        };
        Self::check_type(tokens)?;
        let lines = self.lines(first.start, last.end(), first.place);
        let ty = notation::read_type(&lines, place, &mut self.module.mentions)?;
        self.add(Node::Typed(inner, ty), self.module.nodes.place(inner))
    }

    /// Goes behind what can be a type. A `?` behind a whole type begins a guard.
    fn skip_type(&mut self) {
        let (mut open, mut is_whole, mut is_worker) = (0usize, false, false);
        while let Some(token) = self.peek() {
            match token.text {
                "(" | "[" | "{" => open += 1,
                ")" | "]" | "}" if open == 0 => return,
                ")" | "]" | "}" => open -= 1,
                "->" => is_worker &= open > 0,
                "?" if is_whole && !is_worker && open == 0 => return,
                "?" | "=>" => {}
                "," | "::" | "<" | ">" if open > 0 => {}
                "in" | "then" | "else" | "where" => return,
                "Worker" => is_worker |= open == 0,
                _ if token.kind == Kind::Name => {}
                _ => return,
            }
            is_whole = !matches!(token.text, "->" | "=>" | "?");
            self.at += 1;
        }
    }

    /// One level further down.
    fn descend(&mut self) -> Result<(), Flaw> {
        self.nesting += 1;
        match self.nesting > COMPOSITION_DEPTH_MAX {
            true => Err(too_deep(self.place())),
            false => Ok(()),
        }
    }

    /// Operators of this level and tighter ones between applications. Every recursion passes here.
    fn operators(&mut self, level: u8) -> Result<NodeId, Flaw> {
        self.descend()?;
        let mut left = self.application()?;
        while let Some(token) = self.peek().filter(|token| token.kind == Kind::Sign) {
            let op = Op::from_sign(token.text);
            let found = match (op, token.text) {
                (Some(op), _) => (op.level(), op.side()),
                (None, "$") => (0, Side::Right),
                _ => break,
            };
            if found.0 < level {
                break;
            }
            self.at += 1;
            let right = self.operators(match found.1 {
                Side::Right => found.0,
                _ => found.0 + 1,
            })?;
            let place = self.module.nodes.place(left);
            left = match op {
                Some(op) => self.add(Node::Binary(op, left, right), place)?,
                None => self.add(Node::Apply(left, vec![right]), place)?,
            };
            let next = self.peek().and_then(|token| Op::from_sign(token.text));
            if found.1 == Side::Neither && next.is_some_and(|next| next.level() == found.0) {
                return Err(self
                    .expected("the end of the comparison")
                    .hint("comparisons don't go on; both of two hold: and (a < b) (b < c)"));
            }
        }
        self.nesting -= 1;
        Ok(left)
    }

    /// A function and its arguments, or what reaches to the end: lambda, let, if, guards.
    fn application(&mut self) -> Result<NodeId, Flaw> {
        let place = self.place();
        match self.peek().map_or("", |token| token.text) {
            "\\" => return self.lambda(place),
            "let" => return self.binding(place),
            "if" => return self.condition(place),
            "?" => return self.guards(),
            _ => {}
        }
        let Some(function) = self.atom()? else {
            let (flaw, last) = (self.unexpected("a value"), &self.tokens[self.at - 1]);
            return Err(match self.peek().map_or("", |token| token.text) {
                "-" => flaw.hint("minus is written 0 - x"),
                ")" if Op::from_sign(last.text).is_some() => flaw.hint(one_operand(last.text)),
                _ => flaw,
            });
        };
        let mut arguments = Vec::new();
        while let Some(argument) = self.atom()? {
            arguments.push(argument);
        }
        if let Some(token) = self.peek() {
            if matches!(token.text, "\\" | "let" | "if") {
                return Err(self.expected("an argument").hint(format!(
                    "as an argument it stands in parentheses: ({} ...)",
                    token.text
                )));
            }
            let is_meant = |row: &(&str, &str, &str)| row.0 == token.text && row.0 != ";";
            if matches!(token.kind, Kind::Sign | Kind::Name) && MEANINGLESS.iter().any(is_meant) {
                return Err(self.unexpected("an operator"));
            }
        }
        match arguments.is_empty() {
            true => Ok(function),
            false => self.add(Node::Apply(function, arguments), place),
        }
    }

    fn lambda(&mut self, place: Place) -> Result<NodeId, Flaw> {
        self.at += 1;
        let mut params = vec![self.param("a parameter")?];
        while !self.take("->") {
            params.push(self.param("'->' or a parameter")?);
        }
        let body = self.expression()?;
        self.add(Node::Lambda(params, body), place)
    }

    fn binding(&mut self, place: Place) -> Result<NodeId, Flaw> {
        let mut definitions = Vec::new();
        while self.take("let") {
            definitions.extend(self.block()?);
        }
        if !self.take("in") {
            let flaw = self.unexpected("'in' and what the definitions are for");
            return Err(match self.peek_name() {
                Some(_) => flaw.hint("all definitions of a block begin in the same column"),
                None => flaw,
            });
        }
        let body = self.expression()?;
        let node = Node::Let {
            definitions,
            body,
            is_where: false,
        };
        self.add(node, place)
    }

    fn condition(&mut self, place: Place) -> Result<NodeId, Flaw> {
        self.at += 1;
        let condition = self.expression()?;
        if !self.take("then") {
            return Err(self.unexpected("'then'"));
        }
        let then = self.expression()?;
        if !self.take("else") {
            return Err(self.unexpected("'else'"));
        }
        let otherwise = self.expression()?;
        self.add(Node::If(condition, then, otherwise), place)
    }

    /// `? c = a ? _ = b`, or `? c = a : b`.
    pub(super) fn guards(&mut self) -> Result<NodeId, Flaw> {
        let place = self.place();
        let mut cases = Vec::new();
        loop {
            if !cases.is_empty() && self.take(":") {
                break;
            }
            if !self.take("?") {
                return Err(match cases.is_empty() {
                    true => self.unexpected("'=' or '?'"),
                    false => self.unexpected("'?' and a case for all else, like: ? _ = 0"),
                });
            }
            let next = self.tokens[..self.end].get(self.at + 1);
            if self.peek_is("_") && next.is_some_and(|token| token.text == "=") {
                self.at += 2;
                break;
            }
            let condition = self.expression()?;
            if !self.take("=") {
                return Err(self.unexpected("'=' and the value in this case"));
            }
            cases.push((condition, self.expression()?));
        }
        let otherwise = self.expression()?;
        match cases.is_empty() {
            true => Ok(otherwise),
            false => self.add(Node::Guards(cases, otherwise), place),
        }
    }

    /// What stands in brackets, between which lines may begin anywhere.
    fn inside<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T, Flaw>) -> Result<T, Flaw> {
        let outer = std::mem::replace(&mut self.margin, 0);
        self.at += 1;
        let found = read(self)?;
        self.margin = outer;
        Ok(found)
    }

    /// Something that needs no parentheses as an argument, if that comes next.
    fn atom(&mut self) -> Result<Option<NodeId>, Flaw> {
        let Some(token) = self.peek() else {
            return Ok(None);
        };
        let node = match (token.kind, token.text) {
            (Kind::Int, text) => Node::Int(literal::int(token, text)?),
            (Kind::Real, text) => Node::Real(literal::real(text)),
            (Kind::Text { opens: true, .. }, _) => return self.text().map(Some),
            (Kind::Selector, _) | (Kind::Sign, ".(") => {
                if !token.is_spaced && self.at > 0 && self.tokens[self.at - 1].ends_value() {
                    return Err(token
                        .flaw(format!("'{}' touches what is before it", token.text))
                        .hint("to get a field of x: .name x; to compose two functions: f . g"));
                }
                return self.pattern(token.place).map(Some);
            }
            (Kind::Sign, ".[") => return self.inside(Self::bracket).map(Some),
            (Kind::Sign, "(") => return self.inside(Self::parentheses).map(Some),
            (Kind::Sign, "[") => {
                let parts = self.inside(|parser| parser.list(Vec::new(), "]"))?;
                return self.add(Node::List(parts), token.place).map(Some);
            }
            (Kind::Sign, "{") => return self.inside(Self::record_value).map(Some),
            (Kind::Name, "True") => Node::Bool(true),
            (Kind::Name, "False") => Node::Bool(false),
            (Kind::Name, "null" | "Null") => Node::Null,
            (Kind::Name, text) if self.peek_name().is_some() => {
                if text.starts_with(char::is_uppercase) {
                    return Err(token
                        .flaw(format!("'{text}' can only be a type, expected a value"))
                        .hint("a record is written { name = value }"));
                }
                Node::Name(text.to_string())
            }
            _ => return Ok(None),
        };
        self.at += 1;
        self.add(node, token.place).map(Some)
    }

    /// Expressions up to a closing bracket, behind those before the first comma.
    fn list(&mut self, mut parts: Vec<NodeId>, end: &str) -> Result<Vec<NodeId>, Flaw> {
        if parts.is_empty() && self.take(end) {
            return Ok(parts);
        }
        loop {
            parts.push(self.expression()?);
            if self.take(end) {
                return Ok(parts);
            }
            if !self.take(",") {
                return Err(self.unexpected(&format!("',' or '{end}'")));
            }
        }
    }

    /// What follows `(`.
    fn parentheses(&mut self) -> Result<NodeId, Flaw> {
        let place = self.tokens[self.at - 1].place;
        if self.take(")") {
            return self.add(Node::Null, place);
        }
        if let Some(op) = self.peek().and_then(|token| Op::from_sign(token.text)) {
            self.at += 1;
            if !self.take(")") {
                self.at -= 1;
                let hint = match op {
                    Op::Subtract => "minus is written 0 - x".to_string(),
                    _ => one_operand(op.sign()),
                };
                return Err(self.expected("a value").hint(hint));
            }
            return self.operator_function(op, place);
        }
        self.opened = self.at;
        let first = self.expression()?;
        if self.take(")") {
            return Ok(first);
        }
        if !self.take(",") {
            return Err(self.unexpected("',' or ')'"));
        }
        let parts = self.list(vec![first], ")")?;
        self.add(Node::Tuple(parts), place)
    }

    /// `(+)` is `\x y -> x + y`.
    fn operator_function(&mut self, op: Op, place: Place) -> Result<NodeId, Flaw> {
        let names = ["x", "y"].map(|text| Name {
            text: text.to_string(),
            place,
        });
        let [left, right] = ["x", "y"].map(|text| self.add(Node::Name(text.to_string()), place));
        let body = self.add(Node::Binary(op, left?, right?), place)?;
        self.add(Node::Lambda(names.into(), body), place)
    }

    /// What follows `{`.
    fn record_value(&mut self) -> Result<NodeId, Flaw> {
        let place = self.tokens[self.at - 1].place;
        let mut fields: Vec<(Name, NodeId)> = Vec::new();
        loop {
            let is_field = self.tokens[..self.end]
                .get(self.at + 1)
                .is_some_and(|token| token.text == "=");
            let Some(token) = self.peek().filter(|token| token.kind == Kind::Name && is_field) else {
                return Err(self
                    .expected("a field: name = value")
                    .hint("braces are for records; effects in braces are not supported"));
            };
            let name = Name {
                text: token.text.to_string(),
                place: token.place,
            };
            if fields.iter().any(|field| field.0.text == name.text) {
                return Err(token.flaw(format!("the record has two fields of the name '{}'", name.text)));
            }
            self.at += 2;
            fields.push((name, self.expression()?));
            if self.take("}") {
                return self.add(Node::Record(fields), place);
            }
            if !self.take(",") {
                return Err(self.unexpected("',' or '}'"));
            }
        }
    }

    /// What follows `.[`.
    fn bracket(&mut self) -> Result<NodeId, Flaw> {
        let place = self.tokens[self.at - 1].place;
        let (mut bounds, mut bound) = ([None; 3], 0);
        loop {
            let token = self.peek();
            match token.map_or("", |token| token.text) {
                "]" => break,
                ":" if bound < 2 => bound += 1,
                "::" if bound == 0 => bound = 2,
                _ if bounds[bound].is_none() => {
                    bounds[bound] = Some(self.operators(0)?);
                    continue;
                }
                _ => return Err(self.unexpected(if bound < 2 { "':' or ']'" } else { "']'" })),
            }
            self.at += 1;
        }
        self.at += 1;
        match bounds {
            [Some(index), ..] if bound == 0 => self.add(Node::Index(index), place),
            [None, ..] if bound == 0 => {
                self.at -= 1;
                Err(self.expected("an index or ':'"))
            }
            bounds => self.add(Node::Slice(bounds), place),
        }
    }

    /// `.0.(.x, .y.1)`, `.(.0 = v)`, and in parentheses `(.name = v)`.
    fn pattern(&mut self, place: Place) -> Result<NodeId, Flaw> {
        let mut branches = Vec::new();
        let may_set = self.opened == self.at;
        self.branch(&mut Vec::new(), may_set, &mut branches)?;
        let sets = branches.iter().filter(|branch| branch.value.is_some()).count();
        if sets > 0 && sets < branches.len() {
            let message = "the pattern has values for some of its places, expected them for all or for none";
            return Err(Flaw::new(place, 1, message));
        }
        self.add(Node::Pattern(branches), place)
    }

    /// Selectors behind those of `path`, and the branches that they end in.
    fn branch(&mut self, path: &mut Vec<Selector>, may_set: bool, out: &mut Vec<Branch>) -> Result<(), Flaw> {
        self.descend()?;
        let before = path.len();
        loop {
            let Some(token) = self.peek() else {
                return Err(self.expected("'.name' or '.0'"));
            };
            if path.len() == PATTERN_STEPS_MAX || out.len() == PATTERN_PLACES_MAX {
                let message = format!(
                    "more than {PATTERN_STEPS_MAX} steps or {PATTERN_PLACES_MAX} places in a pattern"
                );
                return Err(token.flaw(message));
            }
            match (token.kind, token.text) {
                (Kind::Selector, text) => {
                    path.push(selector(token, &text[1..])?);
                    self.at += 1;
                }
                (Kind::Sign, ".(") => {
                    self.inside(|parser| {
                        loop {
                            parser.branch(path, true, out)?;
                            if parser.take(")") {
                                return Ok(());
                            }
                            if !parser.take(",") {
                                return Err(parser.unexpected("',' or ')'"));
                            }
                        }
                    })?;
                    path.truncate(before);
                    self.nesting -= 1;
                    return Ok(());
                }
                _ => {
                    return Err(self
                        .unexpected("'.name' or '.0'")
                        .hint("a pattern is .(.x, .y.0); with spaces around it . composes functions"));
                }
            }
            let goes_on =
                |token: &Token<'_>| !token.is_spaced && (token.kind == Kind::Selector || token.text == ".(");
            if !self.peek().is_some_and(goes_on) {
                break;
            }
        }
        let value = match may_set && self.take("=") {
            true => Some(self.expression()?),
            false => None,
        };
        out.push(Branch {
            path: path.clone(),
            value,
        });
        path.truncate(before);
        self.nesting -= 1;
        Ok(())
    }

    /// A string, with its places.
    fn text(&mut self) -> Result<NodeId, Flaw> {
        let place = self.place();
        let (mut tokens, mut parts) = (Vec::new(), Vec::new());
        while let Some(token) = self.next() {
            let Kind::Text { is_cut, .. } = token.kind else {
                break;
            };
            tokens.push(*token);
            if !is_cut {
                self.at += 1;
                break;
            }
            parts.push(self.inside(|parser| {
                let part = parser.expression()?;
                match parser.peek().map(|token| token.kind) {
                    Some(Kind::Text { opens: false, .. }) => Ok(part),
                    _ => Err(parser.unexpected("'}' behind the value in the text")),
                }
            })?);
        }
        let texts = literal::pieces(&tokens)?;
        match parts.is_empty() {
            true => self.add(Node::Str(texts.concat()), place),
            false => self.add(Node::Interpolated(texts, parts), place),
        }
    }
}

fn one_operand(sign: &str) -> String {
    format!("an operator with one operand is a function: \\x -> x {sign} 1")
}

fn selector(token: &Token<'_>, text: &str) -> Result<Selector, Flaw> {
    if !text.starts_with(|letter: char| letter.is_ascii_digit()) {
        return Ok(Selector::Key(text.to_string()));
    }
    match text.parse() {
        Ok(position) => Ok(Selector::Position(position)),
        Err(_) => Err(token.flaw(format!("no tuple has a place {text}"))),
    }
}
