"""The HTTP server: `create_app` makes it from a service and the settings."""
