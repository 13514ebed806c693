"""Columns of token ids, as BERT takes them and MMSA's `text_bert` has them."""

from __future__ import annotations

TOKENS = ("input_ids", "attention_mask", "token_type_ids")
