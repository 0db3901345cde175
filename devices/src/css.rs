//! The channel subsystem of a machine without subchannels: what channel I/O instructions answer there, and the one
//! event that it knows, that the guest's AP configuration has changed.
//!
//! A guest learns of such a change in three steps: a machine check says that a channel report is pending, STORE CHANNEL
//! REPORT WORD tells that the channel subsystem has event information, and CHANNEL SUBSYSTEM CALL (store event
//! information) tells which. There is nothing in it but "look again", so however many changes there were, one is
//! pending. (Linux 6.12: `arch/s390/kernel/nmi.c: s390_handle_mcck`, `drivers/s390/cio/crw.c: crw_collect_info`, `chsc.c:
//! chsc_process_event_information` and `chsc_process_sei_nt0`, `drivers/s390/crypto/ap_bus.c: ap_bus_cfg_chg`.)
//!
//! The checks, their order and the answers are those of QEMU without devices that have subchannels
//! (`target/s390x/ioinst.c`, `hw/s390x/css.c`, `hw/vfio/ap.c`, 10.2). This module refuses to know the AP device, and who
//! notices that a configuration has changed.

mod chsc;
mod subchannel;

use crate::{
    ProgramInterruption,
    intercept::{ChannelInstruction, ChannelIo},
};
use adjunct_hypervisor::{Access, Accessed, Floating, KernelError, Operand, Result, Vcpu};
use subchannel::{Orb, Schib};

/// The subclass of machine checks that say that a channel report is pending (`arch/s390/include/asm/ctlreg.h:
/// CR14_CHANNEL_REPORT_SUBMASK`, 6.12).
const CHANNEL_REPORT_SUBCLASS: u64 = 0x1000_0000;

/// Machine-check-interruption code: channel report pending, nothing damaged, and all that is stored with it is valid.
/// Vector registers and guarded storage are among that: KVM takes those back that it doesn't store
/// (`arch/s390/kvm/interrupt.c: __write_machine_check`, 6.12; in 7.3 in `arch/s390/kvm/s390`).
const CHANNEL_REPORT_PENDING: u64 = 0x0040_0000_0000_0000 | 0x0000_0f5d_4833_0000;

/// Channel report word: reporting source channel subsystem (0xb), error-recovery code "event information pending" (0)
/// (`arch/s390/include/asm/crw.h: CRW_RSC_CSS`, `CRW_ERC_EVENT`, 6.12).
const EVENT_INFORMATION_PENDING: u32 = 0x0b00_0000;

/// The channel subsystem of one VM.
#[derive(Clone, Debug)]
pub struct Css {
    /// The AP configuration has changed, and store event information has not told it yet.
    event: bool,
    /// A channel report word says that there is event information, and is not stored yet.
    report: bool,
    /// A report is announced by a machine check. Off from one until the guest has found no more reports.
    armed: bool,
    /// The guest has enabled multiple channel-subsystem images.
    images: bool,
}

impl Default for Css {
    fn default() -> Self {
        Self { event: false, report: false, armed: true, images: false }
    }
}

/// What keeps an instruction from ending as usual. It is suppressed: nothing has changed.
enum Suppressed {
    /// A program interruption is pending already.
    Interrupted,
    /// The guest gets this program interruption.
    Exception(ProgramInterruption),
    /// The host refuses.
    Refused(KernelError),
}

impl From<ProgramInterruption> for Suppressed {
    fn from(exception: ProgramInterruption) -> Self {
        Self::Exception(exception)
    }
}

/// How an instruction ends: with a condition code, or leaving it as it is.
type Ends = std::result::Result<Option<u8>, Suppressed>;

/// The condition code of an instruction whose subchannel is not there.
const NOT_OPERATIONAL: Option<u8> = Some(3);

impl Css {
    /// The guest's AP configuration has changed: its queues are others, or its vfio-ap device came or went (QEMU 10.2:
    /// `hw/vfio/ap.c: vfio_ap_cfg_chg_notifier_handler`, `hw/s390x/css.c: css_generate_css_crws`). To be called
    /// after every such change, when the guest's masks are already what they will be; however often it is called, the
    /// guest is told once.
    ///
    /// The interruption, if there is one, must be injected ([`adjunct_hypervisor::Vm::inject`]): there is no other until
    /// the guest has taken this one and asked, or is reset.
    #[must_use = "the interruption must be injected"]
    pub fn ap_configuration_changed(&mut self) -> Option<Floating> {
        if !std::mem::replace(&mut self.event, true) {
            self.report = true;
        }
        let announce = self.report && std::mem::take(&mut self.armed);
        announce
            .then_some(Floating::MachineCheck { cr14: CHANNEL_REPORT_SUBCLASS, mcic: CHANNEL_REPORT_PENDING })
    }

    /// The interruption could not be injected. The report waits; the next change announces it.
    pub fn not_announced(&mut self) {
        self.armed = true;
    }

    /// Subsystem reset: nothing is pending any more. The machine check, if it is still pending, goes with the floating
    /// interruptions.
    pub fn reset(&mut self) {
        *self = Self::default();
    }

