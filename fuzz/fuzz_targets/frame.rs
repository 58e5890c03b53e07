//! Whatever a peer sends: framing finds every attribute or says why not. `cargo fuzz run frame fuzz/corpus/frame fuzz/seeds/frame`
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| ulna_fuzz::law("frame")(data));

#[cfg(not(fuzzing))]
fn main() {
    ulna_fuzz::replay("frame");
}
