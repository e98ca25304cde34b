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
// Started by hand, a pool lists its functions and their types.
//
// Types      | bool, integers, float, double, std::string | b i1..i8 u1..u8 f4 f8 s
//            | nexus::bytes, nexus::nil or void           | y z
//            | std::optional<T>                           | ?T
//            | std::vector<T>, std::array<T, N>           | [T]
//            | std::pair, std::tuple                      | (T,U,...)
//            | a struct described by NEXUS_RECORD         | {x:f8,y:f8}
//            Argument types must be default-constructible; arguments are taken by value or by reference.
// Errors     | An exception ends its call, not the pool. A failed foreign call throws nexus::error, which
//            | carries the remote kind, message and trace; if it passes, the user sees one stack.
// Threads    | Each worker is a thread that serves one connection: user code must be safe to run in several
//            | threads at once. Make a foreign call from the thread that runs the function. While that thread
//            | waits, it runs requests that come back, nested on its stack: don't hold a lock across a call.
// Prints     | stdout is line buffered and goes to nexus, never into the result.
// The end    | On shutdown stdio is flushed and the process exits at once: no destructor of a static object runs.
//            | When nexus dies, the runtime removes NEXUS_DIR and kills its process group.
//
// It does not read the manifest, check a schema it was not compiled for, or speak to other pools but through nexus.

#ifndef NEXUS_HPP
#define NEXUS_HPP

#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <limits>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <typeinfo>
#include <utility>
#include <vector>

#include <cxxabi.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio_ext.h>
#include <sys/socket.h>
#include <sys/syscall.h>
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

/// One function on the stack of an error, in whatever language.
struct trace_entry {
    std::string lang, function, file;
    std::int64_t line = 0;
};

/// A failed call: thrown by nexus::call and nexus::command, and by whoever wants to answer a kind of its own.
struct error : std::exception {
    std::string kind, message;
    std::vector<trace_entry> trace;  // innermost first

    explicit error(std::string text, std::string kind_ = "raised") : kind(std::move(kind_)), message(std::move(text)) {}
    const char* what() const noexcept override { return message.c_str(); }

    // Of a remote error: its other keys as they came (msgpack), sent on unchanged.
    bool remote = false;
    std::string details;
    std::uint32_t details_count = 0;
};

namespace detail {

// ---------------------------------------------------------------------------------------------- limits

constexpr std::size_t stack_bytes_max = std::size_t{256} << 20;  // reserved per worker; only touched pages cost
constexpr std::size_t stack_bytes_min = std::size_t{1} << 20;    // below this a worker is of no use
constexpr std::size_t frame_bytes_max = 0xffffffff - 1024;       // a u32, less what nexus keeps for its own envelope
constexpr std::size_t kept_bytes_max = std::size_t{1} << 20;     // what an empty buffer keeps for the next frame
constexpr std::size_t receive_bytes = std::size_t{64} << 10;     // the least room for one read
constexpr unsigned value_depth_max = 512;                        // levels: a recursive record can nest without end
constexpr std::size_t trace_entries_max = 256;                   // an error that climbs 10,000 calls stays small
constexpr std::uint64_t workers_max = 1024;                      // threads; nexus asks for no more
constexpr std::uint32_t list_reserve_max = 4096;                 // elements; then a list grows with what is there

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

/// Appends msgpack values, each in its shortest form.
class writer {
public:
    buffer out;

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
        out.append(data, n);
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
        out.append(data, n);
    }

    /// A frame is written between these two.
    void begin_frame() {
        out.clear();
        out.append("\0\0\0\0", 4);
    }
    void end_frame() {
        const std::size_t n = out.size() - 4;
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
    if (is_packed(t))
        return std::string("a packed list of ") + packed_names[t.tag] + " in " + std::to_string(t.count) + " bytes";
    return "an extension of unknown type " + std::to_string(t.tag);
}

/// Reads tokens from borrowed bytes. Every length is checked against the bytes that are there.
class reader {
public:
    reader(const char* data, std::size_t n) : at_(data), end_(data + n) {}

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

