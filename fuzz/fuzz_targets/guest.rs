//! A whole VMM with a hostile guest on the simulated host, steered meanwhile: whatever the guest executes and whatever is
//! asked of the VMM, each question is answered, the VMM ends when it is told to, and nothing is held afterwards.
#![no_main]

use adjunct::{
    config::{Config, Image, VfioApOption},
    control::{Handle, mailbox},
    event::Events,
    host::{Host, builtin},
    vmm::{After, Vmm},
};
use adjunct_ap::{Apid, Sysfs};
use adjunct_fuzz::{Few, Place, Sparse};
use adjunct_simulator::SimHost;
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use std::{
    fs,
    path::PathBuf,
    sync::{LazyLock, OnceLock},
    thread,
    time::Duration,
};

#[derive(Debug, Arbitrary)]
struct Input {
    cpus: u8,
    without_device: bool,
    orders: Few<Order, 8>,
    /// What the first CPU executes, and what others do and who is interrupted.
    programs: [Few<Step, 12>; 3],
    /// Where interruptions lead: a way for each new PSW.
    new_psws: [Way; 5],
    pieces: Vec<(Place, Vec<u8>)>,
}

/// An instruction and the registers that it finds.
#[derive(Debug, Arbitrary)]
struct Step {
    instruction: Instruction,
    registers: [Value; 4],
}

#[derive(Clone, Copy, Debug, Arbitrary)]
enum Value {
    Small(u8),
    Place(Place),
    Queue(u8, u8),
    Sparse(Sparse),
    Any(u64),
}

#[derive(Clone, Copy, Debug, Arbitrary)]
enum Instruction {
    /// With a command of those that there are.
    Service(u8),
    Channel(u8, u16),
    Diagnose(u8, u8),
    Signal(u8, u8),
    Adjunct(u8, u8),
    LoadPsw(Place),
    /// STOSM with this mask.
    Enable(u8),
    Control(u8),
    /// Back by so many steps.
    Loop(u8),
    Table(u16, u64),
    Any([u8; 6]),
}

/// Where a new PSW leads.
#[derive(Clone, Copy, Debug, Arbitrary)]
enum Way {
    End,
    Program(u8),
    EnabledWait,
    Any(u64, u64),
}

#[derive(Clone, Copy, Debug, Arbitrary)]
enum Order {
    Pause,
    Resume,
    Reset,
    Reboot,
    PowerDown,
    Info,
    Counters,
    AddDevice(u8),
    RemoveDevice,
    Assign { mdev: u8, domain: bool, id: u8, gives: bool },
    Card(bool, bool),
    RemoveMdev(u8),
    Announce,
    Wait(u8),
}

const MDEVS: [&str; 3] = [
    "/sys/devices/vfio_ap/matrix/6c4a5d2e-0d3e-4c7a-9b0a-000000000001",
    "/sys/devices/vfio_ap/matrix/6c4a5d2e-0d3e-4c7a-9b0a-000000000002",
    "/sys/devices/vfio_ap/matrix/6c4a5d2e-0d3e-4c7a-9b0a-000000000003",
];
const ADAPTERS: [u8; 2] = [5, 6];
const DOMAINS: [u8; 4] = [4, 0x47, 0xab, 0xff];

/// Where the programs begin, and the registers of their steps.
const PROGRAMS: [u64; 3] = [0x4000, 0x5000, 0x6000];
const REGISTERS: u64 = 0x8000;
/// So long a step is: LMG, LCTLG or NOPs, the instruction.
const STEP: u64 = 24;
const IMAGE: usize = 0x2_0000;
const MASK: u64 = 0x0000_0001_8000_0000;
const WAIT: u64 = 0x0002_0000_0000_0000;
const ALL_ENABLED: u64 = 0x0304_0000_0000_0000;

impl Value {
    fn bits(self) -> u64 {
        match self {
            Self::Small(n) => n.into(),
            Self::Place(place) => place.address(),
            Self::Queue(adapter, domain) => {
                let queue = [ADAPTERS[usize::from(adapter & 1)], DOMAINS[usize::from(domain & 3)]];
                u64::from(u16::from_be_bytes(queue))
            }
            Self::Sparse(word) => word.word().into(),
            Self::Any(bits) => bits,
        }
    }
}

