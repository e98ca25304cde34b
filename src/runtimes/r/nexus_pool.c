/* The compiled half of an R pool of a Nexus program; `nexus_pool.R`, which loads it, says how to use both.
 *
 * It knows the wire: frames, msgpack straight from and to R's vectors by a parsed schema, sockets, worker processes,
 * signals. It calls R only to run functions and raise conditions, and uses nothing but R's API and POSIX (and Linux's
 * getdents64, which alone lists a directory in a signal handler). It has no thread and keeps no file.
 *
 * Memory that must outlive a jump out of R code (an error, an interrupt) hangs on the globals below, never on a C frame.
 * What the handler of SIGINT touches (the input) is guarded by `held`: while it is set, the handler only leaves a note.
 */
#define _GNU_SOURCE
#define CSTACK_DEFNS 1
#include <R.h>
#include <Rinternals.h>
#include <Rversion.h>
#include <Rinterface.h>
#include <R_ext/Rdynload.h>
#include <R_ext/eventloop.h>

#include <errno.h>
#include <fcntl.h>
#include <langinfo.h>
#include <limits.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

extern int R_interrupts_pending;
extern int R_isForkedChild;
extern char *R_TempDir;

#define PROTOCOL 1
/* The length of a frame is a u32; nexus keeps 1 KiB of it for the envelope under which it passes the frame on. */
#define FRAME_BYTES_MAX (UINT32_MAX - 1024u)
/* Asked of the kernel at once: more than a Unix socket holds by default. */
#define READ_BYTES ((size_t)1 << 18)
/* What an empty buffer may keep of its memory. */
#define KEEP_BYTES ((size_t)1 << 20)
#define DEPTH_MAX 512              /* levels of a value and of a schema, as in nexus */
#define NESTED_CALLS_MAX 12000     /* on one worker's stack: 10,000 and some of the user's own */
#define OPEN_REQUESTS_MAX 65536    /* as in nexus */
#define FUNCTION_VALUES_MAX 65536
#define GROW_WORKERS_MAX 1024      /* a guard against nonsense: nexus asks for as many as there are cores */
#define DIGITS_MAX 100000          /* of an integer, as in nexus */
#define TRACE_ENTRIES_MAX 100
#define MESSAGE_BYTES_MAX 10000
#define TEXT_SHOWN 60              /* bytes of a text that an error quotes */
/* A worker runs on a stack of its own: the system's main stack ends at 8 MiB, and nested calls need 24 KiB each. */
#define STACK_BYTES ((size_t)1 << 30)
#define STACK_SPARE ((size_t)1 << 20)
/* R's limit of nested evaluations guards against endless recursion; it grows with the calls that nest. */
#define EXPRESSIONS_STEP_CALLS 100
#define EXPRESSIONS_PER_CALL 40
#define EXPRESSIONS_MAX 500000     /* R takes no more */
#define EXACT 9007199254740992.0   /* 2^53: up to here every integer is a double */

/* ---- bytes ------------------------------------------------------------------------------------------------------ */

struct bytes { unsigned char *data; size_t length, room; };

static struct bytes out;           /* the one message that is being written */

#define fail(...) Rf_errorcall(R_NilValue, __VA_ARGS__)

static void oom(void) { fail("there is no memory for a message of nexus"); }

static unsigned char *extend(size_t more)
{
    if (out.room - out.length < more) {
        size_t room = out.room * 2 > out.length + more ? out.room * 2 : out.length + more + 1024;
        unsigned char *data = realloc(out.data, room);
        if (!data) oom();
        out.data = data, out.room = room;
    }
    unsigned char *at = out.data + out.length;
    out.length += more;
    return at;
}

static void put_bytes(const void *data, size_t n) { if (n) memcpy(extend(n), data, n); }
static void put_byte(int b) { *extend(1) = (unsigned char)b; }

static void put_tagged(int tag, uint64_t value, int width)
{
    unsigned char *at = extend(1 + (size_t)width);
    *at = (unsigned char)tag;
    for (int i = 0; i < width; i++) at[1 + i] = (unsigned char)(value >> 8 * (width - 1 - i));
}

/* `tag8` is the form with a length of 8 bits, or 0 where there is none. */
static void put_head(size_t n, int fixed, size_t room, int tag8, int tag16)
{
    if (n > UINT32_MAX) fail("a value of %.0f bytes or elements can't be sent: the limit is 4 GiB", (double)n);
    if (n < room) put_byte(fixed | (int)n);
    else if (tag8 && n < 256) put_tagged(tag8, n, 1);
    else if (n < 65536) put_tagged(tag16, n, 2);
    else put_tagged(tag16 + 1, n, 4);
}

static void put_nil(void) { put_byte(0xc0); }
static void put_bool(int b) { put_byte(b ? 0xc3 : 0xc2); }
static void put_array(size_t n) { put_head(n, 0x90, 16, 0, 0xdc); }
static void put_map(size_t n) { put_head(n, 0x80, 16, 0, 0xde); }
static void put_text(const char *s, size_t n) { put_head(n, 0xa0, 32, 0xd9, 0xda); put_bytes(s, n); }
static void put_string(const char *s) { put_text(s, strlen(s)); }
static void put_ext(int code, size_t n) { put_head(n, 0, 0, 0xc7, 0xc8); put_byte(code); }

static void put_u64(uint64_t u)
{
    if (u < 128) put_byte((int)u);
    else if (u < 256) put_tagged(0xcc, u, 1);
    else if (u < 65536) put_tagged(0xcd, u, 2);
    else if (u <= UINT32_MAX) put_tagged(0xce, u, 4);
    else put_tagged(0xcf, u, 8);
}

static void put_i64(int64_t i)
{
    if (i >= 0) put_u64((uint64_t)i);
    else if (i >= -32) put_byte((int)(i & 0xff));
    else if (i >= -128) put_tagged(0xd0, (uint64_t)i, 1);
    else if (i >= -32768) put_tagged(0xd1, (uint64_t)i, 2);
    else if (i >= INT32_MIN) put_tagged(0xd2, (uint64_t)i, 4);
    else put_tagged(0xd3, (uint64_t)i, 8);
}

static void put_double(double d) { uint64_t bits; memcpy(&bits, &d, 8); put_tagged(0xcb, bits, 8); }
static void put_float(float f) { uint32_t bits; memcpy(&bits, &f, 4); put_tagged(0xca, bits, 4); }

/* ---- reading msgpack -------------------------------------------------------------------------------------------- */

struct reader { const unsigned char *at, *end; };

enum token_kind { NIL, BOOL, INT, UINT, FLOAT, STR, BIN, EXT, ARRAY, MAP };
static const char *const TOKEN_NAMES[] = { "nil", "a boolean", "an integer", "an integer", "a float", "a text", "bytes", "a packed list",
                                           "an array", "a map" };

/* UINT only beyond the range of an int64. `n`: bytes, elements or pairs. */
struct token { enum token_kind kind; int64_t i; uint64_t u; double f; const unsigned char *data; size_t n; int code; };

static uint64_t big_endian(const unsigned char *at, int width)
{
    uint64_t value = 0;
    for (int i = 0; i < width; i++) value = value << 8 | at[i];
    return value;
}

/* The next token; 0 if what is there is none. The bytes of a text, of bytes and of an ext are skipped. */
static int next_token(struct reader *r, struct token *t)
{
    if (r->at >= r->end) return 0;
    int tag = *r->at++, width = 0, data = 0;
    memset(t, 0, sizeof *t);
    if (tag < 0x80 || tag >= 0xe0) { t->kind = INT; t->i = (signed char)tag; return 1; }
    if (tag < 0x90) { t->kind = MAP; t->n = tag & 15; return 1; }
    if (tag < 0xa0) { t->kind = ARRAY; t->n = tag & 15; return 1; }
    if (tag < 0xc0) { t->kind = STR; t->n = tag & 31; data = 1; }
    else switch (tag) {
    case 0xc0: t->kind = NIL; return 1;
    case 0xc2: case 0xc3: t->kind = BOOL; t->i = tag & 1; return 1;
    case 0xc4: case 0xc5: case 0xc6: t->kind = BIN; width = 1 << (tag - 0xc4); data = 1; break;
    case 0xc7: case 0xc8: case 0xc9: t->kind = EXT; width = 1 << (tag - 0xc7); data = 1; break;
    case 0xca: case 0xcb: t->kind = FLOAT; width = tag == 0xca ? 4 : 8; break;
    case 0xcc: case 0xcd: case 0xce: case 0xcf: t->kind = INT; width = 1 << (tag - 0xcc); break;
    case 0xd0: case 0xd1: case 0xd2: case 0xd3: t->kind = INT; width = 1 << (tag - 0xd0); break;
    case 0xd4: case 0xd5: case 0xd6: case 0xd7: case 0xd8: t->kind = EXT; t->n = (size_t)1 << (tag - 0xd4); data = 1; break;
    case 0xd9: case 0xda: case 0xdb: t->kind = STR; width = 1 << (tag - 0xd9); data = 1; break;
    case 0xdc: case 0xdd: t->kind = ARRAY; width = tag == 0xdc ? 2 : 4; break;
    case 0xde: case 0xdf: t->kind = MAP; width = tag == 0xde ? 2 : 4; break;
    default: return 0;
    }
    if (r->end - r->at < width) return 0;
    uint64_t value = big_endian(r->at, width);
    r->at += width;
    if (t->kind == FLOAT) {
        if (width == 4) { uint32_t bits = (uint32_t)value; float f; memcpy(&f, &bits, 4); t->f = f; }
        else memcpy(&t->f, &value, 8);
    } else if (t->kind == INT) {
        if (tag >= 0xd0) t->i = width == 8 ? (int64_t)value : (int64_t)(value << (64 - 8 * width)) >> (64 - 8 * width);
        else if (value > INT64_MAX) { t->kind = UINT; t->u = value; }
        else t->i = (int64_t)value;
    } else if (width) t->n = value;
    if (data) {
        if (t->kind == EXT) {
            if (r->at >= r->end) return 0;
            t->code = (signed char)*r->at++;
        }
        if ((size_t)(r->end - r->at) < t->n) return 0;
        t->data = r->at;
        r->at += t->n;
    }
    return 1;
}

/* Skips `count` values; 0 if they are not there. Each takes a byte at least, so a claimed length costs nothing. */
static int skip_values(struct reader *r, uint64_t count)
{
    struct token t;
    while (count) {
        if (count > (uint64_t)(r->end - r->at) || !next_token(r, &t)) return 0;
        count--;
        if (t.kind == ARRAY) count += t.n;
        else if (t.kind == MAP) count += 2 * (uint64_t)t.n;
    }
    return 1;
}

static int is_text(const struct token *t, const char *text)
{
    return t->kind == STR && t->n == strlen(text) && !memcmp(t->data, text, t->n);
}

/* 1: UTF-8 that R can hold; 0: not UTF-8; -1: with a NUL. */
static int utf8(const unsigned char *s, size_t n)
{
    int nul = 0;
    for (size_t i = 0; i < n;) {
        unsigned c = s[i];
        if (c < 0x80) { nul |= !c; i++; continue; }
        int more = c >= 0xf0 ? 3 : c >= 0xe0 ? 2 : 1;
        if (c < 0xc2 || c > 0xf4 || n - i <= (size_t)more) return 0;
        unsigned first = s[i + 1];
        if ((c == 0xe0 && first < 0xa0) || (c == 0xed && first > 0x9f) || (c == 0xf0 && first < 0x90) || (c == 0xf4 && first > 0x8f)) return 0;
        for (int k = 1; k <= more; k++) if ((s[i + k] & 0xc0) != 0x80) return 0;
        i += (size_t)more + 1;
    }
    return nul ? -1 : 1;
}

/* ---- schemas ---------------------------------------------------------------------------------------------------- */

enum kind { T_NIL, T_BOOL, T_INT, T_BIG, T_FLOAT, T_TEXT, T_BYTES, T_OPTIONAL, T_LIST, T_TUPLE, T_RECORD, T_FUNCTION, T_NAMED };

/* Of T_INT and T_FLOAT: `width` in bytes, `sign`; of T_LIST: `length` or -1; of T_RECORD: `keys`, CHARSXPs' texts;
 * of T_FUNCTION the kids are the arguments and, last, the result; of T_NAMED (a back-reference) kids[0] is the type. */
struct type {
    enum kind kind;
    int width, sign, count;
    int64_t length;
    struct type **kids;
    char **keys;
    const char *text;
    int text_length;
    struct type *all;              /* the type of the same signature that was made before this one */
};

/* What a function takes and returns: R holds it as an external pointer. `types` is the chain of all its types. */
struct signature { char *name; int count; struct type **args, *returns, *types; char **texts; };

struct schema { const char *text; int at, end; struct signature *owner; struct { char name[64]; struct type *type; } declared[32]; int declarations; };

static void schema_fail(struct schema *s, const char *expected)
{
    char text[200];
    snprintf(text, sizeof text, "%s", s->text);
    fail("schema '%s' at %d: expected %s", text, s->at, expected);
}

static struct type *new_type(struct schema *s, enum kind kind)
{
    struct type *t = calloc(1, sizeof *t);
    if (!t) oom();
    t->kind = kind;
    t->length = -1;
    t->all = s->owner->types;
    s->owner->types = t;
    return t;
}

static void add_kid(struct type *t, struct type *kid, char *key)
{
    struct type **kids = realloc(t->kids, (size_t)(t->count + 1) * sizeof *kids);
    if (!kids) oom();
    t->kids = kids;
    if (t->kind == T_RECORD) {
        char **keys = realloc(t->keys, (size_t)(t->count + 1) * sizeof *keys);
        if (!keys) oom();
        t->keys = keys;
        keys[t->count] = key;
    }
    kids[t->count++] = kid;
}

static int schema_take(struct schema *s)
{
    if (s->at >= s->end) schema_fail(s, "1 more character");
    return (unsigned char)s->text[s->at++];
}

static int schema_skip(struct schema *s, int c) { return s->at < s->end && s->text[s->at] == c ? (s->at++, 1) : 0; }

static int schema_size(struct schema *s)
{
    int c = schema_take(s);
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'z') return c - 'a' + 10;
    if (c >= 'A' && c <= 'Z') return c - 'A' + 36;
    s->at--;
    schema_fail(s, "a base-62 digit");
    return 0;
}

/* A name of `size` bytes, in memory that lives as long as R's call. */
static char *schema_name(struct schema *s, int size)
{
    if (size > s->end - s->at) schema_fail(s, "a longer name");
    char *name = R_alloc((size_t)size + 1, 1);
    memcpy(name, s->text + s->at, (size_t)size);
    name[size] = 0;
    s->at += size;
    if (utf8((unsigned char *)name, (size_t)size) != 1) schema_fail(s, "a name that is valid as UTF-8");
    return name;
}

static void add_field(struct schema *s, struct type *t, const char *key, struct type *field)
{
    for (int i = 0; i < t->count; i++)
        if (!strcmp(t->keys[i], key)) fail("schema '%.150s': a record repeats the key '%.40s'", s->text, key);
    char *copy = strdup(key);
    if (!copy) oom();
    add_kid(t, field, copy);
}

static struct type *schema_type(struct schema *s, int depth)
{
    if (depth > DEPTH_MAX) schema_fail(s, "no more than 512 levels");
    while (schema_skip(s, '<'))
        for (int open = 1; open;) {
            int c = schema_take(s);
            open += c == '<' ? 1 : c == '>' ? -1 : 0;
        }
    int start = s->at, c = schema_take(s);
    struct type *t;
    switch (c) {
    case 'z': t = new_type(s, T_NIL); break;
    case 'b': t = new_type(s, T_BOOL); break;
    case 'j': t = new_type(s, T_BIG); break;
    case 's': t = new_type(s, T_TEXT); break;
    case 'y': t = new_type(s, T_BYTES); break;
    case 'i': case 'u': case 'f': {
        int width = schema_take(s) - '0';
        if (!(width == 4 || width == 8 || (c != 'f' && (width == 1 || width == 2)))) {
            s->at = start;
            schema_fail(s, "a type that R can hold");
        }
        t = new_type(s, c == 'f' ? T_FLOAT : T_INT);
        t->width = width;
        t->sign = c != 'u';
        break;
    }
    case '?': t = new_type(s, T_OPTIONAL); add_kid(t, schema_type(s, depth + 1), NULL); break;
    case '[':
        t = new_type(s, T_LIST);
        add_kid(t, schema_type(s, depth + 1), NULL);
        if (!schema_skip(s, ']')) schema_fail(s, "']'");
        break;
    case 'a':
        t = new_type(s, T_LIST);
        if (schema_skip(s, ':')) {
            if (s->at < s->end && s->text[s->at] >= '0' && s->text[s->at] <= '9') {
                t->length = 0;
                while (s->at < s->end && s->text[s->at] >= '0' && s->text[s->at] <= '9')
                    if ((t->length = 10 * t->length + s->text[s->at++] - '0') > UINT32_MAX) schema_fail(s, "a length below 2^32");
            } else t->length = schema_size(s);
            schema_skip(s, ' ');
        }
        add_kid(t, schema_type(s, depth + 1), NULL);
        break;
    case 't': {
        t = new_type(s, T_TUPLE);
        for (int n = schema_size(s); n; n--) add_kid(t, schema_type(s, depth + 1), NULL);
        break;
    }
    case '(': case '\\':
        if (c == '\\' && !schema_skip(s, '(')) schema_fail(s, "'('");
        t = new_type(s, c == '(' ? T_TUPLE : T_FUNCTION);
        while (!schema_skip(s, ')')) {
            if (t->count && !schema_skip(s, ',')) schema_fail(s, "',' or ')'");
            add_kid(t, schema_type(s, depth + 1), NULL);
        }
        if (c == '\\') add_kid(t, schema_type(s, depth + 1), NULL);
        break;
    case 'm': {
        t = new_type(s, T_RECORD);
        for (int n = schema_size(s); n; n--) {
            char *key = schema_name(s, schema_size(s));
            add_field(s, t, key, schema_type(s, depth + 1));
        }
        break;
    }
    case '{':
        t = new_type(s, T_RECORD);
        while (!schema_skip(s, '}')) {
            if (t->count && !schema_skip(s, ',')) schema_fail(s, "',' or '}'");
            const char *colon = memchr(s->text + s->at, ':', (size_t)(s->end - s->at));
            if (!colon) schema_fail(s, "a key and ':'");
            char *key = schema_name(s, (int)(colon - s->text) - s->at);
            s->at++;
            add_field(s, t, key, schema_type(s, depth + 1));
        }
        break;
    case '&': {
        char *name = schema_name(s, schema_size(s));
        if (s->declarations == 32) schema_fail(s, "no more than 32 recursive types");
        int mine = s->declarations++;
        snprintf(s->declared[mine].name, sizeof s->declared[mine].name, "%s", name);
        t = s->declared[mine].type = new_type(s, T_NAMED);
        add_kid(t, schema_type(s, depth + 1), NULL);
        t->kids[0]->text = s->text + start;
        t->kids[0]->text_length = s->at - start;
        break;
    }
    case '^': {
        char *name = schema_name(s, schema_size(s));
        for (int i = s->declarations; i--;)
            if (!strcmp(s->declared[i].name, name)) return s->declared[i].type;
        schema_fail(s, "a name declared with '&'");
        return NULL;
    }
    default:
        s->at = start;
        schema_fail(s, "a type that R can hold");
        return NULL;
    }
    t->text = s->text + start;
    t->text_length = s->at - start;
    return t;
}

