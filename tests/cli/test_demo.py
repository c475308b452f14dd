"""The demonstration: twins that train alike, and pictures of them."""

import pytest

import edgelinear

pytest.importorskip("click")
from edgelinear.__main__ import main  # noqa: E402

pytestmark = pytest.mark.usefixtures("few_rounds")


@pytest.mark.slow
def test_demo_trains_twins_alike_and_draws(capsys, tmp_path):
    assert main(["demo", "--out", str(tmp_path / "new" / "folder"), "--epochs", "2"]) == 0
    out, err = capsys.readouterr()
    assert err == "" and "\x1b" not in out
    assert "11,876 proteins -> 2,233 pathways, 46,939 edges" in out
    for name in ("wiring.png", "comparison.png"):
        assert (tmp_path / "new" / "folder" / name).stat().st_size > 10_000


def test_twins_have_equal_curves():
    pytest.importorskip("sklearn")
    from edgelinear.cli import demo

    layer = edgelinear.EdgeLinear.from_topology(demo.skewed_topology(64, 128))
    models = {demo._SPARSE: layer, demo._DENSE: layer.to_masked_linear()}
    curves = demo.train(models, demo._digits(), epochs=2)
    assert (
        demo._largest_difference(curves.loss) < 1e-5
        and demo._largest_difference(curves.accuracy) == 0
    )
    assert curves.loss[demo._SPARSE][1] < curves.loss[demo._SPARSE][0]
