//! The life of a guest, and the main thread's work: it serves what others ask, with a guest or without.
//!
//! ```text
//!             create         boot           pause
//! (no guest) -------> Created ----> Running -----> Paused
//!     ^                  |    <---- shutdown,     resume |
//!     |      delete      v          or it ends by itself v
//!     +---------------- Shutdown <---------------- Running
//! ```

use crate::{
    chain::chain,
    config::{Config, ConsoleTarget},
    console::{self, Console},
    control::{Act, Counters, Mailbox, Question, Refusal, Reply, Request, VmInfo, VmState, answer_for_host},
    counts::{ApHappening, Counts},
    event::{EndCause, Event, Events},
    exit_status::ExitStatus,
    host::Host,
    logging::say,
    machine::Machine,
    outcome::{Outcome, RunError},
    output::Stop,
    plan::plan,
    run::{self, Ended, Managed, Order, Watch},
    sandbox::{self, Files},
    signals::Signals,
    wait::until_readable,
};
use std::{os::fd::AsFd, sync::Arc};

/// What becomes of the VMM when its guest has ended by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// It ends with it, as `adjunct run` does.
    End,
    /// It waits for orders.
    Stay,
}

/// How the VMM ended: what its caller is told, and why.
pub type Verdict = (ExitStatus, String);

/// A VMM: a host, at most one guest, and who may ask about it.
#[derive(Debug)]
pub struct Vmm<'a> {
    host: &'a Host,
    events: &'a Events,
    signals: Option<Arc<Signals>>,
    mailbox: Mailbox,
    counts: Counts,
    guest: Option<Guest>,
}

/// A guest that does not run.
#[derive(Debug)]
struct Guest {
    config: Config,
    has_ended: bool,
}

/// A guest that is ready to run.
struct Ready {
    machine: Machine,
    console: Console,
}

/// What is served while the reader of a guest's last output is waited for.
enum Meanwhile {
    Answer(Question),
    End(Order),
}

impl Meanwhile {
    fn pick(request: Request) -> Result<Self, Request> {
        match request {
            Request::Question(question) => Ok(Self::Answer(question)),
            Request::Act(act, reply) if act.ends_a_guest() => Ok(Self::End(Order { act, reply })),
            other => Err(other),
        }
    }
}

impl Guest {
    fn new(config: Config) -> Self {
        Self { config, has_ended: false }
    }

    fn state(&self) -> VmState {
        if self.has_ended { VmState::Shutdown } else { VmState::Created }
    }
}

impl<'a> Vmm<'a> {
    /// A VMM without a guest; it ends with `signals`, or by order.
    pub fn new(host: &'a Host, events: &'a Events, signals: Option<Arc<Signals>>, mailbox: Mailbox) -> Self {
        // Before files are given up. A guest that needs it hears whether there is one.
        let _ = console::stdout();
        Self { host, events, signals, mailbox, counts: Counts::default(), guest: None }
    }

    /// Boots the guest that `config` describes and runs it and what comes after, until the VMM ends.
    ///
    /// # Errors
    /// The guest did not run, or what it said was lost.
    pub fn run(mut self, config: Config, after: After) -> Result<Verdict, RunError> {
        let ready = self.build(&config)?;
        self.guest = Some(Guest::new(config));
        match self.live(ready, None, after)? {
            Some(verdict) => Ok(verdict),
            None => self.serve(after),
        }
    }

    /// Waits for orders, until one of them ends the VMM.
    ///
    /// # Errors
    /// Nobody can be waited for.
    pub fn serve(mut self, after: After) -> Result<Verdict, RunError> {
        loop {
            if let Some(signal) = self.wait()? {
                return Ok((signal.status(), signal.to_string()));
            }
            // One at a time: a signal must not wait for those who ask without end.
            if let Some(request) = self.mailbox.next()
                && let Some(verdict) = self.answer(request, after)?
            {
                return Ok(verdict);
            }
        }
    }

    /// Waits for a request, or for the signal that ends us.
    fn wait(&self) -> Result<Option<Outcome>, RunError> {
        let signals = self.signals.as_ref().map(|signals| signals.as_fd());
        until_readable([Some(self.mailbox.as_fd()), signals]).map_err(RunError::Loop)?;
        Ok(self.signals.as_ref().and_then(|signals| signals.came()).map(Outcome::Signal))
    }

