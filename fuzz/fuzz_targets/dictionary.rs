//! Whatever an operator writes into a dictionary: it is read and holds together, or is refused by line. `cargo fuzz run dictionary fuzz/corpus/dictionary fuzz/seeds/dictionary`
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| ulna_fuzz::law("dictionary")(data));

#[cfg(not(fuzzing))]
fn main() {
    ulna_fuzz::replay("dictionary");
}
