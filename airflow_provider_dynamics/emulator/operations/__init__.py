"""Actions and functions: what there are, how their parameters are read, and what they do.

One `Operation` is declared once and serves twice: as an entry of ``$metadata`` and as what runs when it is called.
A new one is a declaration with a ``run`` in one of the modules here, listed in ``standard``; one that needs rooms
of its own is added to ``WebApi.operations`` by whoever owns them.
"""

from __future__ import annotations

from airflow_provider_dynamics.emulator.operations.model import (
    Invocation,
    Operation,
    Parameter,
    Rooms,
    RowArgument,
)
from airflow_provider_dynamics.emulator.operations.registry import Operations

__all__ = ["Invocation", "Operation", "Operations", "Parameter", "Rooms", "RowArgument"]
