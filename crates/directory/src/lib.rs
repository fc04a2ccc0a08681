//! Finding people in an LDAP directory, and checking their passwords by binding as them. What a found person may do
//! here is decided elsewhere.

mod names;
#[cfg(test)]
mod server;

use std::sync::Arc;
use std::time::Duration;

use ldap3::{Ldap, LdapConnAsync, LdapConnSettings, Scope, SearchEntry, drive, ldap_escape};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

pub use names::common_name;

/// How long a directory may take to answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A directory and what stands where in it.
#[derive(Clone, Default)]
pub struct Directory {
    /// Host.
    pub host: String,
    /// Port.
    pub port: i64,
    /// Whether the connection is encrypted from its start.
    pub tls: bool,
    /// Whether the directory's certificate is checked.
    pub check_certificate: bool,
    /// File with the certificates that count; empty is the system's.
    pub ca_file: String,
    /// Account that searches; empty searches without one.
    pub app_dn: String,
    /// Its password.
    pub app_password: String,
    /// Where people are.
    pub search_base: String,
    /// More conditions on them, in the form of an LDAP filter.
    pub filter: String,
    /// Attribute with the name to sign in with.
    pub username: String,
    /// Attribute with the address.
    pub mail: String,
    /// Attribute with the groups, where they are wanted.
    pub groups: Option<String>,
}

/// Somebody who was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// Distinguished name.
    pub dn: String,
    /// Common name.
    pub name: String,
    /// Names to sign in with, in lower case.
    pub usernames: Vec<String>,
    /// First address.
    pub mail: Option<String>,
    /// Names of their groups.
    pub groups: Vec<String>,
}

/// What went wrong. The texts of the first four are for users.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// The certificate file can not be used.
    #[error("Failed to configure TLS for LDAP connection.")]
    Tls(String),
    /// The searching account was refused.
    #[error("Application account bind failed")]
    Application,
    /// Nobody has this name.
    #[error("User not found in the LDAP server")]
    NotFound,
    /// The password is wrong.
    #[error("Authentication failed.")]
    Refused,
    /// The directory can not be reached, or does not answer as it should.
    #[error("LDAP authentication failed.")]
    Failed(String),
}

fn failed(error: ldap3::LdapError) -> DirectoryError {
    DirectoryError::Failed(error.to_string())
}

impl Directory {
    fn settings(&self) -> Result<LdapConnSettings, DirectoryError> {
        let settings = LdapConnSettings::new().set_conn_timeout(TIMEOUT);
        if !self.tls {
            return Ok(settings);
        }
        // Another crate of the process may have installed it before.
        let _ = rustls::crypto::ring::default_provider().install_default();
        if !self.check_certificate {
            return Ok(settings.set_no_tls_verify(true));
        }
        if self.ca_file.is_empty() {
            return Ok(settings);
        }
        let tls = |error: String| DirectoryError::Tls(format!("{}: {error}", self.ca_file));
        let mut roots = RootCertStore::empty();
        let found = CertificateDer::pem_file_iter(&self.ca_file).map_err(|error| tls(error.to_string()))?;
        for certificate in found {
            let certificate = certificate.map_err(|error| tls(error.to_string()))?;
            roots.add(certificate).map_err(|error| tls(error.to_string()))?;
        }
        let config = ClientConfig::builder()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(settings.set_config(Arc::new(config)))
    }

    async fn connect(&self) -> Result<Ldap, DirectoryError> {
        let scheme = if self.tls { "ldaps" } else { "ldap" };
        let url = format!("{scheme}://{}:{}", self.host, self.port);
        let (connection, mut ldap) = LdapConnAsync::with_settings(self.settings()?, &url)
            .await
            .map_err(failed)?;
        drive!(connection);
        ldap.with_timeout(TIMEOUT);
        Ok(ldap)
    }

