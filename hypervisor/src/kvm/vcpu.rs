//! A vCPU and its registers.
//!
//! KVM shows a vCPU's registers in `struct kvm_run` after every `KVM_RUN`, and takes them from there at the next one: PSW,
//! general and access registers always, control registers and prefix if told that they have changed, because it then
//! flushes what the guest's address translation has cached. Between two runs this struct is what KVM knows.
// UNSAFETY: kvm_run has unions, of which the exit reason or the guest's facilities say which member is meant.
#![expect(unsafe_code, reason = "the unions in struct kvm_run")]

use super::{
    attributes::VmAttributes,
    ioctls::{STORE_STATUS_NOADDR, VcpuRequests},
    kick::{Kicker, Line},
    refused,
    requests::{self, S390Vcpu as _},
    vm::KvmVm,
};
use crate::{
    Access, Accessed, AdditionalState, CpuReset, CpuState, Errno, Exit, KernelError, Kick, Local, Operand,
    Psw, Result, RunState, Vcpu,
};
use adjunct_cpu_model::{Feature, FeatureSet};
use kvm_bindings::{
    self as uapi, KVM_SYNC_ACRS, KVM_SYNC_CRS, KVM_SYNC_GPRS, KVM_SYNC_PREFIX, kvm_mp_state, kvm_run,
    kvm_s390_irq, kvm_sync_regs,
};
use kvm_ioctls::VcpuFd;
use std::sync::Arc;
use vm_memory::{Bytes, GuestAddress};

/// A vCPU of KVM.
#[derive(Debug)]
pub(super) struct KvmVcpu {
    id: u16,
    state: CpuState,
    line: Arc<Line>,
    vcpu: VcpuFd,
    /// Last: it has the guest's memory.
    vm: Arc<KvmVm>,
}

impl KvmVcpu {
    /// `KVM_CREATE_VCPU`.
    pub(super) fn create(vm: &Arc<KvmVm>, id: u16) -> Result<Self> {
        let refused = |request| move |errno| refused(request, format!("vCPU {id}"), errno);
        let mut vcpu = vm.vm.create_vcpu(id.into()).map_err(refused("KVM_CREATE_VCPU"))?;
        let line = Arc::new(Line::open(&vcpu).map_err(refused("mmap"))?);
        // All zero, here and in the kernel.
        let state = registers(vcpu.get_kvm_run());
        let mut vcpu = Self { id, state, line, vcpu, vm: Arc::clone(vm) };
        if id == 0 {
            // From the first such request on KVM leaves it to us, for all vCPUs, who runs; before, KVM_RUN would start
            // a vCPU that is stopped.
            vcpu.set_run_state(RunState::Stopped)?;
            // A request to a vCPU, for its VM: channel I/O instructions are for us.
            vcpu.vcpu
                .enable_capability(uapi::KVM_CAP_S390_CSS_SUPPORT)
                .map_err(|errno| super::refused("KVM_ENABLE_CAP", "KVM_CAP_S390_CSS_SUPPORT", errno))?;
        }
        Ok(vcpu)
    }

    fn refused(&self, request: &'static str, errno: Errno) -> KernelError {
        refused(request, format!("vCPU {}", self.id), errno)
    }

    /// Tells KVM the registers, for the next run.
    fn store(&mut self) {
        let run = self.vcpu.get_kvm_run();
        (run.psw_mask, run.psw_addr) = (self.state.psw.mask, self.state.psw.address);
        let regs = sync_regs(run);
        regs.gprs = self.state.gprs;
        regs.acrs = self.state.acrs;
        let mut dirty = KVM_SYNC_GPRS | KVM_SYNC_ACRS;
        if regs.crs != self.state.crs {
            regs.crs = self.state.crs;
            dirty |= KVM_SYNC_CRS;
        }
        if regs.prefix != u64::from(self.state.prefix) {
            regs.prefix = self.state.prefix.into();
            dirty |= KVM_SYNC_PREFIX;
        }
        // What KVM has not taken yet stays marked.
        run.kvm_dirty_regs |= u64::from(dirty);
    }

