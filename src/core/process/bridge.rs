//! What the hub and the table of worker processes want of each other: a worker asks through the hub, and its answer goes back
//! that way. Decides nothing.

use super::table::{self, Asker, Owner, Table};
use crate::core::hub::{self, Hub};

/// Gives the table what an effect of the hub has for it. One that wants more done than that comes back.
pub fn to_table(effect: hub::Effect, table: &mut Table, now_ms: u64) -> Option<hub::Effect> {
    match effect {
        hub::Effect::Process {
            worker,
            request,
            call,
            asked,
        } => table.request(
            Asker::Worker(worker, request),
            call.map(Owner::Call),
            asked,
            now_ms,
        ),
        hub::Effect::EndOwner(call, is_well) => table.end_owner(Owner::Call(call), is_well, now_ms),
        hub::Effect::Close(peer) => {
            table.forget_peer(peer);
            return Some(effect);
        }
        other => return Some(other),
    }
    None
}

/// Gives the hub what an effect of the table has for it. One that is not for the hub comes back.
pub fn to_hub(effect: table::Effect, hub: &mut Hub, now_ms: u64) -> Option<table::Effect> {
    match effect {
        table::Effect::Answer(Asker::Worker(worker, request), result) => {
            hub.handle_process_answer(worker, request, result);
        }
        table::Effect::Joined(Owner::Call(call)) => hub.handle_joined(call, now_ms),
        other => return Some(other),
    }
    None
}
