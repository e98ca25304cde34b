//! What the hub wants done is done here, as far as there is anything to do it with. Checks what comes out of it.

use super::host;
use super::wire::{self, Answer};
use super::worker::Worker;
use super::world::{Event, World};
use crate::core::hub::{Effect, Note, PeerId, Wiring};
use crate::core::process::bridge::to_table;
use crate::core::process::table::{Asker, Owner};
use crate::error::Result;
use crate::limits::NOTE_BYTES_MAX;

impl World {
    /// Carries out what the hub wants, and checks what must hold.
    pub fn settle(&mut self) {
        loop {
            if let Some(effect) = self.hub.poll_effect() {
                if let Some(effect) = self.pass_to_table(effect) {
                    self.carry_out(effect);
                }
            } else if let Some(effect) = self.next_process_effect() {
                self.carry_out_process(effect);
            } else if let Some(id) = self.table.poll_output() {
                self.system.note_output(id);
            } else {
                self.tell_busy();
                if self.hub.effects.is_empty() {
                    break;
                }
            }
        }
        while let Some(id) = self.hub.poll_output() {
            if self.links.get(&id).is_some_and(|link| link.is_hub_open) {
                self.writable.insert(id);
            } else {
                assert!(self.hub.output(id).is_empty(), "nothing is sent to the dead");
            }
        }
        self.check();
    }

    /// Gives the table of worker processes what is for it, noted.
    fn pass_to_table(&mut self, effect: Effect) -> Option<Effect> {
        match effect {
            Effect::Process {
                worker,
                request,
                call,
                asked,
            } => {
                self.ask_of_table(Asker::Worker(worker, request), call.map(Owner::Call), asked);
                return None;
            }
            Effect::EndOwner(call, is_well) => self.note_owner_ended(Owner::Call(call), is_well),
            Effect::Close(id) => self.forget_peer(id.raw()),
            _ => {}
        }
        let left = to_table(effect, &mut self.table, self.now_ms);
        self.judge_queued();
        left
    }

    fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Spawn {
                pool,
                control,
                worker,
            } => {
                trace!(self, "spawn {pool:?}, control {control:?}, worker {worker:?}");
                self.spawn(pool.index(), control, worker);
            }
            Effect::Connect { pool, worker } => {
                trace!(self, "connect {pool:?}, worker {worker:?}");
                self.connect(pool.index(), worker);
            }
            Effect::Close(id) => {
                trace!(self, "close {id:?}");
                let link = self.links.get_mut(&id).expect("a connection is closed once");
                assert!(link.is_hub_open, "a connection is closed once");
                link.is_hub_open = false;
                link.to_hub.clear();
                self.writable.remove(&id);
                if !link.is_far_open {
                    self.links.remove(&id);
                }
            }
            Effect::Signal(pool, signal) => {
                trace!(self, "{signal:?} to {pool:?}");
                self.signal(pool.index(), signal);
            }
            Effect::SpawnWorker { pool, worker } => {
                trace!(self, "spawn worker {worker:?} of {pool:?}");
                self.spawn_worker(pool.index(), worker);
            }
            Effect::SignalWorker(worker, signal) => {
                trace!(self, "{signal:?} to {worker:?}");
                self.signal_worker(worker, signal);
            }
            Effect::Process { .. } | Effect::EndOwner(..) => {}
            Effect::Weigh(id, pid) => self.weigh(id, pid),
            Effect::Answer { token, result } if token >= host::TOKENS => self.answer_hosted(token, result),
            Effect::Answer { token, result } => self.answer(token as usize, result),
            Effect::Mark(_) => {}
            Effect::Host {
                call,
                mid,
                args,
                payload,
            } => self.begin_hosted(call, mid, args, &payload),
            Effect::CancelHost(call) => self.cancel_hosted(call),
            Effect::Note { pool, note, .. } => self.take_note(pool.index(), &note),
        }
    }

    /// Looks how much memory a worker holds, if it is still there.
    fn weigh(&mut self, id: PeerId, pid: u32) {
        let is_it = |worker: &&Worker| worker.link == Some(id);
        let Some(worker) = self.workers.iter().find(is_it) else {
            return;
        };
        assert!(
            worker.pid == pid || self.faults.garbage > 0,
            "it is weighed under its own name"
        );
        let pool = &self.pools[worker.pool].spec;
        assert!(pool.recycle.max_rss_bytes.is_some(), "it is weighed for a reason");
        assert!(pool.wiring != Wiring::Remote, "it is where it can be weighed");
        let rss_bytes = self.random.below(1500);
        trace!(self, "worker {id:?} holds {rss_bytes} bytes");
        self.hub.handle_weight(id, rss_bytes, self.now_ms);
    }

    /// A function logs a line of about so many bytes.
    pub fn log(&mut self, number: usize, plan: usize, bytes: usize) {
        let mut text = format!("plan {plan} logs ");
        while text.len() < bytes {
            let room = (bytes - text.len()).min(text.len());
            text.push_str(&"\u{e9}".repeat(room.div_ceil(2)));
        }
        if let Some(link) = self.workers[number].link {
            wire::log(self.out(link), &text);
        }
        let level = "info".into();
        self.expect_note(number, Note::Log { level, text });
    }

    /// A worker has said something.
    pub fn expect_note(&mut self, number: usize, note: Note) {
        let pool = self.workers[number].pool;
        let host = self.pools[pool].spec.host.as_ref();
        let may_say = host.is_none_or(|host| match note {
            Note::Log { .. } => host.log,
            Note::Progress { .. } => host.progress,
        });
        if may_say {
            self.notes.push((pool, note));
        }
    }

    fn take_note(&mut self, pool: usize, note: &Note) {
        let is_it = |(from, said): &(usize, Note)| *from == pool && is_same(said, note);
        let position = self.notes.iter().position(is_it);
        let position = position.unwrap_or_else(|| panic!("pool {pool} did not say {note:.100?}, or may not"));
        self.notes.swap_remove(position);
    }

    fn answer(&mut self, number: usize, result: Result<Vec<u8>>) {
        trace!(
            self,
            "client {number} is answered: {:?}",
            result.as_ref().map(Vec::len)
        );
        let client = &mut self.clients[number];
        assert!(client.is_asked, "who asked is answered");
        assert!(!client.is_answered, "a call is answered once");
        client.is_answered = true;
        client.over_ms = Some(self.now_ms - self.hurried_ms);
        let plan = client.plan;
        self.judge_result(plan, result.map_or_else(Answer::Error, Answer::Value));
        if self.over_at_ms.is_none()
            && self.clients.iter().all(|client| client.is_answered)
            && self.random.chance(500)
        {
            self.plan_event(0, Event::End(0));
        }
    }
}

/// Whether a note is what was said, as far as it is kept.
fn is_same(said: &Note, note: &Note) -> bool {
    let (Note::Log { text: said, level }, Note::Log { text, level: its }) = (said, note) else {
        return said == note;
    };
    if said == text {
        return level == its;
    }
    let Some((kept, more)) = text.rsplit_once("... (") else {
        return false;
    };
    let left = more
        .strip_suffix(" more bytes)")
        .and_then(|left| left.parse::<usize>().ok());
    // A character may be cut in two.
    let kept = kept.trim_end_matches('\u{fffd}');
    let in_all = kept.len() + left.unwrap_or(0);
    let is_as_long = (in_all..in_all + 4).contains(&said.len());
    is_as_long && said.starts_with(kept) && kept.len() + 100 > NOTE_BYTES_MAX
}
