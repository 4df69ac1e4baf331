//! How bytes are carried between a client and this process.
//!
//! A stream never blocks; `WouldBlock` means that the poll will say when to go on. It knows
//! nothing of MQTT.

pub mod tcp;

use std::io::{self, IoSlice, Read, Write};
use std::net::Shutdown;

use mio::event::Source;
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};

/// Blocks of output in one system call.
const WRITE_BLOCKS_MAX: usize = 32;

/// One client's bytes, whatever carries them.
#[derive(Debug)]
pub enum Stream {
    /// Plain TCP.
    Tcp(TcpStream),
}

impl Stream {
    /// Reads what is there, at most `buffer` full. 0: the peer has ended its side.
    ///
    /// # Errors
    /// `WouldBlock`, or why the connection failed.
    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Stream::Tcp(stream) = self;
        uninterrupted(|| stream.read(buffer))
    }

    /// Writes as much of `chunks` as the system takes in one call.
    ///
    /// # Errors
    /// `WouldBlock`, or why the connection failed.
    pub fn write<'a>(&mut self, chunks: impl Iterator<Item = &'a [u8]>) -> io::Result<usize> {
        let Stream::Tcp(stream) = self;
        let mut slices = [IoSlice::new(&[]); WRITE_BLOCKS_MAX];
        let mut count = 0;
        for (slice, chunk) in slices.iter_mut().zip(chunks) {
            *slice = IoSlice::new(chunk);
            count += 1;
        }
        match &slices[..count] {
            [] => Ok(0),
            [one] => uninterrupted(|| stream.write(one)),
            many => uninterrupted(|| stream.write_vectored(many)),
        }
    }

    /// Says that nothing more will be written; the peer may still send. A peer that is gone
    /// already needs no word.
    pub fn end_writing(&mut self) {
        let Stream::Tcp(stream) = self;
        drop(stream.shutdown(Shutdown::Write));
    }

    /// Events of this stream carry `token` from now on.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        let Stream::Tcp(stream) = self;
        stream.register(registry, token, Interest::READABLE | Interest::WRITABLE)
    }

    /// Takes the stream out of a poll, so that another can have it.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        let Stream::Tcp(stream) = self;
        stream.deregister(registry)
    }
}

fn uninterrupted(mut call: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}
