//! Which of the application's endpoints to speak to: each is asked what it is, as the host names endpoints and the members of
//! a replica set change their parts.

use super::{Hello, Kind, Login};
use coffer_addon::{Application, Binding, Error, Result};
use futures::StreamExt;
use futures::stream;
use std::time::Duration;

/// The first endpoint's name. Where an address has several hosts, it is there under its own name as well.
const DEFAULT: &str = "default";

/// Endpoints that are asked at once.
const AT_ONCE: usize = 8;

/// What a run needs of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadPreference {
    /// To write, or to read what is newest.
    Primary,
    /// To read without being in the primary's way.
    SecondaryPreferred,
}

/// An endpoint and what it said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    pub endpoint: String,
    pub said: Result<Hello>,
}

/// The endpoints that were asked, in the binding's order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Members {
    all: Vec<Member>,
    /// How far a secondary may be behind the primary. None: as far as it is.
    max_staleness: Option<Duration>,
}

/// The config server's group of endpoints.
const CONFIG_SERVER: &str = "configServer";

/// The endpoints of the binding's address: not those of shards and of a config server, which its parameters name. Where the
/// address has one host, and the parameters name one replica set that is no shard, it is that one's: KubeDB's addresses are
/// those of a service.
pub fn of_address(binding: &Binding) -> Vec<String> {
    let own: Vec<_> = binding.endpoints.iter().filter(|name| !name.contains('/')).cloned().collect();
    let named: Vec<_> = own.iter().filter(|name| *name != DEFAULT).cloned().collect();
    if !named.is_empty() {
        return named;
    }
    match shards(binding).as_slice() {
        [group] if !is_sharded(binding) => of_group(binding, group),
        _ => own,
    }
}

/// Whether the parameters name the shards of a cluster.
pub fn is_sharded(binding: &Binding) -> bool {
    shards(binding).len() > 1 || !of_group(binding, CONFIG_SERVER).is_empty()
}

/// A cluster's documents are of no one moment, and moved between shards while they are read.
pub fn check_whole(binding: &Binding) -> Result<()> {
    if !is_sharded(binding) {
        return Ok(());
    }
    Err(Error::Unsupported(
        "the binding's parameters name the shards of a sharded cluster: a dump or a restore through its router is of no one moment, \
         and documents move between shards meanwhile; stop the balancer, and give each shard and the config servers a binding of \
         their own, which names that replica set's members"
            .into(),
    ))
}

/// The endpoints of a group: the config server's, or one of [`shards`].
fn of_group(binding: &Binding, group: &str) -> Vec<String> {
    let is_of = |name: &&String| name.split('/').next() == Some(group) && name.contains('/');
    binding.endpoints.iter().filter(is_of).cloned().collect()
}

/// The groups of endpoints that are replica sets of their own, without the config server: `host-0`, `host-1`.
fn shards(binding: &Binding) -> Vec<String> {
    let mut shards: Vec<String> = Vec::new();
    for (group, _) in binding.endpoints.iter().filter_map(|name| name.split_once('/')) {
        if group != CONFIG_SERVER && !shards.iter().any(|shard| shard == group) {
            shards.push(group.into());
        }
    }
    shards
}

impl Members {
    /// Asks the endpoints of the binding's address.
    pub async fn ask(application: &Application, login: &Login) -> Result<Self> {
        let asked = stream::iter(of_address(&application.binding())).map(async |endpoint| {
            let said = login.greet(application, Some(&endpoint)).await;
            Member { endpoint, said }
        });
        let all = asked.buffered(AT_ONCE).collect().await;
        let mut members = Members { all, max_staleness: login.max_staleness };
        if let Some(wanted) = &login.replica_set {
            for member in &mut members.all {
                let other = match &member.said {
                    Ok(hello) if hello.set_name.as_ref() != Some(wanted) => hello.describe(),
                    _ => continue,
                };
                let text = format!("{other}, and the binding's replicaSet is {wanted}");
                member.said = Err(Error::InvalidParameter(text));
            }
        }
        members.check_one()?;
        Ok(members)
    }

