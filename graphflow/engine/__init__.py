"""Runs plans: `walk` one plan's tasks, `stepper` the generators of all of them on one device."""

from graphflow.engine.engine import Engine

__all__ = ["Engine"]
