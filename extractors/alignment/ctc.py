"""When each token of a known transcript is spoken: the likeliest path through a CTC network's steps. Plain arithmetic.

Graves et al., "Connectionist Temporal Classification", ICML 2006: every step says one token or a blank; equal tokens
that follow each other need a blank between them.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from storage.errors import ClipError

Spans = npt.NDArray[np.int64]


def token_spans(log_probs: npt.NDArray[np.float32], tokens: npt.NDArray[np.int64], blank: int) -> Spans:
    """(L, 2) first step of each token, and the one after its last.

    Args:
        log_probs: (T, V) log probabilities of each step.
        tokens: (L,) the transcript, at least one token, none of them the blank.
        blank: The token that stands for none.

    Raises:
        ClipError: `too_short` if there are fewer steps than the tokens need.

    >>> steps = np.log([[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.1, 0.1, 0.8]])
    >>> token_spans(steps, np.array([1, 2]), blank=0).tolist()
    [[1, 2], [2, 3]]
    """
    needed = len(tokens) + int((tokens[1:] == tokens[:-1]).sum())
    if len(log_probs) < needed:
        raise ClipError("too_short", f"{len(log_probs)} steps of audio for a transcript that needs {needed}")
    states = np.full(2 * len(tokens) + 1, blank)
    states[1::2] = tokens
    skips = np.zeros(len(states), np.bool_)  # from one token to the next without a blank
    skips[3::2] = tokens[1:] != tokens[:-1]
    moves = np.zeros((len(log_probs), len(states)), np.int8)  # states gone on by, on the way to each
    best = np.full(len(states), -np.inf)
    best[:2] = log_probs[0, states[:2]]
    ways = np.full((3, len(states)), -np.inf)
    for step in range(1, len(log_probs)):
        ways[0] = best
        ways[1, 1:] = best[:-1]
        ways[2, 2:] = np.where(skips[2:], best[:-2], -np.inf)
        moves[step] = ways.argmax(axis=0)
        best = ways.max(axis=0) + log_probs[step, states]
    state = len(states) - 1 if best[-1] >= best[-2] else len(states) - 2
    path = np.zeros(len(log_probs), np.int64)
    for step in range(len(log_probs) - 1, -1, -1):
        path[step] = state
        state -= int(moves[step, state])
    return np.stack([np.searchsorted(path, np.arange(1, len(states), 2), side) for side in ("left", "right")], axis=1)
