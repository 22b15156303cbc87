"""Reads the bindings of a text: which attribute words stand before which noun.

A wrong binding would be judged, so what is doubtful is left unbound and listed. An attribute is a word of words.yaml.
Its object is the rest of its noun phrase. Where a phrase ends is plain in a list of phrases. In a sentence each word's
part of speech decides it (TextBlob's tagger, whose lexicon is part of that package).

    read_text("The small red car is next to a white cat.").bindings
    -> (small, car), (red, car), (white, cat)

Bound are adjectives before a noun, several on one noun, two colours joined by "and" ("a black and white cat"), and
colours said by a form of "be" at the end of a clause ("the car is red"). Not bound are counts, actions, comparisons,
what a text denies ("without red chairs"), alternatives ("a red or blue car"), names ("Red Square") and quoted text.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from reno.prompts.words import Word, attribute_at, is_list, lexicon, tagged, words_of
from reno.spec.errors import BadInput
from reno.spec.prompts import Binding, Prompt, whole_text

COPULAS = {"is", "are", "was", "were"}
SUBJECTS = {"there", "here", "it", "they", "this", "these", "those"}
"""After these and a form of "be" a noun phrase may follow: "there are red apples"."""
SAID_OF = {"painted", "dyed", "stained", "colored", "coloured", "looks", "look", "seems", "appears", "turns", "turned"}
"""As a form of "be", these say a colour of what stands before them: "a car painted red drives"."""
JOINS = {"and", ","}
EITHER = {"or", "/"}
CLAUSES = {"as", "while", "when", ";", "but", "because", "until"}
RELATIVE = {"that", "this", "those", "these"}
PARTICLES = {"down", "up", "off", "out", "away"}
POSTURES = {"rest", "hang", "sit", "lie", "lean", "nap", "perch", "float", "sleep"}
"""The lexicon has some of them as nouns; between a plural subject and a preposition they are verbs."""
ACTIONS = {
    "bark", "chase", "crawl", "dance", "eat", "fight", "fly", "gallop", "graze", "hop", "jump", "kiss", "laugh", "lie",
    "meow", "nap", "perch", "roar", "run", "sing", "sit", "sleep", "smile", "soar", "stroll", "swim", "talk", "trot",
    "walk",
}  # fmt: skip
"""What a plural subject does at the end of a text that looks like a list: "two zebras and a white horse gallop"."""
UNCOUNTED = {"gold", "silver"}
"""Colours that are nouns, and no things: "a black gold and white vase" has three colours."""
PLACES = {"top", "bottom", "front", "back"}
"""The lexicon has them as adjectives; after a noun they are nouns: a counter top."""
NOUN = re.compile(r"NN|FW")
FINITE = re.compile(r"VBZ|VBD|VBP|MD")
QUOTED = re.compile(r"""\"[^"]*"|(?<!\w)'(?:[^']|(?<=\w)'(?=\w))*'(?!\w)""")


@dataclass(frozen=True)
class Reading:
    """What a text asks for."""

    bindings: tuple[Binding, ...]
    doubts: tuple[str, ...]
    """Phrases that hold an attribute word and were left unbound."""


def read_text(text: str) -> Reading:
    """The bindings of a text in the order of the text, each once, and the phrases that are doubtful."""
    plain = re.sub(r"[“”]", '"', text).replace("’", "'")
    plain = QUOTED.sub(" ; ", plain)  # what is written on a sign is not shown as a thing
    bindings: list[Binding] = []
    doubts: list[str] = []
    for sentence in re.split(r"(?<=[.!?;])\s+|\n", plain):
        words = words_of(sentence)
        if any(attribute_at(words, place) for place in range(len(words))):
            _read_sentence(words if is_list(words) else tagged(words), bindings, doubts)
    return Reading(tuple(dict.fromkeys(bindings)), tuple(dict.fromkeys(doubts)))


def why_unbound(prompt: Prompt) -> str:
    """Why a prompt has no binding, in words."""
    found = read_text(prompt.text)
    if found.bindings:
        return "its file gives it no binding"
    return f"not sure what is {found.doubts[0]!r}" if found.doubts else "no attribute before a noun"


