//! SIGNAL PROCESSOR as a guest finds it: each order, what it does to the other CPU, and what is answered. What is the
//! kernel's and what is ours a guest can't tell.

use crate::guest_code::{Answer, Code, ends_well, psw};

/// Order codes (`arch/s390/include/asm/sigp.h`).
mod order {
    pub(super) const SENSE: u8 = 0x01;
    pub(super) const EXTERNAL_CALL: u8 = 0x02;
    pub(super) const EMERGENCY_SIGNAL: u8 = 0x03;
    pub(super) const START: u8 = 0x04;
    pub(super) const STOP: u8 = 0x05;
    pub(super) const RESTART: u8 = 0x06;
    pub(super) const STOP_AND_STORE_STATUS: u8 = 0x09;
    pub(super) const INITIAL_CPU_RESET: u8 = 0x0b;
    pub(super) const CPU_RESET: u8 = 0x0c;
    pub(super) const SET_PREFIX: u8 = 0x0d;
    pub(super) const STORE_STATUS_AT_ADDRESS: u8 = 0x0e;
    pub(super) const SET_ARCHITECTURE: u8 = 0x12;
    pub(super) const CONDITIONAL_EMERGENCY_SIGNAL: u8 = 0x13;
    pub(super) const SENSE_RUNNING: u8 = 0x15;
    pub(super) const STORE_ADDITIONAL_STATUS_AT_ADDRESS: u8 = 0x17;
    /// No order.
    pub(super) const NONE: u8 = 0x07;
}

use Answer::{Accepted, NotOperational, Status};

const OPERATING: Answer = Accepted;
const STOPPED: Answer = Status(0x40);
const CALL_PENDING: Answer = Status(0x80);
const STOPPED_AND_CALL_PENDING: Answer = Status(0xc0);
const INCORRECT_STATE: Answer = Status(0x200);
const INVALID_PARAMETER: Answer = Status(0x100);
const INVALID_ORDER: Answer = Status(0x002);
const NOT_RUNNING: u32 = 0x400;

/// Just beyond the memory of the guests here.
const OUTSIDE: u32 = 0x10_0000;
/// Where CPU 1 tells that it has come so far, or counts: zero at first.
const TOLD: u32 = 0x1_0000;
/// Where it begins.
const SECOND: u16 = 0x500;
/// A prefix area for it.
const PREFIX: u32 = 0x8000;
/// Where [`order::STOP_AND_STORE_STATUS`] stores it, and where it is told to be stored.
const SAVED: u32 = 0x1200;
const ELSEWHERE: u32 = 0x4000;

/// CPU 1 counts in [`TOLD`] for ever.
fn counts() -> Code {
    let code = Code::new().long(0xe358, 1, 0, TOLD).word(0x4110_1001).long(0xe350, 1, 0, TOLD); // ly; la; sty
    code.branch(15, SECOND)
}

/// Runs `first`, and `second` on CPU 1 once that is restarted. At the end CPU 1 is stopped, or the guest would not end.
#[track_caller]
fn both(host: &str, first: Code, second: &Code, elsewhere: &[(usize, &[u8])]) {
    both_with(host, first, second, elsewhere, &[]);
}

/// The same, and `words` are more options.
#[track_caller]
fn both_with(host: &str, first: Code, second: &Code, elsewhere: &[(usize, &[u8])], words: &[&str]) {
    let restart = psw(0, SECOND.into());
    let here: [(usize, &[u8]); 2] = [(0x1a0, &restart), (SECOND.into(), &second.bytes)];
    let first = first.sigp(1, order::STOP, 0, Accepted).well();
    ends_well(host, &first, &[&here[..], elsewhere].concat(), &[&["--smp", "2"], words].concat());
}

