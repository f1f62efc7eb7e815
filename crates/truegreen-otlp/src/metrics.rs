//! Metric data points.

use crate::error::{Error, Fault};
use crate::limits::{Limits, Refusal, Tally};
use crate::resource::{Desk, RECORD_LEVEL, Records, Resource, walk};
use crate::value::{Attribute, Deepest, pair};
use crate::wire::{self, Reader};

mod point;

/// What the points of one metric have in common.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Metric<'a> {
    /// Its name.
    pub name: &'a [u8],
    /// Its unit, as in UCUM: `s`, `By`, `{request}`.
    pub unit: &'a [u8],
    /// What kind of metric it is.
    pub kind: MetricKind,
}

/// What kind of metric it is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum MetricKind {
    /// A value as it stands.
    Gauge,
    /// A value that adds up.
    Sum {
        /// Whether it never falls, as a counter.
        monotonic: bool,
        /// Since when it counts.
        temporality: Temporality,
    },
    /// A distribution over given bounds.
    Histogram {
        /// Since when it counts.
        temporality: Temporality,
    },
    /// A distribution over exponential bounds.
    ExponentialHistogram {
        /// Since when it counts.
        temporality: Temporality,
    },
    /// Quantiles computed by the sender.
    Summary,
}

/// Since when a point counts. Unknown numbers are read as unspecified.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub enum Temporality {
    /// Not said.
    #[default]
    Unspecified,
    /// Since the point before.
    Delta,
    /// Since the start of the process.
    Cumulative,
}

/// The value of a data point.
#[derive(Clone, Copy, PartialEq, Default, Debug)]
pub enum Number {
    /// No value was sent.
    #[default]
    None,
    /// An integer.
    Int(i64),
    /// A floating-point number.
    Double(f64),
    /// A histogram or summary, without its buckets and quantiles.
    Distribution {
        /// How many measurements.
        count: u64,
        /// Their sum, where it was sent.
        sum: Option<f64>,
    },
}

/// A data point, borrowed from the body and from the scan.
#[derive(Clone, Copy, Debug)]
pub struct DataPoint<'a, 's> {
    /// The metric it is a point of.
    pub metric: Metric<'a>,
    /// Since when it counts, in nanoseconds since 1970; 0 for not said.
    pub start: u64,
    /// When it was measured, in nanoseconds since 1970.
    pub time: u64,
    /// What was measured.
    pub value: Number,
    /// Whether the sender says that there is no value here: the series ended (a stale marker).
    pub no_recorded_value: bool,
    /// Its attributes, in the order sent; keys may repeat.
    pub attributes: &'s [Attribute<'a>],
    /// Where the point's message begins in the body.
    pub offset: u32,
    /// The point's message.
    pub bytes: &'a [u8],
}

impl<'a> DataPoint<'a, '_> {
    /// The last value under this key.
    pub fn get(&self, key: &[u8]) -> Option<crate::Value<'a>> {
        self.attributes.iter().rev().find(|attribute| attribute.key == key).map(|attribute| attribute.value)
    }
}

/// Takes what a scan of metrics finds. `()` takes nothing, for validation alone.
pub trait MetricSink<'a> {
    /// The resource of the points that follow, until the next one.
    fn resource(&mut self, resource: &Resource<'a, '_>);

    /// A data point.
    fn point(&mut self, point: &DataPoint<'a, '_>);

    /// A point of the current resource was refused.
    fn refused(&mut self, _why: Refusal) {}
}

impl MetricSink<'_> for () {
    fn resource(&mut self, _: &Resource<'_, '_>) {}

    fn point(&mut self, _: &DataPoint<'_, '_>) {}
}

const NAME: u32 = wire::len(1);
const DESCRIPTION: u32 = wire::len(2);
const UNIT: u32 = wire::len(3);
const GAUGE: u32 = wire::len(5);
const SUM: u32 = wire::len(7);
const HISTOGRAM: u32 = wire::len(9);
const EXPONENTIAL: u32 = wire::len(10);
const SUMMARY: u32 = wire::len(11);
const METADATA: u32 = wire::len(12);
const METRIC_FIELDS: u64 = wire::known(&[1, 2, 3, 5, 7, 9, 10, 11, 12]);

// The five kinds of data are laid out alike, though not every one has all three.
const POINT: u32 = wire::len(1);
const TEMPORALITY: u32 = wire::varint(2);
const MONOTONIC: u32 = wire::varint(3);

