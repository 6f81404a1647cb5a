"""Seeds that once failed: they always run, whatever the range of the day is."""

from __future__ import annotations

FOUND: dict[str, dict[int, str]] = {
    "test_raft": {},
    "test_fleet": {},
    "test_images": {},
    "test_image_cleaner": {},
    "test_rollouts": {},
    "test_rollout_points": {},
    "test_volumes": {},
    "test_canaries": {},
    "test_runs": {},
    "test_restarts": {},
    "test_jobs": {},
    "test_seams": {},
    "test_membership": {
        1013: "a follower refused a leader whose removal it had in its log, uncommitted",
        1583: "the same, after the entry was lost on the controller that proposed it",
    },
}
"""By test file: seed -> what it found, in a few words."""


def seeds(name: str, count: int) -> list[int]:
    """`count` seeds from 0 on, and those that once failed."""
    return [*range(count), *(seed for seed in sorted(FOUND[name]) if seed >= count)]
