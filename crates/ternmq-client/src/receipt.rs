//! What an accepted message comes to.

use std::pin::Pin;
use std::task::{Context, Poll};

use ternmq_agent::{Acknowledgement, Lost, PublishId};
use tokio::sync::oneshot;

/// Resolves when a message is finished: at QoS 1 and 2 when the server has acknowledged it, at QoS 0
/// when it was handed to the transport. Dropping it changes nothing for the message.
///
/// It lives over reconnects and never hangs: expiry, a refusal, a lost session and the end of the
/// client resolve it with an error.
///
/// # Cancellation
/// `&mut receipt` may be awaited again after it was interrupted.
///
/// ```no_run
/// # async fn example(client: ternmq_client::Client) {
/// use ternmq_client::{Lost, Publish, Qos};
///
/// let order = Publish::new("order/4711", "open").qos(Qos::ExactlyOnce);
/// let receipt = client.publish(order).await.expect("a valid message");
/// match receipt.await {
///     Ok(acknowledgement) => println!("the server has it: {}", acknowledgement.code),
///     Err(Lost::Refused { code, .. }) => println!("the server does not want it: {code}"),
///     Err(lost) => println!("{lost}"),
/// }
/// # }
/// ```
#[derive(Debug)]
#[must_use = "drop it to say that the result does not matter"]
pub struct Receipt {
    pub(crate) id: PublishId,
    pub(crate) result: oneshot::Receiver<Result<Acknowledgement, Lost>>,
}

impl Receipt {
    /// The name of the message in this client.
    pub fn id(&self) -> PublishId {
        self.id
    }
}

impl Future for Receipt {
    type Output = Result<Acknowledgement, Lost>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let result = Pin::new(&mut self.result).poll(cx);
        // The other end is dropped with the client's state, at the latest.
        result.map(|result| result.unwrap_or(Err(Lost::Closed)))
    }
}
