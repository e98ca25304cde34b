//! Feeds libFuzzer's inputs to [`nexus_fuzz::http`].
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| nexus_fuzz::http(input));
