"""What is written into logs and snapshots, as text that other versions have to read."""
