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
    /// Serves what is asked, until somebody has ordered the end: what comes then is for whoever is there after the guest.
    pub(super) fn serve_requests(&mut self, ops: &mut EventOps) {
        let Some(Managed { mailbox, config, .. }) = self.watch.managed else { return };
        while self.outcome.is_none()
            && let Some(request) = mailbox.next()
        {
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
                // A vCPU may be waiting for a reader of its console.
                self.watch.managed.map(|managed| managed.leave.write(1));
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
                self.seats.resume();
                self.events.send(&Event::Resumed);
                self.serve_reports();
                Ok(())
            }
            (Act::Resume, state) => wrong(state, "pause it first"),
            (Act::Reset, _) => self.reset(IPL_CPU, ResetKind::External).map_err(|refused| {
                self.outcome = Some(Outcome::Refused(refused.clone()));
                Refusal::Host(refused)
            }),
            (Act::PowerDown, _) => self.power_down(),
        };
        reply.send(done);
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
