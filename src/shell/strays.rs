//! Processes that left their pool's group: they are found as this process's adopted children and ended.

use crate::sys::process;

/// Rounds of looking for children of children; each round ends all that there were.
const ROUNDS_MAX: usize = 100;

/// What is known of a child.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kin {
    /// It belongs to the run.
    Stray,
    /// It does not.
    Foreign,
    /// It can't be told yet.
    Unknown,
}

/// Ends every adopted process that was started with `mark` in its environment, and reaps what has ended. Children that this
/// process had before are left alone. Where the environment can't be seen, a process of one of `users`, for whom only pools
/// run here, is taken for a stray.
///
/// `own` are children whose ends somebody else waits for; they are left alone too.
pub fn end_strays(mark: &str, users: &[u32], own: &[u32]) {
    for _ in 0..ROUNDS_MAX {
        process::reap_others(own);
        let mut children = process::children();
        children.retain(|pid| !own.contains(pid));
        let kin: Vec<Kin> = children.iter().map(|pid| kin(*pid, mark, users)).collect();
        if kin.iter().all(|kin| *kin == Kin::Foreign) {
            return;
        }
        for (pid, kin) in children.into_iter().zip(kin) {
            if kin == Kin::Stray {
                process::kill_and_reap(pid);
            }
        }
    }
}

fn kin(pid: u32, mark: &str, users: &[u32]) -> Kin {
    let environment = process::environment(pid);
    let is_marked = |environment: &Vec<u8>| {
        environment
            .split(|byte| *byte == 0)
            .any(|entry| entry == mark.as_bytes())
    };
    if environment.as_ref().is_some_and(is_marked) {
        return Kin::Stray;
    }
    // Then its environment is lost, perhaps in the middle of reading it. What it has started comes here when it has ended,
    // so that is waited for, whosever it is.
    if process::is_ending(pid) {
        return Kin::Stray;
    }
    match environment {
        // It may be just between one program and the next.
        Some(environment) if environment.is_empty() => Kin::Unknown,
        None if process::user_of(pid).is_some_and(|user| users.contains(&user)) => Kin::Stray,
        _ => Kin::Foreign,
    }
}
