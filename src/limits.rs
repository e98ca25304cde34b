//! Every bound of the program in one place, its unit in its name and its reason beside it. Holds no code.

/// Nesting of a JSON text, a msgpack value or a schema, in levels: deeper than any real data, shallow enough for a
/// recursive reader on a 1 MiB stack.
pub const DEPTH_MAX: usize = 512;

/// Size of a manifest, in bytes: a hundred times the largest real one; it is read whole.
pub const MANIFEST_BYTES_MAX: usize = 16 << 20;

/// Errors that one check of a manifest reports: more than anyone reads at once; keeps a hostile manifest cheap.
pub const MANIFEST_ERRORS_MAX: usize = 100;

/// Pools of one program: far more than there are languages; each is at least two processes.
pub const POOLS_MAX: usize = 256;

/// Workers of one pool: each is a process or thread of the machine.
pub const WORKERS_MAX: u32 = 1024;

/// A socket's file name, in bytes: with the path of its directory it must fit the 108 bytes of an AF_UNIX address.
pub const SOCKET_NAME_BYTES_MAX: usize = 64;

/// Any timeout of a manifest, in milliseconds (a year): adding one to a clock can't overflow.
pub const TIMEOUT_MS_MAX: u64 = 366 * 24 * 3600 * 1000;

/// Types in one manifest's table, in nodes: bounds what a hostile schema may allocate.
pub const TYPES_MAX: usize = 1 << 20;

/// One frame, in bytes: what the four-byte length can say, less an envelope, so that a frame that came can always be
/// passed on under a longer id.
pub const FRAME_BYTES_MAX: u64 = u32::MAX as u64 - HEAD_BYTES_MAX as u64;

/// Envelope of a message, in bytes: ids, a method and a pool's name; more is not a message.
pub const HEAD_BYTES_MAX: usize = 1024;

/// Inline argument that is encoded before the pools are started, in bytes: below it encoding takes less than a spawn.
pub const INLINE_BYTES_MAX: usize = 64 << 10;

/// Value that is read from a file or standard input, in bytes: a text may be longer than the payload it becomes, and what
/// has no end must not fill the memory.
pub const INPUT_BYTES_MAX: u64 = 2 * FRAME_BYTES_MAX;

/// Digits of an integer of any size (`j`): converting them takes time in the square of their number, and this many take
/// 8 ms to read and 60 ms to write.
pub const INTEGER_DIGITS_MAX: usize = 100_000;

/// Digits of an integer that is written with a point or an exponent: who writes one so writes it as a float, and no float has
/// more. Six bytes of a request claim no more than this many digits of memory.
pub const SHIFTED_DIGITS_MAX: usize = 309;

/// Two's complement bytes of an integer of any size (`j`): as many as [`INTEGER_DIGITS_MAX`] digits can need.
pub const INTEGER_BYTES_MAX: usize = 41_525;

/// Message that is waited for whole before it is passed on, in bytes: what one read from a socket brings at most.
pub const WHOLE_BYTES_MAX: usize = 64 << 10;

/// What one read from a socket takes, in bytes: above the default size of a socket's buffer.
pub const READ_BYTES: usize = 256 << 10;

/// Bytes that wait to be written to one peer before its writers are paused: a few reads, so that both sides stay busy.
pub const OUTBOX_BYTES_HIGH: usize = 1 << 20;

/// Requests of one worker that may be open at once: three times the deepest chain, and a bound for what a peer makes us keep.
pub const OPEN_REQUESTS_MAX: u32 = 1 << 16;

/// Payloads of all calls that wait for a worker, in bytes: beyond it a call is refused instead of kept.
pub const QUEUE_BYTES_MAX: usize = 256 << 20;

/// Payloads of waiting calls, in bytes, from which on the senders of large ones are paused: half of [`QUEUE_BYTES_MAX`],
/// so that small ones still find room.
pub const SPOOL_BYTES_MAX: usize = QUEUE_BYTES_MAX / 2;

/// Wait for the reason of a worker's death once its connection is gone, in milliseconds; its parent reports within one.
pub const DEATH_REPORT_MS: u64 = 200;

/// Wait until SIGKILL is sent again to a pool that has not ended, in milliseconds: seldom enough to cost nothing.
pub const KILL_AGAIN_MS: u64 = 1000;

/// Wait from the cancellation of a call until its worker is ended by force, in milliseconds, if the pool does not ask for
/// less: an obedient worker needs a few, and a person who has pressed Ctrl-C waits for it.
pub const CANCEL_GRACE_MS: u64 = 500;

