"""Vocabularies for checkpoints with random weights. Any text becomes tokens; a common word becomes one token.

The published vocabularies were learned from web text and are not part of this project. These have the same form, the
same size and the special tokens at the published ids. A tokenizer made from one behaves as the published one does,
except where it splits a rare word. Common words are single tokens, so prompts have about the published length in
tokens.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from tokenizers.pre_tokenizers import ByteLevel

Merge = tuple[str, str]
"""Two pieces of a word that byte-pair encoding joins."""

WORDS = """
a an the and or of in on at with to from by for is are was be has have it its this that no not one two three
four five photo picture image painting drawing portrait close up view high detailed style realistic beautiful
small large big tiny old young new round square tall short long wooden metal metallic glass plastic rubber
leather fabric fluffy shiny wet what which where who how many there color shape yes

red orange yellow green blue purple pink brown black white grey gray gold golden silver cyan magenta teal
violet beige turquoise maroon navy

bench clock car bowl star apple banana pear book cup vase chair table sofa bed lamp phone dog cat bird horse
sheep cow elephant bear zebra giraffe mouse rabbit frog fish bicycle bike motorcycle bus train truck boat
airplane plane kite ball umbrella backpack bag suitcase bottle fork knife spoon plate pizza cake donut
sandwich broccoli carrot tree flower rose plant leaf grass house door window wall floor sky sun moon cloud
beach street road traffic light sign stop hydrant meter man woman boy girl person people child hat cap shirt
dress shoe shoes coat scarf glove sock tie ring crown mug teapot kettle toaster oven fridge sink toilet
toothbrush scissors pillow blanket towel mirror keyboard laptop computer monitor screen television remote
camera guitar piano drum violin box basket bucket candle circle triangle rectangle cross heart diamond ellipse
cube sphere cylinder cone
""".split()  # noqa: SIM905 (a list of 243 lines says no more)

CLIP_START = "<|startoftext|>"
CLIP_END = "<|endoftext|>"
GEMMA_SPECIAL = ("<pad>", "<eos>", "<bos>", "<unk>", "<mask>")
"""The first tokens of Gemma's vocabulary, in the order of their ids."""
T5_SPECIAL = ("<pad>", "</s>", "<unk>")
"""The first pieces of T5's vocabulary, in the order of their ids."""
T5_SENTINELS = 100
"""Tokens after T5's pieces, which no prompt has."""
T5_FILLED = 28
"""Rows of T5's word embedding after its last token: the published one has 32,128 rows for 32,100 tokens."""


def clip_vocabulary(size: int) -> tuple[dict[str, int], list[Merge]]:
    """`size` tokens of CLIP's byte-level byte-pair encoding, and its merges in the order they apply.

    As in the published one, the tokens are: the 256 bytes, the 256 bytes at the end of a word, the results of the
    merges, and at the two highest ids the start and the end of a text (CLIP pools at the highest id of a text). No text
    produces the unused tokens between them.
    """
    letters, merges = byte_letters(), merges_for(WORDS)
    alphabet = letters + [f"{letter}</w>" for letter in letters]
    words = [left + right for left, right in merges]
    unused = [f"<|unused{i}|>" for i in range(size - 2 - len(alphabet) - len(words))]
    tokens = [*alphabet, *words, *unused, CLIP_START, CLIP_END]
    assert len(tokens) == size, f"{len(tokens)} tokens do not fit in {size}"
    return {token: i for i, token in enumerate(tokens)}, merges


def byte_letters() -> list[str]:
    """The printable letters that stand for the 256 bytes, sorted: "!" is first. (SD-Turbo pads with token 0, "!".)"""
    return sorted(ByteLevel.alphabet())


def merges_for(words: Sequence[str]) -> list[Merge]:
    """Merges, in the order they apply, by which each of the words becomes one token."""
    merges: list[Merge] = []
    for word in words:
        pieces = merged([*word[:-1], f"{word[-1]}</w>"], merges)
        while len(pieces) > 1:
            merges.append((pieces[0], pieces[1]))
            pieces = [pieces[0] + pieces[1], *pieces[2:]]
    return merges