static struct type *read_schema(struct signature *owner, int slot, const char *text)
{
    if (strlen(text) > (1 << 20)) fail("a schema of more than 1 MiB");
    if (!(owner->texts[slot] = strdup(text))) oom();
    struct schema s = { .text = owner->texts[slot], .end = (int)strlen(text), .owner = owner };
    struct type *t = schema_type(&s, 0);
    if (s.at != s.end) schema_fail(&s, "the end");
    /* `&1L^1L` has no value; following it would never end. */
    const struct type *seen = t;
    for (int steps = 0; seen->kind == T_NAMED || seen->kind == T_OPTIONAL; seen = seen->kids[0])
        if (++steps > 2 * DEPTH_MAX) fail("schema '%.150s': the type has no value", text);
    return t;
}

static void free_signature(SEXP pointer)
{
    struct signature *s = R_ExternalPtrAddr(pointer);
    if (!s) return;
    R_ClearExternalPtr(pointer);
    for (struct type *t = s->types, *next; t; t = next) {
        next = t->all;
        if (t->keys) for (int i = 0; i < t->count; i++) free(t->keys[i]);
        free(t->kids);
        free(t->keys);
        free(t);
    }
    for (int i = 0; s->texts && i <= s->count; i++) free(s->texts[i]);
    free(s->texts);
    free(s->args);
    free(s->name);
    free(s);
}

static const char *string_arg(SEXP value, const char *what)
{
    if (TYPEOF(value) != STRSXP || XLENGTH(value) != 1 || STRING_ELT(value, 0) == NA_STRING)
        fail("%s is one character string", what);
    return Rf_translateCharUTF8(STRING_ELT(value, 0));
}

/* An external pointer to a signature. */
static SEXP new_signature(const char *name, SEXP args, SEXP returns)
{
    if (TYPEOF(args) == NILSXP) args = Rf_allocVector(STRSXP, 0);
    PROTECT(args);
    if (TYPEOF(args) != STRSXP || XLENGTH(args) > 1000) fail("args are schemas: a character vector, such as c(\"[f8]\", \"i4\")");
    struct signature *s = calloc(1, sizeof *s);
    if (!s) oom();
    SEXP pointer = PROTECT(R_MakeExternalPtr(s, R_NilValue, R_NilValue));
    R_RegisterCFinalizer(pointer, free_signature);
    s->count = (int)XLENGTH(args);
    s->name = strdup(name);
    s->texts = calloc((size_t)s->count + 1, sizeof *s->texts);
    s->args = calloc((size_t)s->count + 1, sizeof *s->args);
    if (!s->name || !s->texts || !s->args) oom();
    for (int i = 0; i < s->count; i++)
        s->args[i] = read_schema(s, i, Rf_translateCharUTF8(STRING_ELT(args, i)));
    s->returns = read_schema(s, s->count, string_arg(returns, "returns"));
    UNPROTECT(2);
    return pointer;
}

static const struct type *behind(const struct type *t)
{
    while (t->kind == T_NAMED) t = t->kids[0];
    return t;
}

static int is_scalar(const struct type *t)
{
    t = behind(t);
    return t->kind == T_BOOL || t->kind == T_INT || t->kind == T_BIG || t->kind == T_FLOAT || t->kind == T_TEXT;
}

/* What can be an element of an R vector: a scalar, or NA. */
static int is_cell(const struct type *t)
{
    t = behind(t);
    return is_scalar(t) || (t->kind == T_OPTIONAL && is_scalar(t->kids[0]));
}

static int is_table(const struct type *t)
{
    if (t->kind != T_RECORD || !t->count) return 0;
    for (int i = 0; i < t->count; i++) if (!is_cell(t->kids[i])) return 0;
    return 1;
}

/* ---- mismatches ------------------------------------------------------------------------------------------------- */

static char problem[700];          /* what is wrong with a value */
static char path[400];             /* where it is, as one would write it in R */

static int wrong(const char *form, ...) __attribute__((format(printf, 1, 2)));
static int wrong(const char *form, ...)
{
    va_list args;
    va_start(args, form);
    vsnprintf(problem, sizeof problem, form, args);
    va_end(args);
    path[0] = 0;
    return 0;
}

/* Puts a step before the path; the steps farthest inside are cut off when it gets long. */
static int within(const char *form, ...) __attribute__((format(printf, 1, 2)));
static int within(const char *form, ...)
{
    char step[120], longer[sizeof path + sizeof step];
    va_list args;
    va_start(args, form);
    vsnprintf(step, sizeof step, form, args);
    va_end(args);
    snprintf(longer, sizeof longer, "%s%s", step, path);
    longer[sizeof path - 1] = 0;
    strcpy(path, longer);
    return 0;
}

static void mismatch(const char *what, int number, const char *name)
{
    char head[40] = "";
    if (number) snprintf(head, sizeof head, "argument %d of ", number);
    fail("%s%s%.200s%s%s: %s", what, head, name, *path ? ", " : "", path, problem);
}

static const char *expected(const struct type *t)
{
    static char text[160];
    t = behind(t);
    switch (t->kind) {
    case T_NIL: return "z (NULL)";
    case T_BOOL: return "b (TRUE or FALSE)";
    case T_BIG: return "j (an integer)";
    case T_TEXT: return "s (a character string, valid as UTF-8)";
    case T_BYTES: return "y (a raw vector)";
    case T_FLOAT: return t->width == 8 ? "f8 (a number)" : "f4 (a number in single precision)";
    case T_INT:
        if (t->sign) snprintf(text, sizeof text, "i%d (an integer from %lld to %lld)", t->width,
                              (long long)(INT64_MIN >> (64 - 8 * t->width)), (long long)(INT64_MAX >> (64 - 8 * t->width)));
        else snprintf(text, sizeof text, "u%d (an integer from 0 to %llu)", t->width, (unsigned long long)(UINT64_MAX >> (64 - 8 * t->width)));
        return text;
    default:
        snprintf(text, sizeof text, "%.*s%s", t->text_length > 120 ? 120 : t->text_length, t->text, t->text_length > 120 ? "..." : "");
        return text;
    }
}

static int is_class(SEXP v, const char *name) { return OBJECT(v) && Rf_inherits(v, name); }
static int is_factor(SEXP v) { return TYPEOF(v) == INTSXP && is_class(v, "factor"); }
static int is_frame(SEXP v) { return TYPEOF(v) == VECSXP && is_class(v, "data.frame"); }

/* `text`, cut at the border of a character. */
static int shown(const char *text)
{
    size_t n = strlen(text);
    if (n <= TEXT_SHOWN) return (int)n;
    for (n = TEXT_SHOWN; n && (text[n] & 0xc0) == 0x80;) n--;
    return (int)n;
}

/* Element `i` of a vector, or the value as a whole (-1), in the words of an error. */
static const char *found(SEXP v, R_xlen_t i)
{
    static char text[300];
    if (v == R_NilValue) return "NULL";
    if (is_frame(v)) {
        snprintf(text, sizeof text, "a data frame of %d columns", (int)XLENGTH(v));
        return text;
    }
    if (i < 0 && Rf_isVector(v) && XLENGTH(v) == 1 && TYPEOF(v) != VECSXP && TYPEOF(v) != RAWSXP) i = 0;
    if (i < 0 || !Rf_isVectorAtomic(v) || TYPEOF(v) == RAWSXP) {
        const char *name = is_factor(v) ? "factor" : TYPEOF(v) == REALSXP ? "numeric" : Rf_isFunction(v) ? "a function" : Rf_type2char(TYPEOF(v));
        if (Rf_isVector(v) && Rf_isMatrix(v)) snprintf(text, sizeof text, "a %s matrix of %d x %d", name, Rf_nrows(v), Rf_ncols(v));
        else if (Rf_isVector(v)) snprintf(text, sizeof text, "%s of length %.0f", name, (double)XLENGTH(v));
        else snprintf(text, sizeof text, "%s", name);
        return text;
    }
    switch (TYPEOF(v)) {
    case LGLSXP: return LOGICAL(v)[i] == NA_LOGICAL ? "NA" : LOGICAL(v)[i] ? "logical TRUE" : "logical FALSE";
    case INTSXP:
        if (INTEGER(v)[i] == NA_INTEGER) return "NA";
        if (is_factor(v)) return "a factor's level";
        snprintf(text, sizeof text, "integer %d", INTEGER(v)[i]);
        return text;
    case REALSXP:
        if (R_IsNA(REAL(v)[i])) return "NA";
        if (!isfinite(REAL(v)[i])) return isnan(REAL(v)[i]) ? "numeric NaN" : REAL(v)[i] > 0 ? "numeric Inf" : "numeric -Inf";
        snprintf(text, sizeof text, "numeric %.15g", REAL(v)[i]);
        return text;
    case STRSXP: {
        if (STRING_ELT(v, i) == NA_STRING) return "NA";
        const char *s = CHAR(STRING_ELT(v, i));
        int n = shown(s);
        snprintf(text, sizeof text, "character \"%.*s\"%s", n, s, s[n] ? "..." : "");
        if (utf8((unsigned char *)text, strlen(text)) != 1) return "character that is not valid as UTF-8";
        return text;
    }
    default: return Rf_type2char(TYPEOF(v));
    }
}

static int wrong_value(const struct type *t, SEXP v, R_xlen_t i)
{
    const char *what = found(v, i);
    if (!strcmp(what, "NA")) return wrong("expected %s, found NA; ? before the type lets NA through", expected(t));
    return wrong("expected %s, found %s", expected(t), what);
}

static int wrong_token(const struct type *t, const struct token *k)
{
    char text[160];
    switch (k->kind) {
    case INT: snprintf(text, sizeof text, "integer %lld", (long long)k->i); break;
    case UINT: snprintf(text, sizeof text, "integer %llu", (unsigned long long)k->u); break;
    case FLOAT: snprintf(text, sizeof text, "float %.17g", k->f); break;
    case ARRAY: snprintf(text, sizeof text, "an array of length %.0f", (double)k->n); break;
    case STR: {
        int good = utf8(k->data, k->n);
        if (good == 1 && k->n <= TEXT_SHOWN) snprintf(text, sizeof text, "text \"%.*s\"", (int)k->n, (const char *)k->data);
        else snprintf(text, sizeof text, "a text%s", good == -1 ? " with a NUL character, which R can't hold" : good ? "" : " that is not UTF-8");
        break;
    }
    case EXT:
        if (k->code == 11) strcpy(text, "an integer beyond 64 bits");
        else if (k->code == 12) strcpy(text, "a function");
        else snprintf(text, sizeof text, "a packed list or ext type %d", k->code);
        break;
    default: strcpy(text, TOKEN_NAMES[k->kind]);
    }
    return wrong("expected %s, found %s", expected(t), text);
}

/* ---- integers --------------------------------------------------------------------------------------------------- */

/* An integer on its way: SMALL in `i`, LARGE (beyond int64) in `u`, HUGE in its decimal digits. */
struct whole { enum { W_SMALL, W_LARGE, W_HUGE, W_NA } kind; int64_t i; uint64_t u; const char *digits; };

/* Two's complement, big-endian, to decimal digits, in memory that lives until vmaxset. */
static const char *decimal(const unsigned char *data, size_t n)
{
    int negative = n && data[0] & 0x80;
    size_t words = (n + 3) / 4, limbs = 0;
    uint32_t *limb = (uint32_t *)R_alloc(words * 10 / 9 + 2, 4 + 4);
    for (size_t w = 0; w < words; w++) {
        uint64_t carry = 0;
        for (size_t b = 0; b < 4; b++) {
            size_t place = w * 4 + b, pad = words * 4 - n;
            unsigned byte = place < pad ? (negative ? 0xff : 0) : data[place - pad];
            carry = carry << 8 | (negative ? byte ^ 0xff : byte);
        }
        for (size_t i = 0; i < limbs; i++) {
            uint64_t value = ((uint64_t)limb[i] << 32) + carry;
            limb[i] = (uint32_t)(value % 1000000000u);
            carry = value / 1000000000u;
        }
        for (; carry; carry /= 1000000000u) limb[limbs++] = (uint32_t)(carry % 1000000000u);
    }
    if (negative) {                /* the complement is one short of the magnitude */
        size_t i = 0;
        while (i < limbs && limb[i] == 999999999u) limb[i++] = 0;
        if (i == limbs) limb[limbs++] = 1; else limb[i]++;
    }
    char *text = R_alloc(limbs * 9 + 3, 1), *at = text;
    if (negative) *at++ = '-';
    if (!limbs) *at++ = '0';
    else at += sprintf(at, "%u", limb[limbs - 1]);
    for (size_t i = limbs > 0 ? limbs - 1 : 0; i--;) at += sprintf(at, "%09u", limb[i]);
    *at = 0;
    return text;
}

/* Decimal digits, with a sign perhaps, to an integer; 0 if they are none. */
static int from_digits(const char *text, struct whole *w)
{
    size_t n = strlen(text), at = *text == '-' || *text == '+';
    if (n == at || n - at > DIGITS_MAX || strspn(text + at, "0123456789") != n - at) return 0;
    errno = 0;
    w->kind = W_SMALL, w->i = strtoll(text, NULL, 10);
    if (!errno) return 1;
    errno = 0;
    w->kind = W_LARGE, w->u = strtoull(text, NULL, 10);
    if (!errno && *text != '-') return 1;
    w->kind = W_HUGE, w->digits = text;
    return 1;
}

/* An integer beyond 64 bits, as short as possible: ext type 11. */
static void put_huge(const char *digits)
{
    int negative = *digits == '-';
    if (*digits == '-' || *digits == '+') digits++;
    size_t n = strlen(digits), words = 0;
    const void *top = vmaxget();
    uint32_t *word = (uint32_t *)R_alloc(n / 9 + 2, 4);
    for (size_t i = 0; i < n;) {
        uint64_t carry = 0, scale = 1;
        for (; i < n && scale < 1000000000u; i++, scale *= 10) carry = carry * 10 + (unsigned)(digits[i] - '0');
        for (size_t k = 0; k < words; k++) {
            uint64_t value = word[k] * scale + carry;
            word[k] = (uint32_t)value;
            carry = value >> 32;
        }
        if (carry) word[words++] = (uint32_t)carry;
    }
    word[words++] = 0;
    if (negative)
        for (size_t k = 0, carry = 1; k < words; k++) {
            uint64_t value = (uint64_t)(uint32_t)~word[k] + carry;
            word[k] = (uint32_t)value;
            carry = value >> 32;
        }
    size_t bytes = words * 4;
#define BYTE_AT(k) ((unsigned)(word[(k) / 4] >> 8 * ((k) % 4)) & 0xff)
    while (bytes > 1 && BYTE_AT(bytes - 1) == (negative ? 0xffu : 0u) && (BYTE_AT(bytes - 2) >> 7) == (unsigned)negative) bytes--;
    put_ext(11, bytes);
    while (bytes--) put_byte((int)BYTE_AT(bytes));
#undef BYTE_AT
    vmaxset(top);
}

static void put_whole(const struct whole *w)
{
    if (w->kind == W_SMALL) put_i64(w->i);
    else if (w->kind == W_LARGE) put_u64(w->u);
    else put_huge(w->digits);
}

static int in_range(const struct type *t, const struct whole *w)
{
    if (t->kind == T_BIG) return 1;
    if (w->kind == W_HUGE) return 0;
    if (w->kind == W_LARGE) return !t->sign && t->width == 8;
    if (t->sign) return w->i >= INT64_MIN >> (64 - 8 * t->width) && w->i <= INT64_MAX >> (64 - 8 * t->width);
    return w->i >= 0 && (uint64_t)w->i <= UINT64_MAX >> (64 - 8 * t->width);
}

