//! One container: where its questions come, and where they go.

use super::{
    Core,
    client::Client,
    lane::{Lane, TCP},
    poll::{Source, Wake, Watched},
    scribe::Batch,
    taught::Taught,
};
use crate::{
    answer::{Answer, Asker, Way, answer},
    cache::Cache,
    fence,
    packet::{self, Query, Read},
    table::{Number, Table},
    wire::{self, Fence, LANE, Upstream},
};
use hickory_proto::op::ResponseCode;
use rustix::{
    io::Errno,
    net::{RecvFlags, SendFlags, SocketAddrAny, SocketFlags, accept_with, recvfrom, sendto},
};
use spec::Id;
use std::{
    collections::HashMap,
    io,
    net::SocketAddr,
    os::fd::OwnedFd,
    time::{Duration, Instant},
};

/// Questions that are answered before others get their turn.
const TURN: usize = 32;
/// Those who wait for an answer at once, be it the same one.
const WAITING: usize = 1024;
/// Connections at once.
const CLIENTS: usize = 64;
/// How long nobody is let in who there is no room for.
const BREATH: Duration = Duration::from_secs(1);
/// How long a server has. Source: `extIOTimeout` of moby.
const PATIENCE: Duration = Duration::from_secs(4);
/// Where servers are.
const PORT: u16 = 53;
/// A container's sockets and what is under way there.
#[derive(Debug)]
pub(crate) struct Room {
    id: Id,
    number: Number,
    init: Watched,
    udp: Watched,
    /// None once it listens no more.
    tcp: Option<Watched>,
    upstream: Upstream,
    /// In the order of the servers; none to one whose sockets cannot be
    /// watched.
    lanes: Vec<Option<Lane>>,
    under_way: HashMap<u16, Question>,
    clients: HashMap<u32, Client>,
    connections: u32,
    cache: Cache,
    fences: Vec<Fence>,
    taught: Taught,
}

/// A question that servers are asked.
#[derive(Debug)]
struct Question {
    /// As it came.
    bytes: Vec<u8>,
    asked: Vec<u8>,
    askers: Vec<Waiting>,
    cached_under: Option<u8>,
    way: Way,
    /// Which server has it, by which socket.
    server: usize,
    slot: usize,
    until: Instant,
}

/// Who waits for the answer.
#[derive(Debug)]
struct Waiting {
    from: From,
    id: u16,
    limit: usize,
}

/// Who asks.
#[derive(Clone, Debug)]
pub(crate) enum From {
    Udp(SocketAddrAny),
    Tcp(u32),
}

impl From {
    fn way(&self) -> Way {
        match self {
            Self::Udp(_) => Way::Udp,
            Self::Tcp(_) => Way::Tcp,
        }
    }
}

impl Room {
    /// Begins to serve. `door`: init, UDP, TCP.
    pub fn open(core: &mut Core, number: Number, id: Id, door: [OwnedFd; 3]) -> io::Result<Self> {
        let [init, udp, tcp] = door;
        Ok(Self {
            id,
            number,
            init: core.poll.watch(init, Source::Init(number), Wake::IN)?,
            udp: core.poll.watch(udp, Source::Udp(number), Wake::IN)?,
            tcp: Some(core.poll.watch(tcp, Source::Tcp(number), Wake::IN)?),
            upstream: Upstream::default(),
            lanes: Vec::new(),
            under_way: HashMap::new(),
            clients: HashMap::new(),
            connections: 0,
            cache: Cache::default(),
            fences: Vec::new(),
            taught: Taught::default(),
        })
    }

    pub fn id(&self) -> &Id {
        &self.id
    }

    pub fn held(&self) -> wire::Held {
        wire::Held { container: self.id.clone(), upstream: self.upstream.clone() }
    }

    /// Lets go of everything.
    pub fn close(mut self, core: &mut Core) {
        self.set_upstream(core, Upstream::default(), Vec::new());
        for client in self.clients.into_values() {
            client.close(core);
        }
        for watched in [self.init, self.udp].into_iter().chain(self.tcp) {
            core.poll.leave(watched);
        }
    }

    /// Are these the servers for which there are sockets?
    pub fn has_servers_of(&self, upstream: &Upstream) -> bool {
        self.upstream.servers == upstream.servers
    }

    /// The same servers, by the same sockets.
    pub fn set_ndots(&mut self, ndots: bool) {
        self.upstream.ndots = ndots;
    }

