//! Which attributes may name a case or explain what becomes of it, by their names alone.

/// Attributes that may be a key, by their name; whether one is, its values decide.
pub(super) fn may_name(name: &str) -> bool {
    let last = name.rsplit(['.', '_']).next().unwrap_or(name);
    let is_id = matches!(last, "id" | "key" | "number" | "uuid" | "guid" | "ref" | "reference")
        || last.ends_with("Id")
        || last.ends_with("ID")
        || last.ends_with("Number");
    is_id && !technical(name)
}

fn technical(name: &str) -> bool {
    const OF_THE_MACHINE: [&str; 20] = [
        "messaging.",
        "thread",
        "process.",
        "net.",
        "network.",
        "server.",
        "client.",
        "otel.",
        "telemetry.",
        "span",
        "trace",
        "host.",
        "container.",
        "k8s.",
        "cloud.",
        "db.",
        "rpc.",
        "code.",
        "cache.",
        "session.",
    ];
    OF_THE_MACHINE.iter().any(|start| name.starts_with(start))
}

/// What an instance, an address or a place in the code is called explains no exception.
pub(super) fn may_explain(name: &str) -> bool {
    const NEVER: [&str; 13] = [
        "thread.",
        "net.",
        "network.",
        "client.",
        "otel.",
        "telemetry.",
        "code.",
        "host.",
        "process.",
        "url.full",
        "http.url",
        "exception.",
        "db.statement",
    ];
    !NEVER.iter().any(|start| name.starts_with(start))
}
