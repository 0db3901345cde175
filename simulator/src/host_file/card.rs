//! What the text of a card and of its queues means.

use super::{
    CardDetails, CardEntry, Firmware, QueueEntry,
    check::{Checked, Limit, number, number_in, wrong},
    raw,
};
use crate::KernelProfile;
use adjunct_ap::{
    Aqm,
    host::{ParseCardTypeError, QueueDriver},
};
use toml::Spanned;

/// Which ids there are.
pub(super) struct Ids {
    pub(super) adapters: Limit,
    pub(super) domains: Limit,
    pub(super) usage: Aqm,
}

/// The word for no driver.
const NONE: &str = "none";
/// What fits into an attribute of one line.
const LINE: usize = 255;

pub(super) fn card(raw: &raw::Card, ids: &Ids, kernel: KernelProfile) -> Checked<CardEntry> {
    let id = ids.adapters.id(&raw.id)?.into();
    let missing_queues: Aqm = ids.domains.mask(&raw.missing_queues)?;
    let used = |id: &&Spanned<i64>| u8::try_from(*id.get_ref()).is_ok_and(|id| ids.usage.contains(id.into()));
    if let Some(id) = raw.missing_queues.iter().find(|id| !used(id)) {
        return Err(no_such_queue(id));
    }
    let mut card = CardEntry {
        config: raw.config,
        online: raw.online,
        chkstop: raw.chkstop,
        missing_queues,
        bound: bound(raw.driver.as_ref())?,
        details: details(raw)?,
        ..CardEntry::new(id, kind(&raw.kind)?)
    };
    for raw in &raw.queue {
        let queue = queue(raw, ids, kernel)?;
        if !ids.usage.contains(queue.domain) || missing_queues.contains(queue.domain) {
            return Err(no_such_queue(&raw.domain));
        }
        if card.queues.iter().any(|other| other.domain == queue.domain) {
            let what = format!("there is another queue with domain {}", number(queue.domain.0));
            return Err(wrong(&raw.domain, what));
        }
        card.queues.push(queue);
    }
    Ok(card)
}

fn no_such_queue(id: &Spanned<i64>) -> super::error::Wrong {
    let what = match u8::try_from(*id.get_ref()) {
        Ok(domain) => format!(
            "domain {} is not in ap.usage_domains, or missing, so this card has no queue for it",
            number(domain)
        ),
        Err(_) => {
            format!("domain {} is not in ap.usage_domains, so no card has a queue for it", id.get_ref())
        }
    };
    wrong(id, what)
}

fn kind(text: &Spanned<String>) -> Checked<adjunct_ap::host::CardType> {
    text.get_ref().parse().map_err(|error: ParseCardTypeError| wrong(text, error.to_string()))
}

fn bound(driver: Option<&Spanned<String>>) -> Checked<bool> {
    match driver.map(|driver| (driver, driver.get_ref().as_str())) {
        None | Some((_, "cex4card")) => Ok(true),
        Some((_, NONE)) => Ok(false),
        Some((driver, name)) => {
            Err(wrong(driver, format!("{name:?} is no driver of cards; write \"cex4card\" or \"none\"")))
        }
    }
}

fn details(raw: &raw::Card) -> Checked<CardDetails> {
    let max_msg_size = number_in::<u32>(raw.max_msg_size.as_ref(), "max_msg_size", 4096..=61440)?;
    if let (Some(size), Some(said)) = (max_msg_size, &raw.max_msg_size)
        && size % 4096 != 0
    {
        return Err(wrong(said, "max_msg_size must be a multiple of 4096"));
    }
    Ok(CardDetails {
        raw_hwtype: number_in(raw.raw_hwtype.as_ref(), "raw_hwtype", 0..=255)?,
        ap_functions: number_in(raw.ap_functions.as_ref(), "ap_functions", 0..=u32::MAX.into())?,
        depth: number_in(raw.depth.as_ref(), "depth", 1..=16)?,
        max_msg_size,
        firmware: Firmware {
            serialnr: line(raw.serialnr.as_ref())?,
            api_ordinalnr: line(raw.api_ordinalnr.as_ref())?,
            fw_version: line(raw.fw_version.as_ref())?,
            op_modes: line(raw.op_modes.as_ref())?,
        },
    })
}

fn line(text: Option<&Spanned<String>>) -> Checked<String> {
    let Some(text) = text else { return Ok(String::new()) };
    match text.get_ref() {
        line if line.len() <= LINE && !line.contains('\n') => Ok(line.clone()),
        _ => Err(wrong(text, format!("write one line of at most {LINE} bytes"))),
    }
}

fn queue(raw: &raw::Queue, ids: &Ids, kernel: KernelProfile) -> Checked<QueueEntry> {
    let driver_override = raw.driver_override.as_ref();
    if let Some(name) = driver_override.filter(|_| !kernel.has_driver_override()) {
        return Err(wrong(name, format!("kernel {kernel} has no driver_override; 7.0 and later have")));
    }
    if let Some(name) = driver_override.filter(|name| name.get_ref().is_empty()) {
        return Err(wrong(name, "driver_override names a driver; leave it out where there is none"));
    }
    Ok(QueueEntry {
        driver: raw.driver.as_ref().map(queue_driver).transpose()?,
        driver_override: driver_override.map(|name| line(Some(name))).transpose()?,
        online: raw.online,
        config: raw.config,
        chkstop: raw.chkstop,
        initiated: raw.initiated,
        ..QueueEntry::new(ids.domains.id(&raw.domain)?.into())
    })
}

fn queue_driver(name: &Spanned<String>) -> Checked<Option<QueueDriver>> {
    match name.get_ref().as_str() {
        NONE => Ok(None),
        text => text.parse().map(Some).map_err(|_| {
            let known = "write \"cex4queue\", \"vfio_ap\" or \"none\"";
            wrong(name, format!("{text:?} is no driver of queues; {known}"))
        }),
    }
}
