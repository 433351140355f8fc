//! The verbs: what each method of a URL does, from its parameters to its response.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::delete::{self, Deleted, Propagation};
use crate::list::{self, Answer};
use crate::media::{json_response, media_type, parse};
use crate::object;
use crate::patch::{self, Patch};
use crate::query::Query;
use crate::registry::{self, Target, Write};
use crate::resource::Resources;
use crate::router::Call;
use crate::selector::Selector;
use crate::status::{self, Result, Status};
use crate::txn::Txn;
use crate::watch::{self, Format, Scope};
use crate::{apply, metadata, table};

impl Call {
    fn scope(&self, query: &Query) -> Result<Scope> {
        Ok(Scope {
            resource: self.target.resource.clone(),
            namespace: (!self.everywhere).then(|| self.target.namespace.clone()),
            selector: Selector::parse(&self.target.resource, query.get("labelSelector"), query.get("fieldSelector"))?,
        })
    }

    pub(crate) fn get(&self, format: Format) -> Result<Response> {
        let found = self.registry.store.read(|state| state.get(&self.target.key()).cloned());
        let object = found.ok_or_else(|| self.target.absent())?;
        Ok(self.show(StatusCode::OK, &object, format, &[]))
    }

    pub(crate) fn list(&self, query: &Query, format: Format) -> Result<Response> {
        let scope = self.scope(query)?;
        let answer = self.registry.store.read(|state| list::list(state, &scope, query))?;
        let resource = &self.target.resource;
        let Answer { objects, meta } = answer;
        let shown = match format {
            Format::Json => list::as_list(&format!("{}List", resource.kind), &resource.api_version(), &objects, &meta),
            Format::Partial => {
                let objects: Vec<Arc<Value>> = objects.iter().map(|object| Arc::new(table::partial(object))).collect();
                list::as_list("PartialObjectMetadataList", "meta.k8s.io/v1", &objects, &meta)
            }
            Format::Table(include) => table::table(resource, &objects, meta, include),
        };
        Ok(json_response(StatusCode::OK, &shown))
    }

    pub(crate) fn watch(self, query: &Query, format: Format, stop: CancellationToken) -> Result<Response> {
        let options = watch::Options {
            start: list::start(query)?,
            format,
            bookmarks: query.flag("allowWatchBookmarks")?,
            timeout: query.number("timeoutSeconds")?.filter(|seconds| *seconds > 0).map(Duration::from_secs),
            stop,
        };
        let scope = self.scope(query)?;
        let body = Body::from_stream(watch::events(self.registry, scope, options));
        Ok(([(header::CONTENT_TYPE, "application/json")], body).into_response())
    }

    pub(crate) async fn create(
        self,
        object: Value,
        query: &Query,
        headers: &HeaderMap,
        format: Format,
    ) -> Result<Response> {
        let target = self.target.clone();
        let create = move |resources: &Resources, txn: &mut Txn, how: &mut Write| {
            registry::create(resources, txn, &target, object, how)
        };
        self.write(StatusCode::CREATED, query, headers, format, create).await
    }

    pub(crate) async fn update(
        self,
        object: Value,
        query: &Query,
        headers: &HeaderMap,
        format: Format,
    ) -> Result<Response> {
        let target = self.target.clone();
        let update = move |_: &Resources, txn: &mut Txn, how: &mut Write| registry::update(txn, &target, object, how);
        self.write(StatusCode::OK, query, headers, format, update).await
    }

    /// Makes a change and shows the object as it is then.
    async fn write(
        self,
        code: StatusCode,
        query: &Query,
        headers: &HeaderMap,
        format: Format,
        change: impl FnOnce(&Resources, &mut Txn, &mut Write) -> Result<Arc<Value>> + Send + 'static,
    ) -> Result<Response> {
        let mut how = self.how(query, headers)?;
        let write = move |resources: &Resources, txn: &mut Txn| Ok((change(resources, txn, &mut how)?, how.warnings));
        let (object, warnings) = self.registry.write(query.dry_run()?, write).await?;
        Ok(self.show(code, &object, format, &warnings))
    }

    pub(crate) async fn patch(
        self,
        body: &Bytes,
        query: &Query,
        headers: &HeaderMap,
        format: Format,
    ) -> Result<Response> {
        let media_type = media_type(headers);
        let patch = Patch::new(&self.target, &media_type, parse(body)?)?;
        let mut how = self.how(query, headers)?;
        let force = query.flag("force")?;
        if matches!(patch, Patch::Apply(_)) && query.get("fieldManager").is_none() {
            return Err(Status::bad_request("fieldManager is required for apply patch"));
        }
        let target = self.target.clone();
        let (before, object, how) = self
            .registry
            .write(query.dry_run()?, move |resources, txn| {
                let before = txn.get(&target.key()).cloned();
                let object = match (&patch, &before) {
                    (Patch::Apply(applied), _) => {
                        apply::apply(resources, txn, &target, applied.clone(), force, &mut how)?
                    }
                    (_, None) => return Err(target.absent()),
                    (patch, Some(before)) => {
                        let mut after = patch::patched(&target, before, patch)?;
                        // A patch may not turn the object into another one, nor out of JSON's objects.
                        if !after.is_object() {
                            return Err(Status::bad_request("the patch leaves no object"));
                        }
                        metadata::fit(&target, &mut after)?;
                        registry::replace(txn, &target, before, after, &mut how, registry::Record::Changes)?
                    }
                };
                Ok((before, object, how))
            })
            .await?;
        let code = if before.is_none() { StatusCode::CREATED } else { StatusCode::OK };
        Ok(self.show(code, &object, format, &how.warnings))
    }