    /// Writes what KVM's STORE STATUS takes from its own copy, which it renews only when the vCPU runs.
    fn store_status_of_registers(&self, save_area: u64) -> std::result::Result<(), ()> {
        let state = &self.state;
        let crs: Vec<u8> = state.crs.iter().flat_map(|cr| cr.to_be_bytes()).collect();
        let [mask, address] = [state.psw.mask, state.psw.address].map(u64::to_be_bytes);
        let memory = self.vm.memory.last().ok_or(())?;
        let parts: [(u64, &[u8]); 4] =
            [(0x100, &mask), (0x108, &address), (0x118, &state.prefix.to_be_bytes()), (0x180, &crs)];
        parts
            .into_iter()
            .try_for_each(|(offset, bytes)| memory.write_slice(bytes, GuestAddress(save_area + offset)))
            .map_err(drop)
    }
}

/// The registers that `run` shows.
fn registers(run: &mut kvm_run) -> CpuState {
    let psw = Psw { mask: run.psw_mask, address: run.psw_addr };
    let regs = sync_regs(run);
    // Prefixes are addresses of 31 bits, in a member of 64.
    let [_, _, _, _, prefix @ ..] = regs.prefix.to_be_bytes();
    CpuState { psw, gprs: regs.gprs, acrs: regs.acrs, crs: regs.crs, prefix: u32::from_be_bytes(prefix) }
}

/// Those that a guest's CPU has by these facilities. KVM may show vector registers of a guest that has none
/// (`arch/s390/kvm/kvm-s390.c: kvm_arch_vcpu_create`, 7.2): the floating-point registers are in them.
fn additional_registers(run: &mut kvm_run, facilities: FeatureSet) -> AdditionalState {
    let regs = sync_regs(run);
    // SAFETY: all bytes of kvm_run are initialised, by the kernel or by `Default`, and any bytes are such numbers. Whether
    // they are registers the facilities say.
    let vrs = unsafe { regs.__bindgen_anon_1.vrs };
    // SAFETY: likewise.
    let gscb = unsafe { regs.__bindgen_anon_2.__bindgen_anon_1.gscb };
    AdditionalState {
        vrs: facilities.contains(Feature::Vx).then_some(vrs),
        gscb: facilities.contains(Feature::Gs).then_some(gscb),
    }
}

fn sync_regs(run: &mut kvm_run) -> &mut kvm_sync_regs {
    // SAFETY: the other member is padding, and the struct has numbers only.
    unsafe { &mut run.s.regs }
}

/// Why KVM_RUN returned, as `run` says.
fn exit(run: &kvm_run) -> Exit {
    let payload = &run.__bindgen_anon_1;
    match run.exit_reason {
        uapi::KVM_EXIT_S390_SIEIC => {
            // SAFETY: KVM has filled in this member; all are numbers.
            let sieic = unsafe { payload.s390_sieic };
            Exit::Sieic { icptcode: sieic.icptcode, ipa: sieic.ipa, ipb: sieic.ipb }
        }
        uapi::KVM_EXIT_S390_RESET => {
            // SAFETY: KVM has filled in this member, a number.
            let flags = unsafe { payload.s390_reset_flags };
            Exit::Reset { flags }
        }
        uapi::KVM_EXIT_S390_TSCH => {
            // SAFETY: KVM has filled in this member; all are numbers.
            let tsch = unsafe { payload.s390_tsch };
            Exit::Tsch {
                subchannel_id: tsch.subchannel_id,
                subchannel_nr: tsch.subchannel_nr,
                io_int_parm: tsch.io_int_parm,
                io_int_word: tsch.io_int_word,
                ipb: tsch.ipb,
                dequeued: tsch.dequeued != 0,
            }
        }
        uapi::KVM_EXIT_S390_STSI => {
            // SAFETY: KVM has filled in this member; all are numbers.
            let stsi = unsafe { payload.s390_stsi };
            Exit::Stsi { address: stsi.addr, ar: stsi.ar, fc: stsi.fc, sel1: stsi.sel1, sel2: stsi.sel2 }
        }
        uapi::KVM_EXIT_DEBUG => Exit::Debug,
        uapi::KVM_EXIT_INTR => Exit::Interrupted,
        reason => Exit::Unknown { reason },
    }
}

