//! What KVM does itself, what it leaves to user space, and interruptions that user space makes pending.

use crate::support::{
    Builder, EXTERNAL, EXTERNAL_NEW, Ended, Guest, IO, MACHINE_CHECK, MACHINE_CHECK_NEW, RESTART_NEW, START,
    TAKEN, WAITING, host, instruction, op,
};
use adjunct_hypervisor::{
    Access, Accessed, CpuReset, CpuState, Exit, Floating, KernelError, Local, ModelAttribute, Operand,
    ProtoVm, Psw, RunState, Vcpu, Vm,
};
use adjunct_simulator::SimProtoVm;

fn guest() -> Guest {
    Builder::new(&host(), &[]).build(1)
}

#[test]
fn diagnose_308_subcodes_3_and_4_leave_as_resets_and_the_others_as_instructions() {
    let mut guest = guest();
    for (subcode, flags) in [(3, 0x1e), (4, 0x1c)] {
        guest.set(&[(3, subcode)]);
        assert_eq!(guest.exit_of(&[&op::diag(1, 3, 0x308)]), Exit::Reset { flags });
    }
    for subcode in [0, 1, 5, 6] {
        guest.set(&[(3, subcode)]);
        let bytes = op::diag(0, 3, 0x308);
        assert_eq!(guest.for_user_space(&bytes), instruction(&bytes));
    }
    assert_eq!(guest.vcpus[0].state().psw.address, START + 4, "the PSW is past the instruction");
}

#[test]
fn diagnose_of_a_code_that_kvm_does_not_know_is_for_user_space_and_yielding_is_not() {
    let mut guest = guest();
    for code in [0x318, 0x500, 0x501] {
        let bytes = op::diag(0, 3, code);
        assert_eq!(guest.for_user_space(&bytes), instruction(&bytes), "{code:x}");
    }
    for code in [0x44, 0x9c] {
        assert_eq!(guest.ended(&op::diag(0, 3, code)), Ended::Program { condition: 0 }, "{code:x}");
    }
    assert_eq!(guest.ended_in_problem_state(&op::diag(0, 3, 0x44)), Ended::Interruption { code: 2 });
}

#[test]
fn pages_given_back_are_zero_and_the_lowcore_is_never() {
    let mut guest = guest();
    guest.write(0x3_0000, &[0xaa; 0x3000]);
    guest.set(&[(2, 0x3_0000), (4, 0x3_1000)]);
    assert_eq!(guest.ended(&op::diag(2, 4, 0x10)), Ended::Program { condition: 0 });
    assert_eq!(guest.read::<0x2000>(0x3_0000), [0; 0x2000]);
    assert_eq!(guest.read::<1>(0x3_2000), [0xaa]);
    for (start, end) in [(0x1000, 0x4000), (0x3_0001, 0x4_0000), (0x4_0000, 0x3_0000)] {
        guest.set(&[(2, start), (4, end)]);
        assert_eq!(guest.ended(&op::diag(2, 4, 0x10)), Ended::Interruption { code: 6 }, "{start:x}");
    }
}

/// What the block of DIAGNOSE 0x258 ends in.
const ZARCH: u64 = 1 << 63;

/// The block of DIAGNOSE 0x258: token address, select mask, compare mask, z/Architecture.
fn page_reference(subcode: u16, fields: [u64; 4]) -> Vec<u8> {
    let mut block = [0x0258_u16, subcode, 5, 2].map(u16::to_be_bytes).concat();
    block.extend(fields.map(u64::to_be_bytes).concat());
    block
}

// diag.c: __diag_page_ref_service
#[test]
fn the_page_fault_handshake_refuses_a_block_that_makes_no_sense() {
    let mut guest = guest();
    let refused = Ended::Interruption { code: 6 };
    let cases = [
        ([0x5000, 0, 0, 0], false),
        ([0x5001, 0, 0, ZARCH], false),
        ([0x5000, 1, 3, ZARCH], false),
        ([0x5000, 0, 1, ZARCH], false),
        ([0x5000, 3, 1, ZARCH], true),
    ];
    for (fields, taken) in cases {
        guest.write(0x4000, &page_reference(0, fields));
        guest.set(&[(2, 0x4000), (5, 0xff)]);
        let ended = guest.ended(&op::diag(2, 5, 0x258));
        assert_eq!(ended != refused, taken, "{fields:x?}");
    }
    guest.write(0x4000, &page_reference(1, [0, 0, 0, ZARCH]));
    assert_eq!(guest.ended(&op::diag(2, 5, 0x258)), refused);
}

