//! Service calls: whatever the guest passes, no panic, and nothing outside the SCCB changes.
#![no_main]

use adjunct_devices::sclp::{Consoles, ScpInfo, Sclp, ServiceCall};
use adjunct_hypervisor::{MemorySize, allocate};
use libfuzzer_sys::fuzz_target;
use vm_memory::{Bytes, GuestAddress};

// Each call: command, SCCB address, length of the block, the block.
fuzz_target!(|calls: Vec<(u32, u32, Vec<u8>)>| {
    let memory = allocate(MemorySize::MEBIBYTE).expect("1 MiB can be had");
    let info = ScpInfo { memory: 1 << 20, cpus: 1, ..ScpInfo::default() };
    let consoles = Consoles { ascii: Some(Box::new(std::io::sink())), line_mode: Some(Box::new(std::io::sink())) };
    let mut sclp = Sclp::new(info, consoles);
    for (command, address, block) in calls {
        let _ = sclp.push_input(&block[..block.len().min(32)]);
        let at = GuestAddress(u64::from(address) % (1 << 20));
        let _ = memory.write(&block, at);
        let before = dump(&memory);
        let call = ServiceCall { command, sccb: u64::from(address) };
        let answered = sclp.service_call(call, 0, &memory);
        let after = dump(&memory);
        let length = usize::from(u16::from_be_bytes(before.get(at.0 as usize..at.0 as usize + 2).map_or([0; 2], |b| [b[0], b[1]])));
        let sccb = at.0 as usize..(at.0 as usize + length.max(8)).min(after.len());
        for (n, (old, new)) in before.iter().zip(&after).enumerate() {
            assert!(old == new || (answered.is_ok() && sccb.contains(&n)), "byte {n:#x} changed");
        }
    }
});

fn dump(memory: &adjunct_hypervisor::GuestMemory) -> Vec<u8> {
    let mut bytes = vec![0; 1 << 20];
    memory.read_slice(&mut bytes, GuestAddress(0)).expect("all of it");
    bytes
}
