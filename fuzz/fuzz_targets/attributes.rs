//! Whatever stands in a packet: every attribute is read, and written again it is the same. `cargo fuzz run attributes fuzz/corpus/attributes fuzz/seeds/attributes`
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| ulna_fuzz::law("attributes")(data));

#[cfg(not(fuzzing))]
fn main() {
    ulna_fuzz::replay("attributes");
}
