//! A host that another process serves, as a program has it.
//!
//! Every question goes over a connection that nobody else uses meanwhile, so that one which takes its time (`remove` of
//! an mdev that is open) holds up nobody. What a VM has of the host is in [`remote_vm`].

mod remote_vm;

pub(crate) use remote_vm::RemoteVm;

use super::{
    Order,
    lines::{LONGEST, Lines, Unread, send},
    protocol::{Answer, Facts, Failure, FailureKind, Greeting, Reply, Request, Uevents, VERSION},
};
use crate::{
    KernelProfile, VmId,
    kvm::{HostFacts, HostTime, SimProtoVm},
};
use adjunct_ap::Sysfs;
use adjunct_cpu_model::{
    Model,
    kvm::{Capabilities, MachineAttributes},
};
use adjunct_hypervisor::{Hypervisor, KernelError, Limits, ProtoVm, Result};
use std::{
    io,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// How long a server may take to greet.
const GREETING: Duration = Duration::from_secs(5);

/// A simulated host that another process serves: `adjunct sim mount --control`, `adjunct sim serve`, or [`serve`](super::serve)
/// in a program of yours. Clones are the same host.
///
/// It makes VMs whose guests run in this process, on the adapters there. While there is a VM on it, its queues are kept
/// from all other users of the host, in whatever process, as one kernel would.
#[derive(Clone, Debug)]
pub struct SharedHost(Arc<Client>);

#[derive(Debug)]
struct Client {
    path: PathBuf,
    /// Connections that nobody uses now.
    idle: Mutex<Vec<Connection>>,
    name: String,
    /// The machine's time when we came, and since when it passes.
    time: HostTime,
}

/// Why there is no such host.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Nobody is there.
    #[error("{}: nobody serves a simulated host there", path.display())]
    Nobody {
        /// The socket.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// Whether somebody is there can't be found out.
    #[error("{}: the socket can't be connected to", path.display())]
    Unreachable {
        /// The socket.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// Somebody is there, but serves something else.
    #[error("{}: what listens there is no simulated host", .0.display())]
    Foreign(PathBuf),
    /// The server is of another version of this program.
    #[error("{}: the host speaks version {theirs} of the protocol, and this program version {}", path.display(), VERSION)]
    Version {
        /// The socket.
        path: PathBuf,
        /// The server's version.
        theirs: u32,
    },
}

/// Why an order was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum SharedOrderError {
    /// The machine or its kernel refused; nothing was changed.
    #[error("{text}{}", errno.map(|errno| format!(": {}", io::Error::from_raw_os_error(errno))).unwrap_or_default())]
    Refused {
        /// Why.
        text: String,
        /// The kernel's errno, if it was the kernel.
        errno: Option<i32>,
    },
    /// The server does not know the order.
    #[error("the host does not know the order: {0}")]
    Unknown(String),
    /// It is longer than the server reads.
    #[error("the {what} is too long: a served host takes {LONGEST} bytes, with line ends counted twice")]
    TooLong {
        /// The order, or the host file.
        what: &'static str,
    },
    /// The host could not be asked this time.
    #[error("the simulated host could not be asked")]
    Unasked(#[source] io::Error),
    /// The host is gone.
    #[error("the simulated host is gone")]
    Gone(#[source] io::Error),
}

/// A connection that is not used by two at once.
#[derive(Debug)]
struct Connection(Lines<UnixStream>);

impl Connection {
    fn open(path: &Path) -> std::result::Result<Self, ConnectError> {
        let refused = |source: io::Error| {
            let path = path.to_owned();
            match source.raw_os_error() {
                Some(libc::ECONNREFUSED | libc::ENOENT | libc::ECONNRESET) => {
                    ConnectError::Nobody { path, source }
                }
                _ => ConnectError::Unreachable { path, source },
            }
        };
        let stream = UnixStream::connect(path).map_err(refused)?;
        let foreign = |_| ConnectError::Foreign(path.to_owned());
        stream.set_read_timeout(Some(GREETING)).map_err(foreign)?;
        let mut lines = Lines::new(stream, LONGEST);
        let greeting = lines.next::<Greeting>();
        lines.stream().set_read_timeout(None).map_err(foreign)?;
        match greeting {
            Ok(Some(Greeting { adjunct_host: VERSION })) => Ok(Self(lines)),
            Ok(Some(Greeting { adjunct_host: theirs })) => {
                Err(ConnectError::Version { path: path.to_owned(), theirs })
            }
            _ => Err(ConnectError::Foreign(path.to_owned())),
        }
    }

    fn ask(&mut self, request: &Request) -> io::Result<Reply> {
        send(self.0.stream(), request)?;
        let reply = match request {
            // They are an operator's, and what they print has no bound.
            Request::Order(_) | Request::Load(_) | Request::Uevents { .. } => self.0.next_of_any_length(),
            // A guest's program asks them, and must not be filled by whoever serves its host.
            _ => self.0.next(),
        };
        match reply {
            Ok(Some(reply)) => Ok(reply),
            Ok(None) => Err(gone()),
            Err(Unread::Io(error)) => Err(error),
            Err(Unread::Malformed(text)) => Err(io::Error::new(io::ErrorKind::InvalidData, text)),
            Err(Unread::TooLong) => Err(io::Error::new(io::ErrorKind::InvalidData, "the answer is too long")),
        }
    }
}

fn gone() -> io::Error {
    io::Error::from_raw_os_error(libc::ECONNRESET)
}

/// Why there is no answer.
#[derive(Debug)]
enum Unanswered {
    /// It was refused.
    Failed(Failure),
    /// It could not be asked this time; the host may well be there. The errno.
    Unasked(i32),
    /// The host is gone.
    Gone(io::Error),
}

impl From<ConnectError> for Unanswered {
    fn from(error: ConnectError) -> Self {
        match error {
            ConnectError::Nobody { source, .. } => Self::Gone(source),
            ConnectError::Unreachable { source, .. } => {
                Self::Unasked(source.raw_os_error().unwrap_or(libc::EIO))
            }
            // It did not greet: it is stopped, has no room for us, or is none.
            ConnectError::Foreign(_) => Self::Unasked(libc::ETIMEDOUT),
            // That is another one.
            ConnectError::Version { .. } => Self::Gone(gone()),
        }
    }
}

impl Unanswered {
    /// As the kernel would put it; a host that is gone resets connections.
    fn errno(&self) -> i32 {
        match self {
            Self::Failed(failure) => failure.errno.unwrap_or(libc::EINVAL),
            Self::Unasked(errno) => *errno,
            Self::Gone(_) => libc::ECONNRESET,
        }
    }

    fn into_io(self) -> io::Error {
        match self {
            Self::Failed(Failure { errno: Some(errno), .. }) => io::Error::from_raw_os_error(errno),
            Self::Failed(Failure { kind: FailureKind::Short, text, .. }) => {
                io::Error::new(io::ErrorKind::WriteZero, text)
            }
            Self::Failed(Failure { text, .. }) => io::Error::other(text),
            Self::Unasked(errno) => io::Error::from_raw_os_error(errno),
            Self::Gone(_) => gone(),
        }
    }
}

impl Client {
    fn connection(&self) -> std::result::Result<Connection, ConnectError> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        idle.map_or_else(|| Connection::open(&self.path), Ok)
    }

    fn ask(&self, request: &Request) -> std::result::Result<Answer, Unanswered> {
        let mut connection = self.connection()?;
        let reply = connection.ask(request).map_err(Unanswered::Gone)?;
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        match reply {
            Reply::Ok(answer) => Ok(answer),
            Reply::Error(failure) => Err(Unanswered::Failed(failure)),
        }
    }

    fn facts(&self) -> std::result::Result<(HostFacts, Facts), Unanswered> {
        match self.ask(&Request::Facts)? {
            Answer::Facts(facts) => known(&facts).map(|known| (known, facts)).ok_or_else(unexpected),
            _ => Err(unexpected()),
        }
    }
}

/// The answer is none of those to the question. A server of the same version does not give it.
fn unexpected() -> Unanswered {
    Unanswered::Gone(io::ErrorKind::InvalidData.into())
}

fn known(facts: &Facts) -> Option<HostFacts> {
    Some(HostFacts {
        model: Model::by_name(&facts.machine)?,
        profile: facts.kernel.parse::<KernelProfile>().ok()?,
        facilities: facts.facilities(),
        apxa: facts.apxa,
    })
}

impl SharedHost {
    /// The host that is served at the socket `path`.
    ///
    /// # Errors
    /// [`ConnectError`].
    pub fn connect(path: &Path) -> std::result::Result<Self, ConnectError> {
        let connection = Connection::open(path)?;
        let mut client = Client {
            path: path.to_owned(),
            idle: Mutex::new(vec![connection]),
            name: String::new(),
            time: HostTime::real(0),
        };
        let (known, facts) = client.facts().map_err(|_| ConnectError::Foreign(path.to_owned()))?;
        client.name = format!("{} at {}", known.name(), path.display());
        client.time = HostTime::real(facts.now);
        Ok(Self(Arc::new(client)))
    }

    /// Has the host carry out `order`. The answer is what the order asks to print.
    ///
    /// # Errors
    /// [`SharedOrderError`].
    pub fn order(&self, order: &Order) -> std::result::Result<String, SharedOrderError> {
        self.ask_for_text(&Request::Order(order.to_string()), "order")
    }

    /// Has the host load the host file of this text: [`SimHost::load`](crate::SimHost::load).
    ///
    /// # Errors
    /// [`SharedOrderError`].
    pub fn load(&self, text: &str) -> std::result::Result<(), SharedOrderError> {
        self.ask_for_text(&Request::Load(text.to_owned()), "host file").map(drop)
    }

    /// Asks that the host end. It does so after this returns if it is a process of its own, `adjunct sim serve` or `mount`;
    /// another program that serves a host may go on.
    ///
    /// # Errors
    /// [`SharedOrderError`].
    pub fn quit(&self) -> std::result::Result<(), SharedOrderError> {
        match self.ask_as_operator(&Request::Quit, "order")? {
            Answer::Done => Ok(()),
            _ => Err(SharedOrderError::Gone(io::ErrorKind::InvalidData.into())),
        }
    }

    /// What udev is told after the uevent of number `after`, as lines, and the number of the last; waits a second or so
    /// for an event. The first event of a host is number 1, and the last 16,384 are kept.
    ///
    /// # Errors
    /// [`SharedOrderError`].
    pub fn uevents_after(&self, after: u64) -> std::result::Result<(String, u64), SharedOrderError> {
        match self.ask_as_operator(&Request::Uevents { after }, "order")? {
            Answer::Uevents(Uevents { text, last }) => Ok((text, last)),
            _ => Err(SharedOrderError::Gone(io::ErrorKind::InvalidData.into())),
        }
    }

    fn ask_for_text(
        &self,
        request: &Request,
        what: &'static str,
    ) -> std::result::Result<String, SharedOrderError> {
        match self.ask_as_operator(request, what)? {
            Answer::Text(text) => Ok(text),
            _ => Err(SharedOrderError::Gone(io::ErrorKind::InvalidData.into())),
        }
    }

    fn ask_as_operator(
        &self,
        request: &Request,
        what: &'static str,
    ) -> std::result::Result<Answer, SharedOrderError> {
        match self.0.ask(request) {
            Ok(answer) => Ok(answer),
            Err(Unanswered::Failed(Failure { kind: FailureKind::Malformed, text, .. })) => {
                Err(SharedOrderError::Unknown(text))
            }
            Err(Unanswered::Failed(Failure { kind: FailureKind::TooLong, .. })) => {
                Err(SharedOrderError::TooLong { what })
            }
            Err(Unanswered::Failed(Failure { text, errno, .. })) => {
                Err(SharedOrderError::Refused { text, errno })
            }
            Err(Unanswered::Unasked(errno)) => {
                Err(SharedOrderError::Unasked(io::Error::from_raw_os_error(errno)))
            }
            Err(Unanswered::Gone(error)) => Err(SharedOrderError::Gone(error)),
        }
    }

    /// Makes a VM of this process known to the host: its way to the host, its number there, and what its CPUs depend on.
    pub(crate) fn register_vm(&self) -> Result<(RemoteVm, VmId, HostFacts)> {
        let lost = |error: Unanswered| self.refused("KVM_CREATE_VM", error.errno());
        let (facts, _) = self.0.facts().map_err(lost)?;
        let (vm, id) = RemoteVm::register(&self.0, facts).map_err(lost)?;
        Ok((vm, id, facts))
    }

    fn refused(&self, request: &'static str, errno: i32) -> KernelError {
        KernelError::new(request, self.0.name.as_str(), errno)
    }

    fn host_facts(&self) -> Result<HostFacts> {
        self.0
            .facts()
            .map(|(facts, _)| facts)
            .map_err(|error| self.refused("KVM_GET_DEVICE_ATTR", error.errno()))
    }
}

/// `/sys` of the host.
impl Sysfs for SharedHost {
    fn read(&self, path: &str) -> io::Result<String> {
        match self.0.ask(&Request::Read(path.to_owned())).map_err(Unanswered::into_io)? {
            Answer::Text(text) => Ok(text),
            _ => Err(unexpected().into_io()),
        }
    }

    fn write(&self, path: &str, value: &str) -> io::Result<()> {
        let write = Request::Write { path: path.to_owned(), value: value.to_owned() };
        self.0.ask(&write).map(drop).map_err(Unanswered::into_io)
    }

    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        list(&self.0, dir)
    }
}

fn list(client: &Client, dir: &str) -> io::Result<Vec<String>> {
    match client.ask(&Request::List(dir.to_owned())).map_err(Unanswered::into_io)? {
        Answer::Names(names) => Ok(names),
        _ => Err(unexpected().into_io()),
    }
}

impl Hypervisor for SharedHost {
    fn name(&self) -> String {
        self.0.name.clone()
    }

    fn limits(&self) -> Result<Limits> {
        Ok(HostFacts::LIMITS)
    }

    fn machine(&self) -> Result<MachineAttributes> {
        Ok(self.host_facts()?.machine())
    }

    fn capabilities(&self) -> Result<Capabilities> {
        Ok(self.host_facts()?.capabilities())
    }

    fn create_vm(&self) -> Result<Box<dyn ProtoVm>> {
        Ok(Box::new(SimProtoVm::create_on(self)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{HostFile, SimHost, kvm::VmHost, share::serve};
    use std::{
        fs,
        os::unix::{fs::symlink, net::UnixListener},
        thread,
    };

    #[test]
    fn an_answer_that_a_guest_has_asked_for_is_bounded_and_only_an_operators_is_not() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("host");
        let listener = UnixListener::bind(&path).expect("nobody is there");
        let talks = thread::spawn(move || {
            for _ in 0..2 {
                let (stream, _) = listener.accept().expect("a client");
                send(&stream, &Greeting { adjunct_host: VERSION }).expect("it listens");
                let mut lines = Lines::new(stream, LONGEST);
                lines.next::<Request>().expect("a line").expect("a request");
                let answer = Reply::Ok(Answer::Text("x".repeat(LONGEST)));
                send(lines.stream(), &answer).expect("it is read, or skipped");
            }
        });
        let ask = |request: Request| Connection::open(&path).expect("it is served").ask(&request);
        let refused = ask(Request::Read("bus/ap/ap_domain".to_owned())).expect_err("it is too long");
        assert_eq!(refused.kind(), io::ErrorKind::InvalidData);
        let dump = ask(Request::Order("dump".to_owned())).expect("an operator trusts his host");
        assert!(matches!(dump, Reply::Ok(Answer::Text(text)) if text.len() == LONGEST));
        talks.join().expect("it does not panic");
    }

    #[test]
    fn a_host_that_can_not_be_asked_once_is_not_gone() {
        let dir = tempfile::tempdir().expect("a directory");
        let (path, aside) = (dir.path().join("host"), dir.path().join("aside"));
        let served = serve(
            &SimHost::new(HostFile::three_guests().expect("the built-in host is right"))
                .expect("the built-in host starts"),
            &path,
        );
        let host = SharedHost::connect(&path).expect("it is served");
        let (vm, ..) = host.register_vm().expect("there is room");
        let ask = || {
            // The next question needs a new connection, as when others are under way.
            host.0.idle.lock().expect("nobody panicked").clear();
            vm.act("KVM_CREATE_VM", "/dev/kvm").map_err(|refused| refused.errno.errno())
        };
        // What connect says for it is none of what it says when nobody is there.
        fs::rename(&path, &aside).expect("it is there");
        symlink(&path, &path).expect("nothing is there");
        assert_eq!(ask(), Err(libc::ELOOP));
        assert!(host.order(&Order::Held).is_err_and(|error| matches!(error, SharedOrderError::Unasked(_))));
        drop(vm.hold("a thing"));
        assert!(matches!(Connection::open(&path), Err(ConnectError::Unreachable { .. })));
        assert!(vm.check().is_ok(), "a guest of it goes on");
        fs::rename(&aside, &path).expect("it is there");
        assert_eq!(ask(), Ok(()));
        drop(served);
        assert_eq!(ask(), Err(libc::ECONNRESET));
    }
}
