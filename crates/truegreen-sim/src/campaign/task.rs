//! One thread of work in one process: spans are opened and closed as its time goes on.

use truegreen_model::flow::SpanKind;

use super::fleet::Service;
use super::record::{Attributes, Context, Log, Span, Value};
use super::services::{Reply, Request};
use super::system::System;

/// Work at hand. Its time runs ahead of the world's: what it does then has not happened yet.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Task {
    /// Who does it.
    pub instance: usize,
    /// In which trace.
    pub trace: u128,
    /// The span it is in; 0 for none.
    pub parent: u64,
    /// How far it got; infinite where it never ends.
    pub now: f64,
}

/// A span that has not ended.
#[derive(Clone, PartialEq, Debug)]
pub struct Open {
    /// Where it stands.
    pub context: Context,
    parent: u64,
    /// What it was caused by in another trace.
    pub link: Option<Context>,
    kind: SpanKind,
    name: &'static str,
    start: f64,
    /// Whether it failed.
    pub error: bool,
    attributes: Attributes,
}

impl Open {
    /// One more attribute.
    pub fn put(&mut self, name: &'static str, value: impl Into<Value>) {
        self.attributes.push((name, value.into()));
    }

    /// It failed, by this `error.type`.
    pub fn fail(&mut self, error: &'static str) {
        self.error = true;
        self.put("error.type", error);
    }
}

/// What a server answers to, and how.
#[derive(Clone, Copy, Debug)]
pub struct Endpoint {
    /// Who serves it.
    pub service: Service,
    /// `http.request.method`.
    pub method: &'static str,
    /// `http.route`.
    pub route: &'static str,
    /// Name of the server's span.
    pub name: &'static str,
    /// Seconds for which callers wait.
    pub timeout: f64,
    /// What it does.
    pub serve: fn(&mut System, &mut Task, &Request, &mut Open) -> Reply,
}

/// A database statement.
#[derive(Clone, Copy, Debug)]
pub struct Statement {
    /// Name of the span: verb and table.
    pub name: &'static str,
    /// `db.operation.name`.
    pub verb: &'static str,
    /// `db.collection.name`.
    pub table: &'static str,
    /// `db.namespace`.
    pub database: &'static str,
    /// Rows changed or returned.
    pub rows: i64,
    /// `error.type`, where it fails.
    pub error: Option<&'static str>,
}

impl Statement {
    /// One that goes well and changes or returns one row.
    pub const fn new(name: &'static str, verb: &'static str, table: &'static str, database: &'static str) -> Statement {
        Statement { name, verb, table, database, rows: 1, error: None }
    }
}

impl System {
    /// A span begins, below the one that the task is in.
    pub fn open(&mut self, task: &mut Task, kind: SpanKind, name: &'static str) -> Open {
        let context = Context { trace: task.trace, span: self.rng.u64(1..) };
        let parent = std::mem::replace(&mut task.parent, context.span);
        let attributes = Vec::with_capacity(8);
        Open { context, parent, link: None, kind, name, start: task.now, error: false, attributes }
    }

    /// It ends; it is told only if its process still lives then.
    pub fn close(&mut self, task: &mut Task, open: Open) {
        task.parent = open.parent;
        let instance = task.instance;
        if !self.is_alive(task) {
            return;
        }
        let (start, end) = (self.fleet.shows(instance, open.start), self.fleet.shows(instance, task.now));
        let Open { context, parent, link, kind, name, error, attributes, .. } = open;
        let ended = task.now;
        let span = Span { context, parent, link, name, kind, start, end, ended, error, attributes };
        self.fleet.instances[instance].exporter.span(span);
    }

    /// Whether the task's process still runs, and the task goes on.
    pub fn is_alive(&self, task: &Task) -> bool {
        task.now.is_finite() && task.now <= self.fleet.instances[task.instance].until
    }

    /// Time passes: around so many seconds, seldom much more.
    pub fn work(&mut self, task: &mut Task, around: f64) {
        let spread = 0.6 + 0.6 * self.rng.f64() + 0.2 * -(1.0 - self.rng.f64()).ln();
        task.now += around * spread;
    }

    /// A log record, in the span that the task is in.
    pub fn log(&mut self, task: &Task, name: &'static str, severity: u8, attributes: Attributes) {
        if self.is_alive(task) {
            let context = Context { trace: task.trace, span: task.parent };
            let at = self.fleet.shows(task.instance, task.now);
            let log = Log { at, written: task.now, context, name, severity, attributes };
            self.fleet.instances[task.instance].exporter.log(log);
        }
    }

