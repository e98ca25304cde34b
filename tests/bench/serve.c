// Calls of a server, and the floors that they are held against. Prints nanoseconds per call, the best of five runs.
//
//     cc -O2 -o serve serve.c
//     ./serve load ADDRESS REQUEST CLIENTS CALLS     calls of a server: ADDRESS is a port of 127.0.0.1, or a path
//     ./serve echo REQUEST CALLS                     of a bare epoll echo over a Unix socket
//     ./serve relay REQUEST RESPONSE CLIENTS CALLS   of a bare relay: HTTP over TCP, a frame to a worker and back, RESPONSE
//     ./serve pool REQUEST CALLS COMMAND...          of a worker of that pool, without a server
//     ./serve wake DIRECTORY CALLS                   of a bare rename to the inotify event of it in another process
//
// REQUEST and RESPONSE are files with the bytes of one, HTTP or a frame (u32 big-endian length). Each client keeps its
// connection and sends the next request when it has its answer. The relay reads requests only as far as it must to find
// their ends, and writes the same answer to each.

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { BUFFER = 64 * 1024, CLIENTS_MAX = 64, FRAME = 68, HEADER = 4, RUNS = 5 };

struct bytes {
    char *at;
    size_t count;
};

// What has come of a message.
struct input {
    int fd;
    size_t have;
    char buffer[BUFFER];
};

static struct input clients[CLIENTS_MAX];

static void die(const char *doing) {
    perror(doing);
    exit(1);
}

static void fail(const char *what) {
    fprintf(stderr, "serve: %s\n", what);
    exit(1);
}

static int64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static struct bytes read_file(const char *path) {
    struct bytes bytes = {malloc(BUFFER), 0};
    const int fd = open(path, O_RDONLY);
    if (fd < 0) die(path);
    for (ssize_t n; (n = read(fd, bytes.at + bytes.count, BUFFER - bytes.count)) > 0;) bytes.count += (size_t)n;
    close(fd);
    return bytes;
}

// How long the message is that begins there; 0 if that is not known yet.
static size_t message_bytes(const char *at, size_t have) {
    if (have < HEADER) return 0;
    const unsigned char *head = (const unsigned char *)at;
    if (head[0] == 0) return HEADER + ((size_t)head[1] << 16 | (size_t)head[2] << 8 | head[3]);
    const char *end = memmem(at, have, "\r\n\r\n", 4);
    if (end == NULL) return 0;
    const char name[] = "\r\ncontent-length:";
    for (const char *line = at; line < end && (line = memchr(line, '\r', (size_t)(end - line))) != NULL; line++)
        if (strncasecmp(line, name, sizeof name - 1) == 0)
            return (size_t)(end + 4 - at) + strtoul(line + sizeof name - 1, NULL, 10);
    return (size_t)(end + 4 - at);
}

static void transmit(int fd, const char *at, size_t count) {
    if (send(fd, at, count, MSG_NOSIGNAL) != (ssize_t)count) die("send");
}

// Reads once. True if a message is whole, which is then taken; the end of the input ends the process.
static int receive(struct input *input) {
    const ssize_t n = recv(input->fd, input->buffer + input->have, BUFFER - input->have, 0);
    if (n <= 0) exit(n < 0);
    input->have += (size_t)n;
    const size_t bytes = message_bytes(input->buffer, input->have);
    if (bytes == 0 || input->have < bytes) return 0;
    input->have -= bytes;
    memmove(input->buffer, input->buffer + bytes, input->have);
    return 1;
}

static void watch(int poll, int fd, uint32_t number) {
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = number};
    if (epoll_ctl(poll, EPOLL_CTL_ADD, fd, &event) != 0) die("epoll_ctl");
}

static void keep_short(int fd) {
    const int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}

