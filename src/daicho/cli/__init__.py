"""The command line, `daicho`. One module a verb, imported when it is asked for.

Exit codes: 0 all is well · 1 problems were found, or the business refused · 2 wrong usage · 3 the store cannot be
reached or read · 4 somebody else was faster · 130 interrupted.
"""

from daicho.cli.group import Root

__all__ = ["main"]

main = Root(
    {
        "Look (nothing is changed)": {
            "get": ("daicho.cli.get:get", "List streams, events, commands, projections, dead letters or types."),
            "describe": (
                "daicho.cli.describe:describe",
                "Everything about a stream, event, command, projection, type.",
            ),
            "show": ("daicho.cli.show:show", "The state of an aggregate, now or then, or the difference."),
            "trace": ("daicho.cli.trace:trace", "Everything that one command led to, as a tree with times."),
            "lineage": ("daicho.cli.lineage:lineage", "The events that made a row of a view, one by one."),
            "tail": ("daicho.cli.tail:tail", "The last events, and with -f each new one as it is recorded."),
            "health": ("daicho.cli.health:health", "Whether all is well: one answer, and its exit code, for probes."),
            "doctor": ("daicho.cli.doctor:doctor", "Examine the store and how its readers stand."),
        },
        "Work with the app": {
            "send": ("daicho.cli.send:send", "Send a command and print what came of it."),
            "query": ("daicho.cli.query:query", "Ask a query of the app and print the answer."),
            "projection": ("daicho.cli.projection:projection", "See how projections stand; build them again."),
            "processor": ("daicho.cli.processor:processor", "Readers of the log: see, pause, resume, rewind."),
            "dlq": ("daicho.cli.dlq:dlq", "Parked events: look, try, retry, skip with a reason."),
        },
        "Keep and move": {
            "migrate": ("daicho.cli.migrate:migrate", "Make or update the tables of a PostgreSQL store."),
            "backup": ("daicho.cli.backup:backup", "Copy the database while it is in use."),
            "export": ("daicho.cli.exporting:export", "Write events to a file, one JSON line each."),
            "import": ("daicho.cli.importing:import_events", "Append exported events; again changes nothing."),
        },
        "Help": {
            "config": ("daicho.cli.config:config", "The settings, and where each came from."),
            "explain": ("daicho.cli.explain:explain", "What an error code means."),
        },
    }
)
