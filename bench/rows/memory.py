"""No store at all: what is left is the reading and folding of events."""


class Memory:
    title = "memory"
    events = "memory:"
    rows = None
    share = 1.0
    client = None

    def close(self) -> None:
        pass
