//! How the time of a simulated host grows with its adapters and its mdevs: `cargo bench -p adjunct-simulator`.

use adjunct_ap::Sysfs;
use adjunct_simulator::{HostFile, SimHost};
use std::fmt::Write;

fn main() {
    divan::main();
}

/// How many adapters a host has, with as many domains.
const CARDS: [usize; 3] = [16, 64, 256];
const MDEVS: [usize; 4] = [10, 100, 1_000, 10_000];
const TYPE: &str = "devices/vfio_ap/matrix/mdev_supported_types/vfio_ap-passthrough";

/// A host of `cards` adapters and as many domains, whose queues are its own, or all of them vfio_ap's.
fn file(cards: usize, own: bool) -> HostFile {
    let domains: Vec<String> = (0..cards).map(|id| id.to_string()).collect();
    let mut text = format!(
        "machine = \"z16\"\n[ap]\nfeatures = [\"APSC\", \"APXA\", \"QACT\"]\nmax_adapter = 255\n\
         max_domain = 255\nusage_domains = [{}]\ncontrol_domains = []\n",
        domains.join(", ")
    );
    if !own {
        text.push_str("apmask = \"-0-255\"\n");
    }
    for id in 0..cards {
        write!(text, "[[ap.card]]\nid = {id}\ntype = \"CEX8C\"\n").expect("a string takes all");
    }
    HostFile::parse(&text).expect("a host file")
}

fn host(cards: usize, own: bool) -> SimHost {
    SimHost::new(file(cards, own)).expect("a host")
}

fn put(host: &SimHost, path: &str, value: &str) {
    host.write(path, value).unwrap_or_else(|error| panic!("{value} to {path}: {error}"));
}

fn attribute(mdev: usize, name: &str) -> String {
    format!("devices/vfio_ap/matrix/{}/{name}", uuid(mdev))
}

fn uuid(mdev: usize) -> String {
    format!("00000000-0000-0000-0000-{mdev:012}")
}

fn create(host: &SimHost, mdev: usize) {
    put(host, &format!("{TYPE}/create"), &uuid(mdev));
}

/// The whole matrix of an mdev at once.
fn configure(
    host: &SimHost,
    mdev: usize,
    adapters: impl Iterator<Item = usize>,
    domains: impl Iterator<Item = usize>,
) {
    let mask = |ids: &mut dyn Iterator<Item = usize>| {
        let mut bytes = [0_u8; 32];
        ids.for_each(|id| bytes[id / 8] |= 0x80 >> (id % 8));
        bytes.iter().fold("0x".to_owned(), |text, byte| format!("{text}{byte:02x}"))
    };
    let (mut adapters, mut domains) = (adapters, domains);
    let text = format!("{},{},{}", mask(&mut adapters), mask(&mut domains), mask(&mut std::iter::empty()));
    put(host, &attribute(mdev, "ap_config"), &text);
}

/// A host of 256 x 256 queues, all vfio_ap's, and so many mdevs besides number 0: each has six queues, as long as there
/// are enough.
fn crowded(mdevs: usize) -> SimHost {
    let host = host(256, false);
    create(&host, 0);
    for mdev in 1..=mdevs {
        create(&host, mdev);
        // 128 adapters in pairs, 255 domains in threes: 64 times 85 places, of those that number 0 does not want.
        let place = mdev - 1;
        let (pair, three) = (place % 64, place / 64);
        if three < 85 {
            configure(&host, mdev, 128 + pair * 2..128 + pair * 2 + 2, three * 3..three * 3 + 3);
        }
    }
    host
}

#[divan::bench_group(sample_count = 10)]
mod cards {
    use super::*;

    /// Hardware, AP bus, first scan, every queue brought up.
    #[divan::bench(args = CARDS)]
    fn start(bencher: divan::Bencher<'_, '_>, cards: usize) {
        bencher.with_inputs(|| file(cards, true)).bench_values(|file| SimHost::new(file).expect("a host"));
    }

    /// A scan that finds nothing new.
    #[divan::bench(args = CARDS)]
    fn scan(bencher: divan::Bencher<'_, '_>, cards: usize) {
        let host = host(cards, true);
        bencher.bench_local(|| put(&host, "bus/ap/scans", "1"));
    }

    #[divan::bench(args = CARDS)]
    fn list_all_devices(bencher: divan::Bencher<'_, '_>, cards: usize) {
        let host = host(cards, true);
        bencher.bench_local(|| host.list("bus/ap/devices").expect("a folder").len());
    }

    /// As `ls` of every card does.
    #[divan::bench(args = CARDS)]
    fn list_every_card(bencher: divan::Bencher<'_, '_>, cards: usize) {
        let host = host(cards, true);
        let list = |id: usize| host.list(&format!("devices/ap/card{id:02x}")).expect("a folder").len();
        bencher.bench_local(|| (0..cards).map(list).sum::<usize>());
    }

