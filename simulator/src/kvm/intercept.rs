//! The instructions that SIE intercepts and KVM handles itself (`arch/s390/kvm/priv.c`, `diag.c`, 7.2). What is not
//! here goes to user space.

use super::{environment::Guest, machine, sigp, storage::Absolute, vm::Shared};
use crate::Notification;
use adjunct_ap::Apqn;
use adjunct_hypervisor::Exit;
use adjunct_zarch::{
    Cpu, ProgramCode,
    environment::{Enabled, Environment as _, Floating},
    psw,
    storage::{OutsideStorage, Storage, Width},
};

/// What became of an intercepted instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Handled {
    /// The kernel did it.
    Done,
    /// The kernel injects a program interruption.
    Program(ProgramCode),
    /// It leaves `KVM_RUN`, in its own way.
    Exit(Exit),
    /// It is not the kernel's (-EOPNOTSUPP).
    UserSpace,
}

/// An intercepted instruction and what it works on. The PSW is past it.
#[derive(Debug)]
pub(super) struct Intercept<'a> {
    pub(super) cpu: &'a mut Cpu,
    pub(super) id: u16,
    pub(super) guest: Guest<'a>,
    pub(super) vm: &'a Shared,
    pub(super) ram: &'a Absolute<'a>,
    pub(super) pfault: &'a mut Option<u64>,
    pub(super) ipa: u16,
    pub(super) ipb: u32,
}

/// The channel subsystem's instructions: all of `handle_io_inst`.
const CHANNEL_IO: [u16; 16] = [
    0xb230, 0xb231, 0xb232, 0xb233, 0xb234, 0xb235, 0xb236, 0xb237, 0xb238, 0xb239, 0xb23a, 0xb23b, 0xb23c,
    0xb25f, 0xb274, 0xb276,
];
const TSCH: u16 = 0xb235;
const TPI: u16 = 0xb236;
const PQAP: u16 = 0xb2af;

/// Flags of `KVM_EXIT_S390_RESET`.
const RESET_CLEAR: u64 = 2;
const RESET_SUBSYSTEM: u64 = 4;
const RESET_CPU_INIT: u64 = 8;
const RESET_IPL: u64 = 16;

