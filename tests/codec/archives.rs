//! Archives and compressed data that python3 makes, of many sizes, levels and kinds of blocks: they become what they were made
//! of. Damaged ones are refused where zlib refuses them.

use nexus::codec::inflate::inflate;
use nexus::codec::zip;
use std::process::{Command, Stdio};

/// Reads what a script has written to `put`: blobs, each behind its length in four bytes.
struct Blobs(Vec<u8>);

impl Blobs {
    fn of(script: &str) -> Blobs {
        const START: &str = "import io, random, struct, sys, warnings, zipfile, zlib\n\
             def put(b): sys.stdout.buffer.write(struct.pack('<I', len(b)) + b)\n\
             random.seed(7)\n";
        let mut python = Command::new("python3");
        python.args(["-c", &format!("{START}{script}")]);
        let made = python.stderr(Stdio::inherit()).output().expect("python3 runs");
        assert!(made.status.success(), "python3 fails");
        Blobs(made.stdout.into_iter().rev().collect())
    }

    fn take(&mut self, count: usize) -> Vec<u8> {
        let at = self.0.len() - count;
        self.0.split_off(at).into_iter().rev().collect()
    }
}

impl Iterator for Blobs {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Vec<u8>> {
        if self.0.is_empty() {
            return None;
        }
        let length = self.take(4).try_into().expect("four bytes");
        Some(self.take(u32::from_le_bytes(length) as usize))
    }
}

/// Data of all kinds, and all ways in which zlib compresses them: 4 strategies and 10 levels, with windows of all sizes.
const STREAMS: &str = "
words = [bytes(random.choices(b'abcdefgh \\n', k=random.randrange(1, 12))) for _ in range(400)]
def data(size):
    yield bytes(size)
    yield random.randbytes(size)
    yield b''.join(random.choices(words, k=size))[:size]
    yield bytes(min(255, int(random.expovariate(0.05))) for _ in range(size))
def pack(plain, level, window, memory, strategy, flush):
    c = zlib.compressobj(level, zlib.DEFLATED, -window, memory, strategy)
    half = len(plain) // 2
    packed = c.compress(plain[:half])
    if flush: packed += c.flush(flush)
    return packed + c.compress(plain[half:]) + c.flush()
strategies = [zlib.Z_DEFAULT_STRATEGY, zlib.Z_HUFFMAN_ONLY, zlib.Z_RLE, zlib.Z_FIXED, zlib.Z_FILTERED]
flushes = [0, zlib.Z_SYNC_FLUSH, zlib.Z_FULL_FLUSH]
def streams(sizes):
    for size in sizes:
        for plain in data(size):
            for level in range(10):
                window, memory = random.choice([9, 12, 15, 15]), random.choice([1, 8, 9])
                yield plain, pack(plain, level, window, memory, random.choice(strategies), random.choice(flushes))
            for strategy in strategies:
                yield plain, pack(plain, 9, 15, 9, strategy, 0)
";

#[test]
fn what_zlib_compresses_is_unpacked() {
    let sizes = "[0, 1, 2, 3, 4, 10, 257, 258, 259, 1000, 5000, 32767, 32768, 32769, 70000, 300000]";
    let script = format!("{STREAMS}\nfor plain, packed in streams({sizes}):\n  put(plain); put(packed)");
    let mut blobs = Blobs::of(&script);
    let (mut streams, mut kinds) = (0, [0; 3]);
    while let (Some(plain), Some(packed)) = (blobs.next(), blobs.next()) {
        kinds[usize::from((packed[0] >> 1) & 3)] += 1;
        assert!(
            inflate(&packed, plain.len()).as_ref() == Ok(&plain),
            "stream {streams}"
        );
        if !plain.is_empty() {
            assert!(inflate(&packed, plain.len() - 1).is_err());
        }
        assert!(inflate(&packed, plain.len() + 1).is_err());
        assert!(inflate(&packed[..packed.len() - 1], plain.len()).is_err());
        streams += 1;
    }
    assert_eq!(streams, 16 * 4 * 15);
    assert!(kinds.iter().all(|kind| *kind > 50), "{kinds:?}");
}

#[test]
fn damaged_streams_are_those_of_zlib() {
    // What zlib makes of each: nothing, or what comes out.
    let script = format!(
        "{STREAMS}
for plain, packed in streams([1, 4, 20, 300, 2000]):
    for _ in range(12):
        bad = bytearray(packed)
        for _ in range(random.choice([1, 1, 2])):
            bad[min(len(bad) - 1, int(random.expovariate(0.05)))] ^= 1 << random.randrange(8)
        if random.random() < 0.2: bad = random.randbytes(random.randrange(1, 40))
        d = zlib.decompressobj(-15)
        try:
            out = d.decompress(bytes(bad))
            if not d.eof or d.unused_data: out = None
        except zlib.error:
            out = None
        put(bytes(bad)); put(b'' if out is None else b'+' + out)
"
    );
    let mut blobs = Blobs::of(&script);
    let (mut good, mut all) = (0, 0);
    while let (Some(damaged), Some(expected)) = (blobs.next(), blobs.next()) {
        all += 1;
        match expected.strip_prefix(b"+") {
            Some(plain) => {
                good += 1;
                assert!(
                    inflate(&damaged, plain.len()).as_deref() == Ok(plain),
                    "{damaged:02x?}"
                );
            }
            None => {
                // Its own size is not known; none fits.
                let found = inflate(&damaged, 1 << 20);
                let is_cut = found.is_err_and(|message| !message.contains("less than their size"));
                assert!(is_cut, "{damaged:02x?}");
            }
        }
    }
    assert!(all == 5 * 4 * 15 * 12 && good > 100, "{good} of {all}");
}

#[test]
fn archives_of_zipfile_are_read() {
    let script = r#"
class Pipe(io.RawIOBase):
    def __init__(self): self.bytes = b''
    def writable(self): return True
    def write(self, b): self.bytes += bytes(b); return len(b)
for seekable in [True, False]:
    for method in [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]:
        for count in [0, 1, 3, 200]:
            out = io.BytesIO() if seekable else Pipe()
            names = {}
            with zipfile.ZipFile(out, 'w', method) as z:
                z.comment = random.randbytes(random.choice([0, 9, 65535]))
                for n in range(count):
                    name = random.choice(['', 'a/', 'a/b c/', 'é/']) + f'{n}ü.py'
                    names[name] = random.randbytes(random.randrange(3)) * random.randrange(5000)
                    z.writestr(name, names[name])
                if count > 1:
                    z.writestr(zipfile.ZipInfo('empty/'), b'')
                    names['empty'] = None
            put(out.getvalue() if seekable else out.bytes)
            put(b''.join(struct.pack('<?II', names[n] is None, len(n.encode()), len(names[n] or b'')) + n.encode() + (names[n] or b'')
                for n in sorted(names, key=str.encode)))
"#;
    let mut blobs = Blobs::of(script);
    let mut count = 0;
    while let (Some(archive), Some(expected)) = (blobs.next(), blobs.next()) {
        count += 1;
        let entries = zip::read(&archive).unwrap_or_else(|flaw| panic!("archive {count}: {flaw:?}"));
        let mut found = Vec::new();
        for entry in entries {
            let bytes = entry.bytes.as_deref().unwrap_or_default();
            found.push(u8::from(entry.bytes.is_none()));
            found.extend((entry.path.len() as u32).to_le_bytes());
            found.extend((bytes.len() as u32).to_le_bytes());
            found.extend(entry.path.as_bytes());
            found.extend(bytes);
        }
        assert!(found == expected, "archive {count}");
    }
    assert_eq!(count, 16);
}
