"""Writing without transactions: rows that guard themselves first, then the position that vouches for them."""

import asyncio
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec
from bson import encode
from bson.errors import BSONError
from bson.raw_bson import RawBSONDocument
from pymongo import ReplaceOne, ReturnDocument
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import BulkWriteError, DuplicateKeyError, PyMongoError
from pymongo.read_concern import ReadConcern

from daicho.adapters.views.mongodb.failures import only_duplicates
from daicho.adapters.views.mongodb.rows import Document
from daicho.adapters.views.mongodb.tables import Table
from daicho.adapters.views.mongodb.wire import Database
from daicho.core.errors import InvalidMessage, LostLease, StoreFailed
from daicho.ports.checkpoint_store import Advance
from daicho.ports.view_store import ViewChange

__all__ = ["POSITIONS", "Commit", "Written", "fence", "in_pieces", "written"]

POSITIONS = "daicho_positions"

_AT_ONCE, _LARGEST_QUESTION = 5000, 4_000_000
"""Keys, and characters of keys, that are asked for in one question, which may have 16 MB."""
_LARGEST = 16 * 1024 * 1024
"""Bytes of a document. Some servers close the connection when they get a larger one."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.005, 0.2
_PATIENCE = 10.0
"""Seconds for others who write the same at the same time. Then it is told that this does not end by itself."""


class Written(msgspec.Struct, frozen=True):
    """A row or mark, ready to be sent."""

    key: str
    position: int
    document: RawBSONDocument


def written(table: Table, change: ViewChange, now: datetime) -> dict[str, Written]:
    """By key; what is in both will be deleted. Raises InvalidMessage, StoreFailed."""
    return {key: _written(document) for key, document in _documents(table, change, now).items()}


def _written(document: Document) -> Written:
    key: str = document["_id"]
    try:
        data = encode(document)
    except (BSONError, OverflowError, UnicodeError) as error:
        why = f"{error}: integers have 64 bits, and texts must be valid Unicode"
    else:
        if len(data) <= _LARGEST:
            return Written(key, document["_position"], RawBSONDocument(data))
        why = f"it has {len(data)} bytes, and MongoDB takes {_LARGEST}"
    raise InvalidMessage(
        f"row {key!r:.200} cannot be kept in MongoDB", why=why, do="make the row fit", path="$", key=key
    )


def _documents(table: Table, change: ViewChange, now: datetime) -> dict[str, Document]:
    table.codec.check(change.upserts.values())
    try:
        rows = {key: table.codec.document(key, change.seen[key], row) for key, row in change.upserts.items()}
        marks = {key: {"_id": key, "_position": change.seen[key], "_deleted": now} for key in change.deletes}
    except KeyError as error:
        raise StoreFailed(
            f"row {error.args[0]!r} was committed without its position",
            why="a row in MongoDB takes only what is newer than itself",
            do="give `seen` for every changed key",
        ) from None
    return {**rows, **marks}


class Commit:
    """One commit. It may be attempted again after a lost connection: nothing is doubled."""

    def __init__(self, collection: str, documents: Mapping[str, Written], advance: Advance | None) -> None:
        self._collection, self._documents, self._advance = collection, documents, advance
        self._moving = False

    async def attempt(self, database: Database) -> None:
        """Raises LostLease. The rows are looked at each time anew: the server may have come back without its tail."""
        advance, again = self._advance, self._moving
        if advance is not None and await _check(database, advance, again):
            return
        if self._documents:
            await _put(database, self._collection, self._documents)
        if advance is not None:
            self._moving = True
            await _move(database, advance, again)


class _Patience:
    """Between attempts that others got in the way of. Whoever stands in the way for good is no competitor: a unique
    index of somebody else's, or an index that has what its collection lacks."""

    def __init__(self, collection: str) -> None:
        self._collection, self._pause = collection, _FIRST_PAUSE
        self._deadline = time.monotonic() + _PATIENCE

    async def pause(self, refused: PyMongoError | None) -> None:
        """Raises StoreFailed when it has lasted too long."""
        if time.monotonic() > self._deadline:
            raise StoreFailed(
                f"{self._collection!r} refuses documents as duplicates that it does not find",
                why=str(refused)[:500] if refused else "others replaced the same documents all the time",
                do="drop unique indexes that are not Daicho's; if there are none, `validate` the collection in MongoDB"
                " and rebuild the read model if it is damaged",
                collection=self._collection,
            ) from refused
        await asyncio.sleep(self._pause)
        self._pause = min(self._pause * 2, _LONGEST_PAUSE)


