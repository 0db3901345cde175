//! Both hosts, in the lab.

use crate::{
    generator,
    host::Host,
    listed,
    operation::{Answer, Operation},
    real,
    record::Record,
    simulated,
};
use adjunct_simulator::KernelProfile;
use std::time::{Duration, Instant};

fn kernel() -> KernelProfile {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").expect("a release");
    let known = KernelProfile::ALL.into_iter().find(|kernel| release.starts_with(&format!("{kernel}.")));
    known.unwrap_or_else(|| panic!("no profile for {release}"))
}

struct Difference {
    at: usize,
    /// What the real kernel has answered, so far.
    real: Vec<Answer>,
    simulated: Answer,
}

impl Difference {
    fn told(&self) -> String {
        listed::told(self.real.last().unwrap_or(&Answer::Done), &self.simulated)
    }
}

fn compare(real: &mut Host, kernel: KernelProfile, operations: &[Operation]) -> Option<Difference> {
    real.refresh();
    let mut simulated = simulated::host(kernel);
    let mut told = Vec::new();
    for (at, operation) in operations.iter().enumerate() {
        simulated.keep_up(real.asked_again());
        let answers = (real.apply(operation), simulated.apply(operation));
        let alike = listed::alike(operation.path(), &answers.0, &answers.1);
        told.push(answers.0);
        if !alike {
            return Some(Difference { at, real: told, simulated: answers.1 });
        }
    }
    None
}

fn shrink(
    real: &mut Host,
    kernel: KernelProfile,
    mut operations: Vec<Operation>,
    until: Duration,
) -> Vec<Operation> {
    let since = Instant::now();
    let mut size = operations.len() / 2;
    while size > 0 && since.elapsed() < until {
        let mut at = 0;
        while at < operations.len() - 1 && since.elapsed() < until {
            let mut fewer = operations.clone();
            fewer.drain(at..(at + size).min(operations.len() - 1));
            let found = if generator::spoils(&fewer) { None } else { compare(real, kernel, &fewer) };
            match found {
                Some(difference) => {
                    fewer.truncate(difference.at + 1);
                    operations = fewer;
                }
                None => at += size,
            }
        }
        size /= 2;
    }
    operations
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Does the sequences of `seeds` on both hosts.
fn run(seeds: impl Iterator<Item = u64>) {
    let kernel = kernel();
    let (count, shrinking) = (number("OPERATIONS", 150), number("SHRINK", 20));
    let mut real = real::host();
    let (mut done, mut different) = (0, 0);
    let since = Instant::now();
    for seed in seeds {
        let operations = generator::operations(seed, count.try_into().expect("a count"));
        let Some(difference) = compare(&mut real, kernel, &operations) else {
            done += operations.len();
            continue;
        };
        done += difference.at;
        different += 1;
        let mut fewer = operations[..=difference.at].to_vec();
        println!("{kernel} seed {seed}, operation {}: {}", difference.at, operations[difference.at]);
        print!("{}", difference.told());
        if shrinking == 0 {
            continue;
        }
        fewer = shrink(&mut real, kernel, fewer, Duration::from_secs(shrinking));
        match compare(&mut real, kernel, &fewer) {
            Some(difference) => {
                let trees = fewer[..difference.at].iter().all(|operation| *operation != Operation::Tree);
                if trees && fewer.last() == Some(&Operation::Tree) {
                    fewer.iter().for_each(|operation| println!("  {operation}"));
                } else {
                    let steps = fewer.into_iter().zip(difference.real.iter().cloned()).collect();
                    print!("{}", Record { kernel, steps }.text());
                }
                print!("{}", difference.told());
            }
            None => println!("  not always"),
        }
    }
    println!("{kernel}: {done} operations in {:?}, {different} sequences differ", since.elapsed());
    assert_eq!(different, 0);
}

#[test]
#[ignore = "goes through the sequences that SEED and SEEDS ask for, on a real kernel"]
fn sequences_that_are_asked_for_are_answered_alike() {
    let first = number("SEED", 1);
    run(first..first + number("SEEDS", 1));
}

/// Once for each kernel is enough: where VFIO has character devices.
mod cdev {
    use super::{kernel, run};
    use crate::{REGRESSIONS, listed, real, record::Record};

    /// 16 sequences, 2,700 operations: there are four such tests, because one must not take longer than five minutes.
    fn quarter(number: u64) {
        run(number * 100..number * 100 + 16);
    }

    #[test]
    #[ignore = "needs a real kernel; tests/lab runs it"]
    fn random_operations_are_answered_alike() {
        quarter(1);
    }

    #[test]
    #[ignore = "needs a real kernel; tests/lab runs it"]
    fn more_random_operations_are_answered_alike() {
        quarter(2);
    }

    #[test]
    #[ignore = "needs a real kernel; tests/lab runs it"]
    fn still_more_random_operations_are_answered_alike() {
        quarter(3);
    }

    #[test]
    #[ignore = "needs a real kernel; tests/lab runs it"]
    fn the_last_random_operations_are_answered_alike() {
        quarter(4);
    }

    #[test]
    #[ignore = "needs a real kernel; tests/lab runs it"]
    fn what_was_once_different_is_answered_as_was_recorded() {
        let (kernel, mut real) = (kernel(), real::host());
        let records = REGRESSIONS.iter().map(|(name, text)| (name, Record::parse(text).expect("a record")));
        let mut replayed = 0;
        for (name, record) in records.filter(|(_, record)| record.kernel == kernel) {
            real.refresh();
            for (operation, recorded) in &record.steps {
                let answer = real.apply(operation);
                let alike = listed::alike(operation.path(), &answer, recorded);
                assert!(alike, "{name}: {operation}\n{}", listed::told(&answer, recorded));
            }
            replayed += 1;
        }
        assert_ne!(replayed, 0);
        real.refresh();
    }
}

/// Prints what the real kernel answers to the operations of the file that `SEQUENCE` names, or of `SEED`.
#[test]
#[ignore = "prints a record, when it is asked for"]
fn a_sequence_is_recorded() {
    let mut real = real::host();
    real.refresh();
    let operations: Vec<Operation> = match std::env::var("SEQUENCE") {
        Ok(path) => {
            let text = std::fs::read_to_string(path).expect("a file");
            let lines = text.lines().filter(|line| !line.is_empty());
            lines.map(|line| Operation::parse(line).expect("an operation").0).collect()
        }
        Err(_) => {
            generator::operations(number("SEED", 1), number("OPERATIONS", 100).try_into().expect("a count"))
        }
    };
    let answer = |operation: Operation| (operation.clone(), real.apply(&operation));
    let steps = operations.into_iter().map(answer).collect();
    println!("RECORD\n{}END", Record { kernel: kernel(), steps }.text());
    real.refresh();
}
