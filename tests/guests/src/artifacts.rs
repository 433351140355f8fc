//! Artifacts handed on well, badly, and not at all.

use crate::{
    bindings::{
        coffer::addon::{
            host, inbox, outbox,
            types::{Artifact, Error, Receipt},
        },
        wit_future, wit_stream,
    },
    guest::{Outcome, Parameters, facts},
};
use futures::future::{Either, join, select};
use std::pin::pin;
use wit_bindgen::{FutureWriter, StreamReader, StreamResult, StreamWriter};

/// What moves at once: the contract's 64 KiB or more.
const BUFFER: usize = 64 << 10;

struct Writing {
    bytes: StreamWriter<u8>,
    trailer: FutureWriter<Result<(), Error>>,
}

/// Begins an artifact: its two writers, and the call that takes what they write.
fn begin(name: &str) -> (Writing, impl Future<Output = Result<Receipt, Error>> + use<>) {
    let (bytes, reader) = wit_stream::new();
    let (trailer, promised) = wit_future::new(|| Err(Error::Failed("the trailer's writer was dropped".into())));
    let artifact = Artifact { name: name.to_owned(), labels: vec![("made-by".into(), "test-guests".into())] };
    (Writing { bytes, trailer }, outbox::write(artifact, reader, promised))
}

impl Writing {
    async fn finish(self, trailer: Result<(), Error>) {
        drop(self.bytes);
        let _ = self.trailer.write(trailer).await;
    }
}

/// Reads once; nothing at the end.
async fn read(bytes: &mut StreamReader<u8>, mut buffer: Vec<u8>) -> Option<Vec<u8>> {
    buffer.clear();
    match bytes.read(buffer).await {
        (StreamResult::Complete(_), buffer) => Some(buffer),
        _ => None,
    }
}

/// Every artifact of the inbox, unchanged, one after the other.
pub async fn echo() -> Outcome {
    let mut count = 0_u64;
    while let Some(mut incoming) = inbox::next().await {
        let (mut writing, written) = begin(&incoming.artifact.name);
        let copy = async {
            let mut buffer = Vec::with_capacity(BUFFER);
            while let Some(full) = read(&mut incoming.bytes, buffer).await {
                buffer = writing.bytes.write_all(full).await;
                if !buffer.is_empty() {
                    break;
                }
            }
            let trailer = incoming.trailer.await;
            writing.finish(trailer).await;
        };
        let ((), receipt) = join(copy, written).await;
        receipt?;
        count += 1;
    }
    facts([("artifacts", count.to_string())])
}

/// `length` bytes in pieces of `piece`, byte i being i modulo 251.
pub async fn generate(parameters: &Parameters) -> Outcome {
    let (length, piece) = (parameters.number("length"), parameters.number("piece").max(1));
    let (mut writing, written) = begin("generated");
    let write = async {
        let mut done = 0;
        while done < length {
            let end = (done + piece).min(length);
            let bytes = (done..end).map(|i| u8::try_from(i % 251).unwrap_or(0)).collect();
            if !writing.bytes.write_all(bytes).await.is_empty() {
                break;
            }
            done = end;
            host::progress(done, Some(length));
        }
        writing.finish(Ok(())).await;
    };
    let ((), receipt) = join(write, written).await;
    let receipt = receipt?;
    let hex: String = receipt.sha256.iter().map(|byte| format!("{byte:02x}")).collect();
    facts([("length", receipt.length.to_string()), ("sha256", hex)])
}

/// Reads everything and believes nothing without its trailer.
pub async fn drain() -> Outcome {
    let mut total = 0_u64;
    while let Some(mut incoming) = inbox::next().await {
        let mut buffer = Vec::with_capacity(BUFFER);
        while let Some(full) = read(&mut incoming.bytes, buffer).await {
            total += full.len() as u64;
            buffer = full;
        }
        incoming.trailer.await?;
    }
    facts([("bytes", total.to_string())])
}

/// Takes an artifact, reads a little and forgets about it, but says that all is well.
pub async fn drop_artifact() -> Outcome {
    if let Some(mut incoming) = inbox::next().await {
        let _ = read(&mut incoming.bytes, Vec::with_capacity(10)).await;
    }
    facts([])
}

/// The stream ends, the trailer never comes, and the receipt's error is ignored.
pub async fn no_trailer() -> Outcome {
    let (mut writing, written) = begin("no-trailer");
    let write = async {
        writing.bytes.write_all(vec![1; 1000]).await;
        drop(writing);
    };
    let ((), receipt) = join(write, written).await;
    match receipt {
        Ok(_) => facts([("receipt", "given".into())]),
        Err(_) => facts([("receipt", "refused".into())]),
    }
}

pub async fn bad_trailer() -> Outcome {
    let (mut writing, written) = begin("bad-trailer");
    let write = async {
        writing.bytes.write_all(vec![1; 1000]).await;
        writing.finish(Err(Error::Corrupt("row 17 is broken".into()))).await;
    };
    let ((), receipt) = join(write, written).await;
    receipt?;
    facts([])
}

/// Returns well while the artifact is still being written.
pub async fn open_artifact() -> Outcome {
    let (mut writing, written) = begin("open-artifact");
    {
        let write = pin!(async {
            writing.bytes.write_all(vec![1; 1000]).await;
        });
        if let Either::Right(_) = select(write, pin!(written)).await {
            return facts([("written", "too early".into())]);
        }
        // The call is dropped here, unfinished; the writers live on.
    }
    std::mem::forget(writing);
    facts([])
}

/// Names that would lead out of the snapshot's folder, or into the host's.
pub async fn bad_names() -> Outcome {
    let mut refused = 0_u64;
    for name in ["../../etc/passwd", "/etc/passwd", ".coffer/manifest.json", "", "a\0b", "a//b"] {
        let (writing, written) = begin(name);
        let ((), receipt) = join(writing.finish(Ok(())), written).await;
        refused += u64::from(matches!(receipt, Err(Error::InvalidParameter(_))));
    }
    let (writing, written) = begin("twice");
    let _ = join(writing.finish(Ok(())), written).await;
    let (writing, written) = begin("twice");
    let ((), receipt) = join(writing.finish(Ok(())), written).await;
    refused += u64::from(matches!(receipt, Err(Error::InvalidParameter(_))));
    facts([("refused", refused.to_string())])
}

/// Opens artifacts until the host refuses.
pub async fn many_open() -> Outcome {
    let mut open = Vec::new();
    for i in 0..10_000 {
        let (writing, written) = begin(&format!("artifact-{i}"));
        let mut written = Box::pin(written);
        let step = pin!(host::sleep(0));
        if let Either::Left((Err(error), _)) = select(&mut written, step).await {
            return Err(error);
        }
        open.push((writing, written));
    }
    facts([])
}