/// `PSW.24`, runtime instrumentation (`arch/s390/include/asm/ptrace.h: PSW_MASK_RI`).
const RUNTIME_INSTRUMENTATION: u64 = 0x0000_0080_0000_0000;

impl Vcpu for KvmVcpu {
    fn id(&self) -> u16 {
        self.id
    }

    fn state(&self) -> &CpuState {
        &self.state
    }

    fn state_mut(&mut self) -> &mut CpuState {
        &mut self.state
    }

    fn run(&mut self) -> Result<Exit> {
        self.store();
        let vcpu = &mut self.vcpu;
        let exit = match self.line.reachable(|| vcpu.run_guest()) {
            Ok(()) => exit(vcpu.get_kvm_run()),
            Err(errno) if [libc::EINTR, libc::EAGAIN].contains(&errno.errno()) => Exit::Interrupted,
            Err(errno) => return Err(self.refused("KVM_RUN", errno)),
        };
        if exit == Exit::Interrupted {
            self.line.answer();
        }
        self.state = registers(self.vcpu.get_kvm_run());
        Ok(exit)
    }

    fn reset(&mut self, kind: CpuReset) -> Result<()> {
        match kind {
            CpuReset::Normal => {
                self.vcpu.normal_reset().map_err(|errno| self.refused("KVM_S390_NORMAL_RESET", errno))?;
                // KVM clears it in its own copy, which ours would replace.
                self.state.psw.mask &= !RUNTIME_INSTRUMENTATION;
                return Ok(());
            }
            CpuReset::Initial => {
                self.vcpu.initial_reset().map_err(|errno| self.refused("KVM_S390_INITIAL_RESET", errno))?;
            }
            CpuReset::Clear => {
                self.vcpu.clear_reset().map_err(|errno| self.refused("KVM_S390_CLEAR_RESET", errno))?;
            }
        }
        let run = self.vcpu.get_kvm_run();
        // kvm_run shows all that the reset has cleared, but for the prefix (`arch/s390/kvm/kvm-s390.c:
        // kvm_arch_vcpu_ioctl_initial_reset`, 6.12 and 7.2); so what KVM had not been told yet is void.
        sync_regs(run).prefix = 0;
        let (gprs, acrs) = (self.state.gprs, self.state.acrs);
        self.state = registers(run);
        if kind == CpuReset::Initial {
            // These it leaves alone, and of these too KVM may not have been told.
            (self.state.gprs, self.state.acrs) = (gprs, acrs);
        }
        Ok(())
    }

    fn set_run_state(&mut self, state: RunState) -> Result<()> {
        let mp_state = match state {
            RunState::Stopped => uapi::KVM_MP_STATE_STOPPED,
            RunState::Operating => uapi::KVM_MP_STATE_OPERATING,
        };
        self.vcpu
            .set_mp_state(kvm_mp_state { mp_state })
            .map_err(|errno| self.refused("KVM_SET_MP_STATE", errno))
    }

    fn store_status(&mut self, at: Option<u64>) -> Result<()> {
        const REQUEST: &str = "KVM_S390_STORE_STATUS";
        /// Where the save area is without an address.
        const FIXED: u64 = 0x1200;
        // The general and access registers KVM takes from kvm_run.
        self.store();
        let answer = self.vcpu.store_status(at.unwrap_or(STORE_STATUS_NOADDR));
        answer.map_err(|errno| self.refused(REQUEST, errno))?;
        self.store_status_of_registers(at.unwrap_or(FIXED))
            .map_err(|()| self.refused(REQUEST, Errno::new(libc::EFAULT)))
    }

    fn additional_state(&mut self) -> Result<AdditionalState> {
        let facilities = self.vm.vm.facilities()?;
        Ok(additional_registers(self.vcpu.get_kvm_run(), facilities))
    }

