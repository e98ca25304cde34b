//! Processes that left their pool's group: they are found as this process's adopted children and ended.

use crate::sys::process;

/// Rounds of looking for children of children; each round ends all that there were.
const ROUNDS_MAX: usize = 100;

/// Ends every adopted process that was started with `mark` in its environment, and reaps what has ended. Children that this
/// process had before are left alone. Where the environment can't be seen, a process of one of `users`, for whom only pools
/// run here, is taken for a stray.
pub fn end_strays(mark: &str, users: &[u32]) {
    let is_stray = |pid: &u32| {
        process::has_environment_entry(*pid, mark)
            .unwrap_or_else(|| process::user_of(*pid).is_some_and(|user| users.contains(&user)))
    };
    for _ in 0..ROUNDS_MAX {
        while let Ok(Some(_)) = process::reap_any() {}
        let strays: Vec<u32> = process::children().into_iter().filter(is_stray).collect();
        if strays.is_empty() {
            return;
        }
        for pid in strays {
            process::kill_and_reap(pid);
        }
    }
}
