//! The files of a queue device: the bus's (`drivers/s390/crypto/ap_queue.c`) and those of the driver it is bound to
//! (`zcrypt_queue.c`, `vfio_ap_ops.c`).

use super::{QueueDevice, QueueState, Step, card_attributes::zero_or_one};
use crate::{
    host::State,
    sysfs::{Attribute, Errno, PAGE},
};
use adjunct_ap::{
    Apqn,
    host::{Mode, QueueDriver},
};

/// Attributes of a queue.
#[rustfmt::skip]
pub(crate) const QUEUE: &[Attribute<Apqn>] = &[
    Attribute::ro("ap_functions", functions),
    Attribute::ro("chkstop", |state, apqn| Ok(flag(queue(state, apqn)?.checkstop))),
    Attribute::ro("config", |state, apqn| Ok(flag(queue(state, apqn)?.config))),
    Attribute::rw("driver_override", show_override, store_override).when(|state, _| state.profile.has_driver_override()),
    Attribute::ro("interrupt", interrupt),
    Attribute::ro("load", |_, _| Ok("0\n".to_owned())).when(is_hosts),
    Attribute::ro("mkvps", |state, apqn| Ok(key_patterns(state, apqn))).when(|state, apqn| is_hosts(state, apqn) && !is_accelerator(state, apqn)),
    Attribute::rw("online", |state, apqn| Ok(flag(online(queue(state, apqn)?))), store_online).when(is_hosts),
    Attribute::ro("op_modes", |_, _| Ok("\n".to_owned())).when(|state, apqn| is_hosts(state, apqn) && is_ep11(state, apqn)),
    Attribute::ro("pendingq_count", |_, _| Ok("0\n".to_owned())),
    Attribute::rw("request_count", |state, apqn| Ok(requests(queue(state, apqn)?)), |_, _, _| Ok(())),
    Attribute::ro("requestq_count", |_, _| Ok("0\n".to_owned())),
    Attribute::rw("reset", |state, apqn| Ok(reset(queue(state, apqn)?)), |state, apqn, _| { state.restart(apqn); Ok(()) }),
    Attribute::ro("status", |state, apqn| Ok(format!("{}\n", state.vfio_status(apqn)))).when(|state, apqn| driver(state, apqn) == Some(QueueDriver::VfioAp)),
    Attribute::rw("uevent", show_uevent, |state, apqn, text| state.synthesize_queue(apqn, text)),
];

impl QueueDevice {
    /// Bound to the host's own driver.
    pub(super) fn is_hosts(&self) -> bool {
        self.driver == Some(QueueDriver::Cex4queue)
    }
}

fn queue(state: &State, apqn: Apqn) -> Result<&QueueDevice, Errno> {
    state.bus.queues.get(&apqn).ok_or(libc::ENODEV)
}

fn driver(state: &State, apqn: Apqn) -> Option<QueueDriver> {
    state.bus.queues.get(&apqn)?.driver
}

fn is_hosts(state: &State, apqn: Apqn) -> bool {
    driver(state, apqn) == Some(QueueDriver::Cex4queue)
}

fn is_ep11(state: &State, apqn: Apqn) -> bool {
    state.bus.cards.get(&apqn.apid).is_some_and(|card| card.mode() == Some(Mode::Ep11))
}

fn is_accelerator(state: &State, apqn: Apqn) -> bool {
    state.bus.cards.get(&apqn.apid).is_none_or(|card| card.mode() == Some(Mode::Accelerator))
}

/// Verification patterns of master keys, as the kernel shows those that a queue does not tell
/// (`drivers/s390/crypto/zcrypt_cex4.c: cca_mkvps_show, ep11_mkvps_show`): there are no keys here.
fn key_patterns(state: &State, apqn: Apqn) -> String {
    let keys: &[&str] = if is_ep11(state, apqn) {
        &["WK CUR", "WK NEW"]
    } else {
        &[
            "AES NEW", "AES CUR", "AES OLD", "APKA NEW", "APKA CUR", "APKA OLD", "ASYM NEW", "ASYM CUR",
            "ASYM OLD",
        ]
    };
    keys.iter().map(|key| format!("{key}: - -\n")).collect()
}

