use super::*;
use adjunct_hypervisor::{MemorySize, allocate};

const MIB: u64 = 1 << 20;

fn memory(mebibytes: u32) -> GuestMemory {
    allocate(MemorySize::mebibytes(mebibytes).expect("not zero")).expect("can be had")
}

fn read(memory: &GuestMemory, address: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    memory.read_slice(&mut bytes, GuestAddress(address)).expect("inside");
    bytes
}

// --- DIAGNOSE 0x308 ------------------------------------------------------------------------------

fn diagnose(subcode: u64, r1: u8, address: u64) -> IplAction {
    let mut cpu = CpuState::default();
    cpu.gprs[usize::from(r1)] = address;
    cpu.gprs[9] = subcode;
    diagnose_308(r1, 9, &cpu, &memory(1))
}

#[test]
fn each_subcode_that_resets_names_its_reset() {
    assert_eq!(diagnose(0, 2, 0), IplAction::Reset(ResetKind::ModifiedClear));
    assert_eq!(diagnose(1, 2, 0), IplAction::Reset(ResetKind::LoadNormal));
    assert_eq!(diagnose(3, 2, 0), IplAction::Reset(ResetKind::ReIpl));
    assert_eq!(diagnose(4, 3, 1), IplAction::Reset(ResetKind::ReIpl), "operands do not matter");
}

#[test]
fn no_parameter_block_is_valid_and_there_is_none_to_store() {
    assert_eq!(diagnose(5, 2, 0x4000), IplAction::Answer { register: 3, rc: 0x0402 });
    assert_eq!(diagnose(6, 4, 0x4000), IplAction::Answer { register: 5, rc: 0x0102 });
}

#[test]
fn parameter_blocks_need_an_even_register_a_page_and_memory() {
    let exception = |code| IplAction::Exception(code);
    for subcode in [5, 6] {
        assert_eq!(diagnose(subcode, 3, 0x4000), exception(ProgramInterruption::Specification));
        assert_eq!(diagnose(subcode, 2, 0x4008), exception(ProgramInterruption::Specification));
        assert_eq!(diagnose(subcode, 2, MIB), exception(ProgramInterruption::Addressing));
        assert_eq!(diagnose(subcode, 2, !0xfff), exception(ProgramInterruption::Addressing));
        assert_eq!(diagnose(subcode, 2, MIB - 4096), diagnose(subcode, 2, 0));
    }
}

#[test]
fn all_other_subcodes_are_specification_exceptions() {
    for subcode in [2, 7, 8, 9, 10, 11, 0x1_0000, 1 << 32, u64::MAX] {
        assert_eq!(
            diagnose(subcode, 2, 0),
            IplAction::Exception(ProgramInterruption::Specification),
            "{subcode:#x}"
        );
    }
}

#[test]
fn a_load_normal_starts_at_the_short_psw_at_address_0() {
    let memory = memory(1);
    memory.write_slice(&0x0008_0000_8001_0000u64.to_be_bytes(), GuestAddress(0)).expect("inside");
    assert_eq!(load_normal_psw(&memory), Psw { mask: 0x8000_0000, address: 0x1_0000 });
    memory.write_slice(&0x0000_0001_8000_2000u64.to_be_bytes(), GuestAddress(0)).expect("inside");
    let psw = Psw { mask: 0x0008_0001_8000_0000, address: 0x2000 };
    assert_eq!(load_normal_psw(&memory), psw, "bit 12 stays on: the CPU refuses it");
}

// --- resets --------------------------------------------------------------------------------------

const KINDS: [ResetKind; 4] =
    [ResetKind::External, ResetKind::ReIpl, ResetKind::ModifiedClear, ResetKind::LoadNormal];

#[test]
fn the_steps_of_each_reset_are_qemu_s() {
    use ResetStep::*;
    let full = [
        ChannelSubsystem,
        SclpEvents,
        FloatingInterruptions,
        ApQueues,
        ClearAllCpus,
        KeyWrapping,
        LoadImage,
        StartIplCpu,
    ];
    assert_eq!(ResetKind::External.steps(), full);
    assert_eq!(ResetKind::ReIpl.steps(), full);
    assert_eq!(
        ResetKind::ModifiedClear.steps(),
        [
            ChannelSubsystem,
            SclpEvents,
            FloatingInterruptions,
            ApQueues,
            KeyWrapping,
            ClearAllCpus,
            LoadNormalThisCpu
        ]
    );
    assert_eq!(
        ResetKind::LoadNormal.steps(),
        [
            ChannelSubsystem,
            SclpEvents,
            FloatingInterruptions,
            ApQueues,
            NormalOtherCpus,
            InitialThisCpu,
            LoadNormalThisCpu
        ]
    );
}

