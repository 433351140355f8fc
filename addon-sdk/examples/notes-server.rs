//! The application of the tutorial: notes, a line each, in `notes.txt` of a folder, behind a line protocol over TCP.
//!
//! ```text
//! HELLO <user> <password>   OK hello          NO wrong user or password
//! READ                      OK <count>        and that many lines
//! WRITE <count>             and that many lines, which replace all notes at once; then OK <count>
//! LOCK                      OK locked         makes the file `lock`, which stays until UNLOCK: what an addon may leave behind
//! UNLOCK                    OK unlocked
//! ```
//!
//! `cargo run -p coffer-addon --example notes-server -- FOLDER PORT PASSWORD`

use std::io::{BufRead, BufReader, BufWriter, Error, Result, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::{fs, thread};

#[allow(dead_code)]
fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, port, password] = arguments.as_slice() else {
        return Err(Error::other("usage: notes-server FOLDER PORT PASSWORD"));
    };
    let port = port.parse().map_err(Error::other)?;
    serve(TcpListener::bind(("127.0.0.1", port))?, Path::new(folder), password);
    Ok(())
}

/// Serves user `notes` until the listener breaks; a thread a client.
pub fn serve(listener: TcpListener, folder: &Path, password: &str) {
    for client in listener.incoming().flatten() {
        let (folder, hello) = (folder.to_owned(), format!("HELLO notes {password}"));
        // A client that hangs up ends its own thread only.
        thread::spawn(move || session(&client, &folder, &hello));
    }
}

fn session(client: &TcpStream, folder: &Path, hello: &str) -> Result<()> {
    let (mut requests, mut answers) = (BufReader::new(client), BufWriter::new(client));
    let (notes, lock) = (folder.join("notes.txt"), folder.join("lock"));
    if line(&mut requests)? != hello {
        writeln!(answers, "NO wrong user or password")?;
        return answers.flush();
    }
    writeln!(answers, "OK hello")?;
    loop {
        answers.flush()?;
        let request = line(&mut requests)?;
        match request.split_once(' ').unwrap_or((&request, "")) {
            ("READ", _) => {
                let all = fs::read(&notes).unwrap_or_default();
                writeln!(answers, "OK {}", all.iter().filter(|byte| **byte == b'\n').count())?;
                answers.write_all(&all)?;
            }
            ("WRITE", count) => {
                let count: u64 = count.parse().map_err(Error::other)?;
                // Nothing is replaced unless all of it comes.
                let mut new = tempfile_in(folder)?;
                for _ in 0..count {
                    writeln!(new.1, "{}", line(&mut requests)?)?;
                }
                new.1.flush()?;
                fs::rename(&new.0, &notes)?;
                writeln!(answers, "OK {count}")?;
            }
            ("LOCK", _) => {
                fs::write(&lock, "")?;
                writeln!(answers, "OK locked")?;
            }
            ("UNLOCK", _) => {
                let _ = fs::remove_file(&lock);
                writeln!(answers, "OK unlocked")?;
            }
            _ => return Err(Error::other("no such request")),
        }
    }
}

/// A client that hangs up ends its session by an error.
fn line(requests: &mut impl BufRead) -> Result<String> {
    let mut line = String::new();
    requests.read_line(&mut line)?;
    line.strip_suffix('\n').map(str::to_owned).ok_or_else(|| Error::other("the client hung up"))
}

/// A file of this session's own.
fn tempfile_in(folder: &Path) -> Result<(PathBuf, BufWriter<fs::File>)> {
    let path = folder.join(format!("new-{:?}", thread::current().id()));
    Ok((path.clone(), BufWriter::new(fs::File::create(path)?)))
}