static int connect_to(const char *address) {
    struct sockaddr_un local = {.sun_family = AF_UNIX};
    struct sockaddr_in inet = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const int is_local = strchr(address, '/') != NULL;
    const int fd = socket(is_local ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    inet.sin_port = htons((uint16_t)atoi(address));
    strncpy(local.sun_path, address, sizeof local.sun_path - 1);
    if (is_local ? connect(fd, (struct sockaddr *)&local, sizeof local) : connect(fd, (struct sockaddr *)&inet, sizeof inet))
        die(address);
    if (!is_local) keep_short(fd);
    return fd;
}

static void run_calls(struct bytes request, int count, int poll, long calls) {
    if (count == 1) {
        for (long i = 0; i < calls; i++) {
            transmit(clients[0].fd, request.at, request.count);
            while (!receive(&clients[0])) {}
        }
        return;
    }
    long begun = 0, done = 0;
    for (; begun < count; begun++) transmit(clients[begun].fd, request.at, request.count);
    while (done < calls) {
        struct epoll_event ready[CLIENTS_MAX];
        const int n = epoll_wait(poll, ready, CLIENTS_MAX, -1);
        for (int i = 0; i < n; i++) {
            struct input *client = &clients[ready[i].data.u32];
            if (!receive(client)) continue;
            done++;
            if (begun++ < calls) transmit(client->fd, request.at, request.count);
        }
    }
}

// Clients that are connected already.
static void load(struct bytes request, int count, long calls) {
    const int poll = epoll_create1(0);
    for (int i = 0; i < count && count > 1; i++) watch(poll, clients[i].fd, (uint32_t)i);
    run_calls(request, count, poll, calls / 10 + count);
    int64_t best = INT64_MAX;
    for (int run = 0; run < RUNS; run++) {
        const int64_t start = now_ns();
        run_calls(request, count, poll, calls);
        const int64_t spent = now_ns() - start;
        if (spent < best) best = spent;
    }
    printf("%lld\n", (long long)(best / calls));
}

static pid_t begin(void) {
    const pid_t pid = fork();
    if (pid < 0) die("fork");
    if (pid == 0) prctl(PR_SET_PDEATHSIG, SIGKILL);
    return pid;
}

static void echo(int fd) {
    static char buffer[BUFFER];
    const int poll = epoll_create1(0);
    watch(poll, fd, 0);
    for (struct epoll_event event;;) {
        epoll_wait(poll, &event, 1, -1);
        const ssize_t n = recv(fd, buffer, BUFFER, 0);
        if (n <= 0) exit(0);
        transmit(fd, buffer, (size_t)n);
    }
}

static void work(int fd) {
    static char buffer[BUFFER];
    for (ssize_t n; (n = recv(fd, buffer, BUFFER, 0)) > 0;) transmit(fd, buffer, (size_t)n);
    exit(0);
}

static void relay(int listener, struct bytes response, int count) {
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair)) die("socketpair");
    if (begin() == 0) {
        close(pair[0]);
        work(pair[1]);
    }
    close(pair[1]);
    const int poll = epoll_create1(0);
    for (int i = 0; i < count; i++) {
        clients[i].fd = accept(listener, NULL, NULL);
        keep_short(clients[i].fd);
        watch(poll, clients[i].fd, (uint32_t)i);
    }
    watch(poll, pair[0], CLIENTS_MAX);
    static char frames[BUFFER];
    size_t have = 0;
    for (;;) {
        struct epoll_event ready[CLIENTS_MAX + 1];
        const int n = epoll_wait(poll, ready, CLIENTS_MAX + 1, -1);
        for (int i = 0; i < n; i++) {
            const uint32_t number = ready[i].data.u32;
            if (number < CLIENTS_MAX) {
                char frame[FRAME] = {0, 0, 0, FRAME - HEADER, (char)number};
                if (receive(&clients[number])) transmit(pair[0], frame, FRAME);
                continue;
            }
            const ssize_t came = recv(pair[0], frames + have, BUFFER - have, 0);
            if (came <= 0) exit(0);
            have += (size_t)came;
            size_t at = 0;
            for (; have - at >= FRAME; at += FRAME)
                transmit(clients[(int)frames[at + HEADER]].fd, response.at, response.count);
            memmove(frames, frames + at, have -= at);
        }
    }
}

