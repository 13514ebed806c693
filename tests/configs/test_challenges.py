"""The configurations of the MER challenges: every entry is understood, documented, and has its folder's name."""

from __future__ import annotations

from pathlib import Path

import pytest

from configs.schema import RunConfig, load_config, named_configs
from extractors.core.extractor import EXTRACTORS
from flows.plan import ordered_extractors

FEATURES = (Path(__file__).parents[2] / "docs" / "features.md").read_text(encoding="utf-8")
CHALLENGES = ("mer2023", "merbench", "mer2024", "mer2025", "mer2026")
TINY = {"random": {"seed": 0, "size": "tiny"}}


def with_random_weights(config: RunConfig) -> RunConfig:
    entries = [entry.model_dump() for entry in config.extractors]
    entries = [entry | ({"weights": TINY} if "weights" in entry else {}) for entry in entries]
    return RunConfig.model_validate({"extractors": entries})


@pytest.mark.parametrize("name", CHALLENGES)
def test_every_entry_is_understood(name):
    config = load_config(name)
    made = {extractor.feature: extractor for extractor in ordered_extractors(with_random_weights(config))}
    for entry in config.extractors:
        assert made[entry.feature_name].spec.columns
        assert entry.name in EXTRACTORS.names()
    recipes = {made[e.feature_name].spec.recipe.get("recipe") for e in config.extractors if e.name == "hubert"}
    assert recipes == {"mer2023" if name == "mer2023" else "merbench"}


@pytest.mark.parametrize("name", CHALLENGES)
def test_every_entry_is_in_the_table_of_features_and_called_as_the_scripts_call_it(name):
    for entry in load_config(name).extractors:
        assert f"| `{entry.feature_name}` |" in FEATURES, entry
        hub = entry.options.get("weights", {}).get("hub", "")
        stem = hub.rpartition("/")[2].partition(".")[0] or entry.options.get("feature_set")
        assert entry.feature_name.partition("_5")[0] in {stem, stem.replace(".", "_")}


def test_the_years_share_one_list():
    shipped = named_configs()
    assert {shipped[name] for name in ("mer2024", "mer2025", "mer2026")} == {shipped["merbench"]}
