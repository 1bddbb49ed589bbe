//! What stands for something else in a vector: `$named`, `$jwt`, `$id-of`, `$repeat`, `$task`, `$text`.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::matching::matches;
use crate::jwt::{id_of, jwt};

/// The values that a vector has given names to.
#[derive(Debug, Clone, Default)]
pub struct Names(BTreeMap<String, Value>);

impl Names {
    pub(crate) fn new(raw: &BTreeMap<String, Value>) -> Result<Self, String> {
        let mut names = Self::default();
        // Names may refer to each other; a file has few of them.
        let mut waiting: Vec<_> = raw.iter().collect();
        while !waiting.is_empty() {
            let before = waiting.len();
            let mut why = String::new();
            waiting.retain(|(name, value)| match names.expand(value, &[]) {
                Ok(value) => names.0.insert((*name).clone(), value).is_some(),
                Err(error) => {
                    why = error;
                    true
                }
            });
            if waiting.len() == before {
                return Err(why);
            }
        }
        Ok(names)
    }

    pub(crate) fn save(&mut self, name: &str, value: Value) {
        self.0.insert(name.to_owned(), value);
    }

    /// The value with everything replaced that stands for something else. `tasks` are the unanswered ones.
    pub(crate) fn expand(&self, value: &Value, tasks: &[(u64, Value)]) -> Result<Value, String> {
        match value {
            Value::Array(items) => items.iter().map(|item| self.expand(item, tasks)).collect(),
            Value::Object(object) => {
                if let Some(known) = self.stand_in(value, tasks) {
                    return known;
                }
                let members = object.iter().map(|(name, value)| Ok((name.clone(), self.expand(value, tasks)?)));
                Ok(Value::Object(members.collect::<Result<_, String>>()?))
            }
            other => Ok(other.clone()),
        }
    }

    /// What the object stands for, if it is a stand-in.
    pub(crate) fn stand_in(&self, value: &Value, tasks: &[(u64, Value)]) -> Option<Result<Value, String>> {
        let (name, argument) = value.as_object()?.iter().find(|(name, _)| name.starts_with('$') && *name != "$where")?;
        let text = |value: &Value| {
            let expanded = self.expand(value, tasks)?;
            expanded.as_str().map(str::to_owned).ok_or_else(|| format!("{expanded} is no string"))
        };
        Some(match name.as_str() {
            "$named" => {
                let name = argument.as_str().unwrap_or_default();
                self.0.get(name).cloned().ok_or_else(|| format!("nothing is named {name}"))
            }
            "$jwt" => self.expand(argument, tasks).map(|claims| jwt(&claims).into()),
            "$id-of" => text(argument).map(|token| id_of(&token).into()),
            "$text" => self.expand(argument, tasks).map(|document| document.to_string().into()),
            "$concat" => argument.as_array().into_iter().flatten().map(text).collect::<Result<String, _>>().map(Value::String),
            "$repeat" => {
                let times = usize::try_from(argument["times"].as_u64().unwrap_or_default()).unwrap_or_default();
                text(&argument["text"]).map(|text| text.repeat(times).into())
            }
            "$task" => self.task(argument, &value["$where"], tasks),
            _ => return None,
        })
    }

    /// The number of the newest unanswered task of a kind.
    fn task(&self, kind: &Value, r#where: &Value, tasks: &[(u64, Value)]) -> Result<Value, String> {
        let fits = |task: &Value| match task.get(kind.as_str().unwrap_or_default()) {
            Some(payload) => r#where.is_null() || matches(payload, r#where, &mut self.clone()).is_ok(),
            None => false,
        };
        let found = tasks.iter().rev().find(|(_, task)| fits(task));
        found.map(|(number, _)| json!(number)).ok_or_else(|| format!("there is no open task {kind} {where}, but {tasks:?}"))
    }
}

/// The parts of an event that nobody may see: JWTs, access tokens, and whatever a vector marks as a canary.
pub(crate) fn secrets_in(event: &Value) -> Vec<String> {
    let text = event["finished"]["outcome"].to_string();
    let pieces = text.split(|character: char| !(character.is_ascii_alphanumeric() || "-_.".contains(character)));
    let secret = |piece: &&str| ["eyJ", "sk-ant-", "canary"].iter().any(|start| piece.starts_with(start)) && piece.len() > 11;
    pieces.filter(secret).map(str::to_owned).collect()
}
