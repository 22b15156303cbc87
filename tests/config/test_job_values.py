"""A value of a job that cannot be used is refused in one sentence, which says what can."""

from __future__ import annotations

import copy
import dataclasses
import functools
import operator
import os

import pytest
import yaml

from reno.config.compose import composed
from reno.config.conf import Conf
from reno.config.job import job_from_config
from reno.config.page import RUN
from reno.config.prompt_sets import named_sets
from reno.config.words import parse
from reno.running.plan import make_plan
from reno.spec.errors import BadInput
from reno.tracking import TrackingSpec
from reno.weights.kinds import kinds

CORES = os.cpu_count()


@pytest.fixture(scope="module")
def plain(knobs):
    """The plain values of a job; Hydra need not compose them again for every knob."""
    return composed(RUN, parse(RUN, knobs))


@pytest.fixture
def refusal_of(plain):
    """refusal_of(knob=value): the sentence with which a job of plain values with this one changed is refused."""

    def run(word):
        name, _, text = word.partition("=")
        values = copy.deepcopy(plain.values)
        *path, last = [int(key) if key.isdigit() else key for key in name.split(".")]
        functools.reduce(operator.getitem, path, values)[last] = yaml.safe_load(text)
        with pytest.raises(BadInput) as refused:
            job = job_from_config(dataclasses.replace(plain, values=values), Conf())
            TrackingSpec.from_knobs(job.tracking)
            make_plan(job)
        assert "\n" not in str(refused.value)
        return str(refused.value)

    return run


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("lr=0", "lr must be a number above 0, not 0"),
        ("lr=.nan", "lr must be a number above 0, not nan"),
        ("lr=.inf", "lr must be a number above 0, not inf"),
        ("lr=true", "lr must be a number above 0, not True"),
        ("lr=fast", "lr must be a number above 0, not 'fast'"),
        ("iterations=-1", "iterations must be a whole number, 0 or more, not -1; for example iterations=1"),
        ("iterations=1.5", "iterations must be a whole number, 0 or more, not 1.5; for example iterations=1"),
        ("iterations=true", "iterations must be a whole number, 0 or more, not True; for example iterations=1"),
        ("seed=-1", f"seed must be a whole number, 0 or more, less than {2**63}, not -1; for example seed=1"),
        (f"seed={2**63}",
         f"seed must be a whole number, 0 or more, less than {2**63}, not {2**63}; for example seed=1"),
        ("seed=[]", "seed=[] holds no seed; give one whole number or a list such as seed=[0,1]"),
        ("batch_size=0",
         "batch_size must be a whole number, 1 or more, less than 4097, not 0; for example batch_size=1"),
        ("batch_size=aut", "batch_size must be auto or a whole number, 1 or more, not 'aut'"),
        ("checkpointing=yess", "checkpointing must be auto, true or false, not 'yess'"),
        ("threads=0", "threads must be a whole number, 1 or more, not 0; for example threads=1"),
        (f"threads={CORES + 1}",
         f"threads={CORES + 1} is more than this machine's {CORES} CPU cores; use threads={CORES} or fewer, or "
         "threads=null for torch's own choice"),
        ("threads=1000000",
         f"threads=1000000 is more than this machine's {CORES} CPU cores; use threads={CORES} or fewer, or "
         "threads=null for torch's own choice"),
        ("regularization=-0.1", "regularization must be a number at least 0, not -0.1"),
        ("grad_clip=0", "grad_clip must be a number above 0, not 0"),
        ("dtype=float17",
         "dtype=float17 is not known; use one of auto, float32, float16, bfloat16, float64; did you mean "
         "'float16'?"),
        ("device=tpu", "device=tpu is not a device; use auto, cpu, cuda, cuda:N or mps"),
        ("device=cpu:1", "device=cpu:1 is not a device; use auto, cpu, cuda, cuda:N or mps"),
        ("device=cuda:x", "device=cuda:x is not a device; use auto, cpu, cuda, cuda:N or mps"),
        ("prompt=''", 'prompt is empty; give a text such as "a gold bench and a green clock"'),
        ("prompt=[]", "prompt=[] holds no prompt; give one text, or leave it out to use prompts"),
        ("prompt=[1]", "prompt must be a text, not 1; put it in quotes, as in prompt='\"1234\"'"),
        ("prompts=reprot",
         f"prompts=reprot is neither a prompt set ({', '.join(named_sets(Conf()))}) nor a file; did you mean "
         "'report'?"),
        ("prompts=[report]",
         "prompts must name one set or file, not ['report']; to type several prompts use prompt=[a,b]"),
        ("optimizer.betas=[0.9]", "optimizer.betas must be two numbers, not [0.9]; for example [0.9,0.999]"),
        ("optimizer.betas=[0.9,1]", "optimizer.betas must be a number at least 0 and below 1, not 1"),
        ("optimizer.eps=-1", "optimizer.eps must be a number at least 0, not -1"),
        ("optimizer.name=adma", "optimizer.name=adma is not known; use one of adam, sgd; did you mean 'adam'?"),
        ("dry_run=maybe", "dry_run must be true or false, not 'maybe'"),
        ("own_noise=2", "own_noise must be true or false, not 2"),
        ("compile=1", "compile must be auto, graph, true or false, not 1"),
        ("results=''", "results must be a folder, not ''; for example results=results"),
        ("results=3", "results must be a folder, not 3; for example results=results"),
        ("metric.terms.0.weight=-1", "weight of metric clip must be a number above 0, not -1"),
        ("metric.terms.0.kind=clop",
         f"metric kind 'clop' is not a module; use {', '.join(kinds('reno.metrics'))} or the dotted path of your own "
         "module; did you mean 'clip'?"),
        ("record=[clop]",
         f"record=clop is not known; use {', '.join(Conf().options('metric'))}; did you mean 'clip'?"),
        ("evaluators=orcale", "evaluators=orcale is not known; use blip_vqa, detector, detector_open, "
         "detector_spatial, oracle, oracle_analytic; did you mean 'oracle'?"),
        ("evaluators=../x",
         "evaluators=../x is not known; use blip_vqa, detector, detector_open, detector_spatial, oracle, "
         "oracle_analytic"),
        ("claims=clip", "claims=clip is not known; use clip_vs_blip; did you mean 'clip_vs_blip'?"),
        ("models.checkpoints.clip=3", "models.checkpoints.clip must hold keys and values, not 3"),
        ("models.checkpoints.clip.path=3",
         "models.checkpoints.clip.path must be a folder or a name on the model hub, not 3"),
        ("models.reference_seconds=x", "models.reference_seconds must be a number above 0, not 'x'"),
        ("models.closed=3", "models.closed must be true or false, not 3"),
        ("metric.checkpoints=3", "metric.checkpoints must hold keys and values, not 3"),
        ("metric.terms=3", "metric.terms must list the metric's models, each with kind, model and weight, not 3"),
        ("metric.terms=[3]", "metric.terms.0 must hold keys and values, not 3"),
        ("models.generator.kind=flow",
         f"generator kind 'flow' is not a module; use {', '.join(kinds('reno.generators'))} or the dotted path of "
         "your own module"),
        ("study=[]", "study must be a text, not []"),
        ("study=''", "study must be a text, not ''"),
        ("study=true", "study must be a text, not True"),
        ("claims=[]", "claims=[] states no claim; name a file of conf/claim_sets, or leave it out"),
        ("seed=[3,1,3]", "seed has 3 twice; leave one of them out"),
        ("prompt=[a red car,a cup,a red car]", "prompt has 'a red car' twice; leave one of them out"),
        ("record=[clip,blip,clip]", "record has 'clip' twice; leave one of them out"),
        ("evaluators=[oracle,oracle]", "evaluators has 'oracle' twice; leave one of them out"),
        ("evaluators=true", "evaluators must be a text, not True"),
        ("record={}", "record must be a text, not {}"),
        ("models.name=null", "models.name must be a text, not None"),
        ("metric.name=[]", "metric.name must be a text, not []"),
        ("stop.patience=0", "stop.patience must be a whole number, 1 or more, not 0; for example stop.patience=1"),
        ("stop.score=high", "stop.score must be a number, not 'high'"),
        ("stop.seconds=0", "stop.seconds must be a number above 0, not 0"),
        ("stop=3", "stop=3 does not say what ends a trial; set a key of it, as in stop.patience=10"),
        ("method.kind=[]", "method.kind must be a text, not []"),
        ("metric.terms.0.model=[]", "metric.terms.0.model must be a text, not []"),
        ("metric.terms.0.kind=null", "metric.terms.0.kind must be a text, not None"),
        ("metric.terms=[{}]", "metric.terms.0 has no kind; give it one: metric.terms.0.kind=..."),
        ("models.generator=null", "models.generator must hold keys and values, not None"),
        ("models.generator.path=null",
         "models.generator.variant=fp16 needs models.generator.path=FOLDER, or a name on the hub"),
        ("models.generator={kind: stable_diffusion,gain: .nan}",
         "models.generator.gain must be a finite number, not nan"),
        ("method={name: reno,1: x}", "method has the key 1, which is not a text; put it in quotes"),
        ("results=~nobody-here/x",
         "results=~nobody-here/x: there is no user of that name; give the folder's whole path"),
        ("tracking.mode=ofline", "tracking.mode='ofline' is not known; did you mean 'offline'?"),
    ],
)  # fmt: skip
def test_a_bad_value_gets_a_sentence(refusal_of, override, says):
    assert refusal_of(override) == says


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["models.generator.path=null", "models.generator.variant=null"],
         "generator stable_diffusion needs weights; give them with models.generator.path=FOLDER"),
        (["metric.terms.0.model=null"], "metric clip needs weights; give them with metric.terms.0.model=NAME"),
        (["metric=blip", "metric.head=foo"], "metric blip_foo: head=foo is not known; use itm or itc"),
        (["optimizer=sgd_nesterov", "optimizer.momentum=0"],
         "optimizer.nesterov=true needs optimizer.momentum > 0; for example 0.9"),
        (["optimizer=sgd_nesterov", "optimizer.momentum=1"],
         "optimizer.momentum must be a number at least 0 and below 1, not 1"),
        (["optimizer=sgd_nesterov", "optimizer.nesterov=1"], "optimizer.nesterov must be true or false, not 1"),
        (["~optimizer.eps"], "optimizer adam needs eps; give it with +optimizer.eps=..."),
    ],
)  # fmt: skip
def test_values_that_do_not_fit_together_get_a_sentence(refusal, words, says):
    assert refusal(*words) == says