impl Step {
    /// Its registers and its text, at the address `at`.
    fn write(&self, image: &mut [u8], at: u64, first: u64, table: u64) {
        let [a, b, c, d] = self.registers.map(Value::bits);
        let mut gprs = [a, b, c, d, a, b, c, d, a, b, c, d, a, b, c, d];
        let text: Vec<u8> = match self.instruction {
            Instruction::Service(command) => {
                const COMMANDS: [u64; 6] =
                    [0x0002_0001, 0x0012_0001, 0x0001_0001, 0x0077_0005, 0x0076_0005, 0x0078_0005];
                gprs[1] = COMMANDS.get(usize::from(command)).copied().unwrap_or(c);
                vec![0xb2, 0x20, 0x00, 0x12]
            }
            Instruction::Channel(which, operand) => {
                const CHANNEL: [u8; 16] = [
                    0x30, 0x31, 0x32, 0x33, 0x34, 0x35, 0x36, 0x37, 0x38, 0x39, 0x3a, 0x3b, 0x3c, 0x5f, 0x74,
                    0x76,
                ];
                let [high, low] = operand.to_be_bytes();
                vec![0xb2, CHANNEL[usize::from(which & 15)], high, low]
            }
            Instruction::Diagnose(code, registers) => {
                const CODES: [u16; 8] = [0x308, 0x10, 0x44, 0x9c, 0x258, 0x500, 0x501, 0x308];
                let [high, low] = CODES[usize::from(code & 7)].to_be_bytes();
                vec![0x83, registers, high, low]
            }
            Instruction::Signal(order, registers) => {
                gprs[usize::from(registers & 15)] &= 3;
                vec![0xae, registers, 0, order & 0x1f]
            }
            Instruction::Adjunct(which, registers) => {
                let (opcode, function) = match which & 7 {
                    6 => (0xad, 0x4000_0000),
                    7 => (0xae, 0x8000_0000),
                    function => (0xaf, u64::from(function) << 24),
                };
                gprs[0] = function | gprs[0] & 0xff_ffff;
                vec![0xb2, opcode, 0, if which & 8 == 0 { registers & 0xee } else { registers }]
            }
            Instruction::LoadPsw(place) => {
                gprs[1] = place.address();
                vec![0xb2, 0xb2, 0x10, 0]
            }
            Instruction::Enable(mask) => vec![0xad, mask, 0x0f, 0xf0],
            // LCTLG from the registers' own table.
            Instruction::Control(registers) => {
                let [_, _, _, _, _, high, middle, low] = table.to_be_bytes();
                let displacement_high = high << 4 | middle >> 4;
                vec![0xeb, registers, middle & 15, low, displacement_high, 0x2f]
            }
            Instruction::Loop(steps) => {
                let back = (u64::from(steps % 12) * STEP).min(at - first) + 6;
                let halfwords = (back / 2).wrapping_neg() as u16;
                [vec![0xa7, 0xf4], halfwords.to_be_bytes().to_vec()].concat()
            }
            Instruction::Table(number, bits) => {
                let table = adjunct_zarch::instructions();
                let instruction = &table[usize::from(number) % table.len()];
                let bits = instruction.template() | bits & 0x00ff_ffff_ffff_0000;
                bits.to_be_bytes()[..instruction.length().into()].to_vec()
            }
            Instruction::Any(bytes) => bytes.to_vec(),
        };
        put(image, table, &gprs.map(u64::to_be_bytes).concat());
        let [_, _, _, _, _, high, middle, low] = table.to_be_bytes();
        let load = [0xeb, 0x0f, middle & 15, low, high << 4 | middle >> 4, 0x04];
        put(image, at, &load);
        put(image, at + 6, &text);
        let rest = (at + 6 + text.len() as u64..at + STEP).step_by(2);
        rest.for_each(|at| put(image, at, &[0x07, 0x00]));
    }
}

fn put(image: &mut [u8], at: u64, bytes: &[u8]) {
    let at = usize::try_from(at).unwrap_or(usize::MAX);
    if let Some(place) = at.checked_add(bytes.len()).and_then(|end| image.get_mut(at..end)) {
        place.copy_from_slice(bytes);
    }
}

fn put_psw(image: &mut [u8], at: u64, mask: u64, address: u64) {
    put(image, at, &[mask.to_be_bytes(), address.to_be_bytes()].concat());
}

