//! What the server's state machine wants done, each effect in its place. Decides nothing.

use super::{Host, SIGKILL};
use crate::error::{Error, Kind};
use crate::serve::server::Effect;
use crate::sys::process::kill;

impl Host<'_> {
    /// Does one of them.
    pub(super) fn perform(&mut self, effect: Effect, now: u64) {
        match effect {
            Effect::Load { id, source, is_lazy } => self.load(id, &source, is_lazy, now),
            Effect::Unload { id, is_at_once } => match self.numbers.get(&id).copied() {
                Some(number) => {
                    if let Some((_, running)) = self.programs.get_mut(&number) {
                        running.end(is_at_once, now);
                    }
                    self.take_outcomes(number, now);
                }
                None => self.server.handle_unloaded(id, now),
            },
            Effect::Run {
                call,
                id,
                command,
                args,
                timeout_ms,
            } => {
                let number = self.numbers.get(&id).copied();
                let running = number.and_then(|number| self.programs.get_mut(&number));
                match (number, running) {
                    (Some(number), Some((_, running))) => {
                        running.begin(call, command, args, timeout_ms);
                        self.take_outcomes(number, now);
                    }
                    _ => {
                        let error = Error::new(Kind::Unavailable, "the program is gone");
                        self.server.handle_answer(call, Err(error), now);
                    }
                }
            }
            Effect::Cancel(call, error) => {
                let numbers: Vec<usize> = self.programs.keys().copied().collect();
                for number in numbers {
                    if let Some((_, running)) = self.programs.get_mut(&number) {
                        running.cancel(call, &error);
                    }
                    self.take_outcomes(number, now);
                }
            }
            Effect::Survey(ticket) => {
                let (mut processes, mut pools) = (Vec::new(), Vec::new());
                for (id, running) in self.programs.values() {
                    let name = self.server.name_of(*id);
                    processes.extend(running.processes(&name));
                    pools.extend(running.pools(&name));
                }
                self.server.handle_survey(ticket, &processes, &pools, now);
            }
            Effect::Kill(ticket, pid) => {
                let mut programs = self.programs.values();
                let is_own = programs
                    .any(|(_, running)| running.processes("").iter().any(|process| process.pid == pid));
                if is_own {
                    kill(pid, SIGKILL);
                }
                self.server.handle_killed(ticket, pid, is_own, now);
            }
            Effect::Unpack { ticket, id, entries } => {
                let unpacked = self.packages.unpack(&id, &entries);
                self.server.handle_unpacked(ticket, unpacked, now);
            }
            Effect::Remove(folder) => self.packages.remove(&folder),
            Effect::Log(line) => self.log.add(&line),
            Effect::Reconfigure => match (self.reconfigure)() {
                Ok(config) => self.server.configure(config),
                Err(error) => self
                    .log
                    .add(&format!("the configuration stays as it was: {error}")),
            },
            Effect::Stop => self.server.drain(now),
            Effect::OpenSource { source, service } => self.open_source(source, &service, now),
            Effect::CloseSource(source) => self.close_source(source),
            Effect::Connect { task, host, port } => self.connect(task, &host, port, now),
            Effect::Disconnect(task) => self.disconnect(task),
            Effect::Store(ask) => self.store(*ask, now),
            Effect::Tested(tested) => self.tell_tested(&tested),
        }
    }
}
