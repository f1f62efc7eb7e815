//! Records to traces, each trace as a tree.

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::Recording;
use super::records::{Log, Span, Trace};

/// Puts spans and logs into their final order, and gives each span its parent, depth and size.
pub(super) fn assemble(recording: &mut Recording) {
    let (spans, span_groups) = grouped_spans(std::mem::take(&mut recording.spans), &mut recording.left_out.duplicates);
    let (logs, log_groups, first_loose) = grouped_logs(std::mem::take(&mut recording.logs));
    let mut traces = paired(&spans, &span_groups, &logs, &log_groups);
    traces.sort_unstable_by_key(|trace| (trace.part, trace.start, trace.id));

    recording.spans.reserve_exact(spans.len());
    recording.logs.reserve_exact(logs.len());
    let mut tree = Tree::default();
    for trace in &mut traces {
        let first_span = recording.spans.len();
        tree.lay_out(&spans[trace.spans()], &mut recording.spans);
        let first_log = recording.logs.len();
        recording.logs.extend_from_slice(&logs[trace.logs()]);
        bind(&mut recording.logs[first_log..], &recording.spans[first_span..], first_span);
        trace.spans = (first_span as u32, recording.spans.len() as u32);
        trace.logs = (first_log as u32, recording.logs.len() as u32);
    }
    let loose = recording.logs.len();
    recording.logs.extend_from_slice(&logs[first_loose..]);
    recording.loose = loose..recording.logs.len();
    recording.by_id = traces.iter().enumerate().map(|(n, trace)| ((trace.part, trace.id), n as u32)).collect();
    recording.traces = traces;
}

type Groups = Vec<(u32, u32)>;

/// Side by side by trace, within each by start; each span once.
fn grouped_spans(spans: Vec<Span>, duplicates: &mut u64) -> (Vec<Span>, Groups) {
    let mut order: Vec<(u16, u128, u64, u64, u32)> =
        spans.iter().enumerate().map(|(n, span)| (span.part, span.trace, span.start, span.id, n as u32)).collect();
    order.sort_unstable();
    let mut sorted: Vec<Span> = Vec::with_capacity(spans.len());
    for (.., n) in order {
        let span = spans[n as usize];
        if sorted.last().is_some_and(|last| is_same(last, &span)) {
            *duplicates += 1;
        } else {
            sorted.push(span);
        }
    }
    let groups = groups(&sorted, |span| (span.part, span.trace));
    (sorted, groups)
}

/// Sent twice, as after a lost answer.
fn is_same(a: &Span, b: &Span) -> bool {
    let key = |span: &Span| (span.part, span.trace, span.id, span.start, span.end, span.service, span.name, span.kind);
    key(a) == key(b)
}

/// Side by side by trace, within each by time; those of no trace last, where the third number says.
fn grouped_logs(logs: Vec<Log>) -> (Vec<Log>, Groups, usize) {
    let mut order: Vec<(bool, u16, u128, u64, u32)> =
        logs.iter().enumerate().map(|(n, log)| (log.trace == 0, log.part, log.trace, log.time, n as u32)).collect();
    order.sort_unstable();
    let sorted: Vec<Log> = order.into_iter().map(|(.., n)| logs[n as usize]).collect();
    let first_loose = sorted.partition_point(|log| log.trace != 0);
    let groups = groups(&sorted[..first_loose], |log| (log.part, log.trace));
    (sorted, groups, first_loose)
}

fn groups<T, K: PartialEq>(sorted: &[T], key: impl Fn(&T) -> K) -> Groups {
    let mut at = 0;
    let ends = sorted.chunk_by(|a, b| key(a) == key(b)).map(|group| {
        let start = at;
        at += group.len() as u32;
        (start, at)
    });
    ends.collect()
}

fn paired(spans: &[Span], span_groups: &Groups, logs: &[Log], log_groups: &Groups) -> Vec<Trace> {
    let mut traces = Vec::with_capacity(span_groups.len());
    let mut by_id: HashMap<(u16, u128), usize, FixedState> = HashMap::default();
    for &(start, end) in span_groups {
        let of = &spans[start as usize..end as usize];
        let last = of.iter().map(|span| span.end).max().unwrap_or(0);
        let Span { trace: id, part, start: first, .. } = of[0];
        by_id.insert((part, id), traces.len());
        traces.push(Trace { id, part, start: first, end: last, spans: (start, end), logs: (0, 0) });
    }
    for &(start, end) in log_groups {
        let of = &logs[start as usize..end as usize];
        let (Log { trace: id, part, time: first, .. }, last) = (of[0], of[of.len() - 1].time);
        match by_id.get(&(part, id)) {
            Some(known) => traces[*known].logs = (start, end),
            None => traces.push(Trace { id, part, start: first, end: last, spans: (0, 0), logs: (start, end) }),
        }
    }
    traces
}

