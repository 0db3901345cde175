//! A host file, written: as a person would write it.

use super::{ApSection, CardEntry, HostFile, MdevEntry, QueueEntry, check};
use adjunct_ap::{ApMask, Number, text::Features, text::format_id};
use std::fmt::{Display, Write};
use toml::Value;

pub(super) fn host(host: &HostFile) -> String {
    let mut text = Text(String::new());
    text.string("machine", host.machine.name);
    text.string("kernel", host.kernel.name());
    ap(&mut text, &host.ap);
    host.mdevs.iter().for_each(|entry| mdev(&mut text, entry));
    text.0
}

fn ap(text: &mut Text, ap: &ApSection) {
    text.table("[ap]");
    let features: Vec<String> =
        ap.features.into_iter().flat_map(Features::names).map(|name| format!("\"{name}\"")).collect();
    text.key("features", format!("[{}]", features.join(", ")));
    text.key("max_adapter", ap.max_adapter);
    text.key("max_domain", ap.max_domain);
    text.ids("usage_domains", &ap.usage_domains);
    text.ids("control_domains", &ap.control_domains);
    text.some_ids("silent_adapters", &ap.silent_adapters);
    text.some("ap_interrupts", ap.ap_interrupts);
    text.some("ap_domain", ap.ap_domain.map(format_id));
    text.some("config_time", Some(ap.config_time).filter(|seconds| *seconds != check::CONFIG_TIME));
    text.some("poll_timeout", Some(ap.poll_timeout).filter(|time| *time != check::POLL_TIMEOUT));
    text.some("poll_thread", ap.poll_thread.then_some(true));
    text.some("drivers_autoprobe", (!ap.drivers_autoprobe).then_some(false));
    text.some_string("apmask", ap.apmask.as_deref());
    text.some_string("aqmask", ap.aqmask.as_deref());
    ap.cards.iter().for_each(|entry| card(text, entry));
}

fn card(text: &mut Text, card: &CardEntry) {
    text.table("[[ap.card]]");
    text.key("id", format_id(card.id));
    text.string("type", &card.kind.to_string());
    text.some("config", (!card.config).then_some(false));
    text.some("online", (!card.online).then_some(false));
    text.some("chkstop", card.chkstop.then_some(true));
    text.some_ids("missing_queues", &card.missing_queues);
    text.some_string("driver", (!card.bound).then_some("none"));
    let details = &card.details;
    text.some("raw_hwtype", details.raw_hwtype);
    text.some("ap_functions", details.ap_functions.map(|bits| format!("{bits:#010x}")));
    text.some("depth", details.depth);
    text.some("max_msg_size", details.max_msg_size);
    let firmware = &details.firmware;
    for (key, line) in [
        ("serialnr", &firmware.serialnr),
        ("API_ordinalnr", &firmware.api_ordinalnr),
        ("FW_version", &firmware.fw_version),
        ("op_modes", &firmware.op_modes),
    ] {
        text.some_string(key, Some(line.as_str()).filter(|line| !line.is_empty()));
    }
    card.queues.iter().for_each(|entry| queue(text, entry));
}

fn queue(text: &mut Text, queue: &QueueEntry) {
    text.table("[[ap.card.queue]]");
    text.key("domain", format_id(queue.domain));
    let driver =
        queue.driver.map(|driver| driver.map_or_else(|| "none".to_owned(), |driver| driver.to_string()));
    text.some_string("driver", driver.as_deref());
    text.some_string("driver_override", queue.driver_override.as_deref());
    text.some("online", queue.online);
    text.some("config", queue.config);
    text.some("chkstop", queue.chkstop);
    text.some("initiated", queue.initiated);
}

fn mdev(text: &mut Text, mdev: &MdevEntry) {
    text.table("[[mdev]]");
    text.string("uuid", &mdev.uuid.to_string());
    text.ids("adapters", &mdev.adapters);
    text.ids("domains", &mdev.domains);
    text.some_ids("control_domains", &mdev.control_domains);
    if let Some(apm) = &mdev.guest_adapters {
        text.ids("guest_adapters", apm);
    }
    if let Some(aqm) = &mdev.guest_domains {
        text.ids("guest_domains", aqm);
    }
}

struct Text(String);

impl Text {
    fn table(&mut self, name: &str) {
        self.0.push_str(&format!("\n{name}\n"));
    }

    fn key(&mut self, key: &str, value: impl Display) {
        // Writing to a String never fails.
        let _ = writeln!(self.0, "{key} = {value}");
    }

    fn some(&mut self, key: &str, value: Option<impl Display>) {
        if let Some(value) = value {
            self.key(key, value);
        }
    }

    /// TOML knows best how to quote.
    fn string(&mut self, key: &str, value: &str) {
        self.key(key, Value::String(value.to_owned()));
    }

    fn some_string(&mut self, key: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.string(key, value);
        }
    }

    /// Adapters and domains as people write them: `[4, 0x47]`.
    fn ids<T: Number>(&mut self, key: &str, mask: &ApMask<T>) {
        let ids: Vec<String> = mask.iter().map(format_id).collect();
        self.key(key, format!("[{}]", ids.join(", ")));
    }

    fn some_ids<T: Number>(&mut self, key: &str, mask: &ApMask<T>) {
        if !mask.is_empty() {
            self.ids(key, mask);
        }
    }
}
