//! Several vCPUs: SIGNAL PROCESSOR as the kernel and user space share it, and threads that run at the same time.

use crate::support::{
    Builder, EXTERNAL, EXTERNAL_NEW, Ended, Guest, IO, PROGRAM_NEW, RESTART_NEW, START, TAKEN, WAITING, host,
    instruction, op,
};
use adjunct_hypervisor::{CpuReset, Exit, Local, Psw, RunState, Vcpu};

const SENSE: u8 = 0x01;
const EXTERNAL_CALL: u8 = 0x02;
const EMERGENCY_SIGNAL: u8 = 0x03;
const COND_EMERGENCY_SIGNAL: u8 = 0x13;
const SENSE_RUNNING: u8 = 0x15;

fn guest() -> Guest {
    Builder::new(&host(), &[]).build(2)
}

/// SIGP from vCPU 0 to CPU `target`: condition code and the status in the low half of GR2, whose high half stays.
fn sigp(guest: &mut Guest, order: u8, target: u64, parameter: u64) -> (u64, u64) {
    guest.set(&[(2, 0x5a5a_5a5a_0000_0000), (3, parameter), (4, target)]);
    let Ended::Program { condition } = guest.ended(&op::sigp(2, 4, order)) else { panic!("an interruption") };
    assert_eq!(guest.gpr(2) >> 32, 0x5a5a_5a5a);
    (condition, guest.gpr(2) & 0xffff_ffff)
}

/// Runs vCPU 1 with external interruptions of these CR0 submasks open, until it ends.
fn receive(guest: &mut Guest, cr0: u64) -> (u16, u16) {
    guest.wait_psw(EXTERNAL);
    guest.load(&[op::WAIT]);
    let vcpu = &mut guest.vcpus[1];
    vcpu.state_mut().crs[0] = cr0;
    vcpu.state_mut().psw = Psw { mask: Psw::MASK_64BIT, address: START };
    vcpu.set_run_state(RunState::Operating).expect("a start");
    assert_eq!(vcpu.run(), Ok(WAITING));
    assert_eq!(vcpu.state().psw.address, TAKEN + EXTERNAL_NEW);
    vcpu.set_run_state(RunState::Stopped).expect("a stop");
    (u16::from_be_bytes(guest.read(0x86)), u16::from_be_bytes(guest.read(0x84)))
}

#[test]
fn sense_tells_what_a_cpu_does() {
    let mut guest = guest();
    assert_eq!(sigp(&mut guest, SENSE, 1, 0), (1, 0x40), "stopped");
    guest.vcpus[1].set_run_state(RunState::Operating).expect("a start");
    assert_eq!(sigp(&mut guest, SENSE, 1, 0), (0, 0));
    assert_eq!(sigp(&mut guest, SENSE, 2, 0), (3, 0), "not there");
    assert_eq!(sigp(&mut guest, SENSE, 0, 0), (0, 0), "the sender itself");
}

#[test]
fn an_external_call_is_one_at_a_time_and_interrupts() {
    let mut guest = guest();
    assert_eq!(sigp(&mut guest, EXTERNAL_CALL, 1, 0), (0, 0));
    assert_eq!(sigp(&mut guest, EXTERNAL_CALL, 1, 0), (1, 0x80), "one is pending");
    assert_eq!(sigp(&mut guest, SENSE, 1, 0), (1, 0xc0));
    assert_eq!(receive(&mut guest, 0x2000), (0x1202, 0));
    assert_eq!(sigp(&mut guest, SENSE, 1, 0), (1, 0x40), "it was taken");
    assert_eq!(sigp(&mut guest, EXTERNAL_CALL, 1, 0), (0, 0));
}

#[test]
fn an_emergency_signal_interrupts() {
    let mut guest = guest();
    assert_eq!(sigp(&mut guest, EMERGENCY_SIGNAL, 1, 0), (0, 0));
    assert_eq!(sigp(&mut guest, EMERGENCY_SIGNAL, 1, 0), (0, 0));
    assert_eq!(receive(&mut guest, 0x4000), (0x1201, 0));
}

#[test]
fn a_conditional_emergency_signal_is_always_sent_since_its_sender_is_never_stopped() {
    let mut guest = guest();
    let state = guest.vcpus[1].state_mut();
    (state.psw.mask, state.crs[4], state.crs[3]) = (IO | EXTERNAL, 7, 9);
    guest.vcpus[1].set_run_state(RunState::Stopped).expect("a stop");
    assert_eq!(sigp(&mut guest, COND_EMERGENCY_SIGNAL, 1, 5), (0, 0));
    assert_eq!(receive(&mut guest, 0x4000), (0x1201, 0));
}

