use super::*;
use ProgramInterruption::{Operation, PrivilegedOperation};

fn cpu() -> CpuState {
    let mut cpu = CpuState::default();
    for (number, value) in (0..).zip(cpu.gprs.iter_mut()) {
        *value = 0x1000_0000_0000_0000 * number + 0x100 * number;
    }
    cpu
}

fn user_cpu() -> CpuState {
    CpuState { psw: Psw { mask: Psw::PROBLEM_STATE, address: 0 }, ..cpu() }
}

fn decode_instruction(ipa: u16, ipb: u32) -> Intercept {
    decode(0x04, ipa, ipb, &cpu())
}

#[test]
fn the_table_of_b2_instructions_is_ascending_and_without_duplicates() {
    assert!(B2.windows(2).all(|pair| pair[0].0 < pair[1].0));
}

#[test]
fn service_call_has_its_command_in_the_high_and_its_sccb_in_the_low_nibble() {
    let mut cpu = cpu();
    cpu.gprs[2] = 0xffff_ffff_0012_0001;
    cpu.gprs[3] = 0x1_0000_4000;
    let call = ServiceCall { command: 0x0012_0001, sccb: 0x1_0000_4000 };
    assert_eq!(decode(0x04, 0xb220, 0x0023_0000, &cpu), Intercept::ServiceCall(call));
    // Only that byte counts.
    assert_eq!(decode(0x04, 0xb220, 0xff23_ffff, &cpu), Intercept::ServiceCall(call));
}

#[test]
fn the_function_code_of_diagnose_is_base_plus_displacement() {
    let diagnose = |code, r1, r3| Intercept::Diagnose { code, r1, r3 };
    assert_eq!(decode_instruction(0x8323, 0x0308_0000), diagnose(0x308, 2, 3));
    assert_eq!(decode_instruction(0x83f0, 0x1208_0000), diagnose(0x308, 15, 0), "register 1 is the base");
    assert_eq!(decode_instruction(0x8300, 0xffff_0000), diagnose(0x1eff, 0, 0));
    let mut cpu = cpu();
    cpu.gprs[4] = u64::MAX;
    assert_eq!(decode(0x04, 0x8324, 0x4309_0000, &cpu), diagnose(0x308, 2, 4), "the sum wraps");
    cpu.gprs[0] = 0x77;
    assert_eq!(decode(0x04, 0x8324, 0x0308_0000, &cpu), diagnose(0x308, 2, 4), "register 0 is no base");
}

#[test]
fn sigp_takes_its_parameter_from_the_odd_register_of_the_pair() {
    let mut cpu = cpu();
    cpu.gprs[3] = 0xffff_ffff_ffff_0001;
    let sigp =
        |r1, parameter| Intercept::Sigp(Sigp { order: 0x05, cpu_address: 1, parameter, status_register: r1 });
    assert_eq!(decode(0x04, 0xae63, 0x0005_0000, &cpu), sigp(6, cpu.gprs[7]));
    assert_eq!(decode(0x04, 0xae73, 0x0005_0000, &cpu), sigp(7, cpu.gprs[7]));
    assert_eq!(decode(0x04, 0xaef3, 0x0105_0000, &cpu), sigp(15, cpu.gprs[15]), "the order has eight bits");
}

#[test]
fn channel_io_instructions_are_those_that_kvm_has_a_handler_for() {
    use ChannelInstruction::*;
    // arch/s390/kvm/priv.c: kvm_s390_handle_b2, the rows of handle_io_inst.
    let expected = [
        (0x30, Csch),
        (0x31, Hsch),
        (0x32, Msch),
        (0x33, Ssch),
        (0x34, Stsch),
        (0x35, Tsch),
        (0x36, Tpi),
        (0x37, Sal),
        (0x38, Rsch),
        (0x39, Stcrw),
        (0x3a, Stcps),
        (0x3b, Rchp),
        (0x3c, Schm),
        (0x5f, Chsc),
        (0x74, Siga),
        (0x76, Xsch),
    ];
    let decoded: Vec<_> = (0..=0xff)
        .filter_map(|second| match decode_instruction(0xb200 | second, 0) {
            Intercept::ChannelIo(io) => Some((second, io.instruction)),
            _ => None,
        })
        .collect();
    assert_eq!(decoded, expected);
}

#[test]
fn ap_instructions_are_told_apart_and_never_privileged_operations() {
    for cpu in [cpu(), user_cpu()] {
        assert_eq!(decode(0x04, 0xb2ad, 0, &cpu), Intercept::Ap(ApInstruction::Nqap));
        assert_eq!(decode(0x04, 0xb2ae, 0, &cpu), Intercept::Ap(ApInstruction::Dqap));
        assert_eq!(decode(0x04, 0xb2af, 0, &cpu), Intercept::Ap(ApInstruction::Pqap));
    }
}

#[test]
fn privileged_instructions_in_problem_state_are_privileged_operations() {
    for ipa in [0xb220, 0x8323, 0xae12, 0xb230, 0xb25f, 0xb276] {
        assert_eq!(
            decode(0x04, ipa, 0x0308_0000, &user_cpu()),
            Intercept::Program(PrivilegedOperation),
            "{ipa:#x}"
        );
    }
}

#[test]
fn instructions_that_no_vmm_knows_are_operation_exceptions_in_every_state() {
    // EQBS, CLP, PTF, PCISTG, PCILG, RPCIT, SQBS, PCISTB, SIC, MPCIFC, STPCIFC, STSI, an invalid opcode.
    let unknown = [
        0xb99c, 0xb9a0, 0xb9a2, 0xb9d0, 0xb9d2, 0xb9d3, 0xeb8a, 0xebd0, 0xebd1, 0xe3d0, 0xe3d4, 0xb27d,
        0x0000,
    ];
    for cpu in [cpu(), user_cpu()] {
        for ipa in unknown {
            assert_eq!(decode(0x04, ipa, 0, &cpu), Intercept::Program(Operation), "{ipa:#x}");
        }
    }
}

#[test]
fn each_interception_code_has_its_meaning_and_the_others_are_reported_as_they_are() {
    let decode = |icptcode| decode(icptcode, 0xb220, 0x12, &cpu());
    assert_eq!(decode(0x08), Intercept::ProgramLoop);
    assert_eq!(decode(0x14), Intercept::ExternalLoop);
    assert_eq!(decode(0x1c), Intercept::DisabledWait);
    assert_eq!(decode(0x28), Intercept::Stopped);
    assert_eq!(decode(0x2c), Intercept::OperationLoop);
    for icptcode in [0x00, 0x20, 0x24, 0x40, 0x68, 0x6c, 0xff] {
        assert_eq!(decode(icptcode), Intercept::Unknown { icptcode, ipa: 0xb220, ipb: 0x12 });
    }
}

proptest::proptest! {
    #[test]
    fn no_instruction_text_is_too_odd_to_decode(icptcode: u8, ipa: u16, ipb: u32, gprs: [u64; 16], mask: u64) {
        let cpu = CpuState { psw: Psw { mask, address: 0 }, gprs, ..CpuState::default() };
        let intercept = decode(icptcode, ipa, ipb, &cpu);
        let acts = matches!(
            intercept,
            Intercept::ServiceCall(_) | Intercept::Diagnose { .. } | Intercept::Sigp(_) | Intercept::ChannelIo(_)
        );
        proptest::prop_assert!(!acts || icptcode == 0x04 && mask & Psw::PROBLEM_STATE == 0);
    }
}
