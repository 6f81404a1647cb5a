"""live: what happens right now, and may be lost: logs that are followed, limits, a bus."""
