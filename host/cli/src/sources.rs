//! What a platform's source of identity tokens reads of the environment, as its recipe says.

use serde_json::{Value, json};
use wif_recipes::{Action, Part, Recipe, Template};

use crate::environment;

/// The variables that the source reads which `identity_token` of a configuration names. None for one that is no recipe's.
pub(crate) fn variables_read_by(identity_token: &Value) -> Vec<String> {
    let mut names: Vec<String> = recipes(identity_token).iter().flat_map(|recipe| names_of(recipe, identity_token)).collect();
    // Its recipe is for a file. Without one the Workload API is asked.
    let asks = identity_token["source"] == "spiffe" && identity_token.get("file").is_none();
    names.extend(asks.then(|| "SPIFFE_ENDPOINT_SOCKET".to_owned()));
    names.sort();
    names.dedup();
    names
}

/// The same for what is in force. Where the document leaves the credential to discovery, `described` is the source that was found: a
/// platform is one that its variables told.
pub(crate) fn variables_read(document: &Value, described: Option<&str>) -> Vec<String> {
    let configured = &document["federation"]["identity_token"];
    let name = described.and_then(|source| source.split(' ').next()).unwrap_or_default();
    let detected = name == "auto" || wif_recipes::names().any(|known| known == name);
    if configured.is_null() && detected { variables_read_by(&json!({ "source": "auto" })) } else { variables_read_by(configured) }
}

/// One recipe, or with `auto` those whose variables are set.
fn recipes(identity_token: &Value) -> Vec<Recipe> {
    match identity_token["source"].as_str() {
        Some("http") => Recipe::parse(&identity_token["recipe"]).into_iter().collect(),
        Some("auto") => {
            let found =
                |recipe: &Recipe| recipe.detected_by.iter().any(|names| names.iter().all(|name| environment::is_set(name)));
            wif_recipes::platforms().filter(found).collect()
        }
        Some(name) => wif_recipes::platform(name).into_iter().collect(),
        None => Vec::new(),
    }
}

/// What tells the platform is read, too.
fn names_of(recipe: &Recipe, given: &Value) -> Vec<String> {
    let steps = recipe.steps.iter().filter_map(|step| match &step.action {
        Action::Variable(name) => filled(name, recipe, given),
        _ => None,
    });
    let tells = recipe.detected_by.iter().flatten().filter(|_| given["source"] == "auto").cloned();
    steps.chain(tells).collect()
}

/// The name of a variable, with the parameters of the configuration in it; none where one is not given.
fn filled(name: &Template, recipe: &Recipe, given: &Value) -> Option<String> {
    let mut text = String::new();
    for part in name.parts() {
        match part {
            Part::Text(part) => text.push_str(part),
            Part::Hole(hole) => {
                let parameter = recipe.parameters.iter().find(|parameter| parameter.name == hole)?;
                text.push_str(given[hole].as_str().or(parameter.default.as_deref())?);
            }
        }
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_recipe_says_which_variables_a_source_reads() {
        for (source, names) in [
            (json!({ "source": "file", "path": "/run/token" }), &[][..]),
            (json!({ "source": "github-actions" }), &["ACTIONS_ID_TOKEN_REQUEST_TOKEN", "ACTIONS_ID_TOKEN_REQUEST_URL"]),
            (json!({ "source": "gitlab" }), &["ANTHROPIC_ID_TOKEN"]),
            (json!({ "source": "spiffe" }), &["SPIFFE_ENDPOINT_SOCKET"]),
            (json!({ "source": "spiffe", "file": "/run/token" }), &[]),
            (json!({ "source": "gitlab", "variable": "MINE" }), &["MINE"]),
            (json!({ "source": "client-credentials", "client_secret_variable": "SECRET" }), &["SECRET"]),
        ] {
            assert_eq!(variables_read_by(&source), names, "{source}");
        }
        let aws = variables_read_by(&json!({ "source": "aws" }));
        assert!(aws.contains(&"AWS_SECRET_ACCESS_KEY".to_owned()), "{aws:?}");
        let recipe =
            json!({ "name": "own", "freshness": "minted", "token": "{t}", "steps": [{ "variable": "MINE", "as": "t" }] });
        assert_eq!(variables_read_by(&json!({ "source": "http", "recipe": recipe })), ["MINE"]);
    }
}