def in_pieces(keys: Iterable[str]) -> Iterator[list[str]]:
    """Each key once."""
    piece: list[str] = []
    size = 0
    for key in dict.fromkeys(keys):
        if piece and (len(piece) == _AT_ONCE or size + len(key) > _LARGEST_QUESTION):
            yield piece
            piece, size = [], 0
        piece.append(key)
        size += len(key)
    if piece:
        yield piece


def _settled(database: Database, name: str) -> AsyncCollection[Document]:
    """Reads of it find nothing that a new primary could have lost: what is not found will be written again."""
    return database.get_collection(name, read_concern=ReadConcern("majority"))


async def _put(database: Database, name: str, documents: Mapping[str, Written]) -> None:
    """Until each row has seen at least as much. Rows that are there and newer stay as they are."""
    collection = _settled(database, name)
    patience = _Patience(name)
    waiting = documents
    while True:
        there = await _positions(collection, waiting)
        fresh = [each for key, each in waiting.items() if key not in there]
        newer = [each for key, each in waiting.items() if key in there and there[key] < each.position]
        refused = await _insert(collection, fresh)
        if refused is None and await _replace(collection, newer):
            return
        # somebody else was faster with some of them: they may have to be replaced, or have been swept
        waiting = {each.key: each for each in (*fresh, *newer)}
        await patience.pause(refused)


async def _positions(collection: AsyncCollection[Document], keys: Iterable[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for piece in in_pieces(keys):
        async for document in collection.find({"_id": {"$in": piece}}, {"_position": 1}):
            found[document["_id"]] = document["_position"]
    return found


async def _insert(collection: AsyncCollection[Document], rows: Sequence[Written]) -> PyMongoError | None:
    """That some were there, if it is so."""
    if rows:
        try:
            await collection.insert_many([each.document for each in rows], ordered=False)
        except BulkWriteError as error:
            if not only_duplicates(error):
                raise
            return error
    return None


async def _replace(collection: AsyncCollection[Document], rows: Sequence[Written]) -> bool:
    """Whether all of them were there, and older."""
    if not rows:
        return True
    guarded: list[ReplaceOne[Document]] = [
        ReplaceOne({"_id": each.key, "_position": {"$lt": each.position}}, each.document) for each in rows
    ]
    return (await collection.bulk_write(guarded, ordered=False)).matched_count == len(rows)


async def fence(database: Database, processor: str, token: int) -> int | None:
    """Raises LostLease."""
    collection = _settled(database, POSITIONS)
    patience = _Patience(POSITIONS)
    while True:
        try:
            found = await collection.find_one_and_update(
                {"_id": processor, "token": {"$lte": token}},
                {"$set": {"token": token}},
                upsert=True,
                return_document=ReturnDocument.AFTER,
            )
        except DuplicateKeyError as error:
            # there is one with a newer token, or somebody made one in this very moment
            found = await collection.find_one({"_id": processor})
            if found is not None and found["token"] > token:
                raise _lost(processor, token, found) from None
            await patience.pause(error)
        else:
            position = None if found is None else found.get("position")
            return None if position is None else int(position)


async def _check(database: Database, advance: Advance, again: bool) -> bool:
    """Whether the move was made already, by a question whose answer was lost. Raises LostLease if it would be
    refused now."""
    found = await _settled(database, POSITIONS).find_one({"_id": advance.processor})
    if again and _is_there(found, advance):
        return True
    if found is None or found["token"] > advance.token or found.get("position", 0) != advance.old:
        raise _lost(advance.processor, advance.token, found, advance.old)
    return False


def _is_there(found: Mapping[str, Any] | None, advance: Advance) -> bool:
    return found is not None and found["token"] <= advance.token and found.get("position") == advance.new


async def _move(database: Database, advance: Advance, again: bool) -> None:
    """Raises LostLease."""
    collection = _settled(database, POSITIONS)
    mine: Document = {"_id": advance.processor, "token": {"$lte": advance.token}}
    never = [{"position": {"$exists": False}}] if advance.old == 0 else []
    moved = await collection.find_one_and_update(
        {**mine, "$or": [{"position": advance.old}, *never]}, {"$set": {"position": advance.new}}
    )
    if moved is None:
        found = await collection.find_one({"_id": advance.processor})
        if again and _is_there(found, advance):
            return
        raise _lost(advance.processor, advance.token, found, advance.old)


def _lost(processor: str, token: int, found: Mapping[str, Any] | None, old: int | None = None) -> LostLease:
    if found is None:
        why = "MongoDB knows nothing of it: its data was lost or replaced, or it was forgotten"
    elif found["token"] > token:
        why = f"its token is {token}, and somebody with {found['token']} was here"
    else:
        why = f"the rows are at position {found.get('position', 0)}, not at {old}"
    return LostLease(f"{processor} is run by another process", why=why, processor=processor)
