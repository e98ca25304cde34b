// The pool that test_cpp.py drives: one function for each thing a runtime must do.

#include "nexus.hpp"

#include <cstdlib>
#include <iostream>
#include <stdexcept>

// What user code prints before main must not get into the protocol either.
struct Loud {
    Loud() { std::cout << "loaded" << std::endl; }
};
static Loud loud;

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
    if (how == "memory") throw std::bad_alloc();
    if (how == "string") throw std::string("a bare string");
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

using i8 = std::int64_t;
using Function = std::function<i8(i8)>;

// n calls of py 4 at once; the last first.
static i8 fan(i8 n) {
    std::vector<nexus::Future<i8>> calls;
    for (i8 i = 1; i <= n; i++) calls.push_back(nexus::call_async<i8>("py", 4, i));
    i8 sum = 0;
    for (; !calls.empty(); calls.pop_back()) sum += calls.back().get();
    return sum;
}

// n threads, each with m calls of py 4.
static i8 crowd(i8 n, i8 m) {
    std::atomic<i8> sum{0};
    const auto caller = nexus::caller();
    std::vector<std::thread> threads;
    for (i8 i = 0; i < n; i++)
        threads.emplace_back([&sum, caller, m] {
            for (i8 k = 0; k < m; k++) sum += caller.call<i8>("py", 4, k);
        });
    for (std::thread& t : threads) t.join();
    return sum;
}

// A thread that uses everything, and one that is cancelled.
static std::string from_an_attached_thread(const Function& f) {
    std::string seen;
    const auto caller = nexus::caller();
    std::thread([&] {
        try {
            const nexus::attached on(caller);
            nexus::log("info", "from a thread");
            nexus::progress(1);
            seen = std::to_string(nexus::call<i8>("py", 4, 20) + f(1));
            for (;;) nexus::check();
        } catch (const nexus::Cancelled&) {
            seen += " then cancelled";
        }
    }).join();
    return seen;
}

// The caller of a call before, as far as it is still good for something.
static std::string stale() {
    static std::optional<nexus::caller> last;
    std::string found = "first";
    try {
        if (last) last->call("py", 4, 1);
    } catch (const nexus::error& e) {
        found = e.what();
    }
    last.emplace();
    return found;
}

static i8 ready() {
    auto f = nexus::call_async<i8>("py", 4, 1);
    i8 rounds = 0;
    for (; !f.ready(); rounds++) nexus::check();
    const i8 result = f.get();
    try {
        f.get();
    } catch (const nexus::error&) {
        return result;
    }
    return -1;
}

static i8 apply(const Function& f, i8 n) { return f(n); }
static Function adder(i8 n) {
    return [n](i8 x) { return x + n; };
}
static Function compose(Function f, Function g) {
    return [f, g](i8 x) { return f(g(x)); };
}
static Function back(Function f) { return f; }
static i8 twice(i8 n) { return 2 * n; }
static Function registered() { return twice; }
static std::vector<Function> many(i8 n) { return std::vector<Function>(static_cast<std::size_t>(n), adder(1)); }
static std::function<std::string(const std::vector<std::string>&)> joiner(std::string with) {
    return [with](const std::vector<std::string>& words) {
        std::string out;
        for (const std::string& word : words) out += (out.empty() ? "" : with) + word;
        return out;
    };
}

static double view(const std::string&, nexus::span<double> a, nexus::span<double> b) {
    double sum = 0;
    for (const double x : a) sum += x;
    for (const double x : b) sum += 10 * x;
    return sum;
}
static nexus::span<std::int32_t> kept_view() { return nexus::call<nexus::span<std::int32_t>>("py", 5); }
static i8 text_view(std::string_view a, std::optional<std::string_view> b) {
    return static_cast<i8>(a.size() + (b ? b->size() : 0));
}
#if __cplusplus >= 202002L
static double std_view(std::string, std::span<const double> a, std::span<const double> b) {
    return view("", {a.data(), a.size()}, {b.data(), b.size()});
}
#endif

// Waits for a foreign call; a child of it is there too.
static void wait_with_child() {
    if (fork() == 0) execlp("sleep", "sleep", "1000", static_cast<char*>(nullptr));
    nexus::call("py", 4, 1);
}

// Computes until it is cancelled.
static i8 spin() {
    nexus::progress(0);
    for (;;) nexus::check();
}
static void doze() {
    nexus::progress(0);
    while (!nexus::cancelled()) sleep(100);
    nexus::check();
}
static void storm(i8 n) {
    for (i8 i = 1; i <= n; i++) nexus::progress(static_cast<double>(i), static_cast<double>(n), "stormy");
}
static void half_a_storm(i8 n) {
    for (i8 i = 1; i <= n; i++) nexus::progress(static_cast<double>(i));
}
static void shout(i8 n) { nexus::log("warn", std::string(static_cast<std::size_t>(n), 'x')); }
static i8 pid() { return getpid(); }
static void crash() { std::raise(SIGSEGV); }

