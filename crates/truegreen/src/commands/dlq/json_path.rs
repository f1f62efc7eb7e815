//! `$.order.lines[0].sku = "A-1"`: one value of a JSON body put in place of another.

use serde_json::Value;

/// A step on the way to a value.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Step {
    Field(String),
    Item(usize),
}

/// The way to one value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Path(Vec<Step>);

impl Path {
    /// Reads `$.a.b[0]['c d']`.
    pub(super) fn parse(text: &str) -> Result<Path, String> {
        let wrong = |why: &str| format!("`{text}` is no path: {why}\nhint: write it like $.order.lines[0].sku");
        let mut rest = text.trim().strip_prefix('$').ok_or_else(|| wrong("it does not begin with $"))?;
        let mut steps = Vec::new();
        while !rest.is_empty() {
            if let Some(after) = rest.strip_prefix('.') {
                let end = after.find(['.', '[']).unwrap_or(after.len());
                if end == 0 {
                    return Err(wrong("a name is empty"));
                }
                steps.push(Step::Field(after[..end].to_owned()));
                rest = &after[end..];
            } else if let Some(after) = rest.strip_prefix('[') {
                let quote = after.chars().next().filter(|c| matches!(c, '\'' | '"'));
                let (inside, left) = match quote {
                    Some(quote) => after[1..].split_once(&format!("{quote}]")),
                    None => after.split_once(']'),
                }
                .ok_or_else(|| wrong("a bracket is never closed"))?;
                steps.push(match quote {
                    Some(_) => Step::Field(inside.to_owned()),
                    None => Step::Item(inside.parse().map_err(|_| wrong("between brackets stands no number"))?),
                });
                rest = left;
            } else {
                return Err(wrong("after a step comes `.` or `[`"));
            }
        }
        Ok(Path(steps))
    }

    /// The value there.
    pub(super) fn find<'a>(&self, value: &'a Value) -> Option<&'a Value> {
        self.0.iter().try_fold(value, |value, step| match step {
            Step::Field(name) => value.get(name),
            Step::Item(n) => value.get(n),
        })
    }

    /// Puts a value there; the last name may be new, all before it must be there.
    pub(super) fn put(&self, body: &mut Value, new: Value) -> Result<(), String> {
        let Some((last, before)) = self.0.split_last() else {
            *body = new;
            return Ok(());
        };
        let holder = before.iter().try_fold(body, |value, step| match step {
            Step::Field(name) => value.get_mut(name),
            Step::Item(n) => value.get_mut(n),
        });
        let missing = || "the body has nothing there\nhint: see the body with `truegreen dlq show`".to_owned();
        match (holder.ok_or_else(missing)?, last) {
            (Value::Object(fields), Step::Field(name)) => {
                fields.insert(name.clone(), new);
            }
            (Value::Array(items), Step::Item(n)) if *n < items.len() => items[*n] = new,
            _ => return Err(missing()),
        }
        Ok(())
    }
}

/// Reads `PATH=VALUE`; the value is JSON, or a plain text where it is none.
pub(super) fn assignment(text: &str) -> Result<(Path, Value), String> {
    let (path, value) = text
        .split_once('=')
        .ok_or_else(|| format!("`{text}` has no `=`\nhint: write it like --set '$.sku=\"A-1\"'"))?;
    let value = value.trim();
    Ok((Path::parse(path)?, serde_json::from_str(value).unwrap_or_else(|_| Value::from(value))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn one_value_is_put_in_place_of_another() {
        let mut body = json!({"order": {"lines": [{"sku": ""}], "a b": 1}});
        for text in ["$.order.lines[0].sku=\"A-1\"", "$['order']['a b']=2", "$.order.new=plain text"] {
            let (path, value) = assignment(text).unwrap();
            path.put(&mut body, value).unwrap();
        }
        assert_eq!(body, json!({"order": {"lines": [{"sku": "A-1"}], "a b": 2, "new": "plain text"}}));
        assert_eq!(Path::parse("$.order.lines[0].sku").unwrap().find(&body), Some(&json!("A-1")));
        assert_eq!(Path::parse("$.nothing[3]").unwrap().find(&body), None);
        assert!(Path::parse("$.order.lines[7]").unwrap().put(&mut body, json!(1)).is_err());
    }

    #[test]
    fn what_is_no_path_says_why() {
        for text in ["sku", "$.", "$[x]", "$['a", "$a", "$.a..b"] {
            assert!(Path::parse(text).unwrap_err().contains("hint:"), "{text}");
        }
        assert!(assignment("$.a").is_err());
    }
}
