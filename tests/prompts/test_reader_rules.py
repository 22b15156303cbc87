"""What a careful reader binds, rule by rule. Each case: a text, its bindings and the phrases that are doubtful."""

from __future__ import annotations

import pytest

from reno.prompts.reader import _attributive, read_text
from reno.prompts.words import Word, attribute_kind

SUBJECT_OF_BE = [
    ("the lamp is yellow", "yellow lamp", []),
    ("Apples are red.", "red apples", []),
    ("The old kettle is blue.", "blue kettle", []),
    ("The traffic light is green.", "green traffic light", []),
    ("The cup is glass.", "glass cup", []),
    ("The kettle is blue, the stove hums.", "blue kettle", []),
    ("The kettle is blue; a dog naps.", "blue kettle", []),
    ("The kettle is blue but a dog naps.", "blue kettle", []),
    ("The kettle is blue while a dog naps.", "blue kettle", []),
    ("On a table, the kettle is blue.", "blue kettle", []),
    ("A dog naps;the kettle is blue.", "blue kettle", []),
    ("The stove hums.The kettle is blue.", "blue kettle", []),
    ("The stove hums but the kettle is blue.", "blue kettle", []),
    ("The stove hums while the kettle is blue.", "blue kettle", []),
    ("The stove hums and the kettle is blue.", "blue kettle", []),
    ("the bus and the car were red", "", ["red"]),
    ("the pan is red hot", "", ["red"]),
    ("a car painted plain red drives on a road", "", ["red drives"]),
    ("The metal kettle is blue.", "metal kettle, blue kettle", []),
    ("The old wall is red cold bare and empty.", "", ["red"]),
]
PLURALS_AND_WORDS_IN_S = [
    ("a red summer dress", "red summer dress", []),
    ("a boy with an orange cactus plant", "orange cactus plant", []),
    ("an orange garden cactus", "orange garden cactus", []),
    ("a purple garden iris", "purple garden iris", []),
    ("a green corner grocer's", "green corner grocer's", []),
    ("the yellow song birds sing", "yellow song birds", []),
    ("two red bags of flour stand on the table", "red bags of flour", []),
    ("the wooden boxes of apples stand on the floor", "wooden boxes of apples", []),
    ("The metallic sports watches lie on the shelf.", "metallic sports watches", []),
    ("the wooden clothes racks on the wall", "wooden clothes racks", []),
    ("a dog and the blue tea kettles", "blue tea kettles", []),
    ("a dog and the red garden benches", "red garden benches", []),
    ("a dog and the black farm ostriches", "black farm ostriches", []),
    ("a cup and the red garden radishes", "red garden radishes", []),
    ("Behind red traffic lights on a street.", "red traffic lights", []),
]
VERBS = [
    ("one black cat chases birds", "", ["black cat chases birds"]),
    ("one white robot paints walls", "", ["white robot paints walls"]),
    ("one black cat juggles apples", "", ["black cat juggles apples"]),
    ("an orange cat jogs", "", ["orange cat jogs"]),
    ("an old brown dog barks", "", ["brown dog barks"]),
    ("a black notebook jot down", "", ["black notebook jot"]),
    ("Black cats wear hats", "black cats", []),
    ("a boy with a red watch the size of a plate", "red watch", []),
    ("The green trees and white clouds frame the lake.", "green trees, white clouds", []),
    ("The wooden spoons and metallic forks rest to the left of a bowl.", "wooden spoons, metallic forks", []),
    ("The metallic cups and wooden bowls of rice crowd the table.", "metallic cups, wooden bowls of rice", []),
    ("This morning the fluffy cat lounges on the sofa.", "", ["fluffy cat lounges"]),
    ("A dog barks while the fluffy cat lounges on the sofa.", "", ["fluffy cat lounges"]),
    ("A brown dog barks while the fluffy cat lounges on the sofa.", "brown dog", ["fluffy cat lounges"]),
    ("The fluffy cat lounges on the sofa while a dog barks.", "", ["fluffy cat lounges"]),
    ("The dog barks because of the red traffic lights on the street.", "red traffic lights", []),
    ("The red traffic lights are on.", "red traffic lights", []),
    ("The wooden guards stand in the park.", "wooden guards", []),
    ("The red marble and the green silk rest on the table.", "red marble, green silk", []),
    ("a black cat jogs", "", ["black cat jogs"]),
    ("There is a black cat chasing mice.", "black cat", []),
    ("The red traffic lights hang over the street.", "red traffic lights", []),
    ("Soft and black, the fluffy cat lounges on the sofa.", "", ["soft and black", "fluffy cat lounges"]),
]
WORDS_BEFORE_THE_NOUN = [
    ("an orange striped scarf", "orange scarf, striped scarf", []),
    ("a gold and dark green vase", "gold vase, dark green vase", []),
    ("a black, white and yellow bee", "black bee, white bee, yellow bee", []),
    ("There is a red, smiling robot on the sofa.", "red smiling robot", []),
    ("A photo of tall, bearded men.", "tall bearded men", []),
    ("a man in black riding white horses", "", ["black riding white horses"]),
    ("a red burning old house at night", "red burning old house", []),
    ("a blue worn sofa stands here", "blue worn sofa", []),
    ("a red 12 story tower is here", "red 12 story tower", []),
    ("a light brown wooden and green chair", "", ["light brown wooden and green chair"]),
    ("The table is of glass and rectangular.", "", ["glass", "rectangular"]),
    ("a sky in gold and blue.", "", ["gold and blue"]),
    ("tall man orange hat", "", ["tall man orange hat"]),
    ("a red old burning house stands here", "", ["red old burning house"]),
    ("a green old worn sofa stands here", "green old worn sofa", []),
    ("a street with red old burning houses", "", ["red old burning houses"]),
    ("a street with green old worn houses", "green old worn houses", []),
    ("a brown and large black dog", "", ["brown and large black dog"]),
    ("a round and red ball", "round ball, red ball", []),
    ("a red car, a green orange and red apple", "red car", ["green orange and red apple"]),
]
NOUNS_THAT_LOOK_LIKE_OTHER_WORDS = [
    ("a photo with a blue tone", "blue tone", []),
    ("a white t-shirt on a chair", "white t-shirt", []),
    ("a man in white t-shirt", "white t-shirt", []),
    ("a red can on the table", "red can", []),
    ("a red stand holds a bicycle", "red stand", []),
    ("a blue set is on a shelf", "blue set", []),
    ("a black well in a garden", "black well", []),
    ("a purple still life hangs on a wall", "purple still life", []),
    ("a cat sits on a soft antique", "soft antique", []),
    ("a boy with a blue hello kitty backpack", "blue hello kitty backpack", []),
    ("a boy holds a brown teddy bear.", "brown teddy bear", []),
    ("a brown teddy bear and a doll sit on a sofa", "brown teddy bear", []),
    ("a brown teddy bear, a doll and a ball lie on the floor", "brown teddy bear", []),
    ("a red cigarette lighter is on the table", "red cigarette lighter", []),
    ("a green fruit smaller than a melon", "green fruit", []),
    ("a red cake platter.", "red cake platter", []),
    ("a red cake platter, a blue cup", "red cake platter, blue cup", []),
    ("a small red glass", "small glass, red glass", []),
    ("a small garden square", "small garden square", []),
    ("A tiny castle miniature stands on a desk.", "tiny castle miniature", []),
    ("A tall stage brunette is in the room.", "tall stage brunette", []),
    ("A dog sleeps in a tiny town square.", "tiny town square", []),
    ("a small dog brown as a nut", "small dog", ["brown"]),
    ("an orange and a cup", "", []),
    ("an orange", "", []),
    ("a red carp in a pond", "red carp", []),
    ("a black and white still life hangs on a wall", "black still life, white still life", []),
]
MEASURES = [
    ("a red cup of tea", "red cup of tea", []),
    ("a white plate of red apples is on the table", "white plate, red apples", []),
    ("a red bottle of an old wine stands on a shelf", "red bottle", []),
    ("a silver tray of cookies looks good", "silver tray of cookies", []),
    ("a green jar of olives and a white spoon lie on the table", "green jar of olives, white spoon", []),
    ("a green field of wheat", "green field", []),
    ("a red bag of cat food stands here", "red bag of cat food", []),
    ("a red cup of water the size of a head", "red cup of water", []),
    ("a blue bowl of fresh strawberries stands on the table", "", ["blue bowl of fresh strawberries"]),
]
NAMES_QUOTES_AND_SENTENCES = [
    ("a tall pine tree beside a red car", "tall pine tree, red car", []),
    ("a round table discussion in an office", "", []),
    ("people walk over Red Square at night", "", []),
    ("people cross Red Square", "", []),
    ("The Black Sea in the evening", "", []),
    ("Red Porsche parked in the rain", "red porsche", []),
    ("a sign that says “RED CAR”", "", []),
    ("a red “STOP” sign", "", ["red"]),
    ("A dog without a tail sits. A red car is on a road.", "red car", []),
]
DENIALS_AND_ALTERNATIVES = [
    ("nobody is tall but the dog is brown", "brown dog", ["tall"]),
    ("no silver t-shirts", "", ["silver t-shirts"]),
    ("a car or an old red bus", "", ["red bus"]),
    ("a car or a very red bus", "", ["red bus"]),
    ("a car or a bigger red bus", "", ["red bus"]),
]