/// A CPU that loops is stopped, stands still, and goes on where it was.
pub(crate) fn stop_and_start(host: &str) {
    let mut code = Code::new()
        .sigp(1, order::SENSE, 0, STOPPED)
        .sigp(1, order::RESTART, 0, Accepted)
        .until(TOLD, false, 0)
        .sigp(1, order::SENSE, 0, OPERATING);
    // A second time, for what has been started with START and not with RESTART.
    for _ in 0..2 {
        code = code
            .sigp(1, order::STOP, 0, Accepted)
            .sigp(1, order::SENSE, 0, STOPPED)
            .long(0xe358, 6, 0, TOLD) // ly %r6
            .sigp(1, order::STOP, 0, Accepted);
        for _ in 0..8 {
            code = code.sigp(1, order::SENSE, 0, STOPPED);
        }
        code = code
            .step("the counter stands still")
            .long(0xe359, 6, 0, TOLD) // cy %r6
            .bad_if(7)
            .sigp(1, order::START, 0, Accepted)
            .long(0xe359, 6, 0, TOLD)
            .jump(8, -6)
            .sigp(1, order::SENSE, 0, OPERATING)
            .sigp(1, order::START, 0, Accepted);
    }
    both(host, code, &counts(), &[]);
}

/// A prefix is for a CPU that is stopped, and has to be in memory; then that CPU's first 8 KiB are there.
pub(crate) fn set_prefix(host: &str) {
    let first = Code::new()
        .sigp(1, order::RESTART, 0, Accepted)
        .until(TOLD, false, 0)
        .sigp(1, order::SET_PREFIX, PREFIX, INCORRECT_STATE)
        // Where it can't be is said first, as QEMU does.
        .sigp(1, order::SET_PREFIX, OUTSIDE, INVALID_PARAMETER)
        .sigp(1, order::STOP, 0, Accepted)
        .sigp(1, order::SET_PREFIX, OUTSIDE, INVALID_PARAMETER)
        .sigp(1, order::SET_PREFIX, 0x7fff_e000, INVALID_PARAMETER)
        .sigp(1, order::SET_PREFIX, OUTSIDE - 0x2000, Accepted)
        // What does not count of the parameter is as good as zero.
        .sigp(1, order::SET_PREFIX, 0x8000_1fff | PREFIX, Accepted)
        .sigp(1, order::RESTART, 0, Accepted)
        .until(TOLD + 4, false, 0)
        .holds(TOLD + 4, PREFIX)
        // Where it was stopped, in its own prefix area: in the loop, which sets no condition code.
        .holds_long(PREFIX + 0x120, 0x0000_0001_8000_0000)
        .holds(PREFIX + 0x128, 0)
        .step("an address in the loop")
        .long(0xe358, 1, 0, PREFIX + 0x12c)
        .word(0x5910_0910) // c %r1,0x910
        .bad_if(4)
        .word(0x5910_0914)
        .bad_if(2 | 8)
        .holds_long(0x128, 0);
    // stpx 0(%r5)
    let there = Code::new().load(5, TOLD + 4).word(0xb211_5000).jump(15, 0);
    let begin = u32::from(SECOND);
    let end = begin + u32::try_from(counts().bytes.len()).expect("short");
    let limits = [begin.to_be_bytes(), end.to_be_bytes()].concat();
    let restart = psw(0, 0x600);
    let area = PREFIX as usize;
    let elsewhere: [(usize, &[u8]); 3] =
        [(0x910, &limits), (area + 0x1a0, &restart), (area + 0x600, &there.bytes)];
    both(host, first, &counts(), &elsewhere);
}

/// What the registers of CPU 1 are given, by number.
fn pattern(register: u32) -> u64 {
    (0x0101_0101_0101_0101 * u64::from(register)) | 0x8000_0000_0000_0000
}

/// What its floating-point registers 0, 2, 4 and 6 are given: all that it has without the AFP-register control.
const FLOATS: [u64; 4] =
    [0x4011_2233_4455_6600, 0xc022_3344_5566_7700, 0x4133_4455_6677_8800, 0xc144_5566_7788_9900];

/// Loads them from this address on.
fn load_floats(code: Code, from: u32) -> Code {
    (0..4).fold(code, |code, n| code.word(0x6800_0000 | n << 21 | (from + 8 * n))) // ld
}

fn floats() -> Vec<u8> {
    FLOATS.into_iter().flat_map(u64::to_be_bytes).collect()
}

const CONTROL_13: u64 = 0x1357_9bdf_0246_8ace;
const COMPARATOR: u64 = 0x7f12_3456_789a_bcde;
const TIMER: u64 = 0x7fff_ffff_ffff_f000;
/// Where CPU 1 stays once its registers are as they shall be, and has told that.
const STAYS: u16 = 0x700;
/// Where it tells it: in its prefix area, because no register is left to reach further.
const FILLED: u16 = 0xb10;

