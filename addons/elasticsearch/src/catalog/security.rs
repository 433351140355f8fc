//! Who the user is to OpenSearch's security plugin.

use super::is_unknown;
use crate::client::Client;
use coffer_addon::Result;
use serde_json::Value;

/// Of these it is known that they hide nothing: they come with every server, and nobody can change them.
const WHOLE: [&str; 2] = ["all_access", "own_index"];

/// What the server says of its user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Security {
    /// There is no such plugin: everybody sees everything, and there are no tenants.
    None,
    Unknown,
    User {
        roles: Vec<String>,
        /// Without the global one and the user's own.
        tenants: Vec<String>,
    },
}

impl Security {
    pub async fn read(client: &Client) -> Result<Security> {
        if client.version().is_elasticsearch() {
            return Ok(Security::None);
        }
        match client.try_get("/_plugins/_security/authinfo").await? {
            Ok(answer) => Ok(Security::of(&answer)),
            Err(refusal) if is_unknown(&refusal) => Ok(Security::None),
            Err(_) => Ok(Security::Unknown),
        }
    }

    fn of(answer: &Value) -> Security {
        let Some(roles) = answer.get("roles").and_then(Value::as_array) else { return Security::Unknown };
        let roles = roles.iter().filter_map(Value::as_str).map(str::to_owned).collect();
        let user = answer.get("user_name").and_then(Value::as_str);
        let tenants = answer.get("tenants").and_then(Value::as_object).into_iter().flat_map(|tenants| tenants.keys());
        let tenants = tenants.filter(|name| *name != "global_tenant" && Some(name.as_str()) != user).cloned();
        Security::User { roles, tenants: tenants.collect() }
    }

    /// Whether it is known that the user is shown all of whatever may be read.
    pub fn shows_whole(&self) -> bool {
        match self {
            Security::None => true,
            Security::Unknown => false,
            Security::User { roles, .. } => {
                roles.iter().any(|role| role == "all_access") && roles.iter().all(|role| WHOLE.contains(&&**role))
            }
        }
    }

    /// Dashboards' tenants that are not dumped.
    pub fn other_tenants(&self) -> Vec<String> {
        match self {
            Security::None => Vec::new(),
            Security::Unknown => vec!["whatever there is beside the global one".into()],
            Security::User { tenants, .. } => {
                let mut tenants = tenants.clone();
                tenants.push("everybody's private one".into());
                tenants
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_roles_that_are_known_hide_nothing() {
        let of = |roles: Value| {
            Security::of(&json!({ "user_name": "u", "roles": roles, "tenants": { "u": true,
            "global_tenant": true, "team": false } }))
        };
        assert!(of(json!(["own_index", "all_access"])).shows_whole());
        assert!(!of(json!(["all_access", "masked"])).shows_whole() && !of(json!(["own_index"])).shows_whole());
        assert!(!Security::of(&json!({})).shows_whole() && Security::None.shows_whole());
        assert_eq!(of(json!([])).other_tenants(), ["team", "everybody's private one"]);
        assert_eq!(Security::None.other_tenants(), [""; 0]);
    }
}
