//! Content-defined chunking: FastCDC (Xia et al., "The Design of Fast Content-Defined Chunking for Data Deduplication Based
//! Storage Systems", 2020) with normalized chunk sizes, over a stream that arrives in pieces.
//!
//! Written here rather than taken from the `fastcdc` crate, because that one wants the largest chunk (8 MiB) in one piece of
//! memory a stream before it looks for a cut, and its table of random numbers is public. Ours comes from the repository's own
//! secret, so that chunk sizes do not give away known content (restic draws a random polynomial for the same reason).

use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::{
    limits::{CHUNK_AVERAGE, CHUNK_MAX, CHUNK_MIN},
    spares::Spares,
};

/// 2^-21 a byte before the average size, 2^-19 after it: chunks of 1.3 MiB on the average. High bits, for they depend on the
/// most bytes (a byte leaves the hash after 64 shifts); not the highest, which the doubled step would lose.
const RARE: u64 = ((1 << 21) - 1) << 42;
const FREQUENT: u64 = ((1 << 19) - 1) << 44;

/// The random number of each byte value, as it is and doubled.
pub(crate) struct GearTable {
    gear: [u64; 256],
    doubled: [u64; 256],
}

impl GearTable {
    pub(crate) fn new(secret: &[u8; 32]) -> Self {
        let mut gear = [0; 256];
        for (block, numbers) in (0u8..).zip(gear.chunks_exact_mut(4)) {
            let random = Sha256::new().chain_update(secret).chain_update([block]).finalize();
            for (number, bytes) in numbers.iter_mut().zip(random.chunks_exact(8)) {
                *number = bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
            }
        }
        Self { gear, doubled: gear.map(|number| number << 1) }
    }

    /// Looks for a cut in `bytes`; `hash` goes on from call to call. Returns where the next chunk starts.
    ///
    /// Two bytes a step, for the chain of dependent operations is what takes the time: three a step rather than four.
    #[allow(clippy::indexing_slicing, reason = "a byte can not miss a table of 256, and the compiler knows it")]
    fn find(&self, hash: &mut u64, bytes: &[u8], mask: u64) -> Option<usize> {
        let (pairs, last) = bytes.as_chunks::<2>();
        let mut value = *hash;
        for (step, &[first, second]) in pairs.iter().enumerate() {
            value = (value << 2).wrapping_add(self.doubled[usize::from(first)]);
            if value & (mask << 1) == 0 {
                return Some(2 * step + 1);
            }
            value = value.wrapping_add(self.gear[usize::from(second)]);
            if value & mask == 0 {
                return Some(2 * step + 2);
            }
        }
        if let [last] = last {
            value = (value << 1).wrapping_add(self.gear[usize::from(*last)]);
            if value & mask == 0 {
                return Some(bytes.len());
            }
        }
        *hash = value;
        None
    }
}

/// Cuts one stream. Chunks are copied together, once: what arrives may be slices of buffers much larger than themselves.
pub(crate) struct Chunker {
    spares: Arc<Spares>,
    chunk: Vec<u8>,
    hash: u64,
}

impl Chunker {
    /// Chunks are gathered in `spares`; whoever is done with one may give it back there.
    pub(crate) fn new(spares: Arc<Spares>) -> Self {
        Self { spares, chunk: Vec::new(), hash: 0 }
    }

    /// Takes the next piece of the stream and gives every chunk that it completes to `emit`.
    pub(crate) fn push(&mut self, table: &GearTable, mut bytes: &[u8], emit: &mut impl FnMut(Vec<u8>)) {
        while !bytes.is_empty() {
            let filled = self.chunk.len();
            let (phase_end, mask) = match filled {
                0..CHUNK_MIN => (CHUNK_MIN, None),
                CHUNK_MIN..CHUNK_AVERAGE => (CHUNK_AVERAGE, Some(RARE)),
                _ => (CHUNK_MAX, Some(FREQUENT)),
            };
            let window = bytes.get(..phase_end - filled).unwrap_or(bytes);
            let cut = mask.and_then(|mask| table.find(&mut self.hash, window, mask));
            let (taken, rest) = bytes.split_at(cut.unwrap_or(window.len()));
            if filled == 0 {
                self.chunk = self.spares.take();
            }
            self.chunk.extend_from_slice(taken);
            bytes = rest;
            if cut.is_some() || self.chunk.len() == CHUNK_MAX {
                self.hash = 0;
                emit(std::mem::take(&mut self.chunk));
            }
        }
    }

    /// What is left at the end of the stream.
    pub(crate) fn finish(&mut self) -> Option<Vec<u8>> {
        self.hash = 0;
        Some(std::mem::take(&mut self.chunk)).filter(|chunk| !chunk.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::{Rng, SeedableRng, rngs::StdRng};

    use super::*;

    fn noise(length: usize, seed: u64) -> Vec<u8> {
        let mut bytes = vec![0; length];
        StdRng::seed_from_u64(seed).fill_bytes(&mut bytes);
        bytes
    }

    fn cut(table: &GearTable, pieces: &[&[u8]]) -> Vec<Vec<u8>> {
        let (mut chunker, mut chunks) = (Chunker::new(Arc::new(Spares::new(CHUNK_AVERAGE, CHUNK_MAX))), Vec::new());
        for piece in pieces {
            chunker.push(table, piece, &mut |chunk| chunks.push(chunk));
        }
        chunks.extend(chunker.finish());
        chunks
    }

    #[test]
    fn chunks_have_the_sizes_that_readers_are_tuned_for() {
        let bytes = noise(64 << 20, 1);
        let chunks = cut(&GearTable::new(&[1; 32]), &[&bytes]);
        assert_eq!(chunks.concat(), bytes);
        let (_, but_last) = chunks.split_last().unwrap();
        assert!(but_last.iter().all(|chunk| (CHUNK_MIN..=CHUNK_MAX).contains(&chunk.len())));
        let average = bytes.len() / chunks.len();
        assert!((1_000_000..2_000_000).contains(&average), "{average}");
    }

    #[test]
    fn equal_bytes_are_cut_at_the_largest_size() {
        let chunks = cut(&GearTable::new(&[1; 32]), &[&vec![0; 3 * CHUNK_MAX + 5]]);
        assert_eq!(chunks.iter().map(Vec::len).collect::<Vec<_>>(), [CHUNK_MAX, CHUNK_MAX, CHUNK_MAX, 5]);
    }

    #[test]
    fn an_insertion_changes_only_the_chunks_around_it() {
        let table = GearTable::new(&[1; 32]);
        let bytes = noise(32 << 20, 2);
        let mut longer = bytes.clone();
        longer.splice(16 << 20..16 << 20, *b"inserted");
        let before = cut(&table, &[&bytes]);
        let after = cut(&table, &[&longer]);
        let kept = after.iter().filter(|chunk| before.contains(chunk)).count();
        assert!(kept + 3 >= after.len(), "{kept} of {}", after.len());
    }

    #[test]
    fn another_secret_cuts_elsewhere() {
        let bytes = noise(16 << 20, 3);
        assert_ne!(cut(&GearTable::new(&[1; 32]), &[&bytes]), cut(&GearTable::new(&[2; 32]), &[&bytes]));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]
        #[test]
        fn pieces_do_not_matter(mut cuts in prop::collection::vec(0usize..6 << 20, 0..30)) {
            let table = GearTable::new(&[1; 32]);
            let bytes = noise(6 << 20, 4);
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
            prop_assert_eq!(cut(&table, &pieces), cut(&table, &[&bytes]));
        }
    }
}