/// Walks an `ExportMetricsServiceRequest` (protobuf, decompressed) and hands every data point to the sink, after its
/// resource. The tally counts data points. On an error the sink has seen the points before it; [`crate::check`] first,
/// where that matters.
pub fn scan_metrics<'a>(body: &'a [u8], limits: &Limits, sink: &mut impl MetricSink<'a>) -> Result<Tally, Error> {
    let mut scan = Scan { desk: Desk::new(body, limits), parts: Vec::new(), sink };
    walk(body, limits, &mut scan)?;
    Ok(scan.desk.tally)
}

struct Scan<'a, 'l, 'k, S> {
    desk: Desk<'a, 'l>,
    /// The data of the metric at hand: one message, or several that are to be read as one.
    parts: Vec<&'a [u8]>,
    sink: &'k mut S,
}

impl<'a, S: MetricSink<'a>> Records<'a> for Scan<'a, '_, '_, S> {
    fn resource(&mut self, resource: &Resource<'a, '_>) {
        self.sink.resource(resource);
    }

    /// Name and kind may come after the points, so the metric is put together first.
    fn record(&mut self, bytes: &'a [u8], resource: Option<Refusal>) -> Result<(), Fault> {
        let (mut name, mut unit): (&[u8], &[u8]) = (&[], &[]);
        let mut data = Data::default();
        self.parts.clear();
        let mut fields = Reader::new(bytes);
        while !fields.is_empty() {
            match fields.key()? {
                NAME => name = fields.chunk()?,
                UNIT => unit = fields.chunk()?,
                DESCRIPTION => drop(fields.chunk()?),
                METADATA => drop(pair(fields.chunk()?, RECORD_LEVEL + 1, &mut Deepest::default())?),
                key @ (GAUGE | SUM | HISTOGRAM | EXPONENTIAL | SUMMARY) => {
                    // Only the last kind sent counts; what came before it must still be valid, as it just was.
                    if data.key != key {
                        data = Data { key, ..Data::default() };
                        self.parts.clear();
                    }
                    let part = fields.chunk()?;
                    data.read(part)?;
                    self.parts.push(part);
                }
                other => fields.skip(other, RECORD_LEVEL, METRIC_FIELDS)?,
            }
        }
        let Some(kind) = data.kind() else { return Ok(()) };
        let metric = Metric { name, unit, kind };
        for at in 0..self.parts.len() {
            let mut points = Reader::new(self.parts[at]);
            while let Some(point) = points.find(POINT) {
                self.point(metric, point, resource)?;
            }
        }
        Ok(())
    }
}

impl<'a, S: MetricSink<'a>> Scan<'a, '_, '_, S> {
    fn point(&mut self, metric: Metric<'a>, bytes: &'a [u8], resource: Option<Refusal>) -> Result<(), Fault> {
        let (point, found) = point::read(metric, bytes, &mut self.desk)?;
        match self.desk.refusal(&found, resource) {
            None => {
                self.desk.tally.accepted += 1;
                self.sink.point(&DataPoint { attributes: &self.desk.attributes, ..point });
            }
            Some(why) => {
                self.desk.tally.refuse(why);
                self.sink.refused(why);
            }
        }
        Ok(())
    }
}

/// The data of a metric, short of its points.
#[derive(Clone, Copy, Default)]
struct Data {
    key: u32,
    temporality: Temporality,
    monotonic: bool,
}

impl Data {
    /// Reads what the points have in common, and validates the points.
    fn read(&mut self, part: &[u8]) -> Result<(), Fault> {
        let has_temporality = matches!(self.key, SUM | HISTOGRAM | EXPONENTIAL);
        let known = match self.key {
            SUM => wire::known(&[1, 2, 3]),
            HISTOGRAM | EXPONENTIAL => wire::known(&[1, 2]),
            _ => wire::known(&[1]),
        };
        let shape = point::Shape::of(self.key);
        let mut fields = Reader::new(part);
        while !fields.is_empty() {
            match fields.key()? {
                POINT => shape.validate(fields.chunk()?)?,
                TEMPORALITY if has_temporality => {
                    self.temporality = match fields.varint()? as u32 {
                        1 => Temporality::Delta,
                        2 => Temporality::Cumulative,
                        _ => Temporality::Unspecified,
                    }
                }
                MONOTONIC if self.key == SUM => self.monotonic = fields.varint()? != 0,
                other => fields.skip(other, RECORD_LEVEL + 1, known)?,
            }
        }
        Ok(())
    }

    fn kind(self) -> Option<MetricKind> {
        let temporality = self.temporality;
        match self.key {
            GAUGE => Some(MetricKind::Gauge),
            SUM => Some(MetricKind::Sum { monotonic: self.monotonic, temporality }),
            HISTOGRAM => Some(MetricKind::Histogram { temporality }),
            EXPONENTIAL => Some(MetricKind::ExponentialHistogram { temporality }),
            SUMMARY => Some(MetricKind::Summary),
            _ => None,
        }
    }
}
