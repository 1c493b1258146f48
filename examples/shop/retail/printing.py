"""The outcome of an import, as JSON for programs and as tables for people."""

import msgspec
from rich.console import Console
from rich.table import Table

from examples.shop.retail.figures import Figures
from examples.shop.retail.importing import Cost, Outcome

__all__ = ["as_json", "print_cost", "print_outcome"]


def as_json(figures: Figures) -> str:
    return msgspec.json.format(msgspec.json.encode(figures), indent=1).decode()


def print_outcome(console: Console, outcome: Outcome) -> None:
    found = outcome.figures
    table = Table("figure", "value", title="Read back from the views")
    table.columns[1].justify = "right"
    for name, value in (
        ("lines", f"{found.lines:,}"),
        ("invoices", f"{found.invoices:,}"),
        ("of these, cancellations", f"{found.cancellation_invoices:,}"),
        ("of these, bad debts", f"{found.bad_debt_invoices:,}"),
        ("total", found.total),
        ("customers", f"{found.customers:,}"),
        ("lines without a customer", f"{found.lines_without_customer:,}"),
        ("lines that repeat another exactly", f"{found.exact_duplicate_lines:,}"),
        ("products", f"{found.products:,}"),
    ):
        table.add_row(name, value)
    if found.most_lines_of_one_customer:
        customer, lines = found.most_lines_of_one_customer
        table.add_row(f"most lines of one customer ({customer})", f"{lines:,}")
    console.print(table)
    months = Table("month", "total", title="By month")
    months.columns[1].justify = "right"
    for month, total in sorted(found.total_by_month.items()):
        months.add_row(month, total)
    console.print(months)


def print_cost(console: Console, outcome: Outcome) -> None:
    cost: Cost = outcome.cost
    console.print(
        f"{cost.commands:,} commands and as many events in {cost.seconds:,.1f} s: "
        f"{cost.commands / max(cost.seconds, 1e-9):,.0f}/s"
        + (f"; {cost.skipped:,} documents had been imported before" if cost.skipped else "")
    )
    console.print(
        f"peak memory {cost.peak_mib:,.0f} MiB"
        + (f" in the largest of {cost.processes} processes" if cost.processes > 1 else "")
        + (f", database {cost.file_mib:,.0f} MiB" if cost.file_mib is not None else "")
    )
    if outcome.astray:
        console.print(f"[red]{len(outcome.astray)} products astray, (moved, invoiced):[/red] {outcome.astray}")
    else:
        console.print("the stock movements of every product add up to its invoices")
