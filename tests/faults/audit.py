"""What must be true of the bank after any fault, checked against what its clients were told (STORAGE.md 8.3)."""

from collections import Counter
from pathlib import Path

from daicho import App
from tests.bank import Account, Deposited, TransferStarted, Withdrawn, balances


def told(ledger: Path) -> dict[str, tuple[str, str, int]]:
    """Key -> (last that was heard: begin, done or refused; kind; amount)."""
    found: dict[str, tuple[str, str, int]] = {}
    for line in ledger.read_text().splitlines() if ledger.exists() else ():
        heard, key, kind, amount = line.split()
        found[key] = (heard, kind, int(amount))
    return found


async def audit(app: App, ledger: dict[str, tuple[str, str, int]]) -> None:
    """At rest: nothing acknowledged is lost, nothing refused is there, nothing is doubled, no money made or gone."""
    await app.settle(within=30)
    assert not await app.dead_letters.list()
    records = [r async for r in app.events()]

    # places: positions without repetition, versions of each stream from 1 without holes
    assert [r.position for r in records] == sorted({r.position for r in records})
    assert len({r.event_id for r in records}) == len(records)
    for stream in {r.stream for r in records}:
        versions = [r.version for r in records if r.stream == stream]
        assert versions == list(range(1, len(versions) + 1))

    # each command at most once, and exactly once if it was acknowledged
    by_command = Counter(r.causation_id for r in records)
    assert set(by_command.values()) <= {1}
    outside = [r for r in records if "cause" not in r.metadata]
    amounts = Counter(
        ("withdraw" if isinstance(r.event, Withdrawn) else "deposit", r.event.amount)
        for r in outside
        if not isinstance(r.event, TransferStarted)
    )
    kinds = {"post": "deposit"}
    least = Counter((kinds.get(k, k), n) for heard, k, n in ledger.values() if heard == "done" and k != "transfer")
    unsure = Counter((kinds.get(k, k), n) for heard, k, n in ledger.values() if heard == "begin" and k != "transfer")
    assert least - amounts == Counter(), "acknowledged, and not there"
    assert amounts - least - unsure == Counter(), "there, although refused or never sent"
    started = {r.event.transfer for r in records if isinstance(r.event, TransferStarted)}
    assert {k for k, (heard, kind, _) in ledger.items() if (heard, kind) == ("done", "transfer")} <= started
    assert started <= {k for k, (_, kind, _) in ledger.items() if kind == "transfer"}

    # every transfer paid out at most once, and paid in exactly if it was paid out
    out = Counter(r.event.transfer for r in records if isinstance(r.event, Withdrawn) and r.event.transfer)
    into = Counter(r.event.transfer for r in records if isinstance(r.event, Deposited) and r.event.transfer)
    refused = [o for o in await app.storage.outcomes(state="rejected", limit=100_000) if o.cause]
    assert out == into
    assert set(out.values()) <= {1}
    assert set(out) <= started
    assert len(started) - len(out) == len({o.command_id for o in refused} - set(by_command))

    # the states, the rows and the history tell the same story, and no account is below zero
    from_history: Counter[str] = Counter()
    moves: Counter[str] = Counter()
    for r in records:
        if isinstance(r.event, (Deposited, Withdrawn)):
            from_history[r.event.account] += r.event.amount if isinstance(r.event, Deposited) else -r.event.amount
            moves[r.event.account] += 1
            assert from_history[r.event.account] >= 0
    rows = {row.account: (row.amount, row.movements) for row in await app.views[balances].find()}
    assert rows == {account: (from_history[account], moves[account]) for account in moves}
    for account in moves:
        assert (await app.load(Account, account)).balance == from_history[account]
    brought = sum(r.event.amount for r in outside if isinstance(r.event, Deposited))
    taken = sum(r.event.amount for r in outside if isinstance(r.event, Withdrawn))
    assert sum(from_history.values()) == brought - taken
