//! The program around its expressions: which instances there are of definitions and of functions from sources, and how a
//! command is put together from them.

use crate::compose::ast::{Module, NodeId};
use crate::compose::compiled::{Command, Compiled, Instance, Pool};
use crate::compose::concrete::{Choice, Concrete, ConcreteId, Concretes, Unsettled};
use crate::compose::infer::Inferred;
use crate::compose::lower::json::Json;
use crate::compose::resolve::{Effects, LANGS, Names, Target};
use crate::compose::types::{Ty, called};
use crate::limits::{COMPOSE_BYTES_MAX, FLAWS_MAX};
use crate::map::Map;
use crate::source::signature::{Flaw, Param, Place};
use crate::source::types::{Base, Type};

/// Writes the commands of a module that was checked; `file` is its name, for traces.
///
/// # Errors
/// What only shows at concrete types: a type that nothing determines, a literal that doesn't fit, a command that can't be
/// called.
pub fn lower<'m>(
    file: &'m str,
    module: &'m Module,
    names: &'m Names<'m>,
    inferred: Inferred<'m>,
) -> Result<Compiled, Vec<Flaw>> {
    let mut effects = Effects::NONE;
    for export in &module.exports {
        effects = effects.and(match names.globals.get(export.text.as_str()) {
            Some(Target::Definition(definition)) => names.meanings[*definition],
            Some(Target::Function(function)) => Effects::calls(names.functions[*function].lang),
            _ => Effects::NONE,
        });
    }
    let mut lower = Lower {
        file,
        module,
        names,
        inferred,
        concretes: Concretes::default(),
        langs: effects.langs().collect(),
        at_once: [1; LANGS.len()],
        choice: Choice::new(),
        bodies: Vec::new(),
        known_bodies: Map::new(),
        instances: Vec::new(),
        known_instances: Map::new(),
        workers: Vec::new(),
        requests: Map::new(),
        current: Current::default(),
        written: 0,
        variables: 0,
        open: Vec::new(),
        flaws: Vec::new(),
        warnings: Vec::new(),
    };
    let commands = lower.commands();
    lower.finish(commands)
}

/// A definition at concrete types, written.
#[derive(Debug, Default)]
pub(super) struct Body {
    pub definition: usize,
    pub choice: Vec<ConcreteId>,
    /// The variable that it is bound to.
    pub name: String,
    /// The value. If `by_name`, what gives the value anew at every use.
    pub text: String,
    /// Nothing but evaluating it gives the value.
    pub by_name: bool,
    /// Other bodies that it mentions.
    pub needs: Vec<usize>,
    /// It does what only composed commands do.
    pub waits: bool,
    /// Positions in [`LANGS`] of the pools that it calls.
    pub langs: Vec<usize>,
    /// One more than the highest level of those it mentions.
    pub level: usize,
}

/// What is being written.
#[derive(Debug, Default)]
pub(super) struct Current {
    pub out: Json,
    pub needs: Vec<usize>,
    pub waits: bool,
    pub langs: Vec<usize>,
    /// The definition.
    pub definition: usize,
}

/// A command that an expression starts as a worker.
#[derive(Debug)]
pub(super) struct Worker {
    pub target: Target,
    pub choice: Vec<ConcreteId>,
    pub name: String,
    pub place: Place,
    /// It is one of the exports.
    pub is_exported: bool,
}

pub(super) struct Lower<'m> {
    pub file: &'m str,
    pub module: &'m Module,
    pub names: &'m Names<'m>,
    pub inferred: Inferred<'m>,
    pub concretes: Concretes,
    /// The pools, as positions in [`LANGS`].
    pub langs: Vec<usize>,
    pub at_once: [u32; LANGS.len()],
    /// What the variables of the schemes around this place stand for.
    pub choice: Choice,
    pub bodies: Vec<Body>,
    known_bodies: Map<(usize, Vec<ConcreteId>), usize>,
    pub instances: Vec<Instance>,
    known_instances: Map<(usize, Vec<ConcreteId>), usize>,
    pub workers: Vec<Worker>,
    /// Of local functions that are used at several types: the types, and the variable for each.
    pub requests: Map<usize, Vec<(Vec<ConcreteId>, String)>>,
    pub current: Current,
    /// Bytes of all bodies that are done.
    pub written: usize,
    variables: usize,
    /// Definitions in which something has no known type.
    open: Vec<usize>,
    pub flaws: Vec<Flaw>,
    pub warnings: Vec<Flaw>,
}

