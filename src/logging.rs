//! Messages for people: to stderr or a file, never to stdout, which is the guest's.

use crate::lossy::{Lossy, Lost};
use std::{
    fs::OpenOptions,
    io::{self, Write},
    path::PathBuf,
    sync::Mutex,
};
use tracing::{Event, Level, Subscriber, subscriber::set_global_default};
use tracing_subscriber::{
    fmt::{self, FmtContext, FormatEvent, FormatFields, format::Writer},
    registry::LookupSpan,
};

/// How much is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verbosity {
    /// Warnings and refusals.
    Warn,
    /// What is done.
    Info,
    /// Each intercept.
    Debug,
}

/// Where messages go and how many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logging {
    /// How much is said.
    pub verbosity: Verbosity,
    /// A file instead of stderr.
    pub file: Option<PathBuf>,
}

/// A log file that can't be written.
#[derive(Debug, thiserror::Error)]
#[error("--log-file {}: it can't be written", path.display())]
pub struct LogFileError {
    path: PathBuf,
    #[source]
    source: io::Error,
}

/// The log of this process.
#[derive(Debug)]
#[must_use = "it knows whether all messages were written"]
pub struct Log {
    file: Option<(PathBuf, Lost)>,
}

impl Log {
    /// Whether all messages are in the file that they were to go to. Nobody waits for what goes to stderr.
    ///
    /// # Errors
    /// [`LogFileError`] with the first failure.
    pub fn all_written(&self) -> Result<(), LogFileError> {
        let Some((path, lost)) = &self.file else { return Ok(()) };
        lost.take().map_or(Ok(()), |source| Err(LogFileError { path: path.clone(), source }))
    }
}

/// One line for people, as `adjunct: …`. A terminal that has gone away is no reason to end.
pub fn say(line: impl std::fmt::Display) {
    // At once: a guest may write to the same terminal.
    let _ = io::stderr().write_all(format!("adjunct: {}\n", printable(&line.to_string())).as_bytes());
}

/// What a terminal would obey is written out: messages quote files and what others have sent.
fn printable(text: &str) -> String {
    let escape = |c: char| match c {
        '\n' | '\t' => c.to_string(),
        _ if c.is_control() => c.escape_default().to_string(),
        _ => c.to_string(),
    };
    text.chars().map(escape).collect()
}

/// Starts the log that `wanted` describes, for all threads. A file is appended to, with the time of
/// each message; stderr gets the messages alone. A full disk loses messages and ends nobody.
///
/// # Errors
/// [`LogFileError`].
pub fn start(wanted: &Logging) -> Result<Log, LogFileError> {
    let level = match wanted.verbosity {
        Verbosity::Warn => Level::WARN,
        Verbosity::Info => Level::INFO,
        Verbosity::Debug => Level::DEBUG,
    };
    let log = fmt::fmt().with_max_level(level).with_ansi(false).with_target(false);
    match &wanted.file {
        None => {
            let stderr = || Lossy::new(io::stderr()).0;
            install(log.event_format(AsWeSpeak).with_writer(stderr).finish());
            Ok(Log { file: None })
        }
        Some(path) => {
            let file = OpenOptions::new().create(true).append(true).open(path);
            let file = file.map_err(|source| LogFileError { path: path.clone(), source })?;
            let (file, lost) = Lossy::new(file);
            install(log.with_writer(Mutex::new(file)).finish());
            Ok(Log { file: Some((path.clone(), lost)) })
        }
    }
}

/// Messages on stderr look like the program's other ones: `adjunct: warning: …`.
struct AsWeSpeak;

impl<S, N> FormatEvent<S, N> for AsWeSpeak
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        fields: &FmtContext<'_, S, N>,
        mut to: Writer<'_>,
        event: &Event<'_>,
    ) -> std::fmt::Result {
        let level = match *event.metadata().level() {
            Level::ERROR => "error: ",
            Level::WARN => "warning: ",
            _ => "",
        };
        write!(to, "adjunct: {level}")?;
        fields.field_format().format_fields(to.by_ref(), event)?;
        writeln!(to)
    }
}

/// A process has one log: whoever starts a second keeps the first.
fn install(log: impl Subscriber + Send + Sync) {
    let _ = set_global_default(log);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_written_out() {
        assert_eq!(printable("a\x1b[2Jb\u{9b}c\rd\ne"), "a\\u{1b}[2Jb\\u{9b}c\\rd\ne");
    }
}
