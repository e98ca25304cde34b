// Runs commands from start to exit, in turns, and tells what each took. Small itself: the kernel counts the memory of
// whoever starts a process towards its peak. Shows nothing of what the commands print.
//
//     cc -O2 -static -o measure measure.c && ./measure ROUNDS COMMAND... [:: COMMAND...]...
//
// Prints a line for each command: the median of its times and the shortest, in nanoseconds, and the peak memory of its
// largest process, in KiB. The first round only warms up.

#define _GNU_SOURCE
#include <fcntl.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

enum { COMMANDS_MAX = 8, ROUNDS_MAX = 10000 };

extern char **environ;

static int64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static int64_t run(char **argv, const posix_spawn_file_actions_t *quiet, long *peak) {
    pid_t pid;
    int status;
    struct rusage usage;
    const int64_t start = now_ns();
    if (posix_spawnp(&pid, argv[0], quiet, NULL, argv, environ) != 0 || wait4(pid, &status, 0, &usage) != pid) {
        fprintf(stderr, "measure: can't run %s\n", argv[0]);
        exit(1);
    }
    const int64_t spent = now_ns() - start;
    if (status != 0) {
        fprintf(stderr, "measure: %s failed with status %#x\n", argv[0], (unsigned)status);
        exit(1);
    }
    if (usage.ru_maxrss > *peak) *peak = usage.ru_maxrss;
    return spent;
}

static int ascending(const void *a, const void *b) {
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv) {
    static int64_t spent[COMMANDS_MAX][ROUNDS_MAX];
    char **commands[COMMANDS_MAX];
    long peaks[COMMANDS_MAX] = {0};
    const long rounds = argc > 2 ? strtol(argv[1], NULL, 10) : 0;
    int count = 0;
    if (rounds < 1 || rounds > ROUNDS_MAX) return fprintf(stderr, "usage: measure ROUNDS COMMAND... [:: ...]\n"), 2;
    commands[count++] = argv + 2;
    for (char **word = argv + 2; *word != NULL; word++) {
        if (strcmp(*word, "::") != 0) continue;
        if (count == COMMANDS_MAX) return fprintf(stderr, "measure: more than %d commands\n", COMMANDS_MAX), 2;
        *word = NULL;
        commands[count++] = word + 1;
    }
    posix_spawn_file_actions_t quiet;
    posix_spawn_file_actions_init(&quiet);
    posix_spawn_file_actions_addopen(&quiet, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&quiet, 1, "/dev/null", O_WRONLY, 0);
    for (long round = -1; round < rounds; round++)
        for (int i = 0; i < count; i++) {
            const int64_t time = run(commands[i], &quiet, &peaks[i]);
            if (round >= 0) spent[i][round] = time;
        }
    for (int i = 0; i < count; i++) {
        qsort(spent[i], (size_t)rounds, sizeof spent[i][0], ascending);
        printf("%lld %lld %ld\n", (long long)spent[i][rounds / 2], (long long)spent[i][0], peaks[i]);
    }
    return 0;
}
