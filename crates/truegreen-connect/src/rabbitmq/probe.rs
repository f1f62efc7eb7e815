//! How it is: whether it lets us in, takes a message and gives it back, and what it tells of its nodes and queues.

use std::time::{SystemTime, UNIX_EPOCH};

use lapin::options::{
    BasicAckOptions, BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions,
    QueueDeleteOptions,
};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel};
use truegreen_model::probe::{Check, Standing};

use super::Rabbitmq;
use super::dial::{Line, name, told};
use super::management::{Node, unknown};
use super::queues::{of_queue, of_watched};
use super::topology::Topology;
use crate::Error;
use crate::config::Limit;
use crate::probe::{failed, within};

const WRITE: &str = "a message through a scratch queue";
/// Delivery mode 2: written to disk.
const PERSISTENT: u8 = 2;

impl Rabbitmq {
    pub(super) async fn checks(&self) -> Vec<Check> {
        let line = match Line::open(&self.config).await {
            Ok(line) => line,
            Err(error) => return vec![failed("connect", &error)],
        };
        // Whoever may log in may not be let into this virtual host's work; a channel is the first that it does for us.
        if let Err(error) = line.channel().await {
            return vec![failed("connect", &error)];
        }
        let mut checks = vec![Check::pass("connect")];
        if let Some(scratch) = &self.config.scratch {
            checks.push(match self.write(&line, scratch).await {
                Ok(()) => Check::pass("write"),
                Err(error) => failed("write", &error),
            });
        }
        checks.extend(self.of_nodes().await);
        checks.extend(self.of_queues(&line).await);
        // The probe was made; a goodbye that is not answered changes nothing of it.
        let _goodbye = line.close().await;
        checks
    }

    /// Publishes with confirm into a queue that is ours alone and goes with the connection, gets and acknowledges.
    async fn write(&self, line: &Line, scratch: &str) -> Result<(), Error> {
        let nanos = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        let queue = format!("{scratch}.{}.{nanos}", std::process::id());
        let channel = line.channel().await?;
        match within(self.config.timeout, WRITE, through(&channel, &queue, nanos.to_string().as_bytes())).await {
            Err(Error::TimedOut { .. }) if line.is_blocked() => {
                let why =
                    "it takes no messages: publishers are blocked by its memory or disk alarm\nhint: see `alarms`";
                Err(Error::Answered(why.to_owned()))
            }
            written => written,
        }
    }

    async fn of_nodes(&self) -> Vec<Check> {
        let nodes = match self.management.nodes().await {
            Ok(nodes) => nodes,
            Err(error) => return vec![unknown("alarms", &error), unknown("cluster", &error)],
        };
        let mut checks = vec![alarms(&nodes), cluster(&nodes)];
        for node in &nodes {
            if let (Some(used), Some(limit)) = (node.mem_used, node.mem_limit.filter(|limit| *limit > 0.0)) {
                let share = used / limit;
                let what =
                    format!("{:.0} % of its memory limit is used; publishers are blocked at 100 %", share * 100.0);
                let check = self.config.judge("memory", Limit { warn: Some(0.8), fail: Some(1.0) }, share, "1", &what);
                checks.push(check.of(format!("node {}", node.name)));
            }
        }
        checks
    }

