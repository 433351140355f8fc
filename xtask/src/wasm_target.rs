//! Makes `cargo build --target wasm32-wasip2` work, and says which way it took.
//!
//! rustup knows best but cannot fetch everywhere. Then the target's standard library is built once, from Debian's source
//! of exactly the compiler's version and Debian's wasi-libc, and put into the toolchain: afterwards plain stable cargo
//! works, as if rustup had brought it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use coffer_test_servers::cache;
use coffer_test_servers::debian::Wanted;
use coffer_test_servers::process::Process;

use crate::shell::{AtPath, Error, Result, cargo, output, run, say};

pub const TARGET: &str = "wasm32-wasip2";

/// Refused networks answer at once; this is for those that never do.
const RUSTUP_LIMIT: Duration = Duration::from_secs(120);

/// Where Debian may have the source of a recent compiler; both packages fit every suite.
const SOURCE_SUITES: [&str; 4] = ["trixie-backports", "forky", "sid", "experimental"];
const LIBC_SUITES: [&str; 3] = ["bookworm-backports", "trixie", "sid"];

pub fn make_available() -> Result<()> {
    let sysroot = PathBuf::from(output(rustc().args(["--print", "sysroot"]))?.trim());
    let rustlib = sysroot.join("lib/rustlib");
    if has_std(&rustlib) {
        say(format_args!("{TARGET}: already in {}", sysroot.display()));
        return Ok(());
    }
    if rustup_adds_it(&rustlib) {
        say(format_args!("{TARGET}: added by rustup"));
        return Ok(());
    }
    say(format_args!("{TARGET}: rustup cannot add it; building its standard library from Debian's source"));
    build_std(&rustlib).map_err(|error| {
        Error::Other(format!(
            "{TARGET} cannot be made available: {error}\n\
             try `rustup target add {TARGET}` where rustup's server can be reached, or pin a version of Rust in \
             rust-toolchain.toml whose source Debian has (package rust-src) or that Debian ships with this target (rustc-web)"
        ))
    })?;
    say(format_args!("{TARGET}: built from Debian's rust-src and wasi-libc into {}", sysroot.display()));
    Ok(())
}

fn rustc() -> Command {
    let mut command = Command::new("rustc");
    command.current_dir(crate::shell::workspace());
    command
}

fn has_std(rustlib: &Path) -> bool {
    let files = fs::read_dir(rustlib.join(TARGET).join("lib")).into_iter().flatten().flatten();
    files.map(|file| file.file_name()).any(|name| name.to_string_lossy().starts_with("libstd-"))
}

fn rustup_adds_it(rustlib: &Path) -> bool {
    let mut command = Command::new("rustup");
    command.args(["target", "add", TARGET]).current_dir(crate::shell::workspace());
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let Ok(mut rustup) = Process::start(&mut command, None) else { return false };
    rustup.wait(RUSTUP_LIMIT).is_some_and(|status| status.success()) && has_std(rustlib)
}

fn build_std(rustlib: &Path) -> Result<()> {
    let version = output(rustc().arg("--version"))?;
    let version = version.split_whitespace().nth(1).unwrap_or_default().to_owned();
    let work = cache::root()?.join("wasm-target");
    for folder in [work.clone(), work.join("packages"), work.join("crate/src")] {
        fs::create_dir_all(&folder).at(&folder)?;
    }
    let packages = work.join("packages");
    unpack(&packages, &format!("rust-src={version}+*"), &SOURCE_SUITES)?;
    unpack(&packages, "wasi-libc", &LIBC_SUITES)?;

    let source = rustlib.join("src/rust");
    fs::create_dir_all(&source).at(&source)?;
    run(Command::new("cp")
        .args(["-rL", "--remove-destination"])
        .arg(packages.join("usr/lib/rustlib/src/rust/library"))
        .arg(&source))?;

    let manifest = work.join("crate/Cargo.toml");
    fs::write(&manifest, "[package]\nname = \"empty\"\nedition = \"2024\"\n\n[workspace]\n").at(&manifest)?;
    let library = work.join("crate/src/lib.rs");
    fs::write(&library, "").at(&library)?;
    let target = work.join("target");
    // Stable cargo builds std when told that it may use unstable options.
    run(cargo()
        .args(["build", "--release", "-Zbuild-std=std,panic_abort,test", "--target", TARGET])
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_TARGET_DIR", &target)
        // For the addons' link-time optimisation; rustup's own builds have it.
        .env("RUSTFLAGS", "-Cembed-bitcode=yes")
        .current_dir(work.join("crate")))?;

    let into = rustlib.join(TARGET).join("lib");
    let self_contained = into.join("self-contained");
    fs::create_dir_all(&self_contained).at(&self_contained)?;
    for object in ["libc.a", "crt1-command.o", "crt1-reactor.o"] {
        let from = packages.join("usr/lib").join(TARGET).join(object);
        fs::copy(&from, self_contained.join(object)).at(&from)?;
    }
    let built = target.join(TARGET).join("release/deps");
    let mut rlibs: Vec<PathBuf> = Vec::new();
    for entry in fs::read_dir(&built).at(&built)? {
        let path = entry.at(&built)?.path();
        let is_ours = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("libempty"));
        if path.extension().is_some_and(|extension| extension == "rlib") && !is_ours {
            rlibs.push(path);
        }
    }
    // std comes last: its presence says that the target is whole.
    rlibs.sort_by_key(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("libstd-")));
    for rlib in rlibs {
        let Some(name) = rlib.file_name() else { continue };
        fs::copy(&rlib, into.join(name)).at(&rlib)?;
    }
    fs::remove_dir_all(&work).at(&work)
}

/// The package from the first suite that has it.
fn unpack(into: &Path, package: &str, suites: &[&'static str]) -> Result<()> {
    let mut last = None;
    for suite in suites {
        let wanted =
            Wanted { suite, packages: vec![package.to_owned()], dependencies: false, variable: "RUSTUP_DIST_SERVER" };
        match wanted.unpack(into) {
            Ok(()) => return Ok(()),
            Err(error) => last = Some(error),
        }
    }
    Err(last.map_or_else(|| Error::Other(format!("no suite to get {package} from")), Error::from))
}
