//! What goes over the wire: requests, answers, errors. Knows no command.
//!
//! Forms and wording are QEMU's (`qapi/qmp-dispatch.c`, `qapi/qobject-input-visitor.c`, `qobject/json-parser.c`; 7.2 and
//! 10.2): clients compare the class, people search for the text.

use super::framing::{Frame, LONGEST};
use serde::{
    Deserialize, Serialize,
    de::{Deserializer, Error as _, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Value};
use std::fmt;

/// What kind of error, for programs (`qapi/error.json`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) enum Class {
    /// Nothing that a program would do something about.
    GenericError,
    /// No such command, or not now.
    CommandNotFound,
    /// No such device.
    DeviceNotFound,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Error {
    pub(super) class: Class,
    /// For people.
    pub(super) desc: String,
}

impl Error {
    pub(super) fn generic(desc: impl Into<String>) -> Self {
        Self { class: Class::GenericError, desc: desc.into() }
    }

    pub(super) fn command_not_found(desc: impl Into<String>) -> Self {
        Self { class: Class::CommandNotFound, desc: desc.into() }
    }

    pub(super) fn device_not_found(name: &str) -> Self {
        Self { class: Class::DeviceNotFound, desc: format!("Device '{name}' not found") }
    }

    pub(super) fn parse(what: impl fmt::Display) -> Self {
        Self::generic(format!("JSON parse error, {what}"))
    }

    pub(super) fn wrong_type(name: &str, expected: &str) -> Self {
        Self::generic(format!("Invalid parameter type for '{name}', expected: {expected}"))
    }

    pub(super) fn unexpected(name: &str) -> Self {
        Self::generic(format!("Parameter '{name}' is unexpected"))
    }
}

/// What is said to a request.
#[derive(Debug, Serialize)]
pub(super) struct Answer {
    #[serde(flatten)]
    pub(super) body: Body,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) id: Option<Value>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Body {
    Return(Value),
    Error(Error),
}

/// What a client wants.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Request {
    pub(super) command: String,
    pub(super) arguments: Map<String, Value>,
}

/// A request, if it is one; and whatever the client calls it, which goes back with the answer in either case.
pub(super) fn read(frame: Frame) -> (Option<Value>, Result<Request, Error>) {
    let text = match frame {
        Frame::Text(text) => text,
        Frame::TooLong => {
            return (None, Err(Error::parse(format_args!("a request is longer than {LONGEST} bytes"))));
        }
    };
    match serde_json::from_slice(&text) {
        Ok(Once(Value::Object(mut members))) => {
            let id = members.remove("id");
            (id, request(members))
        }
        Ok(_) => (None, Err(Error::generic("QMP input must be a JSON object"))),
        Err(error) => (None, Err(Error::parse(error))),
    }
}

fn request(mut members: Map<String, Value>) -> Result<Request, Error> {
    let command = match members.remove("execute") {
        Some(Value::String(name)) => Some(name),
        Some(_) => return Err(Error::generic("QMP input member 'execute' must be a string")),
        None => None,
    };
    let arguments = match members.remove("arguments") {
        Some(Value::Object(arguments)) => arguments,
        Some(_) => return Err(Error::generic("QMP input member 'arguments' must be an object")),
        None => Map::new(),
    };
    // That goes for exec-oob too: it is no member before a client has been granted it, and none is.
    if let Some(name) = members.keys().next() {
        return Err(Error::generic(format!("QMP input member '{name}' is unexpected")));
    }
    let command = command.ok_or_else(|| Error::generic("QMP input lacks member 'execute'"))?;
    Ok(Request { command, arguments })
}

/// A value in which no object has a key twice: what two readers could understand in two ways is no request.
struct Once(Value);

impl<'de> Deserialize<'de> for Once {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OnceVisitor).map(Once)
    }
}

struct OnceVisitor;

impl<'de> Visitor<'de> for OnceVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut array = Vec::new();
        while let Some(Once(item)) = items.next_element()? {
            array.push(item);
        }
        Ok(array.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some((key, Once(value))) = members.next_entry::<String, Once>()? {
            if object.insert(key, value).is_some() {
                return Err(A::Error::custom("duplicate key"));
            }
        }
        Ok(object.into())
    }
}

/// The arguments of a command, taken one by one. What nobody has taken is refused at the end.
#[derive(Debug)]
pub(super) struct Arguments {
    members: Map<String, Value>,
    /// Where they are, for messages: `model.`, or nothing.
    path: String,
}

impl Arguments {
    pub(super) fn new(members: Map<String, Value>) -> Self {
        Self { members, path: String::new() }
    }

    /// The argument `name` as a string, if it is there.
    pub(super) fn string(&mut self, name: &str) -> Result<Option<String>, Error> {
        match self.members.remove(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(Error::wrong_type(&self.full(name), "string")),
        }
    }

    /// The argument `name` as an array, if it is there.
    pub(super) fn array(&mut self, name: &str) -> Result<Option<Vec<Value>>, Error> {
        match self.members.remove(name) {
            None => Ok(None),
            Some(Value::Array(items)) => Ok(Some(items)),
            Some(_) => Err(Error::wrong_type(&self.full(name), "array")),
        }
    }

    /// The argument `name` as an object, if it is there.
    pub(super) fn object(&mut self, name: &str) -> Result<Option<Arguments>, Error> {
        match self.members.remove(name) {
            None => Ok(None),
            Some(Value::Object(members)) => Ok(Some(Self { members, path: format!("{}.", self.full(name)) })),
            Some(_) => Err(Error::wrong_type(&self.full(name), "object")),
        }
    }

