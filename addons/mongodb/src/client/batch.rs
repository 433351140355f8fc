//! Where a batch of documents lies in a reply, found before the reply is there as a whole.
//!
//! `{cursor: {firstBatch: [{…}, {…}], id: 5, ns: "shop.orders"}, ok: 1}`: in front of the documents, and behind them, is
//! little; what is in the array is handed out as it comes in. Servers differ in the order of the fields.

use coffer_addon::{Error, Result};

const DOCUMENT: u8 = 3;
const ARRAY: u8 = 4;

/// What may stand in front of a batch or behind it; also the longest reply without one.
pub(super) const LIMIT: usize = 1 << 20;

/// How much of a reply's beginning tells where the batch is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// More has to come in first.
    More,
    /// There is no batch in it.
    Nothing,
    Batch(Place),
}

/// A reply around its batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// What comes before the first of the batch's documents.
    pub front: usize,
    /// Bytes of the array from there on, with its end.
    pub array: usize,
    /// The reply's fields before `cursor`.
    before: Vec<u8>,
    /// The cursor's fields before the batch.
    cursor_before: Vec<u8>,
    /// Bytes of the cursor's fields behind the batch, with its end.
    cursor_behind: usize,
}

/// Looks for the batch in a reply of which `bytes` are there so far.
pub(super) fn find(bytes: &[u8], total: usize) -> Result<Found> {
    let mut top = Fields { bytes, at: 4, end: total };
    loop {
        match top.next()? {
            Step::More => return Ok(Found::More),
            Step::End => return Ok(Found::Nothing),
            Step::Field { kind: DOCUMENT, name: b"cursor", begin, value, size } => {
                let mut cursor = Fields { bytes, at: value + 4, end: value + size };
                loop {
                    match cursor.next()? {
                        Step::More => return Ok(Found::More),
                        Step::End => break,
                        Step::Field {
                            kind: ARRAY,
                            name: b"firstBatch" | b"nextBatch",
                            begin: batch,
                            value: array,
                            size: length,
                        } => {
                            let slice = |from: usize, to: usize| bytes.get(from..to).unwrap_or_default().to_vec();
                            return Ok(Found::Batch(Place {
                                front: array + 4,
                                array: length - 4,
                                before: slice(4, begin),
                                cursor_before: slice(value + 4, batch),
                                cursor_behind: (value + size) - (array + length),
                            }));
                        }
                        Step::Field { .. } => {}
                    }
                }
                if top.at > bytes.len() {
                    return Ok(Found::More);
                }
            }
            // A field's bytes have to be there, as they are looked at again.
            Step::Field { .. } if top.at > bytes.len() => return Ok(Found::More),
            Step::Field { .. } => {}
        }
    }
}

impl Place {
    /// The reply without its batch, of what comes behind that.
    pub fn without_batch(&self, behind: &[u8]) -> Option<Vec<u8>> {
        let (cursor_behind, behind) = behind.split_at_checked(self.cursor_behind)?;
        let length = |length: usize| i32::try_from(length).ok().map(i32::to_le_bytes);
        let cursor = 4 + self.cursor_before.len() + cursor_behind.len();
        let head = [&[DOCUMENT], b"cursor\0".as_slice()].concat();
        let total = 4 + self.before.len() + head.len() + cursor + behind.len();
        let pieces = [
            &length(total)?,
            self.before.as_slice(),
            &head,
            &length(cursor)?,
            &self.cursor_before,
            cursor_behind,
            behind,
        ];
        Some(pieces.concat())
    }
}

/// The elements of a document of which not all is there.
struct Fields<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Where the document ends.
    end: usize,
}

enum Step<'a> {
    More,
    End,
    /// `begin` is where the field is, `value` where its value is, of `size` bytes.
    Field {
        kind: u8,
        name: &'a [u8],
        begin: usize,
        value: usize,
        size: usize,
    },
}

