//! Whatever an operator writes into a configuration: it is taken, or refused by place, and tells no secret. `cargo fuzz run config fuzz/corpus/config fuzz/seeds/config`
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| ulna_fuzz::law("config")(data));

#[cfg(not(fuzzing))]
fn main() {
    ulna_fuzz::replay("config");
}