def prompt_from_text(text: object, where: str) -> Prompt:
    """The prompt that a user typed. where: its origin, for the error. Raises BadInput if it is empty or not a text."""
    if not isinstance(text, str):
        raise BadInput(f"{where} must be a text, not {text!r}; put it in quotes, as in prompt='\"1234\"'")
    if not whole_text(text):
        raise BadInput(f"{where} holds half of a character, which cannot be stored: {text!r}; type it again")
    if not text.strip():
        raise BadInput(f'{where} is empty; give a text such as "a gold bench and a green clock"')
    return Prompt(text, read_text(text).bindings)


# --- Phrases ----------------------------------------------------------------------------------------------------------


def _read_sentence(words: Sequence[Word], bindings: list[Binding], doubts: list[str]) -> None:
    place = 0
    while place < len(words):
        if not attribute_at(words, place) or _named(words, place):
            place += 1
            continue
        attributes, after = _attributes_from(words, place)
        thing, end = _object_from(words, after)
        phrase = " ".join(word.text for word in words[place : max(end, after)])
        if not thing and len(attributes) > 1 and _is_thing(words, after, attributes[-1]):
            thing, attributes = attributes[-1], attributes[:-1]  # a red glass
        asked = not _denied(words, place, end) and not _one_of_two(words, place, end)
        if thing and asked and _one_noun_phrase(words, place, after, end):
            bindings += [Binding(attribute, thing) for attribute in attributes]
        elif not thing and asked and (subject := _subject_of(words, place, end)):
            bindings += [Binding(attribute, subject) for attribute in attributes]
        elif thing or len(attributes) > 1 or attributes[0] not in lexicon().sets["noun"] or _goes_on(words, after):
            doubts.append(phrase)
        place = max(end, after)


def _attributes_from(words: Sequence[Word], place: int) -> tuple[list[str], int]:
    """The attributes of one object that stand side by side from `place`, and the place after them: "black and white",
    "long, narrow yellow", "large old red" without the "old"."""
    found: list[str] = []
    while count := attribute_at(words, place):
        if found and _named(words, place):
            break
        found.append(" ".join(word.text for word in words[place : place + count]))
        place += count
        if lexicon().kind(found[-1]) == "color":
            while _text(words, place) in lexicon().sets["filler"] and _attributive(words, place + 1):
                place += 1
        following = place
        while _text(words, following) in JOINS:
            following += 1
        if following > place and attribute_at(words, following):
            ahead = words[following : following + attribute_at(words, following)]
            both_colors = {lexicon().kind(found[-1]), lexicon().kind(" ".join(w.text for w in ahead))} == {"color"}
            if not both_colors and found[-1] in lexicon().sets["noun"]:
                break  # "a glass and a wooden table" without its second article: the glass may be a thing
            place = following
            continue
        if following == place + 1 and words[place].text == "," and _modifier(words, following):
            return found, following  # a tan, clean bathroom
        modifier = place
        while _modifier(words, modifier) and not attribute_at(words, modifier) and words[modifier].tag != "VBG":
            modifier += 1
        if modifier > place and attribute_at(words, modifier):
            place = modifier
    return found, place


def _object_from(words: Sequence[Word], place: int) -> tuple[str, int]:
    """The noun phrase from `place`, without what may be a verb, and the place after it; "" if there is none."""
    end = place
    while end < len(words) and _in_phrase(words, place, end):
        end += 1
    end = _before_verb(words, place, end)
    thing = [word.text for word in words[place:end]]
    if thing and _measure(thing[-1]) and _text(words, end) == "of":
        last = end + 1
        while (
            last < len(words)
            and not attribute_at(words, last)
            and (words[last].tag.startswith("NN") or (last == end + 1 and words[last].text not in lexicon().function))
        ):
            last += 1
        if last > end + 1:
            last = _before_verb(words, end + 1, last)
            thing += ["of", *(word.text for word in words[end + 1 : last])]
            end = last
    return " ".join(thing), end


