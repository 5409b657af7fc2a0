"""How Alembic reaches the database: through the engine that `graphflow.database` hands in."""

from alembic import context

from graphflow.database import metadata

engine = context.config.attributes["engine"]

with engine.connect() as connection:
    context.configure(connection=connection, target_metadata=metadata, render_as_batch=True)
    with context.begin_transaction():
        context.run_migrations()
    connection.commit()
