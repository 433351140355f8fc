//! Conditions, built in one place so that a transition time changes when, and only when, the status does.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

/// The condition types Coffer writes.
pub mod types {
    /// The object can be used.
    pub const READY: &str = "Ready";
    /// The object's manifest holds together with the objects it names.
    pub const VALID: &str = "Valid";
    /// The session ended.
    pub const COMPLETE: &str = "Complete";
}

/// Whether a condition holds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Status {
    /// It holds.
    True,
    /// It does not.
    False,
    /// Nobody can tell at present.
    Unknown,
}

impl Status {
    /// As Kubernetes writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

impl From<bool> for Status {
    fn from(holds: bool) -> Self {
        if holds { Self::True } else { Self::False }
    }
}

/// Puts a condition among `conditions`, replacing the one of the same type. The transition time of an unchanged status
/// stays. `reason` is one CamelCase word; `generation` the object's, when it is known.
pub fn set(
    conditions: &mut Vec<Condition>,
    type_: &str,
    status: Status,
    reason: &str,
    message: impl Into<String>,
    generation: Option<i64>,
    now: Time,
) {
    let mut condition = Condition {
        type_: type_.to_owned(),
        status: status.as_str().to_owned(),
        reason: reason.to_owned(),
        message: message.into(),
        observed_generation: generation,
        last_transition_time: now,
    };
    match conditions.iter_mut().find(|condition| condition.type_ == type_) {
        Some(old) => {
            if old.status == condition.status {
                condition.last_transition_time = old.last_transition_time.clone();
            }
            *old = condition;
        }
        None => conditions.push(condition),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transition_time_moves_with_the_status_only() {
        let at = |seconds| Time(k8s_openapi::jiff::Timestamp::from_second(seconds).unwrap());
        let mut conditions = Vec::new();
        set(&mut conditions, types::READY, Status::False, "Waiting", "not yet", Some(1), at(1));
        set(&mut conditions, types::READY, Status::False, "Waiting", "still not", Some(2), at(2));
        assert_eq!((conditions.len(), &conditions[0].last_transition_time), (1, &at(1)));
        assert_eq!(conditions[0].message, "still not");
        set(&mut conditions, types::READY, Status::True, "Found", "", Some(2), at(3));
        assert_eq!(conditions[0].last_transition_time, at(3));
        assert_eq!(conditions[0].status, "True");
    }
}
