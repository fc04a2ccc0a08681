//! The database layer on both databases: values come back as they went, conflicts are refused, caches follow writes.

use oui_models::db::{Changes, Date, sql};
use oui_models::grants::{self, Grant};
use oui_models::groups::{GroupRow, Membership};
use oui_models::models::{self, ModelRow};
use oui_models::users::{self, NewUser};
use oui_models::{args, auths, config, groups};
use oui_testkit::both;
use serde_json::{Value, json};

fn new_user(name: &str, role: &str) -> NewUser {
    NewUser {
        name: name.into(),
        email: format!("{name}@Example.org"),
        password_hash: "hash".into(),
        profile_image_url: "/user.png".into(),
        role: role.into(),
    }
}

fn group(id: &str, parent: Option<&str>) -> GroupRow {
    GroupRow {
        id: id.into(),
        user_id: None,
        name: Some(id.into()),
        description: Some(String::new()),
        data: None,
        meta: None,
        permissions: None,
        created_at: Some(1),
        updated_at: Some(1),
        parent_group_id: parent.map(str::to_owned),
    }
}

fn model(id: &str, owner: &str, base: Option<&str>) -> ModelRow {
    ModelRow {
        id: id.into(),
        user_id: Some(owner.into()),
        base_model_id: base.map(str::to_owned),
        name: Some(id.into()),
        params: Some("{\"temperature\":0.5}".into()),
        meta: Some("{}".into()),
        updated_at: Some(1),
        created_at: Some(1),
        is_active: true,
        version_id: None,
    }
}

both! {
    async fn json_keeps_its_order_and_its_types(app: TestApp) {
        let rows = [
            ("x.int", json!(5)), ("x.real", json!(0.5)), ("x.text", json!("5")), ("x.true", json!(true)),
            ("x.null", Value::Null), ("x.object", json!({"z": 1, "a": {"y": [], "b": "ü\u{1F600}"}})),
        ];
        config::write(app.db(), rows.iter().map(|(key, value)| (*key, value))).await.unwrap();
        let stored = config::all(app.db()).await.unwrap();
        for (key, value) in &rows {
            assert_eq!(&stored[*key], value, "{key}");
        }
        assert_eq!(stored["x.object"].to_string(), rows[5].1.to_string());
    }

    async fn the_first_account_is_the_administrator(app: TestApp) {
        let db = app.db();
        let first = users::create(db, new_user("a", "pending"), true).await.unwrap();
        let second = users::create(db, new_user("b", "pending"), true).await.unwrap();
        assert_eq!((first.role.as_str(), second.role.as_str()), ("admin", "pending"));
        assert_eq!(first.email, "a@example.org");
        let taken = users::create(db, new_user("A", "user"), false).await.unwrap_err();
        assert!(taken.is_unique_violation(), "{taken}");
        // The refused sign-up left no credentials behind.
        assert_eq!(sql("SELECT COUNT(*) FROM auth", args![]).scalar::<i64>(db).await.unwrap(), Some(2));
    }

    async fn two_first_sign_ups_at_once_make_one_administrator(app: TestApp) {
        let sign_ups = (0..8).map(|n| {
            let db = app.db().clone();
            tokio::spawn(async move { users::create(&db, new_user(&format!("u{n}"), "user"), true).await.unwrap().role })
        });
        let roles: Vec<String> =
            futures::future::join_all(sign_ups).await.into_iter().map(|role| role.unwrap()).collect();
        assert_eq!(roles.iter().filter(|role| *role == "admin").count(), 1, "{roles:?}");
    }

    async fn cached_accounts_follow_every_write(app: TestApp) {
        let db = app.db();
        let user = users::create(db, new_user("a", "user"), false).await.unwrap();
        let before = users::account(db, &user.id).await.unwrap().unwrap();
        users::set_role(db, &user.id, "admin").await.unwrap();
        assert_eq!(users::account(db, &user.id).await.unwrap().unwrap().user.role, "admin");
        assert!(auths::set_password(db, &user.id, "new", Some("hash")).await.unwrap());
        let after = users::account(db, &user.id).await.unwrap().unwrap();
        assert_ne!(before.session_stamp, after.session_stamp);
        assert!(!auths::set_password(db, &user.id, "newer", Some("hash")).await.unwrap());
        let birth = Date::parse("1990-02-28");
        let changed = users::update(db, &user.id, Changes::new().set("date_of_birth", birth)).await.unwrap();
        assert_eq!(changed.unwrap().date_of_birth, birth);
        assert!(users::account(db, "nobody").await.unwrap().is_none());
    }

    async fn membership_reaches_the_groups_above(app: TestApp) {
        let db = app.db();
        let user = users::create(db, new_user("a", "user"), false).await.unwrap();
        assert!(groups::membership(db, &user.id).await.unwrap().groups.is_empty());
        for row in [group("top", None), group("middle", Some("top")), group("low", Some("middle"))] {
            row.insert(db).await.unwrap();
        }
        groups::add_members(db, "low", std::slice::from_ref(&user.id)).await.unwrap().ok();
        groups::add_members(db, "low", std::slice::from_ref(&user.id)).await.unwrap().ok();
        let membership = groups::membership(db, &user.id).await.unwrap();
        let mut ids = membership.ids();
        ids.sort();
        assert_eq!(ids, ["low", "middle", "top"]);
        assert_eq!(groups::of_user(db, &user.id, false).await.unwrap().len(), 1);
    }

    async fn grants_open_models_to_those_they_name(app: TestApp) {
        let db = app.db();
        let owner = users::create(db, new_user("a", "user"), false).await.unwrap();
        let grant = Grant { principal_type: "group".into(), principal_id: "g".into(), permission: "read".into() };
        model("m", &owner.id, None).insert(db).await.unwrap();
        models::set_grants(db, "m", &[grant]).await.unwrap();
        let inside = Membership { groups: vec![group("g", None)] };
        let outside = Membership::default();
        assert!(grants::allows(db, "model", "m", "read", "x", &inside).await.unwrap());
        assert!(!grants::allows(db, "model", "m", "write", "x", &inside).await.unwrap());
        assert!(!grants::allows(db, "model", "m", "read", "x", &outside).await.unwrap());
        assert_eq!(grants::resources_for(db, "model", "read", "x", &inside).await.unwrap(), ["m"]);
        let registry = models::registry(db).await.unwrap();
        assert!(registry[0].opens_to("x", &inside) && !registry[0].opens_to("x", &outside));
        // The registry follows a write at once.
        models::set_grants(db, "m", &[Grant::public_read()]).await.unwrap();
        let registry = models::registry(db).await.unwrap();
        assert!(registry[0].opens_to("x", &outside));
        models::delete(db, "m").await.unwrap();
        assert!(models::registry(db).await.unwrap().is_empty());
        assert!(grants::of(db, "model", "m").await.unwrap().is_empty());
    }

    async fn a_dropped_transaction_leaves_nothing(app: TestApp) {
        let db = app.db();
        {
            let mut tx = db.begin().await.unwrap();
            group("g", None).insert(&mut tx).await.unwrap();
        }
        assert!(groups::by_id(db, "g").await.unwrap().is_none());
        let mut tx = db.begin().await.unwrap();
        group("g", None).insert(&mut tx).await.unwrap();
        tx.commit().await.unwrap();
        assert!(groups::by_id(db, "g").await.unwrap().is_some());
    }
}
