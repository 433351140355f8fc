//! How a request fails: `metav1.Status`, the error object of the Kubernetes API.
//!
//! Codes and reasons are those of k8s.io/apimachinery `pkg/api/errors`, since clients decide by them (`Conflict` is
//! retried, `Expired` makes a watcher list again).

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use serde_json::{Value, json};

use crate::resource::Resource;

pub(crate) type Result<T> = std::result::Result<T, Status>;

/// A failed request.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Status {
    pub(crate) code: StatusCode,
    reason: &'static str,
    message: String,
    /// Boxed: most results are no errors and should not carry its size.
    details: Option<Box<Details>>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Details {
    #[serde(skip_serializing_if = "String::is_empty")]
    name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    group: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    kind: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    causes: Vec<Cause>,
}

/// One field that is at fault.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Cause {
    /// `FieldValueInvalid`, `FieldValueRequired`, …
    pub(crate) reason: &'static str,
    pub(crate) message: String,
    /// As in `spec.sessions[0].name`.
    pub(crate) field: String,
}

impl Status {
    fn new(code: StatusCode, reason: &'static str, message: impl Into<String>) -> Status {
        Status { code, reason, message: message.into(), details: None }
    }

    fn about(mut self, resource: &Resource, name: &str) -> Status {
        self.details = Some(Box::new(Details {
            name: name.into(),
            group: resource.group.clone(),
            // Kubernetes puts the plural here, not the kind.
            kind: resource.plural.clone(),
            causes: Vec::new(),
        }));
        self
    }

    pub(crate) fn not_found(resource: &Resource, name: &str) -> Status {
        let message = format!("{} {name:?} not found", resource.qualified());
        Status::new(StatusCode::NOT_FOUND, "NotFound", message).about(resource, name)
    }

    pub(crate) fn no_such_path() -> Status {
        let message = "the server could not find the requested resource";
        let mut status = Status::new(StatusCode::NOT_FOUND, "NotFound", message);
        status.details = Some(Box::new(Details {
            causes: vec![Cause {
                reason: "UnexpectedServerResponse",
                message: "404 page not found".into(),
                field: String::new(),
            }],
            ..Details::default()
        }));
        status
    }

    pub(crate) fn already_exists(resource: &Resource, name: &str) -> Status {
        let message = format!("{} {name:?} already exists", resource.qualified());
        Status::new(StatusCode::CONFLICT, "AlreadyExists", message).about(resource, name)
    }

    pub(crate) fn conflict(resource: &Resource, name: &str, why: impl std::fmt::Display) -> Status {
        let message = format!("Operation cannot be fulfilled on {} {name:?}: {why}", resource.qualified());
        Status::new(StatusCode::CONFLICT, "Conflict", message).about(resource, name)
    }

    /// Server-side apply met fields that other managers own: one cause a field.
    pub(crate) fn apply_conflict(resource: &Resource, name: &str, causes: Vec<Cause>) -> Status {
        let listed: Vec<String> = causes.iter().map(|cause| format!("{}: {}", cause.message, cause.field)).collect();
        let message = format!(
            "Apply failed with {} conflict{}: {}",
            causes.len(),
            if causes.len() == 1 { "" } else { "s" },
            listed.join("; ")
        );
        let mut status = Status::new(StatusCode::CONFLICT, "Conflict", message).about(resource, name);
        status.set_causes(causes);
        status
    }

    /// The object as sent breaks its kind's rules: one cause a field.
    pub(crate) fn invalid(resource: &Resource, name: &str, causes: Vec<Cause>) -> Status {
        let listed: Vec<String> = causes.iter().map(|cause| format!("{}: {}", cause.field, cause.message)).collect();
        let listed = match listed.as_slice() {
            [one] => one.clone(),
            many => format!("[{}]", many.join(", ")),
        };
        let kind = &resource.kind;
        let subject = if resource.group.is_empty() { kind.clone() } else { format!("{kind}.{}", resource.group) };
        let message = format!("{subject} {name:?} is invalid: {listed}");
        let mut status = Status::new(StatusCode::UNPROCESSABLE_ENTITY, "Invalid", message).about(resource, name);
        if let Some(details) = &mut status.details {
            details.kind.clone_from(kind);
        }
        status.set_causes(causes);
        status
    }

