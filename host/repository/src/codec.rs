//! What lies inside the seal: zstd for blobs, and for other files the "unpacked data format" of restic's design document (a byte
//! 2, then JSON compressed with zstd; or plain JSON, which starts with `{` or `[`).

use std::io::{Error, Read, Result};

use serde::{Serialize, de::DeserializeOwned};
use zstd::bulk::{Compressor, Decompressor};

use crate::limits;

/// zstd with its tables, a megabyte or so, made when first used.
#[derive(Default)]
pub(crate) struct Codec {
    compressor: Option<Compressor<'static>>,
    decompressor: Option<Decompressor<'static>>,
}

impl Codec {
    pub(crate) fn compress(&mut self, plain: &[u8], packed: &mut Vec<u8>) -> Result<()> {
        let compressor = match &mut self.compressor {
            Some(compressor) => compressor,
            slot => slot.insert(Compressor::new(limits::ZSTD_LEVEL)?),
        };
        packed.clear();
        packed.reserve(zstd::zstd_safe::compress_bound(plain.len()));
        compressor.compress_to_buffer(plain, packed).map(drop)
    }

    /// Decompresses a blob of which the index says that it has `length` bytes.
    pub(crate) fn decompress(&mut self, packed: &[u8], length: u32, plain: &mut Vec<u8>) -> Result<()> {
        if length > limits::BLOB_MAX {
            return Err(Error::other("it claims to be larger than any blob may be"));
        }
        let decompressor = match &mut self.decompressor {
            Some(decompressor) => decompressor,
            slot => slot.insert(Decompressor::new()?),
        };
        plain.clear();
        plain.reserve(length as usize);
        decompressor.decompress_to_buffer(packed, plain)?;
        if plain.len() != length as usize {
            return Err(Error::other("its length is not what the index says"));
        }
        Ok(())
    }
}

/// The body of a lock, index or snapshot file.
pub(crate) fn encode_file(value: &impl Serialize) -> Result<Vec<u8>> {
    let mut body = vec![2];
    body.extend(zstd::bulk::compress(&serde_json::to_vec(value)?, limits::ZSTD_LEVEL)?);
    Ok(body)
}

pub(crate) fn decode_file<T: DeserializeOwned>(body: &[u8]) -> Result<T> {
    match body.split_first() {
        Some((b'{' | b'[', _)) => Ok(serde_json::from_slice(body)?),
        Some((2, packed)) => {
            let mut json = Vec::new();
            zstd::Decoder::new(packed)?.take(limits::FILE_MAX + 1).read_to_end(&mut json)?;
            if json.len() as u64 > limits::FILE_MAX {
                return Err(Error::other("it is larger than any such file may be"));
            }
            Ok(serde_json::from_slice(&json)?)
        }
        Some((version, _)) => Err(Error::other(format!("it has the unknown encoding version {version}"))),
        None => Err(Error::other("it is empty")),
    }
}