@pytest.mark.parametrize(
    ("text", "bindings", "doubts"),
    SUBJECT_OF_BE
    + PLURALS_AND_WORDS_IN_S
    + VERBS
    + WORDS_BEFORE_THE_NOUN
    + NOUNS_THAT_LOOK_LIKE_OTHER_WORDS
    + MEASURES
    + NAMES_QUOTES_AND_SENTENCES
    + DENIALS_AND_ALTERNATIVES,
)
def test_a_text_is_read_as_a_careful_person_reads_it(text, bindings, doubts):
    reading = read_text(text)
    assert ", ".join(f"{binding.attribute} {binding.object}" for binding in reading.bindings) == bindings
    assert list(reading.doubts) == doubts


@pytest.mark.parametrize(
    ("word", "kind"), [("pear-shaped", "shape"), ("cream-coloured", "color"), ("deep-sea-blue", "color")]
)
def test_the_kind_of_a_word_with_hyphens(word, kind):
    assert attribute_kind(word) == kind


@pytest.mark.parametrize(
    ("word", "tag", "goes_on"),
    [("cup", "", True), ("cup", "NN", True), (",", "", False), ("one", "NN", False), ("runs", "VBZ", False)],
)
def test_a_noun_phrase_goes_on_with_a_noun_and_not_with_a_mark_or_a_word_that_only_joins(word, tag, goes_on):
    assert _attributive([Word(word, word, tag)], 0) is goes_on
