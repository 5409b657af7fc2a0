"""The steps that brought the tables to their present form, run on start (Alembic)."""
