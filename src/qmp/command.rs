//! The commands: their names, and who carries each out.

use super::{
    cpu_model, device,
    files::{self, Files},
    message::{Answer, Arguments, Body, Error, Request},
    query,
};
use crate::{
    chain::chain,
    control::{Handle, Refusal, VmState},
};
use serde::Serialize;
use serde_json::{Value, json};
use std::cell::RefCell;

/// Carries a command out.
type Run = fn(&Handle, Arguments) -> Result<Value, Error>;

/// Carries out a command that is about files which clients have sent.
type RunWithFiles = fn(&Handle, &mut Files, Arguments) -> Result<Value, Error>;

/// Those about files, by name.
const WITH_FILES: &[(&str, RunWithFiles)] = &[
    ("closefd", files::close),
    ("device_add", device::add),
    ("getfd", files::get),
    ("object-add", files::add_object),
    ("object-del", files::delete_object),
];

/// All others, by name, but the one that leads to them.
const COMMANDS: &[(&str, Run)] = &[
    ("cont", cont),
    ("device_del", device::delete),
    ("qom-list", device::list),
    ("query-block", nothing),
    ("query-chardev", nothing),
    ("query-commands", commands),
    ("query-cpu-definitions", cpu_model::definitions),
    ("query-cpu-model-baseline", cpu_model::baseline),
    ("query-cpu-model-comparison", cpu_model::comparison),
    ("query-cpu-model-expansion", cpu_model::expansion),
    ("query-cpus-fast", query::cpus),
    ("query-fdsets", nothing),
    ("query-hotpluggable-cpus", query::hotpluggable_cpus),
    ("query-iothreads", nothing),
    ("query-memory-devices", nothing),
    ("query-name", name),
    ("query-status", query::status),
    ("query-target", target),
    ("query-version", version),
    ("quit", quit),
    ("stop", stop),
    ("system_powerdown", power_down),
    ("system_reset", reset),
    ("x-query-ap", query::ap),
];

/// What begins a session.
const NEGOTIATION: &str = "qmp_capabilities";

/// One client's conversation.
#[derive(Debug)]
pub(super) struct Session<'a> {
    handle: &'a Handle,
    files: &'a RefCell<Files>,
    negotiated: bool,
}

impl<'a> Session<'a> {
    pub(super) fn new(handle: &'a Handle, files: &'a RefCell<Files>) -> Self {
        Self { handle, files, negotiated: false }
    }

    /// Whether the client can make use of events yet.
    pub(super) fn hears_events(&self) -> bool {
        self.negotiated
    }

    /// What is said to `request`, which the client calls `id`.
    pub(super) fn answer(&mut self, id: Option<Value>, request: Result<Request, Error>) -> Answer {
        let body = match request.and_then(|request| self.carry_out(request)) {
            Ok(answer) => Body::Return(answer),
            Err(error) => Body::Error(error),
        };
        Answer { body, id }
    }

    fn carry_out(&mut self, Request { command, arguments }: Request) -> Result<Value, Error> {
        let arguments = Arguments::new(arguments);
        match (self.negotiated, command.as_str()) {
            (false, NEGOTIATION) => {
                negotiate(arguments)?;
                self.negotiated = true;
                Ok(done())
            }
            (false, _) => {
                Err(Error::command_not_found("Expecting capabilities negotiation with 'qmp_capabilities'"))
            }
            (true, NEGOTIATION) => {
                Err(Error::command_not_found("Capabilities negotiation is already complete, command ignored"))
            }
            (true, name) => {
                if let Some(run) = find(COMMANDS, name) {
                    run(self.handle, arguments)
                } else if let Some(run) = find(WITH_FILES, name) {
                    run(self.handle, &mut self.files.borrow_mut(), arguments)
                } else {
                    Err(Error::command_not_found(format!("The command {name} has not been found")))
                }
            }
        }
    }
}

fn find<R: Copy>(commands: &[(&str, R)], name: &str) -> Option<R> {
    commands.binary_search_by_key(&name, |(name, _)| name).ok().map(|found| commands[found].1)
}

