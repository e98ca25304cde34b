"""Two figures of real runs: from a worker's death to nexus's error, and from Ctrl-C to nothing left."""


def measure(base):
    raise NotImplementedError
