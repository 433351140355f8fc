//! Hands artifacts to the next step, or to the repository.

use crate::buffer::CHUNK;
use crate::error::{Error, Result};
use crate::sys;
use crate::types::{Artifact, Receipt};

/// Takes artifacts; several may be written at once. Cheap to clone.
#[derive(Clone)]
pub struct Outbox {
    pub(crate) raw: sys::Outbox,
}

impl Outbox {
    /// An artifact to be written: `outbox.file("orders.csv").label("rows", 7).open()`.
    pub fn file(&self, name: impl Into<String>) -> Draft<'_> {
        Draft { outbox: self, artifact: Artifact { name: name.into(), labels: Vec::new() } }
    }
}

/// An artifact's name and labels, before it is written.
#[must_use = "nothing is written before `open`"]
pub struct Draft<'a> {
    outbox: &'a Outbox,
    artifact: Artifact,
}

impl Draft<'_> {
    pub fn label(mut self, name: impl Into<String>, value: impl ToString) -> Self {
        self.artifact.labels.push((name.into(), value.to_string()));
        self
    }

    /// Begins the artifact.
    pub fn open(self) -> ArtifactWriter {
        let name = self.artifact.name.clone();
        ArtifactWriter { name, raw: self.outbox.raw.open(self.artifact), pending: Vec::new() }
    }

    /// Writes it whole.
    pub async fn write_all(self, bytes: &[u8]) -> Result<Receipt> {
        let mut writer = self.open();
        writer.write(bytes).await?;
        writer.finish().await
    }
}

/// An artifact being written. One that is dropped without [`finish`](Self::finish) fails, and with it the run.
pub struct ArtifactWriter {
    name: String,
    raw: sys::OutboxWrite,
    pending: Vec<u8>,
}

impl ArtifactWriter {
    /// Has the next step know of it before there is any of it: steps take artifacts in the order in which they are begun, which
    /// otherwise is that of their first writes.
    pub async fn begin(&mut self) -> Result<()> {
        self.raw.begin().await.map_err(|error| error.context(format!("artifact {}", self.name)))
    }

    /// Appends `bytes`, handed on in large pieces.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<()> {
        if self.pending.len() + bytes.len() > CHUNK {
            self.hand_on().await?;
        }
        self.pending.extend_from_slice(bytes);
        if self.pending.len() >= CHUNK {
            self.hand_on().await?;
        }
        Ok(())
    }

    /// Appends a whole buffer without a copy and gives an empty one back, for re-use. Best from 64 KiB on.
    pub async fn write_buffer(&mut self, bytes: Vec<u8>) -> Result<Vec<u8>> {
        self.hand_on().await?;
        if bytes.is_empty() {
            return Ok(bytes);
        }
        let mut returned = self.raw.write(bytes).await.map_err(|error| self.named(error))?;
        returned.clear();
        Ok(returned)
    }

    async fn hand_on(&mut self) -> Result<()> {
        if !self.pending.is_empty() {
            let bytes = std::mem::take(&mut self.pending);
            self.pending = self.raw.write(bytes).await.map_err(|error| self.named(error))?;
            self.pending.clear();
        }
        Ok(())
    }

    fn named(&self, error: Error) -> Error {
        error.context(format!("artifact {}", self.name))
    }

    /// Says that the artifact is whole. Returns when all of it was handed on.
    pub async fn finish(mut self) -> Result<Receipt> {
        self.hand_on().await?;
        let name = self.name;
        self.raw.end(Ok(())).await.map_err(|error| error.context(format!("artifact {name}")))
    }

    /// Says why the artifact will not be whole, and gives the reason back for the caller's own error.
    pub async fn fail(self, reason: Error) -> Error {
        // The host answers with that reason; there is nothing else to learn.
        let _ = self.raw.end(Err(reason.clone())).await;
        reason
    }
}
