//! Documents in a row, as `.bson` files have them: each begins with its length. What a document says of itself is checked
//! before it is sent to a server, so that damage is told by the file's name and not by the server's.

use coffer_addon::{Error, Incoming, Result};
use std::ffi::CStr;

/// A length and a zero.
pub const MIN_DOCUMENT: i32 = 5;

/// What servers allow themselves, for entries of the oplog: 16 KiB more than the 16 MiB that a document may have.
pub const MAX_DOCUMENT: i32 = (16 * 1024 + 16) * 1024;

/// The length that a document begins with, once it is there.
pub fn length(buffer: &[u8]) -> Option<i32> {
    buffer.first_chunk().map(|length| i32::from_le_bytes(*length))
}

/// What a server would do to a document on its way in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scanned {
    /// It has a field of its own, not within others, that is the timestamp of zeros, which servers take for "now".
    pub has_empty_timestamp: bool,
    /// The first field is no `_id`: the server moves it to the front, or makes one.
    pub has_id_first: bool,
}

/// Looks at a document's own fields; those of documents within are skipped by their length.
pub fn scan(document: &[u8]) -> Result<Scanned> {
    fields(document).ok_or_else(|| Error::Corrupt("its fields make no sense".into()))
}

fn fields(document: &[u8]) -> Option<Scanned> {
    const TIMESTAMP: u8 = 0x11;
    let mut scanned = Scanned::default();
    let mut rest = document.get(4..)?;
    let mut is_first = true;
    loop {
        let (kind, behind) = rest.split_first()?;
        if *kind == 0 {
            return behind.is_empty().then_some(scanned);
        }
        let name = CStr::from_bytes_until_nul(behind).ok()?.to_bytes();
        let value = behind.get(name.len() + 1..)?;
        if is_first {
            scanned.has_id_first = name == b"_id";
            is_first = false;
        }
        let size = size(*kind, value)?;
        let own = value.get(..size)?;
        if *kind == TIMESTAMP && own == [0; 8] && name != b"_id" {
            scanned.has_empty_timestamp = true;
        }
        rest = value.get(size..)?;
    }
}

/// How many bytes a value has. Source: bsonspec.org.
fn size(kind: u8, value: &[u8]) -> Option<usize> {
    let number = || length(value).and_then(|number| usize::try_from(number).ok());
    let text = || number().filter(|length| *length >= 1 && value.get(length + 3) == Some(&0)).map(|length| length + 4);
    Some(match kind {
        // Double, date, timestamp, 64 bits.
        0x01 | 0x09 | 0x11 | 0x12 => 8,
        // Text, code, symbol.
        0x02 | 0x0d | 0x0e => text()?,
        // Document, array.
        0x03 | 0x04 => number().filter(|length| *length >= 5 && value.get(length - 1) == Some(&0))?,
        0x05 => number()? + 5,
        // Undefined, null, the keys before and behind all others.
        0x06 | 0x0a | 0x7f | 0xff => 0,
        0x07 => 12,
        0x08 => 1,
        0x0b => {
            let pattern = CStr::from_bytes_until_nul(value).ok()?.to_bytes_with_nul().len();
            pattern + CStr::from_bytes_until_nul(value.get(pattern..)?).ok()?.to_bytes_with_nul().len()
        }
        0x0c => text()? + 12,
        // Code with a scope.
        0x0f => number().filter(|length| *length >= 14)?,
        0x10 => 4,
        0x13 => 16,
        _ => return None,
    })
}

/// The documents of an artifact.
pub struct Documents<'a> {
    incoming: &'a mut Incoming,
    /// Of the front of the buffer in the artifact.
    offset: u64,
    /// Of the document that is returned next, from 0.
    number: u64,
    /// The last document's length, to be taken from the buffer.
    taken: usize,
}

impl<'a> Documents<'a> {
    pub fn new(incoming: &'a mut Incoming) -> Self {
        Documents { incoming, offset: 0, number: 0, taken: 0 }
    }

    /// The next document; none at the end of an artifact that is whole.
    pub async fn next(&mut self) -> Result<Option<(&[u8], Scanned)>> {
        self.incoming.consume(self.taken);
        self.offset += u64::try_from(self.taken).unwrap_or(0);
        self.taken = 0;
        let length = loop {
            if let Some(length) = self.complete()? {
                break length;
            }
            if self.incoming.fill().await? == 0 {
                let left = self.incoming.buffer().len();
                if left == 0 {
                    return Ok(None);
                }
                return Err(self.corrupt(&format!("the file ends after {left} bytes of it")));
            }
        };
        let document = self.incoming.buffer().get(..length).unwrap_or_default();
        let scanned = scan(document).map_err(|error| self.corrupt(error.message()))?;
        self.taken = length;
        self.number += 1;
        Ok(Some((document, scanned)))
    }

