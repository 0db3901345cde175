//! What cards, queues and mdevs show, as a host file says it.

use super::{Difference, left, look::Look};
use crate::{
    ApSection, Card, CardDetails, CardEntry, Firmware, Machine, MdevEntry, QueueEntry, adapters::function,
};
use adjunct_ap::{
    Apid, Apqn, Aqm, HostShare, Matrix, Uuid,
    host::{CardType, Mode, QueueDriver},
    text::{self, Listing},
};
use std::collections::BTreeMap;

const CARDS: &str = "devices/ap";
const MDEVS: &str = "devices/vfio_ap/matrix";

/// The adapters that are there, and the domains of their queues.
pub(super) fn queues(look: &Look<'_>) -> BTreeMap<Apid, Aqm> {
    let names = look.names(CARDS).into_iter();
    let cards = names.filter_map(|name| u8::from_str_radix(name.strip_prefix("card")?, 16).ok().map(Apid));
    let queues = |apid: Apid| {
        let names = look.names(&format!("{CARDS}/card{apid}"));
        let apqns = names.iter().filter_map(|name| text::parse_apqn(name.as_bytes()));
        apqns.filter(|apqn| apqn.apid == apid).map(|apqn| apqn.apqi).collect()
    };
    cards.map(|apid| (apid, queues(apid))).collect()
}

/// All cards. `share` are the masks.
pub(super) fn cards(
    look: &mut Look<'_>,
    queues: &BTreeMap<Apid, Aqm>,
    usage: Aqm,
    share: &HostShare,
) -> Vec<CardEntry> {
    queues.iter().map(|(apid, domains)| card(look, *apid, *domains, usage, share)).collect()
}

fn card(look: &mut Look<'_>, apid: Apid, domains: Aqm, usage: Aqm, share: &HostShare) -> CardEntry {
    let at = |name: &str| format!("{CARDS}/card{apid}/{name}");
    let functions = look.parsed(&at("ap_functions"), hexadecimal);
    let hwtype: u8 = look.word(&at("hwtype")).unwrap_or(14);
    // A card of no known use has a type without its last letter.
    let named: Option<CardType> = look.text(&at("type")).and_then(|text| text.trim_end().parse().ok());
    let kind = named.or_else(|| CardType::new(hwtype.saturating_sub(6), mode(functions?)));
    let kind = kind.unwrap_or_else(|| {
        look.note(format!("The type of card{apid} is not told; it is taken for a CEX8C."));
        "CEX8C".parse().expect("a type of card")
    });
    let config = look.flag(&at("config")).unwrap_or(true);
    let chkstop = look.flag(&at("chkstop")).unwrap_or(false);
    let online = look.flag(&at("online"));
    let works = config && !chkstop;
    let mut entry = CardEntry {
        config,
        chkstop,
        // Of a card that does not work nobody knows what it was told.
        online: online.is_none_or(|online| online || !works),
        missing_queues: usage - domains,
        bound: driver(look, &at("uevent")).as_deref() == Some("cex4card"),
        details: details(look, apid, kind, functions),
        ..CardEntry::new(apid, kind)
    };
    for apqi in domains.iter() {
        let apqn = Apqn { apid, apqi };
        let queue = queue(look, apqn, &entry, share.keeps(apqn));
        if queue != QueueEntry::new(apqi) {
            entry.queues.push(queue);
        }
    }
    entry
}

/// What the type alone does not tell.
fn details(look: &mut Look<'_>, apid: Apid, kind: CardType, functions: Option<u32>) -> CardDetails {
    let at = |name: &str| format!("{CARDS}/card{apid}/{name}");
    let usual = Card::new(kind);
    let usual_size = u32::try_from(usual.max_message_bytes()).ok();
    CardDetails {
        raw_hwtype: look.word(&at("raw_hwtype")).filter(|raw| *raw != usual.hardware_type),
        ap_functions: functions.filter(|bits| *bits != usual.functions),
        depth: look.word(&at("depth")).filter(|depth| *depth != usual.depth),
        max_msg_size: look.word(&at("max_msg_size")).filter(|size| Some(*size) != usual_size),
        firmware: Firmware {
            serialnr: look.line(&at("serialnr")),
            api_ordinalnr: look.line(&at("API_ordinalnr")),
            fw_version: look.line(&at("FW_version")),
            op_modes: look.line(&at("op_modes")),
        },
    }
}

/// `0x92000000`.
fn hexadecimal(text: &[u8]) -> Result<u32, ()> {
    let text = std::str::from_utf8(text).map_err(|_| ())?.trim_end();
    u32::from_str_radix(text.strip_prefix("0x").ok_or(())?, 16).map_err(|_| ())
}

/// What a card with these function bits is used as; one without any can't be used.
fn mode(functions: u32) -> Mode {
    let has = |bit| functions & bit != 0;
    if has(function::ACCELERATOR) {
        Mode::Accelerator
    } else if has(function::EP11) && !has(function::CCA) {
        Mode::Ep11
    } else {
        Mode::Cca
    }
}

/// Who drives the device whose `uevent` is there.
fn driver(look: &mut Look<'_>, uevent: &str) -> Option<String> {
    let text = look.text(uevent)?;
    text.lines().find_map(|line| line.strip_prefix("DRIVER=")).map(str::to_owned)
}