/// Has CPU 1 fill its registers, which needs its prefix area, and then be stopped with its status stored; then what
/// `then` adds.
#[track_caller]
fn with_a_status(host: &str, then: impl FnOnce(Code) -> Code) {
    let fills = load_floats(Code::new(), 0xb20)
        .long(0xeb2f, 13, 13, 0x3080) // lctlg
        .word(0xb206_0b00) // sckc 0xb00
        .word(0xb208_0b08) // spt 0xb08
        .long(0xeb04, 0, 15, 0x3000) // lmg
        .branch(15, STAYS - 4);
    let stays = Code::new().word(0x9201_0000 | u32::from(FILLED)).jump(15, 0); // mvi
    let registers = (0..16).flat_map(|register| pattern(register).to_be_bytes());
    let registers: Vec<u8> = registers.chain(CONTROL_13.to_be_bytes()).collect();
    let timers = [COMPARATOR.to_be_bytes(), TIMER.to_be_bytes()].concat();
    let restart = psw(0, SECOND.into());
    let at = |address: u16| PREFIX as usize + usize::from(address);
    let floats = floats();
    let elsewhere: [(usize, &[u8]); 7] = [
        (at(0x1a0), &restart),
        (at(SECOND), &fills.bytes),
        (at(STAYS - 4), &stays.bytes),
        (at(0xb00), &timers),
        (at(0xb20), &floats),
        (0x3000, &registers),
        (ELSEWHERE as usize, &[0; 512]),
    ];
    let first = Code::new()
        .sigp(1, order::SET_PREFIX, PREFIX, Accepted)
        .sigp(1, order::RESTART, 0, Accepted)
        .until(PREFIX + u32::from(FILLED), false, 0)
        .sigp(1, order::STORE_STATUS_AT_ADDRESS, ELSEWHERE, INCORRECT_STATE)
        .sigp(1, order::STOP_AND_STORE_STATUS, 0, Accepted)
        .sigp(1, order::SENSE, 0, STOPPED);
    both(host, then(first), &Code::new(), &elsewhere);
}

/// Wants the status at `area` to have these, as the lowcore has them from 0x1200 on
/// (`arch/s390/include/asm/lowcore.h`, QEMU: `target/s390x/helper.c: SigpSaveArea`).
fn status(code: Code, area: u32, prefix: u32, address: u64, comparator: u64, control_13: u64) -> Code {
    let code = (0..16).fold(code, |code, n| code.holds_long(area + 0x80 + 8 * n, pattern(n)));
    let code = (0..).zip(FLOATS).fold(code, |code, (n, float)| code.holds_long(area + 16 * n, float));
    let mask = if address == 0 { 0 } else { 0x0000_0001_8000_0000 };
    let code = code.holds_long(area + 0x100, mask).holds_long(area + 0x108, address);
    let code = code.holds(area + 0x118, prefix).holds(area + 0x11c, 0).holds(area + 0x124, 0);
    let code = code.holds_long(area + 0x130, comparator >> 8);
    // As an initial CPU reset leaves them, but for 13.
    code.holds_long(area + 0x180, 0xe0)
        .holds_long(area + 0x180 + 8 * 13, control_13)
        .holds_long(area + 0x180 + 8 * 14, 0xc200_0000)
}

/// Wants both areas to have the same status, but for the CPU timer.
fn same_status(code: Code) -> Code {
    [(0x00, 0x80), (0x80, 0x80), (0x100, 0x28), (0x130, 0xd0)]
        .into_iter()
        .fold(code, |code, (at, length)| code.same(length, SAVED + at, ELSEWHERE + at))
}

