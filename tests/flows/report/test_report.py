"""Reports as people see them: in a browser, from disk; and what they say against the store."""

from __future__ import annotations

import json
import time

import numpy as np
import pytest
from PIL import Image
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from configs.errors import RunError
from flows.report.facts import gather
from flows.report.pages import ReportOptions, write_report
from storage.corpora import CORPORA
from storage.errors import REASONS
from storage.store.survey import Survey
from tests.flows.report.conftest import EVIL, GOOD

pytestmark = pytest.mark.without_prefect


@pytest.fixture(scope="module")
def written(everything, tmp_path_factory):
    folder = tmp_path_factory.mktemp("written") / "report"
    write_report(everything, folder)
    return folder


def plain(remedy):
    return remedy.replace("STORE", "s").replace("`", "")


def shown(page, what):
    return [element.text for element in page.find_elements(By.CSS_SELECTOR, what)]


def sorting(page):
    return page.find_element(By.CSS_SELECTOR, "#clips thead .dtcc-button_order").get_attribute("outerHTML")


def test_the_first_page_says_what_the_store_holds(browser, written):
    page = browser(written / "index.html")
    cards = dict(zip(shown(page, ".card span"), map(int, shown(page, ".card b")), strict=True))
    n = len(REASONS)
    assert cards == {
        "stored": 3 * GOOD, "failed": 3 * n, "skipped": 3, "missing": 3,
    }  # fmt: skip
    reasons = shown(page, "#failures td:first-child code")
    assert sorted(reasons) == sorted([*REASONS, "no_text"])
    text = page.find_element(By.TAG_NAME, "body").text
    assert "Made with random weights: hubert." in text
    assert f"Terms of the corpus: {CORPORA.load('meld').licence}" in text
    assert all(plain(reason.remedy) in text for reason in REASONS.values())
    for chart in page.find_elements(By.CSS_SELECTOR, ".chart"):
        page.execute_script("arguments[0].scrollIntoView()", chart)
        WebDriverWait(page, 20).until(lambda _, chart=chart: "js-plotly-plot" in chart.get_attribute("class"))
    drawn = [e.get_attribute("id") for e in page.find_elements(By.CSS_SELECTOR, ".chart.js-plotly-plot")]
    assert drawn == ["chart-coverage", "chart-lengths", "chart-balance", "chart-stages", "chart-workers"]
    assert shown(page, "#shared tbody tr") == [f"speaker s{i} train, test" for i in (0, 1, 2, 3, 4)]


def test_tables_filter_sort_and_lead_to_a_clips_page(browser, written):
    page = browser(written / "index.html")
    n = len(REASONS)
    assert f"of {GOOD + n + 2} entries" in page.find_element(By.CSS_SELECTOR, "#clips .dt-info").text
    box = page.find_element(By.CSS_SELECTOR, "#clips input[type=search]")
    box.send_keys("bad_timeout")
    WebDriverWait(page, 20).until(lambda page: len(shown(page, "#clip-table tbody tr")) == 1)
    (row,) = shown(page, "#clip-table tbody tr")
    assert row.startswith("bad_timeout train")
    assert "failed timeout" in row
    page.find_element(By.LINK_TEXT, "bad_timeout").click()
    assert page.find_element(By.TAG_NAME, "h1").text == "bad_timeout"
    assert plain(REASONS["timeout"].remedy) in page.find_element(By.TAG_NAME, "body").text
    page = browser(written / "index.html")
    page.find_element(By.CSS_SELECTOR, "button.show[data-flag='no face']").click()
    expected = [f"good_{i:02d}" for i in range(GOOD) if i % 3 == 0]
    WebDriverWait(page, 20).until(lambda page: len(shown(page, "#clip-table tbody tr")) == len(expected))
    assert [row.split()[0] for row in shown(page, "#clip-table tbody tr")] == expected
    seen = set()
    for _ in range(2):
        before = sorting(page)
        page.find_element(By.CSS_SELECTOR, "#clips thead .dtcc-button_order").click()
        WebDriverWait(page, 20).until(lambda page, before=before: sorting(page) != before)
        seen.add(tuple(row.split()[0] for row in shown(page, "#clip-table tbody tr")))
    assert seen == {tuple(expected), tuple(expected[::-1])}