    /// Hosts that do not belong together have documents of their own each: a run would be of whichever answers.
    fn check_one(&self) -> Result<()> {
        let answered = || self.all.iter().filter_map(|member| Some((member, member.said.as_ref().ok()?)));
        let set = |said: &Hello| (said.kind == Kind::Mongos, said.set_name.clone());
        let mut sets: Vec<_> = answered().map(|(_, said)| set(said)).collect();
        sets.dedup();
        let is_alone = answered().any(|(_, said)| said.kind == Kind::Standalone);
        if sets.len() <= 1 && !(is_alone && self.all.len() > 1) {
            return Ok(());
        }
        let said: Vec<_> =
            answered().map(|(member, said)| format!("{} is {}", member.endpoint, said.describe())).collect();
        Err(Error::InvalidParameter(format!(
            "the hosts of the binding's clientConfig.url have to be members of one replica set, and are not: {}; give each server \
             a binding of its own, or say with ?replicaSet= whose members are meant",
            said.join("; ")
        )))
    }

    /// The endpoint to speak to. An error says what each of them said.
    pub fn choose(&self, preference: ReadPreference) -> Result<&Member> {
        let answered = || self.all.iter().filter_map(|member| Some((member, member.said.as_ref().ok()?)));
        let primary = answered().find(|(_, said)| matches!(said.kind, Kind::Primary | Kind::Mongos | Kind::Standalone));
        // Whoever names a hidden member and nothing else means it.
        let is_only = self.all.len() == 1;
        let secondaries = answered().filter(|(_, said)| said.kind == Kind::Secondary && (is_only || !said.hidden));
        let chosen = match preference {
            ReadPreference::Primary => primary,
            ReadPreference::SecondaryPreferred => {
                let freshest = secondaries.max_by_key(|(_, said)| said.last_write);
                freshest.filter(|(member, said)| !self.is_stale(member, said, primary)).or(primary)
            }
        };
        let chosen = chosen.map(|(member, _)| member);
        chosen.ok_or_else(|| self.nobody(preference))
    }

    /// Whether a secondary is too far behind the primary, which is to be there.
    fn is_stale(&self, member: &Member, said: &Hello, primary: Option<(&Member, &Hello)>) -> bool {
        let Some((_, primary)) = primary else { return false };
        let (Some(written), Some(newest), Some(most)) = (said.last_write, primary.last_write, self.max_staleness)
        else {
            return false;
        };
        let lag = Duration::from_millis(newest.saturating_sub(written).try_into().unwrap_or(0));
        if lag > most {
            coffer_addon::info!("secondary {} is {} s behind the primary: not read", member.endpoint, lag.as_secs());
        }
        lag > most
    }

    /// What is to be known of a member that was chosen: that it is a secondary, and no primary says how old its documents are.
    pub fn doubt(&self, chosen: &Member) -> Option<String> {
        let is_primary = |member: &Member| matches!(&member.said, Ok(said) if said.kind == Kind::Primary);
        let said = chosen.said.as_ref().ok().filter(|said| said.kind == Kind::Secondary)?;
        if self.all.iter().any(is_primary) {
            return None;
        }
        let age = said.local_time.zip(said.last_write).map(|(now, written)| now.saturating_sub(written).max(0) / 1000);
        let age = age.map_or("of an unknown time".into(), |seconds| format!("{seconds} s old by its clock"));
        Some(format!("{} is a secondary whose last write is {age}, and no primary answered", chosen.endpoint))
    }

