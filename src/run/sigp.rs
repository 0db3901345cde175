//! Orders of one CPU to another that the host leaves to us.

use super::Loop;
use adjunct_devices::{
    intercept::Sigp,
    sigp::{self, Answer, State, StopOrder},
};
use adjunct_hypervisor::KernelError;

impl Loop<'_> {
    /// Carries out an order of the CPU `from` that the host leaves to us, and answers it.
    pub(super) fn sigp(&mut self, from: u16, order: Sigp) -> Result<(), KernelError> {
        let to = order.cpu_address;
        let state = self.seats.exists(to).then(|| self.seats.state(to));
        // Nobody is taken out of the guest: whoever asks again and again does not keep a CPU from stopping.
        if let Some(answer) = sigp::at_once(&order, state) {
            self.seats.vcpu(from, |vcpu| answer.tell(&order, vcpu));
            self.seats.run(from);
            return Ok(());
        }
        self.seats.gather(to);
        if to != from {
            self.seats.turn_away(to);
        }
        let (state, memory) = (self.seats.state(to), &self.shared.memory);
        let carried_out = self.seats.vcpu(to, |vcpu| sigp::carry_out(&order, vcpu, state, memory));
        // A CPU whose thread broke is not there any more.
        let (answer, after) = carried_out.transpose()?.unwrap_or((Answer::NotOperational, state));
        self.seats.vcpu(from, |vcpu| answer.tell(&order, vcpu));
        self.seats.enter(to, after);
        if to != from {
            self.seats.run(from);
        }
        Ok(())
    }

    /// The CPU has come back stopped.
    pub(super) fn stopped(&mut self, cpu: u16) -> Result<(), KernelError> {
        let order = match self.seats.state(cpu) {
            State::Stopping(order) => order,
            _ => StopOrder::Stop,
        };
        self.seats.vcpu(cpu, |vcpu| sigp::complete(order, vcpu)).unwrap_or(Ok(()))?;
        self.seats.enter(cpu, State::Stopped);
        Ok(())
    }
}