/// Accepts what was offered, which is nothing: no command is so quick that it could overtake another.
fn negotiate(mut arguments: Arguments) -> Result<(), Error> {
    let enable = arguments.array("enable")?.unwrap_or_default();
    arguments.finish()?;
    match enable.first() {
        None => Ok(()),
        Some(Value::String(oob)) if oob == "oob" => Err(Error::generic("Capability oob not available")),
        Some(Value::String(other)) => {
            Err(Error::generic(format!("Parameter 'enable[0]' does not accept value '{other}'")))
        }
        Some(_) => Err(Error::wrong_type("enable[0]", "string")),
    }
}

/// `value` as the answer to a command.
pub(super) fn answer(value: impl Serialize) -> Result<Value, Error> {
    serde_json::to_value(value).map_err(|error| Error::generic(error.to_string()))
}

/// The answer of a command that has nothing to say.
pub(super) fn done() -> Value {
    json!({})
}

/// What the guest's keeper refuses, in our words; no program can do anything about it.
pub(super) fn refused(refusal: &Refusal) -> Error {
    match refusal {
        Refusal::NoSuchDevice { id, .. } => Error::device_not_found(id),
        other => Error::generic(chain(other)),
    }
}

/// A list of what adjunct has none of: clients ask for such lists whenever they connect.
fn nothing(_: &Handle, arguments: Arguments) -> Result<Value, Error> {
    arguments.finish()?;
    Ok(json!([]))
}

fn commands(_: &Handle, arguments: Arguments) -> Result<Value, Error> {
    arguments.finish()?;
    let with_files = WITH_FILES.iter().map(|(name, _)| *name);
    let names = COMMANDS.iter().map(|(name, _)| *name).chain(with_files).chain([NEGOTIATION]);
    Ok(names.map(|name| json!({ "name": name })).collect())
}

fn version(_: &Handle, arguments: Arguments) -> Result<Value, Error> {
    arguments.finish()?;
    answer(query::Version::OURS)
}

/// Guests have no names here.
fn name(_: &Handle, arguments: Arguments) -> Result<Value, Error> {
    arguments.finish()?;
    Ok(json!({}))
}

fn target(_: &Handle, arguments: Arguments) -> Result<Value, Error> {
    arguments.finish()?;
    Ok(json!({ "arch": "s390x" }))
}

/// Lets a guest go on, or begin: one that was created and not booted is what QEMU calls `prelaunch`.
fn cont(handle: &Handle, arguments: Arguments) -> Result<Value, Error> {
    arguments.finish()?;
    let resumed = match handle.resume() {
        Err(Refusal::Already { state: VmState::Running }) => Ok(()),
        Err(Refusal::WrongState { state: VmState::Created, .. }) => handle.boot(),
        other => other,
    };
    resumed.map(|()| done()).map_err(|refusal| refused(&refusal))
}

/// Holds a guest. One that does not run is held already.
fn stop(handle: &Handle, arguments: Arguments) -> Result<Value, Error> {
    arguments.finish()?;
    match handle.pause() {
        Ok(()) | Err(Refusal::Already { .. } | Refusal::WrongState { .. } | Refusal::NotCreated) => {
            Ok(done())
        }
        Err(refusal) => Err(refused(&refusal)),
    }
}

fn reset(handle: &Handle, arguments: Arguments) -> Result<Value, Error> {
    act(handle, arguments, Handle::reset)
}

fn power_down(handle: &Handle, arguments: Arguments) -> Result<Value, Error> {
    act(handle, arguments, Handle::power_down)
}

fn quit(handle: &Handle, arguments: Arguments) -> Result<Value, Error> {
    act(handle, arguments, Handle::quit)
}

