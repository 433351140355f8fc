//! An addon as its author declares it: functions with typed parameters, and Tasks made of them.

use crate::application::Application;
use crate::error::{Error, Result};
use crate::inbox::Inbox;
use crate::outbox::Outbox;
use crate::types::Report;
use coffer_addon_descriptor as descriptor;
use descriptor::{Capability, Role, Serves, Task};
use futures::future::LocalBoxFuture;
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::de::DeserializeOwned;

/// What [`export!`](crate::export) exports. Made anew for each call, so building it should do nothing else.
pub struct Addon {
    name: String,
    version: String,
    description: String,
    functions: Vec<Function>,
    tasks: Vec<Task>,
}

type Body = Box<dyn FnOnce(Ends, serde_json::Value) -> LocalBoxFuture<'static, Result<Report>>>;

/// Everything a function may be handed; it takes what its role has.
pub struct Ends {
    pub application: Application,
    pub inbox: Inbox,
    pub outbox: Outbox,
}

/// A function of the addon. Its role says what the body is handed, and that is what has to be granted.
pub struct Function {
    described: descriptor::Function,
    body: Body,
}

impl Addon {
    /// `version` is a semantic one: `env!("CARGO_PKG_VERSION")`.
    pub fn new(name: &str, version: &str) -> Self {
        Addon {
            name: name.into(),
            version: version.into(),
            description: String::new(),
            functions: Vec::new(),
            tasks: Vec::new(),
        }
    }

    pub fn description(mut self, text: &str) -> Self {
        self.description = text.into();
        self
    }

    pub fn function(mut self, function: Function) -> Self {
        self.functions.push(function);
        self
    }

    pub fn task(mut self, task: Task) -> Self {
        self.tasks.push(task);
        self
    }

    /// What the component's `describe` says.
    pub fn descriptor(&self) -> Result<descriptor::Descriptor> {
        let version = self.version.parse().map_err(|error| {
            Error::Failed(format!("the addon's version {} is not a semantic one: {error}", self.version))
        })?;
        Ok(descriptor::Descriptor {
            name: self.name.clone(),
            version,
            description: self.description.clone(),
            contract: descriptor::CONTRACT.into(),
            functions: self.functions.iter().map(|function| function.described.clone()).collect(),
            tasks: self.tasks.clone(),
        })
    }

    /// Runs one function, as the host asks for it. `parameters` is a JSON object.
    pub async fn run(self, ends: Ends, function: &str, parameters: &str) -> Result<Report> {
        let addon = self.name;
        let found = self.functions.into_iter().find(|candidate| candidate.described.name == function);
        let found = found.ok_or_else(|| Error::Unsupported(format!("addon {addon} has no function {function}")))?;
        let parameters = if parameters.is_empty() { "{}" } else { parameters };
        let parameters = serde_json::from_str(parameters)
            .map_err(|error| Error::InvalidParameter(format!("the parameters of {function} are no JSON: {error}")))?;
        (found.body)(ends, parameters).await
    }
}

impl Function {
    /// Touches the application only: `async fn(Application, Parameters) -> Result<Report>`.
    pub fn action<P, F>(name: &str, body: impl FnOnce(Application, P) -> F + 'static) -> Self
    where
        P: DeserializeOwned + JsonSchema,
        F: Future<Output = Result<Report>> + 'static,
    {
        Self::new(name, Role::Action, &[Capability::Application], |ends, parameters| body(ends.application, parameters))
    }

    /// Reads the application, writes artifacts: `async fn(Application, Outbox, Parameters) -> Result<Report>`.
    pub fn source<P, F>(name: &str, body: impl FnOnce(Application, Outbox, P) -> F + 'static) -> Self
    where
        P: DeserializeOwned + JsonSchema,
        F: Future<Output = Result<Report>> + 'static,
    {
        Self::new(name, Role::Source, &[Capability::Application, Capability::Outbox], |ends, parameters| {
            body(ends.application, ends.outbox, parameters)
        })
    }

    /// Reads artifacts, writes artifacts: `async fn(Inbox, Outbox, Parameters) -> Result<Report>`.
    pub fn transform<P, F>(name: &str, body: impl FnOnce(Inbox, Outbox, P) -> F + 'static) -> Self
    where
        P: DeserializeOwned + JsonSchema,
        F: Future<Output = Result<Report>> + 'static,
    {
        Self::new(name, Role::Transform, &[Capability::Inbox, Capability::Outbox], |ends, parameters| {
            body(ends.inbox, ends.outbox, parameters)
        })
    }

    /// Reads artifacts, writes the application: `async fn(Application, Inbox, Parameters) -> Result<Report>`.
    pub fn sink<P, F>(name: &str, body: impl FnOnce(Application, Inbox, P) -> F + 'static) -> Self
    where
        P: DeserializeOwned + JsonSchema,
        F: Future<Output = Result<Report>> + 'static,
    {
        Self::new(name, Role::Sink, &[Capability::Application, Capability::Inbox], |ends, parameters| {
            body(ends.application, ends.inbox, parameters)
        })
    }

    fn new<P, F>(name: &str, role: Role, grants: &[Capability], body: impl FnOnce(Ends, P) -> F + 'static) -> Self
    where
        P: DeserializeOwned + JsonSchema,
        F: Future<Output = Result<Report>> + 'static,
    {
        let described = descriptor::Function {
            name: name.into(),
            description: String::new(),
            role,
            parameters: schema::<P>(),
            capabilities: grants.to_vec(),
            serves: Vec::new(),
            first: Vec::new(),
        };
        let name = name.to_string();
        let body: Body = Box::new(move |ends, parameters| {
            Box::pin(async move {
                let parameters = serde_json::from_value(parameters)
                    .map_err(|error| Error::InvalidParameter(format!("parameters of {name}: {error}")))?;
                body(ends, parameters).await
            })
        });
        Function { described, body }
    }

    pub fn description(mut self, text: &str) -> Self {
        self.described.description = text.into();
        self
    }

    /// An application type and its versions that the function works on, and those of them that were tested, e.g.
    /// `("postgresql", ">=9.6, <19", [15, 17])`.
    pub fn serves(
        mut self,
        application: &str,
        versions: &str,
        tested: impl IntoIterator<Item = impl ToString>,
    ) -> Self {
        self.described.serves.push(Serves {
            application: application.into(),
            versions: versions.into(),
            tested: tested.into_iter().map(|version| version.to_string()).collect(),
        });
        self
    }

    /// Its way to the application is [`Application::http`] alone: it asks for `http` in place of `application`, with which it
    /// could open connections and read credentials. The binding is then [`Http::binding`](crate::http::Http::binding).
    pub fn over_http(mut self) -> Self {
        for capability in &mut self.described.capabilities {
            if *capability == Capability::Application {
                *capability = Capability::Http;
            }
        }
        self
    }

    /// Asks for another capability: `http` beside `application`.
    pub fn needs(mut self, capability: Capability) -> Self {
        if !self.described.capabilities.contains(&capability) {
            self.described.capabilities.push(capability);
        }
        self
    }

    /// An artifact that a sink needs before all others.
    pub fn first(mut self, artifact: &str) -> Self {
        self.described.first.push(artifact.into());
        self
    }
}

/// The schema of the parameters: no references, and unknown fields denied also where the author forgot to say so.
fn schema<P: JsonSchema>() -> serde_json::Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    });
    let mut schema = settings.into_generator().into_root_schema_for::<P>();
    schema.ensure_object().entry("additionalProperties").or_insert(false.into());
    schema.to_value()
}
