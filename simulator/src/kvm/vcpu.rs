//! A vCPU: the interpreter's CPU in KVM's run loop.
//!
//! It runs until something is for user space, as `arch/s390/kvm/kvm-s390.c: __vcpu_run` does; what the kernel does
//! itself is in [`super::intercept`] and [`super::sigp`].

use super::{
    board::{Bell, Board, Mail, Slot, Woken},
    environment::Guest,
    host::VmHeld,
    intercept::{self, Handled},
    status,
    storage::Absolute,
    vm::Shared,
};
use adjunct_hypervisor::{
    Access, Accessed, AdditionalState, CpuReset, CpuState, Exit, KernelError, Kick, Local, Operand, Psw,
    Result, RunState, Vcpu,
};
use adjunct_zarch::{self as zarch, Cpu, Stop, environment::Machine};
use std::{sync::Arc, time::Duration};

/// Instructions between two looks at kicks and mail.
const SLICE: u32 = 4096;

/// Most bytes of a memory operation (`arch/s390/kvm/kvm-s390.c: MEM_OP_MAX_SIZE`).
const MOST_BYTES: usize = 65536;

/// Interception codes (`arch/s390/include/asm/kvm_host.h: ICPT_*`, 6.12; `kvm_host_types.h`, 7.2).
const ICPT_INSTRUCTION: u8 = 0x04;
const ICPT_PROGRAM: u8 = 0x08;
const ICPT_EXTERNAL: u8 = 0x14;
const ICPT_WAIT: u8 = 0x1c;
const ICPT_STOP: u8 = 0x28;
const ICPT_OPERATION: u8 = 0x2c;

/// A vCPU of the simulated host.
#[derive(Debug)]
pub struct SimVcpu {
    id: u16,
    cpu: Cpu,
    /// What user space sees of `cpu`.
    registers: CpuState,
    facilities: Box<[u8; 256]>,
    machine: Machine,
    bell: Arc<Bell>,
    /// Token of DIAGNOSE 0x258; no page fault is ever reported by it, but its handshake is the kernel's.
    pfault: Option<u64>,
    /// While it waits: replies were let arrive when so many interruptions had come in.
    settled: Option<u64>,
    #[expect(dead_code, reason = "held for its drop")]
    held: VmHeld,
    vm: Arc<Shared>,
}

impl SimVcpu {
    pub(super) fn new(id: u16, vm: Arc<Shared>, held: VmHeld) -> Self {
        let vcpus = u16::try_from(vm.board.vcpus()).unwrap_or(u16::MAX);
        // As `kvm_arch_vcpu_create` leaves it: all zero, also CR0 and CR14, until a reset.
        let cpu = Cpu::default();
        Self {
            id,
            registers: registers_of(&cpu),
            cpu,
            facilities: Box::new(vm.model.facilities()),
            machine: vm.model.machine(vcpus),
            bell: vm.board.bell(id),
            pfault: None,
            settled: None,
            held,
            vm,
        }
    }

    /// What it is for a guest of its guest: its VM, its number and its prefix.
    pub(super) fn as_guest_2(&self) -> (&Shared, u16, u32) {
        (&self.vm, self.id, self.registers.prefix)
    }

    /// Runs until something is for user space.
    fn execute(&mut self, ram: &Absolute<'_>) -> Result<Exit> {
        loop {
            if self.bell.take_kick() {
                return Ok(Exit::Interrupted);
            }
            let vm = Arc::clone(&self.vm);
            if self.bell.has_mail() {
                self.read_mail();
            }
            let arrivals = vm.board.arrivals();
            let (stop, timer) = if vm.board.stop_ordered(self.id) {
                self.take_interruptions(&vm, ram).map_or((None, None), |stop| (Some(stop), None))
            } else {
                let (stop, timer) = self.slice(&vm, ram);
                (Some(stop), timer)
            };
            // What instructions found on a host that is gone must not get out of the guest.
            vm.host.check()?;
            let Some(stop) = stop else { return Ok(sieic(ICPT_STOP)) };
            if let Some(exit) = self.stopped(stop, ram, arrivals, timer)? {
                return Ok(exit);
            }
        }
    }