fn show_uevent(state: &State, apqn: Apqn) -> Result<String, Errno> {
    queue(state, apqn)?;
    Ok(state.queue_environment(apqn).join("\n") + "\n")
}

fn flag(on: bool) -> String {
    format!("{}\n", u8::from(on))
}

fn online(queue: &QueueDevice) -> bool {
    queue.online && queue.config && !queue.checkstop
}

fn requests(queue: &QueueDevice) -> String {
    if queue.state == QueueState::Uninitiated { "-\n".to_owned() } else { "0\n".to_owned() }
}

fn functions(state: &State, apqn: Apqn) -> Result<String, Errno> {
    let tested = state.adapters.test(apqn);
    if tested.status.code() > 5 {
        return Err(libc::EIO);
    }
    Ok(format!("0x{:08X}\n", tested.info >> 32))
}

fn interrupt(state: &State, apqn: Apqn) -> Result<String, Errno> {
    let pending = queue(state, apqn)?.step == Step::SetIrqWait;
    let text = match state.adapters.test(apqn).status.interruptions_enabled() {
        _ if pending => "Enable Interrupt pending.\n",
        true => "Interrupts enabled.\n",
        false => "Interrupts disabled.\n",
    };
    Ok(text.to_owned())
}

/// The bus has no request under way here, so no timer of its own is ever armed.
fn reset(queue: &QueueDevice) -> String {
    let text = match queue.step {
        Step::ResetStart | Step::ResetWait => "Reset in progress.\n",
        Step::SetIrqWait | Step::Idle => "No Reset Timer set.\n",
    };
    text.to_owned()
}

fn store_online(state: &mut State, apqn: Apqn, text: &str) -> Result<(), Errno> {
    let on = zero_or_one(text)?;
    let card = state.bus.cards.get(&apqn.apid).ok_or(libc::ENODEV)?;
    let (card_works, card_online) = (card.config && !card.checkstop, card.online);
    let queue = state.bus.queues.get_mut(&apqn).ok_or(libc::ENODEV)?;
    if on && !(card_works && queue.config && !queue.checkstop) {
        return Err(libc::ENODEV);
    }
    if on && !card_online {
        return Err(libc::EINVAL);
    }
    queue.online = on;
    state.tell_queue("change", apqn, Some(format!("ONLINE={}", u8::from(on))));
    Ok(())
}

fn show_override(state: &State, apqn: Apqn) -> Result<String, Errno> {
    Ok(format!("{}\n", queue(state, apqn)?.driver_override.as_deref().unwrap_or_default()))
}

/// Overrides and masks that are not all ones exclude each other
/// (`drivers/s390/crypto/ap_queue.c: driver_override_store`). Nothing is bound anew by it.
fn store_override(state: &mut State, apqn: Apqn, text: &str) -> Result<(), Errno> {
    // Known to be so only after a write; a mask of the kernel's command line does not count.
    if state.bus.masks_changed {
        return Err(libc::EINVAL);
    }
    if text.len() >= PAGE - 1 {
        return Err(libc::EINVAL);
    }
    let name = text.split(['\n', '\0']).next().unwrap_or_default();
    let queue = state.bus.queues.get_mut(&apqn).ok_or(libc::ENODEV)?;
    let was = queue.driver_override.is_some();
    queue.driver_override = (!name.is_empty()).then(|| name.to_owned());
    match (was, queue.driver_override.is_some()) {
        (false, true) => state.bus.overrides += 1,
        (true, false) => state.bus.overrides = state.bus.overrides.saturating_sub(1),
        _ => {}
    }
    Ok(())
}
