"""Streams: events, measurements and log lines as they come, over WebSocket or server-sent events.

Source: docs/adr/0017-streams-on-one-thread.md.
"""
