"""Bindings read from texts: right, or absent."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from reno.prompts.reader import prompt_from_text, read_text, why_unbound
from reno.prompts.words import attribute_kind, lexicon
from reno.spec.errors import BadInput
from reno.spec.prompts import Binding, Prompt

ROOT = Path(__file__).resolve().parents[2]
KEY = json.loads((Path(__file__).parent / "t2i_compbench_key.json").read_text())
SUITES = os.environ.get("RENO_SUITES", "")

LISTS = [
    ("a gold bench and a green clock", "gold bench, green clock"),
    ("a red car, a blue bowl and a pink star", "red car, blue bowl, pink star"),
    ("A red car, a blue bowl, and an orange cup.", "red car, blue bowl, orange cup"),
    ("  the red car ,the blue bowl  ", "red car, blue bowl"),
    ("green traffic light", "green traffic light"),
    ("a metallic desk lamp and a fluffy sweater", "metallic desk lamp, fluffy sweater"),
    ("a red wooden desk lamp", "red desk lamp, wooden desk lamp"),
    ("a small red car", "small car, red car"),
    ("a light-blue bowl", "light-blue bowl"),
    ("a light blue bowl and reddish walls", "light blue bowl, reddish walls"),
    ("a red BOX.", "red box"),
    ("a red car and dogs", "red car"),
    ("a black gold and white vase", "black vase, gold vase, white vase"),
    ("a red glass and a green orange", "red glass, green orange"),
    ("an orange and a green apple", "green apple"),
    ("an orange tree and a gold heart", "orange tree, gold heart"),
    ("a heart-shaped box and a cream-colored car", "heart-shaped box, cream-colored car"),
    ("a brown colored bear", "brown bear"),
    ("a red car and a red car", "red car"),
    ("A Red Car And A Blue Bowl", "red car, blue bowl"),
    ("a heart-shaped red pillow", "heart-shaped pillow, red pillow"),
    ("two four-legged brown dogs", "brown dogs"),
    ("a well-lit blue room", "blue room"),
    ("an old-fashioned red car", "red car"),
    ("high-quality green photo", "green photo"),
    ("an off-white wall and a red car", "off-white wall, red car"),
    ("a bluish bowl and a whitish cup", "bluish bowl, whitish cup"),
    ("red car vs blue car", "red car, blue car"),
    ("two red traffic lights and a green sports car", "red traffic lights, green sports car"),
    ("a white christmas ornament and a wooden lamp", "white christmas ornament, wooden lamp"),
    ("a blue bed frame and a white shed", "blue bed frame, white shed"),
    ("a yellow stop sign and a blue cell phone", "yellow stop sign, blue cell phone"),
    ("a dog and a green traffic light", "green traffic light"),
]
SENTENCES = [
    ("The red apple and the green book are on the table", "red apple, green book"),
    ("a photo of a red car and a blue bowl", "red car, blue bowl"),
    ("a bathroom with white tile", "white tile"),
    (
        "A white dog and a black and orange cat sleep in a tan, clean kitchen.",
        "white dog, black cat, orange cat, tan clean kitchen",
    ),
    ("Two hot dogs lie on a green paper plate near a soda cup.", "green plate, paper plate"),
    (
        "The wooden bowl and metallic ladle serve the fluffy rice on the glass counter top.",
        "wooden bowl, metallic ladle, fluffy rice, glass counter top",
    ),
    (
        "The leather shoes and fluffy pillow rest on a wooden cutting board.",
        "leather shoes, fluffy pillow, wooden cutting board",
    ),
    (
        "a long, narrow yellow kitchen with brown wood floor tiles",
        "long kitchen, narrow kitchen, yellow kitchen, brown floor tiles, wood floor tiles",
    ),
    ("A large old red barn stands by a round slice of bread.", "large barn, red barn, round slice of bread"),
    ("a man with long blonde hair wearing a red hat", "long hair, blonde hair, red hat"),
    ("The car is red and the house is blue.", "red car, blue house"),
    ("a stainless steel oven between white cupboards", "stainless steel oven, white cupboards"),
    ("The black fur bats a ball", "black fur"),
    ("a red sports car and a cubic Christmas ornament that shines", "red sports car, cubic christmas ornament"),
    ("a yellow Porsche 911 near the Red Square", "yellow porsche"),
    ("a half-eaten red apple on a plate", "red apple"),
    ("a non-white table beside a red cup", "red cup"),
    ("a blue car instead of a red car", "blue car"),
    ("a blue car rather than a red car", "blue car"),
    ("not a red car but a blue car", "blue car"),
    ("The dog doesn't bark while a red cat sleeps.", "red cat"),
    ("a red car and no dogs", "red car"),
    ("a white cat with no red collar", "white cat"),
    ("there are red apples on the table", "red apples"),
    ("The green leaves fall on the brown ground", "brown ground"),
    ("The yellow sun sets over the blue sea", "blue sea"),
    ("a red leather and wood chair", "wood chair"),
    ("a green square and red rectangle", "green square, red rectangle"),
    (
        "A kitchen with a white sloped ceiling and smooth, rounded stones.",
        "white sloped ceiling, smooth rounded stones",
    ),
    ("The smooth, cool marble floors lie under a white lamp.", "smooth cool marble floors, white lamp"),
    ("a stained glass window in a church", "glass window"),
    ("the black cats drink milk from a white bowl", "white bowl"),
]
NONE = [
    "a photo of a bench",
    "a photo of three kettles",
    "A spider with 6 legs",
    "A fox playing drums",
    "A drone is hovering overhead.",
    "Three dogs",
    "dogs",
    "the",
    "",
    "../../etc/passwd",
    "a glass of orange juice",
    "an orange",
    'a sign that says "RED CAR"',
    "一辆红色的汽车",
    "a sleepy dog and an old cat",
    "a non-white cat",
    "an un-red car on a road",
    "a not-so-red car",
    "a goldfish bowl",
    "a whitefish on a plate",
    "a blackfish swims",
    "'don't touch the red car'",
]
DENIED = [
    ("The dog doesn't wear a red collar", "red collar"),
    ("The cats don't have white paws", "white paws"),
    ("The cats dont have white paws", "white paws"),
    ("The dog doesn’t wear a red collar", "red collar"),
    ("a cat which cannot reach the red ball", "red ball"),
    ("nobody is wearing a red hat", "red hat"),
    ("none of the red balls", "red balls"),
    ("without any of the usual red cars", "red cars"),
    ("a street with no people, dogs or red cars", "red cars"),
    ("no vehicles, such as red cars", "red cars"),
    ("the dog is not wearing any kind of red collar", "red collar"),
    ("a blue car instead of a red car", "red car"),
    ("rather than a red car", "red car"),
    ("anything but a red car", "red car"),
    ("all dogs except the brown dog", "brown dog"),
    ("a table free of red cups", "red cups"),
    ("avoid red cars", "red cars"),
    ("hardly any red cars", "red cars"),
    ("don't touch the red car", "red car"),
    ("not a red car but a blue car", "red car"),
    ("the red car is missing", "red car"),
    ("the red car is not there", "red car"),
    ("a blue or red car", "red car"),
    ("either a red car or a blue bus", "red car"),
    ("either a red car or a blue bus", "blue bus"),
    ("a red/blue car", "blue car"),
]
WITH_A_VERB = [
    ("a cat which is black sits on a chair", "black sits"),
    ("a bird that is red lands on a branch", "red lands"),
    ("a car that is blue drives on a road", "blue drives"),
    ("the dog that is brown barks", "brown barks"),
    ("an apple that was once green falls", "green falls"),
    ("a car painted red drives on a road", "red drives"),
    ("the sky is blue today", "blue today"),
    ("a black cat stares", "black cat stares"),
    ("a black cat plays piano", "black cat plays piano"),
    ("a red kite soars", "red kite soars"),
    ("a white rabbit hops", "white rabbit hops"),
    ("a red robot meows", "red robot meows"),
    ("The red robot meows.", "red robot meows"),
    ("two zebras and a white horse gallop", "white horse gallop"),
    ("a woman and a yellow dog dance", "yellow dog dance"),
    ("a blue bird flies", "blue bird flies"),
    ("the cat and the red kite soar", "red kite soar"),
    ("black cat sleeping", "black cat sleeping"),
    ("a black cat jumped", "black cat jumped"),
    ("two black cats play piano", "black cats play piano"),
    ("the green leaves fall on the brown ground", "green leaves fall"),
    ("the yellow sun sets over the blue sea", "yellow sun sets"),
]
OF_ANOTHER_THING = [
    ("tall man red shirt", "tall man red shirt"),
    ("a green orange and red apple", "green orange and red apple"),
    ("a blue eyed cat", "blue eyed cat"),
    ("a green eyed blonde woman", "green eyed blonde woman"),
    ("a green eyed blonde woman stands on a hill", "green eyed blonde woman"),
    ("a red nosed reindeer", "red nosed reindeer"),
    ("the red ones", "red"),
    ("a red leather and wood chair", "red leather"),
    ("a small brown and large black dog", "small brown and large black dog"),
    ("the red dogs' bowl", "red dogs"),
]
DOUBTFUL = [
    ("a room without red chairs", "red chairs"),
    ("a sink with long neck faucet", "long neck faucet"),
    ("a snow on a yellow covered street", "yellow covered street"),
    ("a shiny astronaut's helmet", "shiny astronaut's helmet"),
    ("A fluffy cat lounges on the sofa.", "fluffy cat lounges"),
    ("a tiny dragon landing on a shield", "tiny dragon landing"),
    ("Two cups, one blue and the other green.", "blue"),
    ("an elephant in dark blue", "dark blue"),
    ("a glass and wooden table", "glass"),
    ("The metallic watering can hold the tea", "metallic"),
    ("the bus and the car are red", "red"),
]


def bound(text):
    return ", ".join(f"{binding.attribute} {binding.object}" for binding in read_text(text).bindings)


@pytest.mark.parametrize(("text", "expected"), LISTS + SENTENCES)
def test_each_attribute_is_bound_to_its_noun(text, expected):
    assert bound(text) == expected


@pytest.mark.parametrize("text", NONE)
def test_what_asks_for_no_attribute_has_no_binding(text):
    assert bound(text) == ""


@pytest.mark.parametrize(("text", "phrase"), DOUBTFUL + DENIED + WITH_A_VERB + OF_ANOTHER_THING)
def test_what_is_doubtful_is_left_unbound_and_named(text, phrase):
    assert phrase in read_text(text).doubts
    assert phrase not in bound(text).split(", ")


def test_lists_need_no_tagger():
    """Start-up: the tagger's package takes a second to import, and the embedded world's prompts are lists."""
    code = (
        "import sys; from reno.prompts.reader import read_text; read_text('a gold bench and a green traffic light'); "
    )
    code += "sys.exit('textblob' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


def test_a_words_kind():
    kinds = {"red": "color", "dark green": "color", "yellowish": "color", "fluffy": "texture", "striped": "pattern"}
    kinds |= {"bluish": "color", "reddish": "color", "purplish": "color", "goldfish": None, "whitefish": None}
    kinds |= {"blue-green": "color", "off-white": "color", "non-white": None, "un-red": None, "a half-eaten red": None}
    kinds |= {"wooden": "material", "cubic": "shape", "Small": "size", "quick": None, "": None}
    assert {word: attribute_kind(word) for word in kinds} == kinds


def test_no_word_stands_in_two_lists_that_disagree():
    words = lexicon()
    assert not set(words.kinds) & words.function
    assert words.sets["noun"] <= set(words.kinds)


@pytest.mark.skipif(not SUITES, reason="RENO_SUITES names no folder with T2I-CompBench's prompt files")
def test_at_least_98_percent_of_the_key_are_read_exactly_and_none_wrongly():
    """The key was made by eye, of 150, 75 and 75 lines drawn at random."""
    exact = 0
    for name, lines in KEY["lines"].items():
        texts = next(Path(SUITES).rglob(name)).read_text(encoding="utf-8").split("\n")
        for number, pairs in lines.items():
            found = [[binding.attribute, binding.object] for binding in read_text(texts[int(number) - 1]).bindings]
            assert [pair for pair in found if pair not in pairs] == [], (name, number)
            exact += found == pairs
    assert exact >= 0.98 * 300


def test_a_prompt_is_kept_as_it_was_typed_with_its_bindings():
    assert prompt_from_text(" A red car. ", "prompt") == Prompt(" A red car. ", (Binding("red", "car"),))
    assert prompt_from_text("../x/\n<script>🐶", "prompt") == Prompt("../x/\n<script>🐶", ())


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (1, "mine.txt, line 3 must be a text, not 1; put it in quotes, as in prompt='\"1234\"'"),
        (None, "mine.txt, line 3 must be a text, not None; put it in quotes, as in prompt='\"1234\"'"),
        ("a\ud800", "mine.txt, line 3 holds half of a character, which cannot be stored: 'a\\ud800'; type it again"),
        ("", 'mine.txt, line 3 is empty; give a text such as "a gold bench and a green clock"'),
        (" \n ", 'mine.txt, line 3 is empty; give a text such as "a gold bench and a green clock"'),
    ],
)
def test_what_is_no_text_or_empty_is_refused_with_its_origin(text, says):
    with pytest.raises(BadInput, match=f"^{re.escape(says)}$"):
        prompt_from_text(text, "mine.txt, line 3")


def test_a_prompt_without_bindings_says_why():
    assert why_unbound(Prompt("a dog")) == "no attribute before a noun"
    assert why_unbound(Prompt("a cat in red")) == "not sure what is 'red'"
    assert why_unbound(Prompt("a red car")) == "its file gives it no binding"
