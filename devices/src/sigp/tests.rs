use super::*;
use adjunct_hypervisor::{
    Access, Accessed, AdditionalState, CpuState, Exit, Kick, MemorySize, Operand, allocate,
};
use std::sync::Arc;

/// A vCPU that notes what was asked of it.
#[derive(Debug, Default)]
struct Noting {
    state: CpuState,
    additional: AdditionalState,
    asked: Vec<String>,
}

impl Vcpu for Noting {
    fn id(&self) -> u16 {
        1
    }
    fn state(&self) -> &CpuState {
        &self.state
    }
    fn state_mut(&mut self) -> &mut CpuState {
        &mut self.state
    }
    fn run(&mut self) -> Result<Exit> {
        Ok(Exit::Interrupted)
    }
    fn reset(&mut self, kind: CpuReset) -> Result<()> {
        self.asked.push(format!("{kind:?} reset"));
        Ok(())
    }
    fn set_run_state(&mut self, state: RunState) -> Result<()> {
        self.asked.push(format!("{state:?}"));
        Ok(())
    }
    fn store_status(&mut self, at: Option<u64>) -> Result<()> {
        self.asked.push(format!("status {at:x?}"));
        Ok(())
    }
    fn additional_state(&mut self) -> Result<AdditionalState> {
        Ok(self.additional)
    }
    fn access(&mut self, _: Operand, _: Access<'_>) -> Result<Accessed> {
        Ok(Accessed::Done)
    }
    fn inject(&mut self, interruption: Local) -> Result<()> {
        self.asked.push(format!("{interruption:?}"));
        Ok(())
    }
    fn kicker(&self) -> Arc<dyn Kick> {
        #[derive(Debug)]
        struct Nobody;
        impl Kick for Nobody {
            fn kick(&self) {}
        }
        Arc::new(Nobody)
    }
}

fn sigp(order: u8, parameter: u64) -> Sigp {
    Sigp { order, cpu_address: 1, parameter, status_register: 4 }
}

fn memory() -> GuestMemory {
    allocate(MemorySize::MEBIBYTE).expect("1 MiB can be had")
}

/// Answer, state afterwards, and what was asked of the target.
fn ordered(order: u8, parameter: u64, state: State) -> (Answer, State, String) {
    let mut target = Noting::default();
    let (answer, after) =
        carry_out(&sigp(order, parameter), &mut target, state, &memory()).expect("it takes all");
    (answer, after, target.asked.join(", "))
}

#[test]
fn each_order_does_to_a_cpu_in_each_state_what_qemu_does() {
    use Answer::*;
    use State::{DisabledWait, Operating, Stopped};
    const STOPPING: State = State::Stopping(StopOrder::Stop);
    const STORING: State = State::Stopping(StopOrder::StopAndStoreStatus);
    let state = Answer::INCORRECT_STATE;
    #[rustfmt::skip]
    let table = [
        (0x04, Stopped,      Accepted, Operating,    "Operating"),
        (0x04, Operating,    Accepted, Operating,    ""),
        (0x04, DisabledWait, Accepted, DisabledWait, ""),
        (0x04, STOPPING,     Busy,     STOPPING,     ""),
        (0x05, Operating,    Accepted, STOPPING,     "Stop"),
        (0x05, DisabledWait, Accepted, Stopped,      "Stopped"),
        (0x05, Stopped,      Accepted, Stopped,      "Stopped"),
        (0x05, STORING,      Busy,     STORING,      ""),
        (0x06, Stopped,      Accepted, Operating,    "Operating"),
        (0x06, Operating,    Accepted, Operating,    "Restart"),
        (0x06, DisabledWait, Accepted, Operating,    "Restart"),
        (0x06, STOPPING,     Busy,     STOPPING,     ""),
        (0x09, Operating,    Accepted, STORING,      "Stop"),
        (0x09, DisabledWait, Accepted, Stopped,      "status None, Stopped"),
        (0x09, Stopped,      Accepted, Stopped,      "status None, Stopped"),
        (0x09, STOPPING,     Busy,     STOPPING,     ""),
        (0x0b, Operating,    Accepted, Stopped,      "Initial reset, Stopped"),
        (0x0b, STORING,      Accepted, Stopped,      "Initial reset, Stopped"),
        (0x0c, Operating,    Accepted, Stopped,      "Normal reset, Stopped"),
        (0x0c, STOPPING,     Accepted, Stopped,      "Normal reset, Stopped"),
        (0x0d, Operating,    state,    Operating,    ""),
        (0x0d, DisabledWait, state,    DisabledWait, ""),
        (0x0d, Stopped,      Accepted, Stopped,      ""),
        (0x0d, STOPPING,     Busy,     STOPPING,     ""),
        (0x0e, Operating,    state,    Operating,    ""),
        (0x0e, Stopped,      Accepted, Stopped,      "status Some(2000)"),
        (0x17, STOPPING,     Busy,     STOPPING,     ""),
        (0x07, Stopped,      Answer::INVALID_ORDER,     Stopped,   ""),
        (0x07, STOPPING,     Busy,     STOPPING,     ""),
        (0xff, Operating,    Answer::INVALID_ORDER,     Operating, ""),
    ];
    for (order, before, answer, after, asked) in table {
        assert_eq!(
            ordered(order, 0x2000, before),
            (answer, after, asked.to_owned()),
            "{order:#x} {before:?}"
        );
        let at_once = [Busy, Answer::INVALID_ORDER].contains(&answer).then_some(answer);
        assert_eq!(super::at_once(&sigp(order, 0x2000), Some(before)), at_once, "{order:#x} {before:?}");
    }
}