    /// What a stop of the interpreter leads to: an exit, or it goes on.
    fn stopped(
        &mut self,
        stop: Stop,
        ram: &Absolute<'_>,
        arrivals: u64,
        timer: Option<u64>,
    ) -> Result<Option<Exit>> {
        let vm = Arc::clone(&self.vm);
        if stop == Stop::EnabledWait && self.let_replies_arrive(arrivals, timer) {
            return Ok(None);
        }
        self.settled = None;
        let exit = match stop {
            Stop::Budget => {
                vm.clock.executed(SLICE);
                vm.board.time_passed();
                None
            }
            Stop::EnabledWait => {
                self.wait(&vm.board, arrivals, timer);
                None
            }
            Stop::Instruction { ipa, ipb } => self.intercepted(&vm, ram, ipa, ipb),
            Stop::DisabledWait => Some(sieic(ICPT_WAIT)),
            Stop::ProgramLoop => Some(sieic(ICPT_PROGRAM)),
            Stop::OperationLoop { ipa, ipb } => Some(Exit::Sieic { icptcode: ICPT_OPERATION, ipa, ipb }),
            Stop::ExternalLoop => Some(sieic(ICPT_EXTERNAL)),
            Stop::Unsupported { what } => {
                let psw = self.cpu.state.psw;
                let who = format!(
                    "vCPU {}: the simulated CPU lacks {what} (PSW {:016x} {:016x})",
                    self.id, psw.mask, psw.address
                );
                return Err(KernelError::new("KVM_RUN", who, libc::EOPNOTSUPP));
            }
            // A validity interception is the VMM's fault (`handle_validity`).
            Stop::Validity => return Err(self.refused("KVM_RUN", libc::EINVAL)),
        };
        Ok(exit)
    }

    /// Executes for a while. After an enabled wait also when a timer ends it, in nanoseconds of the host's clock.
    fn slice(&mut self, vm: &Shared, ram: &Absolute<'_>) -> (Stop, Option<u64>) {
        let mut guest = Guest::new(vm, self.id, &self.facilities, &self.machine);
        let stop = self.cpu.run(ram, &mut guest, u64::from(SLICE));
        let timer = match stop {
            Stop::EnabledWait => self.cpu.next_timer(&guest).map(|units| vm.clock.after(units)),
            _ => None,
        };
        (stop, timer)
    }

    /// What comes before an order to stop (`arch/s390/kvm/intercept.c: handle_stop`). `None`: nothing more.
    fn take_interruptions(&mut self, vm: &Shared, ram: &Absolute<'_>) -> Option<Stop> {
        let mut guest = Guest::new(vm, self.id, &self.facilities, &self.machine);
        self.cpu.take_interruptions(ram, &mut guest, u64::from(SLICE))
    }

    /// An instruction that SIE leaves to the host: the kernel's part of it, or user space's.
    fn intercepted(&mut self, vm: &Shared, ram: &Absolute<'_>, ipa: u16, ipb: u32) -> Option<Exit> {
        vm.clock.left();
        vm.board.time_passed();
        let mut intercept = intercept::Intercept {
            cpu: &mut self.cpu,
            id: self.id,
            guest: Guest::new(vm, self.id, &self.facilities, &self.machine),
            vm,
            ram,
            pfault: &mut self.pfault,
            ipa,
            ipb,
        };
        match intercept.handle() {
            Handled::Done => None,
            Handled::Program(code) => {
                self.cpu.inject_program(code);
                None
            }
            Handled::Exit(exit) => Some(exit),
            Handled::UserSpace => Some(Exit::Sieic { icptcode: ICPT_INSTRUCTION, ipa, ipb }),
        }
    }

