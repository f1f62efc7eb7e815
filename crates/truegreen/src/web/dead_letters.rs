//! Dead letters: what is alike first, then each letter.

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use maud::{Markup, html};
use truegreen_connect::dead_letters::group::{By, Group};
use truegreen_connect::dead_letters::payload;
use truegreen_connect::dead_letters::redact::Redaction;
use truegreen_model::letter::Letter;

use super::{document, encoded, short_time, trace_href};
use crate::api::dead_letters::Which;
use crate::dead_letters::choice::Choice;
use crate::dead_letters::desk::PlaceGroups;
use crate::server::Seen;
use crate::wording;

/// Of a body's text.
const MAX_SHOWN_BYTES: usize = 64 << 10;
/// Of an error in a list.
const MAX_ERROR_CHARS: usize = 300;

#[derive(serde::Deserialize)]
pub(super) struct GroupedBy {
    by: Option<String>,
}

pub(super) async fn overview(State(seen): State<Seen>, Query(asked): Query<GroupedBy>) -> Response {
    let by = asked.by.as_deref().and_then(By::named).unwrap_or_default();
    let places = seen.desk.overview(by).await;
    document(StatusCode::OK, "Dead letters", None, &all(&places, by, seen.desk.has_systems()))
}

pub(super) async fn place(
    State(seen): State<Seen>,
    Path((system, place)): Path<(String, String)>,
    Query(which): Query<Which>,
) -> Response {
    let choice = which.choice();
    match seen.desk.letters(&system, &place, &choice).await {
        Ok(Some(letters)) => {
            let body = list(&system, &place, &letters, &choice, seen.desk.redaction());
            document(StatusCode::OK, &format!("Dead letters in {place}"), None, &body)
        }
        Ok(None) => failed(StatusCode::NOT_FOUND, "No system with dead letters has this name."),
        Err(error) => failed(StatusCode::BAD_GATEWAY, &error.to_string()),
    }
}

pub(super) async fn letter(
    State(seen): State<Seen>,
    Path((system, place, id)): Path<(String, String, String)>,
) -> Response {
    let choice = Choice { ids: vec![id.clone()], limit: Some(1), ..Choice::default() };
    match seen.desk.letters(&system, &place, &choice).await.map(|letters| letters.unwrap_or_default().pop()) {
        Ok(Some(letter)) => {
            let body = one(&system, &place, &letter, seen.desk.redaction());
            document(StatusCode::OK, &format!("Dead letter {id}"), None, &body)
        }
        Ok(None) => failed(StatusCode::NOT_FOUND, "No such letter lies there: it may have been sent back, or removed."),
        Err(error) => failed(StatusCode::BAD_GATEWAY, &error.to_string()),
    }
}

fn failed(status: StatusCode, told: &str) -> Response {
    let body = html! {
        p { a href="/dead-letters" { "All dead letters" } }
        h1 class="cannot-tell" { "CANNOT TELL what lies there." }
        @for line in told.lines() { p { (line) } }
    };
    document(status, "Dead letters", None, &body)
}

fn all(places: &[PlaceGroups], by: By, has_systems: bool) -> Markup {
    let letters: u64 = places.iter().map(|place| place.letters.unwrap_or(place.looked)).sum();
    let unknown = places.iter().filter(|place| place.error.is_some()).count() as u64;
    let class = if unknown > 0 || !has_systems {
        "cannot-tell"
    } else if letters > 0 {
        "broken"
    } else {
        "working"
    };
    html! {
        p { a href="/" { "All flows" } }
        h1 class=(class) {
            @if !has_systems {
                "CANNOT TELL: no system with dead letters is configured."
            } @else {
                (wording::count(letters, "dead letter")) " in " (wording::count(places.len() as u64, "place"))
                @if unknown > 0 { "; " (unknown) " could not be read" } "."
            }
        }
        p class="quiet" {
            "Grouped by "
            @for (own, name) in By::ALL {
                @if own == by { b { (name) } } @else { a href={ "/dead-letters?by=" (name) } { (name) } } " "
            }
        }
        @for place in places { (groups(place, by)) }
        p { "To edit, send back or throw away: " code { "truegreen dlq" } ". " a href="/api/v1/dead-letters/groups" { "This as JSON" } "." }
    }
}

