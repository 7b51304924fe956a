//! The configuration in effect as text, for `config show`.

use super::Config;
use super::units::duration_text;

impl Config {
    /// The configuration in effect as TOML, each value with its origin in a comment; passwords are hidden.
    pub fn show(&self) -> String {
        let mut text = String::new();
        let mut open = "";
        for effective in &self.effective {
            let (section, key) = effective.path.split_once('.').unwrap_or(("", effective.path));
            if section != open {
                text.push_str(&format!("\n[{section}]\n"));
                open = section;
            }
            let note = self.note(effective.path);
            let value = &effective.text;
            let origin = &effective.origin;
            text.push_str(&format!("{key} = {value}  # {origin}{note}\n"));
        }
        self.show_faults(&mut text);
        text
    }

    /// What a value stands for, where it does not say so itself.
    fn note(&self, path: &str) -> String {
        match path {
            "node.name" if self.node.name.is_empty() => {
                format!(": {}", self.node_name())
            }
            "database.url" if self.database.url.is_empty() => {
                format!(": {}", self.database_url_masked())
            }
            "timeouts.processing" => {
                format!(", soft {}", duration_text(self.timeouts.processing_soft()))
            }
            _ => String::new(),
        }
    }

    #[cfg(not(feature = "fault-injection"))]
    fn show_faults(&self, _: &mut String) {}

    #[cfg(feature = "fault-injection")]
    fn show_faults(&self, text: &mut String) {
        for rule in &self.faults {
            text.push_str(&format!("\n# {rule:?}\n"));
        }
        if let Some(bug) = self.planted {
            text.push_str(&format!("\n# planted: {bug:?}\n"));
        }
    }
}
