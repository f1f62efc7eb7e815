//! What a stack trace says to somebody on call: the type of the error, and the first frame of their own code.

/// Of a stack trace, more is not looked at.
const MAX_STACK_BYTES: usize = 256 << 10;
/// The longest frame that is told.
const MAX_FRAME_CHARS: usize = 200;

/// Packages and folders that belong to languages, their libraries and common frameworks.
const LIBRARY_NAMES: &[&str] = &[
    "java.",
    "javax.",
    "jdk.",
    "sun.",
    "com.sun.",
    "jakarta.",
    "kotlin.",
    "kotlinx.",
    "scala.",
    "clojure.",
    "groovy.",
    "org.springframework.",
    "org.apache.",
    "org.hibernate.",
    "com.fasterxml.",
    "io.netty.",
    "io.vertx.",
    "io.quarkus.",
    "io.micronaut.",
    "io.projectreactor.",
    "reactor.",
    "com.rabbitmq.",
    "org.postgresql.",
    "com.mysql.",
    "com.zaxxer.",
    "com.google.",
    "org.aopalliance.",
    "org.jboss.",
    "ch.qos.",
    "org.slf4j.",
    "io.opentelemetry.",
    "net.bytebuddy.",
    "System.",
    "Microsoft.",
    "MassTransit.",
    "NServiceBus.",
    "GreenPipes.",
    "Newtonsoft.",
    "RabbitMQ.",
    "Confluent.",
    "Npgsql.",
    "StackExchange.",
    "Castle.",
    "Autofac.",
    "Polly.",
    "MediatR.",
    "runtime.",
    "runtime/",
    "reflect.",
    "net/http.",
    "database/sql.",
    "encoding/",
    "testing.",
    "std::",
    "core::",
    "alloc::",
    "tokio::",
    "rust_begin_unwind",
];
const LIBRARY_FOLDERS: &[&str] = &[
    "/node_modules/",
    "node:internal",
    "internal/process",
    "/site-packages/",
    "/dist-packages/",
    "/lib/python",
    "<frozen ",
    "/usr/lib/",
    "/usr/local/go/",
    "/go/pkg/mod/",
    "/vendor/",
    "/gems/",
    "/lib/ruby/",
    "/rustc/",
    "/.cargo/registry/",
    "<anonymous>",
];

/// The first frame that is no library's, as the language writes it; empty where there is none. Reads the stacks of Java
/// and its kin, .NET, Python, JavaScript, Go, PHP, Ruby and Rust.
pub fn own_frame(stack: &str) -> String {
    let stack = head(stack);
    let mut frames: Vec<String> = Vec::new();
    let mut lines = stack.lines().peekable();
    while let Some(line) = lines.next() {
        // Go and Rust write a function, and its file in the next line.
        let place = lines.peek().copied().unwrap_or_default();
        if let Some(frame) = frame(line, place) {
            frames.push(frame);
        }
    }
    // Python alone names the innermost call last.
    if stack.contains("Traceback (most recent call last)") {
        frames.reverse();
    }
    frames.into_iter().find(|frame| !is_library(frame)).map(|frame| shortened(&frame)).unwrap_or_default()
}

/// The type of the error that a stack trace or a message begins with: `com.shop.OutOfStock` of
/// `com.shop.OutOfStock: none left`; empty where it names none.
pub fn error_type(text: &str) -> String {
    let text = head(text);
    let line = match text.trim_start().strip_prefix("Traceback (most recent call last)") {
        // Python says it below its frames.
        Some(_) => text.lines().rfind(|line| !line.starts_with(' ') && !line.trim().is_empty()).unwrap_or_default(),
        None => text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default(),
    };
    let line = line.trim();
    let line =
        line.strip_prefix("Exception in thread").and_then(|rest| rest.rsplit_once("\" ")).map_or(line, |(_, t)| t);
    let name = line.split([':', ' ', '(']).next().unwrap_or_default();
    let is_name = |c: char| c.is_alphanumeric() || matches!(c, '.' | '_' | '$' | '+' | '`');
    // A word of a sentence is no type.
    let is_type = name.chars().all(is_name)
        && name.chars().next().is_some_and(char::is_alphabetic)
        && (name.contains('.') || name.ends_with("Error") || name.ends_with("Exception"));
    if is_type && name.len() <= MAX_FRAME_CHARS { name.trim_end_matches('.').to_owned() } else { String::new() }
}

