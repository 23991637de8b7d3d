"""Run by alembic, with the connection that api.migrations.upgrade hands on."""

from alembic import context

from api.store.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    # SQLite cannot alter most of a table: copy and move.
    render_as_batch=True,
)
context.run_migrations()
