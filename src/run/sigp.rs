//! Orders of one CPU to another that the host leaves to us.

use super::Loop;
use adjunct_devices::{
    intercept::Sigp,
    sigp::{self, Answer},
};
use adjunct_hypervisor::{KernelError, RunState};

impl Loop<'_> {
    /// Carries out an order of the CPU `from` that the host leaves to us, and answers it.
    pub(super) fn sigp(&mut self, from: u16, order: Sigp) -> Result<(), KernelError> {
        if let Some(answer) = sigp::answer_for_all(&order) {
            self.seats.vcpu(from, |vcpu| answer.tell(&order, vcpu));
            self.seats.run(from);
            return Ok(());
        }
        let to = order.cpu_address;
        let carried_out = self.seats.exists(to).then(|| {
            self.seats.gather(to);
            if to != from {
                self.seats.turn_away(to);
            }
            let (state, memory) = (self.seats.run_state(to), &self.shared.memory);
            self.seats.vcpu(to, |vcpu| sigp::carry_out(&order, vcpu, state, memory))
        });
        let (answer, after) = match carried_out.flatten().transpose()? {
            Some((answer, after)) => (answer, Some(after)),
            None => (Answer::NotOperational, None),
        };
        self.seats.vcpu(from, |vcpu| answer.tell(&order, vcpu));
        match after {
            Some(RunState::Stopped) => self.seats.stop(to),
            Some(RunState::Operating) => {
                // A CPU that waits may have something to take now; if not it comes back at once.
                self.seats.wake(to);
                self.seats.run(to);
            }
            None => {}
        }
        if to != from || after.is_none() {
            self.seats.run(from);
        }
        Ok(())
    }
}
