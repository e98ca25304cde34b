//! Every bound of the program in one place, its unit in its name and its reason beside it. Holds no code.

/// Nesting of a JSON text, a msgpack value or a schema, in levels: deeper than any real data, shallow enough for a
/// recursive reader on a 1 MiB stack.
pub const DEPTH_MAX: usize = 512;

/// Size of a manifest, in bytes: a hundred times the largest real one; it is read whole.
pub const MANIFEST_BYTES_MAX: usize = 16 << 20;

/// Types in one manifest's table, in nodes: bounds what a hostile schema may allocate.
pub const TYPES_MAX: usize = 1 << 20;

/// Payload of one frame, in bytes: what the four-byte length can say.
pub const FRAME_BYTES_MAX: u64 = u32::MAX as u64;

/// Envelope of a message, in bytes: ids, a method and a pool's name; more is not a message.
pub const HEAD_BYTES_MAX: usize = 1024;

/// Message that is waited for whole before it is passed on, in bytes: what one read from a socket brings at most.
pub const WHOLE_BYTES_MAX: usize = 64 << 10;

/// What one read from a socket takes, in bytes: above the default size of a socket's buffer.
pub const READ_BYTES: usize = 256 << 10;

/// Bytes that wait to be written to one peer before its writers are paused: a few reads, so that both sides stay busy.
pub const OUTBOX_BYTES_HIGH: usize = 1 << 20;

/// Requests of one worker that may be open at once: three times the deepest chain, and a bound for what a peer makes us keep.
pub const OPEN_REQUESTS_MAX: u32 = 1 << 16;

/// Payloads of all calls that wait for a worker, in bytes: beyond it a call is refused instead of kept.
pub const QUEUE_BYTES_MAX: usize = 256 << 20;

/// Wait for the reason of a worker's death once its connection is gone, in milliseconds; its parent reports within one.
pub const DEATH_REPORT_MS: u64 = 200;

/// Last lines of a pool's standard error that an error shows, and the most bytes kept of one.
pub const TAIL_LINES_MAX: usize = 20;
/// See [`TAIL_LINES_MAX`].
pub const TAIL_LINE_BYTES_MAX: usize = 500;

/// Workers of one pool, whatever its manifest says: each is a process and a descriptor.
pub const WORKERS_MAX: u32 = 4096;

/// Reads from one connection before the others have their turn.
pub const READS_PER_TURN_MAX: usize = 8;
