//! One data point of whichever kind.

use super::{DataPoint, EXPONENTIAL, GAUGE, HISTOGRAM, Metric, MetricKind, Number, SUM};
use crate::error::Fault;
use crate::resource::{Desk, Found};
use crate::schema::{self, Message};
use crate::value::Deepest;
use crate::wire::{self, Reader};

/// Level of a point's message: below the metric and its data.
const LEVEL: u32 = 5;

/// The flag that says that a point holds no value.
const NO_RECORDED_VALUE: u64 = 1;

const START: u32 = wire::fixed64(2);
const TIME: u32 = wire::fixed64(3);
const AS_DOUBLE: u32 = wire::fixed64(4);
const AS_INT: u32 = wire::fixed64(6);
// Of distributions; the number's double has the same key as the distribution's count.
const COUNT: u32 = AS_DOUBLE;
const SUM_OF: u32 = wire::fixed64(5);

/// Where the kinds of points differ.
pub(super) struct Shape {
    message: &'static Message,
    attribute: u32,
    flags: u32,
}

const NUMBER: Shape = Shape { message: &schema::NUMBER_POINT, attribute: wire::len(7), flags: wire::varint(8) };
const OF_BOUNDS: Shape = Shape { message: &schema::HISTOGRAM_POINT, attribute: wire::len(9), flags: wire::varint(10) };
const OF_EXPONENTS: Shape =
    Shape { message: &schema::EXPONENTIAL_POINT, attribute: wire::len(1), flags: wire::varint(10) };
const OF_QUANTILES: Shape = Shape { message: &schema::SUMMARY_POINT, attribute: wire::len(7), flags: wire::varint(8) };

impl Shape {
    /// The shape of the points in the data under this key of a metric.
    pub(super) const fn of(data: u32) -> Shape {
        match data {
            GAUGE | SUM => NUMBER,
            HISTOGRAM => OF_BOUNDS,
            EXPONENTIAL => OF_EXPONENTS,
            _ => OF_QUANTILES,
        }
    }

    pub(super) fn validate(&self, bytes: &[u8]) -> Result<(), Fault> {
        self.message.validate(bytes, LEVEL, &mut Deepest::default())
    }
}

/// Reads a point that was validated before, its attributes into the desk.
pub(super) fn read<'a>(
    metric: Metric<'a>,
    bytes: &'a [u8],
    desk: &mut Desk<'a, '_>,
) -> Result<(DataPoint<'a, 'a>, Found), Fault> {
    let (shape, is_number) = match metric.kind {
        MetricKind::Gauge | MetricKind::Sum { .. } => (NUMBER, true),
        MetricKind::Histogram { .. } => (OF_BOUNDS, false),
        MetricKind::ExponentialHistogram { .. } => (OF_EXPONENTS, false),
        MetricKind::Summary => (OF_QUANTILES, false),
    };
    let mut found = Found::default();
    let mut point = DataPoint {
        metric,
        start: 0,
        time: 0,
        value: Number::None,
        no_recorded_value: false,
        attributes: &[],
        offset: desk.offset(bytes),
        bytes,
    };
    // A summary's sum is 0 where it is absent; a histogram's is unknown.
    let (mut count, mut sum) = (0, (metric.kind == MetricKind::Summary).then_some(0.0));
    desk.attributes.clear();
    let mut fields = Reader::new(bytes);
    while !fields.is_empty() {
        match fields.key()? {
            key if key == shape.attribute => desk.attribute(fields.chunk()?, LEVEL + 1, &mut found)?,
            key if key == shape.flags => point.no_recorded_value = fields.varint()? & NO_RECORDED_VALUE != 0,
            START => point.start = fields.fixed64()?,
            TIME => point.time = fields.fixed64()?,
            AS_DOUBLE if is_number => point.value = Number::Double(fields.double()?),
            AS_INT if is_number => point.value = Number::Int(fields.fixed64()?.cast_signed()),
            COUNT if !is_number => count = fields.fixed64()?,
            SUM_OF if !is_number => sum = Some(fields.double()?),
            other => fields.pass(other, LEVEL)?,
        }
    }
    if !is_number {
        point.value = Number::Distribution { count, sum };
    }
    Ok((point, found))
}
