//! CRC-64-ECMA as archives of mongodump have it: reflected, from all ones, inverted at the end (also called CRC-64/XZ).

/// The polynomial of ECMA-182, its bits reversed.
const POLYNOMIAL: u64 = 0xC96C_5795_D787_0F42;

/// By how many zero bytes the table's column is ahead: eight bytes are looked up at once.
const SLICES: usize = 8;

static TABLES: [[u64; 256]; SLICES] = tables();

// Evaluated by the compiler: an index out of bounds would not compile.
#[allow(clippy::indexing_slicing)]
const fn tables() -> [[u64; 256]; SLICES] {
    let mut tables = [[0; 256]; SLICES];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = byte as u64;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ POLYNOMIAL } else { crc >> 1 };
            bit += 1;
        }
        tables[0][byte] = crc;
        byte += 1;
    }
    let mut slice = 1;
    while slice < SLICES {
        let mut byte = 0;
        while byte < 256 {
            let before = tables[slice - 1][byte];
            tables[slice][byte] = before >> 8 ^ tables[0][(before & 0xff) as usize];
            byte += 1;
        }
        slice += 1;
    }
    tables
}

/// A checksum under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crc(u64);

impl Default for Crc {
    fn default() -> Self {
        Crc(u64::MAX)
    }
}

impl Crc {
    // Every index is a byte into 256 entries.
    #[allow(clippy::indexing_slicing)]
    pub fn update(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<SLICES>();
        for word in words {
            let mixed = (self.0 ^ u64::from_le_bytes(*word)).to_le_bytes();
            self.0 =
                mixed.iter().zip(TABLES.iter().rev()).fold(0, |crc, (byte, table)| crc ^ table[usize::from(*byte)]);
        }
        for byte in rest {
            let [low, ..] = self.0.to_le_bytes();
            self.0 = self.0 >> 8 ^ TABLES[0][usize::from(low ^ byte)];
        }
    }

    pub fn sum(self) -> u64 {
        !self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_one_of_the_catalogue() {
        let mut crc = Crc::default();
        crc.update(b"123456789");
        assert_eq!(crc.sum(), 0x995D_C9BB_DF19_39FA);
        assert_eq!(Crc::default().sum(), 0);
    }

    #[test]
    fn pieces_make_no_difference() {
        let bytes: Vec<u8> = (0..=255).cycle().take(1000).collect();
        let mut whole = Crc::default();
        whole.update(&bytes);
        for cut in [0, 1, 7, 8, 9, 500] {
            let mut crc = Crc::default();
            crc.update(&bytes[..cut]);
            crc.update(&bytes[cut..]);
            assert_eq!(crc, whole, "{cut}");
        }
    }
}
