//! The embedded control plane as its users meet it: through a kube client in process and over the network, through a
//! kube-rs controller, through stock kubectl, and after a kill.

// The helpers of tests are tests too, which clippy cannot see.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::print_stdout, clippy::unwrap_used)]

mod conformance;
mod controller;
mod durability;
mod full_disk;
mod kubectl;
mod network;

use std::path::Path;
use std::time::Duration;

use coffer_apiserver::{Listening, Server};
use kube::config::{KubeConfigOptions, Kubeconfig};
use tempfile::TempDir;

/// A server over a folder of its own, gone when dropped.
pub struct Fixture {
    pub server: Server,
    pub listening: Listening,
    pub dir: TempDir,
}

impl Fixture {
    pub async fn start() -> Fixture {
        let dir = tempfile::tempdir().unwrap();
        let server = Server::open(dir.path()).unwrap();
        let listening = server.listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
        Fixture { server, listening, dir }
    }

    /// A client by the kubeconfig that the server wrote.
    pub async fn remote(&self) -> kube::Client {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let kubeconfig = Kubeconfig::read_from(self.listening.kubeconfig()).unwrap();
        let config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
        kube::Client::try_from(config).unwrap()
    }
}

/// Opens a folder again. The tasks of clients and connections let the database go a moment after they are dropped.
pub async fn reopen(data_dir: &Path) -> Server {
    Server::open_within(data_dir, Duration::from_secs(60), |_| {}).await.unwrap()
}

/// A child that does not outlive its test.
pub struct Killed(pub std::process::Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