    pub(crate) async fn delete(self, options: Option<Value>, query: &Query) -> Result<Response> {
        let options = deletion(options.as_ref(), query)?;
        let target = self.target.clone();
        let dry_run = options.1;
        let deleted = self.registry.write(dry_run, move |_, txn| delete::delete(txn, &target, &options.0)).await?;
        Ok(match deleted {
            Deleted::Pending(object) => json_response(StatusCode::OK, &object),
            Deleted::Gone(last) => {
                let status = status::success(&self.target.resource, &self.target.name, object::uid(&last));
                json_response(StatusCode::OK, &status)
            }
        })
    }

    pub(crate) async fn delete_collection(self, options: Option<Value>, query: &Query) -> Result<Response> {
        let (options, dry_run) = deletion(options.as_ref(), query)?;
        let scope = self.scope(query)?;
        let limited = query.clone();
        let target = self.target.clone();
        let answer = self
            .registry
            .write(dry_run, move |_, txn| {
                // Within the write nothing else changes, so what is listed is what is deleted.
                let answer = list::list(txn.base(), &scope, &limited)?;
                for object in &answer.objects {
                    let one = Target { name: object::name(object).into(), ..target.clone() };
                    // One may have gone with another that owned it.
                    if txn.get(&one.key()).is_some() {
                        delete::delete(txn, &one, &options)?;
                    }
                }
                Ok(answer)
            })
            .await?;
        let resource = &self.target.resource;
        let kind = format!("{}List", resource.kind);
        Ok(json_response(StatusCode::OK, &list::as_list(&kind, &resource.api_version(), &answer.objects, &answer.meta)))
    }

    fn how(&self, query: &Query, headers: &HeaderMap) -> Result<Write> {
        let agent = headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok()).unwrap_or_default();
        let agent = agent.split('/').next().filter(|agent| !agent.is_empty()).unwrap_or("unknown");
        let manager = query.get("fieldManager").unwrap_or(agent);
        if manager.len() > 128 || manager.chars().any(char::is_control) {
            return Err(Status::bad_request("fieldManager: expected at most 128 printable characters"));
        }
        Ok(Write {
            manager: manager.into(),
            validation: query.field_validation()?,
            status: self.status,
            warnings: Vec::new(),
        })
    }

    fn show(&self, code: StatusCode, object: &Arc<Value>, format: Format, warnings: &[String]) -> Response {
        let resource = &self.target.resource;
        let mut response = match format {
            Format::Json => json_response(code, object),
            Format::Partial => json_response(code, &table::partial(object)),
            Format::Table(include) => {
                let meta = json!({"resourceVersion": object::meta(object, "resourceVersion")});
                json_response(code, &table::table(resource, std::slice::from_ref(object), meta, include))
            }
        };
        for warning in warnings {
            let warning = warning.replace('\\', "\\\\").replace('"', "\\\"");
            if let Ok(value) = HeaderValue::from_str(&format!("299 - \"{warning}\"")) {
                response.headers_mut().append(header::WARNING, value);
            }
        }
        response
    }
}

fn deletion(body: Option<&Value>, query: &Query) -> Result<(delete::Options, bool)> {
    let text = |pointer: &str| body.and_then(|body| body.pointer(pointer)).and_then(Value::as_str);
    let orphan = body.and_then(|body| body.get("orphanDependents")).and_then(Value::as_bool);
    let propagation = match text("/propagationPolicy").or(query.get("propagationPolicy")) {
        Some("Background") => Propagation::Background,
        None if orphan == Some(true) => Propagation::Orphan,
        None => Propagation::Background,
        Some("Foreground") => Propagation::Foreground,
        Some("Orphan") => Propagation::Orphan,
        Some(other) => {
            return Err(Status::bad_request(format!(
                "propagationPolicy={other}: expected Background, Foreground or Orphan"
            )));
        }
    };
    let dry_run = query.dry_run()? || body.and_then(|body| body.pointer("/dryRun/0")).is_some_and(|all| all == "All");
    let owned = |pointer| text(pointer).unwrap_or_default().to_owned();
    let options = delete::Options {
        propagation,
        uid: owned("/preconditions/uid"),
        resource_version: owned("/preconditions/resourceVersion"),
    };
    Ok((options, dry_run))
}