#[test]
fn every_reset_resets_the_ap_queues_once_before_any_cpu_and_ends_with_one_cpu_running() {
    for kind in KINDS {
        let steps = kind.steps();
        let position = |step| steps.iter().position(|other| *other == step);
        let queues = position(ResetStep::ApQueues).expect("AP is reset");
        assert_eq!(steps.iter().filter(|step| **step == ResetStep::ApQueues).count(), 1);
        for cpus in [ResetStep::ClearAllCpus, ResetStep::NormalOtherCpus, ResetStep::InitialThisCpu] {
            assert!(position(cpus).is_none_or(|cpus| queues < cpus));
        }
        assert!(matches!(steps.last(), Some(ResetStep::StartIplCpu | ResetStep::LoadNormalThisCpu)));
    }
}

// --- the loader ----------------------------------------------------------------------------------

/// An s390x ELF program; each segment is its physical address, bytes and size in memory.
fn elf(entry: u64, segments: &[(u64, &[u8], u64)]) -> Vec<u8> {
    let mut header = Vec::new();
    header.extend(b"\x7fELF\x02\x02\x01\0\0\0\0\0\0\0\0\0");
    header.extend([0, 2, 0, 22, 0, 0, 0, 1]); // ET_EXEC, EM_S390
    header.extend(entry.to_be_bytes());
    header.extend(64u64.to_be_bytes());
    header.extend([0; 8]);
    header.extend([0, 0, 0, 0, 0, 64, 0, 56]);
    header.extend(u16::try_from(segments.len()).expect("few").to_be_bytes());
    header.extend([0, 0, 0, 0, 0, 0]);
    let mut data = Vec::new();
    let mut offset = 64 + 56 * segments.len();
    for (address, bytes, size) in segments {
        header.extend([0, 0, 0, 1, 0, 0, 0, 7]); // PT_LOAD, rwx
        // The virtual address is another, to see that it is not used.
        let fields =
            [offset as u64, address.wrapping_add(0x4000_0000), *address, bytes.len() as u64, *size, 8];
        header.extend(fields.iter().flat_map(|field| field.to_be_bytes()));
        data.extend(*bytes);
        offset += bytes.len();
    }
    [header, data].concat()
}

/// A raw Linux image of `size` bytes with room for a command line of `command_line` bytes.
fn linux(size: usize, command_line: u64) -> Vec<u8> {
    let mut image = vec![0; size];
    image[0x1_0008..0x1_000e].copy_from_slice(b"S390EP");
    image[0x1_0430..0x1_0438].copy_from_slice(&command_line.to_be_bytes());
    image
}

fn kernel(kernel: Vec<u8>) -> Image {
    Image { kernel, ..Image::default() }
}

fn with_command_line(kernel: Vec<u8>, line: &str) -> Image {
    Image { kernel, command_line: Some(line.to_owned()), initrd: None }
}

fn start(address: u64) -> Result<Psw, LoadError> {
    Ok(Psw { mask: 0x0000_0001_8000_0000, address })
}

#[test]
fn an_elf_program_is_loaded_at_its_physical_addresses_and_its_bss_is_zeroed() {
    let memory = memory(1);
    memory.write_slice(&[0xff; 0x9000], GuestAddress(0x2000)).expect("inside");
    let image = kernel(elf(0x2004, &[(0x2000, b"\x07\x00text", 6), (0x4000, b"data", 0x3000)]));
    assert_eq!(image.load(&memory), start(0x2004));
    assert_eq!(read(&memory, 0x2000, 7), b"\x07\x00text\xff");
    assert_eq!(read(&memory, 0x4000, 4), b"data");
    assert_eq!(read(&memory, 0x4004, 0x2ffc), vec![0; 0x2ffc]);
    assert_eq!(read(&memory, 0x7000, 1), [0xff], "and not a byte more");
    memory.write_slice(b"changed by the guest", GuestAddress(0x4000)).expect("inside");
    assert_eq!(image.load(&memory), start(0x2004), "a re-IPL");
    assert_eq!(read(&memory, 0x4000, 20), b"data\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
}

#[test]
fn the_builtin_guest_is_loaded_where_its_linker_script_says() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../resources/guests/apcheck/apcheck.elf");
    let image = kernel(std::fs::read(file).expect("it is in the tree"));
    let memory = memory(1);
    memory.write_slice(&[0xff; 0x10_0000], GuestAddress(0)).expect("inside");
    assert_eq!(image.load(&memory), start(0x2_0000));
    assert_eq!(read(&memory, 0, 0x2_0000), vec![0xff; 0x2_0000], "nothing below it");
    assert_ne!(read(&memory, 0x2_0000, 2), [0xff; 2]);
}

