//! Kicks vCPUs that would not come back.

use adjunct_hypervisor::{Exit, Kick, Result, Vcpu};
use std::{
    sync::{Arc, Mutex, OnceLock, PoisonError},
    thread,
    time::{Duration, Instant},
};

/// How long a vCPU may be in the guest.
pub(crate) const AT_MOST: Duration = Duration::from_millis(6);

type Running = Option<(Instant, Arc<dyn Kick>)>;

fn running() -> &'static Mutex<Running> {
    static RUNNING: OnceLock<Mutex<Running>> = OnceLock::new();
    RUNNING.get_or_init(|| {
        thread::spawn(|| {
            loop {
                thread::sleep(AT_MOST / 2);
                let running = running().lock().unwrap_or_else(PoisonError::into_inner);
                if let Some((_, kicker)) = running.as_ref().filter(|(begun, _)| begun.elapsed() >= AT_MOST) {
                    kicker.kick();
                }
            }
        });
        Mutex::default()
    })
}

/// [`Vcpu::run`], which ends.
pub(crate) fn run(vcpu: &mut dyn Vcpu) -> Result<Exit> {
    let running = running();
    *running.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), vcpu.kicker()));
    let exit = vcpu.run();
    *running.lock().unwrap_or_else(PoisonError::into_inner) = None;
    exit
}
