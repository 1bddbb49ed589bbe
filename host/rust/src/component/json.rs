//! A session behind the contract's JSON form: for drivers in other languages, and for tests.
//!
//! The form follows the component's own types. A record is an object with the names of the WIT, where an absent option is left out;
//! an enum, or a case without a payload, is a string; a case with a payload is an object with one key; a list is an array. The
//! engine has the same form, written by hand (`wit/README.md`), and a test compares both.

use serde_json::{Map, Value};
use wasmtime::component::{ResourceAny, Type, Val};
use zeroize::Zeroizing;

use super::{Component, Instance, SESSION_INTERFACE, Trap};

/// A session in an instance of its own. Any trap ends it: drop it, and open another from the newest journal.
pub struct Session {
    instance: Instance,
    session: ResourceAny,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// The session refuses the configuration: a `configuration-error`.
    #[error("the configuration is refused: {0}")]
    Refused(Value),
    /// What was passed in is not of the contract.
    #[error("{0}")]
    Form(String),
    /// The component was stopped, and the session with it.
    #[error(transparent)]
    Trapped(#[from] Trap),
}

impl Session {
    /// Opens a session. `opening` has the parameters of `session.open` as its members: `configuration` (a text), `seed`, `can`, and
    /// `from`.
    ///
    /// # Errors
    ///
    /// [`SessionError`].
    pub fn open(component: &Component, opening: &Value) -> Result<Self, SessionError> {
        const PARAMETERS: [&str; 4] = ["configuration", "seed", "can", "from"];
        let members = opening.as_object().ok_or_else(|| SessionError::Form("an opening is an object".to_owned()))?;
        if let Some(unknown) = members.keys().find(|name| !PARAMETERS.contains(&name.as_str())) {
            return Err(SessionError::Form(format!("an opening has {PARAMETERS:?}, and no {unknown}")));
        }
        let mut instance = Instance::new(component)?;
        let arguments = PARAMETERS.map(|name| &opening[name]);
        match call(&mut instance, "[static]session.open", None, &arguments)? {
            Val::Result(Ok(Some(session))) => match *session {
                Val::Resource(session) => Ok(Self { instance, session }),
                other => Err(SessionError::Form(format!("open gave {}", shape(&other)))),
            },
            Val::Result(Err(Some(error))) => Err(SessionError::Refused(to_json(&error))),
            other => Err(SessionError::Form(format!("open gave {}", shape(&other)))),
        }
    }

    /// Takes a `clock` and an `event`, and gives an `output`. Both hold what the contract says, secrets included.
    ///
    /// # Errors
    ///
    /// [`SessionError::Form`] leaves the session as it was; a trap ends it.
    pub fn step(&mut self, clock: &Value, event: &Value) -> Result<Value, SessionError> {
        self.call("[method]session.step", &[clock, event])
    }

    /// Takes a `clock`, and gives a `status`. Changes nothing.
    ///
    /// # Errors
    ///
    /// As [`step`](Self::step).
    pub fn status(&mut self, clock: &Value) -> Result<Value, SessionError> {
        self.call("[method]session.status", &[clock])
    }

    /// The key of this identity's entry in a store: a text, or null.
    ///
    /// # Errors
    ///
    /// As [`step`](Self::step).
    pub fn entry_key(&mut self) -> Result<Value, SessionError> {
        self.call("[method]session.entry-key", &[])
    }

    fn call(&mut self, method: &str, arguments: &[&Value]) -> Result<Value, SessionError> {
        Ok(to_json(&call(&mut self.instance, method, Some(self.session), arguments)?))
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Session").finish_non_exhaustive()
    }
}

fn call(
    instance: &mut Instance,
    function: &str,
    session: Option<ResourceAny>,
    arguments: &[&Value],
) -> Result<Val, SessionError> {
    let types = instance.parameters(SESSION_INTERFACE, function)?;
    let own = session.map(Val::Resource);
    let types = &types[usize::from(own.is_some()).min(types.len())..];
    let values = arguments.iter().zip(types).map(|(argument, r#type)| to_val(argument, r#type));
    let values: Vec<Val> = own.into_iter().map(Ok).chain(values).collect::<Result<_, _>>().map_err(SessionError::Form)?;
    let answer = instance.call(SESSION_INTERFACE, function, &values);
    values.into_iter().for_each(wipe);
    answer?.ok_or_else(|| SessionError::Form(format!("{function} gave nothing")))
}

/// Texts may be secrets.
fn wipe(value: Val) {
    match value {
        Val::String(text) => drop(Zeroizing::new(text)),
        Val::List(items) => items.into_iter().for_each(wipe),
        Val::Record(fields) => fields.into_iter().for_each(|(_, value)| wipe(value)),
        Val::Option(Some(value)) | Val::Variant(_, Some(value)) => wipe(*value),
        _ => {}
    }
}

/// What kind of value it is, without the value.
fn shape(value: &Val) -> &'static str {
    match value {
        Val::Result(_) => "a result without a payload",
        _ => "something else than the contract says",
    }
}

/// A WIT value of this type, or what is wrong with the JSON.
///
/// # Errors
///
/// What is wrong, without the value.
pub fn to_val(json: &Value, r#type: &Type) -> Result<Val, String> {
    // Without the value, which may be a secret.
    let mismatch = || format!("a value is no {type:?}");
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
                    (None, _) => return Err(format!("the field {} is missing", field.name)),
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
#[must_use]
pub fn to_json(val: &Val) -> Value {
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
        // The contract has no other.
        _ => Value::Null,
    }
}
