//! A VM in another process, as the host has it.
//!
//! Its masks are in two places: in the CRYCB in its own process, and here, where each of its AP instructions is checked
//! again. The host's change of them is complete when both have it. A VM that does not confirm (its process is stopped)
//! holds the host up for a moment once, and its instructions find the queues gone all the same.

use super::{malformed, of_errno};
use crate::share::{
    lines::{Lines, Unread, send},
    protocol::{Answer, Failure, Indicator, Instruction, Masks, Push, Seen, Status, VmRequest},
};
use crate::{
    Adapters, GuestCrypto, Held, InterruptSink, Notification, OpenMdev, QueueStatus, Response, SimHost,
    Tested, VmId, lock::lock, vfio_ap::Trigger,
};
use adjunct_ap::{Apqn, Matrix, Uuid};
use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{BuildHasher, Hasher, RandomState},
    io,
    net::Shutdown,
    os::unix::net::UnixStream,
    sync::{Arc, Condvar, Mutex, PoisonError, RwLock},
    thread,
    time::Duration,
};

/// How long a change of masks waits for the guest's confirmation.
const PATIENCE: Duration = Duration::from_secs(1);

/// What the host has of a VM.
#[derive(Debug)]
pub(super) struct Guest {
    host: SimHost,
    vm: VmId,
    token: u64,
    link: Arc<Link>,
    mdevs: Mutex<BTreeMap<Uuid, Arc<OpenMdev>>>,
    held: Mutex<HeldThings>,
}

/// What is held for it, by number.
#[derive(Debug, Default)]
struct HeldThings {
    held: BTreeMap<u64, Held>,
    count: u64,
    /// Nothing is held any more.
    over: bool,
}

/// The way to the VM.
#[derive(Debug, Default)]
struct Link {
    /// What its AP instructions are let reach.
    masks: RwLock<Matrix>,
    outbox: Mutex<Outbox>,
    /// The outbox has something, a confirmation came, or the VM is gone.
    turn: Condvar,
}

/// What it has not been told yet. Bounded, however slow it reads: what is told again takes the place of what was.
#[derive(Debug)]
struct Outbox {
    masks: Option<Masks>,
    /// Number of the last change of masks, and of the last that was confirmed.
    number: u64,
    seen: u64,
    /// How long its next confirmation is waited for: not at all when the last was waited for in vain, until it has
    /// caught up.
    patience: Duration,
    replies: BTreeSet<(u64, u8)>,
    irqs: BTreeMap<(Uuid, u32), u64>,
    gone: bool,
}

impl Default for Outbox {
    fn default() -> Self {
        Self {
            masks: None,
            number: 0,
            seen: 0,
            patience: PATIENCE,
            replies: BTreeSet::new(),
            irqs: BTreeMap::new(),
            gone: false,
        }
    }
}

impl Outbox {
    fn is_empty(&self) -> bool {
        self.masks.is_none() && self.replies.is_empty() && self.irqs.is_empty()
    }

    /// All there is to tell, masks first: what a guest is told by an interrupt it then finds.
    fn take(&mut self) -> Vec<Push> {
        let number = self.number;
        let masks = self.masks.take().map(|masks| Push::Masks { number, masks });
        let irqs = std::mem::take(&mut self.irqs).into_iter();
        let irqs = irqs.map(|((mdev, index), times)| Push::Irq { mdev, index, times });
        let replies = std::mem::take(&mut self.replies).into_iter();
        let replies = replies.map(|(nib, isc)| Push::Reply { nib, isc });
        masks.into_iter().chain(irqs).chain(replies).collect()
    }
}

impl Link {
    fn tell(&self, what: impl FnOnce(&mut Outbox)) {
        let mut outbox = lock(&self.outbox);
        if !outbox.gone {
            what(&mut outbox);
            self.turn.notify_all();
        }
    }

