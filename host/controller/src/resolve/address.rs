//! Where an application is: the endpoints that an AppBinding names, and what its address says beyond them.
//!
//! An addon reaches endpoints by name and nothing else, so every member of a cluster that it may speak to stands here.

use crate::error::{Error, Result};
use coffer_api::{ClientConfig, FailureClass, TlsMode, app_binding::AppBindingSpec};
use coffer_runtime::Endpoint;
use percent_encoding::percent_decode_str;
use serde_json::Value;
use std::time::Duration;
use tokio::net::lookup_host;
use tokio::time::timeout;
use url::{Host, Url, form_urlencoded};

/// The name of the first endpoint. A Function that names none gets it.
const DEFAULT: &str = "default";

/// How long a name server may take. Whoever connects asks again.
const LOOKUP: Duration = Duration::from_secs(5);

/// The parameter that a URL's path becomes.
const DATABASE: &str = "database";

/// Ports of the applications whose URLs are mostly written without one.
const PORTS: [(&str, u16); 9] = [
    ("elasticsearch", 9200),
    ("http", 80),
    ("https", 443),
    ("mariadb", 3306),
    (MONGODB, 27017),
    ("mysql", 3306),
    ("opensearch", 9200),
    ("postgres", 5432),
    ("postgresql", 5432),
];
const MONGODB: &str = "mongodb";

/// Applications that may have Kibana or OpenSearch Dashboards beside them, and that are spoken to at `/` alone.
const SEARCH: [&str; 2] = ["elasticsearch", "opensearch"];
/// The AppBinding's parameter with its URL, and the name of the endpoint.
const DASHBOARDS: &str = "dashboards";
/// The parameter that its URL's path becomes.
const DASHBOARDS_PATH: &str = "dashboardsPath";

pub(crate) struct Address {
    /// The first is `default`. Of a URL with several hosts each is there as `host:port` too.
    pub(crate) endpoints: Vec<Endpoint>,
    /// What the address says beyond hosts and ports: `database` for a path, and the query.
    pub(crate) parameters: Vec<(String, String)>,
}

impl Address {
    pub(crate) fn of(spec: &AppBindingSpec, namespace: &str) -> Result<Self> {
        if spec.type_ == MONGODB {
            spec.client_config.url.as_deref().map_or(Ok(()), check_mongodb)?;
        }
        let mut address = Self::of_client_config(&spec.client_config, namespace)?;
        if spec.type_ == MONGODB {
            address.endpoints.extend(replica_set_members(&spec.parameters.0)?);
        }
        if SEARCH.contains(&spec.type_.as_str()) {
            // What is at `/` may be another server.
            if !address.parameters.is_empty() {
                let what = "spec.clientConfig has a path or a query, and a server of this type is spoken to at / alone";
                return Err(Error::refused(FailureClass::Invalid, what)
                    .hint("leave it out; behind a proxy that tells servers apart by their paths, give this one a host or a port"));
            }
            if let Some((endpoint, path)) = dashboards(spec)? {
                address.endpoints.push(endpoint);
                address.parameters.push((DASHBOARDS_PATH.to_owned(), path));
            }
        }
        Ok(address)
    }

    /// Whether they have a server in common, under whatever names.
    pub(crate) async fn meets(&self, other: &Self) -> bool {
        let (one, other) = (resolved(&self.endpoints).await, resolved(&other.endpoints).await);
        one.iter().any(|place| other.contains(place))
    }

    /// The database that the URL's path names.
    pub(crate) fn database(&self) -> Option<&str> {
        self.parameters.iter().find(|(name, _)| name == DATABASE).map(|(_, database)| database.as_str())
    }

