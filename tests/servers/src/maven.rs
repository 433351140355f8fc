//! Artifacts from Maven, fetched by Maven itself: its own configuration on this machine says from where.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cache::{run, say};
use crate::error::{AtPath, Error, Result};

/// The goal that copies an artifact into a folder. The version is the one that was tried.
const COPY: &str = "org.apache.maven.plugins:maven-dependency-plugin:3.6.0:copy";

/// The goal that copies all that a project depends on.
const COPY_ALL: &str = "org.apache.maven.plugins:maven-dependency-plugin:3.6.0:copy-dependencies";

/// What an artifact of `group:name:version` or `group:name:version:type` brings along but for some groups' artifacts.
pub(crate) struct Dependency {
    pub artifact: String,
    pub without: Vec<&'static str>,
}

impl Dependency {
    pub(crate) fn new(artifact: impl Into<String>) -> Self {
        Self { artifact: artifact.into(), without: Vec::new() }
    }

    fn element(&self) -> String {
        let names = ["groupId", "artifactId", "version", "type"];
        let parts = names.iter().zip(self.artifact.split(':')).map(|(name, part)| format!("<{name}>{part}</{name}>"));
        let without = self
            .without
            .iter()
            .map(|group| format!("<exclusion><groupId>{group}</groupId><artifactId>*</artifactId></exclusion>"));
        let (parts, without): (String, String) = (parts.collect(), without.collect());
        format!("<dependency>{parts}<exclusions>{without}</exclusions></dependency>")
    }
}

/// The goals want a project.
fn project(dependencies: &[Dependency]) -> String {
    let dependencies: String = dependencies.iter().map(Dependency::element).collect();
    format!(
        "<project><modelVersion>4.0.0</modelVersion><groupId>coffer</groupId><artifactId>tests</artifactId>\
         <version>1</version><packaging>pom</packaging><dependencies>{dependencies}</dependencies></project>"
    )
}

/// Puts these artifacts and all that they depend on into `folder`.
pub(crate) fn with_dependencies(wanted: &[Dependency], folder: &Path) -> Result<()> {
    let names = wanted.iter().map(|dependency| dependency.artifact.as_str()).collect::<Vec<_>>().join(", ");
    say(format_args!("fetching {names} with Maven into {}", folder.display()));
    let pom = folder.join("pom.xml");
    fs::write(&pom, project(wanted)).at(&pom)?;
    run(Command::new("mvn")
        .args(["--quiet", "--batch-mode", COPY_ALL])
        .arg(format!("-DoutputDirectory={}", folder.display()))
        .current_dir(folder))?;
    fs::remove_file(&pom).at(pom)
}

/// Puts the jar of `artifact` (`group:name:version`) into `folder` and returns its path.
pub(crate) fn jar(artifact: &str, folder: &Path) -> Result<PathBuf> {
    say(format_args!("fetching {artifact} with Maven into {}", folder.display()));
    let pom = folder.join("pom.xml");
    fs::write(&pom, project(&[])).at(&pom)?;
    run(Command::new("mvn")
        .args(["--quiet", "--batch-mode", COPY])
        .arg(format!("-Dartifact={artifact}"))
        .arg(format!("-DoutputDirectory={}", folder.display()))
        .current_dir(folder))?;
    let mut parts = artifact.split(':').skip(1);
    let (name, version) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let jar = folder.join(format!("{name}-{version}.jar"));
    if jar.is_file() { Ok(jar) } else { Err(Error::Layout { package: artifact.to_owned(), path: jar }) }
}
