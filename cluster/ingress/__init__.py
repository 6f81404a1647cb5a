"""The ingress: nginx with a Lua balancer, and the door to push its table."""