impl<'a> Fields<'a> {
    /// The next element whose kind, name and length are there.
    fn next(&mut self) -> Result<Step<'a>> {
        let begin = self.at;
        if begin >= self.end {
            return Err(corrupt());
        }
        let Some((kind, rest)) = self.bytes.get(begin..).and_then(<[u8]>::split_first) else { return Ok(Step::More) };
        if *kind == 0 {
            return if begin + 1 == self.end { Ok(Step::End) } else { Err(corrupt()) };
        }
        let Some(name) = rest.iter().position(|byte| *byte == 0).and_then(|end| rest.get(..end)) else {
            return Ok(Step::More);
        };
        let value = begin + 1 + name.len() + 1;
        let Some(size) = value_size(*kind, self.bytes.get(value..).unwrap_or_default())? else { return Ok(Step::More) };
        self.at = value.checked_add(size).ok_or_else(corrupt)?;
        // The document's own end comes behind.
        if self.at >= self.end {
            return Err(corrupt());
        }
        Ok(Step::Field { kind: *kind, name, begin, value, size })
    }
}

/// How many bytes a value of this kind has, of which these are there so far.
fn value_size(kind: u8, bytes: &[u8]) -> Result<Option<usize>> {
    let Some(extra) = (match kind {
        0x06 | 0x0a | 0x7f | 0xff => return Ok(Some(0)),
        0x08 => return Ok(Some(1)),
        0x10 => return Ok(Some(4)),
        0x01 | 0x09 | 0x11 | 0x12 => return Ok(Some(8)),
        0x07 => return Ok(Some(12)),
        0x13 => return Ok(Some(16)),
        0x0b => {
            let mut ends = bytes.iter().enumerate().filter(|(_, byte)| **byte == 0);
            return Ok(ends.nth(1).map(|(at, _)| at + 1));
        }
        0x02 | 0x0d | 0x0e => Some(4),
        0x05 => Some(5),
        0x0c => Some(16),
        DOCUMENT | ARRAY | 0x0f => Some(0),
        _ => None,
    }) else {
        return Err(corrupt());
    };
    let Some(length) = bytes.first_chunk().map(|length| i32::from_le_bytes(*length)) else { return Ok(None) };
    let length = usize::try_from(length).map_err(|_| corrupt())?;
    if extra == 0 && length < 5 {
        return Err(corrupt());
    }
    Ok(Some(length + extra))
}

pub(super) fn corrupt() -> Error {
    Error::Corrupt("the server's reply is no valid BSON: its lengths contradict each other".into())
}

/// How the next element of a batch lies in what is there: `None` where more has to come in to tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Element {
    /// The array's end.
    End,
    /// So many bytes, then a document of so many.
    Document { front: usize, size: usize },
}

/// Reads the element at the front of `bytes`, in an array of which `left` bytes remain.
pub(super) fn element(bytes: &[u8], left: usize) -> Result<Option<Element>> {
    /// Of an array's index, as text.
    const DIGITS: usize = 10;
    let Some((kind, rest)) = bytes.split_first() else { return Ok(None) };
    match kind {
        0 if left == 1 => return Ok(Some(Element::End)),
        &DOCUMENT => {}
        _ => return Err(corrupt()),
    }
    let name = rest.iter().take(DIGITS + 1).position(|byte| *byte == 0);
    let Some(name) = name else {
        return if rest.len() > DIGITS { Err(corrupt()) } else { Ok(None) };
    };
    let front = 1 + name + 1;
    let Some(size) = value_size(DOCUMENT, bytes.get(front..).unwrap_or_default())? else { return Ok(None) };
    // The array's end comes behind.
    if front + size >= left {
        return Err(corrupt());
    }
    Ok(Some(Element::Document { front, size }))
}

/// Documents that came in, where they lie.
#[derive(Clone, Copy)]
pub struct Batch<'a> {
    elements: &'a [u8],
    count: usize,
}

impl<'a> Batch<'a> {
    /// Elements of an array, all of which [`element`] has seen.
    pub(super) fn new(elements: &'a [u8], count: usize) -> Self {
        Batch { elements, count }
    }

    /// How many there are; at least one.
    #[expect(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.count
    }

    /// The documents as the server sent them. Their lengths are right and their last byte is 0; what is inside is not
    /// looked at.
    pub fn documents(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let mut rest = self.elements;
        std::iter::from_fn(move || {
            let Ok(Some(Element::Document { front, size })) = element(rest, usize::MAX) else { return None };
            let document = rest.get(front..front + size)?;
            rest = rest.get(front + size..)?;
            Some(document)
        })
    }
}
