//! The tags that drive processes, in composed commands only. The part of [`Loader`] that reads them; `X` stands for an
//! expression:
//! ```text
//! cmd        argv: X, input, output: schema, input_form, output_form: none|text|lines|bytes|json|jsonl     a function value
//! worker     command: name | cmd: {as above}, options: X (a record) or absent, sends: [schema], receives: schema
//! send, talk worker: X, args: [X]               receive  worker: X, timeout_ms: X or absent
//! close, kill, wait, alive, pid, exit_code      worker: X
//! select     workers: X
//! pipe       source: X, source_schema, schema, stages: [{each: X, width: X or absent, in, out: schema} | {cmd: {as above}}]
//! ```

use crate::codec::document::Node;
use crate::expr::arena::{Expr, Strict};
use crate::expr::load::{Loaded, Loader};
use crate::expr::process::{Channel, Conversion, Form, Pipe, Stage, Verb};
use crate::ids::ExprId;

impl<'d> Loader<'_, 'd> {
    /// Reads a tag that drives processes; none if it is no such tag.
    pub(super) fn drive(&mut self, node: Node<'d, '_>, tag: &str) -> Option<Option<Loaded>> {
        let verb = Verb::ALL.iter().find(|(name, _)| *name == tag);
        Some(match (tag, verb) {
            ("cmd", _) => self.program(node),
            ("worker", _) => self.worker(node),
            ("pipe", _) => self.pipe(node),
            (_, Some((_, verb))) => self.verb(node, *verb),
            _ => return None,
        })
    }

    /// What a program is and what goes through it.
    fn conversion(&mut self, node: Node<'d, '_>) -> Option<(ExprId, Conversion)> {
        let argv = self.child(node, "argv").map(|argv| argv.id);
        let (input, output) = (self.type_of(node, "input"), self.type_of(node, "output"));
        let (input_form, output_form) = (self.form(node, "input_form"), self.form(node, "output_form"));
        let conversion = Conversion {
            input: input?,
            output: output?,
            input_form: input_form?,
            output_form: output_form?,
        };
        Some((argv?, conversion))
    }

    fn form(&mut self, node: Node<'d, '_>, key: &str) -> Option<Form> {
        let name = self.text(node, key)?;
        match Form::ALL.iter().find(|(known, _)| *known == name) {
            Some((_, form)) => Some(*form),
            None => {
                let known = Form::ALL.map(|(name, _)| name).join(", ");
                self.wrong(node, format!("{key} is \"{name}\", expected one of {known}"))
            }
        }
    }

    /// A function of the value that a program reads: of two arguments, of which the first is there.
    fn program(&mut self, node: Node<'d, '_>) -> Option<Loaded> {
        let (argv, conversion) = self.conversion(node)?;
        let func = self.exprs.add_conversion(conversion);
        let args = self.exprs.add_children(&[argv]);
        self.add(Expr::Apply { func, args }, None)
    }

    fn worker(&mut self, node: Node<'d, '_>) -> Option<Loaded> {
        let mut args = Vec::new();
        let command = match node.member("cmd") {
            Some(cmd) => {
                args.extend(self.child(cmd, "argv").map(|argv| argv.id));
                None
            }
            None => Some(self.text(node, "command")?.into()),
        };
        let options = match node.member("options") {
            Some(options) => self.expr(options).map(|options| Some(options.id)),
            None => Some(None),
        };
        let mut sends = Vec::new();
        for schema in self.list(node, "sends")? {
            match schema.as_str() {
                Some(text) => sends.extend(self.parse(schema, text)),
                None => return self.wrong(schema, "a schema of \"sends\" is no string".into()),
            }
        }
        let receives = self.type_of(node, "receives")?;
        let options = options?;
        let expected = usize::from(command.is_none());
        if args.len() < expected {
            return None;
        }
        args.extend(options);
        let channel = self.exprs.add_channel(Channel {
            command,
            has_options: options.is_some(),
            sends: sends.into(),
            receives,
        });
        // Even without an argument it is done when it is evaluated.
        if args.is_empty() {
            args.push(self.exprs.add(Expr::Nil));
        }
        self.strict(Strict::Worker(channel), &args, None)
    }

    fn verb(&mut self, node: Node<'d, '_>, verb: Verb) -> Option<Loaded> {
        let key = match verb {
            Verb::Select => "workers",
            _ => "worker",
        };
        let worker = self.child(node, key).map(|worker| worker.id);
        let mut args = Vec::new();
        match verb {
            Verb::Send | Verb::Talk => args = self.exprs_of(node, "args")?,
            Verb::Receive => {
                if let Some(timeout) = node.member("timeout_ms") {
                    args.push(self.expr(timeout)?.id);
                }
            }
            _ => {}
        }
        args.insert(0, worker?);
        self.strict(Strict::OnWorker(verb), &args, None)
    }

    fn pipe(&mut self, node: Node<'d, '_>) -> Option<Loaded> {
        let source = self.child(node, "source").map(|source| source.id);
        let (source_ty, output) = (self.type_of(node, "source_schema"), self.schema(node));
        let mut args = Vec::from_iter(source);
        let mut stages = Vec::new();
        let found = self.list(node, "stages")?;
        for stage in found {
            match stage.member("cmd") {
                Some(cmd) => {
                    let (argv, conversion) = self.conversion(cmd)?;
                    args.push(argv);
                    stages.push(Stage::Cmd(conversion));
                }
                None => {
                    let func = self.child(stage, "each").map(|each| each.id);
                    let (input, output) = (self.type_of(stage, "in"), self.type_of(stage, "out"));
                    args.push(func?);
                    if let Some(width) = stage.member("width") {
                        args.push(self.expr(width)?.id);
                    }
                    stages.push(Stage::Each {
                        input: input?,
                        output: output?,
                        has_width: stage.member("width").is_some(),
                    });
                }
            }
        }
        if stages.is_empty() {
            return self.wrong(node, "pipe has no stages, expected at least one".into());
        }
        source?;
        let (source_ty, output) = (source_ty?, output?);
        let pipe = self.exprs.add_pipe(Pipe {
            source: source_ty,
            stages: stages.into(),
            output,
        });
        self.strict(Strict::Pipe(pipe), &args, Some(output))
    }
}