/// Wait until the signal of a cancellation is sent again, in milliseconds: most workers have obeyed by then.
pub const CANCEL_AGAIN_MS: u64 = 50;

/// Wait before a pool that has died by itself is started again, in milliseconds: the first, doubled with each death.
pub const BACKOFF_MS_MIN: u64 = 100;

/// See [`BACKOFF_MS_MIN`].
pub const BACKOFF_MS_MAX: u64 = 30_000;

/// Deaths of a pool within [`DEATHS_WINDOW_MS`] after which it is left alone for the rest of that time.
pub const DEATHS_MAX: usize = 5;

/// Time for which the death of a pool counts, in milliseconds.
pub const DEATHS_WINDOW_MS: u64 = 60_000;

/// A log line, in bytes: more is cut, and said to be.
pub const NOTE_BYTES_MAX: usize = 1 << 20;

/// Lines that tell where workers stood when a run is interrupted: what a screen holds.
pub const STANDING_LINES_MAX: usize = 20;

/// Silence after which it is looked whether workers wait for locks of their own, in milliseconds: long enough to cost
/// nothing, short enough for somebody who waits.
pub const LOCK_CHECK_MS: u64 = 1000;

/// What an error shows of what a command wrote that should not have, in bytes: a line of a greeting.
pub const FIRST_WORDS_BYTES_MAX: usize = 80;

/// Calls of a chain that the error about a deadlock names: enough to see a cycle.
pub const DEADLOCK_CALLS_SHOWN: usize = 8;

/// Last lines of a pool's standard error that an error shows, and the most bytes kept of one.
pub const TAIL_LINES_MAX: usize = 20;

/// See [`TAIL_LINES_MAX`].
pub const TAIL_LINE_BYTES_MAX: usize = 500;

/// Reads from one connection before the others have their turn.
pub const READS_PER_TURN_MAX: usize = 8;

/// Size of all expressions of a manifest, in table entries and bytes of text: twice what the largest manifest can spell
/// out; only lambdas nested to capture the same variables over and over take more.
pub const EXPRS_SIZE_MAX: usize = 2 * MANIFEST_BYTES_MAX;

/// Errors reported of one expression: more than anyone reads, and finding the path of each takes time.
pub const FLAWS_MAX: usize = 100;

/// Work of one pure command, in steps of the evaluator: two to four seconds; what takes longer is for a pool.
pub const EVAL_STEPS_MAX: u64 = 200_000_000;

/// Memory of one evaluation, in bytes, and size of what it gives: a mapped list of ten million numbers several times.
pub const EVAL_BYTES_MAX: usize = 1 << 30;

/// Calls, waits and other things that one composition has out at once: beyond it the next waits until one is answered.
pub const EVAL_ASKS_MAX: usize = 1024;

/// Parts of one evaluation that wait, each for something else: beyond it the next holds up what stands around it.
pub const EVAL_FIBERS_MAX: usize = 4096;

/// Answers of pools that a composition holds as bytes, together: several of the largest frames.
pub const EVAL_PAYLOAD_BYTES_MAX: usize = 16 << 30;

/// Memory of an evaluation that is left alone although it may not be needed any more, in bytes: what is cheaper to keep than to
/// look through.
pub const EVAL_GARBAGE_BYTES_MIN: usize = 4 << 20;

/// Closures of a composition that pools may have: as many as function values may live in one worker.
pub const EVAL_CLOSURES_MAX: usize = 1 << 16;

/// Steps of an evaluation after which signals and answers are looked at: some milliseconds.
pub const EVAL_STEPS_PER_TURN: u64 = 1 << 18;

/// A limit of a pool, in its unit: the highest number that every reader of JSON reads exactly.
pub const LIMIT_MAX: u64 = 1 << 53;

/// A list of the system's users or groups, in bytes: a hundred thousand of them.
pub const ACCOUNTS_BYTES_MAX: u64 = 16 << 20;

/// A source file, in bytes: far more than people write; its tokens take twenty times as much.
pub const SOURCE_BYTES_MAX: usize = 4 << 20;

/// Nesting of a type in a signature, in levels: deeper than anyone can read.
pub const TYPE_DEPTH_MAX: usize = 64;

/// Size of one type in a signature, in its parts: names for types that name each other could double it with each.
pub const TYPE_PARTS_MAX: usize = 1024;