    fn of_client_config(config: &ClientConfig, namespace: &str) -> Result<Self> {
        match (&config.url, &config.service) {
            (Some(url), _) => Self::of_url(url),
            (None, Some(service)) => {
                let namespace = service.namespace.as_ref().map_or(namespace, |namespace| namespace.as_str());
                let query = form_urlencoded::parse(service.query.as_deref().unwrap_or_default().as_bytes());
                let host = format!("{}.{namespace}.svc", service.name);
                Ok(Self {
                    endpoints: vec![Endpoint { name: DEFAULT.to_owned(), host, port: service.port }],
                    parameters: parameters(service.path.as_deref().unwrap_or_default(), query)?,
                })
            }
            (None, None) => Err(Error::refused(FailureClass::Invalid, "spec.clientConfig names no address")
                .hint("write spec.clientConfig.url or spec.clientConfig.service")),
        }
    }

    /// The URL itself is not repeated in errors: someone may have put a password into it.
    fn of_url(text: &str) -> Result<Self> {
        let refuse = |what: String| {
            Error::refused(FailureClass::Invalid, format!("spec.clientConfig.url {what}"))
                .hint("write it like postgresql://db.example:5432/shop")
        };
        let (mut endpoints, mut found) = (Vec::new(), None);
        for url in split_hosts(text) {
            let url = Url::parse(&url).map_err(|error| refuse(format!("is no URL: {error}")))?;
            endpoints.push(endpoint(&url).map_err(|what| refuse(what.to_owned()))?);
            found.get_or_insert(parameters(url.path(), url.query_pairs())?);
        }
        let Some(first) = endpoints.first() else { return Err(refuse("names no host".to_owned())) };
        let first = Endpoint { name: DEFAULT.to_owned(), ..first.clone() };
        if endpoints.len() == 1 {
            endpoints.clear();
        }
        endpoints.insert(0, first);
        Ok(Self { endpoints, parameters: found.unwrap_or_default() })
    }
}

/// Another scheme is another server's: its port would be guessed, and that server asked what no MongoDB is asked.
fn check_mongodb(url: &str) -> Result<()> {
    let scheme = url.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
    let what = match scheme.as_deref() {
        Some(MONGODB) => return Ok(()),
        Some("mongodb+srv") => "has its hosts in DNS records (SRV)",
        _ => "is of another scheme than mongodb://",
    };
    Err(Error::refused(FailureClass::Invalid, format!("spec.clientConfig.url {what}"))
        .hint("name the hosts: mongodb://a.example:27017,b.example:27017/?replicaSet=rs0"))
}

/// One URL for each host of one with several (`mongodb://a:1,b:2/db`), which are no URL by the standard. No other addon
/// would look at the second host, so nobody else's URL may have one.
fn split_hosts(text: &str) -> Vec<String> {
    let Some((scheme @ MONGODB, rest)) = text.split_once("://") else { return vec![text.to_owned()] };
    let (authority, tail) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let (user, hosts) = authority.rsplit_once('@').map_or(("", authority), |(user, hosts)| (user, hosts));
    let at = if user.is_empty() { "" } else { "@" };
    hosts.split(',').map(|host| format!("{scheme}://{user}{at}{host}{tail}")).collect()
}

/// Named as it is addressed. An error is what is wrong with the URL.
fn endpoint(url: &Url) -> std::result::Result<Endpoint, &'static str> {
    let host = match url.host() {
        Some(Host::Domain("")) | None => return Err("names no host"),
        Some(Host::Domain(name)) if name.contains(',') => return Err("names several hosts, which only mongodb:// may"),
        Some(Host::Domain(name)) => name.to_owned(),
        Some(Host::Ipv4(address)) => address.to_string(),
        Some(Host::Ipv6(address)) => address.to_string(),
    };
    let known = || PORTS.iter().find(|(scheme, _)| *scheme == url.scheme()).map(|(_, port)| *port);
    let port = url.port().or_else(known).ok_or("names no port")?;
    let name = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
    Ok(Endpoint { name, host, port })
}

