//! Names: what each stands for, in which order definitions can be read, and what using an expression means (which pools it
//! calls, whether it talks to workers). Knows no types.

use crate::codec::nearest::nearest;
use crate::compose::ast::{Definition, Module, Name, Node, NodeId};
use crate::compose::builtins;
use crate::compose::compile::Sourced;
use crate::limits::COMPOSITION_DEPTH_MAX;
use crate::map::Map;
use crate::source::signature::{Flaw, Place, Signature};

/// What using an expression means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Effects(u16);

impl Effects {
    /// It neither calls a pool nor talks to workers.
    pub const NONE: Effects = Effects(0);
    /// It talks to workers.
    pub const WORKS: Effects = Effects(1 << 8);

    /// It calls the pool of [`LANGS`] at that position.
    pub fn calls(lang: usize) -> Effects {
        Effects(1 << lang)
    }

    /// Both.
    pub fn and(self, other: Effects) -> Effects {
        Effects(self.0 | other.0)
    }

    /// Whether it talks to workers.
    pub fn works(self) -> bool {
        self.0 & Effects::WORKS.0 != 0
    }

    /// The pools it calls, as positions in [`LANGS`].
    pub fn langs(self) -> impl Iterator<Item = usize> {
        (0..LANGS.len()).filter(move |lang| self.0 & (1 << lang) != 0)
    }
}

/// The languages that sources may be of, in the order of the pools.
pub const LANGS: [&str; 4] = ["cpp", "js", "py", "r"];

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// Nothing that is known: a flaw was noted. Also of expressions that are no names.
    Unknown,
    /// Of [`builtins::ALL`].
    Builtin(usize),
    /// Of [`Names::functions`].
    Function(usize),
    /// Of the module's definitions.
    Definition(usize),
    /// Of [`Names::locals`].
    Local(usize),
}

/// A function from a source file.
#[derive(Debug)]
pub struct Function<'m> {
    /// Position in [`LANGS`].
    pub lang: usize,
    /// Its file.
    pub file: &'m str,
    /// Which of the libraries that is.
    pub library: usize,
    /// Its name there.
    pub there: &'m Name,
    /// Its name here.
    pub here: &'m Name,
    /// What the file says of it.
    pub signature: Option<&'m Signature>,
}

/// A parameter, or a definition inside an expression.
#[derive(Debug)]
pub struct Local<'m> {
    /// Its name.
    pub name: &'m str,
    /// What using it means: of a parameter nothing that is known.
    pub effects: Effects,
}

/// All names of a module.
#[derive(Debug, Default)]
pub struct Names<'m> {
    /// What each expression that is a name stands for.
    pub targets: Vec<Target>,
    /// What each expression means.
    pub effects: Vec<Effects>,
    /// Of a lambda its first parameter, of a `let` its first definition, in `locals`.
    pub firsts: Map<NodeId, usize>,
    /// Of a definition, by its body, its first parameter.
    pub params: Map<NodeId, usize>,
    /// All local names.
    pub locals: Vec<Local<'m>>,
    /// Functions from sources.
    pub functions: Vec<Function<'m>>,
    /// The definitions, each after those it mentions.
    pub order: Vec<usize>,
    /// What using each definition means.
    pub meanings: Vec<Effects>,
    /// Names of the module.
    pub globals: Map<&'m str, Target>,
    /// What is wrong.
    pub flaws: Vec<Flaw>,
    /// What is hardly meant.
    pub warnings: Vec<Flaw>,
}

/// A flaw of a name.
pub fn flaw(name: &Name, message: String) -> Flaw {
    Flaw::new(name.place, name.text.chars().count(), message)
}

/// Finds out what all names of a module stand for.
pub fn resolve<'m>(module: &'m Module, libraries: &'m [Sourced<'m>]) -> Names<'m> {
    let mut names = Names {
        targets: vec![Target::Unknown; module.nodes.len()],
        effects: vec![Effects::NONE; module.nodes.len()],
        meanings: vec![Effects::NONE; module.definitions.len()],
        ..Names::default()
    };
    if let Some(place) = too_deep(module) {
        let message = format!("expression nests deeper than {COMPOSITION_DEPTH_MAX} levels");
        let hint = "give parts of it names of their own";
        names.flaws.push(Flaw::new(place, 1, message).hint(hint));
        return names;
    }
    names.collect(module, libraries);
    let mut mentions = Vec::new();
    for definition in &module.definitions {
        let mut scope = Scope {
            module,
            names: &mut names,
            bound: Map::new(),
            mentions: Vec::new(),
            defining: vec![&definition.name.text],
            later: Vec::new(),
        };
        scope.definition(definition);
        mentions.push(scope.mentions);
    }
    names.sort(module, &mentions);
    if names.flaws.is_empty() {
        for position in names.order.clone() {
            let definition = &module.definitions[position];
            names.meanings[position] = names.meaning(module, definition.body);
        }
        names.check_exports(module, &mentions);
    }
    names
}

