//! The definitions of a module in their order, each checked against its signature or given the most general type.

use crate::compose::ast::{Definition, Module, Node as Tree, NodeId};
use crate::compose::builtins;
use crate::compose::compile::Sourced;
use crate::compose::declare::{Declarations, Variables, Written};
use crate::compose::describe::describe;
use crate::compose::infer::complain::Why;
use crate::compose::infer::pattern::Pending;
use crate::compose::infer::pipe::Stage;
use crate::compose::resolve::{Names, Target};
use crate::compose::types::{GENERIC, Kinds, Mismatch, Node, Scheme, Ty, Types};
use crate::limits::FLAWS_MAX;
use crate::map::Map;
use crate::source::notation::parse_type;
use crate::source::signature::{Flaw, Place, Record};
use crate::source::types::Base;

/// What is known of all expressions.
#[derive(Debug)]
pub struct Inferred<'m> {
    /// The arena.
    pub types: Types,
    /// The type of every expression, without the optional that it may be wrapped in.
    pub nodes: Vec<Ty>,
    /// Expressions that stand where an optional is expected: that optional.
    pub wraps: Map<NodeId, Ty>,
    /// What stands for the variables of its scheme where a name is used.
    pub uses: Map<NodeId, Vec<Ty>>,
    /// The schemes of local names, in the order of [`Names::locals`].
    pub locals: Vec<Scheme>,
    /// Of definitions.
    pub definitions: Vec<Scheme>,
    /// Of functions from sources.
    pub functions: Vec<Scheme>,
    /// How many arguments those are called with.
    pub arities: Vec<usize>,
    /// What the right side of every `|>` does.
    pub stages: Map<NodeId, Stage>,
    /// Declared records, by their number in the arena.
    pub records: Map<u32, &'m Record>,
}

/// Finds the types of all expressions.
///
/// # Errors
/// All that is wrong.
pub fn infer<'m>(
    module: &'m Module,
    libraries: &'m [Sourced<'m>],
    names: &Names<'m>,
) -> Result<(Inferred<'m>, Vec<Flaw>), Vec<Flaw>> {
    let mut types = Types::default();
    let mut declarations = Declarations::new(module, libraries, &mut types);
    let mut functions = Vec::new();
    let mut arities = Vec::new();
    for function in &names.functions {
        functions.push(declarations.function(function, &mut types));
        arities.push(declarations.arity(function));
    }
    let nothing = types.base(Base::Unit);
    let unknown = Scheme {
        vars: Vec::new(),
        ty: nothing,
    };
    let mut infer = Infer {
        module,
        names,
        declarations,
        inferred: Inferred {
            nodes: vec![nothing; module.nodes.len()],
            wraps: Map::new(),
            uses: Map::new(),
            locals: vec![unknown.clone(); names.locals.len()],
            definitions: vec![unknown; module.definitions.len()],
            functions,
            arities,
            stages: Map::new(),
            records: Map::new(),
            types,
        },
        builtins: Map::new(),
        pending: Vec::new(),
        middles: Vec::new(),
        programs: Vec::new(),
        scoped: Map::new(),
        within: Vec::new(),
        level: 1,
        flaws: Vec::new(),
        warnings: Vec::new(),
    };
    for definition in &names.order {
        infer.definition(*definition);
        if infer.inferred.types.is_exhausted() {
            break;
        }
    }
    infer.finish()
}

pub(super) struct Infer<'m, 'n> {
    pub module: &'m Module,
    pub names: &'n Names<'m>,
    pub declarations: Declarations<'m>,
    pub inferred: Inferred<'m>,
    builtins: Map<usize, Scheme>,
    /// Getters and setters of values that are not known yet.
    pub pending: Vec<Pending>,
    /// What passes between two programs of the system: bytes, if nothing else is said.
    pub middles: Vec<Ty>,
    /// Programs of the system, as functions: what is only known to be a list is one of lines.
    pub programs: Vec<Ty>,
    /// The variables of the signature around this place.
    pub scoped: Map<String, Ty>,
    /// The applications around this place: function and position of the argument.
    pub within: Vec<(NodeId, usize)>,
    /// How many definitions are around this place.
    pub level: u32,
    pub flaws: Vec<Flaw>,
    pub warnings: Vec<Flaw>,
}

