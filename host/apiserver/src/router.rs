//! From a URL and a method to a verb. One axum router, used in process and behind the listener alike.
//!
//! The API's URLs have one shape, so they are taken apart here by hand instead of by a route each:
//! `/api/v1/…` or `/apis/{group}/{version}/…`, then `[namespaces/{namespace}/]{plural}[/{name}[/status]]`.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::{Method, StatusCode, header};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::media::{bytes, format, json_response, read};
use crate::modules::{ModuleError, ModuleStore};
use crate::query::Query;
use crate::registry::{Registry, Target};
use crate::resource::Resource;
use crate::status::{Result, Status};
use crate::store::is_full;
use crate::{discovery, media, openapi};

#[derive(Clone)]
struct App {
    registry: Arc<Registry>,
    modules: ModuleStore,
}

/// Put into a request by the listener: ends watches when it stops.
#[derive(Clone)]
pub(crate) struct Stop(pub(crate) CancellationToken);

pub(crate) fn router(registry: Arc<Registry>, modules: ModuleStore) -> Router {
    Router::new()
        .route("/coffer/modules/{digest}", get(get_module).put(put_module))
        .fallback(dispatch)
        .with_state(App { registry, modules })
}

async fn get_module(State(app): State<App>, Path(digest): Path<String>) -> Response {
    match app.modules.get(&digest).await {
        Ok(content) => ([(header::CONTENT_TYPE, "application/wasm")], content).into_response(),
        Err(error) => module_status(&error).into_response(),
    }
}

async fn put_module(State(app): State<App>, Path(digest): Path<String>, request: Request) -> Response {
    match app.modules.put(&digest, request.into_body().into_data_stream()).await {
        Ok(()) => (StatusCode::CREATED, axum::Json(json!({"digest": digest}))).into_response(),
        Err(error) => module_status(&error).into_response(),
    }
}

fn module_status(error: &ModuleError) -> Status {
    match error {
        ModuleError::Absent(_) => Status::no_such_path().with_message(error),
        ModuleError::TooLarge => {
            Status::too_large("the module", usize::try_from(crate::MAX_MODULE_BYTES).unwrap_or(usize::MAX))
        }
        ModuleError::Io { path, source, .. } if is_full(source) => Status::storage_full(format_args!(
            "{error}: there is no space left, free some on the file system of {}",
            path.parent().unwrap_or(path).display()
        )),
        ModuleError::Io { source, .. } => Status::internal(format_args!("{error}: {source}")),
        ModuleError::Damaged { .. } => Status::internal(error),
        ModuleError::Digest(_) | ModuleError::Mismatch { .. } | ModuleError::Interrupted(_) => {
            Status::bad_request(error.to_string())
        }
    }
}

async fn dispatch(State(app): State<App>, request: Request) -> Response {
    answer(app, request).await.unwrap_or_else(IntoResponse::into_response)
}

async fn answer(app: App, request: Request) -> Result<Response> {
    let path = request.uri().path().trim_matches('/').to_owned();
    let segments: Vec<&str> = path.split('/').collect();
    let resources = &app.registry.resources;
    let is_get = request.method() == Method::GET;
    let known = |document: Option<Value>| match document {
        Some(_) if !is_get => Err(Status::method_not_allowed()),
        Some(document) => Ok(json_response(StatusCode::OK, &document)),
        None => Err(Status::no_such_path()),
    };
    match segments.as_slice() {
        ["healthz" | "readyz" | "livez", ..] => Ok("ok".into_response()),
        ["version"] => known(Some(discovery::version())),
        ["api"] => known(Some(discovery::core_versions())),
        ["apis"] => known(Some(discovery::groups(resources))),
        ["apis", group] => {
            let version = resources.group_versions().into_iter().find(|(served, _)| served == group);
            known(version.map(|(group, version)| discovery::group(group, version)))
        }
        ["api", version] => known(discovery::resources(resources, "", version)),
        ["apis", group, version] => known(discovery::resources(resources, group, version)),
        ["openapi", "v3"] => known(Some(openapi::index(resources))),
        ["openapi", "v3", "api", version] => known(openapi::document(resources, "", version)),
        ["openapi", "v3", "apis", group, version] => known(openapi::document(resources, group, version)),
        ["api", version, rest @ ..] => {
            let (group, version, rest) = ("", *version, rest.to_vec());
            let call = Call::parse(&app, group, version, &rest)?;
            call.answer(request).await
        }
        ["apis", group, version, rest @ ..] => {
            let call = Call::parse(&app, group, version, rest)?;
            call.answer(request).await
        }
        _ => Err(Status::no_such_path()),
    }
}

