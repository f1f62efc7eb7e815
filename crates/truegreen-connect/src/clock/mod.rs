//! How far our clock is off, by SNTP (RFC 4330): the median of three answers, and by how much it may be wrong. Whoever
//! judges deadlines by the time of receipt must know that its own clock is right.

mod packet;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use tokio::net::UdpSocket;
use truegreen_model::probe::{Check, Standing};

use crate::config::Limit;
use crate::probe::{failed, within};
use crate::system::Ask;
use crate::{Error, SystemConfig, socket};
use packet::{Answer, LENGTH, Sample, Stamp};

const USUAL_PORT: u16 = 123;
const QUESTIONS: u32 = 3;
/// Datagrams that are no answer to our question, after which we wait no longer for one that is.
const MAX_STRAYS: usize = 16;
/// From where on our clock warns, and fails. Deadlines are judged by it.
const USUAL: Limit = Limit::new(0.25, 1.0);

/// A time server.
pub struct Clock {
    config: Arc<SystemConfig>,
}

impl Clock {
    /// Asks nothing yet.
    ///
    /// # Errors
    /// None: what an address must have it has.
    pub fn new(config: Arc<SystemConfig>) -> Result<Clock, Error> {
        Ok(Clock { config })
    }

    async fn connect(&self) -> Result<UdpSocket, Error> {
        let (host, port) = socket::host_and_port(&self.config.address, USUAL_PORT);
        let found = tokio::net::lookup_host((host.as_str(), port)).await;
        let found = found.map_err(|error| Error::Unreachable(error.to_string()))?;
        let mut last = Error::Unreachable("its name leads nowhere".to_owned());
        // A name may lead to addresses of a protocol that this machine does not speak.
        for to in found {
            match open(to).await {
                Ok(socket) => return Ok(socket),
                Err(error) => last = socket::why(&error),
            }
        }
        Err(last)
    }

    /// Asks so often, one after the other. What was told counts, even where one answer was lost on its way.
    async fn samples(&self) -> Result<Vec<Answer>, Error> {
        let socket = within(self.config.timeout, "the look-up of its name", self.connect()).await?;
        let limit = self.config.timeout / QUESTIONS;
        let mut answers = Vec::new();
        let mut last = None;
        for _ in 0..QUESTIONS {
            match within(limit, "what time it is", ask(&socket)).await {
                // A server that wants to be left alone is.
                Ok(answer @ Answer::Nothing(_)) => return Ok(vec![answer]),
                Ok(answer) => answers.push(answer),
                Err(error) => last = Some(error),
            }
        }
        match last {
            Some(error) if answers.is_empty() => Err(error),
            _ => Ok(answers),
        }
    }
}

async fn open(to: SocketAddr) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind(if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" }).await?;
    socket.connect(to).await?;
    Ok(socket)
}

async fn ask(socket: &UdpSocket) -> Result<Answer, Error> {
    let nonce = nonce();
    let mut datagram = [0; 512];
    let (began, sent_at) = (Instant::now(), wall_clock());
    socket.send(&packet::question(nonce)).await.map_err(|error| socket::why(&error))?;
    for _ in 0..MAX_STRAYS {
        let length = socket.recv(&mut datagram).await.map_err(|error| socket::why(&error))?;
        // The clock may be set in between; how long it took is measured by one that never is.
        let back = sent_at.after(began.elapsed());
        let Some(datagram) = datagram.get(..length.min(LENGTH)) else { continue };
        match packet::read(datagram, nonce, sent_at, back) {
            Ok(Some(answer)) => return Ok(answer),
            Ok(None) => {}
            Err(nonsense) => return Err(Error::Nonsense(nonsense)),
        }
    }
    Err(Error::Nonsense(format!("{MAX_STRAYS} datagrams came, none of them an answer to our question")))
}

/// Not to be guessed by whoever cannot read what we sent.
fn nonce() -> u64 {
    use std::hash::{BuildHasher, Hasher, RandomState};
    RandomState::new().build_hasher().finish()
}

