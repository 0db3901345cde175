//! KVM on IBM Z makes VMs only for programs whose ELF header asks for page tables with guest storage keys (PT_S390_PGSTE),
//! or where `vm.allocate_pgste` is 1 (`arch/s390/kernel/process.c`, `arch/s390/mm/init.c`, 6.12).

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_ARCH").is_ok_and(|arch| arch == "s390x") {
        println!("cargo::rustc-link-arg=-Wl,--s390-pgste");
    }
}
