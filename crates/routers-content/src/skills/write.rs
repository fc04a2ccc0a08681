//! Making, changing and copying skills, and going back to a version. A change says which version it was made of,
//! and is refused when another one is live by then.

use axum::Json;
use axum::extract::Path;
use oui_core::form::{Field, Issues};
use oui_core::{ApiError, ApiResult, Form, form, messages};
use oui_models::models::Commit;
use oui_models::skills::{self, Snapshot};
use oui_models::versions;
use oui_web::{Body, Caller, Verified};
use serde_json::{Map, Value, json};

use super::files::{self, File, Operation};
use super::{Skill, find, item_of, readable, told, writable, writable_version, written};
use crate::common::{GrantForm, allowed_grants, demand_any};

/// `{i18n, tags}`.
#[derive(Debug, Clone)]
pub(super) struct Meta(Value);

form! {
    struct MetaForm {
        i18n: Option<std::collections::BTreeMap<String, std::collections::BTreeMap<String, String>>>,
        tags: Option<Vec<String>> = Some(Vec::new()),
    }
}

impl Field for Meta {
    fn parse(input: &Value, issues: &mut Issues) -> Option<Self> {
        let form = MetaForm::parse(input, issues)?;
        Some(Self(json!({ "i18n": form.i18n, "tags": form.tags })))
    }

    fn schema() -> Value {
        MetaForm::schema()
    }
}

impl Default for Meta {
    fn default() -> Self {
        Self(json!({ "i18n": null, "tags": [] }))
    }
}

form! {
    /// All files.
    pub(super) struct DataForm {
        files: Vec<File>,
    }
}

form! {
    /// A skill. Its files come as `data`, `files`, `operations` on those it has, or as the text of `SKILL.md`.
    pub(super) struct SkillForm {
        id: String,
        name: String,
        description: Option<String>,
        content: Option<String>,
        files: Option<Vec<File>>,
        data: Option<DataForm>,
        operations: Option<Vec<Operation>>,
        expected_version_id: Option<String>,
        commit_message: Option<String>,
        meta: Meta = Meta::default(),
        is_active: bool = true,
        access_grants: Option<Vec<GrantForm>>,
    }
}

/// What is said when files make no skill; the cause is not told here.
fn bad(what: &str) -> ApiError {
    ApiError::bad_request(messages::default_with(what))
}

fn is_slug(id: &str) -> bool {
    let good = |character: char| {
        character.is_ascii_lowercase() || character.is_ascii_digit() || "_-".contains(character)
    };
    !id.is_empty() && id.chars().all(good)
}

/// Makes a skill. Answers its id.
pub(super) async fn make(caller: &Caller<Verified>, form: SkillForm) -> ApiResult<String> {
    demand_any(caller, &["workspace.skills", "workspace.skills_import"]).await?;
    let id = form.id.to_lowercase().replace(' ', "-");
    if !is_slug(&id) {
        return Err(bad("Invalid skill ID"));
    }
    if find(caller, &id).await?.is_some() {
        return Err(ApiError::bad_request(messages::ID_TAKEN));
    }
    if skills::name_taken(caller.db(), &form.name).await? {
        return Err(ApiError::conflict("A skill with this name already exists"));
    }
    let grants = allowed_grants(caller, skills::KIND, form.access_grants).await?;
    let given = match (form.data, form.files) {
        (Some(_), Some(_)) => return Err(bad("Error creating skill")),
        (Some(data), None) => data.files,
        (None, Some(files)) => files,
        (None, None) => vec![File {
            path: files::ROOT.into(),
            content: form.content.unwrap_or_default(),
            encoding: None,
        }],
    };
    let files = files::checked(given, &[]).map_err(|_| bad("Error creating skill"))?;
    let snapshot = Snapshot {
        name: form.name,
        description: form.description,
        content: files::root_text(&files).to_owned(),
        meta: form.meta.0,
        files: files.iter().map(File::to_json).collect(),
    };
    let commit = Commit {
        user_id: caller.id(),
        message: form.commit_message.as_deref(),
    };
    skills::create(caller.db(), &id, &snapshot, form.is_active, &grants, commit).await?;
    caller.tell("skill.created", id.as_str(), json!({ "name": snapshot.name }));
    Ok(id)
}

pub(super) async fn create(caller: Caller<Verified>, body: Body<SkillForm>) -> ApiResult<Json<Value>> {
    let id = make(&caller, body.form).await?;
    let entry = find(&caller, &id).await?;
    Ok(Json(
        entry.map_or(Value::Null, |entry| Value::Object(item_of(&entry))),
    ))
}

fn conflict(current: Option<&str>) -> ApiError {
    let mut detail = Map::from_iter([("code".to_owned(), json!("version_conflict"))]);
    if let Some(current) = current {
        detail.insert("current_version_id".into(), json!(current));
    }
    ApiError::conflict(Value::Object(detail))
}