    /// The same in other words.
    pub(crate) fn with_message(mut self, message: impl std::fmt::Display) -> Status {
        self.message = message.to_string();
        self
    }

    /// The same with a remedy at the end of its message.
    pub(crate) fn with_hint(mut self, hint: impl std::fmt::Display) -> Status {
        self.message = format!("{} ({hint})", self.message);
        self
    }

    fn set_causes(&mut self, causes: Vec<Cause>) {
        if let Some(details) = &mut self.details {
            details.causes = causes;
        }
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> Status {
        Status::new(StatusCode::BAD_REQUEST, "BadRequest", message)
    }

    pub(crate) fn unauthorized() -> Status {
        let message = "the bearer token is missing or wrong: use the kubeconfig in the server's data folder";
        Status::new(StatusCode::UNAUTHORIZED, "Unauthorized", message)
    }

    pub(crate) fn forbidden(resource: &Resource, name: &str, why: &str) -> Status {
        let message = format!("{} {name:?} is forbidden: {why}", resource.qualified());
        Status::new(StatusCode::FORBIDDEN, "Forbidden", message).about(resource, name)
    }

    pub(crate) fn method_not_allowed() -> Status {
        let message = "the server does not allow this method on the requested resource";
        Status::new(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", message)
    }

    pub(crate) fn not_acceptable(accepted: &str) -> Status {
        let message = format!("only the following media types are accepted: {accepted}");
        Status::new(StatusCode::NOT_ACCEPTABLE, "NotAcceptable", message)
    }

    pub(crate) fn unsupported_media_type(given: &str, accepted: &str) -> Status {
        let message = format!("the body of the request was in an unknown format ({given:?}), accepted: {accepted}");
        Status::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "UnsupportedMediaType", message)
    }

    /// `what` is too large: a request, a module, an object.
    pub(crate) fn too_large(what: impl std::fmt::Display, limit: usize) -> Status {
        let message = format!("{what} is larger than {} MiB, the limit", limit >> 20);
        Status::new(StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLarge", message)
    }

    /// The history no longer reaches back to the version asked for: list again.
    pub(crate) fn expired(message: impl Into<String>) -> Status {
        Status::new(StatusCode::GONE, "Expired", message)
    }

    /// A version from the future, as after the database was restored from an older copy.
    pub(crate) fn version_too_large(asked: u64, current: u64) -> Status {
        let message = format!("Too large resource version: {asked}, current: {current}");
        let mut status = Status::new(StatusCode::GATEWAY_TIMEOUT, "Timeout", &message);
        let cause = Cause {
            reason: "ResourceVersionTooLarge",
            message: "Too large resource version".into(),
            field: String::new(),
        };
        status.details = Some(Box::new(Details { causes: vec![cause], ..Details::default() }));
        status
    }

    /// The server's own fault, also in the log.
    pub(crate) fn internal(cause: impl std::fmt::Display) -> Status {
        tracing::error!(%cause, "request failed");
        let message = format!("Internal error occurred: {cause}");
        Status::new(StatusCode::INTERNAL_SERVER_ERROR, "InternalError", message)
    }

    /// The disk is full, also in the log. No reason of Kubernetes fits, and none makes its clients act: the code's name.
    pub(crate) fn storage_full(cause: impl std::fmt::Display) -> Status {
        tracing::error!(%cause, "request failed");
        Status::new(StatusCode::INSUFFICIENT_STORAGE, "InsufficientStorage", cause.to_string())
    }

    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    /// The object that goes over the wire, also inside a watch's ERROR event.
    pub(crate) fn to_json(&self) -> Value {
        let mut status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.message, "reason": self.reason, "code": self.code.as_u16(),
        });
        if let (Some(details), Value::Object(fields)) = (&self.details, &mut status) {
            fields.insert("details".into(), json!(details));
        }
        status
    }
}

/// What a finished deletion answers.
pub(crate) fn success(resource: &Resource, name: &str, uid: &str) -> Value {
    json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success",
        "details": {"name": name, "group": resource.group, "kind": resource.plural, "uid": uid},
    })
}

impl IntoResponse for Status {
    fn into_response(self) -> Response {
        let mut response = (self.code, self.to_json().to_string()).into_response();
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if self.code == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}
