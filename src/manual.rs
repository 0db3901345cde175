//! Shell completions and manual pages, from the same definitions as the command line.

use crate::{cli::Cli, exit_status::ExitStatus};
use clap::{CommandFactory, builder::Resettable};
use clap_mangen::roff::{Roff, roman};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// A completion script for `shell`.
pub fn completions(shell: clap_complete::Shell) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "adjunct", &mut script);
    script
}

/// The manual pages by file name: `adjunct.1`, `adjunct-run.1`, …
///
/// # Errors
/// None that a vector would give.
pub fn pages() -> io::Result<Vec<(String, Vec<u8>)>> {
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    let mut pages = Vec::new();
    collect(&command, "adjunct", &mut pages)?;
    Ok(pages)
}

fn collect(command: &clap::Command, name: &str, pages: &mut Vec<(String, Vec<u8>)>) -> io::Result<()> {
    // As help has it: with the options that the commands before this one need.
    let usage = command.clone().render_usage().to_string();
    let usage = usage.trim_start_matches("Usage: ").to_owned();
    let command_of_page = command.clone().name(name.to_owned()).bin_name("adjunct").override_usage(usage);
    let after_help = command.get_after_help().map(ToString::to_string);
    // Its own place for what is said last has no title, and fills what are lines of their own.
    let command_of_page = command_of_page.after_help(Resettable::Reset);
    let page = clap_mangen::Man::new(command_of_page).manual("adjunct");
    let mut text = Vec::new();
    page.render(&mut text)?;
    if let Some(after_help) = after_help {
        last_words(&after_help).to_writer(&mut text)?;
    }
    exit_statuses(statuses_of(name)).to_writer(&mut text)?;
    // roff knows ASCII.
    let text = String::from_utf8_lossy(&text).replace('…', "...").into_bytes();
    pages.push((format!("{name}.1"), text));
    for sub in command.get_subcommands() {
        collect(sub, &format!("{name}-{}", sub.get_name()), pages)?;
    }
    Ok(())
}

/// With which statuses a command ends. Commands that run no guest have none of guests and signals.
fn statuses_of(name: &str) -> &'static [ExitStatus] {
    const NO_GUEST: &[ExitStatus] = &[
        ExitStatus::Success,
        ExitStatus::Usage,
        ExitStatus::Refused,
        ExitStatus::HostError,
        ExitStatus::Output,
    ];
    match name {
        "adjunct" | "adjunct-run" | "adjunct-serve" | "adjunct-demo" => &ExitStatus::ALL,
        _ => NO_GUEST,
    }
}

/// What the help says last, line by line as it is there. Its title is its first line, if that is one (`Examples:`).
fn last_words(text: &str) -> Roff {
    let (title, lines) = match text.split_once(":\n") {
        Some((title, lines)) if !title.contains(char::is_whitespace) => (title.to_uppercase(), lines),
        _ => ("NOTES".to_owned(), text),
    };
    let mut section = Roff::new();
    section.control("SH", [title.as_str()]);
    section.control("nf", []);
    for line in lines.lines() {
        section.text([roman(line)]);
    }
    section.control("fi", []);
    section
}

fn exit_statuses(statuses: &[ExitStatus]) -> Roff {
    let mut section = Roff::new();
    section.control("SH", ["EXIT STATUS"]);
    for status in statuses {
        section.control("TP", []);
        section.text([roman(status.code().to_string())]);
        section.text([roman(status.meaning())]);
    }
    section
}

/// A page that can't be written.
#[derive(Debug, thiserror::Error)]
#[error("{} can't be written", .file.display())]
pub struct PageError {
    file: PathBuf,
    #[source]
    source: io::Error,
}

/// Writes the manual pages into `directory`.
///
/// # Errors
/// [`PageError`].
pub fn write_pages(directory: &Path) -> Result<(), PageError> {
    let error = |file: PathBuf| move |source| PageError { file, source };
    for (name, text) in pages().map_err(error(directory.to_owned()))? {
        let file = directory.join(name);
        fs::write(&file, text).map_err(error(file))?;
    }
    Ok(())
}
