/* Preloaded into a pool: SIGINT at the worst moment, after the last look for signals and before the sleep that it should
 * end. Once the FIFO $LATE_INTERRUPT is there, a worker waits ahead of its first long sleep until a test opens it, and
 * interrupts itself.
 *
 * It stands before the functions with which Python (clock_nanosleep; select before 3.11) and the C++ pool of the tests
 * (sleep) sleep, and behind that with which R, about to sleep, sets a handler (signal). It does nothing else. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/select.h>
#include <time.h>
#include <unistd.h>

#define LONG_S 60

static void interrupt(void)
{
    static int done;
    const char *path = getenv("LATE_INTERRUPT");
    if (!path || access(path, F_OK) || done++) return;
    close(open(path, O_RDONLY));
    raise(SIGINT);
}

int clock_nanosleep(clockid_t clock, int flags, const struct timespec *until, struct timespec *rest)
{
    int (*real)(clockid_t, int, const struct timespec *, struct timespec *) = dlsym(RTLD_NEXT, "clock_nanosleep");
    struct timespec now = { 0 };
    if (flags & TIMER_ABSTIME) clock_gettime(clock, &now);
    if (until->tv_sec - now.tv_sec >= LONG_S) interrupt();
    return real(clock, flags, until, rest);
}

int select(int count, fd_set *in, fd_set *out, fd_set *odd, struct timeval *limit)
{
    int (*real)(int, fd_set *, fd_set *, fd_set *, struct timeval *) = dlsym(RTLD_NEXT, "select");
    if (limit && limit->tv_sec >= LONG_S) interrupt();
    return real(count, in, out, odd, limit);
}

unsigned sleep(unsigned seconds)
{
    unsigned (*real)(unsigned) = dlsym(RTLD_NEXT, "sleep");
    if (seconds >= LONG_S) interrupt();
    return real(seconds);
}

void (*signal(int number, void (*handler)(int)))(int)
{
    void (*(*real)(int, void (*)(int)))(int) = dlsym(RTLD_NEXT, "signal");
    void (*before)(int) = real(number, handler);
    if (number == SIGINT) interrupt();
    return before;
}
