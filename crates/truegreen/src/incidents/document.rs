//! A document of headings, paragraphs, lists and tables, as Markdown or as one page of HTML that needs nothing else. What it
//! is made of comes from peers: everything is escaped in both.

use maud::{DOCTYPE, Markup, html};
use truegreen_connect::dead_letters::payload;

/// A document, from top to bottom.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Document {
    title: String,
    blocks: Vec<Block>,
}

#[derive(Clone, PartialEq, Debug)]
enum Block {
    Heading(String),
    Paragraph(String),
    List(Vec<String>),
    Table(Vec<String>, Vec<Vec<String>>),
    Code(String),
}

impl Document {
    /// With a title and nothing else.
    pub fn new(title: &str) -> Document {
        Document { title: payload::line(title, usize::MAX), blocks: Vec::new() }
    }

    pub(crate) fn heading(&mut self, text: &str) {
        self.blocks.push(Block::Heading(payload::line(text, usize::MAX)));
    }

    pub(crate) fn paragraph(&mut self, text: &str) {
        if !text.trim().is_empty() {
            self.blocks.push(Block::Paragraph(payload::harmless(text.trim())));
        }
    }

    /// Nothing where there are no items.
    pub(crate) fn list(&mut self, items: impl IntoIterator<Item = String>) {
        let items: Vec<String> = items.into_iter().map(|item| payload::line(&item, usize::MAX)).collect();
        if !items.is_empty() {
            self.blocks.push(Block::List(items));
        }
    }

    /// Nothing where there are no rows.
    pub(crate) fn table(&mut self, head: &[&str], rows: Vec<Vec<String>>) {
        if rows.is_empty() {
            return;
        }
        let line = |cell: &String| payload::line(cell, usize::MAX);
        let rows = rows.iter().map(|row| row.iter().map(line).collect()).collect();
        self.blocks.push(Block::Table(head.iter().map(|cell| (*cell).to_owned()).collect(), rows));
    }

    pub(crate) fn code(&mut self, text: &str) {
        self.blocks.push(Block::Code(payload::harmless(text)));
    }

    /// Puts another document behind this one, its title as a heading.
    pub(crate) fn append(&mut self, other: Document) {
        self.heading(&other.title);
        self.blocks.extend(other.blocks);
    }

    /// As Markdown.
    pub fn markdown(&self) -> String {
        let mut text = format!("# {}\n", escaped(&self.title));
        for block in &self.blocks {
            text.push('\n');
            text.push_str(&markdown(block));
        }
        text
    }

    /// As a page of its own.
    pub fn html(&self) -> String {
        html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta http-equiv="content-security-policy" content="default-src 'none'; style-src 'unsafe-inline'";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    title { (self.title) }
                    style { (STYLE) }
                }
                body { h1 { (self.title) } (self.body()) }
            }
        }
        .into_string()
    }

    /// What stands below the title.
    pub(crate) fn body(&self) -> Markup {
        html! { @for block in &self.blocks { (markup(block)) } }
    }
}

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:62rem;margin:2rem auto;padding:0 1rem;color-scheme:light dark}\
    table{border-collapse:collapse;width:100%}th,td{text-align:left;vertical-align:top;padding:.25rem .6rem .25rem 0;\
    border-bottom:1px solid #8886;overflow-wrap:anywhere}td,li,p{unicode-bidi:isolate}pre{white-space:pre-wrap;\
    overflow-wrap:anywhere;border:1px solid #8886;padding:.6rem}";

fn markup(block: &Block) -> Markup {
    html! {
        @match block {
            Block::Heading(text) => { h2 { (text) } }
            Block::Paragraph(text) => { p { @for (n, line) in text.lines().enumerate() { @if n > 0 { br; } (line) } } }
            Block::List(items) => { ul { @for item in items { li { (item) } } } }
            Block::Table(head, rows) => {
                table {
                    thead { tr { @for cell in head { th { (cell) } } } }
                    tbody { @for row in rows { tr { @for cell in row { td { (cell) } } } } }
                }
            }
            Block::Code(text) => { pre { (text) } }
        }
    }
}

fn markdown(block: &Block) -> String {
    match block {
        Block::Heading(text) => format!("## {}\n", escaped(text)),
        Block::Paragraph(text) => {
            let lines: Vec<String> = text.lines().map(escaped).collect();
            format!("{}\n", lines.join("\\\n"))
        }
        Block::List(items) => items.iter().map(|item| format!("- {}\n", escaped(item))).collect(),
        Block::Table(head, rows) => {
            let row = |cells: &[String]| {
                let cells: Vec<String> = cells.iter().map(|cell| escaped(cell)).collect();
                format!("| {} |\n", cells.join(" | "))
            };
            let line = format!("|{}\n", " --- |".repeat(head.len()));
            let rows: String = rows.iter().map(|cells| row(cells)).collect();
            format!("{}{line}{rows}", row(head))
        }
        Block::Code(text) => {
            // Longer than any run within, so that nothing ends it early.
            let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
            let fence = "`".repeat(longest.max(2) + 1);
            format!("{fence}\n{text}\n{fence}\n")
        }
    }
}

/// Text that Markdown takes at its word, on one line.
pub(crate) fn escaped(text: &str) -> String {
    // Blanks before it make code of it, and only at its beginning it may begin a list, a heading or a rule.
    let text = text.trim_start();
    let digits = text.chars().take_while(char::is_ascii_digit).count();
    if text.starts_with(['#', '-', '+', '=']) {
        format!("\\{}", inline(text))
    } else if digits > 0
        && text[digits..].starts_with(['.', ')'])
        && !text[digits + 1..].starts_with(char::is_alphanumeric)
    {
        format!("{}\\{}", &text[..digits], inline(&text[digits..]))
    } else {
        inline(text)
    }
}

fn inline(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut before = None;
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        let is_word = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '\\' | '`' | '*' | '[' | ']' | '|' | '~' => out.extend(['\\', c]),
            // Within a word it emphasises nothing.
            '_' if !(is_word(before) && is_word(rest.peek().copied())) => out.push_str("\\_"),
            c => out.push(c),
        }
        before = Some(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_text_is_taken_at_its_word_in_both() {
        let hostile = "<script>alert(1)</script> ![x](javascript:1) | a_b _c_ `d`\u{202e}";
        let mut document = Document::new(hostile);
        document.heading(hostile);
        document.paragraph(&format!("{hostile}\n# not a heading\n1. not a list"));
        document.list([hostile.to_owned(), "- no list".to_owned()]);
        document.table(&["a"], vec![vec![format!("{hostile}\nb")]]);
        document.code("```\n<b>\n````");
        let (page, text) = (document.html(), document.markdown());
        assert!(!page.contains("<script>") && !page.contains("<b>") && !page.contains('\u{202e}'), "{page}");
        assert!(!text.contains("<script>") && !text.contains("![x]") && !text.contains('\u{202e}'), "{text}");
        assert!(
            text.contains("a_b \\_c\\_ \\`d\\`") && text.contains("\\# not a heading") && text.contains("1\\. not")
        );
        assert!(text.contains("- \\- no list\n") && text.contains("`````\n```\n"), "{text}");
    }

    #[test]
    fn plain_text_stays_as_it_is() {
        for plain in ["3 of 4 orders - lost", "service.name = shop", "10.5 % (a)", "2026-01-01 10:00:00 UTC"] {
            assert_eq!(escaped(plain), plain);
        }
    }
}
