//! Attributes as text, both ways: what is printed is read. `cargo fuzz run text fuzz/corpus/text fuzz/seeds/text`
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| ulna_fuzz::law("text")(data));

#[cfg(not(fuzzing))]
fn main() {
    ulna_fuzz::replay("text");
}