// sigp.c: handle_sigp_order_in_user_space
#[test]
fn every_other_order_leaves_for_user_space_whatever_its_target() {
    let mut guest = guest();
    let kernels = [SENSE, EXTERNAL_CALL, EMERGENCY_SIGNAL, COND_EMERGENCY_SIGNAL, SENSE_RUNNING];
    for order in (0..=0xff).filter(|order| !kernels.contains(order)) {
        // The sender itself, another, one that is not there.
        for target in [0, 1, 2] {
            guest.set(&[(2, 0x5a5a), (3, 0x4000), (4, target)]);
            let bytes = op::sigp(2, 4, order);
            let before = guest.vcpus[1].state().clone();
            assert_eq!(guest.for_user_space(&bytes), instruction(&bytes), "{order:x} for {target}");
            let psw = guest.vcpus[0].state().psw;
            assert_eq!(psw, Psw { mask: Psw::MASK_64BIT, address: START + 4 }, "{order:x} for {target}");
            assert_eq!((guest.gpr(2), guest.gpr(3)), (0x5a5a, 0x4000), "{order:x} for {target}");
            assert_eq!(guest.vcpus[1].state(), &before, "{order:x} for {target}");
        }
    }
    assert_eq!(sigp(&mut guest, SENSE, 1, 0), (1, 0x40), "still stopped");
}

#[test]
fn no_order_is_for_the_problem_state() {
    let mut guest = guest();
    for order in [SENSE, 0x05, 0xff] {
        assert_eq!(
            guest.ended_in_problem_state(&op::sigp(2, 4, order)),
            Ended::Interruption { code: 2 },
            "{order:x}"
        );
    }
}

#[test]
fn a_cpu_is_busy_until_it_has_taken_its_restart() {
    let mut guest = guest();
    guest.vcpus[1].inject(Local::Restart).expect("always");
    for order in [SENSE, EXTERNAL_CALL, EMERGENCY_SIGNAL, SENSE_RUNNING] {
        assert_eq!(sigp(&mut guest, order, 1, 0), (2, 0), "{order:x}");
    }
    guest.vcpus[1].set_run_state(RunState::Operating).expect("a start");
    assert_eq!(guest.vcpus[1].run(), Ok(WAITING));
    assert_eq!(guest.vcpus[1].state().psw.address, TAKEN + RESTART_NEW);
    assert_eq!(sigp(&mut guest, SENSE, 1, 0), (0, 0));
}

// intercept.c: handle_stop, interrupt.c: __inject_sigp_stop
#[test]
fn a_cpu_that_is_ordered_to_stop_takes_what_is_pending_and_is_busy_until_it_is_stopped() {
    let mut guest = guest();
    guest.vcpus[1].inject(Local::Stop).expect("it is stopped already");
    assert_eq!(sigp(&mut guest, SENSE, 1, 0), (1, 0x40));
    guest.vcpus[1].set_run_state(RunState::Operating).expect("a start");
    guest.vcpus[1].inject(Local::Program { code: 6 }).expect("always");
    guest.vcpus[1].inject(Local::Restart).expect("always");
    guest.vcpus[1].inject(Local::Stop).expect("it operates");
    let again = guest.vcpus[1].inject(Local::Stop).expect_err("once");
    assert_eq!((again.request, again.errno.errno()), ("KVM_S390_IRQ", libc::EBUSY));
    for _ in 0..2 {
        assert_eq!(guest.vcpus[1].run(), Ok(Exit::Sieic { icptcode: 0x28, ipa: 0, ipb: 0 }));
        assert_eq!(guest.vcpus[1].state().psw.address, TAKEN + RESTART_NEW);
        assert_eq!(u64::from_be_bytes(guest.read(0x128)), TAKEN + PROGRAM_NEW, "before the restart");
        for order in [SENSE, EXTERNAL_CALL, EMERGENCY_SIGNAL, SENSE_RUNNING] {
            assert_eq!(sigp(&mut guest, order, 1, 0), (2, 0), "{order:x}");
        }
    }
    guest.vcpus[1].set_run_state(RunState::Stopped).expect("a stop");
    assert_eq!(sigp(&mut guest, SENSE, 1, 0), (1, 0x40));
    // Forgotten, as it is by a reset.
    guest.vcpus[1].set_run_state(RunState::Operating).expect("a start");
    assert_eq!(guest.vcpus[1].run(), Ok(WAITING));
    guest.vcpus[1].inject(Local::Stop).expect("it operates");
    guest.vcpus[1].reset(CpuReset::Normal).expect("a reset");
    assert_eq!(guest.vcpus[1].run(), Ok(WAITING));
}

