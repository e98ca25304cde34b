//! Commands: the exports, and what expressions start as workers, each with what people are told of it.

use crate::compose::ast::{Declaration, Name, Node as Tree};
use crate::compose::compiled::{Body as Done, Command};
use crate::compose::concrete::{Choice, Concrete, ConcreteId, Unsettled};
use crate::compose::describe::describe;
use crate::compose::lower::json::{Json, depth};
use crate::compose::lower::program::{Lower, Worker, nameless};
use crate::compose::resolve::Target;
use crate::compose::types::{Kinds, kind};
use crate::limits::DEPTH_MAX;
use crate::source::signature::{Doc, Flaw, Param, ParamDoc, Place, Record};
use crate::source::types::Type;

/// Levels that a manifest has around an expression.
const AROUND: usize = 4;

impl<'m> Lower<'m> {
    /// All commands.
    pub fn commands(&mut self) -> Vec<Command> {
        let module = self.module;
        for export in &module.exports {
            let target = self.names.globals.get(export.text.as_str()).copied();
            let Some(target @ (Target::Definition(_) | Target::Function(_))) = target else {
                continue;
            };
            let target = self.behind(target);
            if let Some(choice) = self.monotype(target, export) {
                self.workers.push(Worker {
                    target,
                    choice,
                    name: self.command_name(export),
                    place: export.place,
                    is_exported: true,
                });
            }
        }
        let mut commands: Vec<Command> = Vec::new();
        let mut position = 0;
        while position < self.workers.len() && !self.is_full() {
            if let Some(command) = self.command(position) {
                let is_taken = commands.iter().any(|other| other.name == command.name);
                if is_taken {
                    let place = self.workers[position].place;
                    let message = format!("two commands have the name {}", command.name);
                    self.complain(Flaw::new(place, command.name.chars().count(), message));
                }
                commands.push(command);
            }
            position += 1;
        }
        commands
    }

    /// A definition that is only another name for a function from a source is that function.
    fn behind(&self, target: Target) -> Target {
        let Target::Definition(definition) = target else {
            return target;
        };
        let definition = &self.module.definitions[definition];
        let mut body = definition.body;
        while let Tree::Typed(inner, _) = self.module.nodes.node(body) {
            body = *inner;
        }
        let is_declared = self.declaration(&definition.name.text).is_some();
        match self.names.targets[body.0 as usize] {
            Target::Function(function)
                if definition.params.is_empty()
                    && !is_declared
                    && self.inferred.functions[function].vars.is_empty()
                    && self.inferred.arities[function] > 0 =>
            {
                Target::Function(function)
            }
            _ => target,
        }
    }

    fn command_name(&self, export: &Name) -> String {
        let own = self
            .declaration(&export.text)
            .and_then(|declared| declared.doc.name.clone());
        let sourced = match self.names.globals.get(export.text.as_str()) {
            Some(Target::Function(function)) => {
                let signature = self.names.functions[*function].signature;
                signature.and_then(|signature| signature.doc.name.clone())
            }
            _ => None,
        };
        own.or(sourced).unwrap_or_else(|| export.text.clone())
    }

