//! Debian packages of any suite, unpacked into a folder with everything they depend on, the machine's own packages
//! and apt lists untouched.
//!
//! apt runs with a configuration of its own: its mirror is the one this machine already uses, its list of installed
//! packages is empty, so that even the C library comes along and a newer suite's programs run on an older machine.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::cache::{self, run, say};
use crate::error::{AtPath, Error, Result};

/// Dependencies that only matter when a package is installed for good (users, configuration dialogues, service
/// wrappers, clusters) or that take space without being used (LLVM serves PostgreSQL's JIT, which tests turn off).
const NOT_NEEDED: &[&str] = &[
    "adduser",
    "debconf",
    "debianutils",
    "galera",
    "gawk",
    "gcc-",
    "iproute2",
    "libconfig-inifiles-perl",
    "libdbi-perl",
    "libllvm",
    "libperl",
    "libz3",
    "locales",
    "lsb-base",
    "lsof",
    "passwd",
    "perl",
    "postgresql-client-common",
    "postgresql-common",
    "procps",
    "psmisc",
    "rsync",
    "sensible-utils",
    "socat",
    "ssl-cert",
    "sysvinit-utils",
    "ucf",
];

/// How often a download is tried: mirrors and networks have bad moments.
const TRIES: u32 = 4;

/// Packages of one suite.
pub struct Wanted {
    /// A Debian suite, e.g. `bookworm`.
    pub suite: &'static str,
    /// Names, or `name=version` where the version may be a pattern.
    pub packages: Vec<String>,
    /// Whether to unpack what the packages depend on. Static programs need none of it.
    pub dependencies: bool,
    /// The variable by which somebody without Debian packages names a program of their own.
    pub variable: &'static str,
}

impl Wanted {
    /// These packages with all they depend on.
    pub fn new(suite: &'static str, packages: &[&str], variable: &'static str) -> Self {
        let packages = packages.iter().map(ToString::to_string).collect();
        Self { suite, packages, dependencies: true, variable }
    }

    /// What goes into the cache's stamp.
    pub fn recipe(&self) -> String {
        format!("1 {} {} {}", self.suite, self.packages.join(" "), self.dependencies)
    }

    /// Downloads and unpacks the packages into `folder`.
    pub fn unpack(&self, folder: &Path) -> Result<()> {
        let apt = Apt::of_suite(self)?;
        let debs = folder.join(".debs");
        fs::create_dir_all(&debs).at(&debs)?;
        say(format_args!(
            "downloading {} from Debian {} into {}",
            self.packages.join(", "),
            self.suite,
            folder.display()
        ));
        let mut attempt = 1;
        loop {
            let done = apt.refresh(attempt > 1).and_then(|()| apt.download(self, &debs));
            match done {
                Ok(()) => break,
                Err(error) if attempt < TRIES && !is_final(&error) => {
                    say(format_args!("{error}; trying again"));
                    std::thread::sleep(Duration::from_secs(u64::from(attempt) * 3));
                    attempt += 1;
                }
                Err(error) => return Err(error),
            }
        }
        for file in fs::read_dir(&debs).at(&debs)? {
            let path = file.at(&debs)?.path();
            if path.extension().is_some_and(|extension| extension == "deb") {
                run(Command::new("dpkg-deb").arg("--extract").arg(path).arg(folder))?;
            }
        }
        fs::remove_dir_all(&debs).at(debs)
    }
}

/// Whether apt knows for certain that there is no such package. Lists can be old, but not by a version of a released
/// suite: who asks for an exact version asks several suites.
fn is_final(error: &Error) -> bool {
    matches!(error, Error::Failed { stderr, .. } if stderr.contains("was not found") || stderr.contains("Unable to locate"))
}

/// apt with lists and settings of its own, for one suite.
struct Apt {
    folder: PathBuf,
    suite: &'static str,
    _lock: fs::File,
}

