"""How many bindings hold."""

from __future__ import annotations

import msgspec

from reno.spec.judgements import Judgement, Verdict


def judged(*bound):
    return Verdict(tuple(Judgement("a", "o", True, True, one, 1.0, 1.0, 1.0) for one in bound), {})


def test_a_verdict_counts_what_is_bound():
    assert [judged(*bound).bound for bound in ([], [False], [True, False], [True, True])] == [0, 0, 1, 2]
    assert [judged(*bound).all_bound for bound in ([], [False], [True, False], [True, True])] == [
        True,
        False,
        False,
        True,
    ]


def test_a_score_is_written_only_where_there_is_one():
    assert "score" not in msgspec.to_builtins(judged(True))
    assert msgspec.to_builtins(Verdict((), {"swapped": True}, 0.0)) == {
        "judgements": (), "faults": {"swapped": True}, "score": 0.0,
    }  # fmt: skip


def test_what_came_instead_is_written_only_where_a_judge_tells_and_older_records_are_read():
    older = msgspec.to_builtins(Judgement("red", "car", True, False, False, 1.0, 0.1, 0.1))
    assert "instead" not in older and msgspec.convert(older, Judgement).instead is None
    told = msgspec.structs.replace(msgspec.convert(older, Judgement), instead="green")
    assert msgspec.to_builtins(told) == {**older, "instead": "green"}
