"""A client that answers from memory, for tests of what Airflow makes of its answers."""

from __future__ import annotations

from types import SimpleNamespace


class FakeClient:
    """Each request takes the next answer; an exception among them is raised."""

    environment = "https://contoso.crm.dynamics.com"

    def __init__(self, *answers):
        self.answers = list(answers)
        self.queries = []
        self.throttled_seconds = 0.0
        self.requests_sent = 0
        self.closed = self.cancelled = False

    def table(self, name):
        return SimpleNamespace(logical_name=name, primary_id=f"{name}id")

    def filter_text(self, table, filter):
        return f"{filter} as {table} spells it"

    def rows(self, query):
        self.queries.append(query)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return iter(answer)

    def cancel(self):
        self.cancelled = True

    def close(self):
        self.closed = True

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()


class FakeHook:
    def __init__(self, client):
        self.client = client

    def get_conn(self):
        return self.client
