//! Counters as OpenMetrics, for Prometheus and its kin.

use crate::control::Counters;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric, text},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
    registry::Registry,
};
use std::{collections::BTreeMap, fmt};

/// All counters, to the `# EOF`.
///
/// # Errors
/// None that a String would give.
pub(super) fn text(counters: &Counters) -> Result<String, fmt::Error> {
    let mut registry = Registry::with_prefix("adjunct");
    registry.register_collector(Box::new(Snapshot(counters.clone())));
    let mut text = String::new();
    text::encode(&mut text, &registry)?;
    Ok(text)
}

/// Counters as they were at one moment.
#[derive(Debug)]
struct Snapshot(Counters);

impl Collector for Snapshot {
    fn encode(&self, mut to: DescriptorEncoder<'_>) -> fmt::Result {
        let Counters {
            exits,
            resets,
            ap_config_changes,
            ap_release_requests,
            ap_attached,
            ap_detached,
            adapters,
            domains,
            queues,
        } = &self.0;
        by_kind(&mut to, "vcpu_exits", "How often CPUs came out of the guest, by what for", exits)?;
        by_kind(&mut to, "guest_resets", "Resets of the guest, by kind", resets)?;
        for (name, help, count) in [
            ("ap_devices_attached", "vfio-ap devices that a guest got", ap_attached),
            ("ap_devices_detached", "vfio-ap devices that were taken from a guest", ap_detached),
            (
                "ap_config_changes",
                "Changes of the guest's queues that the host has signalled",
                ap_config_changes,
            ),
            ("ap_release_requests", "How often the host wanted the vfio-ap device back", ap_release_requests),
        ] {
            let counter = ConstCounter::new(*count);
            counter.encode(to.encode_descriptor(name, help, None, MetricType::Counter)?)?;
        }
        for (name, help, size) in [
            ("ap_adapters", "Adapters that the guest has now", adapters),
            ("ap_domains", "Domains that the guest has now", domains),
            ("ap_queues", "Queues that the guest has now", queues),
        ] {
            let gauge = ConstGauge::new(*size);
            gauge.encode(to.encode_descriptor(name, help, None, MetricType::Gauge)?)?;
        }
        Ok(())
    }
}

fn by_kind(
    to: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    counts: &BTreeMap<&'static str, u64>,
) -> fmt::Result {
    let mut family = to.encode_descriptor(name, help, None, MetricType::Counter)?;
    for (kind, count) in counts {
        ConstCounter::new(*count).encode(family.encode_family(&[("kind", *kind)])?)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_openmetrics_text() {
        let counters = Counters {
            exits: [("diagnose", 3), ("sigp", 1)].into(),
            resets: [("external", 2)].into(),
            ap_attached: 1,
            queues: 4,
            ..Counters::default()
        };
        let text = text(&counters).expect("it can be written");
        let samples: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
        let want = [
            "adjunct_vcpu_exits_total{kind=\"diagnose\"} 3",
            "adjunct_vcpu_exits_total{kind=\"sigp\"} 1",
            "adjunct_guest_resets_total{kind=\"external\"} 2",
            "adjunct_ap_devices_attached_total 1",
            "adjunct_ap_devices_detached_total 0",
            "adjunct_ap_config_changes_total 0",
            "adjunct_ap_release_requests_total 0",
            "adjunct_ap_adapters 0",
            "adjunct_ap_domains 0",
            "adjunct_ap_queues 4",
        ];
        assert_eq!(samples, want);
        assert!(text.ends_with("# EOF\n") && text.contains("# TYPE adjunct_ap_queues gauge\n"), "{text}");
    }
}
