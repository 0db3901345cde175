//! A VM of this process on a host in another one: a connection by which the host tells it things, and what it asks the
//! host.

use super::{Answer, Client, Connection, Facts, Request, Unanswered, gone};
use crate::{
    GuestCrypto, InterruptSink, KernelProfile, Notification, QueueStatus, ReplyPart, Response, Tested, VmId,
    kvm::{ApInstructions, HostFacts, HostGone, HostTime, VmHeld, VmHost, VmMdev},
    lock::lock,
    share::{
        lines::{Lines, send},
        protocol::{Hex, Indicator, Instruction, Push, Seen, Status, VmRequest},
    },
    vfio_ap,
};
use adjunct_ap::{Apqn, Matrix, Uuid};
use adjunct_hypervisor::{ApDeviceInfo, EventFd, IrqInfo, KernelError};
use adjunct_zarch::ap::Configuration;
use std::{
    collections::BTreeMap,
    io,
    net::Shutdown,
    ops::Range,
    os::unix::net::UnixStream,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

/// A VM that the host knows. When the last clone is dropped the VM ends there: whatever it has open is closed.
#[derive(Clone, Debug)]
pub(crate) struct RemoteVm(Arc<Session>);

/// What all handles of a VM share.
#[derive(Debug)]
struct Session {
    client: Arc<Client>,
    token: u64,
    facts: HostFacts,
    /// The connection by which the host tells things, to be ended with this.
    stream: UnixStream,
    listeners: Arc<Listeners>,
    listening: Option<JoinHandle<()>>,
}

/// Whom what the host tells is for.
#[derive(Debug, Default)]
struct Listeners {
    crypto: Mutex<Option<Arc<dyn GuestCrypto>>>,
    sink: Mutex<Option<Arc<dyn InterruptSink>>>,
    /// The triggers of mdevs. They stay when an mdev is closed.
    irqs: Mutex<BTreeMap<(Uuid, u32), EventFd>>,
    /// Whom to tell that the host is gone.
    when_gone: Mutex<Option<Arc<dyn HostGone>>>,
    gone: AtomicBool,
}

impl Listeners {
    /// Does what the host tells until it is gone.
    fn listen(&self, mut lines: Lines<UnixStream>) {
        // A server of the same version says nothing else.
        while let Ok(Some(push)) = lines.next::<Push>() {
            if self.hear(push, lines.stream()).is_err() {
                break;
            }
        }
        self.set_gone();
    }

    /// From now on nothing is to be had from the host.
    fn set_gone(&self) {
        self.gone.store(true, Ordering::Release);
        let whom = lock(&self.when_gone).clone();
        if let Some(whom) = whom {
            whom.host_gone();
        }
    }

    fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Acquire)
    }

    fn hear(&self, push: Push, stream: &UnixStream) -> io::Result<()> {
        match push {
            Push::Guest { .. } => {}
            Push::Masks { number, masks } => {
                let matrix = masks.matrix().ok_or(io::ErrorKind::InvalidData)?;
                let crypto = lock(&self.crypto).clone();
                match crypto {
                    Some(crypto) if matrix == Matrix::EMPTY => crypto.clear_masks(),
                    Some(crypto) => crypto.set_masks(&matrix),
                    None => {}
                }
                send(stream, &Seen { seen: number })?;
            }
            Push::Reply { nib, isc } => {
                let sink = lock(&self.sink).clone();
                if let Some(sink) = sink {
                    sink.notify(nib, isc);
                }
            }
            Push::Irq { mdev, index, times } => {
                if let Some(event) = lock(&self.irqs).get(&(mdev, index)) {
                    // A counter that is full has been signalled more often than anybody can read.
                    let _ = event.write(times);
                }
            }
        }
        Ok(())
    }
}

