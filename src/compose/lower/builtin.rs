//! The functions of the notation: with all their arguments a node of their own, with fewer a function of the rest.

use crate::compose::ast::{Node as Tree, NodeId};
use crate::compose::builtins::{ALL, Form};
use crate::compose::concrete::{Concrete, ConcreteId};
use crate::compose::lower::application::Term;
use crate::compose::lower::program::{Lower, Worker};
use crate::compose::resolve::{LANGS, Target};
use crate::source::signature::{Flaw, Place};
use crate::source::types::Base;

impl<'m> Lower<'m> {
    /// Writes a builtin that stands at `id`, applied to those arguments.
    pub fn builtin(&mut self, builtin: usize, id: NodeId, args: &[Term<'_>], place: Place) {
        let form = ALL[builtin].form;
        if let Form::Op(name) = form {
            return self.op(name, id, args, place);
        }
        let arity = ALL[builtin].arity();
        if args.len() > arity {
            let whole = self.ty(id);
            let result = self.take(whole, args.len()).1;
            let schema = self.schema(result, place);
            self.current.out.open("app");
            self.current.out.member("schema", &schema);
            self.current.out.key("func");
            self.form(builtin, id, &args[..arity], place);
            self.current.out.key("args");
            self.terms(&args[arity..], place);
            self.current.out.raw("}");
            return;
        }
        if args.len() == arity {
            return self.form(builtin, id, args, place);
        }
        let whole = self.ty(id);
        let (_, partial) = self.take(whole, args.len());
        let (missing, _) = self.take(partial, arity - args.len());
        self.lambda(&missing, args, partial, place, &mut |this, missing, given| {
            let all: Vec<Term> = given.iter().chain(missing).copied().collect();
            this.form(builtin, id, &all, place);
        });
    }

    /// An operator is a function value.
    fn op(&mut self, name: &str, id: NodeId, args: &[Term<'_>], place: Place) {
        let whole = self.ty(id);
        let (params, _) = self.take(whole, 1);
        let operand = params.first().copied().unwrap_or(whole);
        let operand = self.schema(operand, place);
        if !args.is_empty() {
            let result = self.take(whole, args.len()).1;
            let schema = self.schema(result, place);
            self.current.out.open("app");
            self.current.out.member("schema", &schema);
            self.current.out.key("func");
        }
        self.current.out.open("op");
        self.current.out.member("op", name);
        self.current.out.member("schema", &operand);
        self.current.out.raw("}");
        if !args.is_empty() {
            self.current.out.key("args");
            let works = self.terms(args, place);
            self.sequential(works);
            self.current.out.raw("}");
        }
    }

    /// Writes a builtin with as many arguments as it takes.
    fn form(&mut self, builtin: usize, id: NodeId, args: &[Term<'_>], place: Place) {
        let whole = self.ty(id);
        let result = self.take(whole, args.len()).1;
        match ALL[builtin].form {
            Form::Op(_) => {}
            Form::Tag(tag, keys) => self.tag(tag, keys, args, result, place),
            Form::Elements(tag) => self.elements(tag, args, result, place),
            Form::Pmap { collect } => self.pmap(collect, args, result, place),
            Form::Cmd { json } => {
                self.current.waits = true;
                self.program(json, args[0], result, place);
            }
            Form::Run { options } => self.worker(options, args, result, place),
        }
    }

    fn tag(&mut self, tag: &str, keys: &[&str], args: &[Term<'_>], result: ConcreteId, place: Place) {
        let pure = [
            "map", "filter", "fold", "and", "or", "show", "read", "throw", "try",
        ];
        self.current.waits |= !pure.contains(&tag);
        if tag == "show" || tag == "read" {
            let shown = match tag {
                "show" => self.term_type(args[0]),
                _ => result,
            };
            if !self.is_data(shown) {
                let message = format!("{tag} is used with a function or worker, which has no text");
                self.complain(Flaw::new(place, tag.len(), message));
            }
        }
        let schema = self.schema(result, place);
        self.current.out.open(tag);
        let mut works = 0;
        for (key, arg) in keys.iter().zip(args) {
            self.current.out.key(key);
            works += usize::from(self.works(*arg));
            match *key {
                "args" => {
                    self.terms(std::slice::from_ref(arg), place);
                }
                _ => self.term(*arg, place),
            }
        }
        self.current.out.member("schema", &schema);
        // What is done for each element of a list is done in turn, too.
        if matches!(tag, "map" | "filter" | "fold") && works > 0 {
            self.sequential(2);
        }
        self.current.out.raw("}");
    }

    /// `par` and `race`: their elements begin at once.
    fn elements(&mut self, tag: &str, args: &[Term<'_>], result: ConcreteId, place: Place) {
        let list = match args.first() {
            Some(Term::Node(id)) => match self.module.nodes.node(*id) {
                Tree::List(elements) => elements,
                _ => return self.unwritten(tag, place),
            },
            _ => return self.unwritten(tag, place),
        };
        for lang in 0..LANGS.len() {
            let calls = |id: &&NodeId| self.names.effects[id.0 as usize].langs().any(|own| own == lang);
            let count = list.iter().filter(calls).count();
            self.at_once[lang] = self.at_once[lang].max(count as u32);
        }
        let schema = self.schema(result, place);
        let elements: Vec<Term> = list.iter().map(|id| Term::Node(*id)).collect();
        self.current.out.open(tag);
        self.current.out.member("schema", &schema);
        self.current.out.key("elements");
        self.terms(&elements, place);
        self.current.out.raw("}");
    }

    fn unwritten(&mut self, tag: &str, place: Place) {
        let message = format!("{tag} takes a list that is written here, in brackets");
        self.complain(Flaw::new(place, tag.len(), message));
    }

    fn pmap(&mut self, collect: bool, args: &[Term<'_>], result: ConcreteId, place: Place) {
        let [width, func, list] = args else { return };
        self.note_width(*width, *func);
        let schema = self.schema(result, place);
        self.current.out.open("pmap");
        for (key, arg) in [("width", width), ("func", func), ("list", list)] {
            self.current.out.key(key);
            self.term(*arg, place);
        }
        self.current.out.key("collect");
        self.current.out.raw(if collect { "true" } else { "false" });
        self.current.out.member("schema", &schema);
        self.current.out.raw("}");
    }

    /// Remembers how many calls of a function there will be at once.
    pub fn note_width(&mut self, width: Term<'_>, func: Term<'_>) {
        let (Term::Node(width), Term::Node(func)) = (width, func) else {
            return;
        };
        let Tree::Int(text) = self.module.nodes.node(width) else {
            return;
        };
        let width: u32 = match text.parse() {
            Ok(width) if width > 0 => width,
            _ => {
                let message = format!("pmap is given the width {text}, expected at least 1");
                self.complain(Flaw::new(self.module.nodes.place(width), text.len(), message));
                return;
            }
        };
        for lang in self.names.effects[func.0 as usize].langs() {
            self.at_once[lang] = self.at_once[lang].max(width);
        }
    }

    /// Writes a program of the system as a function of its input.
    pub fn program(&mut self, json: bool, argv: Term<'_>, ty: ConcreteId, place: Place) {
        let (input, output) = match *self.concretes.node(ty) {
            Concrete::Arrow(input, output) => (input, output),
            _ => (ty, ty),
        };
        let forms = [
            self.form_of(input, json, place),
            self.form_of(output, json, place),
        ];
        self.program_with(argv, [input, output], forms, place);
    }

    fn program_with(&mut self, argv: Term<'_>, types: [ConcreteId; 2], forms: [&str; 2], place: Place) {
        let schemas = types.map(|ty| self.schema(ty, place));
        self.current.out.open("cmd");
        self.current.out.key("argv");
        self.term(argv, place);
        self.current.out.member("input", &schemas[0]);
        self.current.out.member("output", &schemas[1]);
        self.current.out.member("input_form", forms[0]);
        self.current.out.member("output_form", forms[1]);
        self.current.out.raw("}");
    }

    /// How a program of the system reads or writes values of a type.
    fn form_of(&mut self, ty: ConcreteId, json: bool, place: Place) -> &'static str {
        if !self.is_data(ty) {
            let message = "a program of the system can't take or give a function or worker".to_string();
            self.complain(Flaw::new(place, 3, message));
        }
        match *self.concretes.node(ty) {
            Concrete::Base(Base::Unit) => "none",
            Concrete::Base(Base::Bytes) => "bytes",
            Concrete::Base(Base::Str) if !json => "text",
            Concrete::List(element) => match self.concretes.node(element) {
                Concrete::Base(Base::Str) if !json => "lines",
                _ => "jsonl",
            },
            _ => "json",
        }
    }

    /// Writes a worker.
    fn worker(&mut self, options: bool, args: &[Term<'_>], result: ConcreteId, place: Place) {
        self.current.waits = true;
        let Concrete::Worker(from, to) = *self.concretes.node(result) else {
            return;
        };
        let func = match args.get(usize::from(options)) {
            Some(Term::Node(id)) => *id,
            _ => return self.no_worker(place),
        };
        if !self.is_data(from) || !self.is_data(to) {
            let message = "run takes a function of one argument that takes and gives data".to_string();
            let hint = "let the function take a tuple, (a, b)";
            self.complain(Flaw::new(place, 3, message).hint(hint));
            return;
        }
        let mut at = func;
        while let Tree::Typed(inner, _) = self.module.nodes.node(at) {
            at = *inner;
        }
        let schemas = [from, to].map(|ty| self.schema(ty, place));
        self.current.out.open("worker");
        match (self.module.nodes.node(at), self.names.targets[at.0 as usize]) {
            (Tree::Apply(program, argv), _) if !argv.is_empty() => {
                let json = match self.names.targets[program.0 as usize] {
                    Target::Builtin(builtin) => ALL[builtin].form == Form::Cmd { json: true },
                    _ => return self.no_worker(place),
                };
                let message = |this: &Lower, ty| match this.concretes.node(ty) {
                    Concrete::Base(Base::Str) if !json => "lines",
                    Concrete::Base(Base::Bytes) => "bytes",
                    _ => "jsonl",
                };
                let forms = [message(self, from), message(self, to)];
                self.current.out.key("cmd");
                self.program_with(Term::Node(argv[0]), [from, to], forms, place);
            }
            (_, target @ (Target::Function(_) | Target::Definition(_))) => {
                let chosen = self.chosen(at);
                let name = self.command_of(target, chosen, self.module.nodes.place(at));
                self.current.out.member("command", &name);
            }
            _ => self.no_worker(place),
        }
        if options {
            self.current.out.key("options");
            self.term(args[0], place);
        }
        self.current.out.key("sends");
        self.current.out.strings(std::iter::once(schemas[0].as_str()));
        self.current.out.member("receives", &schemas[1]);
        self.current.out.raw("}");
    }

    fn no_worker(&mut self, place: Place) {
        let message = "run takes the name of a function or definition, or cmd [...]".to_string();
        self.complain(Flaw::new(place, 3, message));
    }

    /// The command that runs a function or definition at those types, made if there is none.
    fn command_of(&mut self, target: Target, choice: Vec<ConcreteId>, place: Place) -> String {
        let known = |worker: &&Worker| worker.target == target && worker.choice == choice;
        if let Some(worker) = self.workers.iter().find(known) {
            return worker.name.clone();
        }
        let name = match target {
            Target::Function(function) => &self.names.functions[function].here.text,
            Target::Definition(definition) => &self.module.definitions[definition].name.text,
            _ => return String::new(),
        };
        let mut free = name.clone();
        let mut count = 1;
        while self.workers.iter().any(|worker| worker.name == free) {
            count += 1;
            free = format!("{name}~{count}");
        }
        self.workers.push(Worker {
            target,
            choice,
            name: free.clone(),
            place,
            is_exported: false,
        });
        free
    }
}
