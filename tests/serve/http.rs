//! A client of HTTP/1.1, by hand, so that it can also say what no library would. Reads one answer at a time.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// Longest wait for bytes: far above any, so that only a hang reaches it.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// A socket of either kind.
enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Stream::Tcp(stream) => stream.read(buffer),
            Stream::Unix(stream) => stream.read(buffer),
        }
    }
}

/// A connection.
pub struct Client {
    stream: BufReader<Stream>,
}

/// What the server said.
#[derive(Debug, Default)]
pub struct Answer {
    pub status: u16,
    head: String,
    pub body: Vec<u8>,
}

impl Answer {
    /// The value of a header; none: it is not there.
    pub fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(':'));
        let mut found = lines.filter(|(key, _)| key.eq_ignore_ascii_case(name));
        found.next().map(|(_, value)| value.trim())
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// It has that status, and these parts in its body.
    #[track_caller]
    pub fn check(&self, status: u16, parts: &[&str]) {
        let text = self.text();
        assert_eq!(self.status, status, "{text}");
        for part in parts {
            assert!(text.contains(part), "'{part}' is not in {text}");
        }
    }
}

impl Client {
    pub fn tcp(address: &str) -> Client {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(WAIT_MAX)).unwrap();
        stream.set_nodelay(true).unwrap();
        Client {
            stream: BufReader::new(Stream::Tcp(stream)),
        }
    }

    pub fn unix(path: &Path) -> Client {
        let stream = UnixStream::connect(path).unwrap();
        stream.set_read_timeout(Some(WAIT_MAX)).unwrap();
        Client {
            stream: BufReader::new(Stream::Unix(stream)),
        }
    }

    /// Sends bytes as they are. What the server no longer takes is no failure: its answer tells why.
    pub fn say(&mut self, bytes: &[u8]) {
        let _ = match self.stream.get_mut() {
            Stream::Tcp(stream) => stream.write_all(bytes),
            Stream::Unix(stream) => stream.write_all(bytes),
        };
    }

    /// Sends as much of that as the system takes at once: how much.
    #[allow(dead_code)] // Flows ask so much.
    pub fn say_at_once(&mut self, bytes: &[u8]) -> usize {
        let Stream::Tcp(stream) = self.stream.get_mut() else {
            panic!("only TCP is asked for that");
        };
        stream.set_nonblocking(true).unwrap();
        let mut sent = 0;
        while let Ok(written) = stream.write(&bytes[sent..])
            && written > 0
        {
            sent += written;
        }
        stream.set_nonblocking(false).unwrap();
        sent
    }

    /// Ends its side: it says no more.
    #[allow(dead_code)] // Flows are asked so.
    pub fn end(&mut self) {
        let Stream::Tcp(stream) = self.stream.get_mut() else {
            panic!("only TCP is asked for that");
        };
        stream.shutdown(std::net::Shutdown::Write).unwrap();
    }

    /// Sends a request; `headers` are lines.
    pub fn ask(&mut self, method: &str, target: &str, headers: &str, body: &[u8]) {
        let length = match body.is_empty() && method != "POST" {
            true => String::new(),
            false => format!("Content-Length: {}\r\n", body.len()),
        };
        let head = format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\n{headers}{length}\r\n");
        self.say(&[head.as_bytes(), body].concat());
    }

    /// The whole next answer.
    pub fn answer(&mut self) -> Answer {
        self.try_answer(true).expect("the server closed the connection")
    }

    /// The answer to a HEAD request.
    pub fn answer_of_head(&mut self) -> Answer {
        self.try_answer(false).expect("the server closed the connection")
    }

    /// The next answer; none: the connection was closed instead.
    pub fn try_answer(&mut self, has_body: bool) -> Option<Answer> {
        let mut answer = self.begun_answer()?;
        let is_empty = !has_body || matches!(answer.status, 204 | 304);
        if answer.header("transfer-encoding") == Some("chunked") {
            while let Some(chunk) = self.chunk() {
                answer.body.extend(chunk);
            }
        } else if let Some(length) = answer.header("content-length")
            && !is_empty
        {
            answer.body = vec![0; length.parse().unwrap()];
            self.stream.read_exact(&mut answer.body).ok()?;
        }
        Some(answer)
    }

    /// The next answer but its body.
    pub fn begun_answer(&mut self) -> Option<Answer> {
        let mut head = String::new();
        loop {
            let before = head.len();
            match self.stream.read_line(&mut head) {
                Ok(0) => return None,
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => panic!("no answer: {head}"),
                Err(_) => return None,
                Ok(_) if head[before..] == *"\r\n" => break,
                Ok(_) => {}
            }
        }
        let status = head.get(9..12).and_then(|digits| digits.parse().ok());
        let status = status.unwrap_or_else(|| panic!("{head}"));
        assert!(head.starts_with("HTTP/1.1 "), "{head}");
        Some(Answer {
            status,
            head,
            body: Vec::new(),
        })
    }

    /// The next chunk of a body; none: that was the last.
    pub fn chunk(&mut self) -> Option<Vec<u8>> {
        let mut line = String::new();
        self.stream.read_line(&mut line).unwrap();
        let size = usize::from_str_radix(line.trim(), 16).unwrap_or_else(|_| panic!("chunk '{line}'"));
        let mut chunk = vec![0; size + 2];
        self.stream.read_exact(&mut chunk).unwrap();
        chunk.truncate(size);
        (size > 0).then_some(chunk)
    }

    /// Nothing more comes: the server has closed it.
    #[track_caller]
    pub fn check_closed(&mut self) {
        let mut rest = Vec::new();
        match self.stream.read_to_end(&mut rest) {
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => panic!("it stays open"),
            _ => assert_eq!(String::from_utf8_lossy(&rest), "", "more came"),
        }
    }

    /// All that comes until the server closes it.
    pub fn rest(&mut self) -> String {
        let mut rest = Vec::new();
        let _ = self.stream.read_to_end(&mut rest);
        String::from_utf8_lossy(&rest).into_owned()
    }
}
