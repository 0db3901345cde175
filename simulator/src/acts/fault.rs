//! What shall become of acts to come: a [`Fault`] says which act, and what happens to it.

use super::errno;
use std::{fmt, str::FromStr, time::Duration};

/// Something that goes wrong, or late: which act, and what becomes of it.
///
/// ```
/// use adjunct_simulator::Fault;
///
/// let fault = Fault::of("KVM_DEV_VFIO_FILE_ADD").nth(2).fails_with(libc::EBUSY);
/// assert_eq!("KVM_DEV_VFIO_FILE_ADD nth 2: fails EBUSY".parse(), Ok(fault));
/// ```
///
/// As text it is `REQUEST [on TARGET] [nth N|always]: fails ERRNO`, or `late SECONDSs` or `held NAME` after the colon;
/// `any` for REQUEST stands for each act.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    which: Which,
    effect: Effect,
}

/// Which acts a [`Fault`] is for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "say what becomes of the act: fails_with, late_by or held_at"]
pub struct Which {
    /// `None`: any act.
    request: Option<String>,
    target: Option<String>,
    /// The n-th from now, counted from 1; `None`: all of them.
    nth: Option<usize>,
}

/// What becomes of an act.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// It is refused with this errno, and nothing happens.
    Fails(i32),
    /// The clock moves by this before it happens.
    Late(Duration),
    /// It waits until somebody opens the gate of this name.
    Held(String),
}

impl Fault {
    /// A fault of `request`: an act's name as [`Acts::text`](super::Acts::text) has it (`KVM_CREATE_VM`, `write`). Also
    /// `read` and `list`, which are no acts, but whose answers can fail or be late too.
    pub fn of(request: impl Into<String>) -> Which {
        Which { request: Some(request.into()), target: None, nth: Some(1) }
    }

    /// A fault of acts whatever they are; reads are none.
    pub fn of_any() -> Which {
        Which { request: None, target: None, nth: Some(1) }
    }

    /// Whether this fault strikes when `request` is put to `target`. Counts the acts it is for.
    pub(super) fn strikes(&mut self, request: &str, target: &str, is_act: bool) -> Strike {
        if !self.which.matches(request, target, is_act) {
            return Strike::Misses;
        }
        match &mut self.which.nth {
            None => Strike::Hits,
            Some(1) => Strike::HitsLast,
            Some(n) => {
                *n -= 1;
                Strike::Misses
            }
        }
    }

    pub(super) fn effect(&self) -> &Effect {
        &self.effect
    }
}

/// Whether a fault is this act's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Strike {
    Misses,
    Hits,
    /// And never again.
    HitsLast,
}

impl Which {
    /// Only those put to `target`: what stands behind the request in [`Acts::text`](super::Acts::text), or its first
    /// words. So `/sys/bus/ap/apmask` is every write to that file, `/sys/bus/ap/apmask -5` one of them.
    pub fn on(mut self, target: impl Into<String>) -> Self {
        self.target = Some(target.into());
        self
    }

    /// The n-th of them from now on, counted from 1; without this, the first. 0 is taken for 1.
    pub fn nth(mut self, n: usize) -> Self {
        self.nth = Some(n.max(1));
        self
    }

    /// All of them from now on.
    pub fn always(mut self) -> Self {
        self.nth = None;
        self
    }

    /// The act is refused with this errno, a positive number, and nothing happens.
    pub fn fails_with(self, errno: i32) -> Fault {
        Fault { which: self, effect: Effect::Fails(errno) }
    }

    /// The act happens, but only after the host's clock has moved on by so much. Nothing sleeps.
    pub fn late_by(self, time: Duration) -> Fault {
        Fault { which: self, effect: Effect::Late(time) }
    }

    /// The act happens when [`Acts::release`](super::Acts::release) is called for `gate`: whoever does it waits, and
    /// others can act in between.
    pub fn held_at(self, gate: impl Into<String>) -> Fault {
        Fault { which: self, effect: Effect::Held(gate.into()) }
    }

    fn matches(&self, request: &str, target: &str, is_act: bool) -> bool {
        let named = self.request.as_deref().map_or(is_act, |wanted| wanted == request);
        let at = self.target.as_deref().is_none_or(|wanted| {
            target.strip_prefix(wanted).is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
        });
        named && at
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.which.request.as_deref().unwrap_or(ANY))?;
        if let Some(target) = &self.which.target {
            write!(f, " on {target}")?;
        }
        match self.which.nth {
            None => f.write_str(" always")?,
            Some(1) => {}
            Some(n) => write!(f, " nth {n}")?,
        }
        match &self.effect {
            Effect::Fails(errno) => write!(f, ": fails {}", errno::name(*errno)),
            Effect::Late(time) => write!(f, ": late {}s", time.as_secs_f64()),
            Effect::Held(gate) => write!(f, ": held {gate}"),
        }
    }
}

const ANY: &str = "any";

/// Not the text of a [`Fault`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no fault: {what}")]
pub struct ParseFaultError {
    text: String,
    what: Expected,
}

/// What is missing in the text of a [`Fault`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum Expected {
    #[error("write REQUEST: fails ERRNO, for example write: fails EIO")]
    Colon,
    #[error("before the colon comes REQUEST, then on TARGET, then nth N or always")]
    Which,
    #[error("after nth comes a number from 1")]
    Nth,
    #[error("after the colon comes fails ERRNO, late SECONDSs or held NAME")]
    Effect,
    #[error("after fails comes a number from 1 to 4095, or one of {}", errno::names())]
    Errno,
    #[error("after late come seconds, as in late 0.5s")]
    Seconds,
}