    /// The argument `name` whatever it is, if it is there.
    pub(super) fn any(&mut self, name: &str) -> Option<Value> {
        self.members.remove(name)
    }

    /// `found`, which must be there.
    pub(super) fn required<T>(&self, name: &str, found: Option<T>) -> Result<T, Error> {
        found.ok_or_else(|| Error::generic(format!("Parameter '{}' is missing", self.full(name))))
    }

    /// All that are left, for a command that knows itself what to take.
    pub(super) fn rest(self) -> Map<String, Value> {
        self.members
    }

    /// Refuses what nobody has taken.
    pub(super) fn finish(self) -> Result<(), Error> {
        match self.members.keys().next() {
            Some(name) => Err(Error::unexpected(&self.full(name))),
            None => Ok(()),
        }
    }

    fn full(&self, name: &str) -> String {
        format!("{}{name}", self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn reads(text: &str) -> (Option<Value>, Result<Request, Error>) {
        read(Frame::Text(text.as_bytes().to_vec()))
    }

    fn desc(text: &str) -> String {
        reads(text).1.expect_err(text).desc
    }

    #[test]
    fn a_request_has_a_command_and_may_have_arguments_and_a_name_of_any_form() {
        let (id, request) = reads(r#"{"execute":"stop","id":[1,{"a":null}],"arguments":{"b":2}}"#);
        assert_eq!(id, Some(json!([1, { "a": null }])));
        let request = request.expect("a request");
        assert_eq!((request.command.as_str(), request.arguments.len()), ("stop", 1));
        assert_eq!(reads(r#"{"execute":"stop"}"#).0, None);
    }

    /// The sentences are QEMU's, as it answered when it was asked (7.2).
    #[test]
    fn what_is_no_request_is_refused_in_qemus_words() {
        for (text, want) in [
            ("[]", "QMP input must be a JSON object"),
            ("null", "QMP input must be a JSON object"),
            (r#"{"execute":3}"#, "QMP input member 'execute' must be a string"),
            (r#"{"execute":"stop","arguments":[]}"#, "QMP input member 'arguments' must be an object"),
            (r#"{"execute":"stop","foo":null}"#, "QMP input member 'foo' is unexpected"),
            (r#"{"exec-oob":"stop"}"#, "QMP input member 'exec-oob' is unexpected"),
            (r#"{"id":7}"#, "QMP input lacks member 'execute'"),
        ] {
            assert_eq!(desc(text), want, "{text}");
        }
    }

    #[test]
    fn what_is_refused_keeps_its_name() {
        assert_eq!(reads(r#"{"execute":3,"id":"x"}"#).0, Some(json!("x")));
        assert_eq!(reads(r#"{"id":null}"#).0, Some(Value::Null));
    }

    #[test]
    fn a_key_that_is_there_twice_is_refused_wherever_it_is() {
        for text in
            [r#"{"execute":"a","execute":"b"}"#, r#"{"execute":"a","arguments":{"x":[{"y":1,"y":1}]}}"#]
        {
            assert!(desc(text).starts_with("JSON parse error, duplicate key"), "{}", desc(text));
        }
        assert!(reads(r#"{"execute":"a","arguments":{"execute":"b"}}"#).1.is_ok());
    }

    #[test]
    fn what_is_no_json_is_refused_and_so_is_what_is_too_long() {
        for text in ["{", "}", r#"{"a":}"#, "garbage", r#"{"execute":"\ud800"}"#, "{\"execute\":\"\u{1}\"}"] {
            assert!(desc(text).starts_with("JSON parse error, "), "{text}: {}", desc(text));
        }
        let nested = "[".repeat(4000) + &"]".repeat(4000);
        assert!(desc(&nested).starts_with("JSON parse error, recursion limit"), "{}", desc(&nested));
        assert!(read(Frame::Text(b"{\"execute\":\"\xff\"}".to_vec())).1.is_err());
        let too_long = read(Frame::TooLong).1.expect_err("too long");
        assert!(too_long.desc.contains("65536 bytes"), "{}", too_long.desc);
    }

    #[test]
    fn arguments_are_refused_by_their_full_names() {
        let Value::Object(members) = json!({ "model": { "name": 3, "x": 1 }, "y": [] }) else { panic!() };
        let mut arguments = Arguments::new(members);
        let mut model = arguments.object("model").expect("an object").expect("there");
        let of = |error: Error| error.desc;
        assert_eq!(
            model.string("name").map_err(of),
            Err("Invalid parameter type for 'model.name', expected: string".to_owned())
        );
        assert_eq!(
            model.required("name", None::<String>).map_err(of),
            Err("Parameter 'model.name' is missing".to_owned())
        );
        assert_eq!(model.finish().map_err(of), Err("Parameter 'model.x' is unexpected".to_owned()));
        assert_eq!(arguments.finish().map_err(of), Err("Parameter 'y' is unexpected".to_owned()));
    }

    #[test]
    fn an_answer_has_one_of_two_forms_and_its_name_if_it_has_one() {
        let text = |answer: &Answer| serde_json::to_value(answer).expect("JSON");
        let good = Answer { body: Body::Return(json!({})), id: Some(json!(1)) };
        assert_eq!(text(&good), json!({ "return": {}, "id": 1 }));
        let bad = Answer { body: Body::Error(Error::device_not_found("ap0")), id: None };
        let want = json!({ "error": { "class": "DeviceNotFound", "desc": "Device 'ap0' not found" } });
        assert_eq!(text(&bad), want);
    }
}