def _in_phrase(words: Sequence[Word], start: int, place: int) -> bool:
    """Whether the word at `place` goes on the noun phrase that starts at `start`."""
    word = words[place]
    if word.text in lexicon().function or not re.fullmatch(r"\w[\w'-]*", word.text):
        return False
    if not word.tag:
        return True
    if NOUN.match(word.tag) or word.text.endswith("'s"):
        return True
    if word.text in PLACES:
        return True
    participle = word.tag in ("VBG", "VBN") and (place == start or words[place - 1].tag.startswith("JJ"))
    describes = word.tag.startswith(("JJ", "CD")) or participle
    if describes and _attributive(words, place + 1):
        return True  # a green old car, a wooden cutting board
    if place == start:
        if "-" in word.text and word.tag.startswith("JJ"):
            return True  # a white t-shirt
        return word.tag in ("VB", "VBZ", "VBP", "VBN", "VBD", "UH") or (
            word.tag.startswith(("JJ", "RB", "MD")) and _has_article(words, place)
        )
    if word.text in lexicon().sets["noun"] and attribute_at(words, place):
        return True
    ends = _text(words, place + 1) in ("", ".", ",", "and")
    if word.tag in ("JJR", "RBR") and _text(words, place + 1) != "than":
        return ends or word.text.endswith("er")  # the lexicon lacks it: a platter
    return word.tag == "VB" and ends and not words[place - 1].text.endswith("s")  # a teddy bear; but: the birds sing


def _one_noun_phrase(words: Sequence[Word], group: int, start: int, end: int) -> bool:
    """Whether the attributes words[group:start] are surely of the thing words[start:end] as a whole."""
    return not (
        _said_before(words, group)
        or _of_two_things(words, group, start)
        or _of_a_part(words, start, end)
        or _may_end_in_verb(words, group, start, end)
    )


def _has_article(words: Sequence[Word], place: int) -> bool:
    """Whether an article opens the phrase before `place`, so that it has to hold a noun."""
    while place > 0 and (words[place - 1].text in JOINS or attribute_at(words, place - 1)):
        place -= 1
    return _text(words, place - 1) in lexicon().determiners


def _attributive(words: Sequence[Word], place: int) -> bool:
    """Whether a noun phrase goes on at `place`, so that the word before it describes a noun."""
    while place < len(words):
        word = words[place]
        if word.text in lexicon().function or not re.fullmatch(r"\w[\w'-]*", word.text):
            return False
        if not word.tag or NOUN.match(word.tag) or attribute_at(words, place):
            return True
        if not word.tag.startswith(("JJ", "VBG", "VBN")):
            return False
        place += 1
    return False


def _modifier(words: Sequence[Word], place: int) -> bool:
    """Whether the word at `place` is an adjective or a participle before a noun."""
    return (
        place < len(words)
        and words[place].tag.startswith(("JJ", "VBN", "VBG"))
        and words[place].text not in lexicon().function
        and _attributive(words, place + 1)
    )


def _before_verb(words: Sequence[Word], start: int, end: int) -> int:
    """Where the noun phrase words[start:end] ends if its last word is surely a verb: in "the wooden spoon and metallic
    cup hold the tea" a noun and a determiner stand side by side; "pillow and lamp rest on" says how things lie."""
    if end == start or not words[start].tag:
        return end
    last, following = words[end - 1].text, _text(words, end)
    alone = end - start == 1 and _text(words, start - 1) not in lexicon().sets["noun"]  # but: black fur bats a ball
    if alone:
        return end
    if ((following in lexicon().determiners - RELATIVE) or attribute_at(words, end)) and _can_be_verb(last):
        return end - 1
    posture = last in POSTURES and words[end : end + 1] and words[end].tag in ("IN", "TO")
    return end - 1 if posture else end


def _may_end_in_verb(words: Sequence[Word], group: int, start: int, end: int) -> bool:
    """Whether the phrase words[start:end] may hold a verb after its noun: "the red traffic lights on the street" and
    "the red cat lounges on the sofa" look alike. group: where the phrase's attributes begin."""
    if end - start < 2 or _text(words, end - 2) == "of":
        return False
    if words[start].tag and _text(words, end) in PARTICLES:
        return True  # a notebook jot down
    if any(_says_action(words[place - 1], words[place], place + 1 < end) for place in range(start + 1, end)):
        return True
    last, opening = words[end - 1].text, _text(words, group - 1)
    if _ends_in_s(last) and opening in ("a", "an"):
        return True  # a rabbit hops
    if words[end - 1].tag == "VB" and opening == "the" and _text(words, group - 2) == "and":
        return True  # the cat and the red kite soar
    if not words[start].tag and last in ACTIONS:
        return True  # two zebras and a white horse gallop
    if not _ends_in_s(last) or not _may_be_verb(last):
        return False
    if not words[start].tag:
        return opening not in lexicon().sets["plural"]  # two traffic lights
    clause = group
    while clause > 0 and _text(words, clause - 1) not in CLAUSES:
        clause -= 1
    before = words[clause:group]
    opens = all(
        word.text in lexicon().determiners | JOINS or NOUN.match(word.tag) or attribute_at([word], 0) for word in before
    )
    rest = end
    while rest < len(words) and words[rest].text not in CLAUSES:
        rest += 1
    verbless = not any(FINITE.match(word.tag) or word.tag == "VB" for word in words[end:rest])
    return opens and verbless and words[end - 2].tag != "NNS"


