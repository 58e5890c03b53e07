//! Sockets to NASes are closed when nothing has gone there for a while: there may be thousands of NASes, and few of them are told
//! something. Those to remote servers stay.

use super::Forwarding;
use crate::forward::Role;
use core::time::Duration;

/// After which a NAS that nothing goes to has no socket of ours any more.
const IDLE: Duration = Duration::from_secs(60);

impl Forwarding {
    /// Something goes there now.
    pub(super) fn note_used(&mut self, place: u16) {
        let remote = &mut self.remotes[usize::from(place)];
        if remote.server.role == Role::Nas {
            remote.idle_due = Some(self.now + IDLE);
        }
    }

    /// Retires the ports to a NAS that nothing has gone to for so long.
    pub(super) fn retire_idle(&mut self, place: u16) {
        let now = self.now;
        let remote = &mut self.remotes[usize::from(place)];
        if remote.idle_due.is_none_or(|due| now < due) {
            return;
        }
        if !remote.outstanding.is_empty() {
            remote.idle_due = Some(now + IDLE);
            return;
        }
        (remote.idle_due, remote.retired_due) = (None, Some(now));
        self.retire_ports(place);
    }
}
