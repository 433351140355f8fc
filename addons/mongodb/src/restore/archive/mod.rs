//! `mongodump --archive`: all collections in one stream, interleaved.
//!
//! | part | what |
//! |---|---|
//! | magic number | [`MAGIC`] |
//! | prelude | a document on the archive, one on each collection, the terminator |
//! | segments | a header naming a collection, some of its documents, the terminator |
//! | ends | a header naming a collection, with `EOF` and the CRC-64 of all its documents, the terminator |
//!
//! The terminator is four bytes of ones. An archive has no end mark of its own: it is whole when it ends behind a terminator
//! and every collection of the prelude has had its end. Source: `common/archive/spec.md` of the MongoDB Database Tools.
//!
//! The parser does no I/O, and takes nothing for granted: neither lengths nor names nor order.

mod crc;
mod headers;
#[cfg(test)]
pub mod testing;

pub use headers::{Listed, Namespace, OPLOG, Prelude};

use super::documents::{MAX_DOCUMENT, MIN_DOCUMENT, length};
use coffer_addon::{Error, Result};
use crc::Crc;
use headers::Header;
use std::collections::{BTreeMap, BTreeSet};

/// The first four bytes.
pub const MAGIC: [u8; 4] = 0x8199_e26d_u32.to_le_bytes();

/// Of gzip, which `mongodump --gzip` puts around the whole archive.
pub const GZIP: [u8; 2] = [0x1f, 0x8b];

const TERMINATOR: [u8; 4] = [0xff; 4];

/// What the next bytes are.
#[derive(Debug, PartialEq)]
pub enum Event<'a> {
    /// More bytes are needed to tell.
    More,
    Prelude(Prelude),
    /// The documents from here on are this collection's.
    Segment(Namespace),
    Document(&'a [u8]),
    SegmentEnd,
    /// All of this collection's documents have been there, and their checksum is right.
    Whole(Namespace),
    /// A part of the frame that says nothing by itself.
    Nothing,
}

#[derive(Debug)]
enum State {
    Magic,
    Header,
    Prelude(Prelude),
    /// Behind a terminator: a header follows, or the end.
    Between,
    Segment(Namespace, Crc),
    /// Behind the header of an end, which has no documents.
    End(Namespace),
}

#[derive(Debug)]
pub struct Parser {
    state: State,
    /// Bytes taken so far, for errors.
    offset: u64,
    /// Those that have to have an end.
    expected: BTreeSet<Namespace>,
    /// Those listed at all.
    listed: BTreeSet<Namespace>,
    open: BTreeMap<Namespace, Crc>,
    whole: BTreeSet<Namespace>,
}

enum Token<'a> {
    Document(&'a [u8]),
    Terminator,
}

impl Default for Parser {
    fn default() -> Self {
        Parser {
            state: State::Magic,
            offset: 0,
            expected: BTreeSet::new(),
            listed: BTreeSet::new(),
            open: BTreeMap::new(),
            whole: BTreeSet::new(),
        }
    }
}

