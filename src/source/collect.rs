//! Joins what is declared with what is said about it: from a function and the comment above it to a signature, and from all
//! of a file to its library. Knows no language.

use super::comment::{self, Said, SaidParam, Typed};
use super::forms;
use super::lexer::{Token, comment_lines};
use super::notation::{Line, is_field_name, is_name};
use super::signature::{Field, Flaw, Library, Mention, Param, Place, Record, Signature};
use super::types::{Base, Type};
use crate::codec::nearest::nearest;
use crate::limits::{FLAWS_MAX, FUNCTIONS_MAX, PARAMS_MAX, RECORDS_MAX};

/// A function as its language declares it.
pub(super) struct Declared {
    pub name: String,
    pub place: Place,
    pub params: Vec<DeclaredParam>,
    /// It takes any number of further arguments.
    pub is_variadic: bool,
    /// By a hint or a docstring.
    pub returns: Option<Result<Type, Flaw>>,
}

/// A parameter as its language declares it.
#[derive(Default)]
pub(super) struct DeclaredParam {
    pub name: Option<String>,
    /// By a hint or a docstring.
    pub ty: Option<Result<Type, Flaw>>,
    pub default: Default,
    pub is_keyword: bool,
}

/// What a parameter is when it is not given.
#[derive(Default)]
pub(super) enum Default {
    /// It has to be given.
    #[default]
    Missing,
    /// Something that only its language can say.
    Unknown,
    /// A literal, as JSON text.
    Json(String),
}

/// The library of a file as it grows.
#[derive(Default)]
pub(super) struct Collector {
    pub library: Library,
    pub flaws: Vec<Flaw>,
    /// Functions need no types: what has none is any JSON.
    pub is_loose: bool,
    /// Two functions of one name are two functions.
    pub has_overloads: bool,
}

impl Collector {
    pub fn flaw(&mut self, flaw: Flaw) {
        if self.flaws.len() < FLAWS_MAX {
            self.flaws.push(flaw);
        }
    }

    pub fn warn(&mut self, flaw: Flaw) {
        if self.library.warnings.len() < FLAWS_MAX {
            self.library.warnings.push(flaw);
        }
    }

    /// What a comment says whatever it stands above.
    fn heed(&mut self, said: &mut Said<'_>) {
        for record in said.records.drain(..) {
            match record {
                Ok(record) => self.record(record),
                Err(flaw) => self.flaw(flaw),
            }
        }
        self.library.flags.append(&mut said.flags);
        self.library.mentions.append(&mut said.mentions);
    }