    fn close(&self) {
        lock(&self.outbox).gone = true;
        self.turn.notify_all();
    }

    fn seen(&self, number: u64) {
        let mut outbox = lock(&self.outbox);
        outbox.seen = number.min(outbox.number);
        if outbox.seen == outbox.number {
            outbox.patience = PATIENCE;
        }
        self.turn.notify_all();
    }

    /// Tells the VM what comes up until it is gone.
    fn write(&self, stream: &UnixStream) {
        loop {
            let idle = |outbox: &mut Outbox| outbox.is_empty() && !outbox.gone;
            let waited = self.turn.wait_while(lock(&self.outbox), idle);
            let mut outbox = waited.unwrap_or_else(PoisonError::into_inner);
            if outbox.gone {
                return;
            }
            let pushes = outbox.take();
            drop(outbox);
            if pushes.iter().any(|push| send(stream, push).is_err()) {
                // The reader sees the end, too.
                let _ = stream.shutdown(Shutdown::Both);
                return;
            }
        }
    }

    fn give(&self, matrix: &Matrix) {
        *self.masks.write().unwrap_or_else(PoisonError::into_inner) = *matrix;
        let mut outbox = lock(&self.outbox);
        outbox.number += 1;
        outbox.masks = Some(matrix.into());
        self.turn.notify_all();
        let wanted = outbox.number;
        let patience = outbox.patience;
        let waiting = |outbox: &mut Outbox| outbox.seen < wanted && !outbox.gone;
        let waited = self.turn.wait_timeout_while(outbox, patience, waiting);
        let (mut outbox, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
        if timeout.timed_out() {
            outbox.patience = Duration::ZERO;
        }
    }
}

impl GuestCrypto for Link {
    fn set_masks(&self, matrix: &Matrix) {
        self.give(matrix);
    }

    fn clear_masks(&self) {
        self.give(&Matrix::EMPTY);
    }
}

impl InterruptSink for Link {
    fn notify(&self, nib: u64, isc: u8) {
        self.tell(|outbox| {
            outbox.replies.insert((nib, isc));
        });
    }
}

/// An interrupt of an mdev, signalled in the VM's process.
#[derive(Debug)]
struct Irq {
    link: Arc<Link>,
    mdev: Uuid,
    index: u32,
}

impl Trigger for Irq {
    fn signal(&self) {
        self.link.tell(|outbox| *outbox.irqs.entry((self.mdev, self.index)).or_default() += 1);
    }
}

impl Guest {
    pub(super) fn new(host: SimHost) -> Self {
        let vm = host.new_vm_id();
        // No secret: it keeps a client of another server, which was here before, from being taken for one of ours.
        let token = RandomState::new().build_hasher().finish();
        Self { host, vm, token, link: Arc::default(), mdevs: Mutex::default(), held: Mutex::default() }
    }

    /// What the client calls it.
    pub(super) fn token(&self) -> u64 {
        self.token
    }

    /// Tells the VM what comes up, and takes its confirmations, until it is gone.
    pub(super) fn attend(&self, stream: &UnixStream, lines: &mut Lines<&UnixStream>) -> io::Result<()> {
        send(stream, &Push::Guest { vm: self.vm.0, token: self.token })?;
        thread::scope(|scope| {
            let writer = thread::Builder::new().name("host-guest".to_owned());
            writer.spawn_scoped(scope, || self.link.write(stream))?;
            let read = loop {
                match lines.next::<Seen>() {
                    Ok(Some(Seen { seen })) => self.link.seen(seen),
                    Ok(None) => break Ok(()),
                    Err(Unread::Io(error)) => break Err(error),
                    // It does not speak as it should; that is not heard.
                    Err(Unread::Malformed(_) | Unread::TooLong) => {}
                }
            };
            self.link.close();
            // Ends a write under way.
            let _ = stream.shutdown(Shutdown::Both);
            read
        })
    }

