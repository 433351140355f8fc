//! What a run tells while it runs: log lines and progress, limited so that a flood costs nobody anything.

use crate::limits::{PAIRS, PROGRESS, TEXT_BYTES};
use std::{fmt, sync::Arc, time::Instant};

/// Hears a run's events, on the run's own task: it must be quick and must not block.
#[derive(Clone)]
pub struct Observer(Arc<dyn Fn(Event) + Send + Sync>);

impl Observer {
    pub fn new(hear: impl Fn(Event) + Send + Sync + 'static) -> Self {
        Self(Arc::new(hear))
    }

    pub fn none() -> Self {
        Self::new(|_| ())
    }

    pub(crate) fn tell(&self, event: Event) {
        (self.0)(event);
    }
}

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Observer")
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Text of the guest, cut to a readable length, with granted secrets masked.
    Log { level: Level, message: String, fields: Vec<(String, String)> },
    /// In a unit of the Function's own.
    Progress { done: u64, total: Option<u64> },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
}

/// Stands between a guest and the observer.
pub(crate) struct Gate {
    observer: Observer,
    mask: Mask,
    bucket: Bucket,
    dropped: u64,
    progress: Option<(u64, Option<u64>)>,
    progress_told: Option<Instant>,
}

impl Gate {
    pub(crate) fn new(observer: Observer, mask: Mask, rate: u64) -> Self {
        Self { observer, mask, bucket: Bucket::new(rate), dropped: 0, progress: None, progress_told: None }
    }

    pub(crate) fn log(&mut self, level: Level, message: &str, fields: Vec<(String, String)>) {
        let message = self.readable(message);
        let fields = self.readable_pairs(fields);
        let size = message.len() + fields.iter().map(|(k, v)| k.len() + v.len()).sum::<usize>() + 1;
        if !self.bucket.take(size as u64, Instant::now()) {
            self.dropped += 1;
            return;
        }
        self.tell_dropped();
        self.observer.tell(Event::Log { level, message, fields });
    }

    pub(crate) fn progress(&mut self, done: u64, total: Option<u64>) {
        self.progress = Some((done, total));
        if self.progress_told.is_none_or(|told| told.elapsed() >= PROGRESS) {
            self.tell_progress();
        }
    }

    /// A guest's text as people may see it. Masked first: cut first, half a secret could be left at the edge.
    pub(crate) fn readable(&self, text: &str) -> String {
        cut(&self.mask.apply(text))
    }

    pub(crate) fn readable_pairs(&self, pairs: Vec<(String, String)>) -> Vec<(String, String)> {
        pairs.iter().take(PAIRS).map(|(key, value)| (self.readable(key), self.readable(value))).collect()
    }

    /// What was held back and must not be lost: the last progress, and how much of the log is missing.
    pub(crate) fn flush(&mut self) {
        self.tell_progress();
        self.tell_dropped();
    }

    fn tell_progress(&mut self) {
        if let Some((done, total)) = self.progress.take() {
            self.progress_told = Some(Instant::now());
            self.observer.tell(Event::Progress { done, total });
        }
    }

    fn tell_dropped(&mut self) {
        if self.dropped > 0 {
            let message = format!("{} log lines were dropped: the addon logs too much", self.dropped);
            self.dropped = 0;
            self.observer.tell(Event::Log { level: Level::Warn, message, fields: Vec::new() });
        }
    }
}

/// A token bucket of bytes that holds two seconds' worth.
struct Bucket {
    rate: u64,
    tokens: u64,
    filled: Instant,
}

impl Bucket {
    fn new(rate: u64) -> Self {
        Self { rate, tokens: rate.saturating_mul(2), filled: Instant::now() }
    }

    fn take(&mut self, size: u64, now: Instant) -> bool {
        let millis = u64::try_from(now.saturating_duration_since(self.filled).as_millis()).unwrap_or(u64::MAX);
        let gained = self.rate.saturating_mul(millis) / 1_000;
        if gained > 0 {
            self.tokens = self.tokens.saturating_add(gained).min(self.rate.saturating_mul(2));
            self.filled = now;
        }
        match self.tokens.checked_sub(size) {
            Some(left) => {
                self.tokens = left;
                true
            }
            None => false,
        }
    }
}

/// Masks granted secrets in a guest's text, so that a careless addon leaks none into logs, errors and status.
#[derive(Clone, Default)]
pub(crate) struct Mask(Vec<secrecy::SecretString>);