fn groups(place: &PlaceGroups, by: By) -> Markup {
    let href = place_href(&place.system, &place.place);
    html! {
        h2 {
            @if place.place.is_empty() { (place.system) } @else { a href=(href) { (place.place) } " of " (place.system) }
            @if let Some(letters) = place.letters { ": " (wording::count(letters, "letter")) }
        }
        @if let Some(error) = &place.error { p { b { "Not read: " } (error) } }
        @if !place.warning.is_empty() { p { b { "Mind: " } (place.warning) } }
        @if place.is_cut { p class="quiet" { "Grouped are the first " (place.looked) "." } }
        @if !place.groups.is_empty() {
            table {
                thead { tr { th class="number" { "letters" } th { (title(by)) } th { "what it said" } th { "since" } th { "last" } } }
                tbody { @for group in &place.groups { (row(group, by, &href)) } }
            }
        }
        @if place.further > 0 { p { (place.further) " more in further groups." } }
    }
}

fn title(by: By) -> &'static str {
    match by {
        By::Error => "error, first own frame",
        By::Type => "message type",
        By::Origin => "came from",
    }
}

fn row(group: &Group, by: By, href: &str) -> Markup {
    let parameter = match by {
        By::Error => "error",
        By::Type => "type",
        By::Origin => "origin",
    };
    let mut link = format!("{href}?{parameter}={}", encoded(&group.name));
    if by == By::Error {
        link.push_str(&format!("&frame={}", encoded(&group.frame)));
    }
    html! {
        tr {
            td class="number" { (group.letters) }
            td {
                a href=(link) { @if group.name.is_empty() { "nothing tells" } @else { (safe(&group.name)) } }
                @if !group.frame.is_empty() { br; code { (safe(&group.frame)) } }
            }
            td { (payload::line(&group.error, MAX_ERROR_CHARS)) @if !group.among.is_empty() { br; span class="quiet" { (safe(&group.among.join(", "))) } } }
            td { (short_time(&group.first_died_at)) }
            td { (short_time(&group.last_died_at)) }
        }
    }
}

fn list(system: &str, place: &str, letters: &[Letter], choice: &Choice, redaction: &Redaction) -> Markup {
    html! {
        p { a href="/dead-letters" { "All dead letters" } }
        h1 { "Dead letters in " (safe(place)) " of " (safe(system)) }
        @if !choice.is_all() { p { "Only: " (safe(&choice.in_words())) ". " a href=(place_href(system, place)) { "All of them" } "." } }
        @if letters.is_empty() { p { "None fits." } } @else {
            table {
                thead { tr { th { "letter" } th { "type" } th { "came from" } th { "error" } th { "died" } } }
                tbody {
                    @for letter in letters {
                        tr {
                            td { a href=(letter_href(system, place, &letter.id)) { code { (safe(&letter.id)) } } }
                            td { (safe(&letter.message_type)) }
                            td { (safe(&letter.origin)) }
                            td { (safe(&letter.error_type)) " " (payload::line(&redaction.text(&letter.error), MAX_ERROR_CHARS)) }
                            td { (short_time(&letter.died_at)) }
                        }
                    }
                }
            }
        }
    }
}