/// Hosts and addresses with ports; a name that nobody knows stands for itself.
async fn resolved(endpoints: &[Endpoint]) -> Vec<(String, u16)> {
    let mut places = Vec::new();
    for Endpoint { host, port, .. } in endpoints {
        places.push((host.clone(), *port));
        if let Ok(Ok(found)) = timeout(LOOKUP, lookup_host((host.as_str(), *port))).await {
            places.extend(found.map(|address| (address.ip().to_string(), *port)));
        }
    }
    places
}

fn parameters(path: &str, query: form_urlencoded::Parse<'_>) -> Result<Vec<(String, String)>> {
    let mut parameters = Vec::new();
    let database = percent_decode_str(path.trim_matches('/')).decode_utf8().map_err(|_| {
        Error::refused(FailureClass::Invalid, "the path of spec.clientConfig is not UTF-8 when percent-decoded")
    })?;
    if !database.is_empty() {
        parameters.push((DATABASE.to_owned(), database.into_owned()));
    }
    parameters.extend(query.into_owned());
    Ok(parameters)
}

/// Members of replica sets as KubeDB's `MongoDBConfiguration` names them in an AppBinding's parameters:
/// `replicaSets: {host-0: "shard0/a:27017,b:27017"}` and `configServer: "cfg/c:27017"`. The endpoint of each is named by all
/// of that: `host-0/shard0/a:27017`, `configServer/cfg/c:27017`.
fn replica_set_members(parameters: &serde_json::Map<String, Value>) -> Result<Vec<Endpoint>> {
    let sets = parameters.get("replicaSets").and_then(Value::as_object);
    let shards = sets.into_iter().flatten().map(|(name, members)| (name.as_str(), members));
    let config = parameters.get("configServer").map(|members| ("configServer", members));
    let mut endpoints = Vec::new();
    for (set, members) in shards.chain(config) {
        let refuse = |what: &str| {
            Error::refused(FailureClass::Invalid, format!("spec.parameters: the members of {set} {what}"))
                .hint("write them like shard0/a.example:27017,b.example:27017")
        };
        let members = members.as_str().ok_or_else(|| refuse("are no string"))?;
        let (name, hosts) = members.split_once('/').ok_or_else(|| refuse("come without their replica set's name"))?;
        for host in hosts.split(',') {
            let url = Url::parse(&format!("{MONGODB}://{host}"));
            let url = url.map_err(|error| refuse(&format!("have {host:?} among them: {error}")))?;
            let member = endpoint(&url).map_err(|what| refuse(&format!("have {host:?} among them, which {what}")))?;
            endpoints.push(Endpoint { name: format!("{set}/{name}/{}", member.name), ..member });
        }
    }
    Ok(endpoints)
}

