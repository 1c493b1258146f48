"""The command line, `daicho`. One module a verb, imported when it is asked for.

Exit codes: 0 all is well · 1 problems were found, or the business refused · 2 wrong usage · 3 the store cannot be
reached or read · 4 somebody else was faster · 130 interrupted.
"""

from daicho.cli.group import Root

__all__ = ["main"]

main = Root(
    {
        "Begin": {
            "init": ("daicho.cli.init:init", "Write an app, its tests and daicho.toml: a project that runs."),
            "dev": ("daicho.cli.dev:dev", "Serve the app, and begin anew whenever its code changes."),
            "check": ("daicho.cli.check:check", "Whether the app is sound, without a store: for CI."),
        },
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
            "sql": ("daicho.cli.sql:sql", "SQL over history and views, on a copy: nothing is changed."),
            "insight": ("daicho.cli.insight:insight", "The process as it ran, funnels, who came back: from history."),
            "health": ("daicho.cli.health:health", "Whether all is well: one answer, and its exit code, for probes."),
            "top": ("daicho.cli.top:top", "Who reads how fast and how far behind, again and again."),
            "doctor": ("daicho.cli.doctor:doctor", "Examine the store and how its readers stand."),
        },
        "Work with the app": {
            "send": ("daicho.cli.send:send", "Send a command and print what came of it."),
            "query": ("daicho.cli.query:query", "Ask a query of the app and print the answer."),
            "shell": ("daicho.cli.shell:shell", "Python, with the running app at hand."),
            "projection": ("daicho.cli.projection:projection", "See how projections stand; build them again."),
            "processor": ("daicho.cli.processor:processor", "Readers of the log: see, pause, resume, rewind."),
            "process": ("daicho.cli.process:process", "Process managers: see, find what is stuck, help along."),
            "schema": ("daicho.cli.schemas:schema", "Released shapes of events: lock, check, verify."),
            "openapi": ("daicho.cli.documents:openapi", "The app's HTTP addresses as an OpenAPI document."),
            "asyncapi": ("daicho.cli.documents:asyncapi", "The app's events and live answers as AsyncAPI."),
            "bus": ("daicho.cli.bus:bus", "Between this service and others: how far, what is missing."),
            "forget": ("daicho.cli.personal:forget", "Forget a person: shred the key of their personal data."),
            "whoami": ("daicho.cli.personal:whoami", "All that is stored about a person; without one, who you are."),
            "personal": ("daicho.cli.personal:personal", "Holds against forgetting, and certificates of it."),
            "replica": ("daicho.cli.replica:replica", "Replicas that answer queries: who, how far behind."),
            "dlq": ("daicho.cli.dlq:dlq", "Parked events: look, try, retry, skip with a reason."),
        },
        "Plan": {
            "advise": ("daicho.cli.advise:advise_verb", "CRUD or CQRS, events or not, which topology: and why."),
            "simulate": ("daicho.cli.simulate:simulate_verb", "What each topology would make of a load, on paper."),
        },
        "Serve": {
            "run": ("daicho.cli.run:run", "Serve the app over HTTP: commands, queries, projections, or all."),
            "up": ("daicho.cli.up:up", "A whole topology on this machine, or the files for another one."),
            "bench": ("daicho.cli.bench:bench", "Drive reads and writes against a URL, and check each answer."),
            "key": ("daicho.cli.key:key", "API keys: make, list, revoke."),
        },
        "Keep and move": {
            "migrate": ("daicho.cli.migrate:migrate", "Make or update the tables of a PostgreSQL store."),
            "failover": (
                "daicho.cli.failover:failover",
                "Another PostgreSQL server takes over: look, promote.",
            ),
            "move": ("daicho.cli.move:move", "Keep an aggregate as events, or as its state: one to the other."),
            "prune": ("daicho.cli.move:prune", "Delete old events of an aggregate that is kept as its state."),
            "backup": ("daicho.cli.backup:backup", "Copy the database while it is in use."),
            "restore": ("daicho.cli.restore:restore", "Put a backup in the place of the store."),
            "export": ("daicho.cli.exporting:export", "Write events to a file, one JSON line each."),
            "adopt": ("daicho.cli.adopt:adopt", "Rows of another database or a CSV file become events."),
            "eject": ("daicho.cli.eject:eject", "Everything as plain tables, for a life without Daicho."),
            "import": ("daicho.cli.importing:import_events", "Append exported events; again changes nothing."),
        },
        "Help": {
            "config": ("daicho.cli.config:config", "The settings, and where each came from."),
            "explain": ("daicho.cli.explain:explain", "What an error code means."),
        },
    }
)
