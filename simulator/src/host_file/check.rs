//! What the text of a host file means, and what is wrong with it.

use super::{ApSection, CardEntry, HostFile, MdevEntry, card, error::Wrong, raw};
use crate::KernelProfile;
use adjunct_ap::{Adm, ApMask, Apid, Apm, Aqm, Number, text, text::Features};
use adjunct_cpu_model::{Feature, Model};
use toml::Spanned;

pub(super) type Checked<T> = Result<T, Wrong>;

const FEATURES: [&str; 3] = ["APSC", "APXA", "QACT"];
const MAX_ADAPTER: u8 = 63;
const MAX_DOMAIN: u8 = 255;
const DOMAINS: [u8; 4] = [4, 0x47, 0xab, 0xff];
/// Defaults of the bus's attributes, and the longest poll interval in nanoseconds (`drivers/s390/crypto/ap_bus.c`).
pub(crate) const CONFIG_TIME: u8 = 30;
pub(crate) const POLL_TIMEOUT: u64 = 250_000;
const POLL_TIMEOUT_MAX: i64 = 120_000_000_000;
/// Limits with and without APXA (`drivers/s390/crypto/ap_bus.c: ap_init_qci_info`).
const ADAPTERS_WITHOUT_APXA: u8 = 63;
const DOMAINS_WITHOUT_APXA: u8 = 15;

pub(super) fn wrong<T>(where_: &Spanned<T>, what: impl Into<String>) -> Wrong {
    Wrong { span: where_.span(), what: what.into() }
}

pub(super) fn host(raw: raw::Host) -> Checked<HostFile> {
    let machine = machine(raw.machine.as_ref())?;
    let kernel = raw.kernel.as_ref().map_or(Ok(KernelProfile::default()), |kernel| {
        kernel.get_ref().parse().map_err(|error: crate::UnknownKernel| wrong(kernel, error.to_string()))
    })?;
    if !machine.full().contains(Feature::Ap) {
        no_adapters(&raw, machine)?;
    }
    let ap = ap(raw.ap, kernel)?;
    let mdevs = mdevs(&raw.mdev, &ap)?;
    Ok(HostFile { machine, kernel, ap, mdevs })
}

/// A machine without AP instructions has no AP bus, so nothing can be written to it.
fn no_adapters(raw: &raw::Host, machine: &Model) -> Checked<()> {
    let card = raw.ap.card.first().map(|card| card.id.span());
    let masks = [&raw.ap.apmask, &raw.ap.aqmask].into_iter().flatten().map(Spanned::span).next();
    let mdev = raw.mdev.first().map(|mdev| mdev.uuid.span());
    match card.or(masks).or(mdev) {
        None => Ok(()),
        Some(span) => {
            let name = machine.name;
            let what = format!(
                "machine {name} has no crypto adapters; name a newer one, or write no card, mask or mdev"
            );
            Err(Wrong { span, what })
        }
    }
}

fn machine(name: Option<&Spanned<String>>) -> Checked<&'static Model> {
    let Some(name) = name else { return Ok(HostFile::MACHINE) };
    Model::by_name(name.get_ref()).ok_or_else(|| {
        wrong(name, format!("machine {:?} is not a CPU model; see `adjunct cpu list`", name.get_ref()))
    })
}

