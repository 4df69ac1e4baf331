//! The task that makes a client's progress: transport, time and wake-ups in, agent, transport out.
//! All policy is in the agent; here is only order.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use ternmq_agent::{Cause, Transmit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, sleep_until, timeout};

use crate::hub::Hub;
use crate::transport::{Connector, OpenFuture, Transport};

/// Runs until the agent stands still.
pub(crate) async fn run(shared: Arc<Hub>, connector: Arc<dyn Connector>) {
    let mut end = End { shared: &shared, armed: true };
    let mut link = Link::Down;
    let mut buffer = vec![0; READ_BYTES].into_boxed_slice();
    loop {
        let turn = shared.turn(link.is_writable());
        match turn.transmit {
            Some(Transmit::Open) => link = Link::Opening(connector.open()),
            Some(Transmit::Bytes(bytes)) => link.write(bytes),
            Some(Transmit::Close) => {
                std::mem::replace(&mut link, Link::Down).close(&mut buffer).await;
                continue;
            }
            None if turn.stopped && link.is_writable() && shared.end_if_stopped() => break,
            None => {}
        }
        let reads = turn.wants_bytes;
        let news = tokio::select! {
            news = link.next(reads, &mut buffer) => news,
            () = at(turn.deadline) => News::Ring,
            () = shared.work.notified() => News::Ring,
        };
        handle(&shared, &*connector, &mut link, &buffer, news);
    }
    end.armed = false;
}

enum News {
    Ring,
    Opened(io::Result<Transport>),
    Read(io::Result<usize>),
    Written(io::Result<()>),
}

fn handle(shared: &Hub, connector: &dyn Connector, link: &mut Link<'_>, buffer: &[u8], news: News) {
    let now = shared.now();
    let failed = |error: io::Error| Some(format!("{}: {error}", connector.name()));
    match news {
        News::Ring | News::Written(Ok(())) => {}
        News::Opened(Ok(transport)) => {
            *link = Link::Up(Up { transport, output: Vec::new(), written: 0, flushed: true });
            shared.lock().agent.handle_connected(now);
        }
        News::Read(Ok(0)) => {
            *link = Link::Down;
            shared.lock().agent.handle_closed(now, None);
        }
        News::Read(Ok(count)) => shared.lock().agent.handle_bytes(now, &buffer[..count]),
        News::Opened(Err(error)) | News::Read(Err(error)) | News::Written(Err(error)) => {
            *link = Link::Down;
            shared.lock().agent.handle_closed(now, failed(error));
        }
    }
}

/// The transport, from the driver's side.
enum Link<'a> {
    Down,
    Opening(OpenFuture<'a>),
    Up(Up),
}

struct Up {
    transport: Transport,
    output: Vec<u8>,
    /// How much of `output` the transport has taken.
    written: usize,
    flushed: bool,
}

impl Link<'_> {
    /// Whether the agent may be asked for more.
    fn is_writable(&self) -> bool {
        match self {
            // While it opens, the only wish can be to close, and that must not wait.
            Link::Down | Link::Opening(_) => true,
            Link::Up(up) => up.flushed,
        }
    }

    fn write(&mut self, bytes: Vec<u8>) {
        if let Link::Up(up) = self {
            (up.output, up.written, up.flushed) = (bytes, 0, false);
        }
    }

    /// Waits for news of the transport. Safe to be cancelled: each step awaits one thing.
    async fn next(&mut self, reads: bool, buffer: &mut [u8]) -> News {
        match self {
            Link::Down => std::future::pending().await,
            Link::Opening(open) => News::Opened(open.await),
            Link::Up(Up { transport: Transport { reader, writer }, output, written, flushed }) => {
                let busy = !*flushed;
                let write = async {
                    if *written < output.len() {
                        let count = writer.write(&output[*written..]).await?;
                        *written += count;
                        if count == 0 { Err(io::ErrorKind::WriteZero.into()) } else { Ok(()) }
                    } else {
                        writer.flush().await?;
                        *flushed = true;
                        Ok(())
                    }
                };
                tokio::select! {
                    count = reader.read(buffer), if reads => News::Read(count),
                    result = write, if busy => News::Written(result),
                    else => std::future::pending().await,
                }
            }
        }
    }

    /// Closes in good order: everything written arrives, the DISCONNECT among it. For that the
    /// server has to close first; a socket closed with unread bytes would throw away what is on
    /// its way.
    async fn close(self, buffer: &mut [u8]) {
        let Link::Up(Up { mut transport, output, written, .. }) = self else { return };
        let goodbye = async {
            transport.writer.write_all(&output[written..]).await?;
            transport.writer.shutdown().await?;
            while transport.reader.read(buffer).await? > 0 {}
            io::Result::Ok(())
        };
        // Whatever happens to the goodbye, the transport is dropped after it.
        let _late = timeout(GOODBYE, goodbye).await;
    }
}

async fn at(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// When the runtime is shut down, nobody goes on waiting for the driver.
struct End<'a> {
    shared: &'a Hub,
    armed: bool,
}

impl Drop for End<'_> {
    fn drop(&mut self) {
        if self.armed {
            self.shared.end(Cause::Failed("the runtime of the client was shut down".into()));
        }
    }
}

const READ_BYTES: usize = 64 * 1_024;

/// How long the end of a connection may take.
const GOODBYE: Duration = Duration::from_secs(1);
