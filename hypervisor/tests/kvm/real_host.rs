//! The KVM host on a real kernel: an IBM Z machine, or one of `tests/lab`. Some tests need no more than `/dev/kvm`;
//! a guest is a handful of instructions in a MiB of memory.

// UNSAFETY: a VM of kvm-ioctls is given guest memory by its address.
#![expect(unsafe_code, reason = "kvm-ioctls' own descriptors are used as a foreign VMM uses them")]

mod interruptions;

use adjunct_cpu_model::{
    Cpu, Feature,
    kvm::{FROM_USER_SPACE, ProcessorAttributes},
};
use adjunct_hypervisor::{
    Access, Accessed, ApSource, Built, CpuReset, CryptoAttribute, Exit, Floating, GuestMemory, Hypervisor,
    KernelError, Local, MemorySize, Operand, Psw, RunState, Tod, Vcpu, Vm, allocate, apply_cpu_model,
    kvm::{
        Kvm,
        requests::{S390Vcpu, S390Vm},
    },
};
use std::{
    fs::{self, File},
    path::PathBuf,
    sync::{Arc, mpsc},
    thread,
};
use vm_memory::{Bytes, GuestAddress, GuestMemoryBackend};

/// SERVICE CALL with registers 1 and 2: always left to user space.
const SERVC: [u8; 4] = [0xb2, 0x20, 0x00, 0x12];
/// What KVM makes of it.
const AT_SERVC: Exit = Exit::Sieic { icptcode: 4, ipa: 0xb220, ipb: 0x0012_0000 };
/// A branch to itself.
const FOREVER: [u8; 4] = [0xa7, 0xf4, 0x00, 0x00];
/// Where programs begin.
const START: u64 = 0x2000;
/// What programs store into.
const RESULT: u64 = 0x3000;

fn open() -> Kvm {
    Kvm::open().expect("KVM is there, and may be used")
}

/// A guest of `count` vCPUs, all stopped, with `program` in its memory.
struct Guest {
    vcpus: Vec<Box<dyn Vcpu>>,
    vm: Arc<dyn Vm>,
    memory: GuestMemory,
}

/// What a guest's CPU is here: all that the host has, but for `without`.
fn processor(kvm: &Kvm, without: &[Feature]) -> ProcessorAttributes {
    let machine = kvm.machine().expect("the host knows itself");
    let host = machine.decode(&kvm.capabilities().expect("an answer")).expect("a model fits");
    let mut features = host.features.difference(FROM_USER_SPACE);
    features.remove(Feature::Cmm);
    without.iter().for_each(|feature| features.remove(*feature));
    let processor =
        ProcessorAttributes::encode(&Cpu { identity: host.identity, ..Cpu::new(host.model, features) });
    ProcessorAttributes { uv_feat: processor.uv_feat.filter(|_| machine.uv_feat.is_some()), ..processor }
}

impl Guest {
    fn new(kvm: &Kvm, count: u16, program: &[&[u8]]) -> Self {
        Self::of(kvm, count, program, &processor(kvm, &[]))
    }

    fn of(kvm: &Kvm, count: u16, program: &[&[u8]], processor: &ProcessorAttributes) -> Self {
        let mut vm = kvm.create_vm().expect("the program has its header");
        let memory = allocate(MemorySize::MEBIBYTE).expect("1M can be had");
        vm.set_memory(&memory).expect("aligned memory");
        apply_cpu_model(&mut *vm, processor).expect("the host's own model");
        let Built { vcpus, vm } = vm.create_vcpus(count).expect("vCPUs");
        let guest = Self { vcpus, vm, memory };
        guest.put(START, &program.concat());
        guest
    }

    /// A guest whose vCPU 0 is about to run `program`.
    fn ready(kvm: &Kvm, program: &[&[u8]]) -> Self {
        Self::new(kvm, 1, program).started()
    }

    /// Its vCPU 0 is about to run what it has.
    fn started(mut self) -> Self {
        let vcpu = &mut self.vcpus[0];
        vcpu.reset(CpuReset::Initial).expect("resets are there");
        vcpu.state_mut().psw = Psw { mask: Psw::MASK_64BIT, address: START };
        vcpu.set_run_state(RunState::Operating).expect("it can be started");
        self
    }

    fn put(&self, address: u64, bytes: &[u8]) {
        self.memory.write_slice(bytes, GuestAddress(address)).expect("inside");
    }