    /// A database does something, or fails to; `more` says what of it else.
    pub fn query(&mut self, task: &mut Task, statement: Statement, around: f64, more: Attributes) {
        let mut span = self.open(task, SpanKind::Client, statement.name);
        span.put("db.system.name", "postgresql");
        span.put("db.namespace", statement.database);
        span.put("db.operation.name", statement.verb);
        span.put("db.collection.name", statement.table);
        span.put("server.address", "postgres");
        self.work(task, around);
        match statement.error {
            Some(error) => span.fail(error),
            None if statement.verb == "SELECT" => span.put("db.response.returned_rows", statement.rows),
            None => span.put("db.response.affected_rows", statement.rows),
        }
        span.attributes.extend(more);
        self.close(task, span);
    }

    /// Somebody outside is asked, who sends no telemetry; some calls fail at first and are tried again.
    pub fn ask_outside(&mut self, task: &mut Task, host: &'static str, around: f64) {
        for resend in 0..3 {
            let fails = resend < 2 && self.rng.f64() < self.noise.retried;
            let mut span = self.open(task, SpanKind::Client, "POST");
            span.put("http.request.method", "POST");
            span.put("server.address", host);
            span.put("server.port", 443);
            if resend > 0 {
                span.put("http.request.resend_count", resend);
            }
            self.work(task, around);
            span.put("http.response.status_code", if fails { 503 } else { 200 });
            if fails {
                span.fail("503");
            }
            self.close(task, span);
            if !fails {
                return;
            }
            self.work(task, 0.05);
        }
    }

    /// Another service is asked; where the connection breaks, once more.
    pub fn call(&mut self, task: &mut Task, endpoint: &Endpoint, request: &Request) -> Reply {
        let reply = self.attempt(task, endpoint, request, 0);
        if matches!(reply.error, Some("ECONNRESET" | "ECONNREFUSED")) {
            self.work(task, 0.05);
            return self.attempt(task, endpoint, request, 1);
        }
        reply
    }

    fn attempt(&mut self, task: &mut Task, endpoint: &Endpoint, request: &Request, resend: i64) -> Reply {
        let mut span = self.open(task, SpanKind::Client, endpoint.method);
        span.put("http.request.method", endpoint.method);
        span.put("server.address", endpoint.service.name());
        span.put("server.port", 8080);
        span.put("url.template", endpoint.route);
        if resend > 0 {
            span.put("http.request.resend_count", resend);
        }
        let sent = task.now;
        let mut reply = Reply::failed("ECONNREFUSED");
        task.now += 0.001;
        if let Some(instance) = self.fleet.pick(endpoint.service, sent) {
            let hop = 0.0004 + 0.0012 * self.rng.f64();
            let mut served = Task { instance, now: sent + hop, ..*task };
            let answered = self.serve(&mut served, endpoint, request);
            let until = self.fleet.instances[instance].until;
            let is_cut = served.now > until;
            reply = if is_cut { Reply::failed("ECONNRESET") } else { answered };
            task.now = served.now.min(until) + hop;
        }
        if task.now > sent + endpoint.timeout {
            task.now = sent + endpoint.timeout;
            reply = Reply::failed("timeout");
        }
        if reply.status > 0 {
            span.put("http.response.status_code", reply.status);
        }
        let is_told = !(reply.error == Some("timeout") && self.is_mute(endpoint));
        if let Some(error) = reply.client_error().filter(|_| is_told) {
            span.fail(error);
        }
        self.close(task, span);
        reply
    }

    /// A server answers.
    pub fn serve(&mut self, task: &mut Task, endpoint: &Endpoint, request: &Request) -> Reply {
        let mut span = self.open(task, SpanKind::Server, endpoint.name);
        span.put("http.request.method", endpoint.method);
        span.put("http.route", endpoint.route);
        span.put("url.scheme", "http");
        let start = task.now;
        self.work(task, 0.001);
        let reply = (endpoint.serve)(self, task, request, &mut span);
        span.put("http.response.status_code", reply.status);
        if reply.status >= 500 {
            span.fail(reply.error.unwrap_or("500"));
        }
        self.close(task, span);
        let of_instance = &mut self.fleet.instances[task.instance];
        of_instance.meters.served((endpoint.method, endpoint.route), reply.status, start, task.now);
        reply
    }
}
