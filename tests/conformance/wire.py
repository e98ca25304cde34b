"""msgpack, frames and types as the conformance kit sees them, written for this kit alone: it shares no code with nexus or
with the runtimes that it tests. It does no input or output.
"""
import struct


class Malformed(Exception):
    """Bytes or a value that are not what they should be."""


class Ext:
    """A msgpack ext value."""

    def __init__(self, code, data):
        self.code, self.data = code, bytes(data)

    def __repr__(self):
        return show(self)


class Raw:
    """Bytes that stand in a message as they are, for spellings that `encode` would not choose, and for wrong ones."""

    def __init__(self, data):
        self.data = bytes(data)


# Ext types of packed lists: name of the element, struct format.
PACKED = {1: ("i1", "b"), 2: ("i2", "h"), 3: ("i4", "i"), 4: ("i8", "q"), 5: ("u1", "B"), 6: ("u2", "H"), 7: ("u4", "I"),
          8: ("u8", "Q"), 9: ("f4", "f"), 10: ("f8", "d")}
CODES = {name: code for code, (name, _) in PACKED.items()}
BIG, FUNCTION = 11, 12
DEPTH_MAX = 600


# ---- encoding -------------------------------------------------------------------------------------------------------

def encode(value):
    """The value's msgpack, in the shortest spelling; integers beyond 64 bits as ext type 11."""
    out = []
    write(value, out)
    return b"".join(out)


def write(value, out):
    if value is None or value is False or value is True:
        out.append({None: b"\xc0", False: b"\xc2", True: b"\xc3"}[value])
    elif isinstance(value, int):
        out.append(integer(value))
    elif isinstance(value, float):
        out.append(b"\xcb" + struct.pack(">d", value))
    elif isinstance(value, str):
        data = value.encode()
        out += [head(len(data), 0xa0, 32, 0xd9), data]
    elif isinstance(value, (bytes, bytearray)):
        out += [head(len(value), 0, 0, 0xc4), bytes(value)]
    elif isinstance(value, (list, tuple)):
        out.append(head(len(value), 0x90, 16, 0xdb))
        for item in value:
            write(item, out)
    elif isinstance(value, dict):
        out.append(head(len(value), 0x80, 16, 0xdd))
        for key, item in value.items():
            write(key, out)
            write(item, out)
    elif isinstance(value, Ext):
        fixed = {1: 0xd4, 2: 0xd5, 4: 0xd6, 8: 0xd7, 16: 0xd8}.get(len(value.data))
        out.append(bytes([fixed]) if fixed else head(len(value.data), 0, 0, 0xc7))
        out += [bytes([value.code]), value.data]
    elif isinstance(value, Raw):
        out.append(value.data)
    else:
        raise TypeError("no msgpack for %r" % (value,))


def integer(value):
    for tag, form, low, high in ((None, "b", -32, 127), (0xcc, "B", 0, 2**8 - 1), (0xcd, "H", 0, 2**16 - 1),
                                 (0xce, "I", 0, 2**32 - 1), (0xcf, "Q", 0, 2**64 - 1), (0xd0, "b", -2**7, 0),
                                 (0xd1, "h", -2**15, 0), (0xd2, "i", -2**31, 0), (0xd3, "q", -2**63, 0)):
        if low <= value <= high:
            return (b"" if tag is None else bytes([tag])) + struct.pack(">" + form, value)
    return encode(big(value))


def big(value):
    """An integer as ext type 11: big-endian two's complement."""
    return Ext(BIG, value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True))


def head(size, fixed, room, tag):
    """What precedes `size` bytes or elements; `tag` is the one with an 8-bit length, which arrays and maps lack."""
    if size < room:
        return bytes([fixed | size])
    if size < 1 << 8 and tag not in (0xdb, 0xdd):
        return bytes([tag, size])
    return struct.pack(">BH", tag + 1, size) if size < 1 << 16 else struct.pack(">BI", tag + 2, size)


