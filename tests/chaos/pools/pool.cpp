// The C++ pool of the chaos runs: the same functions as pool.py. c++ -std=c++17 -O1 -pthread pool.cpp -o pool-cpp
#include "nexus.hpp"

#include <chrono>

using i8 = std::int64_t;
enum { DOUBLE = 1, CHAIN, FAN, BLOB, TOTAL, CARRY, FETCH, NOISE, STUBBORN, BOMB };

static void nap(i8 ms) { std::this_thread::sleep_for(std::chrono::milliseconds(ms)); }

static i8 twice(i8 n, i8 ms) {
    nap(ms);
    return 2 * n;
}

static i8 chain(const std::vector<std::string>& pools, i8 n, i8 ms) {
    nap(ms);
    return n ? 1 + nexus::call<i8>(pools[n % pools.size()], CHAIN, pools, n - 1, ms) : 0;
}

static i8 fan(const std::string& pool, i8 n, i8 ms) {
    std::vector<nexus::Future<i8>> calls;
    for (i8 i = 1; i <= n; i++) calls.push_back(nexus::call_async<i8>(pool, DOUBLE, i, ms));
    i8 sum = 0;
    for (auto& call : calls) sum += call.get();
    return sum;
}

static std::vector<double> blob(i8 n) {
    std::vector<double> xs(n);
    for (i8 i = 0; i < n; i++) xs[i] = double(i);
    return xs;
}

static double total(const std::vector<double>& xs) {
    double sum = 0;
    for (double x : xs) sum += x;
    return sum;
}

static double carry(const std::string& pool, i8 n) { return nexus::call<double>(pool, TOTAL, blob(n)); }

static double fetch(const std::string& pool, i8 n) {
    return total(nexus::call<std::vector<double>>(pool, BLOB, n));
}

static i8 noise(i8 kib) {
    const std::string dots(1023, '.');
    for (i8 i = 0; i < kib; i++) {
        std::printf("%s%s", dots.c_str(), i % 2 ? "" : "\n");
        std::fprintf(stderr, "%s%s", dots.c_str(), i % 3 ? "\n" : "");
        if (i % 16 == 0) {
            nexus::log("info", std::to_string(i));
            nexus::progress(double(i), double(kib), "noise");
        }
    }
    return kib;
}

static i8 stubborn(i8 ms) {
    signal(SIGTERM, SIG_IGN);
    nap(ms);
    return ms;
}

static i8 bomb(i8 n) {
    for (i8 i = 0; i < n; i++) {
        if (fork() == 0) {
            setsid();
            for (int number : {SIGTERM, SIGHUP, SIGINT, SIGIO}) signal(number, SIG_IGN);
            if (i % 2) {
                for (int fd = 0; fd < 256; fd++) close(fd);
            } else if (fork()) {
                _exit(0);
            }
            sleep(1000);
            _exit(0);
        }
    }
    return n;
}

int main() {
    nexus::add<&twice>(DOUBLE);
    nexus::add<&chain>(CHAIN);
    nexus::add<&fan>(FAN);
    nexus::add<&blob>(BLOB);
    nexus::add<&total>(TOTAL);
    nexus::add<&carry>(CARRY);
    nexus::add<&fetch>(FETCH);
    nexus::add<&noise>(NOISE);
    nexus::add<&stubborn>(STUBBORN);
    nexus::add<&bomb>(BOMB);
    return nexus::serve();
}
