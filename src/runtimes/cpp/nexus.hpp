// nexus.hpp: the C++ runtime of a Nexus pool. One header, C++17, Linux, no dependencies.
//
//     #include "nexus.hpp"
//
//     struct Point { double x, y; };
//     NEXUS_RECORD(Point, x, y)
//
//     static double sum(const std::vector<double>& xs) { double s = 0; for (double x : xs) s += x; return s; }
//     static double turn(Point p) { return nexus::call<double>("py", 3, p, 90); }   // function 3 of the pool "py"
//
//     int main() {
//         nexus::add<&sum>(1);            // the ids of the manifest
//         nexus::add(2, "turn", turn);
//         return nexus::serve();
//     }
//
//     c++ -std=c++17 -O2 -pthread pool.cpp -o pool-cpp
//
// Started by hand in a terminal, a pool lists its functions and their types.
//
// Types      | bool, integers, float, double, std::string | b i1..i8 u1..u8 f4 f8 s
//            | nexus::big_integer, nexus::bytes           | j y
//            | nexus::nil or void                         | z
//            | std::optional<T>                           | ?T
//            | std::vector<T>, std::array<T, N>           | [T]
//            | nexus::span<T>, std::span<const T> (C++20) | [T]: a view of numbers that are not copied
//            | std::pair, std::tuple                      | (T,U,...)
//            | std::function<R(A...)>                     | \(A,...)R
//            | a struct described by NEXUS_RECORD         | {x:f8,y:f8}
//            Argument types must be default-constructible; arguments are taken by value or by reference. What a
//            std::span or std::string_view argument shows is there until the function returns; a nexus::span keeps it.
// Errors     | An exception ends its call, not the pool. A failed foreign call throws nexus::error, which
//            | carries the remote kind, message and trace; if it passes, the user sees one stack.
// Cancel     | A call that nexus cancels ends where it makes a foreign call or waits for one: with nexus::Cancelled,
//            | which no handler of std::exception takes. What computes for long asks nexus::cancelled(), or calls
//            | nexus::check(), which throws; both are cheap enough for an inner loop.
// At once    | auto f = nexus::call_async<double>("py", 3, x); ... f.get()
//            | A thread that a function starts works for the call through nexus::caller(), taken in the function:
//            |     auto caller = nexus::caller();
//            |     std::thread t([caller] { caller.call<double>("py", 3, 1.0); });
//            | nexus::attached on(caller) lets all of nexus:: (and function values) be used in that thread. Join it,
//            | and catch what it may throw, before the function returns.
// Workers    | auto w = nexus::run({"sort", "-n"}); a program as a process beside this one, or a command of this program:
//            | nexus::run_command("mean"). w.send("3"); while (auto line = w.receive()) ...; w.close(); w.wait();
//            | w.call<double>(xs) sends and receives; w.kill(), w.alive(), w.pid(), w.exit_code(); nexus::select(workers).
//            | What was started ends with the call that started it, unless it is detached.
// Functions  | A std::function that is given away stays callable as long as the worker lives, 65,536 of them; one that
//            | came in is called through nexus, unless it is this process's own.
// Threads    | Each worker is a thread that serves one connection: user code must be safe to run in several threads at
//            | once. Where the manifest asks for a process per call, or renews workers, each worker is a process that
//            | is forked: then start no thread before nexus::serve(). While a thread waits, it runs requests that
//            | come back, nested on its stack: don't hold a lock across a call.
// Prints     | stdout is line buffered and goes to nexus, never into the result. Where frames go over standard input and
//            | output, the runtime moves both away before main, and what is printed goes to stderr.
// The end    | On shutdown stdio is flushed and the process exits at once: no destructor of a static object runs.
//            | When nexus dies, or the connection ends under a call, the runtime kills its process group.
//
// It does not read the manifest, check a schema it was not compiled for, or speak to other pools but through nexus.

#ifndef NEXUS_HPP
#define NEXUS_HPP

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <exception>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <mutex>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <tuple>
#include <type_traits>
#include <typeinfo>
#include <unordered_map>
#include <utility>
#include <vector>
#if __cplusplus >= 202002L
#include <span>
#endif

#include <cxxabi.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio_ext.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "nexus.hpp copies packed lists as they lie in memory and needs a little-endian machine"
#endif

namespace nexus {

// ---------------------------------------------------------------------------------------------- public types

/// Raw bytes. A std::vector<std::uint8_t> is a list of numbers instead.
struct bytes : std::vector<std::uint8_t> {
    using std::vector<std::uint8_t>::vector;
};

/// The value of nothing: what a void function returns.
struct nil {};

/// An integer of any size: its two's complement, big-endian.
struct big_integer {
    std::vector<std::uint8_t> digits = {0};

    big_integer() = default;
    big_integer(std::int64_t v) : digits(8) {
        for (std::size_t i = 0; i < 8; i++) digits[i] = static_cast<std::uint8_t>(v >> (56 - 8 * i));
        shorten();
    }
    explicit operator std::int64_t() const;  // throws nexus::error if it doesn't fit
    bool is_negative() const { return !digits.empty() && digits[0] >= 0x80; }

    /// Takes away the leading digits that say nothing.
    void shorten() {
        const std::uint8_t sign = is_negative() ? 0xff : 0;
        std::size_t n = 0;
        while (n + 1 < digits.size() && digits[n] == sign && (digits[n + 1] >= 0x80) == (sign != 0)) n++;
        digits.erase(digits.begin(), digits.begin() + static_cast<std::ptrdiff_t>(n));
        if (digits.empty()) digits = {0};
    }
    friend bool operator==(const big_integer& a, const big_integer& b) { return a.digits == b.digits; }
};

/// A list of numbers to look at, where it lies; copies share it. One that came from nexus keeps its message in memory.
template <class T>
class span {
public:
    using value_type = T;
    span() = default;
    span(const T* data, std::size_t size, std::shared_ptr<const void> memory = {})
        : data_(data), size_(size), memory_(std::move(memory)) {}
    span(const std::vector<T>& v) : span(v.data(), v.size()) {}

    const T* data() const { return data_; }
    std::size_t size() const { return size_; }
    bool empty() const { return size_ == 0; }
    const T* begin() const { return data_; }
    const T* end() const { return data_ + size_; }
    const T& operator[](std::size_t i) const { return data_[i]; }

private:
    const T* data_ = nullptr;
    std::size_t size_ = 0;
    std::shared_ptr<const void> memory_;
};

/// One function on the stack of an error, in whatever language.
struct trace_entry {
    std::string lang, function, file;
    std::int64_t line = 0;
};

/// A failed call: thrown by nexus::call and nexus::command, and by whoever wants to answer a kind of its own.
struct error : std::exception {
    std::string kind, message;
    std::vector<trace_entry> trace;  // innermost first
    std::optional<std::int64_t> pid, exit_code;  // of the process that failed, where nexus told

    explicit error(std::string text, std::string kind_ = "raised") : kind(std::move(kind_)), message(std::move(text)) {}
    const char* what() const noexcept override { return message.c_str(); }

    // Of a remote error: its other keys as they came (msgpack), sent on unchanged.
    bool remote = false;
    std::string details;
    std::uint32_t details_count = 0;
};

/// How long something is waited for; by default, until it comes.
using wait_limit = std::optional<std::chrono::milliseconds>;

/// How a worker process is started, beside the usual. A stream is "pipe" (of `errors`: "inherit"), "inherit" or "null".
struct run_options {
    wait_limit timeout;  // then it is ended
    std::map<std::string, std::string> env;            // added to the environment
    std::optional<std::string> cwd, input, output, errors;
    bool detach = false;  // it lives on when the call that started it, and nexus, have ended
    bool whole = false;   // what is sent goes as it is, and all of its output is one message
};

/// Ends a call that nexus cancelled. No std::exception: code that catches those and tries again shall end too.
struct Cancelled {};

inline big_integer::operator std::int64_t() const {
    if (digits.size() > 8)
        throw error("an integer of " + std::to_string(digits.size()) + " bytes doesn't fit into 64 bits");
    std::uint64_t v = is_negative() ? ~std::uint64_t{0} : 0;
    for (const std::uint8_t digit : digits) v = v << 8 | digit;
    return static_cast<std::int64_t>(v);
}

namespace detail {

// ---------------------------------------------------------------------------------------------- limits

constexpr std::size_t stack_bytes_max = std::size_t{256} << 20;  // reserved per worker; only touched pages cost
constexpr std::size_t stack_bytes_min = std::size_t{1} << 20;    // below this a worker is of no use
constexpr std::size_t stack_bytes_left = std::size_t{32} << 20;  // for the innermost function; at most an eighth
constexpr std::size_t frame_bytes_max = 0xffffffff - 1024;       // a u32, less what nexus keeps for its own envelope
constexpr std::size_t kept_bytes_max = std::size_t{1} << 20;     // what an empty buffer keeps for the next frame
constexpr std::size_t receive_bytes = std::size_t{64} << 10;     // the least room for one read
constexpr std::size_t lent_bytes_min = std::size_t{64} << 10;    // from here on a list is sent from where it lies
constexpr std::size_t pipe_bytes = 4096;                         // what a pipe that is ready takes without blocking
constexpr unsigned value_depth_max = 512;                        // levels: a recursive record can nest without end
constexpr std::size_t trace_entries_max = 256;                   // an error that climbs 10,000 calls stays small
constexpr std::size_t message_bytes_max = 10'000;                // of an error that is made here
constexpr std::size_t log_bytes_max = std::size_t{32} << 10;     // of a line: it shall pass nexus in one piece
constexpr std::uint64_t workers_max = 1024;                      // nexus asks for no more
constexpr std::size_t digits_max = 41'525;                       // of a big integer, in bytes
constexpr std::uint32_t list_reserve_max = 4096;                 // elements; then a list grows with what is there
constexpr std::size_t open_calls_max = std::size_t{1} << 16;     // of one worker, each way: what nexus allows
constexpr std::size_t closures_max = std::size_t{1} << 16;       // function values of this process
constexpr std::int64_t look_ms = 4;       // between two looks for a cancel while a function computes
constexpr std::int64_t progress_ms = 50;  // between two notes of progress

// ---------------------------------------------------------------------------------------------- buffer

/// Bytes that are added at the end and taken from the front; uninitialised room, one allocation.
class buffer {
public:
    buffer() = default;
    buffer(const buffer&) = delete;
    buffer& operator=(const buffer&) = delete;
    ~buffer() { std::free(memory_); }

    const char* data() const { return memory_ + begin_; }
    std::size_t size() const { return end_ - begin_; }

    /// At least `n` free bytes behind the end. Moves what the buffer holds.
    char* room(std::size_t n) {
        if (capacity_ - end_ >= n) return memory_ + end_;
        if (begin_ > 0) {
            std::memmove(memory_, memory_ + begin_, size());
            end_ -= begin_;
            begin_ = 0;
            if (capacity_ - end_ >= n) return memory_ + end_;
        }
        std::size_t wanted = end_ + n;
        if (wanted < 2 * capacity_) wanted = 2 * capacity_;
        void* grown = std::realloc(memory_, wanted);
        if (grown == nullptr) throw std::bad_alloc();
        memory_ = static_cast<char*>(grown);
        capacity_ = wanted;
        return memory_ + end_;
    }
    std::size_t free() const { return capacity_ - end_; }

    void added(std::size_t n) { end_ += n; }
    void taken(std::size_t n) {
        begin_ += n;
        if (begin_ == end_) begin_ = end_ = 0;
    }
    void clear() { begin_ = end_ = 0; }

    void append(const void* from, std::size_t n) {
        if (n == 0) return;
        std::memcpy(room(n), from, n);
        end_ += n;
    }
    void overwrite(std::size_t at, const void* from, std::size_t n) { std::memcpy(memory_ + begin_ + at, from, n); }

    /// Gives a large allocation back if nothing is in it.
    void trim() {
        if (size() > 0 || capacity_ <= kept_bytes_max) return;
        std::free(memory_);
        memory_ = nullptr;
        capacity_ = 0;
    }

private:
    char* memory_ = nullptr;
    std::size_t begin_ = 0, end_ = 0, capacity_ = 0;
};

/// One received message, in memory of its own. It ends at a multiple of eight: a list of numbers that is its last value
/// lies as its elements want to. Grows with what really comes: a length alone allocates nothing.
class frame {
public:
    explicit frame(std::size_t length) : length_(length), start_((8 - length % 8) % 8) {
        if (start_ + length > sizeof small_) return;
        memory_ = small_;
        capacity_ = length;
    }
    frame(const frame&) = delete;
    frame& operator=(const frame&) = delete;
    ~frame() {
        if (memory_ != small_) std::free(memory_);
    }

    const char* data() const { return memory_ + start_; }
    std::size_t size() const { return filled_; }
    std::size_t length() const { return length_; }
    std::size_t missing() const { return length_ - filled_ - lost_; }
    bool is_cut() const { return lost_ > 0; }

    /// Where the next bytes go, and how many: `n` if they are there already. Throws std::bad_alloc.
    std::pair<char*, std::size_t> room(std::size_t n = 0) {
        if (filled_ + n > capacity_ || (filled_ == capacity_ && capacity_ < length_)) {
            std::size_t wanted = std::max(filled_ + n, std::max(2 * capacity_, receive_bytes));
            if (wanted > length_) wanted = length_;
            void* grown = std::realloc(memory_, start_ + wanted);
            if (grown == nullptr) throw std::bad_alloc();
            memory_ = static_cast<char*>(grown);
            capacity_ = wanted;
            ask_for_large_pages();
        }
        return {memory_ + start_ + filled_, capacity_ - filled_};
    }
    void added(std::size_t n) { filled_ += n; }
    void lose(std::size_t n) { lost_ += n; }  // bytes that no memory is left for

    std::vector<std::shared_ptr<const void>> copies;  // of what could not be borrowed as it lies

private:
    /// Large pages spare most of the faults of a large message; a refusal costs nothing.
    void ask_for_large_pages() {
        constexpr std::size_t large_page = 2u << 20, page = 4096;
        if (capacity_ < 4 * large_page) return;
        const auto start = reinterpret_cast<std::uintptr_t>(memory_);
        const std::uintptr_t first = (start + page - 1) / page * page, end = (start + capacity_) / page * page;
        (void)madvise(reinterpret_cast<void*>(first), end - first, MADV_HUGEPAGE);
    }