/// A line of a source that an error shows, in characters: what a screen holds.
pub const FLAW_LINE_CHARS_MAX: usize = 200;

/// Functions of one source file: more than any has; what is compared with each other stays cheap.
pub const FUNCTIONS_MAX: usize = 10_000;

/// Records of one source file: each may inherit all fields of another.
pub const RECORDS_MAX: usize = 1000;

/// Parameters of a function and fields of a record: more than anyone can tell apart.
pub const PARAMS_MAX: usize = 256;

/// Nesting of a default in a source, in levels: deeper than anyone writes.
pub const LITERAL_DEPTH_MAX: usize = 16;

/// Namespaces in each other: more than any C++ has; a function's name has all of theirs in it.
pub const NAMESPACES_MAX: usize = 64;

/// Work with types of one composition, in steps: a second or less; real ones take some thousands.
pub const COMPOSE_STEPS_MAX: u64 = 10_000_000;

/// Schema of one type of a composition, in bytes: types that name each other can double it with each.
pub const COMPOSE_SCHEMA_BYTES_MAX: usize = 16 << 10;

/// All expressions of a composition, in bytes of JSON: half of what a manifest may hold.
pub const COMPOSE_BYTES_MAX: usize = 8 << 20;

/// A composition, in bytes: tens of thousands of lines; what is known of it while it is read takes a hundred times as much.
pub const COMPOSITION_BYTES_MAX: usize = 1 << 20;

/// Nesting of an expression in a composition, in levels: deeper than anyone can read, shallow enough for readers that recurse.
pub const COMPOSITION_DEPTH_MAX: usize = 128;

/// Steps of one way into a value in a pattern of a composition: every place that it reaches has a copy of its way.
pub const PATTERN_STEPS_MAX: usize = 32;

/// Places that one pattern of a composition reaches: see [`PATTERN_STEPS_MAX`].
pub const PATTERN_PLACES_MAX: usize = 128;

/// Files in the folder of a program, and folders in each other, that `nexus build` looks at: a folder with more is none
/// that was made for a program.
pub const BUILD_FILES_MAX: usize = 10_000;

/// See [`BUILD_FILES_MAX`].
pub const BUILD_DEPTH_MAX: usize = 16;

/// A file of data that a program carries, in bytes: it is copied with each.
pub const BUILD_DATA_BYTES_MAX: u64 = 256 << 20;

/// Messages that wait in a mailbox of a worker process; beyond it a sender is told, and a worker is not read.
pub const MAILBOX_MESSAGES_MAX: usize = 1024;

/// Bytes that wait in a mailbox of a worker process: 16 KiB for each message that it may hold.
pub const MAILBOX_BYTES_MAX: usize = 16 << 20;

/// One message of a worker process, in bytes: the whole output of a program, which is taken as one value.
pub const WORKER_MESSAGE_BYTES_MAX: usize = 1 << 30;

/// Bytes of a stream between the stages of a pipe that wait for the next stage: a few reads, so that all stay busy.
pub const STREAM_BYTES_MAX: usize = 1 << 20;

/// What a pipe between a program and the next, or nexus, is asked to hold, in bytes: four times the system's own, so that each
/// wakes the other less often; more would not stay in the caches, and one user's pipes may hold 64 MiB together.
pub const PIPE_BYTES: usize = 256 << 10;

/// Request of a pool's worker to nexus itself, in bytes: a message to a worker process, and what stands around it.
pub const HOST_REQUEST_BYTES_MAX: usize = WORKER_MESSAGE_BYTES_MAX + 1024;

/// Items that wait for a stage of a pipe: enough that small ones keep it busy; large ones are bounded by
/// [`STREAM_BYTES_MAX`].
pub const PIPE_ITEMS_MAX: usize = 64;

/// Worker processes of one run at once: more than a machine can use, fewer than it can name.
pub const HANDLES_MAX: usize = 1024;

/// Wait from the end of a worker process's input until SIGTERM, and from there to SIGKILL, in milliseconds: as the pools'
/// `shutdown_ms`.
pub const JOIN_GRACE_MS: u64 = 2000;

/// Words of a worker process's command line, and of its environment: what the system takes is less in bytes.
pub const WORDS_MAX: usize = 1 << 16;

/// Request of a client on the private socket, in bytes: as one message of a worker process; a larger value is for a file.
pub const RPC_REQUEST_BYTES_MAX: usize = WORKER_MESSAGE_BYTES_MAX;