impl Intercept<'_> {
    /// Does what the kernel does.
    pub(super) fn handle(&mut self) -> Handled {
        match self.ipa {
            PQAP => self.pqap(),
            ipa if CHANNEL_IO.contains(&ipa) => self.privileged(Self::channel_io),
            ipa if ipa >> 8 == 0x83 => self.privileged(Self::diagnose),
            ipa if ipa >> 8 == 0xae => self.privileged(sigp::handle),
            _ => Handled::UserSpace,
        }
    }

    fn privileged(&mut self, handle: impl FnOnce(&mut Self) -> Handled) -> Handled {
        if self.cpu.state.psw.mask & psw::PROBLEM != 0 {
            return Handled::Program(ProgramCode::PrivilegedOperation);
        }
        handle(self)
    }

    /// General register `r`, 0 to 15.
    pub(super) fn gpr(&self, r: usize) -> u64 {
        self.cpu.state.gprs[r & 15]
    }

    /// The registers that an RR- or RS-format instruction names.
    pub(super) fn registers(&self) -> (usize, usize) {
        (usize::from(self.ipa >> 4 & 15), usize::from(self.ipa & 15))
    }

    /// The second operand's address, not used to address storage (`kvm_s390_get_base_disp_rs`).
    pub(super) fn second_operand(&self) -> u64 {
        let base = (self.ipb >> 28) as usize;
        let displacement = u64::from(self.ipb >> 16 & 0xfff);
        let base = if base == 0 { 0 } else { self.gpr(base) };
        base.wrapping_add(displacement)
    }

    /// The absolute address of a real one (`kvm_s390_real_to_abs`).
    fn absolute(&self, real: u64) -> u64 {
        const LOWCORE: u64 = 0x2000;
        let prefix = u64::from(self.cpu.state.prefix);
        match real {
            0..LOWCORE => real + prefix,
            _ if (prefix..prefix + LOWCORE).contains(&real) => real - prefix,
            _ => real,
        }
    }

    pub(super) fn condition(&mut self, code: u8) -> Handled {
        self.cpu.state.psw.set_condition_code(code);
        Handled::Done
    }

    /// `handle_io_inst` with `KVM_CAP_S390_CSS_SUPPORT`.
    fn channel_io(&mut self) -> Handled {
        match self.ipa {
            TPI => self.test_pending_interruption(),
            // No subchannel ever has an interruption pending, so none is dequeued.
            TSCH => Handled::Exit(Exit::Tsch {
                subchannel_id: 0,
                subchannel_nr: 0,
                io_int_parm: 0,
                io_int_word: 0,
                ipb: self.ipb,
                dequeued: false,
            }),
            _ => Handled::UserSpace,
        }
    }

    /// `handle_tpi`: takes the I/O interruption that CR6 lets through without interrupting.
    fn test_pending_interruption(&mut self) -> Handled {
        /// Where an I/O interruption stores what it is, real.
        const LOWCORE: u64 = 0xb8;
        let at = self.second_operand();
        if at & 3 != 0 {
            return Handled::Program(ProgramCode::Specification);
        }
        let [_, _, _, _, io_subclasses, ..] = self.cpu.state.crs[6].to_be_bytes();
        let enabled = Enabled { io_subclasses, ..Enabled::default() };
        let Some(Floating::Io { subsystem, parameter, identification }) = self.guest.take_floating(enabled)
        else {
            return self.condition(0);
        };
        let words = [subsystem, parameter, identification].map(u32::to_be_bytes).concat();
        let stored = if at == 0 {
            self.ram.write(self.absolute(LOWCORE), &words).map_err(|OutsideStorage| ProgramCode::Addressing)
        } else {
            self.cpu.write_operand(self.ram, &mut self.guest, at, &words[..8])
        };
        match stored {
            Ok(()) => self.condition(1),
            Err(code) => {
                // All of them are adapter interruptions, which have nothing but their subclass.
                self.vm.board.adapter_interruption((identification >> 27).to_le_bytes()[0] & 7);
                Handled::Program(code)
            }
        }
    }

    /// `arch/s390/kvm/diag.c: kvm_s390_handle_diag`.
    fn diagnose(&mut self) -> Handled {
        match self.second_operand() & 0xffff {
            0x10 => self.release_pages(),
            // Yield, and yield to: vCPUs are threads, the host's scheduler sees to them.
            0x44 | 0x9c => Handled::Done,
            0x258 => self.page_reference(),
            0x308 => self.ipl_functions(),
            _ => Handled::UserSpace,
        }
    }

    /// `diag_release_pages`: pages from Rx to Ry, which read as zero from then on. The lowcore stays.
    fn release_pages(&mut self) -> Handled {
        const PAGE: u64 = 4096;
        let (x, y) = self.registers();
        let (start, end) = (self.gpr(x), self.gpr(y).wrapping_add(PAGE));
        if !start.is_multiple_of(PAGE) || !end.is_multiple_of(PAGE) || start >= end || start < 2 * PAGE {
            return Handled::Program(ProgramCode::Specification);
        }
        let prefix = u64::from(self.cpu.state.prefix);
        let end = end.min(self.ram.size());
        for page in (start..end).step_by(4096).filter(|page| !(prefix..prefix + 2 * PAGE).contains(page)) {
            // Below the end of memory nothing can fail.
            self.ram.write(page, &[0; 4096]).ok();
        }
        Handled::Done
    }

    /// `__diag_page_ref_service`: the handshake for page faults that are resolved in the background. Guest memory
    /// is always there, so that no such fault follows.
    fn page_reference(&mut self) -> Handled {
        /// What the block of a z/Architecture guest ends in.
        const ZARCH: u64 = 1 << 63;
        let (x, y) = self.registers();
        let at = self.gpr(x);
        if !at.is_multiple_of(8) {
            return Handled::Program(ProgramCode::Specification);
        }
        let mut block = [0; 5];
        for (n, word) in (0_u64..).zip(&mut block) {
            match self.ram.load(self.absolute(at.wrapping_add(8 * n)), Width::Double) {
                Ok(stored) => *word = stored,
                Err(OutsideStorage) => return Handled::Program(ProgramCode::Addressing),
            }
        }
        let [header, token, select, compare, zarch] = block;
        let [code, subcode, length, version] = [48, 32, 16, 0].map(|shift| header >> shift & 0xffff);
        if version != 2 || length < 5 || code != 0x258 {
            return Handled::Program(ProgramCode::Specification);
        }
        self.cpu.state.gprs[y] = match (subcode, *self.pfault) {
            (0, Some(_)) => 8,
            (0, None) if compare & select != compare || !token.is_multiple_of(8) || zarch != ZARCH => {
                return Handled::Program(ProgramCode::Specification);
            }
            (0, None) if token >= self.ram.size() => return Handled::Program(ProgramCode::Addressing),
            (0, None) => {
                *self.pfault = Some(token);
                0
            }
            (1, _) if token != 0 || select != 0 || compare != 0 || zarch != 0 => {
                return Handled::Program(ProgramCode::Specification);
            }
            (1, None) => 4,
            (1, Some(_)) => {
                *self.pfault = None;
                0
            }
            _ => return Handled::UserSpace,
        };
        Handled::Done
    }

    /// `__diag_ipl_functions`.
    fn ipl_functions(&mut self) -> Handled {
        let (_, r3) = self.registers();
        let kind = match self.gpr(r3) & 0xffff {
            3 => RESET_CLEAR,
            4 => 0,
            _ => return Handled::UserSpace,
        };
        Handled::Exit(Exit::Reset { flags: kind | RESET_SUBSYSTEM | RESET_CPU_INIT | RESET_IPL })
    }

    /// `handle_pqap`: of what the guest may do with queues SIE intercepts only AQIC.
    fn pqap(&mut self) -> Handled {
        const AQIC: u64 = 3;
        const T_BIT: u64 = 0x0080_0000;
        let Some(sie) = self.vm.crypto.enter().sie_block(self.id) else { return Handled::UserSpace };
        let gr0 = self.gpr(0);
        if !sie.interprets_ap() || gr0 >> 24 & 0xff != AQIC {
            return Handled::UserSpace;
        }
        if self.cpu.state.psw.mask & psw::PROBLEM != 0 {
            return Handled::Program(ProgramCode::PrivilegedOperation);
        }
        let reserved = gr0 & 0x007f_0000 != 0;
        let t_bit = gr0 & T_BIT != 0 && !self.vm.model.has(machine::APFT);
        // CRYCB formats 0 and 1 end at adapter 63 and domain 15.
        let too_big = sie.crycbd & 2 == 0 && gr0 & 0xc0f0 != 0;
        if reserved || t_bit || too_big || !self.vm.model.has(machine::AQIC) {
            return Handled::Program(ProgramCode::Specification);
        }
        self.aqic(sie.eca & super::SieBlock::ECA_AIV != 0)
    }

    /// `drivers/s390/crypto/vfio_ap_ops.c: handle_pqap`, and what KVM makes of its answer.
    fn aqic(&mut self, virtualised: bool) -> Handled {
        const ENABLE: u64 = 0x0000_8000_0000_0000;
        let Some(hook) = self.vm.hook() else {
            // The kernel copies the status to the wrong half of the register; the other half stays.
            let low = self.cpu.state.gprs[1] & 0xffff_ffff;
            self.cpu.state.gprs[1] = 0x0001_0000 << 32 | low;
            return self.condition(3);
        };
        if !virtualised {
            return Handled::UserSpace;
        }
        let [.., apid, apqi] = self.gpr(0).to_be_bytes();
        let (gr1, nib) = (self.gpr(1), self.gpr(2));
        let notification = match self.vm.sink() {
            Some(sink) if gr1 & ENABLE != 0 => {
                let nib = (nib < self.ram.size()).then_some(nib);
                Some(Notification { nib, isc: (gr1 & 7).to_le_bytes()[0], sink })
            }
            _ => None,
        };
        let status = hook.aqic(Apqn::new(apid, apqi), notification);
        self.cpu.state.gprs[1] = u64::from(status.word());
        self.condition(if status.code() == 0 { 0 } else { 3 })
    }
}

/// The program-interruption code of that number, if the simulated CPU knows it.
pub(super) fn program_code(code: u16) -> Option<ProgramCode> {
    const CODES: [ProgramCode; 14] = [
        ProgramCode::Operation,
        ProgramCode::PrivilegedOperation,
        ProgramCode::Execute,
        ProgramCode::Protection,
        ProgramCode::Addressing,
        ProgramCode::Specification,
        ProgramCode::Data,
        ProgramCode::FixedPointOverflow,
        ProgramCode::FixedPointDivide,
        ProgramCode::DecimalOverflow,
        ProgramCode::DecimalDivide,
        ProgramCode::SpecialOperation,
        ProgramCode::Operand,
        ProgramCode::Monitor,
    ];
    CODES.into_iter().find(|known| *known as u16 == code)
}
