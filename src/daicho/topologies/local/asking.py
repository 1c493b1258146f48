"""Small questions to servers, without a client library."""

import asyncio
import contextlib

__all__ = ["answers", "get", "redis_answers"]

_WITHIN = 5.0


async def get(address: str, path: str, *, within: float = _WITHIN) -> tuple[int, str] | None:
    """Status and body; None if nobody answers."""
    request = f"GET {path} HTTP/1.0\r\nHost: daicho\r\nAccept: */*\r\n\r\n"
    said = await _exchange(address, request.encode(), whole=True, within=within)
    head, _, body = (said or b"").partition(b"\r\n\r\n")
    words = head.split(b" ", 2)
    return (int(words[1]), body.decode(errors="replace")) if len(words) > 1 and words[1].isdigit() else None


async def answers(address: str, path: str) -> bool:
    """Whether it is 200."""
    told = await get(address, path)
    return told is not None and told[0] == 200


async def redis_answers(address: str, password: str) -> bool:
    words = f"AUTH {password}\r\nPING\r\n"
    said = await _exchange(address, words.encode(), until=b"PONG")
    return b"+PONG" in (said or b"")


async def _exchange(
    address: str, request: bytes, *, whole: bool = False, until: bytes = b"", within: float = _WITHIN
) -> bytes | None:
    host, _, port = address.rpartition(":")
    try:
        async with asyncio.timeout(within):
            reader, writer = await asyncio.open_connection(host, int(port))
            try:
                writer.write(request)
                said = b""
                while piece := await reader.read(65536):
                    said += piece
                    if not whole and until in said:
                        break
                return said
            finally:
                writer.close()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()
    except (OSError, TimeoutError):
        return None
