//! Sign-in at a directory (LDAP): the directory says who somebody is, the account here is made at the first visit.

use std::collections::HashSet;

use axum::response::Response;
use oui_config::{auth as keys, ldap};
use oui_core::{ApiError, ApiResult, form, ids, messages};
use oui_directory::{Directory, DirectoryError, Person};
use oui_models::auths;
use oui_models::groups::list::{Scope, list};
use oui_models::groups::{self, NewGroup};
use oui_models::users::{self, UserRow};
use oui_web::{Body, Caller, Public};

use super::accounts::{Newcomer, create, is_address};
use super::mfa;
use super::session::open;

form! {
    pub(super) struct LdapForm {
        user: String,
        password: String,
    }
}

fn refused(error: DirectoryError) -> ApiError {
    let (DirectoryError::Tls(cause) | DirectoryError::Failed(cause)) = &error else {
        return ApiError::bad_request(error.to_string());
    };
    tracing::error!(cause, "the directory could not be asked");
    ApiError::bad_request(error.to_string())
}

fn directory(caller: &Caller<Public>) -> Directory {
    let config = caller.app().config.snapshot();
    let groups = config
        .get(&ldap::ENABLE_LDAP_GROUP_MANAGEMENT)
        .then(|| config.get(&ldap::LDAP_ATTRIBUTE_FOR_GROUPS));
    Directory {
        host: config.get(&ldap::LDAP_SERVER_HOST),
        port: config.get(&ldap::LDAP_SERVER_PORT),
        tls: config.get(&ldap::LDAP_USE_TLS),
        check_certificate: config.get(&ldap::LDAP_VALIDATE_CERT),
        ca_file: config.get(&ldap::LDAP_CA_CERT_FILE),
        app_dn: config.get(&ldap::LDAP_APP_DN),
        app_password: config.get(&ldap::LDAP_APP_PASSWORD),
        search_base: config.get(&ldap::LDAP_SEARCH_BASE),
        filter: config.get(&ldap::LDAP_SEARCH_FILTER),
        username: config.get(&ldap::LDAP_ATTRIBUTE_FOR_USERNAME),
        mail: config.get(&ldap::LDAP_ATTRIBUTE_FOR_MAIL),
        groups,
    }
}

pub(super) async fn sign_in(
    caller: Caller<Public>,
    Body { form, .. }: Body<LdapForm>,
) -> ApiResult<Response> {
    let config = &caller.app().config;
    if !config.get(&ldap::ENABLE_LDAP) {
        return Err(ApiError::bad_request("LDAP authentication is not enabled"));
    }
    if !caller.app().settings.auth.password_auth {
        return Err(ApiError::forbidden(messages::ACTION_PROHIBITED));
    }
    if form.password.trim().is_empty() {
        return Err(ApiError::bad_request(messages::INVALID_CRED));
    }
    let directory = directory(&caller);
    let person = directory.find(&form.user).await.map_err(refused)?;
    let email = address(&person, &form.user, &config.get(&ldap::LDAP_DEFAULT_EMAIL_DOMAIN))
        .ok_or_else(|| ApiError::bad_request("User does not have a valid email address."))?;
    if !person.usernames.contains(&form.user.to_lowercase()) {
        return Err(ApiError::bad_request("User record mismatch."));
    }
    let known = users::by_email(caller.db(), &email).await?;
    if let (true, Some(user)) = (config.get(&keys::ENABLE_MFA), &known) {
        mfa::count_password(&caller, &user.id).await?;
    }
    directory
        .check_password(&person, &form.password)
        .await
        .map_err(refused)?;
    let user = match known {
        Some(user) => user,
        // Nobody knows the password: the directory is asked.
        None => create(&caller, Newcomer::new(&person.name, &email, &ids::uuid()), "ldap").await?,
    };
    auths::by_id(caller.db(), &user.id)
        .await?
        .filter(|auth| auth.active == Some(true))
        .ok_or_else(|| ApiError::bad_request(messages::INVALID_CRED))?;
    if let Err(error) = follow_groups(&caller, &user, &person.groups).await {
        tracing::error!(%error, user = user.id, "the groups of the directory could not be taken over");
    }
    open(&caller, &user, "ldap", None).await
}

/// The address of a person in lower case, or one in the default domain.
fn address(person: &Person, username: &str, domain: &str) -> Option<String> {
    let own = person.mail.as_ref().map(|mail| mail.to_lowercase());
    own.or_else(|| {
        let made = format!("{username}@{domain}").to_lowercase();
        (!domain.is_empty() && is_address(&made)).then_some(made)
    })
}

/// Makes the groups of the directory the account's own, where that is wanted and there are any.
async fn follow_groups(caller: &Caller<Public>, user: &UserRow, names: &[String]) -> ApiResult<()> {
    if names.is_empty() {
        return Ok(());
    }
    if caller.app().config.get(&ldap::ENABLE_LDAP_GROUP_CREATION) {
        let groups = list(caller.db(), Scope::All).await?;
        let known: HashSet<String> = groups.into_iter().filter_map(|row| row.group.name).collect();
        for name in names.iter().filter(|name| !known.contains(*name)) {
            let new = NewGroup {
                name: name.clone(),
                ..NewGroup::default()
            };
            // A group without a parent is never refused.
            drop(groups::insert(caller.db(), &user.id, new).await?);
        }
    }
    if groups::set_by_names(caller.db(), &user.id, names).await? {
        caller.app().emitter.disconnect_user(&user.id, true).await;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_come_from_the_directory_or_the_default_domain() {
        let mut person = Person {
            dn: String::new(),
            name: String::new(),
            usernames: vec![],
            mail: Some("Ada@Example.com".into()),
            groups: vec![],
        };
        assert_eq!(
            address(&person, "ada", "x.org").as_deref(),
            Some("ada@example.com")
        );
        person.mail = None;
        assert_eq!(address(&person, "ADA", "x.org").as_deref(), Some("ada@x.org"));
        assert_eq!(address(&person, "ada", ""), None);
    }
}