    fn nobody(&self, preference: ReadPreference) -> Error {
        let said = self.all.iter().map(|Member { endpoint, said }| match said {
            Ok(hello) => format!("{endpoint} is {}", hello.describe()),
            Err(error) => format!("{endpoint}: {error}"),
        });
        let said: Vec<_> = said.collect();
        let who = match preference {
            ReadPreference::Primary => "is the primary",
            ReadPreference::SecondaryPreferred => "can be read from",
        };
        let primary = self.all.iter().find_map(|member| member.said.as_ref().ok()?.primary.clone());
        let remedy = match (preference, primary) {
            (ReadPreference::Primary, Some(primary)) => {
                format!("; the primary is {primary}: name all members in the binding's clientConfig.url")
            }
            _ => String::new(),
        };
        let text = format!("no endpoint of the binding {who}: {}{remedy}", said.join("; "));
        // That can pass, unless none of them can ever be spoken to.
        let passes = self.all.iter().any(|member| matches!(member.said, Ok(_) | Err(Error::Unavailable(_))));
        match self.all.iter().find_map(|member| member.said.as_ref().err()).filter(|_| !passes) {
            Some(Error::InvalidParameter(_)) => Error::InvalidParameter(text),
            Some(Error::Denied(_)) => Error::Denied(text),
            Some(Error::Unsupported(_)) => Error::Unsupported(text),
            Some(Error::Corrupt(_)) => Error::Corrupt(text),
            _ => Error::Unavailable(text),
        }
    }
}

impl Hello {
    /// What the server is, for people.
    pub fn describe(&self) -> String {
        let kind = match self.kind {
            Kind::Standalone => return "a server of no replica set".into(),
            Kind::Mongos => return "a router of a sharded cluster (mongos)".into(),
            Kind::Primary => "the primary",
            Kind::Secondary if self.hidden => "a hidden secondary",
            Kind::Secondary => "a secondary",
            Kind::Arbiter => "an arbiter",
            Kind::Other => "a member that is starting, recovering or removed",
        };
        match &self.set_name {
            Some(name) => format!("{kind} of replica set {name}"),
            None => kind.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_found_by_their_names() {
        let names =
            ["default", "a:1", "b:2", "host-0/s0/c:3", "host-0/s0/d:4", "host-1/s1/e:5", "configServer/cfg/f:6"];
        let mut binding = Binding { endpoints: names.map(String::from).into(), ..Binding::default() };
        assert_eq!(of_address(&binding), ["a:1", "b:2"]);
        assert_eq!(shards(&binding), ["host-0", "host-1"]);
        assert_eq!(of_group(&binding, "host-0"), ["host-0/s0/c:3", "host-0/s0/d:4"]);
        assert_eq!(of_group(&binding, "configServer"), ["configServer/cfg/f:6"]);
        assert!(of_group(&binding, "host").is_empty());
        binding.endpoints.retain(|name| name == "default" || name.contains('/'));
        assert_eq!(of_address(&binding), ["default"]);
        assert!(matches!(check_whole(&binding), Err(Error::Unsupported(text)) if text.contains("each shard")));
        // A cluster of one shard is one all the same.
        binding.endpoints.retain(|name| !name.starts_with("host-1/"));
        assert!(is_sharded(&binding) && of_address(&binding) == ["default"]);
    }

    #[test]
    fn the_one_group_of_an_address_with_one_host_is_the_replica_set() {
        let names = |names: &[&str]| Binding {
            endpoints: names.iter().map(ToString::to_string).collect(),
            ..Binding::default()
        };
        let one = names(&["default", "host-0/rs0/a:1", "host-0/rs0/b:2"]);
        assert_eq!(of_address(&one), ["host-0/rs0/a:1", "host-0/rs0/b:2"]);
        assert_eq!(check_whole(&one), Ok(()));
        // Who names hosts means those.
        assert_eq!(of_address(&names(&["default", "c:1", "d:2", "host-0/rs0/a:1"])), ["c:1", "d:2"]);
        assert_eq!(of_address(&names(&["default"])), ["default"]);
    }
}
