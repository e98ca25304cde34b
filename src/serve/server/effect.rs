//! What the server wants done by whoever has files, sockets and processes. Does none of it.

use super::CallId;
use super::flows::{StoreAsk, Tested};
use crate::codec::zip::Entry;
use crate::error::Error;
use crate::flow::engine::TaskId;
use crate::flow::kinds::node::Service;
use crate::serve::deployment::DeploymentId;
use std::rc::Rc;

/// What the server wants done.
#[derive(Debug)]
pub enum Effect {
    /// Load a program; [`super::Server::handle_loaded`] or [`super::Server::handle_load_failed`] is told, once, and
    /// [`super::Server::handle_unloaded`] after an [`Effect::Unload`].
    Load {
        /// The generation.
        id: DeploymentId,
        /// Path of the program or folder.
        source: String,
        /// Its pools start with its first call.
        is_lazy: bool,
    },
    /// Unload it.
    Unload {
        /// The generation.
        id: DeploymentId,
        /// Whatever runs in it.
        is_at_once: bool,
    },
    /// Run a command; [`super::Server::handle_answer`] is told, once.
    Run {
        /// The call.
        call: CallId,
        /// The generation that runs it.
        id: DeploymentId,
        /// The position of the command in its manifest.
        command: usize,
        /// The arguments, each as msgpack.
        args: Vec<Vec<u8>>,
        /// When to give up, in milliseconds, if its client has said.
        timeout_ms: Option<u64>,
    },
    /// Give up a call, with that error.
    Cancel(CallId, Box<Error>),
    /// Tell which processes run and how pools stand: [`super::Server::handle_survey`].
    Survey(u64),
    /// End a worker's process: [`super::Server::handle_killed`].
    Kill(u64, u32),
    /// Put what was uploaded into a new directory: [`super::Server::handle_unpacked`].
    Unpack {
        /// What to name when it is done.
        ticket: u64,
        /// A name for the directory.
        id: String,
        /// What belongs there.
        entries: Vec<Entry>,
    },
    /// Remove such a directory; nothing uses it any more.
    Remove(String),
    /// Write a line to the log.
    Log(String),
    /// Read the configuration again.
    Reconfigure,
    /// End the server.
    Stop,
    /// Open what starts runs: [`super::Server::handle_opened`], once.
    OpenSource {
        /// Its number; a listener's clients come in by [`super::Door::Flow`].
        source: u64,
        /// What it is.
        service: Service,
    },
    /// Close it.
    CloseSource(u64),
    /// Connect to another server, and carry what [`super::Server::fetch_output`] has for it and what it says.
    Connect {
        /// By which it is known.
        task: TaskId,
        /// A name or an address.
        host: Rc<str>,
        /// The port.
        port: u16,
    },
    /// Close that connection.
    Disconnect(TaskId),
    /// Read or change the store: [`super::Server::handle_nodes`] if that changes nodes, then [`super::Server::handle_stored`].
    Store(Box<StoreAsk>),
    /// Tell how a test of a flow went.
    Tested(Tested),
}
