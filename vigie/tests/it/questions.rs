//! docs/incident-questions.md: every command of the page gives the answer that stands below it.

use std::path::Path;
use std::process::Command;

/// What a shell in the repository says to a command.
fn answer(root: &Path, command: &str) -> String {
    let binary = Path::new(env!("CARGO_BIN_EXE_vigie")).parent().unwrap();
    let path = format!("{}:{}", binary.display(), std::env::var("PATH").unwrap());
    let out = Command::new("sh")
        .args(["-c", &format!("{command} 2>&1")])
        .current_dir(root)
        .env("PATH", path)
        .env("TZ", "UTC")
        .output()
        .unwrap();
    String::from_utf8(out.stdout).unwrap()
}

#[test]
fn the_twenty_answers_hold() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let path = root.join("docs/incident-questions.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let (mut written, mut in_block, mut commands) = (String::new(), false, 0);
    for line in page.lines() {
        if line.starts_with("```") {
            in_block = line == "```console";
        }
        if let Some(command) = line.strip_prefix("$ ").filter(|_| in_block) {
            commands += 1;
            let said = answer(&root, command);
            assert!(!said.contains("vigie: "), "{command}: {said}");
            assert!(!said.is_empty(), "{command}: no answer");
            written.push_str(&format!("{line}\n{said}"));
        } else if !in_block || line.starts_with("```") {
            written.push_str(line);
            written.push('\n');
        }
    }
    assert!(commands >= 20, "{commands}");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, written).unwrap();
    } else {
        assert_eq!(written, page, "UPDATE_GOLDEN=1 writes the answers anew");
    }
}
