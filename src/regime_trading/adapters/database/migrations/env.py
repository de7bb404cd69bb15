"""Alembic environment. It runs on the connection that ``engine.migrate`` hands over, inside its transaction."""

from alembic import context

from regime_trading.adapters.database.tables import METADATA

context.configure(
    connection=context.config.attributes["connection"], target_metadata=METADATA, transactional_ddl=True
)
with context.begin_transaction():
    context.run_migrations()
