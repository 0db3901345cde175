//! From the policy to a program for the kernel's packet filter, which decides about every system call of a thread.
//!
//! The program reads `struct seccomp_data` (`include/uapi/linux/seccomp.h`) in words of 32 bits: the number of the call, what
//! kind of machine it was made as, and six arguments of 64 bits, whose halves lie in memory as the machine has them.

use super::{
    calls::{Call, Machine},
    policy::{Threads, When, rows},
};
use libc::{SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO, SECCOMP_RET_KILL_PROCESS, SECCOMP_RET_TRAP, sock_filter};
use std::collections::BTreeMap;

/// The program for threads of the kinds in `threads` on `machine`; whatever is not allowed is answered with `otherwise`, one
/// of `SECCOMP_RET_…`. `us` is the number of this process.
pub(super) fn compile(threads: Threads, machine: Machine, otherwise: u32, us: u32) -> Vec<sock_filter> {
    let mut calls: BTreeMap<u32, Vec<When>> = BTreeMap::new();
    for row in rows(threads, machine) {
        let Some(call) = Call::named(row.call) else { continue };
        // The policy has no row for a call that the machine lacks, and a test sees to it.
        if let Some(number) = call.number(machine) {
            calls.entry(number).or_default().push(row.when);
        }
        if let Some(number) = Call::named("socketcall").and_then(|call| call.number(machine)) {
            calls
                .entry(number)
                .or_default()
                .extend(call.as_socketcalls(machine).map(|which| When::Is(0, which)));
        }
    }
    let calls: Vec<_> = calls.into_iter().collect();
    let assembler = Assembler { machine, otherwise, us };
    // A number means another call on another kind of machine, and a kernel can have two.
    let mut program = vec![load(MACHINE), skip_if(JEQ, machine.audit(), 1), answer(otherwise), load(NUMBER)];
    program.extend(assembler.tree(&calls));
    program
}

struct Assembler {
    machine: Machine,
    otherwise: u32,
    us: u32,
}

impl Assembler {
    /// Finds the number of the call, which is loaded, among `calls`, which are in order.
    fn tree(&self, calls: &[(u32, Vec<When>)]) -> Vec<sock_filter> {
        let (lower, upper) = calls.split_at(calls.len() / 2);
        match (lower, upper) {
            ([], []) => vec![answer(self.otherwise)],
            ([], [(number, conditions), ..]) => {
                let mut program = vec![skip_if(JEQ, *number, 1), answer(self.otherwise)];
                program.extend(self.conditions(conditions));
                program
            }
            (_, [(number, _), ..]) => {
                let lower = self.tree(lower);
                let mut program = vec![skip_unless(JGE, *number, 1), jump(lower.len())];
                program.extend(lower);
                program.extend(self.tree(upper));
                program
            }
            (_, []) => self.tree(lower),
        }
    }

    /// Answers a call that is allowed under one of `conditions`.
    fn conditions(&self, conditions: &[When]) -> Vec<sock_filter> {
        let mut program: Vec<_> = conditions.iter().flat_map(|when| self.condition(*when)).collect();
        program.push(answer(self.otherwise));
        program
    }

    /// Allows the call if `when` holds; else goes on.
    fn condition(&self, when: When) -> Vec<sock_filter> {
        let low = |argument| load(low_half(argument, self.machine));
        let allow = answer(SECCOMP_RET_ALLOW);
        match when {
            When::Always => vec![allow],
            When::Is(argument, value) => vec![low(argument), skip_unless(JEQ, value, 1), allow],
            When::IsUs(argument) => vec![low(argument), skip_unless(JEQ, self.us, 1), allow],
            When::Has(argument, bits) => vec![low(argument), and(bits), skip_unless(JEQ, bits, 1), allow],
            When::Lacks(argument, bits) => vec![low(argument), skip_if(JSET, bits, 1), allow],
            When::Unknown => vec![answer(SECCOMP_RET_ERRNO | libc::ENOSYS.cast_unsigned())],
            // Where forbidden calls are only noted, so is this.
            When::Never if self.otherwise == SECCOMP_RET_TRAP => vec![answer(SECCOMP_RET_KILL_PROCESS)],
            When::Never => vec![],
        }
    }
}

/// Where `struct seccomp_data` has the number of the call.
const NUMBER: u32 = 0;
/// Where it has the kind of machine.
const MACHINE: u32 = 4;
/// Where it has the arguments.
const ARGUMENTS: u32 = 16;

/// Where the low half of an argument is.
fn low_half(argument: u8, machine: Machine) -> u32 {
    ARGUMENTS + 8 * u32::from(argument) + if machine.is_big_endian() { 4 } else { 0 }
}

// include/uapi/linux/bpf_common.h
const LD_W_ABS: u16 = 0x20;
const ALU_AND_K: u16 = 0x54;
const JA: u16 = 0x05;
const JEQ: u16 = 0x15;
const JGE: u16 = 0x35;
const JSET: u16 = 0x45;
const RET_K: u16 = 0x06;

fn load(offset: u32) -> sock_filter {
    sock_filter { code: LD_W_ABS, jt: 0, jf: 0, k: offset }
}

fn and(bits: u32) -> sock_filter {
    sock_filter { code: ALU_AND_K, jt: 0, jf: 0, k: bits }
}

fn answer(action: u32) -> sock_filter {
    sock_filter { code: RET_K, jt: 0, jf: 0, k: action }
}

/// Skips as many instructions.
fn jump(count: usize) -> sock_filter {
    // A program that is too long is refused by the kernel, which takes 4096 instructions.
    sock_filter { code: JA, jt: 0, jf: 0, k: u32::try_from(count).unwrap_or(u32::MAX) }
}

/// Skips `count` instructions if the comparison holds.
fn skip_if(comparison: u16, value: u32, count: u8) -> sock_filter {
    sock_filter { code: comparison, jt: count, jf: 0, k: value }
}

/// Skips `count` instructions unless the comparison holds.
fn skip_unless(comparison: u16, value: u32, count: u8) -> sock_filter {
    sock_filter { code: comparison, jt: 0, jf: count, k: value }
}

#[cfg(test)]
mod tests;
