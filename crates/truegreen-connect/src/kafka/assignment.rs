//! Which partitions a member of a group was given: a version, then topics, each with its partitions, all big-endian.

use std::collections::HashSet;

/// Partitions read of one member.
const MAX_PARTITIONS: usize = 10_000;

/// The partitions that a member was given; none where the bytes say something else.
pub(super) fn read(bytes: &[u8]) -> Option<HashSet<(String, i32)>> {
    let mut rest = bytes;
    let mut given = HashSet::new();
    let _version = take(&mut rest, 2)?;
    for _ in 0..count(&mut rest)? {
        let length = take(&mut rest, 2).map(|length| i16::from_be_bytes([length[0], length[1]]))?;
        let name = take(&mut rest, usize::try_from(length).ok()?)?;
        let topic = std::str::from_utf8(name).ok()?;
        for _ in 0..count(&mut rest)? {
            let partition = take(&mut rest, 4)?;
            given.insert((topic.to_owned(), i32::from_be_bytes(partition.try_into().ok()?)));
            if given.len() > MAX_PARTITIONS {
                return None;
            }
        }
    }
    Some(given)
}

fn count(rest: &mut &[u8]) -> Option<usize> {
    let count = usize::try_from(i32::from_be_bytes(take(rest, 4)?.try_into().ok()?)).ok()?;
    // Each of them takes bytes of its own.
    (count <= rest.len()).then_some(count)
}

fn take<'a>(rest: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (taken, left) = rest.split_at_checked(count)?;
    *rest = left;
    Some(taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_assignment_is_read_and_nonsense_is_none() {
        let mut bytes = vec![0, 1, 0, 0, 0, 1, 0, 6];
        bytes.extend_from_slice(b"orders");
        bytes.extend_from_slice(&[0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0]);
        let given = read(&bytes).unwrap();
        assert_eq!(given, HashSet::from([("orders".to_owned(), 0), ("orders".to_owned(), 3)]));
        for cut in 0..20 {
            assert_eq!(read(&bytes[..cut]), None, "{cut}");
        }
        assert_eq!(read(&[0, 1, 255, 255, 255, 255]), None);
        assert_eq!(read(&[0, 1, 127, 255, 255, 255, 0, 0]), None);
    }
}
