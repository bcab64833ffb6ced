"""What a wrong search-space file is answered with: one golden pair in tests/bad_spaces for each way to be wrong.

After a change of wording: `KANSEARCH_REGENERATE=1 pytest tests/test_space_errors.py`, then read the difference.
"""

import contextlib
import os
import random
from pathlib import Path

import pytest
from pydantic import model_validator

from kansearch.errors import InputError, SpaceError
from kansearch.space import find_space, load_space, parse_space, random_config
from kansearch.space.files import MAX_BYTES
from trials.config import TrialConfig

FOLDER = Path(__file__).parent / "bad_spaces"
BAD = sorted(FOLDER.glob("*.yaml"))


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_a_bad_file_is_answered_with_its_golden_message(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(FOLDER)
    with pytest.raises(SpaceError) as caught:
        load_space(Path(path.name))
    golden = path.with_suffix(".txt")
    if os.environ.get("KANSEARCH_REGENERATE"):
        golden.write_text(f"{caught.value}\n", encoding="utf-8")
    assert f"{caught.value}\n" == golden.read_text(encoding="utf-8")


def _reasons(text: str, *overrides: str) -> str:
    with pytest.raises(SpaceError) as caught:
        parse_space(text, "my.yaml", overrides)
    return str(caught.value)


def test_issues_come_in_file_order_with_exit_code_2() -> None:
    with pytest.raises(SpaceError) as caught:
        load_space(FOLDER / "many_at_once.yaml")
    lines = [(issue.line, issue.column) for issue in caught.value.issues]
    assert len(lines) == 10 and lines == sorted(lines) and caught.value.exit_code == 2


def test_values_that_do_not_go_together_are_found_by_drawing(monkeypatch: pytest.MonkeyPatch) -> None:
    class Checked(TrialConfig):
        @model_validator(mode="after")
        def _wide_enough(self) -> "Checked":
            if self.epochs > 15:
                raise ValueError(f"{self.epochs} epochs of {self.model.depth} layers")
            return self

    monkeypatch.setattr("kansearch.space.loader.TrialConfig", Checked)
    text = "study: bad\ndata: {dataset: digits}\nepochs: {int: [10, 20]}\n"
    assert _reasons(text).startswith("my.yaml:1:1: values that can be drawn do not go together: 1")


def test_a_file_that_is_not_there_is_answered_with_what_is(tmp_path: Path) -> None:
    (tmp_path / "mnist.yaml").touch()
    with pytest.raises(InputError, match=r"mnits.yaml: no such file; did you mean 'mnist.yaml'\?"):
        load_space(tmp_path / "mnits.yaml")
    with pytest.raises(InputError, match=r"the shipped space is named without suffix: quickstart"):
        load_space(tmp_path / "quickstart.yaml")
    with pytest.raises(InputError, match=r"no such file$"):
        load_space(tmp_path / "nowhere" / "other.yaml")


def test_folders_binaries_and_huge_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "binary.yaml").write_bytes(b"study: bad\n\x00\x01")
    (tmp_path / "image.yaml").write_bytes(b"\x89PNG\r\n")
    (tmp_path / "huge.yaml").write_bytes(b"#" * (MAX_BYTES + 1))
    with pytest.raises(InputError, match="is a folder"):
        load_space(tmp_path)
    with pytest.raises(SpaceError, match=r"binary.yaml:2:1: the character U\+0000 is not allowed"):
        load_space(tmp_path / "binary.yaml")
    with pytest.raises(SpaceError, match=r"image.yaml:1:1: not UTF-8 text \(byte 0x89\)"):
        load_space(tmp_path / "image.yaml")
    with pytest.raises(InputError, match="larger than 1 MiB"):
        load_space(tmp_path / "huge.yaml")
    with pytest.raises(InputError, match="cannot be read"):
        load_space(Path("a\0b.yaml"))


@pytest.mark.parametrize(
    "text",
    [
        "[" * 500_000,
        "{a: " * 200_000,
        "- " * 400_000,
        "? " * 400_000,
        "&a " + "[*a, " * 200_000,
        "study: " + "x" * 900_000,
        "\n".join(f"key{index}: 1" for index in range(60_000)),
        "epochs: {choice: [" + ", ".join(map(str, range(1, 120_000))) + "]}",
        "1" * 900_000,
        "seed: " + "9" * 900_000,
    ],
    ids=lambda text: text[:12],
)
@pytest.mark.timeout(30)
def test_hostile_files_are_refused_without_growing(text: str) -> None:
    assert len(_reasons(text)) < 10_000


@pytest.mark.parametrize("seed", range(10))
def test_whatever_is_typed_is_a_space_or_a_space_error(seed: int) -> None:
    rng = random.Random(seed)
    texts = [path.read_text(encoding="latin-1") for path in BAD] + [
        find_space("quickstart").read_text(encoding="utf-8")
    ]
    pieces = [
        "choice",
        "int",
        "log",
        "null",
        "[",
        "]",
        "{",
        "}",
        ": ",
        ", ",
        "\n",
        "- ",
        "0",
        "1e-4",
        "&a ",
        "*a",
        "<<: *a",
    ]
    for _ in range(60):
        text = rng.choice(texts)
        for _ in range(rng.randint(1, 5)):
            start = rng.randrange(len(text) + 1)
            text = text[:start] + rng.choice(pieces) + text[start + rng.choice([0, 0, 1, 5]) :]
        with contextlib.suppress(SpaceError):
            random_config(parse_space(text, "my.yaml"), rng)


def test_unknown_shipped_names_are_answered_with_the_known() -> None:
    with pytest.raises(InputError, match=r"no search space is named 'quikstart'; did you mean 'quickstart'\?"):
        find_space("quikstart")
    with pytest.raises(InputError, match=r"kansearch comes with .*quickstart"):
        find_space("imagenet")
