"""Flows of the editor in a real browser, against the real server."""