    /// The length of the document in front of the buffer, once it is there in full.
    fn complete(&self) -> Result<Option<usize>> {
        let buffer = self.incoming.buffer();
        let Some(length) = length(buffer) else { return Ok(None) };
        if !(MIN_DOCUMENT..=MAX_DOCUMENT).contains(&length) {
            return Err(self.corrupt(&format!("it cannot have {length} bytes")));
        }
        Ok(usize::try_from(length).ok().filter(|length| *length <= buffer.len()))
    }

    fn corrupt(&self, what: &str) -> Error {
        let Self { incoming, offset, number, .. } = self;
        Error::Corrupt(format!("{}: document {} at byte {offset}: {what}", incoming.artifact.name, number + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bson::{DateTime, RawBson, Regex, Timestamp, rawdoc};
    use coffer_addon::Artifact;
    use coffer_addon::testing::{Written, inbox};

    #[test]
    fn every_type_is_skipped() {
        let scope = bson::raw::RawJavaScriptCodeWithScope { code: "f".into(), scope: rawdoc! { "x": 1 } };
        let regex = Regex { pattern: "a".try_into().expect("plain"), options: "i".try_into().expect("plain") };
        let mut document = rawdoc! {
            "_id": 1, "double": 1.5, "text": "t\0t", "doc": { "a": [1, "x"] }, "array": [], "bytes": RawBson::Binary(bson::Binary { subtype: 2_u8.into(), bytes: vec![1, 2] }),
            "oid": bson::oid::ObjectId::new(), "bool": true, "date": DateTime::from_millis(1), "null": RawBson::Null, "long": 1_i64,
            "min": RawBson::MinKey, "max": RawBson::MaxKey, "undefined": RawBson::Undefined, "decimal": "1.5".parse::<bson::Decimal128>().expect("a number"),
            "code": RawBson::JavaScriptCode("x".into()), "symbol": RawBson::Symbol("s".into()), "": "no name", "regex": RawBson::RegularExpression(regex),
            "scope": RawBson::JavaScriptCodeWithScope(scope), "ts": Timestamp { time: 1, increment: 0 }, "within": { "ts": Timestamp { time: 0, increment: 0 } },
        };
        let plain = Scanned { has_empty_timestamp: false, has_id_first: true };
        assert_eq!(scan(document.as_bytes()), Ok(plain));
        document.append(bson::raw::cstr!("last"), Timestamp { time: 0, increment: 0 });
        assert_eq!(scan(document.as_bytes()), Ok(Scanned { has_empty_timestamp: true, ..plain }));
        // Cut or lengthened, with the length made to fit: never a panic, and never taken for whole.
        let whole = document.as_bytes();
        for cut in 5..whole.len() {
            let mut bytes = whole[..cut].to_vec();
            let length = u32::try_from(cut).expect("short").to_le_bytes();
            bytes[..4].copy_from_slice(&length);
            let _ = scan(&bytes);
            assert!(scan(&whole[..cut]).is_err(), "{cut}");
        }
        assert!(scan(&[whole, &[0]].concat()).is_err());
        let id = rawdoc! { "_id": Timestamp { time: 0, increment: 0 } };
        assert_eq!(scan(id.as_bytes()), Ok(plain));
        assert_eq!(scan(rawdoc! { "a": 1 }.as_bytes()), Ok(Scanned::default()));
        assert_eq!(scan(rawdoc! {}.as_bytes()), Ok(Scanned::default()));
    }

    async fn read(bytes: Vec<u8>) -> Result<usize> {
        let artifact = Artifact { name: "a/b.bson".into(), ..Artifact::default() };
        let inbox = inbox([Written { artifact, bytes: Ok(bytes) }]);
        let mut incoming = inbox.next().await.expect("one");
        let mut documents = Documents::new(&mut incoming);
        let mut count = 0;
        while documents.next().await?.is_some() {
            count += 1;
        }
        Ok(count)
    }

    #[tokio::test]
    async fn a_file_is_its_documents_and_nothing_else() {
        let small = rawdoc! { "_id": 1 }.into_bytes();
        let large = rawdoc! { "_id": 2, "text": "x".repeat(200_000) }.into_bytes();
        let whole = [&small[..], &large, &small].concat();
        assert_eq!(read(whole.clone()).await, Ok(3));
        assert_eq!(read(Vec::new()).await, Ok(0));
        for (bytes, wanted) in [
            (whole[..whole.len() - 1].to_vec(), "document 3 at byte 200039: the file ends after 13 bytes of it"),
            ([&whole[..], b"\0\0"].concat(), "document 4 at byte 200053: the file ends after 2 bytes of it"),
            ([&small[..], &[4, 0, 0, 0]].concat(), "document 2 at byte 14: it cannot have 4 bytes"),
            ([&small[..], &[0xff; 4]].concat(), "it cannot have -1 bytes"),
            ([&small[..], &[0, 0, 0, 2]].concat(), "it cannot have 33554432 bytes"),
            (b"\x06\0\0\0\x20\0".to_vec(), "document 1 at byte 0: its fields make no sense"),
        ] {
            let error = read(bytes).await.expect_err(wanted);
            assert!(error.message().contains(wanted) && error.message().contains("a/b.bson"), "{wanted}: {error}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            let _ = scan(&bytes);
        }
    }
}