    pub fn declaration(&self, name: &str) -> Option<&'m Declaration> {
        self.module
            .signatures
            .iter()
            .find(|declared| declared.name.text == name)
    }

    /// What the variables of an export stand for, of which there should be none.
    fn monotype(&mut self, target: Target, export: &Name) -> Option<Vec<ConcreteId>> {
        let scheme = match target {
            Target::Function(function) => self.inferred.functions[function].clone(),
            Target::Definition(definition) => self.inferred.definitions[definition].clone(),
            _ => return None,
        };
        let params = self.inferred.types.parameters(scheme.ty, usize::MAX).0;
        let is_value = params.is_empty();
        let mut taken = Vec::new();
        for param in params {
            taken.extend(self.inferred.types.variables(param).unwrap_or_default());
        }
        let mut choice = Vec::new();
        for var in &scheme.vars {
            // A number that nobody says more about is an Int, but what takes any number could as well take a Real.
            let root = self.inferred.types.root(*var);
            let node = self.inferred.types.node(root);
            let is_any = kind(node) == Kinds::NUMBER && taken.contains(&root);
            match self
                .concretes
                .settle(&mut self.inferred.types, root, &Choice::new())
            {
                Ok(id) if !is_any => choice.push(id),
                Ok(_) | Err(Unsettled::Open(_)) => {
                    let ty = describe(&mut self.inferred.types, scheme.ty);
                    let name = &export.text;
                    let message = match ty.as_str() {
                        "unknown" => format!("nothing says of which type {name} is"),
                        _ => format!("{name} is {ty}, but a command has only known types"),
                    };
                    let example = if is_value { "[Real]" } else { "[Real] -> Real" };
                    let hint = format!("write a signature without variables, such as {name} :: {example}");
                    self.no_command(
                        target,
                        export,
                        Flaw::new(export.place, len(name), message).hint(hint),
                    );
                    return None;
                }
                Err(unsettled) => {
                    self.unsettled(unsettled, export.place, export.text.chars().count());
                    return None;
                }
            }
        }
        Some(choice)
    }

    /// That an export is no command: meant so if its types are written down, for others may use it.
    fn no_command(&mut self, target: Target, name: &Name, flaw: Flaw) {
        let is_written = matches!(target, Target::Function(_)) || self.declaration(&name.text).is_some();
        match is_written {
            true => self.warnings.push(flaw),
            false => self.complain(flaw),
        }
    }

    fn command(&mut self, position: usize) -> Option<Command> {
        let worker = &self.workers[position];
        let (target, choice, place) = (worker.target, worker.choice.clone(), worker.place);
        let (name, is_internal) = (worker.name.clone(), !worker.is_exported);
        let (scheme, own_name) = match target {
            Target::Function(function) => (
                self.inferred.functions[function].clone(),
                &self.names.functions[function].here.text,
            ),
            Target::Definition(definition) => (
                self.inferred.definitions[definition].clone(),
                &self.module.definitions[definition].name.text,
            ),
            _ => return None,
        };
        let mut own = Choice::new();
        for (var, id) in scheme.vars.iter().zip(&choice) {
            own.insert(self.inferred.types.root(*var), *id);
        }
        let whole = match self.concretes.settle(&mut self.inferred.types, scheme.ty, &own) {
            Ok(whole) => whole,
            Err(unsettled) => {
                self.unsettled(unsettled, place, len(own_name));
                return None;
            }
        };
        let schema = self.schema(whole, place);
        let declared = self.declaration(own_name);
        let count = match (target, declared) {
            (Target::Function(function), _) => self.inferred.arities[function],
            (_, Some(declared)) => declared.params.len(),
            _ => usize::MAX,
        };
        let (types, returns) = self.take(whole, count);
        for (ty, what) in types.iter().map(|ty| (*ty, "takes")).chain([(returns, "gives")]) {
            let schema = self.schema(ty, place);
            if !self.is_data(ty) {
                let message = format!("{own_name} {what} a function or a worker, which a command can't");
                let hint = "leave it out of the exports; others can use it all the same";
                let name = Name {
                    text: own_name.clone(),
                    place,
                };
                self.no_command(target, &name, Flaw::new(place, len(own_name), message).hint(hint));
                return None;
            }
            // Not even a schema: what is wrong was said.
            if schema.is_empty() {
                return None;
            }
        }
        if !self.flaws.is_empty() {
            // Bodies are looked at all the same, for what is wrong with them.
            self.write(target, choice, &schema, place);
            return None;
        }
        let arg_schemas = types.iter().map(|ty| self.schema(*ty, place)).collect();
        let return_schema = self.schema(returns, place);
        let params = self.described(target, declared, &types);
        let doc = self.doc(target, declared);
        let body = self.write(target, choice, &schema, place)?;
        Some(Command {
            name,
            is_internal,
            doc,
            params,
            returns: self.concretes.written(&self.inferred.types, returns),
            arg_schemas,
            return_schema,
            body,
        })
    }

    /// What is said of a command: here, or else in its source.
    fn doc(&self, target: Target, declared: Option<&Declaration>) -> Doc {
        let mut doc = match (declared, target) {
            (Some(declared), _) if declared.doc != Doc::default() => declared.doc.clone(),
            (_, Target::Definition(definition)) => self.module.definitions[definition].doc.clone(),
            _ => Doc::default(),
        };
        if let Target::Function(function) = target
            && let Some(signature) = self.names.functions[function].signature
        {
            let there = &signature.doc;
            if doc.desc.is_empty() {
                doc.desc.clone_from(&there.desc);
            }
            if doc.returns.is_empty() {
                doc.returns.clone_from(&there.returns);
            }
            if doc.examples.is_empty() {
                doc.examples.clone_from(&there.examples);
            }
            doc.group = doc.group.or_else(|| there.group.clone());
            doc.timeout_ms = doc.timeout_ms.or(there.timeout_ms);
        }
        doc
    }

    /// The parameters of a command: as declared here, or in its source, or with the names of its definition.
    fn described(
        &mut self,
        target: Target,
        declared: Option<&Declaration>,
        types: &[ConcreteId],
    ) -> Vec<Param> {
        let there = match target {
            Target::Function(function) => self.params(function),
            Target::Definition(definition) => {
                let names = self.module.definitions[definition].params.iter();
                let named = names.map(|name| Param {
                    name: Some(name.text.clone()).filter(|name| name != "_"),
                    ..nameless()
                });
                named.collect()
            }
            _ => Vec::new(),
        };
        let mut params = Vec::new();
        for (position, ty) in types.iter().enumerate() {
            let mut param = there.get(position).cloned().unwrap_or_else(nameless);
            if let Some(here) = declared.and_then(|declared| declared.params.get(position)) {
                if here.doc != ParamDoc::default() {
                    param.doc = here.doc.clone();
                }
                param.name = param.name.or_else(|| here.name.clone());
                if let (Type::Named(name), true) = (&here.ty, param.doc == ParamDoc::default())
                    && let Some(alias) = self.module.aliases.iter().find(|alias| alias.name.text == *name)
                {
                    param.doc = alias.doc.clone();
                }
            }
            param.ty = self.concretes.written(&self.inferred.types, *ty);
            params.push(param);
        }
        params
    }

    /// Writes what a command does.
    fn write(&mut self, target: Target, choice: Vec<ConcreteId>, schema: &str, place: Place) -> Option<Done> {
        let definition = match target {
            Target::Function(function) => return Some(Done::Remote(self.instance(function, choice, place))),
            Target::Definition(definition) => definition,
            _ => return None,
        };
        let from = self.bodies.len();
        let root = self.body(definition, choice);
        self.write_bodies(from);
        let expr = self.around(root, schema)?;
        if depth(&expr) + AROUND > DEPTH_MAX {
            let name = &self.module.definitions[definition].name;
            let message = format!(
                "the expression of {} nests deeper than {DEPTH_MAX} levels",
                name.text
            );
            let hint = "give parts of it names of their own";
            self.complain(Flaw::new(name.place, name.text.chars().count(), message).hint(hint));
            return None;
        }
        let all = self.needed(root);
        let langs = |lang: &usize| all.iter().any(|body| self.bodies[*body].langs.contains(lang));
        let needed = (0..self.langs.len()).filter(|pool| langs(&self.langs[*pool]));
        let needed_pools: Vec<usize> = needed.collect();
        let waits = all.iter().any(|body| self.bodies[*body].waits);
        Some(match waits {
            true => Done::Composed { expr, needed_pools },
            false => Done::Pure(expr),
        })
    }

    /// A body and all that it needs, each after what it needs itself.
    fn needed(&self, root: usize) -> Vec<usize> {
        let mut order = Vec::new();
        let mut way = vec![(root, 0)];
        while let Some((body, followed)) = way.last_mut() {
            match self.bodies[*body].needs.get(*followed).copied() {
                Some(next) => {
                    *followed += 1;
                    if !order.contains(&next) {
                        way.push((next, 0));
                    }
                }
                None => {
                    let body = *body;
                    if !order.contains(&body) {
                        order.push(body);
                    }
                    way.pop();
                }
            }
        }
        order
    }

    /// The expression of a body within all that it needs: what needs nothing outermost.
    fn around(&mut self, root: usize, schema: &str) -> Option<String> {
        let mut order = self.needed(root);
        order.pop();
        let mut levels: Vec<Vec<usize>> = Vec::new();
        for body in order {
            let below = self.bodies[body]
                .needs
                .iter()
                .map(|need| self.bodies[*need].level + 1);
            let level = below.max().unwrap_or(0);
            self.bodies[body].level = level;
            if levels.len() <= level {
                levels.resize(level + 1, Vec::new());
            }
            levels[level].push(body);
        }
        let mut out = Json::default();
        for bodies in &levels {
            out.open("app");
            out.member("schema", schema);
            out.key("args");
            out.raw("[");
            for (position, body) in bodies.iter().enumerate() {
                let body = &self.bodies[*body];
                out.raw(if position > 0 { "," } else { "" });
                out.raw(if body.by_name {
                    "{\"tag\":\"lambda\",\"vars\":[],\"body\":"
                } else {
                    ""
                });
                out.raw(&body.text);
                out.raw(if body.by_name { "}" } else { "" });
            }
            out.raw("],\"func\":{\"tag\":\"lambda\",\"vars\":");
            out.strings(bodies.iter().map(|body| self.bodies[*body].name.as_str()));
            out.key("body");
        }
        out.raw(&self.bodies[root].text);
        for _ in &levels {
            out.raw("}}");
        }
        self.written += out.len();
        (!self.is_full()).then(|| out.text())
    }

    /// The records that people or pools are told of.
    pub fn records(&mut self, commands: &[Command]) -> Vec<Record> {
        let mut types: Vec<Type> = Vec::new();
        for command in commands {
            types.extend(command.params.iter().map(|param| param.ty.clone()));
            types.push(command.returns.clone());
        }
        for instance in &self.instances {
            types.extend(instance.params.iter().map(|param| param.ty.clone()));
            types.push(instance.returns.clone());
        }
        let mut records: Vec<Record> = Vec::new();
        let mut named = Vec::new();
        let mut anonymous = self.concretes.named_records(&self.inferred.types);
        let mut position = 0;
        loop {
            while let Some(ty) = types.pop() {
                names_in(&ty, &mut named);
            }
            let Some(name) = named.get(position).cloned() else {
                break;
            };
            position += 1;
            if let Some(found) = anonymous.iter().position(|record| record.name == name) {
                let record = anonymous.swap_remove(found);
                types.extend(record.fields.iter().map(|field| field.ty.clone()));
                records.push(record);
                continue;
            }
            let declared = self
                .inferred
                .records
                .iter()
                .find(|(_, record)| record.name == name);
            let Some((number, declared)) = declared.map(|(number, record)| (*number, *record)) else {
                continue;
            };
            let mut record = declared.clone();
            let id = self.concretes.add(Concrete::Record(number));
            if let Ok(fields) = self.concretes.fields(&mut self.inferred.types, id) {
                for (field, (_, ty)) in record.fields.iter_mut().zip(fields) {
                    field.ty = self.concretes.written(&self.inferred.types, ty);
                }
            }
            types.extend(record.fields.iter().map(|field| field.ty.clone()));
            records.push(record);
        }
        records.sort_by(|a, b| a.name.cmp(&b.name));
        records
    }
}

fn len(name: &str) -> usize {
    name.chars().count()
}

/// Adds the names of the records in a type that are not among them.
fn names_in(ty: &Type, names: &mut Vec<String>) {
    match ty {
        Type::Base(_) | Type::Variable(_) => {}
        Type::Named(name) => {
            if !names.contains(name) {
                names.push(name.clone());
            }
        }
        Type::List(inner) | Type::Optional(inner) => names_in(inner, names),
        Type::Tuple(parts) => parts.iter().for_each(|part| names_in(part, names)),
        Type::Function(params, result) => {
            params.iter().for_each(|param| names_in(param, names));
            names_in(result, names);
        }
        Type::Worker(from, to) => {
            names_in(from, names);
            names_in(to, names);
        }
    }
}
