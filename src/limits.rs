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
