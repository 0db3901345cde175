//! Random operations on two hosts at once, a real kernel's and the simulated one of the same version: every errno and
//! every text must be the same.
//!
//! The real one is in `tests/lab`, so most of this runs there. What it has answered is kept in files, which the simulated
//! host must answer alike on every machine.

mod generator;
mod guest;
mod host;
mod listed;
mod operation;
#[cfg(target_arch = "s390x")]
mod real;
mod record;
mod simulated;

#[cfg(target_arch = "s390x")]
mod lab;

/// Sequences that were once answered differently, and what the kernel answers: names in `regressions`, and texts. They
/// are part of the program, because the lab has no folder.
#[cfg(any(test, target_arch = "s390x"))]
macro_rules! regressions {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("regressions/", $name)))),*]
    };
}

#[cfg(any(test, target_arch = "s390x"))]
#[rustfmt::skip]
const REGRESSIONS: &[(&str, &str)] = regressions![
    "6.12-deconfigured-and-checkstopped.txt",
    "6.12-interruptions-of-host-and-guest.txt",
    "6.12-last-adapter-and-domain.txt",
    "6.12-masks-come-back-to-a-guest-that-is-to-go.txt",
    "6.12-numbers-beyond-64-bits.txt",
    "6.12-queue-that-nobody-drives.txt",
    "6.12-removal.txt",
    "6.12-reset-of-a-queue-that-is-off.txt",
    "7.2-deconfigured-and-checkstopped.txt",
    "7.2-interruptions-of-host-and-guest.txt",
    "7.2-last-adapter-and-domain.txt",
    "7.2-masks-come-back-to-a-guest-that-is-to-go.txt",
    "7.2-numbers-beyond-64-bits.txt",
    "7.2-queue-that-nobody-drives.txt",
    "7.2-removal.txt",
    "7.2-reset-of-a-queue-that-is-off.txt",
];

#[cfg(test)]
mod tests {
    use crate::{REGRESSIONS, listed, operation::Operation, record::Record, simulated};
    use std::{fs, path::Path};

    /// All that is recorded in a folder beside this file.
    fn records(folder: &str) -> Vec<(String, Record)> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/differential").join(folder);
        let mut files: Vec<_> =
            fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()).collect();
        files.sort();
        let read = |path: &std::path::PathBuf| {
            let name = path.display().to_string();
            let record = Record::parse(&fs::read_to_string(path).expect("a file"));
            let record = record.unwrap_or_else(|wrong| panic!("{name}: {wrong}"));
            (name, record)
        };
        files.iter().map(read).collect()
    }

    fn replay(name: &str, record: &Record) {
        let mut host = simulated::host(record.kernel);
        for (number, (operation, real)) in record.steps.iter().enumerate() {
            let simulated = host.apply(operation);
            assert!(
                listed::alike(operation.path(), real, &simulated),
                "{name}, operation {number}: {operation}\n{}",
                listed::told(real, &simulated)
            );
        }
    }

    #[test]
    fn what_was_once_different_is_not_any_more() {
        let records = records("regressions");
        records.iter().for_each(|(name, record)| replay(name, record));
        // The lab replays them too, and knows of all.
        let names: Vec<&str> = records.iter().filter_map(|(name, _)| name.rsplit('/').next()).collect();
        assert_eq!(names, REGRESSIONS.iter().map(|(name, _)| *name).collect::<Vec<_>>());
    }

    #[test]
    fn what_real_kernels_have_answered_is_answered_here() {
        let records = records("traces");
        assert!(records.iter().all(|(_, record)| record.steps.len() > 1500));
        records.iter().for_each(|(name, record)| replay(name, record));
    }

    #[test]
    fn a_record_is_read_as_it_was_written() {
        for (name, record) in records("regressions") {
            let again = Record::parse(&record.text()).expect("its own text");
            assert!(again.steps == record.steps && again.kernel == record.kernel, "{name}");
        }
    }

    #[test]
    fn the_same_seed_makes_the_same_operations_and_they_can_be_printed() {
        let operations = crate::generator::operations(17, 2000);
        assert_eq!(operations, crate::generator::operations(17, 2000));
        assert_ne!(operations, crate::generator::operations(18, 2000));
        assert!(!crate::generator::spoils(&operations));
        for operation in operations.into_iter().filter(|operation| *operation != Operation::Tree) {
            let text = format!("{operation} = ok");
            assert_eq!(Operation::parse(&text), Some((operation, " = ok")));
        }
    }
}
