//! TCP.

use tokio::net::TcpStream;

use super::{Connector, OpenFuture, Transport};

/// Connects over TCP. A name with several addresses is tried address by address.
#[derive(Debug, Clone)]
pub struct Tcp {
    host: String,
    port: u16,
}

impl Tcp {
    /// A host name or an IP address (IPv6 without brackets), and a port.
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        Tcp { host: host.into(), port }
    }
}

impl Connector for Tcp {
    fn open(&self) -> OpenFuture<'_> {
        Box::pin(async {
            let stream = TcpStream::connect((self.host.as_str(), self.port)).await?;
            // Whole packets are written at once; waiting for more to join them only adds delay.
            stream.set_nodelay(true)?;
            let (reader, writer) = stream.into_split();
            Ok(Transport { reader: Box::new(reader), writer: Box::new(writer) })
        })
    }

    fn name(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}
