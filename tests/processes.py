"""Processes of one group, which do pieces of work one after the other."""

import datetime
import os
import traceback

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp


class Work(dict):
    """Pieces of work of a test file, by name: a decorator of functions of a path and a rank.

    Starting processes takes longer than all that they do, so the same ones do all of it.
    """

    def __call__(self, function):
        self[function.__name__] = function
        return function

    def fixture(self, *numbers):
        """Return the fixture that has done it in two processes, or in each of these numbers."""

        @pytest.fixture(scope="module", params=numbers or (2,))
        def processes(request, tmp_path_factory):
            if not (dist.is_available() and dist.is_gloo_available()):
                pytest.skip("torch has no gloo")
            path = tmp_path_factory.mktemp(f"processes{request.param}")
            return in_processes(self, path, request.param)

        return processes


def in_processes(work, path, number=2):
    """Return a function that gives what a piece of work returned in each process.

    Args:
        work: functions of a path and a rank, by name.
        path: the folder for what the processes leave.
        number: how many processes there are, which the function has as `number`.
    """
    context = mp.get_context("spawn")
    workers = [
        context.Process(target=run, args=(work, rank, number, str(path))) for rank in range(number)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(900)
        worker.kill()
    outcomes = [torch.load(path / f"results{r}.pt", weights_only=False) for r in range(number)]

    def results_of(function):
        done = all(function.__name__ in results for results, _ in outcomes)
        assert done, "\n".join(f"rank {r}: {error}" for r, (_, error) in enumerate(outcomes))
        return [results[function.__name__] for results, _ in outcomes]

    results_of.number = number
    return results_of


def run(work, rank, number, path):
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo",
        init_method=f"file://{path}/rendezvous",
        rank=rank,
        world_size=number,
        timeout=datetime.timedelta(seconds=180),
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