    async fn of_queues(&self, line: &Line) -> Vec<Check> {
        let topology = match Topology::read(&self.management, &self.config).await {
            Ok(topology) => topology,
            Err(error) => {
                let mut checks = vec![unknown("queues", &error)];
                for queue in &self.config.watch {
                    checks.extend(of_watched(&self.config, line, queue).await);
                }
                return checks;
            }
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        let mut checks = Vec::new();
        for (queue, error) in &topology.failed {
            checks.push(failed("messages", error).of(format!("queue {queue}")));
        }
        for queue in &topology.queues {
            checks.extend(of_queue(&self.config, &topology, queue, now));
        }
        if topology.left_out > 0 {
            let reason = format!("{} more are not looked at\nhint: name under `watch` what matters", topology.left_out);
            checks.push(Check::new("queues", Standing::Unknown, reason));
        }
        checks
    }
}

async fn through(channel: &Channel, queue: &str, body: &[u8]) -> Result<(), Error> {
    let told = |error: lapin::Error| told(&error);
    let queue = name(queue)?;
    channel.confirm_select(ConfirmSelectOptions::default()).await.map_err(told)?;
    let ours = QueueDeclareOptions { exclusive: true, auto_delete: true, ..QueueDeclareOptions::default() };
    channel.queue_declare(queue.clone(), ours, FieldTable::default()).await.map_err(told)?;
    let properties = BasicProperties::default().with_delivery_mode(PERSISTENT);
    let mandatory = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
    let published = channel.basic_publish("".into(), queue.clone(), mandatory, body, properties).await.map_err(told)?;
    let confirmation = published.await.map_err(told)?;
    if !confirmation.is_ack() || confirmation.take_message().is_some() {
        return Err(Error::Answered("it did not confirm a message to a queue that is there".to_owned()));
    }
    let got = channel.basic_get(queue.clone(), BasicGetOptions::default()).await.map_err(told)?;
    let got = got.filter(|got| got.delivery.data == body);
    let got = got.ok_or_else(|| Error::Nonsense("what it confirmed is not in the queue".to_owned()))?;
    channel.basic_ack(got.delivery.delivery_tag, BasicAckOptions::default()).await.map_err(told)?;
    channel.queue_delete(queue, QueueDeleteOptions::default()).await.map_err(told)?;
    Ok(())
}

fn alarms(nodes: &[Node]) -> Check {
    let of = |is_so: fn(&Node) -> bool, what: &str| {
        let names: Vec<&str> = nodes.iter().filter(|node| is_so(node)).map(|node| node.name.as_str()).collect();
        (!names.is_empty()).then(|| format!("{what} on {}", names.join(", ")))
    };
    let memory = of(|node| node.mem_alarm, "memory alarm");
    let disk = of(|node| node.disk_free_alarm, "the disk is too full");
    let why: Vec<String> = memory.into_iter().chain(disk).collect();
    match why.is_empty() {
        true => Check::pass("alarms"),
        false => Check::new("alarms", Standing::Fail, format!("{}: all publishers are blocked", why.join(", and "))),
    }
}

fn cluster(nodes: &[Node]) -> Check {
    let down: Vec<&str> = nodes.iter().filter(|node| !node.running).map(|node| node.name.as_str()).collect();
    if let Some(node) = nodes.iter().find(|node| !node.partitions.is_empty()) {
        let reason = format!("{} lost sight of {}: the cluster is partitioned", node.name, node.partitions.join(", "));
        return Check::new("cluster", Standing::Fail, reason);
    }
    match down.is_empty() {
        true => Check::pass("cluster").observed(nodes.len() as f64, "nodes"),
        false => Check::new("cluster", Standing::Fail, format!("not running: {}", down.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_down_a_partition_and_an_alarm_each_say_so() {
        let node = |name: &str| Node { name: name.to_owned(), running: true, ..Node::default() };
        assert_eq!((alarms(&[node("a")]).standing, cluster(&[node("a")]).standing), (Standing::Pass, Standing::Pass));
        let down = cluster(&[node("a"), Node { running: false, ..node("b") }]);
        assert_eq!(down.reason, "not running: b");
        let split = cluster(&[Node { partitions: vec!["b".into()], ..node("a") }]);
        assert!(split.reason.contains("partitioned"), "{}", split.reason);
        let full = alarms(&[Node { disk_free_alarm: true, ..node("a") }, Node { mem_alarm: true, ..node("b") }]);
        assert_eq!(full.reason, "memory alarm on b, and the disk is too full on a: all publishers are blocked");
    }
}