    /// The person with this name to sign in with.
    ///
    /// # Errors
    /// See [`DirectoryError`].
    pub async fn find(&self, username: &str) -> Result<Person, DirectoryError> {
        let mut ldap = self.connect().await?;
        let bound = ldap
            .simple_bind(&self.app_dn, &self.app_password)
            .await
            .map_err(failed)?;
        if bound.success().is_err() {
            return Err(DirectoryError::Application);
        }
        let filter = format!(
            "(&({}={}){})",
            self.username,
            ldap_escape(username.to_lowercase()),
            self.filter
        );
        let mut attributes = vec![self.username.as_str(), self.mail.as_str(), "cn"];
        attributes.extend(self.groups.as_deref());
        ldap.with_timeout(TIMEOUT);
        let answer = ldap
            .search(&self.search_base, Scope::Subtree, &filter, attributes)
            .await
            .map_err(failed)?;
        let entries = answer.success().map(|(entries, _)| entries);
        // Not to be told goodbye is no fault.
        let _ = ldap.unbind().await;
        let entry = entries
            .ok()
            .and_then(|entries| {
                entries
                    .into_iter()
                    .find(|entry| !entry.is_ref() && !entry.is_intermediate())
            })
            .ok_or(DirectoryError::NotFound)?;
        Ok(self.person(SearchEntry::construct(entry)))
    }

    fn person(&self, entry: SearchEntry) -> Person {
        // Attribute names have no case.
        let values = |name: &str| -> Vec<String> {
            let found = entry
                .attrs
                .iter()
                .find(|(known, _)| known.eq_ignore_ascii_case(name));
            found.map(|(_, values)| values.clone()).unwrap_or_default()
        };
        let groups = self.groups.as_deref().map(values).unwrap_or_default();
        Person {
            name: values("cn").into_iter().next().unwrap_or_default(),
            usernames: values(&self.username)
                .iter()
                .map(|name| name.to_lowercase())
                .collect(),
            mail: values(&self.mail)
                .into_iter()
                .next()
                .filter(|mail| !mail.is_empty()),
            groups: groups.iter().filter_map(|dn| common_name(dn)).collect(),
            dn: entry.dn,
        }
    }

    /// Checks the password of a person. An empty one is refused without asking: many directories let it pass as a
    /// sign-in without a name.
    ///
    /// # Errors
    /// See [`DirectoryError`].
    pub async fn check_password(&self, person: &Person, password: &str) -> Result<(), DirectoryError> {
        if password.trim().is_empty() {
            return Err(DirectoryError::Refused);
        }
        let mut ldap = self.connect().await?;
        let bound = ldap.simple_bind(&person.dn, password).await.map_err(failed)?;
        // Not to be told goodbye is no fault.
        let _ = ldap.unbind().await;
        bound.success().map(drop).map_err(|_| DirectoryError::Refused)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn directory() -> Directory {
        Directory {
            host: "127.0.0.1".into(),
            port: i64::from(server::start().await),
            app_dn: "cn=app".into(),
            app_password: "app-password".into(),
            search_base: "dc=example".into(),
            username: "uid".into(),
            mail: "mail".into(),
            groups: Some("memberOf".into()),
            ..Directory::default()
        }
    }

    #[tokio::test]
    async fn people_are_found_and_their_passwords_checked() {
        let directory = directory().await;
        let ada = directory.find("ADA").await.unwrap();
        assert_eq!(
            ada,
            Person {
                dn: "uid=ada,dc=example".into(),
                name: "Ada Lovelace".into(),
                usernames: vec!["ada".into()],
                mail: Some("Ada@example.com".into()),
                groups: vec!["Sales, EMEA".into(), "Staff".into()],
            }
        );
        directory.check_password(&ada, "ada-password").await.unwrap();
        for wrong in ["other", "", "  "] {
            let refused = directory.check_password(&ada, wrong).await;
            assert!(matches!(refused, Err(DirectoryError::Refused)), "{wrong:?}");
        }
    }

    #[tokio::test]
    async fn what_goes_wrong_is_told_apart() {
        let mut directory = directory().await;
        assert!(matches!(
            directory.find("bob").await,
            Err(DirectoryError::NotFound)
        ));
        // A name can not become a filter.
        assert!(matches!(directory.find("*").await, Err(DirectoryError::NotFound)));
        directory.app_password = "wrong".into();
        assert!(matches!(
            directory.find("ada").await,
            Err(DirectoryError::Application)
        ));
        directory.port = 1;
        assert!(matches!(
            directory.find("ada").await,
            Err(DirectoryError::Failed(_))
        ));
        directory.tls = true;
        directory.check_certificate = true;
        directory.ca_file = "/nowhere.pem".into();
        assert!(matches!(directory.find("ada").await, Err(DirectoryError::Tls(_))));
    }
}
