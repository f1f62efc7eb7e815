//! Where a system is. An address may carry a password, so it is shown without, also to `{:?}`.

use std::fmt;

use url::Url;

/// What kind of system answers at an address, by its scheme.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Kind {
    /// `postgres://`, `postgresql://`.
    Postgres,
    /// `mysql://`, `mariadb://`.
    Mysql,
    /// `redis://`, `rediss://`, `valkey://`, `valkeys://`.
    Redis,
    /// `amqp://`, `amqps://`.
    Rabbitmq,
    /// `nats://`.
    Nats,
    /// `kafka://host:9092,host:9092`.
    Kafka,
    /// `http://`, `https://`.
    Http,
    /// `tls://host:443`: the certificate alone.
    Tls,
    /// `ntp://host`: how far our clock is off.
    Clock,
}

impl Kind {
    const SCHEMES: &'static [(&'static str, Kind)] = &[
        ("postgres", Kind::Postgres),
        ("postgresql", Kind::Postgres),
        ("mysql", Kind::Mysql),
        ("mariadb", Kind::Mysql),
        ("redis", Kind::Redis),
        ("rediss", Kind::Redis),
        ("valkey", Kind::Redis),
        ("valkeys", Kind::Redis),
        ("amqp", Kind::Rabbitmq),
        ("amqps", Kind::Rabbitmq),
        ("nats", Kind::Nats),
        ("kafka", Kind::Kafka),
        ("http", Kind::Http),
        ("https", Kind::Http),
        ("tls", Kind::Tls),
        ("ntp", Kind::Clock),
    ];

    /// Its name in reports, and of the feature that builds it.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Postgres => "postgres",
            Kind::Mysql => "mysql",
            Kind::Redis => "redis",
            Kind::Rabbitmq => "rabbitmq",
            Kind::Nats => "nats",
            Kind::Kafka => "kafka",
            Kind::Http => "http",
            Kind::Tls => "tls",
            Kind::Clock => "clock",
        }
    }
}

/// Where a system is, and who asks there.
#[derive(Clone, PartialEq, Eq)]
pub struct Address {
    kind: Kind,
    url: Url,
    /// Further hosts, with their ports: `kafka://a:9092,b:9092`.
    others: Vec<String>,
}

impl Address {
    /// Reads a URL, with `${NAME}` and `${file:/path}` in it put in by `lookup`.
    ///
    /// # Errors
    /// What is wrong with it and how to mend it; never the text itself, which may carry a password.
    pub fn parse(text: &str, lookup: &dyn Lookup) -> Result<Address, String> {
        let text = expand(text, lookup)?;
        let (text, others) = first_host(text.trim());
        let url = Url::parse(&text).map_err(|error| {
            format!("not a URL ({error})\nhint: postgres://user:${{PASSWORD}}@host:5432/database, for example")
        })?;
        let known = Kind::SCHEMES.iter().find(|(scheme, _)| *scheme == url.scheme());
        let Some((_, kind)) = known else {
            let schemes: Vec<&str> = Kind::SCHEMES.iter().map(|(scheme, _)| *scheme).collect();
            return Err(format!("no system is asked by `{}://`\nhint: one of {}", url.scheme(), schemes.join(", ")));
        };
        if url.host_str().is_none_or(str::is_empty) {
            return Err(format!("it names no host\nhint: {}://HOST:PORT", url.scheme()));
        }
        Ok(Address { kind: *kind, url, others })
    }

    /// What answers there.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The whole URL, with whatever secret it carries: for a client alone, never to be shown.
    pub fn secret_url(&self) -> &Url {
        &self.url
    }

    /// The host, or the first of several.
    pub fn host(&self) -> &str {
        self.url.host_str().unwrap_or_default()
    }

    /// All hosts that it names, each with its port, or with this one where it names none.
    pub fn hosts(&self, port: u16) -> Vec<String> {
        let first = format!("{}:{}", self.host(), self.url.port().unwrap_or(port));
        let others = self.others.iter().map(|other| match other.rsplit_once(':') {
            Some((_, digits)) if digits.parse::<u16>().is_ok() => other.clone(),
            _ => format!("{other}:{port}"),
        });
        std::iter::once(first).chain(others).collect()
    }

    /// Takes out of a text from outside whatever secret this address carries.
    pub fn without_secrets(&self, text: &str) -> String {
        let mut text = text.to_owned();
        let decoded = |part: &str| percent_encoding::percent_decode_str(part).decode_utf8_lossy().into_owned();
        let mut secrets: Vec<String> =
            self.url.password().into_iter().flat_map(|p| [p.to_owned(), decoded(p)]).collect();
        secrets.extend(self.url.query_pairs().filter(|(name, _)| is_secret(name)).map(|(_, value)| value.into_owned()));
        if self.kind == Kind::Nats && self.url.password().is_none() {
            // A lone user is a token there.
            secrets.extend([self.url.username().to_owned(), decoded(self.url.username())]);
        }
        secrets.retain(|secret| !secret.is_empty());
        for secret in secrets {
            text = text.replace(&secret, "***");
        }
        text
    }
}

/// The URL with the first of its hosts alone, and the others: a URL itself knows but one.
fn first_host(text: &str) -> (String, Vec<String>) {
    let begin = text.find("://").map_or(0, |at| at + 3);
    let end = text[begin..].find(['/', '?', '#']).map_or(text.len(), |at| begin + at);
    let hosts = text[begin..end].rfind('@').map_or(begin, |at| begin + at + 1);
    let mut named = text[hosts..end].split(',').map(str::trim);
    let first = named.next().unwrap_or_default();
    let others: Vec<String> = named.filter(|host| !host.is_empty()).map(str::to_owned).collect();
    (format!("{}{first}{}", &text[..hosts], &text[end..]), others)
}

fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["password", "passwd", "secret", "token", "key"].iter().any(|word| name.contains(word))
}

/// Scheme, host, port and path; no user, password, query or fragment.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.url.scheme(), self.host())?;
        if let Some(port) = self.url.port() {
            write!(f, ":{port}")?;
        }
        for other in &self.others {
            write!(f, ",{other}")?;
        }
        // Tokens travel in the paths of web hooks.
        if self.kind != Kind::Http && self.url.path() != "/" {
            f.write_str(self.url.path())?;
        }
        Ok(())
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({self})")
    }
}

/// Where `${…}` is looked up.
pub trait Lookup {
    /// An environment variable.
    fn variable(&self, name: &str) -> Option<String>;
    /// The text of a file, such as a mounted secret.
    ///
    /// # Errors
    /// What the system says.
    fn file(&self, path: &str) -> std::io::Result<String>;
}

/// The environment and the files of this process.
#[derive(Clone, Copy, Debug, Default)]
pub struct Surroundings;

impl Lookup for Surroundings {
    fn variable(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }

    fn file(&self, path: &str) -> std::io::Result<String> {
        std::fs::read_to_string(path)
    }
}

/// Puts in what `${NAME}` and `${file:/path}` stand for, percent-encoded as a part of a URL must be; `$${` is a plain `${`.
fn expand(text: &str, lookup: &dyn Lookup) -> Result<String, String> {
    let mut expanded = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        if at > 0 && rest.as_bytes()[at - 1] == b'$' {
            expanded.push_str(&rest[..at - 1]);
            expanded.push_str("${");
            rest = &rest[at + 2..];
            continue;
        }
        expanded.push_str(&rest[..at]);
        let Some(end) = rest[at..].find('}') else {
            return Err("`${` is never closed\nhint: ${NAME} or ${file:/path}".to_owned());
        };
        let name = &rest[at + 2..at + end];
        let value = match name.strip_prefix("file:") {
            Some(path) => lookup.file(path).map_err(|error| format!("cannot read the secret file {path}: {error}"))?,
            None => lookup
                .variable(name)
                .ok_or_else(|| format!("the environment has no `{name}`\nhint: set it, or use ${{file:/path}}"))?,
        };
        // A whole URL may be kept in one variable; a part of one must not end where it holds a slash or an at sign.
        let is_whole = at == 0 && rest.len() == end + 1;
        let value = value.trim_end_matches(['\r', '\n']);
        if is_whole {
            expanded.push_str(value);
        } else {
            expanded.extend(percent_encoding::utf8_percent_encode(value, percent_encoding::NON_ALPHANUMERIC));
        }
        rest = &rest[at + end + 1..];
    }
    expanded.push_str(rest);
    Ok(expanded)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Told;

    impl Lookup for Told {
        fn variable(&self, name: &str) -> Option<String> {
            (name == "PASSWORD").then(|| "p@ss/word".to_owned())
        }

        fn file(&self, path: &str) -> std::io::Result<String> {
            if path == "/secret" {
                Ok("redis://:hidden@cache:6379\n".to_owned())
            } else {
                Err(std::io::ErrorKind::NotFound.into())
            }
        }
    }

    #[test]
    fn secrets_are_put_in_and_never_shown() {
        let address = Address::parse("postgres://shop:${PASSWORD}@db:5432/stock", &Told).unwrap();
        assert_eq!(address.secret_url().password(), Some("p%40ss%2Fword"));
        assert_eq!(address.to_string(), "postgres://db:5432/stock");
        assert_eq!(format!("{address:?}"), "Address(postgres://db:5432/stock)");
        assert_eq!(address.without_secrets("refused p@ss/word and p%40ss%2Fword"), "refused *** and ***");
    }

    #[test]
    fn several_hosts_are_all_asked_and_a_lone_user_of_nats_is_a_token() {
        let address = Address::parse("kafka://shop:${PASSWORD}@a:9092,b,c:9094/?tls=false", &Told).unwrap();
        assert_eq!(address.hosts(9092), ["a:9092", "b:9092", "c:9094"]);
        assert_eq!(address.to_string(), "kafka://a:9092,b,c:9094");
        assert_eq!(address.secret_url().password(), Some("p%40ss%2Fword"));
        let address = Address::parse("nats://s3cret@broker", &Told).unwrap();
        assert_eq!(
            (address.to_string().as_str(), address.hosts(4222)),
            ("nats://broker", vec!["broker:4222".to_owned()])
        );
        assert_eq!(address.without_secrets("denied s3cret"), "denied ***");
    }

    #[test]
    fn a_whole_address_can_be_a_secret_file() {
        let address = Address::parse("${file:/secret}", &Told).unwrap();
        assert_eq!((address.kind(), address.host()), (Kind::Redis, "cache"));
    }

    #[test]
    fn what_cannot_be_read_says_how_to_mend_it_and_nothing_secret() {
        for (text, part) in [
            ("postgres://u:${MISSING}@db", "the environment has no `MISSING`"),
            ("postgres://u:${PASSWORD@db", "never closed"),
            ("${file:/nowhere}", "cannot read the secret file /nowhere"),
            ("ftp://u:hidden@db", "no system is asked by `ftp://`"),
            ("u:hidden", "no system is asked by `u://`"),
            ("postgres:///hidden", "names no host"),
        ] {
            let error = Address::parse(text, &Told).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
            assert!(!error.contains("hidden"), "{error}");
        }
    }
}