def _says_action(before: Word, word: Word, inside: bool) -> bool:
    """Whether a word of a noun phrase, after `before`, says what the noun does. inside: whether more words follow."""
    if word.text.endswith(("ing", "ed")) and word.text not in lexicon().sets["thing"]:
        return True  # a dragon landing
    if inside and _ends_in_s(word.text) and _can_be_verb(word.text):
        return True  # a cat plays piano
    plural = _ends_in_s(before.text) and (not before.tag or before.tag[:2] in ("VB", "NN"))
    return plural and not _ends_in_s(word.text)  # clouds drift


def _ends_in_s(word: str) -> bool:
    return word.endswith("s") and not word.endswith(("ss", "us", "is", "'s")) and word not in lexicon().sets["singular"]


def _may_be_verb(word: str) -> bool:
    """Whether a word in -s can be a verb, or the tagger's lexicon has neither it nor its stem: "meows"."""
    from textblob.en import lexicon as tags

    return _can_be_verb(word) or not any(
        stem in tags for stem in (word, word.removesuffix("s"), word.removesuffix("es"))
    )


@cache
def _can_be_verb(word: str) -> bool:
    """Whether the tagger's lexicon has a verb's form of the word: "rest", of "rested"; not "lamp"."""
    from textblob.en import lexicon as tags

    stems = {word, word.removesuffix("s"), word.removesuffix("es"), re.sub("ies$", "y", word)}
    forms = [form for stem in stems if stem.endswith("e") or f"{stem}e" not in tags for form in _verb_forms(stem)]
    stem = word.removesuffix("s")
    forms += [f"{stem}{stem[-1:]}ed", f"{stem}{stem[-1:]}ing"]  # hopped, hopping: of "hop", not of "hope"
    return any(str(tags.get(form, "")).startswith("VB") for form in forms)


def _verb_forms(stem: str) -> tuple[str, str]:
    return (f"{stem}d", f"{stem[:-1]}ing") if stem.endswith("e") else (f"{stem}ed", f"{stem}ing")


# --- What stands around a phrase --------------------------------------------------------------------------------------


def _goes_on(words: Sequence[Word], place: int) -> bool:
    """Whether what looked like a noun is followed by more of its phrase: "a glass and wooden table"."""
    while _text(words, place) in JOINS:
        place += 1
        if attribute_at(words, place):
            return True
    return place < len(words) and words[place].text not in lexicon().function and words[place].text.isalpha()


def _is_thing(words: Sequence[Word], after: int, attribute: str) -> bool:
    """Whether the last attribute of a phrase is its noun: in "a red glass", not in "a red leather and wood chair"."""
    joined = _text(words, after) in JOINS | EITHER and attribute_at(words, after + 1)
    return attribute in lexicon().sets["noun"] and not (joined and lexicon().kind(attribute) == "material")


def _text(words: Sequence[Word], place: int) -> str:
    return words[place].text if 0 <= place < len(words) else ""


def _named(words: Sequence[Word], place: int) -> bool:
    """Whether a name begins at `place` in which the attribute word is none: "Red Square", "orange juice"."""
    names = lexicon().sets["name"]
    if any(" ".join(word.text for word in words[place : place + count]) in names for count in (2, 3)):
        return True
    typed = [word.typed for word in words[place : place + 2]]
    title = not any(word.typed.islower() and word.text not in lexicon().function for word in words)  # A Red Car
    return place > 0 and len(typed) == 2 and not title and all(t[:1].isupper() and not t.isupper() for t in typed)


def _denied(words: Sequence[Word], place: int, end: int) -> bool:
    """Whether the phrase words[place:end] is denied by a word before it in its clause, or said to be absent."""
    if _text(words, end) in COPULAS and lexicon().sets["absent"] & {_text(words, end + 1), _text(words, end + 2)}:
        return True
    for before in range(place - 1, -1, -1):
        if {_text(words, before), f"{_text(words, before - 1)} {_text(words, before)}"} & lexicon().denials:
            return True
        if _text(words, before) in CLAUSES - {"as"}:  # without cars, such as red cars
            return False
    return False


