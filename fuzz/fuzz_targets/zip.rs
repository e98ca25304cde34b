//! Feeds libFuzzer's inputs to [`nexus_fuzz::zip`].
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| nexus_fuzz::zip(input));
