//! Programs as worker processes: each reads, writes and ends as its nature says, through pipes that hold little. Knows
//! nothing of who uses it.

use super::faults::Faults;
use super::random::Random;
use super::world::take_front;
use crate::core::hub::Ended;
use crate::core::process::mailbox::Framing;
use crate::core::process::table::HandleId;

/// What a program does, drawn when it is named.
#[derive(Clone, Debug)]
pub struct Nature {
    /// Messages that it writes by itself.
    pub produces: u64,
    /// Messages that it reads before it ends its input; none: all.
    pub reads_max: Option<u64>,
    /// It writes a message for each that it reads.
    pub answers: bool,
    /// It ends once it has read and written what it wants to; else it goes on until it is ended.
    pub ends: bool,
    /// It reads nothing and leaves its input open.
    pub is_deaf: bool,
    /// It closes its input, and goes on, once it has read enough.
    pub closes_early: bool,
    pub ignores_term: bool,
    /// The code it ends with.
    pub code: i32,
    /// The code it ends with when nobody reads what it writes; none: a signal ends it.
    pub refused_code: Option<i32>,
    /// After so many steps it dies, by that signal.
    pub dies: Option<(u64, i32)>,
    /// It can't be started.
    pub is_missing: bool,
    /// Somebody else keeps its output open after its end.
    pub leaks: bool,
    /// Milliseconds that each message takes it.
    pub pause_ms: u64,
    /// Bytes of what it writes by itself.
    pub bytes: usize,
    /// It writes half of its last message.
    pub is_cut: bool,
}

impl Nature {
    /// One that reads all it gets, answers and ends well.
    pub fn plain() -> Nature {
        Nature {
            produces: 0,
            reads_max: None,
            answers: true,
            ends: true,
            is_deaf: false,
            closes_early: false,
            ignores_term: false,
            code: 0,
            refused_code: None,
            dies: None,
            is_missing: false,
            leaks: false,
            pause_ms: 0,
            bytes: 0,
            is_cut: false,
        }
    }

    /// One for a stage of a pipe: what comes out of it is known, unless it fails.
    pub fn draw_stage(faults: &Faults, volume: usize, random: &mut Random) -> Nature {
        let mut nature = Nature::plain();
        match random.below(10) {
            0..2 => nature.reads_max = Some(random.below(6)),
            2 => {
                (nature.produces, nature.reads_max) = (random.size(volume.min(1000)) as u64, Some(0));
                nature.bytes = random.size((volume / nature.produces as usize).max(1));
            }
            _ => {}
        }
        nature.add_faults(faults, random);
        nature.refused_code = random.chance(300).then_some(1);
        nature
    }

    pub fn draw(faults: &Faults, random: &mut Random) -> Nature {
        let mut nature = Nature::plain();
        nature.answers = random.chance(700);
        nature.reads_max = random.chance(200).then(|| random.below(4));
        nature.closes_early = random.chance(200);
        nature.ends = random.chance(800);
        if random.chance(300) {
            nature.produces = match random.chance(100) {
                true => random.between(1000, 1100),
                false => random.below(6),
            };
            nature.bytes = random.size(300);
        }
        nature.is_cut = random.chance(50);
        nature.add_faults(faults, random);
        nature.is_deaf |= random.chance(50);
        nature.refused_code = random.chance(300).then_some(1);
        nature
    }

    fn add_faults(&mut self, faults: &Faults, random: &mut Random) {
        if random.chance(faults.program_dies) {
            self.dies = Some((random.below(12), random.pick(&[6, 9, 11])));
        }
        if random.chance(faults.program_hangs) {
            match random.below(3) {
                0 => self.is_deaf = true,
                1 => self.ends = false,
                _ => self.pause_ms = random.below(3000),
            }
        }
        self.code = i32::from(random.chance(faults.program_fails)) * 3;
        self.is_missing = random.chance(faults.program_fails / 3);
        self.ignores_term = random.chance(faults.ignores_term + 100);
        self.leaks = random.chance(faults.program_hangs / 3);
    }

