"""live: what the controllers share beside the log and may lose: limits of requests, a bus."""
