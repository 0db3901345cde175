//! Errors as people read them.

use std::error::Error;

/// An error and its sources on one line: `what: why: why`.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(why) = source {
        // An error that passes its source on says the same once.
        let why_text = why.to_string();
        if !text.ends_with(&why_text) {
            text.push_str(": ");
            text.push_str(&why_text);
        }
        source = why.source();
    }
    text
}