/* Element `i` of a vector as an integer of type `t`: 0 if it is none. NA is let through. */
static int whole_at(const struct type *t, SEXP v, R_xlen_t i, struct whole *w)
{
    w->kind = W_SMALL;
    if (TYPEOF(v) == INTSXP && !is_factor(v)) {
        w->i = INTEGER_ELT(v, i);
        if (w->i == NA_INTEGER) w->kind = W_NA;
    } else if (TYPEOF(v) == REALSXP && is_class(v, "integer64")) {
        memcpy(&w->i, REAL(v) + i, 8);
        if (w->i == INT64_MIN) w->kind = W_NA;
    } else if (TYPEOF(v) == REALSXP) {
        double d = REAL_ELT(v, i);
        if (R_IsNA(d)) w->kind = W_NA;
        else if (!(d == floor(d)) || isinf(d)) return wrong_value(t, v, i);
        else if (d >= -9223372036854775808.0 && d < 9223372036854775808.0) w->i = (int64_t)d;
        else if (d > 0 && d < 18446744073709551616.0) w->kind = W_LARGE, w->u = (uint64_t)d;
        else {
            char *digits = R_alloc(400, 1);
            snprintf(digits, 400, "%.0f", d);
            w->kind = W_HUGE, w->digits = digits;
        }
    } else if (TYPEOF(v) == STRSXP) {
        if (STRING_ELT(v, i) == NA_STRING) w->kind = W_NA;
        else if (!from_digits(CHAR(STRING_ELT(v, i)), w)) return wrong_value(t, v, i);
    } else if (TYPEOF(v) == LGLSXP && LOGICAL_ELT(v, i) == NA_LOGICAL) w->kind = W_NA;
    else return wrong_value(t, v, i);
    return w->kind == W_NA || in_range(t, w) ? 1 : wrong_value(t, v, i);
}

static int number_at(const struct type *t, SEXP v, R_xlen_t i, double *d)
{
    if (TYPEOF(v) == REALSXP && !is_class(v, "integer64")) *d = REAL_ELT(v, i);
    else if (TYPEOF(v) == REALSXP) {
        int64_t bits;
        memcpy(&bits, REAL(v) + i, 8);
        *d = bits == INT64_MIN ? NA_REAL : (double)bits;
    } else if (TYPEOF(v) == INTSXP && !is_factor(v)) *d = INTEGER_ELT(v, i) == NA_INTEGER ? NA_REAL : INTEGER_ELT(v, i);
    else if (TYPEOF(v) == LGLSXP && LOGICAL_ELT(v, i) == NA_LOGICAL) *d = NA_REAL;
    else return wrong_value(t, v, i);
    if (t->width == 4 && isfinite(*d) && isinf((float)*d)) return wrong_value(t, v, i);
    return 1;
}

/* ---- packed lists ----------------------------------------------------------------------------------------------- */

static const struct { int width; char form; } PACKED[] = { {0, 0}, {1, 'i'}, {2, 'i'}, {4, 'i'}, {8, 'i'}, {1, 'u'}, {2, 'u'}, {4, 'u'}, {8, 'u'}, {4, 'f'}, {8, 'f'} };

static int packed_code(const struct type *t)
{
    if (t->kind == T_FLOAT) return t->width == 4 ? 9 : 10;
    if (t->kind != T_INT) return 0;
    return (t->sign ? 1 : 5) + (t->width == 1 ? 0 : t->width == 2 ? 1 : t->width == 4 ? 2 : 3);
}

static int is_packed(const struct token *k) { return k->kind == EXT && k->code >= 1 && k->code <= 10 && k->n % (size_t)PACKED[k->code].width == 0; }

static size_t packed_length(const struct token *k) { return k->n / (size_t)PACKED[k->code].width; }

static uint64_t little_endian(const unsigned char *at, int width)
{
    uint64_t value = 0;
    for (int i = width; i--;) value = value << 8 | at[i];
    return value;
}

/* Element `i` of a packed list as if it stood alone. */
static struct token packed_element(const struct token *k, size_t i)
{
    int width = PACKED[k->code].width;
    uint64_t bits = little_endian(k->data + i * (size_t)width, width);
    struct token e = { .kind = INT };
    if (PACKED[k->code].form == 'f') {
        e.kind = FLOAT;
        if (width == 4) { uint32_t half = (uint32_t)bits; float f; memcpy(&f, &half, 4); e.f = f; }
        else memcpy(&e.f, &bits, 8);
    } else if (PACKED[k->code].form == 'i') e.i = (int64_t)(bits << (64 - 8 * width)) >> (64 - 8 * width);
    else if (bits > INT64_MAX) e.kind = UINT, e.u = bits;
    else e.i = (int64_t)bits;
    return e;
}

/* ---- wire to R -------------------------------------------------------------------------------------------------- */

static SEXP owner;                 /* the signature of the types at work: a function value that is decoded keeps it */
static SEXP decode(const struct type *t, const struct token *k, struct reader *r, int depth);
static SEXP decode_function(const struct type *t, const struct token *k);

static SEXPTYPE vector_of(const struct type *t)
{
    t = behind(t);
    if (t->kind == T_OPTIONAL) t = behind(t->kids[0]);
    if (t->kind == T_BOOL) return LGLSXP;
    if (t->kind == T_TEXT) return STRSXP;
    return t->kind == T_INT && (t->width < 4 || (t->width == 4 && t->sign)) ? INTSXP : REALSXP;
}

static SEXP digits_of(const struct whole *w)
{
    char text[32];
    if (w->kind == W_HUGE) return Rf_mkCharCE(w->digits, CE_UTF8);
    if (w->kind == W_LARGE) snprintf(text, sizeof text, "%llu", (unsigned long long)w->u);
    else snprintf(text, sizeof text, "%lld", (long long)w->i);
    return Rf_mkChar(text);
}

/* Vector `column` of `holder`, of the first `filled` elements, as a vector of a wider type. */
static SEXP widen(SEXP holder, R_xlen_t column, R_xlen_t filled, SEXPTYPE type)
{
    SEXP old = VECTOR_ELT(holder, column), wide = PROTECT(Rf_allocVector(type, XLENGTH(old)));
    for (R_xlen_t i = 0; i < filled; i++) {
        double d = TYPEOF(old) == REALSXP ? REAL(old)[i] : INTEGER(old)[i] == NA_INTEGER ? NA_REAL : INTEGER(old)[i];
        if (type == REALSXP) REAL(wide)[i] = d;
        else if (R_IsNA(d)) SET_STRING_ELT(wide, i, NA_STRING);
        else {
            char text[32];
            snprintf(text, sizeof text, "%.0f", d);
            SET_STRING_ELT(wide, i, Rf_mkChar(text));
        }
    }
    if (type == REALSXP) for (R_xlen_t i = filled; i < XLENGTH(old); i++) REAL(wide)[i] = 0;
    SET_VECTOR_ELT(holder, column, wide);
    UNPROTECT(1);
    return wide;
}

static void store_whole(SEXP holder, R_xlen_t column, R_xlen_t i, const struct whole *w)
{
    SEXP v = VECTOR_ELT(holder, column);
    if (TYPEOF(v) == INTSXP) {
        if (w->kind == W_SMALL && w->i > INT_MIN && w->i <= INT_MAX) { INTEGER(v)[i] = (int)w->i; return; }
        v = widen(holder, column, i, REALSXP);
    }
    if (TYPEOF(v) == REALSXP) {
        if (w->kind == W_SMALL && (double)w->i <= EXACT && (double)w->i >= -EXACT && w->i != (int64_t)EXACT + 1 && w->i != -(int64_t)EXACT - 1) {
            REAL(v)[i] = (double)w->i;
            return;
        }
        v = widen(holder, column, i, STRSXP);
    }
    SET_STRING_ELT(v, i, digits_of(w));
}

static void store_na(SEXP v, R_xlen_t i)
{
    switch (TYPEOF(v)) {
    case LGLSXP: LOGICAL(v)[i] = NA_LOGICAL; break;
    case INTSXP: INTEGER(v)[i] = NA_INTEGER; break;
    case REALSXP: REAL(v)[i] = NA_REAL; break;
    default: SET_STRING_ELT(v, i, NA_STRING);
    }
}

static int token_whole(const struct type *t, const struct token *k, struct whole *w)
{
    if (k->kind == INT) w->kind = W_SMALL, w->i = k->i;
    else if (k->kind == UINT) w->kind = W_LARGE, w->u = k->u;
    else if (k->kind == EXT && k->code == 11 && k->n && k->n <= 8) {
        uint64_t bits = big_endian(k->data, (int)k->n);
        w->kind = W_SMALL, w->i = (int64_t)(bits << (64 - 8 * k->n)) >> (64 - 8 * k->n);
    } else if (k->kind == EXT && k->code == 11 && k->n && k->n <= DIGITS_MAX / 2) {
        if (t->kind == T_BIG && !from_digits(decimal(k->data, k->n), w)) return wrong("expected j, found an integer of more than 100,000 digits");
        if (t->kind != T_BIG) return wrong_token(t, k);
    } else return wrong_token(t, k);
    return in_range(t, w) ? 1 : wrong_token(t, k);
}

/* Stores a value of a cell's type as element `i` of a vector. */
static int store(const struct type *t, const struct token *k, SEXP holder, R_xlen_t column, R_xlen_t i)
{
    SEXP v = VECTOR_ELT(holder, column);
    t = behind(t);
    if (t->kind == T_OPTIONAL) {
        if (k->kind == NIL) { store_na(v, i); return 1; }
        t = behind(t->kids[0]);
    }
    switch (t->kind) {
    case T_BOOL:
        if (k->kind != BOOL) return wrong_token(t, k);
        LOGICAL(v)[i] = (int)k->i;
        return 1;
    case T_TEXT:
        if (k->kind != STR || k->n > INT_MAX || utf8(k->data, k->n) != 1) return wrong_token(t, k);
        SET_STRING_ELT(v, i, Rf_mkCharLenCE((const char *)k->data, (int)k->n, CE_UTF8));
        return 1;
    case T_FLOAT: {
        double d;
        if (k->kind == FLOAT) d = k->f;
        else if (k->kind == INT) d = (double)k->i;
        else if (k->kind == UINT) d = (double)k->u;
        else return wrong_token(t, k);
        REAL(v)[i] = t->width == 4 ? (float)d : d;
        return 1;
    }
    default: {
        struct whole w;
        const void *top = vmaxget();
        if (!token_whole(t, k, &w)) return 0;
        store_whole(holder, column, i, &w);
        vmaxset(top);
        return 1;
    }
    }
}

/* A packed list of exactly the declared type, without a step per element where R keeps it the same way. */
static SEXP decode_packed(const struct type *t, const struct token *k)
{
    R_xlen_t n = (R_xlen_t)packed_length(k);
    if (k->code == 10 || k->code == 9) {
        SEXP v = Rf_allocVector(REALSXP, n);
        if (k->code == 10) { if (n) memcpy(REAL(v), k->data, k->n); }
        else for (R_xlen_t i = 0; i < n; i++) { float f; memcpy(&f, k->data + 4 * i, 4); REAL(v)[i] = f; }
        return v;
    }
    if (vector_of(t) == INTSXP) {
        SEXP v = Rf_allocVector(INTSXP, n);
        int *at = INTEGER(v);
        if (k->code == 3) {
            if (n) memcpy(at, k->data, k->n);
            for (R_xlen_t i = 0; i < n; i++) if (at[i] == NA_INTEGER) return NULL;
        } else for (R_xlen_t i = 0; i < n; i++)
            at[i] = k->code == 1 ? (signed char)k->data[i] : k->code == 5 ? k->data[i]
                  : k->code == 2 ? (int16_t)little_endian(k->data + 2 * i, 2) : (int)little_endian(k->data + 2 * i, 2);
        return v;
    }
    SEXP v = Rf_allocVector(REALSXP, n);
    for (R_xlen_t i = 0; i < n; i++) {
        struct token e = packed_element(k, (size_t)i);
        if (e.kind == UINT || e.i > (int64_t)EXACT || e.i < -(int64_t)EXACT) return NULL;
        REAL(v)[i] = (double)e.i;
    }
    return v;
}

static SEXP hold_vector(SEXPTYPE type, R_xlen_t n)
{
    SEXP holder = PROTECT(Rf_allocVector(VECSXP, 1));
    SET_VECTOR_ELT(holder, 0, Rf_allocVector(type, n));
    UNPROTECT(1);
    return holder;
}

/* The length of an array or packed list; -1 if it is neither, or not of the length that the type demands. */
static R_xlen_t length_of(const struct type *t, const struct token *k, const struct reader *r, int64_t demanded)
{
    R_xlen_t n;
    if (is_packed(k)) n = (R_xlen_t)packed_length(k);
    else if (k->kind == ARRAY && k->n <= (size_t)(r->end - r->at)) n = (R_xlen_t)k->n;
    else return wrong_token(t, k) - 1;
    return demanded < 0 || n == demanded ? n : wrong("expected %s, found %.0f elements", expected(t), (double)n) - 1;
}

static int element(const struct token *list, size_t i, struct reader *r, struct token *e)
{
    if (list->kind != EXT) return next_token(r, e) ? 1 : wrong("the values of a message can't be read");
    *e = packed_element(list, i);
    return 1;
}

/* The fields of a record: cells of row `row` of the columns in `holder`, or (-1) the elements of `holder`. */
static int decode_fields(const struct type *t, const struct token *k, struct reader *r, SEXP holder, R_xlen_t row, int depth)
{
    unsigned char few[64] = { 0 }, *seen = few;
    const void *top = vmaxget();
    if (t->count > 64) seen = memset(R_alloc((size_t)t->count, 1), 0, (size_t)t->count);
    int map = k->kind == MAP;
    R_xlen_t n = map ? (R_xlen_t)k->n : length_of(t, k, r, t->count);
    if (n < 0) return 0;
    for (R_xlen_t i = 0; i < n; i++) {
        struct token e, key;
        int field = (int)(i < t->count ? i : 0);
        if (map) {
            if (!next_token(r, &key)) return wrong("the values of a message can't be read");
            if (key.kind != STR) return wrong("expected %s, found a key that is no text", expected(t));
            for (int tried = 0; tried < t->count && !is_text(&key, t->keys[field]); tried++) field = (field + 1) % t->count;
            if (!t->count || !is_text(&key, t->keys[field]))
                return wrong("expected %s, found an unknown key, '%.*s'", expected(t), (int)(key.n < 40 ? key.n : 40), (const char *)key.data);
            if (seen[field]++) return wrong("expected %s, found the key '%.40s' twice", expected(t), t->keys[field]);
        } else seen[field] = 1;
        if (!element(k, (size_t)i, r, &e)) return 0;
        if (row >= 0) {
            if (!store(t->kids[field], &e, holder, field, row)) return within("$%.60s", t->keys[field]);
        } else {
            SEXP value = decode(t->kids[field], &e, r, depth + 1);
            if (!value) return within("$%.60s", t->keys[field]);
            SET_VECTOR_ELT(holder, field, value);
        }
    }
    for (int i = 0; i < t->count; i++)
        if (!seen[i]) {
            if (behind(t->kids[i])->kind != T_OPTIONAL) return wrong("expected %s, found no key '%.60s'", expected(t), t->keys[i]);
            if (row >= 0) store_na(VECTOR_ELT(holder, i), row);
        }
    vmaxset(top);
    return 1;
}

static SEXP set_keys(SEXP list, const struct type *t)
{
    SEXP names = PROTECT(Rf_allocVector(STRSXP, t->count));
    for (int i = 0; i < t->count; i++) SET_STRING_ELT(names, i, Rf_mkCharCE(t->keys[i], CE_UTF8));
    Rf_setAttrib(list, R_NamesSymbol, names);
    UNPROTECT(1);
    return list;
}

/* A list of records of cells: a data frame. */
static SEXP decode_table(const struct type *t, R_xlen_t n, struct reader *r, int depth)
{
    const struct type *record = behind(t->kids[0]);
    SEXP frame = PROTECT(Rf_allocVector(VECSXP, record->count));
    for (int i = 0; i < record->count; i++) SET_VECTOR_ELT(frame, i, Rf_allocVector(vector_of(record->kids[i]), n));
    for (R_xlen_t i = 0; i < n; i++) {
        struct token k;
        if (!next_token(r, &k)) wrong("the values of a message can't be read");
        else if (k.kind != MAP && k.kind != ARRAY && !is_packed(&k)) wrong_token(record, &k);
        else if (decode_fields(record, &k, r, frame, i, depth)) continue;
        within("[[%.0f]]", (double)i + 1);
        UNPROTECT(1);
        return NULL;
    }
    set_keys(frame, record);
    SEXP rows = PROTECT(Rf_allocVector(INTSXP, 2));
    INTEGER(rows)[0] = NA_INTEGER;
    INTEGER(rows)[1] = -(int)n;
    Rf_setAttrib(frame, R_RowNamesSymbol, rows);
    Rf_setAttrib(frame, R_ClassSymbol, PROTECT(Rf_mkString("data.frame")));
    UNPROTECT(3);
    return frame;
}

static SEXP decode_list(const struct type *t, const struct token *k, struct reader *r, int depth)
{
    const struct type *inner = behind(t->kids[0]);
    R_xlen_t n = length_of(t, k, r, t->length);
    if (n < 0) return NULL;
    if (is_packed(k) && k->code == packed_code(inner)) {
        SEXP v = decode_packed(inner, k);
        if (v) return v;
    }
    if (is_table(inner) && k->kind == ARRAY && n <= INT_MAX) return decode_table(t, n, r, depth);
    int cells = is_cell(inner);
    SEXP holder = PROTECT(cells ? hold_vector(vector_of(inner), n) : Rf_allocVector(VECSXP, n));
    for (R_xlen_t i = 0; i < n; i++) {
        struct token e;
        SEXP value = NULL;
        int good = element(k, (size_t)i, r, &e);
        if (good && cells) good = store(inner, &e, holder, 0, i);
        else if (good && (good = (value = decode(inner, &e, r, depth + 1)) != NULL)) SET_VECTOR_ELT(holder, i, value);
        if (!good) {
            within(cells ? "[%.0f]" : "[[%.0f]]", (double)i + 1);
            UNPROTECT(1);
            return NULL;
        }
    }
    UNPROTECT(1);
    return cells ? VECTOR_ELT(holder, 0) : holder;
}