    /// The big-endian word at `address`.
    fn word<const N: usize>(&self, address: u64) -> u64 {
        let mut bytes = [0; N];
        self.memory.read_slice(&mut bytes, GuestAddress(address)).expect("inside");
        bytes.iter().fold(0, |word, byte| word << 8 | u64::from(*byte))
    }

    /// Puts a new PSW at `address`, which leads to a SERVICE CALL.
    fn new_psw(&self, address: u64) {
        self.put(address, &Psw::MASK_64BIT.to_be_bytes());
        self.put(address + 8, &START.to_be_bytes());
        self.put(START, &SERVC);
    }
}

fn errno<T>(answer: Result<T, KernelError>) -> (&'static str, i32) {
    answer.err().map(|error| (error.request, error.errno.errno())).expect("it is refused")
}

#[test]
fn a_descriptor_of_something_else_is_not_taken_for_kvm() {
    let refused = Kvm::from_descriptor(File::open("/dev/null").expect("it is there").into());
    let (request, errno) = errno(refused);
    assert_eq!(request, "KVM_GET_API_VERSION");
    // qemu-user says ENOSYS to all that it does not know.
    assert!([libc::ENOTTY, libc::ENOSYS].contains(&errno), "{errno}");
}

#[test]
#[ignore = "needs /dev/kvm on s390x; tests/lab runs it"]
fn the_host_says_the_same_each_time_and_the_vm_it_was_asked_of_is_handed_out() {
    let open_files = || fs::read_dir("/proc/self/fd").expect("/proc is there").count();
    let kvm = open();
    let before = open_files();
    let limits = kvm.limits().expect("an answer");
    assert!((1..=248).contains(&limits.vcpus) && limits.memory > 1 << 30, "{limits:?}");
    let (machine, capabilities) = (kvm.machine().expect("an answer"), kvm.capabilities().expect("an answer"));
    assert_eq!(open_files(), before + 1, "one VM");
    assert_eq!(kvm.machine().expect("an answer"), machine);
    assert_eq!(kvm.capabilities().expect("an answer"), capabilities);
    let vm = kvm.create_vm().expect("it is there already");
    assert_eq!(open_files(), before + 1, "the same VM");
    assert_eq!(vm.has_crypto(CryptoAttribute::EnableApie), capabilities.apie);
    assert!(vm.has_crypto(CryptoAttribute::EnableAesKw));
    let second = kvm.create_vm().expect("another");
    assert_eq!(open_files(), before + 2, "another VM");
    drop((vm, second));
    assert_eq!(open_files(), before);
}

#[test]
#[ignore = "needs /dev/kvm on s390x; tests/lab runs it"]
fn a_guest_runs_to_its_exit_and_its_registers_are_seen() {
    let kvm = open();
    // LGHI 1,7; AGHI 1,1.
    let mut guest = Guest::ready(&kvm, &[&[0xa7, 0x19, 0, 7], &[0xa7, 0x1b, 0, 1], &SERVC]);
    let vcpu = &mut guest.vcpus[0];
    vcpu.state_mut().gprs[15] = 0x1122_3344_5566_7788;
    vcpu.state_mut().acrs[3] = 0x99aa_bbcc;
    assert_eq!(vcpu.run().expect("it is operating"), AT_SERVC);
    let state = vcpu.state();
    assert_eq!((state.gprs[1], state.gprs[15], state.acrs[3]), (8, 0x1122_3344_5566_7788, 0x99aa_bbcc));
    assert_eq!(state.psw.address, START + 12);
    assert_eq!((state.crs[0], state.crs[14], state.prefix), (0xe0, 0xc200_0000, 0));
}

#[test]
#[ignore = "needs /dev/kvm on s390x; tests/lab runs it"]
fn control_registers_and_prefix_reach_the_guest_and_come_back() {
    let kvm = open();
    // STCTG 13,13,0(4); STPX 8(4).
    let mut guest =
        Guest::ready(&kvm, &[&[0xeb, 0xdd, 0x40, 0, 0, 0x25], &[0xb2, 0x11, 0x40, 8], &SERVC, &FOREVER]);
    let state = guest.vcpus[0].state_mut();
    (state.gprs[4], state.crs[13], state.prefix) = (RESULT, 0x1234_5000, 0x8000);
    assert_eq!(guest.vcpus[0].run().expect("it is operating"), AT_SERVC);
    assert_eq!((guest.word::<8>(RESULT), guest.word::<4>(RESULT + 8)), (0x1234_5000, 0x8000));
    let state = guest.vcpus[0].state();
    assert_eq!((state.crs[13], state.prefix), (0x1234_5000, 0x8000));
}