static void load_relay(struct bytes request, struct bytes response, int count, long calls) {
    struct sockaddr_in inet = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof inet;
    const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(listener, (struct sockaddr *)&inet, bytes) || listen(listener, count)) die("listen");
    if (getsockname(listener, (struct sockaddr *)&inet, &bytes)) die("getsockname");
    if (begin() == 0) relay(listener, response, count);
    char port[16];
    snprintf(port, sizeof port, "%d", ntohs(inet.sin_port));
    for (int i = 0; i < count; i++) clients[i].fd = connect_to(port);
    load(request, count, calls);
}

static void load_pool(struct bytes request, long calls, char **words) {
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair)) die("socketpair");
    const pid_t pid = begin();
    if (pid == 0) {
        char number[16];
        snprintf(number, sizeof number, "%d", pair[1]);
        setenv("NEXUS_PROTOCOL", "1", 1), setenv("NEXUS_POOL", "pool", 1), setenv("NEXUS_RUN", "bench", 1);
        setenv("NEXUS_WORKER_FD", number, 1);
        close(pair[0]);
        execvp(words[0], words);
        die(words[0]);
    }
    close(pair[1]);
    clients[0].fd = pair[0];
    while (!receive(&clients[0])) {}  // its hello
    load(request, 1, calls);
    close(pair[0]);
    waitpid(pid, NULL, 0);
}

// Says a byte for each file that gets its name there.
static void notify(int fd, const char *directory) {
    static char events[BUFFER];
    const int watch = inotify_init1(IN_CLOEXEC);
    if (inotify_add_watch(watch, directory, IN_MOVED_TO) < 0) die(directory);
    do transmit(fd, "", 1);
    while (read(watch, events, BUFFER) > 0);
    die("read");
}

static void load_wake(const char *directory, long calls) {
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair)) die("socketpair");
    if (begin() == 0) notify(pair[1], directory);
    close(pair[1]);
    if (chdir(directory)) die(directory);
    int64_t best = INT64_MAX;
    char byte;
    if (recv(pair[0], &byte, 1, 0) != 1) die("recv");
    for (long i = 0; i < calls; i++) {
        const int file = open("new", O_WRONLY | O_CREAT, 0600);
        if (file < 0 || close(file)) die("new");
        const int64_t start = now_ns();
        if (rename("new", "old") || recv(pair[0], &byte, 1, 0) != 1) die("rename");
        const int64_t spent = now_ns() - start;
        if (spent < best) best = spent;
    }
    printf("%lld\n", (long long)best);
}

int main(int argc, char **argv) {
    const char *what = argc > 1 ? argv[1] : "";
    if (strcmp(what, "load") == 0 && argc == 6) {
        const int count = atoi(argv[4]);
        if (count < 1 || count > CLIENTS_MAX) fail("1 to 64 clients");
        for (int i = 0; i < count; i++) clients[i].fd = connect_to(argv[2]);
        load(read_file(argv[3]), count, atol(argv[5]));
    } else if (strcmp(what, "echo") == 0 && argc == 4) {
        int pair[2];
        if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair)) die("socketpair");
        if (begin() == 0) {
            close(pair[0]);
            echo(pair[1]);
        }
        close(pair[1]);
        clients[0].fd = pair[0];
        load(read_file(argv[2]), 1, atol(argv[3]));
    } else if (strcmp(what, "relay") == 0 && argc == 6) {
        const int count = atoi(argv[4]);
        if (count < 1 || count > CLIENTS_MAX) fail("1 to 64 clients");
        load_relay(read_file(argv[2]), read_file(argv[3]), count, atol(argv[5]));
    } else if (strcmp(what, "pool") == 0 && argc > 4) {
        load_pool(read_file(argv[2]), atol(argv[3]), argv + 4);
    } else if (strcmp(what, "wake") == 0 && argc == 4) {
        load_wake(argv[2], atol(argv[3]));
    } else {
        fail("load ADDRESS REQUEST CLIENTS CALLS, echo REQUEST CALLS, relay REQUEST RESPONSE CLIENTS CALLS, "
             "pool REQUEST CALLS COMMAND..., or wake DIRECTORY CALLS");
    }
    return 0;
}
