//! The monotonic clock. The shell reads it once per turn of the loop and passes it down.

/// Milliseconds of the monotonic clock, from an arbitrary start.
pub fn now_ms() -> u64 {
    let (seconds, nanoseconds) = now();
    seconds * 1000 + nanoseconds / 1_000_000
}

/// Microseconds of the same clock, for those who measure.
pub fn now_us() -> u64 {
    let (seconds, nanoseconds) = now();
    seconds * 1_000_000 + nanoseconds / 1000
}

fn now() -> (u64, u64) {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is a valid timespec to write to; CLOCK_MONOTONIC always exists, so the call can't fail.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut time) };
    (time.tv_sec as u64, time.tv_nsec as u64)
}