/// Requests that one client of the private socket has open at once: more than a machine can work on.
pub const RPC_OPEN_REQUESTS_MAX: usize = 1024;

/// What waits to be read by a client of the private socket, in bytes, from which on nothing more is printed for it: what is
/// left out is counted.
pub const RPC_NOTES_BYTES_MAX: usize = 16 << 20;

/// A name in a request on the private socket, in bytes: a path of the system, which is the longest.
pub const RPC_NAME_BYTES_MAX: usize = 4096;

/// Lines of a log that a client may ask for: more than are kept.
pub const RPC_LOG_LINES_MAX: u64 = 1_000_000;

/// Wait for the answer of a server beyond the time that it was given, in milliseconds: its workers may have to be ended by
/// force before it answers.
pub const CLIENT_GRACE_MS: u64 = 5000;

/// A message of an assistant's client, in bytes: arguments of some millions of numbers.
pub const MCP_MESSAGE_BYTES_MAX: usize = 64 << 20;

/// Id of a request of an assistant's client, in bytes: they are small numbers, or UUIDs.
pub const MCP_ID_BYTES_MAX: usize = 256;

/// Calls of tools that one client has under way: an assistant makes a handful.
pub const MCP_CALLS_MAX: usize = 256;

/// Messages of one batch: as many as calls.
pub const MCP_BATCH_MAX: usize = 256;

/// Progress and log lines that wait to be sent to one client; more are dropped, since answers must not wait behind them.
pub const MCP_NOTES_MAX: usize = 256;

/// A log line or label that is passed on to an assistant, in bytes: what it reads of one.
pub const MCP_NOTE_BYTES_MAX: usize = 16 << 10;

/// Result of a tool as JSON, in bytes: far more than an assistant reads; it is held three times while it is written.
pub const MCP_RESULT_BYTES_MAX: usize = 16 << 20;

/// Tools on one page of the list: more than most programs have.
pub const MCP_TOOLS_PER_PAGE: usize = 100;

/// Bytes after which a page of the list of tools is full: descriptions may be long.
pub const MCP_PAGE_BYTES_MAX: usize = 1 << 20;

/// Name of a tool, in bytes: what all clients take.
pub const TOOL_NAME_BYTES_MAX: usize = 64;

/// Clients of the Model Context Protocol over HTTP whose state is kept: each is an assistant that somebody uses.
pub const MCP_SESSIONS_MAX: usize = 256;

/// Silence after which the state of such a client is dropped, in milliseconds: it begins anew when it comes back.
pub const MCP_SESSION_IDLE_MS: u64 = 3600 * 1000;

/// Events of a session that nobody has taken, in numbers: those of a turn are taken after it; beyond it the oldest are dropped.
pub const TOLD_EVENTS_MAX: usize = 4096;

/// Head of a request, in bytes: what web servers commonly take; cookies and tokens fit.
pub const HTTP_HEAD_BYTES_MAX: usize = 32 << 10;

/// Target of a request, in bytes: the least that RFC 9112 recommends; larger arguments belong into a body.
pub const HTTP_TARGET_BYTES_MAX: usize = 8000;

/// Method of a request, in bytes: twice the longest that is registered.
pub const HTTP_METHOD_BYTES_MAX: usize = 32;

/// Headers of a request: clients send 20, proxies add some.
pub const HTTP_HEADERS_MAX: usize = 100;

/// Body of a request, in bytes: as the arguments of a call it is held whole, once for each connection.
pub const HTTP_BODY_BYTES_MAX: usize = 64 << 20;

/// Memory that a body has from its start, in bytes; more only as it comes, so that a length alone takes no memory.
pub const HTTP_BODY_BYTES_MIN: usize = 64 << 10;

/// Line before a chunk, in bytes: a size, and extensions that nobody uses.
pub const HTTP_CHUNK_LINE_BYTES_MAX: usize = 256;

/// Trailers after the last chunk, in bytes: they are read and dropped.
pub const HTTP_TRAILERS_BYTES_MAX: usize = 4 << 10;

/// Requests that wait in the buffer of a connection, in bytes: from then on it is not read until they are answered.
pub const HTTP_PIPELINE_BYTES_MAX: usize = 64 << 10;

/// Bytes that wait to be written to a connection, from which on it takes no further request and no more of a stream: a few
/// writes, so that both sides stay busy.
pub const HTTP_OUTPUT_BYTES_HIGH: usize = 256 << 10;