    /// Answers what is asked while no guest runs.
    fn answer(&mut self, request: Request, after: After) -> Result<Option<Verdict>, RunError> {
        match request {
            Request::Question(question) => self.answer_question(question),
            Request::AddDevice(device, reply) => {
                // Who is answered finds the files closed that came with it.
                drop(device);
                reply.send(Err(self.not_running()));
            }
            Request::RemoveDevice(_, reply) => reply.send(Err(self.not_running())),
            Request::Create(config, reply) => reply.send(self.create(*config)),
            Request::Act(Act::Boot, reply) => return self.boot(reply, after),
            Request::Act(Act::Delete, reply) => {
                reply.send(self.guest.take().map(drop).ok_or(Refusal::NotCreated));
            }
            Request::Act(Act::Quit, reply) => {
                reply.send(Ok(()));
                return Ok(Some((Outcome::Ordered.status(), Outcome::Ordered.to_string())));
            }
            Request::Act(act @ (Act::Shutdown | Act::PowerDown), reply) => {
                reply.send(Err(self.not_to_be_ended(act)));
            }
            Request::Act(Act::Pause | Act::Resume | Act::Reset | Act::Reboot, reply) => {
                reply.send(Err(self.not_running()));
            }
        }
        Ok(None)
    }

    fn answer_question(&self, question: Question) {
        match question {
            Question::Info(reply) => reply.send(self.info()),
            Question::Host(reply) => reply.send(answer_for_host(self.host)),
            Question::Counters(reply) => reply.send(Ok(self.counters())),
        }
    }

    fn not_running(&self) -> Refusal {
        match &self.guest {
            Some(guest) => Refusal::WrongState { state: guest.state(), remedy: "boot it first" },
            None => Refusal::NotCreated,
        }
    }

    /// To boot a guest is no way to its end.
    fn not_to_be_ended(&self, act: Act) -> Refusal {
        match (self.guest.as_ref().map(Guest::state), act) {
            (Some(state @ VmState::Shutdown), _) => Refusal::Already { state },
            (Some(state), Act::Shutdown) => Refusal::WrongState {
                state,
                remedy: "there is nothing to end; delete it if it is not wanted",
            },
            _ => self.not_running(),
        }
    }

    fn info(&self) -> Result<VmInfo, Refusal> {
        let guest = self.guest.as_ref().ok_or(Refusal::NotCreated)?;
        let config = guest.config.clone();
        Ok(VmInfo { state: guest.state(), config, cpu: None, vcpus: Vec::new(), device: None })
    }

    fn counters(&self) -> Counters {
        self.counts.read()
    }

    fn create(&mut self, config: Config) -> Result<(), Refusal> {
        if let Some(guest) = &self.guest {
            return Err(Refusal::AlreadyCreated { state: guest.state() });
        }
        self.guest = Some(Guest::new(config));
        Ok(())
    }

    /// Boots the guest that was created; whoever asked hears of it when it runs, not when it has ended.
    fn boot(&mut self, reply: Reply<()>, after: After) -> Result<Option<Verdict>, RunError> {
        let Some(guest) = &self.guest else {
            reply.send(Err(Refusal::NotCreated));
            return Ok(None);
        };
        match self.build(&guest.config) {
            Ok(ready) => self.live(ready, Some(reply), after),
            Err(error) => {
                reply.send(Err(Refusal::Boot(error)));
                Ok(None)
            }
        }
    }

    /// Builds the machine. Nothing is held if that is refused.
    fn build(&self, config: &Config) -> Result<Ready, RunError> {
        let (host, events) = (self.host, self.events);
        let plan = plan(config, host)?;
        plan.warnings().iter().for_each(|warning| tracing::warn!("{warning}"));
        events.send(&Event::HostChecked { host: host.hypervisor.name(), warnings: plan.warnings().to_vec() });
        let (cpu, device) = (plan.cpu_option(), plan.device_id());
        let mut stop: Vec<Stop> = vec![self.mailbox.ends().clone()];
        if let Some(signals) = &self.signals {
            stop.push(signals.clone());
        }
        let (consoles, console) = console::open(&config.console, config.line_mode, stop)?;
        sandbox::keep_to(Files::of_guest(config, host), true)?;
        let mut machine = plan.build(&*host.hypervisor, consoles)?;
        events.send(&Event::VmBuilt { cpu, vcpus: config.vcpus, memory: config.memory.bytes() });
        if let Some((id, mdev)) = device {
            self.counts.ap(ApHappening::Attached);
            // To look which queues they are takes time that the guest could run.
            if events.are_seen() {
                let (mdev, apqns) = (mdev.as_ref().map(ToString::to_string), machine.apqns(&*host.sysfs));
                events.send(&Event::ApAttached { id, mdev, apqns });
            }
        }
        Ok(Ready { machine, console })
    }

