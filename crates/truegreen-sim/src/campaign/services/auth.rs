//! Checks tokens against its own clock.

use super::{Reply, Request};
use crate::campaign::fleet::Service;
use crate::campaign::system::System;
use crate::campaign::task::{Endpoint, Open, Task};

/// Seconds for which a token is good.
const LIFE: f64 = 60.0;
/// Seconds by which clocks may differ.
const LEEWAY: f64 = 1.0;

/// Is this token good?
pub(super) const VERIFY: Endpoint = Endpoint {
    service: Service::Auth,
    method: "POST",
    route: "/verify",
    name: "POST /verify",
    timeout: 2.0,
    serve: verify,
};

fn verify(system: &mut System, task: &mut Task, request: &Request, span: &mut Open) -> Reply {
    system.work(task, 0.002);
    let shows = system.fleet.shows(task.instance, task.now);
    let refused = if shows + LEEWAY < request.token {
        "not_yet_valid"
    } else if shows - LEEWAY > request.token + LIFE {
        "expired"
    } else {
        return Reply::status(200);
    };
    span.put("error.type", refused);
    system.log(task, "auth.token.rejected", 13, vec![("reason", refused.into())]);
    Reply { status: 401, error: Some(refused) }
}