def test_pages_fit_the_width_of_the_screen(browser, written):
    pages = (written / "index.html", written / "clips" / "good_00.html")
    for path, width in ((pages[0], 1280), (pages[0], 400), (pages[1], 400)):
        page = browser(path, width)
        wide = page.execute_script("return document.documentElement.scrollWidth")
        assert wide <= page.execute_script("return window.innerWidth")


def test_nothing_of_a_corpus_becomes_a_part_of_a_page(browser, written):
    for path in (written / "index.html", written / "clips" / "bad_crash.html"):
        page = browser(path)
        scripts = page.execute_script(
            "return [...document.scripts].map((script) => script.text).filter((t) => t == 'alert(1)')"
        )
        assert scripts == []
    assert EVIL not in (written / "index.html").read_text(encoding="utf-8")


def test_a_page_of_a_clip_shows_its_tracks(browser, written):
    page = browser(written / "clips" / "good_00.html")
    titles = shown(page, "#tracks .annotation-text")
    starts = ("loudness (gemaps)", "pitch (gemaps)", "hubert: first principal components of 32 columns", "valid rows")
    assert len(titles) == len(starts)
    assert all(title.startswith(start) for title, start in zip(titles, starts, strict=True))
    assert "no face" in page.find_element(By.CSS_SELECTOR, ".warning").text
    assert page.find_elements(By.TAG_NAME, "video") == []
    data = json.loads(page.find_element(By.ID, "tracks-data").get_attribute("textContent"))
    assert data["layout"]["xaxis"]["range"] == [0, 1.0]


def test_a_clip_plays_beside_its_tracks_where_frames_are_asked_for(browser, merflow, feat_clips, tmp_path):
    folder = tmp_path / "clips"
    folder.mkdir()
    (folder / "one.mp4").write_bytes((feat_clips / "single_face.mp4").read_bytes())
    config = tmp_path / "c.yaml"
    config.write_text("extractors: [{name: gemaps}, {name: quality}, {name: audio_quality}]\n", encoding="utf-8")
    store, plain = tmp_path / "s", tmp_path / "plain"
    merflow("run", "-c", config, "--corpus", "folder", folder, "-s", store)
    merflow("report", store, "--out", plain, "--clips", "*")
    assert sorted(path.name for path in (plain / "clips").iterdir()) == ["one.html"]
    said = merflow("report", store, "--clips", "one", "--frames").stdout
    assert f"wrote {tmp_path / 's_report' / 'index.html'}" in said
    clips = tmp_path / "s_report" / "clips"
    assert sorted(path.name for path in clips.iterdir()) == ["one.html", "one.jpg", "one.mp4"]
    with Image.open(clips / "one.jpg") as strip:
        assert strip.size[1] == 180
    page = browser(clips / "one.html")
    starts = ("audio", "voice activity", "loudness", "pitch", "faces", "valid rows")
    titles = shown(page, "#tracks .annotation-text")
    assert [next(s for s in starts if title.startswith(s)) for title in titles] == list(starts)
    assert "Show them to nobody" in page.find_element(By.CSS_SELECTOR, ".terms").text

    def state():
        return page.execute_script(
            "const v = document.getElementById('video'), c = document.getElementById('cursor');"
            "return [v.currentTime, parseFloat(c.style.left), c.style.display, v.duration, v.videoWidth];"
        )

    page.execute_script("document.getElementById('video').play()")
    deadline = time.monotonic() + 20
    while state()[0] < 0.5 and time.monotonic() < deadline:
        time.sleep(0.1)
    page.execute_script("document.getElementById('video').pause()")
    time.sleep(0.3)
    now, left, display, duration, width = state()
    assert now >= 0.5
    assert display == "block"
    assert duration == pytest.approx(2.42, abs=0.1)
    assert 0 < width <= 480
    ends = page.execute_script(
        "const a = document.getElementById('tracks')._fullLayout.xaxis; return [a._offset, a._length, a.range[1]];"
    )
    assert left == pytest.approx(ends[0] + ends[1] * now / ends[2], abs=2)


