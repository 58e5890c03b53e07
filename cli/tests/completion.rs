//! What a shell completes, asked as the shell itself asks.

mod support;

use std::process::Command;

use support::{run, without_peer};

/// What bash offers for the last of these words; `None` where there is no bash.
fn offered(words: &[&str]) -> Option<Vec<String>> {
    let script = run(&["completion", "bash"]);
    assert_eq!(script.status.code(), Some(0));
    let script = String::from_utf8(script.stdout).expect("it is text");
    let quoted: Vec<_> = words.iter().map(|word| format!("'{word}'")).collect();
    let (last, before) = (words.len() - 1, words[words.len() - 2]);
    // As bash does when TAB is pressed: the words, which of them is being written, and the function that is asked.
    let asked = format!(
        "{script}\nCOMP_WORDS=({}); COMP_CWORD={last}; COMP_LINE='{}'; COMP_POINT=${{#COMP_LINE}}\n\
         function=$(complete -p ulna | sed 's/.*-F \\([^ ]*\\).*/\\1/')\n\
         $function ulna '{}' '{before}' || exit 1\n\
         printf '%s\\n' \"${{COMPREPLY[@]}}\"",
        quoted.join(" "),
        words.join(" "),
        words[last],
    );
    let output = match Command::new("bash").args(["--norc", "--noprofile", "-c", &asked]).output() {
        Ok(output) => output,
        Err(error) => {
            without_peer(&format!("bash cannot be run: {error}"));
            return None;
        }
    };
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && stderr.is_empty(), "{words:?}: {stderr}");
    let offered = String::from_utf8(output.stdout).expect("it is text");
    Some(offered.lines().filter(|word| !word.is_empty()).map(Into::into).collect())
}

#[test]
fn bash_completes_the_commands_of_a_server() {
    let cases = [
        (&["ulna", "control", "show", "st"][..], &["statistics"][..]),
        (&["ulna", "control", "show", "c"], &["clients", "connections", "conversations", "config"]),
        (&["ulna", "control", "remote-server", "d"], &["down"]),
        (&["ulna", "control", "client", "f"], &["flush"]),
        (&["ulna", "control", "sh"], &["show", "shutdown"]),
        (&["ulna", "control", "--json", "show", "q"], &["queues"]),
        (&["ulna", "control", "rel"], &["reload"]),
        (&["ulna", "to"], &["top"]),
        (&["ulna", "top", "--on"], &["--once"]),
        (&["ulna", "completion", "zs"], &["zsh"]),
    ];
    for (words, expected) in cases {
        let Some(offered) = offered(words) else { return };
        assert_eq!(offered, expected, "{words:?}");
    }
}

#[test]
fn a_shell_that_nobody_knows_is_wrong_usage() {
    let output = run(&["completion", "command.com"]);
    assert_eq!(output.status.code(), Some(2));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains("bash") && stderr.contains("fish"), "{stderr}");
}