    /// Other servers, and sockets for them. What is under way fails.
    pub fn set_upstream(&mut self, core: &mut Core, upstream: Upstream, sockets: Vec<OwnedFd>) {
        let open: Vec<u16> = self.under_way.keys().copied().collect();
        for id in open {
            self.give_up(core, id);
        }
        for lane in std::mem::take(&mut self.lanes).into_iter().flatten() {
            lane.close(core);
        }
        self.cache.clear(&mut core.total);
        let mut sockets = sockets.into_iter();
        for (place, server) in upstream.servers.iter().enumerate() {
            let mut next = || sockets.next();
            let (Some(a), Some(b), Some(c)) = (next(), next(), next()) else { break };
            const { assert!(LANE == 3) };
            let server = SocketAddr::new(server.address, PORT);
            let lane = Lane::new(core, self.number, place, server, [a, b, c]);
            let failed =
                |error: &io::Error| eprintln!("cannot watch the sockets to {server}: {error}");
            self.lanes.push(lane.inspect_err(failed).ok());
        }
        self.upstream = upstream;
    }

    /// What its policies say of names, from now on.
    pub fn set_fences(&mut self, fences: Vec<Fence>) {
        if self.fences != fences {
            self.fences = fences;
            self.taught.forget();
        }
    }

    /// Datagrams have come.
    pub fn hear(&mut self, table: &Table, core: &mut Core) {
        for _ in 0..TURN {
            // Taken, so that it can be read while others are changed.
            let mut buffer = std::mem::take(&mut core.buffer);
            let heard = recvfrom(&self.udp, &mut buffer[..], RecvFlags::DONTWAIT);
            let outcome = match heard {
                Ok((_, length, Some(from))) => {
                    self.asked(table, core, &buffer[..length], From::Udp(from));
                    Ok(())
                }
                Ok(_) | Err(Errno::INTR) => Ok(()),
                Err(errno) => Err(errno),
            };
            core.buffer = buffer;
            if outcome.is_err() {
                return;
            }
        }
    }

    /// Somebody connects.
    pub fn connected(&mut self, core: &mut Core) {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let Some(tcp) = &self.tcp else { return };
        let socket = match accept_with(tcp, flags) {
            Ok(socket) => socket,
            Err(Errno::INVAL) => {
                // Who may administer the network namespace has destroyed the
                // socket, which would wake us for ever.
                if let Some(tcp) = self.tcp.take() {
                    core.poll.leave(tcp);
                }
                return;
            }
            Err(Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::NOBUFS) => {
                // It waits until there is room again, instead of being told
                // of all the time.
                if core.poll.change(tcp, Wake::empty()).is_ok() {
                    let later = core.now + BREATH;
                    self.arm(core, later);
                }
                return;
            }
            Err(_) => return,
        };
        if self.clients.len() >= CLIENTS {
            return;
        }
        self.connections = self.connections.wrapping_add(1);
        let number = self.connections;
        let Ok(socket) = core.poll.watch(socket, Source::Client(self.number, number), Wake::IN)
        else {
            return;
        };
        let client = Client::new(socket, core.now);
        self.arm(core, client.until());
        self.clients.insert(number, client);
    }

    /// Somebody who has connected speaks, or listens again.
    pub fn client(&mut self, table: &Table, core: &mut Core, number: u32) {
        let Some(client) = self.clients.get_mut(&number) else { return };
        let mut outcome = client.go_on(core);
        while outcome.is_ok() {
            let Some(client) = self.clients.get_mut(&number) else { return };
            match client.question() {
                Ok(Some(question)) => self.asked(table, core, &question, From::Tcp(number)),
                Ok(None) => return,
                Err(over) => outcome = Err(over),
            }
        }
        self.drop_client(core, number);
    }

    fn drop_client(&mut self, core: &mut Core, number: u32) {
        if let Some(client) = self.clients.remove(&number) {
            client.close(core);
        }
    }

    fn asked(&mut self, table: &Table, core: &mut Core, bytes: &[u8], from: From) {
        let query = match packet::read(bytes) {
            Read::Query(query) => query,
            Read::Refused(answer) => return self.say(core, &from, &answer),
            Read::Nothing => {
                if let From::Tcp(number) = from {
                    self.drop_client(core, number);
                }
                return;
            }
        };
        let (upstream, fences) = (&self.upstream, &self.fences[..]);
        let asker = Asker { number: self.number, table, upstream, fences };
        match answer(&asker, bytes, from.way(), &mut core.dice) {
            Ok(Answer::Say(answer)) => self.say(core, &from, &answer),
            Ok(Answer::Ask(asked)) => {
                let cached = asked
                    .cached_under
                    .and_then(|flags| self.cache.find(bytes, &query.question, flags, core.now));
                if let Some(answer) = cached {
                    let fitting = packet::fit(answer.clone(), asked.limit);
                    return self.teach(core, vec![(from, fitting)], &answer);
                }
                let waiting = Waiting { from, id: query.id, limit: asked.limit };
                self.ask(core, bytes, query, waiting, asked.cached_under);
            }
            Err(_) => {
                let answer = packet::failure(bytes, ResponseCode::ServFail);
                self.say(core, &from, &answer);
            }
        }
    }

