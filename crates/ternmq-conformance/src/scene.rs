//! What one run of one case works with: the broker's address, a version, names of its own, and
//! the broom that sweeps away retained messages and sessions at the end.

use crate::check::{Check, failed, not_applicable};
use crate::client::Client;
use crate::codec::{Connect, Publish, id};
use crate::version::Version;
use std::cell::RefCell;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// One run of one case.
pub(crate) struct Scene {
    target: SocketAddr,
    pub(crate) version: Version,
    pub(crate) patience: Duration,
    tag: String,
    /// Topics that may hold a retained message now.
    retained: RefCell<Vec<String>>,
    /// Client identifiers that may have a session now.
    sessions: RefCell<Vec<String>>,
}

impl Scene {
    pub(crate) fn new(
        target: SocketAddr,
        version: Version,
        patience: Duration,
        tag: String,
    ) -> Scene {
        let (retained, sessions) = (RefCell::default(), RefCell::default());
        Scene { target, version, patience, tag, retained, sessions }
    }

    /// The broker's address.
    pub(crate) fn target(&self) -> SocketAddr {
        self.target
    }

    /// A client identifier that no other run of a case uses, within the 23 bytes of MQTT 3.1.
    pub(crate) fn id(&self, who: &str) -> String {
        format!("{}{who}", self.tag)
    }

    /// A topic that no other run of a case uses.
    pub(crate) fn topic(&self, rest: &str) -> String {
        format!("{}/{rest}", self.tag)
    }

    /// Like `topic`; a retained message left there is removed at the end.
    pub(crate) fn retained_topic(&self, rest: &str) -> String {
        let topic = self.topic(rest);
        self.retained.borrow_mut().push(topic.clone());
        topic
    }

    /// A network connection and nothing more.
    pub(crate) fn dial(&self) -> Check<Client> {
        match TcpStream::connect_timeout(&self.target, self.patience) {
            Ok(stream) => {
                let _slower_without = stream.set_nodelay(true);
                Ok(Client::new(stream, self.version, self.patience))
            }
            Err(error) => failed(format!("a connection to {}", self.target), error),
        }
    }

    /// A clean CONNECT of this scene's version.
    pub(crate) fn hello(&self, who: &str) -> Connect {
        Connect::new(self.version, self.id(who))
    }

    /// A CONNECT that resumes or creates a session which outlives its connection.
    pub(crate) fn stay(&self, who: &str) -> Connect {
        self.sessions.borrow_mut().push(self.id(who));
        self.hello(who).persistent(300)
    }

    /// Connects with a clean session.
    pub(crate) fn join(&self, who: &str) -> Check<Client> {
        self.join_with(&self.hello(who))
    }

    /// Connects as the CONNECT says, and expects to be accepted.
    pub(crate) fn join_with(&self, connect: &Connect) -> Check<Client> {
        let mut client = self.dial()?;
        client.send_connect(connect);
        client.accepted()?;
        Ok(client)
    }

    /// A publisher that has connected and one subscription that is granted.
    pub(crate) fn pair(&self, filter: &str, options: u8) -> Check<(Client, Client)> {
        let publisher = self.join("pub")?;
        let mut subscriber = self.join("sub")?;
        subscriber.subscribe(filter, options)?;
        Ok((publisher, subscriber))
    }

    /// Lets time pass at the broker, for cases whose subject is expiry, delay or keep alive. A
    /// bystander listens meanwhile: nothing may come to it, and it must be there afterwards.
    pub(crate) fn let_pass(&self, time: Duration) -> Check {
        self.join("bystander")?.quiet(time)
    }

    /// Skips the case if the CONNACK says that the broker lacks a feature.
    pub(crate) fn needs(&self, client: &Client, feature: u8, name: &str) -> Check {
        match client.connack.number(feature) {
            Some(0) => not_applicable(format!("the broker announces that it has no {name}")),
            _ => Ok(()),
        }
    }

    /// Skips the case if the broker keeps no retained messages.
    pub(crate) fn needs_retained(&self, client: &Client) -> Check {
        self.needs(client, id::RETAIN_AVAILABLE, "retained messages")
    }

    /// Removes what this run may have left in the broker. A broker that fails here has failed
    /// the case before.
    pub(crate) fn sweep(&self) {
        for topic in self.retained.take() {
            if let Ok(mut client) = self.join("sweep") {
                let _best_effort = client.publish(&Publish::new(topic, b"", 1).retained());
                let _best_effort = client.leave();
            }
        }
        for client_id in self.sessions.take() {
            if let Ok(mut client) = self.join_with(&Connect::new(self.version, client_id)) {
                let _best_effort = client.leave();
            }
        }
    }
}
