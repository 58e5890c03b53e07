//! Whatever comes by a stream, in whatever segments: the same packets and the same end. The first eight octets are lengths of segments.
//! `cargo fuzz run stream_framing fuzz/corpus/stream_framing fuzz/seeds/stream_framing`
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| ulna_fuzz::law("stream_framing")(data));

#[cfg(not(fuzzing))]
fn main() {
    ulna_fuzz::replay("stream_framing");
}