impl<'m> Infer<'m, '_> {
    pub fn fresh(&mut self, kinds: Kinds) -> Ty {
        let level = self.level;
        self.inferred.types.fresh(kinds, level)
    }

    fn definition(&mut self, position: usize) {
        let definition = &self.module.definitions[position];
        let declared = self
            .declarations
            .signature(&definition.name.text, &mut self.inferred.types);
        let scheme = match declared {
            Some((scheme, known)) => {
                self.scoped = known;
                self.against(definition, &scheme);
                self.scoped.clear();
                scheme
            }
            None => {
                let ty = self.value(definition);
                self.settle_patterns(0);
                self.general(ty, 0, definition.name.place)
            }
        };
        self.inferred.definitions[position] = scheme;
    }

    /// The scheme of a type at that level.
    pub fn general(&mut self, ty: Ty, level: u32, place: Place) -> Scheme {
        match self.inferred.types.generalize(ty, level) {
            Ok(scheme) => scheme,
            Err(_) => {
                self.exhausted(place);
                Scheme { vars: Vec::new(), ty }
            }
        }
    }

    /// Checks a definition against its signature.
    fn against(&mut self, definition: &'m Definition, scheme: &Scheme) {
        let count = definition.params.len();
        let (params, result) = self.inferred.types.parameters(scheme.ty, count);
        if params.len() < count {
            let (name, found) = (&definition.name, params.len());
            let signature = describe(&mut self.inferred.types, scheme.ty);
            let message = format!(
                "{} is defined with {count} parameters, its signature has {found}",
                name.text
            );
            let flaw = Flaw::new(
                definition.params[found].place,
                definition.params[found].text.len(),
                message,
            );
            self.complain(flaw.hint(format!("{} :: {signature}", name.text)));
        }
        self.bind_params(definition, &params);
        self.check(definition.body, result, Why::Signature(definition.name.place));
    }

    /// Gives the parameters of a definition their types; new ones for those that are missing.
    fn bind_params(&mut self, definition: &'m Definition, types: &[Ty]) -> Vec<Ty> {
        let first = self.names.params.get(&definition.body).copied().unwrap_or(0);
        let mut params = Vec::new();
        for position in 0..definition.params.len() {
            let ty = match types.get(position) {
                Some(ty) => *ty,
                None => self.fresh(Kinds::ANY),
            };
            self.bind(first + position, ty);
            params.push(ty);
        }
        params
    }

    /// Gives a local name a type that is the same at every use.
    pub fn bind(&mut self, local: usize, ty: Ty) {
        if let Some(scheme) = self.inferred.locals.get_mut(local) {
            *scheme = Scheme { vars: Vec::new(), ty };
        }
    }

    /// The type of a definition without signature.
    pub fn value(&mut self, definition: &'m Definition) -> Ty {
        let params = self.bind_params(definition, &[]);
        let body = self.infer(definition.body);
        self.inferred.types.function(&params, body)
    }

    /// Whether evaluating it does nothing, so that it can stand for a value at every use anew.
    pub fn is_value(&self, id: NodeId) -> bool {
        match self.module.nodes.node(id) {
            Tree::Null | Tree::Bool(_) | Tree::Int(_) | Tree::Real(_) | Tree::Str(_) => true,
            Tree::Lambda(..) => true,
            Tree::Name(_) => match self.names.targets[id.0 as usize] {
                Target::Definition(definition) => !self.module.definitions[definition].params.is_empty(),
                Target::Function(function) => self.inferred.arities[function] > 0,
                _ => true,
            },
            Tree::Pattern(branches) => branches.iter().all(|branch| branch.value.is_none()),
            Tree::Typed(inner, _) => self.is_value(*inner),
            Tree::Binary(crate::compose::ast::Op::Compose, left, right) => {
                self.is_value(*left) && self.is_value(*right)
            }
            _ => false,
        }
    }

    /// The scheme of a name.
    pub fn scheme(&mut self, target: Target) -> Option<Scheme> {
        match target {
            Target::Unknown => None,
            Target::Local(local) => self.inferred.locals.get(local).cloned(),
            Target::Definition(definition) => Some(self.inferred.definitions[definition].clone()),
            Target::Function(function) => Some(self.inferred.functions[function].clone()),
            Target::Builtin(builtin) => Some(self.builtin(builtin)),
        }
    }

    fn builtin(&mut self, builtin: usize) -> Scheme {
        if let Some(scheme) = self.builtins.get(&builtin) {
            return scheme.clone();
        }
        let mut known = Map::new();
        let text = builtins::ALL[builtin].ty;
        let ty = self.written(text, &mut known);
        let vars = known.values().copied().collect();
        let scheme = Scheme { vars, ty };
        self.builtins.insert(builtin, scheme.clone());
        scheme
    }

    /// A type of our own tables.
    pub fn written(&mut self, text: &str, known: &mut Map<String, Ty>) -> Ty {
        let written = Written {
            library: None,
            place: Place::default(),
            len: 1,
        };
        match parse_type(text, Place::default(), &mut Vec::new()) {
            Ok(ty) => {
                self.declarations
                    .convert(&ty, written, Variables::Rigid, known, &mut self.inferred.types)
            }
            Err(_) => self.fresh(Kinds::ANY),
        }
    }

    pub fn complain(&mut self, flaw: Flaw) {
        if self.flaws.len() < FLAWS_MAX {
            self.flaws.push(flaw);
        }
    }

    pub fn exhausted(&mut self, place: Place) {
        let message = "types here are too large or too many to check";
        let flaw = Flaw::new(place, 1, message).hint("write signatures, and name parts of it");
        if !self.flaws.iter().any(|flaw| flaw.message == message) {
            self.complain(flaw);
        }
    }

    /// Makes a type that is still open a base type, if it may become that.
    fn default(&mut self, ty: Ty, base: Base) {
        let types = &mut self.inferred.types;
        if let Node::Variable { level, .. } = types.node(ty)
            && level != GENERIC
        {
            let base = types.base(base);
            // What it can't become is complained of where its type is needed.
            let _: Result<(), Mismatch> = types.unify(ty, base);
        }
    }

    fn finish(mut self) -> Result<(Inferred<'m>, Vec<Flaw>), Vec<Flaw>> {
        self.settle_patterns(0);
        self.complain_of_pending();
        for middle in std::mem::take(&mut self.middles) {
            self.default(middle, Base::Bytes);
        }
        for program in std::mem::take(&mut self.programs) {
            let (mut ends, result) = self.inferred.types.parameters(program, 1);
            ends.push(result);
            for end in ends {
                if let Node::List(element) = self.inferred.types.node(end) {
                    self.default(element, Base::Str);
                }
            }
        }
        if self.inferred.types.is_exhausted() {
            self.exhausted(Place { line: 1, column: 1 });
        }
        let mut flaws = std::mem::take(&mut self.declarations.flaws);
        flaws.append(&mut self.flaws);
        if !flaws.is_empty() {
            return Err(flaws);
        }
        self.inferred.records = self.declarations.records;
        Ok((self.inferred, self.warnings))
    }
}
