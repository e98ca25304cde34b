//! Speed of both directions, in megabytes of JSON text per second of the best of several rounds. Run it with
//! `cargo test --release --test codec -- --ignored throughput --nocapture`.

use crate::random::Random;
use nexus::codec::number::{float_text, write_f4};
use nexus::codec::schema::Types;
use nexus::codec::transcode::{Style, json_to_msgpack, msgpack_to_json};
use std::time::Instant;

const ROUNDS: usize = 9;

fn measure(name: &str, schema: &str, text: &str) {
    if std::env::var("ONLY").is_ok_and(|only| only != name) {
        return;
    }
    let mut types = Types::default();
    let ty = types.parse(schema).unwrap();
    let (mut bytes, mut back) = (Vec::new(), Vec::new());
    let (mut there, mut home) = (f64::INFINITY, f64::INFINITY);
    for _ in 0..ROUNDS {
        bytes.clear();
        let start = Instant::now();
        json_to_msgpack(&types, ty, text.as_bytes(), &mut bytes).unwrap();
        there = there.min(start.elapsed().as_secs_f64());
        back.clear();
        let start = Instant::now();
        msgpack_to_json(&types, ty, &bytes, Style::Compact, &mut back).unwrap();
        home = home.min(start.elapsed().as_secs_f64());
    }
    assert!(text.as_bytes() == back);
    let megabytes = text.len() as f64 / 1e6;
    println!(
        "{name:13} {megabytes:6.1} MB   JSON to msgpack {:7.1} MB/s   msgpack to JSON {:7.1} MB/s",
        megabytes / there,
        megabytes / home
    );
}

fn f4_text(value: f32) -> String {
    let mut text = Vec::new();
    write_f4(value, &mut text);
    String::from_utf8(text).unwrap()
}

fn list(count: usize, mut item: impl FnMut(usize) -> String) -> String {
    let items: Vec<String> = (0..count).map(&mut item).collect();
    format!("[{}]", items.join(","))
}

#[test]
#[ignore = "takes seconds and proves nothing; prints speeds"]
fn throughput() {
    let mut random = Random::new(1);
    measure("floats", "[f8]", &list(1_000_000, |_| float_text(random.unit())));
    measure(
        "decimals",
        "[f8]",
        &list(1_000_000, |_| (random.below(1 << 20) as f64 / 100.0).to_string()),
    );
    measure(
        "floats f4",
        "[f4]",
        &list(1_000_000, |_| f4_text(random.unit() as f32)),
    );
    measure(
        "ints",
        "[i8]",
        &list(1_000_000, |_| {
            (random.bits() as i64 >> random.below(64)).to_string()
        }),
    );
    measure(
        "small ints",
        "[i4]",
        &list(2_000_000, |_| random.below(1000).to_string()),
    );
    measure(
        "integers",
        "[j]",
        &list(1_000_000, |_| {
            (random.bits() as i64 >> random.below(64)).to_string()
        }),
    );
    let word = |random: &mut Random, len| -> String {
        (0..random.below(len))
            .map(|_| char::from(b'a' + random.below(26) as u8))
            .collect()
    };
    measure(
        "strings",
        "[s]",
        &list(500_000, |_| format!("\"{}\"", word(&mut random, 40))),
    );
    measure(
        "long text",
        "[s]",
        &list(2_000, |_| {
            format!("\"{}\\n{}\"", word(&mut random, 8000), word(&mut random, 8000))
        }),
    );
    measure(
        "accents",
        "[s]",
        &list(200_000, |_| {
            format!("\"né à {} – {}\"", word(&mut random, 20), word(&mut random, 20))
        }),
    );
    measure(
        "rows",
        "[{id:i4,city:s,population:i8,density:f8,country:s}]",
        &list(100_000, |id| {
            format!(
                "{{\"id\":{id},\"city\":\"{}\",\"population\":{},\"density\":{},\"country\":\"{}\"}}",
                word(&mut random, 20),
                random.below(20_000_000),
                float_text(random.unit() * 1000.0),
                word(&mut random, 16),
            )
        }),
    );
    measure(
        "records",
        "[{id:i4,name:s,score:f8,active:b,tags:[s],weights:[f8]}]",
        &list(100_000, |id| {
            format!(
                "{{\"id\":{id},\"name\":\"{}\",\"score\":{},\"active\":{},\"tags\":[\"{}\",\"{}\"],\"weights\":[{},{}]}}",
                word(&mut random, 20),
                float_text(random.unit() * 100.0),
                random.one_in(2),
                word(&mut random, 8),
                word(&mut random, 8),
                float_text(random.unit()),
                random.below(100),
            )
        }),
    );
    for digits in [30, 1_000, 100_000] {
        measure(
            &format!("{digits} digits"),
            "[j]",
            &list(1_000_000 / digits, |_| "7".repeat(digits)),
        );
    }
    measure(
        "bytes",
        "[y]",
        &list(10_000, |_| format!("\"{}\"", "QUJDREVGR0hJSktM".repeat(64))),
    );
}
