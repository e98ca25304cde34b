//! Feeds libFuzzer's inputs to [`nexus_fuzz::schema`].
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| nexus_fuzz::schema(input));
