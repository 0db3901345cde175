//! What others ask of the guest while there is one.

use super::{IPL_CPU, Loop, Managed, Order};
use crate::{
    config::Config,
    control::{Act, Counters, Refusal, Reply, Request, VmInfo, VmState, answer_for_host},
    event::Event,
    outcome::Outcome,
};
use adjunct_devices::ipl::ResetKind;
use event_manager::EventOps;
use std::{collections::BTreeSet, sync::PoisonError};

impl Loop<'_> {
    /// Serves one request, unless somebody has ordered the end: what comes then is for whoever is there after the guest.
    /// The mailbox says if there are more, so that those who ask without end keep the loop from nothing.
    pub(super) fn serve_request(&mut self, ops: &mut EventOps) {
        let Some(Managed { mailbox, config }) = self.watch.managed else { return };
        if self.outcome.is_some() {
            return;
        }
        if let Some(request) = mailbox.next() {
            if matches!(request, Request::Info(_) | Request::Counters(_)) {
                self.look_at_ap();
            }
            match request {
                Request::Info(reply) => reply.send(Ok(self.info(config))),
                Request::Host(reply) => reply.send(answer_for_host(self.host)),
                Request::Counters(reply) => reply.send(Ok(self.counters())),
                Request::AddDevice(device, reply) => reply.send(self.add_device(&device, ops)),
                Request::RemoveDevice(id, reply) => reply.send(self.remove_device(&id, ops)),
                Request::Create(_, reply) => {
                    reply.send(Err(Refusal::AlreadyCreated { state: self.state() }));
                }
                Request::Act(act, reply) => self.act(act, reply),
            }
        }
    }

    fn state(&self) -> VmState {
        if self.seats.is_paused() { VmState::Paused } else { VmState::Running }
    }

    fn act(&mut self, act: Act, reply: Reply<()>) {
        let wrong = |state, remedy| Err(Refusal::WrongState { state, remedy });
        let done = match (act, self.state()) {
            (Act::Shutdown | Act::Delete | Act::Quit, _) => {
                self.outcome = Some(Outcome::Ordered);
                self.order = Some(Order { act, reply });
                return;
            }
            (Act::Boot, VmState::Paused) => wrong(VmState::Paused, "resume it, or shut it down first"),
            (Act::Boot, state) => wrong(state, "shut it down first"),
            (Act::Pause, VmState::Paused) => wrong(VmState::Paused, "resume it first"),
            (Act::Pause, _) => {
                self.seats.pause();
                self.events.send(&Event::Paused);
                Ok(())
            }
            (Act::Resume, VmState::Paused) => {
                self.go_on();
                Ok(())
            }
            (Act::Resume, state) => wrong(state, "pause it first"),
            (Act::Reset, _) => self.reset_from_outside(),
            (Act::Reboot, state) => self.reset_from_outside().inspect(|()| {
                if state == VmState::Paused && !self.is_ending() {
                    self.go_on();
                }
            }),
            (Act::PowerDown, _) => self.power_down(),
        };
        reply.send(done);
    }

    /// Lets a paused guest go on.
    fn go_on(&mut self) {
        self.seats.resume();
        self.events.send(&Event::Resumed);
        self.serve_reports();
    }

    fn reset_from_outside(&mut self) -> Result<(), Refusal> {
        self.reset(IPL_CPU, ResetKind::External).map_err(|refused| {
            self.outcome = Some(Outcome::Refused(refused.clone()));
            Refusal::Host(refused)
        })
    }

    /// Asks the guest to end.
    fn power_down(&self) -> Result<(), Refusal> {
        let signal = self.shared.sclp.lock().unwrap_or_else(PoisonError::into_inner).signal_quiesce();
        if let Some(signal) = signal {
            self.shared.vm.inject(signal.into())?;
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
