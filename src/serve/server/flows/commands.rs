//! Which commands nodes can call: those of the generations that serve now. Calls none.

use super::super::{Programs, Server};
use crate::error::{Error, Kind, Result};
use crate::flow::kinds::node::{Known, missing_command};
use crate::manifest::model::Manifest;
use crate::serve::api;
use crate::serve::deployment::{Deployments, Name};
use std::cell::RefCell;
use std::rc::Rc;

/// The programs that are served.
pub(super) struct Commands<'s> {
    deployments: &'s Deployments,
    programs: &'s Programs,
    /// What was looked for and not found; empty: a command of any program.
    missed: RefCell<Vec<Rc<str>>>,
}

impl Commands<'_> {
    /// The command that a node means: of a deployment, or of the only one that has such a command.
    ///
    /// # Errors
    /// Kind `not_found`: none has it; `usage`: several have.
    pub(super) fn resolve(&self, program: &str, command: &str) -> Result<(Name, String)> {
        let has = |manifest: &Manifest| api::command_named(manifest, command).is_ok();
        if !program.is_empty() {
            let name = Name::parse(program)?;
            let status = self.deployments.status(&name).filter(|_| !name.is_own());
            let serving = status.and_then(|status| self.programs.get(&status.serving?));
            if serving.is_some_and(|serving| has(&serving.manifest)) {
                return Ok((name, command.to_string()));
            }
            let message = format!("deployment '{name}' has no command '{command}', or is not loaded");
            return Err(Error::new(Kind::NotFound, message).hint("nexus list tells how each stands"));
        }
        let serving = self.deployments.list().filter_map(|status| status.serving);
        let serving = serving.filter_map(|id| self.programs.get(&id));
        let found: Vec<&Name> = serving
            .filter(|serving| has(&serving.manifest))
            .map(|serving| &serving.name)
            .collect();
        match found.as_slice() {
            [name] => Ok(((*name).clone(), command.to_string())),
            [] => {
                let message = format!("no program that is served has the command '{command}'");
                Err(Error::new(Kind::NotFound, message))
            }
            [first, second, ..] => {
                let message = format!("command '{command}' is of several programs: {first}, {second}");
                Err(Error::new(Kind::Usage, message).hint("name the program, as PROGRAM/COMMAND"))
            }
        }
    }

    /// Whether a kind names a command, of one program or of several.
    fn is_kind(&self, kind: &str) -> bool {
        let is_there = !self
            .resolve("", kind)
            .is_err_and(|error| error.kind == Kind::NotFound);
        if !is_there {
            self.missed.borrow_mut().push("".into());
        }
        is_there
    }

    /// What is missing for a command to be called.
    fn missing(&self, program: &str, command: &str) -> Option<Rc<str>> {
        let error = self.resolve(program, command).err()?;
        self.missed.borrow_mut().push(program.into());
        Some(match (program, error.kind) {
            ("", Kind::Usage) => format!("program: {}", error.message).into(),
            _ => missing_command(program, command),
        })
    }

    /// Does something with what nodes are built with; returned with the programs that were missed.
    pub(super) fn with_known<T>(self, build: impl FnOnce(&Known) -> T) -> (T, Vec<Rc<str>>) {
        let built = build(&Known {
            is_command: &|kind| self.is_kind(kind),
            missing: &|program, command| self.missing(program, command),
        });
        (built, self.missed.into_inner())
    }
}

/// The commands of a server's parts.
pub(super) fn of<'s>(deployments: &'s Deployments, programs: &'s Programs) -> Commands<'s> {
    Commands {
        deployments,
        programs,
        missed: RefCell::new(Vec::new()),
    }
}

impl Server {
    /// Nodes call commands of these programs: one that would be loaded with its first call is loaded now, since none comes
    /// while they wait for it.
    pub(super) fn want_programs(&mut self, missed: &[Rc<str>], now_ms: u64) {
        for program in missed {
            match &**program {
                "" => self.deployments.want(None, now_ms),
                program => {
                    if let Ok(name) = Name::parse(program) {
                        self.deployments.want(Some(&name), now_ms);
                    }
                }
            }
        }
    }

    /// Other commands may be served.
    pub(in crate::serve::server) fn note_commands(&mut self) {
        self.flows.has_new_commands = true;
    }

    /// Tells the nodes that call commands, once for all that has changed.
    pub(in crate::serve::server) fn tell_commands(&mut self, now_ms: u64) {
        if !std::mem::take(&mut self.flows.has_new_commands) {
            return;
        }
        let engine = &mut self.flows.engine;
        let commands = of(&self.deployments, &self.programs);
        let ((), missed) = commands.with_known(|known| engine.handle_commands(known, now_ms));
        self.want_programs(&missed, now_ms);
        for namespace in &self.flows.namespaces {
            self.flows.standings.touch(namespace);
        }
    }
}