static std::string lines() {
    nexus::run_options options;
    options.timeout = std::chrono::milliseconds(1500);
    options.env = {{"A", "b"}};
    options.cwd = "/tmp";
    options.errors = "null";
    const auto w = nexus::run({"cat", "-n"}, options);
    w.send("\u00e4");
    std::string said = *w.receive(std::chrono::milliseconds(250));
    said += "," + w.call("two");
    w.close();
    said += w.receive() ? ",more" : ",end";
    said += w.alive() ? ",yes" : ",no";
    said += w.exit_code() ? ",some" : ",none";
    w.kill(15);
    said += "," + std::to_string(w.wait(std::chrono::seconds(2)));
    return said + "," + std::to_string(*w.exit_code()) + "," + std::to_string(w.pid());
}
static std::string command_untyped() {
    const auto w = nexus::run_command("mean");
    const auto said = w.call<i8>(std::vector<std::int32_t>{1, 2}, "x");
    try {
        w.call<i8>(3, "y");
    } catch (const nexus::error& e) {
        return std::to_string(said) + "," + e.kind + "," + e.message + "," + std::to_string(e.pid.value_or(0));
    }
    return "";
}
static std::string command_typed() {
    const auto w = nexus::run_command("mean");
    const auto found = w.call<std::vector<std::int32_t>>(std::vector<double>{1, 2.5});
    w.close();
    return std::to_string(found.size());
}
static std::string worker_errors() {
    const auto w = nexus::run({"sort"});
    const auto said = [](const auto& work) -> std::string {
        try {
            work();
        } catch (const nexus::error& e) {
            return e.exit_code ? e.kind + " " + std::to_string(*e.pid) + " " + std::to_string(*e.exit_code) : e.kind;
        }
        return "";
    };
    const std::string late = said([&] { w.receive(std::chrono::milliseconds(0)); });
    const std::string died = said([&] { w.receive(); });
    return late + "," + died + "," + said([] { nexus::run({"no such"}); });
}
static std::string first() {
    const std::vector<nexus::worker> workers = {nexus::run({"one"}), nexus::run({"two"})};
    const auto [one, message] = nexus::select(workers);
    const auto [two, none] = nexus::select(workers, std::chrono::seconds(1));
    return std::to_string(workers[one].pid()) + " " + *message + "," + std::to_string(workers[two].pid()) + (none ? "" : " end");
}
static std::string blobs() {
    nexus::run_options whole, detached;
    whole.whole = detached.detach = true;
    const auto w = nexus::run({"gzip"}, whole);
    w.send(nexus::bytes{0xff, '\n', 0});
    w.close();
    const auto size = w.receive<nexus::bytes>()->size() + 1;
    return std::to_string(size) + " " + std::to_string(nexus::run({"daemon"}, detached).pid());
}
static void wrong(const std::string& what) {
    const auto w = nexus::run({"cat"});
    if (what == "number") w.send(5);
    if (what == "ended") w.call("x");
    if (what == "type") w.receive<double>();
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
    nexus::add<&fan>(20);
    nexus::add<&crowd>(21);
    nexus::add<&from_an_attached_thread>(22);
    nexus::add<&stale>(23);
    nexus::add<&ready>(24);
    nexus::add<&apply>(25);
    nexus::add<&adder>(26);
    nexus::add<&compose>(27);
    nexus::add<&back>(28);
    nexus::add<&registered>(29);
    nexus::add(30, "registered twice", twice);
    nexus::add<&many>(31);
    nexus::add<&joiner>(32);
    nexus::add<&view>(33);
    nexus::add<&kept_view>(34);
    nexus::add<&text_view>(35);
#if __cplusplus >= 202002L
    nexus::add<&std_view>(36);
#endif
    nexus::add<&spin>(37);
    nexus::add<&doze>(38);
    nexus::add<&storm>(39);
    nexus::add<&half_a_storm>(40);
    nexus::add<&shout>(41);
    nexus::add<&pid>(42);
    nexus::add<&crash>(43);
    nexus::add(44, "echo_big", [](nexus::big_integer v) { return v; });
    nexus::add<&wait_with_child>(45);
    nexus::add<&lines>(61);
    nexus::add<&command_untyped>(62);
    nexus::add<&command_typed>(63);
    nexus::add<&worker_errors>(64);
    nexus::add<&first>(65);
    nexus::add<&blobs>(66);
    nexus::add<&wrong>(67, {"mistaken", "mistakes.cpp", 12});
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