impl Parser {
    /// What `buffer` begins with, and how many of its bytes that was.
    pub fn next<'a>(&mut self, buffer: &'a [u8]) -> Result<(usize, Event<'a>)> {
        let (taken, event) = self.step(buffer).map_err(|error| error.context(format!("at byte {}", self.offset)))?;
        self.offset += u64::try_from(taken).unwrap_or(u64::MAX);
        Ok((taken, event))
    }

    fn step<'a>(&mut self, buffer: &'a [u8]) -> Result<(usize, Event<'a>)> {
        if let State::Magic = self.state {
            let Some((magic, _)) = buffer.split_first_chunk() else { return Ok((0, Event::More)) };
            if *magic != MAGIC {
                return Err(Error::Corrupt("it does not begin as an archive of mongodump does".into()));
            }
            self.state = State::Header;
            return Ok((MAGIC.len(), Event::Nothing));
        }
        let Some((token, taken)) = token(buffer)? else { return Ok((0, Event::More)) };
        // A failed archive is not read on, so that this state is never met.
        let state = std::mem::replace(&mut self.state, State::Magic);
        let (state, event) = match (state, token) {
            (State::Header, Token::Document(header)) => (State::Prelude(Prelude::begin(header)?), Event::Nothing),
            (State::Prelude(mut prelude), Token::Document(document)) => {
                let listed = Listed::read(document)?;
                if !self.listed.insert(listed.data.clone()) {
                    return Err(Error::Corrupt(format!("its prelude has {} twice", listed.data)));
                }
                if !listed.is_view {
                    self.expected.insert(listed.data.clone());
                }
                prelude.collections.push(listed);
                (State::Prelude(prelude), Event::Nothing)
            }
            (State::Prelude(prelude), Token::Terminator) => (State::Between, Event::Prelude(prelude)),
            (State::Between, Token::Document(header)) => self.header(header)?,
            (State::Segment(namespace, mut crc), Token::Document(document)) => {
                crc.update(document);
                (State::Segment(namespace, crc), Event::Document(document))
            }
            (State::Segment(namespace, crc), Token::Terminator) => {
                self.open.insert(namespace, crc);
                (State::Between, Event::SegmentEnd)
            }
            (State::End(namespace), Token::Terminator) => {
                self.whole.insert(namespace.clone());
                (State::Between, Event::Whole(namespace))
            }
            (State::End(namespace), Token::Document(_)) => {
                return Err(Error::Corrupt(format!("there is a document behind the end of {namespace}")));
            }
            (State::Magic | State::Header | State::Between, _) => {
                return Err(Error::Corrupt("there is an end mark where a header belongs".into()));
            }
        };
        self.state = state;
        Ok((taken, event))
    }

    fn header(&mut self, header: &[u8]) -> Result<(State, Event<'static>)> {
        let Header { namespace, end } = Header::read(header)?;
        if !self.listed.contains(&namespace) {
            return Err(Error::Corrupt(format!("it has documents of {namespace}, which its prelude does not list")));
        }
        if self.whole.contains(&namespace) {
            return Err(Error::Corrupt(format!("{namespace} comes once more behind its end")));
        }
        let crc = self.open.remove(&namespace).unwrap_or_default();
        let Some(given) = end else {
            return Ok((State::Segment(namespace.clone(), crc), Event::Segment(namespace)));
        };
        if given != crc.sum() {
            return Err(Error::Corrupt(format!(
                "the checksum of {namespace} is {given:016x}, its documents come to {:016x}: they are damaged or some are missing",
                crc.sum()
            )));
        }
        Ok((State::End(namespace), Event::Nothing))
    }

    /// Whether the archive may end here, with `rest` left unread.
    pub fn end(&self, rest: &[u8]) -> Result<()> {
        let missing: Vec<String> = self.expected.difference(&self.whole).map(Namespace::to_string).collect();
        let cut = match self.state {
            State::Between => !rest.is_empty(),
            _ => true,
        };
        if !cut && missing.is_empty() {
            return Ok(());
        }
        let place = self.offset + u64::try_from(rest.len()).unwrap_or(0);
        let missing = match self.state {
            State::Magic | State::Header | State::Prelude(_) => " in its prelude".into(),
            _ if missing.is_empty() => ": bytes follow that are no part of an archive".into(),
            _ => format!(": the documents of {} are not all there", coffer_addon::omitted::line(missing)),
        };
        Err(Error::Corrupt(format!("it ends after {place} bytes{missing}")))
    }
}

fn token(buffer: &[u8]) -> Result<Option<(Token<'_>, usize)>> {
    if buffer.first_chunk() == Some(&TERMINATOR) {
        return Ok(Some((Token::Terminator, TERMINATOR.len())));
    }
    let Some(length) = length(buffer) else { return Ok(None) };
    if !(MIN_DOCUMENT..=MAX_DOCUMENT).contains(&length) {
        return Err(Error::Corrupt(format!("neither an end mark nor a document: it would have {length} bytes")));
    }
    let Some(document) = usize::try_from(length).ok().and_then(|length| buffer.get(..length)) else {
        return Ok(None);
    };
    if document.last() != Some(&0) {
        return Err(Error::Corrupt(format!("a document of {length} bytes does not end where it says")));
    }
    Ok(Some((Token::Document(document), document.len())))
}

#[cfg(test)]
mod tests {
    use super::testing::{Archive, archive};
    use super::*;
    use bson::rawdoc;

    /// All events, for bytes that come in pieces of `piece`.
    fn parse(bytes: &[u8], piece: usize) -> Result<Vec<String>> {
        let (mut parser, mut events) = (Parser::default(), Vec::new());
        let (mut from, mut to) = (0, 0);
        loop {
            let (taken, event) = parser.next(&bytes[from..to])?;
            match event {
                Event::More if to == bytes.len() => break,
                Event::More => to = bytes.len().min(to + piece),
                Event::Prelude(prelude) => events.push(format!("prelude of {}", prelude.collections.len())),
                Event::Segment(namespace) => events.push(format!("segment {namespace}")),
                Event::Document(document) => events.push(format!("document of {}", document.len())),
                Event::SegmentEnd | Event::Nothing => {}
                Event::Whole(namespace) => events.push(format!("whole {namespace}")),
            }
            from += taken;
        }
        parser.end(&bytes[from..])?;
        Ok(events)
    }

