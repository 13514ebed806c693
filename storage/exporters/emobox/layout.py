"""Keys of EmoBox's lists, for the writer and the validator."""

from __future__ import annotations

SPLITS = ("train", "valid", "test")
KEYS = ("key", "dataset", "wav", "type", "sample_rate", "num_frame", "task", "length", "emo", "channel")
TIME_KEYS = ("start_time", "end_time")
JSON_KEYS = ("wav", "length", "emo", "dataset", "channel", "start_time", "end_time")
"""What the JSON keeps of a line of the JSON lines."""
