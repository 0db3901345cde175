//! Service calls: whatever the guest passes, no panic, and nothing outside the SCCB changes.
#![no_main]

use adjunct_devices::sclp::{Consoles, Sclp, ScpInfo, ServiceCall};
use adjunct_hypervisor::{GuestMemory, MemorySize, allocate};
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;
use vm_memory::{Bytes, GuestAddress};

/// Shared by all runs: a mapping for each would be most of the time.
static MEMORY: LazyLock<GuestMemory> =
    LazyLock::new(|| allocate(MemorySize::MEBIBYTE).expect("1 MiB can be had"));

/// What is looked at: some pages around the block, which begins in the third.
const WINDOW: usize = 6 * 4096;

// Each call: command, SCCB address, the block.
fuzz_target!(|calls: Vec<(u32, u32, Vec<u8>)>| {
    let info = ScpInfo {
        memory: 1 << 20,
        cpus: 3,
        extended_length: calls.len().is_multiple_of(2),
        ..ScpInfo::default()
    };
    let consoles =
        Consoles { ascii: Some(Box::new(std::io::sink())), line_mode: Some(Box::new(std::io::sink())) };
    let mut sclp = Sclp::new(info, consoles);
    for (command, address, block) in calls {
        let _ = sclp.push_input(&block[..block.len().min(32)]);
        // Most addresses are good ones; the highest bits choose others.
        let address = if address >> 28 == 0 { u64::from(address) } else { u64::from(address) & 0xf_fff8 };
        let start = (address & 0xf_f000).clamp(2 * 4096, (1 << 20) - 4 * 4096) - 2 * 4096;
        let clean = [0; WINDOW];
        MEMORY.write_slice(&clean, GuestAddress(start)).expect("inside");
        let _ = MEMORY.write(&block, GuestAddress(address & 0xf_ffff));
        let before = window(start);
        let answered = sclp.service_call(ServiceCall { command, sccb: address }, 0, &MEMORY);
        let after = window(start);
        let at = usize::try_from(address.saturating_sub(start)).expect("small").min(WINDOW);
        let length = before.get(at..at + 2).map_or(0, |b| usize::from(u16::from_be_bytes([b[0], b[1]])));
        for (n, (old, new)) in before.iter().zip(&after).enumerate() {
            let inside = answered.is_ok() && (at..at + length.max(8)).contains(&n);
            assert!(old == new || inside, "byte {n:#x} of the window at {start:#x} changed");
        }
    }
});

fn window(start: u64) -> Vec<u8> {
    let mut bytes = vec![0; WINDOW];
    MEMORY.read_slice(&mut bytes, GuestAddress(start)).expect("inside");
    bytes
}