impl<'m> Lower<'m> {
    /// The concrete type of an inferred one at this place.
    pub fn settle(&mut self, ty: Ty, place: Place, len: usize) -> ConcreteId {
        match self.concretes.settle(&mut self.inferred.types, ty, &self.choice) {
            Ok(id) => id,
            Err(unsettled) => {
                self.unsettled(unsettled, place, len);
                self.concretes.base(Base::Unit)
            }
        }
    }

    pub fn unsettled(&mut self, unsettled: Unsettled, place: Place, len: usize) {
        if let Unsettled::Open(_) = unsettled {
            // One of a definition will do: all others come from it.
            let definition = self.current.definition;
            if self.open.contains(&definition) {
                return;
            }
            self.open.push(definition);
        }
        let (message, hint) = match unsettled {
            Unsettled::Open(kinds) => {
                let message = match called(kinds) {
                    "another type" => "nothing says which type this has".to_string(),
                    known => format!("nothing says which type this has, only that it is {known}"),
                };
                (
                    message,
                    "write its type behind it, as in (read text :: [Real]), or a signature",
                )
            }
            Unsettled::TooLarge => (
                "the type of this is too large".into(),
                "give parts of it names of their own",
            ),
        };
        self.complain(Flaw::new(place, len, message).hint(hint));
    }

    pub fn complain(&mut self, flaw: Flaw) {
        let is_known = self.flaws.iter().any(|known| known.place == flaw.place);
        if self.flaws.len() < FLAWS_MAX && !is_known {
            self.flaws.push(flaw);
        }
    }

    /// The type of an expression, without the optional that it may be wrapped in.
    pub fn ty(&mut self, id: NodeId) -> ConcreteId {
        let ty = self.inferred.nodes[id.0 as usize];
        self.settle(ty, self.module.nodes.place(id), 1)
    }

    pub fn schema(&mut self, id: ConcreteId, place: Place) -> String {
        match self.concretes.schema(&mut self.inferred.types, id) {
            Ok(schema) => schema,
            Err(unsettled) => {
                self.unsettled(unsettled, place, 1);
                "z".into()
            }
        }
    }

    /// What stands for the variables of a name at a use.
    pub fn chosen(&mut self, id: NodeId) -> Vec<ConcreteId> {
        let place = self.module.nodes.place(id);
        let vars = self.inferred.uses.get(&id).cloned().unwrap_or_default();
        vars.into_iter().map(|var| self.settle(var, place, 1)).collect()
    }

    /// Whether so much has been written that it ends here.
    pub fn is_full(&mut self) -> bool {
        let is_full = self.written + self.current.out.len() > COMPOSE_BYTES_MAX;
        if is_full
            && !self
                .flaws
                .iter()
                .any(|flaw| flaw.message.starts_with("expressions "))
        {
            let message = format!("expressions need more than {} MiB", COMPOSE_BYTES_MAX >> 20);
            let hint = "functions that are used at very many types are written once for each";
            self.flaws
                .push(Flaw::new(Place { line: 1, column: 1 }, 1, message).hint(hint));
        }
        is_full || self.inferred.types.is_exhausted()
    }

    /// A variable that nobody can have written.
    pub fn variable(&mut self) -> String {
        self.variables += 1;
        format!(".{}", self.variables)
    }

    /// The body of a definition at those types; it is written later.
    pub fn body(&mut self, definition: usize, choice: Vec<ConcreteId>) -> usize {
        let key = (definition, choice);
        if let Some(body) = self.known_bodies.get(&key) {
            return *body;
        }
        let position = self.bodies.len();
        let name = &self.module.definitions[definition].name.text;
        let same = self.known_bodies.keys().filter(|(known, _)| *known == definition);
        let name = match same.count() {
            0 => name.clone(),
            before => format!("{name}~{}", before + 1),
        };
        self.bodies.push(Body {
            definition,
            choice: key.1.clone(),
            name,
            by_name: self.is_by_name(definition),
            ..Body::default()
        });
        self.known_bodies.insert(key, position);
        position
    }

    /// Writes all bodies that have been asked for.
    pub fn write_bodies(&mut self, from: usize) {
        let mut position = from;
        while position < self.bodies.len() && !self.is_full() {
            let (definition, choice) = (
                self.bodies[position].definition,
                self.bodies[position].choice.clone(),
            );
            let vars = self.inferred.definitions[definition].vars.clone();
            self.choice.clear();
            for (var, id) in vars.into_iter().zip(choice) {
                let root = self.inferred.types.root(var);
                self.choice.insert(root, id);
            }
            self.current = Current {
                definition,
                ..Current::default()
            };
            self.definition(definition);
            let current = std::mem::take(&mut self.current);
            self.written += current.out.len();
            let body = &mut self.bodies[position];
            body.text = current.out.text();
            body.needs = current.needs;
            body.waits = current.waits;
            body.langs = current.langs;
            position += 1;
        }
    }