#[test]
#[ignore = "needs /dev/kvm on s390x; tests/lab runs it"]
fn vcpus_are_stopped_at_first_and_do_not_run_then() {
    let kvm = open();
    let mut guest = Guest::new(&kvm, 2, &[&SERVC]);
    for vcpu in &mut guest.vcpus {
        assert_eq!(errno(vcpu.run()), ("KVM_RUN", libc::EINVAL), "CPU {}", vcpu.id());
    }
    let vcpu = &mut guest.vcpus[1];
    assert_eq!(vcpu.id(), 1);
    // No reset: what KVM has not said anything of is told it all the same.
    vcpu.state_mut().psw = Psw { mask: Psw::MASK_64BIT, address: START };
    vcpu.set_run_state(RunState::Operating).expect("it can be started");
    assert_eq!(vcpu.run().expect("it is operating"), AT_SERVC);
    vcpu.set_run_state(RunState::Stopped).expect("it can be stopped");
    assert_eq!(errno(vcpu.run()), ("KVM_RUN", libc::EINVAL));
}

#[test]
#[ignore = "needs /dev/kvm on s390x; tests/lab runs it"]
fn a_kick_before_a_run_ends_that_run_and_no_later_one() {
    let kvm = open();
    let mut guest = Guest::ready(&kvm, &[&SERVC]);
    let vcpu = &mut guest.vcpus[0];
    let kicker = vcpu.kicker();
    kicker.kick();
    kicker.kick();
    // What was to be told with that run is told with the next.
    vcpu.state_mut().prefix = 0x8000;
    vcpu.state_mut().crs[13] = 0x1000;
    assert_eq!(vcpu.run().expect("it is operating"), Exit::Interrupted);
    assert_eq!(vcpu.state().psw.address, START);
    assert_eq!(vcpu.run().expect("it is operating"), AT_SERVC);
    assert_eq!((vcpu.state().prefix, vcpu.state().crs[13]), (0x8000, 0x1000));
    drop(guest);
    // Nobody is there any more.
    kicker.kick();
}

#[test]
#[ignore = "needs /dev/kvm on s390x; tests/lab runs it"]
fn no_kick_from_another_thread_is_lost() {
    const KICKS: u32 = 3000;
    let kvm = open();
    let mut guest = Guest::ready(&kvm, &[&FOREVER]);
    let kicker = guest.vcpus[0].kicker();
    let (told, tell) = (mpsc::channel(), mpsc::channel());
    let (mut vcpu, (answered, answers), (go, gone)) = (guest.vcpus.remove(0), told, tell);
    let runner = thread::spawn(move || {
        // Each round needs its kick; a lost one is waited for for ever.
        for round in 0..KICKS {
            gone.recv().expect("the other thread lives");
            assert_eq!(vcpu.run().expect("it is operating"), Exit::Interrupted);
            answered.send(round).expect("the other thread lives");
        }
    });
    for round in 0..KICKS {
        go.send(()).expect("the other thread lives");
        // At another point of the other's way into KVM_RUN each time.
        (0..round % 400).for_each(|_| std::hint::spin_loop());
        kicker.kick();
        while answers.try_recv().is_err() {
            thread::yield_now();
        }
    }
    runner.join().expect("all were answered");
}

