//! The key of a cache's entry as most write it: words that say what is cached, and an id that says of what, as in
//! `stock:sku-1001` or `user/4711/profile`. The words make a family of entries, and the id is what a table's row has too.

use std::borrow::Cow;

/// Longer keys are taken whole.
const MAX_BYTES: usize = 256;

/// The family of an entry, empty where its key has no words, and the id.
pub(super) fn split(key: &[u8]) -> (Cow<'_, [u8]>, &[u8]) {
    let is_between = |byte: &u8| matches!(byte, b':' | b'/' | b'|' | b'#');
    if key.len() > MAX_BYTES || !key.iter().any(is_between) {
        return (Cow::Borrowed(b""), key);
    }
    let parts = || key.split(is_between).filter(|part| !part.is_empty());
    let is_id = |part: &&[u8]| part.iter().any(u8::is_ascii_digit);
    let Some(id) = parts().filter(is_id).max_by_key(|part| part.len()).or(parts().next_back()) else {
        return (Cow::Borrowed(b""), key);
    };
    let words = parts().filter(|part| *part != id && !is_id(part));
    let family = words.collect::<Vec<&[u8]>>().join(&b':');
    (Cow::Owned(family), id)
}

/// The key in the statement of a store that is used as a cache, as in `GET stock:sku-1001`; none where it is hidden.
pub(super) fn of_statement(statement: &[u8]) -> Option<&[u8]> {
    let mut words = statement.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    let key = words.nth(1)?;
    (!key.starts_with(b"?") && !key.starts_with(b"$")).then_some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_split_into_family_and_id() {
        let told = |key: &'static str| {
            let (family, id) = split(key.as_bytes());
            (String::from_utf8_lossy(&family).into_owned(), std::str::from_utf8(id).unwrap_or_default())
        };
        assert_eq!(told("stock:sku-1001"), ("stock".to_owned(), "sku-1001"));
        assert_eq!(told("user/4711/profile"), ("user:profile".to_owned(), "4711"));
        assert_eq!(told("v2:user:4711:page:3"), ("user:page".to_owned(), "4711"));
        assert_eq!(told("rates:EUR"), ("rates".to_owned(), "EUR"));
        assert_eq!(told("sku-1001"), (String::new(), "sku-1001"));
        assert_eq!(told(":"), (String::new(), ":"));
    }

    #[test]
    fn statements_tell_their_key_unless_it_is_hidden() {
        assert_eq!(of_statement(b"GET stock:sku-1001"), Some(&b"stock:sku-1001"[..]));
        assert_eq!(of_statement(b"SET stock:sku-1001 ?"), Some(&b"stock:sku-1001"[..]));
        assert_eq!(of_statement(b"GET ?"), None);
        assert_eq!(of_statement(b"PING"), None);
    }
}
