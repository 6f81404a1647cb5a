"""What was: events and measurements on disk, never read to decide."""
