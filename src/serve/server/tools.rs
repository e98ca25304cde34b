//! What comes over HTTP from assistants (the Model Context Protocol): their requests, and the calls of tools. The protocol
//! itself is in `mcp`.

use super::calls::{Origin, RequestId};
use super::{ClientId, Server, client_gone};
use crate::core::hub::Note;
use crate::error::{Error, Kind, Result};
use crate::manifest::model::Manifest;
use crate::map::Map;
use crate::serve::deployment::Name;
use crate::serve::http::Request;
use crate::serve::mcp::{Effect, Offer, Program, Sessions, Tools};
use std::rc::Rc;

/// All assistants, and what they are offered.
#[derive(Default)]
pub(super) struct Assistants {
    pub sessions: Sessions,
    /// Made of what is loaded; none: that has changed.
    offered: Option<Rc<Offered>>,
    /// The server's calls, by those of the sessions.
    calls: Map<u64, super::CallId>,
}

struct Offered {
    programs: Vec<(Name, Rc<Manifest>)>,
    tools: Tools,
}

impl Assistants {
    /// Other programs are loaded.
    pub fn forget_offer(&mut self) {
        self.offered = None;
    }
}

impl Server {
    /// Takes a request of an assistant.
    pub(super) fn take_mcp(&mut self, client: ClientId, request: &Request, now_ms: u64) -> Result<()> {
        let Some(random) = self.config.random else {
            return Err(Error::new(Kind::Unavailable, "this server serves no assistants"));
        };
        let offered = self.offered();
        let programs: Vec<Program<'_>> = offered
            .programs
            .iter()
            .map(|(name, manifest)| Program {
                name: &name.name,
                manifest,
            })
            .collect();
        let offer = Offer {
            programs: &programs,
            tools: &offered.tools,
        };
        self.assistants
            .sessions
            .handle_request(client.raw(), request, random(), offer, now_ms);
        self.carry_out_mcp(now_ms);
        Ok(())
    }

    fn offered(&mut self) -> Rc<Offered> {
        if let Some(offered) = &self.assistants.offered {
            return Rc::clone(offered);
        }
        let serving = self.deployments.list();
        let serving = serving.filter_map(|status| {
            let program = self.programs.get(&status.serving?)?;
            Some((status.name.clone(), Rc::clone(&program.manifest)))
        });
        let programs: Vec<(Name, Rc<Manifest>)> = serving.collect();
        let named = programs.iter().map(|(name, manifest)| Program {
            name: &name.name,
            manifest,
        });
        let tools = Tools::of(&named.collect::<Vec<_>>());
        let offered = Rc::new(Offered { programs, tools });
        self.assistants.offered = Some(Rc::clone(&offered));
        offered
    }

    fn carry_out_mcp(&mut self, now_ms: u64) {
        while let Some(effect) = self.assistants.sessions.poll_effect() {
            match effect {
                Effect::Respond { to, response } => {
                    self.respond_mcp(ClientId::from_raw(to), response, now_ms);
                }
                Effect::Begin { to, head } => self.stream_mcp(ClientId::from_raw(to), |wire| {
                    wire.begin(head, now_ms);
                }),
                Effect::Push { to, bytes, is_note } => {
                    self.stream_mcp(ClientId::from_raw(to), |wire| {
                        if !is_note || wire.stream_room() >= bytes.len() {
                            wire.push(&bytes, now_ms);
                        }
                    });
                }
                Effect::End { to } => {
                    self.stream_mcp(ClientId::from_raw(to), |wire| wire.end(now_ms));
                }
                Effect::Call {
                    call,
                    program,
                    command,
                    args,
                } => self.call_tool(call, program, command, args, now_ms),
                Effect::Cancel { call } => {
                    if let Some(id) = self.assistants.calls.remove(&call) {
                        self.give_up(id, client_gone(), now_ms);
                    }
                }
            }
        }
    }

    fn call_tool(&mut self, call: u64, program: usize, command: usize, args: Vec<Vec<u8>>, now_ms: u64) {
        let offered = self.offered();
        let Some((name, manifest)) = offered.programs.get(program) else {
            return;
        };
        let command = crate::manifest::names::full_name(&manifest.commands[command]);
        let origin = Origin::Tool {
            call,
            manifest: Rc::clone(manifest),
            args,
        };
        self.requests += 1;
        let request_id = RequestId::Number(self.requests);
        let id = self.call(None, (name.clone(), command), origin, request_id, None, now_ms);
        if let Some(id) = id {
            self.assistants.calls.insert(call, id);
        }
    }

    /// The call of a tool has ended.
    pub(super) fn answer_tool(
        &mut self,
        call: u64,
        manifest: &Manifest,
        answer: Result<Vec<u8>>,
        now_ms: u64,
    ) {
        self.assistants.calls.remove(&call);
        self.assistants
            .sessions
            .handle_answer(call, manifest, answer, now_ms);
        self.carry_out_mcp(now_ms);
    }

    /// A function says something in the course of the call of a tool.
    pub(super) fn tell_tool(&mut self, call: u64, pool: &str, note: &Note, now_ms: u64) {
        match note {
            Note::Log { level, text } => self.assistants.sessions.handle_log(call, pool, level, text),
            Note::Progress { done, total, label } => {
                self.assistants
                    .sessions
                    .handle_progress(call, *done, *total, label);
            }
        }
        self.carry_out_mcp(now_ms);
    }
}