#[test]
fn the_block_of_the_page_fault_handshake_is_at_a_real_address() {
    let mut guest = guest();
    guest.write(0x8000, &guest.read::<0x2000>(0));
    guest.write(0x1000, &[0; 40]);
    guest.write(0x9000, &page_reference(1, [0; 4]));
    guest.vcpus[0].state_mut().prefix = 0x8000;
    guest.set(&[(2, 0x1000), (5, 0xff)]);
    assert_eq!(guest.ended(&op::diag(2, 5, 0x258)), Ended::Program { condition: 0 });
    assert_eq!(guest.gpr(5), 4);
}

#[test]
fn the_page_fault_handshake_is_kept_per_cpu() {
    let mut guest = guest();
    let block = |subcode: u16, token: u64| {
        let zarch = if subcode == 0 { ZARCH } else { 0 };
        page_reference(subcode, [token, 0, 0, zarch])
    };
    let mut answers = Vec::new();
    for (subcode, token) in [(1, 0), (0, 0x5000), (0, 0x6000), (1, 0), (1, 0)] {
        guest.write(0x4000, &block(subcode, token));
        guest.set(&[(2, 0x4000), (5, 0xff)]);
        assert_eq!(guest.ended(&op::diag(2, 5, 0x258)), Ended::Program { condition: 0 });
        answers.push(guest.gpr(5));
    }
    assert_eq!(answers, [4, 0, 8, 0, 4]);
    guest.write(0x4000, &block(0, 1 << 20));
    guest.set(&[(2, 0x4000)]);
    assert_eq!(guest.ended(&op::diag(2, 5, 0x258)), Ended::Interruption { code: 5 });
    guest.set(&[(2, 0x4004)]);
    assert_eq!(guest.ended(&op::diag(2, 5, 0x258)), Ended::Interruption { code: 6 });
}

#[test]
fn stfle_and_stidp_show_what_user_space_wrote() {
    let host = host();
    let mut proto = SimProtoVm::create(&host).expect("a VM");
    let memory = crate::support::memory();
    proto.set_memory(&memory).expect("1M is memory");
    let mut processor = crate::support::processor(&host, &[]);
    processor[..8].copy_from_slice(&0xff12_3456_3906_8000_u64.to_be_bytes());
    processor[16 + 25] = 0x5a;
    proto.set_model(ModelAttribute::Processor(&processor)).expect("any list is taken");
    let mut guest = Builder { proto, memory }.build(1);
    guest.set(&[(0, 31)]);
    assert_eq!(guest.ended(&[0xb2, 0xb0, 0x04, 0x00]), Ended::Program { condition: 0 });
    assert_eq!(guest.read::<256>(0x400)[..64], processor[16..80]);
    guest.ended(&[0xb2, 0x02, 0x03, 0x00]);
    assert_eq!(u64::from_be_bytes(guest.read(0x300)), 0xff12_3456_3906_8000);
}

#[test]
fn the_guest_is_told_that_it_is_one_of_kvms() {
    let mut guest = guest();
    guest.set(&[(0, 0), (1, 0)]);
    assert_eq!(guest.ended(&[0xb2, 0x7d, 0x05, 0x00]), Ended::Program { condition: 0 });
    assert_eq!(guest.gpr(0) >> 28 & 15, 3, "the level of a virtual machine");
    guest.set(&[(0, 0x3000_0002), (1, 2), (5, 0x8008)]);
    assert_eq!(guest.ended(&[0xb2, 0x7d, 0x50, 0x00]), Ended::Interruption { code: 6 }, "no page");
    guest.set(&[(0, 0x3000_0002), (1, 2), (5, 0x8000)]);
    assert_eq!(guest.ended(&[0xb2, 0x7d, 0x50, 0x00]), Ended::Program { condition: 0 });
    // "KVM/Linux" in EBCDIC, in the description block of SYSIB 3.2.2.
    assert_eq!(guest.read::<9>(0x8000 + 32 + 24), [0xd2, 0xe5, 0xd4, 0x61, 0xd3, 0x89, 0x95, 0xa4, 0xa7]);
}