    /// Every attribute of one queue that can be read.
    #[divan::bench(args = CARDS)]
    fn read_one_queue(bencher: divan::Bencher<'_, '_>, cards: usize) {
        let host = host(cards, true);
        let queue = format!("bus/ap/devices/{:02x}.{:04x}", cards - 1, cards - 1);
        let names = host.list(&queue).expect("a folder");
        bencher.bench_local(|| {
            names.iter().filter_map(|name| host.read(&format!("{queue}/{name}")).ok()).count()
        });
    }

    /// One adapter's queues go to vfio_ap and come back.
    #[divan::bench(args = CARDS)]
    fn one_adapter_changes_hands(bencher: divan::Bencher<'_, '_>, cards: usize) {
        let host = host(cards, true);
        bencher.bench_local(|| {
            put(&host, "bus/ap/apmask", "-1");
            put(&host, "bus/ap/apmask", "+1");
        });
    }

    /// All of them go, one mask write, and come back.
    #[divan::bench(args = CARDS)]
    fn all_adapters_change_hands(bencher: divan::Bencher<'_, '_>, cards: usize) {
        let host = host(cards, true);
        bencher.bench_local(|| {
            put(&host, "bus/ap/apmask", "-0-255");
            put(&host, "bus/ap/apmask", "+0-255");
        });
    }
}

#[divan::bench_group(sample_count = 50)]
mod mdevs {
    use super::*;

    fn assign_and_unassign(bencher: divan::Bencher<'_, '_>, mdevs: usize, domains: usize) {
        let host = crowded(mdevs);
        for domain in 0..domains {
            put(&host, &attribute(0, "assign_domain"), &domain.to_string());
        }
        bencher
            .with_inputs(|| put(&host, &attribute(0, "unassign_adapter"), "7"))
            .bench_local_values(|()| put(&host, &attribute(0, "assign_adapter"), "7"));
    }

    /// An adapter, to an mdev with one domain.
    #[divan::bench(args = MDEVS)]
    fn assign_one_queue(bencher: divan::Bencher<'_, '_>, mdevs: usize) {
        assign_and_unassign(bencher, mdevs, 1);
    }

    /// An adapter, to an mdev with 256 domains: 256 queues are linked and filtered.
    #[divan::bench(args = MDEVS)]
    fn assign_256_queues(bencher: divan::Bencher<'_, '_>, mdevs: usize) {
        assign_and_unassign(bencher, mdevs, 256);
    }

    /// The last of 128 adapters, to an mdev with 256 domains: 32,768 queues are filtered.
    #[divan::bench(args = MDEVS)]
    fn assign_to_half_the_host(bencher: divan::Bencher<'_, '_>, mdevs: usize) {
        let host = crowded(mdevs);
        configure(&host, 0, 0..128, 0..256);
        bencher
            .with_inputs(|| put(&host, &attribute(0, "unassign_adapter"), "7"))
            .bench_local_values(|()| put(&host, &attribute(0, "assign_adapter"), "7"));
    }

    /// 256 queues are taken away and reset.
    #[divan::bench(args = MDEVS)]
    fn unassign_256_queues(bencher: divan::Bencher<'_, '_>, mdevs: usize) {
        let host = crowded(mdevs);
        configure(&host, 0, 0..1, 0..256);
        bencher
            .with_inputs(|| put(&host, &attribute(0, "assign_adapter"), "7"))
            .bench_local_values(|()| put(&host, &attribute(0, "unassign_adapter"), "7"));
    }

    /// Somebody has the queue.
    #[divan::bench(args = MDEVS)]
    fn refused_for_sharing(bencher: divan::Bencher<'_, '_>, mdevs: usize) {
        let host = crowded(mdevs);
        put(&host, &attribute(0, "assign_domain"), "0");
        bencher.bench_local(|| host.write(&attribute(0, "assign_adapter"), "128").expect_err("it is shared"));
    }

    /// The host can't have an adapter back.
    #[divan::bench(args = MDEVS)]
    fn refused_for_use(bencher: divan::Bencher<'_, '_>, mdevs: usize) {
        let host = crowded(mdevs);
        bencher.bench_local(|| host.write("bus/ap/apmask", "+128").expect_err("it is in use"));
    }

    /// An mdev is made and removed.
    #[divan::bench(args = MDEVS)]
    fn create_and_remove(bencher: divan::Bencher<'_, '_>, mdevs: usize) {
        let host = crowded(mdevs);
        bencher.bench_local(|| {
            create(&host, mdevs + 1);
            put(&host, &attribute(mdevs + 1, "remove"), "1");
        });
    }

    #[divan::bench(args = MDEVS)]
    fn list_all(bencher: divan::Bencher<'_, '_>, mdevs: usize) {
        let host = crowded(mdevs);
        bencher.bench_local(|| host.list("bus/mdev/devices").expect("a folder").len());
    }
}
