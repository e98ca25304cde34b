//! Reading an expression from its JSON form into the arena, and checking it: all that is wrong is found in one go.
//! Evaluates nothing; that types and values agree is checked when they meet, in evaluation.
//!
//! Every expression is an object with a `tag`. Schemas are as in [`crate::codec::schema`], `X` stands for an expression:
//! ```text
//! lit            schema, value: the constant as text, or as JSON
//! str            schema, value
//! container      schema, elements: [X]          a list, tuple or record; an optional of no element (null) or one
//! app            schema, func: X, args: [X]
//! lambda         vars: [name], body: X
//! let            var: name, value: X, body: X
//! bound          schema, var: name
//! interpolation  schema, strings: [text]        a function of one string less
//! pattern        schema, pattern: {type}        a function, by its type:
//!                  end                            the whole value
//!                  idx, selectors: [{index, sub}] places in a tuple or record, and within them
//!                  key, selectors: [{key, sub}]   fields of a record
//!                  bracket_index, bracket_slice
//! map            schema, func: X, list: X
//! if             cond: X, then: X, else: X      schema optional
//! show           schema, child: X
//! read           schema, child: X
//! throw          msg: X
//! catch          fallible: X, fallback: X
//! ```
//! Those of compositions stand in [`crate::expr::compose`].

use crate::codec::document::Node;
use crate::codec::json::Shape;
use crate::codec::msgpack::{Reader, Token};
use crate::codec::nearest::nearest;
use crate::codec::schema::{Type, Types};
use crate::codec::transcode::{ValueError, json_to_msgpack};
use crate::expr::arena::{Expr, Exprs, Step, Strict};
use crate::expr::scope::Scope;
use crate::ids::{ExprId, Span, TypeId};
use crate::limits::{EXPRS_SIZE_MAX, FLAWS_MAX};

/// Why an expression can't be loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoadError {
    /// It is well formed as far as this version can tell, but has a tag that this version does not run: an error of the
    /// command, not of the manifest.
    Unsupported {
        /// The tag.
        tag: String,
        /// Its place.
        flaw: Flaw,
    },
    /// It is wrong: everything that was found, never empty, at most [`FLAWS_MAX`].
    Malformed(Vec<Flaw>),
}

/// One thing that is wrong, and where in the document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flaw {
    /// Byte offset in the text of the document.
    pub offset: usize,
    /// The way from the document's root, as [`Node::path`] writes it.
    pub path: String,
    /// One lowercase sentence.
    pub message: String,
}

/// Reads and checks an expression, and adds it.
///
/// # Errors
/// See [`LoadError`]. What was added before an error stays, unused.
pub fn load(node: Node<'_, '_>, types: &mut Types, exprs: &mut Exprs) -> Result<ExprId, LoadError> {
    load_composed(node, types, exprs, None)
}

/// Reads and checks an expression that may do more than compute: call functions of so many pools, and wait.
///
/// # Errors
/// As [`load`].
pub fn load_composed(
    node: Node<'_, '_>,
    types: &mut Types,
    exprs: &mut Exprs,
    pools: Option<usize>,
) -> Result<ExprId, LoadError> {
    let mut loader = Loader {
        types,
        exprs,
        pools,
        scope: Scope::default(),
        flaws: Vec::new(),
        unsupported: None,
    };
    loader.scope.enter(&[]);
    let loaded = loader.expr(node);
    if !loader.flaws.is_empty() {
        return Err(LoadError::Malformed(loader.flaws));
    }
    match (loader.unsupported, loaded) {
        (None, Some(loaded)) => Ok(loaded.id),
        (Some((tag, flaw)), _) => Err(LoadError::Unsupported { tag, flaw }),
        (None, None) => Err(LoadError::Malformed(vec![flaw(
            node,
            "expression is empty".into(),
        )])),
    }
}

fn flaw(node: Node<'_, '_>, message: String) -> Flaw {
    Flaw {
        offset: node.offset(),
        path: node.path(),
        message,
    }
}

