//! A remote server that takes accounting, and keeps what it took. It answers Status-Server, too.

use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ulna_core::packet::{Code, Encoder, Framed, MessageAuthenticator, Requirements, number};

use super::{PATIENCE, secret};

/// A record that came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    pub session: String,
    pub delay: u32,
    pub authenticator: [u8; 16],
}

/// It ends with the test.
pub struct Remote {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    taken: Mutex<Vec<Taken>>,
    came: Condvar,
    is_over: AtomicBool,
}

impl Remote {
    /// At this address. Answers a record only if this says so of its number, from 0.
    pub fn at(address: SocketAddr, answers: impl Fn(usize) -> bool + Send + 'static) -> Remote {
        let socket = UdpSocket::bind(address).expect("nobody else has it");
        socket.set_read_timeout(Some(Duration::from_millis(20))).expect("not zero");
        let shared = Arc::<Shared>::default();
        let thread = std::thread::spawn({
            let shared = Arc::clone(&shared);
            move || {
                let mut octets = [0; 4096];
                while !shared.is_over.load(Ordering::Relaxed) {
                    let Ok((length, from)) = socket.recv_from(&mut octets) else { continue };
                    let request = Framed::parse(&octets[..length]).expect("a packet");
                    let is_answered = match request.code() {
                        Some(Code::AccountingRequest) => {
                            let mut taken = shared.taken.lock().expect("no reader panics");
                            taken.push(read(&request));
                            shared.came.notify_all();
                            answers(taken.len() - 1)
                        }
                        Some(Code::StatusServer) => true,
                        other => panic!("nobody asked for {other:?}"),
                    };
                    if is_answered {
                        // Whoever was killed gets none.
                        let _ = socket.send_to(&answer(&request), from);
                    }
                }
            }
        });
        Remote { shared, thread: Some(thread) }
    }

    /// All that has come so far, in order.
    pub fn taken(&self) -> Vec<Taken> {
        self.shared.taken.lock().expect("no reader panics").clone()
    }

    /// Waits until what has come is enough, of which each record is shown once: nothing is answered meanwhile.
    pub fn wait_for(&self, what: &str, mut is_enough: impl FnMut(&[Taken]) -> bool) -> Vec<Taken> {
        let until = Instant::now() + 3 * PATIENCE;
        let mut taken = self.shared.taken.lock().expect("no reader panics");
        let mut shown = 0;
        while !is_enough(&taken[std::mem::replace(&mut shown, taken.len())..]) {
            let left = until.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "{what} never came: {} records did", taken.len());
            taken = self.shared.came.wait_timeout(taken, left).expect("no reader panics").0;
        }
        taken.clone()
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
            && !std::thread::panicking()
        {
            panic!("the remote server found something wrong");
        }
    }
}

fn read(request: &Framed<'_>) -> Taken {
    let requirements = Requirements { require_message_authenticator: false, limit_proxy_state: false };
    request.verify_request(&secret().into(), requirements).expect("it verifies under the secret of this hop");
    let value = |number| request.attributes().find(|attribute| attribute.number == number);
    let session = value(number::ACCT_SESSION_ID).expect("all records have one").value;
    let delay = value(number::ACCT_DELAY_TIME).expect("all records get one").value;
    Taken {
        session: String::from_utf8(session.to_vec()).expect("it is text"),
        delay: u32::from_be_bytes(delay.try_into().expect("four octets")),
        authenticator: *request.authenticator(),
    }
}

fn answer(request: &Framed<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    let (code, sign) = (Code::AccountingResponse, MessageAuthenticator::First);
    let mut encoder = Encoder::reply(&mut out, code, request.identifier(), sign);
    for state in request.proxy_states() {
        encoder.attribute(number::PROXY_STATE, state).expect("it fits");
    }
    encoder.finish_reply(&secret(), request.authenticator());
    out
}
