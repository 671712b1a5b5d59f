"""Which way a collection is read: plain OData, ``$apply``, FetchXML, or a saved or user query."""

from __future__ import annotations

from airflow_provider_dynamics.emulator.call import Call
from airflow_provider_dynamics.emulator.fetch_xml.reader import FetchReader
from airflow_provider_dynamics.emulator.messages import NotEmulated, Response
from airflow_provider_dynamics.emulator.privileges import Privileges
from airflow_provider_dynamics.emulator.querying.aggregates import QueryLimits
from airflow_provider_dynamics.emulator.querying.apply import Applier
from airflow_provider_dynamics.emulator.querying.query import Reader, Source
from airflow_provider_dynamics.emulator.querying.saved_queries import VIEWS, SavedQueries
from airflow_provider_dynamics.emulator.store import Store
from airflow_provider_dynamics.emulator.switches import DataFaults


class Queries:
    """Answers GET on collections."""

    def __init__(
        self, store: Store, reader: Reader, privileges: Privileges, faults: DataFaults, limits: QueryLimits
    ) -> None:
        self._reader = reader
        self._applier = Applier(store, privileges, limits)
        self._fetch = FetchReader(store, faults, privileges, limits)
        self._views = SavedQueries(store, privileges)

    def check(self, call: Call, document: str) -> None:
        """Raise ``Fault`` when FetchXML names what there is not, or what may not be read."""
        self._fetch.ids(call, document, limit=0)

    def ids(self, call: Call, document: str) -> list[str]:
        """The ids of all rows that FetchXML describes."""
        return self._fetch.ids(call, document)

    def collection(self, call: Call, source: Source) -> Response:
        """One page of a collection, in the language its options speak."""
        if "$apply" in call.options:
            return self._applier.collection(call, source)
        if "fetchXml" in call.options:
            if source.condition is not None and not source.table.elastic:
                raise NotEmulated("?fetchXml= on the rows of a relationship")
            return self._fetch.collection(call, source, call.options["fetchXml"])
        for option in VIEWS:
            if option in call.options:
                document = self._views.document(call, source.table, option)
                return self._fetch.collection(call, source, document, option)
        return self._reader.collection(call, source)
