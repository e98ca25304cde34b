//! The allocator: small pieces come from memory that the process has from its start, until that is used up; the rest
//! comes from libc. Of the former only the piece given last can be given back. Small pieces of both are kept for the next of
//! their size: a server asks for the same ones with every call.
//!
//! Where nothing is left, the process says so and exits: what it started ends with it, as the kernel promises it.
//!
//! musl gives every size of piece a mapping of its own, and unmaps what becomes empty: a command of 160 us spent 45 of
//! them on 26 system calls for it.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::{Cell, UnsafeCell};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

/// Memory from the start, in bytes: several times what a short run needs. Pages of it that are never touched cost nothing.
const START_BYTES: usize = 256 << 10;

/// Largest piece of it, in bytes: a buffer that grows would use it up.
const PIECE_BYTES_MAX: usize = 16 << 10;

/// Pieces of the first are multiples of it, and so are those that are kept, in bytes.
const ALIGN: usize = 16;

/// Largest piece that is kept when it is given back, in bytes: names, messages and answers are mostly smaller.
const KEPT_BYTES_MAX: usize = 1024;

const SIZES: usize = KEPT_BYTES_MAX / ALIGN;

/// Pieces of libc that are kept of one size, in bytes together: what some clients need at once. All sizes: a MiB.
const KEPT_SIZE_BYTES_MAX: usize = 16 << 10;

/// Pieces of one size that nobody owns; the first bytes of each say where the next is.
struct Kept {
    first: Cell<*mut u8>,
    bytes: Cell<usize>,
}

thread_local! {
    // Nothing of it is to be dropped, so it is there as long as its thread.
    static KEPT: [Kept; SIZES] = const {
        [const {
            Kept {
                first: Cell::new(null_mut()),
                bytes: Cell::new(0),
            }
        }; SIZES]
    };
}

/// Which size a piece has among those that are kept, if it is one.
fn kept_size(bytes: usize, align: usize) -> Option<usize> {
    (bytes <= KEPT_BYTES_MAX && align <= ALIGN && bytes > 0).then(|| (bytes - 1) / ALIGN)
}

/// A piece of that size that was kept.
fn take_kept(size: usize) -> Option<*mut u8> {
    KEPT.with(|kept| {
        let kept = &kept[size];
        let piece = kept.first.get();
        if piece.is_null() {
            return None;
        }
        // SAFETY: nobody owns the piece, so its first bytes are what `keep` wrote there.
        kept.first.set(unsafe { piece.cast::<*mut u8>().read() });
        kept.bytes
            .set(kept.bytes.get().saturating_sub((size + 1) * ALIGN));
        Some(piece)
    })
}

/// Keeps a piece that nobody owns any more. False if there are enough of its size, and `is_own` does not say that it can be
/// given back nowhere.
fn keep(piece: *mut u8, size: usize, is_own: bool) -> bool {
    KEPT.with(|kept| {
        let kept = &kept[size];
        let bytes = kept.bytes.get() + (size + 1) * ALIGN;
        if bytes > KEPT_SIZE_BYTES_MAX && !is_own {
            return false;
        }
        // SAFETY: nobody owns the piece, which is aligned and has room for an address.
        unsafe { piece.cast::<*mut u8>().write(kept.first.get()) };
        kept.first.set(piece);
        kept.bytes.set(bytes);
        true
    })
}

#[repr(align(16))]
struct Start(UnsafeCell<[u8; START_BYTES]>);

// SAFETY: nothing reads or writes the bytes but the owners of pieces, which lie apart.
unsafe impl Sync for Start {}

static START: Start = Start(UnsafeCell::new([0; START_BYTES]));

/// How much of `START` is given.
static GIVEN_BYTES: AtomicUsize = AtomicUsize::new(0);

/// What even the shortest run uses of it, in bytes.
const FIRST_BYTES: usize = 48 << 10;

/// Has the first pages put in place by one system call instead of a page fault each. Nothing depends on it: Linux before
/// 5.14 refuses.
pub fn prepare() {
    let start = (START.0.get() as usize).next_multiple_of(PAGE_BYTES);
    // SAFETY: the pages lie in `START`, and populating does not change what they hold.
    unsafe { libc::madvise(start as *mut libc::c_void, FIRST_BYTES, libc::MADV_POPULATE_WRITE) };
}

