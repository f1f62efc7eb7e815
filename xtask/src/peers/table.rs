//! Figures as people read them.

/// A table in Markdown.
pub(crate) struct Table(String);

impl Table {
    pub(crate) fn new(head: &[&str]) -> Table {
        let mut table = Table(String::new());
        table.row(head.iter().map(|cell| (*cell).to_owned()).collect());
        table.row(head.iter().map(|_| "---".to_owned()).collect());
        table
    }

    pub(crate) fn row(&mut self, cells: Vec<String>) {
        self.0 += &format!("| {} |\n", cells.join(" | "));
    }

    pub(crate) fn text(self) -> String {
        self.0
    }
}

/// The one in the middle; of an even number the lower of the two.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len().saturating_sub(1) / 2).copied().unwrap_or_default()
}

/// `640 k` or `2.31 M`.
pub(crate) fn millions(rate: f64) -> String {
    if rate < 1e6 { format!("{:.0} k", rate / 1e3) } else { format!("{:.2} M", rate / 1e6) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_read_well() {
        assert_eq!((millions(640_400.0), millions(2_314_000.0)), ("640 k".to_owned(), "2.31 M".to_owned()));
        assert_eq!((median(&[3.0, 1.0, 2.0]), median(&[2.0, 1.0]), median(&[])), (2.0, 1.0, 0.0));
        let mut table = Table::new(&["a", "b"]);
        table.row(vec!["1".to_owned(), "2".to_owned()]);
        assert_eq!(table.text(), "| a | b |\n| --- | --- |\n| 1 | 2 |\n");
    }
}
