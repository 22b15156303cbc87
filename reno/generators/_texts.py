"""What checks prompts for the generators whose text encoders are let go once they have read."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from reno.weights.texts import TextReader


class Readers:
    """A pipeline's tokenizers and the size of its images, without its weights."""

    def __init__(
        self,
        readers: Sequence[TextReader],
        image_size: tuple[int, int] | None,
        prepared: Callable[[str], str] = str,
    ) -> None:
        """image_size: (H, W) of the images, pixels; None: not known. prepared: what the pipeline makes of a text before
        it reads it."""
        self.readers, self.image_size, self.prepared = tuple(readers), image_size, prepared

    def check_prompt(self, text: str) -> None:
        """Raises TooLong if a text encoder would cut the text, and BadInput if there is no tokenizer."""
        for reader in self.readers:
            reader.check_prompt(self.prepared(text))


def lowered(text: str) -> str:
    """A text as PixArt's and SANA's pipelines read it: in lower case, without white space around it."""
    return text.lower().strip()
