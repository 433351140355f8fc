//! Artifacts from Maven, fetched by Maven itself: its own configuration on this machine says from where.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cache::{run, say};
use crate::error::{AtPath, Error, Result};

/// The goal that copies an artifact into a folder. The version is the one that was tried.
const COPY: &str = "org.apache.maven.plugins:maven-dependency-plugin:3.6.0:copy";

/// The goal wants a project; this one asks for nothing.
const PROJECT: &str = "<project><modelVersion>4.0.0</modelVersion><groupId>coffer</groupId>\
                       <artifactId>tests</artifactId><version>1</version><packaging>pom</packaging></project>";

/// Puts the jar of `artifact` (`group:name:version`) into `folder` and returns its path.
pub(crate) fn jar(artifact: &str, folder: &Path) -> Result<PathBuf> {
    say(format_args!("fetching {artifact} with Maven into {}", folder.display()));
    let project = folder.join("pom.xml");
    fs::write(&project, PROJECT).at(&project)?;
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
