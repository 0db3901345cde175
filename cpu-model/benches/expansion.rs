//! What it costs to get from an option to a CPU, to compare CPUs and to encode one for KVM.
//!
//! `cargo bench -p adjunct-cpu-model`

use adjunct_cpu_model::kvm::{Capabilities, MachineAttributes, ProcessorAttributes};
use adjunct_cpu_model::{Cpu, CpuSpec, HostCpu, Model, baseline, compare};
use divan::{Bencher, black_box};

fn main() {
    divan::main();
}

const OPTION: &str = "zEC12,ap=on,apqci=on,apft=on,apqi=on,msa4=off,kmac-dea=off";

fn cpu(text: &str) -> Cpu {
    text.parse::<CpuSpec>().expect(text).expand().expect(text)
}

fn host() -> HostCpu {
    let z16 = Model::by_name("gen16a").expect("a model");
    HostCpu::new(z16, z16.full())
}

#[divan::bench]
fn parse(bencher: Bencher) {
    bencher.bench(|| black_box(OPTION).parse::<CpuSpec>());
}

#[divan::bench]
fn resolve(bencher: Bencher) {
    let (spec, host): (CpuSpec, _) = (OPTION.parse().expect(OPTION), host());
    bencher.bench(|| black_box(&spec).resolve(black_box(&host)));
}

#[divan::bench]
fn static_expansion(bencher: Bencher) {
    let cpu = cpu("gen16a");
    bencher.bench(|| black_box(&cpu).static_expansion());
}

#[divan::bench]
fn full_expansion(bencher: Bencher) {
    let cpu = cpu("gen16a");
    bencher.bench(|| black_box(&cpu).full_expansion());
}

#[divan::bench]
fn compare_two(bencher: Bencher) {
    let (a, b) = (cpu("z14"), cpu("gen16a"));
    bencher.bench(|| compare(black_box(&a), black_box(&b)));
}

#[divan::bench]
fn baseline_of_two(bencher: Bencher) {
    let (a, b) = (cpu("z14"), cpu("gen16a"));
    bencher.bench(|| baseline(black_box(&a), black_box(&b)));
}

#[divan::bench]
fn encode_for_kvm(bencher: Bencher) {
    let cpu = cpu("gen16a");
    bencher.bench(|| ProcessorAttributes::encode(black_box(&cpu)));
}

#[divan::bench]
fn decode_host(bencher: Bencher) {
    let host = host();
    let (attributes, capabilities) = (MachineAttributes::encode(&host), Capabilities::of(host.features));
    bencher.bench(|| black_box(&attributes).decode(black_box(&capabilities)));
}
