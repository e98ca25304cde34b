//! The policy of a pool in the terms of the system: its limits, whom it runs as, and why that failed. Applies none of it.

use super::accounts::{self, Account, GROUPS, USERS};
use crate::error::{Error, Kind, Result};
use crate::manifest::model::{Identity, Pool, Transport};
use crate::sys::process;
use crate::sys::spawn::{Credentials, Limit, Resource, SpawnError, Step};
use std::io;
use std::os::unix::fs::lchown;
use std::path::Path;

/// The number of the user who may become any other.
const ROOT: u32 = 0;

/// The limits that a pool declares.
pub fn limits(pool: &Pool) -> Vec<Limit> {
    let declared = [
        (Resource::Memory, pool.limits.memory_bytes),
        (Resource::Cpu, pool.limits.cpu_s),
        (Resource::OpenFiles, pool.limits.open_files),
        (Resource::Processes, pool.limits.processes),
    ];
    let limit = |(resource, most): (Resource, Option<u64>)| {
        Some(Limit {
            resource,
            most: most?,
        })
    };
    declared.into_iter().filter_map(limit).collect()
}

/// Whom a pool is to run as; none: as whom this process does.
///
/// # Errors
/// `spawn_failed` when this process can't become another, or when there is no such user or group.
pub fn credentials(pool: &Pool) -> Result<Option<Credentials>> {
    let Some(wanted) = wanted(pool) else {
        return Ok(None);
    };
    if process::user() != ROOT {
        let why = format!(
            "can't become {wanted}: nexus runs as {}, expected root",
            own_name()
        );
        let hint = "start the program as root, or remove \"user\" and \"group\" of the pool in the manifest";
        return Err(refused(pool, &why, hint));
    }
    resolve(pool).map(Some)
}

/// The users other than this process's own as whom pools run.
pub fn users(pools: &[Pool]) -> Vec<u32> {
    let users = pools.iter().filter_map(|pool| credentials(pool).ok()?);
    let users = users.map(|credentials| credentials.user);
    users.filter(|user| *user != process::user()).collect()
}

/// Gives the run's directory to the user of the pools that look for it, so that they can remove it when this process is gone.
///
/// Only where all have the same user. What belongs to one of several could be used by it to mislead the others; it is
/// left over then if this process is killed and none of its pools runs as root. A user that does not exist is reported when
/// its pool starts.
pub fn give_directory(pools: &[Pool], directory: &Path) {
    let mut owner: Option<Credentials> = None;
    for pool in pools.iter().filter(|pool| pool.transport == Transport::Unix) {
        match credentials(pool) {
            Ok(Some(found)) if owner.is_none_or(|owner| owner.user == found.user) => owner = Some(found),
            _ => return,
        }
    }
    if let Some(Credentials { user, group }) = owner {
        // If it is refused, the directory stays as it is, which is no worse than with several users.
        let _ = lchown(directory, Some(user), Some(group));
    }
}

fn resolve(pool: &Pool) -> Result<Credentials> {
    let (user, own_group) = match &pool.user {
        None => (process::user(), Some(process::group())),
        Some(user) => find(pool, "user", USERS, user)?,
    };
    let group = match &pool.group {
        None => own_group,
        Some(group) => Some(find(pool, "group", GROUPS, group)?.0),
    };
    let Some(group) = group else {
        let why = format!(
            "{USERS} doesn't say which group {} has",
            wanted(pool).unwrap_or_default()
        );
        return Err(refused(pool, &why, "add \"group\" to the pool in the manifest"));
    };
    Ok(Credentials { user, group })
}

