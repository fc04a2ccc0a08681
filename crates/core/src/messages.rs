//! The `detail` texts that clients of the reference see and sometimes compare. They are part of
//! the wire contract, so they stand here once, word for word.

/// No credentials came with the request.
pub const NOT_AUTHENTICATED: &str = "Not authenticated";
/// A token that cannot be used.
pub const INVALID_TOKEN: &str = "Your session has expired or the token is invalid. Please sign in again.";
/// A token whose session was revoked.
pub const TOKEN_REVOKED: &str = "Invalid token";
/// A token that does not decode.
pub const UNAUTHORIZED: &str = "401 Unauthorized";
/// The caller's role or grants do not reach.
pub const ACCESS_PROHIBITED: &str =
    "You do not have permission to access this resource. Please contact your administrator for assistance.";
/// A sign-in form that can not be read, or a token of an account that is gone or switched off.
pub const INVALID_AUTHENTICATION: &str = "Invalid authentication request.";
/// The action is switched off.
pub const ACTION_PROHIBITED: &str = "The requested action has been restricted as a security measure.";
/// Nothing there, or not for the caller.
pub const NOT_FOUND: &str = "We could not find what you're looking for :/";
/// Sign-in failed.
pub const INVALID_CRED: &str =
    "The email or password provided is incorrect. Please check for typos and try logging in again.";
/// The present password does not match.
pub const INCORRECT_PASSWORD: &str =
    "The password provided is incorrect. Please check for typos and try again.";
/// The address is no address.
pub const INVALID_EMAIL_FORMAT: &str = "The email format you entered is invalid. Please double-check and make sure you're using a valid email address (e.g., yourname@example.com).";
/// The address has an account.
pub const EMAIL_TAKEN: &str = "Uh-oh! This email is already registered. Sign in with your existing account or choose another email to start anew.";
/// bcrypt takes 72 bytes.
pub const PASSWORD_TOO_LONG: &str =
    "Uh-oh! The password you entered is too long. Please make sure your password is less than 72 bytes long.";
/// WEBUI_AUTH=false on a database with accounts.
pub const EXISTING_USERS: &str = "You can't turn off authentication because there are existing users. If you want to disable WEBUI_AUTH, make sure your web interface doesn't have any existing users and is a fresh installation.";
/// The trusted header is missing.
pub const INVALID_TRUSTED_HEADER: &str =
    "Your provider has not provided a trusted header. Please contact your administrator for assistance.";
/// Sign-up failed for a reason of ours.
pub const CREATE_USER_ERROR: &str = "Oops! Something went wrong while creating your account. Please try again later. If the issue persists, contact support for assistance.";
/// Deleting a user failed.
pub const DELETE_USER_ERROR: &str = "Oops! Something went wrong. We encountered an issue while trying to delete the user. Please give it another shot.";
/// No key exists.
pub const API_KEY_NOT_FOUND: &str = "Oops! It looks like there's a hiccup. The API key is missing. Please make sure to provide a valid API key to access this feature.";
/// Keys are switched off.
pub const API_KEY_NOT_ALLOWED: &str = "Use of API key is not enabled in the environment.";
/// Making keys is switched off.
pub const API_KEY_CREATION_NOT_ALLOWED: &str = "API key creation is not allowed in the environment.";
/// Too many tries.
pub const RATE_LIMIT_EXCEEDED: &str = "API rate limit exceeded";
/// The generic apology.
pub const DEFAULT: &str = "Something went wrong :/";
/// An id is in use.
pub const ID_TAKEN: &str = "Uh-oh! This id is already registered. Please choose another id string.";
/// A model id is in use.
pub const MODEL_ID_TAKEN: &str =
    "Uh-oh! This model id is already registered. Please choose another model id string.";
/// A model id is too long.
pub const MODEL_ID_TOO_LONG: &str =
    "The model id is too long. Please make sure your model id is less than 256 characters long.";
/// A prompt command is in use.
pub const COMMAND_TAKEN: &str =
    "Uh-oh! This command is already registered. Please choose another command string.";
/// No such Ollama server.
pub const OLLAMA_NOT_FOUND: &str = "WebUI could not connect to Ollama";
/// The Ollama switch is off.
pub const OLLAMA_API_DISABLED: &str = "The Ollama API is disabled. Please enable it to use this feature.";
/// The OpenAI connection is missing.
pub const OPENAI_NOT_FOUND: &str = "OpenAI API was not found";
/// Provider unreachable. The product's name in it is an identifier that clients see.
pub const SERVER_CONNECTION_ERROR: &str = "Open WebUI: Server Connection Error";
/// The account changed while a sign-in was on its way.
pub const AUTHENTICATION_CHANGED: &str = "Authentication changed. Please sign in again.";
/// The token belongs to somebody other than the trusted header says.
pub const USER_MISMATCH: &str = "User mismatch. Please sign in again.";
/// The route takes sessions of people only.
pub const HUMAN_SESSION_REQUIRED: &str = "A human session is required.";

/// A stored second factor can not be decrypted.
pub const MFA_UNREADABLE: &str = "Authenticator configuration is unavailable. Contact the operator.";
/// A challenge of a sign-in that is over.
pub const MFA_STEP_EXPIRED: &str = "This authentication step expired. Please start again.";
/// Too many codes or passwords for one account.
pub const TOO_MANY_ATTEMPTS: &str = "Too many attempts. Please try again later.";

/// The generic apology with its cause: `[ERROR: cause]`.
pub fn default_with(cause: impl std::fmt::Display) -> String {
    format!("[ERROR: {cause}]")
}

/// `Model 'name' was not found`.
pub fn model_not_found(name: &str) -> String {
    format!("Model '{name}' was not found")
}
