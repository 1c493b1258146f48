"""OpenSearch and Elasticsearch as a read store, with search."""

from daicho.adapters.views.opensearch.store import SearchReadStore

__all__ = ["SearchReadStore"]
