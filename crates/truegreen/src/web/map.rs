//! The map that traffic draws, as a picture, with what hides on it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use dagre::graph::{Graph, GraphOptions};
use dagre::{EdgeLabel, LayoutOptions, NodeLabel, Point, RankDir, layout};
use maud::{Markup, PreEscaped, html};
use truegreen_model::map::{Arrow, ArrowKind, BlindSpot, Map};

use super::short_time;

/// Arrows drawn, those that carry most: more than that nobody reads.
const MAX_DRAWN: usize = 150;
/// About as wide as a letter of the picture's font is.
const LETTER: f64 = 6.2;
const HEIGHT: f64 = 28.0;
const LONGEST_NAME: usize = 40;

pub(super) fn body(map: &Map, spots: &[BlindSpot]) -> Markup {
    let (unseen, seen): (Vec<_>, Vec<_>) = spots.iter().partition(|spot| !spot.is_seen);
    html! {
        h1 { "Where a failure could hide" }
        @if map.arrows.is_empty() {
            p { "No trace was put together yet. Once spans arrive, the map draws itself within half a minute." }
        } @else {
            p { (unseen.len()) " ways to fail in silence would not be seen as things are; " (seen.len()) " would." }
            (PreEscaped(svg(map, spots)))
            p class="quiet" { "Dashed: some way to fail there would not be seen." @if map.arrows.len() > MAX_DRAWN { " Drawn are the " (MAX_DRAWN) " arrows that carry most." } }
            (table("Not seen", &unseen))
            (table("Seen", &seen))
            (arrows(map))
        }
        p { a href="/" { "Back to the books" } }
    }
}

fn table(title: &str, spots: &[&BlindSpot]) -> Markup {
    let closes = spots.iter().any(|spot| !spot.closes.is_empty());
    html! {
        @if !spots.is_empty() {
            h2 { (title) }
            table {
                thead { tr { th { "from" } th { "to" } th { "way to fail" } th { (if closes { "why it is not seen" } else { "what would show it" }) } @if closes { th { "what closes it" } } } }
                tbody {
                    @for spot in spots {
                        tr { td { (spot.from) } td { (spot.to) } td { (spot.way.replace('_', " ")) } td { (spot.by) } @if closes { td { (spot.closes) } } }
                    }
                }
            }
        }
    }
}

fn arrows(map: &Map) -> Markup {
    html! {
        h2 { "All arrows" }
        table {
            thead { tr {
                th { "kind" } th { "from" } th { "to" } th class="number" { "spans" } th class="number" { "failed" }
                th class="number" { "median" } th class="number" { "p99" } th { "last seen" }
            } }
            tbody {
                @for arrow in &map.arrows {
                    tr {
                        td { (arrow.kind.name()) } td { (arrow.from) } td { (arrow.to) }
                        td class="number" { (arrow.count) } td class="number" { (arrow.errors) }
                        td class="number" { (milliseconds(arrow.p50_seconds)) } td class="number" { (milliseconds(arrow.p99_seconds)) }
                        td { (short_time(&arrow.last_seen)) }
                    }
                }
            }
        }
    }
}

fn milliseconds(seconds: f64) -> String {
    format!("{:.3} ms", seconds * 1e3)
}

/// The picture by itself.
pub(super) fn svg(map: &Map, spots: &[BlindSpot]) -> String {
    let mut drawn: Vec<&Arrow> = map.arrows.iter().collect();
    drawn.sort_by_key(|arrow| std::cmp::Reverse(arrow.count));
    drawn.truncate(MAX_DRAWN);
    let names: BTreeSet<&str> = drawn.iter().flat_map(|arrow| [arrow.from.as_str(), arrow.to.as_str()]).collect();
    let names: Vec<&str> = names.into_iter().collect();
    // Ids of the layout are ours: what peers sent stays text.
    let ids: BTreeMap<&str, String> = names.iter().enumerate().map(|(n, name)| (*name, n.to_string())).collect();
    let mut graph: Graph<NodeLabel, EdgeLabel> =
        Graph::with_options(GraphOptions { directed: true, multigraph: true, compound: true });
    for name in &names {
        let width = shown(name).chars().count() as f64 * LETTER + 20.0;
        graph.set_node(ids[name].clone(), Some(NodeLabel { width, height: HEIGHT, ..NodeLabel::default() }));
    }
    for arrow in &drawn {
        let (from, to) = (&ids[arrow.from.as_str()], &ids[arrow.to.as_str()]);
        graph.set_edge(from.as_str(), to.as_str(), Some(EdgeLabel::default()), Some(arrow.kind.name()));
    }
    let options = LayoutOptions {
        rankdir: RankDir::LR,
        nodesep: 18.0,
        ranksep: 60.0,
        marginx: 8.0,
        marginy: 8.0,
        ..LayoutOptions::default()
    };
    layout(&mut graph, Some(options));

    let mut picture = Picture::default();
    for arrow in &drawn {
        let (from, to) = (&ids[arrow.from.as_str()], &ids[arrow.to.as_str()]);
        let Some(label) = graph.edge(from, to, Some(arrow.kind.name())) else { continue };
        let hides = spots
            .iter()
            .any(|spot| !spot.is_seen && (spot.kind, &spot.from, &spot.to) == (arrow.kind, &arrow.from, &arrow.to));
        picture.arrow(arrow, &label.points, hides);
    }
    let stores: BTreeSet<&str> = drawn
        .iter()
        .filter_map(|arrow| match arrow.kind {
            ArrowKind::Publish | ArrowKind::Database | ArrowKind::Cache => Some(arrow.to.as_str()),
            ArrowKind::Process => Some(arrow.from.as_str()),
            ArrowKind::Call => None,
        })
        .collect();
    for name in &names {
        if let Some(NodeLabel { x: Some(x), y: Some(y), width, .. }) = graph.node(&ids[name]) {
            picture.node(name, (*x, *y), *width, stores.contains(name));
        }
    }
    picture.finish()
}