    const std::size_t length_, start_;
    char* memory_ = nullptr;
    std::size_t filled_ = 0, capacity_ = 0, lost_ = 0;
    alignas(8) char small_[256];  // for a short one
};

// ---------------------------------------------------------------------------------------------- text

/// How many bytes of `text` are valid UTF-8 from its start.
inline std::size_t utf8_bytes(std::string_view text) {
    const auto* s = reinterpret_cast<const unsigned char*>(text.data());
    const std::size_t n = text.size();
    std::size_t i = 0;
    while (i < n) {
        if (s[i] < 0x80) {
            std::uint64_t eight;
            while (n - i >= 8 && (std::memcpy(&eight, s + i, 8), (eight & 0x8080808080808080u) == 0)) i += 8;
            while (i < n && s[i] < 0x80) i++;
            continue;
        }
        const unsigned lead = s[i];
        const std::size_t more = lead >= 0xf0 ? 3 : lead >= 0xe0 ? 2 : 1;
        if (lead < 0xc2 || lead > 0xf4 || n - i <= more) return i;
        const unsigned low = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;   // no overlong form
        const unsigned high = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;  // no surrogate, nothing past U+10FFFF
        if (s[i + 1] < low || s[i + 1] > high) return i;
        for (std::size_t k = 2; k <= more; k++)
            if ((s[i + k] & 0xc0) != 0x80) return i;
        i += more + 1;
    }
    return n;
}

/// `text` as valid UTF-8: each stray byte becomes a question mark.
inline std::string readable(std::string_view text) {
    std::string out;
    for (std::size_t good; (good = utf8_bytes(text)) < text.size(); text.remove_prefix(good + 1)) {
        out.append(text.substr(0, good));
        out += '?';
    }
    return out.append(text);
}

inline std::string quoted(std::string_view text) {
    constexpr std::size_t shown_max = 40;
    std::string out = "\"" + readable(text.substr(0, shown_max));
    return out + (text.size() > shown_max ? "...\"" : "\"");
}

inline std::string demangled(const char* name) {
    int status = 0;
    char* plain = abi::__cxa_demangle(name, nullptr, nullptr, &status);
    std::string out = plain != nullptr ? plain : name;
    std::free(plain);
    return out;
}

// ---------------------------------------------------------------------------------------------- msgpack out

constexpr std::int8_t big_integer_tag = 11;
constexpr std::int8_t function_tag = 12;

/// Appends msgpack values, each in its shortest form.
class writer {
public:
    buffer out;

    /// Bytes that stay where they are: they follow the first `at` of `out`, and must be there until the frame is sent.
    struct loan {
        std::size_t at, size;
        const char* data;
    };
    std::vector<loan> loans;

    void lend(const void* data, std::size_t n) {
        if (n < lent_bytes_min) return out.append(data, n);
        loans.push_back({out.size(), n, static_cast<const char*>(data)});
        lent_ += n;
    }

    void nil() { byte(0xc0); }
    void boolean(bool v) { byte(v ? 0xc3 : 0xc2); }
    void natural(std::uint64_t v) {
        if (v < 0x80) byte(v);
        else sized(0xcc, step(v), v);
    }
    void integer(std::int64_t v) {
        if (v >= 0) natural(static_cast<std::uint64_t>(v));
        else if (v >= -32) byte(static_cast<std::uint64_t>(v));
        else sized(0xd0, step(static_cast<std::uint64_t>(-(v + 1)) * 2), static_cast<std::uint64_t>(v));
    }
    void real(float v) {
        std::uint32_t bits;
        std::memcpy(&bits, &v, sizeof bits);
        number(0xca, 4, bits);
    }
    void real(double v) {
        std::uint64_t bits;
        std::memcpy(&bits, &v, sizeof bits);
        number(0xcb, 8, bits);
    }
    /// A string that must be valid UTF-8.
    void string(std::string_view v) {
        const std::size_t good = utf8_bytes(v);
        if (good < v.size())
            throw error("the string " + quoted(v) + " is not valid UTF-8 at byte " + std::to_string(good) +
                        "; nexus::bytes takes raw bytes");
        if (v.size() < 32) byte(0xa0 | v.size());
        else length(0xd9, 0, v.size());
        out.append(v.data(), v.size());
    }
    /// A string from anywhere: stray bytes become question marks.
    void text(std::string_view v) { string(readable(v)); }
    void binary(const void* data, std::size_t n) {
        length(0xc4, 0, n);
        lend(data, n);
    }
    void list(std::size_t n) {
        if (n < 16) byte(0x90 | n);
        else length(0xdb, 1, n);
    }
    void map(std::size_t n) {
        if (n < 16) byte(0x80 | n);
        else length(0xdd, 1, n);
    }
    void extension(std::int8_t tag, const void* data, std::size_t n) {
        if (n > 0 && n <= 16 && (n & (n - 1)) == 0) byte(0xd4u + static_cast<unsigned>(__builtin_ctzll(n)));
        else length(0xc7, 0, n);
        byte(static_cast<std::uint8_t>(tag));
        lend(data, n);
    }

    /// A frame is written between these two.
    void begin_frame() {
        clear();
        out.append("\0\0\0\0", 4);
    }
    void clear() {
        out.clear();
        loans.clear();
        lent_ = 0;
    }
    void end_frame() {
        const std::size_t n = out.size() - 4 + lent_;
        if (n > frame_bytes_max)
            throw error("a message of " + std::to_string(n) + " bytes is longer than a frame can be (4294966271)");
        const auto big = __builtin_bswap32(static_cast<std::uint32_t>(n));
        out.overwrite(0, &big, 4);
    }

private:
    // The formats of a family follow each other, each twice as wide: of 1, 2, 4 and 8 bytes.
    static unsigned step(std::uint64_t v) { return v <= 0xff ? 0 : v <= 0xffff ? 1 : v <= 0xffffffff ? 2 : 3; }
    void sized(unsigned family, unsigned step, std::uint64_t v) { number(family + step, 1u << step, v); }
    void length(unsigned family, unsigned least, std::size_t n) {
        if (n > 0xffffffff)
            throw error("a value of " + std::to_string(n) + " bytes or elements is longer than a frame (4294967295)");
        sized(family, step(n) < least ? least : step(n), n);
    }
    void byte(std::uint64_t v) {
        *out.room(1) = static_cast<char>(v & 0xff);
        out.added(1);
    }
    void number(unsigned tag, unsigned width, std::uint64_t v) {
        char* p = out.room(1 + sizeof v);
        p[0] = static_cast<char>(tag);
        v = __builtin_bswap64(v << (64 - 8 * width));
        std::memcpy(p + 1, &v, sizeof v);
        out.added(1 + width);
    }

    std::size_t lent_ = 0;
};

// ---------------------------------------------------------------------------------------------- msgpack in

enum class kind : std::uint8_t { nil, boolean, natural, negative, real, string, binary, list, map, extension };

/// The next thing on the wire: a whole scalar, string, binary or extension, or the head of a list or map.
struct token {
    kind is = kind::nil;
    std::int8_t tag = 0;          // of an extension
    std::uint32_t count = 0;      // bytes, elements or pairs
    const char* data = nullptr;   // of a string, binary or extension: `count` bytes that are there
    union {
        std::uint64_t natural = 0;  // also a boolean
        std::int64_t negative;
        double real;
    };

