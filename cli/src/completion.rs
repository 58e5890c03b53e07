//! `ulna completion`: the script by which a shell completes the arguments. What may stand behind `ulna control` is free text to the
//! parser, as the server alone decides about it; here, and only here, its commands are subcommands.

use std::process::ExitCode;

use clap::{Command, CommandFactory};
use clap_complete::Shell;
use ulna_core::control::command::help;

use crate::{Arguments, print};

#[derive(clap::Args)]
pub struct CompletionArguments {
    /// Whose script: that of bash goes to where its completions are, or `source <(ulna completion bash)`.
    shell: Shell,
}

/// Prints it.
pub fn completion(arguments: &CompletionArguments) -> ExitCode {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut tree(), "ulna", &mut script);
    print(&String::from_utf8(script).expect("all that it is made of is text"))
}

/// All that can be completed.
fn tree() -> Command {
    Arguments::command().mut_subcommand("control", |control| {
        // The trailing words would be completed as files are.
        let options = control.get_arguments().filter(|argument| !argument.is_positional()).cloned();
        let about = control.get_about().cloned().unwrap_or_default();
        let known = Command::new("control")
            .about(about)
            .args(options.collect::<Vec<_>>())
            .disable_help_subcommand(true);
        help().fold(known, |known, (command, about)| {
            // What follows is the caller's own: a name, or conditions.
            let is_own = |word: &&str| !word.starts_with('[') && !word.starts_with(char::is_uppercase);
            let words: Vec<_> = command.split(' ').take_while(is_own).collect();
            with_words(known, &words, &about)
        })
    })
}

/// A command that also takes these words, one after the other.
fn with_words(command: Command, words: &[&str], about: &str) -> Command {
    let Some((first, rest)) = words.split_first() else { return command.about(about.to_string()) };
    if command.find_subcommand(first).is_some() {
        return command.mut_subcommand(*first, |found| with_words(found, rest, about));
    }
    let added = Command::new(first.to_string()).disable_help_subcommand(true);
    command.subcommand(with_words(added, rest, about))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::ValueEnum;
    use ulna_core::control::Table;

    #[test]
    fn each_command_of_the_server_is_a_word_to_complete() {
        let tree = tree();
        let control = tree.find_subcommand("control").expect("it is there");
        let words = |command: &Command| -> Vec<String> {
            command.get_subcommands().map(|it| it.get_name().to_string()).collect()
        };
        assert_eq!(words(control), ["show", "client", "remote-server", "reload", "shutdown", "help"]);
        assert_eq!(words(control.find_subcommand("show").expect("it is there")), Table::ALL.map(Table::name));
        assert_eq!(words(control.find_subcommand("remote-server").expect("it is there")), ["down", "up"]);
    }

    #[test]
    fn every_shell_has_a_script() {
        for shell in Shell::value_variants() {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut tree(), "ulna", &mut script);
            let script = String::from_utf8(script).expect("text");
            assert!(script.contains("remote-server") && script.contains("statistics"), "{shell}: {script}");
        }
    }
}
