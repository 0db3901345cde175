//! The files of `/sys/bus/ap`.

use super::drivers;
use crate::{
    host::State,
    sysfs::{Attribute, Errno, boolean, integer, unsigned},
    uevents::Synthetic,
};
use adjunct_ap::{
    Apqi,
    text::{self, Features},
};

/// Longest poll interval, in nanoseconds.
const POLL_TIMEOUT_MAX: u64 = 120_000_000_000;

/// Attributes of the bus (`drivers/s390/crypto/ap_bus.c: ap_bus_attrs`).
#[rustfmt::skip]
pub(crate) const BUS: &[Attribute<()>] = &[
    Attribute::ro("ap_adapter_mask", |state, ()| Ok(text::format_qci_mask(state.bus.qci.map(|qci| qci.apm).as_ref()))),
    Attribute::ro("ap_control_domain_mask", |state, ()| Ok(text::format_qci_mask(state.bus.qci.map(|qci| qci.adm).as_ref()))),
    Attribute::rw("ap_domain", |state, ()| Ok(domain(state)), |state, (), text| store_domain(state, text)),
    Attribute::ro("ap_interrupts", |state, ()| Ok(format!("{}\n", u8::from(state.interrupts())))),
    Attribute::ro("ap_max_adapter_id", |state, ()| Ok(format!("{}\n", state.bus.max_adapter()))),
    Attribute::ro("ap_max_domain_id", |state, ()| Ok(format!("{}\n", state.bus.max_domain()))),
    Attribute::ro("ap_usage_domain_mask", |state, ()| Ok(text::format_qci_mask(state.bus.qci.map(|qci| qci.aqm).as_ref()))),
    Attribute::rw("apmask", |state, ()| Ok(text::format_mask(&state.bus.apmask)), |state, (), text| state.store_apmask(text)),
    Attribute::rw("aqmask", |state, ()| Ok(text::format_mask(&state.bus.aqmask)), |state, (), text| state.store_aqmask(text)),
    Attribute::ro("bindings", |state, ()| Ok(bindings(state))),
    Attribute::ro("bindings_complete_count", |state, ()| Ok(format!("{}\n", state.bus.bindings_complete))).when(|state, ()| state.profile.shows_bindings_complete_count()),
    Attribute::rw("config_time", |state, ()| Ok(format!("{}\n", state.bus.config_time)), |state, (), text| store_config_time(state, text)),
    Attribute::rw("drivers_autoprobe", |state, ()| Ok(format!("{}\n", u8::from(state.bus.autoprobe))), |state, (), text| { state.bus.autoprobe = !text.starts_with('0'); Ok(()) }),
    Attribute::wo("drivers_probe", |state, (), text| state.store_drivers_probe(drivers::name(text))),
    Attribute::ro("features", |state, ()| Ok(text::format_features(state.bus.qci.and_then(|qci| Features::from_word(qci.flags))))),
    Attribute::rw("poll_thread", |state, ()| Ok(format!("{}\n", u8::from(state.bus.poll_thread))), |state, (), text| store_poll_thread(state, text)),
    Attribute::rw("poll_timeout", |state, ()| Ok(format!("{}\n", state.bus.poll_timeout)), |state, (), text| store_poll_timeout(state, text)),
    Attribute::rw("scans", |state, ()| Ok(format!("{}\n", state.bus.scans)), |state, (), _| { state.scan(); Ok(()) }),
    Attribute::wo("uevent", |state, (), text| store_uevent(state, text)),
];

/// `/sys/devices/ap`, the parent of all cards.
pub(crate) const ROOT_DEVICE: &[Attribute<()>] =
    &[Attribute::rw("uevent", |_, ()| Ok(String::new()), |state, (), text| state.synthesize_root(text))];

fn store_uevent(state: &State, text: &str) -> Result<(), Errno> {
    let Synthetic { action, environment } = Synthetic::parse(text)?;
    state.uevents.send(action, "/bus/ap".to_owned(), "bus", environment);
    Ok(())
}

fn domain(state: &State) -> String {
    let domain = state.bus.domain.map_or(-1, |apqi| i32::from(apqi.0));
    format!("{domain}\n")
}

fn store_domain(state: &mut State, text: &str) -> Result<(), Errno> {
    let domain = integer(text, true).and_then(|number| u8::try_from(number).ok()).ok_or(libc::EINVAL)?;
    if domain > state.bus.max_domain() || !state.bus.aqmask.contains(Apqi(domain)) {
        return Err(libc::EINVAL);
    }
    state.bus.domain = Some(Apqi(domain));
    Ok(())
}

fn bindings(state: &State) -> String {
    let (bound, all) = state.bindings();
    let complete = if bound == all && state.bus.scans > 0 { " (complete)" } else { "" };
    format!("{bound}/{all}{complete}\n")
}

fn store_config_time(state: &mut State, text: &str) -> Result<(), Errno> {
    let seconds = integer(text, false).filter(|seconds| (5..=120).contains(seconds)).ok_or(libc::EINVAL)?;
    state.bus.config_time = seconds;
    state.arm_scan_timer();
    Ok(())
}

/// Where interruptions are used there is no need to poll, and asking for it is no error.
fn store_poll_thread(state: &mut State, text: &str) -> Result<(), Errno> {
    let on = boolean(text)?;
    state.bus.poll_thread = on && !state.interrupts();
    Ok(())
}

fn store_poll_timeout(state: &mut State, text: &str) -> Result<(), Errno> {
    let timeout = unsigned(text)?;
    if timeout > POLL_TIMEOUT_MAX {
        return Err(libc::EINVAL);
    }
    state.bus.poll_timeout = timeout;
    Ok(())
}