#[test]
fn a_raw_image_starts_where_its_ipl_psw_says() {
    let memory = memory(1);
    let mut image = vec![0x11; 0x3000];
    image[..8].copy_from_slice(&0x0008_0000_8000_2000u64.to_be_bytes());
    // What another program left there makes it no Linux.
    memory.write_slice(b"S390EP", GuestAddress(0x1_0008)).expect("inside");
    assert_eq!(kernel(image.clone()).load(&memory), start(0x2000));
    assert_eq!(read(&memory, 0, 0x3000), image);
}

#[test]
fn a_linux_image_gets_its_command_line_and_starts_at_10000() {
    let memory = memory(1);
    let image = with_command_line(linux(0x2_0000, 4096), "root=/dev/ram0 console=ttyS1");
    assert_eq!(image.load(&memory), start(0x1_0000));
    assert_eq!(read(&memory, 0x1_0480, 29), b"root=/dev/ram0 console=ttyS1\0");
    assert_eq!(read(&memory, 0x1_0408, 16), [0; 16], "no initrd");
}

#[test]
fn linux_as_an_elf_file_is_recognised_by_its_magic_whatever_its_old_entry() {
    let linux = linux(0x2_0000, 0);
    for entry in [0x1_0000, 0x800] {
        let memory = memory(1);
        let image = with_command_line(elf(entry, &[(0x1_0000, &linux[0x1_0000..], 0x1_0000)]), "quiet");
        assert_eq!(image.load(&memory), start(0x1_0000));
        assert_eq!(read(&memory, 0x1_0480, 6), b"quiet\0");
    }
    let elsewhere = elf(0x1_0100, &[(0x1_0000, &linux[0x1_0000..], 0x1_0000)]);
    assert_eq!(kernel(elsewhere).load(&memory(1)), start(0x1_0100));
}

#[test]
fn a_command_line_may_be_as_long_as_the_kernel_says_with_its_nul() {
    for (said, room) in [(0, 896), (64, 64), (4096, 4096)] {
        let line = "x".repeat(room - 1);
        assert_eq!(with_command_line(linux(0x2_0000, said), &line).load(&memory(1)), start(0x1_0000));
        let refused = with_command_line(linux(0x2_0000, said), &format!("{line}x")).load(&memory(1));
        let (length, maximum) = (room, room as u64 - 1);
        assert_eq!(refused, Err(LoadError::CommandLineTooLong { length, maximum }));
    }
    let nul = with_command_line(linux(0x2_0000, 0), "a\0b").load(&memory(1));
    assert_eq!(nul, Err(LoadError::CommandLineWithNul));
    let huge = with_command_line(linux(0x2_0000, u64::MAX), &"x".repeat(1 << 20)).load(&memory(1));
    assert!(matches!(huge, Err(LoadError::CommandLineTooLong { .. })), "memory has an end");
}

#[test]
fn the_initrd_is_at_8_mib_or_a_mib_behind_the_kernel() {
    for (kernel_size, expected) in [(0x2_0000, 0x80_0000), (7 << 20, 0x80_0000), ((7 << 20) + 1, 0x90_0000)] {
        let memory = memory(16);
        let image =
            Image { kernel: linux(kernel_size, 0), initrd: Some(b"070701".to_vec()), command_line: None };
        assert_eq!(image.load(&memory), start(0x1_0000));
        assert_eq!(read(&memory, expected, 6), b"070701");
        assert_eq!(read(&memory, 0x1_0408, 8), expected.to_be_bytes());
        assert_eq!(read(&memory, 0x1_0410, 8), 6u64.to_be_bytes());
        assert_eq!(read(&memory, 0x1_0480, 1), [0], "an empty command line");
    }
}

