//! `memcpy` and `memmove` for the static build: those of musl take forty cycles for the few bytes that a codec mostly
//! copies, and were more than half of its time. Other targets have good ones, so there this is only tested; and without
//! optimisation the loads and stores below would be calls of these very functions.

use std::arch::asm;

/// Length up to which bytes are loaded whole before any is stored, so that the direction of an overlap is no matter.
const SHORT: usize = 64;

/// Copies at most [`SHORT`] bytes: the first and the last few, which overlap where there are fewer than both.
///
/// # Safety
/// `len` bytes can be read at `from` and written at `to`, which may overlap; `len` is not above [`SHORT`].
#[inline(always)]
unsafe fn copy_short(to: *mut u8, from: *const u8, len: usize) {
    /// Copies the first and the last `size_of::<T>()` bytes.
    #[inline(always)]
    unsafe fn ends<T: Copy>(to: *mut u8, from: *const u8, len: usize) {
        let last = len - size_of::<T>();
        // SAFETY: the caller has at least the size of a T there.
        unsafe {
            let (head, tail) = (
                from.cast::<T>().read_unaligned(),
                from.add(last).cast::<T>().read_unaligned(),
            );
            to.cast::<T>().write_unaligned(head);
            to.add(last).cast::<T>().write_unaligned(tail);
        }
    }
    // SAFETY: each arm copies no more than its lower bound on the length, from either end.
    unsafe {
        match len {
            0 => {}
            1..=3 => {
                let (middle, byte) = (len / 2, from.add(len / 2).read());
                ends::<u8>(to, from, len);
                to.add(middle).write(byte);
            }
            4..=7 => ends::<u32>(to, from, len),
            8..=15 => ends::<u64>(to, from, len),
            16..=32 => ends::<u128>(to, from, len),
            _ => ends::<[u128; 2]>(to, from, len),
        }
    }
}

/// Copies bytes upwards.
///
/// # Safety
/// `len` bytes can be read at `from` and written at `to`; if they overlap, `to` is below `from`.
#[inline(always)]
unsafe fn copy_up(to: *mut u8, from: *const u8, len: usize) {
    // SAFETY: as the caller promises; the direction flag is clear in all compiled code.
    unsafe {
        asm!("rep movsb", inout("rcx") len => _, inout("rdi") to => _, inout("rsi") from => _,
            options(nostack, preserves_flags));
    }
}

/// Copies bytes downwards.
///
/// # Safety
/// `len` bytes can be read at `from` and written at `to`; if they overlap, `to` is above `from`.
#[inline(always)]
unsafe fn copy_down(to: *mut u8, from: *const u8, len: usize) {
    // SAFETY: as the caller promises; the odd bytes at the end go first, then words; the direction flag is cleared again.
    unsafe {
        asm!("std", "rep movsb", "sub rdi, 7", "sub rsi, 7", "mov rcx, {words}", "rep movsq", "cld",
            words = in(reg) len / 8,
            inout("rcx") len % 8 => _,
            inout("rdi") to.wrapping_add(len).wrapping_sub(1) => _,
            inout("rsi") from.wrapping_add(len).wrapping_sub(1) => _,
            options(nostack));
    }
}

/// As C's `memcpy`.
///
/// # Safety
/// `len` bytes can be read at `from` and written at `to`, and do not overlap.
// SAFETY: it does what C asks of the function of that name, which calls of the compiler and of libc expect.
#[cfg_attr(not(test), unsafe(no_mangle))]
unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, len: usize) -> *mut u8 {
    // SAFETY: as the caller promises.
    unsafe {
        if len <= SHORT {
            copy_short(to, from, len);
        } else {
            copy_up(to, from, len);
        }
    }
    to
}

/// As C's `memmove`.
///
/// # Safety
/// `len` bytes can be read at `from` and written at `to`.
// SAFETY: it does what C asks of the function of that name, which calls of the compiler and of libc expect.
#[cfg_attr(not(test), unsafe(no_mangle))]
unsafe extern "C" fn memmove(to: *mut u8, from: *const u8, len: usize) -> *mut u8 {
    let distance = (to as usize).wrapping_sub(from as usize);
    // SAFETY: as the caller promises; only where `to` lies inside the source the upper bytes must go first.
    unsafe {
        if len <= SHORT {
            copy_short(to, from, len);
        } else if distance >= len {
            copy_up(to, from, len);
        } else {
            copy_down(to, from, len);
        }
    }
    to
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every length and every overlap, against the library's own.
    #[test]
    fn any_bytes_to_anywhere() {
        let source: Vec<u8> = (0..600).map(|byte| (byte % 251) as u8).collect();
        for len in (0..=140).chain([255, 256, 257, 300]) {
            for (from, to) in [
                (300, 0),
                (0, 300),
                (0, 0),
                (7, 9),
                (9, 7),
                (0, 1),
                (1, 0),
                (3, 60),
                (60, 3),
                (0, 130),
                (130, 0),
            ] {
                let (mut found, mut expected) = (source.clone(), source.clone());
                expected.copy_within(from..from + len, to);
                let start = found.as_mut_ptr();
                // SAFETY: all of it lies within the 600 bytes.
                unsafe {
                    memmove(start.add(to), start.add(from), len);
                }
                assert!(found == expected, "{len} bytes from {from} to {to}");
                let mut apart = vec![0; len];
                // SAFETY: the two are of that length, and apart.
                unsafe {
                    memcpy(apart.as_mut_ptr(), source.as_ptr().add(from), len);
                }
                assert!(apart == source[from..from + len], "{len} bytes from {from}");
            }
        }
    }
}
