//! Nice to have, and not always there.

use super::{Reply, Request};
use crate::campaign::fleet::Service;
use crate::campaign::system::System;
use crate::campaign::task::{Endpoint, Open, Task};

/// What others bought.
pub(super) const RECOMMEND: Endpoint = Endpoint {
    service: Service::Recommendations,
    method: "GET",
    route: "/recommendations/{sku}",
    name: "GET /recommendations/{sku}",
    timeout: 0.5,
    serve: recommend,
};

fn recommend(system: &mut System, task: &mut Task, _: &Request, _: &mut Open) -> Reply {
    system.work(task, 0.008);
    if system.rng.f64() < system.noise.fallbacks {
        return Reply { status: 503, error: Some("503") };
    }
    Reply::status(200)
}