#[test]
fn service_calls_are_for_user_space() {
    let mut guest = guest();
    assert_eq!(guest.for_user_space(op::SERVC), instruction(op::SERVC));
}

#[test]
fn channel_io_is_for_user_space_but_for_pending_interruptions() {
    let mut guest = guest();
    for second in (0x30..=0x34).chain(0x37..=0x3c).chain([0x5f, 0x74, 0x76]) {
        let bytes = [0xb2, second, 0x40, 0x00];
        assert_eq!(guest.for_user_space(&bytes), instruction(&bytes), "b2{second:02x}");
    }
    let tsch = Exit::Tsch {
        subchannel_id: 0,
        subchannel_nr: 0,
        io_int_parm: 0,
        io_int_word: 0,
        ipb: 0x4004_0000,
        dequeued: false,
    };
    assert_eq!(guest.exit_of(&[&[0xb2, 0x35, 0x40, 0x04]]), tsch);
    for second in [0x30, 0x35, 0x36, 0x5f] {
        assert_eq!(
            guest.ended_in_problem_state(&[0xb2, second, 0x40, 0x00]),
            Ended::Interruption { code: 2 },
            "b2{second:02x}"
        );
    }
}

#[test]
fn an_operand_is_accessed_as_the_guest_would() {
    let mut guest = guest();
    guest.set(&[(4, 0x8000)]);
    let bytes = [0xb2, 0x39, 0x40, 0x00];
    assert_eq!(guest.for_user_space(&bytes), instruction(&bytes));
    let operand = |address| Operand { address, access_register: 4 };
    let vcpu = &mut guest.vcpus[0];
    assert_eq!(vcpu.access(operand(0x8ffe), Access::Write(&[1, 2, 3, 4])), Ok(Accessed::Done));
    let mut read = [0; 4];
    assert_eq!(vcpu.access(operand(0x8ffd), Access::Read(&mut read)), Ok(Accessed::Done));
    assert_eq!(read, [0, 1, 2, 3]);
    assert_eq!(vcpu.access(operand(0x8ffe), Access::CheckWrite(4)), Ok(Accessed::Done));
    let errno = |refused: Result<Accessed, KernelError>| refused.expect_err("no length for it").errno.errno();
    assert_eq!(errno(vcpu.access(operand(0), Access::Write(&[]))), libc::EINVAL);
    assert_eq!(errno(vcpu.access(operand(0), Access::CheckWrite(65537))), libc::E2BIG);

    // Low-address protection, and memory that is not there.
    for (address, code) in [(0x1f0, 4), (1 << 40, 5)] {
        guest.vcpus[0].state_mut().crs[0] = 0x1000_0000;
        assert_eq!(guest.for_user_space(&bytes), instruction(&bytes));
        let vcpu = &mut guest.vcpus[0];
        assert_eq!(vcpu.access(operand(address), Access::Write(&[1; 4])), Ok(Accessed::Interrupted));
        assert_eq!(vcpu.run(), Ok(WAITING));
        assert_eq!(u16::from_be_bytes(guest.read(0x8e)), code, "{address:#x}");
    }
    assert_ne!(guest.read::<4>(0x1f0), [1; 4], "nothing was stored");
}

#[test]
fn an_operation_exception_that_user_space_makes_pending_is_taken_for_the_instruction() {
    let mut guest = crate::support::without_apie(&host());
    assert_eq!(guest.for_user_space(op::PQAP), instruction(op::PQAP));
    guest.vcpus[0].inject(Local::Program { code: 1 }).expect("a code the CPU knows");
    assert_eq!(guest.vcpus[0].run(), Ok(WAITING));
    assert_eq!(u16::from_be_bytes(guest.read(0x8e)), 1);
    assert_eq!(guest.read::<1>(0x8d), [4], "the instruction's length");
    assert_eq!(u64::from_be_bytes(guest.read(0x158)), START + 4, "the old PSW is past it");
}