#[test]
fn a_cpu_that_has_come_back_stopped_has_its_status_stored_if_it_was_so_ordered() {
    for (order, asked) in
        [(StopOrder::Stop, &["Stopped"][..]), (StopOrder::StopAndStoreStatus, &["status None", "Stopped"])]
    {
        let mut target = Noting::default();
        complete(order, &mut target).expect("it takes all");
        assert_eq!(target.asked, asked);
    }
}

#[test]
fn setting_the_architecture_is_for_all_cpus_and_the_only_such_order() {
    for order in 0..=0xff {
        let nobody = if order == 0x12 { Answer::INVALID_PARAMETER } else { Answer::NotOperational };
        assert_eq!(at_once(&sigp(order, 1), None), Some(nobody), "{order:#x}");
    }
    let stopping = State::Stopping(StopOrder::Stop);
    assert_eq!(at_once(&sigp(0x12, 1), Some(stopping)), Some(Answer::INVALID_PARAMETER));
}

#[test]
fn a_prefix_and_a_save_area_must_be_in_memory() {
    for (order, parameter) in [(0x0d, 0x10_0000), (0x0e, 0x10_0000), (0x0d, 0x7fff_e000)] {
        let (answer, ..) = ordered(order, parameter, State::Stopped);
        assert_eq!(answer, Answer::INVALID_PARAMETER, "{order:#x} {parameter:#x}");
    }
    let mut target = Noting::default();
    carry_out(&sigp(0x0d, 0x8000_3fff), &mut target, State::Stopped, &memory()).expect("it takes all");
    assert_eq!(target.state.prefix, 0x2000, "on an 8 KiB boundary, below 2 GiB");
}

/// The registers by number, and what an area of 4 KiB at 0x3000 then has that was all 0xee.
fn additional_status(
    order_says: u64,
    state: State,
    vector: bool,
    guarded_storage: bool,
) -> (Answer, Vec<(usize, Vec<u64>)>) {
    let memory = memory();
    memory.write_slice(&[0xee; 0x2000], GuestAddress(0x2000)).expect("inside");
    fn numbers<const N: usize>(from: u64) -> [u64; N] {
        core::array::from_fn(|n| from + u64::try_from(n).expect("few"))
    }
    let additional = AdditionalState {
        vrs: vector.then(|| core::array::from_fn(|n| numbers(0x100 * u64::try_from(n).expect("32")))),
        gscb: guarded_storage.then(|| numbers(0x1_0000)),
    };
    let mut target = Noting { additional, ..Noting::default() };
    let (answer, after) =
        carry_out(&sigp(0x17, order_says), &mut target, state, &memory).expect("the host says what it has");
    assert_eq!((after, target.asked), (state, vec![]), "the CPU stays as it is");
    let mut bytes = vec![0; 0x2000];
    memory.read_slice(&mut bytes, GuestAddress(0x2000)).expect("inside");
    let mut stored: Vec<(usize, Vec<u64>)> = Vec::new();
    for (at, double) in (0x2000..).step_by(8).zip(bytes.chunks_exact(8)) {
        let double = u64::from_be_bytes(double.try_into().expect("eight"));
        match stored.last_mut() {
            _ if double == 0xeeee_eeee_eeee_eeee => {}
            Some((start, run)) if *start + 8 * run.len() == at => run.push(double),
            _ => stored.push((at, vec![double])),
        }
    }
    (answer, stored)
}

