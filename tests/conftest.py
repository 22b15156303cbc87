"""Tiny checkpoints in the true formats, made once a session, and a quiet, isolated environment."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path

# The tests' models and tables are small: two test processes with two threads each wait for one another. The numerical
# libraries read this as they are imported.
os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"
os.environ["OMP_WAIT_POLICY"] = "passive"  # a test that needs more threads waits asleep, and takes no core from another
os.environ["WANDB_MODE"] = "offline"
os.environ.pop("WANDB_API_KEY", None)
os.environ["HF_HUB_OFFLINE"] = "1"

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from reno.screen.quiet import quieten_libraries

gc.disable()  # while the test files, and the libraries with them, are imported
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # in a shell's background job; the commands would inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)
quieten_libraries()  # the libraries look once, as they are imported: before the first fixture, as before the first job

NAMES = ("sd_turbo", "clip", "clip_vit_h", "blip", "blip_large", "blip_vqa", "clip_vit_l", "mask2former", "owlv2",
         "pickscore", "siglip2", "hpsv2", "imagereward", "aesthetic", "blip2_itm", "taesd")  # fmt: skip
OF_GENERATORS = ("sdxl_turbo", "sdxl_base", "sdxl_vae", "hyper_sdxl", "dmd2_sdxl")
"""Those that no metric and no judge takes."""


def pytest_collection_finish() -> None:
    gc.enable()


@pytest.fixture(scope="session")
def tiny(tmp_path_factory) -> Path:
    """A folder with each of NAMES and OF_GENERATORS at size tiny. RENO_TINY names one to keep: `make mutants` runs the
    tests often."""
    from scripts.make_checkpoints import make_checkpoint

    kept = os.environ.get("RENO_TINY")
    folder = Path(kept) if kept else tmp_path_factory.mktemp("tiny")
    for name in (*NAMES, *OF_GENERATORS):
        if not (folder / name).exists():
            make_checkpoint(name, "tiny", folder)
    return folder


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory):
    """A cache folder of the session's own, in place of the user's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        patch.delenv("RENO_CACHE", raising=False)
        yield


@pytest.fixture(scope="session")
def knobs(tiny) -> list[str]:
    """Knobs that run models=sd_turbo on the tiny checkpoints, in two iterations, on one thread, without judges."""
    paths = [f"models.checkpoints.{name}.path={tiny / name}" for name in NAMES if name != "sd_turbo"]
    own = [f"models.generator.path={tiny / 'sd_turbo'}", *paths]
    return ["models=sd_turbo", *own, "iterations=2", "threads=1", "evaluators=[]"]


@pytest.fixture(scope="module", autouse=True)
def little_to_search():
    """The garbage collector searches what a file's own tests make, and not each time the half million objects of the
    libraries that are imported by then."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="module")
def one_thread():
    """One thread for torch: models this small gain nothing from more, and on a busy machine wait seconds for them. An
    earlier test of the same process may have set another number."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def generator(tiny):
    """The tiny SD-Turbo in float64, where finite differences mean something."""
    import torch

    from reno.generators import stable_diffusion

    return stable_diffusion.load(tiny / "sd_turbo", variant=None, dtype=torch.float64, device=torch.device("cpu"))


@pytest.fixture
def mortal(monkeypatch):
    """mortal(folder): a copy of the folder of which a file's mode decides who reads it, also where the tests are run by
    the superuser: they go on as another user."""
    superuser = os.geteuid() == 0
    checkout = Path(__file__).resolve().parent
    if superuser and not all(folder.stat().st_mode & 0o001 for folder in (checkout, *checkout.parents)):
        pytest.skip("the superuser is exempt from modes, and no other user may enter the checkout")
    room = Path(tempfile.mkdtemp(dir="/tmp"))

    def copy(folder: Path) -> Path:
        made = Path(shutil.copytree(folder, room / "results"))
        if superuser:
            for path in (room, made, *made.rglob("*")):
                os.chown(path, 65534, 65534)
            monkeypatch.setenv("HOME", str(room))
            os.seteuid(65534)
        return made

    yield copy
    if superuser:
        os.seteuid(0)
    shutil.rmtree(room, ignore_errors=True)


@pytest.fixture
def compose(knobs):
    """compose(*overrides): the checked JobSpec of the tiny models."""
    from reno.config.compose import composed
    from reno.config.job import job_from_config
    from reno.config.page import RUN
    from reno.config.words import parse

    def make(*overrides: str):
        words = parse(RUN, [*knobs, *overrides])
        return job_from_config(composed(RUN, words), words.conf)

    return make


@pytest.fixture
def method(tmp_path, monkeypatch):
    """method(source): knobs that use a method of that source, in a module of the user's own."""

    def make(source: str) -> list[str]:
        (tmp_path / "odd").mkdir()
        (tmp_path / "odd" / "method.py").write_text(f"import dataclasses\nfrom reno.methods import reno\n{source}")
        monkeypatch.syspath_prepend(tmp_path)
        for name in ("odd", "odd.method"):
            monkeypatch.delitem(sys.modules, name, raising=False)
        return ["method.name=odd", "method.kind=odd.method"]

    return make
