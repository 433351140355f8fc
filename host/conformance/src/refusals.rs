//! What a Function refuses, or is refused: parameters that are none, passwords that are wrong, servers that are not there.

use crate::Error;
use crate::case::{End, Refusal};
use crate::check::{Kit, parameters};
use crate::descriptor;
use crate::judge::{Expect, seen};
use crate::limits::READY;
use crate::outcome::{Done, Finding};
use crate::proxy::Fault;
use crate::step::Step;
use coffer_addon_descriptor::{Function, Role};
use coffer_runtime::{Application, Class, Endpoint, Tls, TlsMode};
use secrecy::SecretString;
use serde_json::{Map, Value};
use std::net::{Ipv4Addr, TcpListener};

/// Nobody's password, and of a length that no server refuses for that.
const WRONG: &str = "wrong-7f3a9c-of-the-conformance-kit";
/// A name that no certificate can have (RFC 6761).
const NOBODY: &str = "nobody.invalid";

impl Kit<'_> {
    pub(crate) async fn unknown_function(&self) -> Result<Done, Error> {
        let name = "no-such-function-of-the-conformance-kit";
        let ran = Step::new(self.linked, self.limits(), name, self.nowhere(None)?).run(idle).await?;
        Ok(self.judge(&ran, Expect::Error).await)
    }

    pub(crate) async fn unknown_parameter(&self, name: &str) -> Result<Done, Error> {
        let Some(function) = self.function(name) else { return Ok(Done::LeftOut("there is none".into())) };
        let mut given = self.given(function);
        given.insert("noSuchParameterOfTheConformanceKit".into(), Value::from(1));
        self.refuses(function, given).await
    }

    pub(crate) async fn wrong_type(&self, name: &str) -> Result<Done, Error> {
        let Some(function) = self.function(name) else { return Ok(Done::LeftOut("there is none".into())) };
        match descriptor::wrong_type(function, &self.given(function)) {
            Some(given) => self.refuses(function, given).await,
            None => Ok(Done::LeftOut("it has no parameter that could be of another type".into())),
        }
    }

    /// The host checks parameters by the schema before; but the schema and the code may disagree, and then the code counts.
    async fn refuses(&self, function: &Function, given: Map<String, Value>) -> Result<Done, Error> {
        let mut step = Step::new(self.linked, self.limits(), &function.name, self.nowhere(Some(function))?);
        step.parameters = given;
        let ran = step.run(idle).await?;
        Ok(self.judge(&ran, Expect::Class(Class::InvalidParameter)).await)
    }

    pub(crate) async fn action(&self, name: &str) -> Result<Done, Error> {
        let Some(step) = self.action_step(name) else { return Ok(Done::LeftOut("needs --binding".into())) };
        let ran = step.run(idle).await?;
        Ok(self.judge(&ran, Expect::Success).await)
    }

    pub(crate) async fn action_refused(&self, name: &str, refusal: Refusal) -> Result<Done, Error> {
        let Some(mut step) = self.action_step(name) else { return Ok(Done::LeftOut("needs --binding".into())) };
        // An action that waits would wait for minutes.
        if self.function(name).is_some_and(has_timeout) {
            step.parameters.insert("timeout".into(), READY.into());
        }
        self.run_refused(step, refusal).await
    }

    pub(crate) async fn refused(&self, end: End, refusal: Refusal) -> Result<Done, Error> {
        match self.step(end) {
            Some(step) => self.run_refused(step, refusal).await,
            None => Ok(Done::LeftOut("needs a binding".into())),
        }
    }

    async fn run_refused(&self, mut step: Step<'_>, refusal: Refusal) -> Result<Done, Error> {
        let expect = match refusal {
            Refusal::Password => {
                if !falsify(&mut step.application) {
                    return Ok(Done::LeftOut("the binding has no password".into()));
                }
                Expect::Class(Class::Denied)
            }
            Refusal::Unreachable => {
                for endpoint in &mut step.application.endpoints {
                    (endpoint.host, endpoint.port) = ("127.0.0.1".into(), free_port()?);
                }
                return self.unreachable(step).await;
            }
            Refusal::HangsUp => {
                step.fault = Fault::HangUp;
                Expect::Class(Class::Unavailable)
            }
            Refusal::Nonsense => {
                step.fault = Fault::Nonsense;
                Expect::Error
            }
            Refusal::Tls => {
                let tls = &mut step.application.tls;
                match tls.mode {
                    // The binding says the server is reached in the clear: whatever it shows now is not known.
                    TlsMode::Disable => *tls = Tls { server_name: Some(NOBODY.into()), ..Tls::default() },
                    TlsMode::Require if tls.verify => tls.server_name = Some(NOBODY.into()),
                    TlsMode::Require => return Ok(Done::LeftOut("the binding verifies no certificate".into())),
                }
                Expect::Error
            }
        };
        let ran = step.run(idle).await?;
        let done = self.judge(&ran, expect).await;
        if matches!(refusal, Refusal::Password | Refusal::HangsUp | Refusal::Nonsense) && ran.connections == 0 {
            return Ok(Finding::problem(format!("it did not even connect: {}", seen(&ran))));
        }
        Ok(done)
    }

    /// Without the proxy: it would accept, and this is about nobody accepting.
    async fn unreachable(&self, step: Step<'_>) -> Result<Done, Error> {
        let ran = step.run_directly().await?;
        Ok(self.judge(&ran, Expect::Class(Class::Unavailable)).await)
    }

    fn action_step(&self, name: &str) -> Option<Step<'_>> {
        let (function, bound) = (self.function(name)?, self.settings.source.as_ref()?);
        let mut step = Step::new(self.linked, self.limits(), name, bound.application.clone());
        step.parameters = descriptor::declared(function, &bound.offered);
        Some(step)
    }

    /// What the author gives a Function.
    fn given(&self, function: &Function) -> Map<String, Value> {
        let is = |chosen: &Option<Function>| chosen.as_ref().is_some_and(|chosen| chosen.name == function.name);
        match (&self.settings.source, &self.settings.target) {
            (Some(bound), _) if is(&self.roles.source) => parameters(function, bound),
            (_, Some(bound)) if is(&self.roles.sink) => parameters(function, bound),
            (Some(bound), _) if function.role == Role::Action => descriptor::declared(function, &bound.offered),
            _ => Map::new(),
        }
    }

    /// An application of the right kind that nobody answers for.
    fn nowhere(&self, function: Option<&Function>) -> std::io::Result<Application> {
        let kind = function.and_then(|function| function.serves.first()).map(|serves| serves.application.clone());
        let credentials = [("username", "nobody"), ("password", WRONG)];
        Ok(Application {
            kind: kind.unwrap_or_default(),
            version: None,
            endpoints: vec![Endpoint { name: "default".into(), host: "127.0.0.1".into(), port: free_port()? }],
            tls: Tls::disabled(),
            parameters: Vec::new(),
            credentials: credentials.map(|(key, value)| (key.to_owned(), SecretString::from(value))).into(),
        })
    }
}

/// Gives every secret another value; whether there was one. Names of users stay: a wrong one could be right elsewhere.
fn falsify(application: &mut Application) -> bool {
    let mut any = false;
    for (key, value) in &mut application.credentials {
        if !key.eq_ignore_ascii_case("username") && !key.eq_ignore_ascii_case("user") {
            *value = SecretString::from(WRONG);
            any = true;
        }
    }
    any
}

fn has_timeout(function: &Function) -> bool {
    let timeout = Map::from_iter([("timeout".to_owned(), Value::from(READY))]);
    !descriptor::declared(function, &timeout).is_empty()
}

/// A port of the loopback where nobody listens: one that was free a moment ago.
fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// Nothing to do meanwhile.
pub(crate) async fn idle(_: &crate::step::Handles) {}
