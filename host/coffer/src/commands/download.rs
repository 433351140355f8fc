//! `coffer download`: one file out of a snapshot.

use super::ls;
use super::snapshots::SnapshotArgs;
use crate::connect::Connection;
use crate::failure::{Failure, OrFail, Result};
use crate::output::{Printer, bytes};
use clap::Args;
use futures::StreamExt;
use indicatif::{ProgressBar, ProgressStyle};
use std::path::{Path, PathBuf};
use tokio::io::{AsyncWrite, AsyncWriteExt};

const EXAMPLES: &str = "\
Examples:
  coffer download latest /toc.dat -n demo --of shop -o toc.dat
  coffer download 1a2b3c4d /.coffer/manifest.json -n demo -o -";

/// Read one file out of a snapshot
///
/// Every byte is checked against the repository's hashes. A file that cannot be read whole is not left behind.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct DownloadArgs {
    #[command(flatten)]
    snapshot: SnapshotArgs,

    /// The file's path in the snapshot, as `coffer ls` shows it
    path: String,

    /// Where to write it, in place of a file that is there; - is stdout [default: the file's name, here]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub async fn run(connection: &Connection, args: DownloadArgs, printer: Printer) -> Result<()> {
    let (repository, files) = ls::files(connection, &args.snapshot).await?;
    let wanted = format!("/{}", args.path.trim_start_matches('/'));
    let file = files.iter().find(|file| file.path == wanted).ok_or_else(|| {
        Failure::new(format_args!("the snapshot has no file {wanted}"))
            .hint(format_args!("`coffer ls {}` lists its files", args.snapshot.snapshot))
    })?;
    let bar = if printer.interactive() { new_bar(file.size) } else { ProgressBar::hidden() };
    let read = repository.read(file).map(|chunk| {
        let chunk = chunk.or_fail(|| format!("unable to read {wanted}"))?;
        bar.inc(chunk.len() as u64);
        Ok::<_, Failure>(chunk)
    });
    let target = args.output.unwrap_or_else(|| PathBuf::from(wanted.rsplit('/').next().unwrap_or("download")));
    if target.as_os_str() == "-" {
        return copy(read, &mut tokio::io::stdout(), "stdout").await;
    }
    deliver(read, &target).await?;
    bar.finish_and_clear();
    printer.note(format_args!("{} written to {}", bytes(file.size), target.display()));
    Ok(())
}

fn new_bar(size: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("[{bar:30}] {percent:>3}%  {binary_bytes} at {binary_bytes_per_sec}");
    ProgressBar::new(size).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> "))
}

/// To where `target` leads: a device or a pipe is written into, a symbolic link is followed, a file is replaced.
async fn deliver(read: impl futures::Stream<Item = Result<bytes::Bytes>>, target: &Path) -> Result<()> {
    match tokio::fs::metadata(target).await {
        Ok(there) if !there.is_file() && !there.is_dir() => {
            let shown = target.display().to_string();
            let out = tokio::fs::OpenOptions::new().write(true).open(target).await;
            copy(read, &mut out.or_fail(|| format!("unable to write {shown}"))?, &shown).await
        }
        Ok(_) => save(read, &tokio::fs::canonicalize(target).await.unwrap_or_else(|_| target.to_owned())).await,
        Err(_) => save(read, target).await,
    }
}

/// Under another name until it is whole, and for nobody else to read: a dump holds whatever the database held.
async fn save(read: impl futures::Stream<Item = Result<bytes::Bytes>>, target: &Path) -> Result<()> {
    let shown = target.display().to_string();
    let unwritten = || format!("unable to write {shown}");
    let mut prefix = target.file_name().unwrap_or_default().to_owned();
    prefix.push(".");
    let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // A new file of mode 0600, which goes when it is dropped before it has its name.
    let partial = tempfile::Builder::new().prefix(&prefix).suffix(".part").tempfile_in(folder).or_fail(unwritten)?;
    let (file, partial) = partial.into_parts();
    let mut file = tokio::fs::File::from_std(file);
    copy(read, &mut file, &shown).await?;
    file.sync_all().await.or_fail(unwritten)?;
    partial.persist(target).or_fail(unwritten)
}

async fn copy(
    read: impl futures::Stream<Item = Result<bytes::Bytes>>,
    out: &mut (impl AsyncWrite + Unpin),
    shown: &str,
) -> Result<()> {
    let mut read = std::pin::pin!(read);
    while let Some(chunk) = read.next().await {
        out.write_all(&chunk?).await.or_fail(|| format!("unable to write {shown}"))?;
    }
    out.flush().await.or_fail(|| format!("unable to write {shown}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn links_and_pipes_are_written_through() {
        let dir = tempfile::tempdir().unwrap();
        let one = || futures::stream::iter(vec![Ok(bytes::Bytes::from_static(b"whole"))]);
        let (file, link, pipe) = (dir.path().join("file"), dir.path().join("link"), dir.path().join("pipe"));
        std::fs::write(&file, b"old").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        deliver(one(), &link).await.unwrap();
        assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(std::fs::read(&file).unwrap(), b"whole");

        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let reader = std::thread::spawn({
            let pipe = pipe.clone();
            move || std::fs::read(pipe).unwrap()
        });
        deliver(one(), &pipe).await.unwrap();
        assert_eq!(reader.join().unwrap(), b"whole");
        assert!(!std::fs::metadata(&pipe).unwrap().is_file());
    }

    #[tokio::test]
    async fn a_broken_download_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("toc.dat");
        let chunks = vec![Ok(bytes::Bytes::from_static(b"half")), Err(Failure::new("damaged"))];
        assert!(save(futures::stream::iter(chunks), &target).await.is_err());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        let own = dir.path().join("toc.dat.part");
        std::fs::write(&own, b"mine").unwrap();
        save(futures::stream::iter(vec![Ok(bytes::Bytes::from_static(b"whole"))]), &target).await.unwrap();
        assert_eq!(std::fs::read(&target).unwrap(), b"whole");
        assert_eq!(std::fs::read(&own).unwrap(), b"mine", "a file of the user's is left alone");
        let mode = std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(&target).unwrap());
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2);
    }
}
