"""A command's words, sorted and as Hydra reads them."""

from __future__ import annotations

import random
import unicodedata

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from reno.config.conf import OWN, Conf
from reno.config.page import RUN, Page
from reno.config.quoting import quote
from reno.config.words import as_hydra_reads, parse, search_path
from reno.spec.errors import BadInput

TWO = Page("evaluate", "", "", "", positional=("evaluators", "results"), lists=("evaluators",))


# --- Sorting ----------------------------------------------------------------------------------------------------------


def test_knobs_flags_and_folders_are_told_apart(tmp_path):
    words = parse(RUN, ["-m", "lr=0.1", "-cd", str(tmp_path), "--cfg", "job", "metric=clip,blip", "debug=true"])
    assert words.knobs == ("lr=0.1", "metric=clip,blip", "debug=true")
    assert words.conf == Conf((OWN, tmp_path))
    assert (words.multirun, words.help, words.debug, words.flags) == (True, False, True, ("--cfg", "job"))


def test_nothing_is_nothing():
    words = parse(RUN, [])
    assert (words.knobs, words.conf, words.flags) == ((), Conf((OWN,)), ())
    assert not (words.multirun or words.help or words.debug)


@pytest.mark.parametrize("flag", ["-m", "--multirun"])
def test_a_sweep_is_known_wherever_its_flag_stands(flag):
    for words in ([flag, "prompt=a,b"], ["prompt=a,b", flag]):
        assert parse(RUN, words).multirun and parse(RUN, words).knobs == ("prompt=a,b",)


def test_a_knob_typed_twice_is_told_with_the_value_that_is_not_used():
    typed = ["lr=1", "metric.head=itm", "seed=3", "lr=2", "seed=3", "++metric.head=itc", "debug=true"]
    assert parse(RUN, typed).overruled() == [
        "lr=1 is not used, because lr=2 comes after it; type lr once",
        "metric.head=itm is not used, because metric.head=itc comes after it; type metric.head once",
    ]
    assert parse(RUN, ["lr=1", "seed=3", "seed=3"]).overruled() == []
    assert parse(RUN, ["+experiments=a", "+experiments=b", "lr", "lr=1"]).overruled() == []  # refused by themselves
    (said,) = parse(RUN, [f"results={'x' * 999}", "results=b"]).overruled()
    assert said.startswith(f"results={'x' * 72}… is not used, because results=b comes")


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help_is_asked_for_beside_any_other_words(flag):
    assert parse(RUN, ["lr=0", flag]).help and parse(RUN, ["lr=0", flag]).flags == ()


@pytest.mark.parametrize(("word", "debug"), [("debug=true", True), ("debug=True", True), ("debug=false", False)])
def test_debug_is_known_before_anything_is_composed(word, debug):
    assert parse(RUN, [word]).debug is debug


@pytest.mark.parametrize(
    ("typed", "flags"),
    [
        (["--cfg", "job"], ("--cfg", "job")),
        (["-c", "job", "lr=1"], ("-c", "job")),
        (["--package", "hydra"], ("--package", "hydra")),
        (["-p", "x"], ("-p", "x")),
        (["--cfg"], ("--cfg",)),
        (["--resolve", "lr=1"], ("--resolve",)),
        (["--info"], ("--info",)),
    ],
)
def test_hydras_own_flags_keep_their_values(typed, flags):
    assert parse(RUN, typed).flags == flags


def test_folders_of_ones_own_are_looked_in_after_conf(tmp_path, monkeypatch):
    for name in ("one", "two, too"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path)
    words = parse(RUN, ["-cd", "one", f"--config-dir={tmp_path / 'two, too'}"])
    assert words.conf.folders == (OWN, tmp_path / "one", tmp_path / "two, too")
    assert words.knobs == () and words.flags == ()
    (override,) = search_path(words.conf)
    parsed = OverridesParser.create().parse_override(override)
    assert parsed.key_or_group == "hydra.searchpath"
    assert parsed.value() == [f"file://{tmp_path / 'one'}", f"file://{tmp_path / 'two, too'}"]
    assert search_path(Conf()) == []


@pytest.mark.parametrize("typed", [["-cd", "no such folder"], ["-cd=no such folder"]])
def test_a_folder_that_is_not_there_is_refused(typed):
    with pytest.raises(BadInput, match=r"^-cd no such folder is not a folder; give one like conf/"):
        parse(RUN, typed)


def test_a_folder_that_is_not_named_is_refused():
    with pytest.raises(BadInput, match=r"^-cd  is not a folder"):
        parse(RUN, ["lr=1", "-cd"])