/// The files after a change.
fn changed_files(skill: &Skill, form: &SkillForm) -> Result<Vec<File>, String> {
    let present = files::stored(skill.row.data.as_ref());
    let given = form.data.as_ref().map(|data| &data.files).or(form.files.as_ref());
    let mut all = given.unwrap_or(&present).clone();
    if let Some(operations) = &form.operations {
        all = files::changed(&all, operations)?;
    }
    if let Some(content) = &form.content {
        all.retain(|file| file.path != files::ROOT);
        all.push(File {
            path: files::ROOT.into(),
            content: content.clone(),
            encoding: None,
        });
    }
    files::checked(all, &present)
}

/// Changes a skill that the caller may write. What the request `raw` does not name stays.
pub(super) async fn change(
    caller: &Caller<Verified>,
    skill: &Skill,
    form: &SkillForm,
    raw: &Value,
) -> ApiResult<()> {
    let row = &skill.row;
    let expected = form.expected_version_id.as_deref();
    if expected.is_some() && expected != row.version_id.as_deref() {
        return Err(conflict(Some(row.version_id.as_deref().unwrap_or_default())));
    }
    let ways = [
        form.files.is_some(),
        form.data.is_some(),
        form.operations.is_some(),
    ];
    let ways = ways.into_iter().filter(|way| *way).count();
    if ways > 0 && expected.is_none() {
        return Err(ApiError::bad_request(
            "expected_version_id is required for file updates",
        ));
    }
    if ways > 1 {
        return Err(bad("Error updating skill"));
    }
    let files = changed_files(skill, form).map_err(|_| bad("Error updating skill"))?;
    let says = |name: &str| raw.get(name).is_some();
    let old = row.snapshot();
    let snapshot = Snapshot {
        name: form.name.clone(),
        description: if says("description") {
            form.description.clone()
        } else {
            row.description.clone()
        },
        content: files::root_text(&files).to_owned(),
        meta: if says("meta") {
            form.meta.0.clone()
        } else {
            old.meta.clone()
        },
        files: files.iter().map(File::to_json).collect(),
    };
    let is_active = if says("is_active") {
        form.is_active
    } else {
        row.is_active
    };
    let commit = Commit {
        user_id: caller.id(),
        message: form.commit_message.as_deref(),
    };
    let new = (snapshot != old).then_some(&snapshot);
    if skills::save(caller.db(), row, is_active, new, commit).await? {
        caller.tell("skill.updated", row.id.as_str(), json!({ "name": form.name }));
        Ok(())
    } else {
        Err(conflict(None))
    }
}

pub(super) async fn update(
    caller: Caller<Verified>,
    Path(id): Path<String>,
    body: Body<SkillForm>,
) -> ApiResult<Json<Value>> {
    let skill = writable(&caller, &id).await?;
    change(&caller, &skill, &body.form, &body.raw).await?;
    written(&caller, &id).await
}

form! {
    /// Which version to go back to, and which one is thought to be live.
    pub(super) struct VersionForm {
        version_id: String,
        expected_version_id: String,
    }
}

pub(super) async fn restore(
    caller: Caller<Verified>,
    Path(id): Path<String>,
    body: Body<VersionForm>,
) -> ApiResult<Json<Value>> {
    let skill = writable_version(&caller, &id).await?;
    let form = body.form;
    let live = skill.row.version_id.as_deref();
    if live != Some(form.expected_version_id.as_str()) {
        return Err(conflict(Some(live.unwrap_or_default())));
    }
    let version = versions::SKILLS.get(caller.db(), &id, &form.version_id).await?;
    let version = version.ok_or_else(|| ApiError::not_found("Skill version not found"))?;
    let snapshot = Snapshot::from_json(&version.snapshot);
    if !skills::restore(caller.db(), &skill.row, &version.id, &snapshot).await? {
        return Err(conflict(None));
    }
    told(&caller, &id, "skill.updated").await
}

form! {
    /// Id and name of the copy.
    pub(super) struct CloneForm {
        id: String,
        name: String,
        version_id: Option<String>,
    }
}

pub(super) async fn copy(
    caller: Caller<Verified>,
    Path(id): Path<String>,
    body: Body<CloneForm>,
) -> ApiResult<Json<Value>> {
    let skill = readable(&caller, &id).await?;
    let form = body.form;
    let snapshot = super::snapshot_of(&caller, &skill, form.version_id.as_deref()).await?;
    let mut input = Map::new();
    for (name, value) in [
        ("id", json!(form.id)),
        ("name", json!(form.name)),
        ("description", json!(snapshot.description)),
        ("data", json!({ "files": snapshot.files })),
        ("meta", snapshot.meta),
        ("is_active", json!(skill.row.is_active)),
        ("access_grants", json!([])),
    ] {
        input.insert(name.to_owned(), value);
    }
    let form = SkillForm::read("body", &Value::Object(input)).map_err(ApiError::unprocessable)?;
    let id = make(&caller, form).await?;
    written(&caller, &id).await
}
