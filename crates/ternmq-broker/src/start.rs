//! From a configuration to running threads.
//!
//! Everything that can fail is done before the first thread starts, so that a start that fails
//! leaves nothing behind.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel, sync_channel};
use std::thread::{self, JoinHandle};

use ternmq_engine::auth::Mechanisms;
use ternmq_engine::{Settings, ShardId};

use crate::backend::Backend;
use crate::board::Board;
use crate::clock::Clock;
use crate::config::{Config, Listener, Scheme};
use crate::control::{Broker, Notice};
use crate::error::StartError;
use crate::hand_off::{Door, INBOX_MAX, Parcel, Seats};
use crate::lobby::{self, Acceptor, Lobby};
use crate::machine;
use crate::ring::Mail;
use crate::shard_thread::{Parts, ShardThread};
use crate::stream::tcp;
use crate::sys_topics::SysTopics;

/// Starts a broker.
///
/// # Errors
/// See [`Broker::start`].
pub fn start(config: &Config, mechanisms: Arc<dyn Mechanisms>) -> Result<Broker, StartError> {
    let Listening { acceptors, addresses } = Listening::open(config)?;
    let (notice_sender, notices) = channel();
    let clock = Clock::start();
    let seats = Seats::new(connections_max(config));
    let shards = Shards::make(config, clock, &notice_sender, &seats)
        .map_err(|error| StartError::System { what: "make a poll for a shard", error })?;
    let guests_max = config.limit.pending_connections as usize;
    let lobby = Lobby::new(lobby::Plan {
        acceptors,
        doors: shards.doors.clone(),
        seats,
        mechanisms,
        guests_max,
        connect_time: config.limit.connect_time,
        connect_bytes_max: config.limit.connect_bytes,
        clock,
    })
    .map_err(|error| StartError::System { what: "open the lobby", error })?;
    let lobby_shared = lobby.shared();
    let spawned = spawn(shards.parts, lobby, &notice_sender);
    let (lobby_thread, shard_threads) = spawned.map_err(|error| {
        for door in &shards.doors {
            door.leave(Parcel::Stop);
        }
        StartError::System { what: "start threads", error }
    })?;
    let count = shards.doors.len();
    for (_, address) in &addresses {
        tracing::info!(%address, shards = count, "listening");
    }
    Ok(Broker {
        addresses,
        lobby: lobby_shared,
        doors: shards.doors,
        boards: shards.boards,
        lobby_thread,
        shard_threads,
        notices,
        notice_sender,
        signals: None,
    })
}

/// Every listening socket, and where it listens.
struct Listening {
    acceptors: Vec<Acceptor>,
    addresses: Vec<(Scheme, SocketAddr)>,
}

impl Listening {
    fn open(config: &Config) -> Result<Listening, StartError> {
        let mut listening = Listening { acceptors: Vec::new(), addresses: Vec::new() };
        for listener in &config.listeners {
            listening.add(listener).map_err(|error| {
                let url = listener.url.to_string();
                StartError::Listen { url, error }
            })?;
        }
        Ok(listening)
    }

    fn add(&mut self, listener: &Listener) -> io::Result<()> {
        let url = &listener.url;
        let Scheme::Tcp = url.scheme;
        for socket in tcp::listen(&url.host, url.port)? {
            self.addresses.push((url.scheme, socket.local_addr()?));
            self.acceptors.push(Acceptor::new(socket, listener.anonymous));
        }
        Ok(())
    }
}

/// All shards, made and not yet running.
struct Shards {
    parts: Vec<Parts>,
    doors: Vec<Door>,
    boards: Arc<[Arc<Board>]>,
}

impl Shards {
    fn make(
        config: &Config,
        clock: Clock,
        notices: &Sender<Notice>,
        seats: &Arc<Seats>,
    ) -> io::Result<Shards> {
        let count = match config.shards {
            0 => machine::cores().min(usize::from(SHARDS_MAX)),
            count => usize::from(count.min(SHARDS_MAX)),
        };
        let budget = Budget::of(config, count as u64);
        let settings = settings(config, count as u16, &budget);
        let polls = (0..count).map(|_| ShardThread::poll()).collect::<io::Result<Vec<_>>>()?;
        let bells: Vec<_> = polls.iter().map(|(_, bell)| Arc::clone(bell)).collect();
        let boards: Arc<[_]> = (0..count).map(|_| Arc::new(Board::default())).collect();
        let mut sys_topics =
            SysTopics::new(Arc::clone(&boards), Arc::clone(seats), config.sys.interval);
        let mut parts = Vec::with_capacity(count);
        let mut doors = Vec::with_capacity(count);
        for (number, ((poll, bell), mail)) in
            polls.into_iter().zip(Mail::connect(&bells)).enumerate()
        {
            let (sender, inbox) = sync_channel(INBOX_MAX);
            doors.push(Door::new(sender, Arc::clone(&bell)));
            parts.push(Parts {
                id: ShardId(number as u16),
                settings: settings.clone(),
                poll,
                bell,
                mail,
                backend: Backend::Memory,
                inbox,
                clock,
                kept_bytes_max: budget.kept_bytes,
                board: Arc::clone(&boards[number]),
                sys_topics: sys_topics.take(),
                notices: notices.clone(),
            });
        }
        Ok(Shards { parts, doors, boards })
    }
}

