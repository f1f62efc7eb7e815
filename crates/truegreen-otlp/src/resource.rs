//! Requests from the outside in: resources, scopes, and the records within. All three signals share this shape.

use crate::error::{Error, ErrorKind, Fault};
use crate::limits::{Limits, Refusal, Tally};
use crate::schema;
use crate::value::{Attribute, Deepest, Value, pair, text_pair};
use crate::wire::{self, Reader};

/// What sent the records that follow.
#[derive(Clone, Copy, Debug)]
pub struct Resource<'a, 's> {
    /// Its attributes, in the order sent.
    pub attributes: &'s [Attribute<'a>],
    /// The raw bytes of the resource message: one slice, or several where the encoder split it, none where it is
    /// missing. Equal bytes are equal resources, so that what is derived of one can be cached by their hash.
    pub parts: &'s [&'a [u8]],
}

impl<'a> Resource<'a, '_> {
    /// The value under this key; the last one, should it repeat.
    pub fn get(&self, key: &[u8]) -> Option<Value<'a>> {
        self.attributes.iter().rev().find(|attribute| attribute.key == key).map(|attribute| attribute.value)
    }
}

/// What a signal does with resources and records; the walk through the levels above is the same.
pub(crate) trait Records<'a> {
    fn resource(&mut self, resource: &Resource<'a, '_>);

    /// Takes one record; `resource` says why none of this resource can be taken.
    fn record(&mut self, bytes: &'a [u8], resource: Option<Refusal>) -> Result<(), Fault>;
}

/// Level of a record in the request: request, resource group, scope group, record.
pub(crate) const RECORD_LEVEL: u32 = 3;

const GROUP: u32 = wire::len(1);
const REQUEST_FIELDS: u64 = wire::known(&[1]);
// The group of a resource (resource, scopes, schema URL) and of a scope (scope, records, schema URL) are alike.
const OWNER: u32 = wire::len(1);
const MEMBER: u32 = wire::len(2);
const SCHEMA_URL: u32 = wire::len(3);
const GROUP_FIELDS: u64 = wire::known(&[1, 2, 3]);

const ATTRIBUTE: u32 = wire::len(1);
const DROPPED: u32 = wire::varint(2);
const ENTITY: u32 = wire::len(3);
const RESOURCE_FIELDS: u64 = wire::known(&[1, 2, 3]);

/// Walks a request and hands its resources and records over.
pub(crate) fn walk<'a>(body: &'a [u8], limits: &Limits, records: &mut impl Records<'a>) -> Result<(), Error> {
    if u32::try_from(body.len()).is_err() {
        return Err(Error { offset: 0, kind: ErrorKind::TooLarge });
    }
    let mut resources = Resources { limits, attributes: Vec::new(), parts: Vec::new() };
    resources.request(body, records).map_err(|fault| fault.within(body))
}

struct Resources<'a, 'l> {
    limits: &'l Limits,
    attributes: Vec<Attribute<'a>>,
    parts: Vec<&'a [u8]>,
}

impl<'a> Resources<'a, '_> {
    fn request(&mut self, body: &'a [u8], records: &mut impl Records<'a>) -> Result<(), Fault> {
        let mut fields = Reader::new(body);
        while !fields.is_empty() {
            match fields.key()? {
                GROUP => self.group(fields.chunk()?, records)?,
                other => fields.skip(other, 0, REQUEST_FIELDS)?,
            }
        }
        Ok(())
    }

    /// The resource may come after its records, or in several pieces: it is put together first.
    fn group(&mut self, group: &'a [u8], records: &mut impl Records<'a>) -> Result<(), Fault> {
        let refusal = self.resource(group)?;
        records.resource(&Resource { attributes: &self.attributes, parts: &self.parts });
        let mut fields = Reader::new(group);
        while !fields.is_empty() {
            match fields.key()? {
                MEMBER => scope(fields.chunk()?, refusal, records)?,
                OWNER | SCHEMA_URL => drop(fields.chunk()?),
                other => fields.skip(other, 1, GROUP_FIELDS)?,
            }
        }
        Ok(())
    }

    fn resource(&mut self, group: &'a [u8]) -> Result<Option<Refusal>, Fault> {
        self.attributes.clear();
        self.parts.clear();
        let mut deepest = Deepest::default();
        let mut surplus = false;
        let mut fields = Reader::new(group);
        while !fields.is_empty() {
            match fields.key()? {
                OWNER => {
                    let part = fields.chunk()?;
                    self.parts.push(part);
                    surplus |= self.part(part, &mut deepest)?;
                }
                other => fields.pass(other, 1)?,
            }
        }
        Ok(match () {
            () if surplus => Some(Refusal::TooManyAttributes),
            () if deepest.0 as usize > self.limits.max_depth => Some(Refusal::TooDeep),
            () => None,
        })
    }

    /// Says whether there are more attributes than may be.
    fn part(&mut self, part: &'a [u8], deepest: &mut Deepest) -> Result<bool, Fault> {
        let mut surplus = false;
        let mut fields = Reader::new(part);
        while !fields.is_empty() {
            match fields.key()? {
                ATTRIBUTE => {
                    let attribute = pair(fields.chunk()?, 3, deepest)?;
                    surplus |= self.attributes.len() >= self.limits.max_attributes;
                    if !surplus {
                        self.attributes.push(attribute);
                    }
                }
                DROPPED => drop(fields.varint()?),
                ENTITY => schema::ENTITY_REF.validate(fields.chunk()?, RECORD_LEVEL, deepest)?,
                other => fields.skip(other, 2, RESOURCE_FIELDS)?,
            }
        }
        Ok(surplus)
    }
}