    /// When a guest begins to wait, replies that its queues work on arrive: the clock moves by the time that they take.
    /// `false` when that was done and nothing came of it, when replies take no time, or when a timer ends the wait
    /// before.
    fn let_replies_arrive(&mut self, arrivals: u64, timer: Option<u64>) -> bool {
        let host = &self.vm.host;
        let Some(service_time) = host.service_time() else { return false };
        let ready =
            self.vm.clock.now().saturating_add(u64::try_from(service_time.as_nanos()).unwrap_or(u64::MAX));
        let done = self.settled == Some(arrivals) || timer.is_some_and(|timer| timer <= ready);
        if done || service_time.is_zero() || self.vm.hook().is_none() {
            return false;
        }
        self.settled = Some(arrivals);
        host.advance(service_time);
        self.vm.board.time_passed();
        true
    }

    fn wait(&self, board: &Board, arrivals: u64, timer: Option<u64>) {
        if let Woken::Jump(nanoseconds) = board.wait(self.id, arrivals, timer) {
            self.vm.host.advance(Duration::from_nanos(nanoseconds));
            self.vm.board.time_passed();
        }
    }

    /// Takes in what is pending for this vCPU.
    fn read_mail(&mut self) {
        let Mail { restart, emergencies, external_call } = self.vm.board.take_mail(self.id);
        for source in emergencies {
            self.cpu.inject_emergency(source);
        }
        if let Some(source) = external_call {
            // There is none yet: the board takes one at a time.
            let _ = self.cpu.inject_external_call(source);
        }
        if restart {
            self.cpu.inject_restart();
        }
    }

    fn refused(&self, request: &'static str, errno: i32) -> KernelError {
        KernelError::new(request, format!("vCPU {}", self.id), errno)
    }

    fn act(&self, request: &'static str) -> Result<()> {
        self.vm.host.act(request, &format!("vCPU {}", self.id))
    }
}

/// An interception without an instruction.
fn sieic(icptcode: u8) -> Exit {
    Exit::Sieic { icptcode, ipa: 0, ipb: 0 }
}

/// Whether user space comes back from an exit by itself, and soon: the clock does not jump meanwhile.
fn returning(exit: &Result<Exit>) -> bool {
    match exit {
        Ok(Exit::Sieic { icptcode, .. }) => *icptcode == ICPT_INSTRUCTION,
        Ok(Exit::Tsch { .. } | Exit::Stsi { .. } | Exit::Reset { .. }) => true,
        _ => false,
    }
}

fn registers_of(cpu: &Cpu) -> CpuState {
    let state = &cpu.state;
    CpuState {
        psw: Psw { mask: state.psw.mask, address: state.psw.address },
        gprs: state.gprs,
        acrs: state.acrs,
        crs: state.crs,
        prefix: state.prefix,
    }
}

fn load(registers: &CpuState, cpu: &mut Cpu) {
    let state = &mut cpu.state;
    state.psw = zarch::psw::Psw::new(registers.psw.mask, registers.psw.address);
    state.gprs = registers.gprs;
    state.acrs = registers.acrs;
    state.crs = registers.crs;
    state.prefix = registers.prefix;
}

impl Vcpu for SimVcpu {
    fn id(&self) -> u16 {
        self.id
    }

    fn state(&self) -> &CpuState {
        &self.registers
    }

    fn state_mut(&mut self) -> &mut CpuState {
        &mut self.registers
    }

    fn run(&mut self) -> Result<Exit> {
        let vm = Arc::clone(&self.vm);
        // Without memory the first fetch is a host fault.
        let ram = vm.memory.as_ref().and_then(|memory| memory.absolute());
        let ram = ram.ok_or_else(|| self.refused("KVM_RUN", libc::EFAULT))?;
        if !vm.board.enter(self.id) {
            return Err(self.refused("KVM_RUN", libc::EINVAL));
        }
        load(&self.registers, &mut self.cpu);
        let exit = self.execute(&ram);
        self.registers = registers_of(&self.cpu);
        vm.board.leave(self.id, returning(&exit));
        exit
    }