    /// It may go on for ever.
    pub fn may_hang(&self) -> bool {
        self.is_deaf || !self.ends || self.leaks
    }
}

/// A pipe of the system.
#[derive(Default)]
pub struct Channel {
    pub bytes: Vec<u8>,
    pub has_writer: bool,
    pub has_reader: bool,
}

/// A process.
pub struct Program {
    pub id: HandleId,
    pub name: String,
    pub nature: Nature,
    pub framing: Framing,
    pub is_detached: bool,
    /// Its ends of pipes.
    pub stdin: Option<usize>,
    pub stdout: Option<usize>,
    /// The ends that nexus has, and the one that the next program gets.
    pub near_input: Option<usize>,
    pub near_output: Option<usize>,
    pub next_input: Option<usize>,
    /// Its input, where another writes it: nexus holds it too.
    pub joined_input: Option<usize>,
    /// Nexus has something to write to it.
    pub is_writable: bool,
    inbox: Vec<u8>,
    outbox: Vec<u8>,
    produced: u64,
    read: u64,
    input_ended: bool,
    steps: u64,
    pub busy_until_ms: u64,
    pub ended: Option<Ended>,
    /// It ended because nobody read what it wrote.
    pub is_refused: bool,
    pub is_reaped: bool,
    /// Nexus has let it go.
    pub is_released: bool,
    /// What it has read in all: bytes.
    pub read_bytes: usize,
}

impl Program {
    pub fn new(id: HandleId, name: &str, nature: Nature, framing: Framing) -> Program {
        Program {
            id,
            name: name.into(),
            nature,
            framing,
            is_detached: false,
            stdin: None,
            stdout: None,
            near_input: None,
            near_output: None,
            next_input: None,
            joined_input: None,
            is_writable: false,
            inbox: Vec::new(),
            outbox: Vec::new(),
            produced: 0,
            read: 0,
            input_ended: false,
            steps: 0,
            busy_until_ms: 0,
            ended: None,
            is_refused: false,
            is_reaped: false,
            is_released: false,
            read_bytes: 0,
        }
    }

    fn has_read_enough(&self) -> bool {
        self.nature.reads_max.is_some_and(|most| self.read >= most)
    }

    fn reads(&self, channels: &[Channel]) -> bool {
        let Some(stdin) = self.stdin.filter(|_| !self.nature.is_deaf && !self.input_ended) else {
            return false;
        };
        !self.has_read_enough()
            && self.outbox.len() < 4096
            && (!channels[stdin].bytes.is_empty() || !channels[stdin].has_writer)
    }

    fn writes(&self, channels: &[Channel], room: usize) -> bool {
        let stdout = self.stdout.map(|stdout| &channels[stdout]);
        !self.outbox.is_empty() && stdout.is_none_or(|stdout| !stdout.has_reader || stdout.bytes.len() < room)
    }

    fn has_done_all(&self) -> bool {
        let has_read = self.stdin.is_none() || self.input_ended || self.has_read_enough();
        has_read && self.produced == self.nature.produces && self.outbox.is_empty() && !self.nature.is_deaf
    }

    fn wants_to_close(&self) -> bool {
        self.nature.closes_early && self.has_read_enough() && self.stdin.is_some()
    }

    /// Whether it can take a step, with pipes that hold so much.
    pub fn can_act(&self, channels: &[Channel], room: usize, now_ms: u64) -> bool {
        self.ended.is_none()
            && self.busy_until_ms <= now_ms
            && (self.writes(channels, room)
                || self.outbox.is_empty() && self.produced < self.nature.produces
                || self.reads(channels)
                || self.wants_to_close()
                || self.nature.ends && self.has_done_all())
    }

