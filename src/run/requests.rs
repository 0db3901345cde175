//! What others ask of the guest while there is one.

use super::{End, IPL_CPU, Loop, Managed, Order};
use crate::{
    chain::chain,
    config::Config,
    control::{Act, Counters, Question, Refusal, Reply, Request, VmInfo, VmState, answer_for_host},
    event::Event,
    outcome::Outcome,
};
use adjunct_devices::ipl::ResetKind;
use adjunct_hypervisor::KernelError;
use event_manager::EventOps;
use std::{collections::BTreeSet, sync::PoisonError};

impl Loop<'_> {
    /// Serves one request, unless it is known how the guest ends: what comes then is for whoever is there after the guest.
    /// Once somebody has asked for the end, nothing is begun any more. The mailbox says if there are more, so that those
    /// who ask without end keep the loop from nothing.
    pub(super) fn serve_request(&mut self, ops: &mut EventOps) {
        let Some(Managed { mailbox, .. }) = self.watch.managed else { return };
        if self.end.is_settled() {
            return;
        }
        let is_ending = self.is_ending();
        match mailbox.next() {
            Some(Request::AddDevice(_, reply)) if is_ending => reply.send(Err(Refusal::Ended)),
            Some(Request::RemoveDevice(_, reply)) if is_ending => reply.send(Err(Refusal::Ended)),
            Some(Request::Act(act, reply)) if is_ending && !act.ends_a_guest() => {
                reply.send(Err(Refusal::Ended))
            }
            Some(Request::AddDevice(device, reply)) => {
                reply.send(self.add_device(device, ops));
            }
            Some(Request::RemoveDevice(id, reply)) => reply.send(self.remove_device(&id, ops)),
            Some(Request::Create(_, reply)) => {
                reply.send(Err(Refusal::AlreadyCreated { state: self.state() }));
            }
            Some(Request::Act(act, reply)) => self.act(act, reply),
            Some(Request::Question(question)) => self.answer(question),
            None => {}
        }
    }

    /// Answers one who only asks, past all others: they wait for what is under way.
    pub(super) fn answer_question(&mut self) {
        if let Some(question) = self.watch.managed.and_then(|managed| managed.mailbox.next_question()) {
            self.answer(question);
        }
    }

    fn answer(&mut self, question: Question) {
        let Some(Managed { config, .. }) = self.watch.managed else { return };
        match question {
            Question::Info(reply) => {
                self.look_at_ap();
                reply.send(Ok(self.info(config)));
            }
            Question::Counters(reply) => {
                self.look_at_ap();
                reply.send(Ok(self.counters()));
            }
            Question::Host(reply) => reply.send(answer_for_host(self.host)),
        }
    }

    fn state(&self) -> VmState {
        if self.seats.is_paused() { VmState::Paused } else { VmState::Running }
    }

    fn act(&mut self, act: Act, reply: Reply<()>) {
        let wrong = |state, remedy| Err(Refusal::WrongState { state, remedy });
        let done = match (act, self.state()) {
            (Act::Shutdown | Act::Delete | Act::Quit, _) => {
                self.end.note(End::Ordered(Order { act, reply }));
                return;
            }
            (Act::Boot, VmState::Paused) => wrong(VmState::Paused, "resume it, or shut it down first"),
            (Act::Boot, state) => wrong(state, "reboot it, or shut it down first"),
            (Act::Pause, state @ VmState::Paused) => Err(Refusal::Already { state }),
            (Act::Pause, _) => {
                self.seats.pause();
                self.stop_clock();
                self.events.send(&Event::Paused);
                Ok(())
            }
            (Act::Resume, VmState::Paused) => {
                self.go_on();
                Ok(())
            }
            (Act::Resume, state) => Err(Refusal::Already { state }),
            (Act::Reset, _) => self.reset_from_outside(),
            (Act::Reboot, state) => self.reset_from_outside().inspect(|()| {
                if state == VmState::Paused {
                    self.go_on();
                }
            }),
            (Act::PowerDown, _) => self.power_down(),
        };
        reply.send(done);
    }

    /// Lets a paused guest go on.
    fn go_on(&mut self) {
        self.start_clock();
        self.seats.resume();
        self.events.send(&Event::Resumed);
        self.serve_reports();
    }

    /// Notes the guest's time, from which it goes on: a pause is none to the guest (as in QEMU, `hw/s390x/tod-kvm.c:
    /// kvm_s390_tod_vm_state_change`). Where that can't be had, the guest's clock runs on.
    fn stop_clock(&mut self) {
        self.stopped_at = self.shared.vm.tod().map_err(|refused| warn_of_clock(&refused)).ok();
    }

    /// Has the guest's time go on.
    fn start_clock(&mut self) {
        if let Some(Err(refused)) = self.stopped_at.take().map(|tod| self.shared.vm.set_tod(tod)) {
            warn_of_clock(&refused);
        }
    }

    fn reset_from_outside(&mut self) -> Result<(), Refusal> {
        self.reset(IPL_CPU, ResetKind::External).map_err(|refused| {
            self.end.note(End::By(Outcome::Refused(refused.clone())));
            Refusal::Host(refused)
        })?;
        if self.is_ending() { Err(Refusal::Ended) } else { Ok(()) }
    }

    /// Asks the guest to end.
    fn power_down(&self) -> Result<(), Refusal> {
        let signal = self.shared.sclp.lock().unwrap_or_else(PoisonError::into_inner).signal_quiesce();
        if let Some(signal) = signal {
            self.shared.inject(signal.into())?;
        }
        self.events.send(&Event::PowerDownRequested);
        Ok(())
    }

    fn info(&self, config: &Config) -> VmInfo {
        VmInfo {
            state: self.state(),
            config: config.clone(),
            cpu: Some(self.model.cpu),
            vcpus: self.seats.info(),
            device: self.ap.info(),
        }
    }

    fn counters(&self) -> Counters {
        let queues = self.ap.queues();
        let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        Counters {
            adapters: count(queues.iter().map(|apqn| apqn.apid).collect::<BTreeSet<_>>().len()),
            domains: count(queues.iter().map(|apqn| apqn.apqi).collect::<BTreeSet<_>>().len()),
            queues: count(queues.len()),
            ..self.watch.counts.read()
        }
    }
}

fn warn_of_clock(refused: &KernelError) {
    tracing::warn!("the guest's clock runs on while it is paused: {}", chain(refused));
}
