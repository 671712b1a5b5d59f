"""What a load is undone with: each row as it was, stored before the load touches it.

A batch's rows are written into a part of their own, and the part is complete before the first of them is sent; so a
load that dies has a pre-image of everything that it may have changed. Parts are named so that their order is the
order of the writes, and undoing goes through them backwards: what a second try noted is overwritten by what the
first one had.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow.sdk import ObjectStoragePath
from airflow.sdk.exceptions import AirflowFailException

from airflow_provider_dynamics.transfers.loads.row import LoadRow, Stage, open_rows

if TYPE_CHECKING:
    from airflow_provider_dynamics.dataverse import Client
    from airflow_provider_dynamics.dataverse.metadata.table import Table

__all__ = ["Noted", "PreImage", "PreImages", "UndoFolder"]

VERSION = 1
_PASS = len("undo-0001-000")
_PART = re.compile(r"undo-(\d{4})-\d{3}-\d{9}\.ndjson")


@dataclass(frozen=True)
class PreImage:
    """One row before a load.

    :param table: its table
    :param action: what the load was about to do with it: create, update or delete
    :param row_id: its id; None where a row was to be created under an alternate key
    :param key: the alternate key's columns with their values, where the row is known by them
    :param before: the row that restores it; empty for a create
    :param after: what the load was about to send
    :param number: its place in the input, from 1
    """

    table: str
    action: str
    row_id: str | None
    key: Mapping[str, Any]
    before: Mapping[str, Any]
    after: Mapping[str, Any]
    number: int = 0

    def to_json(self) -> dict[str, Any]:
        members = ("number", "table", "action", "row_id", "key", "before", "after")
        return {name: value for name in members if (value := getattr(self, name)) not in (None, {})}

    @classmethod
    def from_json(cls, line: Mapping[str, Any]) -> PreImage:
        return cls(
            line["table"],
            line["action"],
            line.get("row_id"),
            line.get("key") or {},
            line.get("before") or {},
            line.get("after") or {},
            line["number"],
        )


@dataclass(frozen=True)
class Noted:
    """What one pass of one try has noted.

    :param load: the load's name in its run; a row's number is its place in this load's input
    :param table: the table
    :param parts: reads each part, in the order in which they were written
    """

    load: str
    table: str
    parts: list[Callable[[], list[PreImage]]] = field(default_factory=list)

    def backwards(self, *actions: str) -> Iterator[PreImage]:
        """Yield the images of these actions, the last ones first; of all without any."""
        for part in reversed(self.parts):
            yield from (image for image in reversed(part()) if not actions or image.action in actions)


class UndoFolder:
    """A folder of parts, which belong to one run of one load in one environment.

    :param path: the folder
    :param environment: the URL of the environment that is loaded, or undone
    :param run: whose parts they are, in words: DAG, task and run
    """

    def __init__(self, path: ObjectStoragePath, environment: str, run: str = "") -> None:
        self.path = path
        self._environment = environment
        self._run = run

    def attempt(self) -> int:
        """Return the number of the next try, from 1: behind all whose parts are here, cleared tasks' too.

        :raises AirflowFailException: the folder holds another load's pre-images, which would be undone together
        """
        parts = self._parts()
        if not parts:
            return 1
        head = self._read(parts[-1])[0]
        self._check_environment(head)
        owner = head.get("run")
        if owner != self._run:
            raise AirflowFailException(
                f"{self.path} holds the pre-images of another load ({owner}): give each run a folder of its own, such as "
                "undo_path='…/{{ dag.dag_id }}/{{ run_id }}/', and each mapped task too. Nothing was written."
            )
        return int(_PART.fullmatch(parts[-1].name)[1]) + 1  # type: ignore[index]  # _parts saw to it

    def write(self, name: str, load: str, images: list[PreImage]) -> None:
        """Put one complete part of images of one table into the folder."""
        import msgspec

        from airflow_provider_dynamics.formats.storage import place, replacing

        encode = msgspec.json.Encoder(decimal_format="number").encode
        whose = {"run": self._run, "environment": self._environment}
        head = {"undo": VERSION, **whose, "load": load, "table": images[0].table}
        lines = [head, *(image.to_json() for image in images)]
        with replacing(place(self.path / name), "replace") as file:
            file.write(b"".join(encode(line) + b"\n" for line in lines))

    def passes(self) -> list[Noted]:
        """Return what each pass has noted, the last one first.

        :raises AirflowFailException: there is nothing, something else, or another environment's
        """
        found: dict[str, Noted] = {}
        for part in self._parts():
            head, name = self._read(part)[0], part.name[:_PASS]
            self._check_environment(head)
            noted = found.setdefault(name, Noted(head["load"], head["table"]))
            noted.parts.append(partial(self._images, part))
        if not found:
            raise AirflowFailException(
                f"{self.path} holds no pre-images: give the undo_path of a load, or there is nothing to undo."
            )
        return [found[name] for name in sorted(found, reverse=True)]

    def _check_environment(self, head: Mapping[str, Any]) -> None:
        loaded = str(head.get("environment", self._environment))  # older ones do not say
        if loaded.lower() != self._environment.lower():
            raise AirflowFailException(
                f"{self.path} holds how rows were in {loaded}, and this task works in {self._environment}: give it the load's "
                "environment, or a folder of its own. Nothing was changed."
            )

    def _images(self, part: ObjectStoragePath) -> list[PreImage]:
        return [PreImage.from_json(line) for line in self._read(part)[1:]]

    def _parts(self) -> list[ObjectStoragePath]:
        if not self.path.exists():
            return []
        return sorted((part for part in self.path.iterdir() if _PART.fullmatch(part.name)), key=str)

    def _read(self, part: ObjectStoragePath) -> list[dict[str, Any]]:
        import msgspec

        from airflow_provider_dynamics.dataverse.protocol.odata import decode
        from airflow_provider_dynamics.formats.storage import place

        with place(part).open("rb") as file:
            lines = file.read().splitlines()
        try:
            found = [decode(line) for line in lines]
            _check_version(found[0]["undo"])
        except (msgspec.DecodeError, LookupError, TypeError, ValueError) as error:
            raise AirflowFailException(f"{part} holds no pre-images of a load: {error}.") from error
        return found


def _check_version(version: Any) -> None:
    if version != VERSION:
        raise ValueError(f"they are of version {version!r}, and this one reads {VERSION}")


class PreImages(Stage):
    """Stores the rows that a batch is going to change; stands behind `Comparing`.

    :param load: the load's name in the run
    :param attempt: what `UndoFolder.attempt` said
    :param step: which pass of the run, from 0
    """

    ordered = False

    def __init__(
        self,
        client: Client,
        folder: UndoFolder,
        table: Table,
        key: tuple[str, ...],
        *,
        load: str = "",
        attempt: int = 1,
        step: int = 0,
    ) -> None:
        self._entity_set: Callable[[str], str] = client.entity_set
        self._folder = folder
        self._table = table
        self._key = key
        self._load = load
        self._part = f"undo-{attempt:04}-{step:03}"

    def __call__(self, batch: list[LoadRow]) -> None:
        """Store the pre-images of the rows that are going to be sent."""
        images = [image for row in open_rows(batch) if (image := self._image(row)) is not None]
        if images:
            self._folder.write(f"{self._part}-{batch[0].number:09}.ndjson", self._load, images)

    def _image(self, row: LoadRow) -> PreImage | None:
        from airflow_provider_dynamics.dataverse.rows.comparing import restored

        compared = row.compared
        if compared is None or compared.action in {"unchanged", "missing", "exists", "taken"}:
            return None
        table, stored = self._table, dict(compared.before or {})
        row_id = row.row_id or stored.get(table.primary_id) or row.values.get(table.primary_id)
        key = {} if row_id else {name: self._value(row, name) for name in self._key}
        whole = [name for name, column in table.columns.items() if column.wire_name in stored]
        names = whole if compared.action == "delete" or table.elastic else compared.changed
        before = restored(table, stored, names, self._entity_set) if stored else {}
        after = {name: row.values[name] for name in compared.changed if name in row.values}
        return PreImage(table.logical_name, compared.action, row_id, key, before, after, row.number)

    def _value(self, row: LoadRow, name: str) -> Any:
        from airflow_provider_dynamics.dataverse.rows.comparing import reference_id

        return row.values[name] if name in row.values else reference_id(self._table.columns[name], row.values)
