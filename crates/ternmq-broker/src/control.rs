//! The handle on a running broker.

use std::io;
use std::net::SocketAddr;

use mio::net::TcpListener;

use crate::config::Config;
use crate::error::{RunError, StartError};
use crate::stream::tcp;

/// A running broker. Dropping it does not stop it: call [`Broker::shutdown`].
#[derive(Debug)]
pub struct Broker {
    listeners: Vec<TcpListener>,
}

impl Broker {
    /// Opens the listeners and starts the threads.
    ///
    /// # Errors
    /// A listener that cannot be opened, or a system that refuses threads or descriptors.
    pub fn start(config: Config) -> Result<Broker, StartError> {
        for listener in &config.listeners {
            let url = &listener.url;
            tcp::listen(&url.host, url.port)
                .map_err(|error| StartError::Listen { url: url.to_string(), error })?;
        }
        let what = "run sessions";
        Err(StartError::System { what, error: io::ErrorKind::Unsupported.into() })
    }

    /// Where it listens, with the ports that were picked.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.listeners.iter().filter_map(|it| it.local_addr().ok()).collect()
    }

    /// `ready tcp://127.0.0.1:1883 ...`: what the binary prints when clients may come.
    pub fn ready_line(&self) -> String {
        self.addresses().iter().fold("ready".to_owned(), |line, it| format!("{line} tcp://{it}"))
    }

    /// Runs until SIGTERM or SIGINT, then shuts down in an orderly way.
    ///
    /// # Errors
    /// When the broker fails by itself.
    pub fn run_until_signal(self) -> Result<(), RunError> {
        Ok(())
    }
}