    /// Executes `io`, which `vcpu`, in the supervisor state, has left the guest with (QEMU 10.2: `target/s390x/kvm/kvm.c:
    /// handle_b2` and `handle_tsch`, which call an `ioinst_handle_` function for most).
    ///
    /// # Errors
    /// What the host refuses.
    pub fn execute(&mut self, io: ChannelIo, vcpu: &mut dyn Vcpu) -> Result<()> {
        let mut after = self.clone();
        match after.perform(io, vcpu) {
            Ok(condition_code) => {
                *self = after;
                if let Some(condition_code) = condition_code {
                    vcpu.state_mut().psw.set_condition_code(condition_code);
                }
                Ok(())
            }
            Err(Suppressed::Interrupted) => Ok(()),
            Err(Suppressed::Exception(exception)) => vcpu.inject(exception.into()),
            Err(Suppressed::Refused(refused)) => Err(refused),
        }
    }

    fn perform(&mut self, ChannelIo { instruction, operand }: ChannelIo, vcpu: &mut dyn Vcpu) -> Ends {
        let [_, gr1, gr2, ..] = vcpu.state().gprs;
        match instruction {
            ChannelInstruction::Csch
            | ChannelInstruction::Hsch
            | ChannelInstruction::Rsch
            | ChannelInstruction::Xsch => subchannel::check_id(gr1)?,
            ChannelInstruction::Msch => {
                let schib = Schib(read(vcpu, aligned(operand)?)?);
                subchannel::check_id(gr1)?;
                schib.check()?;
            }
            ChannelInstruction::Ssch => {
                let orb = Orb(read(vcpu, aligned(operand)?)?);
                subchannel::check_id(gr1)?;
                orb.check()?;
            }
            ChannelInstruction::Stsch => {
                access(vcpu, aligned(operand)?, Access::CheckWrite(subchannel::SCHIB))?;
                subchannel::check_id(gr1)?;
            }
            ChannelInstruction::Tsch => {
                subchannel::check_id(gr1)?;
                access(vcpu, aligned(operand)?, Access::CheckWrite(subchannel::IRB))?;
            }
            ChannelInstruction::Stcrw => return self.store_channel_report_word(operand, vcpu),
            ChannelInstruction::Chsc => return self.channel_subsystem_call(operand, vcpu),
            // The host knows of interruptions; that it asks us means that there is none.
            ChannelInstruction::Tpi => {
                aligned(operand)?;
                return Ok(Some(0));
            }
            ChannelInstruction::Rchp => subchannel::check_path(gr1, self.images)?,
            ChannelInstruction::Sal => {
                subchannel::check_limit(gr1)?;
                return Ok(None);
            }
            ChannelInstruction::Schm => {
                subchannel::check_monitor(gr1, gr2)?;
                return Ok(None);
            }
            ChannelInstruction::Stcps => return Ok(None),
            ChannelInstruction::Siga => {}
        }
        Ok(NOT_OPERATIONAL)
    }

    /// `target/s390x/ioinst.c: ioinst_handle_stcrw`.
    fn store_channel_report_word(&mut self, operand: Operand, vcpu: &mut dyn Vcpu) -> Ends {
        let pending = std::mem::take(&mut self.report);
        let word = if pending { EVENT_INFORMATION_PENDING } else { 0 };
        self.armed |= !pending;
        access(vcpu, aligned(operand)?, Access::Write(&word.to_be_bytes()))?;
        Ok(Some(u8::from(!pending)))
    }

    /// `target/s390x/ioinst.c: ioinst_handle_chsc`.
    fn channel_subsystem_call(&mut self, operand: Operand, vcpu: &mut dyn Vcpu) -> Ends {
        if operand.address & 0xfff != 0 {
            return Err(ProgramInterruption::Specification.into());
        }
        let request = chsc::Request::of(read(vcpu, operand)?)?;
        let behind = Operand { address: operand.address + u64::from(request.length()), ..operand };
        access(vcpu, behind, Access::Write(&request.answer(self).bytes()))?;
        Ok(Some(0))
    }
}

/// An operand on a word boundary.
fn aligned(operand: Operand) -> std::result::Result<Operand, Suppressed> {
    match operand.address & 3 {
        0 => Ok(operand),
        _ => Err(ProgramInterruption::Specification.into()),
    }
}

fn read<const N: usize>(vcpu: &mut dyn Vcpu, operand: Operand) -> std::result::Result<[u8; N], Suppressed> {
    let mut bytes = [0; N];
    access(vcpu, operand, Access::Read(&mut bytes))?;
    Ok(bytes)
}

fn access(vcpu: &mut dyn Vcpu, operand: Operand, access: Access<'_>) -> std::result::Result<(), Suppressed> {
    match vcpu.access(operand, access) {
        Ok(Accessed::Done) => Ok(()),
        Ok(Accessed::Interrupted) => Err(Suppressed::Interrupted),
        Err(refused) => Err(Suppressed::Refused(refused)),
    }
}

#[cfg(test)]
mod tests;