/* The R value, or NULL after `wrong`. Nothing stays protected. */
static SEXP decode(const struct type *t, const struct token *k, struct reader *r, int depth)
{
    R_CheckStack();
    t = behind(t);
    if (depth > DEPTH_MAX) return wrong("expected at most 512 levels of values"), NULL;
    switch (t->kind) {
    case T_NIL: return k->kind == NIL ? R_NilValue : (wrong_token(t, k), NULL);
    case T_OPTIONAL: return k->kind == NIL ? R_NilValue : decode(t->kids[0], k, r, depth);
    case T_BYTES: {
        if (k->kind != BIN) return wrong_token(t, k), NULL;
        SEXP v = Rf_allocVector(RAWSXP, (R_xlen_t)k->n);
        if (k->n) memcpy(RAW(v), k->data, k->n);
        return v;
    }
    case T_LIST: return decode_list(t, k, r, depth);
    case T_TUPLE: {
        R_xlen_t n = length_of(t, k, r, t->count);
        if (n < 0) return NULL;
        SEXP list = PROTECT(Rf_allocVector(VECSXP, n));
        for (R_xlen_t i = 0; i < n; i++) {
            struct token e;
            SEXP value = element(k, (size_t)i, r, &e) ? decode(t->kids[i], &e, r, depth + 1) : NULL;
            if (!value) return within("[[%d]]", (int)i + 1), UNPROTECT(1), NULL;
            SET_VECTOR_ELT(list, i, value);
        }
        UNPROTECT(1);
        return list;
    }
    case T_RECORD: {
        if (k->kind != MAP && k->kind != ARRAY && !is_packed(k)) return wrong_token(t, k), NULL;
        SEXP list = PROTECT(Rf_allocVector(VECSXP, t->count));
        SEXP done = decode_fields(t, k, r, list, -1, depth) ? set_keys(list, t) : NULL;
        UNPROTECT(1);
        return done;
    }
    case T_FUNCTION: return decode_function(t, k);
    default: {
        SEXP holder = PROTECT(hold_vector(vector_of(t), 1));
        int good = store(t, k, holder, 0, 0);
        UNPROTECT(1);
        return good ? VECTOR_ELT(holder, 0) : NULL;
    }
    }
}

/* ---- R to wire -------------------------------------------------------------------------------------------------- */

static int encode(const struct type *t, SEXP v, int depth);
static int encode_function(const struct type *t, SEXP v);

static int put_charsxp(const struct type *t, SEXP text, SEXP v, R_xlen_t i)
{
    if (text == NA_STRING || Rf_getCharCE(text) == CE_BYTES) return wrong_value(t, v, i);
    const void *top = vmaxget();
    const char *s = CHAR(text);
    /* Translating would turn what is not valid into "<ff>". */
    int invalid = utf8((const unsigned char *)s, strlen(s)) != 1;
    if (Rf_getCharCE(text) == CE_LATIN1 || (invalid && strcmp(nl_langinfo(CODESET), "UTF-8"))) s = Rf_translateCharUTF8(text);
    size_t n = strlen(s);
    if (utf8((const unsigned char *)s, n) != 1) return wrong_value(t, v, i);
    put_text(s, n);
    vmaxset(top);
    return 1;
}

static SEXP label(SEXP factor, R_xlen_t i)
{
    SEXP levels = Rf_getAttrib(factor, R_LevelsSymbol);
    int level = INTEGER_ELT(factor, i);
    if (level == NA_INTEGER || TYPEOF(levels) != STRSXP || level < 1 || level > XLENGTH(levels)) return NA_STRING;
    return STRING_ELT(levels, level - 1);
}

/* Whether element `i` is NA, for a type that has it as nil. NaN is a number. */
static int is_na(SEXP v, R_xlen_t i)
{
    switch (TYPEOF(v)) {
    case NILSXP: return 1;
    case LGLSXP: return LOGICAL_ELT(v, i) == NA_LOGICAL;
    case INTSXP: return INTEGER_ELT(v, i) == NA_INTEGER;
    case STRSXP: return STRING_ELT(v, i) == NA_STRING;
    case REALSXP:
        if (is_class(v, "integer64")) { int64_t bits; memcpy(&bits, REAL(v) + i, 8); return bits == INT64_MIN; }
        return R_IsNA(REAL_ELT(v, i));
    case VECSXP: {
        SEXP e = VECTOR_ELT(v, i);
        return e == R_NilValue || (Rf_isVectorAtomic(e) && TYPEOF(e) != RAWSXP && XLENGTH(e) == 1 && is_na(e, 0));
    }
    default: return 0;
    }
}

/* Element `i` of a vector or list as a cell. */
static int encode_cell(const struct type *t, SEXP v, R_xlen_t i)
{
    t = behind(t);
    if (t->kind == T_OPTIONAL) {
        if (is_na(v, i)) { put_nil(); return 1; }
        t = behind(t->kids[0]);
    }
    if (TYPEOF(v) == VECSXP) return encode(t, VECTOR_ELT(v, i), 0);
    switch (t->kind) {
    case T_BOOL:
        if (TYPEOF(v) != LGLSXP || LOGICAL_ELT(v, i) == NA_LOGICAL) return wrong_value(t, v, i);
        put_bool(LOGICAL_ELT(v, i));
        return 1;
    case T_TEXT:
        if (is_factor(v)) return put_charsxp(t, label(v, i), v, i);
        if (TYPEOF(v) != STRSXP) return wrong_value(t, v, i);
        return put_charsxp(t, STRING_ELT(v, i), v, i);
    case T_FLOAT: {
        double d;
        if (!number_at(t, v, i, &d)) return 0;
        if (t->width == 4) put_float((float)d); else put_double(d);
        return 1;
    }
    default: {
        struct whole w;
        const void *top = vmaxget();
        if (!whole_at(t, v, i, &w) || w.kind == W_NA) return w.kind == W_NA ? wrong_value(t, v, i) : 0;
        put_whole(&w);
        vmaxset(top);
        return 1;
    }
    }
}

static void put_little(unsigned char *at, uint64_t bits, int width)
{
    for (int i = 0; i < width; i++) at[i] = (unsigned char)(bits >> 8 * i);
}

/* A vector of numbers as a packed list. */
static int encode_packed(const struct type *t, SEXP v, R_xlen_t n)
{
    int code = packed_code(t);
    size_t width = (size_t)t->width, start;
    put_ext(code, (size_t)n * width);
    start = out.length;
    extend((size_t)n * width);
    int plain = !OBJECT(v) || !is_class(v, "integer64");
    if (code == 10 && TYPEOF(v) == REALSXP && plain) {
        if (n) memcpy(out.data + start, REAL(v), (size_t)n * 8);
        return 1;
    }
    if (code == 3 && TYPEOF(v) == INTSXP && !is_factor(v)) {
        const int *from = INTEGER(v);
        R_xlen_t na = 0;
        while (na < n && from[na] != NA_INTEGER) na++;
        if (na < n) return wrong_value(t, v, na), within("[%.0f]", (double)na + 1);
        if (n) memcpy(out.data + start, from, (size_t)n * 4);
        return 1;
    }
    const void *top = vmaxget();
    for (R_xlen_t i = 0; i < n; i++) {
        SEXP from = v;
        R_xlen_t at = i;
        if (TYPEOF(v) == VECSXP) {
            from = VECTOR_ELT(v, i), at = 0;
            if (!Rf_isVectorAtomic(from) || XLENGTH(from) != 1) return wrong_value(t, from, -1), within("[[%.0f]]", (double)i + 1);
        }
        uint64_t bits;
        if (t->kind == T_FLOAT) {
            double d;
            if (!number_at(t, from, at, &d)) return within("[%.0f]", (double)i + 1);
            if (width == 4) { float f = (float)d; uint32_t half; memcpy(&half, &f, 4); bits = half; }
            else memcpy(&bits, &d, 8);
        } else {
            struct whole w;
            if (!whole_at(t, from, at, &w)) return within("[%.0f]", (double)i + 1);
            if (w.kind == W_NA) return wrong_value(t, from, at), within("[%.0f]", (double)i + 1);
            bits = w.kind == W_LARGE ? w.u : (uint64_t)w.i;
        }
        put_little(out.data + start + (size_t)i * width, bits, (int)width);
    }
    vmaxset(top);
    return 1;
}

/* The rows of a matrix, each a list of type `t`. */
static int encode_matrix(const struct type *t, SEXP v)
{
    int rows = Rf_nrows(v), columns = Rf_ncols(v);
    put_array((size_t)rows);
    for (int i = 0; i < rows; i++) {
        SEXP row = PROTECT(Rf_allocVector(TYPEOF(v), columns));
        for (int k = 0; k < columns; k++) {
            R_xlen_t at = i + (R_xlen_t)k * rows;
            switch (TYPEOF(v)) {
            case LGLSXP: LOGICAL(row)[k] = LOGICAL_ELT(v, at); break;
            case INTSXP: INTEGER(row)[k] = INTEGER_ELT(v, at); break;
            case REALSXP: REAL(row)[k] = REAL_ELT(v, at); break;
            case STRSXP: SET_STRING_ELT(row, k, STRING_ELT(v, at)); break;
            case VECSXP: SET_VECTOR_ELT(row, k, VECTOR_ELT(v, at)); break;
            default: UNPROTECT(1); return wrong_value(t, v, -1);
            }
        }
        int good = encode(t, row, 1);
        UNPROTECT(1);
        if (!good) return within("[%d, ]", i + 1);
    }
    return 1;
}

/* The column (or element) of each key in `index`, -1 for one that an optional type lets be absent. */
static int match_keys(const struct type *t, SEXP v, int *index)
{
    SEXP names = Rf_getAttrib(v, R_NamesSymbol);
    R_xlen_t n = XLENGTH(v);
    if (n && TYPEOF(names) != STRSXP) return wrong("expected %s, found %s without names", expected(t), found(v, -1));
    R_xlen_t known = 0;
    for (int i = 0; i < t->count; i++) {
        index[i] = -1;
        for (R_xlen_t k = 0; k < n; k++)
            if (!strcmp(Rf_translateCharUTF8(STRING_ELT(names, k)), t->keys[i])) {
                if (index[i] >= 0) return wrong("expected %s, found the name '%.60s' twice", expected(t), t->keys[i]);
                index[i] = (int)k;
                known++;
            }
        if (index[i] < 0 && behind(t->kids[i])->kind != T_OPTIONAL)
            return wrong("expected %s, found nothing named '%.60s'", expected(t), t->keys[i]);
    }
    if (known == n) return 1;
    for (R_xlen_t k = 0; k < n; k++) {
        const char *name = Rf_translateCharUTF8(STRING_ELT(names, k));
        int used = 0;
        for (int i = 0; i < t->count; i++) used |= !strcmp(name, t->keys[i]);
        if (!used) return wrong("expected %s, found an unknown name, '%.60s'", expected(t), name);
    }
    return 1;
}

static R_xlen_t rows_of(SEXP frame)
{
    SEXP rows = Rf_getAttrib(frame, R_RowNamesSymbol);
    return XLENGTH(rows);
}

/* A data frame as a list of records. */
static int encode_table(const struct type *list, SEXP v, int depth)
{
    const struct type *t = behind(list->kids[0]);
    const void *top = vmaxget();
    int *index = (int *)R_alloc((size_t)t->count + 1, sizeof *index);
    if (!match_keys(t, v, index)) return 0;
    R_xlen_t rows = rows_of(v);
    if (list->length >= 0 && rows != list->length) return wrong("expected %s, found a data frame of %.0f rows", expected(list), (double)rows);
    for (int i = 0; i < t->count; i++)
        if (index[i] >= 0) {
            SEXP column = VECTOR_ELT(v, index[i]);
            if (!Rf_isVector(column) || XLENGTH(column) != rows || is_frame(column))
                return wrong("expected a column of %.0f elements, found %s", (double)rows, found(column, -1)), within("$%.60s", t->keys[i]);
        }
    put_array((size_t)rows);
    for (R_xlen_t row = 0; row < rows; row++) {
        put_map((size_t)t->count);
        for (int i = 0; i < t->count; i++) {
            put_string(t->keys[i]);
            int good = 1;
            if (index[i] < 0) put_nil();
            else {
                SEXP column = VECTOR_ELT(v, index[i]);
                if (is_cell(t->kids[i])) good = encode_cell(t->kids[i], column, row);
                else good = TYPEOF(column) == VECSXP ? encode(t->kids[i], VECTOR_ELT(column, row), depth + 2) : wrong_value(t->kids[i], column, -1);
            }
            if (!good) return within("$%.60s", t->keys[i]), within("[[%.0f]]", (double)row + 1);
        }
    }
    vmaxset(top);
    return 1;
}

static int encode_list(const struct type *t, SEXP v, int depth)
{
    const struct type *inner = behind(t->kids[0]);
    if (is_frame(v) && inner->kind == T_RECORD) return encode_table(t, v, depth);
    if (v == R_NilValue && t->length <= 0) v = Rf_allocVector(VECSXP, 0);   /* c() is NULL */
    PROTECT(v);
    int good = 0, cells = is_cell(inner), matrix = Rf_isVector(v) && Rf_isMatrix(v);
    R_xlen_t n = Rf_isVector(v) ? XLENGTH(v) : 0;
    if (!Rf_isVector(v) || TYPEOF(v) == EXPRSXP || (matrix && inner->kind != T_LIST) || is_frame(v)) wrong_value(t, v, -1);
    else if (t->length >= 0 && (matrix ? Rf_nrows(v) : n) != t->length) wrong("expected %s, found %s", expected(t), found(v, -1));
    else if (matrix) good = encode_matrix(inner, v);
    else if (packed_code(inner) && TYPEOF(v) != RAWSXP) good = encode_packed(inner, v, n);
    else if (inner->kind == T_INT && inner->width == 1 && !inner->sign && TYPEOF(v) == RAWSXP) {
        put_ext(5, (size_t)n);
        put_bytes(RAW(v), (size_t)n);
        good = 1;
    } else if (!cells && TYPEOF(v) != VECSXP && n) wrong_value(t, v, -1);
    else {
        put_array((size_t)n);
        R_xlen_t i = 0;
        for (good = 1; i < n && good; i++) good = cells ? encode_cell(inner, v, i) : encode(inner, VECTOR_ELT(v, i), depth + 1);
        if (!good) within(TYPEOF(v) == VECSXP ? "[[%.0f]]" : "[%.0f]", (double)i);
    }
    UNPROTECT(1);
    return good;
}

/* Appends a value of the type to `out`; 0 after `wrong`. */
static int encode(const struct type *t, SEXP v, int depth)
{
    R_CheckStack();
    t = behind(t);
    if (depth > DEPTH_MAX) return wrong("expected at most 512 levels of values");
    switch (t->kind) {
    case T_NIL:
        if (v != R_NilValue) return wrong_value(t, v, -1);
        put_nil();
        return 1;
    case T_OPTIONAL:
        if (v == R_NilValue) { put_nil(); return 1; }
        if (is_scalar(t->kids[0]) && Rf_isVectorAtomic(v) && TYPEOF(v) != RAWSXP && XLENGTH(v) == 1 && is_na(v, 0)) { put_nil(); return 1; }
        return encode(t->kids[0], v, depth);
    case T_BYTES:
        if (TYPEOF(v) != RAWSXP) return wrong_value(t, v, -1);
        put_head((size_t)XLENGTH(v), 0, 0, 0xc4, 0xc5);
        put_bytes(RAW(v), (size_t)XLENGTH(v));
        return 1;
    case T_LIST: return encode_list(t, v, depth);
    case T_TUPLE: {
        if (!Rf_isVector(v) || is_frame(v) || TYPEOF(v) == EXPRSXP) return wrong_value(t, v, -1);
        if (XLENGTH(v) != t->count) return wrong("expected %s, found %s", expected(t), found(v, -1));
        put_array((size_t)t->count);
        for (int i = 0; i < t->count; i++) {
            int good;
            if (TYPEOF(v) == VECSXP) good = encode(t->kids[i], VECTOR_ELT(v, i), depth + 1);
            else good = is_cell(t->kids[i]) ? encode_cell(t->kids[i], v, i) : wrong_value(t->kids[i], v, i);
            if (!good) return within("[[%d]]", i + 1);
        }
        return 1;
    }
    case T_RECORD: {
        if ((TYPEOF(v) != VECSXP && !(Rf_isVectorAtomic(v) && v != R_NilValue && TYPEOF(v) != RAWSXP)) || is_factor(v)) return wrong_value(t, v, -1);
        const void *top = vmaxget();
        int *index = (int *)R_alloc((size_t)t->count + 1, sizeof *index);
        if (!match_keys(t, v, index)) return 0;
        put_map((size_t)t->count);
        for (int i = 0; i < t->count; i++) {
            put_string(t->keys[i]);
            int good = 1;
            if (index[i] < 0) put_nil();
            else if (TYPEOF(v) == VECSXP) good = encode(t->kids[i], VECTOR_ELT(v, index[i]), depth + 1);
            else good = is_cell(t->kids[i]) ? encode_cell(t->kids[i], v, index[i]) : wrong_value(t->kids[i], v, index[i]);
            if (!good) return within("$%.60s", t->keys[i]);
        }
        vmaxset(top);
        return 1;
    }
    case T_FUNCTION: return encode_function(t, v);
    default:
        if (!Rf_isVectorAtomic(v) || v == R_NilValue || TYPEOF(v) == RAWSXP || XLENGTH(v) != 1) return wrong_value(t, v, -1);
        return encode_cell(t, v, 0);
    }
}

/* ---- values without a schema ------------------------------------------------------------------------------------ */

/* A value that says by itself what it is. One element is a scalar, unless it is in I(); no or several are a list. */
static void encode_plain_at(SEXP v, R_xlen_t i)
{
    static const struct type text = { .kind = T_TEXT }, integer = { .kind = T_BIG };
    struct whole w;
    if (is_na(v, i)) { put_nil(); return; }
    switch (TYPEOF(v)) {
    case LGLSXP: put_bool(LOGICAL_ELT(v, i)); return;
    case REALSXP:
        if (!is_class(v, "integer64")) {
            double d = REAL_ELT(v, i);
            if (d != floor(d) || fabs(d) > EXACT || (d == 0 && signbit(d))) { put_double(d); return; }
        } /* fall through */
    case INTSXP:
        if (is_factor(v)) { if (!put_charsxp(&text, label(v, i), v, i)) mismatch("", 0, "a value"); return; }
        if (!whole_at(&integer, v, i, &w)) mismatch("", 0, "a value");
        put_whole(&w);
        return;
    default: if (!put_charsxp(&text, STRING_ELT(v, i), v, i)) mismatch("", 0, "a value");
    }
}