/// The status of a CPU is stored in the lowcore at absolute 0, or where the order says, as it was when the CPU stopped.
pub(crate) fn store_status(host: &str) {
    with_a_status(host, |code| {
        let code = code.step("z/Architecture, in the lowcore at absolute 0").word(0x9501_00a3).bad_if(7);
        let code = status(code, SAVED, PREFIX, STAYS.into(), COMPARATOR, CONTROL_13);
        code.step("the CPU timer has not run for long")
            .long(0xe358, 1, 0, SAVED + 0x128)
            .word(0x8810_0010) // srl
            .is(1, 0x7fff)
            .holds_long(PREFIX + SAVED + 0x80 + 8, 0)
            .word(0x9200_00a3) // mvi 0xa3,0
            .sigp(1, order::STORE_STATUS_AT_ADDRESS, OUTSIDE, INVALID_PARAMETER)
            .sigp(1, order::STORE_STATUS_AT_ADDRESS, 0x8000_01ff | ELSEWHERE, Accepted)
            .step("the architecture is told in the lowcore only")
            .word(0x9500_00a3)
            .bad_if(7)
            .sigp(1, order::SENSE, 0, STOPPED)
    });
    with_a_status(host, |code| {
        let code = code.sigp(1, order::STORE_STATUS_AT_ADDRESS, ELSEWHERE, Accepted);
        // It goes on with what it had.
        same_status(code)
            .sigp(1, order::START, 0, Accepted)
            .sigp(1, order::STOP_AND_STORE_STATUS, 0, Accepted)
            .sigp(1, order::STORE_STATUS_AT_ADDRESS, ELSEWHERE, Accepted)
            .holds_long(SAVED + 0x108, STAYS.into())
            .holds_long(ELSEWHERE + 0x80 + 8 * 7, pattern(7))
    });
}

/// Registers that only some models have are stored where the order says, if `cpu`, as `--cpu` has it, has them.
pub(crate) fn store_additional_status(host: &str, cpu: &str, has_vector_registers: bool) {
    const ORDER: u8 = order::STORE_ADDITIONAL_STATUS_AT_ADDRESS;
    let answered = |answer| if has_vector_registers { answer } else { INVALID_ORDER };
    let code = Code::new()
        .sigp(1, order::RESTART, 0, Accepted)
        .until(TOLD, false, 0)
        .sigp(1, ORDER, ELSEWHERE, answered(INCORRECT_STATE))
        .sigp(1, order::STOP, 0, Accepted)
        // No such length, not on its boundary, not in memory.
        .sigp(1, ORDER, ELSEWHERE | 9, answered(INVALID_PARAMETER))
        .sigp(1, ORDER, ELSEWHERE + 0x200, answered(INVALID_PARAMETER))
        .sigp(1, ORDER, OUTSIDE, answered(INVALID_PARAMETER))
        .holds(ELSEWHERE, 0xeeee_eeee)
        .sigp(1, ORDER, ELSEWHERE, answered(Accepted));
    // A floating-point register is the left half of a vector register; what it makes of the right half is its own. The
    // others are as they were when the CPU was made.
    let code =
        (0..64).filter(|n| !has_vector_registers || ![1, 5, 9, 13].contains(n)).fold(code, |code, n| {
            let float = FLOATS.get(n / 4).filter(|_| n % 4 == 0).copied().unwrap_or_default();
            let stored = if has_vector_registers { float } else { 0xeeee_eeee_eeee_eeee };
            code.holds_long(ELSEWHERE + 8 * u32::try_from(n).expect("few"), stored)
        });
    let code = code.holds(ELSEWHERE + 0x200, 0xeeee_eeee).holds(ELSEWHERE + 0x3fc, 0xeeee_eeee);
    let mut second = load_floats(Code::new(), 0x910);
    second.bytes.extend(counts().bytes);
    let (area, floats) = ([0xee; 0x400], floats());
    let elsewhere: [(usize, &[u8]); 2] = [(ELSEWHERE as usize, &area), (0x910, &floats)];
    both_with(host, code, &second, &elsewhere, &["--cpu", cpu]);
}

/// A CPU reset leaves all registers; an initial one leaves the general registers, and no prefix.
pub(crate) fn cpu_resets(host: &str) {
    with_a_status(host, |code| {
        let code = code
            .sigp(1, order::START, 0, Accepted)
            .sigp(1, order::CPU_RESET, 0, Accepted)
            .sigp(1, order::SENSE, 0, STOPPED)
            .sigp(1, order::STORE_STATUS_AT_ADDRESS, ELSEWHERE, Accepted);
        let code = same_status(code)
            .sigp(1, order::START, 0, Accepted)
            .sigp(1, order::INITIAL_CPU_RESET, 0, Accepted)
            .sigp(1, order::SENSE, 0, STOPPED)
            .sigp(1, order::STORE_STATUS_AT_ADDRESS, ELSEWHERE, Accepted);
        // The CPU timer runs on from 0 while the host has the CPU in hand.
        status(code, ELSEWHERE, 0, 0, 0, 0)
    });
}

