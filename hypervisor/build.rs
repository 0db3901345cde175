//! KVM of s390x gives VMs only to programs whose page tables have room for it, up to Linux 6.12 at least.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_ARCH").as_deref() == Ok("s390x") {
        // The ELF header PT_S390_PGSTE, for what runs VMs here: the tests.
        println!("cargo::rustc-link-arg-tests=-Wl,--s390-pgste");
    }
}