#[test]
#[ignore = "needs /dev/kvm on s390x; tests/lab runs it"]
fn resets_clear_what_they_are_to_clear_even_of_what_kvm_was_not_told_yet() {
    let kvm = open();
    // STCTG 13,13,0(4); STPX 8(4).
    let program: [&[u8]; 3] = [&[0xeb, 0xdd, 0x40, 0, 0, 0x25], &[0xb2, 0x11, 0x40, 8], &SERVC];
    let mut guest = Guest::ready(&kvm, &program);
    for (kind, before, after, cr, prefix) in [
        (CpuReset::Normal, 5, 5, 0x1000, 0x8000),
        (CpuReset::Initial, 6, 6, 0, 0),
        (CpuReset::Clear, 7, 0, 0, 0),
    ] {
        let vcpu = &mut guest.vcpus[0];
        // Once with KVM told by a run, and changed again.
        let state = vcpu.state_mut();
        (state.gprs[4], state.crs[13], state.prefix) = (RESULT, 0x7000, 0x6000);
        state.psw = Psw { mask: Psw::MASK_64BIT, address: START };
        assert_eq!(vcpu.run().expect("it is operating"), AT_SERVC);
        let state = vcpu.state_mut();
        (state.gprs[5], state.acrs[5], state.crs[13], state.prefix) = (before, 5, 0x1000, 0x8000);
        vcpu.reset(kind).expect("resets are there");
        let state = vcpu.state_mut();
        assert_eq!((state.gprs[5], state.acrs[5] == 0), (after, after == 0), "{kind:?}");
        assert_eq!((state.crs[13], u64::from(state.prefix)), (cr, prefix), "{kind:?}");
        let initial = kind != CpuReset::Normal;
        assert_eq!(state.psw == Psw::default(), initial, "{kind:?}");
        assert_eq!((state.crs[0], state.crs[14]), (0xe0, 0xc200_0000), "{kind:?}");
        // And as the guest sees it.
        state.gprs[4] = RESULT;
        state.psw = Psw { mask: Psw::MASK_64BIT, address: START };
        assert_eq!(vcpu.run().expect("it is operating"), AT_SERVC);
        assert_eq!(vcpu.state().gprs[5], after, "{kind:?}");
        assert_eq!((guest.word::<8>(RESULT), guest.word::<4>(RESULT + 8)), (cr, prefix), "{kind:?}");
    }
}

#[test]
#[ignore = "needs /dev/kvm on s390x; tests/lab runs it"]
fn store_status_stores_what_the_registers_are_now() {
    let kvm = open();
    let mut guest = Guest::ready(&kvm, &[&SERVC]);
    assert_eq!(guest.vcpus[0].run().expect("it is operating"), AT_SERVC);
    guest.vcpus[0].set_run_state(RunState::Stopped).expect("it can be stopped");
    let state = guest.vcpus[0].state_mut();
    state.psw = Psw { mask: Psw::MASK_64BIT, address: 0xabcd };
    (state.gprs[2], state.acrs[2], state.crs[2], state.prefix) = (0x22, 0x23, 0x24, 0x8000);
    for (at, area) in [(Some(0x5000), 0x5000), (None, 0x1200)] {
        guest.vcpus[0].store_status(at).expect("there is storage");
        assert_eq!(guest.word::<8>(area + 0x80 + 2 * 8), 0x22);
        assert_eq!((guest.word::<8>(area + 0x100), guest.word::<8>(area + 0x108)), (Psw::MASK_64BIT, 0xabcd));
        assert_eq!(guest.word::<4>(area + 0x118), 0x8000);
        assert_eq!(guest.word::<4>(area + 0x140 + 2 * 4), 0x23);
        assert_eq!(guest.word::<8>(area + 0x180 + 2 * 8), 0x24);
    }
    assert_eq!(guest.word::<1>(163), 1);
    assert_eq!(errno(guest.vcpus[0].store_status(Some(0x10_0000))), ("KVM_S390_STORE_STATUS", libc::EFAULT));
}

#[test]
#[ignore = "needs /dev/kvm on s390x; tests/lab runs it"]
fn interruptions_of_one_vcpu_are_taken_before_its_next_instruction() {
    let kvm = open();
    let mut guest = Guest::ready(&kvm, &[&SERVC, &FOREVER]);
    let vcpu = &mut guest.vcpus[0];
    assert_eq!(vcpu.run().expect("it is operating"), AT_SERVC);
    vcpu.inject(Local::Program { code: 6 }).expect("there is none");
    guest.new_psw(0x1d0);
    assert_eq!(guest.vcpus[0].run().expect("it is operating"), AT_SERVC);
    assert_eq!((guest.word::<2>(0x8c), guest.word::<2>(0x8e)), (4, 6), "length of the instruction, code");
    assert_eq!(guest.word::<8>(0x158), START + 4, "the old PSW");

    guest.new_psw(0x1a0);
    guest.vcpus[0].inject(Local::Restart).expect("there is none");
    guest.vcpus[0].state_mut().psw.address = 0x4444;
    assert_eq!(guest.vcpus[0].run().expect("it is operating"), AT_SERVC);
    assert_eq!(guest.word::<8>(0x128), 0x4444, "the old PSW");
}