def test_facts_are_the_stores(everything):
    facts = gather(everything)
    assert dict(facts.flag_counts) == {"no face": 10, "many faces": 15}
    assert facts.disagreeing == []
    survey = Survey(everything)
    ids = survey.columns.ids.to_pylist()
    for name, found in facts.lengths.items():
        for i, clip_id in enumerate(ids):
            if not everything.has(clip_id, name):
                assert found.rows[i] == 0
                assert np.isnan(found.ends[i])
                continue
            rows = everything.get(clip_id, name)
            assert found.rows[i] == len(rows.valid)
            assert found.ends[i] == rows.times[:, 1].max()
            assert found.valid[i] == pytest.approx(rows.valid.mean())


def test_a_feature_that_ends_early_is_named(everything):
    from flows.report import facts as module

    survey = Survey(everything)
    lengths = {name: module.lengths_of(everything, survey.states(name).number, name) for name in everything.specs}
    short = lengths["gemaps"]._replace(ends=lengths["gemaps"].ends - np.eye(1, len(survey.columns), 3)[0])
    [(clip, name, off)] = module._disagreeing(
        everything.specs, lengths | {"gemaps": short}, survey.columns.seconds, survey.columns.ids.to_pylist()
    )
    assert (clip, name) == ("good_03", "gemaps")
    assert off == pytest.approx(-1)


def test_a_report_replaces_a_report_and_nothing_else(everything, tmp_path):
    out = tmp_path / "r"
    write_report(everything, out, ReportOptions(pages=3))
    assert len(list((out / "clips").iterdir())) == 3
    write_report(everything, out, ReportOptions(clips="good_0*"))
    assert len(list((out / "clips").iterdir())) == 10
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "index.html").write_text("home page")
    with pytest.raises(RunError, match="exists already and is no report; choose another --out"):
        write_report(everything, mine)
    with pytest.raises(RunError, match="no clip's id matches it"):
        write_report(everything, out, ReportOptions(clips="nobody"))
    assert (mine / "index.html").read_text() == "home page"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine", "r"]


def test_a_clip_becomes_an_image(merflow, everything, tmp_path):
    said = merflow("inspect", everything.path, "good_04", "--plot", tmp_path / "a.png").stdout
    assert said.splitlines()[-1] == f"wrote {tmp_path / 'a.png'}"
    with Image.open(tmp_path / "a.png") as image:
        pixels = np.asarray(image.convert("RGB"))
    assert pixels.shape[1] == 1200
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 50  # curves and strips, not an empty page
    assert merflow("inspect", everything.path, "good_04", "--plot", tmp_path / "a.svg").returncode == 0
    assert "<svg" in (tmp_path / "a.svg").read_text()
    for wrong, message in (("a.jpeg", "expected a name that ends in .pdf, .png, .svg"), ("b.png", "nothing to plot")):
        clip = "missing" if wrong == "b.png" else "good_04"
        assert message in merflow("inspect", everything.path, clip, "--plot", tmp_path / wrong, expect=2).stderr
    nearest = merflow("inspect", everything.path, "good_4", expect=2).stderr
    assert "no clip 'good_4'; did you mean 'good_" in nearest


def test_rerun_is_named_where_it_is_not_installed(merflow, everything):
    from importlib.util import find_spec

    if find_spec("rerun") is None:
        said = merflow("view", everything.path, "good_00", expect=2).stderr
        assert said == "merflow: merflow view needs Rerun: pip install 'merflow[view]' (rerun-sdk)\n"