/// Where an expression stands that nests too deep.
fn too_deep(module: &Module) -> Option<Place> {
    let mut depths: Vec<usize> = Vec::with_capacity(module.nodes.len());
    for position in 0..module.nodes.len() {
        let id = NodeId(position as u32);
        let mut depth = 0;
        module.nodes.node(id).children(&mut |child| {
            // What stands after its parent would be a tree without end.
            depth = depths
                .get(child.0 as usize)
                .map_or(usize::MAX, |below| depth.max(below + 1));
        });
        if depth > COMPOSITION_DEPTH_MAX {
            return Some(module.nodes.place(id));
        }
        depths.push(depth);
    }
    None
}

impl<'m> Names<'m> {
    /// The names that the module itself gives.
    fn collect(&mut self, module: &'m Module, libraries: &'m [Sourced<'m>]) {
        let mut places: Map<&str, Place> = Map::new();
        for source in &module.sources {
            let lang = LANGS
                .iter()
                .position(|lang| lang.eq_ignore_ascii_case(&source.lang.text));
            if lang.is_none() {
                let mut wrong = flaw(
                    &source.lang,
                    format!("{} is no language of sources", source.lang.text),
                );
                wrong.hint = Some("write Py, R, JS or Cpp".into());
                self.flaws.push(wrong);
            }
            let file = source.file.text.trim_start_matches("./");
            let library = libraries.iter().position(|library| {
                library.file.trim_start_matches("./") == file
                    && lang.is_none_or(|lang| library.lang == LANGS[lang])
            });
            if library.is_none() && lang.is_some() {
                let mut wrong = flaw(
                    &source.file,
                    format!("source file \"{}\" was not found", source.file.text),
                );
                let near = nearest(file, libraries.iter().map(|library| library.file));
                wrong.hint = near.map(|near| format!("did you mean \"{near}\"?"));
                self.flaws.push(wrong);
            }
            let (Some(lang), Some(library)) = (lang, library) else {
                // Known all the same, so that only the source is complained of.
                for (_, here) in &source.functions {
                    self.globals.insert(&here.text, Target::Unknown);
                }
                continue;
            };
            for (there, here) in &source.functions {
                let signatures = &libraries[library].library.functions;
                self.functions.push(Function {
                    lang,
                    file: libraries[library].file,
                    library,
                    there,
                    here,
                    signature: signatures.iter().find(|signature| signature.name == there.text),
                });
                let target = Target::Function(self.functions.len() - 1);
                self.declare(here, target, &mut places);
            }
        }
        for (position, definition) in module.definitions.iter().enumerate() {
            self.declare(&definition.name, Target::Definition(position), &mut places);
        }
        let mut signed: Map<&str, Place> = Map::new();
        for signature in &module.signatures {
            let name = &signature.name;
            if let Some(first) = signed.insert(&name.text, name.place) {
                let message = format!(
                    "{} has a second signature, the first is in line {}",
                    name.text, first.line
                );
                self.flaws.push(flaw(name, message));
            }
            if !self.globals.contains(name.text.as_str()) {
                let mut wrong = flaw(
                    name,
                    format!("{} has a signature, but no definition and no source", name.text),
                );
                let near = nearest(&name.text, self.globals.keys().copied());
                wrong.hint = Some(match near {
                    Some(near) => format!("did you mean {near}?"),
                    None => format!(
                        "define it, or take it from a file: source Py from \"file.py\" (\"{}\")",
                        name.text
                    ),
                });
                self.flaws.push(wrong);
            }
        }
    }

    fn declare(&mut self, name: &'m Name, target: Target, places: &mut Map<&'m str, Place>) {
        match places.insert(&name.text, name.place) {
            None => {
                self.globals.insert(&name.text, target);
            }
            Some(first) => {
                let message = format!(
                    "{} is given a second time, the first is in line {}",
                    name.text, first.line
                );
                let mut wrong = flaw(name, message);
                let hint = "a name has one meaning; take one of them under another: source ... (\"f\" as g)";
                wrong.hint = Some(hint.into());
                self.flaws.push(wrong);
            }
        }
    }

    /// Puts the definitions into an order in which each comes after those it mentions.
    fn sort(&mut self, module: &'m Module, mentions: &[Vec<(usize, Place)>]) {
        #[derive(Clone, Copy, PartialEq)]
        enum State {
            New,
            Open,
            Done,
        }
        let mut states = vec![State::New; module.definitions.len()];
        for start in 0..module.definitions.len() {
            // The definitions on the way here, each with how many of its mentions have been followed.
            let mut way = vec![(start, 0)];
            while let Some((at, followed)) = way.last_mut() {
                let at = *at;
                if states[at] == State::Done {
                    way.pop();
                    continue;
                }
                states[at] = State::Open;
                let Some((next, place)) = mentions[at].get(*followed).copied() else {
                    states[at] = State::Done;
                    self.order.push(at);
                    way.pop();
                    continue;
                };
                *followed += 1;
                match states[next] {
                    State::New => way.push((next, 0)),
                    State::Done => {}
                    State::Open => {
                        let from = way.iter().position(|step| step.0 == next).unwrap_or(0);
                        let cycle: Vec<&str> = way[from..]
                            .iter()
                            .map(|step| module.definitions[step.0].name.text.as_str())
                            .collect();
                        let name = &module.definitions[next].name.text;
                        self.flaws.push(recursion(name, place, &cycle));
                    }
                }
            }
        }
    }

    /// Notes what an expression and all in it mean.
    fn meaning(&mut self, module: &'m Module, id: NodeId) -> Effects {
        let mut effects = match self.targets[id.0 as usize] {
            Target::Unknown => Effects::NONE,
            Target::Builtin(builtin) => builtins::ALL[builtin].effects,
            Target::Function(function) => Effects::calls(self.functions[function].lang),
            Target::Definition(definition) => self.meanings[definition],
            Target::Local(local) => self.locals[local].effects,
        };
        let node = module.nodes.node(id);
        if let (
            Node::Let {
                definitions, body, ..
            },
            Some(first),
        ) = (node, self.firsts.get(&id).copied())
        {
            for (position, definition) in definitions.iter().enumerate() {
                let meaning = self.meaning(module, definition.body);
                self.locals[first + position].effects = meaning;
                effects = effects.and(meaning);
            }
            effects = effects.and(self.meaning(module, *body));
        } else {
            let mut inside = Vec::new();
            node.children(&mut |child| inside.push(child));
            for child in inside {
                effects = effects.and(self.meaning(module, child));
            }
        }
        self.effects[id.0 as usize] = effects;
        effects
    }

    fn check_exports(&mut self, module: &'m Module, mentions: &[Vec<(usize, Place)>]) {
        let mut used = vec![false; module.definitions.len()];
        let mut rest = Vec::new();
        let mut seen: Vec<&str> = Vec::new();
        for export in &module.exports {
            let text = export.text.as_str();
            if seen.contains(&text) {
                self.flaws.push(flaw(export, format!("{text} is exported twice")));
                continue;
            }
            seen.push(text);
            match self.globals.get(text) {
                Some(Target::Definition(definition)) => rest.push(*definition),
                Some(_) => {}
                None => {
                    let mut wrong = flaw(
                        export,
                        format!("{text} is exported, but has no definition and no source"),
                    );
                    let near = nearest(text, self.globals.keys().copied());
                    wrong.hint = near.map(|near| format!("did you mean {near}?"));
                    self.flaws.push(wrong);
                }
            }
        }
        while let Some(definition) = rest.pop() {
            if !std::mem::replace(&mut used[definition], true) {
                rest.extend(mentions[definition].iter().map(|mention| mention.0));
            }
        }
        for (definition, is_used) in module.definitions.iter().zip(used) {
            let name = &definition.name;
            if !is_used && !name.text.starts_with('_') {
                let message = format!("{} is neither exported nor used by an export", name.text);
                self.warnings.push(flaw(name, message));
            }
        }
    }
}

fn recursion(name: &str, place: Place, cycle: &[&str]) -> Flaw {
    let message = match cycle {
        [_] => format!("{name} uses itself"),
        _ => format!("{name} uses itself: {} -> {name}", cycle.join(" -> ")),
    };
    let hint = "there is no recursion here; use map, filter or fold, or write it in one of the sources";
    Flaw::new(place, name.chars().count(), message).hint(hint)
}

/// The names around one place of a definition.
struct Scope<'m, 'n> {
    module: &'m Module,
    names: &'n mut Names<'m>,
    /// Local names, innermost last.
    bound: Map<&'m str, Vec<usize>>,
    /// Definitions of the module that are mentioned, and where.
    mentions: Vec<(usize, Place)>,
    /// The definitions around this place.
    defining: Vec<&'m str>,
    /// Definitions around this place that come after it.
    later: Vec<&'m str>,
}

impl<'m> Scope<'m, '_> {
    fn definition(&mut self, definition: &'m Definition) {
        let first = self.bind(&definition.params);
        self.names.params.insert(definition.body, first);
        self.expression(definition.body);
        self.unbind(&definition.params);
    }