fn act(
    handle: &Handle,
    arguments: Arguments,
    act: fn(&Handle) -> Result<(), Refusal>,
) -> Result<Value, Error> {
    arguments.finish()?;
    act(handle).map(|()| done()).map_err(|refusal| refused(&refusal))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::mailbox;

    fn ask(session: &mut Session<'_>, command: &str, arguments: Value) -> Value {
        let Value::Object(arguments) = arguments else { panic!("arguments are an object") };
        let request = Request { command: command.to_owned(), arguments };
        serde_json::to_value(session.answer(None, Ok(request))).expect("JSON")
    }

    /// What `check` is told by a VMM that is gone: each command that needs one says so.
    fn with_nobody_there(check: impl FnOnce(Session<'_>)) {
        let (handle, mailbox) = mailbox().expect("an eventfd");
        drop(mailbox);
        check(Session::new(&handle, &RefCell::default()));
    }

    #[test]
    fn commands_are_in_order_and_each_is_there_once() {
        assert!(COMMANDS.is_sorted_by(|(a, _), (b, _)| a < b));
        assert!(WITH_FILES.is_sorted_by(|(a, _), (b, _)| a < b));
        let once = |name| name != NEGOTIATION && find(WITH_FILES, name).is_none();
        assert!(COMMANDS.iter().all(|(name, _)| once(name)));
    }

    #[test]
    fn before_capabilities_are_negotiated_there_is_no_other_command() {
        with_nobody_there(|mut session| {
            let early = ask(&mut session, "query-version", json!({}));
            assert_eq!(early["error"]["class"], "CommandNotFound");
            assert_eq!(early["error"]["desc"], "Expecting capabilities negotiation with 'qmp_capabilities'");
            assert!(!session.hears_events());
            assert_eq!(ask(&mut session, "qmp_capabilities", json!({})), json!({ "return": {} }));
            assert!(session.hears_events());
            let late = ask(&mut session, "qmp_capabilities", json!({}));
            assert_eq!(late["error"]["class"], "CommandNotFound");
        });
    }

    #[test]
    fn what_was_not_offered_is_not_granted_and_can_be_asked_for_again_without() {
        with_nobody_there(|mut session| {
            for (enable, desc) in [
                (json!(["oob"]), "Capability oob not available"),
                (json!(["x"]), "Parameter 'enable[0]' does not accept value 'x'"),
                (json!([1]), "Invalid parameter type for 'enable[0]', expected: string"),
                (json!("oob"), "Invalid parameter type for 'enable', expected: array"),
            ] {
                let refused = ask(&mut session, "qmp_capabilities", json!({ "enable": enable }));
                assert_eq!(refused["error"]["desc"], desc);
            }
            let granted = ask(&mut session, "qmp_capabilities", json!({ "enable": [] }));
            assert_eq!(granted, json!({ "return": {} }));
        });
    }

    #[test]
    fn every_command_that_is_listed_is_found_and_takes_no_argument_that_nobody_knows() {
        with_nobody_there(|mut session| {
            ask(&mut session, "qmp_capabilities", json!({}));
            let listed = ask(&mut session, "query-commands", json!({}));
            let names = listed["return"].as_array().expect("a list");
            assert_eq!(names.len(), COMMANDS.len() + WITH_FILES.len() + 1);
            for name in names {
                let name = name["name"].as_str().expect("a name");
                let answer = ask(&mut session, name, json!({ "no-such": 1 }));
                assert!(answer["error"]["desc"].is_string(), "{name}: {answer}");
            }
            let unknown = ask(&mut session, "no-such", json!({}));
            assert_eq!(unknown["error"]["desc"], "The command no-such has not been found");
        });
    }

    #[test]
    fn who_asks_a_program_that_ends_is_told_so() {
        with_nobody_there(|mut session| {
            ask(&mut session, "qmp_capabilities", json!({}));
            for command in
                ["query-status", "stop", "cont", "quit", "system_reset", "system_powerdown", "x-query-ap"]
            {
                let refused = ask(&mut session, command, json!({}));
                assert_eq!(refused["error"]["desc"], "adjunct is ending", "{command}");
            }
        });
    }
}
