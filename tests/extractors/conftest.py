"""Fixtures of the extractor tests; models are written once for all of them."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def hubert_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small layer-norm HuBERT in Hugging Face's layout."""
    from tests.extractors.speech_models import save

    return save(tmp_path_factory.mktemp("hubert"))


@pytest.fixture(
    scope="session",
    params=[f"{kind}-{norm}" for kind in ("hubert", "wav2vec2", "wavlm") for norm in ("layer", "group")],
)
def member(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model of each class and norm."""
    from tests.extractors.speech_models import GROUP_NORM, save

    kind, norm = request.param.split("-")
    return save(tmp_path_factory.mktemp(request.param), kind, **GROUP_NORM if norm == "group" else {})
