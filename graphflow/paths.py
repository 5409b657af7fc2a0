"""Where the files that GraphFlow ships lie, in a checkout and in an installed wheel alike."""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).resolve().parent


def shipped(inside_package: str, in_checkout: str) -> Path:
    """The folder of that name in the installed package, or else in the checkout beside it."""
    installed = PACKAGE / inside_package
    return installed if installed.is_dir() else PACKAGE.parent / in_checkout


def editor_folder() -> Path:
    """The built editor; may be missing in a checkout that never built it."""
    return shipped("web", "web/dist")


def workflows_folder() -> Path:
    """The example workflows."""
    return shipped("workflows_shipped", "workflows")


def builtin_models() -> Path:
    """A models root, laid out like a user's, with the models on board."""
    return PACKAGE / "builtin"
