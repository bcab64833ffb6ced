"""A configuration in the study is JSON, and a `TrialConfig` for whoever asks; another version's stops no reader."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from kansearch.commands.one_trial import print_trial
from kansearch.console import SearchDisplay, front_table, terminal
from kansearch.engine.ask_tell import AskTell
from kansearch.engine.warm_start import warm_start
from kansearch.errors import UnreadableConfigError
from kansearch.report.writer import ReportWriter
from kansearch.space import parse_space
from kansearch.study.front import front_of
from kansearch.study.stored_config import StoredConfig
from kansearch.study.study import Study
from tests.helpers import SMALL_SPACE, start_trial
from tests.test_study import epoch, reopened
from trials.config import TrialConfig

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")

CONFIG = TrialConfig.model_validate({"data": {"dataset": "digits"}, "epochs": 7})


def test_what_is_stored_is_read_back_and_parsed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    document = json.loads(json.dumps(StoredConfig.of(CONFIG).document))
    stored = StoredConfig(document)
    assert stored == StoredConfig.of(CONFIG) and stored.epochs == 7
    assert stored.config == CONFIG and stored.config is stored.config
    monkeypatch.setattr(TrialConfig, "model_validate", lambda *arguments: pytest.fail("it is known already"))
    assert StoredConfig.of(CONFIG).config is CONFIG


def test_trials_are_listed_without_taking_a_configuration_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = Study.create(tmp_path, parse_space(SMALL_SPACE, "small.yaml"))
    running = start_trial(study)
    monkeypatch.setattr(TrialConfig, "model_validate", lambda *arguments: pytest.fail("nobody asked"))
    (record,) = reopened(study).records()
    assert record == running and record.document()["config"] == running.stored.document
    assert replace(running, state="fail").config is running.config, "a changed record keeps what was parsed"


@pytest.fixture
def older(tmp_path: Path) -> Study:
    """A study whose trials 1, complete, and 2, running, were configured by a version with another field."""
    study = Study.create(tmp_path, parse_space(SMALL_SPACE, "small.yaml"))
    for _ in range(3):
        start_trial(study)
    for number in (1, 2):
        document = {**study.record(number).stored.document, "momentum": 0.9}
        study._trials._storage.set_trial_user_attr(study._trials._id(number), "config", document)
    for number in (0, 1):
        study.complete(number, [epoch(1), epoch(2, 0.5 + number / 10)])
    return reopened(study)


def test_a_study_of_another_version_is_read(older: Study, capsys: pytest.CaptureFixture[str]) -> None:
    records = older.records()
    assert [record.state for record in records] == ["complete", "complete", "running"]
    front = front_of(records, older.objectives)
    assert [record.number for record in front] == [1]
    terminal().print(front_table(front, older.objectives, front[0]))
    display = SearchDisplay(terminal())
    display.started(older, records)
    display.changed(records[1])
    display.ended("finished")
    print_trial(older, 1, as_json=False)
    assert "(of another version" in (shown := capsys.readouterr().out)
    assert "momentum: 0.9" in shown
    start = warm_start(records, older.space, older.space)
    assert len(start.observations) == 1
    assert "for momentum (trial 1: Extra inputs are not permitted)" in start.skipped


def test_its_report_is_written(older: Study) -> None:
    writer = ReportWriter()
    writer.started(older, older.records())
    writer.ended("finished")
    assert writer.problem is None
    assert "(of another version of kansearch)" in (older.folder / "report.html").read_text()


def test_a_configuration_that_cannot_be_read_is_refused_in_one_line_where_it_is_needed(older: Study) -> None:
    told = r"^this version of kansearch cannot read .*\(momentum: Extra inputs .*\): go on with .*--from"
    with pytest.raises(UnreadableConfigError, match=told) as error:
        assert older.record(1).config
    assert "\n" not in str(error.value)
    search = AskTell(older, 1, lambda: False, lambda record: None)
    with pytest.raises(UnreadableConfigError, match=told):
        search.ask()