static void encode_plain(SEXP v, int depth)
{
    R_CheckStack();
    if (depth > DEPTH_MAX) fail("a value of more than 512 levels can't be sent");
    R_xlen_t n = Rf_isVector(v) ? XLENGTH(v) : 0;
    SEXP names = Rf_isVector(v) ? Rf_getAttrib(v, R_NamesSymbol) : R_NilValue;
    if (v == R_NilValue) put_nil();
    else if (TYPEOF(v) == RAWSXP) {
        put_head((size_t)n, 0, 0, 0xc4, 0xc5);
        put_bytes(RAW(v), (size_t)n);
    } else if (is_frame(v)) {
        R_xlen_t rows = rows_of(v);
        put_array((size_t)rows);
        for (R_xlen_t row = 0; row < rows; row++) {
            put_map((size_t)n);
            for (R_xlen_t i = 0; i < n; i++) {
                SEXP column = VECTOR_ELT(v, i);
                if (XLENGTH(column) != rows) fail("a data frame with a column that is no vector can't be sent without a schema");
                put_string(Rf_translateCharUTF8(STRING_ELT(names, i)));
                if (TYPEOF(column) == VECSXP) encode_plain(VECTOR_ELT(column, row), depth + 2);
                else if (Rf_isVectorAtomic(column)) encode_plain_at(column, row);
                else fail("a data frame with a column that is no vector can't be sent without a schema");
            }
        }
    } else if (TYPEOF(v) == VECSXP) {
        int map = TYPEOF(names) == STRSXP;
        if (map) put_map((size_t)n); else put_array((size_t)n);
        for (R_xlen_t i = 0; i < n; i++) {
            if (map) put_string(Rf_translateCharUTF8(STRING_ELT(names, i)));
            encode_plain(VECTOR_ELT(v, i), depth + 1);
        }
    } else if (Rf_isVectorAtomic(v) && TYPEOF(v) != CPLXSXP) {
        if (n != 1 || is_class(v, "AsIs")) put_array((size_t)n);
        for (R_xlen_t i = 0; i < n; i++) encode_plain_at(v, i);
    } else fail("a value of type %s can't be sent without a schema", Rf_type2char(TYPEOF(v)));
}

static const struct type PLAIN_BOOL = { .kind = T_BOOL }, PLAIN_BIG = { .kind = T_BIG }, PLAIN_FLOAT = { .kind = T_FLOAT, .width = 8 },
                         PLAIN_TEXT = { .kind = T_TEXT }, PLAIN_BYTES = { .kind = T_BYTES };

static const struct type *plain_type(const struct token *k)
{
    return k->kind == BOOL ? &PLAIN_BOOL : k->kind == FLOAT ? &PLAIN_FLOAT : k->kind == STR ? &PLAIN_TEXT
         : k->kind == INT || k->kind == UINT || (k->kind == EXT && k->code == 11) ? &PLAIN_BIG : NULL;
}

/* A wire value without a schema: a list of scalars of one kind is a vector, a map a named list. */
static SEXP decode_plain(const struct token *k, struct reader *r, int depth)
{
    R_CheckStack();
    if (depth > DEPTH_MAX) return wrong("expected at most 512 levels of values"), NULL;
    if (k->kind == NIL) return R_NilValue;
    if (plain_type(k)) return decode(plain_type(k), k, r, depth);
    if (k->kind == BIN) return decode(&PLAIN_BYTES, k, r, depth);
    if (k->kind == EXT && !is_packed(k)) return wrong("ext type %d has no value in R", k->code), NULL;
    if (k->kind != EXT && k->n > (size_t)(r->end - r->at)) return wrong("the values of a message can't be read"), NULL;
    if (k->kind == MAP) {
        SEXP list = PROTECT(Rf_allocVector(VECSXP, (R_xlen_t)k->n)), names = PROTECT(Rf_allocVector(STRSXP, (R_xlen_t)k->n));
        for (R_xlen_t i = 0; i < (R_xlen_t)k->n; i++) {
            struct token e;
            if (!next_token(r, &e) || e.kind != STR || utf8(e.data, e.n) != 1) return wrong("a map has a key that is no text"), UNPROTECT(2), NULL;
            SET_STRING_ELT(names, i, Rf_mkCharLenCE((const char *)e.data, (int)e.n, CE_UTF8));
            SEXP value = next_token(r, &e) ? decode_plain(&e, r, depth + 1) : (wrong("the values of a message can't be read"), NULL);
            if (!value) return UNPROTECT(2), NULL;
            SET_VECTOR_ELT(list, i, value);
        }
        Rf_setAttrib(list, R_NamesSymbol, names);
        UNPROTECT(2);
        return list;
    }
    size_t n = is_packed(k) ? packed_length(k) : k->n;
    const struct type *same = NULL;
    struct reader ahead = *r;
    for (size_t i = 0; i < n; i++) {
        struct token e;
        if (!element(k, i, &ahead, &e)) return NULL;
        const struct type *kind = plain_type(&e);
        if (kind && same && kind != same && (kind == &PLAIN_BIG || kind == &PLAIN_FLOAT) && (same == &PLAIN_BIG || same == &PLAIN_FLOAT)) kind = same = &PLAIN_FLOAT;
        if ((!kind && e.kind != NIL) || (kind && same && kind != same)) { same = NULL; break; }
        if (kind) same = kind;
    }
    if (same) {
        struct type *kids[2] = { (struct type *)same, NULL }, maybe = { .kind = T_OPTIONAL, .kids = kids, .count = 1 }, *inner[1] = { &maybe };
        struct type list = { .kind = T_LIST, .length = -1, .kids = inner, .count = 1, .text = "a list", .text_length = 6 };
        return decode(&list, k, r, depth);
    }
    SEXP list = PROTECT(Rf_allocVector(VECSXP, (R_xlen_t)n));
    for (size_t i = 0; i < n; i++) {
        struct token e;
        SEXP value = element(k, i, r, &e) ? decode_plain(&e, r, depth + 1) : NULL;
        if (!value) return UNPROTECT(1), NULL;
        SET_VECTOR_ELT(list, (R_xlen_t)i, value);
    }
    UNPROTECT(1);
    return list;
}

/* ---- the connection --------------------------------------------------------------------------------------------- */

/* What has arrived lies in memory of mmap, which the handler of SIGINT may extend (malloc may not be called there).
 * `head` is where the frame that comes next starts, once the `consume` bytes of the last one are dropped. */
static struct { unsigned char *data; size_t room, head, length, consume; } in;
static int in_fd = -1, out_fd = -1, in_socket, out_socket;
static volatile sig_atomic_t held = 1, noted, closed, hung;

/* The calls on this worker's stack, outermost first. */
struct call { int64_t id; char began, answered; volatile char cancelled; };
static struct call *calls;
static int depth, deepest, calls_room;
static char *stack_low;            /* the lowest address of the worker's own stack that may be used */

/* Requests to nexus that wait for an answer, by ascending id. `data` is what has arrived: error and result. */
struct request { int64_t id; enum { R_OPEN, R_ANSWERED, R_DROPPED } state; unsigned char *data; size_t length; };
static struct request *requests;
static size_t requests_count, requests_room, requests_dropped;
static int64_t last_id;
static unsigned char *taken;       /* the stored answer that is being read */

static char pool_name[256];
static char runtime_name[64];
static pid_t worker_pid;           /* this process, if it is a worker */
static pid_t loading_pid;          /* the process that loaded the code: the directory of temporary files is its own */
static enum { UNIX, DIRECT, STDIO } transport;
static int listen_fd = -1, control_fd = -1, life_fd = -1;
static char nexus_dir[PATH_MAX], temp_dir[PATH_MAX];

static SEXP runtime;               /* the environment of nexus_pool.R's functions */
static SEXP keep;                  /* what lives as long as the process; see the slots */
enum { K_FUNCTIONS, K_VALUES, K_TRACE, K_RUN, K_SLOTS };

static void die(int code, const char *form, ...) __attribute__((noreturn, format(printf, 2, 3)));
static void leave(int code) __attribute__((noreturn));
static void leave_group(void) __attribute__((noreturn));