impl FromStr for Fault {
    type Err = ParseFaultError;

    fn from_str(text: &str) -> Result<Self, ParseFaultError> {
        parse(text).map_err(|what| ParseFaultError { text: text.to_owned(), what })
    }
}

fn parse(text: &str) -> Result<Fault, Expected> {
    let (which, effect) = text.rsplit_once(": ").ok_or(Expected::Colon)?;
    let which = parse_which(which.trim())?;
    match effect.trim().split_once(' ') {
        Some(("fails", errno)) => {
            let errno = errno::number(errno.trim()).ok_or(Expected::Errno)?;
            Ok(which.fails_with(errno))
        }
        Some(("late", time)) => {
            let seconds = time.trim().strip_suffix('s').and_then(|seconds| seconds.parse().ok());
            let time = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
            Ok(which.late_by(time.ok_or(Expected::Seconds)?))
        }
        Some(("held", gate)) if !gate.trim().is_empty() && !gate.trim().contains(' ') => {
            Ok(which.held_at(gate.trim()))
        }
        _ => Err(Expected::Effect),
    }
}

fn parse_which(text: &str) -> Result<Which, Expected> {
    let (text, nth) = match (text.strip_suffix(" always"), text.rsplit_once(" nth ")) {
        (Some(text), _) => (text, None),
        (None, Some((text, n))) => {
            let n = n.parse().ok().filter(|n| *n > 0).ok_or(Expected::Nth)?;
            (text, Some(n))
        }
        (None, None) => (text, Some(1)),
    };
    let (request, target) = match text.split_once(" on ") {
        Some((request, target)) => (request, Some(target.to_owned())),
        None => (text, None),
    };
    if request.is_empty() || request.contains(' ') || target.as_deref() == Some("") {
        return Err(Expected::Which);
    }
    Ok(Which { request: (request != ANY).then(|| request.to_owned()), target, nth })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_fault_is_written_as_it_is_read() {
        for (text, fault) in [
            ("write: fails EIO", Fault::of("write").fails_with(libc::EIO)),
            ("any nth 7: fails 71", Fault::of_any().nth(7).fails_with(71)),
            (
                "write on /sys/bus/ap/apmask -5,-6 nth 2: late 1.5s",
                Fault::of("write").on("/sys/bus/ap/apmask -5,-6").nth(2).late_by(Duration::from_millis(1500)),
            ),
            ("KVM_CREATE_VCPU on vCPU 1 always: held door", {
                Fault::of("KVM_CREATE_VCPU").on("vCPU 1").always().held_at("door")
            }),
        ] {
            assert_eq!(text.parse::<Fault>().as_ref(), Ok(&fault));
            assert_eq!(fault.to_string(), text);
        }
    }

    #[test]
    fn what_is_no_fault_is_refused_with_what_would_be() {
        for (text, says) in [
            ("", "REQUEST: fails ERRNO"),
            ("write", "REQUEST: fails ERRNO"),
            ("write: breaks", "after the colon"),
            ("write: fails", "after the colon"),
            ("write: fails EFOO", "one of E2BIG, EACCES, EADDRINUSE, "),
            ("write: late 5", "after late"),
            ("write: late -5s", "after late"),
            ("write: held a b", "after the colon"),
            ("write nth 0: fails EIO", "after nth"),
            ("write twice: fails EIO", "before the colon"),
            (" on x: fails EIO", "before the colon"),
        ] {
            let error = text.parse::<Fault>().expect_err(text).to_string();
            assert!(error.contains(says), "{text:?}: {error}");
        }
    }

    #[test]
    fn a_target_is_matched_by_whole_words() {
        let mut fault = Fault::of("write").on("/sys/bus/ap/apmask").always().fails_with(libc::EIO);
        assert_eq!(fault.strikes("write", "/sys/bus/ap/apmask -5", true), Strike::Hits);
        assert_eq!(fault.strikes("write", "/sys/bus/ap/apmask", true), Strike::Hits);
        assert_eq!(fault.strikes("write", "/sys/bus/ap/apmasks", true), Strike::Misses);
        assert_eq!(fault.strikes("read", "/sys/bus/ap/apmask", false), Strike::Misses);
        let mut any = Fault::of_any().nth(2).fails_with(libc::EIO);
        assert_eq!(any.strikes("read", "/sys/bus/ap/apmask", false), Strike::Misses);
        assert_eq!(any.strikes("a", "", true), Strike::Misses);
        assert_eq!(any.strikes("b", "", true), Strike::HitsLast);
    }

    proptest! {
        #[test]
        fn any_text_is_answered(text in "\\PC*") {
            let _ = text.parse::<Fault>();
        }

        #[test]
        fn every_fault_reads_back(
            request in "[A-Z_/]{1,20}", target in proptest::option::of("[a-z/0-9]{1,9}( [a-z0-9]{1,4})?"),
            nth in proptest::option::of(1_usize..100), kind in 0..3, number in 1..4000_i32, gate in "[a-z]{1,8}",
        ) {
            let mut which = Fault::of(request);
            if let Some(target) = target { which = which.on(target); }
            which = nth.map_or(which.clone().always(), |n| which.nth(n));
            let fault = match kind {
                0 => which.fails_with(number),
                1 => which.late_by(Duration::from_millis(number.unsigned_abs().into())),
                _ => which.held_at(gate),
            };
            prop_assert_eq!(fault.to_string().parse::<Fault>(), Ok(fault));
        }
    }
}