def test_a_home_folder_may_be_a_tilde(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert parse(RUN, ["-cd", "~"]).conf.folders[1] == tmp_path


def test_words_without_a_knob_fill_the_commands_places_in_order():
    assert parse(TWO, ["vqa", "device=cpu", "re sults"]).knobs == (
        "evaluators='vqa'",
        "device=cpu",
        "results='re sults'",
    )
    assert parse(TWO, ["a", "b", "c"]).knobs == ("evaluators='a'", "results='b'", "c")
    assert parse(TWO, ["+experiments=x", "~lr", "a"]).knobs == ("+experiments=x", "~lr", "evaluators='a'")


# --- As Hydra reads them ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("typed", ["", "+", "++"])
@pytest.mark.parametrize(
    "knob",
    [
        "models.generator.height=768", "metric.temperature=3", "method.restarts=3", "optimizer.momentun=.8",
        "tracking.projet=x", "models.checkpoints.clip+blip.path=a/b",
    ],
)  # fmt: skip
def test_a_knob_inside_a_choice_is_added_by_force_however_it_is_typed(typed, knob):
    assert as_hydra_reads(RUN, typed + knob, sweeping=False) == f"++{knob}"
    assert as_hydra_reads(RUN, typed + knob, sweeping=True) == f"++{knob}"


@pytest.mark.parametrize(
    "word", ["models=testbed", "+experiments=a.b=c", "lr=0.1", "~tracking", "hydra.run.dir=x", "+lr=1"]
)
def test_other_knobs_stay_as_they_are(word):
    assert as_hydra_reads(RUN, word, sweeping=False) == word


@pytest.mark.parametrize(
    ("word", "read"),
    [
        ("prompt=a red car, a cup", "prompt='a red car, a cup'"),
        ("prompt=", "prompt=''"),
        ("prompt=it's", "prompt='it\\'s'"),
        ("prompt=1", "prompt='1'"),
        ("prompt='a, b'", "prompt='a, b'"),
        ('prompt="a, b"', 'prompt="a, b"'),
        ("prompt=[a,b]", "prompt=[a,b]"),
        ("prompt=null", "prompt=null"),
        ("prompts=a,b", "prompts=a,b"),
    ],
)
def test_a_prompt_is_put_in_quotes_unless_it_has_some(word, read):
    assert as_hydra_reads(RUN, word, sweeping=False) == read


def test_in_a_sweep_commas_separate_values():
    assert as_hydra_reads(RUN, "prompt=a,b", sweeping=True) == "prompt=a,b"
    assert as_hydra_reads(TWO, "evaluators=a,b", sweeping=True) == "evaluators=a,b"


@pytest.mark.parametrize(
    ("word", "read"),
    [
        ("evaluators=a,b", "evaluators=[a,b]"),
        ("evaluators=a", "evaluators=a"),
        ("evaluators=[a,b]", "evaluators=[a,b]"),
        ("evaluators=null", "evaluators=null"),
        ("results=a,b", "results=a,b"),
        ("evaluators", "evaluators"),
    ],
)
def test_a_knob_that_takes_several_values_needs_no_brackets(word, read):
    assert as_hydra_reads(TWO, word, sweeping=False) == read


# --- Quoting ----------------------------------------------------------------------------------------------------------


def through_hydra(text: str) -> str:
    """The value that a command gets where a user typed a quoted text."""
    parsed = OverridesParser.create().parse_override(f"prompt={quote(text)}")
    config = OmegaConf.create({"prompt": parsed.value(), "other": "a value that must not be read"})
    return OmegaConf.to_container(config, resolve=True)["prompt"]


def kinds_of_characters() -> list[str]:
    """Every character of ASCII, and two of each category of Unicode."""
    found: dict[str, list[str]] = {}
    for code in range(0x110000):
        found.setdefault(unicodedata.category(chr(code)), []).append(chr(code))
    return [
        *map(chr, range(128)),
        *(character for of_kind in found.values() for character in (of_kind[0], of_kind[-1])),
    ]


def test_every_kind_of_character_comes_through_alone_and_between_letters():
    for character in kinds_of_characters():
        for text in (character, f"a{character}b", character * 3):
            assert through_hydra(text) == text, repr(text)


PIECES = [
    "a", " ", "\\", "\\\\", "'", '"', "\\'", '\\"', "${other}", "\\${other}", "$", "{", "}", "[", "]", ",", ":", "=",
    "\n", "null", "1", "true", "#", "🐶", "\ud800", "é", "\t", "(", ")", "@", "|", "*", "?", "~", "+", "%", "\r",
]  # fmt: skip


def test_any_text_comes_through_as_it_was_typed():
    chance = random.Random(0)
    for _ in range(1500):
        text = "".join(chance.choices(PIECES, k=chance.randrange(0, 8)))
        assert through_hydra(text) == text, repr(text)
