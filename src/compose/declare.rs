//! What the declarations say: records and other names for types, and signatures, as types of the arena. Looks at no
//! expression.

use crate::codec::nearest::nearest;
use crate::compose::ast::Module;
use crate::compose::compile::Sourced;
use crate::compose::describe::describe;
use crate::compose::resolve::Function;
use crate::compose::types::{Kinds, Node, Scheme, Ty, Types};
use crate::limits::TYPE_DEPTH_MAX;
use crate::map::Map;
use crate::source::signature::{Flaw, Place, Record};
use crate::source::types::{Base, Type};

/// What a variable of a written type becomes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Variables {
    /// One that nobody may choose.
    Rigid,
    /// Something to be found out, at that level.
    Fresh(u32),
}

/// The names of types, and where they are known.
#[derive(Debug)]
pub struct Declarations<'m> {
    module: &'m Module,
    libraries: &'m [Sourced<'m>],
    /// The types that names of the composition stand for; none: it is being looked at.
    own: Map<&'m str, Option<Ty>>,
    /// The records of each library.
    sourced: Vec<Map<&'m str, Ty>>,
    /// The declarations of the records in the arena that have a name, by number.
    pub records: Map<u32, &'m Record>,
    /// Names for types that are being looked at, each for the one before.
    open: usize,
    /// What is wrong.
    pub flaws: Vec<Flaw>,
}

/// Where a type is written.
#[derive(Clone, Copy, Debug)]
pub struct Written {
    /// In that library; none: in the composition.
    pub library: Option<usize>,
    /// The place in the composition to complain of.
    pub place: Place,
    /// The length of what stands there.
    pub len: usize,
}

