"""Run the migrations on the connection that photdb.store.project hands over; there is no ini file."""

from alembic import context

context.configure(connection=context.config.attributes["connection"], transactional_ddl=False)
context.run_migrations()
