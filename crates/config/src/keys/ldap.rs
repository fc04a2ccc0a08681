//! Keys of sign-in against a directory.

use crate::key::{Key, keys};

keys! {
    "LDAP";

    /// Offers sign-in against a directory.
    pub static ENABLE_LDAP: Key<bool> = Key::bool("ldap.enable", false);
    /// Name on the sign-in form.
    pub static LDAP_SERVER_LABEL: Key<String> = Key::text("ldap.server.label", "LDAP Server");
    /// Host of the directory.
    pub static LDAP_SERVER_HOST: Key<String> = Key::text("ldap.server.host", "localhost");
    /// Port of the directory.
    pub static LDAP_SERVER_PORT: Key<i64> = Key::int("ldap.server.port", 389);
    /// Attribute with the e-mail.
    pub static LDAP_ATTRIBUTE_FOR_MAIL: Key<String> = Key::text("ldap.server.attribute_for_mail", "mail");
    /// Domain added when the directory holds no e-mail.
    pub static LDAP_DEFAULT_EMAIL_DOMAIN: Key<String> = Key::text("ldap.server.default_email_domain", "");
    /// Attribute with the user name.
    pub static LDAP_ATTRIBUTE_FOR_USERNAME: Key<String> =
        Key::text("ldap.server.attribute_for_username", "uid");
    /// Account that searches the directory.
    pub static LDAP_APP_DN: Key<String> = Key::text("ldap.server.app_dn", "");
    /// Password of that account.
    pub static LDAP_APP_PASSWORD: Key<String> = Key::text("ldap.server.app_password", "").secret();
    /// Where users are searched.
    pub static LDAP_SEARCH_BASE: Key<String> = Key::text("ldap.server.users_dn", "");
    /// Filter added to the user search.
    pub static LDAP_SEARCH_FILTER: Key<String> =
        Key::text("ldap.server.search_filter", "").or_env(&["LDAP_SEARCH_FILTERS"]);
    /// Encrypts the connection.
    pub static LDAP_USE_TLS: Key<bool> = Key::bool("ldap.server.use_tls", true);
    /// File with the certificate authority.
    pub static LDAP_CA_CERT_FILE: Key<String> = Key::text("ldap.server.ca_cert_file", "");
    /// Checks the certificate of the directory.
    pub static LDAP_VALIDATE_CERT: Key<bool> = Key::bool("ldap.server.validate_cert", true);
    /// Allowed ciphers, in OpenSSL form.
    pub static LDAP_CIPHERS: Key<String> = Key::text("ldap.server.ciphers", "ALL");
    /// Attribute with the groups.
    pub static LDAP_ATTRIBUTE_FOR_GROUPS: Key<String> =
        Key::text("ldap.server.attribute_for_groups", "memberOf");
    /// Takes groups from the directory.
    pub static ENABLE_LDAP_GROUP_MANAGEMENT: Key<bool> = Key::bool("ldap.group.enable_management", false);
    /// Creates groups that do not exist yet.
    pub static ENABLE_LDAP_GROUP_CREATION: Key<bool> = Key::bool("ldap.group.enable_creation", false);
}
