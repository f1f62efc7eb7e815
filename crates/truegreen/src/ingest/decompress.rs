//! Bodies brought to their plain form, never beyond a bound: decompression stops there, so a bomb costs its sender a
//! refusal and us one bound's worth of memory.

use std::io::{BufReader, Read};

use crate::request::{Refusal, Reservation};

/// How a body is compressed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Encoding {
    /// It is not.
    Identity,
    /// gzip.
    Gzip,
    /// Zstandard.
    Zstd,
}

impl Encoding {
    /// Reads `content-encoding` or `grpc-encoding`.
    pub fn named(name: &str) -> Result<Encoding, Refusal> {
        match name.trim().to_ascii_lowercase().as_str() {
            "" | "identity" => Ok(Encoding::Identity),
            "gzip" | "x-gzip" => Ok(Encoding::Gzip),
            "zstd" => Ok(Encoding::Zstd),
            other => Err(Refusal::ContentEncoding(other.chars().take(40).collect())),
        }
    }

    /// By a file's first bytes.
    pub fn of_file(start: &[u8]) -> Encoding {
        match start {
            [0x1f, 0x8b, ..] => Encoding::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Encoding::Zstd,
            _ => Encoding::Identity,
        }
    }

    /// A reader of the plain form.
    pub fn reader<'a>(self, compressed: impl Read + 'a) -> std::io::Result<Box<dyn Read + 'a>> {
        Ok(match self {
            Encoding::Identity => Box::new(compressed),
            Encoding::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(BufReader::new(compressed))),
            Encoding::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::new(compressed)?;
                // A frame may ask for a window of gigabytes; 8 MiB is what level 19 uses.
                decoder.window_log_max(23)?;
                Box::new(decoder)
            }
        })
    }
}

const CHUNK: usize = 64 << 10;

/// The plain form of `body`. On refusal also what was decompressed until then, from which the sender can be read.
pub(super) fn decompress(
    encoding: Encoding,
    body: &[u8],
    limit: usize,
    reservation: &mut Reservation,
) -> Result<Vec<u8>, (Refusal, Vec<u8>)> {
    let mut plain = Vec::new();
    match inflate(encoding, body, limit, reservation, &mut plain) {
        Ok(()) => Ok(plain),
        Err(refusal) => Err((refusal, plain)),
    }
}

/// What can be had of the beginning of a body that is cut short.
pub(super) fn prefix(encoding: Encoding, body: &[u8], limit: usize) -> Vec<u8> {
    let mut plain = Vec::new();
    if let Ok(reader) = encoding.reader(body) {
        // Ends in an error, since the body does; what came before it counts.
        drop(reader.take(limit as u64).read_to_end(&mut plain));
    }
    plain
}

fn inflate(
    encoding: Encoding,
    body: &[u8],
    limit: usize,
    reservation: &mut Reservation,
    plain: &mut Vec<u8>,
) -> Result<(), Refusal> {
    let broken = |error: std::io::Error| Refusal::Malformed(format!("cannot decompress: {error}"));
    let mut reader = encoding.reader(body).map_err(broken)?;
    let mut chunk = vec![0; CHUNK];
    loop {
        let n = reader.read(&mut chunk).map_err(broken)?;
        if n == 0 {
            return Ok(());
        }
        if plain.len() + n > limit {
            return Err(Refusal::Oversized { limit });
        }
        reservation.grow(n)?;
        plain.extend_from_slice(&chunk[..n]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    /// Scenario: 64 MiB of zeros in some 64 KiB. Guarantee: refused at the bound, with no more held than the bound.
    #[test]
    fn a_bomb_is_refused_at_the_bound() {
        let bombs = [
            (Encoding::Gzip, gzip(&vec![0; 64 << 20])),
            (Encoding::Zstd, zstd::bulk::compress(&vec![0; 64 << 20], 1).unwrap()),
        ];
        for (encoding, bomb) in bombs {
            let mut reservation = Reservation::unbounded_for_tests();
            let (refusal, partial) = decompress(encoding, &bomb, 1 << 20, &mut reservation).unwrap_err();
            assert_eq!(refusal, Refusal::Oversized { limit: 1 << 20 });
            assert!(partial.len() <= 1 << 20);
        }
    }

    #[test]
    fn what_is_cut_off_or_no_archive_is_malformed() {
        let whole = gzip(b"some text that is long enough to be cut");
        for body in [&whole[..whole.len() - 6], b"plain"] {
            let mut reservation = Reservation::unbounded_for_tests();
            let (refusal, _) = decompress(Encoding::Gzip, body, 1000, &mut reservation).unwrap_err();
            assert_eq!(refusal.reason(), "malformed");
        }
    }
}
