"""Vocabularies for checkpoints with random weights: any text becomes tokens, an everyday word becomes one.

The published vocabularies are learned from web text and are not ours to carry. These have their form, their
size and their special tokens at the published ids, so that a tokenizer made of one behaves as the published
one does in everything but where it cuts a rare word. Common words are whole, for prompts of about the
published length in tokens.
"""

from __future__ import annotations

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

COCO_OBJECTS = """
person, bicycle, car, motorcycle, airplane, bus, train, truck, boat, traffic light, fire hydrant, stop sign,
parking meter, bench, bird, cat, dog, horse, sheep, cow, elephant, bear, zebra, giraffe, backpack, umbrella, handbag,
tie, suitcase, frisbee, skis, snowboard, sports ball, kite, baseball bat, baseball glove, skateboard, surfboard,
tennis racket, bottle, wine glass, cup, fork, knife, spoon, bowl, banana, apple, sandwich, orange, broccoli, carrot,
hot dog, pizza, donut, cake, chair, couch, potted plant, bed, dining table, toilet, tv, laptop, mouse, remote,
keyboard, cell phone, microwave, oven, toaster, sink, refrigerator, book, clock, vase, scissors, teddy bear,
hair drier, toothbrush
"""
COCO_OBJECTS = [name.strip() for name in COCO_OBJECTS.split(",")]
"""The 80 classes of COCO, in the order of their labels."""

CLIP_START = "<|startoftext|>"
CLIP_END = "<|endoftext|>"


def clip_vocabulary(size: int) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """`size` tokens of CLIP's byte-level byte-pair encoding, and its merges in the order they apply.

    As in the published one: 256 bytes, the same ending a word, what the merges make, and the start and end of
    a text as the two highest ids (CLIP pools at the highest id of a text). No text produces what is left
    between.
    """
    import json

    from tokenizers import Tokenizer
    from tokenizers.models import BPE
    from tokenizers.pre_tokenizers import ByteLevel
    from tokenizers.trainers import BpeTrainer

    # Learned from the words alone, with room for every merge: each of them ends as one token.
    learned = Tokenizer(BPE(end_of_word_suffix="</w>"))
    learned.train_from_iterator(
        sorted(set(WORDS)), BpeTrainer(vocab_size=10_000, end_of_word_suffix="</w>", show_progress=False)
    )
    symbols = sorted(ByteLevel.alphabet())  # "!" first: SD-Turbo pads with token 0, which is "!"
    alphabet = symbols + [symbol + "</w>" for symbol in symbols]
    merges = [(left, right) for left, right in json.loads(learned.to_str())["model"]["merges"]]
    merged = [left + right for left, right in merges]
    unused = [f"<|unused{i}|>" for i in range(size - 2 - len(alphabet) - len(merged))]
    tokens = [*alphabet, *merged, *unused, CLIP_START, CLIP_END]
    assert len(tokens) == size, f"{len(tokens)} tokens do not fit in {size}"
    return {token: i for i, token in enumerate(tokens)}, merges


def bert_vocabulary(size: int) -> list[str]:
    """`size` tokens of BERT's lower-case WordPiece as BLIP uses it, in the order of their ids.

    [PAD] is 0, [UNK] to [MASK] are 100 to 103 and BLIP's [DEC] and [ENC] are the two highest, as published.
    Any text of printable characters below U+3000 becomes tokens, as far down the list as they fit (1280
    tokens hold ASCII and Latin-1); what is left (emoji, Chinese) becomes [UNK], as most of it does in the
    published one.
    """
    head = ["[PAD]", *(f"[unused{i}]" for i in range(99)), "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    words = [word for word in dict.fromkeys(WORDS) if len(word) > 1]
    room = (size - 2 - len(head) - len(words)) // 2
    printable = (chr(i) for i in range(0x21, 0x3000) if chr(i).isprintable() and not chr(i).isspace())
    characters = [c for c in printable if c == c.lower()][:room]  # the tokenizer lowers its text
    tokens = [*head, *characters, *("##" + c for c in characters), *words]
    unused = [f"[unused{99 + i}]" for i in range(size - 2 - len(tokens))]
    return [*tokens, *unused, "[DEC]", "[ENC]"]