    /// Makes names known; the first of them.
    fn bind(&mut self, params: &'m [Name]) -> usize {
        let first = self.names.locals.len();
        for (position, param) in params.iter().enumerate() {
            let is_twice =
                param.text != "_" && params[..position].iter().any(|other| other.text == param.text);
            if is_twice {
                let message = format!("parameter {} is there twice", param.text);
                self.names.flaws.push(flaw(param, message));
            }
            self.bind_one(param);
        }
        first
    }

    fn bind_one(&mut self, name: &'m Name) {
        self.names.locals.push(Local {
            name: &name.text,
            effects: Effects::NONE,
        });
        let local = self.names.locals.len() - 1;
        self.bound.or_insert_with(&name.text, Vec::new).push(local);
    }

    fn unbind(&mut self, params: &'m [Name]) {
        for param in params {
            if let Some(bound) = self.bound.get_mut(param.text.as_str()) {
                bound.pop();
            }
        }
    }

    fn expression(&mut self, id: NodeId) {
        match self.module.nodes.node(id) {
            Node::Name(name) => {
                self.names.targets[id.0 as usize] = self.target(name, self.module.nodes.place(id))
            }
            Node::Lambda(params, body) => {
                let first = self.bind(params);
                self.names.firsts.insert(id, first);
                self.expression(*body);
                self.unbind(params);
            }
            Node::Let {
                definitions, body, ..
            } => {
                // Their locals stand together; each is known after its own value only.
                let first = self.names.locals.len();
                self.names.firsts.insert(id, first);
                for definition in definitions {
                    self.names.locals.push(Local {
                        name: &definition.name.text,
                        effects: Effects::NONE,
                    });
                }
                for (position, definition) in definitions.iter().enumerate() {
                    let known = self.later.len();
                    let later = definitions[position + 1..].iter();
                    self.later.extend(later.map(|later| later.name.text.as_str()));
                    self.defining.push(&definition.name.text);
                    self.definition(definition);
                    self.defining.pop();
                    self.later.truncate(known);
                    let bound = self.bound.or_insert_with(&definition.name.text, Vec::new);
                    bound.push(first + position);
                }
                self.expression(*body);
                for definition in definitions {
                    if let Some(bound) = self.bound.get_mut(definition.name.text.as_str()) {
                        bound.pop();
                    }
                }
            }
            node => {
                let mut inside = Vec::new();
                node.children(&mut |child| inside.push(child));
                inside.into_iter().for_each(|child| self.expression(child));
            }
        }
    }