def packed(name, values):
    """A packed list: name of the element's type, elements."""
    return Ext(CODES[name], struct.pack("<%d%s" % (len(values), PACKED[CODES[name]][1]), *values))


def frame(message):
    data = message if isinstance(message, bytes) else encode(message)
    return struct.pack(">I", len(data)) + data


# ---- decoding -------------------------------------------------------------------------------------------------------

FIXED = {0xca: ">f", 0xcb: ">d", 0xcc: ">B", 0xcd: ">H", 0xce: ">I", 0xcf: ">Q", 0xd0: ">b", 0xd1: ">h", 0xd2: ">i",
         0xd3: ">q"}
SIZED = {0xc4: ("bin", 1), 0xc5: ("bin", 2), 0xc6: ("bin", 4), 0xc7: ("ext", 1), 0xc8: ("ext", 2), 0xc9: ("ext", 4),
         0xd9: ("str", 1), 0xda: ("str", 2), 0xdb: ("str", 4), 0xdc: ("array", 2), 0xdd: ("array", 4), 0xde: ("map", 2),
         0xdf: ("map", 4)}


def decode(data):
    """The one value that `data` is; Malformed if it is none, or if bytes are left."""
    value, at = read(memoryview(data), 0, 0)
    if at != len(data):
        raise Malformed("%d bytes are left after the value" % (len(data) - at))
    return value


def read(data, at, depth):
    if depth > DEPTH_MAX:
        raise Malformed("a value of more than %d levels" % DEPTH_MAX)
    tag = take(data, at, 1)[0]
    at += 1
    if tag < 0x80 or tag >= 0xe0:
        return (tag if tag < 0x80 else tag - 256), at
    if tag in (0xc0, 0xc2, 0xc3):
        return {0xc0: None, 0xc2: False, 0xc3: True}[tag], at
    if tag in FIXED:
        size = struct.calcsize(FIXED[tag])
        return struct.unpack(FIXED[tag], take(data, at, size))[0], at + size
    if tag < 0xc0:
        kind, size = ("map", tag & 15) if tag < 0x90 else ("array", tag & 15) if tag < 0xa0 else ("str", tag & 31)
    elif 0xd4 <= tag <= 0xd8:
        kind, size = "ext", 1 << tag - 0xd4
    elif tag in SIZED:
        kind, width = SIZED[tag]
        size = int.from_bytes(take(data, at, width), "big")
        at += width
    else:
        raise Malformed("0x%02x starts no value" % tag)
    if kind == "array":
        items = []
        for _ in range(size):
            item, at = read(data, at, depth + 1)
            items.append(item)
        return items, at
    if kind == "map":
        fields = {}
        for _ in range(size):
            key, at = read(data, at, depth + 1)
            if not isinstance(key, (str, int)):
                raise Malformed("%s as the key of a map" % show(key))
            if key in fields:
                raise Malformed("a map that repeats its key %s" % show(key))
            fields[key], at = read(data, at, depth + 1)
        return fields, at
    if kind == "ext":
        code = take(data, at, 1)[0]
        return Ext(code, take(data, at + 1, size)), at + 1 + size
    content = bytes(take(data, at, size))
    try:
        return (content.decode() if kind == "str" else content), at + size
    except UnicodeDecodeError:
        raise Malformed("a string that is not UTF-8: %s" % show(content)) from None


def take(data, at, size):
    if at + size > len(data):
        raise Malformed("a value that ends too early")
    return data[at:at + size]


# ---- types ----------------------------------------------------------------------------------------------------------
# A type is the name of a scalar ("f8", "?u1", "y"), a list of one type, a tuple of types, or a dict of keys and types.

