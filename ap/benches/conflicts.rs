//! How long it takes to find out whether mdevs share a queue: `cargo bench -p adjunct-ap`.

use std::hint::black_box;

use adjunct_ap::{Adm, Apid, Apqi, Matrix};

fn main() {
    divan::main();
}

/// How many mdevs the host has.
const MDEVS: usize = 1_000;

/// `MDEVS` matrices that share no queue though they fill 256 x 256 as far as they can: each has 8 adapters and
/// 8 domains, in 32 x 32 blocks of which every mdev gets its own.
fn disjoint() -> Vec<Matrix> {
    let eight = |block: usize| (0..8).filter_map(move |n| u8::try_from(block * 8 + n).ok());
    (0..MDEVS)
        .map(|mdev| Matrix {
            apm: eight(mdev / 32).map(Apid).collect(),
            aqm: eight(mdev % 32).map(Apqi).collect(),
            adm: Adm::EMPTY,
        })
        .collect()
}

/// As the kernel asks when something is assigned: one mdev against all others.
#[divan::bench]
fn one_against_all(bencher: divan::Bencher<'_, '_>) {
    let mdevs = disjoint();
    bencher.bench(|| {
        let one = black_box(&mdevs[MDEVS / 2]);
        mdevs.iter().filter(|other| one.conflicts_with(other)).count()
    });
}

/// As a host file is checked: every mdev against every other.
#[divan::bench]
fn all_against_all(bencher: divan::Bencher<'_, '_>) {
    let mdevs = disjoint();
    bencher.bench(|| {
        let mdevs = black_box(&mdevs);
        let pairs =
            mdevs.iter().enumerate().flat_map(|(at, one)| mdevs[at + 1..].iter().map(move |o| (one, o)));
        pairs.filter(|(one, other)| one.conflicts_with(other)).count()
    });
}

/// Naming is what costs: all 65,536 queues of two full matrices.
#[divan::bench]
fn naming_every_shared_queue() -> usize {
    let full = Matrix { apm: adjunct_ap::Apm::ALL, aqm: adjunct_ap::Aqm::ALL, adm: Adm::EMPTY };
    black_box(&full).conflict(black_box(&full)).count()
}
