//! A link to a broker that breaks: a TCP proxy that cuts each connection after some bytes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Starts one in front of `broker`. Returns its port and how often it has cut.
pub async fn cutting(broker: u16, seed: u64) -> (u16, Arc<AtomicU32>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port of loopback");
    let port = listener.local_addr().expect("it is bound").port();
    let cuts = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&cuts);
    tokio::spawn(async move {
        let mut random = seed;
        while let Ok((client, _)) = listener.accept().await {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            // Enough for a handshake and some messages, then anywhere.
            let bytes = 200 + (random >> 33) % 1_200;
            if forward(client, broker, bytes).await {
                count.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
    (port, cuts)
}

/// Forwards so many bytes, of both directions together. `false`: one side closed before.
async fn forward(mut client: TcpStream, broker: u16, bytes: u64) -> bool {
    let Ok(mut server) = TcpStream::connect(("127.0.0.1", broker)).await else { return false };
    let mut left = bytes as usize;
    let (mut up, mut down) = ([0; 256], [0; 256]);
    while left > 0 {
        let moved = tokio::select! {
            read = client.read(&mut up) => forward_some(read, &up, &mut server, left).await,
            read = server.read(&mut down) => forward_some(read, &down, &mut client, left).await,
        };
        match moved {
            Some(count) => left -= count,
            None => return false,
        }
    }
    true
}

async fn forward_some(
    read: std::io::Result<usize>,
    bytes: &[u8],
    to: &mut TcpStream,
    left: usize,
) -> Option<usize> {
    let count = read.ok().filter(|count| *count > 0)?.min(left);
    to.write_all(&bytes[..count]).await.ok()?;
    Some(count)
}