    /// Runs the guest to its end, and answers whoever has booted it; a verdict if the VMM ends with it.
    fn live(
        &mut self,
        ready: Ready,
        booted: Option<Reply<()>>,
        after: After,
    ) -> Result<Option<Verdict>, RunError> {
        let Ready { machine, console } = ready;
        let Some(guest) = &mut self.guest else { return Ok(None) };
        let watch = Watch {
            input: guest.config.console == ConsoleTarget::Stdio,
            signals: self.signals.as_deref(),
            console: Some(console.clone()),
            managed: Some(Managed { mailbox: &self.mailbox, config: &guest.config }),
            counts: self.counts.clone(),
        };
        let started = match run::start(machine, self.host, self.events, watch) {
            Ok(started) => started,
            Err(error) => return self.not_started(RunError::Loop(error), booted),
        };
        if let Some(booted) = booted {
            booted.send(Ok(()));
        }
        let ended = started.run().map_err(RunError::Loop)?;
        guest.has_ended = true;
        self.ended(ended, console, after)
    }

    /// A guest that was built does not run: only who has booted it by order need know.
    fn not_started(&self, error: RunError, booted: Option<Reply<()>>) -> Result<Option<Verdict>, RunError> {
        let Some(booted) = booted else { return Err(error) };
        let (status, reason) = (error.status().code(), chain(&error));
        self.events.send(&Event::GuestEnded { cause: EndCause::HostError, status, reason });
        booted.send(Err(Refusal::Boot(error)));
        Ok(None)
    }

    /// The guest has ended; a verdict if the VMM ends with it.
    fn ended(
        &mut self,
        Ended { outcome, order }: Ended,
        console: Console,
        after: After,
    ) -> Result<Option<Verdict>, RunError> {
        self.tell_of_the_end(&outcome);
        let by_itself = order.is_none() && !matches!(outcome, Outcome::Signal(_));
        let order = if by_itself { self.wait_for_reader(&console)? } else { order };
        let written = console.close();
        let act = order.as_ref().map(|order| order.act);
        if act == Some(Act::Delete) {
            self.guest = None;
        }
        if let Some(order) = order {
            order.reply.send(Ok(()));
        }
        let ends = match act {
            None => after == After::End || matches!(outcome, Outcome::Signal(_)),
            Some(Act::Quit) => true,
            Some(_) => by_itself && after == After::End,
        };
        // Who would have stayed ends by the order, not with the guest.
        let outcome = match (act, after) {
            (Some(Act::Quit), After::Stay) => Outcome::Ordered,
            _ => outcome,
        };
        let (status, reason) = (outcome.status(), outcome.to_string());
        match written {
            // How a guest has failed comes before what it has said.
            Err(lost) if ends && status == ExitStatus::Success => return Err(lost.into()),
            Err(lost) if ends => say(chain(&lost)),
            Err(lost) => tracing::error!("{}", chain(&lost)),
            Ok(()) => {}
        }
        Ok(ends.then_some((status, reason)))
    }

    /// Waits until a guest's output is read that has ended by itself, and answers who only asks. Whoever orders an end
    /// meanwhile ends this.
    fn wait_for_reader(&self, console: &Console) -> Result<Option<Order>, RunError> {
        let order = loop {
            let is_over = console.wait(self.mailbox.as_fd());
            if is_over && !self.mailbox.is_asked_to_end() {
                break None;
            }
            match self.mailbox.next_of(Meanwhile::pick) {
                Some(Meanwhile::Answer(question)) => self.answer_question(question),
                Some(Meanwhile::End(order)) => break Some(order),
                // Who has said that there will be an order is about to send it.
                None if is_over => drop(until_readable([self.mailbox.as_fd()]).map_err(RunError::Loop)?),
                None => {}
            }
        };
        self.mailbox.look_again();
        Ok(order)
    }

    fn tell_of_the_end(&self, outcome: &Outcome) {
        if let Some(event) = outcome.panic() {
            self.events.send(&event);
        }
        let (cause, status, reason) = (outcome.cause(), outcome.status().code(), outcome.to_string());
        self.events.send(&Event::GuestEnded { cause, status, reason });
    }
}
