"""The Lua half of the ingress; runs inside nginx."""