/// The number of a user or group, and of a user its group; a number need not have a line.
fn find(pool: &Pool, what: &str, file: &str, identity: &Identity) -> Result<(u32, Option<u32>)> {
    let text = accounts::read(file);
    let lines = text.as_deref().unwrap_or_default();
    let matches = |account: &Account<'_>| match identity {
        Identity::Name(name) => account.name == name,
        Identity::Id(id) => account.id == *id,
    };
    match (accounts::accounts(lines).find(matches), identity, &text) {
        (Some(account), _, _) => Ok((account.id, account.group())),
        (None, Identity::Id(id), _) => Ok((*id, None)),
        (None, Identity::Name(name), Ok(_)) => {
            let why = format!("there is no {what} '{name}' in {file}");
            let hint = format!(
                "correct \"{what}\" of the pool in the manifest; any {what} can be given by its number"
            );
            Err(refused(pool, &why, &hint))
        }
        (None, Identity::Name(name), Err(error)) => {
            let why = format!("can't look up {what} '{name}': {file}: {error}");
            let hint = format!("give \"{what}\" of the pool in the manifest by its number");
            Err(refused(pool, &why, &hint))
        }
    }
}

/// Why a pool's program is not running; none if that is due to the program or its directory, not to the policy.
pub fn spawn_error(pool: &Pool, failed: &SpawnError) -> Option<Box<Error>> {
    let wanted = wanted(pool).unwrap_or_default();
    let error = &failed.error;
    let why = match failed.step {
        Step::Limit(resource) => {
            let limit = limits(pool)
                .into_iter()
                .find(|limit| limit.resource == resource)?;
            let (key, most) = (key(resource), limit.most);
            let hint = format!("correct \"{key}\" in \"limits\" of the pool in the manifest");
            return Some(refused(
                pool,
                &format!("can't set its limit {key} to {most}: {error}"),
                &hint,
            ));
        }
        Step::Program if error.kind() == io::ErrorKind::WouldBlock => {
            let most = pool.limits.processes?;
            let why = format!("its user already runs more processes than its limit of {most} allows");
            let hint = "raise \"processes\" in \"limits\" of the pool in the manifest: it counts all processes of the user";
            return Some(refused(pool, &why, hint));
        }
        Step::Groups => format!("can't leave the groups of nexus to become {wanted}: {error}"),
        Step::Group => format!("can't enter the group to become {wanted}: {error}"),
        Step::User => format!("can't become {wanted}: {error}"),
        Step::Check => format!("the system did not make it {wanted}, though it said so"),
        Step::Privileges => format!("can't give up gaining privileges as {wanted}: {error}"),
        Step::Process | Step::Descriptors | Step::Directory | Step::Program => return None,
    };
    let hint = "start the program as a root that may become other users, or remove \"user\" and \"group\" of the pool in the manifest";
    Some(refused(pool, &why, hint))
}

fn key(resource: Resource) -> &'static str {
    match resource {
        Resource::Memory => "memory_bytes",
        Resource::Cpu => "cpu_s",
        Resource::OpenFiles => "open_files",
        Resource::Processes => "processes",
    }
}

/// Whom the manifest names, as a message shows it.
fn wanted(pool: &Pool) -> Option<String> {
    let name = |what: &str, identity: &Identity| match identity {
        Identity::Name(name) => format!("{what} '{name}'"),
        Identity::Id(id) => format!("{what} {id}"),
    };
    match (&pool.user, &pool.group) {
        (None, None) => None,
        (Some(user), None) => Some(name("user", user)),
        (None, Some(group)) => Some(name("group", group)),
        (Some(user), Some(group)) => Some(format!("{} of {}", name("user", user), name("group", group))),
    }
}

/// Whom this process runs as, as a message shows it.
fn own_name() -> String {
    let own = process::user();
    let text = accounts::read(USERS).unwrap_or_default();
    let line = accounts::accounts(&text).find(|account| account.id == own);
    line.map_or_else(
        || format!("user {own}"),
        |account| format!("'{}' ({own})", account.name),
    )
}

fn refused(pool: &Pool, why: &str, hint: &str) -> Box<Error> {
    let message = format!("pool '{}' can't be started: {why}", pool.name);
    Error::new(Kind::SpawnFailed, message).hint(hint).pool(&pool.name)
}