fn one(system: &str, place: &str, letter: &Letter, redaction: &Redaction) -> Markup {
    let shown = payload::show(&letter.body, redaction, MAX_SHOWN_BYTES);
    let error = redaction.text(&letter.error);
    let deaths = letter.deaths.to_string();
    let facts = [
        ("came from", letter.origin.as_str()),
        ("key", &letter.key),
        ("message id", &letter.message_id),
        ("type", &letter.message_type),
        ("error", &letter.error_type),
        ("it said", &error),
        ("own frame", &letter.frame),
        ("died at", &letter.died_at),
        ("deaths", &deaths),
    ];
    let trace = letter.traceparent.split('-').nth(1).unwrap_or_default();
    html! {
        p { a href="/dead-letters" { "All dead letters" } " / " a href=(place_href(system, place)) { (safe(place)) } }
        h1 { "Dead letter " code { (safe(&letter.id)) } }
        dl {
            @for (name, value) in facts { @if !value.is_empty() { dt { (name) } dd { (safe(value)) } } }
            @if !trace.is_empty() { dt { "first life" } dd { a href=(trace_href(trace)) { code { (safe(trace)) } } } }
        }
        @if letter.is_cut { p { b { "It is longer than what is read of one: it is shown in part, and never sent." } } }
        h2 { "Body (" (shown.form.name()) ", " (wording::count(letter.body.len() as u64, "byte")) ")" }
        pre { (shown.text) }
        @if shown.left_out > 0 { p class="quiet" { "and " (wording::count(shown.left_out as u64, "byte")) " more" } }
        @if !letter.headers.is_empty() {
            h2 { "Headers" }
            dl { @for (name, value) in &letter.headers { dt { (safe(name)) } dd { (safe(&redaction.text(redaction.header(name, value)))) } } }
        }
    }
}

/// On one line, with control characters written out.
fn safe(text: &str) -> String {
    payload::line(text, 2_000)
}

fn place_href(system: &str, place: &str) -> String {
    format!("/dead-letters/{}/{}", encoded(system), encoded(place))
}

/// The page of one letter.
pub(super) fn letter_href(system: &str, place: &str, id: &str) -> String {
    format!("{}/{}", place_href(system, place), encoded(id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::whole;

    fn group(name: &str, letters: u64) -> Group {
        Group {
            name: name.to_owned(),
            frame: "com.shop.Reserve.apply(Reserve.java:41)".to_owned(),
            letters,
            error: "none left".to_owned(),
            first_died_at: "2026-01-01T00:00:00Z".to_owned(),
            last_died_at: "2026-01-01T00:10:00Z".to_owned(),
            among: vec!["OrderPlaced".to_owned()],
            examples: vec!["7".to_owned()],
        }
    }

    #[test]
    fn groups_come_first_and_what_could_not_be_read_is_said() {
        let places = [
            PlaceGroups {
                system: "broker".to_owned(),
                place: "orders.dead".to_owned(),
                letters: Some(17),
                looked: 17,
                warning: "no dead-letter exchange behind this queue".to_owned(),
                groups: vec![group("com.shop.OutOfStock", 16), group("", 1)],
                ..PlaceGroups::default()
            },
            PlaceGroups {
                system: "cache".to_owned(),
                error: Some("cannot be reached".to_owned()),
                ..PlaceGroups::default()
            },
        ];
        let text = whole("Dead letters", None, &all(&places, By::Error, true)).into_string();
        insta::assert_snapshot!(text.replace('>', ">\n"));
    }

    #[test]
    fn what_a_letter_holds_is_escaped_and_its_secrets_hidden() {
        let hostile = "<script>alert(1)</script>\u{202e}\x1b";
        let letter = Letter {
            id: hostile.to_owned(),
            origin: hostile.to_owned(),
            error: format!("{hostile} password=hunter2"),
            headers: vec![
                (hostile.to_owned(), hostile.to_owned()),
                ("authorization".to_owned(), "Bearer hunter2".to_owned()),
            ],
            body: format!("{{\"a\":\"{hostile}\",\"token\":\"hunter2\"}}").into_bytes(),
            ..Letter::default()
        };
        let redaction = Redaction::default();
        for page in [
            one(hostile, hostile, &letter, &redaction),
            list(hostile, hostile, std::slice::from_ref(&letter), &Choice::default(), &redaction),
            all(
                &[PlaceGroups { place: "x".to_owned(), groups: vec![group(hostile, 1)], ..PlaceGroups::default() }],
                By::Type,
                true,
            ),
        ] {
            let text = page.into_string();
            assert!(!text.contains("<script>") && !text.contains("hunter2"), "{text}");
            assert!(!text.contains(['\u{202e}', '\x1b']), "{text}");
        }
    }
}
