//! The host file as TOML has it, before anything is checked.

use serde::Deserialize;
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
    #[serde(default)]
    pub(super) silent_adapters: Ids,
    pub(super) ap_interrupts: Option<bool>,
    pub(super) ap_domain: Option<Spanned<i64>>,
    pub(super) config_time: Option<Spanned<i64>>,
    pub(super) poll_timeout: Option<Spanned<i64>>,
    #[serde(default)]
    pub(super) poll_thread: bool,
    pub(super) drivers_autoprobe: Option<bool>,
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
    pub(super) driver: Option<Spanned<String>>,
    pub(super) raw_hwtype: Option<Spanned<i64>>,
    pub(super) ap_functions: Option<Spanned<i64>>,
    pub(super) depth: Option<Spanned<i64>>,
    pub(super) max_msg_size: Option<Spanned<i64>>,
    pub(super) serialnr: Option<Spanned<String>>,
    #[serde(rename = "API_ordinalnr")]
    pub(super) api_ordinalnr: Option<Spanned<String>>,
    #[serde(rename = "FW_version")]
    pub(super) fw_version: Option<Spanned<String>>,
    pub(super) op_modes: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) queue: Vec<Queue>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Queue {
    pub(super) domain: Spanned<i64>,
    pub(super) driver: Option<Spanned<String>>,
    pub(super) driver_override: Option<Spanned<String>>,
    pub(super) online: Option<bool>,
    pub(super) config: Option<bool>,
    pub(super) chkstop: Option<bool>,
    pub(super) initiated: Option<bool>,
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
    pub(super) guest_adapters: Option<Ids>,
    pub(super) guest_domains: Option<Ids>,
}