/// Body of an answer that is copied behind its head, in bytes: a larger one costs less as a write of its own.
pub const HTTP_COPY_BYTES_MAX: usize = 16 << 10;

/// Fields of a query string: more than a target of [`HTTP_TARGET_BYTES_MAX`] sensibly holds.
pub const HTTP_QUERY_FIELDS_MAX: usize = 1024;

/// Silence between requests until the connection is closed, in milliseconds: most clients keep theirs for less.
pub const HTTP_IDLE_MS: u64 = 75_000;

/// Time for the head of a request from its first byte, in milliseconds: real ones come in one packet.
pub const HTTP_HEAD_MS: u64 = 10_000;

/// Time that a body or an answer may take whatever its size, in milliseconds, before [`HTTP_BYTES_PER_S_MIN`] counts.
pub const HTTP_PACE_GRACE_MS: u64 = 20_000;

/// Pause within a body, or within the taking of an answer, in milliseconds: a lost packet takes a few seconds.
pub const HTTP_STALL_MS: u64 = 20_000;

/// Rate at which a body must come and an answer be taken, in bytes per second: the slowest modems had twice that.
pub const HTTP_BYTES_PER_S_MIN: u64 = 1000;

/// Time for which a connection that is to be closed is still read, in milliseconds: until the peer has seen the answer, which
/// closing over unread bytes would destroy.
pub const HTTP_LINGER_MS: u64 = 3000;

/// Time from a whole request until an end of the input no longer belongs to it, in milliseconds: a client that says all and
/// then listens ends its side at once; one that leaves does so later.
pub const HTTP_HALF_CLOSE_MS: u64 = 250;

/// Frames of flows that are worked on before effects are looked at: some runs each.
pub const FLOW_FRAMES_PER_STEP: usize = 1024;

/// Such steps in one turn of the loop, so that sockets are looked at all the same while flows compute.
pub const FLOW_STEPS_PER_TURN: usize = 16;

/// Requests of flows to other servers at once: as many descriptors.
pub const FLOW_FETCHES_MAX: usize = 256;

/// Missing targets that are named of one node that waits for them: enough to go and make them, on one line.
pub const FLOW_MISSING_SHOWN_MAX: usize = 4;

/// A packet as it stands in a line of a trace, in characters: what one looks at, beside the rest.
pub const FLOW_TRACE_CHARS_MAX: usize = 120;

/// Words of one request about flows: a command with its arguments.
pub const FLOW_WORDS_MAX: usize = 16;

/// Name of a host as it is written, in bytes: what a name of 255 bytes in a message comes to (RFC 1035, 2.3.4).
pub const DNS_NAME_BYTES_MAX: usize = 253;

/// Answer of a name server, in bytes: 512 is what one may send that wasn't asked for more; some send more.
pub const DNS_ANSWER_BYTES_MAX: usize = 4096;

/// Aliases that stand between a name and its addresses in one answer: networks that deliver for others use four.
pub const DNS_ALIASES_MAX: usize = 8;

/// Addresses of one family that are taken from an answer: more than are ever tried within a deadline.
pub const DNS_ADDRESSES_MAX: usize = 8;

/// Name servers that are asked, as the C library has it (MAXNS).
pub const DNS_SERVERS_MAX: usize = 3;

/// Domains that a short name is looked for in, as the C library had it for long (MAXDNSRCH).
pub const DNS_SEARCH_MAX: usize = 6;

/// Dots that make a name whole without a domain, at most, as the C library has it (RES_MAXNDOTS).
pub const DNS_NDOTS_MAX: usize = 15;

/// Time for an answer of a name server if `options timeout` doesn't say, in seconds: a lost packet is soon asked for again.
pub const DNS_TIMEOUT_S: u64 = 2;

/// The same, at most: as the C library has it (RES_MAXRETRANS).
pub const DNS_TIMEOUT_S_MAX: u64 = 30;

/// Rounds through the name servers if `options attempts` doesn't say.
pub const DNS_ROUNDS: usize = 2;

/// The same, at most: as the C library has it (RES_MAXRETRY).
pub const DNS_ROUNDS_MAX: usize = 5;

/// Time for addresses of version 6 when those of version 4 are there, in milliseconds: RFC 8305 waits as long, the other way
/// round; some servers never answer the one question.
pub const DNS_SECOND_MS: u64 = 50;

/// Configuration of name servers, in bytes: a hundred times a usual one.
pub const DNS_CONFIGURATION_BYTES_MAX: u64 = 64 << 10;

