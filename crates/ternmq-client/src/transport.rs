//! How bytes get to the server: a [`Connector`] opens a [`Transport`] whenever one is needed. TCP is
//! here; others (TLS, WebSocket, a pipe in a test) implement the same trait.

use std::fmt;
use std::io;
use std::pin::Pin;

use tokio::io::{AsyncRead, AsyncWrite};

mod tcp;

pub use tcp::Tcp;

/// Opens transports, one for each attempt to connect.
///
/// The future is dropped when the attempt takes longer than the connect timeout.
///
/// ```
/// use ternmq_client::transport::{Connector, OpenFuture, Transport};
///
/// /// One end of a pipe; the other plays the server in a test.
/// struct Pipe(std::sync::Mutex<Option<tokio::io::DuplexStream>>);
///
/// impl Connector for Pipe {
///     fn open(&self) -> OpenFuture<'_> {
///         let end = self.0.lock().unwrap().take();
///         Box::pin(async { end.map(Transport::new).ok_or(std::io::ErrorKind::NotConnected.into()) })
///     }
///     fn name(&self) -> String {
///         "the pipe".into()
///     }
/// }
/// ```
pub trait Connector: Send + Sync {
    /// Opens a transport.
    fn open(&self) -> OpenFuture<'_>;

    /// What to call it in error messages.
    fn name(&self) -> String;
}

/// What [`Connector::open`] returns.
pub type OpenFuture<'a> = Pin<Box<dyn Future<Output = io::Result<Transport>> + Send + 'a>>;

/// An open, reliable stream of bytes in both directions.
pub struct Transport {
    /// From the server.
    pub reader: Box<dyn AsyncRead + Send + Unpin>,
    /// To the server.
    pub writer: Box<dyn AsyncWrite + Send + Unpin>,
}

impl Transport {
    /// A transport over anything that reads and writes.
    pub fn new(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Self {
        let (reader, writer) = tokio::io::split(stream);
        Transport { reader: Box::new(reader), writer: Box::new(writer) }
    }
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Transport")
    }
}