fn wall_clock() -> Stamp {
    Stamp::since_unix_epoch(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO))
}

#[async_trait]
impl Ask for Clock {
    async fn probe(&self) -> Vec<Check> {
        match self.samples().await {
            Ok(answers) => vec![judge(&answers, self.config.limits.get("offset").copied().unwrap_or(USUAL))],
            Err(error) => vec![failed("offset", &error)],
        }
    }
}

/// The median of what was told, held against the limit with its error taken off.
fn judge(answers: &[Answer], limit: Limit) -> Check {
    let nothing = answers.iter().find_map(|answer| match answer {
        Answer::Nothing(why) => Some(why),
        Answer::Time(_) => None,
    });
    if let Some(why) = nothing {
        return Check::new("offset", Standing::Unknown, format!("it tells no time: {why}"));
    }
    let mut samples: Vec<Sample> = answers
        .iter()
        .filter_map(|answer| match answer {
            Answer::Time(sample) => Some(*sample),
            Answer::Nothing(_) => None,
        })
        .collect();
    samples.sort_by(|a, b| a.offset.total_cmp(&b.offset));
    let Some(Sample { offset, error }) = samples.get(samples.len() / 2).copied() else {
        return Check::new("offset", Standing::Unknown, "it told nothing");
    };
    let direction = if offset < 0.0 { "ahead" } else { "behind" };
    let what = format!("our clock is {:.3} s {direction}, give or take {error:.3} s", offset.abs());
    let surely = |bound: Option<f64>| bound.filter(|bound| offset.abs() - error >= *bound);
    let perhaps = |bound: Option<f64>| bound.filter(|bound| offset.abs() + error >= *bound);
    let (standing, reason) = match (surely(limit.fail), surely(limit.warn), perhaps(limit.warn.or(limit.fail))) {
        (Some(bound), ..) => (Standing::Fail, format!("{what}; fails from {bound} s on")),
        (_, Some(bound), _) => (Standing::Warn, format!("{what}; warns from {bound} s on")),
        (_, _, Some(bound)) => {
            let hint = "hint: ask a time server that is nearer";
            (Standing::Unknown, format!("{what}, so whether that is {bound} s cannot be told\n{hint}"))
        }
        _ => (Standing::Pass, what),
    };
    Check::new("offset", standing, reason).observed(offset, "s")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(offsets: &[(f64, f64)]) -> Check {
        let answers: Vec<Answer> =
            offsets.iter().map(|(offset, error)| Answer::Time(Sample { offset: *offset, error: *error })).collect();
        judge(&answers, USUAL)
    }

    #[test]
    fn the_median_decides_and_says_which_way() {
        let check = told(&[(9.0, 0.01), (0.010, 0.02), (0.012, 0.01)]);
        assert_eq!(check.standing, Standing::Pass);
        assert_eq!(check.reason, "our clock is 0.012 s behind, give or take 0.010 s");
        assert_eq!(
            told(&[(-0.5, 0.1)]).reason,
            "our clock is 0.500 s ahead, give or take 0.100 s; warns from 0.25 s on"
        );
        assert_eq!(told(&[(-3.0, 0.1)]).standing, Standing::Fail);
    }

    #[test]
    fn what_is_within_the_error_cannot_be_told() {
        let check = told(&[(0.1, 0.4)]);
        assert_eq!(check.standing, Standing::Unknown);
        assert!(check.reason.contains("cannot be told\nhint:"), "{}", check.reason);
    }

    #[test]
    fn a_server_that_tells_no_time_is_no_pass() {
        let check = judge(&[Answer::Nothing("it is not synchronised itself".to_owned())], USUAL);
        assert_eq!((check.standing, check.observed), (Standing::Unknown, None));
        assert_eq!(judge(&[], USUAL).standing, Standing::Unknown);
    }
}