/// A loaded expression and the type of its value, if it has one that is known.
#[derive(Clone, Copy)]
pub(super) struct Loaded {
    pub id: ExprId,
    pub ty: Option<TypeId>,
}

pub(super) struct Loader<'l, 'd> {
    pub types: &'l mut Types,
    pub exprs: &'l mut Exprs,
    /// How many pools there are to call; none: it may only compute.
    pub pools: Option<usize>,
    scope: Scope<'d>,
    flaws: Vec<Flaw>,
    /// The first tag that this version doesn't run.
    unsupported: Option<(String, Flaw)>,
}

/// Every method gives none after it has noted why; its caller reads the other members all the same before giving up.
impl<'d> Loader<'_, 'd> {
    pub(super) fn expr(&mut self, node: Node<'d, '_>) -> Option<Loaded> {
        if self.exprs.size() + self.scope.captured() > EXPRS_SIZE_MAX {
            return self.wrong(
                node,
                format!("expressions need more than {EXPRS_SIZE_MAX} entries"),
            );
        }
        match self.text(node, "tag")? {
            "lit" => self.literal(node),
            "str" => self.string(node),
            "container" => self.container(node),
            "app" => self.apply(node),
            "lambda" => self.lambda(node),
            "let" => self.binding(node),
            "bound" => self.bound(node),
            "interpolation" => self.interpolation(node),
            "pattern" => self.pattern(node),
            "map" => self.map(node),
            "if" => self.conditional(node),
            "show" => self.show(node),
            "read" => self.read(node),
            "throw" => self.throw(node),
            "catch" => self.catch(node),
            tag => match self.compose(node, tag) {
                Some(loaded) => loaded,
                None => self.refuse(node, tag),
            },
        }
    }

    fn literal(&mut self, node: Node<'d, '_>) -> Option<Loaded> {
        let (ty, value) = (self.schema(node), self.member(node, "value"));
        let (ty, value) = (ty?, value?);
        let text = match value.shape() {
            Shape::Str => value.as_str(),
            Shape::Number => value.as_number(),
            Shape::Null => Some("null"),
            Shape::Bool => Some(if value.as_bool() == Some(true) {
                "true"
            } else {
                "false"
            }),
            Shape::Array | Shape::Object => None,
        };
        let Some(text) = text else {
            let found = value.shape().name();
            return self.wrong(value, format!("literal is {found}, expected its text"));
        };
        match self.constant(ty, text) {
            Ok(expr) => self.add(expr, Some(ty)),
            Err(error) => {
                let spelled = self.types.spell(ty);
                self.wrong(value, format!("literal can't be read as {spelled}: {error}"))
            }
        }
    }

    fn constant(&mut self, ty: TypeId, text: &str) -> Result<Expr, ValueError> {
        match (self.types.node(ty), text) {
            (Type::Nil, _) => return Ok(Expr::Nil),
            (Type::Bool, "1") => return Ok(Expr::Bool(true)),
            (Type::Bool, "0") => return Ok(Expr::Bool(false)),
            (Type::Str, _) => return Ok(Expr::Str(self.exprs.add_text(text))),
            _ => {}
        }
        let quoted;
        let json = match text {
            "NaN" | "Infinity" | "-Infinity" => {
                quoted = format!("\"{text}\"");
                &quoted
            }
            _ => text,
        };
        let mut msgpack = Vec::new();
        json_to_msgpack(self.types, ty, json.as_bytes(), &mut msgpack)?;
        Ok(match Reader::new(&msgpack).next() {
            Ok(Token::Nil) => Expr::Nil,
            Ok(Token::Bool(value)) => Expr::Bool(value),
            Ok(Token::Int(value)) => Expr::Int(value),
            Ok(Token::F4(value)) => Expr::Float(value.into()),
            Ok(Token::F8(value)) => Expr::Float(value),
            _ => Expr::Encoded {
                ty,
                msgpack: self.exprs.add_bytes(&msgpack),
            },
        })
    }

    fn string(&mut self, node: Node<'d, '_>) -> Option<Loaded> {
        let (ty, value) = (self.schema(node), self.text(node, "value"));
        let (ty, value) = (ty?, value?);
        if self.types.node(ty) != Type::Str {
            let spelled = self.types.spell(ty);
            return self.wrong(node, format!("str has type {spelled}, expected s"));
        }
        let text = self.exprs.add_text(value);
        self.add(Expr::Str(text), Some(ty))
    }

    fn container(&mut self, node: Node<'d, '_>) -> Option<Loaded> {
        let (ty, elements) = (self.schema(node), self.exprs_of(node, "elements"));
        let (ty, elements) = (ty?, elements?);
        let found = elements.len();
        let expected = match self.types.node(ty) {
            Type::List { len: None, .. } => found,
            Type::List { len: Some(len), .. } => len as usize,
            Type::Tuple(members) => members.len(),
            Type::Record(fields) => fields.len(),
            Type::Optional(_) => found.min(1),
            _ => {
                let spelled = self.types.spell(ty);
                let message =
                    format!("container has type {spelled}, expected a list, tuple, record or optional");
                return self.wrong(node, message);
            }
        };
        if found != expected {
            let spelled = self.types.spell(ty);
            let message = format!("container has {found} elements, expected {expected} for type {spelled}");
            return self.wrong(node, message);
        }
        let elements = self.in_turn(node, elements)?;
        let elements = self.exprs.add_children(&elements);
        self.add(Expr::Container { ty, elements }, Some(ty))
    }

    fn apply(&mut self, node: Node<'d, '_>) -> Option<Loaded> {
        let (ty, func) = (self.schema(node), self.member(node, "func"));
        let (args, func) = (self.exprs_of(node, "args"), func?);
        let count = args.as_ref().map_or(0, Vec::len);
        // A lambda that is applied where it stands only gives names: no closure needs to be made.
        if func.member("tag").and_then(Node::as_str) == Some("lambda") && count > 0 {
            let names = self.names(func)?;
            if names.len() == count {
                let args = self.in_turn(node, args?)?;
                return self.named(func, &names, &args, Some(ty?));
            }
        }
        // Applied to nothing, every value is itself.
        let func = match count {
            0 => self.expr(func).map(|loaded| loaded.id),
            _ => self.function(node),
        };
        let (ty, func, args) = (ty?, func?, args?);
        let args = self.in_turn(node, args)?;
        let args = self.exprs.add_children(&args);
        self.add(Expr::Apply { func, args }, Some(ty))
    }

    fn lambda(&mut self, node: Node<'d, '_>) -> Option<Loaded> {
        let params = self.names(node)?;
        self.scope.enter(&params);
        let body = self.child(node, "body");
        let captures = self.scope.leave(&params);
        let lambda = Expr::Lambda {
            params: params.len() as u32,
            captures: self.exprs.add_captures(&captures),
            body: body?.id,
        };
        self.add(lambda, None)
    }

    /// The parameters of a lambda.
    fn names(&mut self, lambda: Node<'d, '_>) -> Option<Vec<&'d str>> {
        let mut names: Vec<&'d str> = Vec::new();
        for var in self.list(lambda, "vars")? {
            match var.as_str() {
                Some(name) => names.push(name),
                None => {
                    let found = var.shape().name();
                    return self.wrong(var, format!("parameter is {found}, expected its name"));
                }
            }
        }
        Some(names)
    }

    fn binding(&mut self, node: Node<'d, '_>) -> Option<Loaded> {
        let (name, value) = (self.text(node, "var"), self.child(node, "value"));
        let (name, value) = (name?, value?);
        let values = self.in_turn(node, vec![value.id])?;
        self.named(node, &[name], &values, None)
    }

    /// The member `body` of a node, in which the names stand for the values.
    fn named(
        &mut self,
        node: Node<'d, '_>,
        names: &[&'d str],
        values: &[ExprId],
        ty: Option<TypeId>,
    ) -> Option<Loaded> {
        for name in names {
            self.scope.bind(name);
        }
        let body = self.child(node, "body");
        for name in names {
            self.scope.unbind(name);
        }
        let body = body?;
        let values = self.exprs.add_children(values);
        let named = Expr::Let {
            values,
            body: body.id,
        };
        self.add(named, ty.or(body.ty))
    }

    fn bound(&mut self, node: Node<'d, '_>) -> Option<Loaded> {
        let (ty, name) = (self.schema(node), self.text(node, "var"));
        let (ty, name) = (ty?, name?);
        if let Some(variable) = self.scope.resolve(name) {
            return self.add(Expr::Variable(variable), Some(ty));
        }
        let meant = match nearest(name, self.scope.names()) {
            Some(near) => format!("; did you mean \"{near}\"?"),
            None => String::new(),
        };
        self.wrong(
            node,
            format!("variable \"{name}\" is not bound by a lambda or let around it{meant}"),
        )
    }

    fn interpolation(&mut self, node: Node<'d, '_>) -> Option<Loaded> {
        let ty = self.schema(node)?;
        let mut pieces = Vec::new();
        for piece in self.list(node, "strings")? {
            match piece.as_str() {
                Some(text) => pieces.push(self.exprs.add_text(text)),
                None => {
                    let found = piece.shape().name();
                    self.note(
                        piece,
                        format!("piece of an interpolation is {found}, expected a string"),
                    );
                }
            }
        }
        match pieces.as_slice() {
            [] => return self.wrong(node, "interpolation has no strings, expected at least one".into()),
            [whole] => return self.add(Expr::Str(*whole), Some(ty)),
            _ => {}
        }
        let pieces = self.exprs.add_texts(&pieces);
        self.add(Expr::Interpolation(pieces), None)
    }

    fn pattern(&mut self, node: Node<'d, '_>) -> Option<Loaded> {
        let (ty, pattern) = (self.schema(node), self.member(node, "pattern"));
        let (_, pattern) = (ty?, pattern?);
        match self.text(pattern, "type")? {
            "bracket_index" => return self.add(Expr::Index, None),
            "bracket_slice" => return self.add(Expr::Slice, None),
            _ => {}
        }
        let mut places = Vec::new();
        self.places(pattern, &mut Vec::new(), &mut places)?;
        let places = self.exprs.add_places(&places);
        self.add(Expr::Pattern { places }, None)
    }

    /// Adds a pattern's places, each with the whole way to it, `way` being what leads here.
    fn places(&mut self, pattern: Node<'d, '_>, way: &mut Vec<Step>, places: &mut Vec<Span>) -> Option<()> {
        let is_key = match self.text(pattern, "type")? {
            "end" => {
                places.push(self.exprs.add_steps(way));
                return Some(());
            }
            "idx" => false,
            "key" => true,
            other => {
                self.refuse(pattern, &format!("pattern {other}"));
                return None;
            }
        };
        let selectors = self.list(pattern, "selectors")?;
        if selectors.len() == 0 {
            return self.wrong(
                pattern,
                "pattern selects nothing, expected at least one selector".into(),
            );
        }
        let mut complete = Some(());
        for selector in selectors {
            let (step, sub) = (self.step(selector, is_key), self.member(selector, "sub"));
            let (Some(step), Some(sub)) = (step, sub) else {
                complete = None;
                continue;
            };
            way.push(step);
            complete = self.places(sub, way, places).and(complete);
            way.pop();
        }
        complete
    }

    fn step(&mut self, selector: Node<'d, '_>, is_key: bool) -> Option<Step> {
        if is_key {
            let key = self.text(selector, "key")?;
            return Some(Step::Key(self.exprs.add_text(key)));
        }
        let index = self.member(selector, "index")?;
        match index.as_number().and_then(|text| text.parse().ok()) {
            Some(position) => Some(Step::Position(position)),
            None => self.wrong(index, "index of a selector is not a position from 0".into()),
        }
    }

    fn map(&mut self, node: Node<'d, '_>) -> Option<Loaded> {
        let ty = self.schema(node);
        let (func, list) = (self.function(node), self.child(node, "list"));
        let (ty, func, list) = (ty?, func?, list?);
        self.strict(Strict::Map, &[func, list.id], Some(ty))
    }

    fn conditional(&mut self, node: Node<'d, '_>) -> Option<Loaded> {
        let ty = node.member("schema").map(|_| self.schema(node));
        let cond = self.child(node, "cond");
        let (then, otherwise) = (self.child(node, "then"), self.child(node, "else"));
        let (cond, then, otherwise) = (cond?, then?, otherwise?);
        let ty = match ty {
            Some(own) => Some(own?),
            None => then.ty.or(otherwise.ty),
        };
        let conditional = Expr::If {
            cond: cond.id,
            then: then.id,
            otherwise: otherwise.id,
        };
        self.add(conditional, ty)
    }

    fn show(&mut self, node: Node<'d, '_>) -> Option<Loaded> {
        let (own, child) = (self.schema(node), self.child(node, "child"));
        let (own, child) = (own?, child?);
        let Some(ty) = child.ty else {
            return self.wrong(node, "show has a child of unknown type, expected a value".into());
        };
        self.add(Expr::Show { ty, child: child.id }, Some(own))
    }

    fn read(&mut self, node: Node<'d, '_>) -> Option<Loaded> {
        let (ty, child) = (self.schema(node), self.child(node, "child"));
        let (ty, child) = (ty?, child?);
        self.add(Expr::Read { ty, child: child.id }, Some(ty))
    }

    fn throw(&mut self, node: Node<'d, '_>) -> Option<Loaded> {
        let message = self.child(node, "msg")?.id;
        self.add(Expr::Throw { message }, None)
    }

    fn catch(&mut self, node: Node<'d, '_>) -> Option<Loaded> {
        let (fallible, fallback) = (self.child(node, "fallible"), self.child(node, "fallback"));
        let (fallible, fallback) = (fallible?, fallback?);
        let catch = Expr::Catch {
            fallible: fallible.id,
            fallback: fallback.id,
        };
        self.add(catch, fallible.ty.or(fallback.ty))
    }

    pub(super) fn add(&mut self, expr: Expr, ty: Option<TypeId>) -> Option<Loaded> {
        let id = self.exprs.add(expr);
        Some(Loaded { id, ty })
    }

    pub(super) fn child(&mut self, node: Node<'d, '_>, key: &str) -> Option<Loaded> {
        let child = self.member(node, key)?;
        self.expr(child)
    }

    /// The member `func`, which must be able to give a function.
    pub(super) fn function(&mut self, node: Node<'d, '_>) -> Option<ExprId> {
        let id = self.child(node, "func")?.id;
        let found = match self.exprs.node(id) {
            Expr::Nil | Expr::Bool(_) | Expr::Int(_) | Expr::Float(_) | Expr::Encoded { .. } => "a constant",
            Expr::Str(_) | Expr::Show { .. } => "a string",
            Expr::Container { .. } | Expr::Strict { op: Strict::Map, .. } => "a container",
            _ => return Some(id),
        };
        self.wrong(node, format!("func is {found}, expected a function"))
    }

    pub(super) fn exprs_of(&mut self, node: Node<'d, '_>, key: &str) -> Option<Vec<ExprId>> {
        let mut ids = Some(Vec::new());
        for child in self.list(node, key)? {
            match (self.expr(child), &mut ids) {
                (Some(loaded), Some(ids)) => ids.push(loaded.id),
                _ => ids = None,
            }
        }
        ids
    }

    pub(super) fn schema(&mut self, node: Node<'d, '_>) -> Option<TypeId> {
        self.type_of(node, "schema")
    }

    /// The member that is a schema.
    pub(super) fn type_of(&mut self, node: Node<'d, '_>, key: &str) -> Option<TypeId> {
        let text = self.text(node, key)?;
        self.parse(node.member(key).unwrap_or(node), text)
    }

    pub(super) fn parse(&mut self, at: Node<'d, '_>, text: &str) -> Option<TypeId> {
        match self.types.parse(text) {
            Ok(ty) => Some(ty),
            Err(error) => {
                let (offset, message) = (error.offset, error.message);
                self.wrong(
                    at,
                    format!("schema \"{text}\" is wrong at its byte {offset}: {message}"),
                )
            }
        }
    }

    pub(super) fn text(&mut self, node: Node<'d, '_>, key: &str) -> Option<&'d str> {
        let member = self.member(node, key)?;
        match member.as_str() {
            Some(text) => Some(text),
            None => {
                let found = member.shape().name();
                self.wrong(member, format!("\"{key}\" is {found}, expected a string"))
            }
        }
    }

    pub(super) fn list<'a>(
        &mut self,
        node: Node<'d, 'a>,
        key: &str,
    ) -> Option<impl ExactSizeIterator<Item = Node<'d, 'a>> + use<'d, 'a>> {
        let member = self.member(node, key)?;
        match member.elements() {
            Some(elements) => Some(elements),
            None => {
                let found = member.shape().name();
                self.wrong(member, format!("\"{key}\" is {found}, expected an array"))
            }
        }
    }

    pub(super) fn member<'a>(&mut self, node: Node<'d, 'a>, key: &str) -> Option<Node<'d, 'a>> {
        if node.shape() != Shape::Object {
            let found = node.shape().name();
            return self.wrong(node, format!("found {found}, expected an object with \"{key}\""));
        }
        match node.member(key) {
            Some(member) => Some(member),
            None => {
                let what = node.member("tag").and_then(Node::as_str).unwrap_or("object");
                self.wrong(node, format!("{what} has no \"{key}\""))
            }
        }
    }

    fn refuse(&mut self, node: Node<'d, '_>, tag: &str) -> Option<Loaded> {
        if self.unsupported.is_none() {
            let message = format!("expression \"{tag}\" is not supported by this version");
            self.unsupported = Some((tag.into(), flaw(node, message)));
        }
        None
    }

    pub(super) fn wrong<T>(&mut self, node: Node<'d, '_>, message: String) -> Option<T> {
        self.note(node, message);
        None
    }

    fn note(&mut self, node: Node<'d, '_>, message: String) {
        if self.flaws.len() < FLAWS_MAX {
            self.flaws.push(flaw(node, message));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::document::Document;

    #[test]
    fn all_that_is_wrong_is_found_at_once() {
        let text = r#"{"tag":"container","schema":"(j,q)","elements":[
        {"tag":"lit","value":"1"},
        {"tag":"bound","schema":"j","var":"x"},
        7,
        {"tag":"app","schema":"j","func":{"tag":"lambda","vars":[1],"body":{"tag":"str","schema":"s"}},"args":{}},
        {"no":"tag"}]}"#;
        let document = Document::parse(text.as_bytes()).unwrap();
        let Err(LoadError::Malformed(flaws)) =
            load(document.root(), &mut Types::default(), &mut Default::default())
        else {
            panic!("it was loaded");
        };
        let flaws: Vec<String> = flaws
            .iter()
            .map(|flaw| format!("{} {}: {}", flaw.offset, flaw.path, flaw.message))
            .collect();
        assert_eq!(
            flaws,
            [
                "28 schema: schema \"(j,q)\" is wrong at its byte 3: found 'q', expected a type",
                "57 elements[0]: lit has no \"schema\"",
                "92 elements[1]: variable \"x\" is not bound by a lambda or let around it",
                "140 elements[2]: found a number, expected an object with \"tag\"",
                "253 elements[3].args: \"args\" is an object, expected an array",
                "208 elements[3].func.vars[0]: parameter is a number, expected its name",
                "266 elements[4]: object has no \"tag\"",
            ]
        );
    }
}
