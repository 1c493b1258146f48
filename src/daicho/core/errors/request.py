"""A request to the HTTP face cannot be taken as it is."""

from daicho.core.errors.root import DaichoError

__all__ = [
    "BadHeader",
    "NoSuchResource",
    "NotAcceptable",
    "NotJson",
    "RequestError",
    "TooLarge",
    "TooSlow",
    "UnknownMedia",
    "VersionRequired",
    "WrongMethod",
]


class RequestError(DaichoError):
    """A request to the HTTP face cannot be taken as it is. Nothing was done."""

    code = "D700"


class NotJson(RequestError):
    """The body is not one JSON value in UTF-8, names a key twice, or is nested too deeply."""

    code = "D701"


class UnknownMedia(RequestError):
    """The body is of a media type, or in an encoding, that is not understood; `accepted` lists those that are."""

    code = "D702"


class TooLarge(RequestError):
    """The body is over the limit. No more of it was read."""

    code = "D703"


class BadHeader(RequestError):
    """A header or a parameter of the address cannot be understood; `name` says which."""

    code = "D704"


class NoSuchResource(RequestError):
    """There is nothing at that address, or nothing that the caller may know of."""

    code = "D705"


class WrongMethod(RequestError):
    """There is something at that address, but it does not take that method; `allowed` lists those that it takes."""

    code = "D706"


class VersionRequired(RequestError):
    """The command is only taken with `If-Match` or `If-None-Match`, so that nobody overwrites what he has not seen."""

    code = "D707"


class NotAcceptable(RequestError):
    """The answer cannot be given in any of the media types that `Accept` names."""

    code = "D708"


class TooSlow(RequestError):
    """The body did not arrive in time. Nothing was done."""

    code = "D709"