    fn two() -> Vec<u8> {
        let one = rawdoc! { "_id": 1 }.into_bytes();
        let other = rawdoc! { "_id": "x" }.into_bytes();
        Archive::new()
            .listed("a", "c", "{}", "")
            .listed("a", "d", "{}", "")
            .listed("a", "v", "{}", "view")
            .prelude_end()
            .segment("a", "c", &[&one, &one])
            .segment("a", "d", &[&other])
            .segment("a", "c", &[&one])
            .end("a", "c")
            .end("a", "d")
            .bytes()
    }

    #[test]
    fn collections_are_told_apart() {
        let wanted = [
            "prelude of 3",
            "segment a.c",
            "document of 14",
            "document of 14",
            "segment a.d",
            "document of 16",
            "segment a.c",
            "document of 14",
            "whole a.c",
            "whole a.d",
        ];
        for piece in [1, 3, 7, 1000] {
            assert_eq!(parse(&two(), piece).expect("whole"), wanted);
        }
        assert_eq!(parse(&Archive::new().prelude_end().bytes(), 9).expect("empty"), ["prelude of 0"]);
    }

    #[test]
    fn cut_anywhere_it_is_not_whole() {
        let whole = two();
        for cut in 0..whole.len() {
            let error = parse(&whole[..cut], 5).expect_err("cut");
            assert!(matches!(&error, Error::Corrupt(text) if text.contains("ends after")), "{cut}: {error}");
        }
        let more: Vec<u8> = [&whole[..], b"\0"].concat();
        let error = parse(&more, 1000).expect_err("more");
        assert!(error.message().contains("no part of an archive"), "{error}");
    }

    #[test]
    fn what_is_wrong_is_named() {
        let document = rawdoc! { "_id": 1 }.into_bytes();
        let begun = || Archive::new().listed("a", "c", "{}", "").prelude_end();
        for (archive, wanted) in [
            (begun().segment("a", "c", &[&document]).end_with("a", "c", 7), "checksum of a.c"),
            (begun().segment("a", "x", &[&document]), "does not list"),
            (begun().segment("a", "c", &[]).end("a", "c").segment("a", "c", &[]), "once more"),
            (begun().end("a", "c").end("a", "c"), "once more"),
            (begun().terminator(), "end mark where a header belongs"),
            (Archive::new().listed("a", "c", "{}", "").listed("a", "c", "{}", ""), "twice"),
            (begun().raw(&[4, 0, 0, 0]), "neither an end mark nor a document"),
            (begun().raw(&[5, 0, 0, 0, 1]), "does not end where it says"),
            (begun().raw(&rawdoc! { "db": "a" }.into_bytes()), "collection"),
            (Archive::begun_with("0.2"), "0.2"),
        ] {
            let error = parse(&archive.bytes(), 1000).expect_err(wanted);
            assert!(error.message().contains(wanted), "{wanted}: {error}");
        }
        assert!(parse(b"nothing at all", 5).expect_err("none").message().contains("does not begin"));
    }

    #[test]
    fn one_bit_is_never_overlooked_in_documents() {
        let document = rawdoc! { "_id": 1, "text": "precious" }.into_bytes();
        let whole = archive(&[("a", "c", &[&document, &document])]);
        let place = whole.windows(8).position(|window| window == b"precious").expect("there");
        for bit in 0..64 {
            let mut damaged = whole.clone();
            damaged[place + bit / 8] ^= 1 << (bit % 8);
            assert!(parse(&damaged, 100).expect_err("damaged").message().contains("checksum of a.c"));
        }
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..300), piece in 1_usize..50) {
            let _ = parse(&bytes, piece);
            let _ = parse(&[&MAGIC[..], &bytes].concat(), piece);
        }

        #[test]
        fn nor_does_damage(
            changes in proptest::collection::vec((0_usize..1000, proptest::num::u8::ANY), 1..5),
            cut in 0_usize..1000,
        ) {
            let mut bytes = two();
            let length = bytes.len();
            for (place, byte) in changes {
                bytes[place % length] = byte;
            }
            let _ = parse(&bytes, 64);
            let _ = parse(&bytes[..cut % length], 64);
        }
    }
}
