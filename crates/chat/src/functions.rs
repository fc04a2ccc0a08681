//! Functions in use: Python source of administrators that stands between conversations and models ([`Filters`]
//! asks for those), is a model itself (pipes), or hangs below a reply as a button (actions).
//!
//! [`Filters`]: crate::filters::Filters

use oui_core::{ApiError, ApiResult};
use oui_models::functions::{self as rows, FunctionRow};
use oui_models::users::UserRow;
use oui_models::{Db, DbResult};
use oui_plugin_host::{HostProblem, Plugin, Runner};
use oui_plugins::python::{self, Target};
use oui_plugins::{Python, Reporter, Scene};
use serde_json::{Value, json};

use crate::turn::Object;

/// A loaded function.
pub(crate) struct Function {
    pub(crate) row: FunctionRow,
    pub(crate) runner: Runner,
}

/// Who calls a function, and where.
pub(crate) struct Stage<'a> {
    pub(crate) python: &'a Python,
    pub(crate) user: &'a UserRow,
    pub(crate) scene: &'a Scene,
    pub(crate) reporter: &'a dyn Reporter,
}

/// The source of a function.
pub(crate) fn plugin(row: &FunctionRow) -> Plugin<'_> {
    Plugin {
        is_tool: false,
        id: &row.id,
        source: row.content.as_deref().unwrap_or_default(),
    }
}

/// A function as it is called for a user.
pub(crate) fn target<'a>(row: &'a FunctionRow, user: &'a UserRow) -> Target<'a> {
    Target {
        plugin: plugin(row),
        valves: row.valves.as_deref(),
        user,
    }
}

/// Loads a function. One whose source is wrong is taken out of use, as in the reference.
pub(crate) async fn load(db: &Db, python: &Python, row: FunctionRow) -> DbResult<Option<Function>> {
    match python.runner(plugin(&row)).await {
        Ok(runner) => Ok(Some(Function { row, runner })),
        Err(problem) => {
            tracing::error!(id = row.id, "a function cannot be loaded: {problem}");
            if matches!(problem, HostProblem::Plugin(_)) {
                rows::switch_off(db, &row.id).await?;
            }
            Ok(None)
        }
    }
}

/// Functions of a kind that are in use.
pub(crate) async fn rows_of(db: &Db, kind: &str) -> DbResult<Vec<FunctionRow>> {
    rows::active(db, kind).await
}

/// Functions of a kind that are in use and can be loaded.
pub(crate) async fn active(db: &Db, python: &Python, kind: &str) -> DbResult<Vec<Function>> {
    let loads = rows_of(db, kind)
        .await?
        .into_iter()
        .map(|row| load(db, python, row));
    let loaded: DbResult<Vec<Option<Function>>> =
        futures::future::join_all(loads).await.into_iter().collect();
    Ok(loaded?.into_iter().flatten().collect())
}

impl Function {
    /// Its place among others: what its settings say, else its source.
    pub(crate) fn priority(&self, python: &Python) -> f64 {
        let facts = self.runner.facts();
        if !facts.has_valves {
            return 0.0;
        }
        let stored = python.valves(self.row.valves.as_deref());
        let priority = stored.get("priority").filter(|value| !value.is_null());
        let number = |value: &Value| value.as_f64().or_else(|| value.as_str()?.parse().ok());
        priority.and_then(number).unwrap_or(facts.priority)
    }

    /// Whether it has a method.
    pub(crate) fn has(&self, method: &str) -> bool {
        self.runner.facts().methods.contains_key(method)
    }

    /// Its picture: of the manifest, else of the source.
    pub(crate) fn icon(&self) -> Value {
        match self.row.manifest_text("icon_url") {
            Some(icon) => json!(icon),
            None => self.runner.facts().icon.clone(),
        }
    }

    /// Calls a method with one argument and answers what it makes of it.
    pub(crate) async fn call(
        &self,
        stage: &Stage<'_>,
        method: &str,
        name: &str,
        value: Value,
        more: Object,
    ) -> ApiResult<Value> {
        let failed = |problem: HostProblem| ApiError::bad_request(problem.to_string());
        let mut given = Object::new();
        given.insert(name.to_owned(), value);
        let mut extra = Object::new();
        extra.insert("__id__".into(), json!(self.row.id));
        extra.extend(more);
        let target = target(&self.row, stage.user);
        let call = stage
            .python
            .begin(&target, method, given, stage.scene, &extra)
            .await
            .map_err(failed)?;
        let answer = python::answer(call, stage.reporter).await.map_err(failed)?;
        Ok(python::value_of(answer))
    }
}
