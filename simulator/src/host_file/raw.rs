//! The host file as TOML has it, before anything is checked, and as it is written.

use super::{CardEntry, HostFile, MdevEntry};
use adjunct_ap::{ApMask, Number, text::Features};
use serde::{Deserialize, Serialize};
use toml::Spanned;

pub(super) type Ids = Vec<Spanned<i64>>;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Host {
    pub(super) machine: Option<Spanned<String>>,
    pub(super) kernel: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) ap: Ap,
    #[serde(default)]
    pub(super) mdev: Vec<Mdev>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Ap {
    pub(super) features: Option<Vec<Spanned<String>>>,
    pub(super) max_adapter: Option<Spanned<i64>>,
    pub(super) max_domain: Option<Spanned<i64>>,
    pub(super) usage_domains: Option<Ids>,
    pub(super) control_domains: Option<Ids>,
    pub(super) apmask: Option<Spanned<String>>,
    pub(super) aqmask: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) card: Vec<Card>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Card {
    pub(super) id: Spanned<i64>,
    #[serde(rename = "type")]
    pub(super) kind: Spanned<String>,
    #[serde(default = "yes")]
    pub(super) config: bool,
    #[serde(default = "yes")]
    pub(super) online: bool,
    #[serde(default)]
    pub(super) chkstop: bool,
    #[serde(default)]
    pub(super) missing_queues: Ids,
}

fn yes() -> bool {
    true
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Mdev {
    pub(super) uuid: Spanned<String>,
    #[serde(default)]
    pub(super) adapters: Ids,
    #[serde(default)]
    pub(super) domains: Ids,
    #[serde(default)]
    pub(super) control_domains: Ids,
}

/// A whole host, nothing left to defaults.
#[derive(Debug, Serialize)]
pub(super) struct Written<'a> {
    machine: &'static str,
    kernel: &'static str,
    ap: WrittenAp<'a>,
    mdev: Vec<WrittenMdev>,
}

#[derive(Debug, Serialize)]
struct WrittenAp<'a> {
    features: Vec<&'static str>,
    max_adapter: u8,
    max_domain: u8,
    usage_domains: Vec<u8>,
    control_domains: Vec<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    apmask: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    aqmask: Option<&'a str>,
    card: Vec<WrittenCard>,
}

#[derive(Debug, Serialize)]
struct WrittenCard {
    id: u8,
    #[serde(rename = "type")]
    kind: String,
    config: bool,
    online: bool,
    chkstop: bool,
    missing_queues: Vec<u8>,
}

#[derive(Debug, Serialize)]
struct WrittenMdev {
    uuid: String,
    adapters: Vec<u8>,
    domains: Vec<u8>,
    control_domains: Vec<u8>,
}

fn ids<T: Number>(mask: &ApMask<T>) -> Vec<u8> {
    mask.iter().map(Into::into).collect()
}

impl<'a> Written<'a> {
    pub(super) fn of(host: &'a HostFile) -> Self {
        let ap = &host.ap;
        Self {
            machine: host.machine.name,
            kernel: host.kernel.name(),
            ap: WrittenAp {
                features: ap.features.into_iter().flat_map(Features::names).collect(),
                max_adapter: ap.max_adapter,
                max_domain: ap.max_domain,
                usage_domains: ids(&ap.usage_domains),
                control_domains: ids(&ap.control_domains),
                apmask: ap.apmask.as_deref(),
                aqmask: ap.aqmask.as_deref(),
                card: ap.cards.iter().map(WrittenCard::of).collect(),
            },
            mdev: host.mdevs.iter().map(WrittenMdev::of).collect(),
        }
    }
}

impl WrittenCard {
    fn of(card: &CardEntry) -> Self {
        Self {
            id: card.id.0,
            kind: card.kind.to_string(),
            config: card.config,
            online: card.online,
            chkstop: card.chkstop,
            missing_queues: ids(&card.missing_queues),
        }
    }
}

impl WrittenMdev {
    fn of(mdev: &MdevEntry) -> Self {
        Self {
            uuid: mdev.uuid.to_string(),
            adapters: ids(&mdev.adapters),
            domains: ids(&mdev.domains),
            control_domains: ids(&mdev.control_domains),
        }
    }
}