def merged(pieces: list[str], merges: list[Merge]) -> list[str]:
    """The pieces that byte-pair encoding leaves: it always applies the earliest merge that it can."""
    while True:
        ranks = [merges.index(pair) if pair in merges else len(merges) for pair in itertools.pairwise(pieces)]
        if not ranks or min(ranks) == len(merges):
            return pieces
        first = merges[min(ranks)]
        joined, at = [], 0
        while at < len(pieces):
            if tuple(pieces[at : at + 2]) == first:
                joined.append("".join(first))
                at += 2
            else:
                joined.append(pieces[at])
                at += 1
        pieces = joined


def bert_vocabulary(size: int) -> list[str]:
    """`size` tokens of BERT's lower-case WordPiece as BLIP uses it, in the order of their ids.

    [PAD] is 0, [UNK] to [MASK] are 100 to 103, and BLIP's [DEC] and [ENC] are the two highest, as published. Printable
    characters below U+3000 become tokens, from the lowest on, as many as fit (1280 tokens hold ASCII and Latin-1). Any
    other character (emoji, Chinese) becomes [UNK], as most do in the published one.
    """
    head = ["[PAD]", *(f"[unused{i}]" for i in range(99)), "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    words = [word for word in dict.fromkeys(WORDS) if len(word) > 1]
    room = (size - 2 - len(head) - len(words)) // 2
    printable = (chr(i) for i in range(0x21, 0x3000) if chr(i).isprintable() and not chr(i).isspace())
    characters = [c for c in printable if c == c.lower()][:room]  # the tokenizer lowers its text
    tokens = [*head, *characters, *("##" + c for c in characters), *words]
    unused = [f"[unused{99 + i}]" for i in range(size - 2 - len(tokens))]
    return [*tokens, *unused, "[DEC]", "[ENC]"]


def gemma_vocabulary(size: int) -> tuple[dict[str, int], list[Merge]]:
    """`size` tokens of Gemma's byte-pair encoding as SigLIP 2 uses it, and its merges in the order they apply.

    The special tokens come first, as published; then the 256 bytes, by which any other character is written, the
    printable ASCII characters and `▁`, which stands for a space; then the results of the merges. A common word with
    a space before it is one token.
    """
    head = [*GEMMA_SPECIAL, *(f"<0x{byte:02X}>" for byte in range(256)), "▁", *map(chr, range(0x21, 0x7F))]
    merges: list[Merge] = []
    for word in dict.fromkeys(word for word in WORDS if len(word) > 1):
        pieces = merged(["▁", *word], merges)
        while len(pieces) > 1:
            merges.append((pieces[0], pieces[1]))
            pieces = [pieces[0] + pieces[1], *pieces[2:]]
    results = list(dict.fromkeys(left + right for left, right in merges))
    unused = [f"<unused{i}>" for i in range(size - len(head) - len(results))]
    tokens = [*head, *results, *unused]
    assert len(tokens) == size, f"{len(tokens)} tokens do not fit in {size}"
    return {token: i for i, token in enumerate(tokens)}, merges


def t5_vocabulary(size: int) -> list[tuple[str, float]]:
    """`size` pieces of T5's unigram vocabulary in the order of their ids, each with its log-probability, without the
    100 sentinels that follow.

    <pad>, </s> and <unk> come first, as published; then `▁`, which stands for the beginning of a word, the common words
    with it, and the printable ASCII characters. A text is cut where the sum is largest: a common word is one piece. Any
    other character becomes <unk>, as most do in the published one. No text produces the unused pieces.
    """
    words = dict.fromkeys(word for word in WORDS if len(word) > 1)
    known = [("▁", -2.0), *((f"▁{word}", -5.0) for word in words), *((chr(i), -10.0) for i in range(0x21, 0x7F))]
    head = [(token, 0.0) for token in T5_SPECIAL]
    unused = [(f"▁unused▁{i}", -1000.0) for i in range(size - len(head) - len(known))]
    pieces = [*head, *known, *unused]
    assert len(pieces) == size, f"{len(pieces)} pieces do not fit in {size}"
    return pieces
