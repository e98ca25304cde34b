//! How a session starts its pools and keeps their directory. What is started when is the hub's to decide.

use super::Session;
use crate::core::hub::{Function, PeerId, PoolSpec, Wiring};
use crate::error::{Error, Kind, Result};
use crate::ids::PoolId;
use crate::limits::WORKERS_MAX;
use crate::manifest::model::{Body, Lifetime, Manifest, Recycle, Transport};
use crate::shell::confine::give_directory;
use crate::shell::launch::{Launched, LaunchedWorker, Place, has_temp_dir, launch, launch_worker};
use crate::shell::output::Printed;
use crate::shell::processes::Owner;
use crate::sys::descriptor::make_temp_dir;
use crate::sys::process::cores;
use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

impl Session {
    pub(super) fn remove_dir(&mut self) {
        if let Some(dir) = self.dir.as_ref().filter(|_| self.has_dir) {
            // If it can't be removed, the user sees that it stands in their temp dir.
            let _ = std::fs::remove_dir_all(dir);
        }
    }

    /// Something is said to a worker of a pool with a parent, which is loaded then: a function may run, and look for the
    /// temp dir.
    pub(super) fn keep_dir(&mut self, peer: PeerId) {
        let transport = |pool: PoolId| self.manifest.pools[pool.index()].transport;
        if self.hub.pool_of_worker(peer).map(transport) == Some(Transport::Unix)
            && !self.hub.output(peer).is_empty()
        {
            self.keeps_dir = true;
            // Without it, functions go on that don't use it.
            let _ = self.make_dir();
        }
    }

    /// Makes the temp dir, if it is not there.
    fn make_dir(&mut self) -> Result<()> {
        if self.has_dir {
            return Ok(());
        }
        let parent = std::env::temp_dir();
        let made = match &self.dir {
            // A pool that failed may have left it.
            Some(dir) if dir.is_dir() => Ok(dir.clone()),
            Some(dir) => DirBuilder::new().mode(0o700).create(dir).map(|()| dir.clone()),
            None => make_temp_dir(&parent, "nexus."),
        };
        let dir = made.map_err(|error| {
            let message = format!("can't make a directory in {}: {error}", parent.display());
            Error::new(Kind::Io, message).hint("set TMPDIR to a directory that can be written")
        })?;
        give_directory(&self.manifest.pools, &dir);
        self.dir = Some(dir);
        self.has_dir = true;
        Ok(())
    }

    pub(super) fn spawn(&mut self, pool: PoolId, control: PeerId, worker: PeerId) -> Result<()> {
        self.make_dir()?;
        self.keeps_dir |= has_temp_dir(&self.manifest.pools[pool.index()]);
        let launched = launch(&self.manifest.pools[pool.index()], &self.place());
        // Neither after a failure nor while something else is in it has it been removed.
        self.has_dir = self.keeps_dir || self.dir.as_ref().is_some_and(|dir| dir.exists());
        let launched = launched?;
        let pid = launched.child.pid();
        let Launched {
            child,
            control: control_socket,
            worker: worker_socket,
            mut printed,
            life,
            door,
        } = launched;
        self.silence(&mut printed);
        match door {
            Some(door) => self.doors.insert(pool, door),
            None => self.doors.remove(&pool),
        };
        let polled = self.polling.view();
        self.processes
            .add(Owner::Pool(pool), child, printed, Some(life), polled)
            .and_then(|()| self.add_connection(control, mio::net::UnixStream::from_std(control_socket)))
            .and_then(|()| self.add_connection(worker, mio::net::UnixStream::from_std(worker_socket)))
            .map_err(poll_error)?;
        self.hub.handle_spawned(pool, pid);
        Ok(())
    }

    pub(super) fn spawn_worker(&mut self, pool: PoolId, worker: PeerId) -> Result<()> {
        let launched = launch_worker(&self.manifest.pools[pool.index()], &self.place())?;
        let pid = launched.child.pid();
        let LaunchedWorker {
            child,
            socket,
            mut printed,
            life,
        } = launched;
        self.silence(&mut printed);
        let polled = self.polling.view();
        self.processes
            .add(Owner::Worker(pool, worker), child, printed, Some(life), polled)
            .and_then(|()| self.add_connection(worker, mio::net::UnixStream::from_std(socket)))
            .map_err(poll_error)?;
        self.hub.handle_worker_spawned(worker, pid);
        Ok(())
    }

    /// What is printed is for whoever uses this session alone, if they want to be told.
    fn silence(&self, printed: &mut [Printed]) {
        if self.told.is_some() {
            printed.iter_mut().for_each(Printed::silence);
        }
    }

    fn place(&self) -> Place<'_> {
        Place {
            base: self.path.parent().unwrap_or(Path::new("")),
            run: &self.mark,
            dir: self.dir.as_deref(),
            keeps_dir: self.keeps_dir,
        }
    }
}

fn poll_error(error: io::Error) -> Box<Error> {
    Error::new(Kind::Io, format!("can't poll a pool: {error}"))
}

pub(super) fn specs(manifest: &Manifest) -> Vec<PoolSpec> {
    let cores = cores();
    let spec = |pool: &crate::manifest::model::Pool| PoolSpec {
        name: pool.name.clone(),
        workers_max: pool.workers.unwrap_or(cores - 1).clamp(1, WORKERS_MAX),
        hello_ms: pool.timeouts.hello_ms,
        call_ms: pool.timeouts.call_ms,
        shutdown_ms: pool.timeouts.shutdown_ms,
        wiring: match pool.transport {
            Transport::Unix => Wiring::Parent,
            Transport::Direct => Wiring::Direct,
            Transport::Stdio => Wiring::Remote,
        },
        recycle: match pool.lifetime {
            Lifetime::Shared => pool.recycle,
            Lifetime::Oneshot => Recycle {
                max_calls: Some(1),
                ..pool.recycle
            },
        },
        host: pool.host.clone(),
    };
    manifest.pools.iter().map(spec).collect()
}

pub(super) fn functions(manifest: &Manifest) -> Vec<Function> {
    let function = |command: &crate::manifest::model::Command| match command.body {
        Body::Remote { pool, mid, .. } => Some(Function {
            name: command.name.clone(),
            pool,
            mid,
        }),
        _ => None,
    };
    manifest.commands.iter().filter_map(function).collect()
}
