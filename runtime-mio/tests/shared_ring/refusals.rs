//! What is not a link of ours is refused, and the error says why.

use std::fs::{self, OpenOptions, Permissions};
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::Path;

use ulna_runtime_mio::shared_ring::{Link, OpenError, SLOTS_MAX};

use super::Folder;

fn error(path: &Path) -> OpenError {
    match Link::open(path) {
        Ok(_) => panic!("it was opened"),
        Err(error) => error,
    }
}

#[test]
fn a_header_that_is_not_ours_is_refused_by_its_first_wrong_field() {
    let folder = Folder::new("header");
    let path = folder.ring();
    let _link = Link::create(&path, 4).expect("a new name");
    let file = OpenOptions::new().read(true).write(true).open(&path).expect("it is there");
    let mut whole = [0; 32];
    file.read_exact_at(&mut whole, 0).expect("a header");
    let expect = |at: u64, octets: &[u8], is_it: &dyn Fn(&OpenError) -> bool| {
        file.write_all_at(octets, at).expect("it is ours");
        let error = error(&path);
        assert!(is_it(&error), "{octets:?} at {at}: {error}");
        file.write_all_at(&whole, 0).expect("it is ours");
    };
    expect(0, &7u64.to_ne_bytes(), &|e| matches!(e, OpenError::Magic(7)));
    expect(0, &0x756c_6e61_7269_6e67u64.swap_bytes().to_ne_bytes(), &|e| matches!(e, OpenError::Magic(_)));
    for version in [0u32, 2, u32::MAX] {
        expect(8, &version.to_ne_bytes(), &|e| matches!(e, OpenError::Version(v) if *v == version));
    }
    expect(12, &4096u32.to_ne_bytes(), &|e| matches!(e, OpenError::SlotOctets(4096)));
    for slots in [0u32, 3, 6, 2 * SLOTS_MAX, u32::MAX] {
        expect(16, &slots.to_ne_bytes(), &|e| matches!(e, OpenError::Slots(s) if *s == slots));
    }
    // More slots than the file has room for, and a size that is not the file's.
    expect(16, &8u32.to_ne_bytes(), &|e| matches!(e, OpenError::Size(_)));
    expect(24, &4096u64.to_ne_bytes(), &|e| matches!(e, OpenError::Size(_)));
    let octets = file.metadata().expect("it is there").len();
    file.set_len(octets + 1).expect("it is ours");
    assert!(matches!(error(&path), OpenError::Size(size) if size == octets + 1));
    file.set_len(octets).expect("it is ours");
    drop(Link::open(&path).expect("with its own header it is one"));
}

#[test]
fn a_file_that_is_too_short_is_refused() {
    let folder = Folder::new("short");
    fs::write(folder.ring(), [0; 31]).expect("a new name");
    fs::set_permissions(folder.ring(), Permissions::from_mode(0o600)).expect("it is ours");
    assert!(matches!(error(&folder.ring()), OpenError::Size(31)));
}

#[test]
fn what_others_may_touch_is_refused() {
    let folder = Folder::new("mode");
    let path = folder.ring();
    let _link = Link::create(&path, 4).expect("a new name");
    for name in ["ring", "ring.there", "ring.back"] {
        let name = folder.0.join(name);
        assert_eq!(fs::metadata(&name).expect("it is there").permissions().mode() & 0o7777, 0o600);
        for mode in [0o660, 0o606, 0o640, 0o644, 0o700, 0o4600] {
            fs::set_permissions(&name, Permissions::from_mode(mode)).expect("it is ours");
            let error = error(&path);
            assert!(matches!(error, OpenError::Mode(m) if m == mode), "{}: {error}", name.display());
        }
        fs::set_permissions(&name, Permissions::from_mode(0o600)).expect("it is ours");
    }
    drop(Link::open(&path).expect("with the right mode it is one"));
}

#[test]
fn another_users_is_refused() {
    let folder = Folder::new("owner");
    let path = folder.ring();
    let _link = Link::create(&path, 4).expect("a new name");
    let other = 54_321;
    for name in ["ring", "ring.there", "ring.back"] {
        let name = folder.0.join(name);
        if let Err(error) = std::os::unix::fs::chown(&name, Some(other), None) {
            // Only root may give files away, and only root could open another user's file of mode 0600 at all.
            assert_eq!(error.kind(), std::io::ErrorKind::PermissionDenied);
            return;
        }
        assert!(matches!(error(&path), OpenError::Owner(uid) if uid == other), "{}", name.display());
        let own = fs::metadata(&folder.0).expect("it is there");
        std::os::unix::fs::chown(&name, Some(std::os::unix::fs::MetadataExt::uid(&own)), None)
            .expect("root may");
    }
    drop(Link::open(&path).expect("our own is one"));
}

#[test]
fn only_a_file_with_two_fifos_is_a_link() {
    let folder = Folder::new("kinds");
    let path = folder.ring();
    let link = Link::create(&path, 4).expect("a new name");
    let elsewhere = folder.0.join("elsewhere");
    symlink(&path, &elsewhere).expect("a new name");
    assert!(matches!(error(&elsewhere), OpenError::System { .. }), "links are not followed");
    let fifo = folder.0.join("ring.back");
    assert!(matches!(error(&fifo), OpenError::NotOne));
    fs::remove_file(&fifo).expect("it is there");
    assert!(matches!(error(&path), OpenError::System { .. }));
    fs::write(&fifo, b"no FIFO").expect("a new name");
    assert!(matches!(error(&path), OpenError::NotOne));
    drop(link);
    assert_eq!(folder.entries(), 1, "only what this test has made is left");
}

#[test]
fn without_its_creator_it_is_not_opened() {
    let folder = Folder::new("creator");
    let path = folder.ring();
    let link = Link::create(&path, 4).expect("a new name");
    for name in ["ring", "ring.there", "ring.back"] {
        fs::hard_link(folder.0.join(name), folder.0.join(name.replace("ring", "left"))).expect("a new name");
    }
    drop(link);
    assert!(matches!(error(&folder.0.join("left")), OpenError::System { .. }), "nobody reads its bell");
}