    fn access(&mut self, operand: Operand, access: Access<'_>) -> Result<Accessed> {
        let key = self.vm.checks_keys.then(|| self.state.psw.key());
        match requests::access(&self.vcpu, operand, key, access) {
            Ok(false) => Ok(Accessed::Done),
            Ok(true) => Ok(Accessed::Interrupted),
            Err(errno) => Err(self.refused("KVM_S390_MEM_OP", errno)),
        }
    }

    fn inject(&mut self, interruption: Local) -> Result<()> {
        let mut irq = kvm_s390_irq::default();
        match interruption {
            Local::Program { code } => {
                irq.type_ = uapi::KVM_S390_PROGRAM_INT.into();
                irq.u.pgm.code = code;
            }
            Local::Restart => irq.type_ = uapi::KVM_S390_RESTART.into(),
            // Without KVM_S390_STOP_FLAG_STORE_STATUS: KVM stores no registers that user space keeps.
            Local::Stop => irq.type_ = uapi::KVM_S390_SIGP_STOP.into(),
        }
        self.vcpu.interrupt(&irq).map_err(|errno| self.refused("KVM_S390_IRQ", errno))
    }

    fn kicker(&self) -> Arc<dyn Kick> {
        Arc::new(Kicker(Arc::downgrade(&self.line)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A kvm_run that says `reason`, with `bytes` where the payload is.
    fn run_of(reason: u32, bytes: &[u8]) -> kvm_run {
        let mut run = kvm_run { exit_reason: reason, ..Default::default() };
        let mut padding = [0; 256];
        padding[..bytes.len()].copy_from_slice(bytes);
        run.__bindgen_anon_1.padding = padding;
        run
    }

    #[test]
    fn a_guest_has_the_registers_of_its_facilities_from_where_kvm_shows_them() {
        let mut run = run_of(0, &[]);
        let bytes = {
            // SAFETY: it has numbers only, and the bytes are those of nothing else.
            unsafe { &mut run.s.padding }
        };
        for (at, byte) in bytes.iter_mut().enumerate() {
            // Offsets of `struct kvm_sync_regs` (`arch/s390/include/uapi/asm/kvm.h`).
            *byte = match at {
                0x188..0x388 => 0x40 + u8::try_from((at - 0x188) / 8).expect("64 of them"),
                0x6d0..0x6f0 => 0x80,
                _ => 0xff,
            };
        }
        let vrs = core::array::from_fn(|n| {
            let n = u64::try_from(n).expect("32 of them");
            [0x40 + 2 * n, 0x41 + 2 * n].map(|byte| byte * 0x0101_0101_0101_0101)
        });
        let gscb = [0x8080_8080_8080_8080; 4];
        for (facilities, vrs, gscb) in [
            (&[][..], None, None),
            (&[Feature::Vx], Some(vrs), None),
            (&[Feature::Gs], None, Some(gscb)),
            (&[Feature::Vx, Feature::Gs], Some(vrs), Some(gscb)),
        ] {
            let facilities = facilities.iter().copied().collect();
            assert_eq!(additional_registers(&mut run, facilities), AdditionalState { vrs, gscb });
        }
    }

    #[test]
    fn each_exit_has_its_payload_from_where_kvm_puts_it() {
        let bytes: Vec<u8> = (1..=24).collect();
        for (reason, exit_is) in [
            (13, Exit::Sieic { icptcode: 1, ipa: 0x0304, ipb: 0x0506_0708 }),
            (14, Exit::Reset { flags: 0x0102_0304_0506_0708 }),
            (
                22,
                Exit::Tsch {
                    subchannel_id: 0x0102,
                    subchannel_nr: 0x0304,
                    io_int_parm: 0x0506_0708,
                    io_int_word: 0x090a_0b0c,
                    ipb: 0x0d0e_0f10,
                    dequeued: true,
                },
            ),
            (25, Exit::Stsi { address: 0x0102_0304_0506_0708, ar: 9, fc: 11, sel1: 12, sel2: 0x0d0e }),
            (4, Exit::Debug),
            (10, Exit::Interrupted),
            (17, Exit::Unknown { reason: 17 }),
            (0, Exit::Unknown { reason: 0 }),
        ] {
            assert_eq!(exit(&run_of(reason, &bytes)), exit_is, "exit reason {reason}");
        }
    }
}