/// What one CPU signals another comes as the external interruption that it is, also when the other was stopped; a CPU
/// reset forgets it.
pub(crate) fn signals_to_another_cpu(host: &str) {
    let taken = |n: u32| TOLD + 8 + 4 * n;
    let first = Code::new()
        .sigp(1, order::RESTART, 0, Accepted)
        .until(TOLD, true, 1)
        .sigp(1, order::EMERGENCY_SIGNAL, 0, Accepted)
        .until(taken(0), false, 0)
        .holds(taken(0), 0x1201)
        .sigp(1, order::EXTERNAL_CALL, 0, Accepted)
        .until(taken(1), false, 0)
        // At once, while that CPU still handles it.
        .sigp(1, order::SENSE, 0, OPERATING)
        .holds(taken(1), 0x1202)
        .sigp(1, order::CONDITIONAL_EMERGENCY_SIGNAL, 0, Accepted)
        .until(taken(2), false, 0)
        .holds(taken(2), 0x1201)
        .sigp(1, order::STOP, 0, Accepted)
        .sigp(1, order::EXTERNAL_CALL, 0, Accepted)
        .sigp(1, order::EXTERNAL_CALL, 0, CALL_PENDING)
        .sigp(1, order::SENSE, 0, STOPPED_AND_CALL_PENDING)
        .holds(taken(3), 0)
        .sigp(1, order::START, 0, Accepted)
        .until(taken(3), false, 0)
        .holds(taken(3), 0x1202)
        .sigp(1, order::SENSE, 0, OPERATING)
        .sigp(1, order::STOP, 0, Accepted)
        .sigp(1, order::EMERGENCY_SIGNAL, 0, Accepted)
        .sigp(1, order::CPU_RESET, 0, Accepted)
        .sigp(1, order::EXTERNAL_CALL, 0, Accepted)
        .sigp(1, order::START, 0, Accepted)
        .until(taken(4), false, 0)
        // An emergency signal would have come first.
        .holds(taken(4), 0x1202);
    let second = Code::new()
        .long(0xeb2f, 0, 0, 0x910) // lctlg
        .load(6, taken(0))
        .store(TOLD, 1)
        .load_psw(0x920);
    // CPU address and code
    let takes = Code::new().long(0xe358, 1, 0, 0x84).word(0x5010_6000).word(0x4160_6004).load_psw(0x920);
    let [new, waits] = [psw(0, 0x600), psw(0x0102_0000_0000_0000, 0)];
    let elsewhere: [(usize, &[u8]); 4] =
        [(0x1b0, &new), (0x600, &takes.bytes), (0x910, &0x60e0_u64.to_be_bytes()), (0x920, &waits)];
    both(host, first, &second, &elsewhere);
}

/// Orders to a CPU that is not there, orders that are none, and those about running.
pub(crate) fn odd_orders(host: &str) {
    let orders = [
        order::SENSE,
        order::EXTERNAL_CALL,
        order::EMERGENCY_SIGNAL,
        order::START,
        order::STOP,
        order::RESTART,
        order::STOP_AND_STORE_STATUS,
        order::INITIAL_CPU_RESET,
        order::CPU_RESET,
        order::SET_PREFIX,
        order::STORE_STATUS_AT_ADDRESS,
        order::CONDITIONAL_EMERGENCY_SIGNAL,
        order::SENSE_RUNNING,
        order::STORE_ADDITIONAL_STATUS_AT_ADDRESS,
        order::NONE,
        0xff,
    ];
    let mut code = Code::new();
    for cpu in [2, 0xffff] {
        code = orders.iter().fold(code, |code, order| code.sigp(cpu, *order, 0, NotOperational));
    }
    for cpu in [0, 1] {
        code =
            [0, order::NONE, 0xff].iter().fold(code, |code, order| code.sigp(cpu, *order, 0, INVALID_ORDER));
    }
    // This one is for all CPUs, whichever it names.
    for cpu in [0, 1, 2] {
        code = code.sigp(cpu, order::SET_ARCHITECTURE, 1, INVALID_PARAMETER);
    }
    // Without facility 9 there is no such order.
    let facility_9 = code
        .word(0xb2b1_0000) // stfl
        .load(7, 0x002)
        .word(0x9140_00c9) // tm 0xc9,0x40
        .jump(8, 10)
        .load(7, NOT_RUNNING);
    let sensed = facility_9
        .step("a stopped CPU does not run")
        .load(4, 1)
        .word(0xae24_0000 | u32::from(order::SENSE_RUNNING))
        .bad_if(0xf & !4)
        .half(0x1527) // clr %r2,%r7
        .bad_if(7);
    both(host, sensed, &Code::new(), &[]);
}