fn head(text: &str) -> &str {
    let mut end = text.len().min(MAX_STACK_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

fn frame(line: &str, next: &str) -> Option<String> {
    let trimmed = line.trim_start();
    if trimmed.len() == line.len() && !trimmed.starts_with('#') {
        // Go: `shop/stock.Reserve(...)`, its file indented below.
        let file = next.strip_prefix('\t').filter(|file| file.contains(".go:"))?;
        let function = &trimmed[..trimmed.rfind('(').unwrap_or(trimmed.len())];
        return Some(format!("{function} ({})", file.split(" +0x").next().unwrap_or(file).trim()));
    }
    if let Some(rest) = trimmed.strip_prefix("at ") {
        // Rust's `at file:line` belongs to the line above.
        let is_place = rest.starts_with("./") || rest.starts_with('/') || rest.starts_with("file:");
        return if is_place && rest.contains(".rs:") { None } else { Some(rest.trim().to_owned()) };
    }
    if let Some(rest) = trimmed.strip_prefix("File \"") {
        let (file, rest) = rest.split_once('"')?;
        let (at, function) = rest.trim_start_matches(", line ").split_once(", in ").unwrap_or((rest, ""));
        return Some(format!("{} ({file}:{at})", function.trim()));
    }
    if let Some(rest) = trimmed.strip_prefix("from ") {
        return rest.contains(".rb:").then(|| rest.to_owned());
    }
    if let Some(rest) = trimmed.strip_prefix('#') {
        let (number, place) = rest.split_once(' ')?;
        return number.chars().all(|c| c.is_ascii_digit()).then(|| place.to_owned());
    }
    let (number, function) = trimmed.split_once(": ")?;
    let is_rust = number.chars().all(|c| c.is_ascii_digit()) && !number.is_empty();
    if !is_rust {
        return None;
    }
    let place = next.trim_start().strip_prefix("at ").unwrap_or_default();
    Some(if place.is_empty() { function.to_owned() } else { format!("{function} ({place})") })
}

fn is_library(frame: &str) -> bool {
    // Node marks asynchronous calls, and .NET generated ones.
    let name = frame.trim_start_matches("async ").trim_start_matches("new ").trim_start_matches('<');
    // Java names the module, or the loader, before the class: `java.base/java.lang.Thread.run`, `app//com.shop.Order`.
    let class = name.split('(').next().unwrap_or(name).rsplit("//").next().unwrap_or(name);
    let bare = class.strip_prefix("java.base/").unwrap_or(class);
    LIBRARY_NAMES.iter().any(|library| bare.starts_with(library))
        || LIBRARY_FOLDERS.iter().any(|folder| frame.contains(folder))
        || ["(native)", "(Native Method)"].iter().any(|native| frame.ends_with(native))
}

/// Without what differs between two builds of the same code.
fn shortened(frame: &str) -> String {
    frame.split(" ~[").next().unwrap_or(frame).chars().take(MAX_FRAME_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_own_frame_of_each_language() {
        for (stack, own) in [
            (
                "java.lang.IllegalStateException: no stock\n\tat java.base/java.util.Optional.orElseThrow(Optional.java:403)\n\tat com.shop.stock.Reserve.apply(Reserve.java:41) ~[app.jar:1.2]\n\tat org.springframework.kafka.Listener.run(Listener.java:9)",
                "com.shop.stock.Reserve.apply(Reserve.java:41)",
            ),
            (
                "System.InvalidOperationException: no stock\n   at System.Linq.Enumerable.First[T](IEnumerable`1 s)\n   at Shop.Stock.Reserve.Apply(Order o) in /src/Reserve.cs:line 41\n   at MassTransit.Pipe.Send()",
                "Shop.Stock.Reserve.Apply(Order o) in /src/Reserve.cs:line 41",
            ),
            (
                "Traceback (most recent call last):\n  File \"/app/main.py\", line 9, in run\n    reserve(o)\n  File \"/app/stock.py\", line 41, in reserve\n    row = q.one()\n  File \"/usr/lib/python3/dist-packages/orm.py\", line 7, in one\n    raise NoRow\norm.NoRow: none",
                "reserve (/app/stock.py:41)",
            ),
            (
                "TypeError: sku of undefined\n    at JSON.parse (<anonymous>)\n    at run (/app/node_modules/amqp/c.js:1:2)\n    at async reserve (/app/src/stock.js:41:7)",
                "async reserve (/app/src/stock.js:41:7)",
            ),
            (
                "panic: no stock\n\ngoroutine 1 [running]:\nruntime.gopanic(0x1)\n\t/usr/local/go/src/runtime/panic.go:1 +0x1\nshop/stock.Reserve(0xc0)\n\t/src/stock/reserve.go:41 +0x1d",
                "shop/stock.Reserve (/src/stock/reserve.go:41)",
            ),
            (
                "#0 /app/vendor/x/y.php(3): run()\n#1 /app/src/Stock.php(41): reserve()",
                "/app/src/Stock.php(41): reserve()",
            ),
            (
                "   0: rust_begin_unwind\n             at /rustc/1/lib.rs:1\n   1: stock::reserve\n             at ./src/stock.rs:41:5",
                "stock::reserve (./src/stock.rs:41:5)",
            ),
            ("no stack at all", ""),
            ("", ""),
        ] {
            assert_eq!(own_frame(stack), own, "{stack}");
        }
    }

    #[test]
    fn the_type_of_an_error_and_no_word_of_a_sentence() {
        for (text, told) in [
            ("java.lang.IllegalStateException: no stock\n\tat x", "java.lang.IllegalStateException"),
            ("Exception in thread \"main\" a.B: c", "a.B"),
            ("TypeError: sku of undefined", "TypeError"),
            ("Traceback (most recent call last):\n  File \"x\", line 1, in y\norm.NoRow: none", "orm.NoRow"),
            ("connection refused", ""),
            ("broken: very", ""),
            ("", ""),
        ] {
            assert_eq!(error_type(text), told, "{text}");
        }
    }

    #[test]
    fn hostile_stacks_neither_panic_nor_grow() {
        let long = format!("at {}", "é".repeat(MAX_STACK_BYTES));
        assert!(own_frame(&format!(" {long}")).chars().count() <= MAX_FRAME_CHARS);
        for text in ["#", "# ", "#0", " File \"", " at ", "(\n\t.go:", " 0: ", "\"", " from "] {
            own_frame(text);
            error_type(text);
        }
    }
}