    /// Takes everything back, as the kernel does when a process is gone.
    pub(super) fn end(&self) {
        self.link.close();
        drop(std::mem::take(&mut *lock(&self.mdevs)));
        let mut things = lock(&self.held);
        things.over = true;
        while things.held.pop_last().is_some() {}
    }

    pub(super) fn answer(&self, request: VmRequest) -> Result<Answer, Failure> {
        match request {
            VmRequest::Hold(what) => {
                let mut things = lock(&self.held);
                if things.over {
                    return Err(malformed("the guest is gone"));
                }
                things.count += 1;
                let number = things.count;
                let held = self.host.acts().hold(what);
                things.held.insert(number, held);
                return Ok(Answer::Number(number));
            }
            VmRequest::Release(number) => drop(lock(&self.held).held.remove(&number)),
            VmRequest::Open(uuid) => self.open(uuid)?,
            VmRequest::Close(uuid) => {
                let mdev = lock(&self.mdevs).remove(&uuid);
                drop(mdev.ok_or_else(|| of_errno(libc::EBADF))?);
            }
            VmRequest::Reset(uuid) => self.mdev(uuid)?.reset().map_err(of_errno)?,
            VmRequest::Irq { mdev, index, on } => {
                let link = Arc::clone(&self.link);
                let trigger = on.then(|| Box::new(Irq { link, mdev, index }) as Box<dyn Trigger>);
                self.mdev(mdev)?.set_trigger(index, trigger).map_err(of_errno)?;
            }
            VmRequest::MapDma { mdev, from, to } => self.mdev(mdev)?.map_dma(from..to).map_err(of_errno)?,
            VmRequest::Aqic { mdev, queue, enable } => {
                let status =
                    self.mdev(mdev)?.aqic(queue, enable.map(|indicator| self.notification(indicator)));
                return Ok(Answer::Status(Status::new(status)));
            }
            VmRequest::Ap { queue, instruction } => {
                return Ok(Answer::Status(self.instruction(queue, instruction)));
            }
        }
        Ok(Answer::Done)
    }

    fn mdev(&self, uuid: Uuid) -> Result<Arc<OpenMdev>, Failure> {
        lock(&self.mdevs).get(&uuid).cloned().ok_or_else(|| of_errno(libc::EBADF))
    }

    fn open(&self, uuid: Uuid) -> Result<(), Failure> {
        let crypto: Arc<Link> = Arc::clone(&self.link);
        let mdev = self.host.open_mdev(uuid, self.vm, crypto).map_err(of_errno)?;
        lock(&self.mdevs).insert(uuid, Arc::new(mdev));
        // Its connection may have ended meanwhile.
        if lock(&self.link.outbox).gone {
            drop(std::mem::take(&mut *lock(&self.mdevs)));
        }
        Ok(())
    }

    fn notification(&self, Indicator { nib, isc }: Indicator) -> Notification {
        let sink: Arc<Link> = Arc::clone(&self.link);
        Notification { nib, isc, sink }
    }