    /// A function from a source at those types.
    pub fn instance(&mut self, function: usize, choice: Vec<ConcreteId>, place: Place) -> usize {
        let key = (function, choice);
        if let Some(instance) = self.known_instances.get(&key) {
            return *instance;
        }
        let scheme = self.inferred.functions[function].clone();
        let mut own = Choice::new();
        for (var, id) in scheme.vars.iter().zip(&key.1) {
            own.insert(self.inferred.types.root(*var), *id);
        }
        let len = self.names.functions[function].here.text.chars().count();
        let whole = match self.concretes.settle(&mut self.inferred.types, scheme.ty, &own) {
            Ok(whole) => whole,
            Err(unsettled) => {
                self.unsettled(unsettled, place, len);
                self.concretes.base(Base::Unit)
            }
        };
        let arity = self.inferred.arities[function];
        let (params, returns) = self.take(whole, arity);
        let arg_schemas: Vec<String> = params.iter().map(|param| self.schema(*param, place)).collect();
        let return_schema = self.schema(returns, place);
        // Types whose schemas are too long are not written out.
        let is_writable = self.flaws.is_empty();
        let described = self.params(function);
        let mut written = Vec::new();
        for (position, ty) in params.into_iter().enumerate() {
            let mut param = described.get(position).cloned().unwrap_or_else(nameless);
            if is_writable {
                param.ty = self.concretes.written(&self.inferred.types, ty);
            }
            written.push(param);
        }
        let returns = match is_writable {
            true => self.concretes.written(&self.inferred.types, returns),
            false => Type::Base(Base::Unit),
        };
        let source = &self.names.functions[function];
        let pool = self
            .langs
            .iter()
            .position(|lang| *lang == source.lang)
            .unwrap_or(0);
        let before = self
            .instances
            .iter()
            .filter(|instance| instance.pool == pool)
            .count();
        self.instances.push(Instance {
            pool,
            mid: before as u32 + 1,
            file: source.file.into(),
            function: source.there.text.clone(),
            params: written,
            returns,
            arg_schemas,
            return_schema,
        });
        self.known_instances.insert(key, self.instances.len() - 1);
        self.instances.len() - 1
    }

    /// What is said of the parameters of a function from a source.
    pub fn params(&self, function: usize) -> Vec<Param> {
        let function = &self.names.functions[function];
        if let Some(signature) = function.signature {
            return signature.params.clone();
        }
        let mut declared = self.module.signatures.iter();
        let declared = declared.find(|declared| declared.name.text == function.here.text);
        declared.map_or_else(Vec::new, |declared| declared.params.clone())
    }

    /// Splits a function into so many parameters and what it then gives.
    pub fn take(&self, id: ConcreteId, count: usize) -> (Vec<ConcreteId>, ConcreteId) {
        let (mut params, mut rest) = (Vec::new(), id);
        while params.len() < count
            && let Concrete::Arrow(param, result) = self.concretes.node(rest)
        {
            params.push(*param);
            rest = *result;
        }
        (params, rest)
    }

    /// Whether a type holds something that is no data.
    pub fn is_data(&self, id: ConcreteId) -> bool {
        let strange = |node: &Concrete| matches!(node, Concrete::Arrow(..) | Concrete::Worker(..));
        !self.concretes.holds(id, strange)
    }

    fn finish(mut self, commands: Vec<Command>) -> Result<Compiled, Vec<Flaw>> {
        if !self.flaws.is_empty() {
            return Err(self.flaws);
        }
        let records = self.records(&commands);
        let pool = |lang: &usize| Pool {
            lang: LANGS[*lang].into(),
            at_once: self.at_once[*lang],
        };
        Ok(Compiled {
            name: self
                .module
                .name
                .as_ref()
                .map_or_else(String::new, |name| name.text.clone()),
            desc: self.module.doc.clone(),
            pools: self.langs.iter().map(pool).collect(),
            instances: self.instances,
            commands,
            records,
            warnings: self.warnings,
        })
    }
}

/// A parameter of which nothing is said.
pub(super) fn nameless() -> Param {
    Param {
        name: None,
        ty: Type::Base(Base::Unit),
        is_keyword: false,
        doc: crate::source::signature::ParamDoc::default(),
    }
}
