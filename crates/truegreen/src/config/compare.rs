//! `systems.NAME.compare`: what a cache says held against its source.

use std::time::Duration;

use super::positive_duration;
use super::systems::named;
use super::tree::Section;
use crate::systems::comparing::comparison::{
    Asked, Comparison, KeysOf, LEAST_SAMPLE, MAX_COMPARISONS, MOST_SAMPLE, SAMPLE,
};
use crate::systems::comparing::value::Pick;

/// All of one system, of which some are left out where they have mistakes. `every` is the system's.
pub(super) fn read(system: &str, section: &mut Section<'_>, every: Duration) -> Vec<Comparison> {
    let comparisons = section.named("compare");
    if comparisons.len() > MAX_COMPARISONS {
        section.wrong(format!("`compare` names {}, more than {MAX_COMPARISONS}", comparisons.len()));
    }
    comparisons.into_iter().filter_map(|(name, section)| one(system, name, section, every)).collect()
}

fn one(system: &str, name: &str, mut section: Section<'_>, every: Duration) -> Option<Comparison> {
    let ask = section.required("ask", named);
    let value = section.scalar("value", Pick::parse).unwrap_or_default();
    let keys = keys(&mut section);
    let source = match section.section("source") {
        Some(source) => source_of(source),
        None => {
            section.wrong(format!(
                "`systems.{system}.compare.{name}.source` is missing\nhint: source: {{system: .., ask: ..}}"
            ));
            None
        }
    };
    let within = section.required("within", positive_duration);
    let sample = section.scalar("sample", sample).unwrap_or(SAMPLE);
    let every = section.scalar("every", positive_duration).unwrap_or(every);
    section.finish();

    let cache = Asked { system: system.to_owned(), ask: ask?, value };
    let ((source, age), name) = (source?, name.to_owned());
    Some(Comparison { name, cache, keys, source, age, within: within?, sample, every })
}

/// By themselves, or with the system that lists them.
fn keys(section: &mut Section<'_>) -> KeysOf {
    if !section.is_mapping("keys") {
        return KeysOf { system: None, ask: section.scalar("keys", named) };
    }
    let Some(mut keys) = section.section("keys") else { return KeysOf::default() };
    let listed = KeysOf { system: keys.scalar("system", named), ask: keys.required("ask", named) };
    keys.finish();
    listed
}

fn source_of(mut section: Section<'_>) -> Option<(Asked, Option<String>)> {
    let (system, ask) = (section.required("system", named), section.required("ask", named));
    let value = section.scalar("value", Pick::parse).unwrap_or_default();
    let age = section.scalar("age", named);
    section.finish();
    Some((Asked { system: system?, ask: ask?, value }, age))
}

fn sample(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| (LEAST_SAMPLE..=MOST_SAMPLE).contains(number));
    number.ok_or_else(|| format!("`{text}` is not a number of keys from {LEAST_SAMPLE} to {MOST_SAMPLE}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn every_field_of_a_comparison_can_be_set() {
        let text = "
systems:
  product-cache:
    url: redis://127.0.0.1
    every: 1m
    compare:
      prices:
        ask: GET product:{key}
        value: $.price
        keys: {system: catalog-db, ask: SELECT id FROM products}
        source: {system: catalog-db, ask: SELECT price FROM products WHERE id = $1, value: price, age: age}
        within: 30s
        sample: 100
        every: 15s
      stock:
        ask: GET stock:{key}
        keys: stock:{key}
        source: {system: catalog-db, ask: SELECT left FROM stock WHERE id = $1}
        within: 1m
  catalog-db: {url: 'postgres://127.0.0.1/shop'}
";
        let config = Config::parse(text).unwrap();
        let [prices, stock] = &config.comparisons[..] else { panic!("{:?}", config.comparisons) };
        assert_eq!((prices.cache.system.as_str(), prices.cache.ask.as_str()), ("product-cache", "GET product:{key}"));
        assert_eq!((prices.keys.system.as_deref(), prices.age.as_deref()), (Some("catalog-db"), Some("age")));
        assert_eq!((prices.sample, prices.every, prices.within.as_secs()), (100, Duration::from_secs(15), 30));
        assert!(matches!(prices.cache.value, Pick::Path(_)));
        assert_eq!(prices.source.value, Pick::Column("price".to_owned()));
        assert_eq!(stock.keys, KeysOf { system: None, ask: Some("stock:{key}".to_owned()) });
        assert_eq!((stock.sample, stock.every, &stock.age), (SAMPLE, Duration::from_secs(60), &None));
        assert_eq!((config.systems.len(), &stock.source.value), (2, &Pick::Whole));
    }

    #[test]
    fn mistakes_in_a_comparison_are_told_with_their_lines() {
        let text = "systems:
  cache:
    url: redis://127.0.0.1
    compare:
      prices:
        ask: GET p:{key}
        value: $.price[
        within: soon
        sample: 1000
        keys: [a]
        source:
          system: cache
          lag: 3
";
        let mistakes = Config::parse(text).unwrap_err();
        let lines: Vec<u64> = mistakes.iter().map(|mistake| mistake.line).collect();
        assert_eq!(lines, [7, 8, 9, 10, 12, 13], "{mistakes:?}");
        let lacking = "systems: {cache: {url: 'redis://127.0.0.1', compare: {prices: {ask: GET x}}}}";
        let mistakes = format!("{:?}", Config::parse(lacking).unwrap_err());
        for part in ["prices.source` is missing", "prices.within` is missing"] {
            assert!(mistakes.contains(part), "{mistakes}");
        }
    }
}
