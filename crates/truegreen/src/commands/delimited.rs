//! What files of delimited columns have in common.

/// What may part columns; of those that are as frequent the first.
const DELIMITERS: [u8; 4] = *b",;\t|";

/// The one that stands most often in the first line, outside of quotes.
pub(super) fn delimiter(start: &[u8]) -> u8 {
    let mut counts = [0_usize; DELIMITERS.len()];
    let mut is_quoted = false;
    for byte in start.iter().take_while(|byte| **byte != b'\n') {
        is_quoted ^= *byte == b'"';
        if let (false, Some(at)) = (is_quoted, DELIMITERS.iter().position(|delimiter| delimiter == byte)) {
            counts[at] += 1;
        }
    }
    let most = counts.iter().max().copied().unwrap_or_default();
    counts.iter().position(|count| *count == most).map_or(b',', |at| DELIMITERS[at])
}

#[cfg(test)]
mod tests {
    use super::delimiter;

    #[test]
    fn the_most_frequent_parts_columns_and_none_within_quotes_does() {
        assert_eq!(delimiter(b"time;source;target\n1,2,3,4,5\n"), b';');
        assert_eq!(delimiter(b"time\tsource"), b'\t');
        assert_eq!(delimiter(b"\"a,b,c,d\"|e|f\n"), b'|');
        assert_eq!(delimiter(b"alone\n"), b',');
    }
}
