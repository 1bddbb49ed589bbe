//! Partial comparison: only what the expectation names.

use serde_json::Value;

use super::names::Names;

/// Whether a value is as expected, or where it is not.
pub(crate) fn matches(actual: &Value, expected: &Value, names: &mut Names) -> Result<(), String> {
    if let Some(expanded) = names.stand_in(expected, &[]) {
        let expanded = expanded?;
        return if *actual == expanded { Ok(()) } else { Err(format!("{actual} is not {expanded}")) };
    }
    match (actual, expected) {
        (_, Value::Object(object)) if object.keys().any(|name| name.starts_with('$')) => {
            object.iter().try_for_each(|(matcher, argument)| apply(matcher, argument, actual, names))
        }
        (Value::Object(actual), Value::Object(expected)) => expected.iter().try_for_each(|(name, expected)| {
            let result = match actual.get(name) {
                Some(actual) => matches(actual, expected, names),
                None if expected.get("$absent").is_some() => Ok(()),
                None => Err(format!("missing, where {expected} is expected")),
            };
            result.map_err(|why| format!(".{name}{why}", why = join(&why)))
        }),
        (Value::Array(actual), Value::Array(expected)) => {
            if actual.len() != expected.len() {
                return Err(format!(
                    "{} items, where {} are expected: {}",
                    actual.len(),
                    expected.len(),
                    Value::Array(actual.clone())
                ));
            }
            let mut pairs = actual.iter().zip(expected).enumerate();
            pairs.try_for_each(|(index, (actual, expected))| {
                matches(actual, expected, names).map_err(|why| format!("[{index}]{}", join(&why)))
            })
        }
        _ if actual == expected => Ok(()),
        _ => Err(format!("{actual} is not {expected}")),
    }
}

fn apply(matcher: &str, argument: &Value, actual: &Value, names: &mut Names) -> Result<(), String> {
    let refuse = || Err(format!("{actual} does not fit {matcher} {argument}"));
    match matcher {
        "$any" => Ok(()),
        "$absent" => refuse(),
        "$between" => {
            let number = actual.as_f64().unwrap_or(f64::NAN);
            let bound = |index: usize| argument[index].as_f64().unwrap_or(f64::NAN);
            if bound(0) <= number && number <= bound(1) { Ok(()) } else { refuse() }
        }
        "$contains" => {
            let parts = argument.as_array().map(Vec::as_slice).unwrap_or_default();
            for part in parts {
                let found = match actual {
                    Value::String(text) => text.contains(names.expand(part, &[])?.as_str().unwrap_or("\0")),
                    Value::Array(items) => items.iter().any(|item| matches(item, part, names).is_ok()),
                    _ => false,
                };
                if !found {
                    return Err(format!("{actual} does not contain {part}"));
                }
            }
            Ok(())
        }
        "$lacks" => {
            let parts = argument.as_array().map(Vec::as_slice).unwrap_or_default();
            for part in parts {
                let found = match (actual, part) {
                    (Value::Array(items), Value::Object(_)) => items.iter().any(|item| matches(item, part, names).is_ok()),
                    _ => actual.to_string().contains(names.expand(part, &[])?.as_str().unwrap_or("\0")),
                };
                if found {
                    return Err(format!("{actual} contains {part}"));
                }
            }
            Ok(())
        }
        "$json" => {
            let text = actual.as_str().unwrap_or_default();
            let document: Value = serde_json::from_str(text).map_err(|error| format!("{actual} is no JSON: {error}"))?;
            matches(&document, argument, names)
        }
        "$save" => {
            names.save(argument.as_str().unwrap_or_default(), actual.clone());
            Ok(())
        }
        unknown => Err(format!("no matcher is called {unknown}")),
    }
}

fn join(why: &str) -> String {
    if why.starts_with('.') || why.starts_with('[') { why.to_owned() } else { format!(": {why}") }
}
