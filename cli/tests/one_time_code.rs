//! A one-time code after the password, as the binary does it: asked by `ulna request`, by FreeRADIUS's `radclient`, and explained.

mod support;

use std::time::SystemTime;
use support::{PASSWORD, SECRET, Ulna, file, on_free_ports, radclient, run};
use totp_rs::{Builder, Secret};

/// It is printed nowhere.
const SEED: &str = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP";

fn configuration() -> String {
    let user = |name: &str| {
        format!(
            "[[user]]\nname = \"{name}\"\npassword = \"{PASSWORD}\"\none_time_code = {{ totp = \"{SEED}\" }}\nreply = {{ Session-Timeout = 60 }}\n"
        )
    };
    on_free_ports(&format!("[protocol]\nreject_delay = \"20ms\"\n{}{}", user("ann"), user("ben")))
}

/// What the device shows now.
fn code() -> String {
    let seed = Secret::try_from_base32(SEED).expect("it is one");
    let device = Builder::new().with_secret(seed).build().expect("it is one");
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("it is later");
    device.generate(now.as_secs()).to_string()
}

/// How `ulna request` ends, and what it prints.
fn ask(ulna: &Ulna, attributes: &[&str]) -> (Option<i32>, String) {
    let server = ulna.addresses[0].to_string();
    let secret = file("secret", SECRET).display().to_string();
    let output =
        run(&[&["request", "--server", &server, "--secret-file", &secret, "auth"], attributes].concat());
    (output.status.code(), String::from_utf8(output.stdout).expect("it prints UTF-8"))
}

/// The State in a reply that was printed.
fn state(printed: &str) -> String {
    let line = printed.lines().map(str::trim).find(|line| line.starts_with("State = "));
    line.unwrap_or_else(|| panic!("there is none:\n{printed}")).replace(' ', "")
}

#[test]
fn a_password_and_a_code_let_a_user_in_once() {
    let ulna = Ulna::start(&configuration());
    let password = format!("User-Password={PASSWORD}");
    let (end, challenge) = ask(&ulna, &["User-Name=ann", &password]);
    assert_eq!(end, Some(3), "{challenge}");
    assert!(challenge.contains("Reply-Message = \"One-time code:\""), "{challenge}");
    let code = format!("User-Password={}", code());
    let (end, accept) = ask(&ulna, &["User-Name=ann", &code, &state(&challenge)]);
    assert_eq!(end, Some(0), "{accept}");
    assert!(accept.contains("Session-Timeout = 60"), "{accept}");
    // Again: the State leads nowhere, and with another the code was taken.
    assert_eq!(ask(&ulna, &["User-Name=ann", &code, &state(&challenge)]).0, Some(1));
    let (_, challenge) = ask(&ulna, &["User-Name=ann", &password]);
    assert_eq!(ask(&ulna, &["User-Name=ann", &code, &state(&challenge)]).0, Some(1));
    let log = ulna.stderr();
    assert!(log.contains(" challenge user=\"ann\"") && log.contains(" accept user=\"ann\""), "{log}");
    assert!(!log.contains(SEED) && !log.contains(code.trim_start_matches("User-Password=")), "{log}");
    ulna.stop();
}

#[test]
fn radclient_is_asked_and_answers() {
    let ulna = Ulna::start(&configuration());
    let server = ulna.addresses[0].to_string();
    let ask = |lines: &str| {
        let printed = radclient(&["-x", &server, "auth", SECRET], lines)?;
        let received = printed.find("Received ").unwrap_or_else(|| panic!("nothing comes back:\n{printed}"));
        Some(printed[received..].to_owned())
    };
    let Some(challenge) =
        ask(&format!("User-Name = ben, User-Password = {PASSWORD}, Message-Authenticator = 0x00\n"))
    else {
        return;
    };
    assert!(challenge.starts_with("Received Access-Challenge"), "{challenge}");
    let accept = ask(&format!(
        "User-Name = ben, User-Password = {}, {}, Message-Authenticator = 0x00\n",
        code(),
        state(&challenge)
    ));
    let accept = accept.expect("it ran before");
    assert!(
        accept.starts_with("Received Access-Accept") && accept.contains("Session-Timeout = 60"),
        "{accept}"
    );
    ulna.stop();
}

#[test]
fn check_says_that_a_code_is_asked_for_or_cannot_be() {
    let path = file("ulna.toml", &configuration()).display().to_string();
    let says = |attributes: &str| {
        let packet = file("packet.txt", attributes).display().to_string();
        let output = run(&[
            "check",
            "--config",
            &path,
            "--packet",
            &packet,
            "--from",
            "127.0.0.1:50000",
            "--listener",
            "authentication",
        ]);
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        let said = String::from_utf8(output.stdout).expect("it prints UTF-8");
        assert!(!said.contains(SEED), "{said}");
        said
    };
    let asked = says(&format!("User-Name = ann\nUser-Password = {PASSWORD}\n"));
    let known = "user: \"ann\", known by a password in clear and a one-time code; the request has ";
    assert!(
        asked.contains(&format!("{known}User-Password, which is right\n    the code is asked for")),
        "{asked}"
    );
    assert!(asked.contains("result: Access-Challenge\n"), "{asked}");
    let refused = says(&format!("User-Name = ann\nCHAP-Password = {PASSWORD}\n"));
    assert!(refused.contains(&format!("{known}no User-Password, or not that alone")), "{refused}");
    assert!(refused.contains("result: Access-Reject"), "{refused}");
    let wrong = says("User-Name = ann\nUser-Password = 123456\n");
    assert!(wrong.contains(&format!("{known}User-Password, which is wrong")), "{wrong}");
}
