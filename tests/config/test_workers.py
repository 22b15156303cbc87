"""`workers=N` makes N jobs of each job of a command."""

from __future__ import annotations

import pytest

from reno.config import workers
from reno.config.job import job_from_config
from reno.config.page import RUN
from reno.config.words import parse
from reno.config.workers import spread
from reno.run import main
from reno.spec.errors import BadInput

LOCAL = "hydra/launcher=submitit_local"


def spread_words(*words, dry=False):
    found = spread(parse(RUN, words), dry)
    return found.knobs, found.multirun


def test_each_job_is_made_as_often_as_there_are_workers():
    assert spread_words("lr=0.1", LOCAL, "workers=3") == (("lr=0.1", LOCAL, "workers=3,3,3"), True)
    assert spread_words("-m", "lr=0.1,0.2", LOCAL, "workers=2") == (("lr=0.1,0.2", LOCAL, "workers=2,2"), True)
    assert spread_words("lr=0.1", LOCAL, "workers=3", dry=True) == (("lr=0.1", LOCAL, "workers=3"), True)
    assert spread_words("workers=1", "lr=0.1") == (("workers=1", "lr=0.1"), False)
    assert spread_words("lr=0.1") == (("lr=0.1",), False)


def test_auto_is_a_worker_for_each_gpu(monkeypatch):
    monkeypatch.setattr(workers, "count_gpus", lambda: 2)
    assert spread_words("hydra/launcher=gpus", "workers=auto")[0] == ("hydra/launcher=gpus", "workers=2,2")
    given = ("hydra/launcher=gpus", "hydra.launcher.n_jobs=3")
    assert spread_words(*given, "workers=auto")[0] == (*given, "workers=3,3,3")


REFUSED = [
    (("workers=2",), "workers=2 needs a launcher that runs jobs side by side: add hydra/launcher=gpus, slurm, ray or"),
    (("workers=2", "hydra/launcher=basic"), "workers=2 needs a launcher"),
    (("workers=auto", LOCAL), "workers=auto is one for each GPU of this machine"),
    (("workers=many", LOCAL), "workers must be one whole number or auto, not 'many'"),
    (("-m", "workers=1,2", LOCAL), "workers must be one whole number or auto, not '1,2'"),
    (("workers=0", LOCAL), "workers must be a whole number"),
]


@pytest.mark.parametrize(("words", "says"), REFUSED)
@pytest.mark.parametrize("dry", [(), ("dry_run=true",)])
def test_workers_that_cannot_be_are_refused_in_one_sentence(tmp_path, capsys, words, says, dry):
    assert main([*words, *dry, f"results={tmp_path / 'results'}"]) == 2
    said = capsys.readouterr().err
    assert says in said and said.count("\n") == 1
    assert not (tmp_path / "results").exists()


def test_a_file_cannot_set_them():
    from reno.config.compose import composed

    words = parse(RUN, ["workers=4"])
    chosen = composed(RUN, words)
    job_from_config(chosen, words.conf)
    with pytest.raises(BadInput, match="workers=4 is set by a file, which starts no workers; type it: workers=4"):
        job_from_config(type(chosen)(chosen.values, chosen.references), words.conf)
