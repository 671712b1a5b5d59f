"""Where the commands write: one place that knows whether a person or a program reads.

Texts go out as they are. Airflow's own console would take a bracketed word such as [dynamics] for a style.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from dataclasses import dataclass, field
from typing import Any, TextIO

__all__ = ["AFTER_CTRL_C", "Terminal", "printable"]

AFTER_CTRL_C = 130  # the exit code that shells make of it

# what moves a terminal's cursor, changes its colours or turns its text around; line breaks and tabs are none of it
_COMMANDS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def printable(text: str) -> str:
    """Return a text that commands no terminal: a service's words are not our own."""
    return _COMMANDS.sub("\N{REPLACEMENT CHARACTER}", text)


@dataclass(frozen=True)
class Terminal:
    """Standard output, and what it can show."""

    stream: TextIO = field(default_factory=lambda: sys.stdout)

    @property
    def interactive(self) -> bool:
        """Whether a person sees this as it is written."""
        return self.stream.isatty()

    @property
    def coloured(self) -> bool:
        """Whether colours are wanted: on a terminal, unless its owner said no (https://no-color.org)."""
        return self.interactive and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"

    @property
    def width(self) -> int | None:
        """How many columns there are, None where lines should stay whole."""
        return shutil.get_terminal_size().columns if self.interactive else None

    def say(self, text: str = "", *, styled: bool = False) -> None:
        """Write a line, at once: somebody may be waiting for it. Ends the command where nobody reads any more, as `head` does.

        :param styled: the text holds colours of our own, and was made `printable` before it got them
        """
        encoding = self.stream.encoding or "utf-8"
        shown = text if styled else printable(text)
        try:
            self.stream.write(shown.encode(encoding, "replace").decode(encoding) + "\n")
            self.stream.flush()
        except BrokenPipeError:
            # Python would complain at its end about what it still has to write
            os.dup2(os.open(os.devnull, os.O_WRONLY), self.stream.fileno())
            raise SystemExit(1) from None

    def say_json(self, document: Any) -> None:
        """Write one JSON document."""
        text = json.dumps(document, indent=2, ensure_ascii=False)
        self.say(_COMMANDS.sub(lambda found: f"\\u{ord(found[0]):04x}", text))