#[test]
fn what_does_not_fit_into_memory_is_refused_with_its_end() {
    let too_large = |end| Err(LoadError::KernelTooLarge { end, memory: MIB });
    assert_eq!(kernel(vec![0; (1 << 20) + 1]).load(&memory(1)), too_large(MIB + 1));
    assert_eq!(kernel(elf(0, &[(MIB - 4, b"12345678", 8)])).load(&memory(1)), too_large(MIB + 4));
    assert_eq!(kernel(elf(0, &[(0x2000, b"", MIB)])).load(&memory(1)), too_large(MIB + 0x2000));
    assert_eq!(kernel(elf(0, &[(u64::MAX - 1, b"", 8)])).load(&memory(1)), too_large(u64::MAX));
    let image = Image { kernel: linux(0x2_0000, 0), initrd: Some(vec![1; 8]), command_line: None };
    let refused = Err(LoadError::InitrdTooLarge { end: 0x80_0008, memory: 8 * MIB });
    assert_eq!(image.load(&memory(8)), refused);
}

#[test]
fn only_linux_takes_an_initrd_or_a_command_line() {
    let program = elf(0x2000, &[(0x2000, b"\x07\x00", 2)]);
    let refused = with_command_line(program.clone(), "x").load(&memory(1));
    assert_eq!(refused, Err(LoadError::CommandLineWithoutLinux));
    assert_eq!(with_command_line(program.clone(), "").load(&memory(1)), start(0x2000));
    let image = Image { kernel: program, initrd: Some(vec![1]), command_line: None };
    assert_eq!(image.load(&memory(1)), Err(LoadError::InitrdWithoutLinux));
}

#[test]
fn files_that_are_no_kernel_are_refused() {
    let nothing =
        [b"".to_vec(), b"#!/bin/sh".to_vec(), vec![0; 0x2_0000], vec![0xff; 4096], b"1234567".to_vec()];
    for file in nothing {
        assert_eq!(kernel(file).load(&memory(1)), Err(LoadError::NotBootable));
    }
}

#[test]
fn elf_files_of_other_machines_and_kinds_are_refused_by_name() {
    let good = elf(0x2000, &[(0x2000, b"\x07\x00", 2)]);
    for (offset, value, text) in [
        (4, 1, "but of class 1"),
        (5, 1, "but of data encoding 1"),
        (19, 62, "but for machine 62"),
        (17, 1, "but of type 1"),
        (71 - 4, 2, "but without anything to load"),
    ] {
        let mut bad = good.clone();
        bad[offset] = value;
        let refused = kernel(bad).load(&memory(1)).expect_err(text);
        assert!(matches!(refused, LoadError::WrongElf(_)) && refused.to_string().contains(text), "{refused}");
    }
}

#[test]
fn every_refusal_is_one_lower_case_line_with_the_option_to_change() {
    let errors = [
        LoadError::NotBootable,
        LoadError::DamagedElf("x".into()),
        LoadError::WrongElf("of type 1".into()),
        LoadError::KernelTooLarge { end: 1, memory: 1 },
        LoadError::InitrdTooLarge { end: 1, memory: 1 },
        LoadError::InitrdWithoutLinux,
        LoadError::CommandLineWithoutLinux,
        LoadError::CommandLineTooLong { length: 1, maximum: 1 },
        LoadError::CommandLineWithNul,
    ];
    for error in errors {
        let text = error.to_string();
        assert!(text.starts_with("the ") && text.contains("(--") && !text.contains('\n'), "{text}");
    }
}

proptest::proptest! {
    #[test]
    fn no_damage_to_an_elf_file_makes_the_loader_panic(
        offset in 0usize..140,
        bytes in proptest::collection::vec(proptest::arbitrary::any::<u8>(), 1..9),
        cut in 0usize..200,
    ) {
        let mut file = elf(0x2000, &[(0x2000, b"\x07\x00", 2), (0x3000, b"data", 0x1000)]);
        for (to, from) in file[offset.min(130)..].iter_mut().zip(bytes) {
            *to = from;
        }
        file.truncate(cut.max(4));
        let memory = memory(1);
        if let Ok(psw) = kernel(file).load(&memory) {
            proptest::prop_assert_eq!(psw.mask, Psw::MASK_64BIT);
        }
    }

    #[test]
    fn no_raw_file_makes_the_loader_panic(file in proptest::collection::vec(proptest::arbitrary::any::<u8>(), 0..64)) {
        let loaded = kernel(file).load(&memory(1));
        proptest::prop_assert!(loaded.is_err() || loaded.is_ok_and(|psw| psw.address < 64));
    }
}