/* Room for at least one more byte behind what has arrived; 0 if there is no memory. Safe in a signal handler. */
static int make_room(void)
{
    if (in.room - in.length >= READ_BYTES) return 1;
    size_t start = in.head + in.consume;
    if (start && (start == in.length || start >= in.length / 2)) {
        memmove(in.data, in.data + start, in.length - start);
        in.length -= start;
        in.head = in.consume = 0;
        if (in.room - in.length >= READ_BYTES) return 1;
    }
    size_t room = in.room ? in.room * 2 : 2 * READ_BYTES;
    void *data = in.room ? mremap(in.data, in.room, room, MREMAP_MAYMOVE)
                         : mmap(NULL, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (data == MAP_FAILED) return in.room > in.length;
    in.data = data;
    in.room = room;
    return 1;
}

/* Takes in what has arrived, waiting for it if told to. Sets `closed` at the end. Returns whether something came. */
static int fill(int wait)
{
    if (!make_room()) { if (wait) die(70, "there is no memory for a message of %zu bytes", in.length); return 0; }
    size_t room = in.room - in.length;
    if (room > 4 * READ_BYTES && in.length < room) room = 4 * READ_BYTES;
    ssize_t n;
    if (in_socket) n = recv(in_fd, in.data + in.length, room, wait ? 0 : MSG_DONTWAIT);
    else {
        struct pollfd p = { .fd = in_fd, .events = POLLIN };
        if (!wait && poll(&p, 1, 0) <= 0) return 0;
        n = read(in_fd, in.data + in.length, room);
    }
    if (n > 0) { in.length += (size_t)n; return 1; }
    if (n == 0 || (errno != EINTR && errno != EAGAIN && errno != EWOULDBLOCK)) closed = 1;
    return 0;
}

/* The frame that comes next, or NULL at the end. It stays where it is until the next one is asked for. */
static int next_frame(struct reader *r)
{
    in.head += in.consume;
    in.consume = 0;
    if (in.head == in.length) {
        in.head = in.length = 0;
        if (in.room > KEEP_BYTES) { munmap(in.data, in.room); in.data = NULL; in.room = 0; }
    }
    while (!closed) {
        if (in.length - in.head >= 4) {
            size_t n = big_endian(in.data + in.head, 4);
            if (n > FRAME_BYTES_MAX) die(70, "nexus sent a frame of %zu bytes, the limit is 4 GiB", n);
            if (in.length - in.head - 4 >= n) {
                r->at = in.data + in.head + 4;
                r->end = r->at + n;
                in.consume = 4 + n;
                return 1;
            }
        }
        fill(1);
    }
    return 0;
}

/* What a message starts with. 0 if it is none. `r` is left at the params, or at the error. */
struct head { int kind; int64_t id; struct token method; };

static int read_head(struct reader *r, struct head *h)
{
    struct token t;
    if (!next_token(r, &t) || t.kind != ARRAY) return 0;
    size_t parts = t.n;
    if (!next_token(r, &t) || t.kind != INT || t.i < 0 || t.i > 2 || parts != (t.i == 2 ? 3 : 4)) return 0;
    h->kind = (int)t.i;
    if (h->kind != 2) {
        if (!next_token(r, &t) || t.kind != INT) return 0;
        h->id = t.i;
    }
    return h->kind == 1 || (next_token(r, &h->method) && h->method.kind == STR);
}

/* A cancel that has arrived for a call on the stack; whether it is the innermost. */
static int mark_cancelled(struct reader r)
{
    struct token t;
    if (!next_token(&r, &t) || t.kind != ARRAY || !t.n || !next_token(&r, &t) || t.kind != INT) return 0;
    for (int i = depth; i--;)
        if (calls[i].id == t.i && !calls[i].answered) {
            calls[i].cancelled = 1;
            return i == depth - 1;
        }
    return 0;
}

/* Looks through what has arrived for a cancel of the running call. What else is there stays. Runs in the handler. */
static void look(void)
{
    while (!closed && fill(0)) continue;
    size_t at = in.head + in.consume;
    while (in.length - at >= 4) {
        size_t n = big_endian(in.data + at, 4);
        if (in.length - at - 4 < n) break;
        struct reader r = { in.data + at + 4, in.data + at + 4 + n };
        struct head h;
        if (read_head(&r, &h) && h.kind == 2 && is_text(&h.method, "cancel")) mark_cancelled(r);
        at += 4 + n;
    }
    if (depth && (calls[depth - 1].cancelled || closed)) R_interrupts_pending = 1;
}

static void on_interrupt(int number)
{
    (void)number;
    int before = errno;
    if (held) noted = 1; else look();
    errno = before;
}

static void hold(void) { held = 1; }

/* User code runs from here on. */
static void release(void)
{
    if (hung) leave_group();
    held = 0;
    while (noted) { noted = 0; held = 1; look(); held = 0; }
}

static void start_message(void) { out.length = 0; extend(4); }

static void start_answer(int64_t id) { start_message(); put_array(4); put_byte(1); put_i64(id); }

static void start_notification(const char *method, size_t params)
{
    start_message();
    put_array(3);
    put_byte(2);
    put_string(method);
    put_array(params);
}

static void check_size(void)
{
    if (out.length - 4 > FRAME_BYTES_MAX) fail("a message of %.0f bytes can't be sent: the limit is 4 GiB", (double)out.length);
}

/* While the other side takes nothing, what it sends is taken in: it may be stuck in just this place. */
static void send_bytes(const unsigned char *data, size_t length)
{
    for (size_t at = 0; at < length && !closed;) {
        ssize_t n = out_socket ? send(out_fd, data + at, length - at, MSG_DONTWAIT | MSG_NOSIGNAL)
                               : write(out_fd, data + at, length - at);
        if (n >= 0) { at += (size_t)n; continue; }
        if (errno == EINTR) continue;
        if (errno != EAGAIN && errno != EWOULDBLOCK) { closed = 1; break; }
        struct pollfd p[2] = { { .fd = out_fd, .events = POLLOUT }, { .fd = in_fd, .events = POLLIN } };
        if (poll(p, 2, -1) > 0 && p[1].revents) fill(0);
    }
}

/* Function values live here and nexus does not know it yet: this worker has to stay. */
static int holds_unsaid;

/* Sends `out` whole. */
static void send_message(void)
{
    static const unsigned char holds[] = "\0\0\0\12\223\2\245holds\221\1";  /* [2, "holds", [1]] */
    if (holds_unsaid) { holds_unsaid = 0; send_bytes(holds, sizeof holds - 1); }
    size_t length = out.length - 4;
    for (int i = 0; i < 4; i++) out.data[i] = (unsigned char)(length >> 8 * (3 - i));
    send_bytes(out.data, out.length);
    out.length = 0;
    if (out.room > KEEP_BYTES) { free(out.data); out.data = NULL; out.room = 0; }
}

/* ---- errors ----------------------------------------------------------------------------------------------------- */

/* A text as UTF-8 of bearable length, whatever it was. */
static void put_clean(const char *text)
{
    size_t n = strlen(text);
    if (n > MESSAGE_BYTES_MAX) for (n = MESSAGE_BYTES_MAX; n && (text[n] & 0xc0) == 0x80;) n--;
    if (utf8((const unsigned char *)text, n)) { put_text(text, n); return; }
    char *ascii = malloc(n + 1);
    if (!ascii) { put_string("?"); return; }
    for (size_t i = 0; i < n; i++) ascii[i] = (char)((text[i] & 0x80) ? '?' : text[i]);
    put_text(ascii, n);
    free(ascii);
}

static void put_trace_entry(SEXP trace, R_xlen_t i)
{
    put_map(4);
    put_string("lang"); put_string("r");
    put_string("function"); put_clean(Rf_translateCharUTF8(STRING_ELT(VECTOR_ELT(trace, 0), i)));
    put_string("file"); put_clean(Rf_translateCharUTF8(STRING_ELT(VECTOR_ELT(trace, 1), i)));
    put_string("line"); put_i64(INTEGER(VECTOR_ELT(trace, 2))[i]);
}

static int kept_entry(size_t i, size_t total)
{
    return total <= TRACE_ENTRIES_MAX || i < TRACE_ENTRIES_MAX / 2 || i >= total - TRACE_ENTRIES_MAX / 2;
}

/* The trace of an error that passes through: what it has (`count` entries at `r`), then this worker's own frames. */
static void put_trace(struct reader *r, size_t count, SEXP trace)
{
    size_t own = trace == R_NilValue ? 0 : (size_t)XLENGTH(VECTOR_ELT(trace, 0)), total = count + own;
    put_array(total <= TRACE_ENTRIES_MAX ? total : TRACE_ENTRIES_MAX);
    for (size_t i = 0; i < count; i++) {
        const unsigned char *start = r->at;
        skip_values(r, 1);
        if (kept_entry(i, total)) put_bytes(start, (size_t)(r->at - start));
    }
    for (size_t i = 0; i < own; i++) if (kept_entry(count + i, total)) put_trace_entry(trace, (R_xlen_t)i);
}

static void put_failure(const char *kind, const char *message, const char *function, SEXP trace)
{
    struct reader none = { NULL, NULL };
    put_map(4 + (function != NULL) + (trace != NULL));
    put_string("kind"); put_string(kind);
    put_string("message"); put_clean(message);
    put_string("pool"); put_string(pool_name);
    put_string("pid"); put_i64(getpid());
    if (function) { put_string("function"); put_clean(function); }
    if (trace) { put_string("trace"); put_trace(&none, 0, trace); }
}

/* Answers a request that no function runs for. */
static void refuse(int64_t id, const char *kind, const char *message)
{
    start_answer(id);
    put_failure(kind, message, NULL, NULL);
    put_nil();
    send_message();
}

/* An error that came from nexus, passed on with this worker's frames. */
static void put_passed(SEXP wire, SEXP trace)
{
    struct reader r = { RAW(wire), RAW(wire) + XLENGTH(wire) }, look_ahead = r;
    struct token k, key;
    next_token(&r, &k);
    next_token(&look_ahead, &k);
    int has_trace = 0;
    for (size_t i = 0; i < k.n; i++) {
        if (!next_token(&look_ahead, &key)) break;
        has_trace |= is_text(&key, "trace");
        if (!skip_values(&look_ahead, 1)) break;
    }
    put_map(k.n + !has_trace);
    for (size_t i = 0; i < k.n; i++) {
        const unsigned char *start = r.at;
        next_token(&r, &key);
        if (is_text(&key, "trace")) {
            put_bytes(start, (size_t)(r.at - start));
            struct token list;
            struct reader value = r;
            if (next_token(&value, &list) && list.kind == ARRAY) { put_trace(&value, list.n, trace); r = value; continue; }
            start = r.at;
            skip_values(&r, 1);
            put_trace(NULL, 0, trace);
            continue;
        }
        skip_values(&r, 1);
        put_bytes(start, (size_t)(r.at - start));
    }
    if (!has_trace) { put_string("trace"); put_trace(NULL, 0, trace); }
}

static SEXP list_element(SEXP list, const char *name)
{
    SEXP names = Rf_getAttrib(list, R_NamesSymbol);
    if (TYPEOF(list) == VECSXP && TYPEOF(names) == STRSXP)
        for (R_xlen_t i = 0; i < XLENGTH(list); i++)
            if (!strcmp(CHAR(STRING_ELT(names, i)), name)) return VECTOR_ELT(list, i);
    return R_NilValue;
}

/* Answers call number `level` with what its function was left by: the value of nexus_pool.R's `run`. */
static void answer_failure(int level, const char *function, SEXP value)
{
    SEXP trace = VECTOR_ELT(keep, K_TRACE);
    SEXP condition = TYPEOF(value) == VECSXP && XLENGTH(value) ? VECTOR_ELT(value, 0) : R_NilValue;
    SEXP wire = Rf_inherits(condition, "nexus_error") ? list_element(condition, "wire") : R_NilValue;
    start_answer(calls[level].id);
    if (TYPEOF(wire) == RAWSXP) put_passed(wire, trace);
    else if (Rf_inherits(condition, "interrupt"))
        put_failure("cancelled", closed ? "nexus closed the connection" : calls[level].cancelled ? "the call was cancelled" : "the call was interrupted", function, trace);
    else {
        static const char *const SOURCES[] = { "conditionMessage", "geterrmessage" };
        int errored = 0, plain = condition == R_NilValue;
        SEXP call = PROTECT(plain ? Rf_lang1(Rf_install(SOURCES[1])) : Rf_lang2(Rf_install(SOURCES[0]), condition));
        SEXP message = list_element(condition, "message");
        /* A call of R may fail where the stack has just ended; most messages need none. */
        if (plain || TYPEOF(message) != STRSXP || !Rf_inherits(condition, "simpleError")) message = R_tryEvalSilent(call, R_BaseEnv, &errored);
        PROTECT(message = errored || !message ? R_NilValue : message);
        int text = TYPEOF(message) == STRSXP && XLENGTH(message) >= 1 && STRING_ELT(message, 0) != NA_STRING;
        const char *said = text ? Rf_translateCharUTF8(STRING_ELT(message, 0)) : plain ? R_curErrorBuf() : "(its message can't be made)";
        const char *kind = Rf_inherits(condition, "nexus_failure") ? "protocol" : Rf_inherits(condition, "nexus_gone") ? "terminated" : "raised";
        put_failure(kind, said, function, trace);
        UNPROTECT(2);
    }
    put_nil();
    send_message();
}

/* Raises a condition of nexus_pool.R's own: `maker` gets the message. */
static void raise_as(const char *class, const char *message)
{
    SEXP call = PROTECT(Rf_lang3(Rf_install("fail"), PROTECT(Rf_mkString(class)), PROTECT(Rf_mkString(message))));
    Rf_eval(call, runtime);
    UNPROTECT(3);
}

/* ---- functions -------------------------------------------------------------------------------------------------- */

/* K_FUNCTIONS holds a pair (function, signature) for each of these, in the order of the mids. */
static int64_t *mids;
static int mids_count;

/* K_VALUES holds (function, owner of the type) for each closure that was given away. */
static const struct type **value_types;
static int values_count;
static int64_t values_base;

/* A function elsewhere. R holds it as an external pointer that keeps the signature of the types. */
struct target { char *pool; int64_t pid, mid; unsigned char *bound; size_t bound_length; int bound_count, count; struct type **args, *returns; char name[200]; };

static int find_mid(int64_t mid)
{
    int low = 0, high = mids_count;
    while (low < high) {
        int middle = (low + high) / 2;
        if (mids[middle] < mid) low = middle + 1; else high = middle;
    }
    return low;
}

static void free_target(SEXP pointer)
{
    struct target *t = R_ExternalPtrAddr(pointer);
    if (!t) return;
    R_ClearExternalPtr(pointer);
    free(t->pool);
    free(t->bound);
    free(t);
}

static SEXP new_target(const char *pool, size_t n, int64_t pid, int64_t mid, SEXP held_by)
{
    struct target *t = calloc(1, sizeof *t);
    if (!t) oom();
    SEXP pointer = PROTECT(R_MakeExternalPtr(t, Rf_install("nexus_target"), held_by));
    R_RegisterCFinalizer(pointer, free_target);
    if (!(t->pool = strndup(pool, n))) oom();
    t->pid = pid;
    t->mid = mid;
    snprintf(t->name, sizeof t->name, "function %lld of pool %.100s", (long long)mid, t->pool);
    UNPROTECT(1);
    return pointer;
}

static struct target *target_of(SEXP pointer)
{
    if (TYPEOF(pointer) != EXTPTRSXP || R_ExternalPtrTag(pointer) != Rf_install("nexus_target") || !R_ExternalPtrAddr(pointer)) return NULL;
    return R_ExternalPtrAddr(pointer);
}

/* The target of a function that nexus_foreign or `decode_function` made; NULL of any other. */
static SEXP target_in(SEXP function)
{
    if (TYPEOF(function) != CLOSXP || CLOENV(function) == R_GlobalEnv) return NULL;
    SEXP pointer = Rf_findVarInFrame3(CLOENV(function), Rf_install(".nexus_target"), TRUE);
    return target_of(pointer) ? pointer : NULL;
}

static SEXP decode_function(const struct type *t, const struct token *k)
{
    struct token list, pool, pid, mid;
    if (k->kind != EXT || k->code != 12) return wrong_token(t, k), NULL;
    struct reader r = { k->data, k->data + k->n };
    if (!next_token(&r, &list) || list.kind != ARRAY || list.n < 3 || !next_token(&r, &pool) || pool.kind != STR || !next_token(&r, &pid)
        || (pid.kind != INT && pid.kind != NIL) || !next_token(&r, &mid) || mid.kind != INT || utf8(pool.data, pool.n) != 1)
        return wrong("expected %s, found a function value that can't be read", expected(t)), NULL;
    struct reader bound = r;
    if (!skip_values(&r, list.n - 3) || r.at != r.end) return wrong("expected %s, found a function value that can't be read", expected(t)), NULL;
    if (is_text(&pool, pool_name) && (pid.kind == NIL || pid.i == worker_pid) && list.n == 3) {
        int at = find_mid(mid.i);
        if (at < mids_count && mids[at] == mid.i) return VECTOR_ELT(VECTOR_ELT(keep, K_FUNCTIONS), 2 * at);
        int64_t number = values_base - mid.i;
        if (pid.kind == INT && number >= 0 && number < values_count) return VECTOR_ELT(VECTOR_ELT(keep, K_VALUES), 2 * number);
        return wrong("the function value is no longer there"), NULL;
    }
    SEXP pointer = PROTECT(new_target((const char *)pool.data, pool.n, pid.kind == NIL ? -1 : pid.i, mid.i, owner));
    struct target *made = R_ExternalPtrAddr(pointer);
    made->count = t->count - 1;
    made->args = t->kids;
    made->returns = t->kids[t->count - 1];
    made->bound_count = (int)(list.n - 3);
    made->bound_length = (size_t)(bound.end - bound.at);
    if (made->bound_length) {
        if (!(made->bound = malloc(made->bound_length))) oom();
        memcpy(made->bound, bound.at, made->bound_length);
    }
    SEXP function = Rf_eval(PROTECT(Rf_lang2(Rf_install("elsewhere"), pointer)), runtime);
    UNPROTECT(2);
    return function;
}

static void put_reference(const char *pool, int64_t pid, int64_t mid, const struct target *t)
{
    size_t start = out.length;
    put_tagged(0xc9, 0, 4);
    put_byte(12);
    size_t body = out.length;
    put_array(3 + (t ? (size_t)t->bound_count : 0));
    put_string(pool);
    if (pid < 0) put_nil(); else put_i64(pid);
    put_i64(mid);
    if (t) put_bytes(t->bound, t->bound_length);
    for (int i = 0; i < 4; i++) out.data[start + 1 + (size_t)i] = (unsigned char)((out.length - body) >> 8 * (3 - i));
}

static int encode_function(const struct type *t, SEXP v)
{
    if (!Rf_isFunction(v)) return wrong_value(t, v, -1);
    SEXP pointer = target_in(v);
    if (pointer) {
        struct target *known = R_ExternalPtrAddr(pointer);
        put_reference(known->pool, known->pid, known->mid, known);
        return 1;
    }
    SEXP functions = VECTOR_ELT(keep, K_FUNCTIONS), values = VECTOR_ELT(keep, K_VALUES);
    for (int i = 0; i < mids_count; i++)
        if (VECTOR_ELT(functions, 2 * i) == v) { put_reference(pool_name, -1, mids[i], NULL); return 1; }
    int number = values_count;
    for (int i = values_count; i-- > 0 && i >= values_count - 64;)
        if (VECTOR_ELT(values, 2 * i) == v && value_types[i] == t) { number = i; break; }
    if (number == values_count) {
        if (values_count == FUNCTION_VALUES_MAX) return wrong("this worker has given away %d functions, the limit", FUNCTION_VALUES_MAX);
        if (values == R_NilValue || XLENGTH(values) == 2 * values_count) {
            int room = values_count ? 2 * values_count : 16;
            const struct type **types = realloc(value_types, (size_t)room * sizeof *types);
            if (!types) oom();
            value_types = types;
            SEXP more = Rf_allocVector(VECSXP, 2 * room);
            for (int i = 0; i < 2 * values_count; i++) SET_VECTOR_ELT(more, i, VECTOR_ELT(values, i));
            SET_VECTOR_ELT(keep, K_VALUES, values = more);
        }
        SET_VECTOR_ELT(values, 2 * number, v);
        SET_VECTOR_ELT(values, 2 * number + 1, owner);
        value_types[number] = t;
        if (values_count++ == 0) holds_unsaid = 1;
    }
    put_reference(pool_name, worker_pid, values_base - number, NULL);
    return 1;
}

/* ---- calls that arrive ------------------------------------------------------------------------------------------ */

static struct reader incoming;     /* the params of the call that is about to run */
static char running[200];          /* the name of its function */

/* Decodes the arguments, runs the function and answers; errors leave it for the handlers of `run`. */
static SEXP invoke(void)
{
    int level = depth - 1;
    calls[level].began = 1;
    struct reader r = incoming, check = incoming;
    struct token list, mid;
    snprintf(running, sizeof running, "a call");
    if (!skip_values(&check, 1) || check.at != check.end || !next_token(&r, &list) || list.kind != ARRAY || !list.n || !next_token(&r, &mid))
        fail("the values of a message can't be read");
    SEXP function = NULL, held_by = R_NilValue;
    struct type *const *args = NULL;
    const struct type *returns = NULL;
    int count = 0, at = mid.kind == INT ? find_mid(mid.i) : 0;
    int64_t number = mid.kind == INT ? values_base - mid.i : -1;
    if (mid.kind == INT && at < mids_count && mids[at] == mid.i) {
        function = VECTOR_ELT(VECTOR_ELT(keep, K_FUNCTIONS), 2 * at);
        held_by = VECTOR_ELT(VECTOR_ELT(keep, K_FUNCTIONS), 2 * at + 1);
        struct signature *s = R_ExternalPtrAddr(held_by);
        args = s->args, returns = s->returns, count = s->count;
        snprintf(running, sizeof running, "%s", s->name);
    } else if (number >= 0 && number < values_count) {
        function = VECTOR_ELT(VECTOR_ELT(keep, K_VALUES), 2 * number);
        held_by = VECTOR_ELT(VECTOR_ELT(keep, K_VALUES), 2 * number + 1);
        const struct type *t = value_types[number];
        args = t->kids, count = t->count - 1, returns = t->kids[count];
        snprintf(running, sizeof running, "a function value");
    } else if (mid.kind == INT && mid.i < 0) raise_as("nexus_gone", "the function value is no longer there");
    else {
        char text[100] = "the pool has no function";
        if (mid.kind == INT) snprintf(text, sizeof text, "the pool has no function %lld", (long long)mid.i);
        raise_as("nexus_failure", text);
    }
    char name[sizeof running];
    strcpy(name, running);
    if (list.n - 1 != (size_t)count) fail("%s: expected %d arguments, found %.0f", name, count, (double)list.n - 1);
    SEXP call = PROTECT(Rf_allocList(count + 1)), cell = CDR(call);
    SET_TYPEOF(call, LANGSXP);
    SETCAR(call, function);
    owner = held_by;
    for (int i = 0; i < count; i++, cell = CDR(cell)) {
        struct token k;
        SEXP value = next_token(&r, &k) ? decode(args[i], &k, &r, 0) : (wrong("the values of a message can't be read"), NULL);
        if (!value) mismatch("", i + 1, name);
        SETCAR(cell, value);
    }
    release();
    SEXP result = PROTECT(Rf_eval(call, R_GlobalEnv));
    hold();
    strcpy(running, name);
    owner = held_by;
    start_answer(calls[level].id);
    put_nil();
    /* An R function always has a value: one that is declared to return nothing may have any. */
    if (behind(returns)->kind == T_NIL) put_nil();
    else if (!encode(returns, result, 0)) mismatch("the result of ", 0, name);
    check_size();
    fflush(stdout);
    calls[level].answered = 1;
    send_message();
    UNPROTECT(2);
    return R_NilValue;
}

static SEXP run_call(void *data) { (void)data; return Rf_eval(VECTOR_ELT(keep, K_RUN), runtime); }

/* Code that jumps past its caller (a restart of its own, a quit) must not leave the call without an answer. */
static void left(void *data, Rboolean jump)
{
    int level = *(int *)data;
    if (!jump) return;
    hold();
    if (!calls[level].answered) {
        calls[level].answered = 1;
        start_answer(calls[level].id);
        /* Before it began, what ended it is R running out of one of its stacks. */
        put_failure("raised", calls[level].began ? "the function was left by a jump to code outside of it" : "the stack of R ended before the function began: calls are nested too deep",
                    calls[level].began ? running : NULL, R_NilValue);
        put_nil();
        send_message();
    }
    depth = level;
    R_interrupts_pending = 0;
}

/* R's limit of nested evaluations, in steps: it should end a recursion that never ends, not a chain of calls. */
static int expressions_base, expressions_now;

static void allow_expressions(void)
{
    int64_t wanted = expressions_base;
    if (depth > EXPRESSIONS_STEP_CALLS / 2)
        wanted += (int64_t)((depth + EXPRESSIONS_STEP_CALLS / 2) / EXPRESSIONS_STEP_CALLS) * EXPRESSIONS_STEP_CALLS * EXPRESSIONS_PER_CALL;
    if (wanted > EXPRESSIONS_MAX) wanted = EXPRESSIONS_MAX;
    if (wanted == expressions_now) return;
    expressions_now = (int)wanted;
    SEXP call = PROTECT(Rf_lang2(Rf_install("options"), PROTECT(Rf_ScalarInteger((int)wanted))));
    SET_TAG(CDR(call), Rf_install("expressions"));
    Rf_eval(call, R_BaseEnv);
    UNPROTECT(2);
}

static void dispatch(int64_t id, struct reader params)
{
    int level = depth;
    if (depth == calls_room) {
        int room = calls_room ? 2 * calls_room : 64;
        struct call *more = realloc(calls, (size_t)room * sizeof *more);
        if (!more) die(70, "there is no memory for %d calls", room);
        calls = more;
        calls_room = room;
    }
    calls[depth++] = (struct call){ .id = id };
    if (depth > deepest) deepest = depth;
    incoming = params;
    SET_VECTOR_ELT(keep, K_TRACE, R_NilValue);
    SEXP token = PROTECT(R_MakeUnwindCont());
    SEXP value = PROTECT(R_UnwindProtect(run_call, NULL, left, &level, token));
    /* `noted` stays: it may be about the next call, which nexus can send as soon as this one is answered. */
    hold();
    R_interrupts_pending = 0;
    if (!calls[level].answered) {
        calls[level].answered = 1;
        fflush(stdout);
        answer_failure(level, running, value);
    }
    depth = level;
    allow_expressions();
    UNPROTECT(2);
}

/* ---- requests to nexus ------------------------------------------------------------------------------------------ */

static struct request *find_request(int64_t id)
{
    size_t low = 0, high = requests_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (requests[middle].id < id) low = middle + 1; else high = middle;
    }
    return low < requests_count && requests[low].id == id ? &requests[low] : NULL;
}

static void drop_request(int64_t id)
{
    struct request *r = find_request(id);
    if (!r || r->state == R_DROPPED) return;
    free(r->data);
    r->data = NULL;
    r->state = R_DROPPED;
    requests_dropped++;
    while (requests_count && requests[requests_count - 1].state == R_DROPPED) requests_count--, requests_dropped--;
    if (requests_dropped > 64 && requests_dropped > requests_count / 2) {
        size_t kept = 0;
        for (size_t i = 0; i < requests_count; i++) if (requests[i].state != R_DROPPED) requests[kept++] = requests[i];
        requests_count = kept;
        requests_dropped = 0;
    }
}

