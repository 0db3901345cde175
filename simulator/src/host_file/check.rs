//! What the text of a host file means, and what is wrong with it.

use super::{ApSection, CardEntry, HostFile, MdevEntry, error::Wrong, raw};
use crate::KernelProfile;
use adjunct_ap::{Adm, ApMask, Apid, Apm, Aqm, Number, text, text::Features};
use adjunct_cpu_model::{Feature, Model};
use toml::Spanned;

type Checked<T> = Result<T, Wrong>;

const MACHINE: &str = "z16";
const FEATURES: [&str; 3] = ["APSC", "APXA", "QACT"];
const DOMAINS: [u8; 4] = [4, 0x47, 0xab, 0xff];
/// Limits with and without APXA (`drivers/s390/crypto/ap_bus.c: ap_init_qci_info`).
const ADAPTERS_WITHOUT_APXA: u8 = 63;
const DOMAINS_WITHOUT_APXA: u8 = 15;

fn wrong<T>(where_: &Spanned<T>, what: impl Into<String>) -> Wrong {
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
    let ap = ap(raw.ap)?;
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
    let Some(name) = name else {
        return Ok(Model::by_name(MACHINE).expect("a test reads a file without machine"));
    };
    Model::by_name(name.get_ref()).ok_or_else(|| {
        wrong(name, format!("machine {:?} is not a CPU model; see `adjunct cpu list`", name.get_ref()))
    })
}

fn ap(raw: raw::Ap) -> Checked<ApSection> {
    let features = features(raw.features.as_deref())?;
    let apxa = features.is_some_and(Features::extended_addressing);
    let max_adapter = limit(raw.max_adapter.as_ref(), "max_adapter", apxa, 63, ADAPTERS_WITHOUT_APXA)?;
    let max_domain = limit(raw.max_domain.as_ref(), "max_domain", apxa, 255, DOMAINS_WITHOUT_APXA)?;
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
    let mut cards: Vec<CardEntry> = Vec::new();
    for raw in &raw.card {
        let card = card(raw, &adapters, &domains, &usage_domains)?;
        if cards.iter().any(|other| other.id == card.id) {
            return Err(wrong(&raw.id, format!("there is another card with id {}", number(card.id.0))));
        }
        cards.push(card);
    }
    Ok(ApSection {
        features,
        max_adapter,
        max_domain,
        usage_domains,
        control_domains,
        apmask: mask_text::<Apid>(raw.apmask, "apmask")?,
        aqmask: mask_text::<Apid>(raw.aqmask, "aqmask")?,
        cards,
    })
}

fn features(names: Option<&[Spanned<String>]>) -> Checked<Option<Features>> {
    let and =
        |features: Option<Features>, flag: Features| Some(features.map_or(flag, |other| other.union(flag)));
    let Some(names) = names else {
        return Ok(FEATURES.iter().filter_map(|name| Features::named(name)).fold(None, and));
    };
    names.iter().try_fold(None, |features, name| match Features::named(name.get_ref()) {
        Some(flag) => Ok(and(features, flag)),
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

fn card(raw: &raw::Card, adapters: &Limit, domains: &Limit, usage: &Aqm) -> Checked<CardEntry> {
    let missing_queues: Aqm = domains.mask(&raw.missing_queues)?;
    for id in &raw.missing_queues {
        let there = u8::try_from(*id.get_ref()).is_ok_and(|id| usage.contains(id.into()));
        if !there {
            return Err(wrong(
                id,
                format!("domain {} is not in ap.usage_domains, so no card has a queue for it", id.get_ref()),
            ));
        }
    }
    Ok(CardEntry {
        id: adapters.id(&raw.id)?.into(),
        kind: raw
            .kind
            .get_ref()
            .parse()
            .map_err(|error: adjunct_ap::host::ParseCardTypeError| wrong(&raw.kind, error.to_string()))?,
        config: raw.config,
        online: raw.online,
        chkstop: raw.chkstop,
        missing_queues,
    })
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
        mdevs.push(MdevEntry {
            uuid,
            adapters: apm,
            domains: domains.mask(&raw.domains)?,
            control_domains: domains.mask(&raw.control_domains)?,
        });
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
struct Limit {
    what: &'static str,
    max: u8,
    key: &'static str,
}

impl Limit {
    fn id(&self, id: &Spanned<i64>) -> Checked<u8> {
        let Self { what, max, key } = self;
        match u8::try_from(*id.get_ref()) {
            Ok(id) if id <= *max => Ok(id),
            _ => {
                Err(wrong(id, format!("{what} {} is beyond {key}, which is {}", id.get_ref(), number(*max))))
            }
        }
    }

    fn mask<T: Number>(&self, ids: &[Spanned<i64>]) -> Checked<ApMask<T>> {
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
fn number(id: u8) -> String {
    if id < 10 { id.to_string() } else { format!("{id} ({id:#x})") }
}
