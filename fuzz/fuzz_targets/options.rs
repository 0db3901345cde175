//! Option strings: never a panic, and what is written back means the same.
#![no_main]

use adjunct::config::{ConsoleTarget, EventTarget, HostChoice, Image, VfioApOption};
use adjunct_cpu_model::CpuSpec;
use adjunct_hypervisor::MemorySize;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(cpu) = text.parse::<CpuSpec>() {
        let written = cpu.to_string();
        assert_eq!(written.parse::<CpuSpec>().as_ref(), Ok(&cpu), "{written}");
        if let Ok(expanded) = cpu.expand() {
            let again = expanded.static_expansion().expand().expect("an expansion expands");
            assert_eq!(again.features, expanded.features);
        }
    }
    if let Ok(size) = text.parse::<MemorySize>() {
        assert_eq!(size.to_string().parse::<MemorySize>().ok(), Some(size));
    }
    let _ = text.parse::<VfioApOption>();
    let _ = text.parse::<EventTarget>();
    let _ = text.parse::<HostChoice>();
    let _ = text.parse::<ConsoleTarget>();
    let _ = text.parse::<Image>();
});