#[test]
#[ignore = "needs /dev/kvm on s390x; tests/lab runs it"]
fn a_vcpu_that_is_ordered_to_stop_takes_what_is_pending_first() {
    let kvm = open();
    let mut guest = Guest::ready(&kvm, &[&SERVC, &FOREVER]);
    assert_eq!(guest.vcpus[0].run().expect("it is operating"), AT_SERVC);
    guest.new_psw(0x1d0);
    guest.new_psw(0x1a0);
    let vcpu = &mut guest.vcpus[0];
    vcpu.inject(Local::Program { code: 6 }).expect("there is none");
    vcpu.inject(Local::Restart).expect("there is none");
    vcpu.inject(Local::Stop).expect("it operates");
    assert_eq!(errno(vcpu.inject(Local::Stop)), ("KVM_S390_IRQ", libc::EBUSY));
    let exit = vcpu.run().expect("it is operating");
    assert!(matches!(exit, Exit::Sieic { icptcode: 0x28, .. }), "{exit:?}");
    assert_eq!(vcpu.state().psw.address, START, "nothing of what follows is executed");
    assert_eq!(guest.word::<8>(0x158), START + 4, "the program old PSW");
    assert_eq!(guest.word::<8>(0x128), START, "the restart old PSW");
    let vcpu = &mut guest.vcpus[0];
    vcpu.set_run_state(RunState::Stopped).expect("it stops");
    vcpu.inject(Local::Stop).expect("it takes no notice");
    vcpu.set_run_state(RunState::Operating).expect("it starts");
    assert_eq!(vcpu.run().expect("it is operating"), AT_SERVC, "the order is forgotten");
    vcpu.inject(Local::Stop).expect("it operates");
    vcpu.reset(CpuReset::Normal).expect("it is taken");
    vcpu.state_mut().psw.address = START;
    assert_eq!(vcpu.run().expect("it is operating"), AT_SERVC);
}

#[test]
#[ignore = "needs /dev/kvm on s390x; tests/lab runs it"]
fn floating_interruptions_are_taken_by_who_is_open_to_them_or_cleared() {
    const EXTERNAL: u64 = 0x0100_0000_0000_0000;
    const MACHINE_CHECK: u64 = 0x0004_0000_0000_0000;
    let kvm = open();
    let mut guest = Guest::ready(&kvm, &[&FOREVER]);
    let service = Floating::Service { parameter: 0x4000 };
    let channel_report = Floating::MachineCheck { cr14: 0x1000_0000, mcic: 0x0040_0f1d_4033_0000 };
    let open_to = |guest: &mut Guest, mask: u64| {
        let state = guest.vcpus[0].state_mut();
        state.psw = Psw { mask: Psw::MASK_64BIT | mask, address: 0x4000 };
        state.crs[0] |= 0x200;
        state.crs[14] |= 0x1000_0000;
    };
    guest.put(0x4000, &FOREVER);

    guest.vm.inject(service).expect("a FLIC");
    guest.new_psw(0x1b0);
    open_to(&mut guest, EXTERNAL);
    assert_eq!(guest.vcpus[0].run().expect("it is operating"), AT_SERVC);
    assert_eq!((guest.word::<4>(0x80), guest.word::<2>(0x86)), (0x4000, 0x2401), "parameter, code");

    guest.vm.inject(channel_report).expect("a FLIC");
    guest.put(0x1300, &[0xff; 16]);
    guest.new_psw(0x1e0);
    open_to(&mut guest, MACHINE_CHECK);
    assert_eq!(guest.vcpus[0].run().expect("it is operating"), AT_SERVC);
    assert_eq!(
        guest.word::<8>(0xe8) & 0x0040_0000_0000_0000,
        0x0040_0000_0000_0000,
        "channel report pending"
    );
    assert_eq!([0x1300, 0x1308].map(|at| guest.word::<8>(at)), [0, 0], "the fixed logout");

    guest.vm.inject(service).expect("a FLIC");
    guest.vm.inject(channel_report).expect("a FLIC");
    guest.vm.clear_interruptions().expect("a FLIC");
    open_to(&mut guest, EXTERNAL | MACHINE_CHECK);
    guest.put(0x4000, &SERVC);
    assert_eq!(guest.vcpus[0].run().expect("it is operating"), AT_SERVC);
    assert_eq!(guest.vcpus[0].state().psw.address, 0x4004, "nothing came between");
}

