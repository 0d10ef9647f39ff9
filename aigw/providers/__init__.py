"""Providers: where requests go, which routes are served, which header carries the credential."""