/// Time that another server has for its answer if a node doesn't say, in milliseconds: as long as people wait.
pub const FLOW_FETCH_MS: u64 = 30_000;

/// Routes of a router: more than the largest services have; each is a few hundred bytes.
pub const FLOW_ROUTES_MAX: usize = 10_000;

/// Commands that are counted apart: twenty lines of text each, of which a scrape must not bring megabytes.
pub const METRIC_SERIES_MAX: usize = 1000;

/// Each part of a deployment's name, in bytes: what DNS allows a label is one less, and it fits any file name.
pub const DEPLOYMENT_NAME_BYTES_MAX: usize = 64;

/// Deployments of one server, with those that are about to be gone: each is a few processes of the machine.
pub const DEPLOYMENTS_MAX: usize = 256;

/// A package that is uploaded, in bytes: sources, and some data; half of what any body may have.
pub const PACKAGE_BYTES_MAX: usize = 32 << 20;

/// Packages of one server, in numbers: as many as deployments.
pub const PACKAGES_MAX: usize = DEPLOYMENTS_MAX;

/// All packages of one server, in bytes when they are unpacked: where they lie is often memory.
pub const PACKAGES_BYTES_MAX: u64 = 512 << 20;

/// Entries of a zip archive: as many as a folder that is built may have files.
pub const ZIP_ENTRIES_MAX: usize = BUILD_FILES_MAX;

/// A zip archive when it is unpacked, in bytes: sources become four times as large, and all of it is held at once.
pub const ZIP_BYTES_MAX: usize = 4 * PACKAGE_BYTES_MAX;

/// Name of an entry of a zip archive, in bytes: with the directory before it, it must fit the 4,096 of a path.
pub const ZIP_PATH_BYTES_MAX: usize = 1024;

/// Directories in each other in a zip archive: deeper than packages of packages nest.
pub const ZIP_DEPTH_MAX: usize = 64;

/// Parts of a form: it has five fields.
pub const FORM_PARTS_MAX: usize = 64;

/// Headers of one part of a form, in bytes: a name and a media type.
pub const FORM_HEAD_BYTES_MAX: usize = 4 << 10;

/// Generations of one deployment that end their calls or are unloaded, at once: beyond it the next waits until one is gone,
/// so that many redeploys don't fill the machine with what is on its way out.
pub const LEAVING_MAX: usize = 2;

/// Calls of one deployment that run, with those that wait for it to be loaded: beyond it a call is refused, since the
/// workers are far fewer and its deadline would pass first.
pub const DEPLOYMENT_CALLS_MAX: usize = 1024;

/// Calls that wait for one deployment to be loaded: what comes within a second or two of a start.
pub const WAITING_CALLS_MAX: usize = 256;

/// Wait for a deployment to be loaded, in milliseconds: building the largest programs takes some minutes.
pub const LOAD_MS_MAX: u64 = 10 * 60_000;

/// Wait until a deployment that could not be loaded is tried again by a call, in milliseconds: seldom enough that calls to
/// a broken program cost little.
pub const LOAD_AGAIN_MS: u64 = 5000;

/// Time in which a generation that is replaced ends its calls, in milliseconds: half of what a call has by default.
pub const DRAIN_GRACE_MS: u64 = 30_000;

/// Silence after a change of files until what they are deployed as is loaded again, in milliseconds: a build writes
/// several, one soon after the other.
pub const RELOAD_QUIET_MS: u64 = 200;

/// Longest wait for that silence, in milliseconds: files that change all the time are loaded as they are.
pub const RELOAD_QUIET_MS_MAX: u64 = 5000;

/// When to come back after a refusal for too many calls, in milliseconds: most calls are over by then.
pub const OVERLOADED_AGAIN_MS: u64 = 1000;

/// Connections of clients at once: what the usual limit of open descriptors leaves beside those of the pools. Who comes then
/// waits until another leaves.
pub const CLIENTS_MAX: usize = 4096;

/// Connections to the private socket beyond [`CLIENTS_MAX`]: whoever operates a server that is full.
pub const OPERATORS_MAX: usize = 16;

/// Write that a pipe takes whole once it has any room, in bytes: what the system promises (PIPE_BUF).
pub const PIPE_WHOLE_BYTES: usize = 4096;

/// Lines of the server's log that wait to be written, in bytes: as many as a turn may add without a write each. What nobody
/// reads beyond it is left out, and counted.
pub const LOG_PENDING_BYTES_MAX: usize = 64 << 10;

