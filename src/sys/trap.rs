//! The last words of a run that a bug of nexus ends. The static binary is built without the messages of panics, which are a
//! fortieth of it: what would panic executes an instruction that is a trap, and the kernel sends a signal.

use std::mem::MaybeUninit;
use std::ptr;

/// What a trap sends on this machine.
const SIGNAL: libc::c_int = match cfg!(target_arch = "x86_64") {
    true => libc::SIGILL,
    false => libc::SIGTRAP,
};

/// Has a bug named for what it is, with the place in the code where it showed.
pub fn prepare() {
    let handler: extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void) = say;
    let mut action = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: zeros are a valid action with an empty mask, and the handler only does what a handler may. It is called
    // once: the same signal then ends the process.
    unsafe {
        (*action.as_mut_ptr()).sa_sigaction = handler as usize;
        (*action.as_mut_ptr()).sa_flags = libc::SA_SIGINFO | libc::SA_RESETHAND;
        libc::sigaction(SIGNAL, action.as_ptr(), ptr::null_mut());
    }
}

extern "C" fn say(_: libc::c_int, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    let mut text =
        *b"nexus: error: a bug in nexus, at 0x0000000000000000: please report it with what you ran\n";
    let start = 35;
    // SAFETY: the kernel gives a handler of this kind a valid structure, and a trap has an address.
    let mut rest = unsafe { (*info).si_addr() } as usize;
    for digit in text[start..start + 16].iter_mut().rev() {
        *digit = b"0123456789abcdef"[rest & 15];
        rest >>= 4;
    }
    // SAFETY: the text is that long, and a handler may call both. The signal comes once more when this returns, and ends
    // the process, whoever sent it.
    unsafe {
        libc::write(libc::STDERR_FILENO, text.as_ptr().cast(), text.len());
        libc::raise(SIGNAL);
    }
}
