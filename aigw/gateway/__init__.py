"""The gateway: listens, finds the provider, relays, and has the exchange recorded."""
