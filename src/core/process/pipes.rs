//! All pipes of a run, under the numbers of whoever waits for them. Applies no function and does no I/O.

use super::pipe::{Item, Pipe, Plan};
use super::table::{Owner, Table};
use crate::codec::schema::Types;
use crate::error::Result;

/// The pipes that are under way.
#[derive(Default)]
pub struct Pipes(Vec<(u64, Pipe)>);

/// What a pipe wants of whoever began it.
pub enum Wanted {
    /// Apply the function of a stage: [`Pipes::handle_applied`].
    Item(Item),
    /// Take what has come out of it in the end.
    Result(Result<Vec<u8>>),
}

impl Pipes {
    /// Begins a pipe.
    ///
    /// # Errors
    /// As [`Pipe::new`].
    pub fn begin(
        &mut self,
        token: u64,
        plan: Plan,
        table: &mut Table,
        types: &Types,
        now_ms: u64,
    ) -> Result<()> {
        let pipe = Pipe::new(plan, Owner::Pipe(token), table, types, now_ms)?;
        self.0.push((token, pipe));
        Ok(())
    }

    /// Whether none is under way.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A pipe that is under way.
    pub fn get_mut(&mut self, token: u64) -> Option<&mut Pipe> {
        let found = self.0.iter_mut().find(|(own, _)| *own == token);
        found.map(|(_, pipe)| pipe)
    }

    /// Gives up a pipe, if it is one and goes on.
    pub fn end(&mut self, token: u64, table: &mut Table, now_ms: u64) {
        if let Some(position) = self.0.iter().position(|(own, _)| *own == token) {
            let owner = self.0.swap_remove(position).1.owner();
            table.end_owner(owner, false, now_ms);
        }
    }

    /// Gives up all of them.
    pub fn end_all(&mut self, table: &mut Table, now_ms: u64) {
        for (_, pipe) in std::mem::take(&mut self.0) {
            table.end_owner(pipe.owner(), false, now_ms);
        }
    }

    /// What the function of a stage made of an item.
    pub fn handle_applied(&mut self, token: u64, stage: usize, number: u64, result: Result<Vec<u8>>) {
        if let Some((_, pipe)) = self.0.iter_mut().find(|(own, _)| *own == token) {
            pipe.handle_applied(stage, number, result);
        }
    }

    /// Moves on all that can be moved on, and tells what is wanted of whom. False if nothing could be.
    pub fn step(
        &mut self,
        table: &mut Table,
        types: &Types,
        now_ms: u64,
        mut wanted: impl FnMut(u64, Wanted),
    ) -> bool {
        let mut has_moved = false;
        for (token, pipe) in &mut self.0 {
            has_moved |= pipe.step(table, types, now_ms);
            while let Some(item) = pipe.poll_item() {
                wanted(*token, Wanted::Item(item));
            }
            if let Some(result) = pipe.poll_result() {
                wanted(*token, Wanted::Result(result));
            }
        }
        self.0.retain(|(_, pipe)| !pipe.is_ended());
        has_moved
    }

    /// The pipes, to be looked at.
    #[cfg(test)]
    pub fn iter(&self) -> impl Iterator<Item = &(u64, Pipe)> {
        self.0.iter()
    }
}
