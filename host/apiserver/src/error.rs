//! What can keep the embedded server from opening or listening. What goes wrong inside a request is a
//! [`Status`](crate::status::Status) instead.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::Holder;

/// Why the server could not be opened or could not listen.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the control-plane database {} is in use by {}: stop that `coffer serve`, or choose another --data-dir", path.display(), named(.holder.as_ref()))]
    Locked { path: PathBuf, holder: Option<Holder> },
    #[error("{} is not a control-plane database of Coffer ({reason}): move it away, or choose another --data-dir", path.display())]
    Foreign { path: PathBuf, reason: String },
    #[error("the control-plane database {} is damaged ({reason}): restore it from a copy, or move it away and apply the manifests again", path.display())]
    Corrupt { path: PathBuf, reason: String },
    #[error("the control-plane database {} has format {found}, this version reads format {supported}: use the version of Coffer that wrote it, or a newer one", path.display())]
    Format { path: PathBuf, found: u64, supported: u64 },
    #[error("there is no space left for the control-plane database {}: free space on the file system of {}, then it works again without a restart", path.display(), folder.display())]
    Full { path: PathBuf, folder: PathBuf, source: std::io::Error },
    #[error("the control-plane database {} is no longer what this server wrote: stop the server, put the right file there, and start it again", path.display())]
    Changed { path: PathBuf },
    #[error("unable to use the control-plane database {}", path.display())]
    Database { path: PathBuf, source: Box<redb::Error> },
    #[error("unable to {action} {}", path.display())]
    Io { action: &'static str, path: PathBuf, source: std::io::Error },
    #[error(
        "other users may write to the data folder {} (mode {mode:03o}), where Secrets lie and who may do what is decided: chmod 700 it after a look at what is in it, or choose another --data-dir",
        path.display()
    )]
    Exposed { path: PathBuf, mode: u32 },
    #[error("unable to listen on {address}")]
    Listen { address: SocketAddr, source: std::io::Error },
    #[error(
        "refusing to listen on {address}: the embedded control plane is for this machine only, give a loopback address such as 127.0.0.1:0"
    )]
    NotLoopback { address: SocketAddr },
    #[error("unable to make the server's certificate")]
    Certificate(#[from] rcgen::Error),
    #[error("unable to set up TLS")]
    Tls(#[from] rustls::Error),
    #[error("the kind {kind} cannot be served: {reason}")]
    Kind { kind: String, reason: String },
    #[error("{} is not a PEM private key: delete it and a new one is made at the next start", path.display())]
    Key { path: PathBuf, source: rcgen::Error },
}

fn named(holder: Option<&Holder>) -> String {
    holder.map_or_else(|| "another process".to_owned(), Holder::to_string)
}