    std::string_view text() const { return {data, count}; }
};

constexpr const char* packed_names[] = {"", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f4", "f8"};
constexpr unsigned packed_widths[] = {0, 1, 2, 4, 8, 1, 2, 4, 8, 4, 8};
inline bool is_packed(const token& t) { return t.is == kind::extension && t.tag >= 1 && t.tag <= 10; }

/// What was found, for an error.
inline std::string described(const token& t) {
    char number[40];
    switch (t.is) {
        case kind::nil: return "nil";
        case kind::boolean: return t.natural != 0 ? "the bool true" : "the bool false";
        case kind::natural: return "the integer " + std::to_string(t.natural);
        case kind::negative: return "the integer " + std::to_string(t.negative);
        case kind::real: std::snprintf(number, sizeof number, "the float %.15g", t.real); return number;
        case kind::string: return "the string " + quoted(t.text());
        case kind::binary: return std::to_string(t.count) + " raw bytes";
        case kind::list: return "a list of " + std::to_string(t.count);
        case kind::map: return "a record of " + std::to_string(t.count);
        case kind::extension: break;
    }
    if (t.tag == big_integer_tag) return "an integer of " + std::to_string(t.count) + " bytes";
    if (t.tag == function_tag) return "a function";
    if (is_packed(t))
        return std::string("a packed list of ") + packed_names[t.tag] + " in " + std::to_string(t.count) + " bytes";
    return "an extension of unknown type " + std::to_string(t.tag);
}

/// Reads tokens from borrowed bytes. Every length is checked against the bytes that are there.
class reader {
public:
    reader() = default;
    reader(const char* data, std::size_t n) : at_(data), end_(data + n) {}
    explicit reader(std::shared_ptr<frame> f) : memory(std::move(f)), at_(memory->data()), end_(at_ + memory->size()) {}

    std::shared_ptr<frame> memory;  // what is read, if it can be borrowed
    bool is_lent = false;           // to a value that doesn't hold it

    /// Whose value is read, for errors: "argument 2 of mean", "result of py 3".
    struct subject {
        const char* role = "message";
        std::string_view of;
        std::int64_t number = 0;
    } about;

    /// One step into a value, for errors: an index, or a record's key. Lives on the stack of the reading function.
    class step {
    public:
        explicit step(reader& in) : in_(in), up_(in.path_) {
            if (++in.depth_ > value_depth_max) in.malformed("nested deeper than " + std::to_string(value_depth_max));
            in.path_ = this;
        }
        step(const step&) = delete;
        ~step() {
            in_.path_ = up_;
            in_.depth_--;
        }
        const char* key = nullptr;
        std::size_t index = 0;

    private:
        friend class reader;
        reader& in_;
        const step* up_;
    };

    const char* at() const { return at_; }
    std::size_t left() const { return static_cast<std::size_t>(end_ - at_); }
    bool at_nil() const { return at_ < end_ && static_cast<unsigned char>(*at_) == 0xc0; }

    token next() {
        const auto b = static_cast<unsigned>(number(1));
        if (b < 0x80) return natural(b);
        if (b < 0x90) return head(kind::map, b & 0x0f);
        if (b < 0xa0) return head(kind::list, b & 0x0f);
        if (b < 0xc0) return body(kind::string, b & 0x1f);
        if (b >= 0xe0) return integer(static_cast<std::int8_t>(b));
        token t;
        switch (b) {  // the formats of a family follow each other, each twice as wide
            case 0xc0: return t;
            case 0xc2: case 0xc3: t.is = kind::boolean, t.natural = b & 1; return t;
            case 0xc4: case 0xc5: case 0xc6: return body(kind::binary, number(1u << (b - 0xc4)));
            case 0xc7: case 0xc8: case 0xc9: return body(kind::extension, number(1u << (b - 0xc7)));
            case 0xca: return real(bits<float>(static_cast<std::uint32_t>(number(4))));
            case 0xcb: return real(bits<double>(number(8)));
            case 0xcc: case 0xcd: case 0xce: case 0xcf: return natural(number(1u << (b - 0xcc)));
            case 0xd0: case 0xd1: case 0xd2: case 0xd3: return extended(number(1u << (b - 0xd0)), 1u << (b - 0xd0));
            case 0xd4: case 0xd5: case 0xd6: case 0xd7: case 0xd8: return body(kind::extension, 1u << (b - 0xd4));
            case 0xd9: case 0xda: case 0xdb: return body(kind::string, number(1u << (b - 0xd9)));
            case 0xdc: case 0xdd: return head(kind::list, number(2u << (b - 0xdc)));
            case 0xde: case 0xdf: return head(kind::map, number(2u << (b - 0xde)));
            default: malformed("the byte 0xc1 is not msgpack");
        }
    }

    /// Passes one whole value, however deep, without recursion.
    void skip() {
        for (std::uint64_t open = 1; open > 0; open--) {
            const token t = next();
            if (t.is == kind::list) open += t.count;
            if (t.is == kind::map) open += std::uint64_t{2} * t.count;
        }
    }

    /// One element of a packed list.
    static token packed_element(std::int8_t tag, const char* p) {
        std::uint64_t raw = 0;
        std::memcpy(&raw, p, packed_widths[tag]);
        if (tag <= 4) return extended(raw, packed_widths[tag]);
        if (tag <= 8) return natural(raw);
        return real(tag == 9 ? bits<float>(static_cast<std::uint32_t>(raw)) : bits<double>(raw));
    }

    [[noreturn]] void mismatch(const std::string& schema, const token& found) const {
        malformed("expected " + schema + ", found " + described(found));
    }
    [[noreturn]] void malformed(const std::string& what) const { throw error(where() + ": " + what); }

private:
    template <class T, class U>
    static double bits(U v) {
        T out;
        static_assert(sizeof out == sizeof v);
        std::memcpy(&out, &v, sizeof out);
        return static_cast<double>(out);
    }
    static token natural(std::uint64_t v) {
        token t;
        t.is = kind::natural;
        t.natural = v;
        return t;
    }
    static token integer(std::int64_t v) {
        token t = natural(static_cast<std::uint64_t>(v));
        if (v < 0) t.is = kind::negative, t.negative = v;
        return t;
    }
    /// The integer whose lowest `width` bytes are these.
    static token extended(std::uint64_t v, unsigned width) {
        return integer(static_cast<std::int64_t>(v << (64 - 8 * width)) >> (64 - 8 * width));
    }
    static token real(double v) {
        token t;
        t.is = kind::real;
        t.real = v;
        return t;
    }
    std::uint64_t number(unsigned width) {
        if (left() < width) malformed("the bytes end within a value");
        std::uint64_t v = 0;
        for (; width > 0; width--) v = v << 8 | static_cast<unsigned char>(*at_++);
        return v;
    }
    token head(kind is, std::uint64_t count) const {
        if (left() < (is == kind::map ? 2 * count : count))
            malformed("a " + std::string(is == kind::map ? "record" : "list") + " claims " + std::to_string(count) +
                      " elements, but only " + std::to_string(left()) + " bytes follow");
        token t;
        t.is = is;
        t.count = static_cast<std::uint32_t>(count);
        return t;
    }
    token body(kind is, std::uint64_t count) {
        token t;
        t.is = is;
        t.count = static_cast<std::uint32_t>(count);
        if (is == kind::extension) t.tag = static_cast<std::int8_t>(number(1));
        if (left() < count)
            malformed("a value claims " + std::to_string(count) + " bytes, but only " + std::to_string(left()) +
                      " follow");
        t.data = at_;
        at_ += count;
        return t;
    }
    std::string where() const {
        std::string out = about.role;
        if (std::strcmp(about.role, "argument") == 0) out += " " + std::to_string(about.number);
        if (!about.of.empty()) out += " of " + std::string(about.of);
        if (std::strcmp(about.role, "result") == 0 && about.number != 0) out += " " + std::to_string(about.number);
        std::string path;
        for (const step* s = path_; s != nullptr; s = s->up_)
            path = (s->key != nullptr ? "." + std::string(s->key) : "[" + std::to_string(s->index) + "]") + path;
        return path.empty() ? out : out + " at " + path;
    }

    const char* at_ = nullptr;
    const char* end_ = nullptr;
    const step* path_ = nullptr;
    unsigned depth_ = 0;
};

// ---------------------------------------------------------------------------------------------- schemas

/// The text of a type's schema. A record within itself is written as a reference to its name.
class schema_text {
public:
    std::string text;

    template <class Body>
    void record(const char* name, Body body) {
        for (open_record* r = open_; r != nullptr; r = r->up)
            if (std::strcmp(r->name, name) == 0) {
                r->recursive = true;
                text += "^" + labelled(name);
                return;
            }
        open_record self{open_, name, false};
        const std::size_t start = text.size();
        open_ = &self;
        body();
        open_ = self.up;
        if (self.recursive) text.insert(start, "&" + labelled(name));
    }
    static std::string base62(std::size_t n) {
        constexpr char digits[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
        return (n >= 62 ? base62(n / 62) : std::string()) + digits[n % 62];
    }

private:
    struct open_record {
        open_record* up;
        const char* name;
        bool recursive;
    };
    static std::string labelled(const char* name) { return base62(std::strlen(name)) + name; }
    open_record* open_ = nullptr;
};

// ---------------------------------------------------------------------------------------------- values

template <class>
constexpr bool never = false;

/// The wire form of a C++ type: `schema`, `write` and `read`. Specialised below, and by NEXUS_RECORD for structs.
template <class T, class = void>
struct value {
    static_assert(never<T>, "nexus: this type has no wire form; describe a struct with NEXUS_RECORD(Type, field, ...), "
                  "give a function away as a std::function");
};

template <class T>
std::string schema_of() {
    schema_text s;
    value<T>::schema(s);
    return std::move(s.text);
}

template <class T, class... Others>
constexpr bool is_any_of = (std::is_same_v<T, Others> || ...);

/// What a packed list can hold. A char is a letter, not a number.
template <class T>
constexpr bool is_number = is_any_of<T, float, double> ||
                           (std::is_integral_v<T> && !is_any_of<T, bool, char, wchar_t, char16_t, char32_t>);

template <class T>
constexpr std::int8_t packed_tag = static_cast<std::int8_t>(
    (sizeof(T) == 1 ? 1 : sizeof(T) == 2 ? 2 : sizeof(T) == 4 ? 3 : 4) +
    (std::is_floating_point_v<T> ? 6 : std::is_unsigned_v<T> ? 4 : 0));

template <class T>
T number_from(const reader& in, const token& t) {
    if constexpr (std::is_integral_v<T>) {
        if (t.is == kind::natural && t.natural <= static_cast<std::uint64_t>(std::numeric_limits<T>::max()))
            return static_cast<T>(t.natural);
        if (t.is == kind::negative && std::is_signed_v<T> &&
            t.negative >= static_cast<std::int64_t>(std::numeric_limits<T>::min()))
            return static_cast<T>(t.negative);
    } else {
        constexpr double max = static_cast<double>(std::numeric_limits<T>::max());
        if (t.is == kind::natural) return static_cast<T>(t.natural);
        if (t.is == kind::negative) return static_cast<T>(t.negative);
        if (t.is == kind::real) {
            const bool is_finite = t.real - t.real == 0;  // only a finite one can be too large for a float
            if (!is_finite || (t.real <= max && t.real >= -max)) return static_cast<T>(t.real);
        }
    }
    in.mismatch(schema_of<T>(), t);
}

template <class T>
struct value<T, std::enable_if_t<is_number<T>>> {
    static void schema(schema_text& s) { s.text += packed_names[packed_tag<T>]; }
    static void write(writer& out, T v) {
        if constexpr (std::is_floating_point_v<T>) out.real(v);
        else if constexpr (std::is_signed_v<T>) out.integer(v);
        else out.natural(v);
    }
    static void read(reader& in, T& v) { v = number_from<T>(in, in.next()); }
};

template <>
struct value<bool> {
    static void schema(schema_text& s) { s.text += 'b'; }
    static void write(writer& out, bool v) { out.boolean(v); }
    static void read(reader& in, bool& v) {
        const token t = in.next();
        if (t.is != kind::boolean) in.mismatch("b", t);
        v = t.natural != 0;
    }
};

template <>
struct value<nil> {
    static void schema(schema_text& s) { s.text += 'z'; }
    static void write(writer& out, nil) { out.nil(); }
    static void read(reader& in, nil&) {
        const token t = in.next();
        if (t.is != kind::nil) in.mismatch("z", t);
    }
};

inline std::string_view checked_text(reader& in) {
    const token t = in.next();
    if (t.is != kind::string) in.mismatch("s", t);
    const std::size_t good = utf8_bytes(t.text());
    if (good < t.count)
        in.malformed("the string " + quoted(t.text()) + " is not valid UTF-8 at byte " + std::to_string(good));
    return t.text();
}

template <>
struct value<std::string> {
    static void schema(schema_text& s) { s.text += 's'; }
    static void write(writer& out, const std::string& v) { out.string(v); }
    static void read(reader& in, std::string& v) { v = checked_text(in); }
};

template <>
struct value<std::string_view> {  // what came in is there until the function returns
    static void schema(schema_text& s) { s.text += 's'; }
    static void write(writer& out, std::string_view v) { out.string(v); }
    static void read(reader& in, std::string_view& v) {
        v = checked_text(in);
        in.is_lent = true;
    }
};
template <>
struct value<const char*> : value<std::string_view> {};
template <>
struct value<char*> : value<std::string_view> {};

template <>
struct value<bytes> {
    static void schema(schema_text& s) { s.text += 'y'; }
    static void write(writer& out, const bytes& v) { out.binary(v.data(), v.size()); }
    static void read(reader& in, bytes& v) {
        const token t = in.next();
        if (t.is != kind::binary) in.mismatch("y", t);
        v.assign(t.data, t.data + t.count);
    }
};

template <>
struct value<big_integer> {
    static void schema(schema_text& s) { s.text += 'j'; }
    static void write(writer& out, big_integer v) {
        v.shorten();
        const std::size_t n = v.digits.size();
        if (n <= 8) return out.integer(static_cast<std::int64_t>(v));
        if (n > digits_max)
            throw error("an integer of " + std::to_string(n) + " bytes is longer than nexus takes (" +
                        std::to_string(digits_max) + ")");
        if (n > 9 || v.digits[0] != 0) return out.extension(big_integer_tag, v.digits.data(), n);
        v.digits.erase(v.digits.begin());
        out.natural(static_cast<std::uint64_t>(static_cast<std::int64_t>(v)));
    }
    static void read(reader& in, big_integer& v) {
        const token t = in.next();
        if (t.is == kind::extension && t.tag == big_integer_tag) {
            v.digits.assign(t.data, t.data + t.count);
        } else if (t.is == kind::natural || t.is == kind::negative) {
            const bool is_negative = t.is == kind::negative;
            const std::uint64_t bits = is_negative ? static_cast<std::uint64_t>(t.negative) : t.natural;
            v.digits.assign(9, is_negative ? 0xff : 0);
            for (unsigned i = 0; i < 8; i++) v.digits[8 - i] = static_cast<std::uint8_t>(bits >> (8 * i));
        } else {
            in.mismatch("j", t);
        }
        v.shorten();
    }
};

template <class T>
struct value<std::optional<T>> {
    static void schema(schema_text& s) {
        s.text += '?';
        value<T>::schema(s);
    }
    static void write(writer& out, const std::optional<T>& v) {
        if (v) value<T>::write(out, *v);
        else out.nil();
    }
    static void read(reader& in, std::optional<T>& v) {
        v.reset();
        if (in.at_nil()) in.next();
        else value<T>::read(in, v.emplace());
    }
};

/// The elements of a list that is being read, packed or plain.
template <class T>
class elements {
public:
    elements(reader& in, const token& head) : in_(in), step_(in), head_(head) {
        if constexpr (is_number<T>) {
            if (is_packed(head)) {
                width_ = packed_widths[head.tag];
                if (head.count % width_ != 0) in.malformed(described(head) + " ends within an element");
                count = head.count / width_;
                return;
            }
        }
        if (head.is != kind::list) in.mismatch("[" + schema_of<T>() + "]", head);
        count = head.count;
    }
    std::uint32_t count = 0;

    bool is_memory_of_T() const { return width_ != 0 && head_.tag == packed_tag<T>; }

    void read(std::uint32_t i, T& v) {
        step_.index = i;
        if constexpr (is_number<T>) {
            if (width_ != 0) {
                v = number_from<T>(in_, reader::packed_element(head_.tag, head_.data + std::size_t{i} * width_));
                return;
            }
        }
        value<T>::read(in_, v);
    }

private:
    reader& in_;
    reader::step step_;
    const token head_;
    unsigned width_ = 0;  // of a packed element
};

template <class T>
bool is_aligned(const char* p) {
    return reinterpret_cast<std::uintptr_t>(p) % alignof(T) == 0;
}

template <class T, class List>
void write_list(writer& out, const List& v) {
    if constexpr (is_number<T>) {
        out.extension(packed_tag<T>, v.data(), v.size() * sizeof(T));
    } else {
        out.list(v.size());
        for (const auto& x : v) value<T>::write(out, x);
    }
}

template <class T>
struct value<std::vector<T>> {
    static void schema(schema_text& s) {
        s.text += '[';
        value<T>::schema(s);
        s.text += ']';
    }
    static void write(writer& out, const std::vector<T>& v) { write_list<T>(out, v); }
    static void read(reader& in, std::vector<T>& v) {
        const token head = in.next();
        elements<T> items(in, head);
        v.clear();
        if constexpr (is_number<T>) {
            if (items.is_memory_of_T()) {
                if (is_aligned<T>(head.data)) {
                    const T* from = reinterpret_cast<const T*>(head.data);
                    v.assign(from, from + items.count);
                } else {
                    v.resize(items.count);
                    std::memcpy(v.data(), head.data, head.count);
                }
                return;
            }
        }
        v.reserve(items.count < list_reserve_max ? items.count : list_reserve_max);
        for (std::uint32_t i = 0; i < items.count; i++) {
            T x{};
            items.read(i, x);
            v.push_back(std::move(x));
        }
    }
};

template <class T, std::size_t N>
struct value<std::array<T, N>> {
    static void schema(schema_text& s) {
        s.text += "a:" + std::to_string(N);
        value<T>::schema(s);
    }
    static void write(writer& out, const std::array<T, N>& v) { write_list<T>(out, v); }
    static void read(reader& in, std::array<T, N>& v) {
        const token head = in.next();
        elements<T> items(in, head);
        if (items.count != N) in.malformed("expected a list of " + std::to_string(N) + ", found " + described(head));
        if constexpr (is_number<T> && N > 0) {
            if (items.is_memory_of_T()) {
                std::memcpy(v.data(), head.data, head.count);
                return;
            }
        }
        for (std::uint32_t i = 0; i < N; i++) items.read(i, v[i]);
    }
};

/// The numbers of a list where they lie in the message, or in a copy that stays with it.
template <class T>
std::pair<const T*, std::size_t> borrowed(reader& in) {
    static_assert(is_number<T>, "nexus: a span of a worker's argument is one of numbers; take a std::vector");
    const char* start = in.at();
    const token head = in.next();
    elements<T> items(in, head);
    if (items.is_memory_of_T()) {
        const std::size_t off = reinterpret_cast<std::uintptr_t>(head.data) % alignof(T);
        if (off <= static_cast<std::size_t>(head.data - start)) {  // there is room: the head of this list has been read
            char* to = const_cast<char*>(head.data) - off;
            if (off != 0) std::memmove(to, head.data, head.count);
            return {reinterpret_cast<const T*>(to), items.count};
        }
    }
    auto copy = std::make_shared<std::vector<T>>();
    copy->reserve(items.count < list_reserve_max ? items.count : list_reserve_max);
    for (std::uint32_t i = 0; i < items.count; i++) items.read(i, copy->emplace_back());
    in.memory->copies.push_back(copy);
    return {copy->data(), copy->size()};
}

template <class T>
struct value<span<T>> {
    static void schema(schema_text& s) { value<std::vector<T>>::schema(s); }
    static void write(writer& out, const span<T>& v) { write_list<T>(out, v); }
    static void read(reader& in, span<T>& v) {
        const auto [data, size] = borrowed<T>(in);
        v = {data, size, in.memory};
    }
};
#if __cplusplus >= 202002L
template <class T>
struct value<std::span<T>> {
    static void schema(schema_text& s) { value<std::vector<std::remove_const_t<T>>>::schema(s); }
    static void write(writer& out, std::span<T> v) { write_list<std::remove_const_t<T>>(out, v); }
    static void read(reader& in, std::span<T>& v) {
        static_assert(std::is_const_v<T>, "nexus: what came in is only to be looked at: take a std::span<const T>");
        const auto [data, size] = borrowed<std::remove_const_t<T>>(in);
        v = {data, size};
        in.is_lent = true;
    }
};
#endif

/// std::tuple and std::pair.
template <class Tuple, class... T>
struct tuple_value {
    static void schema(schema_text& s) {
        [[maybe_unused]] const char* separator = "(";
        ((s.text += separator, separator = ",", value<T>::schema(s)), ...);
        s.text += sizeof...(T) == 0 ? "()" : ")";
    }
    static void write(writer& out, const Tuple& v) {
        out.list(sizeof...(T));
        std::apply([&](const T&... x) { (value<T>::write(out, x), ...); }, v);
    }
    static void read(reader& in, Tuple& v) {
        const token head = in.next();
        if (head.is != kind::list || head.count != sizeof...(T)) in.mismatch(schema_of<Tuple>(), head);
        reader::step here(in);
        std::apply([&](T&... x) { ((value<T>::read(in, x), here.index++), ...); }, v);
    }
};
template <class... T>
struct value<std::tuple<T...>> : tuple_value<std::tuple<T...>, T...> {};
template <class A, class B>
struct value<std::pair<A, B>> : tuple_value<std::pair<A, B>, A, B> {};

// ---------------------------------------------------------------------------------------------- records

template <class Owner, class Member>
struct field {
    const char* name;
    Member Owner::*member;
    using type = Member;
};
template <class Owner, class Member>
constexpr field<Owner, Member> make_field(const char* name, Member Owner::*member) {
    return {name, member};
}

template <class... Fields>
struct record_description {
    const char* name;
    std::tuple<Fields...> fields;
};
template <class... Fields>
constexpr record_description<Fields...> make_record(const char* name, Fields... fields) {
    return {name, {fields...}};
}

template <class>
constexpr bool is_optional = false;
template <class T>
constexpr bool is_optional<std::optional<T>> = true;

template <class T>
struct value<T, std::void_t<decltype(nexus_record(static_cast<const T*>(nullptr)))>> {
    static void schema(schema_text& s) {
        s.record(description().name, [&s] {
            const char* separator = "{";
            each([&s, &separator](const auto& f) {
                s.text += std::string(separator) + f.name + ":";
                separator = ",";
                value<member<decltype(f)>>::schema(s);
            });
            s.text += '}';
        });
    }
    static void write(writer& out, const T& v) {
        out.map(count);
        each([&out, &v](const auto& f) {
            out.string(f.name);
            value<member<decltype(f)>>::write(out, v.*f.member);
        });
    }
    static void read(reader& in, T& v) {
        const token head = in.next();
        reader::step here(in);
        if (head.is == kind::list && head.count == count) {
            each([&](const auto& f) { read_field(in, here, v, f); });
            return;
        }
        if (head.is != kind::map) in.mismatch(schema_of<T>(), head);
        std::uint64_t seen = 0;
        for (std::uint32_t i = 0; i < head.count; i++) {
            const token key = in.next();
            here.key = nullptr;
            if (key.is != kind::string)
                in.malformed("expected a key of " + schema_of<T>() + ", found " + described(key));
            std::uint64_t bit = 1;
            bool known = false;
            each([&](const auto& f) {
                if (!known && key.text() == f.name) {
                    known = true;
                    if ((seen & bit) != 0) in.malformed("the key " + quoted(f.name) + " comes twice");
                    seen |= bit;
                    read_field(in, here, v, f);
                }
                bit <<= 1;
            });
            if (!known) in.malformed("unknown key " + quoted(key.text()) + ", expected " + schema_of<T>());
        }
        here.key = nullptr;
        std::uint64_t bit = 1;
        each([&](const auto& f) {
            if ((seen & bit) == 0) {
                if constexpr (is_optional<member<decltype(f)>>) (v.*f.member).reset();
                else in.malformed("the key " + quoted(f.name) + " is missing, expected " + schema_of<T>());
            }
            bit <<= 1;
        });
    }

private:
    static constexpr auto description() { return nexus_record(static_cast<const T*>(nullptr)); }
    static constexpr std::size_t count = std::tuple_size_v<decltype(description().fields)>;
    template <class F>
    using member = typename std::decay_t<F>::type;

    template <class Visit>
    static void each(Visit visit) {
        std::apply([&visit](const auto&... f) { (visit(f), ...); }, description().fields);
    }
    template <class F>
    static void read_field(reader& in, reader::step& here, T& v, const F& f) {
        here.key = f.name;
        value<typename F::type>::read(in, v.*f.member);
    }
};

// ---------------------------------------------------------------------------------------------- errors on the wire

/// Reads a map whose keys need not be known: `field` reads the value of a key, or leaves it to be passed over.
template <class Field>
void read_map(reader& in, Field field) {
    const token head = in.next();
    if (head.is != kind::map) in.mismatch("a map", head);
    for (std::uint32_t i = 0; i < head.count; i++) {
        const char* pair = in.at();
        const token key = in.next();
        const char* content = in.at();
        field(key.is == kind::string ? key.text() : std::string_view(), pair);
        if (in.at() == content) in.skip();
    }
}

inline trace_entry read_trace_entry(reader& in) {
    trace_entry entry;
    read_map(in, [&](std::string_view key, const char*) {
        if (key == "lang") value<std::string>::read(in, entry.lang);
        if (key == "function") value<std::string>::read(in, entry.function);
        if (key == "file") value<std::string>::read(in, entry.file);
        if (key == "line") value<std::int64_t>::read(in, entry.line);
    });
    return entry;
}

/// Reads the error of a response.
inline error read_error(reader& in) {
    error e("the call failed without a message");
    e.remote = true;
    read_map(in, [&](std::string_view key, const char* pair) {
        if (key == "kind") return value<std::string>::read(in, e.kind);
        if (key == "message") return value<std::string>::read(in, e.message);
        if (key == "trace") {
            const token list = in.next();
            if (list.is != kind::list) in.mismatch("a list of calls", list);
            for (std::uint32_t k = 0; k < list.count; k++) {
                trace_entry entry = read_trace_entry(in);
                if (e.trace.size() < trace_entries_max) e.trace.push_back(std::move(entry));
            }
            return;
        }
        if (key == "pid") value<std::optional<std::int64_t>>::read(in, e.pid);
        else if (key == "exit_code") value<std::optional<std::int64_t>>::read(in, e.exit_code);
        else in.skip();
        e.details.append(pair, static_cast<std::size_t>(in.at() - pair));
        e.details_count++;
    });
    return e;
}

/// The error of the exception that is being handled.
inline error caught() {
    try {
        throw;
    } catch (error& e) {
        return std::move(e);
    } catch (const Cancelled&) {
        return error("the call was cancelled", "cancelled");
    } catch (const std::bad_alloc&) {
        return error("there was not enough memory (std::bad_alloc): give the function less at once, or its pool more");
    } catch (const std::exception& e) {
        const bool plain = typeid(e) == typeid(std::runtime_error) || typeid(e) == typeid(std::logic_error);
        return error((plain ? "" : demangled(typeid(e).name()) + ": ") + e.what());
    } catch (const char* text) {
        return error(text);
    } catch (const std::string& text) {
        return error(text);
    } catch (...) {
        const std::type_info* type = abi::__cxa_current_exception_type();
        return error("an exception of type " + (type != nullptr ? demangled(type->name()) : "unknown") + " was thrown");
    }
}

// ---------------------------------------------------------------------------------------------- process

/// Removes a directory and all in it, as far as it can. Safe in a signal handler.
inline void remove_tree(int parent, const char* name, int depth = 0) {
    const int dir = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (dir < 0) return;
    struct entry {
        std::uint64_t inode;
        std::int64_t offset;
        std::uint16_t length;
        std::uint8_t type;
        char name[1];
    };
    alignas(entry) char entries[2048];
    for (long n; (n = syscall(SYS_getdents64, dir, entries, sizeof entries)) > 0;) {
        for (long at = 0; at < n;) {
            const auto* e = reinterpret_cast<const entry*>(entries + at);
            at += e->length;
            const char* child = entries + (e->name - entries);
            if (std::strcmp(child, ".") == 0 || std::strcmp(child, "..") == 0) continue;
            if (unlinkat(dir, child, 0) != 0 && depth < 64) remove_tree(dir, child, depth + 1);
        }
    }
    close(dir);
    unlinkat(parent, name, AT_REMOVEDIR);
}

enum class transport : std::uint8_t { none, unix_socket, direct, stdio };

constexpr std::uint64_t protocol = 1;

/// What the process was given by nexus; filled before any constructor of user code runs.
struct process_state {
    transport speaks = transport::none;
    bool is_isolated = false;               // each worker is a process
    int listen_fd = -1, control_fd = -1;    // unix_socket
    int in_fd = -1, out_fd = -1;            // direct, stdio
    const char* pool = "";
    const char* dir = "";
    std::atomic<int> running{0};            // calls
    std::atomic<bool> stopping{false};
    std::atomic<bool> look_now{false};      // SIGINT came: a cancel waits
};
inline process_state process;

/// Nexus is gone: so is this pool, with all that its user code started.
[[noreturn]] inline void orphaned() {
    if (process.dir[0] == '/') remove_tree(AT_FDCWD, process.dir);
    if (process.speaks == transport::unix_socket || getpgrp() == getpid()) kill(0, SIGKILL);
    _exit(1);
}

inline void on_signal(int number, void (*handler)(int)) {
    struct sigaction action = {};
    action.sa_handler = handler;
    action.sa_flags = SA_RESTART;
    sigaction(number, &action, nullptr);
}

inline void check_protocol(std::uint64_t spoken) {
    if (spoken == protocol) return;
    std::fprintf(stderr,
                 "nexus pool %s: nexus speaks version %llu of the pool protocol, this pool version %llu: compile it "
                 "with the header of this nexus (nexus runtime cpp)\n",
                 process.pool, static_cast<unsigned long long>(spoken), static_cast<unsigned long long>(protocol));
    _exit(1);
}

/// A descriptor that nexus passed on; what user code starts gets neither it nor its name.
inline int inherited(const char* name) {
    const char* text = std::getenv(name);
    char* end = nullptr;
    const long fd = text != nullptr ? std::strtol(text, &end, 10) : -1;
    const bool is_number = end != text && fd >= 0 && fd <= INT32_MAX;
    unsetenv(name);
    return is_number && fcntl(static_cast<int>(fd), F_SETFD, FD_CLOEXEC) == 0 ? static_cast<int>(fd) : -1;
}

/// The protocol takes standard input and output; user code gets nothing to read, and prints to standard error.
inline void take_stdio() {
    process.in_fd = fcntl(0, F_DUPFD_CLOEXEC, 3);
    process.out_fd = fcntl(1, F_DUPFD_CLOEXEC, 3);
    if (process.in_fd < 0 || process.out_fd < 0) return;
    process.speaks = transport::stdio;
    const int nothing = open("/dev/null", O_RDWR | O_CLOEXEC);
    dup2(nothing, 0);
    if (dup2(2, 1) < 0) dup2(nothing, 1);
    close(nothing);
    setpgid(0, 0);  // so that it can end with all that it started
    on_signal(SIGPIPE, [](int) {});
}

extern "C" int nexus_serves __attribute__((weak));  // there if some code of the program calls nexus::serve

/// Finds out who started this process, and how it is to speak with nexus.
inline void prepare() {
    static bool is_done = false;
    if (std::exchange(is_done, true)) return;
    const auto copied = [](const char* name) {
        const char* text = std::getenv(name);
        const char* copy = text != nullptr ? strdup(text) : nullptr;
        return copy != nullptr ? copy : "";
    };
    process.pool = copied("NEXUS_POOL");
    process.dir = copied("NEXUS_DIR");
    process.is_isolated = std::strcmp(copied("NEXUS_ISOLATE"), "1") == 0;
    unsetenv("NEXUS_ISOLATE");
    process.listen_fd = inherited("NEXUS_LISTEN_FD");
    process.control_fd = inherited("NEXUS_CONTROL_FD");
    process.in_fd = process.out_fd = inherited("NEXUS_WORKER_FD");
    inherited("NEXUS_LIFE_FD");
    if (process.listen_fd >= 0 && process.control_fd >= 0) process.speaks = transport::unix_socket;
    else if (process.in_fd >= 0) process.speaks = transport::direct;
    else if (isatty(0) == 0) take_stdio();
    if (process.speaks == transport::none) return;
    if (const char* spoken = std::getenv("NEXUS_PROTOCOL")) check_protocol(std::strtoull(spoken, nullptr, 10));
    on_signal(SIGIO, [](int) { orphaned(); });
    on_signal(SIGINT, [](int) { process.look_now = true; });
    std::setvbuf(stdout, nullptr, _IOLBF, BUFSIZ);
}
__attribute__((constructor(101))) static void prepare_early() {
    if (&nexus_serves != nullptr) prepare();
}

[[noreturn]] inline void exit_now() {
    std::fflush(nullptr);
    _exit(0);
}

[[noreturn]] inline void die(const char* doing) {
    std::fprintf(stderr, "nexus pool %s: %s: %s\n", process.pool, doing, std::strerror(errno));
    std::fflush(nullptr);
    _exit(1);
}

inline std::int64_t now_ms() {
    timespec t;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
    return std::int64_t{t.tv_sec} * 1000 + t.tv_nsec / 1'000'000;
}

/// Whether so little is left of this thread's stack that it shall run no further call.
inline bool is_stack_short() {
    struct bounds {
        const char *low = nullptr, *floor = nullptr;
        bounds() {
            pthread_attr_t attributes;
            void* start = nullptr;
            std::size_t size = 0;
            if (pthread_getattr_np(pthread_self(), &attributes) != 0) return;
            pthread_attr_getstack(&attributes, &start, &size);
            pthread_attr_destroy(&attributes);
            low = static_cast<const char*>(start);
            floor = low + std::min(size / 8, stack_bytes_left);
        }
    };
    static thread_local const bounds here;
    const char* at = static_cast<const char*>(__builtin_frame_address(0));
    return at < here.floor && at >= here.low;  // elsewhere it is a stack of the user's making
}

/// Starts a thread with a stack for thousands of nested calls, less where memory is limited.
inline bool start_thread(void* (*body)(void*)) {
    static std::size_t size = [] {
        std::size_t most = stack_bytes_max;
        for (const auto resource : {RLIMIT_AS, RLIMIT_DATA}) {
            rlimit limit = {};
            if (getrlimit(resource, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY)
                most = std::min<std::size_t>(most, limit.rlim_cur / 8);
        }
        return std::max(most >> 12 << 12, stack_bytes_min);
    }();
    pthread_attr_t attributes;
    if (pthread_attr_init(&attributes) != 0) return false;
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    bool is_started = false;
    for (; !is_started && size >= stack_bytes_min; size /= is_started ? 1 : 2) {
        pthread_t thread;
        is_started = pthread_attr_setstacksize(&attributes, size) == 0 &&
                     pthread_create(&thread, &attributes, body, nullptr) == 0;
    }
    pthread_attr_destroy(&attributes);
    return is_started;
}

// ---------------------------------------------------------------------------------------------- channel

/// Thrown when the peer is gone. Not a std::exception: user code that catches those must not swallow it.
struct closed {};

/// Frames over a stream socket or two pipes. One thread at a time may send, one may receive.
class channel {
public:
    channel(int in, int out) : in_(in), out_(out), in_is_socket_(is_socket(in)), out_is_socket_(is_socket(out)) {}
    channel(const channel&) = delete;
    channel& operator=(const channel&) = delete;
    ~channel() {
        close(in_);
        if (out_ != in_) close(out_);
    }

    int descriptor() const { return in_; }

    /// Takes in what is there; waits for it, if asked to. False: nothing was there.
    bool receive(bool waits) {
        char* to = nullptr;
        std::size_t n = 0;
        bool is_lost = false;
        if (partial_ != nullptr && !partial_->is_cut()) {
            try {
                std::tie(to, n) = partial_->room();
                n = std::min(n, partial_->missing());
            } catch (const std::bad_alloc&) {
                is_lost = true;
            }
        }
        if (to == nullptr) {
            to = buffer_.room(receive_bytes);
            n = buffer_.free();
            if (partial_ != nullptr) is_lost = true, n = std::min(n, partial_->missing());
        }
        const ssize_t got = read_some(to, n, waits);
        if (got < 0) return false;
        const auto bytes = static_cast<std::size_t>(got);
        if (is_lost) partial_->lose(bytes);
        else if (partial_ != nullptr) partial_->added(bytes);
        else buffer_.added(bytes);
        return true;
    }

    /// The next message that has come whole, or null.
    std::shared_ptr<frame> next() {
        if (partial_ == nullptr) {
            std::uint32_t length;
            if (buffer_.size() < sizeof length) return nullptr;
            std::memcpy(&length, buffer_.data(), sizeof length);
            partial_ = std::make_shared<frame>(__builtin_bswap32(length));
            buffer_.taken(sizeof length);
            if (const std::size_t n = std::min(buffer_.size(), partial_->length()); n > 0) {
                std::memcpy(partial_->room(n).first, buffer_.data(), n);
                partial_->added(n);
                buffer_.taken(n);
            }
        }
        return partial_->missing() == 0 ? std::move(partial_) : nullptr;
    }

    /// Sends the frame. While the peer takes nothing, `when_full` is called: two large frames that cross must not block
    /// each other.
    template <class Full>
    void send(const writer& frame, Full when_full) {
        std::size_t at = 0;
        for (const writer::loan& loan : frame.loans) {
            send(frame.out.data() + at, loan.at - at, when_full);
            send(loan.data, loan.size, when_full);
            at = loan.at;
        }
        send(frame.out.data() + at, frame.out.size() - at, when_full);
    }

    /// Waits until there is something to read, or if asked for room to write. True: to read.
    bool wait(bool to_read, bool to_write, int timeout_ms) const {
        pollfd p[2] = {{to_read ? in_ : -1, POLLIN, 0}, {to_write ? out_ : -1, POLLOUT, 0}};
        poll(p, 2, timeout_ms);
        return to_read && p[0].revents != 0;
    }

    void shut() const {
        if (in_is_socket_) shutdown(in_, SHUT_RDWR);
    }

private:
    template <class Full>
    void send(const char* from, std::size_t left, Full when_full) {
        while (left > 0) {
            const ssize_t n = write_some(from, left);
            if (n < 0) {
                when_full();
            } else {
                from += n;
                left -= static_cast<std::size_t>(n);
            }
        }
    }
    static bool is_socket(int fd) {
        struct stat status = {};
        return fstat(fd, &status) == 0 && S_ISSOCK(status.st_mode);
    }
    /// How many bytes were read, -1: nothing is there.
    ssize_t read_some(char* to, std::size_t n, bool waits) const {
        for (;;) {
            ssize_t got = -1;
            errno = EAGAIN;
            if (in_is_socket_) got = recv(in_, to, n, waits ? 0 : MSG_DONTWAIT);
            else if (waits || wait(true, false, 0)) got = read(in_, to, n);
            if (got > 0) return got;
            if (got == 0 || (errno != EAGAIN && errno != EINTR)) throw closed();
            if (errno == EINTR) continue;
            if (!waits) return -1;
            wait(true, false, -1);
        }
    }
    /// How many bytes were written, -1: there is no room.
    ssize_t write_some(const char* from, std::size_t n) const {
        for (;;) {
            ssize_t put = -1;
            errno = EAGAIN;
            if (out_is_socket_) {
                put = ::send(out_, from, n, MSG_NOSIGNAL | MSG_DONTWAIT);
            } else {
                pollfd p = {out_, POLLOUT, 0};
                if (poll(&p, 1, 0) > 0) put = write(out_, from, std::min(n, pipe_bytes));
            }
            if (put >= 0) return put;
            if (errno == EAGAIN) return -1;
            if (errno != EINTR) throw closed();
        }
    }

    const int in_, out_;
    const bool in_is_socket_, out_is_socket_;
    buffer buffer_;                    // what was read beyond the last message
    std::shared_ptr<frame> partial_;   // the message that is coming in
};

// ---------------------------------------------------------------------------------------------- messages

/// A received message, with its memory.
struct message {
    enum { request = 0, response = 1, notification = 2 } type = notification;
    std::uint64_t id = 0;
    std::string_view method;
    reader body;             // the list of params; of a response: the error, then the result
    std::size_t cut = 0;     // its length, if it was too long for the memory
    bool is_cancelled = false;

    explicit message(std::shared_ptr<frame> f) : body(std::move(f)) {
        if (body.memory->is_cut()) cut = body.memory->length();
        const token head = body.next();
        const token kind_of = body.next();
        if (head.is != kind::list || kind_of.is != kind::natural || kind_of.natural > notification)
            body.malformed("expected [0, id, method, params], [1, id, error, result] or [2, method, params]");
        if (kind_of.natural == request) type = request;
        if (kind_of.natural == response) type = response;
        if (head.count != (type == notification ? 3 : 4))
            body.malformed("a message of " + std::to_string(head.count) + " elements can't be of type " +
                           std::to_string(type));
        if (type != notification) {
            const token number = body.next();
            if (number.is != kind::natural) body.malformed("expected an id, found " + described(number));
            id = number.natural;
        }
        if (type != response) {
            const token name = body.next();
            if (name.is != kind::string) body.malformed("expected a method, found " + described(name));
            method = name.text();
        }
    }
    message() = default;

    /// How many params follow in `body`.
    std::uint32_t open_params() {
        const token params = body.next();
        if (params.is != kind::list) body.malformed("expected a list of params, found " + described(params));
        return params.count;
    }
    /// All has been read: unless something is borrowed, its memory can go, before user code asks for more.
    void finish() {
        if (body.left() > 0) body.malformed(std::to_string(body.left()) + " bytes follow the last value");
        if (!body.is_lent) body.memory.reset();
    }
    void check_memory() const {
        if (cut > 0)
            throw error("there was not enough memory for a message of " + std::to_string(cut) +
                        " bytes: pass less at once, or give the pool more");
    }
};

[[noreturn]] inline void bad_frame(const char* what) {
    std::fprintf(stderr, "nexus pool %s: bad frame: %s\n", process.pool, what);
    throw closed();
}

/// Where this thread writes its messages. User code never runs between the beginning and the sending of one.
inline writer& scratch() {
    static thread_local writer out;
    return out;
}

inline void begin_request(writer& out, std::uint64_t id, std::string_view method, std::size_t params) {
    out.begin_frame();
    out.list(4), out.natural(message::request), out.natural(id), out.string(method), out.list(params);
}
inline void begin_notification(writer& out, std::string_view method, std::size_t params) {
    out.begin_frame();
    out.list(3), out.natural(message::notification), out.string(method), out.list(params);
}
inline void begin_response(writer& out, std::uint64_t id) {
    out.begin_frame();
    out.list(4), out.natural(message::response), out.natural(id);
}
template <class T>
void write_response(writer& out, std::uint64_t id, const T& result) {
    begin_response(out, id);
    out.nil();
    value<T>::write(out, result);
    out.end_frame();
}

inline const char* runtime_name() {
#ifdef __clang__
    return "clang " __clang_version__;
#else
    return "gcc " __VERSION__;
#endif
}

inline void write_hello(writer& out, const char* key, bool is_worker) {
    begin_notification(out, "hello", 1);
    out.map(6);
    out.string("protocol"), out.natural(protocol);
    out.string("lang"), out.string("cpp");
    out.string("runtime"), out.text(runtime_name());
    out.string("pid"), out.integer(getpid());
    out.string(key);
    if (is_worker) out.boolean(true);
    else out.natural(1);
    // Only a process can be ended alone, or be sent a signal of its own.
    out.string("features"), out.list(process.is_isolated ? 1 : 0);
    if (process.is_isolated) out.string(is_worker ? "retire" : "signal");
    out.end_frame();
}

// ---------------------------------------------------------------------------------------------- functions

class worker;
struct activation;

/// A registered function, or a function value that was given away; its types erased.
struct function {
    std::int64_t mid;
    std::string name;
    const char* file;  // of its registration; null: it is a value
    int line;
    void (*address)();
    std::shared_ptr<const void> value;  // a std::function of type `*type`
    const std::type_info* type;
    void (*run)(const function&, activation&, message&, std::uint32_t count);
    std::string (*signature)();
};

inline std::map<std::int64_t, function> functions;

/// The function values that this process has given away, by mid.
struct closure_table {
    std::mutex lock;
    std::unordered_map<std::int64_t, std::shared_ptr<const function>> by_mid;
    std::int64_t base = 0;  // drawn by chance: a mid of another process is none of this one
    std::atomic<bool> is_unsaid{false};  // nexus does not know yet that this worker has to stay

    std::int64_t add(function f) {
        const std::lock_guard<std::mutex> guard(lock);
        if (by_mid.size() >= closures_max)
            throw error("this worker has given away " + std::to_string(closures_max) +
                        " function values, the limit: they stay as long as it lives; pass on those that you have");
        while (base == 0) {
            std::uint32_t chance = 0;
            if (syscall(SYS_getrandom, &chance, sizeof chance, 0) != sizeof chance)
                chance = static_cast<std::uint32_t>(getpid()) * 2654435761u ^ static_cast<std::uint32_t>(now_ms());
            base = std::int64_t{chance & 0x3fffffff} << 32;
        }
        if (by_mid.empty()) is_unsaid = true;
        f.mid = -(base + static_cast<std::int64_t>(by_mid.size()) + 1);
        by_mid.emplace(f.mid, std::make_shared<const function>(f));
        return f.mid;
    }
    std::shared_ptr<const function> find(std::int64_t mid) {
        const std::lock_guard<std::mutex> guard(lock);
        const auto found = by_mid.find(mid);
        return found != by_mid.end() ? found->second : nullptr;
    }
};
inline closure_table closures;

/// The function of that mid. Throws if there is none.
inline std::shared_ptr<const function> find_function(std::int64_t mid) {
    if (const auto found = functions.find(mid); found != functions.end())
        return {std::shared_ptr<void>(), &found->second};  // lives for ever
    if (auto found = closures.find(mid)) return found;
    if (mid < -(std::int64_t{1} << 32))
        throw error("the function value is no longer there: it lived in a worker that has ended", "terminated");
    throw error("the pool " + std::string(process.pool) + " has no function of mid " + std::to_string(mid), "protocol");
}

/// "mean" of the template argument &mean.
template <auto Function>
std::string name_of() {
    std::string_view text = __PRETTY_FUNCTION__;
    constexpr std::string_view before = "Function = ";
    text.remove_prefix(text.find(before) + before.size());
    text = text.substr(0, text.find_last_of(']'));
    text = text.substr(0, text.find(';'));
    while (!text.empty() && (text.front() == '(' || text.front() == '&' || text.front() == ' ')) text.remove_prefix(1);
    while (!text.empty() && text.back() == ')') text.remove_suffix(1);
    return std::string(text);
}

// ---------------------------------------------------------------------------------------------- worker

/// A request that a worker runs. Threads that work for it share it.
struct activation : std::enable_shared_from_this<activation> {
    activation(std::shared_ptr<worker> w, std::uint64_t request) : owner(std::move(w)), id(request) {}

    const std::shared_ptr<worker> owner;
    const std::uint64_t id;
    std::atomic<bool> is_cancelled{false};

    // Guarded by the owner's lock.
    bool is_ended = false;
    bool is_shared = false;     // other threads may call for it, or it has several calls out at once
    std::size_t open = 0;       // its calls
    struct {
        double done = 0;
        std::optional<double> total;
        std::string label;
        std::int64_t sent_ms = -progress_ms;
        bool is_kept = false;   // not yet sent
        bool is_full = false;
    } progress;
};

/// The call for which this thread works.
inline thread_local activation* current = nullptr;

inline activation& here(const char* doing) {
    if (current == nullptr)
        throw error(std::string(doing) +
                    " in a thread that works for no call: take nexus::caller() in the function that nexus runs, give "
                    "it to the thread, and call through it, or attach it there: nexus::attached on(caller)");
    return *current;
}

/// What is called, and where.
struct target {
    std::string_view name;            // of a pool or command, or of a method of nexus itself
    std::optional<std::int64_t> mid;  // none: a command
    std::optional<std::int64_t> pid;  // of the worker in which a function value lives
    std::string_view bound = {};      // arguments before the others, as msgpack
    std::uint32_t bound_count = 0;
    bool is_host = false;             // a method of nexus itself
};

/// Whether a value of this type shows memory of the message that it doesn't hold.
template <class T>
constexpr bool is_borrowing = std::is_same_v<T, std::string_view>;
#if __cplusplus >= 202002L
template <class T>
constexpr bool is_borrowing<std::span<T>> = true;
#endif

/// One side of a connection: runs what is asked, and asks for what user code calls. Any number of threads may wait on
/// it: one reads and hands the others their answers; a call that comes in is run by one that waits, the home thread first.
class worker : public std::enable_shared_from_this<worker> {
public:
    worker(int in, int out) : channel_(in, out) {}

    /// Serves until the peer closes the connection. The thread that calls this is home. True: nexus has retired it.
    bool serve() {
        home_ = std::this_thread::get_id();
        write_hello(scratch(), "reentrant", true);
        if (send(scratch())) attend(nullptr);
        return is_retired_;
    }

    /// A thread that rests.
    struct waiter {
        std::condition_variable wake;
        bool is_awake = false;
    };

    /// A request of ours that has no answer yet, or whose answer nobody took.
    struct open_call {
        open_call(activation& maker, bool is_async) : call(maker.shared_from_this()) {
            call->owner->enter(*this, is_async);
        }
        open_call(const open_call&) = delete;
        ~open_call() { call->owner->leave(*this); }

        const std::shared_ptr<activation> call;  // which makes it
        std::uint64_t id = 0;
        bool is_plain = false;  // it is made by the innermost call, which waits for it at once
        enum { open, answered, ended, lost } state = open;
        message answer;
        waiter* rests = nullptr;  // who waits for it

        template <class... A>
        void send(const target& to, const A&... args) {
            writer& out = scratch();
            const std::size_t others = to.is_host ? 0 : 1 + (to.mid ? 1 : 0) + to.bound_count;
            begin_request(out, id, to.is_host ? to.name : to.mid ? "call" : "command", others + sizeof...(A));
            if (to.is_host) {
            } else if (is_plain && !to.pid) {
                out.string(to.name);
            } else {
                out.list(to.pid ? 3 : 2), out.string(to.name);
                if (is_plain) out.nil();
                else out.natural(call->id);
                if (to.pid) out.integer(*to.pid);
            }
            if (to.mid) out.integer(*to.mid);
            out.out.append(to.bound.data(), to.bound.size());
            (value<std::decay_t<const A&>>::write(out, args), ...);
            out.end_frame();
            if (!call->owner->send(out)) call->owner->gone();
        }
        bool is_settled() const {
            const std::lock_guard<std::mutex> guard(call->owner->lock_);
            return state != open;
        }
        /// Waits for the result.
        template <class R>
        R take(std::string_view name, std::int64_t mid) {
            call->owner->attend(this);
            if (state == lost) call->owner->gone();
            if (state == ended)
                throw error("the call ended for which this thread works: join it before the function returns");
            answer.check_memory();
            reader& in = answer.body;
            in.about = {"response", {}, 0};
            if (!in.at_nil()) throw read_error(in);
            in.next();
            in.about = {"result", name, mid};
            if constexpr (std::is_void_v<R>) {
                in.skip();
            } else {
                static_assert(!is_borrowing<R>, "nexus: a result must own its memory; take a nexus::span");
                R result{};
                value<R>::read(in, result);
                answer.finish();
                return result;
            }
        }
    };

    template <class R, class... A>
    static R ask(activation& call, const target& to, const A&... args) {
        open_call request(call, false);
        request.send(to, args...);
        return request.take<R>(to.name, to.mid ? *to.mid : 0);
    }

    /// Other threads may now work for the call.
    void share(activation& call) {
        const std::lock_guard<std::mutex> guard(lock_);
        if (call.is_shared || call.is_ended) return;
        call.is_shared = true;
        shared_++;
    }

    /// Takes in what is there.
    void look() {
        std::unique_lock<std::mutex> l(lock_);
        for (int n = 0; n < 16 && !is_reading_ && !is_closed_ && queue_.size() < 1024; n++)
            if (!read(l, [this] { return channel_.receive(false); })) break;
        hand_over();
    }
    /// Whether the call was cancelled, by what has come; looks for more now and then.
    bool is_cancelled(activation& call) {
        const std::int64_t now = now_ms();
        if (!call.is_cancelled && (now >= look_ms_ || process.look_now)) {
            process.look_now = false;
            look_ms_ = now + look_ms;
            look();
        }
        return call.is_cancelled || is_closed_;
    }

    void log(std::string_view level, std::string_view text) {
        writer& out = scratch();
        begin_notification(out, "log", 2);
        out.text(level.substr(0, 40));
        if (text.size() <= log_bytes_max) out.text(text);
        else out.text(std::string(text.substr(0, log_bytes_max)) + " ... (" + std::to_string(text.size()) + " bytes)");
        out.end_frame();
        send(out);
    }

    /// Sends the first note, then some in a second; the last when it is full, or when the call ends.
    void progress(activation& call, double done, std::optional<double> total, std::string_view label) {
        {
            const std::lock_guard<std::mutex> guard(lock_);
            if (call.is_ended) return;
            auto& p = call.progress;
            const bool is_full = total && done >= *total;
            p.done = done, p.total = total, p.label = readable(label.substr(0, 1000));
            p.is_kept = now_ms() < p.sent_ms + progress_ms && (!is_full || p.is_full);
            p.is_full = is_full;
            if (p.is_kept) return;
            p.sent_ms = now_ms();
        }
        send_progress(done, total, label);
    }

    /// After user code: does what it left undone, and answers.
    template <class T>
    void respond(activation& call, const T& result) {
        end(call);
        write_response(scratch(), call.id, result);
        deliver();
    }

private:
    void end(activation& call) {
        {
            const std::lock_guard<std::mutex> guard(lock_);
            if (call.is_ended) return;
            call.is_ended = true;  // from here on no other thread touches it
            active_.erase(std::find(active_.rbegin(), active_.rend(), &call).base() - 1);
            if (call.is_shared) shared_--;
            if (call.open > 0)
                for (const auto& [id, request] : open_)
                    if (request->call.get() == &call) settle(*request, open_call::ended);
        }
        if (call.progress.is_kept) send_progress(call.progress.done, call.progress.total, call.progress.label);
    }

    /// Sends the response, and what was printed before it.
    void deliver() {
        if (__fpending(stdout) > 0) std::fflush(stdout);
        send(scratch());
    }

    // ---- what follows needs the lock

    void enter(open_call& request, bool is_async) {
        const std::lock_guard<std::mutex> guard(lock_);
        if (request.call->is_ended)
            throw error("the call has ended for which this thread works: join it before the function returns");
        if (request.call->is_cancelled) throw Cancelled();
        if (open_.size() >= open_calls_max)
            throw error("a worker can't have more than " + std::to_string(open_calls_max) + " calls open at once");
        if (is_async && !std::exchange(request.call->is_shared, true)) shared_++;
        request.is_plain = shared_ == 0;
        request.id = ++last_id_;
        request.call->open++;
        open_.emplace(request.id, &request);
    }
    void leave(open_call& request) {
        const std::lock_guard<std::mutex> guard(lock_);
        if (open_.erase(request.id) > 0) request.call->open--;
    }
    void settle(open_call& request, decltype(open_call::state) state) {
        if (request.state == open_call::open) request.state = state;
        if (request.rests != nullptr) rouse(*request.rests);
    }

    static void rouse(waiter& w) {
        w.is_awake = true;
        w.wake.notify_one();
    }
    /// To be called by who stops waiting: another one is to read, or to run what has come.
    void hand_over() {
        if (!waiters_.empty() && (!is_reading_ || !queue_.empty() || is_closed_))
            rouse(home_waiter_ != nullptr ? *home_waiter_ : *waiters_.back());
    }

    /// Runs what comes until `mine` is settled; without one, until the connection ends.
    void attend(open_call* mine) {
        std::unique_lock<std::mutex> l(lock_);
        struct departure {
            worker& self;
            ~departure() { self.hand_over(); }
        } guard{*this};
        const bool is_home = std::this_thread::get_id() == home_;
        for (;;) {
            // What came before the answer is run before it is taken, unless another thread can do that.
            if (mine != nullptr && (queue_.empty() || !waiters_.empty() || is_closed_)) {
                if (mine->state != open_call::open) return;
                if (mine->call->is_cancelled) throw Cancelled();
            }
            if (is_closed_ || (mine == nullptr && is_retired_)) return;
            if (!queue_.empty()) {
                if (is_home || home_waiter_ == nullptr) {
                    run_next(l);
                    continue;
                }
                rouse(*home_waiter_);
            }
            if (is_reading_) rest(l, mine, is_home);
            else read(l, [this] { return channel_.receive(true); });
        }
    }

    void rest(std::unique_lock<std::mutex>& l, open_call* mine, bool is_home) {
        waiter self;
        waiters_.push_back(&self);
        if (is_home) home_waiter_ = &self;
        if (mine != nullptr) mine->rests = &self;
        self.wake.wait(l, [&self] { return self.is_awake; });
        if (mine != nullptr) mine->rests = nullptr;
        if (is_home) home_waiter_ = nullptr;
        waiters_.erase(std::find(waiters_.begin(), waiters_.end(), &self));
    }

    /// Reads once, without the lock meanwhile; sorts what has come. False: nothing came.
    template <class Receive>
    bool read(std::unique_lock<std::mutex>& l, Receive receive) {
        is_reading_ = true;
        l.unlock();
        bool has_come = false, is_lost = false;
        try {
            has_come = receive();
        } catch (const closed&) {
            is_lost = true;
        } catch (const std::bad_alloc&) {
            std::fprintf(stderr, "nexus pool %s: there is no memory left to receive a message\n", process.pool);
            is_lost = true;
        }
        l.lock();
        try {
            while (!is_lost && !is_closed_) {
                auto f = channel_.next();
                if (f == nullptr) break;
                sort(message(std::move(f)));
            }
        } catch (const closed&) {
            is_lost = true;
        } catch (const std::exception& e) {
            std::fprintf(stderr, "nexus pool %s: bad frame: %s\n", process.pool, e.what());
            is_lost = true;
        }
        is_reading_ = false;
        if (is_lost) close();
        return has_come;
    }

    void close() {
        if (is_closed_) return;
        is_closed_ = true;
        channel_.shut();
        for (const auto& [id, request] : open_) settle(*request, open_call::lost);
        for (waiter* w : waiters_) rouse(*w);
    }

    void sort(message m) {
        if (m.type == message::request) {
            if (queue_.size() >= open_calls_max) bad_frame("more calls wait than a worker takes");
            queue_.push_back(std::move(m));
        } else if (m.type == message::response) {
            const auto found = open_.find(m.id);
            if (found == open_.end()) return;  // its caller has given up
            open_call& request = *found->second;
            open_.erase(found);
            request.call->open--;
            request.answer = std::move(m);
            settle(request, open_call::answered);
        } else if (m.method == "cancel") {
            std::tuple<std::uint64_t> id;
            value<std::tuple<std::uint64_t>>::read(m.body, id);
            for (activation* a : active_)
                if (a->id == std::get<0>(id)) a->is_cancelled = true;
            for (message& waiting : queue_)
                if (waiting.id == std::get<0>(id)) waiting.is_cancelled = true;
            for (waiter* w : waiters_) rouse(*w);
        } else if (m.method == "retire" && process.is_isolated) {
            is_retired_ = true;
        } else if (m.method == "hello" && process.speaks == transport::stdio) {
            greet(m);
        }
    }

    /// Over stdio, the environment may not have arrived.
    static void greet(message& m) {
        m.open_params();
        read_map(m.body, [&m](std::string_view key, const char*) {
            std::uint64_t spoken = 0;
            std::string name;
            if (key == "protocol") value<std::uint64_t>::read(m.body, spoken), check_protocol(spoken);
            if (key == "pool") value<std::string>::read(m.body, name), process.pool = strdup(name.c_str());
        });
    }

    void run_next(std::unique_lock<std::mutex>& l) {
        message m = std::move(queue_.front());
        queue_.pop_front();
        const auto call = std::make_shared<activation>(shared_from_this(), m.id);
        call->is_cancelled = m.is_cancelled;
        active_.push_back(call.get());
        const std::size_t depth = active_.size();
        hand_over();
        l.unlock();
        perform(m, *call, depth);
        l.lock();
    }

    // ---- what follows does not

    /// Runs one request and answers it. Never throws: if the connection is gone, that is seen by who waits.
    void perform(message& m, activation& call, std::size_t depth) {
        process.running++;
        activation* const outer = std::exchange(current, &call);
        std::shared_ptr<const function> f;
        try {
            m.check_memory();
            if (m.is_cancelled) throw Cancelled();
            if (m.method == "call") {
                const std::uint32_t params = m.open_params();
                if (params == 0) throw error("a call names no mid", "protocol");
                m.body.about = {"mid", {}, 0};
                std::int64_t mid = 0;
                value<std::int64_t>::read(m.body, mid);
                f = find_function(mid);
                if (is_stack_short())
                    throw error("calls are nested too deep: " + std::to_string(depth) +
                                " of them leave too little of this worker's stack; make the recursion end earlier");
                f->run(*f, call, m, params - 1);
            } else if (m.method == "ping") {
                respond(call, nil());
            } else {
                throw error("unknown method " + quoted(m.method) + ": a worker knows call and ping", "protocol");
            }
        } catch (const closed&) {
            end(call);
        } catch (...) {
            const error e = caught();
            end(call);
            fail(m.id, f.get(), e);
            deliver();
        }
        current = outer;
        if (--process.running == 0 && process.stopping) exit_now();
    }

    static void fail(std::uint64_t id, const function* f, const error& e) {
        writer& out = scratch();
        begin_response(out, id);
        const bool local = !e.remote;
        out.map(3 + (local ? 2u + (f != nullptr ? 1u : 0u) : e.details_count));
        out.string("kind"), out.text(e.kind);
        out.string("message");
        if (!local || e.message.size() <= message_bytes_max) out.text(e.message);
        else out.text(e.message.substr(0, message_bytes_max) + "...");
        if (local) {
            if (f != nullptr) out.string("function"), out.text(f->name);
            out.string("pool"), out.text(process.pool);
            out.string("pid"), out.integer(getpid());
        } else {
            out.out.append(e.details.data(), e.details.size());
        }
        const bool add_own = f != nullptr && e.trace.size() < trace_entries_max;
        out.string("trace"), out.list(e.trace.size() + (add_own ? 1 : 0));
        for (const trace_entry& t : e.trace) write_entry(out, t.lang, t.function, t.file, t.line);
        if (add_own) write_entry(out, "cpp", f->name, f->file != nullptr ? f->file : "", f->line);
        out.nil();
        out.end_frame();
    }
    static void write_entry(writer& out, std::string_view lang, std::string_view function, std::string_view file,
                            std::int64_t line) {
        out.map(4);
        out.string("lang"), out.text(lang);
        out.string("function"), out.text(function);
        out.string("file"), out.text(file);
        out.string("line"), out.integer(line);
    }

    void send_progress(double done, std::optional<double> total, std::string_view label) {
        writer& out = scratch();
        begin_notification(out, "progress", 3);
        out.real(done);
        value<std::optional<double>>::write(out, total);
        out.text(label.substr(0, 1000));
        out.end_frame();
        send(out);
    }

    /// Sends the frame in `out`. False: the connection is gone.
    bool send(writer& out) {
        const std::lock_guard<std::mutex> guard(sending_);
        bool is_sent = !is_closed_;
        try {
            if (closures.is_unsaid.exchange(false)) {
                writer holds;
                begin_notification(holds, "holds", 1);
                holds.integer(1);
                holds.end_frame();
                if (is_sent) channel_.send(holds, [this] { make_way(); });
            }
            if (is_sent) channel_.send(out, [this] { make_way(); });
        } catch (const closed&) {
            is_sent = false;
        }
        out.clear();
        out.out.trim();
        return is_sent;
    }

    /// The peer takes nothing: what it sends must be taken, by this thread if no other reads.
    void make_way() {
        std::unique_lock<std::mutex> l(lock_);
        if (is_closed_) throw closed();
        if (is_reading_) {
            l.unlock();
            channel_.wait(false, true, look_ms);  // not for long: the other may stop reading
        } else {
            read(l, [this] { return channel_.wait(true, true, -1) && channel_.receive(false); });
            hand_over();
        }
    }

    /// The connection ended under a call.
    [[noreturn]] void gone() const {
        if (std::this_thread::get_id() == home_) throw closed();
        throw error("the connection with nexus has ended", "io");
    }

    channel channel_;
    std::thread::id home_;
    std::atomic<std::int64_t> look_ms_{0};  // when to look for a cancel next
    std::mutex sending_;                    // held for a whole frame; taken before the lock, never after it
    std::mutex lock_;
    std::atomic<bool> is_closed_{false};
    bool is_reading_ = false;               // a thread receives from the channel
    bool is_retired_ = false;
    std::vector<waiter*> waiters_;          // threads that rest
    waiter* home_waiter_ = nullptr;
    std::deque<message> queue_;             // requests that came and are not yet run
    std::vector<activation*> active_;       // requests that run, the innermost last
    std::size_t shared_ = 0;                // how many of them are
    std::unordered_map<std::uint64_t, open_call*> open_;
    std::uint64_t last_id_ = 0;
};

/// Reads `count` arguments, calls, responds.
template <class R, class... A, class Callable, std::size_t... I>
void run(const Callable& callable, const function& f, activation& call, message& m, std::uint32_t count,
         std::index_sequence<I...>) {
    reader& in = m.body;
    in.about = {"argument", f.name, 0};
    if (count != sizeof...(A))
        throw error(f.name + " takes " + std::to_string(sizeof...(A)) + " arguments, found " + std::to_string(count));
    std::tuple<std::decay_t<A>...> args;
    ((in.about.number = I + 1, value<std::decay_t<A>>::read(in, std::get<I>(args))), ...);
    m.finish();
    if constexpr (std::is_void_v<R>) {
        callable(static_cast<A&&>(std::get<I>(args))...);
        call.owner->respond(call, nil());
    } else {
        const std::decay_t<R> result = callable(static_cast<A&&>(std::get<I>(args))...);
        call.owner->respond(call, result);
    }
}

template <class R>
using result_of = std::conditional_t<std::is_void_v<R>, nil, std::decay_t<R>>;

template <class R, class... A>
void register_function(std::int64_t mid, std::string name, R (*f)(A...), const char* file, int line) {
    function entry{mid, std::move(name), file, line, reinterpret_cast<void (*)()>(f), nullptr, nullptr,
                   [](const function& self, activation& call, message& m, std::uint32_t count) {
                       run<R, A...>(reinterpret_cast<R (*)(A...)>(self.address), self, call, m, count,
                                    std::index_sequence_for<A...>());
                   },
                   [] { return schema_of<std::tuple<std::decay_t<A>...>>() + " -> " + schema_of<result_of<R>>(); }};
    if (!functions.emplace(mid, std::move(entry)).second)
        throw error("two functions have the mid " + std::to_string(mid));
}

// ---------------------------------------------------------------------------------------------- function values

/// What a std::function holds whose function lives elsewhere.
template <class R, class... A>
struct remote_function {
    struct place {
        std::string pool, bound, wire;  // `wire`: the value as it came, to be passed on
        std::optional<std::int64_t> pid;
        std::int64_t mid = 0;
        std::uint32_t bound_count = 0;
    };
    std::shared_ptr<const place> at;

    R operator()(A... args) const {
        return worker::ask<R>(here("a function value was called"),
                              {at->pool, at->mid, at->pid, at->bound, at->bound_count}, args...);
    }
};

/// What one holds that came home.
template <class R, class... A>
struct own_function {
    std::shared_ptr<const function> entry;

    R operator()(A... args) const {
        return (*static_cast<const std::function<R(A...)>*>(entry->value.get()))(std::forward<A>(args)...);
    }
};

template <class R, class... A>
struct value<std::function<R(A...)>> {
    using callable = std::function<R(A...)>;

    static void schema(schema_text& s) {
        s.text += '\\';
        value<std::tuple<std::decay_t<A>...>>::schema(s);
        value<result_of<R>>::schema(s);
    }
    static void write(writer& out, const callable& f) {
        if (!f) throw error("an empty std::function can't be given away");
        if (const auto* remote = f.template target<remote_function<R, A...>>())
            return out.extension(function_tag, remote->at->wire.data(), remote->at->wire.size());
        std::int64_t mid = 0;
        bool is_registered = false;
        if (const auto* own = f.template target<own_function<R, A...>>()) {
            mid = own->entry->mid;
        } else if (auto* const* plain = f.template target<R (*)(A...)>()) {
            for (const auto& [number, entry] : functions)
                if (entry.address == reinterpret_cast<void (*)()>(*plain)) is_registered = true, mid = number;
        }
        if (mid == 0 && !is_registered) mid = keep(f);
        writer data;
        data.list(3);
        data.text(process.pool);
        if (is_registered) data.nil();
        else data.integer(getpid());
        data.integer(mid);
        out.extension(function_tag, data.out.data(), data.out.size());
    }
    static void read(reader& in, callable& f) {
        const token t = in.next();
        if (t.is != kind::extension || t.tag != function_tag) in.mismatch(schema_of<callable>(), t);
        reader data(t.data, t.count);
        data.about = {"function value", {}, 0};
        using place_type = typename remote_function<R, A...>::place;
        place_type place;
        const token head = data.next();
        if (head.is != kind::list || head.count < 3) data.mismatch("(s,?i8,i8,...)", head);
        value<std::string>::read(data, place.pool);
        value<std::optional<std::int64_t>>::read(data, place.pid);
        value<std::int64_t>::read(data, place.mid);
        place.bound_count = head.count - 3;
        place.bound.assign(data.at(), data.left());
        for (std::uint32_t i = 0; i < place.bound_count; i++) data.skip();
        if (data.left() > 0) data.malformed("bytes follow the last value");
        if (place.pool == process.pool && place.pid == getpid() && place.bound_count == 0) {
            const auto entry = find_function(place.mid);
            if (entry->value != nullptr && *entry->type == typeid(callable)) {
                f = own_function<R, A...>{entry};
                return;
            }
        }
        place.wire.assign(t.data, t.count);
        f = remote_function<R, A...>{std::make_shared<const place_type>(std::move(place))};
    }

private:
    static std::int64_t keep(const callable& f) {
        return closures.add({0, "a function value", nullptr, 0, nullptr, std::make_shared<const callable>(f),
                             &typeid(callable),
                             [](const function& self, activation& call, message& m, std::uint32_t count) {
                                 run<R, A...>(*static_cast<const callable*>(self.value.get()), self, call, m, count,
                                              std::index_sequence_for<A...>());
                             },
                             [] { return schema_of<callable>(); }});
    }
};
template <class R, class... A>
struct value<R (*)(A...)> {  // only out
    static void write(writer& out, R (*f)(A...)) { value<std::function<R(A...)>>::write(out, f); }
};

// ---------------------------------------------------------------------------------------------- worker processes

/// Nexus is asked for something.
template <class R = void, class... A>
R ask_host(std::string_view method, const A&... params) {
    return worker::ask<R>(here("nexus::worker"), {method, {}, {}, {}, 0, true}, params...);
}

template <>
struct value<std::chrono::milliseconds> {  // only out
    static void write(writer& out, std::chrono::milliseconds time) { out.integer(time.count()); }
};

/// What is to run, and how.
struct launch {
    const std::vector<std::string>* argv;  // null: a command
    std::string_view command;
    const run_options& options;
};
template <>
struct value<launch> {
    static void write(writer& out, const launch& l) {
        writer map;
        std::size_t count = 0;
        const auto put = [&](std::string_view key, const auto& v) {
            map.string(key), count++;
            value<std::decay_t<decltype(v)>>::write(map, v);
        };
        const run_options& o = l.options;
        if (l.argv != nullptr) put("argv", *l.argv);
        else put("command", l.command);
        if (o.timeout) put("timeout_ms", *o.timeout);
        if (o.cwd) put("cwd", *o.cwd);
        if (o.input) put("stdin", *o.input);
        if (o.output) put("stdout", *o.output);
        if (o.errors) put("stderr", *o.errors);
        if (o.detach) put("detach", true);
        if (o.whole) put("framing", "whole");
        if (!o.env.empty()) {
            map.string("env"), count++;
            map.map(o.env.size());
            for (const auto& [name, text] : o.env) map.string(name), map.string(text);
        }
        out.map(count);
        out.out.append(map.out.data(), map.out.size());
    }
};

/// A message to a worker: the arguments of a command, or one text.
template <class... A>
struct outgoing {
    bool is_command;
    std::tuple<const A&...> parts;
};
template <class... A>
struct value<outgoing<A...>> {
    static void write(writer& out, const outgoing<A...>& message) {
        if (message.is_command) {
            out.list(sizeof...(A));
            std::apply([&out](const A&... part) { (value<std::decay_t<const A&>>::write(out, part), ...); }, message.parts);
        } else if constexpr ((sizeof...(A) == 1) && (std::is_convertible_v<const A&, std::string_view> && ...)) {
            const std::string_view text = std::get<0>(message.parts);
            out.binary(text.data(), text.size());
        } else if constexpr (std::is_same_v<std::tuple<A...>, std::tuple<bytes>>) {
            value<bytes>::write(out, std::get<0>(message.parts));
        } else {
            throw error("a program takes one message at a time, a text or nexus::bytes");
        }
    }
};

/// What a worker said: raw bytes of a program; of a command, its error and its result. Nothing at the end.
template <class T>
struct incoming {
    std::optional<T> message;
};
template <class T>
struct value<incoming<T>> {
    static void schema(schema_text& s) { value<std::vector<T>>::schema(s); }
    static void read(reader& in, incoming<T>& out) {
        const token list = in.next();
        if (list.is != kind::list || list.count > 1) in.mismatch("no or one message", list);
        if (list.count == 0) return;
        T& found = out.message.emplace();
        reader ahead = in;
        const token head = ahead.next();
        if (head.is == kind::list) {
            in.next();
            if (!in.at_nil()) throw read_error(in);
            in.next();
            value<T>::read(in, found);
        } else if constexpr (std::is_same_v<T, std::string> || std::is_same_v<T, bytes>) {
            if (head.is != kind::binary) in.mismatch("raw bytes", head);
            in.next();
            found.assign(head.data, head.data + head.count);
        } else {
            in.mismatch(schema_of<T>(), head);
        }
    }
};

struct worker_status {
    bool is_alive = false;
    std::optional<std::int64_t> code;  // 128 and the signal's number if one ended it
};
template <>
struct value<worker_status> {
    static void read(reader& in, worker_status& status) {
        read_map(in, [&](std::string_view key, const char*) {
            if (key == "alive") value<bool>::read(in, status.is_alive);
            if (key == "exit_code") value<std::optional<std::int64_t>>::read(in, status.code);
            if (key != "signal" || in.at_nil()) return;
            value<std::int64_t>::read(in, status.code.emplace());
            *status.code += 128;
        });
    }
};

// ---------------------------------------------------------------------------------------------- serving

/// A thread that serves one connection after the other.
inline void* serve_connections(void*) {
    for (;;) {
        const int fd = accept4(process.listen_fd, nullptr, nullptr, SOCK_CLOEXEC);
        if (fd >= 0) {
            if (std::make_shared<worker>(fd, fd)->serve()) exit_now();
        } else if (errno == EAGAIN) {
            pollfd p = {process.listen_fd, POLLIN, 0};
            poll(&p, 1, -1);
        } else if (errno == EINVAL) {  // the parent has shut the listening socket down
            if (process.is_isolated) exit_now();
            return nullptr;
        } else if (errno != EINTR && errno != ECONNABORTED) {
            die("accept");
        }
    }
}

/// A thread that serves the only connection of this process.
inline void* serve_alone(void*) {
    std::make_shared<worker>(process.in_fd, process.out_fd)->serve();
    if (getpgrp() == getpid()) {  // what user code has started ends with it
        std::signal(SIGTERM, SIG_IGN);
        kill(0, SIGTERM);
    }
    exit_now();
}

/// This process is one worker, served by a thread with a large stack. The first thread notices when nexus closes the
/// connection while user code runs.
[[noreturn]] inline void be_worker(void* (*body)(void*), int watched_fd) {
    constexpr int grace_ms = 100;
    if (!start_thread(body)) body(nullptr);
    sigset_t interrupt;
    sigemptyset(&interrupt);
    sigaddset(&interrupt, SIGINT);
    pthread_sigmask(SIG_BLOCK, &interrupt, nullptr);  // it is for the thread that serves: it wakes what sleeps there
    pollfd p = {watched_fd, POLLRDHUP, 0};
    while (watched_fd < 0 || poll(&p, 1, -1) <= 0)
        if (watched_fd < 0) pause();
    for (;;) {
        poll(nullptr, 0, grace_ms);
        if (process.running > 0) orphaned();
    }
}

/// The parent of a unix pool: starts workers, waits for the end.
class control {
public:
    explicit control(int fd) : channel_(fd, fd) {}

    [[noreturn]] void serve() {
        if (process.is_isolated) {
            sigset_t dead;
            sigemptyset(&dead);
            sigaddset(&dead, SIGCHLD);
            on_signal(SIGCHLD, [](int) {});
            sigprocmask(SIG_BLOCK, &dead, &usual_);
        }
        fcntl(process.listen_fd, F_SETFL, fcntl(process.listen_fd, F_GETFL) & ~O_NONBLOCK);
        try {
            if (!start_worker()) die("start a worker");
            write_hello(out_, "workers", false);
            send();
            for (;;) handle(next());
        } catch (const closed&) {
            orphaned();
        } catch (const std::exception& e) {
            std::fprintf(stderr, "nexus pool %s: bad frame: %s\n", process.pool, e.what());
            orphaned();
        }
    }

private:
    void send() {
        channel_.send(out_, [this] { channel_.wait(false, true, -1); });
    }

    /// The next message; meanwhile deaths are reported.
    message next() {
        for (;;) {
            if (auto f = channel_.next()) return message(std::move(f));
            if (process.is_isolated) {
                reap();
                pollfd p = {channel_.descriptor(), POLLIN, 0};
                if (ppoll(&p, 1, nullptr, &usual_) <= 0) continue;
            }
            channel_.receive(true);
        }
    }

    void reap() {
        for (std::size_t i = 0; i < pids_.size();) {
            int status = 0;
            if (waitpid(pids_[i], &status, WNOHANG) == 0) {
                i++;
                continue;
            }
            const bool is_killed = WIFSIGNALED(status);
            begin_notification(out_, "worker_exit", 1);
            out_.map(2);
            out_.string("pid"), out_.integer(pids_[i]);
            out_.string(is_killed ? "signal" : "exit_code");
            out_.integer(is_killed ? WTERMSIG(status) : WEXITSTATUS(status));
            out_.end_frame();
            pids_.erase(pids_.begin() + static_cast<std::ptrdiff_t>(i));
            send();
        }
    }

    std::size_t workers() const { return process.is_isolated ? pids_.size() : threads_; }

    bool start_worker() {
        if (!process.is_isolated) {
            if (!start_thread(serve_connections)) return false;
            threads_++;
            return true;
        }
        std::fflush(nullptr);
        const pid_t pid = fork();
        if (pid > 0) pids_.push_back(pid);
        if (pid != 0) return pid > 0;
        close(channel_.descriptor());
        std::signal(SIGCHLD, SIG_DFL);
        sigprocmask(SIG_SETMASK, &usual_, nullptr);
        be_worker(serve_connections, -1);
    }

    void handle(message m) {
        if (m.type == message::request) return answer(m);
        if (m.type != message::notification) return;
        if (m.method == "signal" && process.is_isolated) {
            std::tuple<std::int64_t, std::int64_t> what;
            value<decltype(what)>::read(m.body, what);
            const auto [pid, number] = what;
            if (number != SIGINT && number != SIGTERM && number != SIGKILL) return;
            for (const pid_t own : pids_)  // not yet reaped: the number is nobody else's
                if (own == pid) kill(own, static_cast<int>(number));
        } else if (m.method == "shutdown") {
            process.stopping = true;
            if (process.is_isolated) {
                shutdown(process.listen_fd, SHUT_RDWR);  // wakes those that wait for a connection
                for (const pid_t pid : pids_) waitpid(pid, nullptr, 0);
            }
            if (process.running == 0) exit_now();
        }
    }

    void answer(message& m) {
        try {
            if (m.method == "grow") {
                if (m.open_params() != 1) throw error("grow takes one number of workers");
                m.body.about = {"argument", "grow", 1};
                std::uint64_t n = 0;
                value<std::uint64_t>::read(m.body, n);
                if (n > workers_max - workers())
                    throw error("grow by " + std::to_string(n) + " would pass the limit of " +
                                std::to_string(workers_max) + " workers");
                while (n > 0 && start_worker()) n--;
                write_response(out_, m.id, static_cast<std::uint64_t>(workers()));
            } else if (m.method == "ping") {
                write_response(out_, m.id, nil());
            } else {
                throw error("unknown method " + quoted(m.method) + ": a pool knows grow and ping", "protocol");
            }
        } catch (const error& e) {
            begin_response(out_, m.id);
            out_.map(2);
            out_.string("kind"), out_.text(e.kind);
            out_.string("message"), out_.text(e.message);
            out_.nil();
            out_.end_frame();
        }
        send();
    }

    channel channel_;
    writer out_;
    sigset_t usual_ = {};
    std::size_t threads_ = 0;
    std::vector<pid_t> pids_;  // of workers that are processes
};

}  // namespace detail

// ---------------------------------------------------------------------------------------------- the interface

/// Registers a function under `mid`. Its types are those of its signature. Throws if the mid is taken.
template <auto Function>
void add(std::int64_t mid, const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
    detail::register_function(mid, detail::name_of<Function>(), Function, file, line);
}

/// Where a function is written, if that is not where it is registered: for errors.
struct place {
    const char* name;
    const char* file;
    int line;
};
/// The same: nexus::add<&mean>(1, {"mean", "stats.cpp", 12}).
template <auto Function>
void add(std::int64_t mid, const place& at) {
    detail::register_function(mid, at.name, Function, at.file, at.line);
}

/// The same, under a name for errors. `f`: a function or a lambda that captures nothing.
template <class F>
void add(std::int64_t mid, std::string name, F f, const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
    detail::register_function(mid, std::move(name), +f, file, line);
}

/// Calls function `mid` of another pool. Throws nexus::error.
template <class R = void, class... A>
R call(std::string_view pool, std::int64_t mid, const A&... args) {
    return detail::worker::ask<R>(detail::here("nexus::call"), {pool, mid, {}}, args...);
}

/// Runs a command of the program. Throws nexus::error.
template <class R = void, class... A>
R command(std::string_view name, const A&... args) {
    return detail::worker::ask<R>(detail::here("nexus::command"), {name, {}, {}}, args...);
}

/// The result of a call that is under way. A Future that is let go of lets its result go.
template <class R>
class Future {
public:
    /// Waits for the result; once. Throws what nexus::call would.
    R get() {
        if (state_ == nullptr) throw error("a nexus::Future gives its result only once");
        const auto state = std::move(state_);
        return state->request.template take<R>(state->pool, state->mid);
    }
    /// Whether get would return, or throw, at once.
    bool ready() const {
        if (state_ == nullptr) return false;
        if (!state_->request.is_settled()) state_->request.call->owner->look();
        return state_->request.is_settled() || state_->request.call->is_cancelled;
    }

private:
    template <class T, class... A>
    friend Future<T> call_async(std::string_view pool, std::int64_t mid, const A&... args);
    struct state {
        std::string pool;
        std::int64_t mid;
        detail::worker::open_call request;
        state(std::string_view p, std::int64_t m, detail::activation& call) : pool(p), mid(m), request(call, true) {}
    };
    std::unique_ptr<state> state_;
};

/// Like call, but returns at once. Any number may be under way; nexus runs them side by side as far as it has workers.
template <class R = void, class... A>
Future<R> call_async(std::string_view pool, std::int64_t mid, const A&... args) {
    Future<R> future;
    future.state_ =
        std::make_unique<typename Future<R>::state>(pool, mid, detail::here("nexus::call_async"));
    future.state_->request.send({pool, mid, {}}, args...);
    return future;
}

/// A program or command that runs in a process of its own. Copies are the same process. Any thread that works for a call
/// may use it. Its methods throw nexus::error: of kind "timeout" if a wait ends, "terminated" if the process has died.
class worker {
public:
    /// What run and run_command give.
    explicit worker(const detail::launch& what) : is_command_(what.argv == nullptr) {
        std::tie(handle_, pid_) = detail::ask_host<std::tuple<std::uint64_t, std::int64_t>>(
            "run", what, detail::here("nexus::run").id);
    }
    /// A line to a program (a text or nexus::bytes), or the arguments of a command. Throws "io" if a thousand wait already.
    template <class... A>
    void send(const A&... message) const {
        detail::ask_host("send", handle_, detail::outgoing<A...>{is_command_, {message...}});
    }
    /// The next message, std::string or nexus::bytes from a program, the result of a command. Nothing when there are no more.
    template <class T = std::string>
    std::optional<T> receive(wait_limit timeout = {}) const {
        return detail::ask_host<detail::incoming<T>>("receive", handle_, timeout).message;
    }
    /// Sends, and receives one message. Throws "io" if none will come.
    template <class R = std::string, class... A>
    R call(const A&... message) const {
        send(message...);
        auto found = receive<detail::result_of<R>>();
        if (!found) throw error("the output of the worker process " + std::to_string(pid_) + " has ended", "io");
        if constexpr (!std::is_void_v<R>) return std::move(*found);
    }
    /// Its input ends. It may have been closed before.
    void close() const { detail::ask_host("close", handle_); }
    void kill(int signal = SIGKILL) const { detail::ask_host("kill", handle_, signal); }
    /// Its exit code, once it has ended; 128 and the signal's number if one ended it.
    int wait(wait_limit timeout = {}) const {
        const auto status = detail::ask_host<detail::worker_status>("wait", handle_, timeout);
        return static_cast<int>(status.code.value_or(0));
    }
    bool alive() const { return status().is_alive; }
    std::int64_t pid() const { return pid_; }
    /// Nothing while it runs.
    std::optional<int> exit_code() const { return status().code; }

private:
    friend struct detail::value<worker>;
    detail::worker_status status() const { return detail::ask_host<detail::worker_status>("status", handle_); }

    bool is_command_;
    std::uint64_t handle_ = 0;
    std::int64_t pid_ = 0;
};
template <>
struct detail::value<worker> {  // only out
    static void write(writer& out, const nexus::worker& w) { out.natural(w.handle_); }
};

/// Starts a program, by its path or name and its arguments; never a shell. Its messages are lines.
inline worker run(const std::vector<std::string>& argv, const run_options& options = {}) {
    return worker({&argv, {}, options});
}
/// Starts a process that runs a command of this program again and again: a message to it is the arguments, one from it the
/// result.
inline worker run_command(const std::string& name, const run_options& options = {}) {
    return worker({nullptr, name, options});
}

/// The position of the first of these that has a message, and the message; nothing if there are no more.
template <class T = std::string>
std::pair<std::size_t, std::optional<T>> select(const std::vector<worker>& workers, wait_limit timeout = {}) {
    auto found = detail::ask_host<std::pair<std::uint64_t, detail::incoming<T>>>("select", workers, timeout);
    return {found.first, std::move(found.second.message)};
}

/// Whether the running call was cancelled. Cheap: ask as often as you like.
inline bool cancelled() {
    return detail::current != nullptr && detail::current->owner->is_cancelled(*detail::current);
}

/// Throws nexus::Cancelled if the running call was cancelled.
inline void check() {
    if (cancelled()) throw Cancelled();
}

/// A line for the log of nexus, or for stderr where no function runs. `level`: "debug", "info", "warn" or "error".
inline void log(std::string_view level, std::string_view text) {
    if (detail::current != nullptr) return detail::current->owner->log(level, text);
    std::fprintf(stderr, "%s: %s\n", detail::readable(level).c_str(), detail::readable(text).c_str());
}

/// How much of the running function is done; no total: it is not known. Call it as often as you like.
inline void progress(double done, std::optional<double> total = {}, std::string_view label = {}) {
    if (detail::current != nullptr) detail::current->owner->progress(*detail::current, done, total, label);
}

/// The call that this thread works for: to be taken in the function that nexus runs, and given to other threads, which
/// call through it. Copies are equal. Useless once the function has returned: calls then throw.
class caller {
public:
    caller() : call_(detail::here("nexus::caller").shared_from_this()) { call_->owner->share(*call_); }

    template <class R = void, class... A>
    R call(std::string_view pool, std::int64_t mid, const A&... args) const {
        return detail::worker::ask<R>(*call_, {pool, mid, {}}, args...);
    }
    template <class R = void, class... A>
    R command(std::string_view name, const A&... args) const {
        return detail::worker::ask<R>(*call_, {name, {}, {}}, args...);
    }
    bool cancelled() const { return call_->owner->is_cancelled(*call_); }
    void log(std::string_view level, std::string_view text) const { call_->owner->log(level, text); }
    void progress(double done, std::optional<double> total = {}, std::string_view label = {}) const {
        call_->owner->progress(*call_, done, total, label);
    }

private:
    friend class attached;
    std::shared_ptr<detail::activation> call_;
};

/// While it lives, this thread works for the caller's call: all of nexus:: and function values can be used in it.
class attached {
public:
    explicit attached(const caller& c) : call_(c.call_), outer_(std::exchange(detail::current, call_.get())) {}
    attached(const attached&) = delete;
    attached& operator=(const attached&) = delete;
    ~attached() { detail::current = outer_; }

private:
    const std::shared_ptr<detail::activation> call_;
    detail::activation* const outer_;
};

/// Serves the registered functions until nexus ends the pool. Returns only if nexus did not start this process.
inline int serve() {
    // A mark by which the program is known as a pool before main.
    asm volatile(
        ".ifndef nexus_serves\n.weak nexus_serves\n.pushsection .data\nnexus_serves: .long 1\n.popsection\n.endif");
    using namespace detail;
    prepare();
    if (process.speaks == transport::unix_socket) control(process.control_fd).serve();
    if (process.speaks != transport::none) be_worker(serve_alone, process.in_fd);
    std::fprintf(stderr, "this is a pool of a nexus program: run the program, not the pool. It has the functions\n");
    for (const auto& [mid, f] : functions)
        std::fprintf(stderr, "%6lld  %s %s\n", static_cast<long long>(mid), f.name.c_str(), f.signature().c_str());
    return 1;
}

}  // namespace nexus

// ---------------------------------------------------------------------------------------------- NEXUS_RECORD

/// Describes a struct of at most 32 public fields: NEXUS_RECORD(Point, x, y), in the namespace of the struct.
#define NEXUS_RECORD(Type, ...)                                                            \
    constexpr auto nexus_record(const Type*) {                                             \
        return ::nexus::detail::make_record(#Type, NEXUS_FIELDS(Type, __VA_ARGS__));       \
    }

// clang-format off
#define NEXUS_FIELDS(T, ...) NEXUS_PICK(__VA_ARGS__, 32, 31, 30, 29, 28, 27, 26, 25, 24, 23, 22, 21, 20, 19, 18, 17, \
                                        16, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0)(T, __VA_ARGS__)
#define NEXUS_PICK(f1, f2, f3, f4, f5, f6, f7, f8, f9, f10, f11, f12, f13, f14, f15, f16, f17, f18, f19, f20, f21, \
                   f22, f23, f24, f25, f26, f27, f28, f29, f30, f31, f32, count, ...) NEXUS_F##count
#define NEXUS_F1(T, x) ::nexus::detail::make_field(#x, &T::x)
#define NEXUS_F2(T, x, ...) NEXUS_F1(T, x), NEXUS_F1(T, __VA_ARGS__)
#define NEXUS_F3(T, x, ...) NEXUS_F1(T, x), NEXUS_F2(T, __VA_ARGS__)
#define NEXUS_F4(T, x, ...) NEXUS_F1(T, x), NEXUS_F3(T, __VA_ARGS__)
#define NEXUS_F5(T, x, ...) NEXUS_F1(T, x), NEXUS_F4(T, __VA_ARGS__)
#define NEXUS_F6(T, x, ...) NEXUS_F1(T, x), NEXUS_F5(T, __VA_ARGS__)
#define NEXUS_F7(T, x, ...) NEXUS_F1(T, x), NEXUS_F6(T, __VA_ARGS__)
#define NEXUS_F8(T, x, ...) NEXUS_F1(T, x), NEXUS_F7(T, __VA_ARGS__)
#define NEXUS_F9(T, x, ...) NEXUS_F1(T, x), NEXUS_F8(T, __VA_ARGS__)
#define NEXUS_F10(T, x, ...) NEXUS_F1(T, x), NEXUS_F9(T, __VA_ARGS__)
#define NEXUS_F11(T, x, ...) NEXUS_F1(T, x), NEXUS_F10(T, __VA_ARGS__)
#define NEXUS_F12(T, x, ...) NEXUS_F1(T, x), NEXUS_F11(T, __VA_ARGS__)
#define NEXUS_F13(T, x, ...) NEXUS_F1(T, x), NEXUS_F12(T, __VA_ARGS__)
#define NEXUS_F14(T, x, ...) NEXUS_F1(T, x), NEXUS_F13(T, __VA_ARGS__)
#define NEXUS_F15(T, x, ...) NEXUS_F1(T, x), NEXUS_F14(T, __VA_ARGS__)
#define NEXUS_F16(T, x, ...) NEXUS_F1(T, x), NEXUS_F15(T, __VA_ARGS__)
#define NEXUS_F17(T, x, ...) NEXUS_F1(T, x), NEXUS_F16(T, __VA_ARGS__)
#define NEXUS_F18(T, x, ...) NEXUS_F1(T, x), NEXUS_F17(T, __VA_ARGS__)
#define NEXUS_F19(T, x, ...) NEXUS_F1(T, x), NEXUS_F18(T, __VA_ARGS__)
#define NEXUS_F20(T, x, ...) NEXUS_F1(T, x), NEXUS_F19(T, __VA_ARGS__)
#define NEXUS_F21(T, x, ...) NEXUS_F1(T, x), NEXUS_F20(T, __VA_ARGS__)
#define NEXUS_F22(T, x, ...) NEXUS_F1(T, x), NEXUS_F21(T, __VA_ARGS__)
#define NEXUS_F23(T, x, ...) NEXUS_F1(T, x), NEXUS_F22(T, __VA_ARGS__)
#define NEXUS_F24(T, x, ...) NEXUS_F1(T, x), NEXUS_F23(T, __VA_ARGS__)
#define NEXUS_F25(T, x, ...) NEXUS_F1(T, x), NEXUS_F24(T, __VA_ARGS__)
#define NEXUS_F26(T, x, ...) NEXUS_F1(T, x), NEXUS_F25(T, __VA_ARGS__)
#define NEXUS_F27(T, x, ...) NEXUS_F1(T, x), NEXUS_F26(T, __VA_ARGS__)
#define NEXUS_F28(T, x, ...) NEXUS_F1(T, x), NEXUS_F27(T, __VA_ARGS__)
#define NEXUS_F29(T, x, ...) NEXUS_F1(T, x), NEXUS_F28(T, __VA_ARGS__)
#define NEXUS_F30(T, x, ...) NEXUS_F1(T, x), NEXUS_F29(T, __VA_ARGS__)
#define NEXUS_F31(T, x, ...) NEXUS_F1(T, x), NEXUS_F30(T, __VA_ARGS__)
#define NEXUS_F32(T, x, ...) NEXUS_F1(T, x), NEXUS_F31(T, __VA_ARGS__)
// clang-format on

#endif  // NEXUS_HPP
