"""Digests of plain values: equal values have equal digests, on every machine and in every version of Python."""

from __future__ import annotations

import hashlib
import json


def canonical_json(value: object) -> str:
    """JSON with sorted keys and no spaces: equal values give equal text.

    >>> canonical_json({"b": 1, "a": [True, None]})
    '{"a":[true,null],"b":1}'
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def digest_of(value: object) -> str:
    """First 16 hex digits of the SHA-256 of a value's canonical JSON.

    >>> digest_of({"rate": 16000})
    '3b37f146a53b54bb'
    """
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()[:16]
