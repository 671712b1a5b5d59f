"""Labels as metadata has them: a text in each language, by its LCID.

https://learn.microsoft.com/power-apps/developer/data-platform/webapi/reference/label
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["CRM", "label", "label_of", "labelled"]

CRM = "Microsoft.Dynamics.CRM"
"""What the service's types are named in."""


def label(text: str, language: int) -> dict[str, Any]:
    """Return a text as the wire's label of one language, by its LCID."""
    return {
        "@odata.type": f"{CRM}.Label",
        "LocalizedLabels": [
            {"@odata.type": f"{CRM}.LocalizedLabel", "Label": text, "LanguageCode": language}
        ],
    }


def labelled(options: Mapping[int, str], language: int) -> list[dict[str, Any]]:
    """Return options as the wire lists them."""
    return [{"Value": value, "Label": label(text, language)} for value, text in options.items()]


def label_of(found: Mapping[str, Any] | None, language: int) -> str | None:
    """Return a label's text in a language, None where it has none in it."""
    texts = (found or {}).get("LocalizedLabels") or ()
    return next((one["Label"] for one in texts if one.get("LanguageCode") == language), None)