const PAGE_BYTES: usize = 4096;

/// Exit code of a run that ends for want of memory: that of the kind `io`.
const EXIT_CODE: libc::c_int = 5;

/// Who allocates can go on without.
static IS_TRYING: AtomicBool = AtomicBool::new(false);

/// Allocates what may be too much: if it is, `allocate` is told so, and the process goes on.
pub fn attempt<T>(allocate: impl FnOnce() -> T) -> T {
    IS_TRYING.store(true, Relaxed);
    let done = allocate();
    IS_TRYING.store(false, Relaxed);
    done
}

/// Passes on a piece that libc gave. Without one Rust would abort: with a core dump, and a word that only programmers read.
fn given(piece: *mut u8) -> *mut u8 {
    if piece.is_null() && !IS_TRYING.load(Relaxed) {
        let text = b"nexus: error: out of memory: the system gives no more\n";
        // SAFETY: the text is that long, and _exit runs nothing of this process any more.
        unsafe {
            libc::write(libc::STDERR_FILENO, text.as_ptr().cast(), text.len());
            libc::_exit(EXIT_CODE);
        }
    }
    piece
}

struct Memory;

#[global_allocator]
static MEMORY: Memory = Memory;

/// Size of the large pages that Linux has on most machines, in bytes.
const LARGE_PAGE_BYTES: usize = 2 << 20;

/// Asks for large pages behind the room that a large buffer has left: to fill it then takes one page fault where it took
/// five hundred. Nothing depends on it.
pub fn expect_filling(buffer: &mut Vec<u8>) {
    let room = buffer.spare_capacity_mut();
    let start = (room.as_ptr() as usize).next_multiple_of(LARGE_PAGE_BYTES);
    let end = room.as_ptr() as usize + room.len();
    if start + LARGE_PAGE_BYTES <= end {
        // SAFETY: the pages lie in the buffer, and the advice changes what stands behind them, not what they hold.
        unsafe { libc::madvise(start as *mut libc::c_void, end - start, libc::MADV_HUGEPAGE) };
    }
}

/// A piece of `START`, if it is small and there is room.
fn take(layout: Layout) -> Option<*mut u8> {
    if layout.size() > PIECE_BYTES_MAX || layout.align() > ALIGN {
        return None;
    }
    let with_piece = |given: usize| {
        let end = given + layout.size().next_multiple_of(ALIGN);
        (end <= START_BYTES).then_some(end)
    };
    let given = GIVEN_BYTES.fetch_update(Relaxed, Relaxed, with_piece).ok()?;
    Some(START.0.get().cast::<u8>().wrapping_add(given))
}

/// Where a piece of `START` begins in it; none if it is libc's.
fn offset(piece: *mut u8) -> Option<usize> {
    let offset = (piece as usize).wrapping_sub(START.0.get() as usize);
    (offset < START_BYTES).then_some(offset)
}

/// Moves the end of the piece given last; false if it is another.
fn resize(offset: usize, old_bytes: usize, bytes: usize) -> bool {
    let old_end = offset + old_bytes.next_multiple_of(ALIGN);
    let end = offset + bytes.next_multiple_of(ALIGN);
    // A look is cheaper than a try.
    GIVEN_BYTES.load(Relaxed) == old_end
        && bytes <= PIECE_BYTES_MAX
        && end <= START_BYTES
        && GIVEN_BYTES
            .compare_exchange(old_end, end, Relaxed, Relaxed)
            .is_ok()
}