    fn reset(&mut self, kind: CpuReset) -> Result<()> {
        load(&self.registers, &mut self.cpu);
        match kind {
            CpuReset::Normal => {
                self.act("KVM_S390_NORMAL_RESET")?;
                self.cpu.normal_reset();
            }
            CpuReset::Initial => {
                self.act("KVM_S390_INITIAL_RESET")?;
                self.cpu.initial_reset();
            }
            CpuReset::Clear => {
                self.act("KVM_S390_CLEAR_RESET")?;
                self.cpu.clear_reset();
            }
        }
        self.pfault = None;
        self.vm.board.discard_mail(self.id);
        self.registers = registers_of(&self.cpu);
        Ok(())
    }

    fn set_run_state(&mut self, state: RunState) -> Result<()> {
        self.act("KVM_SET_MP_STATE")?;
        self.vm.board.set_run_state(self.id, state);
        Ok(())
    }

    fn store_status(&mut self, at: Option<u64>) -> Result<()> {
        const REQUEST: &str = "KVM_S390_STORE_STATUS";
        self.act(REQUEST)?;
        load(&self.registers, &mut self.cpu);
        let ram = self.vm.memory.as_ref().and_then(|memory| memory.absolute());
        let stored = ram.is_some_and(|ram| status::store(&self.cpu.state, &ram, at).is_ok());
        if stored { Ok(()) } else { Err(self.refused(REQUEST, libc::EFAULT)) }
    }

    fn additional_state(&mut self) -> Result<AdditionalState> {
        // A simulated CPU has neither facility.
        Ok(AdditionalState::default())
    }

    fn access(&mut self, operand: Operand, access: Access<'_>) -> Result<Accessed> {
        const REQUEST: &str = "KVM_S390_MEM_OP";
        let length = match &access {
            Access::Read(into) => into.len(),
            Access::Write(from) => from.len(),
            Access::CheckWrite(length) => *length as usize,
        };
        match length {
            0 => return Err(self.refused(REQUEST, libc::EINVAL)),
            1..=MOST_BYTES => {}
            _ => return Err(self.refused(REQUEST, libc::E2BIG)),
        }
        let vm = Arc::clone(&self.vm);
        let ram = vm.memory.as_ref().and_then(|memory| memory.absolute());
        let ram = ram.ok_or_else(|| self.refused(REQUEST, libc::EFAULT))?;
        let mut guest = Guest::new(&vm, self.id, &self.facilities, &self.machine);
        let (cpu, address) = (&mut self.cpu, operand.address);
        let done = match access {
            Access::Read(into) => cpu.read_operand(&ram, &mut guest, address, into),
            Access::Write(from) => cpu.write_operand(&ram, &mut guest, address, from),
            Access::CheckWrite(_) => cpu.check_operand(&ram, &mut guest, address, length),
        };
        Ok(match done {
            Ok(()) => Accessed::Done,
            Err(code) => {
                self.cpu.inject_program(code);
                Accessed::Interrupted
            }
        })
    }

    fn inject(&mut self, interruption: Local) -> Result<()> {
        match interruption {
            Local::Program { code } => {
                let code = intercept::program_code(code)
                    .ok_or_else(|| self.refused("KVM_S390_IRQ", libc::EINVAL))?;
                self.cpu.inject_program(code);
            }
            Local::Restart => {
                self.vm.board.with(self.id, |slot| slot.mail.restart = true);
            }
            Local::Stop => {
                let order = |slot: &mut Slot| {
                    let stopped = slot.run_state == RunState::Stopped;
                    stopped || !std::mem::replace(&mut slot.stop_ordered, true)
                };
                if !self.vm.board.with(self.id, order).unwrap_or_default() {
                    return Err(self.refused("KVM_S390_IRQ", libc::EBUSY));
                }
            }
        }
        Ok(())
    }

    fn kicker(&self) -> Arc<dyn Kick> {
        Arc::new(Kicker { board: Arc::clone(&self.vm.board), id: self.id })
    }
}

/// Kicks one vCPU. It does not keep the VM alive.
#[derive(Debug)]
struct Kicker {
    board: Arc<Board>,
    id: u16,
}

impl Kick for Kicker {
    fn kick(&self) {
        self.board.kick(self.id);
    }
}

/// A vCPU that is gone holds nobody up.
impl Drop for SimVcpu {
    fn drop(&mut self) {
        self.vm.board.leave(self.id, false);
    }
}