fn ap(raw: raw::Ap, kernel: KernelProfile) -> Checked<ApSection> {
    let features = features(raw.features.as_deref())?;
    let apxa = features.is_some_and(Features::extended_addressing);
    let max_adapter =
        limit(raw.max_adapter.as_ref(), "max_adapter", apxa, MAX_ADAPTER, ADAPTERS_WITHOUT_APXA)?;
    let max_domain = limit(raw.max_domain.as_ref(), "max_domain", apxa, MAX_DOMAIN, DOMAINS_WITHOUT_APXA)?;
    let domains = Limit { what: "domain", max: max_domain, key: "ap.max_domain" };
    let usage_domains: Aqm = match &raw.usage_domains {
        Some(ids) => domains.mask(ids)?,
        None => DOMAINS.into_iter().filter(|id| *id <= max_domain).map(Into::into).collect(),
    };
    let control_domains: Adm = match &raw.control_domains {
        Some(ids) => domains.mask(ids)?,
        None => ApMask::from_bytes(*usage_domains.as_bytes()),
    };
    let adapters = Limit { what: "adapter", max: max_adapter, key: "ap.max_adapter" };
    let ids = card::Ids { adapters, domains, usage: usage_domains };
    let mut cards: Vec<CardEntry> = Vec::new();
    for raw in &raw.card {
        let card = card::card(raw, &ids, kernel)?;
        if cards.iter().any(|other| other.id == card.id) {
            return Err(wrong(&raw.id, format!("there is another card with id {}", number(card.id.0))));
        }
        cards.push(card);
    }
    let silent_adapters: Apm = ids.adapters.mask(&raw.silent_adapters)?;
    let silent = |id: &Spanned<i64>| cards.iter().any(|card| i64::from(card.id.0) == *id.get_ref());
    if let Some(id) = raw.silent_adapters.iter().find(|id| silent(id)) {
        return Err(wrong(id, format!("adapter {} is a card, so it is not silent", id.get_ref())));
    }
    Ok(ApSection {
        features,
        max_adapter,
        max_domain,
        usage_domains,
        control_domains,
        silent_adapters,
        ap_interrupts: raw.ap_interrupts,
        ap_domain: raw.ap_domain.as_ref().map(|id| ids.domains.id(id).map(Into::into)).transpose()?,
        config_time: number_in(raw.config_time.as_ref(), "config_time", 5..=120)?.unwrap_or(CONFIG_TIME),
        poll_timeout: number_in(raw.poll_timeout.as_ref(), "poll_timeout", 0..=POLL_TIMEOUT_MAX)?
            .unwrap_or(POLL_TIMEOUT),
        poll_thread: raw.poll_thread,
        drivers_autoprobe: raw.drivers_autoprobe.unwrap_or(true),
        apmask: mask_text::<Apid>(raw.apmask, "apmask")?,
        aqmask: mask_text::<Apid>(raw.aqmask, "aqmask")?,
        cards,
    })
}

/// `[ap]` of a file that says nothing of it.
pub(super) fn no_cards() -> ApSection {
    let usage_domains: Aqm = DOMAINS.into_iter().map(Into::into).collect();
    ApSection {
        features: default_features(),
        max_adapter: MAX_ADAPTER,
        max_domain: MAX_DOMAIN,
        usage_domains,
        control_domains: ApMask::from_bytes(*usage_domains.as_bytes()),
        silent_adapters: Apm::EMPTY,
        ap_interrupts: None,
        ap_domain: None,
        config_time: CONFIG_TIME,
        poll_timeout: POLL_TIMEOUT,
        poll_thread: false,
        drivers_autoprobe: true,
        apmask: None,
        aqmask: None,
        cards: Vec::new(),
    }
}

fn default_features() -> Option<Features> {
    FEATURES.iter().filter_map(|name| Features::named(name)).fold(None, united)
}

fn united(features: Option<Features>, flag: Features) -> Option<Features> {
    Some(features.map_or(flag, |other| other.union(flag)))
}

fn features(names: Option<&[Spanned<String>]>) -> Checked<Option<Features>> {
    let Some(names) = names else { return Ok(default_features()) };
    names.iter().try_fold(None, |features, name| match Features::named(name.get_ref()) {
        Some(flag) => Ok(united(features, flag)),
        None => {
            let known = "write APSC, APXA, QACT, RC8A or APSB";
            Err(wrong(name, format!("{:?} is not a feature of QCI; {known}", name.get_ref())))
        }
    })
}

fn limit(value: Option<&Spanned<i64>>, key: &str, apxa: bool, default: u8, without: u8) -> Checked<u8> {
    let Some(value) = value else {
        return Ok(if apxa { default } else { without });
    };
    let max = if apxa { u8::MAX } else { without };
    match u8::try_from(*value.get_ref()) {
        Ok(limit) if limit <= max => Ok(limit),
        _ if apxa => Err(wrong(value, format!("{key} must be 0 to 255"))),
        _ => Err(wrong(value, format!("{key} must be 0 to {max} without feature APXA"))),
    }
}