#[test]
#[ignore = "needs /dev/kvm on s390x; tests/lab runs it"]
fn channel_io_is_for_user_space_but_for_pending_interruptions() {
    let kvm = open();
    let mut guest = Guest::ready(&kvm, &[&SERVC]);
    let mut exit = |second: u8| {
        guest.put(START, &[[0xb2, second, 0x40, 0x00], SERVC].concat());
        let vcpu = &mut guest.vcpus[0];
        vcpu.state_mut().psw = Psw { mask: Psw::MASK_64BIT, address: START };
        vcpu.state_mut().gprs[4] = 0x8000;
        (vcpu.run().expect("it is operating"), vcpu.state().psw.condition_code())
    };
    for second in (0x30..=0x34).chain(0x37..=0x3c).chain([0x5f, 0x74, 0x76]) {
        let intercept = Exit::Sieic { icptcode: 4, ipa: 0xb200 | u16::from(second), ipb: 0x4000_0000 };
        assert_eq!(exit(second).0, intercept, "b2{second:02x}");
    }
    assert!(matches!(exit(0x35).0, Exit::Tsch { ipb: 0x4000_0000, dequeued: false, .. }));
    assert_eq!(exit(0x36), (AT_SERVC, 0), "none is pending");
}

#[test]
#[ignore = "needs /dev/kvm on s390x; tests/lab runs it"]
fn an_operand_is_accessed_as_the_guest_would() {
    let stcrw = [0xb2, 0x39, 0x40, 0x00];
    let at_stcrw = Exit::Sieic { icptcode: 4, ipa: 0xb239, ipb: 0x4000_0000 };
    let kvm = open();
    let mut guest = Guest::ready(&kvm, &[&stcrw]);
    let operand = |address| Operand { address, access_register: 4 };
    assert_eq!(guest.vcpus[0].run().expect("it is operating"), at_stcrw);
    assert_eq!(guest.vcpus[0].access(operand(0x8ffe), Access::Write(&[1, 2, 3, 4])), Ok(Accessed::Done));
    let mut read = [0; 4];
    assert_eq!(guest.vcpus[0].access(operand(0x8ffd), Access::Read(&mut read)), Ok(Accessed::Done));
    assert_eq!((read, guest.word::<4>(0x8ffe)), ([0, 1, 2, 3], 0x0102_0304));
    assert_eq!(guest.vcpus[0].access(operand(0x8ffe), Access::CheckWrite(4)), Ok(Accessed::Done));
    let refused = |answer: adjunct_hypervisor::Result<Accessed>| errno(answer.map(drop));
    assert_eq!(
        refused(guest.vcpus[0].access(operand(0), Access::Write(&[]))),
        ("KVM_S390_MEM_OP", libc::EINVAL)
    );
    let too_long = guest.vcpus[0].access(operand(0), Access::CheckWrite(65537));
    assert_eq!(refused(too_long), ("KVM_S390_MEM_OP", libc::E2BIG));

    // No memory there: the interruption is for the instruction.
    for access in [Access::Write(&[1; 4]), Access::CheckWrite(4)] {
        guest.put(START, &stcrw);
        guest.vcpus[0].state_mut().psw = Psw { mask: Psw::MASK_64BIT, address: START };
        assert_eq!(guest.vcpus[0].run().expect("it is operating"), at_stcrw);
        assert_eq!(guest.vcpus[0].access(operand(1 << 40), access), Ok(Accessed::Interrupted));
        guest.new_psw(0x1d0);
        assert_eq!(guest.vcpus[0].run().expect("it is operating"), AT_SERVC);
        assert_eq!((guest.word::<2>(0x8e), guest.word::<8>(0x158)), (5, START + 4), "code, old PSW");
    }
}

