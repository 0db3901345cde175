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

/// Opens `target`. A guest has both SCLP consoles, and writes to whichever it knows; both end here.
///
/// # Errors
/// [`ConsoleError`].
pub fn open(target: &ConsoleTarget) -> Result<Consoles, ConsoleError> {
    match target {
        ConsoleTarget::Off => Ok(Consoles { ascii: None, line_mode: None }),
        ConsoleTarget::Stdio => Ok(both(io::stdout)),
        ConsoleTarget::File(path) => {
            let error = |source| ConsoleError { path: path.clone(), source };
            let file = File::create(path).map_err(error)?;
            let again = file.try_clone().map_err(error)?;
            Ok(Consoles { ascii: Some(Box::new(file)), line_mode: Some(Box::new(again)) })
        }
    }
}

fn both<W: Write + Send + 'static>(make: impl Fn() -> W) -> Consoles {
    Consoles { ascii: Some(Box::new(make())), line_mode: Some(Box::new(make())) }
}

/// A console that is kept in memory.
#[derive(Clone, Debug, Default)]
pub struct Kept(Arc<Mutex<Vec<u8>>>);

impl Kept {
    /// Both SCLP consoles, ending here.
    pub fn consoles(&self) -> Consoles {
        both(|| self.clone())
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
