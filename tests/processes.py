"""Two processes of one group, which do pieces of work one after the other."""

import datetime
import os
import traceback

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp


class Work(dict):
    """Pieces of work of a test file, by name: a decorator of functions of a path and a rank.

    Starting two processes takes longer than all that they do, so one pair does all of it.
    """

    def __call__(self, function):
        self[function.__name__] = function
        return function

    def fixture(self):
        """Return the fixture that has done it: see `in_two_processes`."""

        @pytest.fixture(scope="module")
        def two_processes(tmp_path_factory):
            if not (dist.is_available() and dist.is_gloo_available()):
                pytest.skip("torch has no gloo")
            return in_two_processes(self, tmp_path_factory.mktemp("processes"))

        return two_processes


def in_two_processes(work, path):
    """Return a function that gives what a piece of work returned in each of two processes.

    Args:
        work: functions of a path and a rank, by name.
        path: the folder for what the processes leave.
    """
    context = mp.get_context("spawn")
    workers = [context.Process(target=run, args=(work, rank, str(path))) for rank in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(300)
        worker.kill()
    outcomes = [torch.load(path / f"results{r}.pt", weights_only=False) for r in range(2)]

    def results_of(function):
        done = all(function.__name__ in results for results, _ in outcomes)
        assert done, "\n".join(f"rank {r}: {error}" for r, (_, error) in enumerate(outcomes))
        return [results[function.__name__] for results, _ in outcomes]

    return results_of


def run(work, rank, path):
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo",
        init_method=f"file://{path}/rendezvous",
        rank=rank,
        world_size=2,
        timeout=datetime.timedelta(seconds=60),
    )
    results, error = {}, "it did not run"
    try:
        for name, function in work.items():
            results[name] = function(path, rank)
            dist.barrier()
    except BaseException:
        error = traceback.format_exc()
    torch.save((results, error), f"{path}/results{rank}.pt")
    os._exit(0)  # the group of a failed process would wait for the other