#[test]
#[ignore = "needs /dev/kvm on s390x; tests/lab runs it"]
fn what_kvm_refuses_is_named_as_kvm_names_it() {
    let kvm = open();
    let mut vm = kvm.create_vm().expect("a VM");
    let memory = allocate(MemorySize::MEBIBYTE).expect("1M can be had");
    vm.set_memory(&memory).expect("aligned memory");
    let other = allocate(MemorySize::MEBIBYTE).expect("1M can be had");
    assert_eq!(errno(vm.set_memory(&other)), ("KVM_SET_USER_MEMORY_REGION", libc::EINVAL));
    let bytes = [0xff; 128];
    let refused = vm.set_model(adjunct_hypervisor::ModelAttribute::ProcessorFeat(&bytes));
    assert_eq!(errno(refused), ("KVM_S390_VM_CPU_MODEL/PROCESSOR_FEAT", libc::EINVAL));
    let too_many = kvm.limits().expect("an answer").vcpus + 8;
    assert_eq!(errno(vm.create_vcpus(too_many)), ("KVM_CREATE_VCPU", libc::EINVAL));

    let guest = Guest::new(&kvm, 1, &[]);
    let nowhere = guest.vm.open_ap(PathBuf::from("/sys/devices/vfio_ap/matrix/none").into());
    assert_eq!(errno(nowhere), ("open", libc::ENOENT));
}

#[test]
#[ignore = "needs /dev/kvm on s390x; tests/lab runs it"]
fn nothing_stays_open_of_a_guest_that_is_gone() {
    let open_files = || fs::read_dir("/proc/self/fd").expect("/proc is there").count();
    let kvm = open();
    drop(Guest::new(&kvm, 1, &[]));
    let before = open_files();
    let mut guest = Guest::ready(&kvm, &[&SERVC]);
    assert_eq!(guest.vcpus[0].run().expect("it is operating"), AT_SERVC);
    assert_eq!(open_files(), before + 3, "VM, FLIC and vCPU");
    // A vCPU alone still has its memory.
    let Guest { mut vcpus, vm, memory } = guest;
    drop((vm, memory));
    vcpus[0].state_mut().psw.address = START;
    assert_eq!(vcpus[0].run().expect("it is operating"), AT_SERVC);
    drop(vcpus);
    assert_eq!(open_files(), before);
}

#[test]
#[ignore = "needs /dev/kvm on s390x and ADJUNCT_MDEV, a vfio-ap mdev that nobody uses; tests/lab runs it"]
fn a_vfio_ap_device_opens_for_a_vm_and_is_free_again_afterwards() {
    let mdev = PathBuf::from(std::env::var_os("ADJUNCT_MDEV").expect("ADJUNCT_MDEV names the mdev"));
    let source = || ApSource::from(mdev.as_path());
    let kvm = open();
    for _ in 0..2 {
        let guest = Guest::new(&kvm, 1, &[&SERVC]);
        let device = guest.vm.open_ap(source()).expect("it is free");
        device.info().expect("an answer");
        let other = Guest::new(&kvm, 1, &[&SERVC]);
        assert_eq!(errno(other.vm.open_ap(source())).1, libc::EBUSY);
        // The device may outlive the VM's last other holder.
        drop(guest);
        device.reset().expect("its queues can be reset");
    }
}

/// Stores its clock where general register 3 leads to.
const STCK: [u8; 4] = [0xb2, 0x05, 0x30, 0x00];

#[test]
#[ignore = "needs /dev/kvm on s390x; tests/lab runs it"]
fn the_clock_of_a_guest_is_set_for_all_its_cpus_and_goes_on_from_there() {
    const SOME_TIME: u64 = 0x1234 << 48;
    const HOUR: u64 = 3600 * 1_000_000 * 4096;
    let kvm = open();
    let mut guest = Guest::of(&kvm, 2, &[&STCK, &SERVC], &processor(&kvm, &[Feature::Mepoch])).started();
    guest.vcpus[1].set_run_state(RunState::Operating).expect("it can be started");
    let look = |guest: &mut Guest, cpu: usize| {
        let vcpu = &mut guest.vcpus[cpu];
        vcpu.state_mut().psw = Psw { mask: Psw::MASK_64BIT, address: START };
        vcpu.state_mut().gprs[3] = RESULT;
        assert_eq!(vcpu.run().expect("it runs"), AT_SERVC);
        guest.word::<8>(RESULT)
    };
    let clock = |guest: &Guest| guest.vm.tod().expect("KVM has it").clock;
    let (before, seen, after) = (clock(&guest), look(&mut guest, 0), clock(&guest));
    assert!(before <= seen && seen <= after, "{before:#x} {seen:#x} {after:#x}");
    assert!(!(SOME_TIME..SOME_TIME + HOUR).contains(&after), "another time");

    guest.vm.set_tod(Tod { epoch_index: 0, clock: SOME_TIME }).expect("KVM takes it");
    let (first, second, after) = (look(&mut guest, 0), look(&mut guest, 1), clock(&guest));
    assert!(SOME_TIME <= first && first <= second && second <= after, "{first:#x} {second:#x} {after:#x}");
    assert!(after < SOME_TIME + HOUR, "{after:#x}");

    let refused = guest.vm.set_tod(Tod { epoch_index: 1, clock: 0 });
    assert_eq!(errno(refused), ("KVM_S390_VM_TOD/EXT", libc::EINVAL), "it has one epoch");
}

