//! What the server is.

/// The two lines that the protocol and most of the SQL have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Flavor {
    MySql,
    MariaDb,
}

/// A server's version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    pub flavor: Flavor,
    /// Two digits each for minor and patch: 80036 is 8.0.36, 101106 is 10.11.6.
    pub number: u32,
    /// As the server words it: `8.0.36-0ubuntu0.22.04.1`, `10.11.6-MariaDB-0+deb12u1`.
    pub text: String,
}

impl Flavor {
    pub fn name(self) -> &'static str {
        match self {
            Flavor::MySql => "MySQL",
            Flavor::MariaDb => "MariaDB",
        }
    }
}

impl Version {
    /// Reads a version as a server words it; none where it does not begin with numbers.
    pub fn parse(text: &str) -> Option<Self> {
        let flavor = if text.to_ascii_lowercase().contains("mariadb") { Flavor::MariaDb } else { Flavor::MySql };
        // In a greeting MariaDB puts this in front, for replicas that cannot believe in a version 10.
        let text = if flavor == Flavor::MariaDb { text.strip_prefix("5.5.5-").unwrap_or(text) } else { text };
        let numbers = text.split(|c: char| !c.is_ascii_digit() && c != '.').next()?;
        let mut numbers = numbers.split('.').map(|part| part.parse::<u32>().ok());
        let major = numbers.next()??;
        let mut below = || numbers.next().flatten().unwrap_or(0).min(99);
        Some(Version { flavor, number: major.checked_mul(10_000)? + below() * 100 + below(), text: text.into() })
    }

    /// Whether it is MySQL, of this version or later.
    pub fn is_mysql(&self, since: u32) -> bool {
        self.flavor == Flavor::MySql && self.number >= since
    }

    /// Whether it is MariaDB, of this version or later.
    pub fn is_mariadb(&self, since: u32) -> bool {
        self.flavor == Flavor::MariaDb && self.number >= since
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // MariaDB has its name in the text.
        match self.flavor {
            Flavor::MySql => write!(f, "MySQL {}", self.text),
            Flavor::MariaDb => f.write_str(&self.text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_numbers_of_a_flavor() {
        let read = |text: &str| Version::parse(text).map(|version| (version.flavor, version.number, version.text));
        let is = |flavor, number, text: &str| Some((flavor, number, text.to_string()));
        assert_eq!(read("9.7.0"), is(Flavor::MySql, 90_700, "9.7.0"));
        assert_eq!(read("8.0.36-0ubuntu0.22.04.1"), is(Flavor::MySql, 80_036, "8.0.36-0ubuntu0.22.04.1"));
        assert_eq!(read("5.5.9-log"), is(Flavor::MySql, 50_509, "5.5.9-log"));
        assert_eq!(read("5.5.5-10.11.6-MariaDB-0+deb12u1"), is(Flavor::MariaDb, 101_106, "10.11.6-MariaDB-0+deb12u1"));
        assert_eq!(read("11.8.3-MariaDB-log"), is(Flavor::MariaDb, 110_803, "11.8.3-MariaDB-log"));
        assert_eq!(read("5.5.5-m3"), is(Flavor::MySql, 50_505, "5.5.5-m3"));
        assert_eq!(read("8.0.mysql_aurora.3.04.0"), is(Flavor::MySql, 80_000, "8.0.mysql_aurora.3.04.0"));
        assert_eq!(read(""), None);
        assert_eq!(read("99999999.0"), None);
    }

    #[test]
    fn since_is_of_one_flavor() {
        let version = Version::parse("10.11.6-MariaDB").expect("a version");
        assert!(version.is_mariadb(101_106) && !version.is_mariadb(101_107) && !version.is_mysql(50_000));
    }
}
