"""A model of another language than the clips are in is told of before the work, with counts."""

from __future__ import annotations

import pytest
from transformers import BertConfig, BertModel

from extractors.core.networks.languages import languages_of
from extractors.core.networks.random_weights import seeded
from tests.media import tone, write_clip

pytestmark = pytest.mark.without_prefect


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bert")
    settings = {"vocab_size": 8, "hidden_size": 16, "num_hidden_layers": 4, "num_attention_heads": 2}
    seeded(0, lambda: BertModel(BertConfig(intermediate_size=16, **settings))).save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b", "c")))
    return folder


@pytest.mark.parametrize(
    ("card", "languages"),
    [
        ("---\nlanguage: zh\nlicense: mit\n---\n# A model\n", {"zh"}),
        ("---\nlanguage:\n- en\n- zh-Hans\n---\n", {"en", "zh"}),
        ("---\nlanguage: multilingual\n---\n", set()),
        ("---\nlanguage: [en, code]\n---\n", set()),
        ("---\nlicense: mit\n---\n", set()),
        ("---\nlanguage: [\n---\n", set()),
        ("# language: zh\n", set()),
        (None, set()),
    ],
)
def test_a_models_card_says_its_languages(tmp_path, card, languages):
    if card is not None:
        (tmp_path / "README.md").write_text(card, encoding="utf-8")
    assert languages_of(tmp_path) == languages
    assert languages_of(None) == set()


@pytest.mark.parametrize(
    ("card", "said"),
    [
        ("---\nlanguage: zh\n---\n", "text: its model is for zh; other languages: id-ID: 2 clips, en: 1 clip"),
        ("---\nlanguage: [id, en, zh]\n---\n", ""),
        ("---\nlanguage: multilingual\n---\n", ""),
    ],
)
def test_clips_of_other_languages_are_counted(merflow, bert, tmp_path, card, said):
    (bert / "README.md").write_text(card, encoding="utf-8")
    rows = "id,audio,text,language\n"
    for name, language in (("one", "id-ID"), ("two", "id-ID"), ("three", "en"), ("four", "zh"), ("five", "")):
        write_clip(tmp_path / f"{name}.wav", video=False, audio=tone(0.2))
        rows += f"{name},{name}.wav,a b,{language}\n"
    (tmp_path / "t.csv").write_text(rows)
    (tmp_path / "c.yaml").write_text(f"extractors:\n  - {{name: text, recipe: merbench, weights: {{local: {bert}}}}}\n")
    merflow("ingest", tmp_path / "t.csv", "--out", tmp_path / "m.parquet")
    run = merflow("run", "-c", tmp_path / "c.yaml", "-m", tmp_path / "m.parquet", "-s", tmp_path / "s")
    assert (said in run.stderr) if said else ("its model is for" not in run.stderr)