impl<'m> Declarations<'m> {
    /// Reads the records and aliases of a composition and of what it sources.
    pub fn new(module: &'m Module, libraries: &'m [Sourced<'m>], types: &mut Types) -> Declarations<'m> {
        let mut declarations = Declarations {
            module,
            libraries,
            own: Map::new(),
            sourced: vec![Map::new(); libraries.len()],
            records: Map::new(),
            open: 0,
            flaws: Vec::new(),
        };
        declarations.read(types);
        declarations
    }

    fn read(&mut self, types: &mut Types) {
        let (module, libraries) = (self.module, self.libraries);
        // Records first, without their fields, for they may name each other.
        let mut all: Vec<(u32, Written, &'m Record)> = Vec::new();
        for record in &module.records {
            let written = Written {
                library: None,
                place: record.place,
                len: record.name.chars().count(),
            };
            if self.own.contains(record.name.as_str()) || Base::from_name(&record.name).is_some() {
                let message = format!("record {} is the name of another type already", record.name);
                self.flaws.push(Flaw::new(record.place, written.len, message));
                continue;
            }
            let number = types.add_record(&record.name, Vec::new());
            let ty = types.add(Node::Record(number));
            self.own.insert(&record.name, Some(ty));
            all.push((number, written, record));
        }
        for source in &module.sources {
            let file = source.file.text.trim_start_matches("./");
            let found = libraries
                .iter()
                .position(|library| library.file.trim_start_matches("./") == file);
            let Some(library) = found.filter(|library| self.sourced[*library].is_empty()) else {
                continue;
            };
            for record in &libraries[library].library.records {
                let written = Written {
                    library: Some(library),
                    place: source.file.place,
                    len: source.file.text.chars().count(),
                };
                let same = all.iter().find(|(_, _, other)| other.name == record.name);
                if let Some((number, _, other)) = same {
                    if fields(other).ne(fields(record)) {
                        let file = libraries[library].file;
                        let message = format!(
                            "record {} of {file} has other fields than one declared elsewhere",
                            record.name
                        );
                        let hint = "give one of them another name, or all the same fields";
                        self.flaws
                            .push(Flaw::new(written.place, written.len, message).hint(hint));
                    }
                    let ty = types.add(Node::Record(*number));
                    self.sourced[library].insert(&record.name, ty);
                    continue;
                }
                let number = types.add_record(&record.name, Vec::new());
                let ty = types.add(Node::Record(number));
                self.sourced[library].insert(&record.name, ty);
                all.push((number, written, record));
            }
        }
        for alias in &module.aliases {
            let name = alias.name.text.as_str();
            let len = name.chars().count();
            if self.own.contains(name) || Base::from_name(name).is_some() {
                let message = format!("type {name} is the name of another type already");
                self.flaws.push(Flaw::new(alias.name.place, len, message));
            }
        }
        for alias in &module.aliases {
            self.alias(&alias.name.text, types);
        }
        for (number, written, record) in all {
            let mut fields = Vec::new();
            for field in &record.fields {
                let before = self.flaws.len();
                let ty = self.convert(&field.ty, written, Variables::Rigid, &mut Map::new(), types);
                let is_closed = !has(&field.ty, |ty| matches!(ty, Type::Variable(_)));
                if !is_closed && self.flaws.len() == before {
                    let message = format!(
                        "field {} of {} has the type {}, expected one without variables",
                        field.name, record.name, field.ty
                    );
                    self.flaws.push(Flaw::new(written.place, written.len, message));
                }
                fields.push((field.name.clone(), ty));
            }
            types.set_fields(number, fields);
            self.records.insert(number, record);
        }
    }

    /// What an alias stands for.
    fn alias(&mut self, name: &str, types: &mut Types) -> Option<Ty> {
        let alias = self.module.aliases.iter().find(|alias| alias.name.text == name)?;
        let written = Written {
            library: None,
            place: alias.name.place,
            len: name.chars().count(),
        };
        match self.own.get(name) {
            Some(Some(ty)) => return Some(*ty),
            Some(None) => {
                let message = format!("type {name} is defined by itself");
                let hint = "a record may contain itself, another name for a type may not";
                self.flaws
                    .push(Flaw::new(written.place, written.len, message).hint(hint));
                let ty = types.fresh(Kinds::ANY, 0);
                self.own.insert(&alias.name.text, Some(ty));
                return Some(ty);
            }
            None => {}
        }
        if self.open > TYPE_DEPTH_MAX {
            let message = format!("type {name} stands behind more than {TYPE_DEPTH_MAX} other names");
            self.flaws.push(Flaw::new(written.place, written.len, message));
            return Some(types.fresh(Kinds::ANY, 0));
        }
        self.own.insert(&alias.name.text, None);
        self.open += 1;
        if has(&alias.ty, |ty| matches!(ty, Type::Variable(_))) {
            let message = format!(
                "type {name} stands for {}, expected a type without variables",
                alias.ty
            );
            self.flaws.push(Flaw::new(written.place, written.len, message));
        }
        let ty = self.convert(&alias.ty, written, Variables::Fresh(0), &mut Map::new(), types);
        self.open -= 1;
        self.own.insert(&alias.name.text, Some(ty));
        Some(ty)
    }

    /// A written type in the arena.
    pub fn convert(
        &mut self,
        ty: &Type,
        written: Written,
        variables: Variables,
        known: &mut Map<String, Ty>,
        types: &mut Types,
    ) -> Ty {
        let mut convert = |ty: &Type, types: &mut Types| self.convert(ty, written, variables, known, types);
        match ty {
            Type::Base(base) => types.base(*base),
            Type::Variable(name) => match known.get(name) {
                Some(ty) => *ty,
                None => {
                    let ty = match variables {
                        Variables::Rigid => types.rigid(name),
                        Variables::Fresh(level) => types.fresh(Kinds::ANY, level),
                    };
                    known.insert(name.clone(), ty);
                    ty
                }
            },
            Type::Named(name) => self.named(name, written, types),
            Type::List(inner) => {
                let inner = convert(inner, types);
                types.add(Node::List(inner))
            }
            Type::Optional(inner) => {
                let inner = convert(inner, types);
                match types.node(inner) {
                    // Null is null, however often it may be.
                    Node::Optional(_) => inner,
                    _ => types.add(Node::Optional(inner)),
                }
            }
            Type::Tuple(parts) => {
                let parts: Vec<Ty> = parts.iter().map(|part| convert(part, types)).collect();
                types.tuple(&parts)
            }
            Type::Function(params, result) => {
                let params: Vec<Ty> = params.iter().map(|param| convert(param, types)).collect();
                let result = convert(result, types);
                types.function(&params, result)
            }
            Type::Worker(from, to) => {
                let (from, to) = (convert(from, types), convert(to, types));
                types.add(Node::Worker(from, to))
            }
        }
    }

    fn named(&mut self, name: &str, written: Written, types: &mut Types) -> Ty {
        if let Some(ty) = written
            .library
            .and_then(|library| self.sourced[library].get(name))
        {
            return *ty;
        }
        if let Some(Some(ty)) = self.own.get(name) {
            return *ty;
        }
        if let Some(ty) = self.alias(name, types) {
            return ty;
        }
        if let Some(ty) = self.sourced.iter().find_map(|records| records.get(name)) {
            return *ty;
        }
        let mut known: Vec<&str> = Base::names().collect();
        known.extend(self.own.keys());
        known.extend(self.sourced.iter().flat_map(|records| records.keys()));
        let hint = match nearest(name, known) {
            Some(near) => format!("did you mean {near}?"),
            None => format!("declare it: record {name} = {name} {{ field :: Real }}"),
        };
        let file = written.library.map(|library| self.libraries[library].file);
        let message = match file {
            Some(file) => format!("{file} names a type {name}, which is not known"),
            None => format!("{name} is no known type"),
        };
        self.flaws
            .push(Flaw::new(written.place, written.len, message).hint(hint));
        types.fresh(Kinds::ANY, 0)
    }

    /// The type that a composition declares for a name, with its variables.
    pub fn signature(&mut self, name: &str, types: &mut Types) -> Option<(Scheme, Map<String, Ty>)> {
        let declared = self
            .module
            .signatures
            .iter()
            .find(|signature| signature.name.text == name)?;
        let written = Written {
            library: None,
            place: declared.name.place,
            len: name.chars().count(),
        };
        let mut known = Map::new();
        let params = declared.params.iter();
        let params: Vec<Ty> = params
            .map(|param| self.convert(&param.ty, written, Variables::Rigid, &mut known, types))
            .collect();
        let result = self.convert(&declared.returns, written, Variables::Rigid, &mut known, types);
        let ty = types.function(&params, result);
        let vars = known.values().copied().collect();
        Some((Scheme { vars, ty }, known))
    }

    /// The type of a function from a source, as its file or the composition says, or both.
    pub fn function(&mut self, function: &Function<'_>, types: &mut Types) -> Scheme {
        let name = function.here;
        let declared = self.signature(&name.text, types);
        let written = Written {
            library: Some(function.library),
            place: name.place,
            len: name.text.chars().count(),
        };
        let Some(signature) = function.signature else {
            return match declared {
                Some((scheme, _)) => scheme,
                None => {
                    let (name, there, file) = (&name.text, &function.there.text, function.file);
                    let message = format!("{there} has no signature, neither in {file} nor here");
                    let known = self.libraries[function.library].library.functions.iter();
                    let hint = match nearest(there, known.map(|known| known.name.as_str())) {
                        Some(near) => format!("did you mean {near}?"),
                        None => format!("write one here: {name} :: Real -> Real"),
                    };
                    self.flaws
                        .push(Flaw::new(written.place, written.len, message).hint(hint));
                    let ty = types.fresh(Kinds::ANY, 0);
                    Scheme { vars: Vec::new(), ty }
                }
            };
        };
        let variables = match declared {
            Some(_) => Variables::Fresh(0),
            None => Variables::Rigid,
        };
        let mut known = Map::new();
        let params = signature.params.iter();
        let params: Vec<Ty> = params
            .map(|param| self.convert(&param.ty, written, variables, &mut known, types))
            .collect();
        let result = self.convert(&signature.returns, written, variables, &mut known, types);
        let ty = types.function(&params, result);
        let Some((scheme, _)) = declared else {
            let vars = known.values().copied().collect();
            return Scheme { vars, ty };
        };
        let there = describe(types, ty);
        if types.unify(ty, scheme.ty).is_err() {
            let here = describe(types, scheme.ty);
            let (name, file) = (&name.text, function.file);
            let message = format!("{name} is {here} here, but {there} in {file}");
            let declared = self
                .module
                .signatures
                .iter()
                .find(|signature| signature.name.text == *name);
            let place = declared.map_or(written.place, |declared| declared.name.place);
            let hint = "leave out the signature here, or correct one of the two";
            self.flaws.push(Flaw::new(place, written.len, message).hint(hint));
        }
        scheme
    }

    /// How many arguments a function from a source is called with.
    pub fn arity(&self, function: &Function<'_>) -> usize {
        let declared = self.module.signatures.iter();
        match function.signature {
            Some(signature) => signature.params.len(),
            None => declared
                .filter(|declared| declared.name.text == function.here.text)
                .map(|declared| declared.params.len())
                .next()
                .unwrap_or(0),
        }
    }
}

fn fields(record: &Record) -> impl Iterator<Item = (&str, &Type)> {
    record.fields.iter().map(|field| (field.name.as_str(), &field.ty))
}

/// Whether a type has a part of that sort.
pub fn has(ty: &Type, is_meant: fn(&Type) -> bool) -> bool {
    if is_meant(ty) {
        return true;
    }
    match ty {
        Type::Base(_) | Type::Variable(_) | Type::Named(_) => false,
        Type::List(inner) | Type::Optional(inner) => has(inner, is_meant),
        Type::Tuple(parts) => parts.iter().any(|part| has(part, is_meant)),
        Type::Function(params, result) => {
            params.iter().any(|param| has(param, is_meant)) || has(result, is_meant)
        }
        Type::Worker(from, to) => has(from, is_meant) || has(to, is_meant),
    }
}
