//! From tokens to the arena: precedence, names and variables. What stands inside a member is in [`super::member`]. Evaluates
//! nothing.

use super::arena::{Arena, Binary, Gives, Node, NodeId};
use super::expression::CelError;
use super::lexer::{Kind, Token, tokens};
use crate::flow::value::Value;
use crate::limits::{FLOW_CEL_BYTES_MAX, FLOW_CEL_DEPTH_MAX, FLOW_CEL_NAMES_MAX};

pub(super) type Parsed<T> = Result<T, CelError>;

/// Variables of a loop.
pub(super) struct Scope<'a> {
    pub key: Option<&'a str>,
    pub value: &'a str,
}

/// Reads tokens into an arena.
pub(super) struct Parser<'a> {
    pub text: &'a str,
    pub arena: Arena,
    /// The loops around this place, innermost last.
    pub scopes: Vec<Scope<'a>>,
    tokens: Vec<Token>,
    at: usize,
    depth: usize,
    /// Of each node whether it is nested no deeper than what the names are bound to, but for constants.
    flat: Vec<bool>,
    /// All names that there are, if that is known.
    names: Option<&'a [&'a str]>,
}

/// Words that are no names; all but the first four may be those of fields.
const RESERVED: [&str; 20] = [
    "true",
    "false",
    "null",
    "in",
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "while",
];

/// Operators of two values by how strongly they bind.
fn binding(sign: &str) -> Option<(u8, Option<Binary>)> {
    let (level, op) = match sign {
        "||" => return Some((0, None)),
        "&&" => return Some((1, None)),
        "<" => (2, Binary::Less),
        "<=" => (2, Binary::AtMost),
        ">" => (2, Binary::Greater),
        ">=" => (2, Binary::AtLeast),
        "==" => (2, Binary::Equal),
        "!=" => (2, Binary::Unequal),
        "in" => (2, Binary::In),
        "+" => (3, Binary::Add),
        "-" => (3, Binary::Subtract),
        "*" => (4, Binary::Multiply),
        "/" => (4, Binary::Divide),
        "%" => (4, Binary::Remainder),
        _ => return None,
    };
    Some((level, Some(op)))
}

/// The arena of a text, and whether its value may be nested deeper than what the names are bound to. Its last node is the
/// whole.
pub(super) fn parse(text: &str, names: Option<&[&str]>) -> Parsed<(Arena, bool)> {
    if text.len() > FLOW_CEL_BYTES_MAX {
        let message = format!(
            "the expression has {} bytes, expected at most {FLOW_CEL_BYTES_MAX}",
            text.len()
        );
        return Err(CelError::new(0, message));
    }
    let (tokens, constants) = tokens(text)?;
    let mut parser = Parser {
        text,
        arena: Arena {
            constants,
            ..Arena::default()
        },
        scopes: Vec::new(),
        tokens,
        at: 0,
        depth: 0,
        flat: Vec::new(),
        names,
    };
    let root = parser.expression()?;
    if parser.peek().kind != Kind::End {
        return Err(parser.expected("an operator"));
    }
    let builds = !parser.is_flat(root);
    // A macro may have left nodes behind that nothing uses.
    let last = parser.arena.node(root);
    let offset = parser.arena.offsets[root as usize];
    if root as usize + 1 != parser.arena.nodes.len() {
        parser.arena.add(last, offset);
    }
    Ok((parser.arena, builds))
}

impl<'a> Parser<'a> {
    pub(super) fn peek(&self) -> Token {
        self.ahead(0)
    }

    pub(super) fn ahead(&self, count: usize) -> Token {
        let last = self.tokens.len() - 1;
        self.tokens[(self.at + count).min(last)]
    }