// kvm-s390.c: kvm_s390_store_status_unloaded
#[test]
fn the_status_of_a_cpu_is_stored_at_an_address_or_in_the_absolute_lowcore() {
    let mut guest = guest();
    let state = guest.vcpus[1].state_mut();
    (state.gprs[3], state.crs[5], state.acrs[2], state.prefix) = (0x1234, 0x5678, 0x9a, 0x2000);
    guest.write(163, &[0]);
    guest.vcpus[1].store_status(Some(0x8000)).expect("there is storage");
    assert_eq!(guest.read::<1>(163), [0]);
    guest.vcpus[1].store_status(None).expect("there is storage");
    assert_eq!(guest.read::<1>(163), [1], "z/Architecture");
    assert_eq!(guest.read::<1>(0x2000 + 163), [0], "not in the prefix area");
    for area in [0x8000, 0x1200] {
        assert_eq!(u64::from_be_bytes(guest.read(area + 0x80 + 3 * 8)), 0x1234, "general registers");
        assert_eq!(u64::from_be_bytes(guest.read(area + 0x108)), START, "PSW");
        assert_eq!(u32::from_be_bytes(guest.read(area + 0x118)), 0x2000, "prefix");
        assert_eq!(u32::from_be_bytes(guest.read(area + 0x140 + 2 * 4)), 0x9a, "access registers");
        assert_eq!(u64::from_be_bytes(guest.read(area + 0x180 + 5 * 8)), 0x5678, "control registers");
    }
    let error = guest.vcpus[1].store_status(Some(1 << 20)).expect_err("outside memory");
    assert_eq!(error.errno.errno(), libc::EFAULT);
}

#[test]
fn sense_running_needs_facility_9() {
    let mut guest = Builder::new(&host(), &[9]).build(2);
    assert_eq!(sigp(&mut guest, SENSE_RUNNING, 1, 0), (1, 0x2), "no such order");
}

#[test]
fn two_cpus_count_together_with_compare_and_swap() {
    let mut guest = guest();
    // L r1,0x300; LR r2,r1; AHI r2,1; CS r1,r2,0x300; JNE -12 (to LR); BRCT r5,-20 (to L); LPSWE 0x200.
    let program: [&[u8]; 7] = [
        &[0x58, 0x10, 0x03, 0x00],
        &[0x18, 0x21],
        &[0xa7, 0x2a, 0x00, 0x01],
        &[0xba, 0x12, 0x03, 0x00],
        &[0xa7, 0x74, 0xff, 0xfb],
        &[0xa7, 0x56, 0xff, 0xf7],
        op::END,
    ];
    guest.load(&program);
    guest.vcpus[1].set_run_state(RunState::Operating).expect("a start");
    for vcpu in &mut guest.vcpus {
        vcpu.state_mut().gprs[5] = 20_000;
    }
    std::thread::scope(|scope| {
        for vcpu in &mut guest.vcpus {
            scope.spawn(|| assert_eq!(vcpu.run(), Ok(WAITING)));
        }
    });
    assert_eq!(u32::from_be_bytes(guest.read(0x300)), 40_000);
}

#[test]
fn a_signal_wakes_a_cpu_that_waits_on_another_thread() {
    let mut guest = guest();
    guest.wait_psw(EXTERNAL);
    guest.load(&[op::WAIT]);
    guest.vcpus[1].state_mut().crs[0] = 0x2000;
    guest.vcpus[1].set_run_state(RunState::Operating).expect("a start");
    // vCPU 0 calls until the call is taken: SIGP; JNE back as long as one is pending.
    let sender: [&[u8]; 3] = [&op::sigp(2, 4, EXTERNAL_CALL), &[0xa7, 0x74, 0xff, 0xfe], op::END];
    guest.write(START + 0x1000, &sender.concat());
    guest.vcpus[0].state_mut().psw = Psw { mask: Psw::MASK_64BIT, address: START + 0x1000 };
    guest.set(&[(4, 1)]);
    let (first, second) = guest.vcpus.split_at_mut(1);
    std::thread::scope(|scope| {
        scope.spawn(|| assert_eq!(second[0].run(), Ok(WAITING)));
        assert_eq!(first[0].run(), Ok(WAITING));
    });
    assert_eq!(guest.vcpus[1].state().psw.address, TAKEN + EXTERNAL_NEW);
    assert_eq!(u16::from_be_bytes(guest.read(0x86)), 0x1202);
}