// SAFETY: pieces of `START` lie apart and are as large and aligned as asked; all others are the system's.
unsafe impl GlobalAlloc for Memory {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let Some(size) = kept_size(layout.size(), layout.align()) else {
            // SAFETY: the caller's promise is passed on.
            return take(layout).unwrap_or_else(|| given(unsafe { System.alloc(layout) }));
        };
        if let Some(piece) = take_kept(size) {
            return piece;
        }
        // SAFETY: the size is a small multiple of the alignment, and not zero.
        unsafe {
            let layout = Layout::from_size_align_unchecked((size + 1) * ALIGN, ALIGN);
            take(layout).unwrap_or_else(|| given(System.alloc(layout)))
        }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        let piece = match kept_size(layout.size(), layout.align()) {
            // SAFETY: the caller's promise is passed on.
            Some(_) => Some(unsafe { self.alloc(layout) }).filter(|piece| !piece.is_null()),
            None => take(layout),
        };
        match piece {
            Some(piece) => {
                // SAFETY: the piece is ours and that large. It may have been given before, so it isn't zero.
                unsafe { piece.write_bytes(0, layout.size()) };
                piece
            }
            // SAFETY: the caller's promise is passed on.
            None => given(unsafe { System.alloc_zeroed(layout) }),
        }
    }

    unsafe fn dealloc(&self, piece: *mut u8, layout: Layout) {
        let offset = offset(piece);
        if offset.is_some_and(|offset| resize(offset, layout.size(), 0)) {
            return;
        }
        let size = kept_size(layout.size(), layout.align());
        if size.is_none_or(|size| !keep(piece, size, offset.is_some())) && offset.is_none() {
            // SAFETY: the system gave it.
            unsafe { System.dealloc(piece, layout) };
        }
    }

    unsafe fn realloc(&self, piece: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        let size = kept_size(layout.size(), layout.align());
        let new_size = kept_size(bytes, layout.align());
        let offset = offset(piece);
        let fits = size.is_some() && size == new_size;
        if fits || offset.is_some_and(|offset| resize(offset, layout.size(), bytes)) {
            return piece;
        }
        if offset.is_none() && size.is_none() && new_size.is_none() {
            // SAFETY: the system gave it.
            return given(unsafe { System.realloc(piece, layout, bytes) });
        }
        // SAFETY: the caller promises that the new size is not zero and fits the alignment; a piece that is still owned
        // lies apart from a new one.
        unsafe {
            let moved = self.alloc(Layout::from_size_align_unchecked(bytes, layout.align()));
            if !moved.is_null() {
                moved.copy_from_nonoverlapping(piece, layout.size().min(bytes));
                self.dealloc(piece, layout);
            }
            moved
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether pieces keep their bytes while others come, grow and go, in both kinds of memory.
    fn check(sizes: &[usize]) {
        let mut pieces: Vec<Vec<u8>> = Vec::new();
        for (tag, size) in sizes.iter().enumerate() {
            pieces.push(vec![tag as u8; *size]);
            for piece in &mut pieces {
                let tag = piece.first().copied().unwrap_or_default();
                piece.extend_from_slice(&[tag; 9]);
                piece.shrink_to_fit();
            }
            pieces.rotate_left(1);
            if tag % 3 == 2 {
                pieces.pop();
            }
            assert!(vec![0u8; *size].iter().all(|byte| *byte == 0));
        }
        for piece in &pieces {
            assert!(piece.windows(2).all(|pair| pair[0] == pair[1]));
        }
    }

    #[test]
    fn pieces_keep_their_bytes() {
        check(&[1, 16, 17, 100, 3, 4096, 5, 40]);
        check(&[PIECE_BYTES_MAX - 5, PIECE_BYTES_MAX, PIECE_BYTES_MAX + 1, 1]);
        check(&[1000; 400]);
        check(&[500, 512, 513, 16, 32, 500, 512, 513, 496, 1]);
        // More than is kept of a size, and then all sizes in turn.
        let many: Vec<usize> = (0..600).map(|at| if at < 300 { 64 } else { at }).collect();
        check(&many);
    }

    #[test]
    fn pieces_are_aligned() {
        #[repr(align(64))]
        struct Wide([u8; 64]);
        for _ in 0..10 {
            let (wide, byte, number) = (Box::new(Wide([7; 64])), Box::new(1u8), Box::new(2u128));
            assert_eq!(&raw const *wide as usize % 64, 0);
            assert_eq!(&raw const *number as usize % 16, 0);
            assert_eq!((wide.0[63], *byte), (7, 1));
        }
    }
}
