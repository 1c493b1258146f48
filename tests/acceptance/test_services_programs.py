"""The services of the shop as programs: the demo, and one process each."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.services.find import needed
from tests.services.nats import nats
from tests.services.running import Host

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
PROGRAM = [sys.executable, "-m", "examples.services"]
TOLD = """\
order 1: confirmed, paid, shipped
order 2: confirmed, paid, shipped
order 3: cancelled
order 4: cancelled, paid, paid back
order 5: cancelled
on the shelf: 6, spoken for: 0
"""


def told(*arguments: str) -> str:
    run = subprocess.run([*PROGRAM, *arguments], cwd=ROOT, capture_output=True, text=True)
    assert (run.returncode, run.stderr) == (0, "")
    return run.stdout


def test_the_demo_says_how_five_orders_ended() -> None:
    assert told("demo").endswith(TOLD)


def test_the_demo_says_the_same_over_a_broker_and_can_be_run_again(host: Host) -> None:
    with needed():
        broker = nats(host)
    try:
        for _ in range(2):
            assert told("demo", "--bus", broker.url).endswith(TOLD)
    finally:
        broker.kill()


def test_a_bus_that_is_not_there_is_told_in_a_sentence() -> None:
    run = subprocess.run([*PROGRAM, "demo", "--bus", "smoke://signals"], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 1
    assert run.stderr.startswith("Error: ")
    assert "Traceback" not in run.stderr


def test_a_service_is_a_process_that_ends_when_it_is_told_to(tmp_path: Path) -> None:
    command = [*PROGRAM, "serve", "shipping", "--store", f"sqlite:///{tmp_path}/shipping.db", "--bus", "memory:shop"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as service:
        assert service.stdout is not None
        assert service.stdout.readline() == "shipping is up\n"
        service.send_signal(signal.SIGTERM)
        assert service.communicate(timeout=30) == ("", "")
        assert service.returncode == 0