#[test]
fn additional_status_is_what_the_model_has_where_the_area_has_it() {
    let vrs: Vec<u64> = (0..32).flat_map(|n| [0x100 * n, 0x100 * n + 1]).collect();
    let gscb: Vec<u64> = (0x1_0000..0x1_0004).collect();
    for (vector, guarded_storage, length, stored) in [
        (true, false, 0, vec![(0x3000, &vrs)]),
        (true, true, 0, vec![(0x3000, &vrs)]),
        (true, true, 10, vec![(0x3000, &vrs)]),
        (true, true, 11, vec![(0x3000, &vrs), (0x3400, &gscb)]),
        (true, true, 12, vec![(0x3000, &vrs), (0x3400, &gscb)]),
        (false, true, 12, vec![(0x3400, &gscb)]),
        (false, true, 10, vec![]),
    ] {
        let stored: Vec<_> = stored.into_iter().map(|(at, registers)| (at, registers.clone())).collect();
        let found = additional_status(0x3000 | length, State::Stopped, vector, guarded_storage);
        assert_eq!(found, (Answer::Accepted, stored), "{vector} {guarded_storage} {length}");
    }
}

#[test]
fn additional_status_needs_a_facility_a_stopped_cpu_and_an_area_that_can_be() {
    let refused = |parameter, state, vector, guarded_storage| {
        let (answer, stored) = additional_status(parameter, state, vector, guarded_storage);
        assert_eq!(stored, [], "nothing is stored: {parameter:#x}");
        answer
    };
    for state in [State::Stopped, State::Operating] {
        assert_eq!(refused(0x3000, state, false, false), Answer::INVALID_ORDER);
    }
    for state in [State::Operating, State::DisabledWait] {
        // Said before the parameter is looked at.
        assert_eq!(refused(0x3001, state, true, true), Answer::INCORRECT_STATE);
    }
    // Lengths that are none, areas not on their boundary, areas that are not in memory.
    for length in (1..10).chain(13..16) {
        assert_eq!(refused(0x3000 | length, State::Stopped, true, true), Answer::INVALID_PARAMETER);
    }
    for parameter in [0x3200, 0x340b, 0x380c, 0x10_0000, 0x10_000c, 0xffff_ffff_ffff_fc00, 0x1_0000_3000] {
        assert_eq!(
            refused(parameter, State::Stopped, true, true),
            Answer::INVALID_PARAMETER,
            "{parameter:#x}"
        );
    }
    for length in 10..13 {
        // Only guarded storage makes an area longer.
        assert_eq!(refused(0x3000 | length, State::Stopped, true, false), Answer::INVALID_PARAMETER);
    }
}

#[test]
fn restarting_a_stopped_cpu_swaps_psws_in_its_prefix_area() {
    let memory = memory();
    memory.write_slice(&0x0000_0001_8000_0000_u64.to_be_bytes(), GuestAddress(0x41a0)).expect("inside");
    memory.write_slice(&0x1234_u64.to_be_bytes(), GuestAddress(0x41a8)).expect("inside");
    let mut target = Noting::default();
    target.state.prefix = 0x4000;
    target.state.psw = Psw { mask: 0x0002_0001_8000_0000, address: 0x5678 };
    carry_out(&sigp(0x06, 0), &mut target, State::Stopped, &memory).expect("it takes all");
    assert_eq!(target.state.psw, Psw { mask: Psw::MASK_64BIT, address: 0x1234 });
    let mut old = [0; 16];
    memory.read_slice(&mut old, GuestAddress(0x4120)).expect("inside");
    assert_eq!(u128::from_be_bytes(old), 0x0002_0001_8000_0000_0000_0000_0000_5678);
}

#[test]
fn the_sender_is_told_by_condition_code_and_in_the_low_word_of_its_register() {
    for (answer, cc, register) in [
        (Answer::Accepted, 0, 0x1111_1111_2222_2222),
        (Answer::INCORRECT_STATE, 1, 0x1111_1111_0000_0200),
        (Answer::NotOperational, 3, 0x1111_1111_2222_2222),
    ] {
        let mut sender = Noting::default();
        sender.state.gprs[4] = 0x1111_1111_2222_2222;
        answer.tell(&sigp(0x0d, 0), &mut sender);
        assert_eq!((sender.state.psw.condition_code(), sender.state.gprs[4]), (cc, register), "{answer:?}");
    }
}
