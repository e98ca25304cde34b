//! Feeds libFuzzer's inputs to [`nexus_fuzz::dns`].
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| nexus_fuzz::dns(input));
