"""The code of the page on many processes runs as it stands, and prints what the page says."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from markdown_pages import blocks, links

PAGE = (Path(__file__).parent.parent / "docs" / "many_processes.md").read_text()
SAVE = 'dcp.save({"model": model, "optimizer": states}, checkpoint_id="checkpoint")\n'
LOADED = """
print(f"loaded {nn.functional.mse_loss(layer(x), goal):.6f}\\n", end="")
"""
CLIP = "clip(net.parameters(), largest=0.1)\n"
CLIPPED = """
whole = [p.grad.full_tensor() for p in net.parameters()]
norm = torch.cat([grad.view(-1) for grad in whole]).norm().item()
assert abs(clip(net.parameters(), largest=0.1) - norm) < 1e-5 * norm
assert norm > 0.1 > 0.0999 < clip(net.parameters(), largest=1) < 0.1001
"""


def run(script, folder, number):
    (folder / "train.py").write_text(script)
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(number)]
    command = [sys.executable, *torchrun, "train.py"]
    found = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
    assert found.returncode == 0, found.stderr
    return found.stdout


@pytest.mark.slow
def test_page_on_many_processes_runs_from_top_to_bottom(tmp_path):
    files = re.findall(r"`([\w-]+\.csv)`\n\n```csv\n(.*?)```", PAGE, re.DOTALL)
    assert len(files) == len(blocks(PAGE, "csv")) == 2
    for name, text in files:
        (tmp_path / name).write_text(text)
    script = "\n".join(blocks(PAGE))
    load = next(block for block in blocks(PAGE) if "dcp.load" in block)
    assert script.count(SAVE) == 1 and script.count(load) == 1
    script = script.replace(load, load + LOADED).replace(CLIP, CLIPPED)
    assert LOADED in script and CLIPPED in script
    said = run(script, tmp_path, 2)
    loss = float(re.search(r"loss (0\.\d{4})", said)[1])
    assert loss < 0.01
    (table,) = blocks(PAGE, "text")
    assert table in said
    # On other numbers of processes, from weights that are drawn anew.
    said = run(script.replace(SAVE, "layer.reset_parameters()\n"), tmp_path, 4)
    found = re.findall(r"loaded (\d\.\d{6})", said)
    assert [float(one) for one in found] == pytest.approx([loss] * 4, abs=1e-4)


def test_page_links_to_what_is_there():
    for target in links(PAGE):
        assert (Path(__file__).parent.parent / "docs" / target).exists(), target