    fn say(&mut self, core: &mut Core, to: &From, answer: &[u8]) {
        match to {
            From::Udp(address) => {
                // Who does not take it asks again, as with every datagram.
                let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
                let _ = sendto(&self.udp, answer, flags, address);
            }
            From::Tcp(number) => {
                let client = self.clients.get_mut(number);
                if client.is_some_and(|client| client.say(core, answer).is_err()) {
                    self.drop_client(core, *number);
                }
            }
        }
    }

    /// Asks servers, unless the same question is under way: a second one
    /// would help who forges answers.
    fn ask(
        &mut self,
        core: &mut Core,
        bytes: &[u8],
        query: Query,
        waiting: Waiting,
        cached_under: Option<u8>,
    ) {
        let way = waiting.from.way();
        let same = |other: &&mut Question| other.way == way && other.bytes[2..] == bytes[2..];
        let all: usize = self.under_way.values().map(|question| question.askers.len()).sum();
        let id = if all < WAITING {
            if let Some(same) = self.under_way.values_mut().find(same) {
                return same.askers.push(waiting);
            }
            self.free_id(core)
        } else {
            None
        };
        let Some(id) = id else {
            // Told, and not left to wait: who is told asks again at once.
            let answer = packet::failure(bytes, ResponseCode::ServFail);
            return self.say(core, &waiting.from, &answer);
        };
        let question = Question {
            bytes: bytes.to_vec(),
            asked: query.question,
            askers: vec![waiting],
            cached_under,
            way,
            server: 0,
            slot: 0,
            until: core.now,
        };
        self.under_way.insert(id, question);
        self.send(core, id);
    }

    fn free_id(&self, core: &mut Core) -> Option<u16> {
        (0..64).find_map(|_| core.dice.roll().ok().filter(|id| !self.under_way.contains_key(id)))
    }

    /// Asks the server whose turn it is, or the first after it that can be.
    fn send(&mut self, core: &mut Core, id: u16) {
        loop {
            let Some(question) = self.under_way.get_mut(&id) else { return };
            let Some(lane) = self.lanes.get_mut(question.server) else {
                return self.give_up(core, id);
            };
            let mut bytes = question.bytes.clone();
            packet::set_id(&mut bytes, id);
            let sent = match (lane, question.way) {
                (Some(lane), Way::Udp) => lane.ask_udp(&bytes),
                (Some(lane), Way::Tcp) => lane.ask_tcp(core, id, &bytes).map(|()| TCP),
                (None, _) => Err(io::ErrorKind::NotConnected.into()),
            };
            if let Ok(slot) = sent {
                question.slot = slot;
                question.until = core.now + PATIENCE;
                let until = question.until;
                return self.arm(core, until);
            }
            question.server += 1;
        }
    }

    /// The server whose turn it was has failed.
    fn next_server(&mut self, core: &mut Core, id: u16) {
        let Some(question) = self.under_way.get_mut(&id) else { return };
        let (server, slot) = (question.server, question.slot);
        question.server += 1;
        self.free(core, id, server, slot);
        self.send(core, id);
    }

    fn free(&mut self, core: &mut Core, id: u16, server: usize, slot: usize) {
        if let Some(lane) = self.lane(server) {
            if slot == TCP { lane.end_tcp(core, id) } else { lane.done_udp(slot) }
        }
        self.lose(core, server);
    }

    fn lane(&mut self, server: usize) -> Option<&mut Lane> {
        self.lanes.get_mut(server)?.as_mut()
    }

    /// What could not even begin there is to be asked elsewhere.
    fn lose(&mut self, core: &mut Core, server: usize) {
        let lost = self.lane(server).map(Lane::take_lost).unwrap_or_default();
        for id in lost {
            self.next_server(core, id);
        }
    }

    fn give_up(&mut self, core: &mut Core, id: u16) {
        let Some(question) = self.under_way.get(&id) else { return };
        let answer = packet::failure(&question.bytes, ResponseCode::ServFail);
        self.tell(core, id, answer);
    }

    /// Tells all who wait, and that is that.
    fn tell(&mut self, core: &mut Core, id: u16, mut answer: Vec<u8>) {
        let Some(question) = self.under_way.remove(&id) else { return };
        let mut answers = Vec::new();
        for waiting in question.askers {
            packet::set_id(&mut answer, waiting.id);
            answers.push((waiting.from, packet::fit(answer.clone(), waiting.limit)));
        }
        self.teach(core, answers, &answer);
    }