/// A request for an object or a collection.
pub(crate) struct Call {
    pub(crate) registry: Arc<Registry>,
    pub(crate) target: Target,
    /// The URL names no namespace, although the kind has them: all of them.
    pub(crate) everywhere: bool,
    pub(crate) status: bool,
}

impl Call {
    fn parse(app: &App, group: &str, version: &str, rest: &[&str]) -> Result<Call> {
        let find = |plural: &str| app.registry.resources.find(group, version, plural).cloned();
        let call = |resource: Arc<Resource>, namespace: Option<&str>, name: &str, status: bool| Call {
            registry: app.registry.clone(),
            everywhere: resource.namespaced && namespace.is_none(),
            target: Target { resource, namespace: namespace.unwrap_or_default().into(), name: name.into() },
            status,
        };
        // `namespaces/x/status` is the status of a namespace, `namespaces/x/secrets` a collection in it.
        let found = match rest {
            [plural] => find(plural).map(|resource| call(resource, None, "", false)),
            ["namespaces", name, "status"] => find("namespaces").map(|resource| call(resource, None, name, true)),
            ["namespaces", namespace, plural] => find(plural)
                .filter(|resource| resource.namespaced)
                .map(|resource| call(resource, Some(namespace), "", false)),
            [plural, name] => {
                find(plural).filter(|resource| !resource.namespaced).map(|resource| call(resource, None, name, false))
            }
            [plural, name, "status"] => find(plural)
                .filter(|resource| !resource.namespaced && resource.has_status)
                .map(|resource| call(resource, None, name, true)),
            ["namespaces", namespace, plural, name] => find(plural)
                .filter(|resource| resource.namespaced)
                .map(|resource| call(resource, Some(namespace), name, false)),
            ["namespaces", namespace, plural, name, "status"] => find(plural)
                .filter(|resource| resource.namespaced && resource.has_status)
                .map(|resource| call(resource, Some(namespace), name, true)),
            _ => None,
        };
        found.ok_or_else(Status::no_such_path)
    }

    async fn answer(self, request: Request) -> Result<Response> {
        let (parts, body) = request.into_parts();
        let query = Query::parse(parts.uri.query());
        let format = format(&parts.headers, &query)?;
        let method = parts.method;
        if self.target.name.is_empty() {
            match method {
                Method::GET if query.flag("watch")? => {
                    let stop = parts.extensions.get::<Stop>().map(|stop| stop.0.clone()).unwrap_or_default();
                    self.watch(&query, format, stop)
                }
                Method::GET => self.list(&query, format),
                Method::POST if !self.everywhere => {
                    let object = read(&self.target, &parts.headers, body).await?.ok_or_else(media::no_body)?;
                    self.create(object, &query, &parts.headers, format).await
                }
                Method::DELETE if !self.everywhere => {
                    let options = read(&self.target, &parts.headers, body).await?;
                    self.delete_collection(options, &query).await
                }
                _ => Err(Status::method_not_allowed()),
            }
        } else {
            match method {
                Method::GET => self.get(format),
                Method::PUT => {
                    let object = read(&self.target, &parts.headers, body).await?.ok_or_else(media::no_body)?;
                    self.update(object, &query, &parts.headers, format).await
                }
                Method::PATCH => {
                    let body = bytes(&self.target, body).await?;
                    self.patch(&body, &query, &parts.headers, format).await
                }
                Method::DELETE if !self.status => {
                    let options = read(&self.target, &parts.headers, body).await?;
                    self.delete(options, &query).await
                }
                _ => Err(Status::method_not_allowed()),
            }
        }
    }
}
