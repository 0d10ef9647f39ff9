"""The read API under /api/v2/aibridge: what Coder's clients ask, answered from the store."""