    /// Carries an AP instruction out on a queue that the guest has; nobody takes the queue away meanwhile.
    fn instruction(&self, queue: Apqn, instruction: Instruction) -> Status {
        let masks = self.link.masks.read().unwrap_or_else(PoisonError::into_inner);
        if !masks.contains(queue) {
            return Status::new(QueueStatus::response(Response::NotAvailable));
        }
        let adapters: &Adapters = self.host.adapters();
        let tested = |Tested { status, info }| Status { info, ..Status::new(status) };
        match instruction {
            Instruction::Tapq => tested(adapters.test(queue)),
            Instruction::Qact(query) => tested(adapters.query_type(queue, query)),
            Instruction::Rapq => Status::new(adapters.reset(queue)),
            Instruction::Zapq => Status::new(adapters.zeroize(queue)),
            Instruction::Nqap { psmid, message } => Status::new(adapters.enqueue(queue, psmid, &message.0)),
            Instruction::Dqap { room } => {
                let (status, part) = adapters.dequeue(queue, room);
                Status { part: part.map(Into::into), ..Status::new(status) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        HostFile,
        share::{
            lines::LONGEST,
            protocol::{Greeting, Reply, Request},
            serve,
        },
    };
    use adjunct_ap::Sysfs;

    const MDEV: &str = "6c4a5d2e-0d3e-4c7a-9b0a-000000000001";

    type Client = Lines<UnixStream>;

    fn hear<T: serde::de::DeserializeOwned>(client: &mut Client) -> T {
        client.next().expect("it is understood").expect("the server is there")
    }

    fn connect(path: &std::path::Path) -> Client {
        let mut client = Lines::new(UnixStream::connect(path).expect("it is served"), LONGEST);
        let Greeting { .. } = hear(&mut client);
        client
    }

    fn ask(client: &mut Client, request: &Request) -> Answer {
        send(client.stream(), request).expect("the server is there");
        match hear(client) {
            Reply::Ok(answer) => answer,
            Reply::Error(failure) => panic!("{request:?}: {failure:?}"),
        }
    }

    /// The number of the last change of masks that the guest was told of.
    fn told(guest: &mut Client, last: u64) -> u64 {
        loop {
            if let Push::Masks { number, .. } = hear(guest)
                && number >= last
            {
                return number;
            }
        }
    }

    #[test]
    fn a_guest_that_confirms_nothing_is_waited_for_once_and_has_lost_its_queues_all_the_same() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("host");
        let host = SimHost::new(HostFile::three_guests().expect("the built-in host is right"))
            .expect("the built-in host starts");
        let served = serve(&host, &path).expect("nobody serves there");
        let mut guest = connect(&path);
        send(guest.stream(), &Request::Guest).expect("the server is there");
        let Push::Guest { token, .. } = hear(&mut guest) else { panic!("its number comes first") };
        let ours = lock(&served.server.guests).get(&token).cloned().expect("it is there");
        let link = Arc::clone(&ours.link);
        let mut other = connect(&path);
        let mut of = |request| ask(&mut other, &Request::Vm { token, request });
        let uuid: Uuid = MDEV.parse().expect("a UUID");
        thread::scope(|scope| {
            // This one it confirms.
            let open = scope.spawn(|| {
                let number = told(&mut guest, 1);
                send(guest.stream(), &Seen { seen: number }).expect("the server is there");
            });
            assert!(matches!(of(VmRequest::Open(uuid)), Answer::Done));
            open.join().expect("it confirms");
        });
        let mut tapq = |adapter| match of(VmRequest::Ap {
            queue: Apqn::new(adapter, 4),
            instruction: Instruction::Tapq,
        }) {
            Answer::Status(status) => QueueStatus::from_word(status.word),
            answer => panic!("{answer:?}"),
        };
        let gone = QueueStatus::response(Response::NotAvailable);
        assert!(tapq(5) != gone && tapq(6) != gone);
        assert_eq!(lock(&link.outbox).patience, PATIENCE);
        for adapter in [5, 6] {
            let unassign = format!("devices/vfio_ap/matrix/{MDEV}/unassign_adapter");
            host.write(&unassign, &adapter.to_string()).expect("it is assigned");
            assert_eq!(tapq(adapter), gone);
            assert_eq!(lock(&link.outbox).patience, Duration::ZERO, "the next does not wait");
        }
        // It goes on.
        let last = lock(&link.outbox).number;
        let number = told(&mut guest, last);
        send(guest.stream(), &Seen { seen: number }).expect("the server is there");
        guest.stream().shutdown(Shutdown::Write).expect("it is open");
        // What it said was heard before its end.
        drop(link.turn.wait_while(lock(&link.outbox), |outbox| !outbox.gone));
        assert_eq!(lock(&link.outbox).patience, PATIENCE);
    }
}
