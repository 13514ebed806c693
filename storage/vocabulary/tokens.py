"""Columns of token ids, as BERT takes them and MMSA's `text_bert` has them."""

from __future__ import annotations

TOKENS = ("input_ids", "attention_mask", "token_type_ids")
WORD = "word"
"""Column beside them where word times are known: the word's place in the clip, from 0; -1 of special tokens."""
