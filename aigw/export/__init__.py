"""Getting records out of the store: files of several formats, written as the records are read."""