/// A CPU that is ordered to stop has taken what was pending when its status is stored: here the exception of an
/// instruction that comes again and again.
pub(crate) fn interruptions_before_a_stop(host: &str) {
    const AGAIN: u16 = 0x600;
    let mut first = Code::new().sigp(1, order::RESTART, 0, Accepted).until(TOLD, true, 1).load(8, 100);
    let begin = first.bytes.len();
    first = first
        .sigp(1, order::STOP_AND_STORE_STATUS, 0, Accepted)
        .sigp(1, order::SENSE, 0, STOPPED)
        .holds_long(SAVED + 0x108, AGAIN.into())
        .sigp(1, order::START, 0, Accepted);
    let by = u16::try_from((first.bytes.len() - begin) / 2).expect("not that long");
    // brct %r8
    first = first.word(0xa786_0000 | u32::from(by.wrapping_neg()));
    let second = Code::new().store(TOLD, 1).branch(15, AGAIN);
    let [new, diagnose] = [psw(0, AGAIN.into()), Code::new().word(0x8300_0999).well().bytes];
    both(host, first, &second, &[(0x1d0, &new), (AGAIN.into(), &diagnose)]);
}

/// Two CPUs order each other without end: one is told that the other is busy, and both go on.
pub(crate) fn each_other(host: &str) {
    let again = Code::new().word(0xae24_0000 | u32::from(order::START)).bytes;
    let orders = |code: Code, other: u32| {
        let mut code = code.load(4, other).load(3, 0);
        code.bytes.extend(&again);
        code
    };
    let first = Code::new().sigp(1, order::RESTART, 0, Accepted).until(TOLD, true, 1).step("told to be busy");
    // Busy is condition code 2: on with what comes then. Else again, and in the end it has never been so.
    let first = orders(first.load(8, 1_000_000), 1).jump(2, 12);
    // brct %r8 to the order
    let first = first.word(0xa786_fffc).bad_if(15);
    let second = orders(Code::new().store(TOLD, 1), 0).jump(15, -4);
    both(host, first, &second, &[]);
}

/// On the simulated host.
mod simulator {
    #[test]
    fn a_cpu_that_is_stopped_stands_still_until_it_is_started() {
        super::stop_and_start("sim");
    }

    #[test]
    fn a_stopped_cpu_can_be_given_a_prefix_that_is_in_memory() {
        super::set_prefix("sim");
    }

    #[test]
    fn the_status_of_a_cpu_is_stored_where_the_architecture_has_it() {
        super::store_status("sim");
    }

    #[test]
    fn a_model_without_vector_registers_has_no_order_to_store_them() {
        super::store_additional_status("sim", "host", false);
    }

    #[test]
    fn a_cpu_reset_leaves_registers_and_an_initial_one_the_general_ones() {
        super::cpu_resets("sim");
    }

    #[test]
    fn signals_to_another_cpu_interrupt_it_unless_it_is_reset() {
        super::signals_to_another_cpu("sim");
    }

    #[test]
    fn orders_to_no_cpu_and_orders_that_are_none_are_answered() {
        super::odd_orders("sim");
    }

    #[test]
    fn a_cpu_takes_what_is_pending_before_it_stops() {
        super::interruptions_before_a_stop("sim");
    }

    #[test]
    fn of_two_cpus_that_order_each_other_one_is_busy() {
        super::each_other("sim");
    }
}
