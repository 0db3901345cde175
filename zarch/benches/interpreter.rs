//! Instructions a second of the interpreter: `cargo bench -p adjunct-zarch`. Throughput is printed as items, and an
//! item is an instruction.

use adjunct_zarch::ap::Adjuncts;
use adjunct_zarch::environment::{Enabled, Floating, Machine};
use adjunct_zarch::psw::{ADDRESSING_64, Psw};
use adjunct_zarch::storage::FlatStorage;
use adjunct_zarch::{Cpu, Environment, IMPLEMENTED_FACILITIES, Stop, Storage};
use divan::Bencher;
use divan::counter::ItemsCount;

/// `lghi 2,0; lghi 3,1; llilf 1,-1; agr 2,3; la 3,3(3); xgr 2,3; brctg 1,.-12; j .`
const LOOP: &[u8] = &[
    0xa7, 0x29, 0x00, 0x00, 0xa7, 0x39, 0x00, 0x01, 0xc0, 0x1f, 0xff, 0xff, 0xff, 0xff, 0xb9, 0x08, 0x00,
    0x23, 0x41, 0x30, 0x30, 0x03, 0xb9, 0x82, 0x00, 0x23, 0xa7, 0x17, 0xff, 0xfa, 0xa7, 0xf4, 0x00, 0x00,
];

/// Copies 256 KiB from 0x20000 to 0x60000 with `lg` and `stg`, two of each a round, and begins anew.
const COPY: &[u8] = &[
    0xc0, 0x1f, 0x00, 0x10, 0x00, 0x00, 0xc0, 0x2f, 0x00, 0x02, 0x00, 0x00, 0xc0, 0x3f, 0x00, 0x06, 0x00,
    0x00, 0xe3, 0x40, 0x20, 0x00, 0x00, 0x04, 0xe3, 0x40, 0x30, 0x00, 0x00, 0x24, 0xe3, 0x40, 0x20, 0x08,
    0x00, 0x04, 0xe3, 0x40, 0x30, 0x08, 0x00, 0x24, 0x41, 0x20, 0x20, 0x10, 0x41, 0x30, 0x30, 0x10, 0xc2,
    0x2e, 0x00, 0x06, 0x00, 0x00, 0xa7, 0x44, 0xff, 0xed, 0xa7, 0xf4, 0xff, 0xe2,
];

/// Lengths of Collatz sequences of 1, 2, 3...: `tmll`, shifts, a compare and branch, a call for each.
const BRANCHES: &[u8] = &[
    0xc0, 0x1f, 0x00, 0x00, 0x00, 0x01, 0xb9, 0x04, 0x00, 0x21, 0xc0, 0xe5, 0x00, 0x00, 0x00, 0x07, 0x41,
    0x10, 0x10, 0x01, 0xa7, 0xf4, 0xff, 0xf9, 0xa7, 0x59, 0x00, 0x00, 0xec, 0x28, 0x00, 0x13, 0x01, 0x7d,
    0xa7, 0x21, 0x00, 0x01, 0xa7, 0x84, 0x00, 0x07, 0xeb, 0x32, 0x00, 0x01, 0x00, 0x0d, 0x41, 0x22, 0x30,
    0x01, 0xeb, 0x22, 0x00, 0x01, 0x00, 0x0c, 0xa7, 0x5b, 0x00, 0x01, 0xa7, 0xf4, 0xff, 0xef, 0x07, 0xfe,
];

const START: u64 = 0x10000;
const INSTRUCTIONS: u64 = 2_000_000;

/// A machine with every facility there is, and nothing else.
struct Alone {
    facilities: [u8; 256],
    machine: Machine,
}

impl Alone {
    fn new() -> Self {
        let mut facilities = [0; 256];
        for number in IMPLEMENTED_FACILITIES {
            facilities[usize::from(number / 8)] |= 0x80 >> (number % 8);
        }
        Self { facilities, machine: Machine::default() }
    }
}

impl Environment for Alone {
    fn facilities(&self) -> &[u8; 256] {
        &self.facilities
    }
    fn machine(&self) -> &Machine {
        &self.machine
    }
    fn cpu_address(&self) -> u16 {
        0
    }
    fn tod(&self) -> u64 {
        0
    }
    fn set_tod(&mut self, _: u64) {}
    fn take_floating(&mut self, _: Enabled) -> Option<Floating> {
        None
    }
    fn adjuncts(&mut self) -> Option<&mut dyn Adjuncts> {
        None
    }
}

fn main() {
    divan::main();
}

fn run(bencher: Bencher<'_, '_>, program: &[u8]) {
    let storage = FlatStorage::new(0x10_0000);
    storage.write(START, program).expect("the program is small");
    let mut environment = Alone::new();
    let mut cpu = Cpu::new();
    cpu.state.psw = Psw::new(ADDRESSING_64, START);
    bencher.counter(ItemsCount::new(INSTRUCTIONS)).bench_local(|| {
        assert_eq!(cpu.run(&storage, &mut environment, INSTRUCTIONS), Stop::Budget);
    });
}

#[divan::bench]
fn small_loop(bencher: Bencher<'_, '_>) {
    run(bencher, LOOP);
}

#[divan::bench]
fn memory_copy(bencher: Bencher<'_, '_>) {
    run(bencher, COPY);
}

#[divan::bench]
fn branches(bencher: Bencher<'_, '_>) {
    run(bencher, BRANCHES);
}