def typed(kind, value, where="the result"):
    """A value that came, as the plain Python value that it means by its type; Malformed if it is none of that type."""
    def wrong():
        raise Malformed("%s is %s, expected %s" % (where, show(value), kind))

    if isinstance(kind, str) and kind.startswith("?"):
        return None if value is None else typed(kind[1:], value, where)
    if isinstance(kind, list):
        if isinstance(value, Ext):
            if value.code not in PACKED or PACKED[value.code][0] != kind[0]:
                wrong()
            form = PACKED[value.code][1]
            if len(value.data) % struct.calcsize("<" + form):
                wrong()
            return list(struct.unpack("<%d%s" % (len(value.data) // struct.calcsize("<" + form), form), value.data))
        if not isinstance(value, list):
            wrong()
        return [typed(kind[0], item, "%s[%d]" % (where, i)) for i, item in enumerate(value)]
    if isinstance(kind, tuple):
        if not isinstance(value, list) or len(value) != len(kind):
            wrong()
        return [typed(each, item, "%s[%d]" % (where, i)) for i, (each, item) in enumerate(zip(kind, value))]
    if isinstance(kind, dict):
        if isinstance(value, list) and len(value) == len(kind):
            value = dict(zip(kind, value))
        optional = {key for key, each in kind.items() if isinstance(each, str) and each.startswith("?")}
        if not isinstance(value, dict) or value.keys() - kind.keys() or kind.keys() - value.keys() - optional:
            wrong()
        return {key: typed(each, value.get(key), where + "." + key) for key, each in kind.items()}
    if kind == "j" and isinstance(value, Ext) and value.code == BIG and value.data:
        number = int.from_bytes(value.data, "big", signed=True)
        if -2**63 <= number < 2**64:
            raise Malformed("%s is %d as ext type 11, expected an int: it fits 64 bits" % (where, number))
        return number
    if kind in ("f4", "f8") and type(value) in (int, float):
        return float(value)
    if type(value) is not {"z": type(None), "b": bool, "s": str, "y": bytes, "f4": float, "f8": float}.get(kind, int):
        wrong()
    if kind[0] in "iu" and value not in limits(kind):
        wrong()
    return value


def limits(kind):
    bits = 8 * int(kind[1])
    return range(-1 << bits - 1, 1 << bits - 1) if kind[0] == "i" else range(1 << bits)


def single(value):
    """The nearest float of single precision."""
    return struct.unpack("<f", struct.pack("<f", value))[0]


def same(one, other):
    """Whether two plain values are the same in type and content; NaN is itself, and -0.0 is not 0.0."""
    if type(one) is not type(other):
        return False
    if isinstance(one, float):
        return one != one and other != other or struct.pack("d", one) == struct.pack("d", other)
    if isinstance(one, list):
        if len(one) > 1000 and one == other and 0.0 not in one:
            return True
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    return one == other


def show(value, room=160):
    """A value in one short line."""
    if isinstance(value, Raw):
        text = "msgpack %s" % value.data[:60].hex()
    elif isinstance(value, Ext):
        name, form = PACKED.get(value.code, ("", ""))
        if name and len(value.data) % struct.calcsize("<" + form) == 0:
            count = len(value.data) // struct.calcsize("<" + form)
            items = list(struct.unpack("<%d%s" % (min(count, 8), form), value.data[:8 * struct.calcsize("<" + form)]))
            text = "packed %s %s%s" % (name, items, " of %d" % count if count > 8 else "")
        elif value.code == FUNCTION:
            try:
                text = "function %s" % show(decode(value.data))
            except Malformed:
                text = "ext 12 %s" % value.data[:40].hex()
        else:
            text = "ext %d of %d bytes %s" % (value.code, len(value.data), value.data[:24].hex())
    elif isinstance(value, (str, bytes)):
        text = repr(value[:room]) + (" of %d" % len(value) if len(value) > room else "")
    elif isinstance(value, list):
        text = "[%s%s]" % (", ".join(show(item, 60) for item in value[:8]), ", ... of %d" % len(value) if len(value) > 8 else "")
    elif isinstance(value, dict):
        fields = ["%s: %s" % (show(key, 30), show(item, 200)) for key, item in list(value.items())[:12]]
        text = "{%s}" % ", ".join(fields)
    elif isinstance(value, int) and value.bit_length() > 200:
        text = "an integer of %d bits" % value.bit_length()
    else:
        text = repr(value)
    return text if len(text) <= 4 * room else text[:4 * room] + "..."