/// A number in its range, if it is there.
pub(super) fn number_in<T: TryFrom<i64>>(
    value: Option<&Spanned<i64>>,
    key: &str,
    range: std::ops::RangeInclusive<i64>,
) -> Checked<Option<T>> {
    let Some(value) = value else { return Ok(None) };
    let number = Some(*value.get_ref()).filter(|number| range.contains(number));
    match number.and_then(|number| T::try_from(number).ok()) {
        Some(number) => Ok(Some(number)),
        None => Err(wrong(value, format!("{key} must be {} to {}", range.start(), range.end()))),
    }
}

fn mdevs(raw: &[raw::Mdev], ap: &ApSection) -> Checked<Vec<MdevEntry>> {
    let adapters = Limit { what: "adapter", max: ap.max_adapter, key: "ap.max_adapter" };
    let domains = Limit { what: "domain", max: ap.max_domain, key: "ap.max_domain" };
    let mut mdevs: Vec<MdevEntry> = Vec::new();
    for raw in raw {
        let uuid = raw
            .uuid
            .get_ref()
            .parse()
            .map_err(|error: adjunct_ap::ParseUuidError| wrong(&raw.uuid, error.to_string()))?;
        if mdevs.iter().any(|other| other.uuid == uuid) {
            return Err(wrong(&raw.uuid, format!("there is another mdev with uuid {uuid}")));
        }
        let apm: Apm = adapters.mask(&raw.adapters)?;
        let mdev = MdevEntry {
            uuid,
            adapters: apm,
            domains: domains.mask(&raw.domains)?,
            control_domains: domains.mask(&raw.control_domains)?,
            guest_adapters: raw.guest_adapters.as_ref().map(|ids| adapters.mask(ids)).transpose()?,
            guest_domains: raw.guest_domains.as_ref().map(|ids| domains.mask(ids)).transpose()?,
        };
        mdevs.push(mdev);
    }
    Ok(mdevs)
}

/// What is written to `apmask` or `aqmask`, if the kernel can read it.
fn mask_text<T: Number>(mask: Option<Spanned<String>>, key: &str) -> Checked<Option<String>> {
    let Some(mask) = mask else { return Ok(None) };
    if text::apply_mask_write(ApMask::<T>::ALL, mask.get_ref().as_bytes()).is_err() {
        let what = format!(
            "{key} {:?} is not a mask; write changes as in \"-5,+0x10-0x1f\", or 0x and up to 64 hex digits",
            mask.get_ref()
        );
        return Err(wrong(&mask, what));
    }
    Ok(Some(mask.into_inner()))
}

/// Ids of one kind, and how high they may be.
pub(super) struct Limit {
    what: &'static str,
    max: u8,
    key: &'static str,
}

impl Limit {
    pub(super) fn id(&self, id: &Spanned<i64>) -> Checked<u8> {
        let Self { what, max, key } = self;
        match u8::try_from(*id.get_ref()) {
            Ok(id) if id <= *max => Ok(id),
            _ => {
                Err(wrong(id, format!("{what} {} is beyond {key}, which is {}", id.get_ref(), number(*max))))
            }
        }
    }

    pub(super) fn mask<T: Number>(&self, ids: &[Spanned<i64>]) -> Checked<ApMask<T>> {
        let mut mask = ApMask::EMPTY;
        for spanned in ids {
            let id = self.id(spanned)?;
            if mask.contains(id.into()) {
                return Err(wrong(spanned, format!("{} {} is listed twice", self.what, number(id))));
            }
            mask.insert(id.into());
        }
        Ok(mask)
    }
}

/// A number as people who read sysfs want it: `71 (0x47)`.
pub(super) fn number(id: u8) -> String {
    if id < 10 { id.to_string() } else { format!("{id} ({id:#x})") }
}
