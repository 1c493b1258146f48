"""A process that builds or reads the view `balances`: `python -m tests.faults.build_worker VERB URL PLACE`.

build | wrong | verify    slowly, with the right code or the wrong; prints each step, then what became of it
read                      runs the App, and prints all rows for each line that comes in
"""

import asyncio
import sys

from daicho import App, DaichoError
from tests.bank import Account, balances
from tests.unit.test_projections import rows, wrong


async def main(verb: str, store: str, place: str) -> None:
    part = wrong if verb == "wrong" else balances
    app = App(Account, part, store=store, views={part: place} if place else {})
    await app.start(processors=verb == "read")
    try:
        if verb == "read":
            await app.settle()
            loop = asyncio.get_running_loop()
            lines = asyncio.StreamReader()
            await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
            say("begun")
            while await lines.readline():
                say(sorted((await rows(app, part)).items()))
        elif verb == "verify":
            found = await app.projections.verify(
                "balances", at_most=20, progress=lambda step: say(f"at {step.position}")
            )
            say(f"same {found.same}, {found.equal} equal")
        else:
            async for step in app.projections.rebuild("balances", at_most=20):
                say("switched" if step.switched else f"at {step.position}")
    except DaichoError as error:
        say(f"{error.code} {error.what}")
    finally:
        await app.stop()


def say(what: object) -> None:
    print(what, flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
