//! Somebody who is connected: the requests that they send, and the answers that they take. Decides nothing.

use super::flows::NAMESPACES;
use crate::codec::msgpack::{Reader, Token, write};
use crate::core::simulation::random::Random;
use crate::serve::server::{ClientId, Door};
use std::collections::VecDeque;

pub struct Peer {
    pub id: ClientId,
    pub door: Door,
    /// The namespace of the listener.
    pub place: usize,
    /// What is on its way to the server.
    pub to_server: VecDeque<u8>,
    /// What came back and is not a whole answer yet.
    came: Vec<u8>,
    /// Requests that are not answered: numbers, in the order in which they were sent.
    pub open: VecDeque<u64>,
    /// Its socket may have something to be read: what the poll has told, and the server has not used up.
    pub is_unread: bool,
    /// What it has sent last is not whole, and never will be.
    is_half: bool,
    /// It ends its side after that.
    pub ends: bool,
    /// The server was told so.
    pub has_ended: bool,
    pub is_gone: bool,
    /// It may hold packets.
    debugs: bool,
}

impl Peer {
    pub fn new(id: ClientId, door: Door, place: usize, debugs: bool) -> Peer {
        Peer {
            id,
            door,
            place,
            to_server: VecDeque::new(),
            came: Vec::new(),
            open: VecDeque::new(),
            is_unread: false,
            is_half: false,
            ends: false,
            has_ended: false,
            is_gone: false,
            debugs,
        }
    }

    /// Sends a request.
    pub fn ask(&mut self, number: u64, random: &mut Random) {
        if self.is_gone || self.is_half || self.ends {
            return;
        }
        let bytes = match self.door {
            Door::Web => web_request(number, random),
            Door::Flow(_) => flow_request(number, NAMESPACES[self.place], random),
            Door::Private => private_request(number, self.debugs, random),
        };
        self.is_unread = true;
        if self.door != Door::Private && random.chance(40) {
            // The rest never comes.
            let len = random.size(bytes.len() - 1);
            self.to_server.extend(&bytes[..len]);
            self.is_half = true;
            self.ends = self.open.is_empty() && random.chance(500);
            return;
        }
        self.to_server.extend(bytes);
        // Who ends its side long after a request has left.
        self.ends = self.door != Door::Private && self.open.is_empty() && random.chance(200);
        self.open.push_back(number);
    }

    /// Whether the server has heard all that it has said, as it has to over HTTP as long as that is little.
    pub fn is_read(&self) -> bool {
        self.door == Door::Private || self.to_server.is_empty() && self.ends == self.has_ended
    }

    /// Takes whole answers that came. How many of them were good.
    pub fn take(&mut self, bytes: &[u8]) -> u64 {
        self.came.extend_from_slice(bytes);
        match self.door {
            Door::Web | Door::Flow(_) => self.take_web(),
            Door::Private => self.take_private(),
        }
    }

    /// Each answer over HTTP is that of the oldest request.
    fn take_web(&mut self) -> u64 {
        let mut taken = 0;
        loop {
            let mut headers = [httparse::EMPTY_HEADER; 32];
            let mut response = httparse::Response::new(&mut headers);
            let Ok(httparse::Status::Complete(head)) = response.parse(&self.came) else {
                return taken;
            };
            let header = |name: &str| {
                let mut headers = response.headers.iter();
                let found = headers.find(|header| header.name.eq_ignore_ascii_case(name));
                found.map(|header| str::from_utf8(header.value).unwrap())
            };
            let len: usize = header("content-length").map_or(0, |len| len.parse().unwrap());
            if self.came.len() < head + len {
                return taken;
            }
            let status = response.code.unwrap();
            let body = str::from_utf8(&self.came[head..head + len]).unwrap();
            // A client that has asked for nothing, or for half of something, is told why its connection is closed.
            let is_refused = matches!(status, 408) || self.is_half && status >= 400;
            if !(is_refused && self.open.is_empty()) {
                let number = self.open.pop_front().expect("an answer is to a request");
                if let Some(id) = header("x-request-id") {
                    assert_eq!(id, number.to_string(), "answers come in order");
                    if status == 200 {
                        assert_eq!(body.trim(), (number % 1000).to_string());
                        taken += 1;
                    }
                } else if body.starts_with('/') {
                    let path = format!("/{}/{number}", NAMESPACES[self.place]);
                    assert_eq!(body, path, "an answer is to its own request");
                    taken += 1;
                }
            }
            self.came.drain(..head + len);
        }
    }

