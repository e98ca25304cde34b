"""What a Python pool asks of nexus about worker processes. It does not test nexus: played.py stands in for it."""
import unittest

from pools import PoolTest  # before played, which it finds
from played import Failure, WorkersTest


class TestWorkers(WorkersTest, PoolTest):
    def test_json(self):
        self.check_workers(67, [
            ("run", {"argv": ["jq", "."]}, [1, 11]),
            ("send", [1, b'{"a": [1, null]}'], None),
            ("receive", [1, None], [b'{"b": 2}']),
            ("receive", [1, None], [b'{"b": "\xc3\xa4"}']),
            ("receive", [1, None], []),
            ("close", [1], None),
            ("wait", [1, 2000], {"exit_code": 0}),
        ], "2|\u00e4")

    def test_the_end_of_a_block(self):
        late = Failure("timeout", "worker cat still runs")
        began = ("run", [{"argv": ["cat"]}], [1, 11])
        line = self.line()
        steps = [began, ("close", [1], None), ("wait", [1, 2000], late), ("kill", [1, 9], None)]
        self.assertEqual(line.hosts(68, "well", steps=steps), [None, None])
        for how, message in (("fails", "ZeroDivisionError: division by zero"),
                             ("number", "TypeError: memoryview: a bytes-like object is required, not 'int'")):
            error, _ = line.hosts(68, how, steps=[began, ("kill", [1, 9], None)])
            self.assertEqual(error["message"], message)


if __name__ == "__main__":
    unittest.main()
