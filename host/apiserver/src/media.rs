//! Media types: what a client sends and what it wants to see.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use http::{HeaderMap, StatusCode, header};
use serde_json::Value;

use crate::protobuf;
use crate::query::Query;
use crate::registry::Target;
use crate::status::{Result, Status};
use crate::table::Include;
use crate::watch::Format;

/// Of a request, as in Kubernetes, and of an object as JSON: what is stored can also be sent back as a whole.
pub(crate) const MAX_OBJECT: usize = 3 << 20;

/// The first of the accepted media types that can be served.
pub(crate) fn format(headers: &HeaderMap, query: &Query) -> Result<Format> {
    let accept: Vec<&str> = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok()).collect();
    let accept = accept.join(",");
    if accept.trim().is_empty() {
        return Ok(Format::Json);
    }
    for media in accept.split(',') {
        let mut parts = media.split(';').map(str::trim);
        if !matches!(parts.next(), Some("application/json" | "application/*" | "*/*")) {
            continue;
        }
        let (mut shown_as, mut version) = (None, None);
        for part in parts {
            match part.split_once('=') {
                Some(("as", kind)) => shown_as = Some(kind),
                Some(("v", given)) => version = Some(given),
                _ => {}
            }
        }
        match (shown_as, version) {
            (None, _) => return Ok(Format::Json),
            (Some("Table"), Some("v1")) => {
                return Ok(Format::Table(match query.get("includeObject") {
                    Some("Object") => Include::Object,
                    Some("None") => Include::None,
                    _ => Include::Metadata,
                }));
            }
            (Some("PartialObjectMetadata" | "PartialObjectMetadataList"), Some("v1")) => return Ok(Format::Partial),
            _ => {}
        }
    }
    Err(Status::not_acceptable("application/json, with as=Table or as=PartialObjectMetadata of meta.k8s.io v1"))
}

pub(crate) fn media_type(headers: &HeaderMap) -> String {
    let given = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("application/json");
    given.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// The body of a request about `target`.
pub(crate) async fn bytes(target: &Target, body: Body) -> Result<Bytes> {
    // Not `axum::body::to_bytes`: it does not tell a body that is too large from one that broke off.
    let mut stream = body.into_data_stream();
    let mut all = BytesMut::new();
    while let Some(chunk) = stream.next().await {
        let chunk =
            chunk.map_err(|error| Status::bad_request(format!("unable to read the request's body: {error}")))?;
        if all.len() + chunk.len() > MAX_OBJECT {
            return Err(Status::too_large(format_args!("the request for {target}"), MAX_OBJECT));
        }
        all.extend_from_slice(&chunk);
    }
    Ok(all.freeze())
}

/// The body as JSON; `None` when there is none.
pub(crate) async fn read(target: &Target, headers: &HeaderMap, body: Body) -> Result<Option<Value>> {
    let body = bytes(target, body).await?;
    if body.is_empty() {
        return Ok(None);
    }
    match media_type(headers).as_str() {
        "application/json" | "application/yaml" | "*/*" => parse(&body).map(Some),
        protobuf::MEDIA_TYPE => match protobuf::decode(&body) {
            Some(object) => Ok(Some(object)),
            None => Err(Status::unsupported_media_type(
                protobuf::MEDIA_TYPE,
                "application/json, application/yaml; protobuf for a new Namespace or Secret only",
            )),
        },
        other => Err(Status::unsupported_media_type(other, "application/json, application/yaml")),
    }
}

/// JSON, or YAML where it is not: every JSON document is a YAML one, but the JSON parser is the faster and stricter.
pub(crate) fn parse(body: &Bytes) -> Result<Value> {
    serde_json::from_slice(body).or_else(|error| {
        let refuse = |why: String| Status::bad_request(format!("unable to parse the request's body: {why}"));
        if matches!(body.trim_ascii_start().first(), Some(b'{' | b'[')) {
            return Err(refuse(error.to_string()));
        }
        serde_saphyr::from_slice(body).map_err(|error| refuse(error.to_string()))
    })
}

pub(crate) fn no_body() -> Status {
    Status::bad_request("the request has no body: send the object as JSON or YAML")
}

pub(crate) fn json_response(code: StatusCode, value: &Value) -> Response {
    (code, [(header::CONTENT_TYPE, "application/json")], value.to_string()).into_response()
}
