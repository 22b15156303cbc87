"""The simulation of a large store prints what it measured, goes on where it stopped, and draws its curves."""

from __future__ import annotations

import pytest
from PIL import Image

from scripts import simulate_scale
from scripts.simulate_scale import FILES, INDEX, INDEXED, LOOK, OWN, Measured, main


@pytest.mark.slow
def test_what_is_measured_is_kept_and_drawn(tmp_path, capsys, monkeypatch):
    scratch = tmp_path / "scale"
    words = [str(scratch), "--trials", "210,220", "--workers", "1,4"]
    assert main(words) == 0
    table = capsys.readouterr().out.splitlines()
    measured = Measured(scratch / "measured.csv")
    assert {count for count, _ in measured.seconds} == {210, 220}
    assert {LOOK, OWN, INDEX, *FILES, *INDEXED} <= {what for _, what in measured.seconds}
    share = 100 * (measured.seconds[220, OWN] + 3 * measured.seconds[220, LOOK]) / 2
    assert f"| 220 | of a trial of 2 s, with 4 workers on one job | {share:.2f}% |" in table
    assert Image.open(scratch / "curves.png").width > 1000
    monkeypatch.setattr(simulate_scale, "_timed", None)  # nothing is measured again
    assert main(words) == 0
    assert capsys.readouterr().out.splitlines() == table


def test_a_folder_with_other_files_is_refused(tmp_path, capsys):
    (tmp_path / "mine").touch()
    assert main([str(tmp_path)]) == 2
    assert capsys.readouterr().err.startswith(f"error: give a new folder, or one that this script has made; {tmp_path}")
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
