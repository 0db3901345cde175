//! What can be asked: one table, from which requests are answered and the OpenAPI document is made.

use super::{
    http::{Method, Request, Response, Status},
    metrics, openapi,
    refusal::Failure,
    types::{DeviceConfig, DeviceNode, VmConfig, VmCounters, VmInfo, VmRemoveDevice, VmmPingResponse},
};
use crate::{
    config::{Config, VfioApOption},
    control::{Handle, Refusal},
    event::{Events, Subscription},
};
use schemars::{Schema, SchemaGenerator};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};
use std::sync::Arc;

/// All paths begin with this.
pub(super) const ROOT: &str = "/api/v1/";

pub(super) const JSON: &str = "application/json";
/// One JSON object a line.
pub(super) const JSON_LINES: &str = "application/x-ndjson";
/// `https://prometheus.io/docs/specs/om/open_metrics_spec/`.
pub(super) const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Something that can be asked.
#[derive(Debug)]
pub(super) struct Endpoint {
    /// Its path behind [`ROOT`]; also what it is called.
    pub(super) name: &'static str,
    pub(super) summary: &'static str,
    pub(super) does: Does,
    /// With which statuses it is refused, apart from those that every request can be refused with.
    pub(super) refused: &'static [u16],
}

type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

/// What an endpoint does.
#[derive(Debug)]
pub(super) enum Does {
    /// It is asked with GET.
    Look(Gives, fn(&Api) -> Result<Reply, Failure>),
    /// It is asked with PUT, and that says all.
    Order(fn(&Handle) -> Result<(), Refusal>),
    /// It is asked with PUT and a body.
    Take(SchemaOf, Gives, fn(&Api, &[u8]) -> Result<Reply, Failure>),
}

/// What is answered when all is well.
#[derive(Clone, Copy, Debug)]
pub(super) enum Gives {
    Nothing,
    Json(SchemaOf),
    Text(&'static str),
}

/// An answer.
#[derive(Debug)]
pub(super) enum Reply {
    Whole(Response),
    /// All events from now on.
    Events(Subscription),
}

/// There is no guest; it is in no state for that.
const VM: &[u16] = &[404, 409];

/// All endpoints, by name.
pub(super) const ENDPOINTS: [Endpoint; 17] = [
    Endpoint {
        name: "openapi.json",
        summary: "This document",
        does: Does::Look(Gives::Json(SchemaGenerator::subschema_for::<Map<String, Value>>), |_| {
            json(&openapi::document())
        }),
        refused: &[],
    },
    Endpoint {
        name: "vm.add-device",
        summary: "Plug a vfio-ap device into the guest, which runs or is paused",
        does: Does::Take(
            SchemaGenerator::subschema_for::<DeviceConfig>,
            Gives::Json(SchemaGenerator::subschema_for::<DeviceNode>),
            |api, body| {
                let device = VfioApOption::try_from(read::<DeviceConfig>(body)?)?;
                json(&DeviceNode::from(api.handle.add_device(device)?))
            },
        ),
        refused: VM,
    },
    Endpoint {
        name: "vm.boot",
        summary: "Build the guest that was created, and start it",
        does: Does::Order(Handle::boot),
        refused: VM,
    },
    Endpoint {
        name: "vm.counters",
        summary: "What has been counted since adjunct started, over all guests",
        does: Does::Look(Gives::Json(SchemaGenerator::subschema_for::<VmCounters>), |api| {
            json(&VmCounters::from(api.handle.counters()?))
        }),
        refused: &[],
    },
    Endpoint {
        name: "vm.create",
        summary: "Take the configuration of a guest; nothing of the host is held before it is booted",
        does: Does::Take(SchemaGenerator::subschema_for::<VmConfig>, Gives::Nothing, |api, body| {
            let config = Config::try_from(read::<VmConfig>(body)?)?;
            api.handle.create(config)?;
            Ok(Reply::Whole(Response::empty()))
        }),
        refused: &[409],
    },
    Endpoint {
        name: "vm.delete",
        summary: "Forget the guest; one that runs is ended first",
        does: Does::Order(Handle::delete),
        refused: &[404],
    },
    Endpoint {
        name: "vm.events",
        summary: "All events from now on, one JSON object a line, until the client hangs up or adjunct ends",
        does: Does::Look(Gives::Text(JSON_LINES), |api| {
            api.events.subscribe().map(Reply::Events).map_err(|error| Failure::of(500, &error))
        }),
        refused: &[],
    },
    Endpoint {
        name: "vm.info",
        summary: "The guest as it is",
        does: Does::Look(Gives::Json(SchemaGenerator::subschema_for::<VmInfo>), |api| {
            json(&VmInfo::from(api.handle.info()?))
        }),
        refused: &[404],
    },
    Endpoint {
        name: "vm.metrics",
        summary: "What vm.counters has, as OpenMetrics",
        does: Does::Look(Gives::Text(OPEN_METRICS), |api| {
            let text = metrics::text(&api.handle.counters()?).map_err(|error| Failure::of(500, &error))?;
            Ok(whole(OPEN_METRICS, text.into_bytes()))
        }),
        refused: &[],
    },
    Endpoint {
        name: "vm.pause",
        summary: "Hold all CPUs of the guest; answered when none runs any more",
        does: Does::Order(Handle::pause),
        refused: VM,
    },
    Endpoint {
        name: "vm.power-button",
        summary: "Ask the guest to shut down (SCLP signal quiesce)",
        does: Does::Order(Handle::power_down),
        refused: VM,
    },
    Endpoint {
        name: "vm.reboot",
        summary: "Reset the guest, load its program again, and let it run",
        does: Does::Order(Handle::reboot),
        refused: VM,
    },
    Endpoint {
        name: "vm.remove-device",
        summary: "Unplug a device from the guest; answered when the host has it back",
        does: Does::Take(SchemaGenerator::subschema_for::<VmRemoveDevice>, Gives::Nothing, |api, body| {
            api.handle.remove_device(&read::<VmRemoveDevice>(body)?.id)?;
            Ok(Reply::Whole(Response::empty()))
        }),
        refused: VM,
    },
    Endpoint {
        name: "vm.resume",
        summary: "Let the CPUs of a paused guest go on",
        does: Does::Order(Handle::resume),
        refused: VM,
    },
    Endpoint {
        name: "vm.shutdown",
        summary: "End the guest without asking it, and give back all it had; it can be booted again",
        does: Does::Order(Handle::shutdown),
        refused: VM,
    },
    Endpoint {
        name: "vmm.ping",
        summary: "Who answers",
        does: Does::Look(Gives::Json(SchemaGenerator::subschema_for::<VmmPingResponse>), ping),
        refused: &[],
    },
    Endpoint {
        name: "vmm.shutdown",
        summary: "End the guest, if there is one, and adjunct",
        does: Does::Order(Handle::quit),
        refused: &[],
    },
];

impl Does {
    /// The methods that it can be asked with.
    fn allowed(&self) -> &'static str {
        match self {
            Self::Look(..) => "GET, HEAD",
            Self::Order(_) | Self::Take(..) => "PUT",
        }
    }