/// One shard's share of the memory that clients can fill.
struct Budget {
    /// Messages and output.
    message_bytes: u64,
    /// Sessions, subscriptions and wills.
    state_bytes: u64,
    /// For unfinished packets.
    kept_bytes: usize,
}

impl Budget {
    fn of(config: &Config, shards: u64) -> Budget {
        let total = match config.limit.memory {
            0 => machine::memory_bytes() / 2,
            bytes => bytes,
        };
        let share = total.max(MEMORY_BYTES_MIN) / shards;
        // A buffer may be twice as large as the packet that grows in it.
        let one_packet = 2 * u64::from(config.limit.packet_bytes);
        let kept_bytes = (share / 8).max(one_packet);
        let state_bytes = share / 4;
        Budget {
            message_bytes: share.saturating_sub(state_bytes + kept_bytes).max(share / 2),
            state_bytes,
            kept_bytes: usize::try_from(kept_bytes).unwrap_or(usize::MAX),
        }
    }
}

/// What the engine of each shard is told.
fn settings(config: &Config, shards: u16, budget: &Budget) -> Settings {
    let seconds = |it: std::time::Duration| u32::try_from(it.as_secs()).unwrap_or(u32::MAX);
    // In MQTT's words, the longest expiry means none at all.
    let seconds_or_never = |it| if seconds(it) == 0 { u32::MAX } else { seconds(it) };
    Settings {
        shards,
        seed: lobby::random_seed(),
        packet_bytes_max: config.limit.packet_bytes,
        receive_maximum: config.session.receive_maximum,
        inflight_max: config.session.inflight_max,
        topic_alias_maximum: config.session.topic_alias_max,
        topic_alias_out_max: config.session.topic_alias_out_max,
        keep_alive_max_seconds: u16::try_from(config.session.keep_alive_max.as_secs())
            .unwrap_or(u16::MAX),
        session_expiry_max_seconds: seconds_or_never(config.session.expiry_max),
        session_expiry_v3_seconds: seconds_or_never(config.session.expiry_v3),
        message_expiry_default_seconds: seconds(config.message.expiry_default),
        message_expiry_max_seconds: seconds(config.message.expiry_max),
        queue_messages_max: config.queue.messages,
        queue_bytes_max: config.queue.bytes,
        overflow: config.queue.overflow.into(),
        retained_count_max: config.limit.retained_messages.div_ceil(u64::from(shards)),
        retained_bytes_max: config.limit.retained_bytes.div_ceil(u64::from(shards)),
        subscriptions_max: config.session.subscriptions_max,
        topic_levels_max: config.limit.topic_levels,
        memory_bytes_max: budget.message_bytes,
        state_bytes_max: budget.state_bytes,
        ..Settings::default()
    }
}

/// How many clients there may be: as configured, and no more than there are descriptors for.
fn connections_max(config: &Config) -> usize {
    let open_files = machine::raise_open_files();
    let others = OTHER_FILES + u64::from(config.limit.pending_connections).min(open_files / 8);
    let possible = open_files.saturating_sub(others).max(1);
    let wanted = u64::from(config.limit.connections);
    if wanted > possible {
        tracing::warn!(wanted, possible, "limit.connections is more than the limit of open files");
    }
    let max = if wanted == 0 { possible } else { wanted.min(possible) };
    usize::try_from(max).unwrap_or(usize::MAX)
}

/// Starts every thread, the lobby last: nobody comes before there is a shard for everybody.
fn spawn(
    shards: Vec<Parts>,
    lobby: Lobby,
    notices: &Sender<Notice>,
) -> io::Result<(JoinHandle<()>, Vec<JoinHandle<()>>)> {
    let mut shard_threads = Vec::new();
    for parts in shards {
        let name = format!("shard-{}", parts.id.0);
        // A shard's state never leaves the thread that it is made on.
        let run = move || ShardThread::new(parts).run();
        shard_threads.push(named(name, notices.clone(), run)?);
    }
    let lobby_thread = named("lobby".to_owned(), notices.clone(), move || lobby.run())?;
    Ok((lobby_thread, shard_threads))
}

fn named(
    name: String,
    notices: Sender<Notice>,
    run: impl FnOnce() -> io::Result<()> + Send + 'static,
) -> io::Result<JoinHandle<()>> {
    let watch = Watch { name: name.clone(), notices, is_well: false };
    thread::Builder::new().name(name).spawn(move || watch.over(run))
}

/// Says that its thread has failed, unless it ended well: also when it panics.
struct Watch {
    name: String,
    notices: Sender<Notice>,
    is_well: bool,
}

impl Watch {
    fn over(mut self, run: impl FnOnce() -> io::Result<()>) {
        match run() {
            Ok(()) => self.is_well = true,
            Err(error) => tracing::error!(thread = self.name, %error, "cannot wait for events"),
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if !self.is_well {
            // Nobody to hear it: the broker's handle is gone.
            drop(self.notices.send(Notice::Failed(std::mem::take(&mut self.name))));
        }
    }
}

/// There are no more partitions than this to be run.
const SHARDS_MAX: u16 = 64;
const MEMORY_BYTES_MIN: u64 = 16 << 20;
/// Descriptors that are no client's: polls, wakers, listeners, standard streams, the reserve.
const OTHER_FILES: u64 = 256;