static void drop_requests(void)
{
    for (size_t i = 0; i < requests_count; i++) free(requests[i].data);
    requests_count = requests_dropped = 0;
}

static void open_request(int64_t id)
{
    if (requests_count - requests_dropped >= OPEN_REQUESTS_MAX)
        fail("%d calls wait for their answers, the limit", OPEN_REQUESTS_MAX);
    if (requests_count == requests_room) {
        size_t room = requests_room ? 2 * requests_room : 64;
        struct request *more = realloc(requests, room * sizeof *more);
        if (!more) oom();
        requests = more;
        requests_room = room;
    }
    requests[requests_count++] = (struct request){ .id = id };
}

static void check_here(void)
{
    if (!worker_pid || getpid() != worker_pid || !depth)
        fail("nexus can be called only by a function that nexus called, in the same process");
    if (held) fail("nexus can't be called by a finalizer");
}

/* Takes the next message. True if it is the answer to request `awaited`: it is then read in place, at `r`. */
static int step(int64_t awaited, struct reader *r)
{
    struct head h;
    if (!next_frame(r)) return 0;
    struct reader whole = *r;
    if (!read_head(r, &h)) die(70, "nexus sent what is no message: a frame of %zu bytes", (size_t)(whole.end - whole.at));
    if (h.kind == 1) {
        if (h.id == awaited) return 1;
        struct request *request = find_request(h.id);
        if (!request || request->state != R_OPEN) return 0;
        request->length = (size_t)(r->end - r->at);
        if (!(request->data = malloc(request->length + 1))) die(70, "there is no memory for an answer of %zu bytes", request->length);
        memcpy(request->data, r->at, request->length);
        request->state = R_ANSWERED;
    } else if (h.kind == 2) {
        if (is_text(&h.method, "cancel")) mark_cancelled(*r);
        else if (is_text(&h.method, "retire") && !depth) leave(0);
        else if (is_text(&h.method, "hello") && transport == STDIO) {
            struct token list, map, key, value;
            if (!next_token(r, &list) || list.kind != ARRAY || !list.n || !next_token(r, &map) || map.kind != MAP) return 0;
            for (size_t i = 0; i < map.n; i++) {
                struct reader ahead;
                if (!next_token(r, &key)) return 0;
                ahead = *r;
                if (!skip_values(r, 1) || !next_token(&ahead, &value)) return 0;
                if (is_text(&key, "pool") && value.kind == STR && value.n < sizeof pool_name && utf8(value.data, value.n) == 1)
                    snprintf(pool_name, sizeof pool_name, "%.*s", (int)value.n, (const char *)value.data);
                if (is_text(&key, "protocol") && value.kind == INT && value.i != PROTOCOL)
                    die(1, "this pool speaks protocol %d, nexus speaks protocol %lld: they don't fit together", PROTOCOL, (long long)value.i);
            }
        }
    } else if (is_text(&h.method, "call")) {
        /* Evaluation runs on this stack: what is nested too deep is refused before R's own limits are near. */
        if (depth < NESTED_CALLS_MAX) { allow_expressions(); dispatch(h.id, *r); }
        else {
            char text[100];
            snprintf(text, sizeof text, "calls are nested %d deep on one worker, the limit", NESTED_CALLS_MAX);
            refuse(h.id, "raised", text);
        }
    } else if (is_text(&h.method, "ping")) {
        start_answer(h.id);
        put_nil();
        put_nil();
        send_message();
    } else {
        char text[100];
        snprintf(text, sizeof text, "a worker has no method '%.*s'", (int)(h.method.n < 40 ? h.method.n : 40), (const char *)h.method.data);
        refuse(h.id, "protocol", text);
    }
    return 0;
}

/* Ends the running call as R ends what is interrupted. */
static void interrupt(void)
{
    if (closed && transport != UNIX) leave_group();
    const char *why = closed ? "nexus closed the connection" : "the call was cancelled";
    held = 0;
    R_interrupts_pending = 0;
    Rf_onintr();
    /* Here if interrupts are suspended, or a handler resumed. */
    fail("%s", why);
}

static void unhold(void *data, Rboolean jump) { (void)data; if (jump) held = 0; }

static SEXP guarded(SEXP (*work)(void *), void *data)
{
    SEXP token = PROTECT(R_MakeUnwindCont());
    SEXP value = R_UnwindProtect(work, data, unhold, NULL, token);
    UNPROTECT(1);
    return value;
}

/* The answer to a request. `returns` NULL: a result without a schema. RECEIVED and SELECTED hold a message of a worker,
 * whose types are those of its target in `held_by`, if it has one. */
struct answer { struct reader r; const struct type *returns; const char *name; SEXP held_by, wire; enum { RESULT, RECEIVED, SELECTED } form; };

/* What raises the error at `r`. */
static SEXP read_error(struct answer *a, struct reader r)
{
    struct token k;
    const struct reader whole = r;
    const unsigned char *start = r.at;
    if (!next_token(&r, &k) || k.kind != MAP) fail("%s answered with an error that is no map", a->name);
    r = whole;
    skip_values(&r, 1);
    a->wire = Rf_allocVector(RAWSXP, (R_xlen_t)(r.at - start));
    PROTECT(a->wire);
    memcpy(RAW(a->wire), start, (size_t)(r.at - start));
    r = whole;
    next_token(&r, &k);
    SEXP error = decode_plain(&k, &r, 0);
    if (!error) fail("%s answered with an error that can't be read", a->name);
    PROTECT(error);
    SEXP call = Rf_lang3(Rf_install("remote_error"), error, a->wire);
    UNPROTECT(2);
    return call;
}

static SEXP read_result(struct answer *a, struct reader *r)
{
    struct token k;
    SEXP value = !next_token(r, &k) ? NULL : a->returns ? decode(a->returns, &k, r, 0) : decode_plain(&k, r, 0);
    if (!value) mismatch("the result of ", 0, a->name);
    return value;
}

/* [] at the end of a worker's output, [bytes] of a program, [[error, result]] of a command; SELECTED has its position
 * before that. A list of the position and the value, as far as they are there. */
static SEXP read_message(struct answer *a, struct reader r)
{
    struct token k;
    SEXP target = a->held_by;
    int before = a->form == SELECTED, good = 1;
    R_xlen_t position = 0;
    if (before) {
        good = next_token(&r, &k) && next_token(&r, &k) && k.kind == INT && k.i >= 0 && k.i < XLENGTH(target);
        if (good) target = VECTOR_ELT(target, position = (R_xlen_t)k.i);
    }
    if (!good || !next_token(&r, &k) || k.kind != ARRAY) fail("the answer of %s can't be read", a->name);
    if (target_of(target)) {
        struct target *t = R_ExternalPtrAddr(target);
        a->returns = t->returns;
        a->name = t->name;
        owner = R_ExternalPtrProtected(target);
    }
    size_t count = k.n;
    struct reader message = r, error;
    if (count && next_token(&message, &k) && k.kind == ARRAY) {
        error = message;
        if (next_token(&message, &k) && k.kind != NIL) return read_error(a, error);
        r = message;
    }
    SEXP found = PROTECT(Rf_allocVector(VECSXP, before + !!count));
    if (before) SET_VECTOR_ELT(found, 0, Rf_ScalarInteger((int)position + 1));
    if (count) SET_VECTOR_ELT(found, before, read_result(a, &r));
    UNPROTECT(1);
    return found;
}

static SEXP read_answer(void *data)
{
    struct answer *a = data;
    struct reader r = a->r, check = r;
    struct token k;
    owner = a->held_by;
    if (!skip_values(&check, 2) || check.at != check.end) fail("the answer of %s can't be read", a->name);
    next_token(&r, &k);
    if (k.kind != NIL) return read_error(a, a->r);
    return a->form == RESULT ? read_result(a, &r) : read_message(a, r);
}

static SEXP await(int64_t id, struct answer a)
{
    for (;;) {
        if (closed || calls[depth - 1].cancelled) { drop_request(id); interrupt(); }
        struct request *request = find_request(id);
        if (request && request->state == R_ANSWERED) {
            free(taken);
            taken = request->data;
            a.r = (struct reader){ taken, taken + request->length };
            request->data = NULL;
            break;
        }
        if (step(id, &a.r)) break;
    }
    drop_request(id);
    SEXP value = PROTECT(guarded(read_answer, &a));
    free(taken);
    taken = NULL;
    release();
    if (a.wire) Rf_eval(value, runtime);   /* raises */
    UNPROTECT(1);
    return value;
}

struct question { const struct target *t; SEXP args, held_by; int64_t id; int parent; const char *method; };

static void put_arguments(const struct target *t, SEXP args)
{
    for (R_xlen_t i = 0; i < XLENGTH(args); i++)
        if (!encode(t->args[i], VECTOR_ELT(args, i), 0)) mismatch("", (int)i + 1, t->name);
}

static void check_count(const struct target *t, SEXP args)
{
    if (XLENGTH(args) != t->count) fail("%s: expected %d arguments, found %d", t->name, t->count, (int)XLENGTH(args));
}

static void start_request(int64_t id, const char *method, size_t params)
{
    start_message();
    put_array(4);
    put_byte(0);
    put_i64(id);
    put_string(method);
    put_array(params);
}

static SEXP write_call(void *data)
{
    struct question *q = data;
    const struct target *t = q->t;
    check_count(t, q->args);
    owner = q->held_by;
    start_request(q->id, "call", 2 + (size_t)(t->bound_count + t->count));
    if (q->parent || t->pid >= 0) {
        put_array(t->pid >= 0 ? 3 : 2);
        put_string(t->pool);
        if (q->parent) put_i64(calls[depth - 1].id); else put_nil();
        if (t->pid >= 0) put_i64(t->pid);
    } else put_string(t->pool);
    put_i64(t->mid);
    put_bytes(t->bound, t->bound_length);
    put_arguments(t, q->args);
    check_size();
    open_request(q->id);
    return R_NilValue;
}

static void ask(SEXP pointer, SEXP args, int parent)
{
    struct target *t = target_of(pointer);
    if (!t) fail("this function of another pool was saved and loaded, or is none");
    check_here();
    hold();
    struct question q = { .t = t, .args = args, .held_by = R_ExternalPtrProtected(pointer), .id = ++last_id, .parent = parent };
    guarded(write_call, &q);
    send_message();
}

/* .Call(call, target, args): the result of a function of another pool. */
static SEXP nexus_call(SEXP pointer, SEXP args)
{
    ask(pointer, args, 0);
    struct target *t = R_ExternalPtrAddr(pointer);
    return await(last_id, (struct answer){ .returns = t->returns, .name = t->name, .held_by = R_ExternalPtrProtected(pointer) });
}

static void drop_future(SEXP pointer)
{
    int64_t *id = R_ExternalPtrAddr(pointer);
    if (!id) return;
    R_ClearExternalPtr(pointer);
    if (getpid() == worker_pid) drop_request(*id);
    free(id);
}

/* .Call(start, target, args): an external pointer that awaits the result. */
static SEXP nexus_start(SEXP pointer, SEXP args)
{
    int64_t *id = malloc(sizeof *id);
    if (!id) oom();
    *id = -1;
    SEXP future = PROTECT(R_MakeExternalPtr(id, Rf_install("nexus_future"), pointer));
    R_RegisterCFinalizer(future, drop_future);
    ask(pointer, args, 1);
    *id = last_id;
    release();
    UNPROTECT(1);
    return future;
}

static SEXP nexus_result(SEXP future)
{
    if (TYPEOF(future) != EXTPTRSXP || R_ExternalPtrTag(future) != Rf_install("nexus_future")) fail("nexus_result takes what nexus_start returned");
    int64_t *id = R_ExternalPtrAddr(future);
    check_here();
    if (!id || !find_request(*id) || find_request(*id)->state == R_DROPPED) fail("the result of this call was taken already, or its connection has ended");
    struct target *t = R_ExternalPtrAddr(R_ExternalPtrProtected(future));
    hold();
    return await(*id, (struct answer){ .returns = t->returns, .name = t->name, .held_by = R_ExternalPtrProtected(R_ExternalPtrProtected(future)) });
}

/* Params without schemas; the last one, if there is a target, are the arguments of a worker's command. */
static SEXP write_request(void *data)
{
    struct question *q = data;
    R_xlen_t n = XLENGTH(q->args), plain = n - (q->t != NULL);
    start_request(q->id, q->method, (size_t)n);
    for (R_xlen_t i = 0; i < plain; i++) encode_plain(VECTOR_ELT(q->args, i), 0);
    if (q->t) {
        SEXP message = VECTOR_ELT(q->args, plain);
        check_count(q->t, message);
        owner = q->held_by;
        put_array((size_t)q->t->count);
        put_arguments(q->t, message);
    }
    check_size();
    open_request(q->id);
    return R_NilValue;
}

/* .Call(ask, method, list(param...), targets): the answer of nexus. */
static SEXP nexus_ask(SEXP method, SEXP params, SEXP targets)
{
    char name[200];
    struct question q = { .args = params, .id = ++last_id, .method = CHAR(STRING_ELT(method, 0)) };
    struct answer a = { .name = name, .held_by = targets };
    snprintf(name, sizeof name, "nexus_%s", q.method);
    if (!strcmp(q.method, "command")) snprintf(name, sizeof name, "command %.150s", string_arg(VECTOR_ELT(params, 0), "the name of a command"));
    else if (!strcmp(q.method, "receive")) a.form = RECEIVED;
    else if (!strcmp(q.method, "select")) a.form = SELECTED;
    else if ((q.t = target_of(targets))) q.held_by = R_ExternalPtrProtected(targets);
    check_here();
    hold();
    guarded(write_request, &q);
    send_message();
    return await(q.id, a);
}

static SEXP write_notification(void *data)
{
    SEXP args = data;
    start_notification(CHAR(STRING_ELT(VECTOR_ELT(args, 0), 0)), (size_t)XLENGTH(args) - 1);
    for (R_xlen_t i = 1; i < XLENGTH(args); i++) encode_plain(VECTOR_ELT(args, i), 0);
    check_size();
    return R_NilValue;
}

/* .Call(tell, list(method, arg...)): a notification; FALSE if nexus can't be reached from here. */
static SEXP nexus_tell(SEXP args)
{
    if (!worker_pid || getpid() != worker_pid || !depth || held) return Rf_ScalarLogical(0);
    hold();
    guarded(write_notification, args);
    send_message();
    release();
    return Rf_ScalarLogical(1);
}

/* .Call(cancelled): whether the running call is to end. An interrupt without reason is resumed. */
static SEXP nexus_cancelled(void)
{
    if (!held && depth) { held = 1; look(); held = 0; }
    R_interrupts_pending = 0;
    return Rf_ScalarLogical(depth && (closed || calls[depth - 1].cancelled));
}

/* .Call(trace, list(functions, files, lines)) */
static SEXP nexus_trace(SEXP trace) { SET_VECTOR_ELT(keep, K_TRACE, trace); return R_NilValue; }

/* .Call(name_of, function): the name under which a function was registered, or "" */
static SEXP nexus_name_of(SEXP function)
{
    for (int i = 0; i < mids_count; i++)
        if (VECTOR_ELT(VECTOR_ELT(keep, K_FUNCTIONS), 2 * i) == function) {
            struct signature *s = R_ExternalPtrAddr(VECTOR_ELT(VECTOR_ELT(keep, K_FUNCTIONS), 2 * i + 1));
            return Rf_mkString(s->name);
        }
    return Rf_mkString("");
}

static int64_t mid_arg(SEXP value)
{
    double d = Rf_isNumeric(value) && XLENGTH(value) == 1 ? Rf_asReal(value) : NA_REAL;
    if (!(d == floor(d)) || fabs(d) > EXACT) fail("a function's mid is one whole number");
    return (int64_t)d;
}

/* .Call(register, mid, function, name, args, returns) */
static SEXP nexus_register(SEXP mid_value, SEXP function, SEXP name, SEXP args, SEXP returns)
{
    int64_t mid = mid_arg(mid_value);
    if (!Rf_isFunction(function)) fail("function %lld is %s, expected a function", (long long)mid, found(function, -1));
    if (worker_pid) fail("functions are registered before nexus_serve()");
    SEXP signature = PROTECT(new_signature(string_arg(name, "a name"), args, returns));
    int at = find_mid(mid);
    if (at < mids_count && mids[at] == mid) fail("function %lld is registered already", (long long)mid);
    int64_t *more = realloc(mids, (size_t)(mids_count + 1) * sizeof *more);
    if (!more) oom();
    mids = more;
    SEXP before = VECTOR_ELT(keep, K_FUNCTIONS), after = Rf_allocVector(VECSXP, 2 * (mids_count + 1));
    for (int i = 0; i < 2 * mids_count; i++) SET_VECTOR_ELT(after, i < 2 * at ? i : i + 2, VECTOR_ELT(before, i));
    SET_VECTOR_ELT(after, 2 * at, function);
    SET_VECTOR_ELT(after, 2 * at + 1, signature);
    memmove(mids + at + 1, mids + at, (size_t)(mids_count - at) * sizeof *mids);
    mids[at] = mid;
    mids_count++;
    SET_VECTOR_ELT(keep, K_FUNCTIONS, after);
    UNPROTECT(1);
    return R_NilValue;
}

/* .Call(foreign, pool, mid, args, returns): a target; mid NULL: the types of the command of that name */
static SEXP nexus_foreign(SEXP pool, SEXP mid, SEXP args, SEXP returns)
{
    SEXP signature = PROTECT(new_signature("", args, returns));
    struct signature *s = R_ExternalPtrAddr(signature);
    const char *name = string_arg(pool, "pool");
    SEXP pointer = new_target(name, strlen(name), -1, mid == R_NilValue ? 0 : mid_arg(mid), signature);
    struct target *t = R_ExternalPtrAddr(pointer);
    if (mid == R_NilValue) snprintf(t->name, sizeof t->name, "command %.100s", name);
    t->count = s->count;
    t->args = s->args;
    t->returns = s->returns;
    UNPROTECT(1);
    return pointer;
}