impl RemoteVm {
    /// Has the host make a VM.
    pub(super) fn register(client: &Arc<Client>, facts: HostFacts) -> Result<(Self, VmId), Unanswered> {
        let Connection(mut lines) = Connection::open(&client.path)?;
        send(lines.stream(), &Request::Guest).map_err(Unanswered::Gone)?;
        let Ok(Some(Push::Guest { vm, token })) = lines.next() else { return Err(Unanswered::Gone(gone())) };
        let ours = |error: io::Error| Unanswered::Unasked(error.raw_os_error().unwrap_or(libc::EAGAIN));
        let stream = lines.stream().try_clone().map_err(ours)?;
        let listeners = Arc::<Listeners>::default();
        let listening = thread::Builder::new().name("host".to_owned()).spawn({
            let listeners = Arc::clone(&listeners);
            move || listeners.listen(lines)
        });
        let listening = Some(listening.map_err(ours)?);
        let client = Arc::clone(client);
        let session = Session { client, token, facts, stream, listeners, listening };
        Ok((Self(Arc::new(session)), VmId(vm)))
    }

    fn ask(&self, request: VmRequest) -> Result<Answer, Unanswered> {
        if self.0.listeners.is_gone() {
            return Err(Unanswered::Gone(gone()));
        }
        let answer = self.0.client.ask(&Request::Vm { token: self.0.token, request });
        // Without an errno it was not the kernel that refused: the server knows us no more.
        if let Err(Unanswered::Gone(_)) = &answer {
            self.0.listeners.set_gone();
        }
        answer
    }

    fn done(&self, request: VmRequest) -> Result<(), i32> {
        self.ask(request).map(drop).map_err(|error| error.errno())
    }

    fn tested(&self, apqn: Apqn, instruction: Instruction) -> Tested {
        let Status { word, info, .. } = self.instruction(apqn, instruction);
        Tested { status: QueueStatus::from_word(word), info }
    }

    fn instruction(&self, queue: Apqn, instruction: Instruction) -> Status {
        self.status(VmRequest::Ap { queue, instruction })
    }

    /// A status; that of a queue which is not there when the host is not.
    fn status(&self, request: VmRequest) -> Status {
        match self.ask(request) {
            Ok(Answer::Status(status)) => status,
            Ok(_) => {
                self.0.listeners.set_gone();
                Status::new(QueueStatus::response(Response::NotAvailable))
            }
            Err(_) => Status::new(QueueStatus::response(Response::NotAvailable)),
        }
    }
}

impl VmHost for RemoteVm {
    fn act(&self, request: &'static str, target: &str) -> adjunct_hypervisor::Result<()> {
        let act = Request::Act { request: request.to_owned(), target: target.to_owned() };
        let answer = self.0.client.ask(&act);
        answer.map(drop).map_err(|error| KernelError::new(request, target, error.errno()))
    }

    /// On a host that is gone nothing is held.
    fn hold(&self, what: &str) -> VmHeld {
        let number = match self.ask(VmRequest::Hold(what.to_owned())) {
            Ok(Answer::Number(number)) => Some(number),
            _ => None,
        };
        Box::new(RemoteHeld { vm: self.clone(), number })
    }

    fn time(&self) -> HostTime {
        self.0.client.time.clone()
    }

    fn profile(&self) -> KernelProfile {
        self.0.facts.profile
    }

    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        super::list(&self.0.client, dir)
    }

    fn open_mdev(&self, uuid: Uuid, _: VmId, crypto: Arc<dyn GuestCrypto>) -> Result<Arc<dyn VmMdev>, i32> {
        *lock(&self.0.listeners.crypto) = Some(crypto);
        self.done(VmRequest::Open(uuid))?;
        Ok(Arc::new(RemoteMdev { vm: self.clone(), uuid }))
    }

    fn when_gone(&self, whom: Arc<dyn HostGone>) {
        *lock(&self.0.listeners.when_gone) = Some(whom);
        if self.0.listeners.is_gone() {
            self.0.listeners.set_gone();
        }
    }

    fn check(&self) -> adjunct_hypervisor::Result<()> {
        if self.0.listeners.is_gone() {
            let host = format!("a guest of the {}, which is gone", self.0.client.name);
            return Err(KernelError::new("KVM_RUN", host, libc::ECONNRESET));
        }
        Ok(())
    }

    /// Time passes by itself.
    fn service_time(&self) -> Option<Duration> {
        None
    }

    fn advance(&self, _: Duration) {}
}

