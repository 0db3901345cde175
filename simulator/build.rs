//! The tests that make VMs need the ELF header PT_S390_PGSTE, as every program does that uses KVM: see the
//! workspace's build.rs for why.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_ARCH").as_deref() == Ok("s390x") {
        println!("cargo::rustc-link-arg-tests=-Wl,--s390-pgste");
    }
}
