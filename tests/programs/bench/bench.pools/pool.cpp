// The C++ pools of bench: functions that do as little as can be measured. Both pools are this one program.
#include "nexus.hpp"

#include <algorithm>
#include <chrono>

static std::uint64_t length(const std::vector<double>& xs) { return xs.size(); }

static nexus::bytes echo(nexus::bytes payload) { return payload; }

// Nanoseconds per call of a pool's echo with 64 bytes: the best of five runs, as relay.c counts.
static double trips(const std::string& pool, std::uint32_t count) {
    const nexus::bytes payload(64);
    double best = std::numeric_limits<double>::infinity();
    for (int run = 0; run < 5; run++) {
        const auto start = std::chrono::steady_clock::now();
        for (std::uint32_t i = 0; i < count; i++) nexus::call<nexus::bytes>(pool, 2, payload);
        const std::chrono::duration<double, std::nano> spent = std::chrono::steady_clock::now() - start;
        best = std::min(best, spent.count() / count);
    }
    return best;
}

int main() {
    nexus::add<&length>(1);
    nexus::add<&echo>(2);
    nexus::add<&trips>(3);
    return nexus::serve();
}