    const char* at_;
    const char* end_;
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
    static_assert(never<T>, "nexus: this type has no wire form; describe a struct with NEXUS_RECORD(Type, field, ...)");
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

template <>
struct value<std::string> {
    static void schema(schema_text& s) { s.text += 's'; }
    static void write(writer& out, const std::string& v) { out.string(v); }
    static void read(reader& in, std::string& v) {
        const token t = in.next();
        if (t.is != kind::string) in.mismatch("s", t);
        const std::size_t good = utf8_bytes(t.text());
        if (good < t.count)
            in.malformed("the string " + quoted(t.text()) + " is not valid UTF-8 at byte " + std::to_string(good));
        v.assign(t.data, t.count);
    }
};

template <>
struct value<std::string_view> {  // only out: what came in is gone when the function runs
    static void write(writer& out, std::string_view v) { out.string(v); }
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
                v.resize(items.count);
                if (items.count > 0) std::memcpy(v.data(), head.data, head.count);
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
        for (std::uint32_t i = 0; i < N; i++) items.read(i, v[i]);
    }
};

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
        in.skip();
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
    } catch (const std::exception& e) {
        const bool plain = typeid(e) == typeid(std::runtime_error) || typeid(e) == typeid(std::logic_error);
        return error((plain ? "" : demangled(typeid(e).name()) + ": ") + e.what());
    } catch (const char* text) {
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

/// What the process was given by nexus. Made before main, so that even user code that loads for long dies with nexus.
struct process_state {
    int listen_fd = inherited("NEXUS_LISTEN_FD");
    int control_fd = inherited("NEXUS_CONTROL_FD");
    const char* pool = copied("NEXUS_POOL");
    const char* dir = copied("NEXUS_DIR");
    std::atomic<int> running{0};  // calls
    std::atomic<bool> stopping{false};

    process_state();
    bool is_pool() const { return listen_fd >= 0 && control_fd >= 0; }

private:
    static int inherited(const char* name) {
        const char* text = std::getenv(name);
        char* end = nullptr;
        const long fd = text != nullptr ? std::strtol(text, &end, 10) : -1;
        if (end == text || fd < 0 || fd > INT32_MAX || fcntl(static_cast<int>(fd), F_SETFD, FD_CLOEXEC) != 0) return -1;
        return static_cast<int>(fd);
    }
    static const char* copied(const char* name) {
        const char* text = std::getenv(name);
        const char* copy = text != nullptr ? strdup(text) : nullptr;
        return copy != nullptr ? copy : "";
    }
};
inline process_state process;

/// Nexus is gone: so is this pool, with all that its user code started.
[[noreturn]] inline void orphaned() {
    if (process.dir[0] == '/') remove_tree(AT_FDCWD, process.dir);
    kill(0, SIGKILL);
    _exit(1);
}

inline process_state::process_state() {
    if (!is_pool()) return;
    if (const char* life = std::getenv("NEXUS_LIFE_FD")) fcntl(std::atoi(life), F_SETFD, FD_CLOEXEC);
    struct sigaction on_orphaned = {};
    on_orphaned.sa_handler = [](int) { orphaned(); };
    sigaction(SIGIO, &on_orphaned, nullptr);
    std::setvbuf(stdout, nullptr, _IOLBF, BUFSIZ);
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

// ---------------------------------------------------------------------------------------------- connection

/// Thrown when the peer is gone. Not a std::exception: user code that catches those must not swallow it.
struct closed {};

/// A received message. Borrows the connection's memory: read it before the next send or receive.
struct message {
    enum { request = 0, response = 1, notification = 2 } type;
    std::uint64_t id;
    std::string_view method;
    reader body;  // the list of params; of a response: the error, then the result

    /// How many params follow in `body`.
    std::uint32_t open_params() {
        const token params = body.next();
        if (params.is != kind::list) body.malformed("expected a list of params, found " + described(params));
        return params.count;
    }
};

inline const char* runtime_name() {
#ifdef __clang__
    return "clang " __clang_version__;
#else
    return "gcc " __VERSION__;
#endif
}

/// Frames over a stream socket, in both directions at once.
class connection {
public:
    explicit connection(int fd) : fd_(fd) {}
    connection(const connection&) = delete;
    connection& operator=(const connection&) = delete;
    ~connection() { close(fd_); }

protected:
    writer out_;
    buffer in_;

    /// Waits for the next message.
    message next_message() {
        std::uint32_t length = 0;
        while (in_.size() < 4 || in_.size() - 4 < (length = frame_length())) receive(0);
        const char* frame = in_.data() + 4;
        in_.taken(4 + std::size_t{length});
        try {
            return envelope(reader(frame, length));
        } catch (const error& e) {
            bad_frame(e);
        }
    }

    /// What can't be answered ends the connection.
    [[noreturn]] static void bad_frame(const error& e) {
        std::fprintf(stderr, "nexus pool %s: bad frame: %s\n", process.pool, e.what());
        throw closed();
    }

    /// Sends the frame in `out_`. While the peer doesn't read, what it sends is taken into memory: two large frames
    /// that cross can't block each other.
    void send() {
        const char* from = out_.out.data();
        std::size_t left = out_.out.size();
        while (left > 0) {
            const ssize_t n = ::send(fd_, from, left, MSG_NOSIGNAL | MSG_DONTWAIT);
            if (n >= 0) {
                from += n;
                left -= static_cast<std::size_t>(n);
            } else if (errno == EAGAIN) {
                if ((wait_for(POLLIN | POLLOUT) & POLLIN) != 0) receive(MSG_DONTWAIT);
            } else if (errno != EINTR) {
                throw closed();
            }
        }
        out_.out.clear();
        out_.out.trim();
    }

    void begin_request(std::uint64_t id, std::string_view method, std::size_t params) {
        out_.begin_frame();
        out_.list(4);
        out_.natural(message::request);
        out_.natural(id);
        out_.string(method);
        out_.list(params);
    }
    void begin_notification(std::string_view method, std::size_t params) {
        out_.begin_frame();
        out_.list(3);
        out_.natural(message::notification);
        out_.string(method);
        out_.list(params);
    }
    void begin_response(std::uint64_t id) {
        out_.begin_frame();
        out_.list(4);
        out_.natural(message::response);
        out_.natural(id);
    }
    template <class T>
    void respond(std::uint64_t id, const T& result) {
        begin_response(id);
        out_.nil();
        value<T>::write(out_, result);
        out_.end_frame();
    }
    void refuse(std::uint64_t id, const error& e) {
        begin_response(id);
        out_.map(2);
        out_.string("kind");
        out_.text(e.kind);
        out_.string("message");
        out_.text(e.message);
        out_.nil();
        out_.end_frame();
    }
    void say_hello(const char* key, bool is_worker) {
        begin_notification("hello", 1);
        out_.map(5);
        out_.string("protocol"), out_.natural(1);
        out_.string("lang"), out_.string("cpp");
        out_.string("runtime"), out_.text(runtime_name());
        out_.string("pid"), out_.integer(getpid());
        out_.string(key);
        if (is_worker) out_.boolean(true);
        else out_.natural(1);
        out_.end_frame();
        send();
    }

private:
    std::uint32_t frame_length() const {
        std::uint32_t n;
        std::memcpy(&n, in_.data(), 4);
        return __builtin_bswap32(n);
    }
    short wait_for(short events) const {
        pollfd p = {fd_, events, 0};
        while (poll(&p, 1, -1) < 0)
            if (errno != EINTR) throw closed();
        return p.revents;
    }
    void receive(int flags) {
        // Room doubles with what has really come: a length alone allocates nothing.
        char* to = in_.room(in_.size() > receive_bytes ? in_.size() : receive_bytes);
        for (;;) {
            const ssize_t n = recv(fd_, to, in_.free(), flags);
            if (n > 0) return in_.added(static_cast<std::size_t>(n));
            if (n == 0) throw closed();
            if (errno == EINTR) continue;
            if (errno != EAGAIN) throw closed();
            if ((flags & MSG_DONTWAIT) != 0) return;
            wait_for(POLLIN);
        }
    }
    static message envelope(reader in) {
        const token head = in.next();
        const token type = in.next();
        if (head.is != kind::list || type.is != kind::natural || type.natural > message::notification)
            in.malformed("expected [0, id, method, params], [1, id, error, result] or [2, method, params]");
        message m{message::notification, 0, {}, in};
        if (type.natural == message::request) m.type = message::request;
        if (type.natural == message::response) m.type = message::response;
        if (head.count != (m.type == message::notification ? 3 : 4))
            in.malformed("a message of " + std::to_string(head.count) + " elements can't be of type " +
                         std::to_string(m.type));
        if (m.type != message::notification) {
            const token id = in.next();
            if (id.is != kind::natural) in.malformed("expected an id, found " + described(id));
            m.id = id.natural;
        }
        if (m.type != message::response) {
            const token method = in.next();
            if (method.is != kind::string) in.malformed("expected a method, found " + described(method));
            m.method = method.text();
        }
        m.body = in;
        return m;
    }

    int fd_;
};

// ---------------------------------------------------------------------------------------------- functions

class worker;

/// A registered function, its types erased.
struct function {
    std::int64_t mid;
    std::string name;
    const char* file;  // of its registration
    int line;
    void (*address)();
    void (*run)(const function&, worker&, message&, std::uint32_t count);
    std::string (*signature)();
};

inline std::vector<function> functions;

inline const function* find_function(std::int64_t mid) {
    for (const function& f : functions)
        if (f.mid == mid) return &f;
    return nullptr;
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

/// A thread's side of one connection: runs what is asked, and asks for what user code calls.
class worker : connection {
public:
    worker(int fd, const char* stack_floor) : connection(fd), stack_floor_(stack_floor) {}

    static thread_local worker* current;

    /// The worker of this thread, while it runs a function; else null.
    static worker* running() { return current != nullptr && current->top_ != nullptr ? current : nullptr; }
    static worker& here(const char* caller) {
        if (running() == nullptr)
            throw error(std::string(caller) + " outside of a function that nexus runs, or in a thread that it started");
        return *current;
    }

    /// Serves until the peer closes the connection.
    void serve() {
        current = this;
        try {
            say_hello("reentrant", true);
            for (;;) {
                message m = next_message();
                handle(m);
            }
        } catch (const closed&) {
        }
        current = nullptr;
    }

    /// Sends a request and waits for its result; what arrives meanwhile is run.
    template <class R, class... A>
    R ask(const reader::subject& about, std::string_view method, const A&... params) {
        const std::uint64_t id = ++last_id_;
        begin_request(id, method, sizeof...(A));
        (value<std::decay_t<const A&>>::write(out_, params), ...);
        out_.end_frame();
        send();
        reader in = wait(id);
        in.about = about;
        if constexpr (std::is_void_v<R>) {
            in.skip();
        } else {
            R result{};
            value<R>::read(in, result);
            finish(in);
            return result;
        }
    }

    template <class... A>
    void notify(std::string_view method, const A&... params) {
        begin_notification(method, sizeof...(A));
        (value<std::decay_t<const A&>>::write(out_, params), ...);
        out_.end_frame();
        send();
    }

    /// Reads `count` arguments, runs the function, writes the response into `out_`.
    template <class R, class... A, std::size_t... I>
    void run(const function& f, message& m, std::uint32_t count, std::index_sequence<I...>) {
        reader& in = m.body;
        in.about = {"argument", f.name, 0};
        if (count != sizeof...(A))
            throw error(f.name + " takes " + std::to_string(sizeof...(A)) + " arguments, found " +
                        std::to_string(count));
        std::tuple<std::decay_t<A>...> args;
        ((in.about.number = I + 1, value<std::decay_t<A>>::read(in, std::get<I>(args))), ...);
        finish(in);
        auto* call = reinterpret_cast<R (*)(A...)>(f.address);
        if constexpr (std::is_void_v<R>) {
            call(static_cast<A&&>(std::get<I>(args))...);
            respond(m.id, nil());
        } else {
            const std::decay_t<R> result = call(static_cast<A&&>(std::get<I>(args))...);
            respond(m.id, result);
        }
    }

private:
    /// One request on this thread's stack.
    struct activation {
        worker& owner;
        activation* up;
        std::uint64_t id;
        std::uint64_t waits_for = 0;  // the id of its open foreign call
        bool cancelled = false;

        activation(worker& w, std::uint64_t request) : owner(w), up(w.top_), id(request) {
            if (up == nullptr) process.running++;
            w.top_ = this;
            w.depth_++;
        }
        activation(const activation&) = delete;
        ~activation() {
            owner.top_ = up;
            owner.depth_--;
            if (up == nullptr && --process.running == 0 && process.stopping) exit_now();
        }
    };

    struct answer {
        std::uint64_t id;
        std::string body;
    };

    void handle(message& m) {
        if (m.type == message::request) {
            perform(m);
        } else if (m.type == message::response) {
            // Kept if a call further down waits for it; else its caller has given up.
            for (activation* a = top_; a != nullptr; a = a->up)
                if (a->waits_for == m.id) {
                    kept_.push_back({m.id, std::string(m.body.at(), m.body.left())});
                    break;
                }
        } else if (m.method == "cancel") {
            cancel(m);
        }
        in_.trim();
    }

    /// The call ends when it next waits, or goes on waiting; while it computes it is not interrupted.
    void cancel(message& m) {
        try {
            std::tuple<std::uint64_t> id;
            value<std::tuple<std::uint64_t>>::read(m.body, id);
            for (activation* a = top_; a != nullptr; a = a->up)
                if (a->id == std::get<0>(id)) a->cancelled = true;
        } catch (const error& e) {
            bad_frame(e);
        }
    }

    void perform(message& m) {
        activation self(*this, m.id);
        const function* f = nullptr;
        try {
            if (m.method == "call") {
                const std::uint32_t params = m.open_params();
                if (params == 0) throw error("a call names no mid", "protocol");
                f = callee(m.body);
                if (static_cast<const char*>(__builtin_frame_address(0)) < stack_floor_)
                    throw error("calls nested " + std::to_string(depth_) +
                                " deep in one worker leave too little of its stack");
                f->run(*f, *this, m, params - 1);
            } else if (m.method == "ping") {
                respond(m.id, nil());
            } else {
                throw error("unknown method " + quoted(m.method) + ": a worker knows call and ping", "protocol");
            }
        } catch (const closed&) {
            throw;
        } catch (...) {
            fail(m.id, f, caught());
        }
        if (__fpending(stdout) > 0) std::fflush(stdout);
        send();
    }

    static const function* callee(reader& in) {
        in.about = {"mid", {}, 0};
        std::int64_t mid = 0;
        value<std::int64_t>::read(in, mid);
        const function* f = find_function(mid);
        if (f == nullptr)
            throw error("the pool " + std::string(process.pool) + " has no function of mid " + std::to_string(mid),
                        "protocol");
        return f;
    }

    /// All of the message has been read: its memory can go, before user code asks for more.
    void finish(const reader& in) {
        if (in.left() > 0) in.malformed(std::to_string(in.left()) + " bytes follow the last value");
        in_.trim();
    }

    void fail(std::uint64_t id, const function* f, const error& e) {
        begin_response(id);
        const bool local = !e.remote;
        out_.map(3 + (local ? 2u + (f != nullptr ? 1u : 0u) : e.details_count));
        out_.string("kind"), out_.text(e.kind);
        out_.string("message"), out_.text(e.message);
        if (local) {
            if (f != nullptr) out_.string("function"), out_.text(f->name);
            out_.string("pool"), out_.text(process.pool);
            out_.string("pid"), out_.integer(getpid());
        } else {
            out_.out.append(e.details.data(), e.details.size());
        }
        const bool add_own = f != nullptr && e.trace.size() < trace_entries_max;
        out_.string("trace"), out_.list(e.trace.size() + (add_own ? 1 : 0));
        for (const trace_entry& t : e.trace) write_entry(t.lang, t.function, t.file, t.line);
        if (add_own) write_entry("cpp", f->name, f->file, f->line);
        out_.nil();
        out_.end_frame();
    }
    void write_entry(std::string_view lang, std::string_view function, std::string_view file, std::int64_t line) {
        out_.map(4);
        out_.string("lang"), out_.text(lang);
        out_.string("function"), out_.text(function);
        out_.string("file"), out_.text(file);
        out_.string("line"), out_.integer(line);
    }

    /// The answer to request `id`, positioned at its result; throws its error.
    reader wait(std::uint64_t id) {
        struct waiting {
            activation& a;
            ~waiting() { a.waits_for = 0; }
        } guard{*top_};
        top_->waits_for = id;
        for (;;) {
            if (top_->cancelled) throw error("the call was cancelled", "cancelled");
            if (std::size_t k = kept_.size(); k > 0) {
                while (k > 0 && kept_[k - 1].id != id) k--;
                if (k > 0) {
                    answer_ = std::move(kept_[k - 1].body);
                    kept_.erase(kept_.begin() + static_cast<std::ptrdiff_t>(k - 1));
                    return result_of(reader(answer_.data(), answer_.size()));
                }
            }
            message m = next_message();
            if (m.type == message::response && m.id == id) return result_of(m.body);
            handle(m);
        }
    }
    static reader result_of(reader in) {
        in.about = {"response", {}, 0};
        if (!in.at_nil()) throw read_error(in);
        in.next();
        return in;
    }

    const char* stack_floor_;
    activation* top_ = nullptr;
    std::size_t depth_ = 0;
    std::uint64_t last_id_ = 0;
    std::vector<answer> kept_;
    std::string answer_;  // the memory of the one being read
};
inline thread_local worker* worker::current = nullptr;

template <class R, class... A>
void register_function(std::int64_t mid, std::string name, R (*f)(A...), const char* file, int line) {
    if (find_function(mid) != nullptr) throw error("two functions have the mid " + std::to_string(mid));
    functions.push_back({mid, std::move(name), file, line, reinterpret_cast<void (*)()>(f),
                         [](const function& self, worker& w, message& m, std::uint32_t count) {
                             w.run<R, A...>(self, m, count, std::index_sequence_for<A...>());
                         },
                         [] {
                             using result = std::conditional_t<std::is_void_v<R>, nil, std::decay_t<R>>;
                             return schema_of<std::tuple<std::decay_t<A>...>>() + " -> " + schema_of<result>();
                         }});
}

/// A thread that serves one connection after the other. Its argument is the size of its stack.
inline void* worker_thread(void* stack_bytes) {
    const auto size = reinterpret_cast<std::size_t>(stack_bytes);
    const char* top = static_cast<const char*>(__builtin_frame_address(0));
    const char* floor = top - (size - size / 8);  // the last eighth is for the innermost function
    for (;;) {
        const int fd = accept4(process.listen_fd, nullptr, nullptr, SOCK_CLOEXEC);
        if (fd >= 0) {
            try {
                worker(fd, floor).serve();
            } catch (const std::exception& e) {
                std::fprintf(stderr, "nexus pool %s: a connection failed: %s\n", process.pool, e.what());
            }
        } else if (errno == EAGAIN) {
            pollfd p = {process.listen_fd, POLLIN, 0};
            poll(&p, 1, -1);
        } else if (errno != EINTR && errno != ECONNABORTED) {
            die("accept");
        }
    }
}

inline bool start_worker() {
    static std::size_t size = stack_bytes_max;
    pthread_attr_t attributes;
    if (pthread_attr_init(&attributes) != 0) return false;
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    bool started = false;
    for (; !started && size >= stack_bytes_min; size /= started ? 1 : 2) {  // less where memory is limited
        pthread_t thread;
        started = pthread_attr_setstacksize(&attributes, size) == 0 &&
                  pthread_create(&thread, &attributes, worker_thread, reinterpret_cast<void*>(size)) == 0;
    }
    pthread_attr_destroy(&attributes);
    return started;
}

// ---------------------------------------------------------------------------------------------- control

/// The main thread: starts workers, waits for the end.
class control : connection {
public:
    explicit control(int fd) : connection(fd) {}

    [[noreturn]] void serve() {
        try {
            if (!start_worker()) die("start a worker thread");
            workers_ = 1;
            say_hello("workers", false);
            for (;;) {
                message m = next_message();
                if (m.type == message::request) answer(m);
                if (m.type == message::notification && m.method == "shutdown") {
                    process.stopping = true;
                    if (process.running == 0) exit_now();
                }
            }
        } catch (const closed&) {
            orphaned();
        }
    }

private:
    void answer(message& m) {
        try {
            if (m.method == "grow") {
                if (m.open_params() != 1) throw error("grow takes one number of workers");
                m.body.about = {"argument", "grow", 1};
                std::uint64_t n = 0;
                value<std::uint64_t>::read(m.body, n);
                if (n > workers_max - workers_)
                    throw error("grow by " + std::to_string(n) + " would pass the limit of " +
                                std::to_string(workers_max) + " workers");
                for (; n > 0 && start_worker(); n--) workers_++;
                respond(m.id, workers_);
            } else if (m.method == "ping") {
                respond(m.id, nil());
            } else {
                throw error("unknown method " + quoted(m.method) + ": a pool knows grow and ping", "protocol");
            }
        } catch (const error& e) {
            refuse(m.id, e);
        }
        send();
    }

    std::uint64_t workers_ = 0;
};

}  // namespace detail

// ---------------------------------------------------------------------------------------------- the interface

/// Registers a function under `mid`. Its types are those of its signature. Throws if the mid is taken.
template <auto Function>
void add(std::int64_t mid, const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
    detail::register_function(mid, detail::name_of<Function>(), Function, file, line);
}

/// The same, under a name for errors. `f`: a function or a lambda that captures nothing.
template <class F>
void add(std::int64_t mid, std::string name, F f, const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
    detail::register_function(mid, std::move(name), +f, file, line);
}

/// Calls function `mid` of another pool. Throws nexus::error.
template <class R = void, class... A>
R call(std::string_view pool, std::int64_t mid, const A&... args) {
    return detail::worker::here("nexus::call").ask<R>({"result", pool, mid}, "call", pool, mid, args...);
}

/// Runs a command of the program. Throws nexus::error.
template <class R = void, class... A>
R command(std::string_view name, const A&... args) {
    return detail::worker::here("nexus::command").ask<R>({"result", name, 0}, "command", name, args...);
}

/// A line for the log of nexus, or for stderr where no function runs. `level`: "debug", "info", "warn" or "error".
inline void log(std::string_view level, std::string_view text) {
    const std::string clean_level = detail::readable(level), clean_text = detail::readable(text);
    if (auto* worker = detail::worker::running()) worker->notify("log", clean_level, clean_text);
    else std::fprintf(stderr, "%s: %s\n", clean_level.c_str(), clean_text.c_str());
}

/// How much of the running function is done; no total: it is not known.
inline void progress(std::uint64_t done, std::optional<std::uint64_t> total = {}, std::string_view label = {}) {
    if (auto* worker = detail::worker::running()) worker->notify("progress", done, total, detail::readable(label));
}

/// Serves the registered functions until nexus ends the pool. Returns only if nexus did not start this process.
inline int serve() {
    if (detail::process.is_pool()) detail::control(detail::process.control_fd).serve();
    std::fprintf(stderr, "this is a pool of functions: nexus starts it. It has\n");
    for (const detail::function& f : detail::functions)
        std::fprintf(stderr, "%6lld  %s %s\n", static_cast<long long>(f.mid), f.name.c_str(), f.signature().c_str());
    return 2;
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