impl Mask {
    /// A secret shorter than this is no secret, and masking it would garble every text.
    const SHORTEST: usize = 4;

    /// User names are granted like secrets but are none.
    pub(crate) fn new<'a>(credentials: impl IntoIterator<Item = (&'a String, &'a secrecy::SecretString)>) -> Self {
        use secrecy::ExposeSecret as _;
        let mut secrets: Vec<_> = credentials
            .into_iter()
            .filter(|(key, value)| !is_user_name(key) && value.expose_secret().trim().len() >= Self::SHORTEST)
            .map(|(_, value)| secrecy::SecretString::from(value.expose_secret().trim().to_owned()))
            .collect();
        // A secret that contains another one is masked first, and whole.
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.expose_secret().len()));
        Self(secrets)
    }

    fn apply(&self, text: &str) -> String {
        use secrecy::ExposeSecret as _;
        self.0.iter().fold(text.to_owned(), |text, secret| {
            if text.contains(secret.expose_secret()) { text.replace(secret.expose_secret(), "***") } else { text }
        })
    }
}

fn is_user_name(key: &str) -> bool {
    key.eq_ignore_ascii_case("username") || key.eq_ignore_ascii_case("user")
}

/// Cuts to a readable length, at a character's border, and drops control characters that would move a terminal's cursor.
pub(crate) fn cut(text: &str) -> String {
    let end = text.floor_char_boundary(TEXT_BYTES.min(text.len()));
    let (kept, rest) = text.split_at_checked(end).unwrap_or((text, ""));
    let mut kept: String = kept.chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t')).collect();
    if !rest.is_empty() {
        kept.push_str(&format!("… ({} bytes more)", rest.len()));
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::SecretString;
    use std::{collections::BTreeMap, sync::Mutex, time::Duration};

    fn gate(rate: u64, mask: Mask) -> (Gate, Arc<Mutex<Vec<Event>>>) {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let ear = heard.clone();
        (Gate::new(Observer::new(move |event| ear.lock().unwrap().push(event)), mask, rate), heard)
    }

    #[test]
    fn a_flood_is_dropped_and_counted() {
        let (mut gate, heard) = gate(100, Mask::default());
        for _ in 0..1_000_000 {
            gate.log(Level::Info, "ninety-nine bottles of beer on the wall", Vec::new());
        }
        gate.flush();
        let heard = heard.lock().unwrap();
        assert!(heard.len() < 1_000, "{} events", heard.len());
        assert!(
            matches!(heard.last().unwrap(), Event::Log { level: Level::Warn, message, .. } if message.contains("were dropped"))
        );
    }

    #[test]
    fn the_bucket_refills() {
        let mut bucket = Bucket::new(1_000);
        let start = bucket.filled;
        assert!(bucket.take(2_000, start));
        assert!(!bucket.take(1, start));
        assert!(bucket.take(500, start + Duration::from_millis(500)));
        assert!(!bucket.take(1, start + Duration::from_millis(500)));
    }

    #[test]
    fn the_last_progress_is_told() {
        let (mut gate, heard) = gate(100, Mask::default());
        for done in 0..=1_000 {
            gate.progress(done, Some(1_000));
        }
        gate.flush();
        assert_eq!(heard.lock().unwrap().last().unwrap(), &Event::Progress { done: 1_000, total: Some(1_000) });
    }

    #[test]
    fn secrets_are_masked_and_user_names_are_not() {
        let secrets = BTreeMap::from(
            [("username", "postgres"), ("password", "swordfish"), ("old", "swordfish-2"), ("pin", "123")]
                .map(|(k, v)| (k.to_owned(), SecretString::from(v))),
        );
        let mask = Mask::new(&secrets);
        assert_eq!(mask.apply("postgres says swordfish-2, swordfish, 123"), "postgres says ***, ***, 123");
    }

    #[test]
    fn long_and_unprintable_text_is_cut() {
        assert_eq!(cut("a\u{1b}[31mb\n"), "a[31mb\n");
        let long = "ä".repeat(TEXT_BYTES);
        let cut = cut(&long);
        assert!(cut.len() < TEXT_BYTES + 40 && cut.ends_with(&format!("({TEXT_BYTES} bytes more)")), "{}", cut.len());
    }
}
