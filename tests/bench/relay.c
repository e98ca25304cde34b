// The floor of a relayed call: three processes, a client, a relay and a server, that do nothing else.
//
//     cc -O2 -o relay relay.c && ./relay [round trips, default 20000]
//
// The client sends a frame (u32 big-endian length, 64 bytes) and waits for it to come back; the relay waits in epoll,
// reads a frame from one side, finds its end by its length and writes it to the other; the server echoes. Unix stream
// sockets. Prints nanoseconds per round trip, the best of five runs: what any relay pays for its four sends, four
// receives, two waits and four wake-ups.

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

enum { PAYLOAD = 64, HEADER = 4, FRAME = HEADER + PAYLOAD, BUFFER = 64 * 1024, RUNS = 5 };

static void die(const char *doing) {
    perror(doing);
    exit(1);
}

static int64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

// One read, whole frames on: what a peer does that answers before it is asked again.
static size_t receive(int fd, unsigned char *buffer) {
    size_t have = 0, frame = HEADER;
    while (have < frame) {
        ssize_t n = recv(fd, buffer + have, BUFFER - have, 0);
        if (n <= 0) return 0;
        have += (size_t)n;
        if (have >= HEADER)
            frame = HEADER + ((size_t)buffer[0] << 24 | (size_t)buffer[1] << 16 | (size_t)buffer[2] << 8 | buffer[3]);
        if (frame > BUFFER) return 0;
    }
    return frame;
}

static void transmit(int fd, const unsigned char *buffer, size_t n) {
    if (send(fd, buffer, n, MSG_NOSIGNAL) != (ssize_t)n) exit(1);
}

static void serve(int fd) {
    static unsigned char buffer[BUFFER];
    for (size_t n; (n = receive(fd, buffer)) > 0;) transmit(fd, buffer, n);
}

static void relay(int client, int server) {
    static unsigned char buffer[BUFFER];
    int poll = epoll_create1(0);
    const int other[2] = {server, client}, fds[2] = {client, server};
    for (uint32_t side = 0; side < 2; side++) {
        struct epoll_event e = {.events = EPOLLIN, .data.u32 = side};
        if (epoll_ctl(poll, EPOLL_CTL_ADD, fds[side], &e) != 0) die("epoll_ctl");
    }
    for (;;) {
        struct epoll_event ready[2];
        int n = epoll_wait(poll, ready, 2, -1);
        for (int i = 0; i < n; i++) {
            size_t frame = receive(fds[ready[i].data.u32], buffer);
            if (frame == 0) return;
            transmit(other[ready[i].data.u32], buffer, frame);
        }
    }
}

static void spawn(void (*run)(int, int), int a, int b, const int *close_fds, int count) {
    pid_t pid = fork();
    if (pid < 0) die("fork");
    if (pid > 0) return;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (int i = 0; i < count; i++) close(close_fds[i]);
    run(a, b);
    _exit(0);
}

static void serve_one(int fd, int unused) {
    (void)unused;
    serve(fd);
}

int main(int argc, char **argv) {
    const long trips = argc > 1 ? strtol(argv[1], NULL, 10) : 20000;
    int near[2], far[2];  // client to relay, relay to server
    if (trips <= 0) return fprintf(stderr, "usage: relay [round trips]\n"), 2;
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, near) || socketpair(AF_UNIX, SOCK_STREAM, 0, far)) die("socketpair");
    spawn(relay, near[1], far[0], (int[]){near[0], far[1]}, 2);
    spawn(serve_one, far[1], 0, (int[]){near[0], near[1], far[0]}, 3);
    close(near[1]), close(far[0]), close(far[1]);

    unsigned char frame[BUFFER] = {0, 0, 0, PAYLOAD};
    int64_t best = INT64_MAX;
    for (int run = 0; run < RUNS; run++) {
        const int64_t start = now_ns();
        for (long i = 0; i < trips; i++) {
            transmit(near[0], frame, FRAME);
            if (receive(near[0], frame) != FRAME) return fprintf(stderr, "relay: the frame did not come back\n"), 1;
        }
        const int64_t spent = now_ns() - start;
        if (spent < best) best = spent;
    }
    close(near[0]);
    while (wait(NULL) > 0) {}
    printf("%lld\n", (long long)(best / trips));
    return 0;
}
