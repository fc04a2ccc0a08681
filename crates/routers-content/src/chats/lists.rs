//! Lists of chats: sidebar, folders, archive, search.

use std::collections::HashSet;

use axum::Json;
use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use oui_core::{ApiError, ApiResult, form, messages};
use oui_models::chat_lists::{self, Line, Listed, PageFilter, Sort, Window};
use oui_models::chat_search::{self, Search};
use oui_models::{Db, tags};
use oui_web::{Admin, App, Caller, Query, Verified};
use serde_json::{Value, json};

/// Lines of a page of the sidebar, the archive and search.
pub(crate) const PAGE: i64 = 60;
/// Lines of a page of a folder.
pub(crate) const FOLDER_PAGE: i64 = 10;

/// Of these chats, those in which a reply is being written.
pub(crate) async fn active(
    app: &App,
    db: &Db,
    ids: impl Iterator<Item = &String>,
) -> ApiResult<HashSet<String>> {
    let running = app.chat.tasks.counts();
    let candidates: Vec<String> = ids.filter(|id| running.contains_key(*id)).cloned().collect();
    Ok(chat_lists::unfinished(db, &candidates).await?)
}

/// A list as routes send it.
pub(crate) async fn lines(app: &App, db: &Db, listed: &[Listed]) -> ApiResult<Response> {
    let active = active(app, db, listed.iter().map(|line| &line.id)).await?;
    let lines: Vec<Line<'_>> = listed
        .iter()
        .map(|line| line.line(active.contains(&line.id)))
        .collect();
    Ok(Json(lines).into_response())
}

form! {
    /// Which part of the sidebar, and how sorted.
    pub(crate) struct SidebarQuery {
        /// Page from 1; all lines when absent.
        page: Option<i64>,
        /// Whether pinned chats are wanted.
        include_pinned: Option<bool> = Some(false),
        /// Whether chats in folders are wanted.
        include_folders: Option<bool> = Some(false),
        /// `title`, `unread_updated_at` or anything else for the last change.
        sort_by: String = "updated_at".to_owned(),
        /// `asc` or anything else for descending.
        sort_dir: String = "desc".to_owned(),
    }
}

pub(super) async fn sidebar(
    caller: Caller<Verified>,
    Query(query): Query<SidebarQuery>,
) -> ApiResult<Response> {
    let sort = Sort {
        by: &query.sort_by,
        direction: &query.sort_dir,
        unread_for: None,
    };
    let window = query.page.map(|page| Window::page(page, PAGE));
    let (folders, pinned) = (
        query.include_folders.unwrap_or(false),
        query.include_pinned.unwrap_or(false),
    );
    let listed = chat_lists::sidebar(caller.db(), caller.id(), folders, pinned, sort, window).await?;
    lines(caller.app(), caller.db(), &listed).await
}

pub(super) async fn pinned(caller: Caller<Verified>) -> ApiResult<Response> {
    let listed = chat_lists::pinned(caller.db(), caller.id()).await?;
    lines(caller.app(), caller.db(), &listed).await
}

form! {
    /// Which part of a folder, and how sorted.
    pub(crate) struct FolderQuery {
        /// Page from 1.
        page: Option<i64> = Some(1),
        /// As in the sidebar.
        sort_by: String = "unread_updated_at".to_owned(),
        /// As in the sidebar.
        sort_dir: String = "desc".to_owned(),
    }
}

pub(super) async fn of_folder(
    caller: Caller<Verified>,
    Path(folder_id): Path<String>,
    Query(query): Query<FolderQuery>,
) -> ApiResult<Response> {
    let sort = Sort {
        by: &query.sort_by,
        direction: &query.sort_dir,
        unread_for: None,
    };
    let window = Window::page(query.page.unwrap_or(1), FOLDER_PAGE);
    let listed = chat_lists::in_folder(caller.db(), caller.id(), &folder_id, sort, window).await?;
    lines(caller.app(), caller.db(), &listed).await
}

form! {
    /// Which part of a list in the settings.
    pub(crate) struct PageQuery {
        /// Page from 1.
        page: Option<i64>,
        /// Text in the title.
        query: Option<String>,
        /// Column.
        order_by: Option<String>,
        /// `asc` or `desc`.
        direction: Option<String>,
    }
}

impl PageQuery {
    /// The filter and the part of the list.
    pub(crate) fn read(self) -> ApiResult<(PageFilter, Window)> {
        let window = Window::page(self.page.unwrap_or(1), PAGE);
        let filter = PageFilter {
            query: self.query,
            order_by: self.order_by,
            direction: self.direction,
        };
        if filter.is_valid() {
            Ok((filter, window))
        } else {
            Err(ApiError::bad_request(messages::DEFAULT))
        }
    }
}

pub(super) async fn archived(
    caller: Caller<Verified>,
    Query(query): Query<PageQuery>,
) -> ApiResult<Response> {
    let (filter, window) = query.read()?;
    let mut listed = chat_lists::archived(caller.db(), caller.id(), &filter, window).await?;
    // The archive does not tell what was read.
    listed.iter_mut().for_each(|line| line.last_read_at = None);
    lines(caller.app(), caller.db(), &listed).await
}

pub(super) async fn count_archived(caller: Caller<Verified>) -> ApiResult<Json<Value>> {
    Ok(Json(json!(
        chat_lists::count_archived(caller.db(), caller.id()).await?
    )))
}

pub(super) async fn of_user(
    caller: Caller<Admin>,
    Path(user_id): Path<String>,
    Query(query): Query<PageQuery>,
) -> ApiResult<Response> {
    if !caller.app().settings.access.admin_chats {
        return Err(ApiError::unauthorized(messages::ACCESS_PROHIBITED));
    }
    let (filter, window) = query.read()?;
    let listed = chat_lists::of_user(caller.db(), &user_id, true, &filter, window).await?;
    lines(caller.app(), caller.db(), &listed).await
}

form! {
    /// What to look for.
    pub(crate) struct SearchQuery {
        /// Words and filters.
        text: String,
        /// Page from 1.
        page: Option<i64>,
    }
}

pub(super) async fn search(
    caller: Caller<Verified>,
    Query(query): Query<SearchQuery>,
) -> ApiResult<Response> {
    let db = caller.db();
    let page = query.page.unwrap_or(1);
    let hits = chat_search::run(
        db,
        caller.id(),
        &Search::parse(&query.text),
        Window::page(page, PAGE),
    )
    .await?;
    let tag = query
        .text
        .trim()
        .strip_prefix("tag:")
        .filter(|tag| !tag.contains(' '));
    if let Some(tag) = tag.filter(|_| page == 1 && hits.is_empty()) {
        tags::sweep(db, caller.id(), &[tags::slug(tag)]).await?;
    }
    let active = active(caller.app(), db, hits.iter().map(|hit| &hit.listed.id)).await?;
    let lines: Vec<Line<'_>> = hits
        .iter()
        .map(|hit| hit.line(active.contains(&hit.listed.id)))
        .collect();
    Ok(Json(lines).into_response())
}
