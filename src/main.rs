//! `adjunct`: see `adjunct --help`.
#![forbid(unsafe_code)]

use adjunct::{
    chain::chain,
    cli::{Cli, Command, with_double_dashes},
    cpu, ctl, demo,
    exit_status::ExitStatus,
    launch, logging, manual, signals, sim,
};
use clap::{Parser, error::ErrorKind};
use std::{
    error::Error,
    io::{self, Write},
    process::ExitCode,
};

fn main() -> ExitCode {
    signals::survive_file_limit();
    let cli = match Cli::try_parse_from(with_double_dashes(std::env::args_os())) {
        Ok(cli) => cli,
        Err(answer) => {
            let asked_for = matches!(answer.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
            let printed = answer.print();
            // Nobody can be told what standard error does not take.
            return if asked_for { printing(printed) } else { ExitStatus::Usage }.into();
        }
    };
    match cli.command {
        Command::Run(args) => logged(&args.logging(), || run(*args)),
        Command::Serve(args) => logged(&args.logging(), || serve(&args)),
        Command::Demo => match demo::show(&mut io::stdout().lock()) {
            Ok(status) => status,
            Err(error) if error.status() == ExitStatus::Success => ExitStatus::Success,
            Err(error) => complain(&error, error.status()),
        },
        Command::Ctl(args) => match ctl::run(&args) {
            Ok(status) => status,
            Err(error) if error.status() == ExitStatus::Success => ExitStatus::Success,
            Err(error) => complain(&error, error.status()),
        },
        Command::Cpu(command) => match cpu::answer(&command) {
            Ok(text) => print(text.as_bytes()),
            Err(error) => complain(&error, error.status()),
        },
        Command::Sim(command) => sim::run(&command).unwrap_or_else(|error| complain(&error, error.status())),
        Command::Completions { shell } => print(&manual::completions(shell)),
        Command::Man { directory } => match manual::write_pages(&directory) {
            Ok(()) => ExitStatus::Success,
            Err(error) => complain(&error, ExitStatus::Output),
        },
    }
    .into()
}

/// Does something with a log, and says at the end if that is not complete.
fn logged(wanted: &logging::Logging, act: impl FnOnce() -> ExitStatus) -> ExitStatus {
    let log = match logging::start(wanted) {
        Ok(log) => log,
        Err(error) => return complain(&error, ExitStatus::Output),
    };
    let status = act();
    match log.all_written() {
        Ok(()) => status,
        Err(error) => {
            let lost = complain(&error, ExitStatus::Output);
            if status == ExitStatus::Success { lost } else { status }
        }
    }
}

fn run(args: adjunct::cli::RunArgs) -> ExitStatus {
    let management = args.management();
    if let Err(error) = args.sandbox().begin(&management.sockets(), args.host()) {
        return complain(&error, error.status());
    }
    match args.into_config() {
        Ok(config) => {
            launch::run(config, &management).unwrap_or_else(|error| complain(&error, error.status()))
        }
        Err(sentence) => misuse(&sentence),
    }
}

fn serve(args: &adjunct::cli::ServeArgs) -> ExitStatus {
    let management = args.management();
    if management.is_none() {
        return misuse("nobody could ask for anything: give --api-socket or --qmp");
    }
    if let Err(error) = args.sandbox().begin(&management.sockets(), args.host()) {
        return complain(&error, error.status());
    }
    let events = match args.events() {
        Ok(events) => events,
        Err(sentence) => return misuse(&sentence),
    };
    launch::serve(args.host(), events, &management).unwrap_or_else(|error| complain(&error, error.status()))
}

fn misuse(sentence: &str) -> ExitStatus {
    logging::say(sentence);
    ExitStatus::Usage
}

/// The one place that prints an error: what, and why, on one line.
fn complain(error: &(dyn Error + 'static), status: ExitStatus) -> ExitStatus {
    logging::say(chain(error));
    status
}

fn print(text: &[u8]) -> ExitStatus {
    let mut out = io::stdout().lock();
    printing(out.write_all(text).and_then(|()| out.flush()))
}

/// What comes of an answer on standard output.
fn printing(written: io::Result<()>) -> ExitStatus {
    match written {
        Ok(()) => ExitStatus::Success,
        // Whoever reads us has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitStatus::Success,
        Err(error) => {
            logging::say(format_args!("standard output can't be written: {error}"));
            ExitStatus::Output
        }
    }
}
