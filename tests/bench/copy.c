/* The floor of a large value on its way to another process and back: a process that writes BYTES to a socket pair, another
 * that reads them into a fresh buffer and writes them back, and the first again reading into a fresh buffer. Prints the
 * microseconds of the quickest of ROUNDS. Encodes nothing.
 *
 *     copy BYTES ROUNDS
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void write_all(int socket, const char *bytes, size_t size) {
    while (size > 0) {
        ssize_t written = write(socket, bytes, size);
        if (written <= 0)
            exit(1);
        bytes += written;
        size -= (size_t)written;
    }
}

static char *read_all(int socket, size_t size) {
    char *bytes = malloc(size);
    if (!bytes)
        exit(1);
    for (size_t at = 0; at < size;) {
        ssize_t taken = read(socket, bytes + at, size - at);
        if (taken <= 0)
            exit(0);
        at += (size_t)taken;
    }
    return bytes;
}

static double now_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1e6 + now.tv_nsec / 1e3;
}

int main(int argc, char **argv) {
    int pair[2];
    if (argc != 3 || socketpair(AF_UNIX, SOCK_STREAM, 0, pair))
        return 2;
    size_t size = strtoull(argv[1], NULL, 10);
    if (fork() == 0) {
        close(pair[0]);
        for (;;) {
            char *bytes = read_all(pair[1], size);
            write_all(pair[1], bytes, size);
            free(bytes);
        }
    }
    close(pair[1]);
    char *bytes = calloc(size, 1);
    for (size_t at = 0; at < size; at += 4096)
        bytes[at] = 1;
    double best = 1e18;
    for (int round = atoi(argv[2]); round > 0; round--) {
        double start = now_us();
        write_all(pair[0], bytes, size);
        free(read_all(pair[0], size));
        double taken = now_us() - start;
        if (taken < best)
            best = taken;
    }
    printf("%.0f\n", best);
    close(pair[0]);
    wait(NULL);
    return 0;
}