const NONE: u32 = u32::MAX;

/// Room for one trace at a time.
#[derive(Default)]
struct Tree {
    /// Ids with where their spans stand.
    ids: Vec<(u64, u32)>,
    parents: Vec<u32>,
    first_child: Vec<u32>,
    next_sibling: Vec<u32>,
    laid: Vec<bool>,
    stack: Vec<(u32, Option<u32>)>,
}

impl Tree {
    /// Appends the spans (by start) as a tree: each before its children, siblings by start.
    fn lay_out(&mut self, spans: &[Span], out: &mut Vec<Span>) {
        self.find_parents(spans);
        let first = out.len();
        for root in 0..spans.len() as u32 {
            if self.parents[root as usize] == NONE {
                self.descend(root, spans, out);
            }
        }
        // Parents in a ring: the earliest of it is taken as the root.
        for cut in 0..spans.len() as u32 {
            if !self.laid[cut as usize] {
                self.descend(cut, spans, out);
            }
        }
        // A span's tree ends before the next one that is no deeper, which its ancestors learn from their last child.
        for at in (first..out.len()).rev() {
            if let Some(parent) = out[at].parent {
                let below = out[at].below + 1;
                out[parent as usize].below += below;
            }
        }
    }

    fn find_parents(&mut self, spans: &[Span]) {
        let count = spans.len();
        self.ids.clear();
        self.ids.extend(spans.iter().enumerate().map(|(n, span)| (span.id, n as u32)));
        self.ids.sort_unstable();
        for list in [&mut self.parents, &mut self.first_child, &mut self.next_sibling] {
            list.clear();
            list.resize(count, NONE);
        }
        self.laid.clear();
        self.laid.resize(count, false);
        for (n, span) in spans.iter().enumerate().rev() {
            let at = self.ids.partition_point(|(id, _)| *id < span.parent_id);
            let known = self.ids.get(at).filter(|(id, _)| *id == span.parent_id && span.parent_id != 0);
            if let Some((_, parent)) = known.copied().filter(|(_, parent)| *parent as usize != n) {
                self.parents[n] = parent;
                self.next_sibling[n] = self.first_child[parent as usize];
                self.first_child[parent as usize] = n as u32;
            }
        }
    }

    fn descend(&mut self, root: u32, spans: &[Span], out: &mut Vec<Span>) {
        self.stack.push((root, None));
        while let Some((n, parent)) = self.stack.pop() {
            if std::mem::replace(&mut self.laid[n as usize], true) {
                continue;
            }
            let depth = parent.map_or(0, |parent| out[parent as usize].depth.saturating_add(1));
            let at = out.len() as u32;
            out.push(Span { parent, depth, below: 0, ..spans[n as usize] });
            // The earliest child is to be popped first.
            let before = self.stack.len();
            let mut child = self.first_child[n as usize];
            while child != NONE {
                self.stack.push((child, Some(at)));
                child = self.next_sibling[child as usize];
            }
            self.stack[before..].reverse();
        }
    }
}

/// Gives each log of a trace its span.
fn bind(logs: &mut [Log], spans: &[Span], first: usize) {
    if logs.is_empty() || spans.is_empty() {
        return;
    }
    let mut ids: Vec<(u64, u32)> = spans.iter().enumerate().map(|(n, span)| (span.id, n as u32)).collect();
    ids.sort_unstable();
    for log in logs {
        let at = ids.partition_point(|(id, _)| *id < log.span_id);
        let named = ids.get(at).filter(|(id, _)| *id == log.span_id && log.span_id != 0).map(|(_, n)| *n);
        let span = named.or_else(|| under_way(log, spans));
        log.span = span.map(|n| first as u32 + n);
    }
}

/// The innermost span of the log's sender at its time.
fn under_way(log: &Log, spans: &[Span]) -> Option<u32> {
    let covers = |span: &Span| span.service == log.service && span.start <= log.time && log.time <= span.end;
    let of = spans.iter().enumerate().filter(|(_, span)| covers(span));
    let innermost = of.max_by_key(|(n, span)| (span.instance == log.instance, span.start, span.depth, *n));
    innermost.map(|(n, _)| n as u32)
}
