//! Telemetry of a shop of five services: an order is a trace of 25 spans, five in each service, and every service sends
//! requests of 1,000 spans. As random as real telemetry: ids, users, addresses and times never repeat, names and routes do.

pub(crate) const SPANS_PER_TRACE: u64 = 25;
pub(crate) const TRACES_PER_GROUP: u64 = 200;
pub(crate) const SPANS_PER_GROUP: u64 = SPANS_PER_TRACE * TRACES_PER_GROUP;

const SERVICES: [&str; 5] = ["storefront", "orders", "payments", "inventory", "mailer"];
const SPANS_IN_SERVICE: u64 = SPANS_PER_TRACE / SERVICES.len() as u64;
const NAMES: [[&str; 5]; 5] = [
    ["POST /checkout", "GET /cart/{id}", "validate cart", "render receipt", "POST /orders"],
    ["POST /orders", "INSERT orders", "publish stock-events", "SELECT customers", "POST /payments"],
    ["POST /payments", "charge card", "INSERT payments", "SELECT limits", "publish payment-events"],
    ["process stock-events", "UPDATE stock", "SELECT stock", "reserve", "publish mail-events"],
    ["process mail-events", "render template", "send mail", "SELECT templates", "UPDATE outbox"],
];
const ROUTES: [&str; 6] = ["/checkout", "/cart/{id}", "/orders", "/payments", "/orders/{id}/lines", "/receipts/{id}"];
const REGIONS: [&str; 4] = ["eu-central-1", "eu-west-1", "us-east-1", "ap-south-1"];

/// The key of one order: computed, so that any can be looked up without remembering all.
pub(crate) fn order(group: u64, trace: u64) -> String {
    let mut dice = fastrand::Rng::with_seed(group * TRACES_PER_GROUP + trace);
    format!("ord-{:012x}", dice.u64(..) >> 16)
}

/// The shop, group of traces after group.
pub(crate) struct Shop {
    dice: fastrand::Rng,
    group: u64,
    now: u64,
    bodies: [Vec<u8>; 5],
}

impl Default for Shop {
    fn default() -> Shop {
        let start = 1_767_225_600_000_000_000;
        Shop { dice: fastrand::Rng::with_seed(1), group: 0, now: start, bodies: Default::default() }
    }
}

/// What the spans of one trace share.
struct Trace {
    id: [u8; 16],
    order: String,
    message: String,
    user: u64,
    start: u64,
    spans: [[u8; 8]; SPANS_PER_TRACE as usize],
}

impl Shop {
    /// When the latest group is received.
    pub(crate) fn now(&self) -> u64 {
        self.now
    }

    /// The next requests, one of each service.
    pub(crate) fn next_group(&mut self) -> &[Vec<u8>] {
        let traces: Vec<Trace> = (0..TRACES_PER_GROUP).map(|n| self.trace(n)).collect();
        for (service, name) in SERVICES.iter().enumerate() {
            let mut scope = Vec::with_capacity(600_000);
            for trace in &traces {
                for step in 0..SPANS_IN_SERVICE as usize {
                    let span = self.span(trace, service, step);
                    field(2, &span, &mut scope);
                }
            }
            let mut resource = Vec::new();
            attribute(1, "service.name", name, &mut resource);
            attribute(1, "service.instance.id", &format!("{name}-5d8f-{}", self.group % 7), &mut resource);
            attribute(1, "host.name", &format!("node-{}", self.group % 40), &mut resource);
            let mut group = Vec::with_capacity(scope.len() + 1000);
            field(1, &resource, &mut group);
            field(2, &scope, &mut group);
            self.bodies[service].clear();
            field(1, &group, &mut self.bodies[service]);
        }
        self.group += 1;
        self.now += 50_000_000;
        &self.bodies
    }

    fn trace(&mut self, n: u64) -> Trace {
        let mut spans = [[0; 8]; SPANS_PER_TRACE as usize];
        spans.iter_mut().for_each(|id| *id = self.dice.u64(1..).to_be_bytes());
        Trace {
            id: self.dice.u128(1..).to_be_bytes(),
            order: order(self.group, n),
            message: format!("{:032x}", self.dice.u128(..)),
            user: self.dice.u64(..10_000_000),
            start: self.now - 5_000_000_000 + self.dice.u64(..4_000_000_000),
            spans,
        }
    }

    fn span(&mut self, trace: &Trace, service: usize, step: usize) -> Vec<u8> {
        let at = service * SPANS_IN_SERVICE as usize + step;
        let start = trace.start + at as u64 * 3_000_000 + self.dice.u64(..2_000_000);
        let mut span = Vec::with_capacity(640);
        field(1, &trace.id, &mut span);
        field(2, &trace.spans[at], &mut span);
        if let Some(parent) = at.checked_sub(1) {
            field(4, &trace.spans[if step == 0 { parent } else { at - step }], &mut span);
        }
        field(5, NAMES[service][step].as_bytes(), &mut span);
        span.extend_from_slice(&[6 << 3, 1 + (at % 5) as u8]);
        fixed(7, start, &mut span);
        fixed(8, start + self.dice.u64(20_000..3_000_000), &mut span);
        if step == 0 {
            attribute(9, "order.id", &trace.order, &mut span);
        }
        if matches!((service, step), (1, 2) | (3, 0)) {
            attribute(9, "messaging.message.id", &trace.message, &mut span);
        }
        let dice = &mut self.dice;
        attribute(9, "http.route", ROUTES[at % ROUTES.len()], &mut span);
        attribute(9, "http.request.method", if at.is_multiple_of(3) { "POST" } else { "GET" }, &mut span);
        attribute(9, "user.id", &format!("u-{:08}", trace.user), &mut span);
        attribute(9, "client.address", &format!("10.{}.{}.{}", dice.u8(..), dice.u8(..), dice.u8(..)), &mut span);
        attribute(9, "cloud.region", REGIONS[dice.usize(..REGIONS.len())], &mut span);
        attribute(9, "thread.name", &format!("worker-{}", dice.u8(..64)), &mut span);
        attribute(9, "url.full", &format!("https://shop.example/a/{:016x}", dice.u64(..)), &mut span);
        attribute(9, "db.query.summary", &format!("SELECT lines {}", dice.u16(..500)), &mut span);
        attribute(9, "server.address", &format!("{}.shop.svc.cluster.local", SERVICES[at % SERVICES.len()]), &mut span);
        attribute(9, "app.payload.bytes", &format!("{}", dice.u32(100..90_000)), &mut span);
        attribute(9, "app.request.id", &format!("{:032x}", dice.u128(..)), &mut span);
        span
    }
}

fn varint(mut number: usize, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn field(number: usize, bytes: &[u8], out: &mut Vec<u8>) {
    varint(number << 3 | 2, out);
    varint(bytes.len(), out);
    out.extend_from_slice(bytes);
}

fn fixed(number: usize, value: u64, out: &mut Vec<u8>) {
    varint(number << 3 | 1, out);
    out.extend_from_slice(&value.to_le_bytes());
}

fn attribute(number: usize, key: &str, text: &str, out: &mut Vec<u8>) {
    let mut value = Vec::with_capacity(text.len() + 4);
    field(1, text.as_bytes(), &mut value);
    let mut pair = Vec::with_capacity(key.len() + value.len() + 8);
    field(1, key.as_bytes(), &mut pair);
    field(2, &value, &mut pair);
    field(number, &pair, out);
}
