"""`python -m examples.services demo` and `python -m examples.services serve NAME --store URL --bus URL`."""

import asyncio
import contextlib
import signal

import click

from daicho import App, DaichoError
from examples.services import inventory, orders, payments, shipping
from examples.services.demo import demo as play_demo

SERVICES = {"orders": orders, "inventory": inventory, "payments": payments, "shipping": shipping}


@click.group()
def main() -> None:
    """The shop as services that are joined only by a bus."""


@main.command()
@click.option("--bus", default="memory:shop", show_default=True, help="nats://, amqp://, kafka://, redis://...")
def demo(bus: str) -> None:
    """Five orders through three services, and a fourth service that comes later. Ends by itself."""
    try:
        asyncio.run(play_demo(bus, click.echo))
    except DaichoError as error:
        raise click.ClickException(str(error)) from error


@main.command()
@click.argument("name", type=click.Choice(list(SERVICES)))
@click.option("--store", required=True, help="URL of this service's own register.")
@click.option("--bus", required=True, help="URL of the bus that all of them share.")
def serve(name: str, store: str, bus: str) -> None:
    """One service, until it is told to end."""
    try:
        asyncio.run(_serve(SERVICES[name].service(store, bus)))
    except DaichoError as error:
        raise click.ClickException(str(error)) from error


async def _serve(app: App) -> None:
    told = asyncio.Event()
    for ending in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):  # not on Windows
            asyncio.get_running_loop().add_signal_handler(ending, told.set)
    async with app:
        click.echo(f"{app.name} is up")
        await told.wait()


if __name__ == "__main__":
    main(prog_name="python -m examples.services")