impl Apt {
    fn of_suite(wanted: &Wanted) -> Result<Self> {
        let folder = cache::root()?.join("apt").join(wanted.suite);
        for part in ["parts", "lists/partial", "archives/partial"] {
            let path = folder.join(part);
            fs::create_dir_all(&path).at(path)?;
        }
        let lock = cache::lock(&folder.join("lock"))?;
        let mirror = Mirror::of_this_machine()
            .ok_or_else(|| Error::NoDebian { what: wanted.packages.join(", "), variable: wanted.variable })?;
        let status = folder.join("status");
        fs::write(&status, "").at(status)?;
        let list = folder.join("sources.list");
        fs::write(&list, mirror.source_line(wanted.suite)).at(list)?;
        let configuration = folder.join("apt.conf");
        fs::write(&configuration, Self::configuration(&folder)).at(configuration)?;
        Ok(Self { folder, suite: wanted.suite, _lock: lock })
    }

    /// Read after the machine's own, whose proxies stay in force.
    fn configuration(folder: &Path) -> String {
        let folder = folder.display();
        format!(
            r#"Dir::Etc::SourceList "{folder}/sources.list";
Dir::Etc::SourceParts "{folder}/parts";
Dir::Etc::Preferences "{folder}/parts/none";
Dir::Etc::PreferencesParts "{folder}/parts";
Dir::State "{folder}";
Dir::State::Lists "{folder}/lists";
Dir::State::Status "{folder}/status";
Dir::Cache "{folder}";
Dir::Cache::Archives "{folder}/archives";
APT::Install-Recommends "false";
// Files are fetched as the caller, who may be root in a folder that apt's own user cannot enter.
APT::Sandbox::User "root";
Debug::NoLocking "true";
Acquire::Languages "none";
Acquire::Retries "3";
// Hooks that refresh the machine's own catalogues have no business here.
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
"#
        )
    }

    fn command(&self) -> Command {
        let mut command = Command::new("apt-get");
        command.arg("--config-file").arg(self.folder.join("apt.conf"));
        command.env("LC_ALL", "C").env("DEBIAN_FRONTEND", "noninteractive");
        command
    }

    /// Fetches the suite's package lists, when there are none yet or `anew`.
    fn refresh(&self, anew: bool) -> Result<()> {
        let fetched = self.folder.join("fetched");
        if fetched.exists() && !anew {
            return Ok(());
        }
        say(format_args!("fetching the package lists of Debian {}", self.suite));
        run(self.command().args(["--quiet=2", "--error-on=any", "update"]))?;
        fs::write(&fetched, "").at(fetched)
    }

    fn download(&self, wanted: &Wanted, into: &Path) -> Result<()> {
        let packages = if wanted.dependencies { self.with_dependencies(wanted)? } else { wanted.packages.clone() };
        run(self.command().args(["--quiet=2", "download"]).args(packages).current_dir(into))?;
        Ok(())
    }

    /// `package=version` of everything needed to run the packages.
    fn with_dependencies(&self, wanted: &Wanted) -> Result<Vec<String>> {
        let simulated = run(self.command().args(["--quiet=2", "--simulate", "install"]).args(&wanted.packages))?;
        Ok(String::from_utf8_lossy(&simulated).lines().filter_map(simulated_package).collect())
    }
}

/// From apt's `Inst libpq5 (15.18-0+deb12u1 Debian:12/stable [amd64])`, `libpq5=15.18-0+deb12u1`.
fn simulated_package(line: &str) -> Option<String> {
    let (package, rest) = line.strip_prefix("Inst ")?.split_once(" (")?;
    let version = rest.split([' ', ')']).next()?;
    let is_wanted = !NOT_NEEDED.iter().any(|prefix| package.starts_with(prefix));
    is_wanted.then(|| format!("{package}={version}"))
}

/// Where this machine gets its Debian packages from, and the keyring it trusts for that.
#[derive(Debug, PartialEq)]
struct Mirror {
    uri: String,
    signed_by: Option<String>,
}

impl Mirror {
    fn of_this_machine() -> Option<Self> {
        let mut files = vec![PathBuf::from("/etc/apt/sources.list")];
        if let Ok(parts) = fs::read_dir("/etc/apt/sources.list.d") {
            let mut parts: Vec<_> = parts.filter_map(|part| Some(part.ok()?.path())).collect();
            parts.sort();
            files.extend(parts);
        }
        files.iter().find_map(|file| {
            let text = fs::read_to_string(file).ok()?;
            match file.extension()?.to_str()? {
                "sources" => Self::in_deb822(&text),
                "list" => Self::in_list(&text),
                _ => None,
            }
        })
    }