impl ApInstructions for RemoteVm {
    fn configuration(&self) -> Configuration {
        match self.0.client.facts() {
            Ok((_, Facts { flags, max_adapter, max_domain, .. })) => {
                Configuration { flags, na: max_adapter, nd: max_domain }
            }
            Err(error) => {
                if let Unanswered::Gone(_) = error {
                    self.0.listeners.set_gone();
                }
                Configuration { flags: 0, na: 0, nd: 0 }
            }
        }
    }

    fn test(&self, apqn: Apqn) -> Tested {
        self.tested(apqn, Instruction::Tapq)
    }

    fn query_type(&self, apqn: Apqn, query: u64) -> Tested {
        self.tested(apqn, Instruction::Qact(query))
    }

    fn reset(&self, apqn: Apqn) -> QueueStatus {
        self.tested(apqn, Instruction::Rapq).status
    }

    fn zeroize(&self, apqn: Apqn) -> QueueStatus {
        self.tested(apqn, Instruction::Zapq).status
    }

    fn enqueue(&self, apqn: Apqn, psmid: u64, message: &[u8]) -> QueueStatus {
        self.tested(apqn, Instruction::Nqap { psmid, message: Hex(message.to_vec()) }).status
    }

    fn dequeue(&self, apqn: Apqn, room: usize) -> (QueueStatus, Option<ReplyPart>) {
        let Status { word, part, .. } = self.instruction(apqn, Instruction::Dqap { room });
        (QueueStatus::from_word(word), part.map(Into::into))
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // Ends the listener, and tells the host.
        let _ = self.stream.shutdown(Shutdown::Both);
        if let Some(listening) = self.listening.take() {
            // It has nothing to say, and a panic of its was printed.
            let _ = listening.join();
        }
    }
}

/// Something that the host holds until this is dropped.
#[derive(Debug)]
struct RemoteHeld {
    vm: RemoteVm,
    number: Option<u64>,
}

impl Drop for RemoteHeld {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            // A host that is gone holds nothing.
            let _ = self.vm.ask(VmRequest::Release(number));
        }
    }
}

/// [`OpenMdev`](crate::OpenMdev) on a host in another process.
#[derive(Debug)]
struct RemoteMdev {
    vm: RemoteVm,
    uuid: Uuid,
}

impl VmMdev for RemoteMdev {
    fn info(&self) -> ApDeviceInfo {
        vfio_ap::device_info(self.vm.profile())
    }

    fn irq_info(&self, index: u32) -> Result<IrqInfo, i32> {
        vfio_ap::irq_info(self.vm.profile(), index)
    }

    fn set_irq(&self, index: u32, event: Option<EventFd>) -> Result<(), i32> {
        let (mdev, on) = (self.uuid, event.is_some());
        self.irq_info(index)?;
        // Before the host is told: it may be signalled at once.
        match event {
            Some(event) => lock(&self.vm.0.listeners.irqs).insert((mdev, index), event),
            None => lock(&self.vm.0.listeners.irqs).remove(&(mdev, index)),
        };
        self.vm.done(VmRequest::Irq { mdev, index, on })
    }

    fn reset(&self) -> Result<(), i32> {
        self.vm.done(VmRequest::Reset(self.uuid))
    }

    fn map_dma(&self, memory: Range<u64>) -> Result<(), i32> {
        self.vm.done(VmRequest::MapDma { mdev: self.uuid, from: memory.start, to: memory.end })
    }

    fn aqic(&self, apqn: Apqn, notification: Option<Notification>) -> QueueStatus {
        let enable = notification.map(|Notification { nib, isc, sink }| {
            *lock(&self.vm.0.listeners.sink) = Some(sink);
            Indicator { nib, isc }
        });
        let status = self.vm.status(VmRequest::Aqic { mdev: self.uuid, queue: apqn, enable });
        QueueStatus::from_word(status.word)
    }
}

impl Drop for RemoteMdev {
    fn drop(&mut self) {
        // A host that is gone has closed it.
        let _ = self.vm.ask(VmRequest::Close(self.uuid));
    }
}
