//! The protocol's basic types, read from the front of a slice.
//! https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_basic_dt_integers.html

/// What is left of a payload. Every method takes from its front, and gives none when there is too little.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    pub fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(bytes)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (bytes, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*bytes)
    }

    pub fn u8(&mut self) -> Option<u8> {
        self.array().map(|[byte]| byte)
    }

    pub fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    /// An integer of one to nine bytes.
    pub fn length_encoded(&mut self) -> Option<u64> {
        match self.u8()? {
            byte @ 0..=0xfa => Some(byte.into()),
            0xfc => self.u16().map(u64::from),
            0xfd => self.array().map(|[a, b, c]| u32::from_le_bytes([a, b, c, 0]).into()),
            0xfe => self.array().map(u64::from_le_bytes),
            // NULL, and the mark of an error.
            0xfb | 0xff => None,
        }
    }

    /// A length-encoded string.
    pub fn string(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.length_encoded()?).ok()?;
        self.bytes(length)
    }

    /// A value of a row in the text protocol: a string, or NULL (the inner none).
    pub fn value(&mut self) -> Option<Option<&'a [u8]>> {
        if let Some((0xfb, rest)) = self.0.split_first() {
            self.0 = rest;
            return Some(None);
        }
        self.string().map(Some)
    }

    /// A string that a NUL or the payload's end ends: some servers forget the NUL of the last one.
    pub fn until_nul(&mut self) -> &'a [u8] {
        let mut parts = self.0.splitn(2, |byte| *byte == 0);
        let text = parts.next().unwrap_or_default();
        self.0 = parts.next().unwrap_or_default();
        text
    }
}

/// Appends a length-encoded string.
pub(super) fn put_string(target: &mut Vec<u8>, bytes: &[u8]) {
    match bytes.len() {
        length @ 0..=0xfa => target.extend(u8::try_from(length)),
        length => match u16::try_from(length) {
            Ok(length) => {
                target.push(0xfc);
                target.extend(length.to_le_bytes());
            }
            Err(_) => {
                target.push(0xfe);
                target.extend(u64::try_from(length).unwrap_or(u64::MAX).to_le_bytes());
            }
        },
    }
    target.extend(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_of_all_lengths_come_back() {
        for length in [0, 1, 250, 251, 65_535, 65_536, 70_000] {
            let mut bytes = Vec::new();
            put_string(&mut bytes, &vec![7; length]);
            bytes.push(1);
            let mut reader = Reader(&bytes);
            assert_eq!(reader.string().map(<[u8]>::len), Some(length));
            assert_eq!(reader.0, [1]);
        }
        assert_eq!(Reader(&[0xfd, 1, 0, 1]).length_encoded(), Some(65_537));
    }

    #[test]
    fn too_little_is_none() {
        assert_eq!(Reader(&[]).length_encoded(), None);
        assert_eq!(Reader(&[0xfc, 1]).length_encoded(), None);
        assert_eq!(Reader(&[3, b'a', b'b']).string(), None);
        assert_eq!(Reader(&[0xfe, 255, 255, 255, 255, 255, 255, 255, 255]).string(), None);
        assert_eq!(Reader(&[0xfb]).value(), Some(None));
        assert_eq!(Reader(&[0xff]).value(), None);
        assert_eq!(Reader(&[0]).value(), Some(Some(&b""[..])));
    }

    #[test]
    fn a_missing_nul_ends_at_the_end() {
        let mut reader = Reader(b"ab\0c");
        assert_eq!([reader.until_nul(), reader.until_nul(), reader.until_nul()], [&b"ab"[..], b"c", b""]);
    }
}
