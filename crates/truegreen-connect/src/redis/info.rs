//! What `INFO` tells.

use std::collections::BTreeMap;

use super::dial::Connection;
use crate::Error;

/// Replicas that one primary tells of.
const MAX_REPLICAS: usize = 100;

/// The fields of `INFO`, of all its sections.
pub(super) struct Info(BTreeMap<String, String>);

/// A replica, as its primary sees it.
#[derive(Debug, PartialEq)]
pub(super) struct Replica {
    pub(super) name: String,
    pub(super) is_online: bool,
    /// Seconds since it last said how far it is.
    pub(super) lag: f64,
}

impl Info {
    pub(super) async fn read(connection: &mut Connection) -> Result<Info, Error> {
        let text: String = connection.ask("INFO", &redis::cmd("INFO")).await?;
        Ok(Info::parse(&text))
    }

    pub(super) fn parse(text: &str) -> Info {
        let fields = text.lines().filter_map(|line| line.trim_end().split_once(':'));
        Info(fields.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    pub(super) fn number(&self, name: &str) -> Option<f64> {
        self.text(name)?.parse().ok().filter(|number: &f64| number.is_finite())
    }

    pub(super) fn is(&self, name: &str, value: &str) -> bool {
        self.text(name) == Some(value)
    }

    pub(super) fn is_replica(&self) -> bool {
        self.is("role", "slave")
    }

    /// Seconds that a replica may be behind its primary, as far as it can tell itself.
    pub(super) fn behind(&self) -> Option<f64> {
        if !self.is_replica() {
            return Some(0.0);
        }
        match self.is("master_link_status", "up") {
            true => self.number("master_last_io_seconds_ago"),
            // Below 0 it was never connected.
            false => self.number("master_link_down_since_seconds").filter(|seconds| *seconds >= 0.0),
        }
    }

    /// `slave0:ip=10.0.0.2,port=6379,state=online,offset=14,lag=1`, and so on.
    pub(super) fn replicas(&self) -> Vec<Replica> {
        let lines = (0..MAX_REPLICAS).map_while(|n| self.text(&format!("slave{n}")));
        let replica = |line: &str| {
            let fields: BTreeMap<&str, &str> = line.split(',').filter_map(|field| field.split_once('=')).collect();
            let of = |name: &str| fields.get(name).copied().unwrap_or_default();
            Replica {
                name: format!("{}:{}", of("ip"), of("port")),
                is_online: of("state") == "online",
                lag: of("lag").parse().unwrap_or_default(),
            }
        };
        lines.map(replica).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replica_knows_how_far_behind_it_may_be() {
        let up =
            Info::parse("# Replication\r\nrole:slave\r\nmaster_link_status:up\r\nmaster_last_io_seconds_ago:3\r\n");
        assert_eq!(up.behind(), Some(3.0));
        let never = Info::parse("role:slave\r\nmaster_link_status:down\r\nmaster_link_down_since_seconds:-1\r\n");
        assert_eq!(never.behind(), None);
        let primary = Info::parse("role:master\nslave0:ip=::1,port=6,state=online,offset=1,lag=1\nslave1:nonsense");
        assert_eq!(primary.behind(), Some(0.0));
        assert_eq!(primary.replicas()[0], Replica { name: "::1:6".into(), is_online: true, lag: 1.0 });
        assert!(!primary.replicas()[1].is_online);
    }
}
