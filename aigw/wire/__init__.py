"""Sans-IO readers of provider APIs: bytes in, facts out. No asyncio, no sockets, no clock.

The relay calls `apis.read_request` and `apis.response_reader`; the rest serves these.
"""
