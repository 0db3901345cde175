//! Where the guest's console goes.

use crate::config::ConsoleTarget;
use adjunct_devices::sclp::Consoles;
use std::{
    fs::File,
    io::{self, Write},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

/// A console that can't be opened.
#[derive(Debug, thiserror::Error)]
#[error("--console file:{}: it can't be written", path.display())]
pub struct ConsoleError {
    path: PathBuf,
    #[source]
    source: io::Error,
}

/// Opens `target`. The guest has the ASCII console alone: Linux would write its first messages to the
/// line-mode console too, and a person would read them twice.
///
/// # Errors
/// [`ConsoleError`].
pub fn open(target: &ConsoleTarget) -> Result<Consoles, ConsoleError> {
    let output: Box<dyn Write + Send> = match target {
        // Off is silence, not the lack of a console, which a guest might not want to live without.
        ConsoleTarget::Off => Box::new(io::sink()),
        ConsoleTarget::Stdio => Box::new(io::stdout()),
        ConsoleTarget::File(path) => {
            let file = File::create(path);
            Box::new(file.map_err(|source| ConsoleError { path: path.clone(), source })?)
        }
    };
    Ok(ascii(output))
}

fn ascii(output: Box<dyn Write + Send>) -> Consoles {
    Consoles { ascii: Some(output), line_mode: None }
}

/// A console that is kept in memory.
#[derive(Clone, Debug, Default)]
pub struct Kept(Arc<Mutex<Vec<u8>>>);

impl Kept {
    /// The ASCII console, ending here.
    pub fn consoles(&self) -> Consoles {
        ascii(Box::new(self.clone()))
    }

    /// What the guest has written so far.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }
}

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
