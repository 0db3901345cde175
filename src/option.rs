//! Option strings of the form `head,key=value,…`, as QEMU writes them.

use std::fmt;

/// What an option string says, before anybody knows what it means.
///
/// Two commas in a row stand for one inside a value (`util/keyval.c` in QEMU).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OptionString {
    /// The part before the first comma, if it is no `key=value`.
    pub head: Option<String>,
    pairs: Vec<(String, String)>,
}

/// Why an option string can't be understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OptionError {
    /// Neither head nor `key=value`.
    #[error("{0:?} is not of the form key=value")]
    NoValue(String),
    /// A key more than once.
    #[error("{0:?} is given twice")]
    Duplicate(String),
    /// A key nobody asked for.
    #[error("there is no option {key:?}; known are {known}")]
    Unknown {
        /// As typed.
        key: String,
        /// What could have been typed.
        known: Keys,
    },
    /// It is of no form that the option has.
    #[error("write {0}")]
    Form(&'static str),
    /// A key that must be there is not.
    #[error("{0}= is missing")]
    Missing(&'static str),
    /// A value that can't be taken.
    #[error("{key}={value} can't be taken: {reason}")]
    BadValue {
        /// The key.
        key: &'static str,
        /// As typed.
        value: String,
        /// Why not.
        reason: String,
    },
}

/// A list of keys, for messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keys(pub &'static [&'static str]);

impl fmt::Display for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(", "))
    }
}

impl OptionString {
    /// Takes `text` apart. Empty parts are refused.
    ///
    /// # Errors
    /// [`OptionError::NoValue`], [`OptionError::Duplicate`].
    pub fn parse(text: &str) -> Result<Self, OptionError> {
        let mut parts = split_at_single_commas(text).into_iter().peekable();
        let head = parts.next_if(|first| !first.contains('='));
        let mut pairs: Vec<(String, String)> = Vec::new();
        for part in parts {
            let Some((key, value)) = part.split_once('=').filter(|(key, _)| !key.is_empty()) else {
                return Err(OptionError::NoValue(part));
            };
            if pairs.iter().any(|(known, _)| known == key) {
                return Err(OptionError::Duplicate(key.to_owned()));
            }
            pairs.push((key.to_owned(), value.to_owned()));
        }
        Ok(Self { head, pairs })
    }

    /// Takes the value of `key` out.
    pub fn take(&mut self, key: &'static str) -> Option<String> {
        let at = self.pairs.iter().position(|(known, _)| known == key)?;
        Some(self.pairs.remove(at).1)
    }

    /// Refuses whatever nobody has taken.
    ///
    /// # Errors
    /// [`OptionError::Unknown`] with the `known` keys.
    pub fn finish(self, known: &'static [&'static str]) -> Result<(), OptionError> {
        match self.pairs.into_iter().next() {
            Some((key, _)) => Err(OptionError::Unknown { key, known: Keys(known) }),
            None => Ok(()),
        }
    }
}

fn split_at_single_commas(text: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut characters = text.chars().peekable();
    while let Some(c) = characters.next() {
        if c == ',' && characters.next_if_eq(&',').is_none() {
            parts.push(String::new());
        } else if let Some(part) = parts.last_mut() {
            part.push(c);
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_doubled_comma_is_one_comma_of_the_value() {
        let mut option = OptionString::parse("vfio-ap,sysfsdev=/a,,b,id=x").expect("well formed");
        assert_eq!(option.head.as_deref(), Some("vfio-ap"));
        assert_eq!(option.take("sysfsdev").as_deref(), Some("/a,b"));
        assert_eq!(option.take("id").as_deref(), Some("x"));
        assert_eq!(option.finish(&[]), Ok(()));
    }

    #[test]
    fn a_key_given_twice_is_refused_by_name() {
        assert_eq!(OptionString::parse("d,id=a,id=a"), Err(OptionError::Duplicate("id".into())));
    }

    #[test]
    fn what_nobody_takes_is_refused_with_what_is_known() {
        let option = OptionString::parse("d,sysdev=/x").expect("well formed");
        let refused = option.finish(&["sysfsdev", "id"]).expect_err("unknown");
        assert_eq!(refused.to_string(), "there is no option \"sysdev\"; known are sysfsdev, id");
    }

    #[test]
    fn parts_without_a_key_are_refused() {
        for text in ["d,", "d,x", "d,=x", "a=b,"] {
            assert!(matches!(OptionString::parse(text), Err(OptionError::NoValue(_))), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_values_survive_being_written_and_read(values in proptest::collection::vec(".{0,12}", 1..5)) {
            let mut text = "head".to_owned();
            for (n, value) in values.iter().enumerate() {
                text += &format!(",k{n}={}", value.replace(',', ",,"));
            }
            let option = OptionString::parse(&text).expect("written by us");
            let read: Vec<_> = option.pairs.into_iter().map(|(_, value)| value).collect();
            prop_assert_eq!(read, values);
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in ".{0,60}") {
            let _ = OptionString::parse(&text);
        }
    }
}
