//! The programs, run by an interpreter of the kernel's rules, against the policy read once more.

use super::*;
use libc::{SECCOMP_RET_LOG, SECCOMP_RET_TRAP};
use proptest::prelude::*;

const MACHINES: [Machine; 2] = [Machine::X86_64, Machine::S390x];
const KINDS: [Threads; 9] = [
    Threads::LOOP,
    Threads::LOOP.or(Threads::BUILD),
    Threads::VCPU,
    Threads::VCPU.or(Threads::SHARED),
    Threads::API,
    Threads::QMP,
    Threads::SIGNALS,
    Threads::START,
    Threads::EVERY,
];
const US: u32 = 4711;

/// What a thread asks of the kernel.
#[derive(Clone, Copy, Debug)]
struct Asked {
    number: u32,
    audit: u32,
    arguments: [u64; 6],
}

impl Asked {
    /// `struct seccomp_data` in the memory of `machine`.
    fn bytes(&self, machine: Machine) -> Vec<u8> {
        let word =
            |value: u32| if machine.is_big_endian() { value.to_be_bytes() } else { value.to_le_bytes() };
        let long =
            |value: u64| if machine.is_big_endian() { value.to_be_bytes() } else { value.to_le_bytes() };
        let mut bytes = [word(self.number), word(self.audit)].concat();
        bytes.extend(long(0x3ff_1234_5678));
        bytes.extend(self.arguments.iter().flat_map(|argument| long(*argument)));
        assert_eq!(bytes.len(), 64);
        bytes
    }
}

/// What the kernel takes (`kernel/seccomp.c: seccomp_check_filter`, `net/core/filter.c: bpf_check_classic`).
fn assert_is_taken(program: &[sock_filter]) {
    assert!((1..=4096).contains(&program.len()), "{}", program.len());
    assert_eq!(program.last().map(|last| last.code), Some(RET_K));
    for (at, instruction) in program.iter().enumerate() {
        let rest = program.len() - at - 1;
        match instruction.code {
            LD_W_ABS => assert!(instruction.k < 64 && instruction.k % 4 == 0),
            JA => assert!((instruction.k as usize) < rest),
            JEQ | JGE | JSET => assert!(usize::from(instruction.jt.max(instruction.jf)) < rest),
            ALU_AND_K | RET_K => {}
            code => panic!("instruction {code:#x}"),
        }
    }
}

/// Runs a program as the machine does whose words `bytes` holds.
fn run(program: &[sock_filter], bytes: &[u8], machine: Machine) -> u32 {
    let (mut accumulator, mut at) = (0_u32, 0);
    loop {
        let sock_filter { code, jt, jf, k } = program[at];
        at += 1;
        let mut branch = |holds: bool| at += usize::from(if holds { jt } else { jf });
        match code {
            LD_W_ABS => {
                let word: [u8; 4] = bytes[k as usize..][..4].try_into().expect("four bytes");
                accumulator =
                    if machine.is_big_endian() { u32::from_be_bytes(word) } else { u32::from_le_bytes(word) };
            }
            ALU_AND_K => accumulator &= k,
            JA => at += k as usize,
            JEQ => branch(accumulator == k),
            JGE => branch(accumulator >= k),
            JSET => branch(accumulator & k != 0),
            RET_K => return k,
            code => panic!("instruction {code:#x}"),
        }
    }
}

/// What the policy has for threads of these kinds, with the numbers of the calls.
fn permissions(threads: Threads, machine: Machine) -> Vec<(u32, When)> {
    let number = |name| Call::named(name).and_then(|call| call.number(machine)).expect("the machine has it");
    let mut permissions: Vec<_> = rows(threads, machine).map(|row| (number(row.call), row.when)).collect();
    if machine == Machine::S390x {
        // include/uapi/linux/net.h
        const SYS: [(&str, u32); 17] = [
            ("socket", 1),
            ("bind", 2),
            ("connect", 3),
            ("listen", 4),
            ("getsockname", 6),
            ("socketpair", 8),
            ("sendto", 9),
            ("recvfrom", 10),
            ("sendto", 11),
            ("recvfrom", 12),
            ("shutdown", 13),
            ("setsockopt", 14),
            ("getsockopt", 15),
            ("sendmsg", 16),
            ("recvmsg", 17),
            ("accept4", 5),
            ("accept4", 18),
        ];
        for row in rows(threads, machine) {
            let which = SYS.iter().filter(|(name, _)| *name == row.call);
            permissions.extend(which.map(|(_, which)| (102, When::Is(0, *which))));
        }
    }
    permissions
}

