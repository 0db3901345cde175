//! The OpenAPI document, made of the table of endpoints and the types of the wire.

use super::{
    endpoint::{Does, ENDPOINTS, Endpoint, Gives, JSON, ROOT},
    types::Refused,
};
use schemars::{SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};

/// Statuses that any request can be answered with instead of what it asks for.
const ALWAYS: [u16; 4] = [400, 500, 503, 405];

/// The document, as OpenAPI 3.1.
pub fn document() -> Value {
    let mut schemas = SchemaSettings::draft2020_12()
        .with(|settings| {
            settings.definitions_path = "/components/schemas".into();
            settings.meta_schema = None;
        })
        .into_generator();
    let refused = schemas.subschema_for::<Refused>();
    let paths: Map<String, Value> = ENDPOINTS
        .iter()
        .map(|endpoint| (format!("/{}", endpoint.name), path(endpoint, &mut schemas)))
        .collect();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "adjunct",
            "summary": "A guest with IBM Z crypto adapters, as it is and what can be done with it",
            "description": "HTTP/1.1 at a Unix socket. Shapes are Cloud Hypervisor's where it has the thing.",
            "license": { "name": env!("CARGO_PKG_LICENSE"), "identifier": env!("CARGO_PKG_LICENSE") },
            "version": env!("CARGO_PKG_VERSION"),
        },
        "servers": [{ "url": format!("http://localhost{}", ROOT.trim_end_matches('/')) }],
        "paths": paths,
        "components": {
            "schemas": schemas.take_definitions(true),
            "responses": {
                "Refused": {
                    "description": "It was not done; the body says what was refused, and behind it why",
                    "content": { JSON: { "schema": refused } },
                },
            },
        },
    })
}

fn path(endpoint: &Endpoint, schemas: &mut SchemaGenerator) -> Value {
    let (method, takes, gives) = match endpoint.does {
        Does::Look(gives, _) => ("get", None, gives),
        Does::Order(_) => ("put", None, Gives::Nothing),
        Does::Take(takes, gives, _) => ("put", Some(takes), gives),
    };
    let mut responses = Map::new();
    let (status, good) = match gives {
        Gives::Nothing => ("204", json!({ "description": "Done" })),
        Gives::Json(schema) => ("200", answer(JSON, &json!(schema(schemas)))),
        Gives::Text(content_type) => ("200", answer(content_type, &json!({ "type": "string" }))),
    };
    responses.insert(status.to_owned(), good);
    for status in ALWAYS.iter().chain(endpoint.refused) {
        responses.insert(status.to_string(), json!({ "$ref": "#/components/responses/Refused" }));
    }
    let mut operation = json!({
        "operationId": endpoint.name,
        "summary": endpoint.summary,
        "responses": responses,
    });
    if let Some(takes) = takes {
        let content = json!({ JSON: { "schema": takes(schemas) } });
        operation["requestBody"] = json!({ "required": true, "content": content });
    }
    json!({ method: operation })
}

fn answer(content_type: &str, schema: &Value) -> Value {
    json!({ "description": "The answer", "content": { content_type: { "schema": schema } } })
}