/// Wait until a client is accepted for which there was no room, in milliseconds: others end their connections meanwhile.
pub const ACCEPT_AGAIN_MS: u64 = 100;

/// Lines of a deployment's log that are kept, in numbers: some screens.
pub const LOG_LINES_MAX: usize = 1000;

/// Line of a deployment's log, in bytes; what is longer is cut.
pub const LOG_LINE_BYTES_MAX: usize = 4096;

/// Time for which pools are kept warm for the next run of a program if nobody says, in milliseconds: while somebody works with it.
pub const WARM_MS: u64 = 60_000;

/// Files beside the code of a pool that are looked at to tell whether it is still what is kept warm: more than a program has.
pub const WARM_FILES_MAX: usize = 1000;

/// Nesting of a value in a flow, in levels: deeper than people's data, shallow enough for readers that recurse.
pub const FLOW_VALUE_DEPTH_MAX: usize = 128;

/// Name or id of a node, a value or a namespace, in bytes: percent-encoded three times as long, it fits a file's name with
/// `.yaml` behind it.
pub const FLOW_NAME_BYTES_MAX: usize = 80;

/// Index of a port: more than a node has links.
pub const FLOW_PORT_INDEX_MAX: u32 = 9999;

/// A file of nodes or values, in bytes: some tens of thousands of them; what it becomes takes twenty times as much.
pub const FLOW_FILE_BYTES_MAX: usize = 16 << 20;

/// Values in a file of nodes or values, aliases written out: three times as many as tens of thousands of nodes have, and a few
/// lines of YAML can name more than there are atoms.
pub const FLOW_FILE_NODES_MAX: usize = 1 << 20;

/// Nodes and values of a store: ten times as many as the largest flows have; all are kept.
pub const FLOW_OBJECTS_MAX: usize = 100_000;

/// Wait until a store is looked at again that somebody writes, in milliseconds: most writes are done by then.
pub const FLOW_STORE_AGAIN_MS: u64 = 1;

/// Longest time for which a store is not looked at because somebody writes it, in milliseconds: above that of the largest apply; a
/// writer that was stopped in the middle should not keep others' edits from being served.
pub const FLOW_STORE_HELD_MS: u64 = 10_000;

/// How long a file of a store that has changed, and was not closed, is taken for one that somebody is writing, in milliseconds.
pub const FLOW_FILE_OPEN_MS: u64 = 200;

/// Files of a store that are told of because they are not read, for they are in no folder of nodes or values.
pub const FLOW_STRAYS_MAX: usize = 20;

/// Looks at a store that changes all the time before what was seen is taken for what is there.
pub const FLOW_STORE_LOOKS_MAX: usize = 4;

/// Lines that say nothing any more in what a folder of the store remembers, beside as many as it has objects: written anew beyond.
pub const FLOW_JOURNAL_SPARE_LINES: usize = 256;

/// What a folder of the store remembers, in bytes: two lines for each object, of the longest names.
pub const FLOW_JOURNAL_BYTES_MAX: usize = 2 * FLOW_OBJECTS_MAX * (FLOW_NAME_BYTES_MAX + 40);

/// Lines of two texts that are compared, multiplied: what is different beyond it is shown as taken out and put in.
pub const FLOW_DIFF_CELLS_MAX: usize = 4_000_000;

/// Nodes of one namespace: as many as a store has.
pub const FLOW_NODES_MAX: usize = FLOW_OBJECTS_MAX;

/// Links of one port: each is a packet for every one that is sent there.
pub const FLOW_LINKS_MAX: usize = 1000;

/// Nodes within one block, with those in the blocks within it: far more than one can read.
pub const FLOW_INNER_MAX: usize = 1000;

/// Blocks in each other: deeper than anyone can follow.
pub const FLOW_INNER_DEPTH_MAX: usize = 16;

/// The code of a snippet, in bytes: hundreds of times what anyone writes into a specification; each call carries it.
pub const SNIPPET_BYTES_MAX: usize = 1 << 20;

/// How long a change of nodes waits until the pools of its snippets have said whether they can be compiled, in milliseconds: longer
/// than a pool takes to start, but for R's, which is compiled itself. All workers may be at work for longer, too.
pub const FLOW_CHECK_MS: u64 = 5000;

/// Breakpoints of flows at once: each is looked at for every packet.
pub const FLOW_BREAKPOINTS_MAX: usize = 256;

/// Records of the trace of one run: some screens; the rest is counted.
pub const FLOW_TRACE_RECORDS_MAX: usize = 256;

