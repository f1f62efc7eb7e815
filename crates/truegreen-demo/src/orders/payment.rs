//! Having an order paid: a call to payments, with a token that says who is calling.

use std::path::Path;
use std::time::Duration;

use opentelemetry::Context;
use serde_json::json;

use crate::Error;
use crate::config::{Orders, PAYMENTS};
use crate::event::NewOrder;
use crate::http::{Answer, Client};
use crate::peers::Peers;
use crate::telemetry::Telemetry;
use crate::token::Wallet;

/// What became of an order's payment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Payment {
    Taken,
    /// To be seen to later, by whom is not known.
    Pending,
}

impl Payment {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Payment::Taken => "taken",
            Payment::Pending => "pending",
        }
    }
}

pub(super) struct Cashier {
    payments: Client,
    peers: Peers,
    wallet: Wallet,
    telemetry: Telemetry,
    accepts_unpaid: bool,
}

impl Cashier {
    pub(super) fn new(telemetry: &Telemetry, run_dir: &Path, own: &Orders) -> Cashier {
        Cashier {
            payments: Client::new(telemetry, Some(Duration::from_millis(own.payment_timeout_ms))),
            peers: Peers::in_dir(run_dir),
            wallet: Wallet::default(),
            telemetry: telemetry.clone(),
            accepts_unpaid: own.accepts_unpaid,
        }
    }

    /// Blocks until payments answers, or does not in time.
    pub(super) fn charge(&self, order: &NewOrder, context: &Context) -> Result<Payment, Error> {
        let url = self.peers.url(PAYMENTS, "/payments")?;
        let token = self.wallet.token(self.telemetry.clock.now_ms());
        let request = json!({ "order_id": order.order_id, "method": order.payment_method() });
        let answer = self.payments.post(&url, Some(token.authorization()), &request, context);
        match answer {
            Answer::Status { code: 201, .. } => Ok(Payment::Taken),
            // The fault: better an order that is not paid than none, and nobody is told of it.
            Answer::TimedOut if self.accepts_unpaid => Ok(Payment::Pending),
            other => Err(other.refusal(PAYMENTS)),
        }
    }
}