/// Kibana or OpenSearch Dashboards, as an AppBinding's parameters name it: `dashboards: https://kibana.example:5601/base`. It is
/// spoken to as the application is: with its login, and with its TLS or with none.
fn dashboards(spec: &AppBindingSpec) -> Result<Option<(Endpoint, String)>> {
    let Some(value) = spec.parameters.0.get(DASHBOARDS) else { return Ok(None) };
    let refuse = |what: String| {
        Error::refused(FailureClass::Invalid, format!("spec.parameters.{DASHBOARDS} {what}"))
            .hint("write it like https://kibana.example:5601")
    };
    let url = value.as_str().ok_or_else(|| refuse("is no string".to_owned()))?;
    let url = Url::parse(url).map_err(|error| refuse(format!("is no URL: {error}")))?;
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
        return Err(refuse("has more than a host, a port and a path".to_owned()));
    }
    match (url.scheme(), spec.client_config.tls_mode) {
        ("https", TlsMode::Require) | ("http", TlsMode::Disable) => {}
        (_, TlsMode::Require) => return Err(refuse("has to be https, as spec.clientConfig.tlsMode is".to_owned())),
        (_, TlsMode::Disable) => return Err(refuse("has to be http, as spec.clientConfig.tlsMode is".to_owned())),
    }
    let endpoint = endpoint(&url).map_err(|what| refuse(what.to_owned()))?;
    let path = url.path().trim_end_matches('/').to_owned();
    Ok(Some((Endpoint { name: DASHBOARDS.to_owned(), ..endpoint }, path)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn named(endpoints: &[Endpoint]) -> Vec<(&str, &str, u16)> {
        endpoints.iter().map(|endpoint| (endpoint.name.as_str(), endpoint.host.as_str(), endpoint.port)).collect()
    }

    #[test]
    fn a_url_gives_host_port_and_database() {
        let address = Address::of_url("postgresql://db.example/sh%C3%B6p?application_name=coffer").unwrap();
        assert_eq!(named(&address.endpoints), [("default", "db.example", 5432)]);
        let expected = [("database", "shöp"), ("application_name", "coffer")];
        assert_eq!(address.parameters, expected.map(|(key, value)| (key.to_owned(), value.to_owned())));
        let address = Address::of_url("postgresql://[::1]:5433").unwrap();
        assert_eq!(named(&address.endpoints), [("default", "::1", 5433)]);
        assert_eq!(address.parameters, []);
    }

    #[test]
    fn each_host_of_a_url_is_an_endpoint() {
        let address = Address::of_url("mongodb://a.example,[::1]:2,c:3/shop?replicaSet=rs0").unwrap();
        let expected = [
            ("default", "a.example", 27017),
            ("a.example:27017", "a.example", 27017),
            ("[::1]:2", "::1", 2),
            ("c:3", "c", 3),
        ];
        assert_eq!(named(&address.endpoints), expected);
        let expected = [("database", "shop"), ("replicaSet", "rs0")];
        assert_eq!(address.parameters, expected.map(|(key, value)| (key.to_owned(), value.to_owned())));
    }

    #[tokio::test]
    async fn a_server_is_known_under_all_its_names() {
        let meet =
            async |one: &str, other: &str| Address::of_url(one).unwrap().meets(&Address::of_url(other).unwrap()).await;
        assert!(meet("mysql://no-such-host.invalid", "mysql://no-such-host.invalid:3306/a").await);
        assert!(meet("mongodb://127.0.0.1:1,127.0.0.1:2/?replicaSet=r", "mongodb://localhost:2").await);
        assert!(!meet("mysql://127.0.0.1:3306", "mysql://localhost:3307").await);
    }

    #[test]
    fn a_url_that_cannot_be_reached_is_refused_without_showing_it() {
        for url in [
            "redis://cache:hunter2@",
            "oracle://user:hunter2@db.example/x",
            "hunter2",
            "mongodb://user:hunter2@a,,b/",
            "mongodb://user:hunter2@a:1,b:no/",
            "postgresql://user:hunter2@a,b/db",
            "postgresql://user:hunter2@a:1,b:2/db",
        ] {
            let failure = Address::of_url(url).err().unwrap().into_failure();
            assert!(!failure.message.contains("hunter2"), "{}", failure.message);
        }
    }

    #[test]
    fn the_url_of_a_mongodb_is_of_its_scheme() {
        let of = |url: &str| {
            let spec = json!({ "type": "mongodb", "clientConfig": { "url": url } });
            Address::of(&serde_json::from_value(spec).unwrap(), "demo").map_err(Error::into_failure)
        };
        assert!(of("mongodb://a:1,b/?replicaSet=rs0").is_ok());
        for url in [
            "http://user:hunter2@a:27017/",
            "postgresql://user:hunter2@a:27017/shop",
            "mongodb+srv://user:hunter2@db.example/",
            "hunter2@a:27017",
            "hunter2",
        ] {
            let failure = of(url).err().unwrap();
            let text = format!("{} {}", failure.message, failure.hint.unwrap());
            assert!(text.contains("spec.clientConfig.url") && text.contains("mongodb://a.example"), "{text}");
            assert!(!text.contains("hunter2"), "{text}");
        }
    }

    #[test]
    fn members_of_replica_sets_are_endpoints() {
        let parameters = json!({
            "kind": "MongoDBConfiguration",
            "replicaSets": {"host-0": "shard0/a:1,b", "host-1": "shard1/c:3"},
            "configServer": "cfg/d:4",
        });
        let endpoints = replica_set_members(parameters.as_object().unwrap()).unwrap();
        let expected = [
            ("host-0/shard0/a:1", "a", 1),
            ("host-0/shard0/b:27017", "b", 27017),
            ("host-1/shard1/c:3", "c", 3),
            ("configServer/cfg/d:4", "d", 4),
        ];
        assert_eq!(named(&endpoints), expected);
        for bad in [json!("a:1"), json!("rs/a:1,,b"), json!(7), json!("rs/a:port")] {
            let parameters = json!({"replicaSets": {"host-0": bad}});
            let failure = replica_set_members(parameters.as_object().unwrap()).unwrap_err().into_failure();
            assert!(failure.message.contains("host-0"), "{}", failure.message);
        }
    }

    #[test]
    fn a_search_server_is_spoken_to_at_its_root() {
        let of = |kind: &str, client_config: serde_json::Value| {
            let spec = json!({ "type": kind, "clientConfig": client_config });
            Address::of(&serde_json::from_value(spec).unwrap(), "demo").map_err(|error| error.into_failure().message)
        };
        for kind in SEARCH {
            for (url, port) in
                [("https://es/", 443), ("http://es", 80), ("elasticsearch://es", 9200), ("opensearch://es", 9200)]
            {
                let address = of(kind, json!({ "url": url })).ok().unwrap();
                assert_eq!(named(&address.endpoints), [("default", "es", port)]);
                assert_eq!(address.parameters, []);
            }
            for beyond in ["/es-prod", "/?pretty=hunter2"] {
                let message = of(kind, json!({ "url": format!("https://proxy{beyond}") })).err().unwrap();
                assert!(message.contains("path or a query") && !message.contains("hunter2"), "{message}");
            }
            let service = json!({ "service": { "name": "es", "port": 9200, "path": "/es-prod" } });
            assert!(of(kind, service).err().unwrap().contains("path or a query"));
            assert!(of(kind, json!({ "service": { "name": "es", "port": 9200, "path": "/" } })).is_ok());
        }
        assert!(of("mysql", json!({ "url": "mysql://db/shop" })).is_ok());
    }

    #[test]
    fn dashboards_are_an_endpoint_spoken_to_as_the_application_is() {
        let of = |kind: &str, mode: &str, dashboards: serde_json::Value| {
            let spec = json!({ "type": kind, "clientConfig": { "url": "https://es.example", "tlsMode": mode },
                "parameters": { "dashboards": dashboards } });
            Address::of(&serde_json::from_value(spec).unwrap(), "demo").map_err(|error| error.into_failure().message)
        };
        let address = of("elasticsearch", "Require", json!("https://kibana.example:5601/base/")).ok().unwrap();
        assert_eq!(named(&address.endpoints), [("default", "es.example", 443), ("dashboards", "kibana.example", 5601)]);
        assert_eq!(address.parameters, [("dashboardsPath".to_owned(), "/base".to_owned())]);
        let address = of("opensearch", "Disable", json!("http://osd")).ok().unwrap();
        assert_eq!(named(&address.endpoints)[1], ("dashboards", "osd", 80));
        assert_eq!(address.parameters, [("dashboardsPath".to_owned(), String::new())]);
        assert_eq!(of("mysql", "Disable", json!("http://osd")).ok().unwrap().endpoints.len(), 1);
        for (mode, bad) in [
            ("Require", json!("http://kibana.example")),
            ("Disable", json!("https://kibana.example")),
            ("Require", json!("https://user:hunter2@kibana.example")),
            ("Require", json!("https://kibana.example?x=hunter2")),
            ("Require", json!("kibana.example:hunter2")),
            ("Require", json!(7)),
        ] {
            let message = of("opensearch", mode, bad).err().unwrap();
            assert!(message.contains("spec.parameters.dashboards") && !message.contains("hunter2"), "{message}");
        }
    }
}
