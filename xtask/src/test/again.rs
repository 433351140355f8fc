//! Asking again what failed.
//!
//! The tests bring up and kill dozens of servers; a run of half an hour is not to be lost to the one that the machine did not
//! let come up. A test that fails and then passes by itself is flaky: that is printed and counted, for it is a bug to find.

use std::ffi::OsString;

use super::seen::{Failure, Seen};
use super::{Variables, watched};
use crate::shell::{Result, heading};

/// With more failures than these it is not chance.
const CHANCE: usize = 3;

/// The failed tests, if all of them pass now; none if one of them fails again, or if there is more to it than a few tests.
pub(super) fn flaky(seen: &Seen, variables: &Variables) -> Result<Vec<String>> {
    let mut flaky = Vec::new();
    let Some(failures) = by_chance(seen) else { return Ok(flaky) };
    for Failure { target, tests } in failures {
        heading(format_args!("once more: {} of {target}", tests.join(", ")));
        let target = target.split_whitespace().map(OsString::from);
        let names = tests.iter().map(OsString::from);
        let arguments: Vec<_> = target.chain(["--", "--exact"].map(OsString::from)).chain(names).collect();
        let (status, again) = watched(&arguments, variables)?;
        if !status.success() || again.passed != tests.len() as u64 {
            return Ok(Vec::new());
        }
        flaky.extend(tests.iter().cloned());
    }
    Ok(flaky)
}

/// What to ask again: nothing unless every failure is that of a test which is known by name.
fn by_chance(seen: &Seen) -> Option<&[Failure]> {
    let named: usize = seen.failures.iter().map(|failure| failure.tests.len()).sum();
    let is_all = seen.failures.iter().all(|failure| !failure.tests.is_empty()) && named as u64 == seen.failed;
    (is_all && (1..=CHANCE).contains(&named)).then_some(seen.failures.as_slice())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(lines: &[&str]) -> Seen {
        let mut seen = Seen::default();
        lines.iter().for_each(|line| seen.line(line));
        seen
    }

    const ONE: [&str; 5] = [
        "test a::one ... FAILED",
        "test two ... ok",
        "test result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.00s",
        "",
        "error: test failed, to rerun pass `-p some --test it`",
    ];

    #[test]
    fn a_few_tests_that_are_known_are_asked_again() {
        let failures = seen(&ONE);
        let expected = Failure { target: "-p some --test it".into(), tests: vec!["a::one".into()] };
        assert_eq!(by_chance(&failures), Some(&[expected][..]));
    }

    #[test]
    fn what_may_be_more_is_not() {
        let died = seen(&["test one ... FAILED", "error: test failed, to rerun pass `-p some --lib`"]);
        assert_eq!(by_chance(&died), None, "it ended before it told its result");
        assert_eq!(by_chance(&seen(&["error: could not compile `some`"])), None);
        let both = [&ONE[..], &["error: test failed, to rerun pass `-p other --lib`"]].concat();
        assert_eq!(by_chance(&seen(&both)), None, "another was ended by a signal");
        assert_eq!(by_chance(&seen(&ONE.repeat(4))), None, "too many");
    }
}
