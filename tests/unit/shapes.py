"""Messages that several tests share."""

from daicho import Event


class Seen(Event, name="seen"):
    name: str
