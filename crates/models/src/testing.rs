//! Databases and rows for the tests of this crate: a statement that is new is tried on both dialects.

use std::ops::Deref;

use oui_core::Clock;
use oui_migrations::testing::{PREPARED_AT, PostgresDatabase, PostgresServer, SqliteDatabase};
use oui_migrations::{Target, postgres_options};

use crate::Db;
use crate::db::Connect;
use crate::groups::{self, NewGroup};
use crate::users::{self, NewUser, UserRow};

/// An open database that is gone with this value.
pub(crate) struct TestDb {
    db: Db,
    _keep: Keep,
}

enum Keep {
    Sqlite { _file: SqliteDatabase },
    Postgres { _database: Box<PostgresDatabase> },
}

impl Deref for TestDb {
    type Target = Db;

    fn deref(&self) -> &Db {
        &self.db
    }
}

impl<'a> From<&'a TestDb> for crate::Conn<'a> {
    fn from(test: &'a TestDb) -> Self {
        (&test.db).into()
    }
}

/// A prepared database of each dialect; PostgreSQL is left out where no server is named. Time stands still.
pub(crate) async fn databases() -> Vec<TestDb> {
    let file = SqliteDatabase::prepared().await;
    let mut all = vec![TestDb {
        db: open(file.target()).await,
        _keep: Keep::Sqlite { _file: file },
    }];
    if let Some(server) = PostgresServer::from_env() {
        let database = server.prepared_database().await;
        let db = open(database.target()).await;
        all.push(TestDb {
            db,
            _keep: Keep::Postgres {
                _database: Box::new(database),
            },
        });
    }
    all
}

async fn open(target: Target) -> Db {
    let connect = match target {
        Target::Sqlite { path, pragmas } => Connect::Sqlite {
            options: Box::new(pragmas.connect_options(&path)),
            readers: 2,
        },
        Target::Postgres { options, schema } => Connect::Postgres {
            options: Box::new(postgres_options(*options, schema.as_deref())),
            size: 3,
        },
    };
    Db::connect(connect, Clock::fixed(PREPARED_AT)).await.unwrap()
}

/// An admitted user with the address `name@example.com`.
pub(crate) async fn user(db: &Db, name: &str) -> UserRow {
    let new = NewUser {
        name: name.to_owned(),
        email: format!("{name}@example.com"),
        password_hash: "none".into(),
        profile_image_url: "/user.png".into(),
        role: "user".into(),
    };
    users::create(db, new, false).await.unwrap()
}

/// An empty group; answers its id.
pub(crate) async fn group(db: &Db, name: &str) -> String {
    let new = NewGroup {
        name: name.to_owned(),
        ..NewGroup::default()
    };
    groups::insert(db, "nobody", new).await.unwrap().unwrap().id
}

/// A chat with one question of its owner, one second after the last one.
pub(crate) async fn chat(db: &Db, owner: &UserRow, title: &str, question: &str) -> crate::chats::ChatRow {
    db.clock().advance(1);
    let document = serde_json::json!({
        "title": title,
        "history": {"currentId": "q", "messages": {
            "q": {"id": "q", "role": "user", "parentId": null, "childrenIds": [], "content": question},
        }},
    });
    let new = crate::chat_edits::NewChat {
        id: oui_core::ids::uuid(),
        user_id: owner.id.clone(),
        document: document.as_object().cloned().unwrap_or_default(),
        ..Default::default()
    };
    crate::chat_edits::create(db, new).await.unwrap()
}
