// The pool that test_cpp.py drives: one function for each thing a runtime must do.

#include "nexus.hpp"

#include <cstdlib>
#include <stdexcept>

struct Point {
    double x, y;
};
NEXUS_RECORD(Point, x, y)

namespace tree {
struct Node {
    std::int32_t size = 0;
    std::vector<Node> kids;
    std::optional<std::string> label;
};
NEXUS_RECORD(Node, size, kids, label)
}  // namespace tree

template <class T>
static T same(const T& v) {
    return v;
}

template <class... T>
static void add_same(std::int64_t mid) {
    ((nexus::add<&same<T>>(mid++)), ...);
}

static double sum(const std::vector<double>& xs) {
    double s = 0;
    for (double x : xs) s += x;
    return s;
}

static std::string join(std::string a, const std::string& b, std::string&& c) { return a + b + c; }

static void fail(const std::string& how) {
    if (how == "runtime") throw std::runtime_error("plain text");
    if (how == "range") (void)std::vector<int>().at(3);
    if (how == "int") throw 42;
    if (how == "text") throw "a bare text";
    if (how == "own") throw nexus::error("not today", "cancelled");
    if (how == "bytes") throw std::runtime_error("caf\xe9");
}

static std::string not_utf8() { return "\xff"; }

static void print(const std::string& text) { std::fputs(text.c_str(), stdout); }

// n levels of: this function, a foreign call, this function again.
static std::int64_t alternate(std::int64_t n) { return n == 0 ? 0 : 1 + nexus::call<std::int64_t>("py", 1, n - 1); }

// Takes much stack and never ends by itself.
static std::int64_t burrow() {
    volatile char room[16 << 10];
    room[0] = 1;
    return room[0] + nexus::call<std::int64_t>("py", 1);
}

static double ask(const std::string& what) { return nexus::call<double>("py", 2, what); }

static std::string ask_and_catch(const std::string& what) {
    try {
        nexus::call("py", 2, what);
    } catch (const nexus::error& e) {
        return e.kind + "|" + e.what() + "|" + (e.trace.empty() ? "" : e.trace[0].function);
    }
    return "nothing was thrown";
}

static std::uint64_t cross(std::uint64_t n) {
    const nexus::bytes out(n, 7);
    return nexus::call<nexus::bytes>("py", 3, out).size();
}

static nexus::bytes reverse(nexus::bytes v) {
    for (std::size_t i = 0, k = v.size(); i + 1 < k; i++) std::swap(v[i], v[--k]);
    return v;
}

static std::string run_command(const std::string& name) {
    nexus::log("info", "about to run " + name);
    nexus::progress(1, 2, "half");
    return nexus::command<std::string>(name, std::string("x"), 1, 2.5);
}

// How many sockets a program that user code starts can see.
static std::int32_t leaked_sockets() {
    std::FILE* out = popen("ls -l /proc/self/fd | grep -c socket:", "r");
    int n = -1;
    if (out == nullptr || std::fscanf(out, "%d", &n) != 1) n = -1;
    if (out != nullptr) pclose(out);
    return n;
}

// Never returns; a child of it is there too.
static void hang() {
    if (fork() == 0) execlp("sleep", "sleep", "1000", static_cast<char*>(nullptr));
    nexus::progress(0, 0, "hanging");
    for (;;) pause();
}

static std::string from_a_foreign_thread() {
    std::string message;
    pthread_t thread;
    const auto run = [](void* to) -> void* {
        try {
            nexus::call("py", 2, "x");
        } catch (const nexus::error& e) {
            *static_cast<std::string*>(to) = e.what();
        }
        return nullptr;
    };
    if (pthread_create(&thread, nullptr, run, &message) == 0) pthread_join(thread, nullptr);
    return message;
}

int main() {
    nexus::add<&sum>(1);
    nexus::add<join>(2);
    nexus::add(3, "fail", fail);
    nexus::add<&not_utf8>(4);
    nexus::add<&print>(5);
    nexus::add<&alternate>(6);
    nexus::add<&ask>(7);
    nexus::add<&ask_and_catch>(8);
    nexus::add<&cross>(9);
    nexus::add<&reverse>(10);
    nexus::add<&run_command>(11);
    nexus::add<&leaked_sockets>(12);
    nexus::add<&hang>(13);
    nexus::add<&from_a_foreign_thread>(14);
    nexus::add(15, "twice", [](std::int64_t n) { return 2 * n; });
    nexus::add(16, "nothing", [] {});
    nexus::add<&burrow>(17);
    add_same<bool, std::int8_t, std::int16_t, std::int32_t, std::int64_t, std::uint8_t, std::uint16_t, std::uint32_t,
             std::uint64_t, float, double, std::string, nexus::bytes, nexus::nil, std::optional<std::int32_t>,
             std::vector<std::int8_t>, std::vector<std::int16_t>, std::vector<std::int32_t>, std::vector<std::int64_t>,
             std::vector<std::uint8_t>, std::vector<std::uint16_t>, std::vector<std::uint32_t>,
             std::vector<std::uint64_t>, std::vector<float>, std::vector<double>, std::vector<bool>,
             std::vector<std::string>, std::vector<std::vector<double>>, std::array<double, 3>,
             std::array<std::string, 2>, std::pair<std::string, bool>, std::tuple<>,
             std::tuple<std::int32_t, std::string, std::vector<std::int32_t>>, Point, std::vector<Point>, tree::Node>(100);
    return nexus::serve();
}
