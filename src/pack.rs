//! The build script: packs the runtimes of the languages, the pools of snippets and the server's page, which the binary carries. Builds no other language's code.

#[path = "codec/checksum.rs"]
mod checksum;
#[path = "codec/squeeze.rs"]
mod squeeze;

use std::path::Path;
use std::{env, fs};

const FILES: [&str; 12] = [
    "src/runtimes/python/nexus_pool.py",
    "src/runtimes/cpp/nexus.hpp",
    "src/runtimes/r/nexus_pool.R",
    "src/runtimes/r/nexus_pool.c",
    "src/runtimes/js/nexus_pool.js",
    "src/flow/languages/snippet.py",
    "src/flow/languages/snippet.js",
    "src/flow/languages/snippet.R",
    "src/flow/languages/sql.py",
    "src/serve/page/page.html",
    "src/serve/page/page.css",
    "src/serve/page/page.js",
];

fn main() {
    let out = env::var_os("OUT_DIR").expect("cargo names a directory for what is built");
    println!("cargo::rerun-if-changed=src/codec/squeeze.rs");
    println!("cargo::rerun-if-changed=src/codec/checksum.rs");
    for path in FILES {
        println!("cargo::rerun-if-changed={path}");
        let text = fs::read(path).expect("a file can be read");
        let packed = squeeze::pack(&text);
        assert!(
            squeeze::unpack(&packed, text.len()) == text,
            "{path} is not what was packed"
        );
        let (_, name) = path.rsplit_once('/').expect("a file has a name");
        let sum = checksum::sum(checksum::EMPTY, &text).to_le_bytes();
        fs::write(Path::new(&out).join(name), packed).expect("a packed file can be written");
        fs::write(Path::new(&out).join(format!("{name}.sum")), sum).expect("its checksum can be written");
    }
}
