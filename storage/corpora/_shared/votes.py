"""What several raters said of one clip."""

from __future__ import annotations

from collections.abc import Mapping


def rater_name(rater: str, votes: Mapping[str, str]) -> str:
    """The name under which a rater's vote is kept: numbered where the same rater has voted before.

    Args:
        rater: As the corpus names the rater.
        votes: What was said so far, by such names.

    >>> rater_name("E1", {}), rater_name("E1", {"E1": "sad", "E2": "sad"})
    ('E1', 'E1#2')
    """
    number = sum(name.partition("#")[0] == rater for name in votes)
    return f"{rater}#{number + 1}" if number else rater
