//! Host files: never a panic, neither reading one nor starting the host it describes.
#![no_main]

use adjunct_simulator::{HostFile, SimHost};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(file) = HostFile::parse(text) {
        let _ = SimHost::new(file);
    }
});
