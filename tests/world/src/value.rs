//! The mechanical mapping between JSON and WIT values, directed by the component's own types.
//!
//! A record is an object with the WIT's names, where an absent option is left out; an enum, or a case without a payload, is a
//! string; a case with a payload is an object with one key; a list is an array. The engine has a JSON form of its own,
//! written by hand: driving the component through this mapping and the engine through that one checks that they agree.

use serde_json::{Map, Value};
use wasmtime::component::{Type, Val};

/// A WIT value of this type, or what is wrong with the JSON.
pub(crate) fn to_val(json: &Value, r#type: &Type) -> Result<Val, String> {
    let mismatch = || format!("{json} is no {type:?}");
    Ok(match r#type {
        Type::U16 => Val::U16(json.as_u64().and_then(|n| n.try_into().ok()).ok_or_else(mismatch)?),
        Type::U32 => Val::U32(json.as_u64().and_then(|n| n.try_into().ok()).ok_or_else(mismatch)?),
        Type::U64 => Val::U64(json.as_u64().ok_or_else(mismatch)?),
        Type::S64 => Val::S64(json.as_i64().ok_or_else(mismatch)?),
        Type::String => Val::String(json.as_str().ok_or_else(mismatch)?.to_owned()),
        Type::Enum(r#enum) => {
            let name = json.as_str().filter(|name| r#enum.names().any(|known| known == *name)).ok_or_else(mismatch)?;
            Val::Enum(name.to_owned())
        }
        Type::List(list) => {
            let items = json.as_array().ok_or_else(mismatch)?;
            Val::List(items.iter().map(|item| to_val(item, &list.ty())).collect::<Result<_, _>>()?)
        }
        Type::Option(_) if json.is_null() => Val::Option(None),
        Type::Option(option) => Val::Option(Some(Box::new(to_val(json, &option.ty())?))),
        Type::Record(record) => {
            let object = json.as_object().ok_or_else(mismatch)?;
            let known: Vec<&str> = record.fields().map(|field| field.name).collect();
            if let Some(unknown) = object.keys().find(|key| !known.contains(&key.as_str())) {
                return Err(format!("a record of {known:?} has no {unknown}"));
            }
            let fields = record.fields().map(|field| {
                let value = match (object.get(field.name), &field.ty) {
                    (Some(value), r#type) => to_val(value, r#type)?,
                    (None, Type::Option(_)) => Val::Option(None),
                    (None, _) => return Err(format!("{json} lacks {}", field.name)),
                };
                Ok((field.name.to_owned(), value))
            });
            Val::Record(fields.collect::<Result<_, _>>()?)
        }
        Type::Variant(variant) => {
            let (name, payload) = match json {
                Value::String(name) => (name, None),
                Value::Object(object) if object.len() == 1 => {
                    let (name, payload) = object.iter().next().ok_or_else(mismatch)?;
                    (name, Some(payload))
                }
                _ => return Err(mismatch()),
            };
            let case = variant.cases().find(|case| case.name == name).ok_or_else(mismatch)?;
            let payload = match (payload, case.ty) {
                (Some(payload), Some(r#type)) => Some(Box::new(to_val(payload, &r#type)?)),
                (None, None) => None,
                _ => return Err(mismatch()),
            };
            Val::Variant(name.clone(), payload)
        }
        other => return Err(format!("the contract uses no {other:?}")),
    })
}

/// The JSON form of a WIT value.
pub(crate) fn to_json(val: &Val) -> Value {
    match val {
        Val::U16(number) => (*number).into(),
        Val::U32(number) => (*number).into(),
        Val::U64(number) => (*number).into(),
        Val::S64(number) => (*number).into(),
        Val::String(text) | Val::Enum(text) | Val::Variant(text, None) => text.clone().into(),
        Val::Variant(name, Some(payload)) => Value::Object(Map::from_iter([(name.clone(), to_json(payload))])),
        Val::List(items) => items.iter().map(to_json).collect(),
        Val::Option(None) => Value::Null,
        Val::Option(Some(value)) => to_json(value),
        Val::Record(fields) => {
            let present = fields.iter().filter(|(_, value)| !matches!(value, Val::Option(None)));
            Value::Object(present.map(|(name, value)| (name.clone(), to_json(value))).collect())
        }
        other => panic!("the contract uses no {other:?}"),
    }
}
