"""The functions that a pool under test exports, and the list of checks. It checks nothing itself."""

FUNCTIONS = r"""
 1 echo_floats  [f8] -> [f8]
 2 add          i8, i8 -> i8
 3 echo_record  {name:s,age:?u1,tags:[s]} -> the same
 4 echo_tuple   (b,j,y,f4) -> the same
 5 fail         s -> z             raises an error with that message
 6 relay        s, i8, i8 -> i8    (pool, mid, n): calls function mid of pool with n, returns its result + 1
 7 sleep        f8 -> z            sleeps that many seconds
 8 say          s -> z             prints the text to standard output, as its language does
 9 note         s, s -> z          log(level, text)
10 step         f8, f8, s -> z     progress(done, total, label)
11 fan          s, i8, i8 -> i8    (pool, mid, n): n calls of mid with 1 to n, all out at once; the sum of the results
12 apply        \(i8)i8, i8 -> i8  f(n)
13 adder        i8 -> \(i8)i8      the function that adds n: a closure
14 quit         i8 -> z            ends the process with that exit code, at once
15 spin         f8 -> z            computes that many seconds, without system calls that wait
16 echo_lists   [i4], [u1], [i8], [f4] -> ([i4],[u1],[i8],[f4])
17 echo_bytes   y -> y
18 echo_text    s -> s
19 via          s, i8 -> i8        (name, n): the command name of the program, with n
20 kind_of      s, i8, i8 -> s     (pool, mid, n): calls mid with n; the kind of the error that it gets, "" if none
21 chain        [s], i8 -> i8      (pools, n): 0 if n is 0, else 1 + pools[n mod length]'s function 21 of (pools, n-1)
22 compose      \(i8)i8, \(i8)i8 -> \(i8)i8    (f, g): the function x -> f(g(x))
23 total        [f8] -> f8         the sum
24 blob         i8 -> [f8]         n floats: 0, 1, 2, ...
25 double       i8 -> i8           2 n
26 nap          i8 -> i8           sleeps n milliseconds, returns n
27 echo_big     j -> j
28 own_pid      -> i8              the process id
29 tree         &4Tree{value:i8,kids:[^4Tree]} -> i8    the sum of all values
30 crew         [s], s, i8 -> ([s],i8)    (words, name, n): what the program `sort`, run as a worker, makes of the words; and
                                 what the command `name`, run as a worker, makes of n, and then of that
31 mishap       [s], i8 -> s     (argv, ms): runs that program as a worker and receives, within so many milliseconds: the
                                 message, "end", or the kind of the error
"""

(ECHO_FLOATS, ADD, ECHO_RECORD, ECHO_TUPLE, FAIL, RELAY, SLEEP, SAY, NOTE, STEP, FAN, APPLY, ADDER, QUIT, SPIN, ECHO_LISTS,
 ECHO_BYTES, ECHO_TEXT, VIA, KIND_OF, CHAIN, COMPOSE, TOTAL, BLOB, DOUBLE, NAP, ECHO_BIG, OWN_PID, TREE, CREW,
 MISHAP) = range(1, 32)

CHECKS = {}


def check(name, *transports):
    """Adds a check. Its docstring says what must be true; `transports` are those that it is for, by default all."""
    def add(function):
        function.transports = transports or ("unix", "direct", "stdio")
        CHECKS[name] = function
        return function

    return add
