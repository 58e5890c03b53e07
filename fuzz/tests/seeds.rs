//! Every seed of every target, on stable and without a fuzzer.

use std::path::Path;

#[test]
fn laws_hold_for_all_seeds() {
    for (name, law) in ulna_fuzz::TARGETS {
        let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds").join(name);
        let files: Vec<_> = std::fs::read_dir(&seeds).expect("each target has seeds").collect();
        assert!(files.len() >= 10, "{name} has only {} seeds", files.len());
        for file in files {
            let path = file.expect("the folder can be read").path();
            let data = std::fs::read(&path).expect("a seed can be read");
            println!("{}", path.display());
            law(&data);
        }
    }
}
