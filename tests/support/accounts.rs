//! Users and tokens, made through the command line as an operator makes them.

use super::server::Setup;

impl Setup {
    /// The standard output of a command that has to succeed.
    pub fn run(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {}\n{errors}", output.status);
        String::from_utf8(output.stdout).expect("commands print UTF-8")
    }

    /// Creates a user.
    pub fn create_user(&self, email: &str) {
        self.run(&["user", "create", email]);
    }

    /// Creates a token with these scopes, separated by commas, and gives its text.
    pub fn create_token(&self, email: &str, scopes: &str) -> String {
        token_of(&self.run(&["token", "create", "--user", email, "--scopes", scopes, "--json"]))
    }

    /// Creates a user with a token.
    pub fn create_user_with_token(&self, email: &str, scopes: &str) -> String {
        self.create_user(email);
        self.create_token(email, scopes)
    }
}

/// The token in what `token create --json` or `token rotate --json` printed.
pub fn token_of(printed: &str) -> String {
    let value: serde_json::Value =
        serde_json::from_str(printed).unwrap_or_else(|error| panic!("no JSON ({error}): {printed}"));
    let token = value["token"].as_str().unwrap_or_else(|| panic!("no token: {printed}"));
    token.to_owned()
}

/// How a token is listed: its first characters, which are no secret.
pub fn prefix_of(token: &str) -> &str {
    &token[..11]
}
