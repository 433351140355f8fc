//! Numbers as people read them.

use jiff::{SignedDuration, Timestamp};

const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];

/// `1234567` → `1.2 MiB`.
pub fn bytes(count: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    let mut value = count as f64;
    let mut unit = "B";
    for next in UNITS {
        if value < 1024.0 {
            break;
        }
        value /= 1024.0;
        unit = next;
    }
    if unit == "B" { format!("{count} B") } else { format!("{value:.1} {unit}") }
}

/// Bytes a second; nothing when no time has passed.
pub fn rate(count: u64, over: SignedDuration) -> String {
    let seconds = over.as_secs_f64();
    if seconds < 0.001 {
        return "-".to_owned();
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, clippy::cast_sign_loss)]
    let per_second = (count as f64 / seconds) as u64;
    format!("{}/s", bytes(per_second))
}

/// `12s`, `4m 05s`, `2h 07m`. The times in a status have whole seconds, so nothing finer is known.
pub fn duration(span: SignedDuration) -> String {
    let seconds = span.as_secs().max(0);
    match seconds {
        0..=59 => format!("{seconds}s"),
        60..=3599 => format!("{}m {:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h {:02}m", seconds / 3600, seconds / 60 % 60),
    }
}

/// How long ago, in one unit, as kubectl shows it.
pub fn age(since: Timestamp, now: Timestamp) -> String {
    let seconds = now.duration_since(since).as_secs().max(0);
    match seconds {
        0..=119 => format!("{seconds}s"),
        120..=7199 => format!("{}m", seconds / 60),
        7200..=172_799 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_scaled_by_1024() {
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(1536), "1.5 KiB");
        assert_eq!(bytes(5 * 1024 * 1024 * 1024), "5.0 GiB");
    }

    #[test]
    fn durations_use_two_units_at_most() {
        assert_eq!(duration(SignedDuration::from_millis(420)), "0s");
        assert_eq!(duration(SignedDuration::from_secs(245)), "4m 05s");
        assert_eq!(duration(SignedDuration::from_secs(7 * 60 + 7200)), "2h 07m");
    }

    #[test]
    fn a_rate_over_no_time_is_not_infinite() {
        assert_eq!(rate(1024, SignedDuration::ZERO), "-");
        assert_eq!(rate(10_240, SignedDuration::from_secs(10)), "1.0 KiB/s");
    }
}
