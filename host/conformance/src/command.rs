//! The author's own commands: one brings the restore's target back to its beginning, one looks for what was left behind.

use crate::limits::{COMMAND, LOOK, SHOWN_BYTES};
use std::process::{Output, Stdio};
use std::time::Duration;
use tokio::process::Command;
use tokio::time::{Instant, sleep, timeout};

/// Runs a line of shell. An error is what it said, or why it could not.
pub(crate) async fn run(line: &str) -> Result<(), String> {
    let output = Command::new("sh").args(["-c", line]).stdin(Stdio::null()).kill_on_drop(true).output();
    match timeout(COMMAND, output).await {
        Err(_) => Err(format!("did not end within {COMMAND:?}")),
        Ok(Err(error)) => Err(format!("unable to run sh: {error}")),
        Ok(Ok(output)) if output.status.success() => Ok(()),
        Ok(Ok(output)) => Err(complaint(&output)),
    }
}

/// Runs it until it succeeds, at most so long: an application takes a moment to notice that a client is gone.
pub(crate) async fn until(line: &str, limit: Duration) -> Result<(), String> {
    let begun = Instant::now();
    loop {
        match run(line).await {
            Err(_) if begun.elapsed() < limit => sleep(LOOK).await,
            outcome => return outcome,
        }
    }
}

fn complaint(output: &Output) -> String {
    let text = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    let text = String::from_utf8_lossy(&text);
    match text.trim() {
        "" => output.status.to_string(),
        said => format!("{}: {}", output.status, shorten(said)),
    }
}

/// On one line, and not too much of it.
pub(crate) fn shorten(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let end = line.floor_char_boundary(SHOWN_BYTES.min(line.len()));
    match line.split_at_checked(end) {
        Some((shown, rest)) if !rest.is_empty() => format!("{shown}…"),
        _ => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_a_command_says_is_the_reason() {
        assert_eq!(run("true").await, Ok(()));
        assert_eq!(run("echo two sessions; exit 3").await, Err("exit status: 3: two sessions".to_owned()));
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("seen");
        // Clean at the second look.
        let line = format!("test -e {0} || {{ touch {0}; exit 1; }}", file.display());
        assert_eq!(until(&line, Duration::from_secs(30)).await, Ok(()));
        assert!(until("exit 1", Duration::ZERO).await.is_err());
    }
}