    /// Each answer over the private socket is that of one request.
    fn take_private(&mut self) -> u64 {
        let mut taken = 0;
        while let Some((len, rest)) = self.came.split_first_chunk::<4>() {
            let len = u32::from_be_bytes(*len) as usize;
            if rest.len() < len {
                break;
            }
            let mut reader = Reader::new(&rest[..len]);
            assert_eq!(reader.array_head().unwrap(), Some(4));
            reader.skip().unwrap();
            let number = match reader.next().unwrap() {
                Token::Int(number) => number as u64,
                Token::Unsigned(number) => number,
                _ => panic!("an id is a number"),
            };
            let at = self.open.iter().position(|open| *open == number);
            self.open.remove(at.expect("each request is answered once"));
            taken += u64::from(reader.next() == Ok(Token::Nil));
            self.came.drain(..4 + len);
        }
        taken
    }
}

fn web_request(number: u64, random: &mut Random) -> Vec<u8> {
    let (target, drawn) = (random.below(3), random.below(20));
    let path = match drawn {
        0 => "/healthz".to_string(),
        1 => "/nothing".to_string(),
        _ => format!("/v1/call/default/n{target}/same"),
    };
    let body = format!("[{}]", number % 1000);
    let limit = match drawn {
        2..5 => "x-request-timeout-ms: 50\r\n",
        _ => "",
    };
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
         x-request-id: {number}\r\n{limit}content-length: {}\r\n\r\n{body}",
        body.len()
    );
    head.into_bytes()
}

fn flow_request(number: u64, namespace: &str, random: &mut Random) -> Vec<u8> {
    let limit = match random.below(10) {
        0..3 => format!("x-request-timeout-ms: {}\r\n", random.between(1, 3000)),
        3 => "x-request-timeout-ms: soon\r\n".to_string(),
        _ => String::new(),
    };
    let head = format!("GET /{namespace}/{number} HTTP/1.1\r\nhost: localhost\r\n{limit}\r\n");
    head.into_bytes()
}

fn private_request(number: u64, debugs: bool, random: &mut Random) -> Vec<u8> {
    let mut params = Vec::new();
    let name = format!("n{}", random.below(3));
    let namespace = random.pick(&NAMESPACES);
    let mut words = |words: &[&str]| {
        for word in words {
            write::string(&mut params, word);
        }
        words.len() as u32
    };
    let (method, count) = match random.below(20) {
        0 => ("ping", 0),
        1 => ("list", 0),
        2 => ("ps", 0),
        3 => ("reload", words(&[&name])),
        4 => ("delete", words(&[&name])),
        5 => ("flow", words(&["status", namespace])),
        6 => ("flow", words(&["traces", namespace])),
        7 => ("flow", words(&["graph", namespace, "dot"])),
        8 if debugs => ("flow", words(&["debug", namespace, "break", &name])),
        9 if debugs => ("flow", words(&["debug", namespace, "frames"])),
        10 if debugs => ("flow", words(&["debug", namespace, "quit"])),
        _ => {
            words(&[&name, "same"]);
            write::int(&mut params, (number % 1000) as i64);
            ("call", 3)
        }
    };
    let mut message = Vec::new();
    write::array(&mut message, 4);
    write::unsigned(&mut message, 0);
    write::unsigned(&mut message, number);
    write::string(&mut message, method);
    write::array(&mut message, count);
    message.extend(params);
    let mut frame = (message.len() as u32).to_be_bytes().to_vec();
    frame.extend(message);
    frame
}
