//! A DNS server of a test's own, in a container's network namespace.

use super::host::Container;
use std::{
    collections::BTreeSet,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, UdpSocket},
    sync::{Arc, Mutex, mpsc::Receiver},
    thread,
};

/// From a question and whether it came by TCP, what to send back, in order.
type Reply = Arc<dyn Fn(&[u8], bool) -> Vec<Vec<u8>> + Send + Sync>;

/// It runs as long as its process does.
pub struct Server {
    askers: Arc<Mutex<Vec<SocketAddr>>>,
}

impl Server {
    pub fn start(container: &Container, address: &str, reply: Reply) -> Self {
        let (udp, tcp) = container.within(|| {
            let udp = UdpSocket::bind((address, 53)).expect("bound");
            (udp, TcpListener::bind((address, 53)).expect("bound"))
        });
        let askers: Arc<Mutex<Vec<SocketAddr>>> = Arc::default();
        let (by_udp, by_tcp) = (Arc::clone(&askers), Arc::clone(&askers));
        let other = Arc::clone(&reply);
        thread::spawn(move || {
            let mut query = [0; 1500];
            while let Ok((length, from)) = udp.recv_from(&mut query) {
                by_udp.lock().expect("no panic").push(from);
                for answer in reply(&query[..length], false) {
                    udp.send_to(&answer, from).expect("sent");
                }
            }
        });
        thread::spawn(move || {
            while let Ok((mut stream, from)) = tcp.accept() {
                let mut length = [0; 2];
                if stream.read_exact(&mut length).is_err() {
                    continue;
                }
                by_tcp.lock().expect("no panic").push(from);
                let mut query = vec![0; u16::from_be_bytes(length).into()];
                stream.read_exact(&mut query).expect("a question");
                for answer in other(&query, true) {
                    let length = u16::try_from(answer.len()).expect("short");
                    // In pieces, as a network may deliver it.
                    let whole = [&length.to_be_bytes()[..], &answer].concat();
                    for piece in whole.chunks(1400) {
                        stream.write_all(piece).expect("sent");
                    }
                }
            }
        });
        Self { askers }
    }

    /// How many questions it was asked.
    pub fn heard(&self) -> usize {
        self.askers.lock().expect("no panic").len()
    }

    /// From which ports.
    pub fn ports(&self) -> BTreeSet<u16> {
        self.askers.lock().expect("no panic").iter().map(SocketAddr::port).collect()
    }
}

fn answer(query: &[u8], code: u8, data: Option<(u16, &[u8])>) -> Vec<u8> {
    let mut answer = query.to_vec();
    answer[2] |= 0x80;
    answer[3] = 0x80 | code;
    if let Some((kind, data)) = data {
        answer[7] = 1;
        answer.extend([0xc0, 12]);
        answer.extend(kind.to_be_bytes());
        answer.extend([0, 1, 0, 0, 0, 60]);
        answer.extend(u16::try_from(data.len()).expect("short").to_be_bytes());
        answer.extend(data);
    }
    answer
}

/// One address for everything.
pub fn address(address: [u8; 4]) -> Reply {
    Arc::new(move |query, _| vec![answer(query, 0, Some((1, &address)))])
}

/// The same, once the gate is open.
pub fn behind(gate: Receiver<()>, reply: Reply) -> Reply {
    let gate = Mutex::new(gate);
    Arc::new(move |query, tcp| {
        gate.lock().expect("no panic").recv().expect("opened");
        reply(query, tcp)
    })
}

/// A failure for everything.
pub fn code(code: u8) -> Reply {
    Arc::new(move |query, _| vec![answer(query, code, None)])
}

/// Answers to other questions, under other numbers, and then the right one.
pub fn after_forgeries(address: [u8; 4]) -> Reply {
    Arc::new(move |query, _| {
        let forged = Some((1, &[203, 0, 113, 66][..]));
        let mut number = answer(query, 0, forged);
        number[1] ^= 0x55;
        let mut question = answer(query, 0, forged);
        question[13] ^= 1;
        let mut not_an_answer = answer(query, 0, forged);
        not_an_answer[2] &= 0x7f;
        let right = answer(query, 0, Some((1, &address)));
        vec![number, question, not_an_answer, vec![0], right]
    })
}

/// Text of so many bytes, by TCP alone.
pub fn long_by_tcp(length: usize) -> Reply {
    Arc::new(move |query, tcp| {
        let mut text = Vec::new();
        while text.len() < length {
            text.push(200);
            text.extend([b'x'; 200]);
        }
        let mut cut = answer(query, 0, None);
        cut[2] |= 2;
        vec![if tcp { answer(query, 0, Some((16, &text))) } else { cut }]
    })
}
