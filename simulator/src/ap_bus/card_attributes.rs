//! The files of a card device: the bus's (`drivers/s390/crypto/ap_card.c`) and, while it is bound, those of cex4card
//! (`zcrypt_card.c`, `zcrypt_cex4.c`).

use super::CardDevice;
use crate::{
    Firmware,
    host::State,
    sysfs::{Attribute, Errno, integer},
};
use adjunct_ap::{Apid, Apqn, host::Mode};

/// Attributes of a card.
#[rustfmt::skip]
pub(crate) const CARD: &[Attribute<Apid>] = &[
    Attribute::ro("API_ordinalnr", |state, apid| Ok(firmware(state, apid).api_ordinalnr + "\n")).when(|state, apid| is(state, apid, Mode::Ep11)),
    Attribute::ro("FW_version", |state, apid| Ok(firmware(state, apid).fw_version + "\n")).when(|state, apid| is(state, apid, Mode::Ep11)),
    Attribute::ro("ap_functions", |state, apid| Ok(format!("0x{:08X}\n", card(state, apid)?.functions))),
    Attribute::ro("chkstop", |state, apid| Ok(flag(card(state, apid)?.checkstop))),
    Attribute::rw("config", |state, apid| Ok(flag(card(state, apid)?.config)), store_config),
    Attribute::ro("depth", |state, apid| Ok(format!("{}\n", card(state, apid)?.depth))),
    Attribute::ro("hwtype", |state, apid| Ok(format!("{}\n", card(state, apid)?.hardware_type))),
    Attribute::ro("load", |_, _| Ok("0\n".to_owned())).when(bound),
    Attribute::ro("max_msg_size", |state, apid| Ok(format!("{}\n", max_message(card(state, apid)?)))),
    Attribute::ro("modalias", |state, apid| Ok(format!("ap:t{:02X}\n", card(state, apid)?.hardware_type))),
    Attribute::rw("online", |state, apid| Ok(flag(online(card(state, apid)?))), store_online).when(bound),
    Attribute::ro("op_modes", |state, apid| Ok(firmware(state, apid).op_modes + "\n")).when(|state, apid| is(state, apid, Mode::Ep11)),
    Attribute::ro("pendingq_count", |_, _| Ok("0\n".to_owned())),
    Attribute::ro("raw_hwtype", |state, apid| Ok(format!("{}\n", card(state, apid)?.raw_hardware_type))),
    Attribute::rw("request_count", |_, _| Ok("0\n".to_owned()), |_, _, _| Ok(())),
    Attribute::ro("requestq_count", |_, _| Ok("0\n".to_owned())),
    Attribute::ro("serialnr", |state, apid| Ok(firmware(state, apid).serialnr + "\n")).when(|state, apid| is(state, apid, Mode::Cca) || is(state, apid, Mode::Ep11)),
    Attribute::ro("type", |state, apid| Ok(kind(card(state, apid)?))).when(bound),
    Attribute::rw("uevent", show_uevent, |state, apid, text| state.synthesize_card(apid, text)),
];

fn card(state: &State, apid: Apid) -> Result<&CardDevice, Errno> {
    state.bus.cards.get(&apid).ok_or(libc::ENODEV)
}

/// What the adapter says of itself.
fn firmware(state: &State, apid: Apid) -> Firmware {
    state.adapters.operate(|machine| machine.firmware.get(&apid).cloned().unwrap_or_default())
}

fn show_uevent(state: &State, apid: Apid) -> Result<String, Errno> {
    card(state, apid)?;
    Ok(state.card_environment(apid).join("\n") + "\n")
}

fn flag(on: bool) -> String {
    format!("{}\n", u8::from(on))
}

fn bound(state: &State, apid: Apid) -> bool {
    state.bus.cards.get(&apid).is_some_and(|card| card.bound)
}

fn is(state: &State, apid: Apid, mode: Mode) -> bool {
    state.bus.cards.get(&apid).is_some_and(|card| card.bound && card.mode() == Some(mode))
}

fn online(card: &CardDevice) -> bool {
    card.online && card.config && !card.checkstop
}

fn max_message(card: &CardDevice) -> u32 {
    match card.max_message {
        0 => 12 * 1024,
        units => u32::from(units) * 4096,
    }
}

/// `CEX8P`: the digit of the compatible type, and what it is used as.
fn kind(card: &CardDevice) -> String {
    let mode = match card.mode() {
        Some(Mode::Accelerator) => "A",
        Some(Mode::Cca) => "C",
        Some(Mode::Ep11) => "P",
        None => "",
    };
    format!("CEX{}{mode}\n", card.hardware_type.saturating_sub(6))
}

/// Switches an adapter on or off through the SCLP, as an operator would.
fn store_config(state: &mut State, apid: Apid, text: &str) -> Result<(), Errno> {
    let on = zero_or_one(text)?;
    let card = state.bus.cards.get_mut(&apid).ok_or(libc::ENODEV)?;
    if card.config != on {
        state.adapters.operate(|machine| {
            if let Some(card) = machine.cards.get_mut(&apid) {
                card.configured = on;
            }
        });
        card.config = on;
    }
    state.tell_card("change", apid, Some(format!("CONFIG={}", u8::from(on))));
    Ok(())
}

/// Puts a card and its queues online or offline (`drivers/s390/crypto/zcrypt_card.c: online_store`).
fn store_online(state: &mut State, apid: Apid, text: &str) -> Result<(), Errno> {
    let on = zero_or_one(text)?;
    let card = state.bus.cards.get_mut(&apid).ok_or(libc::ENODEV)?;
    if on && (!card.config || card.checkstop) {
        return Err(libc::ENODEV);
    }
    card.online = on;
    state.tell_card("change", apid, Some(format!("ONLINE={}", u8::from(on))));
    // In the order in which zcrypt came to know them.
    let mut queues: Vec<(u64, Apqn)> =
        state.bus.queues_of(apid).map(|(apqn, queue)| (queue.bound, *apqn)).collect();
    queues.sort_unstable();
    for (_, apqn) in queues {
        let Some(queue) = state.bus.queues.get_mut(&apqn) else { continue };
        if queue.is_hosts() && queue.online != on {
            queue.online = on;
            state.tell_queue("change", apqn, Some(format!("ONLINE={}", u8::from(on))));
        }
    }
    Ok(())
}

/// As `sscanf` with `%d` reads it, and nothing but 0 and 1.
pub(super) fn zero_or_one(text: &str) -> Result<bool, Errno> {
    match integer(text, false) {
        Some(0) => Ok(false),
        Some(1) => Ok(true),
        _ => Err(libc::EINVAL),
    }
}