    fn target(&mut self, name: &'m str, place: Place) -> Target {
        if let Some(local) = self.bound.get(name).and_then(|bound| bound.last()) {
            return Target::Local(*local);
        }
        // Its own name means a definition itself, whatever else is called so.
        if self.defining[1..].contains(&name) {
            self.names.flaws.push(recursion(name, place, &[name]));
            return Target::Unknown;
        }
        if let Some(target) = self.names.globals.get(name) {
            if let Target::Definition(definition) = target {
                self.mentions.push((*definition, place));
            }
            return *target;
        }
        if let Some(builtin) = builtins::find(name) {
            return Target::Builtin(builtin);
        }
        let bound = self.bound.iter().filter(|(_, bound)| !bound.is_empty());
        let known = bound.map(|(name, _)| *name);
        let known = known.chain(self.names.globals.keys().copied());
        let known = known.chain(builtins::ALL.iter().map(|builtin| builtin.name));
        let hint = match (name, nearest(name, known)) {
            (name, _) if self.later.contains(&name) => Some(format!(
                "{name} is defined below; a definition knows those above it"
            )),
            ("_", _) => Some("a parameter _ has no value; give it a name".into()),
            (_, Some(near)) => Some(format!("did you mean {near}?")),
            (_, None) => None,
        };
        let mut wrong = Flaw::new(place, name.chars().count(), format!("{name} is not known here"));
        wrong.hint = hint;
        self.names.flaws.push(wrong);
        Target::Unknown
    }
}
