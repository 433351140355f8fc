//! "Did you mean": the known name that is nearest to an unknown one.

/// The nearest of `known` to `unknown`, when it is near enough to be what was meant.
pub(crate) fn nearest<'a>(unknown: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted = unknown.to_lowercase();
    // A third of the letters may be wrong; beyond that a suggestion only misleads.
    let allowed = (wanted.chars().count() / 3).max(1);
    known
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(&wanted, &name.to_lowercase()), name))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// What to say about an unknown name: the nearest known one, else all of them.
pub(crate) fn unknown<'a>(unknown: &str, known: impl IntoIterator<Item = &'a str> + Clone, what: &str) -> String {
    match nearest(unknown, known.clone()) {
        Some(name) => format!("did you mean {name}?"),
        None => {
            let known = known.into_iter().collect::<Vec<_>>();
            if known.is_empty() { format!("there are no {what}") } else { format!("{what}: {}", known.join(", ")) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suggests_what_was_meant_and_nothing_else() {
        let known = ["repositories", "timeout", "retry", "task"];
        assert_eq!(nearest("repositorys", known), Some("repositories"));
        assert_eq!(nearest("timeOut", known), Some("timeout"));
        assert_eq!(nearest("taks", known), Some("task"));
        assert_eq!(nearest("schedule", known), None);
        assert_eq!(unknown("schedule", known, "fields"), "fields: repositories, timeout, retry, task");
        assert_eq!(unknown("x", [], "parameters"), "there are no parameters");
    }
}
