// The C++ pool of the conformance kit: the functions that every language's pool offers, under the same ids, each as
// short as the language allows. Does nothing that a user's pool could not do.
//
//     c++ -std=c++17 -O2 -pthread -I <folder of nexus.hpp> pool.cpp -o pool-cpp
#include "nexus.hpp"

#include <chrono>

using i8 = std::int64_t;
using Function = std::function<i8(i8)>;

struct Person {
    std::string name;
    std::optional<std::uint8_t> age;
    std::vector<std::string> tags;
};
NEXUS_RECORD(Person, name, age, tags)

struct Tree {
    i8 value;
    std::vector<Tree> kids;
};
NEXUS_RECORD(Tree, value, kids)

using Mixed = std::tuple<bool, nexus::big_integer, nexus::bytes, float>;
using Lists = std::tuple<std::vector<std::int32_t>, std::vector<std::uint8_t>, std::vector<i8>, std::vector<float>>;

template <class T>
static T echo(T v) {
    return v;
}

static i8 add(i8 a, i8 b) { return a + b; }

static void fail(const std::string& message) { throw std::runtime_error(message); }

static i8 relay(const std::string& pool, i8 mid, i8 n) { return nexus::call<i8>(pool, mid, n) + 1; }

// Sleeps, and ends early if the call is cancelled.
static void sleep_for(std::chrono::duration<double> time) {
    const auto end = std::chrono::steady_clock::now() + time;
    for (auto left = time; left.count() > 0; left = end - std::chrono::steady_clock::now()) {
        nexus::check();
        std::this_thread::sleep_for(std::min<std::chrono::duration<double>>(left, std::chrono::milliseconds(5)));
    }
}
static void sleep_seconds(double seconds) { sleep_for(std::chrono::duration<double>(seconds)); }

static void say(const std::string& text) { std::printf("%s\n", text.c_str()); }

static void note(const std::string& level, const std::string& text) { nexus::log(level, text); }

static void step(double done, double total, const std::string& label) { nexus::progress(done, total, label); }

static i8 fan(const std::string& pool, i8 mid, i8 n) {
    std::vector<nexus::Future<i8>> calls;
    for (i8 i = 1; i <= n; i++) calls.push_back(nexus::call_async<i8>(pool, mid, i));
    i8 sum = 0;
    for (auto& call : calls) sum += call.get();
    return sum;
}

static i8 apply(const Function& f, i8 n) { return f(n); }

static Function adder(i8 n) {
    return [n](i8 x) { return x + n; };
}

static void quit(i8 code) { _exit(static_cast<int>(code)); }

static void spin(double seconds) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
    while (std::chrono::steady_clock::now() < end) nexus::check();
}

static Lists echo_lists(const std::vector<std::int32_t>& a, const std::vector<std::uint8_t>& b,
                        const std::vector<i8>& c, const std::vector<float>& d) {
    return {a, b, c, d};
}

static i8 via(const std::string& command, i8 n) { return nexus::command<i8>(command, n); }

static std::string kind_of(const std::string& pool, i8 mid, i8 n) {
    try {
        nexus::call<i8>(pool, mid, n);
    } catch (const nexus::error& e) {
        return e.kind;
    }
    return "";
}

static i8 chain(const std::vector<std::string>& pools, i8 n) {
    if (n == 0) return 0;
    return 1 + nexus::call<i8>(pools.at(static_cast<std::size_t>(n) % pools.size()), 21, pools, n - 1);
}

static Function compose(Function f, Function g) {
    return [f, g](i8 x) { return f(g(x)); };
}

static double total(nexus::span<double> xs) {
    double sum = 0;
    for (const double x : xs) sum += x;
    return sum;
}

static std::vector<double> blob(i8 n) {
    std::vector<double> out(static_cast<std::size_t>(n));
    for (std::size_t i = 0; i < out.size(); i++) out[i] = static_cast<double>(i);
    return out;
}

static i8 twice(i8 n) { return 2 * n; }

static i8 nap(i8 ms) {
    sleep_for(std::chrono::milliseconds(ms));
    return ms;
}

static i8 own_pid() { return getpid(); }

static i8 sum_of(const Tree& tree) {
    i8 sum = tree.value;
    for (const Tree& kid : tree.kids) sum += sum_of(kid);
    return sum;
}

static std::pair<std::vector<std::string>, i8> crew(const std::vector<std::string>& words, const std::string& name, i8 n) {
    const nexus::worker sort = nexus::run({"sort"});
    for (const std::string& word : words) sort.send(word);
    sort.close();
    std::vector<std::string> found;
    while (auto line = sort.receive()) found.push_back(*line);
    const nexus::worker twice = nexus::run_command(name);
    return {found, twice.call<i8>(twice.call<i8>(n))};
}

static std::string mishap(const std::vector<std::string>& argv, i8 ms) {
    try {
        return nexus::run(argv).receive(std::chrono::milliseconds(ms)).value_or("end");
    } catch (const nexus::error& e) {
        return e.kind;
    }
}

int main() {
    nexus::add(1, "echo_floats", echo<nexus::span<double>>);
    nexus::add<&add>(2);
    nexus::add(3, "echo_record", echo<Person>);
    nexus::add(4, "echo_tuple", echo<Mixed>);
    nexus::add<&fail>(5);
    nexus::add<&relay>(6);
    nexus::add(7, "sleep", sleep_seconds);
    nexus::add<&say>(8);
    nexus::add<&note>(9);
    nexus::add<&step>(10);
    nexus::add<&fan>(11);
    nexus::add<&apply>(12);
    nexus::add<&adder>(13);
    nexus::add<&quit>(14);
    nexus::add<&spin>(15);
    nexus::add<&echo_lists>(16);
    nexus::add(17, "echo_bytes", echo<nexus::bytes>);
    nexus::add(18, "echo_text", echo<std::string>);
    nexus::add<&via>(19);
    nexus::add<&kind_of>(20);
    nexus::add<&chain>(21);
    nexus::add<&compose>(22);
    nexus::add<&total>(23);
    nexus::add<&blob>(24);
    nexus::add(25, "double", twice);
    nexus::add<&nap>(26);
    nexus::add(27, "echo_big", echo<nexus::big_integer>);
    nexus::add<&own_pid>(28);
    nexus::add(29, "tree", sum_of);
    nexus::add<&crew>(30);
    nexus::add<&mishap>(31);
    return nexus::serve();
}