fn scope<'a>(group: &'a [u8], refusal: Option<Refusal>, records: &mut impl Records<'a>) -> Result<(), Fault> {
    let mut fields = Reader::new(group);
    while !fields.is_empty() {
        match fields.key()? {
            MEMBER => records.record(fields.chunk()?, refusal)?,
            // The scope names the library that made the records, never what the records are about.
            OWNER => schema::SCOPE.validate(fields.chunk()?, RECORD_LEVEL, &mut Deepest::default())?,
            SCHEMA_URL => drop(fields.chunk()?),
            other => fields.skip(other, 2, GROUP_FIELDS)?,
        }
    }
    Ok(())
}

/// What every scan keeps: the bounds, the count, and room for the attributes of one record at a time.
pub(crate) struct Desk<'a, 'l> {
    pub(crate) body: &'a [u8],
    pub(crate) limits: &'l Limits,
    pub(crate) tally: Tally,
    seen: usize,
    pub(crate) attributes: Vec<Attribute<'a>>,
}

impl<'a, 'l> Desk<'a, 'l> {
    pub(crate) fn new(body: &'a [u8], limits: &'l Limits) -> Self {
        Desk {
            body,
            limits,
            tally: Tally::default(),
            seen: 0,
            attributes: Vec::with_capacity(limits.max_attributes.min(128)),
        }
    }

    /// Where in the body a part of it stands.
    #[inline(always)]
    pub(crate) fn offset(&self, part: &[u8]) -> u32 {
        // The body is smaller than 4 GiB.
        part.as_ptr().addr().wrapping_sub(self.body.as_ptr().addr()) as u32
    }

    /// Reads an attribute of the record at hand; one beyond the bound is validated and left out.
    #[inline(always)]
    pub(crate) fn attribute(&mut self, bytes: &'a [u8], level: u32, found: &mut Found) -> Result<(), Fault> {
        // Texts go straight from the registers to their place: one path for all kinds of values would gather them on
        // the stack first, which costs as much as all the rest of the walk.
        match text_pair(bytes) {
            Some((key, text)) if self.attributes.len() < self.limits.max_attributes => {
                self.attributes.push(Attribute { key, value: Value::Text(text) });
                Ok(())
            }
            _ => self.other_attribute(bytes, level, found),
        }
    }

    #[inline(never)]
    fn other_attribute(&mut self, bytes: &'a [u8], level: u32, found: &mut Found) -> Result<(), Fault> {
        let attribute = pair(bytes, level, &mut found.deepest)?;
        if self.attributes.len() < self.limits.max_attributes {
            self.attributes.push(attribute);
        } else {
            found.surplus = true;
        }
        Ok(())
    }

    /// Counts the record at hand, and says whether it goes beyond a bound that all signals share.
    #[inline(always)]
    pub(crate) fn refusal(&mut self, found: &Found, resource: Option<Refusal>) -> Option<Refusal> {
        self.seen += 1;
        if resource.is_some() {
            resource
        } else if found.surplus {
            Some(Refusal::TooManyAttributes)
        } else if found.deepest.0 as usize > self.limits.max_depth {
            Some(Refusal::TooDeep)
        } else if self.seen > self.limits.max_records {
            Some(Refusal::TooManyRecords)
        } else {
            None
        }
    }
}

/// What was found about the record at hand beside its fields.
#[derive(Clone, Copy, Default)]
pub(crate) struct Found {
    pub(crate) deepest: Deepest,
    pub(crate) surplus: bool,
}

/// A trace id: 16 bytes, not all zero.
#[inline(always)]
pub(crate) fn trace_id(bytes: &[u8]) -> Option<u128> {
    let bytes: [u8; 16] = bytes.try_into().ok()?;
    Some(u128::from_be_bytes(bytes)).filter(|id| *id != 0)
}

/// A span id: 8 bytes, not all zero.
#[inline(always)]
pub(crate) fn span_id(bytes: &[u8]) -> Option<u64> {
    let bytes: [u8; 8] = bytes.try_into().ok()?;
    Some(u64::from_be_bytes(bytes)).filter(|id| *id != 0)
}
