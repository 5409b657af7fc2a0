"""The HTTP server: `create_app` makes it from a service and the settings."""

from graphflow.server.app import Door, create_app
from graphflow.server.call import CONFIG, SERVICE

__all__ = ["CONFIG", "SERVICE", "Door", "create_app"]