    pub(super) fn text_of(&self, token: Token) -> &'a str {
        let text = self.text;
        text.get(token.start as usize..token.end as usize)
            .unwrap_or_default()
    }

    pub(super) fn is(&self, count: usize, sign: &str) -> bool {
        let token = self.ahead(count);
        token.kind == Kind::Sign && self.text_of(token) == sign
    }

    pub(super) fn is_word(&self, count: usize) -> bool {
        self.ahead(count).kind == Kind::Word
    }

    pub(super) fn next(&mut self) -> Token {
        let token = self.peek();
        self.at += 1;
        token
    }

    pub(super) fn eat(&mut self, sign: &str) -> bool {
        let is_here = self.is(0, sign);
        self.at += usize::from(is_here);
        is_here
    }

    pub(super) fn expect(&mut self, sign: &str) -> Parsed<()> {
        if self.eat(sign) {
            return Ok(());
        }
        Err(self.expected(&format!("'{sign}'")))
    }

    /// The error that something else stands here.
    pub(super) fn expected(&self, what: &str) -> CelError {
        let token = self.peek();
        let message = match token.kind {
            Kind::End => format!("the expression ends, expected {what}"),
            _ => format!("found {}, expected {what}", quote(self.text_of(token))),
        };
        CelError::new(token.start as usize, message)
    }

    /// A name that isn't reserved.
    pub(super) fn name(&mut self, what: &str) -> Parsed<&'a str> {
        let token = self.peek();
        let text = self.text_of(token);
        if token.kind != Kind::Word {
            return Err(self.expected(what));
        }
        if RESERVED.contains(&text) {
            return Err(CelError::new(
                token.start as usize,
                format!("'{text}' is reserved and can't be a name"),
            ));
        }
        self.at += 1;
        Ok(text)
    }

    pub(super) fn add(&mut self, node: Node, offset: u32) -> NodeId {
        let is_flat = match node {
            Node::List(_) | Node::Map(_) => false,
            Node::Field { of, .. } | Node::Index { of, .. } => self.is_flat(of),
            Node::If { then, otherwise, .. } => self.is_flat(then) && self.is_flat(otherwise),
            // Lists that share their elements may be far larger than what they take.
            Node::Binary { op: Binary::Add, .. } => false,
            Node::Call { args, .. } => self.arena.children(args).iter().all(|arg| self.is_flat(*arg)),
            Node::Loop(number) => {
                let rows = self.arena.loops[number as usize];
                match rows.gives {
                    Gives::All | Gives::Exists | Gives::ExistsOne => true,
                    Gives::Filter => rows.is_flat,
                    Gives::List | Gives::Map => false,
                    Gives::Bind => rows.value.is_some_and(|value| self.is_flat(value)),
                }
            }
            _ => true,
        };
        self.flat.push(is_flat);
        self.arena.add(node, offset)
    }

    pub(super) fn is_flat(&self, id: NodeId) -> bool {
        self.flat[id as usize]
    }

    /// Goes a level deeper.
    pub(super) fn enter(&mut self) -> Parsed<()> {
        self.depth += 1;
        if self.depth > FLOW_CEL_DEPTH_MAX {
            let message = format!("nested deeper than {FLOW_CEL_DEPTH_MAX} levels");
            return Err(CelError::new(self.peek().start as usize, message));
        }
        Ok(())
    }

    /// A whole expression.
    pub(super) fn expression(&mut self) -> Parsed<NodeId> {
        self.enter()?;
        let cond = self.binary(0)?;
        let offset = self.peek().start;
        let mut found = cond;
        if self.eat("?") {
            let then = self.binary(0)?;
            self.expect(":")?;
            let otherwise = self.expression()?;
            found = self.add(
                Node::If {
                    cond,
                    then,
                    otherwise,
                },
                offset,
            );
        }
        self.depth -= 1;
        Ok(found)
    }

    fn binary(&mut self, least: u8) -> Parsed<NodeId> {
        let mut left = self.unary()?;
        loop {
            let token = self.peek();
            let is_operator = matches!(token.kind, Kind::Sign | Kind::Word);
            let Some((level, op)) =
                binding(self.text_of(token)).filter(|found| is_operator && found.0 >= least)
            else {
                return Ok(left);
            };
            self.at += 1;
            let right = self.binary(level + 1)?;
            let node = match op {
                Some(op) => Node::Binary { op, left, right },
                None => Node::Logic {
                    is_or: level == 0,
                    left,
                    right,
                },
            };
            left = self.add(node, token.start);
        }
    }

    fn unary(&mut self) -> Parsed<NodeId> {
        let first = self.peek();
        let mut count = 0;
        if self.is(0, "!") {
            while self.eat("!") {
                count += 1;
            }
            let of = self.member()?;
            return Ok((0..count).fold(of, |of, _| self.add(Node::Not(of), first.start)));
        }
        while self.is(0, "-") && !matches!(self.ahead(1).kind, Kind::Int(_)) {
            self.at += 1;
            count += 1;
        }
        let of = self.member()?;
        Ok((0..count).fold(of, |of, _| self.add(Node::Negate(of), first.start)))
    }

    /// The number of an integer with the minus before it, if there is one.
    pub(super) fn integer(&mut self) -> Parsed<NodeId> {
        let first = self.peek();
        let is_negative = self.eat("-");
        let token = self.next();
        let Kind::Int(number) = token.kind else {
            return Err(CelError::new(
                token.start as usize,
                "a minus stands before no integer",
            ));
        };
        let number = i128::from(number);
        let value = i64::try_from(if is_negative { -number } else { number });
        let Ok(value) = value else {
            let shown = self.text_of(token);
            let error = CelError::new(
                token.start as usize,
                format!("'{shown}' is no signed integer of 64 bits"),
            );
            return Err(error.hint("an unsigned one has a u behind it"));
        };
        Ok(self.constant(Value::Int(value), first.start))
    }

    pub(super) fn constant(&mut self, value: Value, offset: u32) -> NodeId {
        let number = self.arena.add_constant(value);
        self.add(Node::Constant(number), offset)
    }

    /// A variable, or a name of whoever evaluates.
    pub(super) fn variable(&mut self, name: &'a str, offset: u32, is_absolute: bool) -> Parsed<NodeId> {
        let mut around = self.scopes.iter().enumerate().rev();
        let local = around.find_map(|(depth, scope)| {
            let is_key = scope.key == Some(name);
            (is_key || scope.value == name).then_some(Node::Local {
                depth: depth as u32,
                is_key,
            })
        });
        if let Some(local) = local.filter(|_| !is_absolute) {
            return Ok(self.add(local, offset));
        }
        if let Some(names) = self.names
            && !names.contains(&name)
        {
            let inner = self.scopes.iter().map(|scope| scope.value);
            return Err(super::member::unknown(
                name,
                offset,
                names.iter().copied().chain(inner),
            ));
        }
        let number = self.arena.name(name);
        if self.arena.names.len() > FLOW_CEL_NAMES_MAX {
            let message = format!("the expression has more than {FLOW_CEL_NAMES_MAX} names");
            return Err(CelError::new(offset as usize, message));
        }
        Ok(self.add(Node::Name(number), offset))
    }
}

/// A piece of the text in a message.
fn quote(text: &str) -> String {
    let shown: String = text.chars().take(40).collect();
    format!("'{shown}'")
}
