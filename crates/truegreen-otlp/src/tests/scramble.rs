//! Legal encodings that no encoder makes.

use super::dice::Dice;
use crate::schema::{self, Kind, Often};
use crate::wire::out::{put_bytes, put_fixed64, put_varint};
use crate::wire::{self, Reader};

/// The message with its fields in any order, some of them more than once, messages split, and unknown fields between.
/// Not always the same content, but always a message.
pub(super) fn message(message: &'static schema::Message, bytes: &[u8], dice: &mut Dice) -> Vec<u8> {
    let mut pieces: Vec<Vec<u8>> = Vec::new();
    let mut fields = Reader::new(bytes);
    while let Some(key) = (!fields.is_empty()).then(|| fields.key().unwrap()) {
        let field = message.field(key >> 3).unwrap();
        if key == wire::len(field.number) {
            let content = fields.chunk().unwrap();
            match field.kind {
                Kind::Message(inner) => {
                    let content = self::message(inner, content, dice);
                    pieces.extend(split(&content, field.often, dice).map(|part| chunk(field.number, part)));
                }
                kind if kind.has_length() => pieces.push(chunk(field.number, content)),
                kind => pieces.extend(unpacked(kind, field.number, content, dice)),
            }
        } else {
            let bits = field.kind.number(&mut fields).unwrap();
            pieces.push(number(field.kind, field.number, bits, dice));
            if dice.one_in(8) {
                let other = dice.number();
                pieces.push(number(field.kind, field.number, other, dice));
            }
        }
    }
    if dice.one_in(6) && !message.fields.is_empty() {
        // Another member of a oneof, or a field once more, empty.
        let field = dice.pick(message.fields);
        let bits = dice.number();
        pieces.push(match field.kind.has_length() {
            true => chunk(field.number, b""),
            false => number(field.kind, field.number, bits, dice),
        });
    }
    for _ in 0..dice.below(3) {
        let depth = dice.below(4);
        pieces.push(unknown(dice, depth));
    }
    if dice.one_in(2) {
        for at in (1..pieces.len()).rev() {
            pieces.swap(at, dice.below(at as u64 + 1) as usize);
        }
    }
    pieces.concat()
}

/// Cuts a message that occurs once into two at a field, since the two are to be read as one.
fn split<'c>(content: &'c [u8], often: Often, dice: &mut Dice) -> impl Iterator<Item = &'c [u8]> + use<'c> {
    let mut cuts = vec![0];
    let mut fields = Reader::new(content);
    while !fields.is_empty() {
        let key = fields.key().unwrap();
        fields.pass(key, 0).unwrap();
        cuts.push(content.len() - fields.rest().len());
    }
    let cut = if often != Often::Many && dice.one_in(3) { *dice.pick(&cuts) } else { 0 };
    let (front, back) = content.split_at(cut);
    [front, back].into_iter().skip(usize::from(cut == 0))
}

fn chunk(field: u32, content: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    put_bytes(field, content, &mut out);
    out
}

fn unpacked(kind: Kind, field: u32, packed: &[u8], dice: &mut Dice) -> Vec<Vec<u8>> {
    if dice.one_in(2) {
        return vec![chunk(field, packed)];
    }
    let mut numbers = Reader::new(packed);
    let mut pieces = Vec::new();
    while !numbers.is_empty() {
        let bits = kind.number(&mut numbers).unwrap();
        pieces.push(number(kind, field, bits, dice));
    }
    pieces
}

fn number(kind: Kind, field: u32, bits: u64, dice: &mut Dice) -> Vec<u8> {
    // JSON has one NaN, so that only that one survives it.
    let nan = matches!(kind, Kind::Double) && f64::from_bits(bits).is_nan();
    let bits = if nan { f64::NAN.to_bits() } else { bits };
    let mut out = Vec::new();
    let key = kind.key(field);
    long_varint(u64::from(key), dice, &mut out);
    match key & 7 {
        1 => out.extend_from_slice(&bits.to_le_bytes()),
        5 => out.extend_from_slice(&(bits as u32).to_le_bytes()),
        _ => long_varint(bits, dice, &mut out),
    }
    out
}

/// Zeros may follow the last byte that says anything, up to ten bytes.
fn long_varint(value: u64, dice: &mut Dice, out: &mut Vec<u8>) {
    let start = out.len();
    put_varint(value, out);
    if dice.one_in(6) {
        let room = 10 - (out.len() - start) as u64;
        let more = dice.below(room + 1);
        if more > 0 {
            let last = out.len() - 1;
            out[last] |= 0x80;
            out.extend((1..more).map(|_| 0x80));
            out.push(0);
        }
    }
}

fn unknown(dice: &mut Dice, depth: u64) -> Vec<u8> {
    let field = 100 + dice.below(1000) as u32;
    let mut out = Vec::new();
    match dice.below(if depth == 0 { 4 } else { 5 }) {
        0 => {
            put_varint(u64::from(wire::varint(field)), &mut out);
            put_varint(dice.number(), &mut out);
        }
        1 => put_fixed64(field, dice.roll(), &mut out),
        2 => put_bytes(field, dice.text().as_bytes(), &mut out),
        3 => {
            put_varint(u64::from(wire::fixed32(field)), &mut out);
            out.extend_from_slice(&[1, 2, 3, 4]);
        }
        _ => {
            put_varint(u64::from(field << 3 | 3), &mut out);
            for _ in 0..dice.below(3) {
                out.extend(unknown(dice, depth - 1));
            }
            put_varint(u64::from(field << 3 | 4), &mut out);
        }
    }
    out
}