    /// One step. Gives how it has ended, and what it has read.
    pub fn act(
        &mut self,
        channels: &mut [Channel],
        room: usize,
        random: &mut Random,
        now_ms: u64,
    ) -> (Option<Ended>, Vec<u8>) {
        self.steps += 1;
        let mut read = Vec::new();
        if let Some((steps, signal)) = self.nature.dies
            && self.steps > steps
        {
            return (Some(Ended::Signal(signal)), read);
        }
        if self.writes(channels, room) {
            let cut = random.cut(self.outbox.len());
            match self.stdout.map(|stdout| &mut channels[stdout]) {
                None => drop(take_front(&mut self.outbox, cut)),
                Some(stdout) if stdout.has_reader => {
                    let cut = cut.min(room - stdout.bytes.len());
                    stdout.bytes.append(&mut take_front(&mut self.outbox, cut));
                }
                Some(_) => {
                    self.is_refused = true;
                    let code = self.nature.refused_code.map(Ended::Code);
                    return (Some(code.unwrap_or(Ended::Signal(13))), read);
                }
            }
        } else if self.outbox.is_empty() && self.produced < self.nature.produces {
            let line = produced_line(self.produced, self.nature.bytes);
            self.produced += 1;
            self.say(line.as_bytes());
        } else if self.reads(channels) {
            let stdin = &mut channels[self.stdin.unwrap_or(0)];
            match stdin.bytes.len() {
                0 => self.end_input(),
                waiting => {
                    let cut = random.cut(waiting);
                    read = take_front(&mut stdin.bytes, cut);
                    self.read_bytes += read.len();
                    self.inbox.extend_from_slice(&read);
                    self.answer_all();
                    self.busy_until_ms = now_ms + self.nature.pause_ms;
                }
            }
        } else if self.wants_to_close() {
            if let Some(stdin) = self.stdin.take() {
                // What nexus holds too is not closed by that.
                if self.joined_input.is_none() {
                    channels[stdin].has_reader = false;
                    channels[stdin].bytes.clear();
                }
            }
        } else if self.nature.ends && self.has_done_all() {
            return (Some(Ended::Code(self.nature.code)), read);
        }
        (None, read)
    }

    fn end_input(&mut self) {
        self.input_ended = true;
        if self.framing != Framing::Frames && !self.inbox.is_empty() {
            let rest = std::mem::take(&mut self.inbox);
            self.hear(&rest);
        }
        if self.nature.is_cut && self.framing != Framing::Whole {
            let half = self.outbox.len() / 2;
            self.outbox.truncate(half.max(1));
        }
    }

    fn answer_all(&mut self) {
        while !self.has_read_enough() {
            let message = match self.framing {
                Framing::Frames => {
                    let len = self
                        .inbox
                        .first_chunk()
                        .map(|len| u32::from_be_bytes(*len) as usize);
                    let Some(len) = len.filter(|len| self.inbox.len() >= 4 + len) else {
                        return;
                    };
                    take_front(&mut self.inbox, 4 + len).split_off(4)
                }
                _ => match self.inbox.iter().position(|byte| *byte == b'\n') {
                    Some(end) => {
                        let mut line = take_front(&mut self.inbox, end + 1);
                        line.pop();
                        line
                    }
                    None => return,
                },
            };
            self.hear(&message);
        }
    }

    fn hear(&mut self, message: &[u8]) {
        self.read += 1;
        if self.nature.answers {
            let answer = match self.framing {
                // Its one argument.
                Framing::Frames => message[1..].to_vec(),
                _ => [message, b"c"].concat(),
            };
            self.say(&answer);
        }
    }

    fn say(&mut self, content: &[u8]) {
        if self.framing == Framing::Frames {
            // A message that it was sent comes back as the result; its own is a string.
            let is_own = content.first().is_none_or(|byte| *byte == b'g');
            let mut frame = vec![0x92, 0xc0];
            match is_own {
                true => crate::codec::msgpack::write::bin(&mut frame, content),
                false => frame.extend_from_slice(content),
            }
            self.outbox.extend_from_slice(&(frame.len() as u32).to_be_bytes());
            self.outbox.extend_from_slice(&frame);
        } else {
            self.outbox.extend_from_slice(content);
            self.outbox.push(b'\n');
        }
    }
}

/// What a program writes by itself.
pub fn produced_line(number: u64, bytes: usize) -> String {
    let mut line = format!("g{number}");
    if line.len() < bytes {
        line.push_str(&"x".repeat(bytes - line.len()));
    }
    line
}
