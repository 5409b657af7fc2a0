"""The built-in node pack, imported as `graphflow_nodes`: built with the public API alone, as any other pack."""
