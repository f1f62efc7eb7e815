//! Changes as the API and the commands show them.

use truegreen_model::change::{Change, ChangeReport};
use truegreen_model::time::Timestamp;

/// RFC 3339 in UTC.
pub(crate) fn rfc3339(time: Timestamp) -> String {
    let date = jiff::Timestamp::from_nanosecond(i128::from(time.0));
    date.map_or_else(|_| "unknown".to_owned(), |date| date.to_string())
}

pub(crate) fn report(change: &Change) -> ChangeReport {
    ChangeReport {
        id: change.id.clone(),
        at: rfc3339(change.at),
        until: change.until.map(rfc3339),
        kind: change.kind.name().to_owned(),
        title: change.title.clone(),
        service: change.service.clone(),
        instances: change.instances.clone(),
        version: change.version.clone(),
        environment: change.environment.clone(),
        author: change.author.clone(),
        url: change.url.clone(),
        source: change.source.clone(),
        attributes: change.attributes.clone(),
    }
}