    /// Paragraphs of `Key: value`; the first that is Debian itself, not its security archive.
    fn in_deb822(text: &str) -> Option<Self> {
        text.split("\n\n").find_map(|paragraph| {
            let value = |key: &str| {
                paragraph.lines().find_map(|line| Some(line.strip_prefix(key)?.strip_prefix(':')?.trim().to_owned()))
            };
            let is_off = value("Enabled").is_some_and(|enabled| enabled == "no");
            let uri = value("URIs")?.split_whitespace().next()?.to_owned();
            let components = value("Components")?;
            (!is_off && Self::is_debian(&uri) && components.split_whitespace().any(|part| part == "main"))
                .then(|| Self { uri, signed_by: value("Signed-By").filter(|keyring| keyring.starts_with('/')) })
        })
    }

    /// Lines of `deb [options] URI suite component…`.
    fn in_list(text: &str) -> Option<Self> {
        text.lines().find_map(|line| {
            let rest = line.trim().strip_prefix("deb ")?.trim_start();
            let (options, rest) = match rest.strip_prefix('[') {
                Some(rest) => rest.split_once(']')?,
                None => ("", rest),
            };
            let mut words = rest.split_whitespace();
            let uri = words.next()?.to_owned();
            let signed_by =
                options.split_whitespace().find_map(|option| Some(option.strip_prefix("signed-by=")?.to_owned()));
            (Self::is_debian(&uri) && words.any(|word| word == "main")).then_some(Self { uri, signed_by })
        })
    }

    fn is_debian(uri: &str) -> bool {
        let uri = uri.trim_end_matches('/');
        // Debian's cloud images name a file that lists the mirrors.
        uri.ends_with("/debian") || uri.ends_with("/debian.list")
    }

    fn source_line(&self, suite: &str) -> String {
        let default = "/usr/share/keyrings/debian-archive-keyring.gpg";
        let keyring = self.signed_by.clone().or_else(|| Path::new(default).exists().then(|| default.to_owned()));
        let options = keyring.map(|keyring| format!("[signed-by={keyring}] ")).unwrap_or_default();
        format!("deb {options}{} {suite} main\n", self.uri)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mirror_is_read_from_both_kinds_of_sources() {
        let wanted = Mirror { uri: "mirror://one/debian".into(), signed_by: Some("/keys/debian.gpg".into()) };
        let deb822 = "Types: deb\nURIs: mirror://one/debian-security\nSuites: x-security\nComponents: main\n\n\
                      Types: deb\n# why\nURIs: mirror://one/debian\nSuites: x x-updates\nComponents: main\nSigned-By: /keys/debian.gpg\n";
        assert_eq!(Mirror::in_deb822(deb822), Some(wanted));
        let list = "# deb mirror://off/debian x main\ndeb mirror://two/other x main\ndeb [arch=amd64 signed-by=/k.gpg] mirror://two/debian/ x main\n";
        assert_eq!(
            Mirror::in_list(list),
            Some(Mirror { uri: "mirror://two/debian/".into(), signed_by: Some("/k.gpg".into()) })
        );
        assert_eq!(Mirror::in_list("deb mirror://two/ubuntu noble main\n"), None);
        assert_eq!(Mirror::in_deb822(&deb822.replace("Suites: x x", "Enabled: no\nSuites: x x")), None);
    }

    #[test]
    fn a_simulated_install_names_what_to_download() {
        assert_eq!(
            simulated_package("Inst libpq5 (15.18-0+deb12u1 Debian:12/stable [amd64])"),
            Some("libpq5=15.18-0+deb12u1".into())
        );
        assert_eq!(simulated_package("Inst perl-base (5.36.0-7 Debian:12/stable [amd64])"), None);
        assert_eq!(simulated_package("Conf libpq5 (15.18-0+deb12u1 Debian:12/stable [amd64])"), None);
    }
}
