"""The pool that runs the SQL of flows: one connection of sqlite3 for each run and source, one transaction for each.

The transaction begins with the run's first statement there, and ends with `sql_end`, which commits or rolls back all of the
run. A run that never ends so is rolled back when this process ends. Sources are paths, or URIs `file:...`; `:memory:` is one
database for all runs, there as long as this process is. There is exactly one worker, to which all calls of all runs come.

A database that another run has locked is waited for without blocking that run: this worker calls itself meanwhile, and while
it waits for that, nexus gives it the other calls.
"""
import os
import re
import sqlite3
from base64 import b64decode, b64encode
from time import monotonic, sleep

import nexus_pool

# Connections at once: two descriptors each.
CONNECTIONS_MAX = 400
# How long a lock is waited for, and the shortest and longest of the pauses meanwhile, in which other runs wait too.
BUSY_S = 5
PAUSE_S = 0.002
PAUSE_S_MAX = 0.02
# Rows of a result: they go as one message.
ROWS_MAX = 1_000_000
# Instructions of sqlite between two looks whether the call is cancelled: a millisecond or so.
LOOK_INSTRUCTIONS = 100_000

runs = {}  # the connections of each run, by their sources
anchors = {}  # what keeps a database in memory while no run uses it

FIRST_WORD = re.compile(r"(?:\s|--[^\n]*(?:\n|$)|/\*.*?\*/|;)*([A-Za-z]*)", re.S)
# What reads only needs no lock before; what sqlite refuses inside of a transaction begins none.
READS = ("SELECT", "WITH", "VALUES", "EXPLAIN")
OUTSIDE = ("PRAGMA", "VACUUM", "ATTACH", "DETACH")
OWN = ("BEGIN", "COMMIT", "END", "ROLLBACK")


def sql(run, source, statement, parameters):
    """Rows as a list of maps; of a statement that has none, how many it has changed and the id of the last."""
    word = FIRST_WORD.match(statement).group(1).upper()
    if word in OWN and not re.search(r"\bTO\b", statement, re.I):
        raise ValueError("the run is a transaction by itself, which %s can't begin or end" % word)
    connection = runs.get(run, {}).get(source) or connect(run, source)
    if not connection.in_transaction and word not in OUTSIDE:
        patiently(lambda: connection.execute("BEGIN" if word in READS else "BEGIN IMMEDIATE"))
    many = isinstance(parameters, list) and parameters != [] and all(isinstance(row, (list, dict)) and not is_bytes(row)
                                                                    for row in parameters)
    bound = [bind(row) for row in parameters] if many else bind(parameters)

    def act():
        if many:
            return all_or_none(connection, statement, bound), []
        cursor = connection.execute(statement, bound)
        return cursor, cursor.fetchmany(ROWS_MAX + 1)

    cursor, rows = patiently(act)
    if cursor.description is None:
        return {"rows": max(cursor.rowcount, 0), "last_id": cursor.lastrowid}
    names = [column[0] for column in cursor.description]
    if len(rows) > ROWS_MAX:
        raise ValueError("the statement has more than %d rows, expected fewer: add a LIMIT" % ROWS_MAX)
    return [{name: shown(value) for name, value in zip(names, row)} for row in rows]


def sql_end(run, commit):
    """Ends the transactions of a run, if it has any. If one can't be committed, none that follows is."""
    try:
        for connection in runs.get(run, {}).values():
            if commit and connection.in_transaction:
                patiently(lambda: connection.execute("COMMIT"))
    finally:
        # What is not committed by now is rolled back.
        for connection in runs.pop(run, {}).values():
            connection.close()


def all_or_none(connection, statement, rows):
    """A statement for each row. What fails in the middle, for a lock too, has changed nothing."""
    connection.execute("SAVEPOINT nexus")
    try:
        return connection.executemany(statement, rows)
    except BaseException:
        connection.execute("ROLLBACK TO nexus")
        raise
    finally:
        connection.execute("RELEASE nexus")


def connect(run, source):
    if sum(map(len, runs.values())) >= CONNECTIONS_MAX:
        raise RuntimeError("%d connections to databases are open, expected fewer: runs that have not ended" % CONNECTIONS_MAX)
    memory = source == ":memory:" or source.startswith("file:") and "mode=memory" in source
    place = "file:nexus?mode=memory&cache=shared" if source == ":memory:" else source
    if memory and source not in anchors:
        anchors[source] = opened(place)
    connection = opened(place)
    runs.setdefault(run, {})[source] = connection
    return connection


def opened(place):
    try:
        connection = sqlite3.connect(place, timeout=0, isolation_level=None, uri=place.startswith("file:"))
    except sqlite3.OperationalError as error:
        raise sqlite3.OperationalError("%s: %s (from %s)" % (error, place, os.getcwd())) from None
    # In it, as in any Python code, a cancelled call ends.
    connection.set_progress_handler(lambda: None, LOOK_INSTRUCTIONS)
    return connection


def patiently(act):
    """What `act` returns, once no lock is in its way."""
    until, pause_s = monotonic() + BUSY_S, PAUSE_S
    while True:
        try:
            return act()
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or monotonic() > until:
                raise
        elsewhere(pause_s)
        pause_s = min(2 * pause_s, PAUSE_S_MAX)


def bind(parameters):
    if parameters is None:
        return ()
    if is_bytes(parameters) or not isinstance(parameters, (list, dict)):
        return (bound_value(parameters),)
    if isinstance(parameters, dict):
        return {name.lstrip(":@$"): bound_value(value) for name, value in parameters.items()}
    return [bound_value(value) for value in parameters]


def is_bytes(value):
    return isinstance(value, dict) and value.keys() == {"$bytes"}


def bound_value(value):
    if is_bytes(value):
        return b64decode(value["$bytes"])
    if isinstance(value, (list, dict)):
        raise TypeError("a parameter is a %s, expected null, a number, a string, true or false" %
                        ("list" if isinstance(value, list) else "map"))
    return value


def shown(value):
    if isinstance(value, bytes):
        return b64encode(value).decode()
    if isinstance(value, float) and value in (float("inf"), float("-inf")):
        return "Infinity" if value > 0 else "-Infinity"
    return value


def plain(function):
    """A function whose errors have no trace: what is wrong is in the statement, not here."""
    def call(*args):
        try:
            return function(*args)
        except Exception as error:
            raise error.with_traceback(None)

    call.__code__ = call.__code__.replace(co_filename=nexus_pool.__file__)
    call.__qualname__ = function.__name__
    return call


nexus_pool.register(1, plain(sql), args=["u8", "s", "s", "<Json>s"], returns="<Json>s")
nexus_pool.register(2, plain(sql_end), args=["u8", "b"], returns="z")
nexus_pool.register(3, sleep, args=["f8"], returns="z")
elsewhere = nexus_pool.foreign("sql", 3, args=["f8"], returns="z")
nexus_pool.serve()
