"""Everything the Web API client raises. Which of them an answer stands for is decided in `answers`, by the table in `codes`.

    DataverseError
    ├── BadRequest              the request, or the data in it, was refused
    │   ├── PluginRefused       the environment's own logic (a plug-in or workflow) refused it
    │   ├── TooLarge            it has to be split
    │   ├── BadFetchXml         a document that is none; nothing was sent
    │   ├── AggregateLimit      an aggregate would cover too many rows
    │   ├── SolutionRefused     a solution cannot be imported or taken away as it is
    │   ├── NotOnThisServer     a server on premises does not have it; nothing was sent
    │   └── ChangeTrackingOff   the table does not keep changes
    ├── Unauthorized            the token was refused
    ├── Forbidden               the user may not do this
    ├── NotFound
    │   ├── RowNotFound
    │   ├── UnknownTable
    │   ├── UnknownColumn
    │   ├── UnknownView
    │   ├── NoFile              the column holds no file
    │   ├── JobGone             the job cannot be asked about any more
    │   ├── UnknownKey          the table has no such usable alternate key
    │   ├── UnknownVersion      the server lacks this version of the Web API
    │   └── UnknownOperation    the environment has no such action or function
    ├── Conflict
    │   ├── DuplicateKey        a row with this key exists already
    │   ├── Different           what shall be made is there already, and is different
    │   ├── CustomizationRunning the environment changes something else at this moment
    │   └── ConcurrencyMismatch the row has changed since it was read
    ├── MetadataChangesOff      the connection may not change definitions; nothing was sent
    ├── DeltaLinkExpired        changes must be read in full again
    ├── JobFailed               a job came to its end, but not to its goal
    ├── Throttled               service protection: wait, then go on
    ├── ServerError
    │   └── ServerTimeout       the service gave up: ask for less at a time
    ├── Unreachable             no complete answer came over the network
    ├── BadResponse             an answer came, but not one of the Web API's
    ├── ForeignLink             a link led away from the environment
    └── Interrupted             cancelled from this side

Each says what was asked, what the service said, and what to do about it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_dynamics.auth.texts import fitted

if TYPE_CHECKING:  # DAG files that build queries come by here, and need no table of sign-in codes
    from airflow_provider_dynamics.auth.causes import Kind

__all__ = [
    "AggregateLimit",
    "BadFetchXml",
    "BadRequest",
    "BadResponse",
    "ChangeTrackingOff",
    "ConcurrencyMismatch",
    "Conflict",
    "CustomizationRunning",
    "DataverseError",
    "DeltaLinkExpired",
    "Different",
    "DuplicateKey",
    "Forbidden",
    "ForeignLink",
    "Interrupted",
    "JobFailed",
    "JobGone",
    "MetadataChangesOff",
    "NoFile",
    "NotFound",
    "NotOnThisServer",
    "PluginRefused",
    "RowNotFound",
    "ServerError",
    "ServerTimeout",
    "SolutionRefused",
    "Throttled",
    "TooLarge",
    "Unauthorized",
    "UnknownColumn",
    "UnknownKey",
    "UnknownOperation",
    "UnknownTable",
    "UnknownVersion",
    "UnknownView",
    "Unreachable",
]

_LONGEST_MESSAGE = 500  # characters of the service's own text that go into an error
_LONGEST_ASKED = 300
_GATEWAY_TIMEOUT = 504


class DataverseError(Exception):
    """A request that failed: what was asked, what the service said, and what to do about it.

    `code` is Dataverse's ("0x80040217", "" when it sent none), `retry_after` seconds. `retryable` says
    whether the very same request may succeed later, `kind` who has to act. `repeated` is set where an earlier
    attempt of a write may have been carried out. `statuses` gives the HTTP status of each row of a chunk by
    its place, where the service says it, as it does for elastic tables. `late` is set where the request
    arrived and no answer came in time, from the service or from what stands before it.
    """

    default_retryable: ClassVar[bool] = False
    default_late: ClassVar[bool] = False
    default_kind: ClassVar[Kind] = "permanent"
    default_remedy: ClassVar[str] = ""
    meaning: ClassVar[str] = "The request failed."

    def __init__(
        self,
        message: str,
        *,
        asked: str = "",
        status: int | None = None,
        code: str = "",
        request_id: str | None = None,
        remedy: str | None = None,
        retryable: bool | None = None,
        retry_after: float | None = None,
        late: bool = False,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.asked = asked
        self.status = status
        self.code = code
        self.request_id = request_id
        self.remedy = self.default_remedy if remedy is None else remedy
        self.retryable = self.default_retryable if retryable is None else retryable
        self.retry_after = retry_after
        self.repeated = False
        self.statuses: dict[int, int] = {}
        self.late = late or self.default_late or status == _GATEWAY_TIMEOUT

    @property
    def kind(self) -> Kind:
        """Who has to act, in the words of sign-in errors."""
        return "transient" if self.retryable else self.default_kind

    def __str__(self) -> str:
        facts = [
            f"HTTP {self.status}" if self.status else "",
            self.code,
            f"request id {self.request_id}" if self.request_id else "",
            f"retry after {self.retry_after:g} s" if self.retry_after is not None else "",
        ]
        known = ", ".join(fact for fact in facts if fact)
        asked = shortened(self.asked, _LONGEST_ASKED)
        text = f"{asked}: {self.message}" if asked else self.message
        text = f"{text.rstrip('. ')} ({known})." if known else f"{text.rstrip('. ')}."
        lead = "What to do: " if self.remedy and self.kind == "needs-admin" else ""
        return fitted(f"{text} {lead}{self.remedy}".rstrip())


class BadRequest(DataverseError):
    meaning = "The request, or the data in it, was refused."


class PluginRefused(BadRequest):
    meaning = "The environment's own logic refused the row."
    default_remedy = (
        "A plug-in or workflow of this environment refused the row: correct the data or ask its owner."
    )


class TooLarge(BadRequest):
    meaning = "What was sent or asked for is too large."
    default_remedy = "Send fewer or smaller rows at a time."


class BadFetchXml(BadRequest):
    meaning = "The FetchXML document cannot be read."
    default_remedy = "Correct the FetchXML document."


class AggregateLimit(BadRequest):
    meaning = "An aggregate would cover more rows than Dataverse counts."
    default_remedy = (
        "An aggregate may cover 50,000 rows: divide them by a filter (on createdon, say) and add the parts up, or "
        "export the rows and aggregate there."
    )


class NotOnThisServer(BadRequest):
    meaning = "Servers on premises do not have this."
    default_remedy = "Leave it out there."


class ChangeTrackingOff(BadRequest):
    default_kind = "needs-admin"
    meaning = "The table does not keep track of changes."
    default_remedy = (
        "Switch on 'Track changes' in the table's advanced options (Power Apps, Tables, Properties) and publish it; "
        "it cannot be switched off again."
    )


class SolutionRefused(BadRequest):
    meaning = "A solution cannot be imported or uninstalled as it is."
    default_remedy = "Correct what is named and try again."


class Unauthorized(DataverseError):
    meaning = "Dataverse does not accept the access token."
    default_remedy = (
        "The service does not accept the token: check that it is for this environment and that the app registration "
        "has an application user there."
    )


class Forbidden(DataverseError):
    default_kind = "needs-admin"
    meaning = "The sign-in works, but this user may not do this."
    default_remedy = "Give the user a security role with the missing privilege."


class NotFound(DataverseError):
    meaning = "There is nothing at this address."
    default_remedy = "Check the names in the request, the environment URL and the API version."


class RowNotFound(NotFound):
    meaning = "There is no such row."
    default_remedy = "The row does not exist or this user may not see it."


class UnknownTable(NotFound):
    meaning = "There is no such table."


class UnknownColumn(NotFound):
    meaning = "There is no such column."


class UnknownView(NotFound):
    meaning = "The table has no such view."
    default_remedy = (
        "Give the view's name as Dynamics shows it, or its id; a user's own views need personal=True."
    )


class UnknownKey(NotFound):
    meaning = "The table has no such alternate key."


class UnknownOperation(NotFound):
    meaning = "The environment has no such action or function."


class UnknownVersion(NotFound):
    meaning = "The server lacks this version of the Web API."
    default_remedy = "Set Web API version in the connection to one that the server has."


class NoFile(NotFound):
    meaning = "The column holds no file."
    default_remedy = "Upload one first, or choose rows whose column is not empty."


class JobGone(NotFound):
    meaning = "The job cannot be asked about any more."
    default_remedy = (
        "Environments delete the records of jobs that have ended: look at what the job should have done, and let "
        "whoever runs the environment keep such records for some days."
    )


class Conflict(DataverseError):
    meaning = "The change contradicts what is stored."


class DuplicateKey(Conflict):
    meaning = "A row with this key exists already."
    default_remedy = "A row with this id or alternate key exists: update or upsert it instead."


class Different(Conflict):
    meaning = "What shall be made is there already, and is different."
    default_remedy = "Change the definition here or there, so that both say the same; nothing was changed."


class CustomizationRunning(Conflict):
    default_retryable = True
    meaning = "The environment imports, publishes or changes something else at this moment."
    default_remedy = (
        "Dataverse carries out one such operation at a time: it goes through when the other one has ended."
    )


class ConcurrencyMismatch(Conflict):
    meaning = "The row has changed since it was read."
    default_remedy = "Somebody changed the row after it was read: read it again, then repeat the change."


class MetadataChangesOff(DataverseError):
    meaning = "This connection may not change the environment's definitions."
    default_remedy = (
        "Switch on Allow metadata changes in the connection if its tasks are to change tables, columns, keys, choices or "
        "solutions. Nothing was sent."
    )


class DeltaLinkExpired(DataverseError):
    meaning = "The place reached in the table's changes is too old."
    default_remedy = "Read the table in full again and keep the new delta link; links live seven days unless the environment says otherwise."


class JobFailed(DataverseError):
    meaning = "A job of the service failed or was cancelled."
    default_remedy = (
        "Correct what the job says, then start it again; Dynamics lists it under Settings > System Jobs."
    )


class Throttled(DataverseError):
    meaning = "The service protects itself: this user asks for too much at a time."
    default_retryable = True
    default_remedy = (
        "Service protection asks to wait; run fewer tasks at once for this user or lower max_concurrency."
    )


class ServerError(DataverseError):
    meaning = "Something went wrong on the service's side."
    default_retryable = True
    default_remedy = "This is a fault on the service's side; it usually passes."


class ServerTimeout(ServerError):
    default_late = True
    meaning = "The service ran out of time."
    default_remedy = "The service ran out of time: ask for or send less at once."


class Unreachable(DataverseError):
    """`sent` is False when the request cannot have reached the service, so that even a create may be repeated."""

    default_retryable = True

    def __init__(self, message: str, *, sent: bool = True, **facts: Any) -> None:
        super().__init__(message, **facts)
        self.sent = sent


class BadResponse(DataverseError):
    default_retryable = True
    default_remedy = "Something between here and Dataverse answered or cut the answer off: check proxies and the environment URL."


class ForeignLink(DataverseError):
    default_remedy = "The link was not followed, so the token stayed here. Read the table in full again; if this repeats, check proxies."


class Interrupted(DataverseError):
    default_kind = "transient"  # a worker that is being shut down cancels too, and then another one may go on
    meaning = "The work was cancelled from this side."


def shortened(text: str, longest: int = _LONGEST_MESSAGE) -> str:
    """Return a text in one line of at most `longest` characters."""
    line = " ".join(text.split())
    return line if len(line) <= longest else f"{line[:longest].rstrip()} …"