    /// Says answers: at once, or when what `whole` teaches is entered.
    fn teach(&mut self, core: &mut Core, answers: Vec<(From, Vec<u8>)>, whole: &[u8]) {
        let lessons = fence::lessons(&self.fences, whole);
        let lessons = match self.taught.new_of(lessons, core.now) {
            Ok(lessons) if lessons.is_empty() => {
                for (to, answer) in answers {
                    self.say(core, &to, &answer);
                }
                return;
            }
            other => other,
        };
        let batch = |lessons| Batch { container: self.number, lessons, answers };
        let refused = match (lessons, &mut core.scribe) {
            (Ok(lessons), Some(scribe)) => scribe.enter(batch(lessons)).err(),
            (_, _) => Some(batch(Vec::new())),
        };
        if let Some(batch) = refused {
            self.let_go(core, batch, false);
        }
    }

    /// Says answers that were held back, or that the question has failed since
    /// what it teaches could not be entered.
    pub fn let_go(&mut self, core: &mut Core, batch: Batch, done: bool) {
        if done {
            self.taught.entered(&batch.lessons, core.now);
        } else {
            self.taught.forget();
        }
        for (to, answer) in batch.answers {
            let failure = || packet::failure(&answer, ResponseCode::ServFail);
            let said = if done { &answer } else { &failure() };
            self.say(core, &to, said);
        }
    }

    /// A server speaks.
    pub fn answered(&mut self, core: &mut Core, server: usize, slot: usize) {
        if slot == TCP {
            let Some(lane) = self.lane(server) else { return };
            match lane.go_on_tcp(core) {
                Ok(None) => {}
                Ok(Some((id, answer))) => self.take(core, id, server, slot, &answer),
                Err(id) => self.next_server(core, id),
            }
            return self.lose(core, server);
        }
        for _ in 0..TURN {
            let Some(lane) = self.lane(server) else { return };
            let mut buffer = std::mem::take(&mut core.buffer);
            let heard = lane.hear_udp(slot, &mut buffer);
            if let Ok(Some(length)) = heard
                && let Some(id) = packet::id(&buffer[..length])
            {
                self.take(core, id, server, slot, &buffer[..length]);
            }
            core.buffer = buffer;
            match heard {
                Ok(Some(_)) => {}
                Ok(None) => return,
                Err(_) => return self.unreachable(core, server, slot),
            }
        }
    }

    /// Takes an answer, if it is one to what this server was asked there.
    fn take(&mut self, core: &mut Core, id: u16, server: usize, slot: usize, answer: &[u8]) {
        let Some(question) = self.under_way.get(&id) else { return };
        if question.server != server || question.slot != slot {
            return;
        }
        if !packet::answers(answer, &question.asked) {
            // By TCP it comes from the server and from nobody else.
            if slot == TCP {
                self.next_server(core, id);
            }
            return;
        }
        if packet::is_failure(answer) {
            return self.next_server(core, id);
        }
        if let Some(flags) = question.cached_under {
            self.cache.keep(answer, &question.asked, flags, core.now, &mut core.total);
        }
        self.free(core, id, server, slot);
        self.tell(core, id, answer.to_vec());
    }

    /// All that this socket has been asked is to be asked elsewhere.
    fn unreachable(&mut self, core: &mut Core, server: usize, slot: usize) {
        let lost = self.under_way.iter().filter(|(_, q)| q.server == server && q.slot == slot);
        let lost: Vec<u16> = lost.map(|(id, _)| *id).collect();
        for id in lost {
            self.next_server(core, id);
        }
    }

    /// Wakes it at a time at the latest.
    fn arm(&self, core: &mut Core, at: Instant) {
        core.poll.wake_at(at, self.number);
    }

    /// Its time has come: what has waited for too long waits no more.
    pub fn wake(&mut self, core: &mut Core) {
        let now = core.now;
        // Connections that there was no room for.
        if let Some(tcp) = &self.tcp {
            // It fails for no watched socket.
            let _ = core.poll.change(tcp, Wake::IN);
        }
        let late = self.under_way.iter().filter(|(_, question)| question.until <= now);
        let late: Vec<u16> = late.map(|(id, _)| *id).collect();
        for id in late {
            self.next_server(core, id);
        }
        let silent = self.clients.iter().filter(|(_, client)| client.until() <= now);
        let silent: Vec<u32> = silent.map(|(number, _)| *number).collect();
        for number in silent {
            self.drop_client(core, number);
        }
        let questions = self.under_way.values().map(|question| question.until);
        let next = questions.chain(self.clients.values().map(Client::until)).min();
        if let Some(next) = next {
            self.arm(core, next);
        }
    }
}
