//! What a VM in this process has of a host in another one: a connection by which the host tells it things, and what it
//! asks the host.

use super::{Answer, Client, Connection, Facts, Request, Unanswered, gone};
use crate::{
    GuestCrypto, InterruptSink, KernelProfile, Notification, QueueStatus, ReplyPart, Response, Tested, VmId,
    kvm::{HostFacts, HostGone, HostTime},
    share::{
        lines::{Lines, send},
        protocol::{Hex, Indicator, Instruction, Push, Seen, Status, Wish},
    },
    vfio_ap,
};
use adjunct_ap::{Apqn, Matrix, Uuid};
use adjunct_hypervisor::{ApDeviceInfo, EventFd, IrqInfo, KernelError};
use std::{
    collections::BTreeMap,
    io,
    net::Shutdown,
    ops::Range,
    os::unix::net::UnixStream,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
};

/// A VM's place on a host. Dropping it ends the VM there: whatever it has open is closed.
#[derive(Debug)]
pub(crate) struct Tenancy {
    client: Arc<Client>,
    token: u64,
    facts: HostFacts,
    /// The connection by which the host tells things, to be ended with this.
    stream: UnixStream,
    told: Arc<Told>,
    listening: Option<JoinHandle<()>>,
}

/// Whom what the host tells is for.
#[derive(Debug, Default)]
struct Told {
    crypto: Mutex<Option<Arc<dyn GuestCrypto>>>,
    sink: Mutex<Option<Arc<dyn InterruptSink>>>,
    /// The triggers of mdevs. They stay when an mdev is closed.
    irqs: Mutex<BTreeMap<(Uuid, u32), EventFd>>,
    /// Whom to tell that the host is gone.
    when_gone: Mutex<Option<Arc<dyn HostGone>>>,
    gone: AtomicBool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Told {
    /// Does what the host tells until it is gone.
    fn listen(&self, mut lines: Lines<UnixStream>) {
        // A server of the same version says nothing else.
        while let Ok(Some(push)) = lines.next::<Push>() {
            if self.hear(push, lines.stream()).is_err() {
                break;
            }
        }
        self.is_gone();
    }

    /// From now on nothing is to be had from the host.
    fn is_gone(&self) {
        self.gone.store(true, Ordering::Release);
        let whom = lock(&self.when_gone).clone();
        if let Some(whom) = whom {
            whom.host_gone();
        }
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

impl Tenancy {
    /// Moves a VM in.
    pub(super) fn begin(client: &Arc<Client>, facts: HostFacts) -> Result<(Self, VmId), Unanswered> {
        let Connection(mut lines) = Connection::open(&client.path)?;
        send(lines.stream(), &Request::Guest).map_err(Unanswered::Gone)?;
        let Ok(Some(Push::Guest { vm, token })) = lines.next() else { return Err(Unanswered::Gone(gone())) };
        let ours = |error: io::Error| Unanswered::Unasked(error.raw_os_error().unwrap_or(libc::EAGAIN));
        let stream = lines.stream().try_clone().map_err(ours)?;
        let told = Arc::<Told>::default();
        let listening = thread::Builder::new().name("host".to_owned()).spawn({
            let told = Arc::clone(&told);
            move || told.listen(lines)
        });
        let listening = listening.map_err(ours)?;
        let client = Arc::clone(client);
        Ok((Self { client, token, facts, stream, told, listening: Some(listening) }, VmId(vm)))
    }

    fn ask(&self, wish: Wish) -> Result<Answer, Unanswered> {
        if self.told.gone.load(Ordering::Acquire) {
            return Err(Unanswered::Gone(gone()));
        }
        let answer = self.client.ask(&Request::Of { token: self.token, wish });
        // Without an errno it was not the kernel that refused: the server knows us no more.
        if let Err(Unanswered::Gone(_)) = &answer {
            self.told.is_gone();
        }
        answer
    }

    fn done(&self, wish: Wish) -> Result<(), i32> {
        self.ask(wish).map(drop).map_err(|error| error.errno())
    }

    /// What the CPUs of guests depend on.
    pub(crate) fn facts(&self) -> HostFacts {
        self.facts
    }

    /// The host's time.
    pub(crate) fn time(&self) -> HostTime {
        self.client.time.clone()
    }

    /// [`Acts::act`](crate::Acts::act); the error is the errno.
    pub(crate) fn act(&self, request: &'static str, target: &str) -> Result<(), i32> {
        let act = Request::Act { request: request.to_owned(), target: target.to_owned() };
        self.client.ask(&act).map(drop).map_err(|error| error.errno())
    }

    /// [`Acts::hold`](crate::Acts::hold). On a host that is gone nothing is held.
    pub(crate) fn hold(self: &Arc<Self>, what: String) -> RemoteHeld {
        let number = match self.ask(Wish::Hold(what)) {
            Ok(Answer::Number(number)) => Some(number),
            _ => None,
        };
        RemoteHeld { tenancy: Arc::clone(self), number }
    }

    /// The names in a directory of the host's `/sys`.
    pub(crate) fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        super::list(&self.client, dir)
    }

    /// [`SimHost::open_mdev`](crate::SimHost::open_mdev).
    pub(crate) fn open_mdev(
        self: &Arc<Self>,
        uuid: Uuid,
        crypto: Arc<dyn GuestCrypto>,
    ) -> Result<RemoteMdev, i32> {
        *lock(&self.told.crypto) = Some(crypto);
        self.done(Wish::Open(uuid))?;
        Ok(RemoteMdev { tenancy: Arc::clone(self), uuid })
    }

    /// Has `whom` be told when the host is gone.
    pub(crate) fn when_gone(&self, whom: Arc<dyn HostGone>) {
        *lock(&self.told.when_gone) = Some(whom);
        if self.told.gone.load(Ordering::Acquire) {
            self.told.is_gone();
        }
    }

    /// Whether the VM can go on.
    ///
    /// # Errors
    /// ECONNRESET when the host is gone.
    pub(crate) fn check(&self) -> adjunct_hypervisor::Result<()> {
        if self.told.gone.load(Ordering::Acquire) {
            let host = format!("a guest of the {}, which is gone", self.client.name);
            return Err(KernelError::new("KVM_RUN", host, libc::ECONNRESET));
        }
        Ok(())
    }
}

/// AP instructions.
impl Tenancy {
    /// QCI's flags, highest adapter and highest domain.
    pub(crate) fn configuration(&self) -> (u32, u8, u8) {
        let facts = self
            .client
            .facts()
            .map(|(_, Facts { flags, max_adapter, max_domain, .. })| (flags, max_adapter, max_domain));
        facts.unwrap_or_else(|error| {
            if let Unanswered::Gone(_) = error {
                self.told.is_gone();
            }
            (0, 0, 0)
        })
    }

    pub(crate) fn test(&self, apqn: Apqn) -> Tested {
        self.tested(apqn, Instruction::Tapq)
    }

    pub(crate) fn query_type(&self, apqn: Apqn, query: u64) -> Tested {
        self.tested(apqn, Instruction::Qact(query))
    }

    pub(crate) fn reset(&self, apqn: Apqn) -> QueueStatus {
        self.tested(apqn, Instruction::Rapq).status
    }

    pub(crate) fn zeroize(&self, apqn: Apqn) -> QueueStatus {
        self.tested(apqn, Instruction::Zapq).status
    }

    pub(crate) fn enqueue(&self, apqn: Apqn, psmid: u64, message: &[u8]) -> QueueStatus {
        self.tested(apqn, Instruction::Nqap { psmid, message: Hex(message.to_vec()) }).status
    }

    pub(crate) fn dequeue(&self, apqn: Apqn, room: usize) -> (QueueStatus, Option<ReplyPart>) {
        let Status { word, part, .. } = self.instruction(apqn, Instruction::Dqap { room });
        (QueueStatus::from_word(word), part.map(Into::into))
    }

    fn tested(&self, apqn: Apqn, instruction: Instruction) -> Tested {
        let Status { word, info, .. } = self.instruction(apqn, instruction);
        Tested { status: QueueStatus::from_word(word), info }
    }

    fn instruction(&self, queue: Apqn, instruction: Instruction) -> Status {
        self.status(Wish::Ap { queue, instruction })
    }

    /// A status; that of a queue which is not there when the host is not.
    fn status(&self, wish: Wish) -> Status {
        match self.ask(wish) {
            Ok(Answer::Status(status)) => status,
            Ok(_) => {
                self.told.is_gone();
                Status::new(QueueStatus::response(Response::NotAvailable))
            }
            Err(_) => Status::new(QueueStatus::response(Response::NotAvailable)),
        }
    }
}

impl Drop for Tenancy {
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
pub(crate) struct RemoteHeld {
    tenancy: Arc<Tenancy>,
    number: Option<u64>,
}

impl Drop for RemoteHeld {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            // A host that is gone holds nothing.
            let _ = self.tenancy.ask(Wish::Release(number));
        }
    }
}

/// [`OpenMdev`](crate::OpenMdev) on a host in another process.
#[derive(Debug)]
pub(crate) struct RemoteMdev {
    tenancy: Arc<Tenancy>,
    uuid: Uuid,
}

impl RemoteMdev {
    fn profile(&self) -> KernelProfile {
        self.tenancy.facts.profile
    }

