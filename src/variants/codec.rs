//! The codings themselves: what goes in comes out encoded, or decoded, into a sink. Called by `make`.
//!
//! `brotli`, `zstd` and `flate2` are used as they are: async-compression wraps the same three for the reactor's threads,
//! and this work must never be there.
//! Invariant: the same bytes in blocks of the same size, at the same effort, come out as the same bytes. A change of
//! levels or crates that alters them needs a new generation (`QUICK`, `BEST`): a test knows the bytes of this one.

use std::io::{self, Write};

use brotli::enc::BrotliEncoderParams;
use brotli::{CompressorWriter, DecompressorWriter};
use flate2::Compression;
use flate2::write::{DeflateDecoder, GzEncoder, MultiGzDecoder, ZlibDecoder};

use crate::base::coding::{Coding, Form};

/// Of what is made while a reader waits, and of what is made in the background.
const QUICK: u8 = 1;
const BEST: u8 = 2;
const DECODED: u8 = 1;

/// Brotli's best level makes about half a megabyte a second; larger bodies get the level below, at ten times the speed.
const SLOWEST_BROTLI: u64 = 16 * 1024 * 1024;
/// RFC 9659: what a client of the `zstd` coding must be able to hold (8 MiB).
const ZSTD_WINDOW_LOG: u32 = 23;
/// Between a codec and its sink.
const BUFFER: usize = 64 * 1024;

/// What is done to the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Change {
    Encode(Coding),
    /// From what the writer stored.
    Decode(Coding),
}

/// How long it may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effort {
    Quick,
    Best,
}

impl Change {
    /// What comes out.
    pub fn form(self, effort: Effort) -> Form {
        match (self, effort) {
            (Change::Encode(coding), Effort::Quick) => Form { coding, generation: QUICK },
            (Change::Encode(coding), Effort::Best) => Form { coding, generation: BEST },
            (Change::Decode(_), _) => Form { coding: Coding::Identity, generation: DECODED },
        }
    }
}

pub enum Codec<W: Write> {
    Br(Box<CompressorWriter<W>>),
    Zstd(zstd::stream::write::Encoder<'static, W>),
    Gzip(GzEncoder<W>),
    FromBr(Box<DecompressorWriter<W>>),
    FromZstd(zstd::stream::write::Decoder<'static, W>),
    FromGzip(MultiGzDecoder<W>),
    FromZlib(ZlibDecoder<W>),
    FromDeflate(DeflateDecoder<W>),
}

impl<W: Write> Codec<W> {
    /// `size` is that of all that will go in, `first` the beginning of it.
    pub fn new(change: Change, effort: Effort, size: u64, first: &[u8], sink: W) -> io::Result<Self> {
        match change {
            Change::Encode(coding) => Self::encoder(coding, effort, size, sink),
            Change::Decode(coding) => Self::decoder(coding, first, sink),
        }
    }

    fn encoder(coding: Coding, effort: Effort, size: u64, sink: W) -> io::Result<Self> {
        let quick = effort == Effort::Quick;
        Ok(match coding {
            Coding::Br => {
                let quality = match (quick, size <= SLOWEST_BROTLI) {
                    (true, _) => 5,
                    (false, true) => 11,
                    (false, false) => 9,
                };
                let size_hint = usize::try_from(size).unwrap_or(usize::MAX);
                let params = BrotliEncoderParams { quality, lgwin: 22, size_hint, ..BrotliEncoderParams::default() };
                Codec::Br(Box::new(CompressorWriter::with_params(sink, BUFFER, &params)))
            }
            Coding::Zstd => {
                let mut encoder = zstd::stream::write::Encoder::new(sink, if quick { 6 } else { 19 })?;
                encoder.set_pledged_src_size(Some(size))?;
                if !quick && size >= 1 << ZSTD_WINDOW_LOG {
                    encoder.window_log(ZSTD_WINDOW_LOG)?;
                }
                Codec::Zstd(encoder)
            }
            Coding::Gzip => Codec::Gzip(GzEncoder::new(sink, Compression::new(if quick { 6 } else { 9 }))),
            Coding::Identity | Coding::Deflate => return Err(io::ErrorKind::Unsupported.into()),
        })
    }

    fn decoder(coding: Coding, first: &[u8], sink: W) -> io::Result<Self> {
        Ok(match coding {
            Coding::Br => Codec::FromBr(Box::new(DecompressorWriter::new(sink, BUFFER))),
            Coding::Zstd => {
                let mut decoder = zstd::stream::write::Decoder::new(sink)?;
                decoder.window_log_max(ZSTD_WINDOW_LOG)?;
                Codec::FromZstd(decoder)
            }
            Coding::Gzip => Codec::FromGzip(MultiGzDecoder::new(sink)),
            // RFC 9110 8.4.1.2 means zlib; some writers leave its two bytes out.
            Coding::Deflate if is_zlib(first) => Codec::FromZlib(ZlibDecoder::new(sink)),
            Coding::Deflate => Codec::FromDeflate(DeflateDecoder::new(sink)),
            Coding::Identity => return Err(io::ErrorKind::Unsupported.into()),
        })
    }

    pub fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Codec::Br(w) => w.write_all(bytes),
            Codec::Zstd(w) => w.write_all(bytes),
            Codec::Gzip(w) => w.write_all(bytes),
            Codec::FromBr(w) => w.write_all(bytes),
            Codec::FromZstd(w) => w.write_all(bytes),
            Codec::FromGzip(w) => w.write_all(bytes),
            Codec::FromZlib(w) => w.write_all(bytes),
            Codec::FromDeflate(w) => w.write_all(bytes),
        }
    }

    /// Err: what went in ends in the middle, or the sink failed. Brotli's encoder does not tell of its sink: ask the sink.
    pub fn finish(self) -> io::Result<W> {
        match self {
            Codec::Br(w) => Ok(w.into_inner()),
            Codec::Zstd(w) => w.finish(),
            Codec::Gzip(w) => w.finish(),
            Codec::FromBr(mut w) => {
                w.close()?;
                w.into_inner().map_err(|_| io::ErrorKind::UnexpectedEof.into())
            }
            Codec::FromZstd(w) => w.finish(),
            Codec::FromGzip(w) => w.finish(),
            Codec::FromZlib(w) => w.finish(),
            Codec::FromDeflate(w) => w.finish(),
        }
    }
}

/// RFC 1950 2.2: the method is 8, and the two bytes are a multiple of 31.
fn is_zlib(first: &[u8]) -> bool {
    matches!(first, [method, flags, ..] if method & 0x0f == 8 && (u16::from(*method) << 8 | u16::from(*flags)) % 31 == 0)
}
