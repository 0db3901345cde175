//! The ways in for others: sockets at which a guest can be asked about and steered. Each only holds a [`Handle`].

use crate::{
    api,
    config::SocketTarget,
    control::Handle,
    event::Events,
    exit_status::ExitStatus,
    qmp,
    socket::{Listener, SocketError},
};
use clap::Args;
use std::{io, sync::Arc};

/// Which ways in there shall be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
pub struct Management {
    /// Be asked and steered by HTTP with JSON, at a Unix socket: see adjunct ctl
    ///
    /// path is made for this user alone and removed at the end. fd is a listening Unix socket that
    /// whoever started adjunct has opened. Paths and shapes are Cloud Hypervisor's:
    /// /api/v1/vm.info, vm.pause, vm.add-device, ...; /api/v1/openapi.json has all.
    #[arg(long, value_name = "path=PATH|fd=N")]
    api_socket: Option<SocketTarget>,

    /// Be asked and steered by QEMU's monitor protocol (QMP), at a Unix socket, by one client at a time
    ///
    /// path and fd as of --api-socket. docs/qmp.md lists the commands and events that there are.
    #[arg(long, value_name = "path=PATH|fd=N")]
    qmp: Option<SocketTarget>,
}

/// A way in that can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum ManagementError {
    /// Nobody can listen there.
    #[error(transparent)]
    Socket(#[from] SocketError),
    /// There is nobody to listen.
    #[error("the operating system refused a thread for a management interface")]
    Thread(#[source] io::Error),
}

impl ManagementError {
    /// What the caller of `adjunct` is told.
    pub fn status(&self) -> ExitStatus {
        match self {
            Self::Socket(_) => ExitStatus::Refused,
            Self::Thread(_) => ExitStatus::HostError,
        }
    }
}

/// The ways in that are open. Dropping it closes them: answers that are due are given first.
#[derive(Debug)]
pub struct Servers {
    #[expect(dead_code, reason = "held for its drop")]
    api: Option<api::Served>,
    #[expect(dead_code, reason = "held for its drop")]
    qmp: Option<qmp::Server>,
}

impl Management {
    /// Whether nobody can ask anything.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// The sockets that clients come in by.
    pub fn sockets(&self) -> Vec<&SocketTarget> {
        [&self.api_socket, &self.qmp].into_iter().flatten().collect()
    }

    /// Opens them all.
    ///
    /// # Errors
    /// [`ManagementError`]; none is open then.
    pub fn open(&self, handle: &Handle, events: &Arc<Events>) -> Result<Servers, ManagementError> {
        let listen = |target| Listener::open("--api-socket", target);
        let api = self.api_socket.as_ref().map(listen).transpose()?;
        let serve = |listener| api::serve(listener, handle.clone(), Arc::clone(events));
        let api = api.map(serve).transpose().map_err(ManagementError::Thread)?;
        let listen = |target| Listener::open("--qmp", target);
        let qmp = self.qmp.as_ref().map(listen).transpose()?;
        let serve = |listener| qmp::Server::start(listener, handle.clone(), events.subscribe()?);
        Ok(Servers { api, qmp: qmp.map(serve).transpose().map_err(ManagementError::Thread)? })
    }
}
