//! `ternmq pub`: messages from the command line, a file or standard input, to the broker.

use std::collections::VecDeque;
use std::io::Read;
use std::path::Path;
use std::time::Duration;

use ternmq_client::{Lost, Publish, ReasonCode, Receipt, Reconnect};
use tokio::io::{AsyncBufReadExt, BufReader};

use super::connection::{Connection, runtime};
use crate::args::{PublishArgs, Source};
use crate::output::Failure;

/// The largest payload that a packet can hold, in bytes, its header left out of account.
const PAYLOAD_BYTES_MAX: u64 = 268_435_455;
/// Results that may be open before the next message has to wait for the oldest.
const OPEN_RESULTS_MAX: usize = 10_000;
/// A broker that goes away has this many chances to come back, within about half a minute.
const RECONNECT: Reconnect = Reconnect {
    first: Duration::from_millis(500),
    max: Duration::from_secs(8),
    spread: Duration::ZERO,
    attempts_max: Some(10),
    retry_first: false,
};

pub fn run(args: &PublishArgs) -> Result<(), Failure> {
    let result = try_run(args);
    if args.connection.quiet { result.map_err(Failure::quietly) } else { result }
}

fn try_run(args: &PublishArgs) -> Result<(), Failure> {
    let connection = Connection::new(&args.connection, RECONNECT)?;
    let template = template(args)?;
    let runtime = runtime()?;
    let result = runtime.block_on(async {
        connection.connect().await?;
        let result = tokio::select! {
            result = publish(args, template, &connection) => result,
            failure = connection.until_closed() => Err(failure),
        };
        connection.close().await;
        result
    });
    // A thread may still be reading standard input, and nobody will wait for what it reads.
    runtime.shutdown_background();
    result
}

/// The message, with its payload where that is not to be read line by line.
fn template(args: &PublishArgs) -> Result<Publish, Failure> {
    let payload = match &args.source {
        Source { message: Some(text), .. } => text.as_encoded_bytes().to_vec(),
        Source { file: Some(path), .. } => read_file(path)?,
        Source { stdin: true, .. } => read_all(std::io::stdin().lock(), "standard input")?,
        _ => Vec::new(),
    };
    let topic = args.topic().map_err(Failure::usage)?;
    let mut publish = Publish::new(topic, payload).qos(args.qos).retain(args.retain);
    publish.properties = args.connection.properties.publish.clone();
    Ok(publish)
}

fn read_file(path: &Path) -> Result<Vec<u8>, Failure> {
    let name = path.display().to_string();
    let file =
        std::fs::File::open(path).map_err(|error| Failure::usage(format!("{name}: {error}")))?;
    read_all(file, &name)
}

fn read_all(source: impl Read, name: &str) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let read = source.take(PAYLOAD_BYTES_MAX + 1).read_to_end(&mut bytes);
    match read.map_err(|error| Failure::usage(format!("{name}: {error}")))? {
        length if length as u64 > PAYLOAD_BYTES_MAX => {
            Err(Failure::usage(format!("{name} is larger than a message can be (256 MiB)")))
        }
        _ => Ok(bytes),
    }
}

async fn publish(
    args: &PublishArgs,
    template: Publish,
    connection: &Connection<'_>,
) -> Result<(), Failure> {
    let mut results = Results::default();
    if args.source.lines {
        let mut input = BufReader::new(tokio::io::stdin());
        let mut line = Vec::new();
        loop {
            line.clear();
            let read = input.read_until(b'\n', &mut line).await;
            if read.map_err(|error| Failure::run(format!("standard input: {error}")))? == 0 {
                break;
            }
            let payload = line.strip_suffix(b"\n").unwrap_or(&line);
            if !payload.is_empty() {
                send(
                    Publish { payload: payload.to_vec(), ..template.clone() },
                    connection,
                    &mut results,
                )
                .await?;
            }
        }
    } else {
        for left in (0..args.repeat).rev() {
            send(template.clone(), connection, &mut results).await?;
            if left > 0 && !args.repeat_delay.is_zero() {
                tokio::time::sleep(args.repeat_delay).await;
            }
        }
    }
    results.finish(connection).await
}

async fn send(
    publish: Publish,
    connection: &Connection<'_>,
    results: &mut Results,
) -> Result<(), Failure> {
    let receipt = connection.client.publish(publish).await.map_err(Failure::run)?;
    results.open.push_back(receipt);
    if results.open.len() > OPEN_RESULTS_MAX {
        results.take_oldest(connection).await;
    }
    Ok(())
}

/// What became of the messages.
#[derive(Default)]
struct Results {
    open: VecDeque<Receipt>,
    done: u64,
    lost: u64,
    first_loss: Option<Lost>,
}

impl Results {
    async fn take_oldest(&mut self, connection: &Connection<'_>) {
        let Some(receipt) = self.open.pop_front() else { return };
        match receipt.await {
            Ok(acknowledgement) => {
                self.done += 1;
                if acknowledgement.code == ReasonCode::NoMatchingSubscribers {
                    connection.debug(|| "nobody has subscribed to this topic".to_owned());
                }
            }
            Err(lost) => {
                self.lost += 1;
                self.first_loss.get_or_insert(lost);
            }
        }
    }

    async fn finish(mut self, connection: &Connection<'_>) -> Result<(), Failure> {
        while !self.open.is_empty() {
            self.take_oldest(connection).await;
        }
        connection.debug(|| format!("{} published", self.done));
        match self.first_loss {
            None => Ok(()),
            Some(lost) => {
                let all = self.done + self.lost;
                Err(Failure::run(format!("{} of {all} not published: {lost}", self.lost)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_larger_than_a_packet_is_refused_before_it_is_kept() {
        let endless = std::io::repeat(b'x');
        let failure = read_all(endless, "standard input").unwrap_err();
        assert!(format!("{failure:?}").contains("larger than a message"), "{failure:?}");
        assert_eq!(read_all(&b"abc"[..], "a file").unwrap(), b"abc");
    }
}
