"""TLS: certificates of a controller, from files that may change while it runs."""
