//! Replays the corpora of the fuzz targets: every input in `fuzz/corpus` through the body that the fuzzer ran. Looks for
//! nothing new.

#[path = "../fuzz/src/lib.rs"]
mod bodies;

use std::fs;
use std::path::Path;

fn replay(target: &str, body: fn(&[u8])) {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/corpus")
        .join(target);
    let entries = fs::read_dir(&dir).expect("a target has a corpus");
    let mut count = 0;
    for entry in entries {
        let path = entry.expect("an entry can be read").path();
        let input = fs::read(&path).expect("an input can be read");
        // Only shown when the body panics.
        println!("{}", path.display());
        body(&input);
        count += 1;
    }
    assert!(count > 0, "{} is empty", dir.display());
}

macro_rules! targets {
    ($($target:ident)*) => {
        $(
            #[test]
            fn $target() {
                replay(stringify!($target), bodies::$target);
            }
        )*

        #[test]
        fn every_corpus_is_replayed() {
            let names = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/fuzz_targets"));
            for name in names.expect("the targets can be listed") {
                let name = name.expect("an entry can be read").file_name();
                let name = name.to_string_lossy();
                assert!([$(concat!(stringify!($target), ".rs")),*].contains(&name.as_ref()), "{name}");
            }
        }
    };
}

targets!(manifest schema msgpack transcode frame message expression args loc compose signatures http dns mcp routes cel specs zip);
