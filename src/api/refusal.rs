//! Why a request was not carried out, as status and body. Bodies are Cloud Hypervisor's: an array of sentences, what was
//! refused first and its cause last.

use super::{
    convert::BadMember,
    endpoint::JSON,
    http::{LONGEST_BODY, LONGEST_HEAD, Response, Status, Unread},
    types::Refused,
};
use crate::{control::Refusal, exit_status::ExitStatus};
use std::{error::Error, iter};

/// A request that was not carried out.
#[derive(Debug)]
pub(super) struct Failure {
    status: u16,
    why: Vec<String>,
    allow: Option<&'static str>,
}

impl Failure {
    pub(super) fn new(status: u16, why: impl Into<String>) -> Self {
        Self { status, why: vec![why.into()], allow: None }
    }

    /// What `error` says, and its sources.
    pub(super) fn of(status: u16, error: &(dyn Error + 'static)) -> Self {
        let why = iter::successors(Some(error), |error| (*error).source()).map(ToString::to_string).collect();
        Self { status, why, allow: None }
    }

    pub(super) fn no_such_path(path: &str) -> Self {
        Self::new(404, format!("there is no {path:?}; paths are those of /api/v1/openapi.json"))
    }

    pub(super) fn method(allowed: &'static str) -> Self {
        Self { allow: Some(allowed), ..Self::new(405, format!("this path is for {allowed}")) }
    }

    pub(super) fn response(self) -> Response {
        // Strings can always be written.
        let mut body = serde_json::to_vec(&Refused(self.why)).unwrap_or_default();
        body.push(b'\n');
        Response { status: Status(self.status), content_type: JSON, body, allow: self.allow }
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::of(status_of(&refusal), &refusal)
    }
}

/// 400: what was asked for can't work; 404: it is not there; 409: not in this state; 500: the host is at fault; 503:
/// nobody is there any more.
fn status_of(refusal: &Refusal) -> u16 {
    match refusal {
        Refusal::NotCreated | Refusal::NoSuchDevice { .. } => 404,
        Refusal::AlreadyCreated { .. }
        | Refusal::Already { .. }
        | Refusal::WrongState { .. }
        | Refusal::SecondDevice { .. }
        | Refusal::Ended => 409,
        Refusal::Plan(_) | Refusal::DeviceFiles(_) => 400,
        // What can't be written was named by whoever asked.
        Refusal::Boot(error) if matches!(error.status(), ExitStatus::Refused | ExitStatus::Output) => 400,
        Refusal::Boot(_) | Refusal::Attach(_) | Refusal::Unwatched(_) | Refusal::Host(_) => 500,
        Refusal::Gone => 503,
    }
}

impl From<BadMember> for Failure {
    fn from(bad: BadMember) -> Self {
        Self::of(400, &bad)
    }
}

/// What is answered to something that is no request, and whether another can follow it; nothing when nobody is there to
/// read it.
pub(super) fn answer_to(unread: &Unread) -> Option<(Response, bool)> {
    let (status, why) = match unread {
        Unread::Closed | Unread::Gone => return None,
        Unread::TooSlow => (408, "the rest of the request did not come in time".to_owned()),
        Unread::Malformed(why) => (400, (*why).to_owned()),
        Unread::Version => (505, "write HTTP/1.1".to_owned()),
        Unread::LongHead => {
            (431, format!("a request's head has at most {LONGEST_HEAD} bytes and 64 headers"))
        }
        Unread::LongBody { .. } => (413, format!("a request's body has at most {LONGEST_BODY} bytes")),
        Unread::NoLength => (411, "send the length of the body (Content-Length), and no chunks".to_owned()),
        Unread::Expectation => (417, "only 100-continue can be expected".to_owned()),
    };
    let goes_on = matches!(unread, Unread::LongBody { was_skipped: true });
    Some((Failure::new(status, why).response(), goes_on))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::DeviceChoice,
        control::VmState,
        machine::{BuildError, DeviceFilesError},
    };
    use adjunct_hypervisor::KernelError;
    use std::io;

    #[test]
    fn the_status_says_whether_the_request_the_guests_state_or_the_host_is_at_fault() {
        let state = VmState::Paused;
        let descriptor =
            || DeviceFilesError::Descriptor { key: "fd", number: 7, source: io::Error::from_raw_os_error(9) };
        let sent: DeviceChoice = DeviceChoice::Descriptors { fd: 7, iommufd: 8 };
        let kernel = || KernelError::new("KVM_RUN", "vCPU 0", libc::EFAULT);
        for (refusal, status) in [
            (Refusal::NotCreated, 404),
            (Refusal::Already { state }, 409),
            (Refusal::WrongState { state, remedy: "resume it" }, 409),
            (Refusal::Ended, 409),
            (Refusal::DeviceFiles(descriptor()), 400),
            (Refusal::DeviceFiles(DeviceFilesError::Taken(sent)), 400),
            (Refusal::Boot(BuildError::from(descriptor()).into()), 400),
            (Refusal::Boot(BuildError::Kernel(kernel()).into()), 500),
            (Refusal::Unwatched(io::Error::from_raw_os_error(libc::ENOSPC)), 500),
            (Refusal::Host(kernel()), 500),
            (Refusal::Gone, 503),
        ] {
            let said = format!("{refusal:?}");
            assert_eq!(Failure::from(refusal).status, status, "{said}");
        }
    }
}