/// What is to be said of a queue; `reserved` by the masks for the host.
fn queue(look: &mut Look<'_>, apqn: Apqn, card: &CardEntry, reserved: bool) -> QueueEntry {
    let at = |name: &str| format!("{CARDS}/card{}/{apqn}/{name}", apqn.apid);
    let driver: Option<QueueDriver> = driver(look, &at("uevent")).and_then(|name| name.parse().ok());
    let masks = if reserved { QueueDriver::Cex4queue } else { QueueDriver::VfioAp };
    let driver_override = Some(look.line(&at("driver_override"))).filter(|name| !name.is_empty());
    let config = look.flag(&at("config")).unwrap_or(card.config);
    let chkstop = look.flag(&at("chkstop")).unwrap_or(card.chkstop);
    let works = config && !chkstop;
    let online = look.flag(&at("online")).filter(|online| works && *online != card.online);
    let initiated = look.text(&at("request_count")).map(|text| text.trim_end() != "-");
    QueueEntry {
        driver: (driver != Some(masks)).then_some(driver),
        driver_override,
        online,
        config: Some(config).filter(|config| *config != (card.config || card.chkstop)),
        chkstop: Some(chkstop).filter(|chkstop| *chkstop != card.chkstop),
        initiated: initiated.filter(|done| *done && driver != Some(QueueDriver::Cex4queue)),
        ..QueueEntry::new(apqn.apqi)
    }
}

/// All mdevs of vfio_ap, oldest first.
pub(super) fn mdevs(look: &mut Look<'_>) -> Vec<MdevEntry> {
    let names = look.names(MDEVS).into_iter();
    let mut uuids: Vec<(Option<u32>, Uuid)> =
        names.filter_map(|name| name.parse().ok()).map(|uuid| (age(look, uuid), uuid)).collect();
    uuids.sort();
    uuids.into_iter().map(|(_, uuid)| mdev(look, uuid)).collect()
}

/// The number of an mdev's character device: they are numbered as they come.
fn age(look: &Look<'_>, uuid: Uuid) -> Option<u32> {
    let names = look.names(&format!("{MDEVS}/{uuid}/vfio-dev"));
    names.iter().find_map(|name| name.strip_prefix("vfio")?.parse().ok())
}

fn mdev(look: &mut Look<'_>, uuid: Uuid) -> MdevEntry {
    let at = |name: &str| format!("{MDEVS}/{uuid}/{name}");
    let matrix = look.parsed(&at("ap_config"), text::parse_ap_config).unwrap_or_else(|| {
        // Kernels before 6.10.
        let listing = look.parsed(&at("matrix"), text::parse_matrix);
        let adm = look.parsed(&at("control_domains"), text::parse_control_domains).unwrap_or_default();
        if listing.is_some_and(|listing| listing.cut) {
            look.note(format!(
                "The matrix of mdev {uuid} does not fit into its attribute; some of it may be missing."
            ));
        }
        listing.map_or(Matrix::EMPTY, |Listing { apm, aqm, .. }| Matrix { adm, ..left(apm, aqm) })
    });
    MdevEntry {
        adapters: matrix.apm,
        domains: matrix.aqm,
        control_domains: matrix.adm,
        ..MdevEntry::new(uuid)
    }
}

/// If a difference is that of an mdev's `guest_matrix`: has the host file say it. Whether it was one.
pub(super) fn guest_matrix(mdevs: &mut [MdevEntry], difference: &Difference) -> bool {
    let mdev = mdevs.iter_mut().find(|mdev| difference.path == format!("{MDEVS}/{}/guest_matrix", mdev.uuid));
    let listing = difference.here.as_ref().and_then(|text| text::parse_matrix(text.as_bytes()).ok());
    let (Some(mdev), Some(Listing { apm, aqm, cut: false })) = (mdev, listing) else { return false };
    (mdev.guest_adapters, mdev.guest_domains) = (Some(apm), Some(aqm));
    true
}

/// What only the hardware knows: what a card is that has no queue, and where it stands since the last scan.
pub(super) fn add_hardware(ap: &mut ApSection, machine: &Machine) {
    (ap.usage_domains, ap.control_domains) = (machine.usage_domains, machine.control_domains);
    (ap.max_adapter, ap.max_domain) = (machine.max_adapter, machine.max_domain);
    ap.silent_adapters =
        machine.cards.keys().copied().filter(|id| ap.cards.iter().all(|card| card.id != *id)).collect();
    ap.cards.retain(|card| machine.cards.contains_key(&card.id));
    for entry in &mut ap.cards {
        let Some(card) = machine.cards.get(&entry.id) else { continue };
        (entry.config, entry.chkstop) = (card.configured, card.checkstopped);
        entry.missing_queues = card.missing & machine.usage_domains;
        let there = |queue: &QueueEntry| {
            machine.usage_domains.contains(queue.domain) && !entry.missing_queues.contains(queue.domain)
        };
        entry.queues.retain(there);
        if let Some(firmware) = machine.firmware.get(&entry.id) {
            entry.details.firmware = firmware.clone();
        }
    }
}
