//! The simulated host as the lab's guest is: the adapters that apemu has, and the same orders to change them.

use crate::host::{Host, Machine};
use adjunct_ap::{Apid, Apqi, Sysfs, host::CardType};
use adjunct_simulator::{Card, HostFile, KernelProfile, SimHost};
use std::{io, sync::Arc, time::Duration};

/// `tests/lab/apemu`: without options.
const HOST: &str = r#"
machine = "z16"
[ap]
features = ["APSC", "APXA"]
max_adapter = 255
max_domain = 255
usage_domains = [4, 0x47, 0xab, 0xff]
control_domains = [4, 0x47, 0xab, 0xff]
[[ap.card]]
id = 5
type = "CEX8C"
[[ap.card]]
id = 6
type = "CEX8P"
"#;

struct Simulated(SimHost);

/// A fresh simulated host.
pub(crate) fn host(kernel: KernelProfile) -> Host {
    let file = HostFile { kernel, ..HostFile::parse(HOST).expect("a host file") };
    let host = SimHost::new(file).expect("it starts");
    host.write("bus/ap/config_time", "120").expect("as the lab's is told");
    Host::new(Arc::new(host.clone()), Arc::new(host.clone()), Box::new(Simulated(host)))
}

fn number(text: &str) -> Option<u8> {
    let hex = text.strip_prefix("0x").map(|hex| u8::from_str_radix(hex, 16));
    hex.unwrap_or_else(|| text.parse()).ok()
}

impl Simulated {
    fn carry_out(&self, order: &str) -> Option<()> {
        let (order, argument) = order.split_once(' ')?;
        if order == "card-add" {
            let (id, kind) = argument.split_once('=')?;
            let kind: CardType = kind.to_uppercase().parse().ok()?;
            let id = Apid(number(id)?);
            self.0.adapters().operate(|machine| machine.cards.insert(id, Card::new(kind)));
            return Some(());
        }
        let id = number(argument)?;
        self.0.adapters().operate(|machine| {
            match order {
                "card-del" => drop(machine.cards.remove(&Apid(id))),
                "dom-add" => {
                    machine.usage_domains.insert(Apqi(id));
                    machine.control_domains.insert(id.into());
                }
                "dom-del" => {
                    machine.usage_domains.remove(Apqi(id));
                    machine.control_domains.remove(id.into());
                }
                _ => {
                    // An adapter that is not there has nothing to be changed, nor later.
                    let Some(card) = machine.cards.get_mut(&Apid(id)) else { return Some(()) };
                    match order {
                        "cfg" | "decfg" => card.configured = order == "cfg",
                        "cstop" | "cstart" => card.checkstopped = order == "cstop",
                        _ => return None,
                    }
                }
            }
            Some(())
        })
    }
}

impl Machine for Simulated {
    fn order(&self, order: &str) -> io::Result<()> {
        self.carry_out(order).ok_or_else(|| io::Error::from_raw_os_error(libc::EINVAL))
    }

    fn settle(&self) {
        self.0.settle();
    }

    fn pass(&self, time: Duration) {
        self.0.advance(time);
    }
}