#[test]
fn a_service_signal_ends_a_wait_that_is_open_for_it() {
    let mut guest = guest();
    guest.vm.inject(Floating::Service { parameter: 0x8001 }).expect("always");
    guest.vcpus[0].state_mut().crs[0] = 0x200;
    guest.wait_psw(EXTERNAL);
    assert_eq!(guest.exit_of(&[op::WAIT]), WAITING);
    assert_eq!(guest.vcpus[0].state().psw.address, TAKEN + EXTERNAL_NEW);
    assert_eq!(u16::from_be_bytes(guest.read(0x86)), 0x2401);
    assert_eq!(u32::from_be_bytes(guest.read(0x80)), 1, "the event");
    guest.vcpus[0].state_mut().crs[0] = 0x200;
    assert_eq!(guest.exit_of(&[op::WAIT]), WAITING);
    assert_eq!(u32::from_be_bytes(guest.read(0x80)), 0x8000, "the SCCB, by itself");
}

#[test]
fn a_channel_report_is_a_machine_check_that_cr14_lets_through() {
    let mut guest = guest();
    let mcic = 0x0040_0000_0000_0000;
    guest.vm.inject(Floating::MachineCheck { cr14: 0x1000_0000, mcic }).expect("always");
    guest.vcpus[0].state_mut().crs[14] = 0x1000_0000;
    guest.write(0x1300, &[0xff; 16]);
    guest.wait_psw(MACHINE_CHECK);
    assert_eq!(guest.exit_of(&[op::WAIT]), WAITING);
    assert_eq!(guest.vcpus[0].state().psw.address, TAKEN + MACHINE_CHECK_NEW);
    assert_eq!(u64::from_be_bytes(guest.read(0xe8)) & mcic, mcic);
    assert_eq!(guest.read(0x1300), [0; 16], "the fixed logout");
}

#[test]
fn forgotten_interruptions_do_not_come() {
    let mut guest = guest();
    guest.vm.inject(Floating::Service { parameter: 0x8001 }).expect("always");
    guest.vm.clear_interruptions().expect("always");
    guest.vcpus[0].state_mut().crs[0] = 0x200;
    guest.wait_psw(EXTERNAL);
    // A kick ends the wait that nothing else ends.
    guest.vcpus[0].kicker().kick();
    assert_eq!(guest.exit_of(&[op::WAIT]), Exit::Interrupted);
}

#[test]
fn a_kick_before_a_run_ends_that_run_and_no_other() {
    let mut guest = guest();
    guest.vcpus[0].kicker().kick();
    assert_eq!(guest.exit_of(&[op::END]), Exit::Interrupted);
    assert_eq!(guest.vcpus[0].state().psw.address, START, "nothing was executed");
    assert_eq!(guest.vcpus[0].run(), Ok(WAITING));
}

#[test]
fn a_kick_ends_a_loop_and_a_wait() {
    for program in [op::LOOP, op::WAIT] {
        let mut guest = guest();
        guest.wait_psw(IO | EXTERNAL);
        let kicker = guest.vcpus[0].kicker();
        let kick = std::thread::spawn(move || kicker.kick());
        assert_eq!(guest.exit_of(&[program]), Exit::Interrupted);
        kick.join().expect("it kicked");
    }
}

#[test]
fn a_clock_comparator_wakes_a_waiting_guest_without_real_time_passing() {
    let mut guest = guest();
    // STCK, add two hours, SCKC; then wait for it.
    guest.set(&[(5, 7200 * 1_000_000 * 4096)]);
    guest.vcpus[0].state_mut().crs[0] = 0x800;
    guest.wait_psw(EXTERNAL);
    let program: [&[u8]; 6] = [
        &[0xb2, 0x05, 0x03, 0x00],
        &[0xe3, 0x40, 0x03, 0x00, 0x00, 0x04],
        &[0xb9, 0x08, 0x00, 0x45],
        &[0xe3, 0x40, 0x03, 0x00, 0x00, 0x24],
        &[0xb2, 0x06, 0x03, 0x00],
        op::WAIT,
    ];
    assert_eq!(guest.exit_of(&program), WAITING);
    assert_eq!(guest.vcpus[0].state().psw.address, TAKEN + EXTERNAL_NEW);
    assert_eq!(u16::from_be_bytes(guest.read(0x86)), 0x1004);
}

