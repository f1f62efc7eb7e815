//! Writing protobuf: messages are opened, filled and closed in place.

use super::len;

/// Appends an integer of variable length.
pub(crate) fn put_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Begins a field with a length, and gives the place that [`close`] asks for.
pub(crate) fn open(field: u32, out: &mut Vec<u8>) -> usize {
    put_varint(u64::from(len(field)), out);
    out.push(0);
    out.len()
}

/// Ends the field whose content began here. Most are short: one byte was set aside for the length, and a longer content
/// moves up.
pub(crate) fn close(start: usize, out: &mut Vec<u8>) {
    let end = out.len();
    let size = (end - start) as u64;
    if size < 0x80 {
        out[start - 1] = size as u8;
        return;
    }
    // Written behind the content first, since the width of the length is only known then.
    put_varint(size, out);
    let width = out.len() - end;
    let mut length = [0; 10];
    length[..width].copy_from_slice(&out[end..]);
    out.truncate(end + width - 1);
    out.copy_within(start..end, start + width - 1);
    out[start - 1..start - 1 + width].copy_from_slice(&length[..width]);
}

/// Appends a field of bytes, a text or a finished message.
pub(crate) fn put_bytes(field: u32, bytes: &[u8], out: &mut Vec<u8>) {
    put_varint(u64::from(len(field)), out);
    put_varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

/// Appends a 64-bit field.
pub(crate) fn put_fixed64(field: u32, value: u64, out: &mut Vec<u8>) {
    put_varint(u64::from(super::fixed64(field)), out);
    out.extend_from_slice(&value.to_le_bytes());
}