/// A packet that a trace keeps, in bytes of memory: a request of a browser with its headers.
pub const FLOW_TRACE_VALUE_BYTES_MAX: usize = 8 << 10;

/// All packets that the trace of one run keeps, in bytes of memory.
pub const FLOW_TRACE_BYTES_MAX: usize = 64 << 10;

/// Runs whose room is kept for others after their end, and frames or records that each of them may have had: 256 KiB.
pub const FLOW_SPARE_MAX: usize = 64;
/// See [`FLOW_SPARE_MAX`].
pub const FLOW_SPARE_FRAMES_MAX: usize = 8;

/// Runs whose traces are kept after their end: with [`FLOW_TRACE_BYTES_MAX`] and [`FLOW_TRACE_RECORDS_MAX`] of the largest, 10 MiB.
pub const FLOW_TRACES_MAX: usize = 100;

/// Namespaces of flows: each is somebody's.
pub const FLOW_NAMESPACES_MAX: usize = 256;

/// Runs of one namespace at once: as many as there may be clients.
pub const FLOW_RUNS_MAX: usize = CLIENTS_MAX;

/// Runs that one run has begun and that go on: what one request should set off.
pub const FLOW_CHILDREN_MAX: usize = 1024;

/// Packets at nodes that are not answered, of one run: with the largest frames 30 MiB.
pub const FLOW_RUN_FRAMES_MAX: usize = 1 << 16;

/// Packets at nodes that are not answered, of all runs.
pub const FLOW_FRAMES_MAX: usize = 1 << 20;

/// Packets that one node has, of all runs: one node should not take all of [`FLOW_FRAMES_MAX`].
pub const FLOW_NODE_PACKETS_MAX: u32 = 1 << 17;

/// Nodes that wait for each other in one run: longer than any chain, so that a circle without an end is found soon.
pub const FLOW_DEPTH_MAX: u32 = 10_000;

/// Elements of a list that one node has sent and that are not answered.
pub const FLOW_WIDTH_MAX: usize = 1024;

/// Wait until a run whose deadline has passed while it was held at a breakpoint is looked at again, in milliseconds.
pub const FLOW_HELD_AGAIN_MS: u64 = 1000;

/// Nesting of an expression of CEL, in levels: deeper than anyone can read, shallow enough for a parser that recurses.
pub const FLOW_CEL_DEPTH_MAX: usize = 96;

/// Names that an expression of CEL may use beside its own variables: those who evaluate bind a handful.
pub const FLOW_CEL_NAMES_MAX: usize = 256;

/// Nodes that one evaluation of CEL visits: some 50 milliseconds, in which nothing else is served.
pub const FLOW_CEL_STEPS_MAX: u32 = 1_000_000;

/// Work of one evaluation of CEL beside its steps, in bytes that it makes or looks through: some 50 milliseconds, and as
/// much as the largest body of a request.
pub const FLOW_CEL_WORK_MAX: usize = 64 << 20;

/// Expression of CEL that an error shows, in characters: what fits on a line beside the rest.
pub const FLOW_CEL_SHOWN_CHARS_MAX: usize = 60;

/// Digits behind the point that CEL's `format` writes: more than a float has.
pub const FLOW_CEL_PRECISION_MAX: usize = 100;

/// Instructions of a regular expression of CEL: each letter of a text may visit all.
pub const FLOW_CEL_PATTERN_OPS_MAX: usize = 4096;

/// A regular expression of CEL, in bytes: four for each instruction.
pub const FLOW_CEL_PATTERN_BYTES_MAX: usize = 4 * FLOW_CEL_PATTERN_OPS_MAX;

/// Groups of a regular expression in each other: deeper than anyone can read; its parser recurses.
pub const FLOW_CEL_PATTERN_DEPTH_MAX: usize = 64;

/// Repetitions that a regular expression may count: as RE2 has it.
pub const FLOW_CEL_PATTERN_REPEATS_MAX: usize = 1000;

/// A value that a message of a flow shows, in characters: a line or two.
pub const FLOW_SHOWN_CHARS_MAX: usize = 200;

/// An expression of CEL, in bytes: far more than anyone writes by hand, little enough that its positions are cheap.
pub const FLOW_CEL_BYTES_MAX: usize = 64 << 10;

/// Packets of one run that wait for others at nodes with several inputs: each that comes looks through all.
pub const FLOW_WAITING_MAX: usize = 4096;