    fn is_asked_with(&self, method: &Method) -> bool {
        match self {
            Self::Look(..) => matches!(method, Method::Get | Method::Head),
            Self::Order(_) | Self::Take(..) => *method == Method::Put,
        }
    }
}

/// Who answers.
#[derive(Debug)]
pub(super) struct Api {
    pub(super) handle: Handle,
    pub(super) events: Arc<Events>,
}

impl Api {
    /// Does what is asked.
    pub(super) fn answer(&self, request: &Request) -> Reply {
        self.act(request).unwrap_or_else(|failure| Reply::Whole(failure.response()))
    }

    fn act(&self, request: &Request) -> Result<Reply, Failure> {
        let name = request.path.strip_prefix(ROOT);
        let endpoint = ENDPOINTS.iter().find(|endpoint| name == Some(endpoint.name));
        let Endpoint { does, .. } = endpoint.ok_or_else(|| Failure::no_such_path(&request.path))?;
        if !does.is_asked_with(&request.method) {
            return Err(Failure::method(does.allowed()));
        }
        match does {
            Does::Take(_, _, act) => act(self, &request.body),
            _ if !request.body.is_empty() => Err(Failure::new(400, "this request has no body")),
            Does::Look(_, act) => act(self),
            Does::Order(act) => {
                act(&self.handle)?;
                Ok(Reply::Whole(Response::empty()))
            }
        }
    }
}

fn ping(api: &Api) -> Result<Reply, Failure> {
    let version = env!("CARGO_PKG_VERSION");
    json(&VmmPingResponse {
        version: version.to_owned(),
        build_version: format!("v{version}"),
        pid: std::process::id(),
        host: api.handle.host()?.name,
        features: vec!["vfio-ap".to_owned()],
    })
}

/// A body as what it should be.
fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Failure> {
    super::read(body).map_err(|error| Failure::of(400, &error))
}

fn json(value: &impl Serialize) -> Result<Reply, Failure> {
    let mut text = serde_json::to_vec(value).map_err(|error| Failure::of(500, &error))?;
    text.push(b'\n');
    Ok(whole(JSON, text))
}

fn whole(content_type: &'static str, body: Vec<u8>) -> Reply {
    Reply::Whole(Response { status: Status(200), content_type, body, allow: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_in_order_and_none_is_there_twice() {
        assert!(ENDPOINTS.windows(2).all(|pair| pair[0].name < pair[1].name));
        assert!(ENDPOINTS.iter().all(|endpoint| endpoint.refused.is_sorted()));
    }
}
