"""Configurations: shipped ones load, wrong ones say what is wrong in one line."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from configs.errors import ConfigError, RunError
from configs.plugins import parse
from configs.schema import RunConfig, load_config, named_configs
from configs.weights import Weights
from extractors.core.extractor import build_extractor

MINIMAL = {"extractors": [{"name": "gemaps"}]}


def test_every_shipped_configuration_fits_its_extractors():
    assert {"demo", "indomer", "merr"} <= named_configs().keys()
    for name in named_configs():
        config = load_config(name)
        for entry in config.extractors:
            build_extractor(entry.name, entry.feature_name, entry.options)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (
            {**MINIMAL, "extrators": []},
            r"unknown key 'extrators'; valid keys here: .*extractors.*Did you mean 'extractors'",
        ),
        (
            {**MINIMAL, "faces": {"detectr": "x"}},
            r"unknown key 'faces.detectr'; valid keys here: .*detect_every.*detector",
        ),
        ({**MINIMAL, "faces": {"detect_every": 0}}, r"faces.detect_every: expected a whole number of 1 or more, got 0"),
        ({"extractors": []}, "extractors"),
        ({"extractors": [{"name": "gemaps"}, {"name": "gemaps"}]}, "feature 'gemaps' appears twice"),
        ({**MINIMAL, "no_audio": "ignore"}, "no_audio: expected fail or skip, got 'ignore'"),
    ],
)
def test_wrong_values_give_one_line_that_names_what_is_valid(values, expected):
    with pytest.raises(ConfigError, match=expected) as caught:
        parse(RunConfig, values, "c.yaml")
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("c.yaml: ")


def test_wrong_extractor_options_name_the_valid_ones():
    config = parse(RunConfig, {"extractors": [{"name": "gemaps", "featureset": "x"}]}, "c.yaml")
    entry = config.extractors[0]
    with pytest.raises(ConfigError, match=r"extractor gemaps: unknown key 'featureset'.*Did you mean 'feature_set'"):
        build_extractor(entry.name, entry.feature_name, entry.options)


def test_unknown_extractor_names_the_valid_ones():
    with pytest.raises(RunError, match=r"unknown extractor 'hubret'; extractors: .*gemaps.*hubert"):
        build_extractor("hubret", "hubret", {})


def test_weights_come_from_exactly_one_place():
    for wrong in ({}, {"hub": "a/b", "random": {"seed": 0}}):
        with pytest.raises(ValidationError, match="exactly one of hub, local, url, random"):
            Weights.model_validate(wrong)


def test_file_that_is_not_yaml(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("extractors: [", encoding="utf-8")
    with pytest.raises(ConfigError, match="not a YAML file"):
        load_config(path)
    with pytest.raises(ConfigError, match=r"no such file.*shipped: .*demo"):
        load_config(tmp_path / "nothing.yaml")


def test_paths_in_a_configuration_are_relative_to_it(tmp_path, monkeypatch):
    (tmp_path / "conf").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "me"))
    text = (
        "extractors:\n"
        "  - {name: hubert, weights: {local: models/h}}\n"
        "  - {name: mae, weights: {local: ~/m.pth, format: mae-pth}}\n"
        "  - {name: openface, csv_folder: /data/csv}\n"
        "cluster: {engine: local}\n"
    )
    (tmp_path / "conf" / "c.yaml").write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    config = load_config("conf/c.yaml")
    options = [entry.options for entry in config.extractors]
    assert options[0]["weights"]["local"] == str(tmp_path / "conf" / "models" / "h")
    assert options[1]["weights"]["local"] == str(tmp_path / "me" / "m.pth")
    assert options[2]["csv_folder"] == "/data/csv"
    assert config.cluster.engine == "local"
