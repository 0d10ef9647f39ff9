"""The store: schema and migrations, the one writer, the readers' queries, retention."""
