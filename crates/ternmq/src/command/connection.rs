//! What `pub` and `sub` do alike: from the options to a connected client, and its end.

use std::fmt::Display;
use std::time::Duration;

use ternmq_client::{
    Client, ConnectError, ConnectInfo, Disconnect, Options, ReasonCode, Reconnect, State, Version,
    Will,
};
use tokio::runtime::{Builder, Runtime};

use crate::args::ConnectionArgs;
use crate::output::{self, Failure};

/// A client and what it is called in messages.
pub struct Connection<'a> {
    pub client: Client,
    args: &'a ConnectionArgs,
    server: String,
}

impl<'a> Connection<'a> {
    /// A client that is not connected yet. A first attempt that fails is final.
    ///
    /// # Errors
    /// Options that do not fit together.
    pub fn new(args: &'a ConnectionArgs, reconnect: Reconnect) -> Result<Self, Failure> {
        args.check().map_err(Failure::usage)?;
        let options = options(args).reconnect(reconnect.retry_first(false));
        let client = Client::new(options).map_err(Failure::usage)?;
        let (host, port) = args.address();
        let server =
            if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
        Ok(Connection { client, args, server })
    }

    /// # Errors
    /// No connection, or a refusal.
    pub async fn connect(&self) -> Result<ConnectInfo, Failure> {
        let info = self.client.connect().await.map_err(|error| self.cannot_connect(&error))?;
        let session = if info.session_present { "an old" } else { "a new" };
        self.debug(|| {
            format!("connected to {} as {} with {session} session", self.server, info.client_id)
        });
        Ok(info)
    }

    /// Tells of every loss of the connection; returns when there will be no other one.
    pub async fn until_closed(&self) -> Failure {
        let mut states = self.client.watch();
        let mut is_lost = false;
        while let Some(state) = states.changed().await {
            match state {
                State::Waiting { cause, retry_in } => {
                    is_lost = true;
                    let seconds = retry_in.as_secs_f64();
                    self.note(format!(
                        "{}; trying again in {seconds:.1} s",
                        self.at_server(&cause)
                    ));
                }
                State::Closed { cause } => return Failure::run(self.at_server(&cause)),
                State::Connected(_) if std::mem::take(&mut is_lost) => {
                    self.note(format!("connected to {} again", self.server));
                }
                _ => {}
            }
        }
        Failure::run(format!("{}: the connection is closed", self.server))
    }

    /// Says goodbye.
    pub async fn close(&self) {
        let mut disconnect = Disconnect::new();
        for property in self.args.properties.disconnect.as_properties() {
            disconnect = disconnect.property(property);
        }
        match self.client.close_with(disconnect).await {
            Ok(_) => self.debug(|| "disconnected".to_owned()),
            Err(error) => {
                self.note(format!("disconnecting without the given properties: {error}"));
                self.client.close().await;
            }
        }
    }

    /// A note for the person at the terminal.
    pub fn note(&self, text: String) {
        if !self.args.quiet {
            output::note(text);
        }
    }

    /// A note that only `-d` shows.
    pub fn debug(&self, text: impl FnOnce() -> String) {
        if self.args.debug {
            output::note(text());
        }
    }

    fn cannot_connect(&self, error: &ConnectError) -> Failure {
        let hint = match error {
            ConnectError::Refused { code: ReasonCode::UnsupportedProtocolVersion, .. }
                if self.args.version() == Version::V5 =>
            {
                "; the broker does not speak MQTT 5, try -V 311"
            }
            _ => "",
        };
        Failure::run(format!("cannot connect to {}{hint}", self.at_server(error)))
    }

    /// The error behind the server's name, which some errors begin with themselves.
    fn at_server(&self, error: &impl Display) -> String {
        let text = error.to_string();
        if text.starts_with(&self.server) { text } else { format!("{}: {text}", self.server) }
    }
}

/// # Errors
/// The operating system refused it.
pub fn runtime() -> Result<Runtime, Failure> {
    let runtime = Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| Failure::run(format!("cannot start: {error}")))
}

fn options(args: &ConnectionArgs) -> Options {
    let (host, port) = args.address();
    let mut options = Options::new(host, port)
        .version(args.version())
        .client_id(args.client_id())
        .clean_start(!args.disable_clean_session)
        .keep_alive(Duration::from_secs(u64::from(args.keepalive)));
    for property in args.properties.connect.as_properties() {
        options = options.property(property);
    }
    if args.version() == Version::V5 {
        options = options.session_expiry(Duration::from_secs(u64::from(args.session_expiry())));
    }
    if let Some(name) = args.user_name() {
        options = options.user_name(name);
    }
    if let Some(password) = args.password() {
        options = options.password(password);
    }
    match will(args) {
        Some(will) => options.will(will),
        None => options,
    }
}

fn will(args: &ConnectionArgs) -> Option<Will> {
    let topic = args.will.topic.as_deref()?;
    let payload = args.will.payload.as_ref().map_or(&[][..], |it| it.as_encoded_bytes());
    let mut will = Will::new(topic, payload).qos(args.will.qos).retain(args.will.retain);
    will.properties = args.properties.will.clone();
    Some(will)
}