#[test]
fn a_restart_that_user_space_makes_pending_is_taken() {
    let mut guest = guest();
    guest.vcpus[0].inject(Local::Restart).expect("always");
    assert_eq!(guest.exit_of(&[op::LOOP]), WAITING);
    assert_eq!(guest.vcpus[0].state().psw.address, TAKEN + RESTART_NEW);
}

#[test]
fn resets_clear_what_the_kernel_says() {
    let mut guest = guest();
    let vcpu = &mut guest.vcpus[0];
    let state = vcpu.state_mut();
    state.psw = Psw { mask: Psw::MASK_64BIT, address: 0x1234 };
    state.gprs = [7; 16];
    state.acrs = [8; 16];
    state.crs = [9; 16];
    state.prefix = 0x2000;
    vcpu.reset(CpuReset::Normal).expect("a reset");
    assert_eq!((vcpu.state().psw.address, vcpu.state().crs, vcpu.state().prefix), (0x1234, [9; 16], 0x2000));

    vcpu.reset(CpuReset::Initial).expect("a reset");
    let mut crs = [0; 16];
    (crs[0], crs[14]) = (0xe0, 0xc200_0000);
    let state = vcpu.state();
    assert_eq!((state.psw, state.crs, state.prefix), (Psw::default(), crs, 0));
    assert_eq!((state.gprs, state.acrs), ([7; 16], [8; 16]));

    vcpu.reset(CpuReset::Clear).expect("a reset");
    assert_eq!((vcpu.state().gprs, vcpu.state().acrs), ([0; 16], [0; 16]));
}

// kvm-s390.c: kvm_arch_vcpu_create
#[test]
fn a_new_vcpu_has_only_zeros_in_its_registers() {
    let (_vm, vcpus) = SimProtoVm::create(&host()).expect("a VM").build(2).expect("vCPUs");
    for vcpu in vcpus {
        assert_eq!(vcpu.state(), &CpuState::default(), "CR0 and CR14 are those of no reset");
    }
}

// intercept.c: handle_prog, handle_operexc
#[test]
fn endless_program_interruptions_leave_and_what_loops_tells_which() {
    let mut guest = guest();
    let (odd, itself) = (START + 1, START);
    // MR with an odd register: specification. Zeros: operation.
    let cases: [(&[u8], u64, Exit); 2] = [
        (&[0x1c, 0x12], odd, Exit::Sieic { icptcode: 0x08, ipa: 0, ipb: 0 }),
        (&[0, 0, 0, 0], itself, Exit::Sieic { icptcode: 0x2c, ipa: 0, ipb: 0 }),
    ];
    for (program, new, expected) in cases {
        guest.write(0x1d0, &Psw::MASK_64BIT.to_be_bytes());
        guest.write(0x1d8, &new.to_be_bytes());
        assert_eq!(guest.exit_of(&[program]), expected);
        assert_eq!(guest.vcpus[0].state().psw.address, START + 2, "the PSW is that of the exception");
    }
}

#[test]
fn a_normal_reset_forgets_pending_interruptions_of_the_cpu() {
    let mut guest = guest();
    guest.vcpus[0].inject(Local::Restart).expect("always");
    guest.vcpus[0].reset(CpuReset::Normal).expect("a reset");
    assert_eq!(guest.ended(&[0x18, 0x00]), Ended::Program { condition: 0 });
}

#[test]
fn a_vcpu_runs_again_after_it_was_stopped_and_started() {
    let mut guest = guest();
    guest.vcpus[0].set_run_state(RunState::Stopped).expect("a stop");
    assert_eq!(guest.vcpus[0].run().expect_err("it is stopped").errno.errno(), libc::EINVAL);
    guest.vcpus[0].set_run_state(RunState::Operating).expect("a start");
    assert_eq!(guest.exit_of(&[op::END]), WAITING);
}