    pub(crate) fn info(&self) -> ApDeviceInfo {
        vfio_ap::device_info(self.profile())
    }

    pub(crate) fn irq_info(&self, index: u32) -> Result<IrqInfo, i32> {
        vfio_ap::irq_info(self.profile(), index)
    }

    pub(crate) fn set_irq(&self, index: u32, event: Option<EventFd>) -> Result<(), i32> {
        let (mdev, on) = (self.uuid, event.is_some());
        self.irq_info(index)?;
        // Before the host is told: it may be signalled at once.
        match event {
            Some(event) => lock(&self.tenancy.told.irqs).insert((mdev, index), event),
            None => lock(&self.tenancy.told.irqs).remove(&(mdev, index)),
        };
        self.tenancy.done(Wish::Irq { mdev, index, on })
    }

    pub(crate) fn reset(&self) -> Result<(), i32> {
        self.tenancy.done(Wish::Reset(self.uuid))
    }

    pub(crate) fn map_dma(&self, memory: Range<u64>) -> Result<(), i32> {
        self.tenancy.done(Wish::MapDma { mdev: self.uuid, from: memory.start, to: memory.end })
    }

    pub(crate) fn aqic(&self, apqn: Apqn, notification: Option<Notification>) -> QueueStatus {
        let enable = notification.map(|Notification { nib, isc, sink }| {
            *lock(&self.tenancy.told.sink) = Some(sink);
            Indicator { nib, isc }
        });
        let status = self.tenancy.status(Wish::Aqic { mdev: self.uuid, queue: apqn, enable });
        QueueStatus::from_word(status.word)
    }
}

impl Drop for RemoteMdev {
    fn drop(&mut self) {
        // A host that is gone has closed it.
        let _ = self.tenancy.ask(Wish::Close(self.uuid));
    }
}