#[test]
#[ignore = "needs /dev/kvm on s390x; tests/lab runs it"]
fn what_kvm_ioctls_lacks_works_on_its_descriptors() {
    let memory = allocate(MemorySize::MEBIBYTE).expect("1 MiB can be had");
    let vm = kvm_ioctls::Kvm::new().expect("KVM").create_vm().expect("a VM");
    let slot = kvm_bindings::kvm_userspace_memory_region {
        memory_size: 1 << 20,
        userspace_addr: memory.get_host_address(GuestAddress(0)).expect("inside") as u64,
        ..Default::default()
    };
    // SAFETY: the slot is all of `memory`, which lives longer than the VM.
    unsafe { vm.set_user_memory_region(slot) }.expect("aligned");
    let mut vcpu = vm.create_vcpu(0).expect("a vCPU");

    vm.write_absolute(0x5000, b"absolute").expect("inside");
    let mut seen = [0; 8];
    assert_eq!(memory.read_obj::<[u8; 8]>(GuestAddress(0x5000)).expect("inside"), *b"absolute");
    vm.read_absolute(0x5000, &mut seen).expect("inside");
    assert_eq!(seen, *b"absolute");
    assert_eq!(vm.read_absolute(1 << 20, &mut seen).expect_err("outside").errno(), libc::EFAULT);
    assert_eq!(vm.read_absolute(0, &mut []).expect_err("nothing").errno(), libc::EINVAL);

    assert_eq!(vcpu.write_logical(0x6000, b"logical!"), Ok(None));
    assert_eq!(vcpu.read_logical(0x6000, &mut seen), Ok(None));
    assert_eq!(seen, *b"logical!");
    // Addressing exception.
    assert_eq!(vcpu.read_logical(1 << 20, &mut seen), Ok(Some(5)));

    let mut registers = vcpu.special_registers().expect("an answer");
    registers.crs[9] = 0x1234;
    registers.acrs[3] = 7;
    vcpu.set_special_registers(&registers).expect("numbers");
    let now = vcpu.special_registers().expect("an answer");
    assert_eq!((now.crs[9], now.acrs[3]), (0x1234, 7));

    vcpu.enable_capability(kvm_bindings::KVM_CAP_S390_CSS_SUPPORT).expect("vCPUs have it");
    assert_eq!(vcpu.enable_capability(u32::MAX).expect_err("none").errno(), libc::EINVAL);

    let service = kvm_bindings::kvm_s390_interrupt {
        type_: kvm_bindings::KVM_S390_INT_SERVICE,
        parm: 0x6000,
        parm64: 0,
    };
    vm.floating_interrupt(&service).expect("floating");
    assert_eq!(vcpu.local_interrupt(&service).expect_err("not local").errno(), libc::EINVAL);
    let restart = kvm_bindings::kvm_s390_interrupt { type_: kvm_bindings::KVM_S390_RESTART, ..service };
    vcpu.local_interrupt(&restart).expect("local");
    // The restart new PSW leads to a SERVICE CALL.
    let psw = [Psw::MASK_64BIT.to_be_bytes(), START.to_be_bytes()].concat();
    memory.write_slice(&psw, GuestAddress(0x1a0)).expect("inside");
    memory.write_slice(&SERVC, GuestAddress(START)).expect("inside");
    assert!(matches!(vcpu.run().expect("runs"), kvm_ioctls::VcpuExit::S390Sieic));
    assert_eq!(vcpu.get_kvm_run().psw_addr, START + 4);
}