impl Input {
    fn image(&self) -> Vec<u8> {
        let mut image = vec![0; IMAGE];
        for (place, bytes) in self.pieces.iter().take(16) {
            put(&mut image, place.address(), &bytes[..bytes.len().min(512)]);
        }
        put(&mut image, 0, &[0x00, 0x08, 0, 0, 0x80, 0, 0x40, 0]);
        let news = [0x1a0, 0x1b0, 0x1d0, 0x1e0, 0x1f0_u64];
        for (at, way) in news.into_iter().zip(self.new_psws) {
            let (mask, address) = match way {
                Way::End => (WAIT | MASK, 0xdead),
                Way::Program(n) => (MASK, PROGRAMS[usize::from(n) % 3]),
                Way::EnabledWait => (WAIT | ALL_ENABLED | MASK, 0),
                Way::Any(mask, address) => (mask, address),
            };
            put_psw(&mut image, at, mask, address);
        }
        for (n, (program, begin)) in self.programs.iter().zip(PROGRAMS).enumerate() {
            let steps = program.iter();
            let mut at = begin;
            for (table, step) in (REGISTERS + n as u64 * 0x1000..).step_by(128).zip(steps) {
                step.write(&mut image, at, begin, table);
                at += STEP;
            }
            // LPSWE of a disabled wait.
            put(&mut image, at, &[0xb2, 0xb2, 0x02, 0x00]);
        }
        put_psw(&mut image, 0x200, WAIT | MASK, 0);
        image
    }

    fn config(&self, kernel: PathBuf) -> Config {
        let device = (!self.without_device).then(|| option(0));
        Config { vcpus: u16::from(self.cpus % 3) + 1, kernel: Image::File(kernel), ..Config::apcheck(device) }
    }
}

fn option(mdev: usize) -> VfioApOption {
    format!("vfio-ap,sysfsdev={},id=ap0", MDEVS[mdev % 3]).parse().expect("well formed")
}

impl Order {
    /// Each is answered; what the answer is depends on when it comes.
    fn give(self, handle: &Handle, host: &SimHost) {
        let _ = match self {
            Self::Pause => handle.pause(),
            Self::Resume => handle.resume(),
            Self::Reset => handle.reset(),
            Self::Reboot => handle.reboot(),
            Self::PowerDown => handle.power_down(),
            Self::Info => handle.info().map(drop),
            Self::Counters => handle.counters().map(drop),
            Self::AddDevice(n) => handle.add_device(option(n.into())).map(drop),
            Self::RemoveDevice => handle.remove_device("ap0"),
            Self::Assign { mdev, domain, id, gives } => {
                let (name, known) =
                    if domain { ("domain", &DOMAINS[..]) } else { ("adapter", &ADAPTERS[..]) };
                let does = if gives { "assign" } else { "unassign" };
                let path = format!("{}/{does}_{name}", &MDEVS[usize::from(mdev) % 3]["/sys/".len()..]);
                let _ = host.write(&path, &known[usize::from(id) % known.len()].to_string());
                Ok(())
            }
            Self::Card(first, configured) => {
                let card = Apid(ADAPTERS[usize::from(first)]);
                host.adapters().operate(|machine| {
                    if let Some(card) = machine.cards.get_mut(&card) {
                        card.configured = configured;
                    }
                });
                Ok(())
            }
            // It waits until no guest has it.
            Self::RemoveMdev(n) => {
                let _ = host.write(&format!("{}/remove", &MDEVS[usize::from(n) % 3]["/sys/".len()..]), "1");
                Ok(())
            }
            Self::Announce => {
                host.config_changed();
                Ok(())
            }
            Self::Wait(time) => {
                thread::sleep(Duration::from_micros(u64::from(time) * 8));
                Ok(())
            }
        };
    }
}

/// Where images are: a file in memory, for each process one.
static KERNEL: LazyLock<PathBuf> =
    LazyLock::new(|| format!("/dev/shm/adjunct-fuzz-{}", std::process::id()).into());

/// Open files of this process.
fn files() -> usize {
    fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}

fuzz_target!(|input: Input| {
    fs::write(&*KERNEL, input.image()).expect("there is room for it");
    let simulated = builtin().expect("the built-in host starts");
    let host = Host::simulated(&simulated);
    let events = Events::default();
    let (handle, mailbox) = mailbox().expect("an eventfd");
    let config = input.config(KERNEL.clone());
    thread::scope(|scope| {
        let vmm = scope.spawn(|| Vmm::new(&host, &events, None, mailbox).run(config, After::End).map(drop));
        // It is answered when the guest runs.
        Order::Info.give(&handle, &simulated);
        for order in input.orders.iter() {
            order.give(&handle, &simulated);
        }
        // Most guests are done by then.
        Order::Wait(250).give(&handle, &simulated);
        let _ = handle.quit();
        vmm.join().expect("it does not panic").expect("the guest runs");
    });
    // A reset of queues that was under way goes on with the device alone, and gives it back then.
    while !simulated.acts().held().is_empty() {
        thread::sleep(Duration::from_micros(100));
    }
    drop((host, simulated, handle, events));
    static FILES: OnceLock<usize> = OnceLock::new();
    let open = files();
    assert!(open <= FILES.get_or_init(|| open) + 4, "{open} open files");
});
