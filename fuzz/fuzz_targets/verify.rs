//! Whatever a peer sends: what is believed has the digests that it should. `cargo fuzz run verify fuzz/corpus/verify fuzz/seeds/verify`
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| ulna_fuzz::law("verify")(data));

#[cfg(not(fuzzing))]
fn main() {
    ulna_fuzz::replay("verify");
}
