//! What the system tells of processes through `/proc`: their memory, what they wait for, and whether memory ran out. Where
//! `/proc` is missing it tells nothing, and nothing depends on it.

/// Resident memory of a process, in bytes; none if it is gone.
pub fn resident_bytes(pid: u32) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
    let pages: u64 = text.split_whitespace().nth(1)?.parse().ok()?;
    // SAFETY: sysconf takes and returns plain integers.
    let page_bytes = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    Some(pages * u64::try_from(page_bytes).ok()?)
}

/// How many processes of the machine the system has ended so far because there was no memory left.
pub fn out_of_memory_kills() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/vmstat").ok()?;
    let count = |line: &str| line.strip_prefix("oom_kill ")?.parse().ok();
    text.lines().find_map(count)
}

/// Threads of a process: how many of them wait for a lock of the process itself without a limit of time, and how many do
/// anything else. None if the system does not tell.
pub fn lock_waits(pid: u32) -> Option<(usize, usize)> {
    let (mut waiting, mut others) = (0, 0);
    for task in std::fs::read_dir(format!("/proc/{pid}/task")).ok()? {
        let text = std::fs::read_to_string(task.ok()?.path().join("syscall")).ok()?;
        match is_endless_lock_wait(&text) {
            true => waiting += 1,
            false => others += 1,
        }
    }
    Some((waiting, others))
}

/// Whether a thread is in `futex(FUTEX_WAIT..)` without a timeout, by its line in `/proc/<pid>/task/<tid>/syscall`: the
/// number of the call, then its arguments in hex.
fn is_endless_lock_wait(text: &str) -> bool {
    const COMMAND_MASK: u64 = 0x7f;
    const WAITS: [u64; 3] = [
        libc::FUTEX_WAIT as u64,
        libc::FUTEX_LOCK_PI as u64,
        libc::FUTEX_WAIT_BITSET as u64,
    ];
    let mut words = text.split_whitespace();
    if words.next().and_then(|number| number.parse().ok()) != Some(libc::SYS_futex) {
        return false;
    }
    let hex = |word: &str| u64::from_str_radix(word.trim_start_matches("0x"), 16).ok();
    let arguments: Vec<u64> = words.map_while(hex).collect();
    match arguments[..] {
        [_, operation, _, timeout, ..] => WAITS.contains(&(operation & COMMAND_MASK)) && timeout == 0,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lock_waits_are_told_from_others() {
        let check = |text: &str, expected: bool| assert_eq!(is_endless_lock_wait(text), expected, "{text}");
        let futex = libc::SYS_futex;
        check(
            &format!("{futex} 0x55 0x189 0x0 0x0 0x0 0xffffffff 0x7ff 0x7f0\n"),
            true,
        );
        check(&format!("{futex} 0x55 0x80 0x2 0x0 0x0 0x0 0x7ff 0x7f0\n"), true);
        check(
            &format!("{futex} 0x55 0x189 0x0 0x7ffe 0x0 0xffffffff 0x7ff 0x7f0\n"),
            false,
        );
        check(&format!("{futex} 0x55 0x81 0x1 0x0 0x0 0x0 0x7ff 0x7f0\n"), false);
        check(&format!("{futex}"), false);
        check("running\n", false);
        check("-1 0x7ffc 0x0\n", false);
        check("45 0x5 0x7f 0x40000 0x0 0x0 0x0 0x7ff 0x7f0\n", false);
    }

    #[test]
    fn this_process_has_memory_and_runs() {
        let own = std::process::id();
        assert!(resident_bytes(own).is_some_and(|bytes| bytes > 0));
        assert!(lock_waits(own).is_some_and(|(_, others)| others > 0));
        assert_eq!(resident_bytes(0), None);
    }
}
