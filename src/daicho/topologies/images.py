"""What runs in containers, for Compose and Kubernetes alike."""

from collections.abc import Mapping

from daicho.topologies.description import Kind

__all__ = ["DOCKERFILE", "IMAGES", "PRIMARY", "PRIMARY_RIGHTS", "PURGES", "REPLICA"]

IMAGES: Mapping[Kind, str] = {
    "haproxy": "haproxy:3.2",
    "varnish": "varnish:7.7",
    "primary": "postgres:18",
    "replica": "postgres:18",
    "redis": "redis:8",
    "mongodb": "mongo:8",
    "opensearch": "opensearchproject/opensearch:2.19.1",
}

PURGES = 6082
"""The port at which Varnish takes purges, from the inside."""

DOCKERFILE = """\
FROM python:3.13-slim
RUN useradd --system --uid 10001 --create-home daicho
WORKDIR /app
RUN pip install --no-cache-dir "daicho[http,postgres,redis,mongodb,opensearch,client]"
COPY . .
USER 10001
ENTRYPOINT ["daicho"]
"""

PRIMARY = (
    *("-c", "wal_level=replica", "-c", "max_wal_senders=20", "-c", "max_replication_slots=20"),
    *("-c", "wal_log_hints=on", "-c", "max_connections=300"),
)
"""Settings for a primary that replicas follow."""

PRIMARY_RIGHTS = """\
#!/bin/sh
# whoever has the password may follow
echo 'host replication daicho all scram-sha-256' >> "$PGDATA/pg_hba.conf"
"""

REPLICA = """\
set -e
if [ ! -s "$PGDATA/PG_VERSION" ]; then
  mkdir -p "$PGDATA"
  until pg_basebackup -h "$PRIMARY" -U daicho -D "$PGDATA" -X stream -c fast -R -C -S "$SLOT"; do
    # one that was begun and not finished left its slot behind
    psql -h "$PRIMARY" -U daicho -d daicho -c "select pg_drop_replication_slot('$SLOT')" || true
    find "$PGDATA" -mindepth 1 -delete
    sleep 2
  done
  chmod 700 "$PGDATA"
fi
exec postgres -c max_connections=300 -c hot_standby=on -c wal_retrieve_retry_interval=200ms
"""
"""Copies the primary, if that was not done yet, and follows it."""
