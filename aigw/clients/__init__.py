"""What each coding agent and SDK needs: how it is recognised and how it is pointed at the gateway."""
