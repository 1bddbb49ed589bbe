//! Conditions of rules: CEL over the variable `claims`.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use cel::common::ast::{EntryExpr, Expr};
use cel::objects::{Key, Map as CelMap};
use cel::{Context, IdedExpr, Program, Value as CelValue};
use serde_json::{Map, Value};

/// A condition that was compiled.
pub(crate) struct Condition {
    program: Program,
}

impl Condition {
    /// # Errors
    ///
    /// What the real service would refuse: no CEL, another variable than `claims`, a condition that is true whatever the
    /// claims are.
    pub(crate) fn compile(text: &str) -> Result<Self, String> {
        if text.trim().is_empty() {
            return Err("must not be empty".to_owned());
        }
        if text.len() > MOST_BYTES {
            return Err(format!("is longer than {MOST_BYTES} bytes"));
        }
        let program = Program::compile(text).map_err(|error| format!("is no CEL expression: {error}"))?;
        if let Some(other) = free_variable(program.expression(), &mut vec![VARIABLE]) {
            return Err(format!("names `{other}`; the only variable is `{VARIABLE}`"));
        }
        // Without the variable, only what does not look at it yields a value.
        match program.execute(&Context::default()) {
            Ok(CelValue::Bool(true)) => Err("is true whatever the claims are".to_owned()),
            Ok(CelValue::Bool(false)) => Err("is false whatever the claims are".to_owned()),
            Ok(_) => Err("yields no boolean".to_owned()),
            Err(_) => Ok(Self { program }),
        }
    }

    /// # Errors
    ///
    /// Why there is no answer, which counts as no: a claim that is missing, or a value that is no boolean.
    pub(crate) fn holds(&self, claims: &Map<String, Value>) -> Result<bool, String> {
        let mut context = Context::default();
        context.add_variable_from_value(VARIABLE, map(claims));
        match self.program.execute(&context) {
            Ok(CelValue::Bool(holds)) => Ok(holds),
            Ok(other) => Err(format!("it yields a {}, not a boolean", other.type_of())),
            Err(error) => Err(error.to_string()),
        }
    }
}

impl fmt::Debug for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Condition")
    }
}

const VARIABLE: &str = "claims";

/// Long enough for people, short enough for the parser's stack.
const MOST_BYTES: usize = 4096;

/// The names of types, which CEL has as values.
const TYPES: [&str; 10] = ["bool", "bytes", "double", "int", "list", "map", "null_type", "string", "type", "uint"];

/// A name that nothing in `bound` and no macro around it gives a value to.
fn free_variable<'a>(expression: &'a IdedExpr, bound: &mut Vec<&'a str>) -> Option<&'a str> {
    match &expression.expr {
        Expr::Unspecified | Expr::Literal(_) => None,
        // The names of a macro's own begin with an @.
        Expr::Ident(name) => {
            let known = bound.contains(&name.as_str()) || TYPES.contains(&name.as_str()) || name.starts_with('@');
            (!known).then_some(name)
        }
        Expr::Select(select) => free_variable(&select.operand, bound),
        Expr::Call(call) => {
            let mut parts = call.target.iter().map(|target| &**target).chain(&call.args);
            parts.find_map(|part| free_variable(part, bound))
        }
        Expr::List(list) => list.elements.iter().find_map(|element| free_variable(element, bound)),
        Expr::Map(map) => entries(&map.entries).find_map(|part| free_variable(part, bound)),
        Expr::Struct(structure) => entries(&structure.entries).find_map(|part| free_variable(part, bound)),
        Expr::Comprehension(of) => {
            let outside = free_variable(&of.iter_range, bound).or_else(|| free_variable(&of.accu_init, bound));
            let outer = bound.len();
            bound.extend([of.iter_var.as_str(), of.accu_var.as_str()]);
            bound.extend(of.iter_var2.as_deref());
            let inside = [&of.loop_cond, &of.loop_step, &of.result].into_iter().find_map(|part| free_variable(part, bound));
            bound.truncate(outer);
            outside.or(inside)
        }
    }
}

fn entries(entries: &[cel::common::ast::IdedEntryExpr]) -> impl Iterator<Item = &IdedExpr> {
    entries.iter().flat_map(|entry| match &entry.expr {
        EntryExpr::StructField(field) => vec![&field.value],
        EntryExpr::MapEntry(entry) => vec![&entry.key, &entry.value],
    })
}

fn map(members: &Map<String, Value>) -> CelValue {
    let members: HashMap<Key, CelValue> =
        members.iter().map(|(name, value)| (Key::String(Arc::new(name.clone())), cel(value))).collect();
    CelValue::Map(CelMap { map: Arc::new(members) })
}

/// Whole numbers are integers, so that a condition can compare them with a literal.
fn cel(value: &Value) -> CelValue {
    match value {
        Value::Null => CelValue::Null,
        Value::Bool(value) => CelValue::Bool(*value),
        Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(whole), _) => CelValue::Int(whole),
            (None, Some(whole)) => CelValue::UInt(whole),
            (None, None) => CelValue::Float(number.as_f64().unwrap_or(f64::NAN)),
        },
        Value::String(text) => CelValue::String(Arc::new(text.clone())),
        Value::Array(several) => CelValue::List(Arc::new(several.iter().map(cel).collect())),
        Value::Object(members) => map(members),
    }
}