def _one_of_two(words: Sequence[Word], place: int, end: int) -> bool:
    """Whether words[place:end] is one of the sides of an "or", so that a picture may lack it."""
    while place > 0 and (words[place - 1].tag[:2] in ("JJ", "RB") or words[place - 1].text in lexicon().determiners):
        place -= 1
    return bool(EITHER & {_text(words, place - 1), _text(words, end)})


def _said_before(words: Sequence[Word], place: int) -> bool:
    """Whether the attribute at `place` is said of what stands before it: "a cat which is black sits"."""
    color = lexicon().kind(_text(words, place)) == "color"  # but: a stained glass window
    while place > 0 and words[place - 1].tag.startswith(("JJ", "RB")):
        place -= 1
    before = _text(words, place - 1)
    return (color and before in SAID_OF) or (before in COPULAS and _text(words, place - 2) not in SUBJECTS)


def _of_two_things(words: Sequence[Word], place: int, after: int) -> bool:
    """Whether the attributes words[place:after] are of two things: "a small brown and large black dog"."""
    if _color_and_colored_thing(words, place, after):
        return True
    for join in range(place + 1, after - 1):
        if words[join].text == "and":
            left, right = _kinds(words[place:join]), _kinds(words[join + 1 : after])
            if left and right and left[-1] != right[0] and set(left) & set(right):
                return True
    return False


def _color_and_colored_thing(words: Sequence[Word], place: int, after: int) -> bool:
    """Whether two colours stand side by side among the attributes words[place:after], the second of which may be a
    thing, and a third follows: "a green orange and red apple"."""
    kind, nouns = lexicon().kind, lexicon().sets["noun"] - UNCOUNTED
    return any(
        kind(one.text) == kind(other.text) == "color" and other.text in nouns and join.text in JOINS
        for one, other, join in zip(
            words[place:after], words[place + 1 : after], words[place + 2 : after], strict=False
        )
    )


def _kinds(words: Sequence[Word]) -> list[str | None]:
    """The kinds of the attributes among the words."""
    found = []
    place = 0
    while place < len(words):
        count = attribute_at(words, place)
        if count:
            found.append(lexicon().kind(" ".join(word.text for word in words[place : place + count])))
        place += max(count, 1)
    return found


def _of_a_part(words: Sequence[Word], start: int, end: int) -> bool:
    """Whether the attribute may be of what only describes the object words[start:end]: of the neck of a "long neck
    faucet", of the eyes of a "blue eyed cat", of the first thing of "man red shirt"."""
    if _text(words, end) == "'":
        return True  # the red dogs' bowl
    if end - start < 2:
        return False
    first = words[start].text
    plain = lexicon().sets["thing"] | lexicon().sets["participle"]
    with_part = first.endswith("ed") and first not in plain and _text(words, start - 1) != ","  # smooth, bearded men
    if with_part or first in lexicon().sets["part"]:
        return True
    if any(word.text.endswith("'s") for word in words[start : end - 1]):
        return True
    inside = [place for place in range(start + 1, end) if attribute_at(words, place)]
    inside = [place for place in inside if not words[place - 1].tag.startswith("JJ")]  # but: cool marble floors
    return any(place < end - 1 or words[place].text not in lexicon().sets["noun"] for place in inside)


def _measure(word: str) -> bool:
    measures = lexicon().sets["measure"]
    return bool({word, word.removesuffix("s"), word.removesuffix("es")} & measures)


def _subject_of(words: Sequence[Word], place: int, end: int) -> str:
    """What the attribute at `place` is said of by "is" or "are", if the clause is "the car is red"; else ""."""
    if _text(words, place - 1) not in COPULAS or _text(words, end) not in ("", ".", ",", ";", "and", "but", "while"):
        return ""
    start = place - 1
    while start > 0 and _text(words, start - 1) not in (",", ";", "and", "but", "while", "."):
        start -= 1
    clause = list(words[start : place - 1])
    if clause and clause[0].text in lexicon().determiners:
        clause = clause[1:]
    while clause and (clause[0].tag.startswith("JJ") or attribute_at(clause, 0)):
        clause = clause[1:]
    joined = _text(words, start - 1) == "and" and _text(words, place - 1) in ("are", "were")  # of how many is it said?
    nouns = clause and all(NOUN.match(word.tag) for word in clause) and not joined
    return " ".join(word.text for word in clause) if nouns else ""