/// What the policy says, read without an assembler.
fn verdict(permissions: &[(u32, When)], machine: Machine, asked: &Asked) -> u32 {
    if asked.audit != machine.audit() {
        return SECCOMP_RET_TRAP;
    }
    for (_, when) in permissions.iter().filter(|(number, _)| *number == asked.number) {
        #[expect(clippy::cast_possible_truncation, reason = "the low half is what is meant")]
        let low = |argument: u8| asked.arguments[usize::from(argument)] as u32;
        let holds = match *when {
            When::Always => true,
            When::Is(argument, value) => low(argument) == value,
            When::IsUs(argument) => low(argument) == US,
            When::Has(argument, bits) => !low(argument) & bits == 0,
            When::Lacks(argument, bits) => low(argument) & bits == 0,
            When::Unknown => return SECCOMP_RET_ERRNO | 38,
            When::Never => return SECCOMP_RET_KILL_PROCESS,
        };
        if holds {
            return SECCOMP_RET_ALLOW;
        }
    }
    SECCOMP_RET_TRAP
}

fn answered(threads: Threads, machine: Machine, asked: &Asked) -> u32 {
    run(&compile(threads, machine, SECCOMP_RET_TRAP, US), &asked.bytes(machine), machine)
}

/// The values that rows speak of, and those beside them.
fn telling_values() -> Vec<u32> {
    let mut values = vec![0, 1, US, u32::MAX];
    // All that socketcall has, and more.
    values.extend(1..24);
    for machine in MACHINES {
        for row in rows(Threads::EVERY, machine) {
            match row.when {
                When::Is(_, value) => values.extend([value, value ^ 1, value ^ 1 << 31]),
                When::Has(_, bits) => values.extend([bits, !bits, bits & (bits - 1), bits | 1 << 30]),
                When::Lacks(_, bits) => values.extend([bits, !bits, bits & bits.wrapping_neg()]),
                When::Always | When::IsUs(_) | When::Unknown | When::Never => {}
            }
        }
    }
    values.sort_unstable();
    values.dedup();
    values
}

#[test]
fn the_kernel_takes_every_program() {
    for machine in MACHINES {
        for threads in KINDS {
            assert_is_taken(&compile(threads, machine, SECCOMP_RET_LOG, US));
        }
    }
}

#[test]
fn every_call_with_every_telling_argument_is_answered_as_the_policy_says() {
    let values = telling_values();
    for machine in MACHINES {
        for threads in KINDS {
            let program = compile(threads, machine, SECCOMP_RET_TRAP, US);
            let permissions = permissions(threads, machine);
            for number in (0..600).chain([0x4000_0000, 0x4000_0101, u32::MAX]) {
                for value in &values {
                    // The high half means nothing to the kernel, whichever it is in memory.
                    let argument = u64::from(!value) << 32 | u64::from(*value);
                    let asked = Asked { number, audit: machine.audit(), arguments: [argument; 6] };
                    let answer = run(&program, &asked.bytes(machine), machine);
                    assert_eq!(answer, verdict(&permissions, machine, &asked), "{machine:?} {asked:x?}");
                }
            }
        }
    }
}

#[test]
fn the_same_number_of_another_kind_of_machine_is_forbidden() {
    for machine in MACHINES {
        // A program of 31 or 32 bits in the same kernel: AUDIT_ARCH_S390, AUDIT_ARCH_I386.
        let program = compile(Threads::EVERY, machine, SECCOMP_RET_TRAP, US);
        for audit in [0x16, 0x4000_0003, 0, !machine.audit()] {
            for number in 0..600 {
                let asked = Asked { number, audit, arguments: [0; 6] };
                let answer = run(&program, &asked.bytes(machine), machine);
                assert_eq!(answer, SECCOMP_RET_TRAP, "{audit:#x} {number}");
            }
        }
    }
}

proptest! {
    #[test]
    fn any_call_is_answered_as_the_policy_says(
        kind in 0..KINDS.len(),
        big in any::<bool>(),
        number in prop_oneof![0_u32..500, any::<u32>()],
        arguments in any::<[u64; 6]>(),
        chosen in proptest::option::of((0..6_usize, proptest::sample::select(telling_values()))),
    ) {
        let machine = MACHINES[usize::from(big)];
        let mut asked = Asked { number, audit: machine.audit(), arguments };
        if let Some((at, value)) = chosen {
            asked.arguments[at] = asked.arguments[at] & !0xffff_ffff | u64::from(value);
        }
        let verdict = verdict(&permissions(KINDS[kind], machine), machine, &asked);
        prop_assert_eq!(answered(KINDS[kind], machine, &asked), verdict);
    }
}