/* ---- processes -------------------------------------------------------------------------------------------------- */

static void die(int code, const char *form, ...)
{
    va_list args;
    va_start(args, form);
    vfprintf(stderr, form, args);
    va_end(args);
    fputc('\n', stderr);
    leave(code);
}

/* Removes what is in an open directory, by system calls alone: it also runs in a signal handler. */
static void empty_directory(int fd, int levels)
{
    char entries[2048];
    long n;
    while ((n = syscall(SYS_getdents64, fd, entries, sizeof entries)) > 0)
        for (long at = 0; at < n;) {
            unsigned short length;
            memcpy(&length, entries + at + 16, sizeof length);
            const char *name = entries + at + 19;
            at += length;
            if (!strcmp(name, ".") || !strcmp(name, "..") || !unlinkat(fd, name, 0)) continue;
            int inner = levels ? openat(fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) : -1;
            if (inner >= 0) { empty_directory(inner, levels - 1); close(inner); }
            unlinkat(fd, name, AT_REMOVEDIR);
        }
}

static void remove_directory(const char *name)
{
    if (!*name) return;
    /* Entries can be passed over when others vanish meanwhile, so it looks again. */
    for (int attempt = 0; attempt < 3; attempt++) {
        int fd = open(name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0) return;
        empty_directory(fd, 64);
        close(fd);
        if (!rmdir(name)) return;
    }
}

/* Ends the process without taking R down, which costs milliseconds. */
static void leave(int code)
{
    fflush(stdout);
    fflush(stderr);
    if (getpid() == loading_pid) remove_directory(temp_dir);
    _exit(code & 0xff);
}

/* Nexus is gone: removes its directory and ends the whole group, this process included. */
static void abandon(int number)
{
    (void)number;
    remove_directory(nexus_dir);
    remove_directory(temp_dir);
    kill(0, SIGKILL);
    _exit(128 + SIGKILL);
}

/* A worker without a parent has lost nexus while a function runs: it ends, with what the function started. */
static void leave_group(void)
{
    remove_directory(temp_dir);
    if (getpgrp() == getpid()) kill(0, SIGKILL);
    _exit(128 + SIGKILL);
}

/* SIGIO of a worker without a parent: something has arrived, or the other side is gone. While no function runs, the
 * end of the input is found where it is read. */
static void on_input(int number)
{
    (void)number;
    int before = errno;
    struct pollfd p[2] = { { .fd = in_fd, .events = POLLRDHUP }, { .fd = life_fd, .events = 0 } };
    if (poll(p, life_fd >= 0 ? 2 : 1, 0) > 0) {
        if (p[1].revents || !held) leave_group();
        hung = 1;
    }
    errno = before;
}

static void handle(int number, void (*handler)(int), int flags)
{
    struct sigaction action = { .sa_handler = handler, .sa_flags = flags };
    sigemptyset(&action.sa_mask);
    sigaction(number, &action, NULL);
}

static void ignore(int number) { (void)number; }

static void put_hello(int workers)
{
    start_notification("hello", 1);
    put_map(6);
    put_string("protocol"); put_byte(PROTOCOL);
    put_string("lang"); put_string("r");
    put_string("runtime"); put_string(runtime_name);
    put_string("pid"); put_i64(getpid());
    if (workers) { put_string("workers"); put_i64(workers); put_string("features"); put_array(1); put_string("signal"); }
    else { put_string("reentrant"); put_bool(1); put_string("features"); put_array(1); put_string("retire"); }
}

/* Serves one connection to its end. */
static void serve_connection(void *data)
{
    (void)data;
    struct reader r;
    while (!closed) {
        step(-1, &r);
        if (deepest > 100 && stack_low) {   /* the memory of a deep stack goes back */
            char *top = (char *)((uintptr_t)&r & ~(uintptr_t)65535) - 65536;
            madvise(stack_low, (size_t)(top - stack_low), MADV_DONTNEED);
            deepest = 0;
        }
    }
}

static void connected(int input, int output)
{
    struct stat about;
    in_fd = input;
    out_fd = output;
    in_socket = !fstat(input, &about) && S_ISSOCK(about.st_mode);
    out_socket = !fstat(output, &about) && S_ISSOCK(about.st_mode);
    if (!out_socket) fcntl(output, F_SETFL, fcntl(output, F_GETFL) | O_NONBLOCK);
    closed = 0;
    in.head = in.length = in.consume = 0;
    put_hello(0);
    send_message();
    /* A jump to top level (a restart named abort) ends the calls, not the worker. */
    while (!closed) {
        depth = 0;
        hold();
        R_ToplevelExec(serve_connection, NULL);
    }
    depth = 0;
    hold();
    drop_requests();
}

static void serve_worker(void)
{
    if (transport == UNIX)
        for (;;) {
            int connection = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC);
            if (connection < 0) {
                if (errno == EINTR || errno == ECONNABORTED) continue;
                leave(errno == EINVAL ? 0 : 70);   /* EINVAL: the parent has shut the socket down */
            }
            connected(connection, connection);
            close(connection);
        }
    connected(in_fd, out_fd);
    leave(0);
}

/* Runs the worker on a stack that is large enough for calls that nest 10,000 deep; its memory comes as it is used. */
static void become_worker(void)
{
    static ucontext_t here, there;
    worker_pid = getpid();
    SEXP limit = Rf_GetOption1(Rf_install("expressions"));
    expressions_base = expressions_now = Rf_isNumeric(limit) && XLENGTH(limit) == 1 ? Rf_asInteger(limit) : 5000;
    uint64_t seed = 0;
    int random = open("/dev/urandom", O_RDONLY | O_CLOEXEC);
    if (random < 0 || read(random, &seed, sizeof seed) != sizeof seed) seed = (uint64_t)getpid() * 2654435761u;
    if (random >= 0) close(random);
    values_base = -((int64_t)1 << 32) * (int64_t)((seed & 0x3fffffff) | 1);
    handle(SIGINT, on_interrupt, SA_RESTART);
    /* While R sleeps it has a handler of its own, which puts back what it replaced. That is noted only after the handler is
     * set: a signal in between would put back what was noted last, which is the default before the first sleep. */
    R_SelectEx(0, NULL, NULL, NULL, &(struct timeval){ .tv_usec = 1 }, NULL);
    handle(SIGTERM, SIG_DFL, 0);
    handle(SIGPIPE, ignore, SA_RESTART);   /* a handler, unlike SIG_IGN, is not inherited by programs */
    for (size_t size = STACK_BYTES; size >= 16 * STACK_SPARE; size /= 2) {
        char *stack = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
        if (stack == MAP_FAILED) continue;
        mprotect(stack, 65536, PROT_NONE);
        stack_low = stack + 65536;
        getcontext(&there);
        there.uc_stack.ss_sp = stack;
        there.uc_stack.ss_size = size;
        there.uc_link = &here;
        R_CStackStart = (uintptr_t)(stack + size);
        R_CStackLimit = size - STACK_SPARE;
        makecontext(&there, serve_worker, 0);
        swapcontext(&here, &there);
        break;
    }
    serve_worker();
    leave(70);
}

static pid_t *workers;
static int workers_count, workers_forked;

/* Whether the fork succeeded; the child never returns. */
static int fork_worker(const sigset_t *signals)
{
    pid_t *more = realloc(workers, (size_t)(workers_count + 1) * sizeof *more);
    if (!more) { errno = ENOMEM; return 0; }
    workers = more;
    fflush(stdout);
    fflush(stderr);
    pid_t pid = fork();
    if (pid < 0) return 0;
    if (pid == 0) {
        handle(SIGIO, SIG_DFL, 0);
        handle(SIGCHLD, SIG_DFL, 0);
        sigprocmask(SIG_SETMASK, signals, NULL);
        close(control_fd);
        R_isForkedChild = 1;
        become_worker();
    }
    workers[workers_count++] = pid;
    workers_forked++;
    return 1;
}

static void reap(void)
{
    for (int i = 0; i < workers_count;) {
        int status;
        if (waitpid(workers[i], &status, WNOHANG) <= 0) { i++; continue; }
        start_notification("worker_exit", 1);
        put_map(2);
        put_string("pid"); put_i64(workers[i]);
        put_string(WIFSIGNALED(status) ? "signal" : "exit_code");
        put_i64(WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
        send_message();
        workers[i] = workers[--workers_count];
    }
}

static void answer_grow(int64_t id, struct reader r, const sigset_t *signals)
{
    struct token list, n;
    char text[200] = "";
    const char *kind = "protocol";
    if (!next_token(&r, &list) || list.kind != ARRAY || !list.n || !next_token(&r, &n) || n.kind != INT || n.i < 0 || n.i > GROW_WORKERS_MAX)
        snprintf(text, sizeof text, "grow takes a number up to %d", GROW_WORKERS_MAX);
    else for (int64_t i = 0; i < n.i && !*text; i++) {
        /* What is old by then, the workers' collectors leave alone, and it stays shared. The first worker has no time. */
        if (workers_forked == 1) R_gc();
        if (!fork_worker(signals)) {
            kind = "spawn_failed";
            snprintf(text, sizeof text, "worker %d can't be forked: %s", workers_count + 1, strerror(errno));
        }
    }
    if (*text) { refuse(id, kind, text); return; }
    start_answer(id);
    put_nil();
    put_i64(workers_count);
    send_message();
}

static void pass_signal(struct reader r)
{
    struct token list, pid, number;
    if (!next_token(&r, &list) || list.kind != ARRAY || list.n < 2 || !next_token(&r, &pid) || pid.kind != INT || !next_token(&r, &number) || number.kind != INT) return;
    if (number.i != SIGINT && number.i != SIGTERM && number.i != SIGKILL) return;
    for (int i = 0; i < workers_count; i++) if (workers[i] == pid.i) kill(workers[i], (int)number.i);
}

/* The parent: forks workers, does as nexus says, reports deaths; it never runs a function. */
static void run_parent(void)
{
    sigset_t blocked, signals;
    handle(SIGINT, SIG_DFL, 0);
    handle(SIGTERM, SIG_DFL, 0);
    handle(SIGCHLD, ignore, 0);
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGCHLD);
    sigprocmask(SIG_BLOCK, &blocked, &signals);
    fcntl(listen_fd, F_SETFL, fcntl(listen_fd, F_GETFL) & ~O_NONBLOCK);
    if (!fork_worker(&signals)) die(1, "the first worker can't be forked: %s", strerror(errno));
    in_fd = out_fd = control_fd;
    in_socket = out_socket = 1;
    put_hello(1);
    send_message();
    while (!closed) {
        struct pollfd p = { .fd = control_fd, .events = POLLIN };
        reap();
        if (ppoll(&p, 1, NULL, &signals) <= 0) continue;
        fill(0);
        while (!closed) {
            in.head += in.consume;
            in.consume = 0;
            if (in.length - in.head < 4) break;
            size_t n = big_endian(in.data + in.head, 4);
            if (n > (1 << 20)) die(70, "nexus sent a frame of %zu bytes on the control channel", n);
            if (in.length - in.head - 4 < n) break;
            struct reader r = { in.data + in.head + 4, in.data + in.head + 4 + n };
            struct head h;
            in.consume = 4 + n;
            if (!read_head(&r, &h)) die(70, "nexus sent what is no message on the control channel");
            if (h.kind == 2 && is_text(&h.method, "shutdown")) {
                shutdown(listen_fd, SHUT_RDWR);
                for (int i = 0; i < workers_count; i++) while (waitpid(workers[i], NULL, 0) < 0 && errno == EINTR) continue;
                leave(0);
            } else if (h.kind == 2 && is_text(&h.method, "signal")) pass_signal(r);
            else if (h.kind == 0 && is_text(&h.method, "grow")) answer_grow(h.id, r, &signals);
            else if (h.kind == 0) refuse(h.id, "protocol", "a pool has only the methods grow, shutdown and signal");
        }
    }
    abandon(0);
}

/* .Call(serve): never returns. */
static SEXP nexus_serve(void)
{
    if (transport == STDIO && in_fd < 0) {
        fputs("this is a pool of a nexus program: run the program, not the pool\n", stderr);
        leave(1);
    }
    snprintf(runtime_name, sizeof runtime_name, "R %s.%s", R_MAJOR, R_MINOR);
    if (transport == UNIX) run_parent();
    become_worker();
    return R_NilValue;
}

static int descriptor(const char *name)
{
    const char *text = getenv(name);
    if (!text || !*text) return -1;
    int fd = atoi(text);
    if (fcntl(fd, F_GETFD) < 0) die(1, "%s is %s, which is no open descriptor", name, text);
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    return fd;
}

/* R's directory for temporary files moves into that of the run, which goes away with it whatever happens. */
static void move_temp_dir(void)
{
    if (!*temp_dir || !*nexus_dir) return;
    char name[PATH_MAX];
    if (snprintf(name, sizeof name, "%s/R.XXXXXX", nexus_dir) >= (int)sizeof name || !mkdtemp(name)) return;
    char *copy = strdup(name);
    if (!copy) return;
    remove_directory(temp_dir);
    R_TempDir = copy;
    setenv("R_SESSION_TMPDIR", copy, 1);
    strcpy(temp_dir, name);
}

/* Before user code runs: the death of nexus must be noticed, and standard output must be free to print to. */
static void prepare(void)
{
    const char *version = getenv("NEXUS_PROTOCOL"), *pool = getenv("NEXUS_POOL"), *dir = getenv("NEXUS_DIR");
    loading_pid = getpid();
    if (R_TempDir) snprintf(temp_dir, sizeof temp_dir, "%s", R_TempDir);
    if (version && atoi(version) != PROTOCOL)
        die(1, "this pool speaks protocol %d, nexus speaks protocol %.40s: they don't fit together", PROTOCOL, version);
    snprintf(pool_name, sizeof pool_name, "%s", pool && utf8((const unsigned char *)pool, strlen(pool)) == 1 ? pool : "r");
    if (dir) snprintf(nexus_dir, sizeof nexus_dir, "%s", dir);
    control_fd = descriptor("NEXUS_CONTROL_FD");
    listen_fd = descriptor("NEXUS_LISTEN_FD");
    life_fd = descriptor("NEXUS_LIFE_FD");
    int worker_fd = descriptor("NEXUS_WORKER_FD");
    transport = control_fd >= 0 && listen_fd >= 0 ? UNIX : worker_fd >= 0 ? DIRECT : STDIO;
    if (transport == UNIX) handle(SIGIO, abandon, 0);
    else if (transport == DIRECT) in_fd = out_fd = worker_fd;
    else if (!isatty(0)) {
        in_fd = fcntl(0, F_DUPFD_CLOEXEC, 10);
        out_fd = fcntl(1, F_DUPFD_CLOEXEC, 10);
        int null = open("/dev/null", O_RDWR | O_CLOEXEC);
        if (in_fd < 0 || out_fd < 0 || null < 0 || dup2(null, 0) < 0 || dup2(2, 1) < 0) die(1, "standard input and output can't be moved: %s", strerror(errno));
        close(null);
    }
    if (transport != UNIX && in_fd >= 0) {
        setpgid(0, 0);             /* what functions start belongs to this group, and ends with it */
        handle(SIGIO, on_input, SA_RESTART);
        fcntl(in_fd, F_SETOWN, getpid());
        fcntl(in_fd, F_SETFL, fcntl(in_fd, F_GETFL) | O_ASYNC);
    }
    move_temp_dir();
}

/* Keeps R from compiling a function of nexus_pool.R: it is short, and the compiler takes 10 ms to get ready. */
static SEXP nexus_plain(SEXP function)
{
#if R_VERSION < R_Version(4, 5, 0)
    SETLEVELS(function, LEVELS(function) | 1 << 5);
#endif
    return function;
}

/* .Call("nexus_setup", environment): binds what R calls, there. */
SEXP nexus_setup(SEXP environment)
{
    static const struct { const char *name; DL_FUNC function; } ROUTINES[] = {
        { "C_call", (DL_FUNC)nexus_call }, { "C_start", (DL_FUNC)nexus_start }, { "C_result", (DL_FUNC)nexus_result },
        { "C_ask", (DL_FUNC)nexus_ask }, { "C_tell", (DL_FUNC)nexus_tell }, { "C_cancelled", (DL_FUNC)nexus_cancelled },
        { "C_trace", (DL_FUNC)nexus_trace }, { "C_name_of", (DL_FUNC)nexus_name_of }, { "C_register", (DL_FUNC)nexus_register },
        { "C_foreign", (DL_FUNC)nexus_foreign }, { "C_serve", (DL_FUNC)nexus_serve }, { "C_plain", (DL_FUNC)nexus_plain },
        { "C_invoke", (DL_FUNC)invoke } };
    if (keep) fail("nexus_pool.R was loaded already");
    R_PreserveObject(runtime = environment);
    R_PreserveObject(keep = Rf_allocVector(VECSXP, K_SLOTS));
    SET_VECTOR_ELT(keep, K_FUNCTIONS, Rf_allocVector(VECSXP, 0));
    SET_VECTOR_ELT(keep, K_RUN, Rf_lang1(Rf_install("run")));
    for (size_t i = 0; i < sizeof ROUTINES / sizeof *ROUTINES; i++)
        Rf_defineVar(Rf_install(ROUTINES[i].name), R_MakeExternalPtrFn(ROUTINES[i].function, Rf_install("native symbol"), R_NilValue), environment);
    prepare();
    return R_NilValue;
}

void R_init_nexus_r(DllInfo *info)
{
    static const R_CallMethodDef METHODS[] = { { "nexus_setup", (DL_FUNC)nexus_setup, 1 }, { NULL, NULL, 0 } };
    R_registerRoutines(info, NULL, METHODS, NULL, NULL);
    R_useDynamicSymbols(info, FALSE);
}

void R_init_nexus_pool(DllInfo *info) { R_init_nexus_r(info); }