fn shown(name: &str) -> String {
    if name.chars().count() <= LONGEST_NAME {
        return name.to_owned();
    }
    name.chars().take(LONGEST_NAME - 1).chain(['…']).collect()
}

/// What is drawn so far, and how large it became.
#[derive(Default)]
struct Picture {
    shapes: String,
    width: f64,
    height: f64,
}

impl Picture {
    fn arrow(&mut self, arrow: &Arrow, points: &[Point], hides: bool) {
        let class = if hides { "arrow hides" } else { "arrow" };
        let path: Vec<String> = points.iter().map(|point| format!("{:.1},{:.1}", point.x, point.y)).collect();
        for point in points {
            self.reach(point.x, point.y);
        }
        let title = format!(
            "{} from {} to {}: {} spans, {} failed, p99 {}",
            arrow.kind.name(),
            arrow.from,
            arrow.to,
            arrow.count,
            arrow.errors,
            milliseconds(arrow.p99_seconds)
        );
        let line = html! { polyline class=(class) fill="none" stroke="#888" points=(path.join(" ")) marker-end="url(#tip)" { title { (title) } } };
        self.shapes.push_str(&line.into_string());
    }

    fn node(&mut self, name: &str, (x, y): (f64, f64), width: f64, is_store: bool) {
        self.reach(x + width / 2.0, y + HEIGHT / 2.0);
        let (left, top) = (format!("{:.1}", x - width / 2.0), format!("{:.1}", y - HEIGHT / 2.0));
        let node = html! {
            g class=(if is_store { "node store" } else { "node" }) {
                rect x=(left) y=(top) width=(format!("{width:.1}")) height=(HEIGHT) rx=(if is_store { 2 } else { 10 }) fill="none" stroke="#888" {}
                text x=(format!("{x:.1}")) y=(format!("{:.1}", y + 3.5)) text-anchor="middle" { (shown(name)) }
                title { (name) }
            }
        };
        self.shapes.push_str(&node.into_string());
    }

    fn reach(&mut self, x: f64, y: f64) {
        self.width = self.width.max(x);
        self.height = self.height.max(y);
    }

    fn finish(self) -> String {
        let (width, height) = (self.width + 8.0, self.height + 8.0);
        let mut svg = String::new();
        // Writing into a String does not fail.
        let _ = write!(
            svg,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"map\" viewBox=\"0 0 {width:.0} {height:.0}\" \
             width=\"{width:.0}\" font-family=\"sans-serif\" font-size=\"10\" role=\"img\" aria-label=\"Map of calls and messages\"><defs>\
             <marker id=\"tip\" viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" markerWidth=\"7\" markerHeight=\"7\" orient=\"auto\">\
             <path d=\"M0,0 L8,4 L0,8 z\" fill=\"#888\"/></marker></defs>{}</svg>",
            self.shapes
        );
        svg
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::whole;

    fn arrow(kind: ArrowKind, from: &str, to: &str, count: u64) -> Arrow {
        let last_seen = "2026-01-01T10:00:00Z".to_owned();
        let (from, to) = (from.to_owned(), to.to_owned());
        Arrow { kind, from, to, count, errors: 1, p50_seconds: 0.002, p99_seconds: 0.01, last_seen, tied: 1.0 }
    }

    fn map() -> Map {
        Map {
            arrows: vec![
                arrow(ArrowKind::Call, "storefront", "orders", 400),
                arrow(ArrowKind::Publish, "orders", "stock-events", 400),
                arrow(ArrowKind::Process, "stock-events", "inventory", 392),
                arrow(ArrowKind::Database, "inventory", "sqlite: stock", 392),
            ],
        }
    }

    fn spot(is_seen: bool) -> BlindSpot {
        BlindSpot {
            kind: ArrowKind::Process,
            from: "stock-events".to_owned(),
            to: "inventory".to_owned(),
            way: "skipped_message".to_owned(),
            is_seen,
            by: "why".to_owned(),
            closes: if is_seen { String::new() } else { "a contract".to_owned() },
        }
    }

    #[test]
    fn the_page_shows_the_map_and_what_hides_on_it() {
        let text = whole("Map", None, &body(&map(), &[spot(false), spot(true)])).into_string();
        insta::assert_snapshot!(text.replace('>', ">\n"));
    }

    #[test]
    fn an_arrow_that_hides_something_is_dashed() {
        assert_eq!(svg(&map(), &[spot(false)]).matches("arrow hides").count(), 1);
        assert_eq!(svg(&map(), &[spot(true)]).matches("arrow hides").count(), 0);
    }

    #[test]
    fn rings_crowds_and_hostile_names_are_drawn_too() {
        let hostile = "</text><script>alert(1)</script>";
        let mut arrows: Vec<Arrow> =
            (0..400).map(|n| arrow(ArrowKind::Call, &format!("s{}", n % 40), &format!("s{}", n * 7 % 41), n)).collect();
        arrows.push(arrow(ArrowKind::Call, hostile, hostile, 1_000));
        let picture = svg(&Map { arrows }, &[]);
        assert!(!picture.contains("<script"), "{picture}");
        assert_eq!(picture.matches("<polyline").count(), MAX_DRAWN);
    }
}