    /// A comment with no function below it.
    pub fn stray(&mut self, lines: &[Line<'_>], typed: Typed<'_>) {
        let mut said = comment::read(lines, &[], typed);
        self.heed(&mut said);
        match said.signature {
            Some(Ok(signature)) => {
                let len = signature.name.chars().count();
                let message = format!("the signature of '{}' has no function below it", signature.name);
                self.flaw(Flaw::new(signature.place, len, message));
            }
            Some(Err(flaw)) => self.flaw(flaw),
            None => {}
        }
    }

    pub fn record(&mut self, record: Record) {
        if record.fields.len() > PARAMS_MAX || self.library.records.len() >= RECORDS_MAX {
            let message = format!("more than {RECORDS_MAX} records, or more than {PARAMS_MAX} fields in one");
            return self.flaw(Flaw::new(record.place, record.name.chars().count(), message));
        }
        if let Some(field) = record.fields.iter().find(|field| !is_field_name(&field.name)) {
            let message = format!(
                "the field '{}' has a name that no other language can have",
                field.name
            );
            return self.flaw(Flaw::new(record.place, record.name.chars().count(), message));
        }
        let misfit = record
            .fields
            .iter()
            .find_map(|field| Some((field, field.doc.misfit(&field.ty)?)));
        if let Some((field, misfit)) = misfit {
            let message = format!("the field '{}' {misfit}", field.name);
            return self.flaw(Flaw::new(record.place, record.name.chars().count(), message));
        }
        match self.library.records.iter().any(|known| known.name == record.name) {
            true => {
                let message = format!("there are two records of the name '{}'", record.name);
                self.flaw(Flaw::new(record.place, record.name.chars().count(), message));
            }
            false => self.library.records.push(record),
        }
    }

    /// Exports a function, if it has a signature or all of its types are known.
    pub fn function(&mut self, mut said: Said<'_>, mut declared: Declared) {
        if self.is_loose {
            declared.loosen();
        }
        self.heed(&mut said);
        // What its language may call a name, but the notation can't.
        if !declared.name.split("::").all(is_name) {
            return;
        }
        if declared.params.len() > PARAMS_MAX || self.library.functions.len() >= FUNCTIONS_MAX {
            let message =
                format!("more than {FUNCTIONS_MAX} functions, or more than {PARAMS_MAX} parameters of one");
            return self.flaw(Flaw::new(declared.place, declared.name.chars().count(), message));
        }
        let signature = match said.signature.take() {
            Some(Err(flaw)) => return self.flaw(flaw),
            Some(Ok(signature)) => self.with_signature(signature, &declared),
            None => self.with_hints(&declared),
        };
        let Some(mut signature) = signature else { return };
        for flaw in said.flaws.drain(..) {
            self.flaw(flaw);
        }
        let returns = std::mem::take(&mut signature.doc.returns);
        signature.doc = said.doc;
        if !returns.is_empty() {
            signature.doc.returns = returns;
        }
        trim(&mut signature.doc.desc);
        signature.doc.returns.retain(|line| !line.is_empty());
        for (param, declared) in signature.params.iter_mut().zip(declared.params) {
            if let Some(name) = &declared.name {
                if let Some(position) = said.params.iter().position(|said| said.name == name) {
                    let doc = &mut param.doc;
                    let above = std::mem::replace(doc, said.params.swap_remove(position).doc);
                    doc.desc.splice(0..0, above.desc);
                    doc.metavar = above.metavar.or(doc.metavar.take());
                    doc.short = above.short.or(doc.short);
                    doc.long = above.long.or(doc.long.take());
                    doc.long_rev = above.long_rev.or(doc.long_rev.take());
                    doc.default = above.default.or(doc.default.take());
                    doc.is_flag |= above.is_flag;
                    doc.is_unrolled |= above.is_unrolled;
                }
                match declared.default {
                    Default::Json(default) => param.doc.make_option(name, &param.ty, Some(default)),
                    _ if declared.is_keyword => param.doc.make_option(name, &param.ty, None),
                    _ => {}
                }
            }
            trim(&mut param.doc.desc);
            param.doc.settle(&param.ty);
            param.name = declared.name;
            param.is_keyword = declared.is_keyword;
        }
        if !declared.is_variadic {
            self.warn_of_strangers(&said.params, &signature);
        }
        if self.is_loose {
            let params = signature.params.iter_mut();
            let misfits = params.filter(|param| param.doc.misfit(&param.ty).is_some());
            misfits.for_each(|param| param.ty = Type::Base(Base::Json));
        }
        let misfit = signature
            .params
            .iter()
            .find_map(|param| Some((param, param.doc.misfit(&param.ty)?)));
        if let Some((param, misfit)) = misfit {
            let name = param.name.as_deref().unwrap_or_default();
            let message = format!("the parameter '{name}' of '{}' {misfit}", signature.name);
            return self.flaw(Flaw::new(
                signature.place,
                signature.name.chars().count(),
                message,
            ));
        }
        if let Some(flaw) = forms::worker(&signature) {
            self.warn(flaw);
        }
        let twice = self
            .library
            .functions
            .iter()
            .position(|known| known.name == signature.name);
        if let Some(position) = twice {
            let what = if self.has_overloads {
                "only one can be exported"
            } else {
                "this one is taken"
            };
            let message = format!("there are two functions of the name '{}', {what}", signature.name);
            let flaw = Flaw::new(signature.place, signature.name.chars().count(), message);
            match self.has_overloads {
                true => return self.flaw(flaw),
                false => self.warn(flaw),
            }
            self.library.functions.remove(position);
        }
        self.library.functions.push(signature);
    }

    /// What is said of parameters that the function does not have.
    fn warn_of_strangers(&mut self, said: &[SaidParam<'_>], signature: &Signature) {
        for stranger in said {
            let names = signature.params.iter().filter_map(|param| param.name.as_deref());
            let message = format!("'{}' has no parameter '{}'", signature.name, stranger.name);
            let flaw = Flaw::new(stranger.place, stranger.name.chars().count(), message);
            let likely = nearest(stranger.name, names.collect::<Vec<_>>());
            self.warn(match likely {
                Some(name) => flaw.hint(format!("did you mean {name}?")),
                None => flaw,
            });
        }
    }

    /// The signature that stands above the function, if it fits.
    fn with_signature(&mut self, mut signature: Signature, declared: &Declared) -> Option<Signature> {
        let local = declared.name.rsplit("::").next().unwrap_or_default();
        let (name, place) = (std::mem::take(&mut signature.name), signature.place);
        let flaw = |message| Flaw::new(place, name.chars().count(), message);
        if name != declared.name && name != local {
            self.flaw(flaw(format!(
                "the signature of '{name}' stands above '{}'",
                declared.name
            )));
            return None;
        }
        let expected = declared.params.len();
        if expected == 0 && matches!(&signature.params[..], [param] if param.ty == Type::Base(Base::Unit)) {
            signature.params.clear();
        }
        let found = signature.params.len();
        let are_rest_optional = || {
            let mut rest = declared.params[found..].iter();
            rest.all(|param| !matches!(param.default, Default::Missing))
        };
        let fits = match found > expected {
            true => declared.is_variadic,
            false => are_rest_optional(),
        };
        if !fits {
            let count = |count| format!("{count} parameter{}", if count == 1 { "" } else { "s" });
            self.flaw(flaw(format!(
                "the signature of '{name}' has {}, the function has {expected}",
                count(found)
            )));
            return None;
        }
        Some(Signature {
            name: declared.name.clone(),
            place: declared.place,
            ..signature
        })
    }

    /// A signature of the types that the declaration has.
    fn with_hints(&mut self, declared: &Declared) -> Option<Signature> {
        let types = declared.params.iter().map(|param| &param.ty);
        let types: Vec<_> = types.chain([&declared.returns]).collect();
        if types.iter().any(|ty| ty.is_none()) {
            self.warn_of_partial(declared);
            return None;
        }
        let flaws: Vec<Flaw> = types
            .iter()
            .filter_map(|ty| ty.as_ref()?.as_ref().err().cloned())
            .collect();
        if !flaws.is_empty() {
            flaws.into_iter().for_each(|flaw| self.flaw(flaw));
            return None;
        }
        let mut known = types
            .into_iter()
            .filter_map(|ty| ty.as_ref()?.as_ref().ok().cloned());
        let params = declared.params.iter();
        Some(Signature {
            name: declared.name.clone(),
            place: declared.place,
            params: params
                .zip(&mut known)
                .map(|(_, ty)| Param {
                    name: None,
                    ty,
                    is_keyword: false,
                    doc: super::signature::ParamDoc::default(),
                })
                .collect(),
            returns: declared.returns.as_ref()?.as_ref().ok()?.clone(),
            doc: super::signature::Doc::default(),
        })
    }

    /// Some of its types are known: whoever wrote them may miss it.
    fn warn_of_partial(&mut self, declared: &Declared) {
        let mut typed = declared.params.iter().filter(|param| param.ty.is_some());
        if typed.next().is_none() && declared.returns.is_none() {
            return;
        }
        let untyped = declared.params.iter().find(|param| param.ty.is_none());
        let what = match untyped.map(|param| param.name.as_deref().unwrap_or("_")) {
            Some(name) => format!("its parameter '{name}'"),
            None => "its result".to_string(),
        };
        let message = format!("'{}' is not exported: {what} has no type", declared.name);
        self.warn(Flaw::new(declared.place, declared.name.chars().count(), message));
    }

    /// The library, or all that is wrong with the file, from top to bottom.
    pub fn finish(mut self) -> Result<Library, Vec<Flaw>> {
        if self.is_loose {
            self.loosen();
        }
        self.library.mentions.sort_by_key(|mention| mention.place);
        self.library.warnings.sort_by_key(|flaw| flaw.place);
        if self.flaws.is_empty() {
            return Ok(self.library);
        }
        self.flaws.sort_by_key(|flaw| flaw.place);
        self.flaws.dedup();
        Err(self.flaws)
    }
}

impl Declared {
    /// What has no type that can be read is any JSON; what only the language itself can fill in, it fills in.
    fn loosen(&mut self) {
        let is_left_out = |param: &DeclaredParam| matches!(param.default, Default::Unknown);
        while self.params.last().is_some_and(is_left_out) {
            self.params.pop();
        }
        for param in &mut self.params {
            if let (Some(Ok(ty)), Default::Json(default)) = (&mut param.ty, &param.default)
                && default == "null"
                && !matches!(ty, Type::Optional(_))
            {
                *ty = Type::Optional(Box::new(ty.clone()));
            }
        }
        let json = || Some(Ok(Type::Base(Base::Json)));
        for ty in self
            .params
            .iter_mut()
            .map(|param| &mut param.ty)
            .chain([&mut self.returns])
        {
            if !matches!(ty, Some(Ok(_))) {
                *ty = json();
            }
        }
    }
}

impl Collector {
    /// Types that only the language itself knows are any JSON.
    fn loosen(&mut self) {
        let records = std::mem::take(&mut self.library.records);
        let is_strange = |ty: &Type| match ty {
            Type::Named(name) => !records.iter().any(|record| record.name == *name),
            Type::Variable(_) | Type::Function(..) | Type::Worker(..) => true,
            _ => false,
        };
        for function in &mut self.library.functions {
            let types = function.params.iter_mut().map(|param| &mut param.ty);
            for ty in types.chain([&mut function.returns]) {
                if ty.has(&is_strange) {
                    *ty = Type::Base(Base::Json);
                }
            }
        }
        let has_strange = |mention: &Mention| !records.iter().any(|record| record.name == mention.name);
        self.library.mentions.retain(|mention| !has_strange(mention));
        self.library.records = records;
    }
}

/// What is said about parameters as the fields of a record; those that nothing names are left out.
pub(super) fn describe_fields(fields: &mut [Field], said: &mut Said<'_>) {
    for field in fields {
        if let Some(position) = said.params.iter().position(|param| param.name == field.name) {
            field.doc = said.params.swap_remove(position).doc;
            trim(&mut field.doc.desc);
            field.doc.settle(&field.ty);
        }
    }
}

/// Takes away empty lines around a text and the second of two.
fn trim(lines: &mut Vec<String>) {
    while lines.last().is_some_and(String::is_empty) {
        lines.pop();
    }
    let mut is_after_empty = true;
    lines.retain(|line| {
        let is_kept = !(line.is_empty() && is_after_empty);
        is_after_empty = line.is_empty();
        is_kept
    });
}

/// The comment that may belong to what comes next: lines that touch each other.
#[derive(Default)]
pub(super) struct Pending<'a> {
    lines: Vec<Line<'a>>,
    /// The line after the last.
    end: u32,
}

impl<'a> Pending<'a> {
    /// A further comment; gives the lines before it, if it doesn't go on with them.
    pub fn add(&mut self, comment: &Token<'a>) -> Option<Vec<Line<'a>>> {
        let before = match comment.place.line > self.end {
            true => self.take(),
            false => None,
        };
        self.lines.extend(comment_lines(comment));
        self.end = comment.place.line + comment.text.matches('\n').count() as u32 + 1;
        before
    }

    /// The lines, whatever follows.
    pub fn take(&mut self) -> Option<Vec<Line<'a>>> {
        let lines = std::mem::take(&mut self.lines);
        (!lines.is_empty()).then_some(lines)
    }

    /// The lines that belong to what begins on that line: those that end above it, or that have a signature.
    pub fn above(&mut self, line: u32) -> (Vec<Line<'a>>, Option<Vec<Line<'a>>>) {
        let touches = self.end >= line;
        let lines = self.take().unwrap_or_default();
        match touches || comment::has_signature(&lines) {
            true => (lines, None),
            false => (Vec::new(), Some(lines)),
        }
    }
}
